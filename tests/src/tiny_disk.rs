//! Disks that are soon full, or turn read-only.

use std::process::{Command, Stdio};

/// Returns a command prefix that gives a process a disk of its own of this size at $SCRATCH; None,
/// with the reason printed, where this machine allows no such thing.
pub fn prefix(kilobytes: u32) -> Option<Vec<String>> {
    of_script(&format!("mount -t tmpfs -o size={kilobytes}k tmpfs \"$SCRATCH\" && exec \"$@\""))
}

/// Returns a command prefix like [`prefix`]'s, whose disk turns read-only once it holds a file of
/// this name.
pub fn prefix_read_only_after(file: &str) -> Option<Vec<String>> {
    of_script(&format!(
        "mount -t tmpfs tmpfs \"$SCRATCH\" || exit 1; \"$@\" & run=$!; \
         until find \"$SCRATCH\" -name {file} | grep -q . && mount -o remount,ro \"$SCRATCH\"; do \
           kill -0 $run 2>/dev/null || break; sleep 0.02; \
         done 2>/dev/null; wait $run"
    ))
}

fn of_script(script: &str) -> Option<Vec<String>> {
    for unshare in [&["unshare", "--mount"][..], &["unshare", "--user", "--map-root-user", "--mount"]] {
        let whole: Vec<String> = unshare.iter().copied().chain(["sh", "-c", script, "sh"]).map(str::to_owned).collect();
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
