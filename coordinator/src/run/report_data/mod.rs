//! Builds the report of a run from its plan, its dataset and the results in the store.

mod cells;
#[cfg(feature = "local")]
mod examples;
mod figures;
pub mod pictures;
mod predictions;

use std::collections::{BTreeMap, BTreeSet};

use jhalak_common::artifact::{ArtifactKind, Subject};
use jhalak_common::dataset::Reading;
use jhalak_common::evaluation::{CellSpec, LeftOutPart, UserEmbedding};
use jhalak_common::run::Stage;
use jhalak_common::run::job::{Job, QuarantineRecord, Task, Trailer};
use jhalak_common::settings::{Grid, Images, Settings};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result, evaluation};
use serde_json::json;

use crate::artifacts::fitted_model;
use crate::plan::given_tables;
use crate::plan::paper_tables::{self, Available};
use crate::plan::{Plan, grid};
use crate::report::{
    self, Cell, Decision, Extraction, FailedJob, Figures, LeftOut, Model, Operation, PaperRow, PaperTable, Published,
    Quarantined, Recipe, Report, Run, Seconds, SlowTrailer,
};
use crate::run::stages::Summary;
use crate::run::tasks::fit_spec;
use crate::run::timings::Measured;

/// Assembles the report of a run whose stages have completed, and stores the predictions of each
/// cell.
pub(super) async fn assemble(
    store: &dyn ObjectStore,
    plan: &Plan,
    reading: &Reading,
    summary: &Summary,
    settings: &Settings,
    model: Option<String>,
    timings: Measured,
) -> Result<Report> {
    let spec = &plan.spec;
    let (evaluation, figures) = cells::cells(store, plan, reading, summary).await?;
    let gallery = match settings.report.images {
        Images::Sample if !plan.trailers.trailers.is_empty() => {
            Some(pictures::collect(store, plan, &reading.dataset, settings.evaluate.seed, &[]).await?)
        }
        _ => None,
    };
    let paper = match spec.grid {
        Grid::Paper => paper_tables(plan, reading, settings, &evaluation),
        Grid::Standard => Vec::new(),
    };
    #[cfg(not(feature = "local"))]
    let examples = Vec::new();
    #[cfg(feature = "local")]
    let examples = match &model {
        Some(model) => examples::collect(store, &reading.dataset, model, settings.evaluate.seed).await?,
        None => Vec::new(),
    };
    Ok(Report {
        version: report::VERSION,
        title: match reading.dataset.ratings.is_empty() {
            true => format!("{}: extraction report", reading.dataset.name),
            false => format!("{}: preference report", reading.dataset.name),
        },
        run: Run {
            id: spec.id.clone(),
            started: format!("{:.0}", spec.created),
            ended: Some(format!("{:.0}", jiff::Timestamp::now())),
            program_version: env!("CARGO_PKG_VERSION").into(),
            settings: settings.shown(),
            seeds: BTreeMap::from([("splits, initial weights and shuffles".to_string(), settings.evaluate.seed)]),
        },
        dataset: reading.describe(),
        models: spec.models.iter().filter(|_| !plan.trailers.trailers.is_empty()).map(model_facts).collect(),
        recipes: recipes(plan, summary),
        extraction: extraction(plan, summary)?,
        left_out: [left_out(plan, reading), left_out_of_model(store, plan, summary).await?].concat(),
        operation: Some(operation(plan, reading, summary, timings)),
        gallery,
        figures,
        evaluation,
        paper,
        examples,
        measures: report::Measures::default(),
        model,
        notes: notes(plan),
    })
}

fn model_facts(facts: &jhalak_common::run::ModelFacts) -> Model {
    Model {
        name: facts.name.clone(),
        role: facts.role.clone(),
        source: facts.source.clone(),
        sha256: facts.sha256.to_string(),
        licence: facts.licence.clone(),
    }
}

fn recipes(plan: &Plan, summary: &Summary) -> Vec<Recipe> {
    let mut found = Vec::new();
    if !plan.trailers.trailers.is_empty() {
        for recipe in &plan.spec.recipes {
            found.push(Recipe {
                kind: recipe.kind.name().into(),
                hash: recipe.hash().to_string(),
                parameters: recipe.params.clone(),
            });
        }
    }
    for table in &summary.tables {
        let given = plan.spec.given.iter().find(|given| given.recipe.hash() == table.recipe);
        let parameters = match given {
            None if table.kind.has_parts() => json!({ "parts": table.rows, "file_sha256": table.sha256 }),
            None => json!({ "trailers": table.rows, "file_sha256": table.sha256 }),
            Some(given) => {
                json!({ "given": given.file, "movies": table.rows, "dim": given.dim, "rows_sha256": given.subject.content })
            }
        };
        found.push(Recipe { kind: table.kind.name().into(), hash: table.recipe.to_string(), parameters });
    }
    let dataset = &plan.spec.dataset;
    found.push(Recipe {
        kind: "dataset".into(),
        hash: dataset.content.to_string(),
        parameters: json!({ "name": dataset.id }),
    });
    found
}

