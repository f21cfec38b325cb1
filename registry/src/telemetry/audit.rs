//! The audit log: who changed what, who was not allowed to, and who could not log in.
//!
//! One JSON line an event. One task writes them, in the order in which they were recorded; requests hand their
//! line over and go on, and wait when too many are not written yet. A line that cannot be written is counted and
//! complained of: none is lost in silence. No line has a password, a token or a header (P11).

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;

use super::Target;
use super::WithCauses;
use super::appender::{Appender, Lost};
use crate::clock::Clock;

/// Lines that wait to be written; beyond them requests wait.
const LINES_MAX: usize = 1_024;
/// Lines written at once.
const BATCH_MAX: usize = 256;
/// How long a request waits for its line to be taken; then it is lost, and counted.
const TAKE_WAIT_MAX: Duration = Duration::from_secs(5);

/// One event. Fields that mean nothing for it are left out of its line.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Event {
    /// What was asked for, such as `manifest.push`.
    pub event: &'static str,
    /// What came of it: `done`, `refused`, `failed`, or `unknown` when the client left before it was told.
    pub outcome: &'static str,
    /// The name of the request in the log.
    #[serde(rename = "request.id")]
    pub request_id: String,
    /// Whose request it was; of a failed login, who he said he is. Nobody's is null.
    pub user: Option<String>,
    /// How he proved it: `password`, `token`, `certificate`, or `none`.
    pub auth: &'static str,
    /// Where he is.
    #[serde(rename = "client.address", skip_serializing_if = "Option::is_none")]
    pub client_address: Option<String>,
    /// The HTTP method.
    pub method: String,
    /// The repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The repository that a blob was mounted from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whose key it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The tag or digest in the path, or the name of a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The digest of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The tags that point to it now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The code of its error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
}

/// Takes events. Clones share one log.
#[derive(Debug, Clone)]
pub struct Audit {
    sender: Sender<Message>,
    clock: Clock,
    complaints: Complaints,
}

#[derive(Debug)]
enum Message {
    Line(String),
    /// Look whether the file is still the one at its path.
    Renew,
    /// Nothing more comes.
    End,
}

/// An event with its moment, as it is written.
#[derive(Serialize)]
struct Stamped<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

impl Audit {
    /// Opens the log, and starts the task that writes it.
    ///
    /// *Errors:* those of the system, when the file cannot be opened.
    pub fn start(target: &Target, clock: Clock) -> io::Result<(Self, JoinHandle<()>)> {
        let sink = Sink::open(target)?;
        let (sender, receiver) = mpsc::channel(LINES_MAX);
        let complaints = Complaints::default();
        let writing = tokio::spawn(write(receiver, Arc::new(Mutex::new(sink)), complaints.clone()));
        Ok((Self { sender, clock, complaints }, writing))
    }

    /// Records an event. When this returns, the line is written next, or it is counted as lost.
    ///
    /// *Cancellation:* before it returns, the line may not be recorded.
    pub async fn record(&self, event: &Event) {
        let line = Message::Line(self.line(event));
        let fault = match self.sender.try_send(line) {
            Ok(()) => return,
            Err(TrySendError::Closed(_)) => "the log has ended",
            Err(TrySendError::Full(line)) => {
                match tokio::time::timeout(TAKE_WAIT_MAX, self.sender.send(line)).await {
                    Ok(Ok(())) => return,
                    Ok(Err(_)) => "the log has ended",
                    Err(_) => "lines come faster than they are written",
                }
            }
        };
        self.complaints.lost(1, &io::Error::other(fault));
    }

    /// Records an event of a request that nobody waits for any more.
    pub fn record_apart(&self, event: Event) {
        let audit = self.clone();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move { audit.record(&event).await })),
            Err(_) => self.complaints.lost(1, &io::Error::other("the runtime has ended")),
        }
    }

    /// Opens the file anew if it was moved away.
    pub async fn renew(&self) {
        let _ = self.sender.send(Message::Renew).await;
    }

    /// Says that nothing more comes: the task ends when it has written what it has.
    pub async fn end(&self) {
        let _ = self.sender.send(Message::End).await;
    }

    fn line(&self, event: &Event) -> String {
        let stamped = Stamped { time: self.clock.now().to_string(), event };
        let mut line = serde_json::to_string(&stamped).expect("an event is text and numbers");
        line.push('\n');
        line
    }
}

/// Writes lines until there are no more.
async fn write(mut receiver: Receiver<Message>, sink: Arc<Mutex<Sink>>, complaints: Complaints) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while receiver.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let mut lines = Vec::with_capacity(batch.len());
        for message in batch.drain(..) {
            match message {
                Message::Line(line) => lines.push(line),
                Message::Renew => {}
                Message::End => receiver.close(),
            }
        }
        let (sink, complaints) = (Arc::clone(&sink), complaints.clone());
        let work = move || {
            let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
            match sink.write(&lines) {
                Ok(()) if lines.is_empty() => {}
                Ok(()) => complaints.written(),
                Err(lost) => complaints.lost(lost.lines, &lost.source),
            }
        };
        // It fails when the runtime ends, and then nobody is there to be told.
        let _ = tokio::task::spawn_blocking(work).await;
    }
}

/// Where lines go.
#[derive(Debug)]
enum Sink {
    Stderr,
    Stdout,
    File { file: Appender, is_stuck: bool },
}

impl Sink {
    fn open(target: &Target) -> io::Result<Self> {
        Ok(match target {
            Target::Stderr => Self::Stderr,
            Target::Stdout => Self::Stdout,
            Target::File(path) => Self::File { file: Appender::open(path.clone())?, is_stuck: false },
        })
    }

    fn write(&mut self, lines: &[String]) -> Result<(), Lost> {
        let all = |written: io::Result<()>| {
            let lines = u64::try_from(lines.len()).unwrap_or(u64::MAX);
            written.map_err(|source| Lost { lines, source })
        };
        match self {
            Self::Stderr => all(io::stderr().lock().write_all(lines.concat().as_bytes())),
            Self::Stdout => all(io::stdout().lock().write_all(lines.concat().as_bytes())),
            Self::File { file, is_stuck } => {
                let renewed = file.renew();
                if let (Err(error), false) = (&renewed, *is_stuck) {
                    tracing::warn!(error = %WithCauses(error), "the audit log cannot be opened anew, and goes on in its old file");
                }
                *is_stuck = renewed.is_err();
                file.append(lines)
            }
        }
    }
}

/// Says once that lines are lost, until one is written again.
#[derive(Debug, Clone, Default)]
struct Complaints(Arc<AtomicBool>);

impl Complaints {
    fn lost(&self, lines: u64, error: &io::Error) {
        metrics::counter!("wharfinger_audit_lines_lost_total").increment(lines);
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                error = %WithCauses(error),
                "lines of the audit log are lost; wharfinger_audit_lines_lost_total counts them"
            );
        }
    }

    fn written(&self) {
        if self.0.swap(false, Ordering::Relaxed) {
            tracing::warn!("the audit log is written again");
        }
    }
}

#[cfg(test)]
mod tests;
