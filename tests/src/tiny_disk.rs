//! Disks that are soon full.

use std::process::{Command, Stdio};

/// Returns a command prefix that gives a process a disk of its own of this size at $SCRATCH; None,
/// with the reason printed, where this machine allows no such thing.
pub fn prefix(kilobytes: u32) -> Option<Vec<String>> {
    let script = format!("mount -t tmpfs -o size={kilobytes}k tmpfs \"$SCRATCH\" && exec \"$@\"");
    for unshare in [&["unshare", "--mount"][..], &["unshare", "--user", "--map-root-user", "--mount"]] {
        let whole: Vec<String> =
            unshare.iter().copied().chain(["sh", "-c", &script, "sh"]).map(str::to_owned).collect();
        let folder = tempfile::tempdir().ok()?;
        let mut probe = Command::new(&whole[0]);
        probe.args(&whole[1..]).arg("true").env("SCRATCH", folder.path()).stderr(Stdio::null());
        if probe.status().is_ok_and(|status| status.success()) {
            return Some(whole);
        }
    }
    println!("skipped: this machine lets no process mount a file system of its own");
    None
}