fn extraction(plan: &Plan, summary: &Summary) -> Result<Option<Extraction>> {
    let trailers = plan.trailers.trailers.len() as u64;
    if trailers == 0 {
        return Ok(None);
    }
    let of_trailer = |record: &QuarantineRecord| match record.decode_job()?.task {
        Task::Extract(task) => Some((task.trailer, record.reason.clone())),
        _ => None,
    };
    let mut quarantined: Vec<(Trailer, String)> = summary.quarantined.iter().filter_map(of_trailer).collect();
    if !quarantined.is_empty() {
        let named: BTreeSet<Subject> = quarantined.iter().map(|(trailer, _)| trailer.subject.clone()).collect();
        let subjects = plan.trailers.trailers.scan().map(|trailer| trailer.into_owned().subject);
        let in_plan: BTreeSet<Subject> = subjects.filter(|subject| named.contains(subject)).collect();
        quarantined.retain(|(trailer, _)| in_plan.contains(&trailer.subject));
    }
    let quarantined: Vec<Quarantined> = quarantined
        .into_iter()
        .map(|(trailer, reason)| Quarantined { movie: trailer.subject.id, trailer: trailer.key, reason })
        .collect();
    let counts = summary.trailers;
    if quarantined.len() as u64 != counts.missing {
        return Err(Error::transient(format!(
            "{} of {trailers} trailers lack artifacts and {} are quarantined: another process changed the store during \
             the run",
            counts.missing,
            quarantined.len()
        )));
    }
    let videos = summary.tables.iter().filter(|t| t.kind == ArtifactKind::VideoTable);
    let zero_clips: BTreeSet<String> = videos.flat_map(|table| table.zero_clips.iter().cloned()).collect();
    let silent = summary.tables.iter().find(|t| t.kind == ArtifactKind::AudioTable).map(|t| t.without.clone());
    // If no trailer has sound, there is no table that lists those without.
    let embeds_sound = plan.spec.recipe(ArtifactKind::AudioEmbedding).is_some();
    let all_silent = || {
        let lost: BTreeSet<&str> = quarantined.iter().map(|one| one.movie.as_str()).collect();
        let ids = plan.trailers.trailers.scan().map(|trailer| trailer.subject.id.clone());
        ids.filter(|id| !lost.contains(id.as_str())).collect::<Vec<_>>()
    };
    let silent = silent.or_else(|| (embeds_sound && counts.out_of_scope == 0).then(all_silent));
    Ok(Some(Extraction {
        trailers,
        processed: summary.extracted as u64,
        committed: counts.committed,
        out_of_scope: counts.out_of_scope,
        quarantined,
        without_sound: silent.unwrap_or_default(),
        zero_clips,
    }))
}

fn operation(plan: &Plan, reading: &Reading, summary: &Summary, timings: Measured) -> Operation {
    let named = |(name, seconds): (String, f64)| Seconds { name, seconds };
    let searches =
        plan.spec.recipes.iter().any(|recipe| matches!(recipe.kind, ArtifactKind::Scenes | ArtifactKind::Objects));
    let mut steps: Vec<Seconds> = in_words(timings.steps, searches).into_iter().map(named).collect();
    steps.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then_with(|| a.name.cmp(&b.name)));
    let title = |id: &str| {
        let movie = reading.dataset.movie_index(id).and_then(|movie| reading.dataset.movies.get(movie));
        movie.map_or_else(|| id.to_owned(), |movie| movie.name)
    };
    let slow = |(movie, steps): (String, BTreeMap<String, f64>)| SlowTrailer {
        title: title(&movie),
        movie,
        seconds: steps.values().sum(),
        longest_step: in_words(steps, searches)
            .into_iter()
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(step, _)| step)
            .unwrap_or_default(),
    };
    let failed = summary.quarantined.iter().filter(|record| {
        !matches!(record.decode_job(), Some(Job { task: Task::Extract(_), .. })) && record.run == plan.spec.id
    });
    let extracting = timings.stages.iter().find(|(stage, _)| *stage == Stage::Extracting).map(|(_, seconds)| *seconds);
    Operation {
        stages: timings.stages.iter().map(|(stage, seconds)| named((stage.name().to_owned(), *seconds))).collect(),
        extracted: timings.trailers,
        trailers_an_hour: extracting
            .filter(|s| timings.trailers > 0 && *s > 0.0)
            .map(|s| 3600.0 * timings.trailers as f64 / s),
        steps,
        slowest: timings.slowest.into_iter().map(slow).collect(),
        failed_jobs: failed
            .map(|record| FailedJob { about: record.about.clone(), reason: record.reason.clone() })
            .collect(),
    }
}

/// Names the steps by what they do: scenes are scored and objects are detected while a trailer is
/// decoded, and the steps of these artifacts only write their files.
fn in_words(steps: BTreeMap<String, f64>, searches: bool) -> BTreeMap<String, f64> {
    let mut named = BTreeMap::new();
    for (step, seconds) in steps {
        let name = match step.as_str() {
            "decode" if searches => "decode, scenes and objects",
            "keyframes" | "scenes" | "objects" => "write files",
            other => other,
        };
        *named.entry(name.to_owned()).or_default() += seconds;
    }
    named
}

