//! Charts of single models: learning curves, reliability, accuracy by genre and by activity, what
//! each part adds.

use jhalak_common::evaluation::PartKind;
use jhalak_common::evaluation::metrics::PartMetrics;
use serde::Serialize;

use super::number::{count, percent};
use super::{Decision, ModelFigures, Part, Report};
use crate::charts::{Chart, Dot, DotRow, Dots, Line, Lines};

/// Most curves of folds in a chart of learning.
const MAX_FOLDS: usize = 5;

/// Charts of one kind, one for each model.
#[derive(Serialize)]
pub(super) struct Shown {
    name: &'static str,
    about: &'static str,
    /// Charts as HTML.
    charts: Vec<String>,
}

/// Charts how the leading models learned and how far their probabilities can be believed.
pub(super) fn shown(report: &Report) -> Vec<Shown> {
    let of = |name, about, chart: fn(&ModelFigures) -> Option<Chart>| Shown {
        name,
        about,
        charts: report.figures.iter().filter_map(chart).map(|chart| chart.figure()).collect(),
    };
    let all = [
        of(
            "Learning",
            "Mean loss of each epoch, one curve for each fold. Where validation rises while training falls, a model \
             learns its pairs by heart.",
            learning,
        ),
        of(
            "Reliability",
            "On the dashed line a prediction is right as often as its probability claims; below it the model is too sure.",
            reliability,
        ),
    ];
    all.into_iter().filter(|shown| !shown.charts.is_empty()).collect()
}

/// Charts the accuracy of the leading models by genre and by the activity of viewers, as HTML.
pub(super) fn by_parts(report: &Report) -> Vec<String> {
    let note = "The genres with the most pairs. A movie counts in each of its genres.";
    let genres = by_part(report, "Accuracy by genre", note, |figures| &figures.genres);
    let note = "Viewers in up to three groups of equal size.";
    let activity = by_part(report, "Accuracy by how much a viewer has rated", note, |figures| &figures.activity);
    [genres, activity].into_iter().flatten().collect()
}

fn by_part(report: &Report, title: &str, note: &str, parts: fn(&ModelFigures) -> &Vec<Part>) -> Option<String> {
    /// Most models in one chart.
    const MAX_MODELS: usize = 4;
    /// Most rows of a chart; `report.json` has more.
    const MAX_PARTS: usize = 10;
    // Each model is drawn over all pairs of one column that it could be tested on.
    let column = &report.figures.iter().find(|figures| !parts(figures).is_empty())?.column;
    let of_column = report.figures.iter().filter(|figures| figures.column == *column && !parts(figures).is_empty());
    let all: Vec<&ModelFigures> = of_column.collect();
    let models: Vec<&ModelFigures> = all.iter().copied().take(MAX_MODELS).collect();
    let drawn = match all.len() > models.len() {
        true => format!(" {} of {} models are drawn; report.json has all.", models.len(), all.len()),
        false => String::new(),
    };
    let first = models.first()?;
    let rows = parts(first).iter().take(MAX_PARTS).map(|part| {
        let dot = |figures: &&ModelFigures| {
            let found = parts(figures).iter().find(|other| other.name == part.name)?;
            Some(Dot { value: found.accuracy, interval: wilson(found.accuracy, found.pairs) })
        };
        DotRow {
            name: match pairs_of(&models, parts, &part.name) {
                (least, most) if least == most => format!("{} ({} pairs)", part.name, count(most)),
                (least, most) => format!("{} ({} to {} pairs)", part.name, count(least), count(most)),
            },
            soft: false,
            dots: models.iter().map(dot).collect(),
        }
    });
    let chart = Dots {
        title: title.to_owned(),
        note: format!("{note} Under {column}. Lines: 95 % intervals for as many pairs as each model has there.{drawn}"),
        series: models.iter().map(|figures| figures.row.clone()).collect(),
        marks: vec![None; models.len()],
        rows: rows.collect(),
        format: percent,
    };
    Some(chart.chart().figure())
}

/// Returns the fewest and the most pairs that one of the models has in a part.
fn pairs_of(models: &[&ModelFigures], parts: fn(&ModelFigures) -> &Vec<Part>, name: &str) -> (u64, u64) {
    let pairs = || models.iter().filter_map(|figures| parts(figures).iter().find(|part| part.name == name));
    let (least, most) = (pairs().map(|part| part.pairs).min(), pairs().map(|part| part.pairs).max());
    (least.unwrap_or(0), most.unwrap_or(0))
}

