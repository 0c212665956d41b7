//! What the page and the terminal text promise.

use jhalak_common::ErrorKind;
use jhalak_common::dataset::Reject;
use jhalak_common::evaluation::metrics::{MeanSd, PartMetrics};
use jhalak_common::evaluation::{CellSpec, Modality, Model, PartKind, Split, UserEmbedding};

use super::example::{cell, report};
use super::{
    Cell, Decision, Extraction, LeftOut, Model as ModelFacts, Quarantined, Recipe, Report, VERSION, render, summary,
};

const CLASSIFIER: Model = Model::Classifier { heads: 4 };

/// What closes an element, an attribute or a comment, and what a terminal would obey.
const HOSTILE: &str =
    "</td></style><script>alert(1)</script>\"'><img src=x onerror=y>&{{ 7*7 }}{% raw %}\u{1b}[2J\u{202E}";

fn page(report: &Report) -> String {
    render(report).expect("the template fits the structure")
}

/// The report with this text wherever a dataset, a file name or a service could put one.
fn with_everywhere(text: &str) -> Report {
    let text = || text.to_owned();
    let mut report = report();
    report.title = text();
    report.run.id = text();
    report.run.started = text();
    report.run.ended = Some(text());
    report.run.program_version = text();
    report.run.settings = serde_json::json!({ text(): { text(): text() }, "list": [text()] });
    report.run.seeds.insert(text(), 3);
    let data = &mut report.dataset;
    (data.name, data.note, data.content_hash) = (text(), Some(text()), text());
    data.genres.iter_mut().for_each(|genre| genre.genre = text());
    data.rejects = vec![Reject { file: text(), line: None, subject: text(), reason: text() }];
    let (sha256, hash) = (text(), text());
    report.models = vec![ModelFacts { name: text(), role: text(), source: text(), sha256, licence: text() }];
    report.recipes = vec![Recipe { kind: text(), hash, parameters: serde_json::json!({ text(): text() }) }];
    let quarantined = vec![Quarantined { movie: text(), trailer: text(), reason: text() }];
    report.extraction = Some(Extraction { quarantined, without_sound: vec![text()], ..Extraction::default() });
    report.left_out = vec![LeftOut { modality: text(), reason: text() }];
    for cell in &mut report.evaluation {
        (cell.model, cell.modality, cell.user_embedding) = (text(), Some(text()), Some(text()));
        cell.not_run = Some(text());
        cell.published = Some(super::Published { mean: 0.5, sd: None, table: text() });
    }
    for table in &mut report.paper {
        (table.name, table.about, table.distance) = (text(), text(), text());
        (table.stand_in, table.not_run) = (Some(text()), Some(text()));
        for row in &mut table.rows {
            (row.model, row.user_embedding, row.not_run) = (text(), text(), Some(text()));
        }
    }
    report.model = Some(text());
    report.notes = vec![text()];
    report
}

#[test]
fn whatever_a_dataset_says_is_escaped() {
    let quiet = page(&with_everywhere("quiet"));
    let loud = page(&with_everywhere(HOSTILE));
    for part in ["<script", "<img", "onerror=y>", "</style><", "{{ 49", "&{{"] {
        assert!(!loud.contains(part), "{part} came through");
    }
    // The same elements and attributes whatever the text: nothing broke out of its place.
    let marks = |page: &str| [page.matches('<').count(), page.matches('>').count(), page.matches('"').count()];
    assert_eq!(marks(&quiet), marks(&loud));
    assert_eq!(loud.matches("&lt;script&gt;").count(), quiet.matches("quiet").count());
    let text = summary(&with_everywhere(HOSTILE));
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202E}'), "{text:?}");
}

#[test]
fn the_page_needs_nothing_beside_itself() {
    let page = page(&report());
    assert!(page.contains("Content-Security-Policy") && page.contains("default-src 'none'"));
    for part in ["<script", "<link", "src=", "url(", "@import", "http://", "https://"] {
        assert!(!page.contains(part), "{part} is in the page");
    }
    let ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(ids.iter().enumerate().all(|(place, id)| !ids[..place].contains(id)), "an id occurs twice: {ids:?}");
    for target in page.split("href=\"#").skip(1).chain(page.split("labelledby=\"").skip(1)) {
        let target = target.split('"').next().unwrap_or_default();
        assert!(ids.contains(&target), "nothing has the id {target}");
    }
}

#[test]
fn the_same_report_gives_the_same_page() {
    assert_eq!(page(&report()), page(&report()));
}