fn left_out(plan: &Plan, reading: &Reading) -> Vec<LeftOut> {
    let modality = given_tables::modality_of(&plan.spec, plan.trailers.trailers.len());
    let of = |(modality, reason): (&str, &str)| LeftOut { modality: modality.into(), reason: reason.into() };
    let ensemble = grid::why_no_ensemble(&plan.spec, reading.dataset.ratings.len());
    let ensemble = ensemble.map(|reason| LeftOut { modality: evaluation::Model::Ensemble.name().into(), reason });
    let attention = grid::why_no_attention(&plan.spec, plan.trailers.trailers.len());
    let attention =
        attention.map(|reason| LeftOut { modality: evaluation::Model::TrailerAttention.name().into(), reason });
    grid::left_out(&reading.dataset, modality).into_iter().map(of).chain(ensemble).chain(attention).collect()
}

/// Lists the parts that the final model lacks, with the reason.
async fn left_out_of_model(store: &dyn ObjectStore, plan: &Plan, summary: &Summary) -> Result<Vec<LeftOut>> {
    let parts = match &summary.model {
        Some(key) => fitted_model::parts_of(store, key).await?.left_out,
        None => fit_spec(plan, &summary.tables).map_or_else(Vec::new, |fit| fit.left_out),
    };
    let of = |LeftOutPart { part, reason }| LeftOut::of_final_model(&part, reason);
    Ok(parts.into_iter().map(of).collect())
}

fn notes(plan: &Plan) -> Vec<String> {
    let mut notes = Vec::new();
    if !plan.spec.cells.is_empty() {
        notes.push("Every cell was run once with the settings shown; none was chosen by its result.".to_string());
    }
    let heads = plan.spec.cells.iter().any(|cell| cell.embedding == evaluation::EmbeddingSource::GenreHead);
    for given in &plan.spec.given {
        notes.push(format!(
            "The {} embeddings of {} movies were not computed by this run: they were given in the file {}.",
            if given.recipe.kind == ArtifactKind::VideoTable { "video" } else { "audio" },
            given.movies,
            given.file
        ));
    }
    if heads && plan.spec.given.is_empty() {
        notes.push(
            "Video and audio cells train a genre head on the raw embeddings in every fold, on movies that the protocol lets it see; its 512 numbers are \
             the embedding. The raw embeddings come from the models listed here, which are not those of the paper: published figures are shown \
             for orientation."
                .into(),
        );
    }
    notes
}

/// The paper's tables with this run's figures. `evaluation` holds the plan's cells in their order,
/// class-weighted ones included.
fn paper_tables(plan: &Plan, reading: &Reading, settings: &Settings, evaluation: &[Cell]) -> Vec<PaperTable> {
    let plain = evaluation.iter().filter(|cell| cell.decision == Decision::Plain);
    let ours: Vec<(&CellSpec, &Cell)> = plan.spec.cells.iter().zip(plain).collect();
    let find = |spec: &CellSpec| ours.iter().find(|(cell, _)| *cell == spec).map(|(_, cell)| *cell);
    let available = Available {
        dataset: &reading.dataset,
        modality: given_tables::modality_of(&plan.spec, plan.trailers.trailers.len()),
        trailers: plan.trailers.trailers.len(),
        recipes: &plan.spec.recipes,
        models: &plan.spec.models,
    };
    let place = |table: &paper_tables::Table, row: &paper_tables::Row, user: UserEmbedding| {
        let cells = available.cells(table.input, row, user, &settings.evaluate);
        let found = cells.each_ref().map(find);
        let figures = |cell: Option<&Cell>| {
            let metrics = cell?.metrics.as_ref()?;
            Some(Figures { accuracy: metrics.accuracy, macro_f1: metrics.macro_f1 })
        };
        let (mean, sd) = row.figures[UserEmbedding::ALL.iter().position(|one| *one == user).unwrap_or(0)];
        PaperRow {
            model: row.model.stored_name().to_owned(),
            gl: row.gl,
            user_embedding: user.name().to_owned(),
            published: Published {
                mean: mean / 100.0,
                sd: (sd > 0.0).then_some(sd / 100.0),
                table: table.name.to_owned(),
            },
            paper: figures(found[0]),
            strict: figures(found[1]),
            not_run: found.into_iter().flatten().find_map(|cell| cell.not_run.clone()),
        }
    };
    let table = |table: &paper_tables::Table| PaperTable {
        name: table.name.to_owned(),
        about: table.about.to_owned(),
        stand_in: available.stand_in(table.input),
        not_run: available.missing(table.input),
        distance: table.distance.to_owned(),
        rows: table.rows.iter().flat_map(|row| UserEmbedding::ALL.map(|user| place(table, row, user))).collect(),
    };
    paper_tables::TABLES.iter().map(table).collect()
}
