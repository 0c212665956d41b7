//! Additional certificate authorities, beyond those that the machine trusts.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error::{Error, Result};

/// Reads the PEM file that `setting` names and checks every certificate in it.
///
/// # Errors
/// InvalidInput with the setting and the file.
pub fn authorities(setting: &str, path: &Path) -> Result<String> {
    let wrong = |why: String| Error::invalid(format!("the file {} (setting {setting}) {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| wrong("cannot be read".into()).with_source(e))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let certificate = certificate.map_err(|e| wrong(format!("is not PEM: {e}")))?;
        roots.add(certificate).map_err(|e| wrong(format!("has an entry that is not a certificate: {e}")))?;
    }
    if roots.is_empty() {
        return Err(wrong("has no certificate: give it in PEM".into()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_valid_certificates_is_refused_with_setting_and_path() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("ca.pem");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, word) in [
            (None, "read"),
            (Some(""), "no certificate"),
            (Some("text"), "no certificate"),
            (Some(broken), "not a certificate"),
        ] {
            if let Some(text) = text {
                std::fs::write(&file, text).expect("room on disk");
            }
            let error = authorities("s3.ca_file", &file).expect_err("it is no certificate").chain();
            assert!(error.contains(word) && error.contains("s3.ca_file") && error.contains("ca.pem"), "{error}");
        }
    }
}
