//! The htpasswd file in use.
//!
//! It is read at the start, and again when it has changed, which is looked for at a login and at
//! most once per [`LOOK_INTERVAL`]. What was last read stays in use while the file is there and
//! cannot be read; a file that is absent refuses every login.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use tokio::time::Instant;

use super::fingerprint::Fingerprint;
use super::htpasswd::{self, IgnoredLine, Users};
use crate::telemetry::WithCauses;

/// How often a change is looked for, at most.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a login waits for a look at the file; then it goes on with what was last read.
const LOOK_WAIT_MAX: Duration = Duration::from_secs(2);

/// The largest file that is read, in bytes: some 60,000 users.
pub(super) const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The most lines that are complained about one by one.
const COMPLAINTS_MAX: usize = 20;

/// The htpasswd file, and the users that were last read from it.
#[derive(Debug)]
pub(super) struct AccountFile {
    path: PathBuf,
    edition: RwLock<Arc<Edition>>,
    /// What the last look found. Held while looking, so that two do not.
    seen: Mutex<Seen>,
    next_look: Mutex<Option<Instant>>,
}

/// The users, as of one reading of the file.
#[derive(Debug, Default)]
pub(super) struct Edition {
    number: u64,
    users: Users,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Absent,
    Unreadable,
    File(Fingerprint),
}

/// What a look has to say to the operator.
#[derive(Debug)]
pub(super) enum Notice {
    /// The file was read, and so many users can log in.
    Read { users: usize },
    /// A line of it gives nobody an account.
    Ignored(IgnoredLine),
    /// So many users have a hash that is broken within minutes by whoever gets the file.
    Weak { users: usize },
    /// So many further lines do not either.
    IgnoredMore { lines: usize },
    /// The file is not there, and every login is refused.
    Absent,
    /// The file cannot be read, and so many users of the last reading stay.
    Unreadable { error: io::Error, users: usize },
}

impl AccountFile {
    /// Reads the file for the first time; whether it can be read is told in the log only.
    ///
    /// It blocks for as long as that takes.
    pub(super) fn open(path: PathBuf) -> Self {
        let file = Self {
            path,
            edition: RwLock::default(),
            seen: Mutex::new(Seen::Nothing),
            next_look: Mutex::default(),
        };
        file.look_and_tell();
        file
    }

    /// Returns the users, after a look for changes where it is time for one.
    ///
    /// *Cancellation:* a look that has begun goes on to its end.
    pub(super) async fn current(self: &Arc<Self>, now: Instant) -> Arc<Edition> {
        if self.is_due(now) {
            let file = Arc::clone(self);
            let look = tokio::task::spawn_blocking(move || file.look_and_tell());
            // Neither a file system that hangs nor a runtime that shuts down is a reason to forget
            // the users.
            let _finished = tokio::time::timeout(LOOK_WAIT_MAX, look).await;
        }
        self.edition()
    }

    /// Returns the users that were last read.
    pub(super) fn edition(&self) -> Arc<Edition> {
        Arc::clone(&self.edition.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_due(&self, now: Instant) -> bool {
        let mut next_look = self.next_look.lock().unwrap_or_else(PoisonError::into_inner);
        let due = next_look.is_none_or(|next_look| now >= next_look);
        if due {
            *next_look = Some(now + LOOK_INTERVAL);
        }
        due
    }

    fn look_and_tell(&self) {
        for notice in self.look() {
            notice.tell(&self.path);
        }
    }

    /// Reads the file if it has changed, and returns what is new about it.
    pub(super) fn look(&self) -> Vec<Notice> {
        let mut seen = match self.seen.try_lock() {
            Ok(seen) => seen,
            Err(TryLockError::Poisoned(seen)) => seen.into_inner(),
            // Another look is under way. To wait for it would, on a file system that hangs, take a
            // further thread each second.
            Err(TryLockError::WouldBlock) => return Vec::new(),
        };
        let (now, notices) = match read(&self.path, *seen) {
            Ok(None) => return Vec::new(),
            Ok(Some((fingerprint, bytes))) => (Seen::File(fingerprint), self.adopt(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if *seen != Seen::Absent {
                    self.publish(Users::default());
                }
                (Seen::Absent, vec![Notice::Absent])
            }
            Err(error) => {
                (Seen::Unreadable, vec![Notice::Unreadable { error, users: self.edition().users.len() }])
            }
        };
        let told = *seen == now;
        *seen = now;
        if told { Vec::new() } else { notices }
    }

    fn adopt(&self, bytes: &[u8]) -> Vec<Notice> {
        let (users, mut ignored) = htpasswd::parse(bytes);
        let mut notices = vec![Notice::Read { users: users.len() }];
        if users.weak() > 0 {
            notices.push(Notice::Weak { users: users.weak() });
        }
        self.publish(users);
        let more = ignored.len().saturating_sub(COMPLAINTS_MAX);
        ignored.truncate(COMPLAINTS_MAX);
        notices.extend(ignored.into_iter().map(Notice::Ignored));
        if more > 0 {
            notices.push(Notice::IgnoredMore { lines: more });
        }
        notices
    }

    fn publish(&self, users: Users) {
        let mut edition = self.edition.write().unwrap_or_else(PoisonError::into_inner);
        *edition = Arc::new(Edition { number: edition.number + 1, users });
    }
}

/// Reads the file, unless it is the one that was seen.
fn read(path: &Path, seen: Seen) -> io::Result<Option<(Fingerprint, Vec<u8>)>> {
    // Looked at by its path first, since opening a pipe would wait for its writer.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if seen == Seen::File(Fingerprint::of(&metadata)) {
        return Ok(None);
    }
    let file = fs::File::open(path)?;
    // Taken before the bytes are read: of a file that is being rewritten in place, as `htpasswd`
    // does it, half may be read now, and then the next look sees another fingerprint.
    let fingerprint = Fingerprint::of(&file.metadata()?);
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {FILE_BYTES_MAX} bytes"),
        ));
    }
    Ok(Some((fingerprint, bytes)))
}

impl Edition {
    /// Returns its number: no two editions of a process have the same.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Returns the users.
    pub(super) fn users(&self) -> &Users {
        &self.users
    }
}

impl Notice {
    fn tell(&self, path: &Path) {
        let path = path.display();
        match self {
            Self::Read { users } => {
                tracing::info!(htpasswd.path = %path, htpasswd.users = users, "read the htpasswd file");
            }
            Self::Ignored(IgnoredLine { number, user, fault }) => tracing::warn!(
                htpasswd.path = %path,
                htpasswd.line = number,
                auth.user = user,
                "ignoring a line of the htpasswd file: {fault}"
            ),
            Self::Weak { users } => tracing::warn!(
                htpasswd.path = %path,
                "{users} users of the htpasswd file have a hash of MD5, which protects nobody; htpasswd -B makes better ones"
            ),
            Self::IgnoredMore { lines } => {
                tracing::warn!(htpasswd.path = %path, "ignoring {lines} further lines of the htpasswd file");
            }
            Self::Absent => {
                tracing::warn!(htpasswd.path = %path, "the htpasswd file is absent: every login is refused");
            }
            Self::Unreadable { error, users } => tracing::warn!(
                htpasswd.path = %path,
                htpasswd.users = users,
                error = %WithCauses(error),
                "the htpasswd file cannot be read: the users of the last reading stay"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
