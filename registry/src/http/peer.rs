//! The other end of a connection: what every request of it can be told at the cost of a counter.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};

use rustls::pki_types::CertificateDer;

use crate::auth::{Account, Certificates};
use crate::clock::Timestamp;
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
    /// Whom the certificate names, and what says so. A certificate is read when somebody first asks, and again when
    /// the configuration has changed.
    account: Mutex<Option<(u64, Option<Account>)>>,
    /// Until when it does.
    valid_until: OnceLock<Option<Timestamp>>,
    /// That it has expired is told once.
    expired: Once,
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
        let (account, valid_until, expired) = (Mutex::default(), OnceLock::new(), Once::new());
        Self(Arc::new(Facts { address, channel, account, valid_until, expired }))
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

    /// Returns the last moment at which the certificate is valid, if one was shown.
    ///
    /// Those between it and its authority are looked at by the handshake alone.
    pub fn valid_until(&self) -> Option<Timestamp> {
        let certificate = self.certificate()?;
        *self.0.valid_until.get_or_init(|| Certificates::valid_until(certificate))
    }

    /// Returns the account that the certificate names, if there is one, it names any, and it is valid `now`: a
    /// connection may be open for weeks, and a certificate good for an hour.
    pub fn account(&self, certificates: &Certificates, now: Timestamp) -> Option<Account> {
        let certificate = self.certificate()?;
        let account = {
            let mut known = self.0.account.lock().unwrap_or_else(PoisonError::into_inner);
            let (_, account) = match &mut *known {
                Some(known) if known.0 == certificates.id() => known,
                unknown => unknown.insert((certificates.id(), self.read(certificate, certificates))),
            };
            account.clone()?
        };
        if self.valid_until().is_none_or(|last| now > last) {
            self.0.expired.call_once(|| {
                tracing::info!(
                    peer.address = %self.0.address,
                    auth.user = account.name(),
                    "a client certificate has expired on its connection, and counts as none"
                );
            });
            return None;
        }
        Some(account)
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
