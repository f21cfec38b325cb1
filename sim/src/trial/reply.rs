//! How the upstream of a trial answers: as a registry, and with whatever goes wrong.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use super::plan::{Kind, Target};
use crate::digest::Digest;

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Bytes of a body that come at once.
const PIECE_BYTES: usize = 16 * 1024;
/// For how long a token is said to be good, in seconds: that it is not for so long is for its user to see.
const TOKEN_SECONDS: u64 = 24 * 3600;

/// What is to be sent, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Milliseconds before anything happens.
    pub after_ms: u64,
    /// What happens then.
    pub outcome: Outcome,
}

/// What comes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The connection is refused.
    Refused,
    /// It is reset before a head.
    Reset,
    /// Nothing, ever.
    Silence,
    /// A response.
    Response {
        /// The status.
        status: u16,
        /// Its headers.
        headers: Vec<(String, String)>,
        /// Its body.
        body: Vec<Piece>,
        /// How that ends.
        end: End,
    },
}

/// A piece of a body.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Milliseconds after the one before it.
    pub after_ms: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As announced.
    Clean,
    /// The connection is reset.
    Reset,
    /// The connection is closed short of the length.
    Cut,
    /// Nothing more comes.
    Stall,
}

impl Reply {
    /// Returns the answer of a host that nothing listens at.
    pub(super) const fn refused() -> Self {
        Self { after_ms: 0, outcome: Outcome::Refused }
    }
}

/// A right answer, before anything goes wrong with it.
pub(super) struct Response {
    pub(super) bytes: Vec<u8>,
    pub(super) range: Option<(u64, Option<u64>)>,
    pub(super) is_head: bool,
    pub(super) media_type: &'static str,
    pub(super) digest: String,
    pub(super) at_ms: u64,
    /// Milliseconds between two pieces.
    pub(super) pause_ms: u64,
}

/// What is wrong with a body.
struct Spoil {
    after_ms: u64,
    /// Where it ends, in thousandths, and how.
    cut: Option<(u32, End)>,
    /// By how much its length is told wrong; none when no length is told.
    length: Option<i64>,
    /// How many bytes later it begins.
    shift: u64,
    piece: usize,
    pause_ms: u64,
}

impl Response {
    /// Returns the reply, with everything wrong that is to be.
    pub(super) fn spoiled(mut self, faults: &[Kind], after_ms: u64) -> Reply {
        let mut spoil = Spoil {
            after_ms,
            cut: None,
            length: Some(0),
            shift: 0,
            piece: PIECE_BYTES,
            pause_ms: self.pause_ms,
        };
        for fault in faults {
            if let Some(outcome) = self.replaced(*fault) {
                return Reply { after_ms: spoil.after_ms, outcome };
            }
            self.spoil(*fault, &mut spoil);
        }
        let size = self.bytes.len();
        let Some((begin, until)) = self.extent(spoil.shift) else {
            return Reply { after_ms: spoil.after_ms, outcome: status(416, None) };
        };
        let told = spoil.length.map(|by| (i64::try_from(until - begin).unwrap_or_default() + by).max(0));
        let length = usize::try_from(told.unwrap_or(i64::MAX)).unwrap_or(usize::MAX);
        let place = |at: u32| (size * at as usize / 1000).max(begin);
        let cut = spoil.cut.map(|(at, end)| (place(at), end)).filter(|(at, _)| *at < until);
        let (stop, end) = cut.unwrap_or((until, End::Clean));
        // Of a body that is longer than its length, a client reads no more than that; of one that is shorter,
        // it sees the connection go.
        let stop = stop.min(begin.saturating_add(length));
        let is_short = told.is_some() && stop - begin < length;
        let end = match end {
            End::Clean if is_short => End::Cut,
            // Without a length that is how a body ends.
            End::Cut if told.is_none() => End::Clean,
            _ if told.is_some() && !is_short => End::Clean,
            end => end,
        };
        let headers = self.headers(begin, until, told);
        let status = if self.range.is_some() { 206 } else { 200 };
        let (body, end) = match self.is_head {
            true => (Vec::new(), End::Clean),
            false => (pieces(&self.bytes[begin..stop], spoil.piece, spoil.pause_ms), end),
        };
        Reply { after_ms: spoil.after_ms, outcome: Outcome::Response { status, headers, body, end } }
    }

    /// Returns what takes the place of the answer.
    fn replaced(&self, fault: Kind) -> Option<Outcome> {
        Some(match fault {
            Kind::Refuse => Outcome::Refused,
            Kind::Reset => Outcome::Reset,
            Kind::Silence => Outcome::Silence,
            Kind::Status(code, seconds) => status(code, seconds.map(|it| it.to_string())),
            Kind::Until(code, seconds) => {
                let date = UNIX_EPOCH + Duration::from_millis(self.at_ms) + Duration::from_secs(seconds);
                status(code, Some(httpdate::fmt_http_date(date)))
            }
            _ => return None,
        })
    }

