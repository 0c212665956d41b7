//! The models of two runs side by side, with paired differences.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::{self, ArtifactKey};
use jhalak_common::evaluation::{CellSpec, FoldResult, metrics, paired};
use jhalak_common::run::job::CellTask;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};
use jhalak_worker::blocking;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::runs;
use crate::artifacts::{MAX_CONCURRENT_REQUESTS, embedding_tables};
use crate::plan::Plan;
use crate::report::Cell;
use crate::run::tasks;
use crate::serve::answer::Form;
use crate::serve::failure::Failure;
use crate::serve::index::RunIndex;
use crate::serve::query::{Names, Options};
use crate::serve::site::Site;

/// The file of a fold's result.
const RESULT: &str = "result.json";

/// Runs that are offered for comparison.
const MAX_OFFERED: usize = 100;

/// The options of the page.
#[derive(Deserialize)]
pub struct Query {
    with: Option<String>,
}

/// Two runs side by side.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// The run.
    run: String,
    /// The other run; null until one is chosen.
    with: Option<String>,
    /// The runs that can be chosen, the last one changed first.
    offered: Vec<String>,
    /// Why the runs cannot be compared pair by pair; null if they can.
    not_paired: Option<String>,
    /// Models that only the first run has.
    only_first: Vec<String>,
    /// Models that only the other run has.
    only_other: Vec<String>,
    /// Models that both runs have.
    models: Vec<Model>,
}

/// A model of both runs.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Model {
    /// The protocol and what a fold holds out.
    column: String,
    /// The model.
    name: String,
    /// Its figures in the first run; null without a result.
    first: Option<Figures>,
    /// Its figures in the other run; null without a result.
    other: Option<Figures>,
    /// The first run minus the other, on the pairs that both tested.
    difference: Option<Difference>,
}

/// The figures of a model over all its folds.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Figures {
    /// Mean accuracy, from 0 to 1.
    accuracy: f64,
    /// Mean macro F1, from 0 to 1.
    macro_f1: f64,
    /// Mean log loss.
    log_loss: Option<f64>,
}

/// A paired difference with 95 % intervals.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// Pairs of viewer and movie.
    pairs: u64,
    /// Viewers of these pairs.
    users: u64,
    /// Of the accuracy: mean, low, high.
    accuracy: [f64; 3],
    /// Of the log loss: mean, low, high; negative if the first is better.
    log_loss: [f64; 3],
    /// `first`, `other` or `neither` by accuracy; `few` with too few viewers.
    better: String,
}

/// Shows the comparison.
pub async fn show(
    State(site): State<Arc<Site>>,
    form: Form,
    Names([run]): Names<[String; 1]>,
    Options(query): Options<Query>,
) -> Result<Response, Failure> {
    runs::state_of(&site, &run).await?;
    let mut known = runs::states(site.store.as_ref(), "").await?;
    known.sort_by(|(a, of_a), (b, of_b)| of_b.updated.cmp(&of_a.updated).then_with(|| a.cmp(b)));
    let offered: Vec<String> = known.into_iter().map(|(id, _)| id).filter(|id| *id != run).take(MAX_OFFERED).collect();
    let with = query.with.filter(|with| !with.is_empty());
    let mut page = Compare {
        run: run.clone(),
        with: with.clone(),
        offered,
        not_paired: None,
        only_first: Vec::new(),
        only_other: Vec::new(),
        models: Vec::new(),
    };
    if let Some(with) = with {
        if jhalak_common::store::check_key(&format!("runs/{with}")).is_err() || with.contains('/') {
            return Err(Failure::bad("the run to compare with is not a valid id"));
        }
        let (first, other) = (site.index(&run).await?, site.index(&with).await?);
        fill(&site, &mut page, &first, &other).await?;
    }
    site.answer(form, "compare.html", &page)
}

