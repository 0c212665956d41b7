//! The paper's tables with our figures under the published and the strict protocol.

use jhalak_common::evaluation::metrics::MeanSd;
use serde::{Deserialize, Serialize};

use super::chart::{Bar, Group, bar, mark_of};
use super::number::{mean_sd, percent};
use super::{Published, Report};
use crate::signed::signed;

/// One of the paper's tables, with the printed figures and ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PaperTable {
    /// `Table II`.
    pub name: String,
    /// The property that all cells share.
    pub about: String,
    /// The models that stand in for the paper's models, if any.
    pub stand_in: Option<String>,
    /// Why no cell of the table was run.
    pub not_run: Option<String>,
    /// Known reasons for the distance between the printed figures and ours.
    pub distance: String,
    /// The entries of the table.
    pub rows: Vec<PaperRow>,
}

/// One entry of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PaperRow {
    /// `classifier` or `ann`.
    pub model: String,
    /// Whether the GL-score is used.
    pub gl: bool,
    /// L, L+D, L+N or L+D+N.
    pub user_embedding: String,
    /// The printed figure.
    pub published: Published,
    /// Our figures under the published protocol.
    pub paper: Option<Figures>,
    /// Our figures under the strict protocol.
    pub strict: Option<Figures>,
    /// Why one of our figures is missing.
    pub not_run: Option<String>,
}

/// The figures of a cell that a table shows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The share of correct predictions.
    pub accuracy: MeanSd,
    /// The mean of the F1 of all classes.
    pub macro_f1: MeanSd,
}

/// A table as the page shows it.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    id: String,
    name: &'a str,
    about: &'a str,
    stand_in: Option<&'a str>,
    not_run: Option<&'a str>,
    distance: &'a str,
    /// The distance between our figures and the printed ones, in a sentence.
    measured: Option<String>,
    rows: Vec<ShownRow>,
    groups: Vec<Group>,
    several_models: bool,
}

#[derive(Serialize)]
struct ShownRow {
    model: String,
    gl: &'static str,
    user_embedding: String,
    published: String,
    paper: Option<(String, String)>,
    difference: Option<String>,
    strict: Option<(String, String)>,
    not_run: Option<String>,
}

/// The tables as the page shows them.
pub(super) fn shown(report: &Report) -> Vec<Shown<'_>> {
    report.paper.iter().enumerate().map(|(place, table)| show(report, place, table)).collect()
}

fn show<'a>(report: &Report, place: usize, table: &'a PaperTable) -> Shown<'a> {
    let several_models = table.rows.iter().any(|row| row.model != table.rows[0].model);
    Shown {
        id: format!("paper-{}", place + 1),
        name: &table.name,
        about: &table.about,
        stand_in: table.stand_in.as_deref().filter(|_| table.not_run.is_none()),
        not_run: table.not_run.as_deref(),
        distance: &table.distance,
        measured: measured(table),
        rows: table.rows.iter().map(show_row).collect(),
        groups: groups(report, table),
        several_models,
    }
}

fn show_row(row: &PaperRow) -> ShownRow {
    let figures = |of: Option<Figures>| of.map(|f| (mean_sd(f.accuracy), mean_sd(f.macro_f1)));
    ShownRow {
        model: jhalak_common::evaluation::display_name(&row.model).to_owned(),
        gl: with_gl(row.gl),
        user_embedding: row.user_embedding.clone(),
        published: published_text(row),
        paper: figures(row.paper),
        difference: row.paper.map(|ours| signed(100.0 * (ours.accuracy.mean - row.published.mean), 1)),
        strict: figures(row.strict),
        not_run: row.not_run.clone(),
    }
}

/// Formats the printed figure, with its standard deviation if printed.
fn published_text(row: &PaperRow) -> String {
    let sd = row.published.sd.map_or_else(String::new, |sd| format!(" ± {}", percent(sd)));
    percent(row.published.mean) + &sd
}

fn with_gl(gl: bool) -> &'static str {
    if gl { "with" } else { "without" }
}

/// Describes the distance between our figures under the published protocol and the printed ones.
fn measured(table: &PaperTable) -> Option<String> {
    let distances: Vec<(f64, &PaperRow)> = table
        .rows
        .iter()
        .filter_map(|row| Some((100.0 * (row.paper?.accuracy.mean - row.published.mean), row)))
        .collect();
    let mean = distances.iter().map(|(points, _)| points.abs()).sum::<f64>() / distances.len() as f64;
    // The first of equal distances.
    let mut largest = distances.first()?;
    for distance in &distances {
        if distance.0.abs() > largest.0.abs() {
            largest = distance;
        }
    }
    let (points, row) = largest;
    Some(format!(
        "Under paper ours are {mean:.1} points from the printed figures on average, at most {} ({}, {} GL).",
        signed(*points, 1),
        row.user_embedding,
        with_gl(row.gl)
    ))
}

/// A group of bars for each model with and without GL.
fn groups(report: &Report, table: &PaperTable) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for row in &table.rows {
        let (Some(_), name) = (row.paper.or(row.strict), format!("{}, {} GL", row.model, with_gl(row.gl))) else {
            continue;
        };
        let user = &row.user_embedding;
        let mut bars: Vec<Bar> = Vec::new();
        let published = MeanSd { mean: row.published.mean, sd: row.published.sd.unwrap_or(0.0) };
        let mut printed =
            bar(format!("{user} published"), "published", published, mark_of(report, super::Protocol::Paper));
        printed.value = published_text(row);
        bars.push(printed);
        for (series, protocol, figures) in
            [("paper", super::Protocol::Paper, row.paper), ("strict", super::Protocol::Strict, row.strict)]
        {
            if let Some(figures) = figures {
                bars.push(bar(format!("{user} {series}"), series, figures.accuracy, mark_of(report, protocol)));
            }
        }
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.bars.extend(bars),
            None => groups.push(Group { name, bars }),
        }
    }
    groups
}
