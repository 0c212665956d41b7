//! The object store on S3 keeps the promises of every store, on a real server.

use jhalak_common::Result;
use jhalak_common::store::conformance;
use jhalak_tests::s3_server;

#[tokio::test(flavor = "multi_thread")]
async fn conforms() -> Result<()> {
    let Some(server) = s3_server::from_environment() else { return Ok(()) };
    let scratch = tempfile::tempdir()?;
    let store = server.store("conforms", None).await?;
    conformance::run(&store, "conformance", scratch.path(), 1_100).await
}
