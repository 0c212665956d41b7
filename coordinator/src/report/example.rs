//! Reports for tests, with figures that are obviously invented.

use std::collections::{BTreeMap, BTreeSet};

use jhalak_common::dataset::{Description, GenreCount, LabelCounts, Layout, Missing, PAPER_GENRES, Reject};
use jhalak_common::evaluation::metrics::{CellMetrics, MeanSd, summarise};
use jhalak_common::evaluation::{CellSpec, FoldResult, Modality, Model as Predictor, Split, UserEmbedding};
use serde_json::json;

use super::{
    Cell, ColdStart, ColdStartCurve, ColdStartPoint, Example, Extraction, Figures, LeftOut, Measures, Model, PaperRow,
    PaperTable, Published, Quarantined, Ranked, Ranking, Recipe, Recommended, Report, Run, VERSION,
};

/// Metrics of three folds with these rows of counts, shifted a little from fold to fold.
pub fn metrics(confusion: [[u64; 3]; 3]) -> CellMetrics {
    let folds: Vec<FoldResult> = (0..3)
        .map(|fold| {
            let confusion = confusion.map(|row| row.map(|n| n + (fold * n / 20)));
            FoldResult {
                fold: fold as usize,
                confusion,
                epochs: 3,
                best_epoch: 2,
                train_pairs: 900,
                test_pairs: confusion.as_flattened().iter().sum::<u64>() as usize,
                left_out_pairs: 4,
                ..FoldResult::default()
            }
        })
        .collect();
    summarise(&folds)
}

/// The cell of this question, with a result.
pub fn cell(spec: &CellSpec, confusion: [[u64; 3]; 3]) -> Cell {
    Cell { metrics: Some(metrics(confusion)), ..Cell::of(spec) }
}

/// A synthetic dataset with trailers, one of each kind of thing that a page shows.
pub fn report() -> Report {
    let heads = Predictor::Classifier { heads: 4 };
    let user = UserEmbedding::Liked;
    let mut evaluation = Vec::new();
    for (model, paper, strict) in [
        (Predictor::Majority, [[0, 88, 0], [0, 96, 0], [0, 83, 0]], [[0, 22, 0], [0, 95, 0], [0, 83, 0]]),
        (Predictor::UserMajority, [[40, 28, 20], [10, 70, 16], [9, 24, 50]], [[4, 12, 6], [8, 66, 21], [5, 24, 54]]),
    ] {
        evaluation.push(cell(&CellSpec::published(Modality::Genre, model, user, true), paper));
        evaluation.push(cell(&CellSpec::strict(Split::Pairs, Modality::Genre, model, user, true), strict));
    }
    for modality in [Modality::Video, Modality::Audio, Modality::Genre] {
        for model in [heads, Predictor::Ann] {
            for gl in [true, false] {
                evaluation.push(cell(
                    &CellSpec::published(modality, model, user, gl),
                    [[70, 10, 8], [12, 70, 14], [9, 18, 56]],
                ));
                for (split, hits) in [(Split::Pairs, 60), (Split::Movies, 52), (Split::Users { known: 5 }, 55)] {
                    let spec = CellSpec::strict(split, modality, model, user, gl);
                    evaluation.push(cell(&spec, [[5, 11, 6], [9, hits + 5, 23], [4, 21, hits]]));
                }
            }
        }
    }
    let mut absent = Cell::of(&CellSpec::strict(Split::Pairs, Modality::AudioVideo, heads, user, true));
    absent.not_run = Some("two of the trailers have no sound".to_owned());
    evaluation.push(absent);

    Report {
        version: VERSION,
        title: "Trailers and taste: demo".to_owned(),
        run: Run {
            id: "demo-3f9a1c22".to_owned(),
            started: "2024-03-01T02:00:00Z".to_owned(),
            ended: Some("2024-03-01T02:04:31Z".to_owned()),
            program_version: "0.1.0".to_owned(),
            settings: json!({"keyframes": {"strategy": "equal-interval", "count": 16}, "evaluate": {"folds": 3, "seed": 0}}),
            seeds: [("folds".to_owned(), 0), ("training".to_owned(), 7)].into(),
        },
        dataset: description(),
        models: vec![Model {
            name: "efficientnet-lite0".to_owned(),
            role: "image-embedding".to_owned(),
            source: "a package of a registry, version 0.1.0".to_owned(),
            sha256: "ab".repeat(32),
            licence: "Apache-2.0".to_owned(),
        }],
        recipes: vec![Recipe {
            kind: "keyframes".to_owned(),
            hash: "cd".repeat(32),
            parameters: json!({"strategy": "equal-interval", "count": 16, "quality": 90}),
        }],
        extraction: Some(Extraction {
            trailers: 12,
            processed: 12,
            committed: 11,
            out_of_scope: 0,
            quarantined: vec![Quarantined {
                movie: "tt0000009".to_owned(),
                trailer: "trailers/tt0000009.mp4".to_owned(),
                reason: "no video stream in the file".to_owned(),
            }],
            zero_clips: BTreeSet::new(),
            without_sound: vec!["tt0000003".to_owned(), "tt0000007".to_owned()],
        }),
        left_out: vec![LeftOut { modality: "metadata".to_owned(), reason: "not asked for".to_owned() }],
        operation: None,
        gallery: None,
        figures: Vec::new(),
        evaluation,
        paper: paper(),
        measures: measures(),
        examples: examples(),
        model: Some("file:///store/artifacts/model/x/".to_owned()),
        notes: vec!["Three settings were tried on inner folds.".to_owned()],
    }
}

