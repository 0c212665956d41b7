//! The broker's address: parsing its URL, connecting, and errors of a failed connection.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapin::tcp::{AMQPUriTcpExt, TLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};
use tokio::time::timeout;

use super::fault::{self, Fault};
use super::greeting;
use super::session::Session;
use super::topology::Topology;
use crate::error::{Error, Result};
use crate::process::Identity;
use crate::settings::QueueSettings;
use crate::settings::{ca_file, secret_file};

/// Timeout for declaring the topology: each quorum queue elects a leader first.
const DECLARE_TIMEOUT: Duration = Duration::from_secs(30);

/// The broker and how to reach it.
pub(super) struct Address {
    uri: AMQPUri,
    /// The file with the URL, whose user and password may change.
    url_file: Option<PathBuf>,
    /// `host:port`, for messages. Never the password.
    pub(super) host: String,
    timeout: Duration,
    /// Certificate authorities in PEM, in addition to those of the machine.
    authorities: Option<Arc<str>>,
    /// Whether a session was ever opened: a virtual host that was there may come back.
    was_open: AtomicBool,
}

impl Address {
    pub(super) fn parse(url: &str, settings: &QueueSettings) -> Result<Self> {
        let advice = "write amqp://user:password@host:port/vhost, with special characters of the password as %XX";
        // The parser's message may contain the URL, and so the password.
        let mut uri: AMQPUri =
            url.parse().map_err(|_| Error::invalid(format!("the queue's URL cannot be read: {advice}")))?;
        let parsed =
            url::Url::parse(url).map_err(|_| Error::invalid(format!("the queue's URL cannot be read: {advice}")))?;
        if let Some(host) = parsed.host_str().filter(|host| !host.is_empty()) {
            // lapin would connect to localhost instead of an IPv6 address.
            uri.authority.host = host.trim_start_matches('[').trim_end_matches(']').to_string();
        }
        uri.query.heartbeat.get_or_insert(settings.heartbeat_s);
        let host = format!("{}:{}", parsed.host_str().unwrap_or("localhost"), uri.authority.port);
        let authorities =
            settings.ca_file.as_deref().map(|file| ca_file::authorities("rabbitmq.ca_file", file)).transpose()?;
        let timeout = Duration::from_millis(settings.connect_timeout_ms);
        let url_file = settings.url_file.clone();
        Ok(Address {
            uri,
            url_file,
            host,
            timeout,
            authorities: authorities.map(Arc::from),
            was_open: AtomicBool::new(false),
        })
    }

    /// Returns the URI with the user and the password that its file holds now. A file that cannot
    /// be used leaves them as they were.
    fn current(&self) -> AMQPUri {
        let mut uri = self.uri.clone();
        let Some(file) = &self.url_file else { return uri };
        match secret_file::read("queue_file", file).map(|url| url.parse::<AMQPUri>()) {
            Ok(Ok(read)) => uri.authority.userinfo = read.authority.userinfo,
            // Its message may hold the URL.
            Ok(Err(_)) => {
                tracing::warn!(file = %file.display(), "queue_file does not hold a queue URL: using the former login")
            }
            Err(error) => tracing::warn!(error = %error.chain(), "queue_file cannot be read: using the former login"),
        }
        uri
    }

    /// Returns the product and the version of the broker, where it shows them without TLS.
    pub(super) async fn product(&self) -> Option<String> {
        let authority = &self.uri.authority;
        match self.uri.scheme {
            AMQPScheme::AMQP => greeting::product(&authority.host, authority.port).await,
            AMQPScheme::AMQPS => None,
        }
    }

    /// Connects and declares the topology, each within its timeout.
    pub(super) async fn connect(&self, role: &'static str, topology: &Topology) -> Result<Session> {
        let limit = self.timeout;
        let properties = ConnectionProperties::default()
            .with_connection_name(format!("jhalak {role}, {}", Identity::this_process().id()).into());
        let opening = async {
            let runtime = lapin::runtime::default_runtime()?;
            let authorities = self.authorities.clone();
            let stream = async move |uri: AMQPUri, runtime| {
                let tls = TLSConfig { cert_chain: authorities.as_deref(), ..TLSConfig::default() };
                let stream = uri.connect_with_config_async(tls, &runtime);
                let stream = timeout(limit, stream).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
                stream.map_err(lapin::Error::from)
            };
            Connection::connector(self.current(), runtime, stream, properties).await
        };
        let connection = match timeout(limit, opening).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(self.unreachable(&fault::read(&error))),
            Err(_) => return Err(self.unreachable(&Fault::Lost(format!("no answer within {} ms", limit.as_millis())))),
        };
        let session = Session::new(connection);
        match timeout(limit.max(DECLARE_TIMEOUT), topology.declare(&session.connection)).await {
            Ok(Ok(())) => {
                self.was_open.store(true, Ordering::Relaxed);
                Ok(session)
            }
            Ok(Err(error)) => {
                session.close().await;
                Err(error.context(format!("RabbitMQ at {}", self.host)))
            }
            Err(_) => Err(Error::transient(format!(
                "RabbitMQ at {} does not answer the declaration of its queues",
                self.host
            ))),
        }
    }

    /// The error of a connection that cannot be opened.
    fn unreachable(&self, fault: &Fault) -> Error {
        let Address { host, uri, .. } = self;
        let user = &uri.authority.userinfo.username;
        match fault {
            Fault::Refused(text) => Error::permission(format!(
                "RabbitMQ at {host} refused the login of user `{user}`: check the user, its password and its permissions ({text})"
            )),
            Fault::NoVhost(_) if self.was_open.load(Ordering::Relaxed) => {
                Error::transient(format!("RabbitMQ at {host} has no virtual host `{}` any more", uri.vhost))
            }
            Fault::NoVhost(_) => Error::invalid(format!(
                "RabbitMQ at {host} has no virtual host `{}`: create it (rabbitmqctl add_vhost) or correct the end of the queue's URL (`/` is written %2f)",
                uri.vhost
            )),
            Fault::Tls(text) => Error::invalid(format!("the TLS connection to RabbitMQ at {host} was refused: {text}")),
            other => Error::transient(format!("RabbitMQ at {host} cannot be reached: {}", other.text())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address> {
        Address::parse(url, &QueueSettings::default())
    }

    #[test]
    fn urls_are_read_with_their_defaults() {
        for (url, host, port, vhost) in [
            ("amqp://broker", "broker", 5672, "/"),
            ("amqps://broker/%2f", "broker", 5671, "/"),
            ("amqp://u:p%40%2f@broker:99/v", "broker", 99, "v"),
            ("amqp://u:p@[::1]:99/v", "::1", 99, "v"),
            ("amqp://u:p@10.0.0.7:99/v", "10.0.0.7", 99, "v"),
        ] {
            let read = parse(url).expect(url);
            assert_eq!(
                (read.uri.authority.host.as_str(), read.uri.authority.port, read.uri.vhost.as_str()),
                (host, port, vhost),
                "{url}"
            );
            assert_eq!(read.uri.query.heartbeat, Some(QueueSettings::default().heartbeat_s));
        }
        assert_eq!(parse("amqp://b?heartbeat=7").expect("is read").uri.query.heartbeat, Some(7));
    }

    #[test]
    fn errors_of_a_url_do_not_contain_the_password() {
        for url in
            ["amqp://u:s3cret@b:port/x", "amqp:u:s3cret", "amqp://u:s3cret@b?heartbeat=x", "amqp://u:s3cret@b/%ff"]
        {
            let error = parse(url).err().expect(url);
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
