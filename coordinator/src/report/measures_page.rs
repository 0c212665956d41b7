//! The added measures as the page shows them: rankers, new viewers, and what is missing.

use jhalak_common::evaluation::display_name;
use jhalak_common::settings::Measure;
use serde::Serialize;

use super::number::{count, counted, mean_sd, percent};
use super::{Ranked, Ranking, Report};
use crate::charts::{Dot, DotRow, Dots, Line, Lines};

/// The section of the added measures.
#[derive(Serialize)]
pub(super) struct Shown {
    ranking: Option<RankingShown>,
    cold_start: Option<ColdStartShown>,
    /// Measures that cannot be computed, with the reason.
    not_computed: Vec<(String, String)>,
    /// The names of the measures that can be added.
    to_add: Vec<&'static str>,
}

#[derive(Serialize)]
struct RankingShown {
    about: String,
    chart: String,
    rows: Vec<Vec<String>>,
}

#[derive(Serialize)]
struct ColdStartShown {
    about: String,
    chart: String,
    /// Known ratings, then the accuracy and macro F1 of each model.
    rows: Vec<Vec<String>>,
    models: Vec<String>,
}

impl Shown {
    /// Whether the page has a section of them.
    pub(super) fn is_empty(&self) -> bool {
        self.ranking.is_none() && self.cold_start.is_none() && self.not_computed.is_empty() && self.to_add.is_empty()
    }
}

/// Returns nothing of a report without an evaluation.
pub(super) fn shown(report: &Report) -> Shown {
    let measures = &report.measures;
    let evaluated = !report.evaluation.is_empty();
    let to_add = Measure::ALL.into_iter().filter(|measure| evaluated && !measures.is_settled(*measure));
    Shown {
        ranking: measures.ranking.as_ref().map(ranking),
        cold_start: cold_start(report),
        not_computed: measures.not_computed.iter().map(|(name, why)| (name.clone(), why.clone())).collect(),
        to_add: to_add.map(Measure::name).collect(),
    }
}

fn ranking(ranking: &Ranking) -> RankingShown {
    /// Standard errors on each side of a mean for a 95 % interval.
    const Z: f64 = 1.96;
    let interval = |one: &Ranked| [(one.ndcg - Z * one.ndcg_error).max(0.0), (one.ndcg + Z * one.ndcg_error).min(1.0)];
    let dots = Dots {
        title: format!("NDCG of the first {}", ranking.k),
        note: "From 0 to 1, the best ranker first. Lines: 95 % intervals over viewers.".to_owned(),
        series: vec!["NDCG".to_owned()],
        marks: vec![None],
        rows: ranking
            .rankers
            .iter()
            .map(|one| DotRow {
                name: one.ranker.clone(),
                soft: one.ranker == "most-rated",
                dots: vec![Some(Dot { value: one.ndcg, interval: Some(interval(one)) })],
            })
            .collect(),
        format: |value| format!("{value:.3}"),
    };
    let row = |one: &Ranked| {
        let figures = [one.ndcg, one.recall, one.map, one.hit_rate, one.auc].map(|value| format!("{value:.3}"));
        let mut row = vec![one.ranker.clone(), orders_by(&one.ranker).to_owned()];
        row.extend(figures);
        row.push(percent(one.coverage));
        row
    };
    let whole = match ranking.whole_lists {
        none if none <= 0.0 => String::new(),
        share => format!(
            " {} % of the lists hold every movie that is left: their recall and hit rate are 1 for any ranker. NDCG, MAP and \
             AUC compare rankers here.",
            percent(share)
        ),
    };
    RankingShown {
        about: format!(
            "The other figures are about movies that are named. These are about lists: of all movies that a viewer has not \
             rated in training, which does a ranker put first? A hit is a movie that the viewer likes in the held-out pairs. \
             Lists of {}, for {} with a held-out like; {} held out in {} of random pairs.{whole}",
            ranking.k,
            counted(ranking.users as u64, "viewer"),
            counted(ranking.test_pairs as u64, "pair"),
            counted(ranking.folds as u64, "fold"),
        ),
        chart: dots.chart().figure(),
        rows: ranking.rankers.iter().map(row).collect(),
    }
}

/// What a ranker orders movies by.
fn orders_by(ranker: &str) -> &'static str {
    match ranker {
        "most-rated" => "number of ratings, the same list for everybody",
        "ease" => "weights between movies, learned from likes",
        "recent" => "weights between movies, learned from all ratings, recent ones most",
        "watch" => "as recent, blended with the probability of like",
        "bias" => "the bias model's probability of like",
        _ => "",
    }
}

fn cold_start(report: &Report) -> Option<ColdStartShown> {
    let found = report.measures.cold_start.as_ref()?;
    let name = |model: &str| display_name(model).to_owned();
    let lines = found.curves.iter().enumerate().map(|(place, curve)| Line {
        name: name(&curve.model),
        colour: found.curves.len() - 1 - place,
        dashed: curve.model == "majority",
        dotted: true,
        points: curve.points.iter().map(|point| [point.known as f64, 100.0 * point.accuracy.mean]).collect(),
    });
    let mut chart = Lines {
        title: "Accuracy by known ratings".to_owned(),
        note: "Means over the folds.".to_owned(),
        axes: ["ratings of a new viewer in training".to_owned(), "accuracy in percent".to_owned()],
        holds: [Vec::new(), Vec::new()],
        diagonal: false,
        lines: lines.collect(),
    }
    .chart();
    // The table next to the chart has them.
    chart.numbers.is_printed = false;
    let known = found.curves.first().map(|curve| &curve.points)?;
    let rows = known.iter().enumerate().map(|(place, point)| {
        let mut row = vec![point.known.to_string()];
        for curve in &found.curves {
            let at = curve.points.get(place);
            let of = |figure: Option<String>| figure.unwrap_or_else(|| "–".to_owned());
            row.push(of(at.map(|point| mean_sd(point.accuracy))));
            row.push(of(at.map(|point| mean_sd(point.macro_f1))));
        }
        row
    });
    Some(ColdStartShown {
        about: format!(
            "Each fold holds out whole viewers and gives training only so many of their ratings. All points are of the same \
             {} pairs, in percent.",
            count(found.test_pairs as u64)
        ),
        chart: chart.figure(),
        rows: rows.collect(),
        models: found.curves.iter().map(|curve| name(&curve.model)).collect(),
    })
}