/// What a model recommends to one viewer, with a reason on each side.
fn examples() -> Vec<Example> {
    let movie = Recommended {
        movie: "tt0000004".to_owned(),
        title: "Tears & <b>Steel</b>".to_owned(),
        year: Some(2012),
        probabilities: [0.05, 0.2, 0.75],
        pro: vec!["18 of 20 other viewers like it".to_owned()],
        contra: vec!["disliked The Alley (similarity 0.41)".to_owned()],
    };
    let (user, model) = ("viewer <i>7</i>".to_owned(), "ensemble".to_owned());
    vec![Example { user, ratings: [1, 2, 3], model, candidates: 6, movies: vec![movie] }]
}

fn description() -> Description {
    let genre = |genre: &str, movies, in_vocabulary| GenreCount { genre: genre.to_owned(), movies, in_vocabulary };
    let mut genres: Vec<GenreCount> =
        PAPER_GENRES.iter().zip(0..).map(|(name, place)| genre(name, 1 + place * 7 % 11, true)).collect();
    genres.push(genre("Animation", 4, false));
    Description {
        name: "demo".to_owned(),
        synthetic: true,
        note: Some("Ratings drawn from a seeded model of taste.".to_owned()),
        layout: Layout::Flickscore,
        read_as: "ratings.json read as labels: -1 is dislike, 0 neutral, 1 like".to_owned(),
        unread: Vec::new(),
        alike: Vec::new(),
        content_hash: "ef".repeat(32),
        users: 40,
        users_without_ratings: 2,
        movies: 12,
        ratings: 1200,
        labels: LabelCounts { dislike: 132, neutral: 570, like: 498 },
        ratings_a_user: [2, 17, 61],
        users_of_one_label: 3,
        ratings_of_users_of_one_label: 14,
        genres,
        missing: Missing { genre: 1, year: 2, description: 3, trailer: 0, ..Missing::default() },
        trailers: 12,
        rejected: 2,
        rejects: vec![
            Reject {
                file: "ratings.json".to_owned(),
                line: Some(31),
                subject: "user u0007, movie tt0000002".to_owned(),
                reason: "the label is none of -1, 0, 1: \"7\"".to_owned(),
            },
            Reject {
                file: "trailers".to_owned(),
                line: None,
                subject: "\"notes.txt\"".to_owned(),
                reason: "not a trailer: the name ends in none of .mp4 .webm".to_owned(),
            },
        ],
    }
}

fn paper() -> Vec<PaperTable> {
    let figures =
        |mean| Figures { accuracy: MeanSd { mean, sd: 0.01 }, macro_f1: MeanSd { mean: mean - 0.05, sd: 0.01 } };
    let row = |gl, user: &str, published, ours: Option<f64>| PaperRow {
        model: "classifier".to_owned(),
        gl,
        user_embedding: user.to_owned(),
        published: Published { mean: published, sd: None, table: "Figure 7".to_owned() },
        paper: ours.map(figures),
        strict: ours.map(|mean| figures(mean - 0.1)),
        not_run: None,
    };
    let table = |name: &str, not_run: Option<&str>, rows| PaperTable {
        name: name.to_owned(),
        about: "genre multi-hot vectors".to_owned(),
        stand_in: None,
        not_run: not_run.map(str::to_owned),
        distance: "Not explained.".to_owned(),
        rows,
    };
    vec![
        table("Figure 7, genre", None, vec![row(true, "L", 0.51, Some(0.53)), row(false, "L", 0.365, Some(0.365))]),
        table("Table V", Some("there is no ResNet"), vec![row(true, "L", 0.72, None)]),
    ]
}

fn measures() -> Measures {
    let at = |mean| MeanSd { mean, sd: 0.02 };
    let ranked = |ranker: &str, ndcg| Ranked {
        ranker: ranker.to_owned(),
        ndcg,
        ndcg_error: 0.012,
        recall: 0.4,
        map: 0.2,
        hit_rate: 0.7,
        auc: 0.81,
        coverage: 0.5,
    };
    let point = |known, accuracy| ColdStartPoint { known, accuracy: at(accuracy), macro_f1: at(accuracy - 0.1) };
    let curve = |model: &str, accuracies: [f64; 3]| ColdStartCurve {
        model: model.to_owned(),
        points: [0, 1, 5].into_iter().zip(accuracies).map(|(known, accuracy)| point(known, accuracy)).collect(),
    };
    let curves = vec![curve("majority", [0.5; 3]), curve("bias", [0.52, 0.55, 0.61])];
    Measures {
        ranking: Some(Ranking {
            k: 10,
            users: 38,
            test_pairs: 1_200,
            folds: 5,
            whole_lists: 0.0,
            rankers: vec![ranked("watch", 0.412), ranked("most-rated", 0.305)],
        }),
        cold_start: Some(ColdStart { test_pairs: 900, curves }),
        ablation: None,
        not_computed: BTreeMap::from([("ablation".to_owned(), "the run has no ensemble on pairs".to_owned())]),
    }
}
