//! A private RabbitMQ for tests: started once, stopped with the test process.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// A broker that runs in a folder of its own.
pub struct Broker {
    folder: PathBuf,
    restarting: Mutex<()>,
    _keep: Option<tempfile::TempDir>,
}

/// The management API's record of a queue.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Messages that wait.
    pub ready: usize,
    /// Messages that consumers hold.
    pub unacknowledged: usize,
    /// Deliveries of messages that had been delivered before.
    pub redelivered: usize,
}

fn script() -> PathBuf {
    match std::env::var_os("JHALAK_SCRIPTS") {
        Some(folder) => Path::new(&folder).join("servers/rabbitmq.sh"),
        None => crate::repository().join("scripts/servers/rabbitmq.sh"),
    }
}

impl Broker {
    /// The broker that the tests of this file share.
    pub fn shared() -> &'static Broker {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        // A static is never dropped: the script stops the broker when this process ends.
        SHARED.get_or_init(|| {
            Broker::start(std::env::temp_dir().join(format!("jhalak-broker-{}", std::process::id())), None)
        })
    }

    /// The broker that the tests of this file share where they kill it, one after another.
    pub fn mortal() -> &'static Broker {
        static MORTAL: OnceLock<Broker> = OnceLock::new();
        MORTAL.get_or_init(|| {
            Broker::start(std::env::temp_dir().join(format!("jhalak-mortal-{}", std::process::id())), None)
        })
    }

    /// Stops it in good order, or kills it, and starts it again. One at a time.
    pub fn again(&self, kill: bool) {
        let _turn = self.restarting.lock().unwrap_or_else(PoisonError::into_inner);
        if kill {
            self.kill();
        } else {
            self.run("stop");
        }
        self.run("start");
    }

    /// Kills it and starts it again without anything that it had written down, as on a new disk.
    /// One at a time.
    pub fn again_empty(&self) {
        let _turn = self.restarting.lock().unwrap_or_else(PoisonError::into_inner);
        self.kill();
        // Returns when it is gone.
        self.run("stop");
        std::fs::remove_dir_all(self.folder.join("data")).expect("a dead broker's folder is ours");
        self.run("start");
    }

    /// A broker that a test may kill.
    pub fn own() -> Broker {
        Broker::with(|_| String::new())
    }

    /// A broker with further lines in its configuration, written for its folder.
    pub fn with(lines: impl FnOnce(&Path) -> String) -> Broker {
        let keep = tempfile::tempdir().expect("a temporary folder can be made");
        let extra = keep.path().join("conf.d");
        std::fs::create_dir(&extra).expect("the folder is empty");
        std::fs::write(extra.join("more.conf"), lines(keep.path())).expect("the folder is ours");
        Broker::start(keep.path().to_path_buf(), Some(keep))
    }

    fn start(folder: PathBuf, keep: Option<tempfile::TempDir>) -> Broker {
        let broker = Broker { folder, restarting: Mutex::default(), _keep: keep };
        broker.run("start");
        broker
    }

    /// Raises the broker's memory alarm, which stops all publishing, or ends it. One at a time.
    pub fn memory_alarm(&self, on: bool) {
        let _turn = self.restarting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = Command::new(script());
        command.arg("alarm").arg(&self.folder).arg(if on { "on" } else { "off" });
        assert!(command.status().expect("the script can be run").success(), "rabbitmq.sh alarm failed");
    }

    /// Starts it, or starts it again on its data and its ports.
    pub fn run(&self, verb: &str) {
        let mut command = Command::new(script());
        command.arg(verb).arg(&self.folder).env("STOP_WITH", std::process::id().to_string());
        assert!(command.status().expect("the script can be run").success(), "rabbitmq.sh {verb} failed");
    }

    /// Its URL, with the password.
    pub fn url(&self) -> String {
        self.printed_value("AMQP_URL=")
    }

    fn printed_value(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.folder.join("env")).expect("the script wrote env");
        text.lines().find_map(|line| line.strip_prefix(name)).expect("env holds the name").to_string()
    }

    /// Deletes a queue over the management API, as an operator would.
    pub fn delete_queue(&self, name: &str) {
        self.delete("queues", name);
    }

    /// Deletes an exchange over the management API.
    pub fn delete_exchange(&self, name: &str) {
        self.delete("exchanges", name);
    }

    /// The same where the queue may be gone already.
    pub fn try_delete_queue(&self, name: &str) {
        let _ = self.deletion("queues", name).stderr(std::process::Stdio::null()).status();
    }

    /// Adds a user who may do everything, over the management API, and returns the URL with its
    /// login.
    pub fn add_user(&self, name: &str, password: &str) -> String {
        let put = |path: &str, body: String| {
            let login =
                format!("{}:{}", self.printed_value("RABBITMQ_USER="), self.printed_value("RABBITMQ_PASSWORD="));
            let url = format!("{}/api/{path}", self.printed_value("MANAGEMENT_URL="));
            let mut curl = Command::new("curl");
            curl.args(["-fsS", "-X", "PUT", "-H", "content-type: application/json", "-u", &login, "-d", &body, &url]);
            assert!(curl.status().expect("curl can be run").success(), "{path} was refused");
        };
        put(&format!("users/{name}"), format!(r#"{{"password": "{password}", "tags": ""}}"#));
        let all = r#"{"configure": ".*", "write": ".*", "read": ".*"}"#;
        put(&format!("permissions/%2f/{name}"), all.into());
        let url = self.url();
        let (_, rest) = url.split_once('@').expect("a login");
        format!("amqp://{name}:{password}@{rest}")
    }

    /// Deletes a user: the broker closes its connections.
    pub fn delete_user(&self, name: &str) {
        let login = format!("{}:{}", self.printed_value("RABBITMQ_USER="), self.printed_value("RABBITMQ_PASSWORD="));
        let url = format!("{}/api/users/{name}", self.printed_value("MANAGEMENT_URL="));
        let deleted = Command::new("curl").args(["-fsS", "-X", "DELETE", "-u", &login, &url]).status();
        assert!(deleted.expect("curl can be run").success(), "{name} could not be deleted");
    }

    fn delete(&self, what: &str, name: &str) {
        let deleted = self.deletion(what, name).status().expect("curl can be run");
        assert!(deleted.success(), "{what}/{name} could not be deleted");
    }

    fn deletion(&self, what: &str, name: &str) -> Command {
        let mut curl = self.management(what, name);
        curl.args(["-X", "DELETE"]);
        curl
    }

    /// A request to the management API.
    fn management(&self, what: &str, name: &str) -> Command {
        let user = format!("{}:{}", self.printed_value("RABBITMQ_USER="), self.printed_value("RABBITMQ_PASSWORD="));
        let url = format!("{}/api/{what}/%2f/{name}", self.printed_value("MANAGEMENT_URL="));
        let mut curl = Command::new("curl");
        curl.args(["-fsS", "-u", &user, &url]);
        curl
    }

    /// The counts of a queue over the management API, as an autoscaler asks for them. None while
    /// there is no such queue, or nothing was counted yet.
    pub fn queue_counts(&self, name: &str) -> Option<QueueCounts> {
        let answer =
            self.management("queues", name).stderr(std::process::Stdio::null()).output().expect("curl can be run");
        let queue: serde_json::Value = serde_json::from_slice(&answer.stdout).ok()?;
        let count = |value: &serde_json::Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
        Some(QueueCounts {
            ready: count(&queue["messages_ready"])?,
            unacknowledged: count(&queue["messages_unacknowledged"])?,
            redelivered: count(&queue["message_stats"]["redeliver"]).unwrap_or(0),
        })
    }

    /// kill -9.
    pub fn kill(&self) {
        let pid = std::fs::read_to_string(self.folder.join("broker.pid")).expect("the script wrote the pid");
        assert!(Command::new("kill").args(["-9", pid.trim()]).status().expect("kill can be run").success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.run("stop");
    }
}
