//! Certificates for servers on loopback, made on the spot with the program openssl.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An authority `ca.pem`, and `cert.pem` with `key.pem` that it signed for 127.0.0.1 and localhost,
/// in `folder`. The authority's path; None, with the reason printed, where there is no openssl.
///
/// # Panics
/// If openssl fails.
pub fn make(folder: &Path) -> Option<PathBuf> {
    let there = Command::new("openssl").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        println!("skipped: the program openssl is not installed");
        return None;
    }
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").expect("the folder is ours");
    for step in [
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=jhalak-test-authority",
        "req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=localhost",
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile names",
    ] {
        let mut openssl = Command::new("openssl");
        openssl.args(step.split(' ')).current_dir(folder).stderr(Stdio::null());
        assert!(openssl.status().is_ok_and(|status| status.success()), "openssl {step} failed");
    }
    Some(folder.join("ca.pem"))
}
