//! Bar charts. Each bar is a small SVG of variable width; its text is HTML, so that it keeps its
//! size on a phone.

use jhalak_common::evaluation::metrics::MeanSd;
use serde::Serialize;

use super::number::{count, mean_sd, percent, share};
use super::{Protocol, Report};

/// A bar from 0 to 100.
#[derive(Serialize)]
pub(super) struct Bar {
    label: String,
    /// The value of the bar as text.
    pub value: String,
    /// The name of the colour: `published`, `paper`, `strict` or `plain`.
    series: &'static str,
    /// The length in percent.
    length: String,
    /// One standard deviation to either side, in percent of the full length.
    spread: Option<(String, String)>,
    /// A mark across the bar: the accuracy of the majority baseline.
    mark: Option<String>,
}

/// The bars of one model.
#[derive(Serialize)]
pub(super) struct Group {
    /// The model.
    pub name: String,
    /// The bars, in order.
    pub bars: Vec<Bar>,
}

/// The bar of an accuracy.
pub(super) fn bar(label: String, series: &'static str, accuracy: MeanSd, mark: Option<f64>) -> Bar {
    let spread =
        (accuracy.sd > 0.0).then(|| (length(accuracy.mean - accuracy.sd), length(accuracy.mean + accuracy.sd)));
    Bar { label, value: mean_sd(accuracy), series, length: length(accuracy.mean), spread, mark: mark.map(length) }
}

/// Returns the accuracy of the majority baseline under this protocol with random pairs.
pub(super) fn mark_of(report: &Report, protocol: Protocol) -> Option<f64> {
    let majority = report
        .evaluation
        .iter()
        .find(|cell| cell.model == "majority" && cell.protocol == protocol && cell.split == super::Split::Pairs)?;
    majority.accuracy().map(|accuracy| accuracy.mean)
}

fn length(share: f64) -> String {
    format!("{:.2}", 100.0 * if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 })
}

/// Charts the share of each class among the ratings.
pub(super) fn labels(report: &Report) -> Vec<Bar> {
    let labels = &report.dataset.labels;
    let all = report.dataset.ratings;
    [("dislike", labels.dislike), ("neutral", labels.neutral), ("like", labels.like)]
        .into_iter()
        .map(|(label, number)| Bar {
            label: label.to_owned(),
            value: format!("{} ({} %)", count(number), percent(share(number, all))),
            series: "plain",
            length: length(share(number, all)),
            spread: None,
            mark: None,
        })
        .collect()
}

/// Charts the number of movies of each genre; the longest bar is the most frequent genre.
pub(super) fn genres(report: &Report) -> Vec<Bar> {
    let mut inside: Vec<_> = report.dataset.genres.iter().filter(|genre| genre.in_vocabulary).collect();
    inside.sort_by(|a, b| b.movies.cmp(&a.movies).then_with(|| a.genre.cmp(&b.genre)));
    let most = inside.first().map_or(0, |genre| genre.movies);
    inside
        .into_iter()
        .map(|genre| Bar {
            label: genre.genre.clone(),
            value: count(genre.movies),
            series: "plain",
            length: length(share(genre.movies, most)),
            spread: None,
            mark: None,
        })
        .collect()
}
