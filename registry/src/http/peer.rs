//! The other end of a connection: what every request of it can be told at the cost of a counter.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;

use crate::auth::Certificates;

/// Who is at the other end of a connection, as the listener knows it. It stands in the extensions of every
/// request that came over that connection.
///
/// Clones share what they know.
#[derive(Debug, Clone)]
pub struct Peer(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    address: SocketAddr,
    certificate: Option<CertificateDer<'static>>,
    /// Whom the certificate names. A certificate is read when somebody first asks, and once.
    name: OnceLock<Option<Arc<str>>>,
}

impl Peer {
    /// Says who is there; the certificate must have been verified.
    pub fn new(address: SocketAddr, certificate: Option<CertificateDer<'static>>) -> Self {
        Self(Arc::new(Facts { address, certificate, name: OnceLock::new() }))
    }

    /// Returns the address that the connection came from.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Returns the certificate that was shown, and whose authority is one of `http.tls.cacert`.
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.0.certificate.as_ref()
    }

    /// Returns the account that the certificate names, if there is one and it names any.
    ///
    /// What it says stays with the connection, also when `certificates` are others later.
    pub fn name(&self, certificates: &Certificates) -> Option<Arc<str>> {
        let certificate = self.certificate()?;
        self.0.name.get_or_init(|| self.read(certificate, certificates)).clone()
    }

    fn read(&self, certificate: &CertificateDer<'_>, certificates: &Certificates) -> Option<Arc<str>> {
        let fault = match certificates.name(certificate) {
            Ok(Some(name)) => return Some(name.into()),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        tracing::info!(
            peer.address = %self.0.address,
            error = fault.as_ref().map(|fault| fault as &dyn std::error::Error),
            "a client certificate names no account, and counts as none"
        );
        None
    }
}
