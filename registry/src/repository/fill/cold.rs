//! A range of a blob that is not here: slices of it, until the fill comes near.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use super::slice::{Next, Slice, Source};
use super::{FillError, Fills};

/// A blob of which a part was asked for, and that is not here.
#[derive(Debug)]
pub struct Cold {
    /// Its size.
    pub size: u64,
    way: Way,
    first: Option<Slice>,
}

/// The ways to a blob's bytes.
#[derive(Debug)]
struct Way {
    size: u64,
    fills: Fills,
    source: Source,
}

/// Where the next bytes come from.
enum From {
    /// To be seen.
    Anywhere,
    /// A slice of the upstream's.
    Slice(Box<Slice>),
    /// The fill, to the end.
    Fill(Pin<Box<dyn Stream<Item = Result<Bytes, FillError>> + Send>>),
}

struct Reading {
    at: u64,
    end: u64,
    from: From,
    way: Way,
}

impl Cold {
    pub(super) fn new(size: u64, fills: Fills, source: Source, first: Option<Slice>) -> Self {
        Self { size, way: Way { size, fills, source }, first }
    }

    /// Returns the name of the upstream.
    pub fn upstream(&self) -> &Arc<str> {
        self.way.source.upstream.name()
    }

    /// Returns the bytes from `start` up to, not including, `end`. No digest has checked them.
    ///
    /// *Errors:* an item of the stream, after which the response must be cut.
    pub fn stream(
        mut self,
        start: u64,
        end: u64,
    ) -> Pin<Box<dyn Stream<Item = Result<Bytes, FillError>> + Send>> {
        let from = match self.first.take() {
            Some(slice) if slice.at == start => From::Slice(Box::new(slice)),
            _ => From::Anywhere,
        };
        stream::try_unfold(Reading { at: start, end, from, way: self.way }, Reading::next).boxed()
    }
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, FillError> {
        while self.at < self.end {
            let piece = match &mut self.from {
                From::Anywhere => {
                    self.from = self.way.nearest(self.at, self.end).await;
                    continue;
                }
                From::Slice(slice) => match slice.next().await {
                    Next::Piece(piece) => {
                        self.way.source.count(&piece);
                        piece
                    }
                    Next::End | Next::LeftBehind => {
                        self.from = From::Anywhere;
                        continue;
                    }
                    // A fill has more patience than a slice.
                    Next::Failed => {
                        self.from = self.way.fill(self.at, self.end).await?;
                        continue;
                    }
                },
                From::Fill(filling) => match filling.next().await {
                    Some(piece) => piece?,
                    None => return Ok(None),
                },
            };
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            let piece = piece.slice(..piece.len().min(left));
            self.at += piece.len() as u64;
            return Ok(Some((piece, self)));
        }
        Ok(None)
    }
}

impl Way {
    /// Goes on with a slice, unless the fill has come near or no slice is to be had.
    async fn nearest(&self, at: u64, end: u64) -> From {
        if !self.fills.is_near(&self.source, at)
            && let Ok(slice) = self.source.slice(at, Some(end)).await
            && slice.size == self.size
        {
            return From::Slice(Box::new(slice));
        }
        match self.fill(at, end).await {
            Ok(from) => from,
            Err(error) => From::Fill(stream::iter([Err(error)]).boxed()),
        }
    }

    async fn fill(&self, at: u64, end: u64) -> Result<From, FillError> {
        let Self { size, fills, source } = self;
        let failed =
            || FillError::Upstream { digest: source.digest, upstream: Arc::clone(source.upstream.name()) };
        let fill = fills.join(&source.upstream, &source.name, &source.digest);
        let filling = fill.ready().await.map_err(|_| failed())?;
        if filling.size.is_some_and(|found| found != *size) {
            return Err(failed());
        }
        Ok(From::Fill(filling.stream(at, Some(end))))
    }
}

impl fmt::Debug for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anywhere => "Anywhere",
            Self::Slice(_) => "Slice",
            Self::Fill(_) => "Fill",
        })
    }
}