    fn spoil(&mut self, fault: Kind, spoil: &mut Spoil) {
        let size = self.bytes.len();
        let earlier = |cut: &Option<(u32, End)>, at: u32| cut.is_none_or(|(old, _)| at < old);
        let mut cut = |at: u32, end: End| {
            if earlier(&spoil.cut, at) {
                spoil.cut = Some((at, end));
            }
        };
        match fault {
            Kind::Html => {
                self.bytes = b"<html>log in</html>".to_vec();
                (self.media_type, self.range) = ("text/html", None);
            }
            Kind::Late(ms) => spoil.after_ms += ms,
            Kind::ResetAt(at) => cut(at, End::Reset),
            Kind::CutAt(at) => cut(at, End::Cut),
            Kind::ShortAt(at) => {
                cut(at, End::Clean);
                spoil.length = None;
            }
            Kind::StallAt(at) => cut(at, End::Stall),
            Kind::FlipAt(at) => {
                if let Some(byte) = self.bytes.get_mut(size * at as usize / 1000) {
                    *byte ^= 0x55;
                }
            }
            Kind::Length(by) => spoil.length = spoil.length.map(|old| old + by),
            Kind::FalseDigest => self.digest = Digest::sha256_of(b"another").to_string(),
            Kind::NoRange => self.range = None,
            Kind::Shift(by) => spoil.shift += u64::from(by),
            Kind::Other(by) => self.other(by),
            Kind::Drip(bytes) => (spoil.piece, spoil.pause_ms) = (bytes.max(1) as usize, 1000),
            Kind::Refuse | Kind::Reset | Kind::Silence | Kind::Status(..) | Kind::Until(..) => {}
        }
    }

    /// Makes other bytes of it, the same ones each time.
    fn other(&mut self, by: i64) {
        let size = self.bytes.len();
        let other = i64::try_from(size).unwrap_or_default().saturating_add(by).max(0);
        self.bytes.resize(usize::try_from(other).unwrap_or_default(), b'?');
        if by == 0 && size > 0 {
            self.bytes[size / 2] ^= 0x55;
        }
    }

    /// Returns where the body begins and ends in the whole; none for a range that is not there.
    fn extent(&self, shift: u64) -> Option<(usize, usize)> {
        let size = self.bytes.len();
        let Some((from, last)) = self.range.filter(|_| !self.is_head) else { return Some((0, size)) };
        let from = usize::try_from(from + shift).unwrap_or(usize::MAX);
        let until = last.map_or(size, |last| usize::try_from(last + 1).unwrap_or(usize::MAX).min(size));
        (from < size && from < until).then_some((from, until))
    }

    fn headers(&self, begin: usize, until: usize, length: Option<i64>) -> Vec<(String, String)> {
        let mut headers = vec![
            ("content-type".to_owned(), self.media_type.to_owned()),
            ("docker-content-digest".to_owned(), self.digest.clone()),
        ];
        headers.extend(length.map(|length| ("content-length".to_owned(), length.to_string())));
        if self.range.is_some() {
            let range = format!("bytes {begin}-{}/{}", until.saturating_sub(1), self.bytes.len());
            headers.push(("content-range".to_owned(), range));
        }
        headers
    }
}

fn pieces(bytes: &[u8], size: usize, after_ms: u64) -> Vec<Piece> {
    bytes.chunks(size).map(|bytes| Piece { after_ms, bytes: bytes.to_vec() }).collect()
}

pub(super) fn status(status: u16, retry_after: Option<String>) -> Outcome {
    let headers = retry_after.map(|value| ("retry-after".to_owned(), value));
    small(status, headers, b"{}")
}

/// Returns the redirect to where layers are.
pub(super) fn moved(url: usize, path: &str) -> Outcome {
    small(307, Some(("location".to_owned(), format!("http://s{url}.example{path}"))), b"")
}

/// Returns the refusal of who has no token.
pub(super) fn unauthorized(url: usize) -> Outcome {
    let challenge = format!("Bearer realm=\"http://u{url}.example/token\",service=\"u{url}\"");
    small(401, Some(("www-authenticate".to_owned(), challenge)), b"{}")
}

/// Returns the answer of a token service.
pub(super) fn token(token: &str) -> Outcome {
    let body = json!({"token": token, "expires_in": TOKEN_SECONDS}).to_string();
    small(200, None, body.as_bytes())
}

fn small(status: u16, header: Option<(String, String)>, body: &[u8]) -> Outcome {
    let mut headers = vec![("content-length".to_owned(), body.len().to_string())];
    headers.extend(header);
    let body = vec![Piece { after_ms: 0, bytes: body.to_vec() }];
    Outcome::Response { status, headers, body, end: End::Clean }
}

pub(super) const fn media_type(target: Target) -> &'static str {
    match target {
        Target::Tag(_) | Target::Manifest(_) => MANIFEST,
        Target::Layer(..) => "application/octet-stream",
    }
}
