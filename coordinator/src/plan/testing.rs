//! A small plan and its artifacts, for unit tests.

use std::sync::Arc;

use jhalak_common::artifact::embedding_file as embedding;
use jhalak_common::artifact::{self, ArtifactKind, Body, Commit, Recipe, Subject};
use jhalak_common::compact::Packed;
use jhalak_common::dataset::{Dataset, Layout, Movie, Reading};
use jhalak_common::evaluation::{CellSpec, FitSpec, Modality, Model, Split, UserEmbedding};
use jhalak_common::hash;
use jhalak_common::run::job::Trailer;
use jhalak_common::run::{RUN_VERSION, RunSpec, TrailerList};
use jhalak_common::settings::Grid;
use jhalak_common::store::ObjectStore;
use jhalak_common::store::local::LocalStore;
use serde_json::json;

use crate::plan::Plan;

/// An empty store in a temporary folder, which is removed when the first value is dropped.
pub(crate) fn empty_store() -> (tempfile::TempDir, Arc<dyn ObjectStore>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = LocalStore::open(folder.path()).expect("a folder");
    (folder, Arc::new(store))
}

/// A run over `trailers` movies: keyframes, video and audio embeddings, a baseline, a video cell
/// and the final model.
pub(crate) fn plan(trailers: usize) -> Plan {
    let subject =
        |i: usize| Subject { id: format!("m{i}"), content: hash::of_bytes(format!("trailer {i}").as_bytes()) };
    let trailer = |i: usize| Trailer {
        subject: subject(i),
        store: "file:///dataset".into(),
        key: format!("trailers/m{i}.mp4"),
        size: 100 + i as u64,
        tag: None,
    };
    let recipe = |kind| Recipe::new(kind, json!({})).expect("parameters");
    let keyframes = recipe(ArtifactKind::Keyframes);
    let mut video = recipe(ArtifactKind::VideoEmbedding);
    video.upstream = vec![keyframes.hash()];
    let recipes = vec![keyframes, video, recipe(ArtifactKind::AudioEmbedding)];
    let cell = |modality, model| {
        let mut cell = CellSpec::strict(Split::Pairs, modality, model, UserEmbedding::Liked, true);
        cell.folds = 2;
        cell
    };
    let network = cell(Modality::AudioVideo, Model::Classifier { heads: 4 });
    let trailers: Packed<Trailer> = (0..trailers).map(trailer).collect();
    let spec = RunSpec {
        version: RUN_VERSION,
        id: "films-0123456789ab".into(),
        dataset_url: "/dataset".into(),
        dataset: super::normal_form::NormalForm::of(&empty_reading().dataset).expect("JSON").subject.clone(),
        synthetic: true,
        trailers: super::trailers_hash(&trailers).expect("JSON"),
        trailer_shards: Vec::new(),
        recipes,
        cells: vec![cell(Modality::Genre, Model::Majority), cell(Modality::Video, Model::Ann)],
        grid: Grid::Standard,
        fit: Some(FitSpec {
            network: Some(network),
            ensembles: vec![Split::Pairs],
            trailers: None,
            seed: 1,
            left_out: vec![],
        }),
        models: Vec::new(),
        slot: None,
        only: None,
        given: Vec::new(),
        table_precision: Default::default(),
        created: jiff::Timestamp::now(),
    };
    Plan { spec, trailers: TrailerList { version: RUN_VERSION, trailers } }
}

/// Commits an artifact with fixed bytes: embeddings that can be gathered, one file for everything
/// else. Returns whether this call committed it.
pub(crate) async fn commit_one(store: &dyn ObjectStore, recipe: &Recipe, subject: &Subject) -> bool {
    let (name, bytes) = match recipe.kind {
        ArtifactKind::VideoEmbedding | ArtifactKind::AudioEmbedding => (
            embedding::FILE,
            embedding::encode(&[1.0, subject.id.len() as f32], None, &json!({})).expect("an embedding"),
        ),
        _ => ("bytes", subject.id.clone().into()),
    };
    let files = vec![(name, Body::Bytes(bytes))];
    artifact::commit(store, recipe, subject, files, json!({})).await.expect("room on disk") == Commit::Committed
}

/// A dataset of one movie without ratings.
pub(crate) fn empty_reading() -> Reading {
    let dataset = Dataset {
        name: "films".into(),
        synthetic: true,
        movies: [Movie { id: "m0".into(), ..Movie::default() }].into(),
        users: Vec::new(),
        ratings: Vec::new(),
        times: Vec::new(),
        genres: Vec::new(),
    };
    Reading {
        dataset,
        layout: Layout::Plain,
        read_as: String::new(),
        notes: Vec::new(),
        note: None,
        trailers: Default::default(),
        other_trailers: Default::default(),
        stated: Default::default(),
        rejects: Vec::new(),
        rejected: 0,
        users_without_ratings: 0,
    }
}
