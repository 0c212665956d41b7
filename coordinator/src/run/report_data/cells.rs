//! The cells of a run with their figures, and how the models of a column compare over the same
//! pairs.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::{self, ArtifactKey};
use jhalak_common::dataset::Reading;
use jhalak_common::evaluation::{CellSpec, FoldResult, metrics, paired};
use jhalak_common::run::job::{CellTask, Job, QuarantineRecord, Task};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result, evaluation};

use super::{figures, predictions};
use crate::artifacts::MAX_CONCURRENT_REQUESTS;
use crate::plan::Plan;
use crate::report::{self, Cell, Compared, Decision, ModelFigures, Versus};
use crate::run::stages::Summary;
use crate::run::tasks::CellTasks;

/// Returns the cells with their results, whose predictions it stores, and the figures of those that
/// lead their modality.
pub(super) async fn cells(
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
        for (place, folds) in kept.iter().enumerate() {
            let of = metrics::summarise(folds);
            cells[run[place]].compared = Some(Compared {
                pairs: common.len() as u64,
                tests: Some(of.tested_pairs() as u64),
                accuracy: of.accuracy,
                interval: paired::accuracy(judged(folds, place), seed),
                macro_f1: of.macro_f1,
                calibration: of.calibration,
                versus: None,
            });
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
    use jhalak_common::evaluation::UserEmbedding;
    use serde_json::json;

    use crate::plan::testing::plan;
    use crate::report::Report;
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
                "80.0 % (over 50 pairs). The baseline is majority: 100.0 %; the model is behind by 20.0 points (95 % interval \
                 −20.0 to −20.0 points over draws of 10 viewers)"
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
