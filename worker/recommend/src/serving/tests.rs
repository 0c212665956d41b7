//! What is stored answers as what was fitted; viewers and movies that came later are served; a label never predicts itself.

use super::*;
use crate::example::{Taste, example};
use crate::features::embedding::Features;
use jhalak_common::evaluation::{Balance, CellSpec, EmbeddingSource, FitSpec, Modality, Model, Split, UserEmbedding};
use std::sync::atomic::AtomicBool;

static GO: AtomicBool = AtomicBool::new(false);

fn cell(modality: Modality, model: Model) -> CellSpec {
    let mut cell = CellSpec::strict(Split::Pairs, modality, model, UserEmbedding::All, true);
    cell.training.fit.epochs = 4;
    if !modality.tables().is_empty() {
        cell.embedding = EmbeddingSource::GenreHead;
    }
    cell
}

const CLASSIFIER: Model = Model::Classifier { heads: 4 };

/// Rows that tell a movie's genres, with one movie that has none.
fn features(dataset: &Dataset) -> Features {
    let mut table = EmbeddingTable::genres(dataset);
    for (i, row) in table.rows.iter_mut().enumerate() {
        row.as_mut().expect("a row a movie").extend([i as f32 / 10.0, 0.5]);
    }
    table.dim += 2;
    table.rows[5] = None;
    Features { video: Some(table.clone()), audio: Some(table) }
}

fn fitted(dataset: &Dataset, network: Option<CellSpec>, honest: &[Split]) -> Files {
    let spec = FitSpec { network, honest: honest.to_vec(), seed: 3 };
    let features = features(dataset);
    let request = FitRequest { dataset, content: "hash".into(), features: &features, tables: vec![], spec: &spec };
    fit_all(&request, 2, &GO, |_| {}).expect("it fits")
}

fn asking(files: &Files, dataset: &Dataset, newcomers: Newcomers, which: Which) -> Asking {
    Served::read(files, dataset.clone()).expect("just written").asked_by(newcomers, which).expect("it was fitted")
}

fn of_user(user: u32) -> Newcomers {
    Newcomers { user: Some(user), ..Newcomers::default() }
}

#[test]
fn a_stored_network_answers_as_the_fitted_one_whatever_the_threads() {
    let mut dataset = example(40, 24, 9, Taste::Genre, 3);
    for (i, movie) in dataset.movies.iter_mut().enumerate() {
        movie.description = format!("a {} story in {} parts", ["loud", "quiet", "sad"][i % 3], ["two", "three"][i % 2]);
    }
    for spec in [
        cell(Modality::Genre, CLASSIFIER),
        cell(Modality::Genre, Model::Ann),
        cell(Modality::Metadata, CLASSIFIER),
        cell(Modality::AudioVideo, CLASSIFIER),
    ] {
        let mut network = fit_network(&dataset, &features(&dataset), &spec, &GO).expect("it fits");
        let files = fitted(&dataset, Some(spec.clone()), &[]);
        let mut asking = asking(&files, &dataset, of_user(7), Which::Network);
        let open: Vec<u32> = (0..24).filter(|&m| asking.rated(m).is_none() && asking.can_answer(m)).collect();
        assert!(open.len() > 5);
        assert_eq!(asking.predict(&open).expect("known"), network.predict(&dataset, 7, &open), "{}", spec.name());
        let modality = spec.modality;
        assert_eq!(asking.can_answer(5), modality.tables().is_empty(), "movie 5 has no trailer");
        if !modality.tables().is_empty() {
            assert!(asking.predict(&[5]).expect_err("no embedding").to_string().contains("tt0000005"));
        }
        if modality != Modality::Genre {
            continue; // training heads thrice says nothing more about threads
        }
        let spec = FitSpec { network: Some(spec), honest: vec![], seed: 3 };
        let features = features(&dataset);
        let request =
            FitRequest { dataset: &dataset, content: "hash".into(), features: &features, tables: vec![], spec: &spec };
        assert_eq!(fit_all(&request, 1, &GO, |_| {}).expect("it fits"), files, "the same bytes on one thread");
    }
}

#[test]
fn the_network_learns_what_each_viewer_likes_and_says_why() {
    let dataset = example(60, 40, 20, Taste::Genre, 1);
    let mut spec = CellSpec::strict(Split::Pairs, Modality::Genre, CLASSIFIER, UserEmbedding::Liked, true);
    spec.training.fit.epochs = 30;
    spec.training.balance = Balance::None;
    let files = fitted(&dataset, Some(spec), &[]);
    // Viewer 1 likes Comedy (1 % 4).
    let mut asking = asking(&files, &dataset, of_user(1), Which::Network);
    let open: Vec<u32> = (0..40).filter(|&movie| asking.rated(movie).is_none()).collect();
    let answers = asking.predict(&open).expect("known");
    // Dramas that are comedies too are liked as well, so what is compared is comedies and the rest.
    let like = |comedy: bool| {
        let is = |movie: u32| dataset.movies[movie as usize].genres.contains(&"Comedy".to_owned()) == comedy;
        let of: Vec<f32> = open.iter().zip(&answers).filter(|(m, _)| is(**m)).map(|(_, p)| p[2]).collect();
        of.iter().sum::<f32>() / of.len() as f32
    };
    assert!(like(true) > 0.8 && like(false) < 0.2, "{} {}", like(true), like(false));
    let comedy = open.iter().copied().find(|m| dataset.movies[*m as usize].genres.contains(&"Comedy".to_owned()));
    let why = asking.why(comedy.expect("one is open"), 3).expect("it is there");
    assert!(why.genres.iter().any(|genre| genre.genre == "Comedy" && genre.rated.like > 0), "{why:?}");
    assert_eq!(why.neighbours.len(), 3);
    assert!(why.neighbours.is_sorted_by(|a, b| a.likeness >= b.likeness));
    assert!(why.gl_score.is_some_and(|gl| gl > 0.5), "{why:?}");
}

