//! Stored models predict as fitted ones, new viewers and movies are predicted, and a label never
//! predicts itself.

use super::*;
use crate::example::{Taste, example};
use crate::features::embedding::EmbeddingTable;
use crate::features::embedding::Features;
use jhalak_common::dataset::{Dataset, Label, Movie};
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

/// Returns rows that depend on a movie's genres; one movie has no row.
fn features(dataset: &Dataset) -> Features {
    let mut table = EmbeddingTable::genres(dataset);
    for (i, row) in table.rows.iter_mut().enumerate() {
        row.as_mut().expect("a row for each movie").extend([i as f32 / 10.0, 0.5]);
    }
    table.dim += 2;
    table.rows[5] = None;
    Features { video: Some(table.clone()), audio: Some(table), ..Features::default() }
}

fn fitted(dataset: &Dataset, network: Option<CellSpec>, ensembles: &[Split]) -> Files {
    let spec = FitSpec { network, ensembles: ensembles.to_vec(), trailers: None, seed: 3, left_out: vec![] };
    let features = features(dataset);
    let request = FitRequest { dataset, content: "hash".into(), features: &features, tables: vec![], spec: &spec };
    fit_all(&request, 2, &GO, |_| {}).expect("it fits")
}

fn session(files: &Files, dataset: &Dataset, input: SessionInput, kind: ModelKind) -> ViewerSession {
    LoadedModel::read(files, dataset.clone()).expect("just written").session(input, kind).expect("it was fitted")
}

fn of_user(user: u32) -> SessionInput {
    SessionInput { user: Some(user), ..SessionInput::default() }
}

#[test]
fn a_stored_network_predicts_as_the_fitted_one_and_threads_do_not_matter() {
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
        let mut session = session(&files, &dataset, of_user(7), ModelKind::Network);
        let open: Vec<u32> = (0..24).filter(|&m| session.rated(m).is_none() && session.can_predict(m)).collect();
        assert!(open.len() > 5);
        assert_eq!(session.predict(&open).expect("known"), network.predict(&dataset, 7, &open), "{}", spec.name());
        let modality = spec.modality;
        assert_eq!(session.can_predict(5), modality.tables().is_empty(), "movie 5 has no trailer");
        if !modality.tables().is_empty() {
            assert!(session.predict(&[5]).expect_err("no embedding").to_string().contains("tt0000005"));
        }
        if modality != Modality::Genre {
            continue; // heads are slow to train, and threads are tested once
        }
        let spec = FitSpec { network: Some(spec), ensembles: vec![], trailers: None, seed: 3, left_out: vec![] };
        let features = features(&dataset);
        let request =
            FitRequest { dataset: &dataset, content: "hash".into(), features: &features, tables: vec![], spec: &spec };
        assert_eq!(fit_all(&request, 1, &GO, |_| {}).expect("it fits"), files, "the same bytes on one thread");
    }
}

#[test]
fn the_network_learns_preferences_and_explains_predictions() {
    let dataset = example(60, 40, 20, Taste::Genre, 1);
    let mut spec = CellSpec::strict(Split::Pairs, Modality::Genre, CLASSIFIER, UserEmbedding::Liked, true);
    spec.training.fit.epochs = 30;
    spec.training.balance = Balance::None;
    let files = fitted(&dataset, Some(spec), &[]);
    // Viewer 1 likes Comedy (1 % 4).
    let mut session = session(&files, &dataset, of_user(1), ModelKind::Network);
    let open: Vec<u32> = (0..40).filter(|&movie| session.rated(movie).is_none()).collect();
    let answers = session.predict(&open).expect("known");
    // Dramas that are also comedies are liked, so compare comedies with the rest.
    let like = |comedy: bool| {
        let is = |movie: u32| dataset.movies[movie as usize].genres.contains(&"Comedy".to_owned()) == comedy;
        let of: Vec<f32> = open.iter().zip(&answers).filter(|(m, _)| is(**m)).map(|(_, p)| p[2]).collect();
        of.iter().sum::<f32>() / of.len() as f32
    };
    assert!(like(true) > 0.8 && like(false) < 0.2, "{} {}", like(true), like(false));
    let comedy = open.iter().copied().find(|m| dataset.movies[*m as usize].genres.contains(&"Comedy".to_owned()));
    let why = session.explain(comedy.expect("one is open"), 3).expect("it exists");
    assert!(why.genres.iter().any(|genre| genre.genre == "Comedy" && genre.rated.like > 0), "{why:?}");
    assert_eq!(why.neighbours.len(), 3);
    assert!(why.neighbours.is_sorted_by(|a, b| a.similarity >= b.similarity));
    assert!(why.gl_score.is_some_and(|gl| gl > 0.5), "{why:?}");
}

