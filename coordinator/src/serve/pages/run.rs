//! One run: its state, its models, and the ways to its trailers, failures and report.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jhalak_common::ErrorKind;
use jhalak_common::artifact::{self, ARTIFACTS_FOLDER, ArtifactKey, ArtifactKind, COMMIT_FILE, CommitRecord};
use jhalak_common::run::{self, RunSpec, run_key};
use schemars::JsonSchema;
use serde::Serialize;

use super::live::{self, Live};
use super::runs::{Run, state_of};
use crate::report::{Cell, Report};
use crate::serve::answer::Form;
use crate::serve::etag;
use crate::serve::failure::Failure;
use crate::serve::query::Names;
use crate::serve::site::Site;

/// The report is a page of its own: it may have its styles and pictures within it, no scripts, and
/// no access to this site.
const REPORT_POLICY: &str = "sandbox allow-same-origin; default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
                             font-src data:; frame-ancestors 'none'";

/// The page of a run.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunPage {
    /// The run.
    run: Run,
    /// Its state.
    live: Live,
    /// The dataset's folder as given.
    dataset_url: String,
    /// Number of the models of the grid.
    cells: u64,
    /// The models that made the embeddings.
    models: Vec<ModelLine>,
    /// Whether it has a report.
    has_report: bool,
    /// The figures by what a fold holds out, the most accurate model first; empty without a report.
    columns: Vec<Column>,
    /// Whether the run has trailers.
    trailers: bool,
    /// Whether the run trains models.
    trains: bool,
}

/// A model that made embeddings.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ModelLine {
    /// Its name.
    name: String,
    /// The purpose of the table.
    role: String,
    /// The licence of its weights.
    licence: String,
}

/// The models under one protocol.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Column {
    /// The protocol and what a fold holds out.
    name: String,
    /// Pairs of viewer and movie that every model was tested on.
    pairs: u64,
    /// Tests of these pairs over the folds: more where folds test a pair again.
    tests: u64,
    /// The models, the most accurate first.
    rows: Vec<Row>,
}

/// A model and its accuracy.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Row {
    /// The model.
    name: String,
    /// Whether it is a baseline.
    baseline: bool,
    /// Mean accuracy over the folds, from 0 to 1.
    accuracy: f64,
    /// Its standard deviation over the folds.
    sd: f64,
    /// Macro F1, from 0 to 1.
    macro_f1: f64,
    /// The difference of the accuracy from the best baseline; null for that baseline.
    versus: Option<Versus>,
}

/// A difference with its 95 % interval.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Versus {
    /// The difference as a share.
    mean: f64,
    /// The lower end of the interval.
    low: f64,
    /// The upper end of the interval.
    high: f64,
    /// Whether the interval excludes zero.
    tells: bool,
}

/// Shows a run.
pub async fn show(
    State(site): State<Arc<Site>>,
    form: Form,
    Names([id]): Names<[String; 1]>,
) -> Result<Response, Failure> {
    let state = state_of(&site, &id).await?;
    let spec: Option<RunSpec> = run::get_json(site.store.as_ref(), &run_key(&id, "spec.json")).await?;
    let report = report(&site, &id).await?;
    let live = live::read(&site, &id, &mut Vec::new()).await?;
    let models = spec.as_ref().map(|spec| spec.models.as_slice()).unwrap_or_default();
    let page = RunPage {
        run: Run::of(id, spec.as_ref(), &state),
        live,
        dataset_url: spec.as_ref().map(|spec| spec.dataset_url.clone()).unwrap_or_default(),
        cells: spec.as_ref().map_or(0, |spec| spec.cells.len() as u64),
        models: models
            .iter()
            .map(|model| ModelLine {
                name: model.name.clone(),
                role: model.role.clone(),
                licence: model.licence.clone(),
            })
            .collect(),
        has_report: report.is_some(),
        columns: report.as_ref().map(columns).unwrap_or_default(),
        trailers: report.as_ref().is_none_or(|report| report.extraction.is_some()),
        trains: spec.as_ref().is_some_and(|spec| !spec.cells.is_empty() || spec.fit.is_some()),
    };
    site.answer(form, "run.html", &page)
}

