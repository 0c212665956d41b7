//! The identity of a process among all processes of all machines.

use serde::{Deserialize, Serialize};

/// A process, distinguished from every other one of any machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// The machine or pod.
    pub host: String,
    /// The process id on that machine.
    pub process: u32,
    /// Tells the process from every other one of that machine: the boot id and the start time.
    pub born: String,
}

impl Identity {
    /// This process.
    pub fn this_process() -> Identity {
        let process = std::process::id();
        let born = format!("{}/{}", boot(), start_of(process).unwrap_or_default());
        Identity { host: host(), process, born }
    }

    /// Whether it was a process of this machine that is gone. A process that cannot be seen from
    /// here (of another container) is mistaken for dead only when it has this machine's name and
    /// boot id; two processes then do the same work, which does no harm.
    pub fn is_dead(&self) -> bool {
        let same_machine = self.host == host() && self.born.split('/').next() == Some(boot().as_str());
        let seen = start_of(self.process).unwrap_or_default();
        same_machine && self.born.rsplit('/').next() != Some(seen.as_str())
    }

    /// Returns the id, such as `node-7-4711-123456`: host, process id and start time. It is valid
    /// in the key of an object.
    pub fn id(&self) -> String {
        let host: String =
            self.host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).take(100).collect();
        let start = self.born.rsplit('/').next().unwrap_or_default();
        format!("{}-{}-{start}", host.trim_start_matches(['.', '-']), self.process)
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on {}", self.process, self.host)
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_string())
}

fn host() -> String {
    read("/proc/sys/kernel/hostname").unwrap_or_else(|| "an unknown host".into())
}

fn boot() -> String {
    read("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// The start time of a live process in clock ticks since the boot; None for a zombie or when there
/// is no such process.
fn start_of(process: u32) -> Option<String> {
    let stat = read(&format!("/proc/{process}/stat"))?;
    // The name of the program is in parentheses and may hold any character.
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    let state = fields.next()?;
    fields.nth(18).filter(|_| state != "Z" && state != "X").map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_an_earlier_one_with_its_number_is_dead() {
        let this = Identity::this_process();
        assert!(!this.is_dead());
        let earlier = Identity { born: format!("{}/1", boot()), ..this.clone() };
        assert!(earlier.is_dead());
        let elsewhere = Identity { host: "another".into(), ..earlier };
        assert!(!elsewhere.is_dead(), "a process of another machine cannot be seen");
        assert!(crate::store::check_key(&this.id()).is_ok(), "{}", this.id());
    }
}
