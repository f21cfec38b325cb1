//! Whether files of certificates and keys are what they should be: with one that is not, no client of an
//! upstream can be made, and no TLS be spoken. What they hold is never quoted.

use std::io;
use std::path::Path;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Returns what is wrong with a file of authorities.
pub(super) fn authorities(path: &Path) -> Option<String> {
    let certificates = match certificates(path) {
        Ok(certificates) => certificates,
        Err(fault) => return Some(fault),
    };
    let mut store = RootCertStore::empty();
    certificates.into_iter().enumerate().find_map(|(index, certificate)| {
        let refused = store.add(certificate).err()?;
        Some(format!("certificate {} of {} cannot be used: {refused}", index + 1, name(path)))
    })
}

/// Returns what is wrong with a certificate that is to be shown, or with its key.
pub(super) fn identity(certificate: &Path, key: &Path) -> Option<String> {
    let chain = match certificates(certificate) {
        Ok(chain) => chain,
        Err(fault) => return Some(fault),
    };
    let private = match std::fs::read(key) {
        Ok(bytes) => PrivateKeyDer::from_pem_slice(&bytes),
        Err(error) => return Some(unreadable(key, &error)),
    };
    let Ok(private) = private else {
        return Some(format!("{} holds no private key in PEM form that is not encrypted", name(key)));
    };
    let Ok(signing) = any_supported_type(&private) else {
        return Some(format!("the key in {} is of a kind that cannot be used", name(key)));
    };
    match CertifiedKey::new(chain, signing).keys_match() {
        // A key that does not tell its public half is one that is taken as it is.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => None,
        Err(rustls::Error::InconsistentKeys(_)) => {
            Some(format!("{} is not the key of the first certificate in {}", name(key), name(certificate)))
        }
        Err(refused) => Some(format!("{} cannot be used: {refused}", name(certificate))),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    let read = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, pem::Error>>();
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(format!("{} holds no certificate in PEM form", name(path)))
        }
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(format!("{} is not in PEM form throughout", name(path))),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be read: {error}", name(path))
}

/// Returns a file's name, for a fault whose path names the folder.
fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}
