//! A headless Chromium, driven over its DevTools protocol through a pair of pipes: no port, no
//! driver program, no network.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long the browser may take to answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    /// Width of the window in CSS pixels; below 600 it is a phone.
    pub width: u32,
    /// Height of the window in CSS pixels.
    pub height: u32,
    /// Whether the reader prefers dark colors.
    pub dark: bool,
}

impl Screen {
    /// Desktop and phone, light and dark.
    pub const ALL: [Screen; 4] = [
        Screen { width: 1280, height: 900, dark: false },
        Screen { width: 1280, height: 900, dark: true },
        Screen { width: 390, height: 844, dark: false },
        Screen { width: 390, height: 844, dark: true },
    ];
}

/// A running browser with one page.
pub struct Browser {
    child: Child,
    requests: File,
    messages: Receiver<Value>,
    next: u64,
    session: String,
    /// Messages that the page wrote to its console, exceptions and refused requests.
    console: Vec<String>,
    /// Addresses that the page asked for.
    requested: Vec<String>,
    _folder: tempfile::TempDir,
}

/// Returns the path of Chromium, if it is installed.
pub fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("chromium")).find(|program| program.is_file())
}

impl Browser {
    /// Starts Chromium with an empty profile and one empty page.
    pub fn start() -> Browser {
        let program = chromium().expect("Chromium is installed by `scripts/setup.sh test`");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [requests, answers] = ["requests", "answers"].map(|name| {
            let fifo = folder.path().join(name);
            let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
            assert!(made.success());
            fifo
        });
        // The browser reads requests from descriptor 3 and writes answers to descriptor 4.
        let script = "exec \"$0\" --headless=new --no-sandbox --disable-gpu --no-first-run --disable-sync --hide-scrollbars \
                      --disable-background-networking --disable-component-update --disable-dev-shm-usage \
                      --force-color-profile=srgb --font-render-hinting=none --remote-debugging-pipe \
                      --user-data-dir=\"$1/profile\" about:blank 3<\"$1/requests\" 4>\"$1/answers\"";
        let mut start = Command::new("bash");
        start.args(["-c", script]).arg(&program).arg(folder.path());
        start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = start.spawn().expect("bash starts");
        let requests = File::options().write(true).open(requests).expect("the browser reads it");
        let answers = File::open(answers).expect("the browser writes it");
        let (send, messages) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(answers).split(0) {
                let Ok(message) = message else { return };
                let parsed = serde_json::from_slice(&message).expect("the browser writes JSON");
                if send.send(parsed).is_err() {
                    return;
                }
            }
        });
        let (console, requested) = (Vec::new(), Vec::new());
        let mut browser =
            Browser { child, requests, messages, next: 0, session: String::new(), console, requested, _folder: folder };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached =
            browser.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Network.enable"] {
            browser.call(domain, json!({}));
        }
        browser
    }

    /// Opens an address and waits until it is loaded. Forgets console and requests of the page
    /// before.
    pub fn open(&mut self, url: &str, screen: Screen) {
        let Screen { width, height, dark } = screen;
        let phone = width < 600;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", media);
        self.call("Page.navigate", json!({ "url": "about:blank" }));
        (self.console, self.requested) = (Vec::new(), Vec::new());
        let answer = self.call("Page.navigate", json!({ "url": url }));
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
        let until = Instant::now() + TIMEOUT;
        while self.evaluate("location.href != 'about:blank' && document.readyState == 'complete'") != json!(true) {
            assert!(Instant::now() < until, "{url} is not loaded");
            self.settle(Duration::from_millis(20));
        }
        self.settle(Duration::from_millis(100));
    }

    /// Shows the open page as it is printed, or on a screen again.
    pub fn on_paper(&mut self, paper: bool) {
        let media = if paper { "print" } else { "" };
        self.call("Emulation.setEmulatedMedia", json!({ "media": media }));
    }

    /// Opens a file.
    pub fn open_file(&mut self, file: &Path, screen: Screen) {
        let path = std::path::absolute(file).expect("a working directory");
        self.open(&format!("file://{}", path.display()), screen);
    }

    /// Evaluates JavaScript in the page, waits for a promise, and returns the value as JSON.
    pub fn evaluate(&mut self, script: &str) -> Value {
        let request = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", request);
        assert!(answer.get("exceptionDetails").is_none(), "{}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Returns what the page wrote to its console, its exceptions, and what was refused.
    pub fn console(&mut self) -> &[String] {
        self.settle(Duration::from_millis(50));
        &self.console
    }

    /// Returns the addresses that the page asked for, the page's own first.
    pub fn requested(&mut self) -> &[String] {
        self.settle(Duration::from_millis(50));
        &self.requested
    }

    /// Returns a PNG of the window, or of the whole page.
    pub fn screenshot(&mut self, whole: bool) -> String {
        let request = json!({ "format": "png", "captureBeyondViewport": whole });
        let mut request = request;
        if whole {
            let size = self.call("Page.getLayoutMetrics", json!({}))["cssContentSize"].clone();
            request["clip"] = json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
        }
        self.call("Page.captureScreenshot", request)["data"].as_str().expect("a picture").to_owned()
    }

    /// Runs axe-core, whose source is given, in the page. Returns its findings of the impacts
    /// serious, critical and moderate, one line each.
    pub fn accessibility_findings(&mut self, axe: &str) -> Vec<String> {
        self.evaluate(&format!("{axe}; 0"));
        let found = self.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.flatMap(v => v.nodes.map(n => \
             [v.impact, v.id, n.target.join(' '), n.failureSummary].join(' | '))))",
        );
        let all = found.as_array().cloned().unwrap_or_default();
        let all = all.iter().filter_map(Value::as_str);
        all.filter(|line| !line.starts_with("minor")).map(str::to_owned).collect()
    }

    /// Sends a request and waits for its answer.
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let id = self.next;
        let mut request = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            request["sessionId"] = self.session.clone().into();
        }
        self.requests.write_all(format!("{request}\0").as_bytes()).expect("the browser runs");
        let until = Instant::now() + TIMEOUT;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left).unwrap_or_else(|e| panic!("{method}: {e}"));
            if message["id"] == id {
                assert!(message.get("error").is_none(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    /// Takes in events for this long.
    fn settle(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            match self.messages.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(message) => self.note(&message),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => panic!("the browser ended"),
            }
        }
    }

    fn note(&mut self, message: &Value) {
        let event = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.consoleAPICalled") => self.console.push(event["args"].to_string()),
            Some("Runtime.exceptionThrown") => self.console.push(event["exceptionDetails"].to_string()),
            Some("Log.entryAdded") => self.console.push(event["entry"]["text"].to_string()),
            Some("Network.requestWillBeSent") => {
                self.requested.extend(event["request"]["url"].as_str().map(str::to_owned));
            }
            _ => {}
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
