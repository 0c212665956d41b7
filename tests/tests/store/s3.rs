//! The object store on S3 keeps the promises of every store, on a real server.

use jhalak_common::Result;
use jhalak_common::settings::S3Settings;
use jhalak_common::store;
use jhalak_common::store::conformance;
use jhalak_tests::certificates;
use jhalak_tests::s3_server::{self, OwnServer};

#[tokio::test(flavor = "multi_thread")]
async fn conforms() -> Result<()> {
    let Some(server) = s3_server::from_environment() else { return Ok(()) };
    let scratch = tempfile::tempdir()?;
    let store = server.store("conforms", None).await?;
    conformance::run(&store, "conformance", scratch.path(), 1_100).await
}

/// `https` with an authority of one's own: trusted where the setting names it, refused where
/// nothing does.
#[tokio::test(flavor = "multi_thread")]
async fn tls_accepts_a_private_certificate_authority() -> Result<()> {
    if s3_server::from_environment().is_none() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let Some(authority) = certificates::make(folder.path()) else { return Ok(()) };
    let own = tokio::task::spawn_blocking(|| OwnServer::start_in(folder)).await.expect("it starts");
    let url = format!("s3://{}/tls", own.server.bucket);
    let endpoint = Some(own.printed_value("S3_HTTPS_ENDPOINT="));
    let trusting = S3Settings { endpoint: endpoint.clone(), ca_file: Some(authority), ..S3Settings::default() };
    let store = store::open(&url, &trusting).await?;
    store.put("film", "over TLS".into()).await?;
    assert_eq!(store.get("film").await?, "over TLS");
    let strange = S3Settings { endpoint, attempts: 2, ..S3Settings::default() };
    let error = store::open(&url, &strange).await?.get("film").await.expect_err("nobody trusts this authority");
    assert!(error.chain().contains("certificate"), "{}", error.chain());
    tokio::task::spawn_blocking(move || drop(own)).await.expect("it stops");
    Ok(())
}
