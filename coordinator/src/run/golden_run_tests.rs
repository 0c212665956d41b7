//! A finished run of an earlier version (`golden/finished_run`, without its pictures and cells)
//! goes on under this one. It was written by `jhalak run` over three clips and six movies on 30
//! November 2026.

use std::path::Path;

use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind};

use crate::artifacts::embedding_tables;
use crate::plan::{self, Plan};
use crate::run::testing::Bench;

const RUN: &str = "data-8fc8b3f3c10d";
/// The hashes of its tables, which are upstream of its cells.
const TABLES: [(ArtifactKind, &str, u64); 2] = [
    (ArtifactKind::VideoTable, "a5da27b08c60fc9ffa7139a295202b280a4efef1ae39b9ef5125990d19ff7c7a", 3),
    (ArtifactKind::AudioTable, "7a4a722732f551ec057ffd608744d38fa8942fe36021b5d086928ae3e3357098", 2),
];

/// A bench whose store is a copy of the golden one.
async fn bench() -> (Bench, Plan) {
    let bench = Bench::with_workers();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/run/golden/finished_run");
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a golden folder") {
            let path = entry.expect("a golden file").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let key = path.strip_prefix(&root).expect("it is below").to_str().expect("UTF-8").to_owned();
            bench.store.put(&key, std::fs::read(&path).expect("a golden file").into()).await.expect("room on disk");
        }
    }
    let plan = plan::load(bench.store.as_ref(), RUN).await.expect("a run");
    (bench, plan)
}

#[tokio::test]
async fn finished_run_of_an_earlier_version_extracts_nothing_and_keeps_its_tables() {
    let (bench, plan) = bench().await;
    let (summary, sent) = bench.drive(&plan).await;
    assert!(sent.iter().all(|id| !id.starts_with("extract-")), "{sent:?}");
    assert_eq!((summary.extracted, summary.trailers.committed), (0, 3));
    let tables: Vec<_> = summary.tables.iter().map(|t| (t.kind, t.sha256.to_string(), t.rows)).collect();
    assert_eq!(tables, TABLES.map(|(kind, hash, rows)| (kind, hash.to_owned(), rows)));
    assert_eq!(summary.tables[1].without, ["tt9900001"]);
}

#[tokio::test]
async fn table_that_is_gathered_again_has_the_bytes_of_the_earlier_version() {
    let (bench, plan) = bench().await;
    let store = bench.store.as_ref();
    let (kind, source) = plan.embeddings().last().expect("audio embeddings");
    let (key, found) = embedding_tables::find(store, &plan, kind, source).await.expect("readable").expect("committed");
    let found = found.expect("a table");
    let record = artifact::committed(store, &key).await.expect("readable").expect("a table");
    for place in [key.commit(), record.files[0].key(&key)] {
        store.delete(&place).await.expect("a folder that can be written");
    }
    let again = embedding_tables::gather(store, &plan, kind, source).await.expect("readable").expect("a table");
    assert_eq!((again.recipe, again.sha256), (found.recipe, found.sha256));
    assert_eq!(ArtifactKey { kind, recipe: again.recipe, subject: again.subject }, key);
}
