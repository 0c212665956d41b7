//! Writes a store with a catalogue, a table of embeddings and the two training jobs that read it.

use std::collections::BTreeMap;
use std::path::Path;

use jhalak_common::artifact::table::{self, ShardedWriter};
use jhalak_common::artifact::table_file::{self, TableWriter};
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, Body, Recipe, Subject};
use jhalak_common::dataset::{Dataset, Label, Movie, Rating, User};
use jhalak_common::evaluation::{CellSpec, EmbeddingSource, FitSpec, Modality, Model, Split, UserEmbedding};
use jhalak_common::hash;
use jhalak_common::run::dataset_key;
use jhalak_common::run::job::{CellTask, FitTask, Job, Task};
use jhalak_common::settings::TablePrecision;
use jhalak_common::store::ObjectStore;
use jhalak_common::store::local::LocalStore;
use serde_json::json;

/// Numbers of an embedding: those of EfficientNet-Lite0, or `DIM`.
fn dim() -> usize {
    std::env::var("DIM").ok().and_then(|dim| dim.parse().ok()).unwrap_or(1280)
}

/// Movies with a rating, spread evenly over the catalogue.
const RATED: usize = 1_000;
const USERS: usize = 500;
/// Ratings of a user.
const EACH: usize = 40;

/// The id of a movie of the catalogue.
pub fn movie_id(movie: usize) -> String {
    format!("tt{movie:08}")
}

/// The number of trailers in the store of `folder`.
pub fn count(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("trailers")).expect("it was made")
}

/// Writes the store `folder/store`, and the jobs `cell.json` and `fit.json`.
pub async fn store(folder: &Path, trailers: usize, one_file: bool) {
    std::fs::write(folder.join("trailers"), trailers.to_string()).expect("room on disk");
    let store = LocalStore::open(folder.join("store")).expect("a folder");
    let json = catalogue(trailers).canonical_json().expect("JSON");
    let dataset = Subject { id: "generated".into(), content: hash::of_bytes(json.as_bytes()) };
    store.put(&dataset_key(&dataset.content), json.into()).await.expect("room on disk");
    let table = table(&store, folder, trailers, one_file).await;

    let mut cell = CellSpec::strict(Split::Pairs, Modality::Video, Model::Ann, UserEmbedding::Liked, true);
    cell.training.fit.epochs = 1;
    let mut recipe = Recipe::new(ArtifactKind::Cell, json!({ "cell": cell, "fold": 0 })).expect("JSON");
    recipe.upstream = vec![table.subject.content];
    let tables = BTreeMap::from([(ArtifactKind::VideoTable, table.recipe)]);
    let (table_subject, subjects) = (table.subject, BTreeMap::new());
    let task = CellTask {
        dataset: dataset.clone(),
        cell: cell.clone(),
        fold: 0,
        recipe,
        tables: tables.clone(),
        table_subject: table_subject.clone(),
        subjects: subjects.clone(),
    };
    write(folder, "cell", &store, Task::Cell(Box::new(task)));

    cell.embedding = EmbeddingSource::GenreHead;
    let fit = FitSpec { network: Some(cell), ensembles: vec![Split::Pairs], trailers: None, seed: 1, left_out: vec![] };
    let mut recipe = Recipe::new(ArtifactKind::Model, json!({ "fit": fit })).expect("JSON");
    recipe.upstream = vec![table_subject.content];
    let task = FitTask { dataset, fit, recipe, tables, table_subject, subjects };
    write(folder, "fit", &store, Task::Fit(Box::new(task)));
}

fn write(folder: &Path, name: &str, store: &LocalStore, task: Task) {
    let job = Job::new(name, "run", store.url(), task).encode().expect("JSON");
    std::fs::write(folder.join(format!("{name}.json")), job).expect("room on disk");
}

fn catalogue(trailers: usize) -> Dataset {
    let genres = ["Action", "Comedy", "Drama", "Horror", "Romance"];
    let movie = |i: usize| Movie {
        id: movie_id(i),
        name: format!("Movie {i}"),
        genres: vec![genres[i % 5].to_owned(), genres[(i / 5) % 5].to_owned()],
        description: format!("A {} about number {}", genres[i % 5].to_lowercase(), i % 997),
        languages: vec!["Hindi".to_owned()],
        year: Some(1980 + (i % 40) as i32),
        ..Movie::default()
    };
    let rated = RATED.min(trailers);
    let step = trailers / rated;
    let mut ratings = Vec::new();
    for user in 0..USERS {
        let mut movies: Vec<usize> = (0..EACH).map(|i| (user * 37 + i * 7) % rated).collect();
        movies.sort_unstable();
        movies.dedup();
        for movie in movies {
            let label = Label::ALL[(user * 5 + movie * 3 + user * movie / 7) % 3];
            ratings.push(Rating { user: user as u32, movie: (movie * step) as u32, label, half_stars: None });
        }
    }
    Dataset {
        name: "generated".into(),
        synthetic: true,
        movies: (0..trailers).map(movie).collect(),
        users: (0..USERS).map(|i| User { id: format!("u{i:04}"), ..User::default() }).collect(),
        ratings,
        times: Vec::new(),
        genres: genres.map(str::to_owned).to_vec(),
    }
}

/// Commits the table of all trailers, in shards or as earlier versions wrote it.
async fn table(store: &LocalStore, folder: &Path, trailers: usize, one_file: bool) -> ArtifactKey {
    let scratch = folder.join("table");
    std::fs::create_dir(&scratch).expect("room on disk");
    // Rows differ in a few numbers: drawing a billion would take longer than everything that is
    // measured.
    let dim = dim();
    let pool: Vec<f32> = (0..dim + 997).map(|i| ((i * 7919) % 1009) as f32 / 504.5 - 1.0).collect();
    let mut row = vec![0.0; dim];
    let mut vector = |movie: usize| {
        row.copy_from_slice(&pool[movie % 997..movie % 997 + dim]);
        row[movie % dim] += 1.0;
        row.clone()
    };
    let subject = Subject { id: "generated".into(), content: hash::of_bytes(trailers.to_string().as_bytes()) };
    let recipe = |params| Recipe::new(ArtifactKind::VideoTable, params).expect("JSON");
    let recipe = if one_file {
        let path = scratch.join(table_file::FILE);
        let mut writer = TableWriter::create(&path, dim, TablePrecision::Float32).expect("a new file");
        (0..trailers).for_each(|i| writer.push(&movie_id(i), &vector(i)).expect("room on disk"));
        writer.finish().expect("room on disk");
        let recipe = recipe(json!({}));
        let facts = json!({ "rows": trailers, "without": [] });
        let files = vec![(table_file::FILE, Body::File(path))];
        artifact::commit(store, &recipe, &subject, files, facts).await.expect("room on disk");
        recipe
    } else {
        let mut writer = ShardedWriter::new(&scratch, trailers, TablePrecision::Float32);
        (0..trailers).for_each(|i| writer.push(&movie_id(i), &vector(i)).expect("room on disk"));
        let recipe = recipe(table::params(trailers, TablePrecision::Float32));
        writer.commit(store, &recipe, &subject, json!({ "without": [] })).await.expect("room on disk");
        recipe
    };
    std::fs::remove_dir_all(&scratch).expect("its own folder");
    ArtifactKey::new(&recipe, &subject)
}

/// Makes the fitted model that of `jhalak predict`.
pub async fn point_to(store: &dyn ObjectStore, key: &ArtifactKey) {
    jhalak_coordinator::artifacts::fitted_model::point_to(store, key, None).await.expect("room on disk");
}
