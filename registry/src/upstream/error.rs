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
    /// What it has is not signed, and only what is signed is taken from it.
    #[error("what the upstream {upstream} has is not signed, and onlySigned is set")]
    Unsigned {
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
        /// How long it asked us to wait.
        retry_after: Option<Duration>,
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
    /// It is not asked now: it failed too often, or told us to stay away.
    #[error("the upstream {upstream} is not asked for now, after it failed or asked to be left alone")]
    Paused {
        /// The upstream's name.
        upstream: Arc<str>,
        /// How long it is not asked.
        retry_after: Duration,
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
    /// The range is another one than was asked for.
    #[error("the range is not the one asked for")]
    Range,
    /// The bytes have another digest than the one asked for.
    #[error("the bytes do not have the digest asked for")]
    Digest,
    /// The body ended early, or went on.
    #[error("the body does not have the length announced")]
    Length,
    /// It is a page for people.
    #[error("the answer is a page, as of a login or a proxy on the way")]
    Page,
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
    /// There should be an account, and cannot be had.
    #[error("this registry's account for it cannot be had; its operator finds why in the log")]
    Credentials,
    /// The account is a token, and its endpoint has none to give just now.
    #[error("this registry's account for it cannot be had for now; its operator finds why in the log")]
    TokenEndpoint,
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

    /// Says whether the same question may well have an answer a little later.
    ///
    /// What is not there, not for us, or wrong is so on the next day as well.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Timeout { .. } | Self::Paused { .. } => true,
            Self::Wrong { reason: Wrong::TokenEndpoint, .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 500..=599),
            Self::Unreachable { fault, .. } => {
                matches!(fault, Fault::Connect | Fault::Dns | Fault::Reset | Fault::Incomplete)
            }
            Self::NotFound { .. } | Self::Unsigned { .. } | Self::Denied { .. } | Self::Wrong { .. } => false,
        }
    }

    /// Says whether the url that gave it is in trouble, whatever it was asked.
    pub(super) const fn is_trouble(&self) -> bool {
        match self {
            Self::Timeout { phase, .. } => !matches!(phase, Phase::Turn | Phase::Check),
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => matches!(status, 500..=599),
            _ => false,
        }
    }

    /// Returns a short word for metrics and logs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Unsigned { .. } => "unsigned",
            Self::Denied { .. } => "denied",
            Self::RateLimited { .. } => "rate_limited",
            Self::Status { .. } => "status",
            Self::Unreachable { fault, .. } => match fault {
                Fault::Connect => "connect",
                Fault::Dns => "dns",
                Fault::Tls => "tls",
                Fault::Reset => "reset",
                Fault::Incomplete => "incomplete",
                Fault::Protocol | Fault::Timeout(_) => "protocol",
            },
            Self::Timeout { .. } => "timeout",
            Self::Paused { .. } => "paused",
            Self::Wrong { .. } => "wrong",
        }
    }

    /// Returns which of two errors a client is told: 404 only if both said so, else the first of
    /// 429, 504, 502, 503, 403; of two that say when to come back the later one.
    #[must_use]
    pub fn or_worse(self, other: Self) -> Self {
        if self.rank() == other.rank() {
            return if other.retry_after() > self.retry_after() { other } else { self };
        }
        if other.rank() > self.rank() { other } else { self }
    }

    /// Returns how long the upstream is better left alone, if that is known.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Status { retry_after, .. } => *retry_after,
            Self::Paused { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::RateLimited { .. } => 6,
            Self::Timeout { .. } => 5,
            Self::Unreachable { .. } | Self::Status { .. } | Self::Wrong { .. } => 4,
            Self::Paused { .. } => 3,
            Self::Unsigned { .. } | Self::Denied { .. } => 2,
            Self::NotFound { .. } => 1,
        }
    }
}