/// Returns the report of a run; None before it is written, and where an earlier or later program
/// wrote it otherwise.
pub async fn report(site: &Site, run: &str) -> Result<Option<Report>, Failure> {
    let bytes = match site.store.get(&run_key(run, "report/report.json")).await {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    match Report::from_json(&bytes) {
        Ok(report) => Ok(Some(report)),
        Err(error) => {
            tracing::warn!(run, error = %error.chain(), "cannot read the report");
            Ok(None)
        }
    }
}

fn columns(report: &Report) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for cell in &report.evaluation {
        let Some(row) = row(cell) else { continue };
        let (name, compared) = (cell.column(), cell.compared.as_ref());
        let pairs = compared.map_or(0, |compared| compared.pairs);
        let tests = compared.and_then(|compared| compared.tests).unwrap_or(pairs);
        match columns.iter_mut().find(|column| column.name == name) {
            Some(column) => column.rows.push(row),
            None => columns.push(Column { name, pairs, tests, rows: vec![row] }),
        }
    }
    for column in &mut columns {
        column.rows.sort_by(|a, b| b.accuracy.total_cmp(&a.accuracy).then_with(|| a.name.cmp(&b.name)));
    }
    // The leaky protocol comes last, as in the report.
    columns.sort_by_key(|column| (column.name == "paper", column.name != "strict"));
    columns
}

fn row(cell: &Cell) -> Option<Row> {
    let compared = cell.compared.as_ref()?;
    let versus = compared.versus.as_ref().map(|versus| Versus {
        mean: versus.difference.accuracy.mean,
        low: versus.difference.accuracy.low,
        high: versus.difference.accuracy.high,
        tells: versus.difference.tells(&versus.difference.accuracy),
    });
    Some(Row {
        name: cell.row(),
        baseline: cell.baseline,
        accuracy: compared.accuracy.mean,
        sd: compared.accuracy.sd,
        macro_f1: compared.macro_f1.mean,
        versus,
    })
}

/// Sends the stored report: the page, or below `/api/v1` its figures.
pub async fn stored_report(
    State(site): State<Arc<Site>>,
    form: Form,
    Names([id]): Names<[String; 1]>,
) -> Result<Response, Failure> {
    send_report(&site, form, &id).await
}

/// Sends the figures of the report, which its page links to.
pub async fn report_json(State(site): State<Arc<Site>>, Names([id]): Names<[String; 1]>) -> Result<Response, Failure> {
    send_report(&site, Form::Json, &id).await
}

/// Sends a file of a final model, to which the page of a report links.
pub async fn model_file(State(site): State<Arc<Site>>, Path(path): Path<String>) -> Result<Response, Failure> {
    /// Each with its type.
    const FILES: [(&str, &str); 3] = [
        ("README.md", "text/plain; charset=utf-8"),
        ("model.json", "application/json"),
        ("model.onnx", "application/octet-stream"),
    ];
    let missing = || Failure::missing("there is no such file of a final model");
    let key = format!("{ARTIFACTS_FOLDER}{path}");
    let asked = ArtifactKey::parse(&key).filter(|asked| asked.kind == ArtifactKind::Model).ok_or_else(missing)?;
    let (name, kind) = FILES.into_iter().find(|(name, _)| *name == asked.file).ok_or_else(missing)?;
    let commit = format!("{}{COMMIT_FILE}", key.strip_suffix(name).ok_or_else(missing)?);
    let record = site.store.get(&commit).await.ok();
    let record = record.and_then(|bytes| serde_json::from_slice::<CommitRecord>(&bytes).ok()).ok_or_else(missing)?;
    if ArtifactKey::new(&record.recipe, &record.subject).commit() != commit {
        return Err(missing());
    }
    let bytes = artifact::read_file(site.store.as_ref(), &record, name).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment")),
        (header::ETAG, etag::of(&bytes)),
    ];
    Ok((headers, bytes).into_response())
}

async fn send_report(site: &Site, form: Form, id: &str) -> Result<Response, Failure> {
    let (name, kind) = match form {
        Form::Page => ("report/index.html", "text/html; charset=utf-8"),
        Form::Json => ("report/report.json", "application/json"),
    };
    let bytes = site.store.get(&run_key(id, name)).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::missing(format!("the run {id} has no report yet: it is written at its end")),
        _ => error.into(),
    })?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(REPORT_POLICY)),
        (header::ETAG, etag::of(&bytes)),
    ];
    Ok((headers, bytes).into_response())
}
