//! Builds the report of a run from its plan, its dataset and the results in the store.

#[cfg(feature = "local")]
mod examples;
mod figures;
pub mod pictures;
mod predictions;

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, Subject};
use jhalak_common::dataset::Reading;
use jhalak_common::evaluation::{CellSpec, FoldResult, UserEmbedding, metrics, paired};
use jhalak_common::run::Stage;
use jhalak_common::run::job::{CellTask, Job, QuarantineRecord, Task};
use jhalak_common::settings::{Grid, Images, Settings};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result, evaluation};
use serde_json::json;

use crate::artifacts::MAX_CONCURRENT_REQUESTS;
use crate::plan::given_tables;
use crate::plan::paper_tables::{self, Available};
use crate::plan::{Plan, grid};
use crate::report::{
    self, Cell, Compared, Decision, Extraction, FailedJob, Figures, LeftOut, Model, ModelFigures, Operation, PaperRow,
    PaperTable, Published, Quarantined, Recipe, Report, Run, Seconds, SlowTrailer, Versus,
};
use crate::run::stages::Summary;
use crate::run::tasks::CellTasks;
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
    let (evaluation, figures) = cells(store, plan, reading, summary).await?;
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
        left_out: left_out(plan, reading),
        operation: Some(operation(plan, reading, summary, timings)),
        gallery,
        figures,
        evaluation,
        paper,
        examples,
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
    let in_plan: BTreeSet<&Subject> = plan.trailers.trailers.iter().map(|trailer| &trailer.subject).collect();
    let quarantined: Vec<Quarantined> = summary
        .quarantined
        .iter()
        .filter_map(|record| match record.decode_job()?.task {
            Task::Extract(task) if in_plan.contains(&task.trailer.subject) => Some(Quarantined {
                movie: task.trailer.subject.id,
                trailer: task.trailer.key,
                reason: record.reason.clone(),
            }),
            _ => None,
        })
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
    let mut steps: Vec<Seconds> = timings.steps.into_iter().map(named).collect();
    steps.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then_with(|| a.name.cmp(&b.name)));
    let title = |id: &str| {
        let movie = reading.dataset.movies.iter().find(|movie| movie.id == id);
        movie.map_or(id, |movie| movie.name.as_str()).to_owned()
    };
    let slow = |(movie, steps): (String, BTreeMap<String, f64>)| SlowTrailer {
        title: title(&movie),
        movie,
        seconds: steps.values().sum(),
        longest_step: steps.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(step, _)| step).unwrap_or_default(),
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

fn left_out(plan: &Plan, reading: &Reading) -> Vec<LeftOut> {
    let modality = given_tables::modality_of(&plan.spec, plan.trailers.trailers.len());
    let of = |(modality, reason): (&str, &str)| LeftOut { modality: modality.into(), reason: reason.into() };
    let ensemble = grid::why_no_ensemble(&plan.spec, reading.dataset.ratings.len());
    let ensemble = ensemble.map(|reason| LeftOut { modality: evaluation::Model::Ensemble.name().into(), reason });
    grid::left_out(&reading.dataset, modality).into_iter().map(of).chain(ensemble).collect()
}