#[test]
fn a_label_never_predicts_itself() {
    let dataset = example(40, 24, 9, Taste::Chance, 5);
    let files = fitted(&dataset, Some(cell(Modality::Genre, CLASSIFIER)), &[Split::Pairs]);
    let rating = dataset.ratings[30];
    for kind in [ModelKind::Network, ModelKind::Ensemble] {
        let answers: Vec<_> = Label::ALL
            .into_iter()
            .map(|label| {
                let input = SessionInput { new_ratings: vec![(rating.movie, label)], ..of_user(rating.user) };
                let mut session = session(&files, &dataset, input, kind);
                assert_eq!(session.rated(rating.movie), Some(label));
                let why = session.explain(rating.movie, 2).expect("there");
                (session.predict(&[rating.movie]).expect("there"), why.viewer, why.others)
            })
            .collect();
        assert_eq!(answers[0], answers[1], "{kind:?}");
        assert_eq!(answers[0], answers[2], "{kind:?}");
    }
}

#[test]
fn new_viewers_and_movies_are_predicted_by_the_ensemble_fitted_for_them() {
    let dataset = example(40, 24, 9, Taste::Genre, 3);
    let all = [Split::Pairs, Split::Movies, Split::Users { known: 5 }];
    let files = fitted(&dataset, Some(cell(Modality::Genre, CLASSIFIER)), &all);
    let of_genre = |genre: &str| {
        (0..24u32).filter(|m| dataset.movies[*m as usize].genres == [genre.to_owned()]).collect::<Vec<u32>>()
    };
    let (comedies, actions) = (of_genre("Comedy"), of_genre("Action"));
    let mut new_ratings: Vec<(u32, Label)> = comedies[..3].iter().map(|&movie| (movie, Label::Like)).collect();
    new_ratings.extend(actions[..2].iter().map(|&movie| (movie, Label::Dislike)));
    let new = Movie { id: "zz1".into(), name: "New".into(), genres: vec!["Comedy".into()], ..Movie::default() };
    for kind in [ModelKind::Ensemble, ModelKind::Network] {
        let input =
            SessionInput { movies: vec![new.clone()], new_ratings: new_ratings.clone(), ..SessionInput::default() };
        let mut session = session(&files, &dataset, input, kind);
        assert_eq!(session.user() as usize, dataset.users.len());
        let p = session.predict(&[comedies[3], actions[3], 24]).expect("all can be predicted");
        assert!(p.iter().all(|p| (p.iter().sum::<f32>() - 1.0).abs() < 1e-4), "{p:?}");
        if kind == ModelKind::Ensemble {
            assert!(p[0][2] > p[1][2], "{p:?}");
            assert_eq!(
                [session.ensemble_for(comedies[3]), session.ensemble_for(24)],
                [2, 1],
                "five ratings are few; the new movie is unrated"
            );
        }
        assert!(session.explain(24, 2).expect("there").others == [0, 0, 0].into());
    }
    assert_eq!(
        session(&files, &dataset, of_user(3), ModelKind::Ensemble).ensemble_for(comedies[3]),
        0,
        "nine ratings are not few"
    );

    let read = || LoadedModel::read(&files, dataset.clone()).expect("just written");
    let known =
        SessionInput { movies: vec![Movie { id: dataset.movies[0].id.clone(), ..new }], ..SessionInput::default() };
    assert!(
        read()
            .session(known, ModelKind::Ensemble)
            .expect_err("a known movie")
            .to_string()
            .contains("already has the movie")
    );
    let nobody = SessionInput { user: Some(99), ..SessionInput::default() };
    assert!(read().session(nobody, ModelKind::Ensemble).is_err());
}

