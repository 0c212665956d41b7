//! Tests the page and the text for the terminal.

use jhalak_common::ErrorKind;
use jhalak_common::dataset::Reject;
use jhalak_common::evaluation::metrics::{MeanSd, PartMetrics};
use jhalak_common::evaluation::{CellSpec, Modality, Model, PartKind, Split, UserEmbedding};

use super::example::{cell, report};
use super::{
    Bin, Cell, Decision, Extraction, FailedJob, Gallery, Learning, LeftOut, Model as ModelFacts, ModelFigures, Near,
    Operation, Part, Quarantined, Recipe, Report, Seconds, Shown, SlowTrailer, VERSION, render, summary,
};
use crate::inspect::trailer::{KeyframeSet, KeyframeView, ObjectView, Scenes, Sound, TrailerView, VideoFacts};

const CLASSIFIER: Model = Model::Classifier { heads: 4 };

/// Texts that close an element, an attribute or a comment, or that a terminal would obey.
const HOSTILE: &str =
    "</td></style><script>alert(1)</script>\"'><img src=x onerror=y>&{{ 7*7 }}{% raw %}\u{1b}[2J\u{202E}";

/// A gallery of one trailer with this text wherever a dataset or a file could put one.
fn gallery(text: &str) -> Gallery {
    let text = || text.to_owned();
    let object = ObjectView { label: text(), confidence: 0.5, edges: [1.0, 2.0, 30.0, 99.0] };
    let keyframe =
        KeyframeView { time_s: 1.0, scene: Some(1), objects: vec![object], size: [64, 36], jpeg: vec![1, 2, 3] };
    let set = KeyframeSet { strategy: text(), keyframes: vec![keyframe], padding: 2, shortfall: Some(text()) };
    let view = TrailerView {
        movie: text(),
        video: Some(VideoFacts { codec: text(), width: 64, height: 36, fps: 25.0, duration_s: 4.0 }),
        short: Some(text()),
        sets: vec![set],
        scenes: Some(Scenes {
            threshold: 27.0,
            min_scene_len: Some(15),
            spans_s: vec![[0.0, 2.0], [2.0, 4.0]],
            scores: vec![0.0, 30.0, 1e9],
        }),
        objects: vec![(text(), 3)],
        sound: Some(Sound { peaks: vec![0, 255], without: Some(text()), track: None }),
    };
    let near = Near { modality: text(), trailers: vec![(text(), 0.5)] };
    Gallery {
        trailers: vec![Shown { title: text(), genres: vec![text()], view, nearest: vec![near] }],
        not_shown: 5,
        unreadable: vec![(text(), text())],
        maps: Vec::new(),
    }
}

fn page(report: &Report) -> String {
    // Figures keep their units on the line by no-break spaces.
    render(report).expect("the template fits the structure").replace('\u{a0}', " ")
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
    report.extraction = Some(Extraction {
        quarantined,
        without_sound: vec![text()],
        zero_clips: [text()].into(),
        ..Extraction::default()
    });
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
    report.gallery = Some(gallery(&text()));
    report.operation = Some(Operation {
        stages: vec![Seconds { name: text(), seconds: 1.0 }],
        extracted: 1,
        trailers_an_hour: Some(3600.0),
        steps: vec![Seconds { name: text(), seconds: 1.0 }],
        slowest: vec![SlowTrailer { movie: text(), title: text(), seconds: 1.0, longest_step: text() }],
        failed_jobs: vec![FailedJob { about: text(), reason: text() }],
    });
    let part = || Part { name: text(), pairs: 3, accuracy: 0.5, commonest: 0.4 };
    report.figures = vec![ModelFigures {
        column: text(),
        row: text(),
        learning: vec![Learning { fold: 0, best_epoch: 1, training: vec![2.0, 1.0], validation: vec![2.0, 1.5] }],
        reliability: vec![Bin { pairs: 3, confidence: 0.6, accuracy: 0.5 }],
        genres: vec![part()],
        activity: vec![part()],
    }];
    report.notes = vec![text()];
    report
}

