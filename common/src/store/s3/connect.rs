//! Builds the client: endpoint, region, credentials, TLS and timeouts.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};

use super::key_files::KeyFiles;
use crate::error::{Error, Result};
use crate::redact::is_unambiguous;
use crate::settings::S3Settings;
use crate::settings::ca_file;

/// A client, and facts of its server for errors and listings.
pub(super) struct Connection {
    pub client: Client,
    /// The endpoint without credentials, or "AWS S3 in REGION".
    pub server: String,
    /// Whether it is AWS's own S3.
    pub aws: bool,
}

/// Prepares a client. No request is sent to S3; on AWS the region may come from the machine's
/// metadata service.
pub(super) async fn connect(settings: &S3Settings) -> Result<Connection> {
    // The SDK's variables are read too, because path-style addressing depends on them.
    let endpoint = settings
        .endpoint
        .clone()
        .or_else(|| environment("AWS_ENDPOINT_URL_S3"))
        .or_else(|| environment("AWS_ENDPOINT_URL"));
    let server = endpoint.as_deref().map(check_endpoint).transpose()?;

    // Certificate authorities of the operating system or SSL_CERT_FILE, and the additional ones.
    let mut trusted = TrustStore::default();
    if let Some(file) = &settings.ca_file {
        trusted.add_pem_certificate(ca_file::authorities("s3.ca_file", file)?);
    }
    let context = TlsContext::builder().with_trust_store(trusted).build();
    let context = context.map_err(|e| Error::bug("the TLS settings cannot be used").with_source(e))?;
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    let http = http.tls_context(context).build_https();

    let mut region = RegionProviderChain::first_try(settings.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new());
    if endpoint.is_none() {
        // Without a client of its own it panics.
        let machine = ProviderConfig::without_region().with_http_client(http.clone());
        region = region.or_else(ImdsRegionProvider::builder().configure(&machine).build());
    }
    let region = region.or_else(Region::new("us-east-1")).region().await.unwrap_or_else(|| Region::new("us-east-1"));

    let timeouts =
        TimeoutConfig::builder().connect_timeout(Duration::from_millis(settings.connect_timeout_ms.max(1))).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(files) = KeyFiles::of(settings) {
        loader = loader.credentials_provider(files);
    }
    let shared = loader.http_client(http).region(region.clone()).timeout_config(timeouts).load().await;

    let mut config = aws_sdk_s3::config::Builder::from(&shared)
        // The SDK's retries hide lost answers, and its shared retry budget ends early in a long
        // outage.
        .retry_config(RetryConfig::disabled())
        // Its minimum throughput ends healthy but slow transfers; `attempts` detects stalls
        // instead.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Servers other than AWS do not know the newer checksums. The signature covers the body in
        // any case.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(endpoint) = &endpoint {
        config = config.endpoint_url(endpoint).force_path_style(true);
    }
    let aws = endpoint.is_none();
    let server = server.unwrap_or_else(|| format!("AWS S3 in {region}"));
    Ok(Connection { client: Client::from_conf(config.build()), server, aws })
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Checks the endpoint and returns it for display.
fn check_endpoint(endpoint: &str) -> Result<String> {
    let wrong = |why: &str| {
        Error::invalid(format!("the S3 endpoint (setting s3.endpoint) {why}: write http://host:port or https://host"))
    };
    let url = url::Url::parse(endpoint).map_err(|e| wrong("is not a URL").with_source(e))?;
    if !is_unambiguous(endpoint) {
        return Err(wrong("can be read in two ways"));
    }
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("is not an http or https URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("holds credentials, which come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"));
    }
    Ok(url.as_str().trim_end_matches('/').to_string())
}
