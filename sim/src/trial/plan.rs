//! What happens in a trial, as data.

use serde::{Deserialize, Serialize};

/// Repositories of the upstream; few, so that clients meet.
const REPOSITORIES: usize = 2;

/// A trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Decides bytes and latencies.
    pub seed: u64,
    /// How the cache is configured.
    pub settings: Settings,
    /// Sizes of the layers of each image; image `i` is in repository `i % 2`, under the tag `v`.
    pub images: Vec<Vec<usize>>,
    /// When a repository's tag moves to another of its images.
    pub moves: Vec<Move>,
    /// What clients ask, one after another within each.
    pub clients: Vec<Vec<Ask>>,
    /// What goes wrong; of one answer, perhaps several things.
    pub faults: Vec<Fault>,
    /// What happens to the cache itself.
    #[serde(default)]
    pub events: Vec<Event>,
}

/// How the cache is configured; times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Mirrors of the same content.
    pub urls: usize,
    /// `maxRetries`.
    pub retries: u32,
    /// `retryDelay`.
    pub retry_delay_ms: u64,
    /// `onDemandTimeout`.
    pub on_demand_ms: u64,
    /// `responseTimeout`.
    pub response_ms: u64,
    /// `checkTimeout`.
    pub check_ms: u64,
    /// `manifestCheckInterval`.
    pub interval_ms: u64,
    /// `negativeTtl`.
    pub negative_ms: u64,
    /// `breakerFailures`.
    pub breaker: u32,
    /// `rangeWait`, in bytes.
    #[serde(default = "range_wait")]
    pub range_wait: u64,
    /// `rangeFetchMax`, in bytes.
    #[serde(default = "range_max")]
    pub range_max: u64,
    /// `cache.maxBytes`.
    #[serde(default)]
    pub cache_bytes: Option<u64>,
    /// What the disk has room for.
    #[serde(default)]
    pub disk_bytes: Option<u64>,
    /// How long the upstream takes a token for good; 0 when it wants none.
    #[serde(default)]
    pub token_ms: u64,
    /// Milliseconds between two pieces of a body.
    #[serde(default = "pause_ms")]
    pub pause_ms: u64,
    /// Whether it sends who wants a layer to another host.
    #[serde(default)]
    pub redirects: bool,
}

/// The default of `rangeWait`.
const fn range_wait() -> u64 {
    8 << 20
}

/// The default of `rangeFetchMax`.
const fn range_max() -> u64 {
    16 << 20
}

/// A fast upstream.
const fn pause_ms() -> u64 {
    2
}

/// Something happens to the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at_ms: u64,
    /// What.
    pub what: Happening,
}

/// What can happen to a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// It is brought within its bound.
    Evict,
    /// An operator deletes what is cached of something.
    Purge(Target),
    /// An operator deletes what is cached of a repository.
    PurgeAll(usize),
    /// The process ends as it should, and another one begins on the same disk.
    Restart,
    /// The process is killed, perhaps with the machine, and another one begins on what is left.
    Kill(Loss),
}

impl Happening {
    /// Says whether another process goes on afterwards.
    #[must_use]
    pub const fn is_restart(self) -> bool {
        matches!(self, Self::Restart | Self::Kill(_))
    }
}

/// What the end of a process costs of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Nothing: only the process died.
    Nothing,
    /// The bytes, not the names.
    Bytes,
    /// All of it.
    Everything,
    /// Some of it, as this number has it.
    Some(u64),
}

/// A tag moves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// When.
    pub at_ms: u64,
    /// To which image; its repository's tag moves.
    pub image: usize,
}

/// Something of the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The manifest that the tag of a repository points at.
    Tag(usize),
    /// The manifest of an image, by digest.
    Manifest(usize),
    /// A layer of an image.
    Layer(usize, usize),
}

/// What a client does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Pulls it whole.
    Get,
    /// Asks whether it is there.
    Head,
    /// Pulls a part, from and to in thousandths of the size.
    Range(u32, u32),
    /// Begins to pull it, and leaves after so many milliseconds.
    Leave(u64),
}

/// One request of a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// Not before this moment, and after the client's request before it.
    pub at_ms: u64,
    /// For what.
    pub target: Target,
    /// How.
    pub op: Op,
}

/// What goes wrong, with which request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Which url, by its place in the configuration.
    pub url: usize,
    /// What is asked for.
    pub target: Target,
    /// From which request for it at that url on, counted from 1, HEAD and GET together.
    pub nth: u32,
    /// For how many requests.
    pub times: u32,
    /// What happens.
    pub kind: Kind,
}

/// What happens to a response. Positions are in thousandths of the body.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The connection is refused.
    Refuse,
    /// It is reset before a head comes.
    Reset,
    /// No head ever comes.
    Silence,
    /// The head comes so many milliseconds late.
    Late(u64),
    /// Another status, perhaps with Retry-After in seconds.
    Status(u16, Option<u64>),
    /// Another status, with the date in so many seconds as Retry-After.
    Until(u16, u64),
    /// The body is reset there.
    ResetAt(u32),
    /// The body ends there, short of its length.
    CutAt(u32),
    /// The body ends there, and no length was told: a clean end.
    ShortAt(u32),
    /// The body stands still there.
    StallAt(u32),
    /// A byte is another one.
    FlipAt(u32),
    /// The length is told wrong by so much.
    Length(i64),
    /// A page of the web instead.
    Html,
    /// The digest in the header is another one.
    FalseDigest,
    /// A range is not honoured.
    NoRange,
    /// Another range is sent, which begins so many bytes later.
    Shift(u32),
    /// The url has something else: so many bytes longer or shorter, or one byte of the same size.
    Other(i64),
    /// The body comes in pieces of so many bytes, with a second between.
    Drip(u32),
}

impl Plan {
    /// Returns the number of repositories.
    #[must_use]
    pub const fn repositories() -> usize {
        REPOSITORIES
    }

    /// Returns the repository of an image.
    #[must_use]
    pub const fn repository_of(image: usize) -> usize {
        image % REPOSITORIES
    }

    /// Says whether another process ever takes the place of the first.
    #[must_use]
    pub fn has_restarts(&self) -> bool {
        self.events.iter().any(|event| event.what.is_restart())
    }
}

impl Kind {
    /// Returns how long the url is to be left alone, in seconds.
    #[must_use]
    pub const fn pause(&self) -> Option<u64> {
        match self {
            Self::Status(_, Some(seconds)) | Self::Until(_, seconds) => Some(*seconds),
            _ => None,
        }
    }

    /// Returns the status that takes the place of the answer.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Status(status, _) | Self::Until(status, _) => Some(*status),
            _ => None,
        }
    }

    /// Says whether there is no answer but this.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        matches!(self, Self::Refuse | Self::Reset | Self::Silence | Self::Status(..) | Self::Until(..))
    }

    /// Says whether the answer as a whole is one after which it is worth while to ask again.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Refuse | Self::Reset | Self::Silence => true,
            Self::Status(status, _) | Self::Until(status, _) => matches!(*status, 408 | 429 | 500..=599),
            _ => false,
        }
    }

    /// Says whether bytes are not what they should be, or more or fewer than was said.
    #[must_use]
    pub const fn is_lie(&self) -> bool {
        matches!(self, Self::FlipAt(_) | Self::Length(_) | Self::Html | Self::Other(_) | Self::Shift(_))
    }
}
