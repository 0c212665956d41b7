//! The HTML page: its texts are built here, and the template only lays them out.

use jhalak_common::artifact::{ArtifactKey, ArtifactKind};
use jhalak_common::dataset::Reject;
use jhalak_common::evaluation::Calibration;
use jhalak_common::{Error, Result};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::chart::{self, Bar};
use super::comparison::{Comparison, Table};
use super::confusion;
use super::facts::{flatten, in_a_line};
use super::number::{count, counted, mean_sd, percent};
use super::paper;
use super::parts::{self, Parts};
use super::{
    Extraction, LeftOut, Model, Report, examples, gallery_page, measures_page, model_charts, operation_page, overview,
};
use crate::{charts, utc};

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
    beyond_chance: Option<String>,
    sections: Vec<Section>,
    /// The first chart as HTML, and how many models it leaves out.
    overview: Option<(String, usize)>,
    operation: operation_page::Shown,
    gallery: Option<gallery_page::Section>,
    examples: Vec<examples::Shown<'a>>,
    by_parts: Vec<String>,
    models_closely: Vec<model_charts::Shown>,
    measures: measures_page::Shown,
    has_lists: bool,
    ablation: Vec<String>,
    table: Table,
    paper: Vec<paper::Shown<'a>>,
    matrices: Vec<confusion::Group>,
    details: Vec<Detail>,
    parts: Vec<Parts>,
    labels: Vec<Bar>,
    genres: Vec<Bar>,
    other_genres: Vec<String>,
    missing: Vec<(&'static str, String)>,
    ratings_a_viewer: String,
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
    links: Vec<Link>,
    /// The option that names the store to commands, if its location holds from every folder.
    at_store: String,
    words: &'static [(&'static str, &'static str)],
}

/// A section of the page, for the list of contents.
#[derive(Serialize)]
struct Section {
    id: &'static str,
    title: &'static str,
}

/// A file of the run, relative to the page.
#[derive(Serialize)]
struct Link {
    href: String,
    name: &'static str,
    about: &'static str,
}

/// The glossary of the page.
const WORDS: &[(&str, &str)] = &[
    ("accuracy", "the share of pairs whose class (dislike, neutral, like) is predicted right"),
    ("ann", "the paper's baseline network"),
    ("balanced", "the class is chosen after weights that were fitted on inner folds for macro F1"),
    ("baseline", "a simple model that any other one should beat, such as always saying the commonest class (majority)"),
    ("classifier", "the paper's network with cross attention between viewer and movie"),
    ("embedding", "a vector that a pretrained model makes of a trailer's pictures or sound"),
    (
        "ensemble",
        "the stacked model: boosting, extra trees, logistic regression, mixed logit and a Bayesian factorisation machine, \
         weighted together",
    ),
    ("fold", "one split of the pairs into training and test"),
    (
        "genre head",
        "a small network, trained on genres, whose inner layer turns a raw embedding into the one that is used",
    ),
    (
        "GL",
        "the GenreLike score of a viewer and a movie, from 0 to 1: the share of liking (neutral counts half) in the genres \
         that they have in common",
    ),
    ("macro F1", "the mean over the classes of F1, the harmonic mean of precision and recall"),
    ("modality", "the source of a movie's description: video, audio, both, genre, metadata"),
    ("pair", "a viewer and a movie with a rating"),
    (
        "L, L+D, L+N, L+D+N",
        "the movies whose embeddings make up the viewer's: those that the viewer liked (L), disliked (D), was neutral to (N)",
    ),
];

/// One cell with all its figures.
#[derive(Serialize)]
struct Detail {
    column: String,
    row: String,
    baseline: bool,
    accuracy: String,
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
    environment.add_filter("utc", |text: &str| utc::of_text(text));
    // The file extension in the name enables escaping.
    environment.add_template("page.html", TEMPLATE).map_err(broken)?;
    environment.add_template("page.css", STYLE).map_err(broken)?;
    environment.add_template("charts.css", charts::STYLE).map_err(broken)?;
    environment.get_template("page.html").and_then(|template| template.render(Serde(Page::of(report)))).map_err(broken)
}

/// Returns the option that names the report's store, where its location holds from every folder.
fn at_store(report: &Report) -> String {
    let store = report.run.settings["store"].as_str().unwrap_or_default();
    if store.contains("://") || store.starts_with('/') { format!(" --store {store}") } else { String::new() }
}