async fn fill(site: &Site, page: &mut Compare, first: &RunIndex, other: &RunIndex) -> Result<(), Failure> {
    let (a, b) = (results(site, &first.plan).await?, results(site, &other.plan).await?);
    let is_same_dataset = first.plan.spec.dataset.content == other.plan.spec.dataset.content;
    if !is_same_dataset {
        page.not_paired = Some(
            "the runs are over different datasets: their figures are of different pairs of viewer and movie".into(),
        );
    }
    let names = |results: &BTreeMap<String, Evaluated>, others: &BTreeMap<String, Evaluated>| {
        let only = results.iter().filter(|(name, _)| !others.contains_key(*name));
        only.map(|(_, one)| format!("{}: {}", one.column, one.name)).collect::<Vec<_>>()
    };
    page.only_first = names(&a, &b);
    page.only_other = names(&b, &a);
    let seed = first.plan.spec.cells.first().map_or(0, |cell| cell.seed);
    let _turn = site.turn().await?;
    page.models = blocking::compute(move || {
        let both = a.keys().filter(|name| b.contains_key(*name)).cloned().collect::<BTreeSet<_>>();
        Ok(both
            .iter()
            .filter_map(|name| Some((a.get(name)?, b.get(name)?)))
            .map(|(a, b)| Model {
                column: a.column.clone(),
                name: a.name.clone(),
                first: Figures::of(&a.folds),
                other: Figures::of(&b.folds),
                difference: is_same_dataset.then(|| Difference::of(&a.folds, &b.folds, seed)).flatten(),
            })
            .collect())
    })
    .await?;
    page.models.sort_by(|a, b| {
        let accuracy = |model: &Model| model.first.as_ref().map_or(0.0, |figures| figures.accuracy);
        // The leaky protocol comes last, as on the page of a run.
        let column = |model: &Model| (model.column.starts_with("paper"), model.column.clone());
        column(a).cmp(&column(b)).then_with(|| accuracy(b).total_cmp(&accuracy(a))).then_with(|| a.name.cmp(&b.name))
    });
    Ok(())
}

/// A cell of a run with the results of its folds.
struct Evaluated {
    column: String,
    name: String,
    folds: Vec<FoldResult>,
}

/// Reads the results of a run by the name of the cell. Folds without a result are left out.
async fn results(site: &Site, plan: &Plan) -> Result<BTreeMap<String, Evaluated>> {
    let store = site.store.as_ref();
    let tables = embedding_tables::committed(store, plan).await?;
    let tasks = tasks::cell_tasks(plan, &tables)?.tasks;
    let read: Vec<(CellSpec, Option<FoldResult>)> = stream::iter(tasks)
        .map(|task| async move {
            let result = result(store, &task).await?;
            Ok::<_, Error>((task.cell, result))
        })
        .buffered(MAX_CONCURRENT_REQUESTS)
        .try_collect()
        .await?;
    let mut found: BTreeMap<String, Evaluated> = BTreeMap::new();
    for (spec, result) in read {
        let cell = Cell::of(&spec);
        let entry = found.entry(spec.name()).or_insert_with(|| Evaluated {
            column: cell.column(),
            name: cell.row(),
            folds: Vec::new(),
        });
        entry.folds.extend(result);
    }
    Ok(found)
}

async fn result(store: &dyn ObjectStore, task: &CellTask) -> Result<Option<FoldResult>> {
    let key = ArtifactKey::new(&task.recipe, &task.dataset);
    let Some(record) = artifact::committed(store, &key).await? else { return Ok(None) };
    let bytes = artifact::read_file(store, &record, RESULT).await?;
    let damaged = |e| {
        Error::invalid(format!("{} is damaged: delete its folder and repeat the run", key.file(RESULT))).with_source(e)
    };
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

impl Figures {
    fn of(folds: &[FoldResult]) -> Option<Figures> {
        if folds.is_empty() {
            return None;
        }
        let all = metrics::summarise(folds);
        Some(Figures {
            accuracy: all.accuracy.mean,
            macro_f1: all.macro_f1.mean,
            log_loss: all.calibration.map(|calibration| calibration.log_loss.mean),
        })
    }
}

impl Difference {
    fn of(first: &[FoldResult], other: &[FoldResult], seed: u64) -> Option<Difference> {
        let found = paired::difference(first.into(), other.into(), seed)?;
        let better = match found.users < paired::MIN_USERS {
            true => "few",
            false if !found.accuracy.excludes_zero() => "neither",
            false if found.accuracy.mean > 0.0 => "first",
            false => "other",
        };
        let of = |interval: paired::Interval| [interval.mean, interval.low, interval.high];
        Some(Difference {
            pairs: found.pairs as u64,
            users: found.users as u64,
            accuracy: of(found.accuracy),
            log_loss: of(found.log_loss),
            better: better.to_owned(),
        })
    }
}
