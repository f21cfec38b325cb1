//! The other end of a connection: what every request of it can be told at the cost of a counter.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;

use crate::auth::{Account, Certificates};
use crate::telemetry::WithCauses;

/// Who is at the other end of a connection, as the listener knows it. It stands in the extensions of every
/// request that came over that connection.
///
/// Clones share what they know.
#[derive(Debug, Clone)]
pub struct Peer(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    address: SocketAddr,
    channel: Channel,
    /// Whom the certificate names. A certificate is read when somebody first asks, and once.
    account: OnceLock<Option<Account>>,
}

/// What a connection runs over.
#[derive(Debug)]
pub enum Channel {
    /// What everybody on the way can read.
    Plain,
    /// TLS.
    Tls {
        /// The certificate that the client has shown and the listener has verified.
        certificate: Option<CertificateDer<'static>>,
        /// The version, such as `1.3`.
        version: &'static str,
    },
}

impl Peer {
    /// Says who is there.
    pub fn new(address: SocketAddr, channel: Channel) -> Self {
        Self(Arc::new(Facts { address, channel, account: OnceLock::new() }))
    }

    /// Says whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls_version().is_some()
    }

    /// Returns the version of TLS that it is encrypted by.
    pub fn tls_version(&self) -> Option<&'static str> {
        match &self.0.channel {
            Channel::Tls { version, .. } => Some(version),
            Channel::Plain => None,
        }
    }

    /// Returns the address that the connection came from.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Returns the certificate that was shown, and whose authority is one of `http.tls.cacert`.
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        match &self.0.channel {
            Channel::Tls { certificate, .. } => certificate.as_ref(),
            Channel::Plain => None,
        }
    }

    /// Returns the account that the certificate names, if there is one and it names any.
    ///
    /// What it says stays with the connection, also when `certificates` are others later.
    pub fn account(&self, certificates: &Certificates) -> Option<Account> {
        let certificate = self.certificate()?;
        self.0.account.get_or_init(|| self.read(certificate, certificates)).clone()
    }

    fn read(&self, certificate: &CertificateDer<'_>, certificates: &Certificates) -> Option<Account> {
        let fault = match certificates.name(certificate) {
            Ok(Some(name)) => return Some(Account::certified(name)),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        tracing::info!(
            peer.address = %self.0.address,
            error = fault.as_ref().map(|fault| WithCauses(fault).to_string()),
            "a client certificate names no account, and counts as none"
        );
        None
    }
}