impl<'a> Page<'a> {
    fn of(report: &'a Report) -> Page<'a> {
        let comparison = Comparison::of(report);
        let data = &report.dataset;
        let shown = data.rejects.len().min(MAX_REJECTS);
        let measures = measures_page::shown(report);
        let more = data.rejected.saturating_sub(shown as u64);
        let others = data.genres.iter().filter(|genre| !genre.in_vocabulary);
        Page {
            title: &report.title,
            report,
            tiles: tiles(report),
            headline: comparison.headline().map(|text| unbroken(&text)),
            beyond_chance: comparison.beyond_chance().map(|text| unbroken(&text)),
            overview: overview::chart(report, &comparison),
            operation: operation_page::shown(report),
            gallery: report.gallery.as_ref().map(gallery_page::section),
            examples: examples::shown(&report.examples),
            by_parts: model_charts::by_parts(report),
            models_closely: model_charts::shown(report),
            has_lists: !measures.is_empty(),
            measures,
            ablation: model_charts::ablation(report),
            table: Table::of(&comparison),
            paper: paper::shown(report),
            matrices: confusion::shown(report, &comparison, !report.paper.is_empty()),
            details: details(report),
            parts: parts::of(report),
            labels: chart::labels(report),
            genres: chart::genres(report),
            other_genres: others.map(|genre| format!("{} {}", genre.genre, count(genre.movies))).collect(),
            missing: missing(report),
            ratings_a_viewer: ratings_a_viewer(report),
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
            links: links(report),
            at_store: at_store(report),
            // Without models nothing of it is on the page.
            words: if report.evaluation.is_empty() { &[] } else { WORDS },
            sections: Vec::new(),
        }
        .with_contents()
    }

    /// Lists the sections that the template shows.
    fn with_contents(mut self) -> Self {
        let all = [
            ("glance", "At a glance", true),
            ("operation", "How the run went", true),
            ("trailers", "The trailers", self.extraction.is_some()),
            ("results", "Results by model", !self.table.is_empty()),
            ("paper", "The paper's tables", !self.paper.is_empty()),
            ("confusion", "Confusion matrices", !self.matrices.is_empty()),
            ("closer", "A closer look at the models", !(self.by_parts.is_empty() && self.models_closely.is_empty())),
            ("lists", "Lists, and new viewers", self.has_lists),
            ("examples", "Recommendations, for example", !self.examples.is_empty()),
            ("parts", "What each part adds", !(self.parts.is_empty() && self.ablation.is_empty())),
            ("protocols", "Why two protocols", !self.report.evaluation.is_empty()),
            ("data", "The data", true),
            ("repeat", "To repeat it, and to use it", true),
            ("words", "Glossary and notes", !(self.words.is_empty() && self.notes.is_empty())),
        ];
        let shown = all.into_iter().filter(|(_, _, shown)| *shown);
        self.sections = shown.map(|(id, title, _)| Section { id, title }).collect();
        self
    }
}

/// Keeps figures with their spread and unit on one line, and writes minus signs.
fn unbroken(text: &str) -> String {
    let mut text = text.replace(" ± ", "\u{a0}±\u{a0}").replace(" %", "\u{a0}%");
    for digit in '0'..='9' {
        text = text.replace(&format!(" -{digit}"), &format!(" −{digit}"));
    }
    text
}

fn tiles(report: &Report) -> Vec<(String, String)> {
    let data = &report.dataset;
    let tile =
        |number: u64, what: &str| (count(number), if number == 1 { what.to_owned() } else { format!("{what}s") });
    let mut tiles = match data.ratings {
        0 => Vec::new(),
        ratings => vec![tile(ratings, "rating"), tile(data.users, "viewer")],
    };
    tiles.push(tile(data.movies, "movie"));
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
    let facts = missing.facts().into_iter().chain([("viewer's rating", missing.ratings)]);
    facts.filter(|(_, number)| *number > 0).map(|(what, number)| (what, count(number))).collect()
}

/// Describes how ratings are spread over viewers, in up to three sentences.
fn ratings_a_viewer(report: &Report) -> String {
    let data = &report.dataset;
    let [fewest, median, most] = data.ratings_a_user;
    let mut sentences = Vec::new();
    if data.users > 0 {
        sentences.push(match fewest == most {
            true => format!("Each viewer has {}.", counted(most, "rating")),
            false => {
                format!("A viewer has {} to {} ratings, the median is {}.", count(fewest), count(most), count(median))
            }
        });
    }
    if data.users_of_one_label > 0 {
        let (viewers, ratings) =
            (counted(data.users_of_one_label, "viewer"), count(data.ratings_of_users_of_one_label));
        sentences.push(format!("{viewers} gave one class throughout ({ratings} ratings)."));
    }
    if data.users_without_ratings > 0 {
        let without = counted(data.users_without_ratings, "known viewer");
        let verb = if data.users_without_ratings == 1 { "has no rating and is" } else { "have no rating and are" };
        sentences.push(format!("{without} {verb} left out."));
    }
    sentences.join(" ")
}

/// Returns links to the files of the final model, relative to the page at `runs/RUN/report/`.
fn links(report: &Report) -> Vec<Link> {
    /// The characters that a path may hold in addition to letters and digits.
    const PLAIN: &str = "-_.~/@=";
    let folder = report.model.as_ref().and_then(|url| ArtifactKey::folder_in_url(url, ArtifactKind::Model));
    let Some(folder) = folder.filter(|folder| !folder.contains("/../")) else { return Vec::new() };
    let mut path = String::from("../../../");
    for byte in folder.bytes() {
        match byte {
            _ if byte.is_ascii_alphanumeric() || PLAIN.as_bytes().contains(&byte) => path.push(char::from(byte)),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    let file = |file: &str, name, about| Link { href: format!("{path}/{file}"), name, about };
    vec![
        file("README.md", "README.md of the model", "how the final model was made and how to load it"),
        file("model.json", "model.json", "its description for programs"),
        file("model.onnx", "model.onnx", "its network, for ONNX Runtime"),
    ]
}

fn run(report: &Report) -> Vec<(&'static str, String)> {
    let (run, data) = (&report.run, &report.dataset);
    let mut rows = vec![
        ("run", run.id.clone()),
        ("started", utc::of_text(&run.started)),
        ("ended", run.ended.as_deref().map_or_else(|| "not yet".to_owned(), utc::of_text)),
        ("program", format!("jhalak {}", run.program_version)),
        ("dataset", format!("{} ({} layout)", data.name, data.layout.name())),
        ("dataset content", data.content_hash.clone()),
    ];
    if let Some(note) = &data.note {
        rows.push(("note on the dataset", note.clone()));
    }
    rows
}
