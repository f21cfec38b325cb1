//! From the files of `http.tls` to the settings of handshakes.
//!
//! No error holds anything of what the files hold: one of them is a key.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::http::options::{TlsOptions, TlsVersion};

/// The largest file that is read, in bytes: a chain, or some hundred authorities.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What clients may negotiate by ALPN, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What the files hold.
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// When the certificate expires, in seconds since 1970, if that can be read.
    pub(super) expiry: Option<f64>,
}

/// Why the files of `http.tls` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{key}: {} cannot be read: does it exist, and may this process read it?", .path.display())]
    Read {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file of certificates is torn, or something else.
    #[error("{key}: {} is not in PEM form throughout", .path.display())]
    Pem {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A file holds no certificate.
    #[error("{key}: {} holds no certificate in PEM form", .path.display())]
    NoCertificate {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A file holds no key.
    #[error("http.tls.key: {} holds no private key in PEM form that is not encrypted", .path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A key is of no use.
    #[error("http.tls.key: the key in {} is of a kind that cannot be used; ECDSA, RSA and Ed25519 can", .path.display())]
    KeyKind {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not belong together.
    #[error(
        "http.tls.key: {} is not the key of the first certificate in {}; the server's own certificate stands first, and those of its authorities behind it",
        .key.display(), .certificate.display()
    )]
    Mismatch {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// A certificate is of no use.
    #[error("{key}: certificate {number} of {} cannot be used", .path.display())]
    Certificate {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Which of the file's certificates it is, from one.
        number: usize,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The authorities are of no use together.
    #[error("http.tls.cacert: the authorities cannot be used")]
    Authorities(#[source] VerifierBuilderError),
    /// The settings are of no use together.
    #[error("http.tls: the settings cannot be used")]
    Settings(#[source] rustls::Error),
}

/// Reads the files, and makes of them what a handshake needs.
///
/// Sessions that were begun with earlier settings cannot be resumed with these, and where there are authorities of
/// clients, none can.
///
/// *Errors:* [`TlsError`].
pub(super) fn load(options: &TlsOptions) -> Result<Loaded, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let shown = identity(options, &provider)?;
    let expiry = expiry(&shown.cert[0]);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(options.version_min))
        .map_err(TlsError::Settings)?;
    let builder = match &options.client_authorities {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            // Whoever shows no certificate may still have a password, or read what everybody may.
            let verifier = verifier.allow_unauthenticated().build().map_err(TlsError::Authorities)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    if options.client_authorities.is_some() {
        // A session keeps the certificate that it began with, and nobody looks at that again when it is resumed: one
        // that expired would let its client in for as long as he comes back, since each visit gives new tickets. To
        // look after the handshake would be too late to tell him why. So every connection makes a whole one.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Loaded { config: Arc::new(config), expiry })
}

/// All versions that are spoken, the newest first.
static VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

fn versions(least: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match least {
        TlsVersion::V1_2 => &VERSIONS,
        TlsVersion::V1_3 => &VERSIONS[..1],
    }
}

/// Reads the certificate that is shown to clients, with its chain and its key.
fn identity(options: &TlsOptions, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = certificates("http.tls.cert", &options.certificate)?;
    let path = || options.key.clone();
    let key = PrivateKeyDer::from_pem_slice(&read("http.tls.key", &options.key)?);
    let key = key.map_err(|_| TlsError::NoKey { path: path() })?;
    let key = provider.key_provider.load_private_key(key).map_err(|_| TlsError::KeyKind { path: path() })?;
    let shown = CertifiedKey::new(chain, key);
    match shown.keys_match() {
        // A key that does not tell its public half is taken as it is.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(shown),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { key: path(), certificate: options.certificate.clone() })
        }
        Err(source) => Err(TlsError::Certificate {
            key: "http.tls.cert",
            path: options.certificate.clone(),
            number: 1,
            source,
        }),
    }
}

/// Reads whom client certificates must be of.
fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let key = "http.tls.cacert";
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates(key, path)?.into_iter().enumerate() {
        let added = roots.add(certificate);
        added.map_err(|source| TlsError::Certificate {
            key,
            path: path.to_owned(),
            number: index + 1,
            source,
        })?;
    }
    Ok(roots)
}

/// Reads a file of certificates, which holds at least one.
fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(key, path)?;
    let parsed = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, pem::Error>>();
    match parsed {
        Ok(parsed) if parsed.is_empty() => Err(TlsError::NoCertificate { key, path: path.to_owned() }),
        Ok(parsed) => Ok(parsed),
        Err(_) => Err(TlsError::Pem { key, path: path.to_owned() }),
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    bytes(path).map_err(|source| TlsError::Read { key, path: path.to_owned(), source })
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    // Looked at by its path first, since opening a pipe would wait for its writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// Returns when a certificate expires. It is for a metric, which is left out where this cannot be read.
#[expect(
    clippy::cast_precision_loss,
    reason = "a double counts seconds exactly for longer than there are years"
)]
fn expiry(certificate: &CertificateDer<'_>) -> Option<f64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp() as f64)
}