#[test]
fn damaged_newer_or_foreign_models_are_refused_with_advice() {
    let dataset = example(30, 12, 6, Taste::Genre, 3);
    let files = fitted(&dataset, Some(cell(Modality::Genre, CLASSIFIER)), &[]);
    let refused = |files: &Files, dataset: &Dataset| {
        LoadedModel::read(files, dataset.clone()).map(|_| ()).expect_err("it must be refused").to_string()
    };
    for name in ["model.json", "model.safetensors", "embeddings.safetensors", "statistics.json"] {
        let mut without = files.clone();
        without.remove(name);
        assert!(refused(&without, &dataset).contains(name), "{name}");
        let mut cut = files.clone();
        let bytes = cut.get_mut(name).expect("it exists");
        bytes.truncate(bytes.len() / 2);
        assert!(refused(&cut, &dataset).contains(name), "{name}");
    }
    let mut flipped = files.clone();
    flipped.get_mut("model.safetensors").and_then(|bytes| bytes.last_mut()).map(|byte| *byte ^= 1).expect("a byte");
    assert!(refused(&flipped, &dataset).contains("not what was fitted"));
    let mut newer = files.clone();
    let text = String::from_utf8(files["model.json"].clone()).expect("JSON");
    newer.insert("model.json".into(), text.replacen("\"version\": 3", "\"version\": 4", 1).into_bytes());
    assert!(refused(&newer, &dataset).contains("newer program"));
    assert!(refused(&files, &example(30, 13, 6, Taste::Genre, 3)).contains("another catalogue"));
    let served = LoadedModel::read(&files, dataset.clone()).expect("just written");
    assert_eq!(served.default_kind(), ModelKind::Network);
    let error = served.session(of_user(0), ModelKind::Ensemble).map(|_| ()).expect_err("none was fitted");
    assert!(error.to_string().contains("fit without --ensemble none"), "{error}");
}

#[test]
fn stored_keys_keep_their_names() {
    let dataset = example(30, 12, 6, Taste::Genre, 3);
    let files = fitted(&dataset, None, &[Split::Movies]);
    let model: serde_json::Value = serde_json::from_slice(&files["model.json"]).expect("JSON");
    let card = model["honest"][0].as_object().expect("one ensemble");
    assert_eq!(card.keys().collect::<Vec<_>>(), ["balance", "inner", "regime"]);
    assert_eq!(card["regime"]["kind"], "movies");
    #[derive(serde::Deserialize)]
    struct Stored {
        learned: std::collections::BTreeMap<String, serde::de::IgnoredAny>,
    }
    let stored: Stored = rmp_serde::from_slice(&files["honest-movies.msgpack"]).expect("MessagePack");
    let keys: Vec<&String> = stored.learned.keys().collect();
    assert_eq!(keys, ["balance", "inner", "members", "names", "seed", "settings"]);
}

#[test]
fn a_session_that_turns_to_another_user_answers_as_one_of_that_user() {
    let dataset = example(40, 24, 9, Taste::Genre, 3);
    let files = fitted(&dataset, None, &[Split::Pairs]);
    let mut turning = session(&files, &dataset, of_user(0), ModelKind::Ensemble);
    for user in [7, 0, 31] {
        let mut fresh = session(&files, &dataset, of_user(user), ModelKind::Ensemble);
        turning.turn_to(user).expect("a user of the dataset");
        let all: Vec<u32> = (0..24).collect();
        assert_eq!(turning.predict(&all).expect("known"), fresh.predict(&all).expect("known"));
        assert_eq!(turning.explain(3, 3).expect("known"), fresh.explain(3, 3).expect("known"));
        assert_eq!((turning.user(), turning.rated(3)), (user, fresh.rated(3)));
    }
    assert!(turning.turn_to(40).is_err());
}

