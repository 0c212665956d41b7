//! One request to a web server: resolve, check the address, connect to that address, TLS, HTTP/1.1.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, HOST, RANGE, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::{Error, Result};

/// How long the server may be silent in any step.
const SILENCE: Duration = Duration::from_secs(30);

/// A web server.
pub(super) struct Server {
    host: String,
    port: u16,
    may_connect: fn(IpAddr) -> bool,
    authorities: Arc<RootCertStore>,
}

/// Returns the authorities that this machine trusts.
///
/// # Errors
/// Unable if there are none.
pub(super) fn trusted() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // A certificate that cannot be read is not trusted.
        let _ = roots.add(certificate);
    }
    match roots.is_empty() {
        true => Err(Error::unable("this machine trusts no certificate authority: install ca-certificates")),
        false => Ok(roots),
    }
}

/// Waits for a step of `server`.
///
/// # Errors
/// Transient if it does not happen in time.
pub(super) async fn with_timeout<T>(step: &str, server: &str, doing: impl Future<Output = T>) -> Result<T> {
    let silent = |_| Error::transient(format!("no answer within {} s: {step} {server}", SILENCE.as_secs()));
    tokio::time::timeout(SILENCE, doing).await.map_err(silent)
}

impl Server {
    pub(super) fn new(host: String, port: u16, may_connect: fn(IpAddr) -> bool, authorities: RootCertStore) -> Server {
        Server { host, port, may_connect, authorities: Arc::new(authorities) }
    }

    /// Returns the server's URL.
    pub(super) fn url(&self) -> String {
        let port = if self.port == 443 { String::new() } else { format!(":{}", self.port) };
        format!("https://{}{port}", self.host)
    }

    /// Sends a request for `key` and returns the response. With `first_byte`, asks for one byte.
    pub(super) async fn request(&self, method: Method, key: &str, first_byte: bool) -> Result<Response<Incoming>> {
        let url = self.url();
        let stream = self.connect().await?;
        let name = ServerName::try_from(self.host.trim_matches(['[', ']']).to_owned())
            .map_err(|e| Error::invalid(format!("{url} is not the name of a server")).with_source(e))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|e| Error::bug("the TLS settings").with_source(e))?;
        let config = config.with_root_certificates(self.authorities.clone()).with_no_client_auth();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = with_timeout("TLS with", &url, connecting)
            .await?
            .map_err(|e| Error::permission(format!("{url} cannot be trusted, or does not speak TLS")).with_source(e))?;
        let cut = |e: hyper::Error| Error::transient(format!("{url} cut the connection")).with_source(e);
        let (mut sender, connection) =
            with_timeout("HTTP with", &url, hyper::client::conn::http1::handshake(TokioIo::new(stream)))
                .await?
                .map_err(cut)?;
        // Ends with the response.
        tokio::spawn(connection);
        let authority = url.trim_start_matches("https://");
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/{key}"))
            .header(HOST, authority)
            .header(USER_AGENT, concat!("jhalak/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT_ENCODING, "identity");
        if first_byte {
            request = request.header(RANGE, "bytes=0-0");
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|e| Error::invalid(format!("{url}: the path cannot be requested")).with_source(e))?;
        with_timeout("the response of", &url, sender.send_request(request)).await?.map_err(cut)
    }

    /// Connects to the first address of the host that may be connected to: the address that was
    /// checked, not the name again.
    async fn connect(&self) -> Result<TcpStream> {
        let url = self.url();
        let host = self.host.trim_matches(['[', ']']);
        let looked_up = with_timeout("the address of", &url, tokio::net::lookup_host((host, self.port))).await?;
        let found: Vec<SocketAddr> = looked_up
            .map_err(|e| Error::transient(format!("the address of {url} cannot be looked up")).with_source(e))?
            .collect();
        let allowed: Vec<SocketAddr> = found.iter().copied().filter(|at| (self.may_connect)(at.ip())).collect();
        if allowed.is_empty() && !found.is_empty() {
            return Err(Error::permission(format!(
                "{url} has no public address, and private ones are not connected to: fetch its trailers first"
            )));
        }
        let mut last = Error::transient(format!("{url} has no address"));
        for address in allowed {
            match with_timeout("connecting to", &url, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(e)) => last = Error::transient(format!("cannot connect to {url}")).with_source(e),
                Err(silent) => last = silent,
            }
        }
        Err(last)
    }
}
