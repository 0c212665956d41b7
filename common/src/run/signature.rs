//! Signed jobs, for brokers that others publish to as well: a worker with a key runs only jobs that
//! were signed with it (HMAC-SHA256 over the message without its signature).

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::job::Job;
use crate::error::{Error, Result};
use crate::hash;

/// A key is at least this long, in bytes.
const MIN_KEY_BYTES: usize = 16;

/// The key that coordinators and workers share.
#[derive(Clone)]
pub struct SigningKey(Vec<u8>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// Encodes the message of a job, signed if there is a key.
pub fn encode_signed(job: Job, key: Option<&SigningKey>) -> Result<Bytes> {
    match key {
        Some(key) => key.sign(job)?.encode(),
        None => job.encode(),
    }
}

impl SigningKey {
    /// Reads the key that the setting rabbitmq.signing_key_file names, if it does. Blanks and line
    /// ends around the key do not count.
    ///
    /// # Errors
    /// InvalidInput when the file cannot be read or the key is too short.
    pub fn load(file: Option<&Path>) -> Result<Option<SigningKey>> {
        let Some(file) = file else { return Ok(None) };
        let wrong = |why: &str| {
            let file = file.display();
            Error::invalid(format!("the key file {file} (setting rabbitmq.signing_key_file) {why}"))
        };
        let bytes = std::fs::read(file).map_err(|e| wrong("cannot be read").with_source(e))?;
        let key = bytes.trim_ascii().to_vec();
        match key.len() < MIN_KEY_BYTES {
            true => Err(wrong("holds fewer than 16 bytes: write a random key, for example `openssl rand -hex 32`")),
            false => Ok(Some(SigningKey(key))),
        }
    }

    fn mac(&self, job: &Job) -> Result<Hmac<Sha256>> {
        // The place in a trace changes nothing that is done, and older programs do not know it.
        let unsigned = Job { signature: None, traceparent: None, ..job.clone() };
        let value =
            serde_json::to_value(&unsigned).map_err(|e| Error::bug("a job does not serialise").with_source(e))?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0)
            .map_err(|e| Error::bug("a key of this length is not accepted").with_source(e))?;
        mac.update(hash::canonical_json(&value).as_bytes());
        Ok(mac)
    }

    /// Signs the job.
    pub fn sign(&self, job: Job) -> Result<Job> {
        let signature = hex::encode(self.mac(&job)?.finalize().into_bytes());
        Ok(Job { signature: Some(signature), ..job })
    }

    /// Checks the signature of a job.
    ///
    /// # Errors
    /// InvalidInput for a job that is not signed with this key.
    pub fn verify(&self, job: &Job) -> Result<()> {
        let advice = "give its coordinator the rabbitmq.signing_key_file of this worker";
        let signature = job.signature.as_deref().map(hex::decode);
        match signature {
            None => Err(Error::invalid(format!("the job is not signed: {advice}"))),
            Some(Ok(signature)) if self.mac(job)?.verify_slice(&signature).is_ok() => Ok(()),
            Some(_) => Err(Error::invalid(format!("the signature of the job is wrong: {advice}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Subject;
    use crate::queue::WorkKind;
    use crate::run::job::{ProbeTask, Task};

    fn job() -> Job {
        let subject = Subject { id: "m".into(), content: hash::of_bytes(b"m") };
        Job::new("a", "films-1", "here", Task::Probe(ProbeTask { workers: WorkKind::Train, subject, recipe: None }))
    }

    #[test]
    fn a_signed_job_is_accepted_and_a_changed_or_unsigned_one_refused() {
        let key = SigningKey(b"a key of sixteen bytes or more".to_vec());
        let signed = key.sign(job()).expect("it serialises");
        let read = Job::decode(&signed.encode().expect("it serialises")).expect("a job");
        key.verify(&read).expect("signed with this key");
        let place = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_string());
        key.verify(&Job { traceparent: place, ..read.clone() }).expect("its place in a trace is not signed");
        assert!(key.verify(&Job { attempt: 1, ..read.clone() }).is_err());
        assert!(key.verify(&Job { store: "file:///etc".into(), ..read.clone() }).is_err());
        assert!(SigningKey(b"another key of sixteen bytes".to_vec()).verify(&read).is_err());
        assert!(key.verify(&job()).expect_err("unsigned").chain().contains("signing_key_file"));
    }

    #[test]
    fn a_short_key_is_refused_and_line_ends_do_not_count() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("key");
        std::fs::write(&file, "short").expect("room on disk");
        assert!(SigningKey::load(Some(&file)).is_err());
        std::fs::write(&file, "0123456789abcdef\n").expect("room on disk");
        let key = SigningKey::load(Some(&file)).expect("a key").expect("a file");
        assert_eq!(key.0, b"0123456789abcdef");
        assert!(SigningKey::load(None).expect("no file").is_none());
        assert!(SigningKey::load(Some(&folder.path().join("absent"))).is_err());
    }
}