#[test]
fn ensembles_read_trailers_of_the_fit_and_of_new_movies() {
    let dataset = example(30, 24, 9, Taste::Genre, 3);
    let spec = FitSpec {
        network: None,
        ensembles: vec![Split::Movies],
        trailers: Some(Modality::Video),
        seed: 3,
        left_out: vec![],
    };
    let features = features(&dataset);
    let request =
        FitRequest { dataset: &dataset, content: "hash".into(), features: &features, tables: vec![], spec: &spec };
    let files = fit_all(&request, 1, &GO, |_| {}).expect("it fits");
    let model = || LoadedModel::read(&files, dataset.clone()).expect("just written");
    assert!(model().reads_trailers(ModelKind::Ensemble) && !model().reads_trailers(ModelKind::Network));
    assert!(
        !LoadedModel::read(&fitted(&dataset, None, &[Split::Movies]), dataset.clone())
            .expect("just written")
            .reads_trailers(ModelKind::Ensemble)
    );
    assert!(String::from_utf8_lossy(&files["README.md"]).contains("Reads the video embeddings"));

    let new = Movie { id: "new".into(), name: "New".into(), ..Movie::default() };
    let of = |row: Option<Vec<f32>>| {
        let tables = row.map(|row| ("video".to_owned(), row)).into_iter().collect();
        let input = SessionInput { movies: vec![new.clone()], user: Some(2), ..SessionInput::default() };
        SessionInput { embeddings: [("new".to_owned(), tables)].into(), ..input }
    };
    let predict = |row: Option<Vec<f32>>| {
        let mut session = model().session(of(row), ModelKind::Ensemble)?;
        session.predict(&[24]).map(|predictions| predictions[0])
    };
    let table = features.video.as_ref().expect("of every movie");
    let comedy = table.row(1).expect("it has a row").to_vec();
    let without = predict(None).expect("a movie needs no trailer");
    let with = predict(Some(comedy.clone())).expect("as long as the others");
    assert_ne!(without, with, "the trailer tells its kind");
    let short = predict(Some(comedy[1..].to_vec())).expect_err("another model's embedding");
    assert!(short.to_string().contains("numbers"), "{short}");
}

#[test]
fn a_network_without_training_pairs_is_left_out_and_the_ensembles_stay() {
    let dataset = example(30, 24, 9, Taste::Genre, 3);
    let mut features = features(&dataset);
    // One unrated trailer alone has sound.
    let mut unrated = dataset.clone();
    unrated.ratings.retain(|rating| rating.movie != 7);
    let sound = features.audio.as_mut().expect("a table");
    sound.rows.iter_mut().enumerate().filter(|(movie, _)| *movie != 7).for_each(|(_, row)| *row = None);
    let fit = |ensembles: Vec<Split>, threads| {
        let network = Some(cell(Modality::AudioVideo, CLASSIFIER));
        let spec = FitSpec { network, ensembles, trailers: Some(Modality::AudioVideo), seed: 3, left_out: vec![] };
        let request =
            FitRequest { dataset: &unrated, content: "hash".into(), features: &features, tables: vec![], spec: &spec };
        fit_all(&request, threads, &GO, |_| {})
    };
    let files = fit(vec![Split::Pairs], 2).expect("the ensemble fits");
    assert_eq!(files, fit(vec![Split::Pairs], 1).expect("the ensemble fits"));
    let model = LoadedModel::read(&files, unrated.clone()).expect("just written");
    let card = &model.description.card;
    assert_eq!(card.left_out[0].part, "classifier on audio+video");
    assert!(card.left_out[0].reason.contains("0 of 2"), "{:?}", card.left_out);
    assert!(String::from_utf8_lossy(&files["README.md"]).contains("- classifier on audio+video: "));
    assert!(!files.contains_key("model.onnx") && model.default_kind() == ModelKind::Ensemble);
    assert!(model.check(ModelKind::Network, RankBy::Like).is_err());
    let nothing = fit(Vec::new(), 1).expect_err("no model is left").to_string();
    assert!(nothing.contains("too few to fit on"), "{nothing}");
}