/// Returns Wilson's 95 % interval of a share among so many independent pairs.
fn wilson(share: f64, pairs: u64) -> Option<[f64; 2]> {
    const Z: f64 = 1.96;
    if pairs == 0 {
        return None;
    }
    let n = pairs as f64;
    let centre = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    Some([(centre - half).max(0.0), (centre + half).min(1.0)])
}

fn learning(figures: &ModelFigures) -> Option<Chart> {
    let folds = || figures.learning.iter().take(MAX_FOLDS);
    let points = |losses: &[f64]| -> Vec<[f64; 2]> {
        let finite = losses.iter().enumerate().filter(|(_, loss)| loss.is_finite());
        finite.map(|(epoch, loss)| [epoch as f64 + 1.0, *loss]).collect()
    };
    let line = |name: &str, dashed, losses: &[f64]| Line {
        name: name.to_owned(),
        colour: usize::from(dashed),
        dashed,
        dotted: false,
        points: points(losses),
    };
    let training = folds().map(|fold| line("training", false, &fold.training));
    let validation = folds().map(|fold| line("validation", true, &fold.validation));
    let lines: Vec<Line> = training.chain(validation).filter(|line| line.points.len() > 1).collect();
    let best: Vec<String> = folds().map(|fold| fold.best_epoch.to_string()).collect();
    (!lines.is_empty()).then(|| {
        Lines {
            title: figures.row.clone(),
            note: format!("Weights of these epochs were tested: {}.", best.join(", ")),
            axes: ["epoch".to_owned(), "mean loss".to_owned()],
            holds: [Vec::new(), Vec::new()],
            diagonal: false,
            lines,
        }
        .chart()
    })
}

fn reliability(figures: &ModelFigures) -> Option<Chart> {
    if figures.reliability.is_empty() {
        return None;
    }
    let line = Line {
        name: String::new(),
        colour: 0,
        dashed: false,
        dotted: true,
        points: figures.reliability.iter().map(|bin| [bin.confidence, bin.accuracy]).collect(),
    };
    let mut chart = Lines {
        title: figures.row.clone(),
        note: String::new(),
        axes: ["probability of the predicted class".to_owned(), "share that was right".to_owned()],
        holds: [vec![0.0, 1.0], vec![0.0, 1.0]],
        diagonal: true,
        lines: vec![line],
    }
    .chart();
    chart.numbers.head = ["Pairs", "confidence", "right"].map(str::to_owned).to_vec();
    chart.numbers.rows = figures
        .reliability
        .iter()
        .map(|bin| vec![count(bin.pairs), percent(bin.confidence), percent(bin.accuracy)])
        .collect();
    Some(chart)
}

/// Charts the log loss of the ensemble without each group of features, the most useful group
/// first: of the run's cells that measured it, and as it was added to the report.
pub(super) fn ablation(report: &Report) -> Vec<String> {
    let plain = report.evaluation.iter().filter(|cell| cell.decision == Decision::Plain);
    let own = plain.filter_map(|cell| {
        let metrics = cell.metrics.as_ref()?;
        without_groups(&cell.row(), &cell.column(), &metrics.parts)
    });
    let added = report.measures.ablation.as_ref();
    own.chain(added.and_then(|added| without_groups(&added.row, &added.column, &added.parts))).collect()
}

fn without_groups(row: &str, column: &str, parts: &[PartMetrics]) -> Option<String> {
    let of = |kind: PartKind| parts.iter().filter(move |part| part.kind == kind);
    let all = of(PartKind::AllFeatures).next()?.log_loss.mean;
    let mut without: Vec<_> = of(PartKind::Without).collect();
    without.sort_by(|a, b| b.log_loss.mean.total_cmp(&a.log_loss.mean).then_with(|| a.name.cmp(&b.name)));
    let rows = without.iter().map(|part| DotRow {
        name: format!("without {}", part.name),
        soft: false,
        dots: vec![Some(Dot { value: part.log_loss.mean, interval: None })],
    });
    let chart = Dots {
        title: format!("What is lost without each group of features ({row}, {column})"),
        note: "Log loss of boosting; the mark is with all features. Further right: the group is missed more."
            .to_owned(),
        series: vec!["log loss".to_owned()],
        marks: vec![Some(all)],
        rows: rows.collect(),
        format: |value| format!("{value:.3}"),
    };
    Some(chart.chart().figure())
}