#[test]
fn a_synthetic_dataset_says_so_on_the_page_and_on_the_terminal_and_a_real_one_does_not() {
    let mut report = report();
    assert!(page(&report).contains("Synthetic feedback") && summary(&report).contains("SYNTHETIC"));
    report.dataset.synthetic = false;
    assert!(!page(&report).contains("Synthetic feedback") && !summary(&report).contains("SYNTHETIC"));
}

#[test]
fn a_cell_that_was_not_run_shows_its_reason() {
    let report = report();
    let text = page(&report);
    assert!(text.contains("<a href=\"#reason-1\">not run<sup>1</sup></a>"));
    assert!(text.contains("<li id=\"reason-1\">two of the trailers have no sound</li>"));
    assert!(text.contains("<li>metadata: not asked for</li>"));
    assert!(summary(&report).contains("not run: two of the trailers have no sound"));

    let mut silent = report;
    silent.evaluation.iter_mut().for_each(|cell| (cell.metrics, cell.not_run) = (None, None));
    assert!(page(&silent).contains("<li id=\"reason-1\">no result was recorded</li>"));
    assert!(!page(&silent).contains("reason-2"), "one reason is listed once");
}

#[test]
fn a_report_of_nothing_is_still_a_page() {
    let mut report = report();
    report.evaluation.clear();
    report.extraction = None;
    report.dataset = jhalak_common::dataset::Description {
        genres: Vec::new(),
        rejects: Vec::new(),
        rejected: 0,
        ratings: 0,
        labels: Default::default(),
        ..report.dataset
    };
    let text = page(&report);
    assert!(text.contains("Nothing was evaluated") && text.contains("The dataset has no trailers"));
    assert!(!text.contains("NaN"));
    assert!(summary(&report).contains("nothing was evaluated"));
}

#[test]
fn confusion_matrices_have_the_right_names_and_row_percentages() {
    let mut report = report();
    let spec = CellSpec::strict(Split::Pairs, Modality::Genre, CLASSIFIER, UserEmbedding::Liked, true);
    report.evaluation = vec![cell(&spec, [[1, 0, 0], [0, 0, 0], [10, 0, 30]])];
    let text = page(&report);
    let matrix = text.split("<table class=\"confusion\">").nth(1).and_then(|rest| rest.split("</table>").next());
    let rows: Vec<&str> = matrix.expect("a matrix is shown").split("<tr>").skip(3).collect();
    assert_eq!(rows.len(), 3);
    for (row, name) in rows.iter().zip(["dislike", "neutral", "like"]) {
        assert!(row.starts_with(&format!("<th scope=\"row\">{name}</th>")), "{row}");
    }
    // Three folds of 30, 31 and 33 likes found, and 10, 10 and 11 taken for dislikes.
    assert!(rows[2].contains("94<small>75.2 %</small>") && rows[2].contains("31<small>24.8 %</small>"), "{}", rows[2]);
    assert!(rows[2].contains("<td class=\"right\" style=\"--share:0.75\">"), "{}", rows[2]);
    assert!(rows[1].contains("0<small>–</small>"), "an empty class has no percentages: {}", rows[1]);
}

#[test]
fn paper_strict_and_published_stand_side_by_side() {
    let mut report = report();
    let (paper, strict) = (
        CellSpec::published(Modality::Genre, CLASSIFIER, UserEmbedding::Liked, true),
        CellSpec::strict(Split::Pairs, Modality::Genre, CLASSIFIER, UserEmbedding::Liked, true),
    );
    let majority = CellSpec::strict(Split::Pairs, Modality::Genre, Model::Majority, UserEmbedding::Liked, true);
    report.evaluation = vec![
        cell(&paper, [[8, 1, 1], [1, 8, 1], [1, 1, 8]]),
        cell(&strict, [[4, 3, 3], [3, 4, 3], [3, 3, 4]]),
        cell(&majority, [[0, 10, 0], [0, 10, 0], [0, 10, 0]]),
    ];
    let text = page(&report);
    let row = text
        .split("<th scope=\"row\">classifier, genre, L, with GL</th>")
        .nth(1)
        .and_then(|rest| rest.split("</tr>").next());
    let row = row.expect("the row is there");
    let places: Vec<usize> =
        ["51.0<small>Figure 7", "80.0 ± 0.0", "40.0 ± 0.0"].map(|part| row.find(part).expect(part)).to_vec();
    assert!(places.is_sorted(), "{row}");
    assert!(text.contains("the model is classifier, genre, L, with GL: 40.0 ± 0.0 %. The baseline is majority: 33.3 ± 0.0 %; the model is ahead by 6.7 points."));
    let text = summary(&report);
    let line = text.lines().find(|line| line.contains("classifier, genre")).expect("the row is there");
    assert_eq!(line.split_whitespace().skip(5).collect::<Vec<_>>(), ["51.0", "80.0", "/", "80.0", "40.0", "/", "40.0"]);
    assert!(text.contains("the model is ahead by 6.7 points"), "{text}");
}

