//! The HTML page: its texts are built here, and the template only lays them out.

use jhalak_common::dataset::Reject;
use jhalak_common::evaluation::Calibration;
use jhalak_common::{Error, Result};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::chart::{self, Accuracy, Bar};
use super::comparison::{Comparison, Table};
use super::confusion::{self, Matrix};
use super::facts::{flatten, in_a_line};
use super::number::{count, counted, mean_sd, percent};
use super::paper;
use super::parts::{self, Parts};
use super::{Extraction, LeftOut, Model, Report};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");

/// Maximum number of rejects on the page; `report.json` has all that were listed.
const MAX_REJECTS: usize = 200;

/// Everything on the page.
#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    report: &'a Report,
    /// The figures at the top, each with its caption.
    tiles: Vec<(String, String)>,
    headline: Option<String>,
    accuracy: Accuracy,
    table: Table,
    paper: Vec<paper::Shown<'a>>,
    matrices: Vec<Matrix>,
    details: Vec<Detail>,
    parts: Vec<Parts>,
    labels: Vec<Bar>,
    genres: Vec<Bar>,
    other_genres: Vec<String>,
    missing: Vec<(&'static str, String)>,
    rejected: String,
    rejects: &'a [Reject],
    rejects_more: Option<String>,
    extraction: Option<&'a Extraction>,
    left_out: &'a [LeftOut],
    run: Vec<(&'static str, String)>,
    seeds: Vec<(String, String)>,
    settings: Vec<(String, String)>,
    models: &'a [Model],
    recipes: Vec<(String, String, String)>,
    notes: &'a [String],
}

/// One cell with all its figures.
#[derive(Serialize)]
struct Detail {
    column: String,
    row: String,
    baseline: bool,
    accuracy: String,
    macro_f1: String,
    weighted_f1: String,
    recall: [String; 3],
    /// Log loss, Brier score, calibration error.
    losses: [String; 3],
    folds: String,
    tested: String,
    left_out: String,
}

/// Renders the report as one self-contained HTML page.
///
/// # Errors
/// Bug when the template does not match the structure.
pub fn render(report: &Report) -> Result<String> {
    let broken = |error: minijinja::Error| Error::bug("write the report's page").with_source(error);
    let mut environment = Environment::new();
    // An unknown name in the template is an error, not an empty string.
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("count", count);
    // The file extension in the name enables escaping.
    environment.add_template("page.html", TEMPLATE).map_err(broken)?;
    environment.add_template("page.css", STYLE).map_err(broken)?;
    environment.get_template("page.html").and_then(|template| template.render(Serde(Page::of(report)))).map_err(broken)
}

impl<'a> Page<'a> {
    fn of(report: &'a Report) -> Page<'a> {
        let comparison = Comparison::of(report);
        let data = &report.dataset;
        let shown = data.rejects.len().min(MAX_REJECTS);
        let more = data.rejected.saturating_sub(shown as u64);
        let others = data.genres.iter().filter(|genre| !genre.in_vocabulary);
        Page {
            title: &report.title,
            report,
            tiles: tiles(report),
            headline: comparison.headline(),
            accuracy: chart::accuracy(&comparison),
            table: Table::of(&comparison),
            paper: paper::shown(report),
            matrices: confusion::shown(&comparison, !report.paper.is_empty()),
            details: details(report),
            parts: parts::of(report),
            labels: chart::labels(report),
            genres: chart::genres(report),
            other_genres: others.map(|genre| format!("{} {}", genre.genre, count(genre.movies))).collect(),
            missing: missing(report),
            rejected: counted(data.rejected, "thing"),
            rejects: &data.rejects[..shown],
            rejects_more: (more > 0).then(|| count(more)),
            extraction: report.extraction.as_ref(),
            left_out: &report.left_out,
            run: run(report),
            seeds: report.run.seeds.iter().map(|(name, seed)| (name.clone(), seed.to_string())).collect(),
            settings: flatten(&report.run.settings),
            models: &report.models,
            recipes: report
                .recipes
                .iter()
                .map(|recipe| (recipe.kind.clone(), recipe.hash.clone(), in_a_line(&recipe.parameters)))
                .collect(),
            notes: &report.notes,
        }
    }
}

fn tiles(report: &Report) -> Vec<(String, String)> {
    let data = &report.dataset;
    let tile =
        |number: u64, what: &str| (count(number), if number == 1 { what.to_owned() } else { format!("{what}s") });
    let mut tiles = vec![tile(data.ratings, "rating"), tile(data.users, "viewer"), tile(data.movies, "movie")];
    match &report.extraction {
        Some(extraction) => tiles.push((
            format!("{} / {}", count(extraction.committed), count(extraction.trailers)),
            "trailers processed".to_owned(),
        )),
        None => tiles.push(tile(data.trailers, "trailer")),
    }
    tiles
}

fn details(report: &Report) -> Vec<Detail> {
    let run = report.evaluation.iter().filter_map(|cell| Some((cell, cell.metrics.as_ref()?)));
    run.map(|(cell, metrics)| {
        let calibration = metrics.calibration;
        let loss =
            |of: fn(&Calibration) -> f64| calibration.as_ref().map_or("-".to_owned(), |c| format!("{:.3}", of(c)));
        Detail {
            column: cell.column(),
            row: cell.row(),
            baseline: cell.baseline,
            accuracy: mean_sd(metrics.accuracy),
            macro_f1: mean_sd(metrics.macro_f1),
            weighted_f1: mean_sd(metrics.weighted_f1),
            recall: [metrics.recall.dislike, metrics.recall.neutral, metrics.recall.like].map(percent),
            folds: metrics.folds.len().to_string(),
            losses: [loss(|c| c.log_loss.mean), loss(|c| c.brier.mean), loss(|c| c.ece)],
            tested: count(metrics.tested_pairs() as u64),
            left_out: count(metrics.left_out_pairs() as u64),
        }
    })
    .collect()
}

fn missing(report: &Report) -> Vec<(&'static str, String)> {
    let missing = &report.dataset.missing;
    [
        ("genre", missing.genre),
        ("genre of the vocabulary", missing.vocabulary_genre),
        ("year", missing.year),
        ("description", missing.description),
        ("language", missing.language),
        ("public rating", missing.rating),
        ("director", missing.director),
        ("writer", missing.writer),
        ("cast", missing.cast),
        ("trailer", missing.trailer),
        ("viewer's rating", missing.ratings),
    ]
    .map(|(what, number)| (what, count(number)))
    .to_vec()
}

fn run(report: &Report) -> Vec<(&'static str, String)> {
    let (run, data) = (&report.run, &report.dataset);
    let mut rows = vec![
        ("run", run.id.clone()),
        ("started", run.started.clone()),
        ("ended", run.ended.clone().unwrap_or_else(|| "not yet".to_owned())),
        ("program", format!("jhalak {}", run.program_version)),
        ("dataset", format!("{} ({} layout)", data.name, data.layout.name())),
        ("dataset content", data.content_hash.clone()),
    ];
    if let Some(note) = &data.note {
        rows.push(("note on the dataset", note.clone()));
    }
    rows
}