#[test]
fn texts_of_a_dataset_are_escaped() {
    // As long as the other: a label that is too long for its box is left out.
    let quiet = page(&with_everywhere(&format!("{:-<1$}", "quiet", HOSTILE.chars().count())));
    let loud = page(&with_everywhere(HOSTILE));
    for part in ["<script", "<img src=x", "onerror=y>", "</style><", "{{ 49", "&{{"] {
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
    let page = page(&Report { gallery: Some(gallery("a film")), ..report() });
    assert!(page.contains("Content-Security-Policy") && page.contains("default-src 'none'"));
    assert_eq!(page.matches("src=").count(), page.matches("src=\"data:image/jpeg;base64,").count());
    for part in ["<script", "<link", "url(", "@import", "http://", "https://"] {
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
fn a_synthetic_dataset_is_marked_on_the_page_and_the_terminal_and_a_real_one_is_not() {
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
    assert!(!summary(&report).contains("evaluated"), "a run without ratings evaluates nothing");
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
fn strict_paper_and_published_stand_side_by_side() {
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
    let row = row.expect("the row exists");
    let places: Vec<usize> =
        ["40.0 ± 0.0", "80.0 ± 0.0", "51.0<small>Figure 7"].map(|part| row.find(part).expect(part)).to_vec();
    assert!(places.is_sorted(), "{row}");
    assert!(text.contains("the model is classifier, genre, L, with GL: 40.0 % (mean of the folds). The baseline is majority: 33.3 %; the model is ahead by 6.7 points."));
    let text = summary(&report);
    let line = text.lines().find(|line| line.contains("classifier, genre")).expect("the row exists");
    assert_eq!(line.split_whitespace().skip(5).collect::<Vec<_>>(), ["51.0", "40.0", "/", "40.0", "80.0", "/", "80.0"]);
    assert!(text.contains("the model is ahead by 6.7 points"), "{text}");
}

/// Rows that print the same accuracy are level, whatever the order of the table.
#[test]
fn the_headline_names_who_is_level_with_the_most_accurate() {
    let mut report = report();
    let spec = |model| CellSpec::strict(Split::Pairs, Modality::Genre, model, UserEmbedding::Liked, true);
    let right = [[4, 3, 3], [3, 4, 3], [3, 3, 4]];
    report.evaluation = vec![
        cell(&spec(CLASSIFIER), right),
        cell(&spec(Model::Ensemble), right),
        cell(&spec(Model::Bias), right),
        cell(&spec(Model::Majority), [[0, 10, 0], [0, 10, 0], [0, 10, 0]]),
    ];
    let text = summary(&report);
    assert!(text.contains("is classifier, genre, L, with GL (level with ensemble"), "{text}");
    assert!(text.contains("The best baseline is bias: 40.0 %; the model is level with it."), "{text}");
    let compared = crate::report::Compared {
        pairs: 15,
        tests: Some(30),
        accuracy: MeanSd { mean: 0.4, sd: 0.0 },
        interval: None,
        macro_f1: MeanSd { mean: 0.4, sd: 0.0 },
        calibration: None,
        versus: None,
    };
    report.evaluation.iter_mut().for_each(|cell| cell.compared = Some(compared.clone()));
    assert!(summary(&report).contains("strict, 30 tests of 15 pairs"), "{}", summary(&report));
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
    let section = text.split("<h2 id=\"parts\">").nth(1).expect("the section exists");
    for expected in ["strict, unseen movies", "boosting alone", "0.53", "the same without content", "0.654"] {
        assert!(section.contains(expected), "{expected}");
    }
}

#[test]
fn json_gives_the_same_report_back_and_a_newer_one_is_refused() {
    for mut report in [report(), with_everywhere(HOSTILE)] {
        for keyframe in report
            .gallery
            .iter_mut()
            .flat_map(|g| &mut g.trailers)
            .flat_map(|t| &mut t.view.sets)
            .flat_map(|s| &mut s.keyframes)
        {
            keyframe.jpeg.clear();
        }
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
fn the_papers_tables_stand_next_to_ours_and_a_row_that_was_not_run_states_why() {
    let text = page(&report());
    let section = text.split("<h3 id=\"paper-1\">").nth(1).and_then(|rest| rest.split("</section>").next());
    let section = section.expect("the section exists");
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
    assert!(text.contains("published: audio+video, Figure 8"), "the published matrices stand next to ours");
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

#[test]
fn strict_stands_beside_paper_of_the_same_model_and_headline_models_have_matrices() {
    let text = page(&report());
    let section = text.split("<h2 id=\"confusion\">").nth(1).and_then(|rest| rest.split("</section>").next());
    let groups: Vec<&str> = section.expect("the section exists").split("<h3>").skip(1).collect();
    let names: Vec<&str> = groups.iter().filter_map(|group| group.split("</h3>").next()).collect();
    let headline =
        text.split("class=\"headline\">").nth(1).and_then(|rest| rest.split("</p>").next()).expect("a headline");
    for name in &names[..2] {
        assert!(headline.contains(name), "{name} is not in {headline}");
    }
    for group in groups.iter().filter(|group| !group.starts_with("published")) {
        let columns: Vec<&str> =
            group.split("<figcaption>").skip(1).filter_map(|rest| rest.split("</figcaption>").next()).collect();
        let protocols: Vec<&str> = columns.iter().filter_map(|column| column.split(", ").next()).collect();
        assert_eq!(protocols, ["strict", "paper"], "{group}");
        assert!(columns.iter().all(|column| column.ends_with(" predictions")), "{columns:?}");
    }
}

#[test]
fn pictures_are_not_part_of_report_json_and_maps_name_their_points() {
    let mut report = Report { gallery: Some(gallery("a film")), ..report() };
    let read = Report::from_json(report.to_json().expect("it serialises").as_bytes()).expect("it was just written");
    let keyframe = &read.gallery.expect("it has one").trailers[0].view.sets[0].keyframes[0];
    assert!(keyframe.jpeg.is_empty() && keyframe.time_s == 1.0);
    let point = |n: usize| super::MapPoint {
        title: format!("{HOSTILE} {n}"),
        genre: format!("genre {}", n % 12),
        at: [n as f64, f64::NAN],
    };
    let map = super::Map {
        modality: "video".to_owned(),
        points: (0..40).map(point).collect(),
        not_shown: 3,
        variance: [0.5, 0.25],
    };
    report.gallery.as_mut().expect("it has one").maps = vec![map];
    let text = page(&report);
    assert!(text.contains("75.0 % of the variance") && text.contains("3 further trailers are not drawn"));
    assert!(text.contains("c7\"></i>other") && !text.contains("<img src=x") && !text.contains("NaN%"));
}

#[test]
fn examples_are_shown_with_reasons_for_and_against() {
    let page = render(&report()).expect("a page");
    for shown in [
        "Recommendations, for example",
        "Tears &amp; &lt;b&gt;Steel&lt;&#x2f;b&gt;",
        "viewer &lt;i&gt;7",
        "6 ratings: 3 like, 2 neutral, 1 dislike. By the ensemble, of 6 movies not rated yet.",
        "<strong>75.0</strong>",
        "18 of 20 other viewers like it",
        "disliked The Alley (similarity 0.41)",
    ] {
        assert!(page.contains(shown), "{shown} is missing");
    }
    let without = Report { examples: Vec::new(), ..report() };
    assert!(!render(&without).expect("a page").contains("for example</h2>"));
}

#[test]
fn a_run_without_ratings_speaks_of_trailers_alone() {
    let mut report = report();
    report.evaluation.clear();
    report.dataset.ratings = 0;
    let page = render(&report).expect("a page");
    assert!(page.contains("the dataset has no ratings") && !page.contains("Why two protocols"));
    let text = summary(&report);
    assert!(!text.contains("0.0 %") && !text.contains("left out"), "{text}");
}
