//! Certificate authorities of one's own, beside those that the machine trusts.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error::{Error, Result};

/// The PEM text of the file that `setting` names, once every certificate in it was found to be one.
///
/// # Errors
/// InvalidInput that names the setting and the file.
pub fn authorities(setting: &str, path: &Path) -> Result<String> {
    let wrong = |why: String| Error::invalid(format!("the file {} (setting {setting}) {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| wrong("cannot be read".into()).with_source(e))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let certificate = certificate.map_err(|e| wrong(format!("is no PEM: {e}")))?;
        roots.add(certificate).map_err(|e| wrong(format!("holds what is no certificate: {e}")))?;
    }
    if roots.is_empty() {
        return Err(wrong("holds no certificate: give it in PEM".into()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("ca.pem");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, word) in [
            (None, "read"),
            (Some(""), "no certificate"),
            (Some("text"), "no certificate"),
            (Some(broken), "no certificate"),
        ] {
            if let Some(text) = text {
                std::fs::write(&file, text).expect("room on disk");
            }
            let error = authorities("s3.ca_file", &file).expect_err("it is no certificate").chain();
            assert!(error.contains(word) && error.contains("s3.ca_file") && error.contains("ca.pem"), "{error}");
        }
    }
}
