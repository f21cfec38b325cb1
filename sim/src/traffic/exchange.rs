//! One request to the target and what came of it.

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::{digest::Digest, origin::SeededBlob};

/// What a client asks for, and what it must get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wanted {
    /// Manifest or blob.
    pub kind: Kind,
    /// The repository.
    pub repository: String,
    /// The tag or digest.
    pub reference: String,
    /// The content that the reference names.
    pub content: SeededBlob,
    /// How much of it.
    pub ask: Ask,
    /// What the reference named before: no lie, but no news either.
    pub former: Vec<Digest>,
    /// Whether the repository does not hold this content, although another one does.
    pub trespass: bool,
}

/// Says how much of some content a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Everything: GET.
    Whole,
    /// Only the head: HEAD.
    Head,
    /// A part: GET with `Range`.
    Range {
        /// The first byte.
        first: u64,
        /// The last byte; without it, up to the end.
        last: Option<u64>,
        /// After how many bytes the client has enough and leaves.
        takes: Option<u64>,
    },
    /// Nothing: the client brings it.
    Push,
}

/// The two kinds of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A manifest or index.
    Manifest,
    /// A configuration or layer.
    Blob,
}

/// How an exchange ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The whole response came, by its own framing.
    Complete,
    /// The body broke off.
    Cut(String),
    /// The client left on purpose.
    Left,
    /// No response came: refused, reset or closed before the head.
    NoResponse(String),
    /// Nothing came for too long.
    TimedOut,
}

/// Whether the origin accepted connections during an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Upstream {
    /// It did.
    Up,
    /// It did not.
    Down,
}

/// One request to the target with everything that the validators ask about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exchange {
    /// What was asked for.
    pub wanted: Wanted,
    /// The step of the scenario, from 0.
    pub step: usize,
    /// The client within the step, from 0.
    pub client: usize,
    /// The attempt of this client, from 1.
    pub attempt: u32,
    /// The origin's state.
    pub upstream: Upstream,
    /// Whether anything was wrong with the origin on purpose: a fault was installed, or it was away.
    pub troubled: bool,
    /// Whether an earlier step got this content whole through the target.
    pub pulled_before: bool,
    /// The status; `None` without a response.
    pub status: Option<u16>,
    /// The declared length of the body.
    pub declared_bytes: Option<u64>,
    /// The `Docker-Content-Digest` header, if it does not name the content under any algorithm.
    pub false_digest: Option<String>,
    /// The `Retry-After` header.
    pub retry_after: Option<String>,
    /// How the response ended.
    pub outcome: Outcome,
    /// Body bytes received.
    pub bytes: u64,
    /// The digest of the body received, whole or not.
    pub digest: Digest,
    /// Whether the body is exactly what was asked for.
    pub exact: bool,
    /// The first position at which the body differs from the content, if one does.
    pub first_wrong_byte: Option<u64>,
    /// The body of an error, shortened.
    pub error_body: Option<String>,
    /// Time from the request to the first body byte.
    pub first_byte: Option<Duration>,
    /// Time from the request to the end.
    pub total: Duration,
    /// How many bytes of this content the origin had sent when the first one reached the client.
    pub origin_sent_at_first_byte: Option<u64>,
}

impl Wanted {
    /// Asks for everything that a reference names.
    #[must_use]
    pub fn whole(kind: Kind, repository: &str, reference: &str, content: &SeededBlob) -> Self {
        Self {
            kind,
            repository: repository.to_owned(),
            reference: reference.to_owned(),
            content: content.clone(),
            ask: Ask::Whole,
            former: Vec::new(),
            trespass: false,
        }
    }

    /// Asks for a blob.
    #[must_use]
    pub fn blob(repository: &str, blob: &SeededBlob) -> Self {
        Self::whole(Kind::Blob, repository, &blob.digest.to_string(), blob)
    }

    /// Asks for a manifest by its digest.
    #[must_use]
    pub fn manifest(repository: &str, manifest: &SeededBlob) -> Self {
        Self::whole(Kind::Manifest, repository, &manifest.digest.to_string(), manifest)
    }

    /// Asks for this much instead.
    #[must_use]
    pub fn only(self, ask: Ask) -> Self {
        Self { ask, ..self }
    }

    /// Says whether the reference is the content's own name, which never moves.
    #[must_use]
    pub fn by_digest(&self) -> bool {
        self.reference == self.content.digest.to_string()
    }

    /// Returns the path of the request.
    #[must_use]
    pub fn path(&self) -> String {
        let noun = match self.kind {
            Kind::Manifest => "manifests",
            Kind::Blob => "blobs",
        };
        format!("/v2/{}/{noun}/{}", self.repository, self.reference)
    }
}

impl Ask {
    /// Returns the method of the request.
    #[must_use]
    pub fn method(self) -> &'static str {
        match self {
            Self::Whole | Self::Range { .. } => "GET",
            Self::Head => "HEAD",
            Self::Push => "PUT",
        }
    }

    /// Returns the value of the `Range` header.
    #[must_use]
    pub fn range(self) -> Option<String> {
        let Self::Range { first, last, .. } = self else { return None };
        Some(format!("bytes={first}-{}", last.map(|it| it.to_string()).unwrap_or_default()))
    }

    /// Returns after how many bytes the client has enough.
    #[must_use]
    pub fn takes(self) -> Option<u64> {
        let Self::Range { takes, .. } = self else { return None };
        takes
    }
}

impl Exchange {
    /// Says whether the response claims success and came whole, right or wrong.
    #[must_use]
    pub fn completed(&self) -> bool {
        self.outcome == Outcome::Complete && matches!(self.status, Some(200 | 206))
    }

    /// Says whether the client got exactly what it asked for.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        match self.wanted.ask {
            Ask::Push => self.status == Some(201),
            ask if ask.takes().is_some() && self.outcome == Outcome::Left => {
                matches!(self.status, Some(200 | 206)) && self.first_wrong_byte.is_none()
            }
            _ => self.completed() && self.exact,
        }
    }

    /// Returns how long the client waited for the first byte, or for the end where there was none.
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.first_byte.unwrap_or(self.total)
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, client, attempt, bytes, .. } = self;
        let method = self.wanted.ask.method();
        write!(f, "step {step} client {client} attempt {attempt}: {method} {}", self.wanted.path())?;
        if let Some(range) = self.wanted.ask.range() {
            write!(f, " ({range})")?;
        }
        write!(f, " -> ")?;
        match self.status {
            Some(status) => write!(f, "{status}, {bytes} of {} bytes", self.wanted.content.size)?,
            None => write!(f, "no status")?,
        }
        match &self.outcome {
            Outcome::Complete => write!(f, ", complete")?,
            Outcome::Cut(error) => write!(f, ", cut ({error})")?,
            Outcome::Left => write!(f, ", left")?,
            Outcome::NoResponse(error) => write!(f, ", no response ({error})")?,
            Outcome::TimedOut => write!(f, ", timed out")?,
        }
        write!(f, " after {} ms", self.total.as_millis())?;
        match &self.error_body {
            Some(body) => write!(f, ", saying {}", body.trim().replace(['\r', '\n'], " ")),
            None => Ok(()),
        }
    }
}
