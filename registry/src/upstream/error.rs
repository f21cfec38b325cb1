//! What an upstream's answer, or its silence, means.

use std::sync::Arc;
use std::time::Duration;

/// Why an upstream did not give what it was asked for.
///
/// Names the upstream as the configuration does, never its url or its words (P8, P11): the field
/// `upstream` is [`Upstream::label`](super::Upstream::label).
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Every url said that there is no such thing.
    #[error("the upstream {upstream} does not have it")]
    NotFound {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// It refused us.
    #[error("the upstream {upstream} refused access")]
    Denied {
        /// The upstream's name.
        upstream: Arc<str>,
    },
    /// It asked us to slow down.
    #[error("the upstream {upstream} limits the rate of requests")]
    RateLimited {
        /// The upstream's name.
        upstream: Arc<str>,
        /// How long it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// It answered with a status that is no answer.
    #[error("the upstream {upstream} answered with status {status}")]
    Status {
        /// The upstream's name.
        upstream: Arc<str>,
        /// The status.
        status: u16,
    },
    /// It could not be reached, or broke off.
    #[error("the upstream {upstream} could not be asked: {fault}")]
    Unreachable {
        /// The upstream's name.
        upstream: Arc<str>,
        /// What happened.
        fault: Fault,
    },
    /// It did not answer in time.
    #[error("the upstream {upstream} did not answer in time, while {phase}")]
    Timeout {
        /// The upstream's name.
        upstream: Arc<str>,
        /// What it was doing.
        phase: Phase,
    },
    /// It answered with something else than what it was asked for.
    #[error("the upstream {upstream} answered wrongly: {reason}")]
    Wrong {
        /// The upstream's name.
        upstream: Arc<str>,
        /// What was wrong.
        reason: Wrong,
    },
}

/// What was wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// The bytes have another digest than the one asked for.
    #[error("the bytes do not have the digest asked for")]
    Digest,
    /// The body ended early, or went on.
    #[error("the body does not have the length announced")]
    Length,
    /// The body is no manifest.
    #[error("the body is not a manifest")]
    Manifest,
    /// The body is too large for a manifest.
    #[error("the manifest is larger than the limit")]
    TooLarge,
    /// The list is none, goes in a circle, or leads to another host.
    #[error("the list is none that can be read")]
    List,
    /// It sent us from place to place.
    #[error("there were too many redirects, or one that leads nowhere")]
    Redirect,
    /// The token service did not give a token.
    #[error("its token service gave no token")]
    Token,
}

/// How an exchange failed below HTTP, as this program sorts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The connection was not made.
    #[error("the connection was refused or failed")]
    Connect,
    /// The name was not resolved.
    #[error("its name could not be resolved")]
    Dns,
    /// The handshake failed, or the certificate is not trusted.
    #[error("TLS failed; check tlsVerify, certDir and the clock")]
    Tls,
    /// The connection was reset.
    #[error("the connection was reset")]
    Reset,
    /// The answer ended too early.
    #[error("the answer broke off")]
    Incomplete,
    /// The answer was not HTTP.
    #[error("the answer was not HTTP")]
    Protocol,
    /// It took too long.
    #[error("it took too long while {0}")]
    Timeout(Phase),
}

/// Where in an exchange the time ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Phase {
    /// Before it was this request's turn: too many others are open.
    #[error("waiting for a turn")]
    Turn,
    /// Before the connection was there.
    #[error("connecting")]
    Connect,
    /// Before the answer's head was there.
    #[error("waiting for the answer")]
    Head,
    /// In the middle of the body.
    #[error("reading the body")]
    Body,
    /// Before everything that a cached tag waits for was done.
    #[error("checking a cached tag")]
    Check,
}

impl Error {
    /// Makes an error of a fault.
    pub(super) fn fault(upstream: &Arc<str>, fault: Fault) -> Self {
        let upstream = Arc::clone(upstream);
        match fault {
            Fault::Timeout(phase) => Self::Timeout { upstream, phase },
            fault => Self::Unreachable { upstream, fault },
        }
    }

    /// Makes an error of a wrong answer.
    pub fn wrong(upstream: &Arc<str>, reason: Wrong) -> Self {
        Self::Wrong { upstream: Arc::clone(upstream), reason }
    }

    /// Says whether the upstream definitely has no such thing.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Returns which of two errors a client is told: 404 only if both said so, else the first of
    /// 429, 504, 502, 503, 403; of two rate limits the longer one.
    pub(super) fn or_worse(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::RateLimited { retry_after, .. }, Self::RateLimited { retry_after: others, .. }) => {
                if others > retry_after {
                    other
                } else {
                    self
                }
            }
            _ if other.rank() > self.rank() => other,
            _ => self,
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::RateLimited { .. } => 5,
            Self::Timeout { .. } => 4,
            Self::Unreachable { .. } | Self::Status { .. } | Self::Wrong { .. } => 3,
            Self::Denied { .. } => 2,
            Self::NotFound { .. } => 1,
        }
    }
}