fn notes(plan: &Plan) -> Vec<String> {
    let mut notes = vec!["Every cell was run once with the settings shown; none was chosen by its result.".to_string()];
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

/// Returns the cells with their results, whose predictions it stores, and the figures of those that
/// lead their modality.
async fn cells(
    store: &dyn ObjectStore,
    plan: &Plan,
    reading: &Reading,
    summary: &Summary,
) -> Result<(Vec<Cell>, Vec<ModelFigures>)> {
    let CellTasks { tasks, left_out } = &summary.cells;
    let results = stream::iter(tasks).map(|task| result(store, task)).buffered(MAX_CONCURRENT_REQUESTS);
    let results: Vec<Option<FoldResult>> = results.try_collect().await?;
    let mut cells = Vec::new();
    let mut predicted: Vec<Vec<FoldResult>> = Vec::new();
    for (number, spec) in plan.spec.cells.iter().enumerate() {
        let mut cell = Cell::of(spec);
        let folds: Vec<FoldResult> = tasks
            .iter()
            .zip(&results)
            .filter(|(task, _)| task.cell == *spec)
            .filter_map(|(_, result)| result.clone())
            .collect();
        if let Some(reason) = left_out.get(&spec.name()) {
            cell.not_run = Some(reason.clone());
        } else if folds.len() < spec.folds {
            let quarantined = summary.quarantined.iter().find(|record| is_of_cell(record, spec));
            let reason =
                quarantined.map_or_else(|| "no result is committed".to_string(), |record| record.reason.clone());
            cell.not_run =
                Some(format!("{} of {} folds have no result: {reason}", spec.folds - folds.len(), spec.folds));
        } else {
            cell.metrics = Some(metrics::summarise(&folds));
            cell.predictions = Some(predictions::put(store, plan, &reading.dataset, number, &folds).await?);
        }
        let balanced: Vec<FoldResult> = folds.iter().filter_map(metrics::balanced).collect();
        let balanced_cell =
            (!balanced.is_empty() && balanced.len() == folds.len() && cell.metrics.is_some()).then(|| Cell {
                decision: Decision::Balanced,
                metrics: Some(metrics::summarise(&balanced)),
                ..cell.clone()
            });
        cells.push(cell);
        predicted.push(folds);
        cells.extend(balanced_cell.inspect(|_| predicted.push(balanced)));
    }
    compare(&mut cells, &predicted, plan.spec.cells.first().map_or(0, |spec| spec.seed));
    let leading = report::leading(&cells);
    let figures = leading.into_iter().map(|place| {
        let cell = &cells[place];
        figures::figures(cell.column(), cell.row(), &predicted[place], &reading.dataset)
    });
    let figures = figures.collect();
    Ok((cells, figures))
}

/// Adds the figures over the pairs that every model of a column was tested on, and the difference
/// from the most accurate baseline there.
fn compare(cells: &mut [Cell], predicted: &[Vec<FoldResult>], seed: u64) {
    let columns: BTreeSet<String> = cells.iter().map(Cell::column).collect();
    for column in columns {
        let run: Vec<usize> =
            (0..cells.len()).filter(|&i| cells[i].column() == column && cells[i].metrics.is_some()).collect();
        let common = run.iter().map(|&i| paired::tested_pairs(&predicted[i])).reduce(|a, b| &a & &b);
        let Some(common) = common.filter(|common| !common.is_empty()) else { continue };
        let is_balanced: Vec<bool> = run.iter().map(|&i| cells[i].decision == Decision::Balanced).collect();
        let judged = |folds, place: usize| paired::Judged { folds, balanced: is_balanced[place] };
        let kept: Vec<Vec<FoldResult>> =
            (0..run.len()).map(|place| paired::on_pairs(judged(&predicted[run[place]], place), &common)).collect();
        for (&i, folds) in run.iter().zip(&kept) {
            let metrics::CellMetrics { accuracy, macro_f1, calibration, .. } = metrics::summarise(folds);
            let pairs = common.len() as u64;
            let interval = figures::interval(folds, cells[i].decision == Decision::Balanced, seed);
            cells[i].compared = Some(Compared { pairs, accuracy, interval, macro_f1, calibration, versus: None });
        }
        let accuracy = |i: usize| cells[i].compared.as_ref().map_or(0.0, |compared| compared.accuracy.mean);
        // The first of equally accurate baselines, as in the table.
        let best = (0..run.len())
            .filter(|&place| cells[run[place]].baseline)
            .reduce(|best, other| if accuracy(run[other]) > accuracy(run[best]) { other } else { best });
        let Some(best) = best else { continue };
        let baseline = cells[run[best]].row();
        for place in (0..run.len()).filter(|&place| place != best) {
            let difference = paired::difference(judged(&kept[place], place), judged(&kept[best], best), seed);
            let versus = difference.map(|difference| Versus { baseline: baseline.clone(), difference });
            if let Some(compared) = &mut cells[run[place]].compared {
                compared.versus = versus;
            }
        }
    }
}

/// Whether the quarantined job is a fold of this cell. The message decides: names are for people,
/// and those in records of older programs may differ.
fn is_of_cell(record: &QuarantineRecord, spec: &CellSpec) -> bool {
    matches!(record.decode_job(), Some(Job { task: Task::Cell(task), .. }) if task.cell == *spec)
}

async fn result(store: &dyn ObjectStore, task: &CellTask) -> Result<Option<FoldResult>> {
    let key = ArtifactKey::new(&task.recipe, &task.dataset);
    let Some(record) = artifact::committed(store, &key).await? else { return Ok(None) };
    let bytes = artifact::read_file(store, &record, evaluation::RESULT_FILE).await?;
    serde_json::from_slice(&bytes).map(Some).map_err(|e| {
        Error::invalid(format!("the result {} is damaged: delete its folder and repeat the run", key.folder()))
            .with_source(e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::plan;
    use crate::run::testing::record;
    use crate::run::{jobs::Jobs, tasks};
    use jhalak_common::dataset::Label;

    /// A model that is right on the pairs of which `right` is true, over two folds of `pairs`.
    fn judged(
        model: evaluation::Model,
        pairs: std::ops::Range<u32>,
        right: fn(u32) -> bool,
    ) -> (Cell, Vec<FoldResult>) {
        let user = UserEmbedding::Liked;
        let split = evaluation::Split::Pairs;
        let spec = CellSpec::strict(split, evaluation::Modality::Audio, model, user, true);
        let one = |pair: u32| evaluation::Prediction {
            user: pair / 5,
            movie: pair % 5,
            actual: Label::Like,
            probabilities: if right(pair) { [0.1, 0.2, 0.7] } else { [0.7, 0.2, 0.1] },
        };
        let fold = |fold: u32| {
            let all = FoldResult {
                fold: fold as usize,
                predictions: pairs.clone().filter(|pair| pair % 2 == fold).map(one).collect(),
                left_out_pairs: 7,
                ..FoldResult::default()
            };
            let tested = paired::tested_pairs(std::slice::from_ref(&all));
            paired::on_pairs([all].as_slice().into(), &tested).remove(0)
        };
        let folds = vec![fold(0), fold(1)];
        let cell = Cell { metrics: Some(metrics::summarise(&folds)), ..Cell::of(&spec) };
        (cell, folds)
    }

    #[test]
    fn models_are_compared_on_the_pairs_that_all_were_tested_on() {
        // Over its own 200 pairs the baseline is worse than over the 50 that the model has too.
        let baseline = judged(evaluation::Model::Majority, 0..200, |pair| pair < 50 || pair % 4 == 0);
        let model = judged(evaluation::Model::Classifier { heads: 4 }, 0..50, |pair| pair % 5 != 0);
        let (mut cells, predicted): (Vec<Cell>, Vec<_>) = [baseline, model].into_iter().unzip();
        let own: Vec<f64> = cells.iter().filter_map(|cell| Some(cell.metrics.as_ref()?.accuracy.mean)).collect();
        assert!(own[0] < own[1], "over unequal pairs the order is the other way round");
        compare(&mut cells, &predicted, 1);
        let compared: Vec<&Compared> = cells.iter().filter_map(|cell| cell.compared.as_ref()).collect();
        assert_eq!((compared[0].pairs, compared[1].pairs), (50, 50));
        assert_eq!((compared[0].accuracy.mean, compared[1].accuracy.mean), (1.0, 0.8));
        let versus = compared[1].versus.as_ref().expect("there is a baseline");
        assert_eq!((versus.baseline.as_str(), versus.difference.pairs, versus.difference.users), ("majority", 50, 10));
        assert!(compared[0].versus.is_none());
        assert_eq!(cells[0].metrics.as_ref().expect("it was run").left_out_pairs(), 7, "not 14");
        let report = Report { evaluation: cells, ..crate::report::example::report() };
        let told = report::summary(&report);
        assert!(told.contains("strict, 50 pairs"), "{told}");
        assert!(
            told.contains(
                "over all 50 pairs of 10 viewers, the model is behind by 20.0 points (95 % interval -20.0 to -20.0)"
            ),
            "{told}"
        );
    }

    #[test]
    fn models_without_a_common_pair_are_not_compared() {
        let baseline = judged(evaluation::Model::Majority, 0..50, |_| true);
        let model = judged(evaluation::Model::Classifier { heads: 4 }, 50..100, |_| true);
        let (mut cells, predicted): (Vec<Cell>, Vec<_>) = [baseline, model].into_iter().unzip();
        compare(&mut cells, &predicted, 1);
        assert!(cells.iter().all(|cell| cell.compared.is_none()));
        let told = report::summary(&Report { evaluation: cells, ..crate::report::example::report() });
        assert!(
            told.contains("strict, different pairs") && told.contains("their figures may not be compared"),
            "{told}"
        );
    }

    #[test]
    fn a_quarantined_fold_belongs_to_its_cell_whatever_its_record_calls_it() {
        let plan = plan(0);
        let cells = tasks::cell_tasks(&plan, &[]).expect("a plan").tasks;
        let spec = cells[0].cell.clone();
        let job = Jobs::training(&plan, "file:///store".into(), None, vec![cells[0].clone()]).build(0);
        let record = QuarantineRecord { about: "a name of an older program".to_owned(), ..record(&job) };
        assert!(is_of_cell(&record, &spec));
        let other = CellSpec { seed: spec.seed + 1, ..spec.clone() };
        assert!(!is_of_cell(&record, &other));
        assert!(!is_of_cell(&QuarantineRecord { message: json!("no job"), ..record }, &spec));
    }
}