#[test]
fn a_label_never_predicts_itself() {
    let dataset = example(40, 24, 9, Taste::Chance, 5);
    let files = fitted(&dataset, Some(cell(Modality::Genre, CLASSIFIER)), &[Split::Pairs]);
    let rating = dataset.ratings[30];
    for which in [Which::Network, Which::Honest] {
        let answers: Vec<_> = Label::ALL
            .into_iter()
            .map(|label| {
                let newcomers = Newcomers { said: vec![(rating.movie, label)], ..of_user(rating.user) };
                let mut asking = asking(&files, &dataset, newcomers, which);
                assert_eq!(asking.rated(rating.movie), Some(label));
                let why = asking.why(rating.movie, 2).expect("there");
                (asking.predict(&[rating.movie]).expect("there"), why.viewer, why.others)
            })
            .collect();
        assert_eq!(answers[0], answers[1], "{which:?}");
        assert_eq!(answers[0], answers[2], "{which:?}");
    }
}

#[test]
fn new_viewers_and_new_movies_are_served_by_the_model_fitted_for_them() {
    let dataset = example(40, 24, 9, Taste::Genre, 3);
    let all = [Split::Pairs, Split::Movies, Split::Users { known: 5 }];
    let files = fitted(&dataset, Some(cell(Modality::Genre, CLASSIFIER)), &all);
    let of_genre = |genre: &str| {
        (0..24u32).filter(|m| dataset.movies[*m as usize].genres == [genre.to_owned()]).collect::<Vec<u32>>()
    };
    let (comedies, actions) = (of_genre("Comedy"), of_genre("Action"));
    let mut said: Vec<(u32, Label)> = comedies[..3].iter().map(|&movie| (movie, Label::Like)).collect();
    said.extend(actions[..2].iter().map(|&movie| (movie, Label::Dislike)));
    let new = Movie { id: "zz1".into(), name: "New".into(), genres: vec!["Comedy".into()], ..Movie::default() };
    for which in [Which::Honest, Which::Network] {
        let newcomers = Newcomers { movies: vec![new.clone()], said: said.clone(), ..Newcomers::default() };
        let mut asking = asking(&files, &dataset, newcomers, which);
        assert_eq!(asking.user() as usize, dataset.users.len());
        let p = asking.predict(&[comedies[3], actions[3], 24]).expect("all can be asked about");
        assert!(p.iter().all(|p| (p.iter().sum::<f32>() - 1.0).abs() < 1e-4), "{p:?}");
        if which == Which::Honest {
            assert!(p[0][2] > p[1][2], "{p:?}");
            assert_eq!(
                [asking.regime(comedies[3]), asking.regime(24)],
                [2, 1],
                "five ratings are few; nobody rated the new one"
            );
        }
        assert!(asking.why(24, 2).expect("there").others == [0, 0, 0].into());
    }
    assert_eq!(asking(&files, &dataset, of_user(3), Which::Honest).regime(comedies[3]), 0, "nine are not");

    let read = || Served::read(&files, dataset.clone()).expect("just written");
    let known = Newcomers { movies: vec![Movie { id: dataset.movies[0].id.clone(), ..new }], ..Newcomers::default() };
    assert!(read().asked_by(known, Which::Honest).expect_err("it is known").to_string().contains("known already"));
    let nobody = Newcomers { user: Some(99), ..Newcomers::default() };
    assert!(read().asked_by(nobody, Which::Honest).is_err());
}

#[test]
fn damaged_newer_or_foreign_models_are_refused_with_the_way_out() {
    let dataset = example(30, 12, 6, Taste::Genre, 3);
    let files = fitted(&dataset, Some(cell(Modality::Genre, CLASSIFIER)), &[]);
    let refused = |files: &Files, dataset: &Dataset| {
        Served::read(files, dataset.clone()).map(|_| ()).expect_err("it must be refused").to_string()
    };
    for name in ["model.json", "model.safetensors", "embeddings.safetensors", "statistics.json"] {
        let mut without = files.clone();
        without.remove(name);
        assert!(refused(&without, &dataset).contains(name), "{name}");
        let mut cut = files.clone();
        let bytes = cut.get_mut(name).expect("it is there");
        bytes.truncate(bytes.len() / 2);
        assert!(refused(&cut, &dataset).contains(name), "{name}");
    }
    let mut flipped = files.clone();
    flipped.get_mut("model.safetensors").and_then(|bytes| bytes.last_mut()).map(|byte| *byte ^= 1).expect("a byte");
    assert!(refused(&flipped, &dataset).contains("not what was fitted"));
    let mut newer = files.clone();
    let text = String::from_utf8(files["model.json"].clone()).expect("JSON");
    newer.insert("model.json".into(), text.replacen("\"version\": 2", "\"version\": 3", 1).into_bytes());
    assert!(refused(&newer, &dataset).contains("newer program"));
    assert!(refused(&files, &example(30, 13, 6, Taste::Genre, 3)).contains("another catalogue"));
    let served = Served::read(&files, dataset.clone()).expect("just written");
    assert_eq!(served.default_model(), Which::Network);
    let error = served.asked_by(of_user(0), Which::Honest).map(|_| ()).expect_err("none was fitted");
    assert!(error.to_string().contains("fit again"), "{error}");
}
