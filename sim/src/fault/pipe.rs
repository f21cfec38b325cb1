//! The pipe between an origin's HTTP service and its socket, where bytes are cut, delayed and spoiled.
//!
//! It follows the HTTP/1.1 framing of the response stream just far enough to know where each body begins
//! and how long it is. The service says, in order, which exchange and which faults each response belongs
//! to ([`Scripts`]). The pipe also counts what was really sent, for the journal. A client that closes its
//! sending side is taken to have left.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    net::TcpStream,
};

use super::{
    Fault, Hit,
    wire::{Cut, Wire, cut_before_head},
};
use crate::{locked, origin::LiveExchange};

/// The most bytes of a response's head; the service never makes so many.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most bytes taken from the service at once.
const PIECE_BYTES_MAX: usize = 64 * 1024;
/// How long a cleanly cut connection waits for its client to close too.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// What the service tells the pipe about one response.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) exchange: Arc<LiveExchange>,
    pub(crate) is_head: bool,
    pub(crate) hits: Vec<Hit>,
}

/// The scripts of a connection's responses, in order. At most one response is open on a connection.
#[derive(Debug, Default)]
pub(crate) struct Scripts(Mutex<VecDeque<Script>>);

impl Scripts {
    pub(crate) fn push(&self, script: Script) {
        locked(&self.0).push_back(script);
    }

    fn pop(&self) -> Option<Script> {
        locked(&self.0).pop_front()
    }
}

/// Carries bytes between the client and the service until one of them ends or a fault cuts the connection.
///
/// *Cancellation*: dropping the future closes the connection.
pub(crate) async fn run(mut client: TcpStream, service: DuplexStream, scripts: &Scripts) {
    // Each piece of a drip must leave at once, or its pauses would be spent in the kernel.
    let _ = client.set_nodelay(true);
    let cut = {
        let (mut from_client, to_client) = client.split();
        let (from_service, mut to_service) = tokio::io::split(service);
        let mut responses = Responses { from: from_service, to: to_client, buffer: BytesMut::new() };
        tokio::select! {
            cut = responses.forward(scripts) => cut.ok().flatten(),
            _ = tokio::io::copy(&mut from_client, &mut to_service) => None,
        }
    };
    match cut {
        Some(Cut::Reset) => {
            // With a linger time of zero, closing sends RST instead of FIN.
            let _ = client.set_zero_linger();
        }
        Some(Cut::Fin) => {
            // Closing with unread request bytes would send RST, so they are read first.
            let _ = client.shutdown().await;
            let mut sink = tokio::io::sink();
            let _ = tokio::time::timeout(DRAIN_MAX, tokio::io::copy(&mut client, &mut sink)).await;
        }
        None => {}
    }
}

struct Responses<R, W> {
    from: R,
    to: W,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Responses<R, W> {
    /// Forwards responses until the service ends the stream (`None`) or a fault does.
    async fn forward(&mut self, scripts: &Scripts) -> io::Result<Option<Cut>> {
        while let Some(head) = self.read_head().await? {
            if head.status < 200 {
                self.to.write_all(&head.bytes).await?;
                continue;
            }
            // Without a script the service's HTTP library speaks for itself (a malformed request): no faults.
            let Some(script) = scripts.pop() else {
                self.to.write_all(&head.bytes).await?;
                continue;
            };
            let cut = self.forward_one(&head, &script).await?;
            if cut.is_some() {
                return Ok(cut);
            }
        }
        Ok(None)
    }

    async fn forward_one(&mut self, head: &Head, script: &Script) -> io::Result<Option<Cut>> {
        if let Some(cut) = cut_before_head(&script.hits) {
            script.exchange.unanswered();
            script.exchange.end(false);
            return Ok(Some(cut));
        }
        let bodiless = script.is_head || matches!(head.status, 204 | 304);
        let length = if bodiless { 0 } else { head.content_length };
        let lie = script.hits.iter().find_map(|hit| match hit.fault() {
            Fault::ContentLength { delta } if !bodiless => Some((*delta, hit)),
            _ => None,
        });
        match lie {
            None => self.to.write_all(&head.bytes).await?,
            Some((delta, hit)) => {
                hit.fire();
                self.to.write_all(&head.with_length(length.saturating_add_signed(delta))).await?;
            }
        }
        let cut = self.forward_body(length, script).await?;
        script.exchange.end(cut.is_none());
        // After a false length the client cannot know where the next response begins.
        Ok(cut.or_else(|| lie.map(|_| Cut::Fin)))
    }

    async fn forward_body(&mut self, length: u64, script: &Script) -> io::Result<Option<Cut>> {
        let mut wire = Wire::of(&script.hits, length);
        let mut sent = 0;
        while sent < length {
            match wire.take_stall_due(sent) {
                Some(Some(pause)) => tokio::time::sleep(pause).await,
                Some(None) => std::future::pending::<()>().await,
                None => {}
            }
            if let Some(cut) = wire.cut_due(sent) {
                self.to.flush().await?;
                return Ok(Some(cut));
            }
            let mut piece = self.read_piece(wire.quiet_bytes(sent, length)).await?;
            wire.corrupt(sent, &mut piece);
            self.to.write_all(&piece).await?;
            sent += piece.len() as u64;
            script.exchange.sent(piece.len() as u64);
            if let Some(pause) = wire.drip_pause() {
                tokio::time::sleep(pause).await;
            }
            if let Some(due) = wire.pace_due(piece.len() as u64) {
                tokio::time::sleep_until(due).await;
            }
        }
        Ok(None)
    }

    /// Returns the next at most `limit` bytes of the body.
    async fn read_piece(&mut self, limit: u64) -> io::Result<BytesMut> {
        if self.buffer.is_empty() {
            self.buffer.reserve(PIECE_BYTES_MAX);
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let take = usize::try_from(limit).unwrap_or(usize::MAX).min(self.buffer.len());
        Ok(self.buffer.split_to(take))
    }

    /// Returns the next head, or `None` when the service ended the stream between responses.
    async fn read_head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let bytes = self.buffer.split_to(end + 4);
                return Head::parse(bytes).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into());
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// A response's head, as far as framing needs it.
struct Head {
    bytes: BytesMut,
    status: u16,
    content_length: u64,
}

impl Head {
    fn parse(bytes: BytesMut) -> Option<Self> {
        let text = std::str::from_utf8(&bytes).ok()?;
        let status = text.split(' ').nth(1)?.parse().ok()?;
        let content_length = text.lines().find_map(length_in).unwrap_or(0);
        Some(Self { bytes, status, content_length })
    }

    /// Returns the head's bytes with another `Content-Length`.
    fn with_length(&self, length: u64) -> Vec<u8> {
        let text = String::from_utf8_lossy(&self.bytes);
        let lines = text.trim_end().lines().filter(|line| length_in(line).is_none());
        let mut head: String = lines.flat_map(|line| [line, "\r\n"]).collect();
        head.push_str(&format!("content-length: {length}\r\n\r\n"));
        head.into_bytes()
    }
}

fn length_in(line: &str) -> Option<u64> {
    let (name, value) = line.split_once(':')?;
    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
