//! Trailers on web servers, read over HTTPS: only from hosts that a setting allows, never from
//! private addresses, never elsewhere by a redirect, and within limits of size and time.

mod addresses;
mod connection;

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderName, LAST_MODIFIED, LOCATION};
use hyper::{Method, Response, StatusCode};
use rustls::RootCertStore;
use tokio::fs::File;
use tokio::io::{AsyncWriteExt, BufWriter};

use super::interface::{ObjectMeta, ObjectStore, PutOutcome};
use crate::error::{Error, Result};
use crate::settings::SourceSettings;

pub use addresses::is_public;
use connection::{Server, with_timeout};

/// Tries of a transfer.
const ATTEMPTS: u32 = 3;

/// Pause before a transfer is tried again, times the number of tries.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// The files of one web server.
#[derive(Clone)]
pub struct HttpsSource {
    server: Arc<Server>,
    max_bytes: u64,
}

impl HttpsSource {
    /// Opens the server of `url`, `https://host` or `https://host:port`.
    ///
    /// # Errors
    /// Permission if sources.https_hosts does not list the host; InvalidInput if the URL is not one
    /// of a host alone.
    pub fn open(url: &str, settings: &SourceSettings) -> Result<HttpsSource> {
        HttpsSource::open_where(url, settings, is_public, connection::trusted()?)
    }

    /// Like [`HttpsSource::open`], with the addresses that may be connected to and the authorities
    /// that are trusted: for tests, whose servers have private addresses.
    ///
    /// # Errors
    /// Those of [`HttpsSource::open`].
    pub fn open_where(
        url: &str,
        settings: &SourceSettings,
        may_connect: fn(IpAddr) -> bool,
        authorities: RootCertStore,
    ) -> Result<HttpsSource> {
        let (host, port) = host_and_port(url)?;
        if !settings.allows(&host, port) {
            return Err(Error::permission(format!(
                "the host {host} is not allowed: add it to the setting sources.https_hosts, or fetch its trailers first"
            )));
        }
        let server = Server::new(host, port, may_connect, authorities);
        Ok(HttpsSource { server: Arc::new(server), max_bytes: u64::from(settings.https_max_mb) << 20 })
    }

    fn refuse<T>(&self) -> Result<T> {
        Err(Error::permission(format!("{} is only read for trailers", self.server.url())))
    }

    /// Returns the response to a request for `key` if it is a success.
    fn succeeded(&self, key: &str, response: Response<Incoming>) -> Result<Response<Incoming>> {
        let (status, server) = (response.status(), self.server.url());
        if status.is_success() {
            return Ok(response);
        }
        let answer = format!("{server} answers {status} for {}", key.escape_debug());
        Err(match status {
            _ if status.is_redirection() => {
                let to = header(&response, &LOCATION).and_then(|to| host_of(&to, &server)).unwrap_or_default();
                Error::invalid(format!(
                    "{answer}: it redirects{to}, and redirects are not followed: name the final location"
                ))
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => Error::not_found(answer),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Error::permission(format!("{answer}: only files that everybody may read are fetched"))
            }
            _ if status.is_server_error()
                || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status) =>
            {
                Error::transient(answer)
            }
            _ => Error::invalid(answer),
        })
    }

    /// Reads size and tag from a response. The tag is the ETag, else the time of the last change;
    /// empty if there is neither.
    fn meta(&self, key: &str, response: &Response<Incoming>, size: Option<u64>) -> Result<ObjectMeta> {
        let at = format!("{}/{key}", self.server.url());
        if let Some(encoding) = header(response, &CONTENT_ENCODING).filter(|encoding| encoding != "identity") {
            return Err(Error::invalid(format!("{at} is sent encoded ({})", encoding.escape_debug())));
        }
        let size = size.ok_or_else(|| Error::invalid(format!("{at}: the server does not state the length")))?;
        if size > self.max_bytes {
            return Err(Error::invalid(format!(
                "{at} has {size} bytes, more than {} MB: raise sources.https_max_mb, or fetch it first",
                self.max_bytes >> 20
            )));
        }
        let tag = header(response, &ETAG).or_else(|| header(response, &LAST_MODIFIED)).unwrap_or_default();
        Ok(ObjectMeta { key: key.to_owned(), size, tag })
    }

    /// Downloads a file once.
    async fn fetch(&self, key: &str, to: &Path, tag: Option<&str>) -> Result<ObjectMeta> {
        let response = self.succeeded(key, self.server.request(Method::GET, key, false).await?)?;
        let length = header(&response, &CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let meta = self.meta(key, &response, length)?;
        if tag.is_some_and(|tag| tag != meta.tag) {
            return Err(Error::invalid("its content was replaced since the run was planned: submit again"));
        }
        let writing = |e: std::io::Error| Error::from(e).context(format_args!("cannot write {}", to.display()));
        let mut file = BufWriter::with_capacity(1 << 20, File::create(to).await.map_err(writing)?);
        let (mut body, mut arrived) = (response.into_body(), 0u64);
        let cut =
            |reason: &dyn fmt::Display| Error::transient(format!("{} cut the transfer: {reason}", self.server.url()));
        while let Some(frame) = with_timeout("the next bytes of", &self.server.url(), body.frame()).await? {
            let frame = frame.map_err(|e| cut(&e))?;
            let Some(bytes) = frame.data_ref() else { continue };
            arrived += bytes.len() as u64;
            if arrived > meta.size {
                return Err(Error::invalid(format!("{}: more bytes than it states", self.server.url())));
            }
            file.write_all(bytes).await.map_err(writing)?;
        }
        if arrived != meta.size {
            return Err(cut(&format!("{arrived} of {} bytes arrived", meta.size)));
        }
        file.flush().await.map_err(writing)?;
        Ok(meta)
    }
}

