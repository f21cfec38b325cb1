//! The faults themselves, as data: readable in a scenario's JSON and replayable from a plan.

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// Describes one thing that goes wrong with a response.
///
/// Byte positions count the response's body; a fault positioned at or beyond the body's end does not
/// happen, and is not counted as fired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Answers with this status and an OCI error body instead of the content.
    Status {
        /// The status code.
        status: u16,
        /// The value of a `Retry-After` header, verbatim, so that nonsense can be sent too.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<String>,
    },
    /// Answers with this status and a `Retry-After` that is a date.
    StatusUntil {
        /// The status code.
        status: u16,
        /// How many seconds ahead the date is.
        seconds: u64,
    },
    /// Waits before the response's head.
    Latency {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// Reads the request and never answers it; ends when the client leaves.
    StallHeaders,
    /// Reads the request and resets the connection (RST) instead of answering.
    ResetHeaders,
    /// Reads the request and closes the connection cleanly (FIN) instead of answering.
    CloseHeaders,
    /// Stops in the middle of the body.
    StallBody {
        /// Where.
        at: At,
        /// For how many milliseconds; without it, until the client leaves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ms: Option<u64>,
    },
    /// Sends the body in small pieces with a pause after each.
    Drip {
        /// Bytes in a piece.
        bytes: u64,
        /// Milliseconds after each piece.
        ms: u64,
    },
    /// Sends the body as a link of this rate would; little of what came late is made up for.
    Pace {
        /// Bytes in a second.
        bytes_per_second: u64,
    },
    /// Closes the connection cleanly (FIN) in the middle of the body.
    Truncate {
        /// Where: exactly this many body bytes are sent.
        at: At,
    },
    /// Resets the connection (RST) in the middle of the body.
    Reset {
        /// Where: at most this many body bytes reach the client, for a reset overtakes bytes in flight.
        at: At,
    },
    /// Flips every bit of one body byte.
    Corrupt {
        /// Which.
        at: At,
    },
    /// Sends a `Content-Length` that differs from the body's length, and closes after the body.
    ContentLength {
        /// What is added to the true length; a result below zero is sent as zero.
        delta: i64,
    },
    /// Answers 200 with a web page, as a captive portal does.
    Html,
    /// Spoils the `Docker-Content-Digest` header.
    DigestHeader {
        /// How.
        value: DigestHeader,
    },
    /// Sends another `Content-Type`.
    ContentType {
        /// The value.
        value: String,
    },
    /// Answers with a redirect instead of the content.
    Redirect {
        /// Where it leads.
        to: Destination,
        /// The status code: 301, 302, 303, 307 or 308.
        #[serde(default = "temporary_redirect")]
        status: u16,
    },
    /// Answers 401 and asks for a token, whatever token the request carries.
    Challenge {
        /// Who is said to issue it.
        realm: Realm,
    },
    /// Refuses connections and cuts those that are open, whatever the selector says.
    Refuse,
}

/// Says where a redirect leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// To the same address again.
    Itself,
    /// To another host, which has the content and asks nobody who he is.
    Stranger,
    /// Nowhere: the header is missing.
    Nowhere,
    /// To another host that is asked in another scheme than HTTP.
    OtherScheme,
}

/// Says who is named as the issuer of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Realm {
    /// The origin itself; its tokens are refused all the same.
    Own,
    /// Another host, which gives a token to everybody and remembers what it was shown.
    Stranger,
}

fn temporary_redirect() -> u16 {
    307
}

/// Says how the `Docker-Content-Digest` header is spoiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DigestHeader {
    /// The header is left out.
    Missing,
    /// The header holds a well-formed digest of other content.
    False,
    /// The header holds a text that is no digest.
    Garbage,
}

/// Says where in a body something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// Before the byte with this index.
    Byte(u64),
    /// After this share of the body, 0 to 99.
    Percent(u8),
    /// Anywhere from 1% to 99%; a plan's seed decides ([`Fault::resolved`]).
    Random,
}

impl At {
    /// Returns the position in a body of `length` bytes.
    #[must_use]
    pub fn of(self, length: u64) -> u64 {
        match self {
            Self::Byte(byte) => byte,
            Self::Percent(percent) => length.saturating_mul(u64::from(percent)) / 100,
            Self::Random => length / 2,
        }
    }

    fn resolved(self, rng: &mut Rng) -> Self {
        match self {
            Self::Random => {
                Self::Percent(u8::try_from(1 + rng.below(99)).expect("a percentage fits eight bits"))
            }
            fixed => fixed,
        }
    }
}

impl Fault {
    /// Returns this fault with random positions replaced by those that `rng` chooses.
    #[must_use]
    pub fn resolved(self, rng: &mut Rng) -> Self {
        match self {
            Self::StallBody { at, ms } => Self::StallBody { at: at.resolved(rng), ms },
            Self::Truncate { at } => Self::Truncate { at: at.resolved(rng) },
            Self::Reset { at } => Self::Reset { at: at.resolved(rng) },
            Self::Corrupt { at } => Self::Corrupt { at: at.resolved(rng) },
            fixed => fixed,
        }
    }

    /// Returns the name that journals and reports use.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::StatusUntil { .. } => "status_until",
            Self::Latency { .. } => "latency",
            Self::ResetHeaders => "reset_headers",
            Self::CloseHeaders => "close_headers",
            Self::Redirect { .. } => "redirect",
            Self::Challenge { .. } => "challenge",
            Self::StallHeaders => "stall_headers",
            Self::StallBody { .. } => "stall_body",
            Self::Drip { .. } => "drip",
            Self::Pace { .. } => "pace",
            Self::Truncate { .. } => "truncate",
            Self::Reset { .. } => "reset",
            Self::Corrupt { .. } => "corrupt",
            Self::ContentLength { .. } => "content_length",
            Self::Html => "html",
            Self::DigestHeader { .. } => "digest_header",
            Self::ContentType { .. } => "content_type",
            Self::Refuse => "refuse",
        }
    }
}
