//! The object store in a folder keeps the promises of every store.

use std::sync::Arc;

use jhalak_common::Result;
use jhalak_common::store::local::LocalStore;
use jhalak_common::store::{ObjectStore, conformance};

#[tokio::test(flavor = "multi_thread")]
async fn conforms() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::open(folder.path().join("new/store"))?);
    let scratch = tempfile::tempdir()?;
    conformance::run(&store, "conformance", scratch.path(), 1_100).await
}
