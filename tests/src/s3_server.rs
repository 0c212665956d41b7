//! The S3 server of the tests. `make test` starts it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;
use jhalak_common::Result;
use jhalak_common::settings::S3Settings;
use jhalak_common::store::{self, ObjectStore};

/// A running S3 server.
#[derive(Clone)]
pub struct Server {
    /// Its URL.
    pub endpoint: String,
    /// The bucket of the tests.
    pub bucket: String,
}

/// The server that S3_ENDPOINT names; None, with the reason printed, where it is not set.
pub fn from_environment() -> Option<Server> {
    match std::env::var("S3_ENDPOINT") {
        Ok(endpoint) => {
            Some(Server { endpoint, bucket: std::env::var("S3_BUCKET").unwrap_or_else(|_| "jhalak-tests".into()) })
        }
        Err(_) => {
            println!("skipped: S3_ENDPOINT is not set, so there is no S3 server to test");
            None
        }
    }
}

impl Server {
    /// Settings that reach the server at `endpoint` (a proxy before it, or itself), with short
    /// times.
    pub fn settings(&self, endpoint: Option<&str>) -> S3Settings {
        S3Settings {
            endpoint: Some(endpoint.unwrap_or(&self.endpoint).to_string()),
            stall_timeout_ms: 2_000,
            connect_timeout_ms: 1_000,
            part_size_bytes: 5 << 20,
            ..S3Settings::default()
        }
    }

    /// The store at `url`.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub async fn store_at(&self, url: &str) -> Arc<dyn ObjectStore> {
        store::open(url, &self.settings(None)).await.expect("the server runs")
    }

    /// A store below a prefix of its own.
    pub async fn store(&self, name: &str, endpoint: Option<&str>) -> Result<Arc<dyn ObjectStore>> {
        let unique =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map(|t| t.as_nanos()).unwrap_or(0);
        store::open(&format!("s3://{}/{name}-{unique:x}", self.bucket), &self.settings(endpoint)).await
    }
}

/// Every object below `prefix`, by its key.
///
/// # Panics
/// If the server does not answer.
pub async fn objects(store: &dyn ObjectStore, prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let keys: Vec<String> =
        store.list(prefix).map_ok(|object| object.key).try_collect().await.expect("the server runs");
    let mut found = BTreeMap::new();
    for key in keys {
        let bytes = store.get(&key).await.expect("just listed");
        found.insert(key, bytes.to_vec());
    }
    found
}

/// An S3 server that a test may stop. It takes the credentials of the shared one, which are those
/// of this process's environment.
pub struct OwnServer {
    /// The server.
    pub server: Server,
    folder: tempfile::TempDir,
}

impl OwnServer {
    /// Starts it, in a folder of its own.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> OwnServer {
        OwnServer::start_in(tempfile::tempdir().expect("a temporary folder"))
    }

    /// Starts it in this folder; with `cert.pem` and `key.pem` there it speaks TLS as well.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_in(folder: tempfile::TempDir) -> OwnServer {
        let word = |name: &str| std::env::var(name).unwrap_or_default();
        let credentials =
            format!("access_key={}\nsecret_key={}\n", word("AWS_ACCESS_KEY_ID"), word("AWS_SECRET_ACCESS_KEY"));
        std::fs::write(folder.path().join("credentials"), credentials).expect("the folder is ours");
        let bucket = "jhalak-tests".to_string();
        let mut own = OwnServer { server: Server { endpoint: String::new(), bucket }, folder };
        own.run(&["start"]);
        own.run(&["bucket"]);
        own.server.endpoint = own.printed_value("S3_ENDPOINT=");
        own
    }

    /// Returns the value that the script printed under this name.
    ///
    /// # Panics
    /// If it printed none.
    pub fn printed_value(&self, name: &str) -> String {
        let env = std::fs::read_to_string(self.folder.path().join("env")).expect("the script wrote env");
        env.lines().find_map(|line| line.strip_prefix(name)).expect("env holds the name").to_string()
    }

    /// Stops it, or starts it again on its data and its ports.
    ///
    /// # Panics
    /// If the script fails.
    pub fn run(&self, verb: &[&str]) {
        let script = crate::repository().join("scripts/servers/seaweedfs.sh");
        let mut command = std::process::Command::new(script);
        command.args(verb).arg(self.folder.path()).env("STOP_WITH", std::process::id().to_string());
        if verb == ["bucket"] {
            command.arg(&self.server.bucket);
        }
        assert!(command.status().expect("the script can be run").success(), "seaweedfs.sh {verb:?} failed");
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.run(&["stop"]);
    }
}