#[async_trait]
impl ObjectStore for HttpsSource {
    fn url(&self) -> String {
        self.server.url()
    }

    async fn get(&self, _: &str) -> Result<Bytes> {
        self.refuse()
    }

    async fn download(&self, key: &str, to: &Path, tag: Option<&str>) -> Result<ObjectMeta> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.fetch(key, to, tag).await {
                Ok(meta) => return Ok(meta),
                Err(error) if error.kind().is_transient() && attempt < ATTEMPTS => {
                    tracing::debug!(key, error = %error.chain(), "fetching again");
                    tokio::time::sleep(PAUSE * attempt).await;
                }
                Err(error) => {
                    // An incomplete file is useless; an error of its removal adds nothing.
                    let _ = tokio::fs::remove_file(to).await;
                    return Err(error);
                }
            }
        }
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta> {
        let mut response = self.server.request(Method::HEAD, key, false).await?;
        // Some servers answer GET alone.
        if [StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED].contains(&response.status()) {
            response = self.server.request(Method::GET, key, true).await?;
        }
        let response = self.succeeded(key, response)?;
        let total = header(&response, &CONTENT_RANGE).and_then(|range| range.rsplit('/').next()?.parse().ok());
        let length = total.or_else(|| header(&response, &CONTENT_LENGTH)?.parse().ok());
        self.meta(key, &response, length)
    }

    async fn put(&self, _: &str, _: Bytes) -> Result<()> {
        self.refuse()
    }

    async fn put_if_absent(&self, _: &str, _: Bytes) -> Result<PutOutcome> {
        self.refuse()
    }

    async fn upload(&self, _: &str, _: &Path) -> Result<()> {
        self.refuse()
    }

    fn list(&self, _: &str) -> BoxStream<'_, Result<ObjectMeta>> {
        futures::stream::iter([self.refuse()]).boxed()
    }

    async fn delete(&self, _: &str) -> Result<()> {
        self.refuse()
    }
}

impl fmt::Debug for HttpsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpsSource({})", self.server.url())
    }
}

fn header(response: &Response<Incoming>, name: &HeaderName) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// Returns the host of a redirect for a message: nothing else of its location, which may hold
/// secrets.
fn host_of(location: &str, server: &str) -> Option<String> {
    let url = url::Url::parse(location).or_else(|_| url::Url::parse(server)?.join(location)).ok()?;
    Some(format!(" to {}", url.host_str()?))
}

/// Splits `https://host:port` into the host, in lower case, and the port.
fn host_and_port(url: &str) -> Result<(String, u16)> {
    let wrong =
        || Error::invalid("a location on a web server must be https://HOST/PATH, without user, password and query");
    let parsed = url::Url::parse(url).map_err(|_| wrong())?;
    let is_plain = crate::redact::is_unambiguous(url) && parsed.username().is_empty() && parsed.password().is_none();
    match (parsed.host_str(), parsed.port_or_known_default()) {
        (Some(host), Some(port)) if parsed.scheme() == "https" && is_plain => Ok((host.to_ascii_lowercase(), port)),
        _ => Err(wrong()),
    }
}

/// Splits `https://host/path` into the server and the path as its requests write it.
///
/// # Errors
/// InvalidInput if it is not such a location, or has a user, a query or a fragment.
pub fn split(location: &str) -> Result<(String, String)> {
    let (host, port) = host_and_port(location)?;
    let wrong = || Error::invalid("a location on a web server must name a file, without query and fragment");
    let parsed = url::Url::parse(location).map_err(|_| wrong())?;
    let path = parsed.path().trim_start_matches('/').to_owned();
    if path.is_empty() || parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(wrong());
    }
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    Ok((format!("https://{host}{port}"), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_split_and_anything_with_secrets_is_refused() {
        for (location, server, path) in [
            ("https://cdn.example.com/a/b%20c.mp4", "https://cdn.example.com", "a/b%20c.mp4"),
            ("https://CDN.example.com:8443/x y.mkv", "https://cdn.example.com:8443", "x%20y.mkv"),
            ("https://example.com/../a/./b.mp4", "https://example.com", "a/b.mp4"),
        ] {
            assert_eq!(split(location).expect(location), (server.to_owned(), path.to_owned()));
        }
        for location in [
            "http://example.com/a.mp4",
            "https://user:secret@example.com/a.mp4",
            "https://example.com/a.mp4?token=secret",
            "https://example.com/a.mp4#secret",
            "https://example.com/",
            "https:///a.mp4",
            "https://example.com/x@secret",
        ] {
            let error = split(location).expect_err(location).chain();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn only_listed_hosts_are_opened() {
        let hosts = ["cdn.example.com".to_owned(), "Other.example:8443".to_owned()].to_vec();
        let settings = SourceSettings { https_hosts: hosts, ..SourceSettings::default() };
        let open = |url: &str| HttpsSource::open_where(url, &settings, is_public, RootCertStore::empty());
        for url in ["https://cdn.example.com", "https://CDN.EXAMPLE.com:443", "https://other.example:8443"] {
            assert!(open(url).is_ok(), "{url}");
        }
        for url in [
            "https://example.com",
            "https://cdn.example.com:8443",
            "https://other.example",
            "https://x.cdn.example.com",
        ] {
            let error = open(url).expect_err(url).chain();
            assert!(error.contains("sources.https_hosts"), "{error}");
        }
    }
}
