//! The arguments of the coordinator that `submit --detach` leaves in the background.

use std::ffi::OsString;

/// Returns the arguments of the coordinator in the background, made from those of this process,
/// and whether they named the queue. That is left out: its URL holds the password, and every user
/// of the machine sees arguments for as long as the coordinator runs. It belongs into the
/// environment.
pub(super) fn arguments(own: impl Iterator<Item = OsString>) -> (Vec<OsString>, bool) {
    let (mut kept, mut names_queue) = (Vec::new(), false);
    let mut own = own.peekable();
    while let Some(argument) = own.next() {
        let is_queue = |value: &OsString| value.as_encoded_bytes().starts_with(b"queue=");
        let bytes = argument.as_encoded_bytes();
        if bytes == b"--queue" || (bytes == b"--set" && own.peek().is_some_and(is_queue)) {
            own.next();
            names_queue = true;
        } else if bytes.starts_with(b"--queue=") || bytes.starts_with(b"--set=queue=") {
            names_queue = true;
        } else if bytes == b"--detach" {
            kept.push("--wait".into());
        } else {
            kept.push(argument);
        }
    }
    (kept, names_queue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_the_queue_is_not_an_argument() {
        let of = |words: &[&str]| arguments(words.iter().map(OsString::from));
        let url = "amqp://user:hunter2@host";
        let (named, set) = (format!("--queue={url}"), format!("queue={url}"));
        for words in [vec!["--queue", url], vec![&named], vec!["--set", &set], vec![&*format!("--set={set}")]] {
            let (kept, names_queue) = of(&[&["submit"][..], &words, &["--set", "worker.slots=2", "--detach"]].concat());
            assert_eq!(kept, ["submit", "--set", "worker.slots=2", "--wait"], "{words:?}");
            assert!(names_queue, "{words:?}");
        }
        assert_eq!(of(&["submit", "--detach"]), (vec!["submit".into(), "--wait".into()], false));
    }
}