#[test]
fn gain_of_each_part_is_listed_once_with_the_number_of_settings_tried() {
    let mut report = report();
    assert!(!page(&report).contains("What each part adds"), "no model here has parts");
    let spec = CellSpec::strict(Split::Movies, Modality::Genre, Model::Ensemble, UserEmbedding::Liked, true);
    let part = |kind, name: &str, weight| PartMetrics {
        kind,
        name: name.to_owned(),
        accuracy: MeanSd { mean: 0.7, sd: 0.01 },
        macro_f1: MeanSd { mean: 0.5, sd: 0.01 },
        log_loss: MeanSd { mean: 0.6543, sd: 0.0 },
        weight,
    };
    let mut plain = cell(&spec, [[8, 1, 1], [1, 8, 1], [1, 1, 8]]);
    let metrics = plain.metrics.as_mut().expect("it has metrics");
    metrics.settings_tried = 75;
    metrics.parts = vec![part(PartKind::Member, "boosting", Some(0.531)), part(PartKind::Without, "content", None)];
    let balanced = Cell { decision: Decision::Balanced, ..plain.clone() };
    report.evaluation = vec![plain, balanced];
    let text = page(&report);
    assert_eq!(text.matches("75 settings were tried").count(), 1);
    let section = text.split("What each part adds").nth(1).expect("the section is there");
    for expected in ["strict, unseen movies", "boosting alone", "0.53", "the same without content", "0.654"] {
        assert!(section.contains(expected), "{expected}");
    }
}

#[test]
fn json_gives_the_same_report_back_and_a_newer_one_is_refused() {
    for report in [report(), with_everywhere(HOSTILE)] {
        let json = report.to_json().expect("it serialises");
        assert_eq!(Report::from_json(json.as_bytes()).expect("it was just written"), report);
    }
    let newer = format!("{{\"version\": {}, \"something\": \"else\"}}", VERSION + 1);
    let error = Report::from_json(newer.as_bytes()).expect_err("a newer report");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("use the newer program"), "{error}");
    for damaged in ["", "{", "[]", "{\"version\": 1}", "{\"title\": \"no version\"}"] {
        assert_eq!(Report::from_json(damaged.as_bytes()).expect_err(damaged).kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn the_papers_tables_stand_beside_ours_and_what_was_not_run_says_why() {
    let text = page(&report());
    let section = text.split("<h3 id=\"paper-1\">").nth(1).and_then(|rest| rest.split("</section>").next());
    let section = section.expect("the section is there");
    for part in [
        "<td class=\"number\">51.0</td>",
        "53.0 ± 1.0",
        ">+2.0</td>",
        "43.0 ± 1.0",
        "Under paper ours are 1.0 points from the printed figures on average, at most +2.0 (L, with GL).",
        "<strong>Not run:</strong> there is no ResNet.",
        "L published",
    ] {
        assert!(section.contains(part), "{part} is missing in {section}");
    }
    assert!(section.contains(">0.0</td>"), "no difference has no sign");
    assert!(text.contains("published: audio+video, Figure 8"), "the published matrices stand beside ours");
    let mut standard = report();
    standard.paper.clear();
    assert!(!page(&standard).contains("Figure 8") && !page(&standard).contains("id=\"paper\""));
    let baseline =
        Cell::of(&CellSpec::strict(Split::Pairs, Modality::Genre, Model::Majority, UserEmbedding::Liked, true));
    assert!(baseline.baseline && baseline.published.is_none() && baseline.modality.is_none());
}

#[test]
fn numbers_are_written_for_people() {
    use super::number::{count, counted, percent, share};
    assert_eq!([0, 999, 1_000, 16_825, 1_234_567].map(count), ["0", "999", "1,000", "16,825", "1,234,567"]);
    assert_eq!((counted(1, "trailer"), counted(2, "trailer")), ("1 trailer".to_owned(), "2 trailers".to_owned()));
    assert_eq!((percent(0.7471), percent(f64::NAN), share(1, 0)), ("74.7".to_owned(), "n/a".to_owned(), 0.0));
}

#[test]
fn a_run_whose_final_fit_failed_has_its_page() {
    assert!(page(&report()).contains("The final model"));
    let without = Report { model: None, ..report() };
    assert!(!page(&without).contains("The final model"));
}
