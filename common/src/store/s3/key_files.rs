//! Credentials in files: read again when the client needs them again, so that they can be changed.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};

use crate::settings::{S3Settings, secret_file};

/// How long the client keeps what was read.
const KEPT: Duration = Duration::from_secs(60);

/// The files with the credentials.
#[derive(Debug)]
pub(super) struct KeyFiles {
    access_key_id: PathBuf,
    secret_access_key: PathBuf,
    session_token: Option<PathBuf>,
}

impl KeyFiles {
    /// The files that the settings name, if they do.
    pub(super) fn of(settings: &S3Settings) -> Option<KeyFiles> {
        Some(KeyFiles {
            access_key_id: settings.access_key_id_file.clone()?,
            secret_access_key: settings.secret_access_key_file.clone()?,
            session_token: settings.session_token_file.clone(),
        })
    }

    fn read(&self) -> provider::Result {
        let failed = |error: crate::Error| CredentialsError::invalid_configuration(error.chain());
        let id = secret_file::read("s3.access_key_id_file", &self.access_key_id).map_err(failed)?;
        let key = secret_file::read("s3.secret_access_key_file", &self.secret_access_key).map_err(failed)?;
        let token = self.session_token.as_ref().map(|file| secret_file::read("s3.session_token_file", file));
        let token = token.transpose().map_err(failed)?;
        Ok(Credentials::new(id, key, token, Some(SystemTime::now() + KEPT), "key files"))
    }
}

impl ProvideCredentials for KeyFiles {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        // A few bytes of a mounted secret.
        future::ProvideCredentials::ready(self.read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_files_are_read_again_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("room on disk");
            path
        };
        let settings = S3Settings {
            access_key_id_file: Some(file("id", "AKIA1\n")),
            secret_access_key_file: Some(file("key", "one\n")),
            ..S3Settings::default()
        };
        assert!(KeyFiles::of(&S3Settings::default()).is_none());
        let files = KeyFiles::of(&settings).expect("both are set");
        let read = files.read().expect("readable");
        assert_eq!((read.access_key_id(), read.secret_access_key(), read.session_token()), ("AKIA1", "one", None));
        assert!(read.expiry().is_some_and(|expiry| expiry <= SystemTime::now() + KEPT));
        file("key", "two");
        assert_eq!(files.read().expect("readable").secret_access_key(), "two");
        std::fs::remove_file(folder.path().join("key")).expect("it was written");
        let error = format!("{:?}", files.read().expect_err("it is gone"));
        assert!(error.contains("secret_access_key_file") && !error.contains("AKIA1"), "{error}");
    }
}
