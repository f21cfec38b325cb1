//! The format of an htpasswd file.
//!
//! Pure: it reads bytes, not files. As in Apache's own reader, surrounding white space does not
//! count (which covers CR LF), a line that begins with `#` is a comment, what follows a second
//! colon does not count, and of several lines of one user the first counts, whatever is in it.
//!
//! Taken are bcrypt, and Apache's MD5 since it is what `htpasswd` makes unless it is told
//! otherwise. A user with another scheme is refused, loudly.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::str::FromStr as _;

use bcrypt::HashParts;

use super::apr1;

/// The cheapest cost that bcrypt has.
const COST_MIN: u32 = 4;

/// What a hash of MD5 counts as: its thousand rounds take about half of bcrypt's cheapest cost.
const COST_MD5: u32 = COST_MIN - 1;

/// The highest cost that is taken: it is the highest that `htpasswd -C` makes, and takes seconds.
/// Each further one doubles the time, and 31 would hold a thread for more than a day.
pub(super) const COST_MAX: u32 = 17;

/// The users of an htpasswd file, and what proves each.
#[derive(Debug, Default)]
pub(super) struct Users {
    hashes: HashMap<String, PasswordHash>,
    cost_max: u32,
    weak: usize,
}

/// A hash that can be verified.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PasswordHash {
    text: String,
    cost: u32,
}

/// A line that gives nobody an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IgnoredLine {
    /// Its number, from 1.
    pub(super) number: usize,
    /// The user, where the line has one that can be read.
    pub(super) user: Option<String>,
    /// What is wrong with it.
    pub(super) fault: LineFault,
}

/// Why a line gives nobody an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineFault {
    /// There is no colon. Such a line may well be a lone hash, so it is never shown.
    NoColon,
    /// The user is empty, not UTF-8 or has control characters, so that nobody can log in by it.
    User,
    /// The hash is of another scheme.
    Scheme,
    /// The hash begins as one that is taken and is not one.
    Malformed,
    /// The cost is beyond what is taken.
    Cost,
    /// An earlier line has the same user.
    Repeated,
}

/// Parses an htpasswd file.
pub(super) fn parse(bytes: &[u8]) -> (Users, Vec<IgnoredLine>) {
    let mut entries: HashMap<String, Option<PasswordHash>> = HashMap::new();
    let mut ignored = Vec::new();
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let mut ignore = |user: Option<String>, fault| ignored.push(IgnoredLine { number, user, fault });
        let mut fields = line.split(|byte| *byte == b':');
        let (Some(user), Some(hash)) = (fields.next(), fields.next()) else {
            ignore(None, LineFault::NoColon);
            continue;
        };
        let Some(user) = readable(user) else {
            ignore(None, LineFault::User);
            continue;
        };
        match entries.entry(user) {
            Entry::Occupied(entry) => ignore(Some(entry.key().clone()), LineFault::Repeated),
            Entry::Vacant(entry) => {
                let hash =
                    PasswordHash::parse(hash).map_err(|fault| ignore(Some(entry.key().clone()), fault)).ok();
                // A refused line is an entry too, so that a later one cannot bring its user back.
                entry.insert(hash);
            }
        }
    }
    let hashes: HashMap<_, _> = entries.into_iter().filter_map(|(user, hash)| Some((user, hash?))).collect();
    let cost_max = hashes.values().map(|hash| hash.cost).max().unwrap_or(0);
    let weak = hashes.values().filter(|hash| hash.cost == COST_MD5).count();
    (Users { hashes, cost_max, weak }, ignored)
}

fn readable(user: &[u8]) -> Option<String> {
    let user = str::from_utf8(user).ok()?;
    (!user.is_empty() && !user.chars().any(char::is_control)).then(|| user.to_owned())
}

impl Users {
    /// Returns the hash that proves a user.
    pub(super) fn hash(&self, user: &str) -> Option<&PasswordHash> {
        self.hashes.get(user)
    }

    /// Returns how many users can log in.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Returns how many of them have a hash that whoever gets the file can break.
    pub(super) fn weak(&self) -> usize {
        self.weak
    }

    /// Returns the cost of the costliest hash, or 0 when nobody can log in.
    pub(super) fn cost_max(&self) -> u32 {
        self.cost_max
    }
}

impl PasswordHash {
    /// Parses a hash.
    ///
    /// *Shape:* `$2a$`, `$2b$`, `$2x$` or `$2y$`, two digits of cost, `$`, 22 characters of salt and
    /// 31 of hash. All four are verified alike; a `$2x$` hash of a password beyond ASCII was made
    /// with a bug that is not repeated here, so it matches nothing. Or as [`apr1::is_hash`] has it.
    fn parse(text: &[u8]) -> Result<Self, LineFault> {
        if let Some(text) = str::from_utf8(text).ok().filter(|text| text.starts_with(apr1::PREFIX)) {
            let hash = Self { text: text.to_owned(), cost: COST_MD5 };
            return if apr1::is_hash(text) { Ok(hash) } else { Err(LineFault::Malformed) };
        }
        if !matches!(text, [b'$', b'2', b'a' | b'b' | b'x' | b'y', b'$', ..]) {
            return Err(LineFault::Scheme);
        }
        let text = str::from_utf8(text).map_err(|_| LineFault::Malformed)?;
        let cost = HashParts::from_str(text).map_err(|_| LineFault::Malformed)?.get_cost();
        if !(COST_MIN..=COST_MAX).contains(&cost) {
            return Err(LineFault::Cost);
        }
        Ok(Self { text: text.to_owned(), cost })
    }

    /// Makes a hash of that cost for the work that verifying it takes; its verdict means nothing.
    pub(super) fn dummy(cost: u32) -> Self {
        let text = match cost {
            COST_MD5 => format!("{}........${}", apr1::PREFIX, ".".repeat(22)),
            cost => format!("$2y${cost:02}${}", ".".repeat(53)),
        };
        Self { text, cost }
    }

    /// Returns the hash as it is written, for what must change when it does.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns its cost: verifying takes 2 to the power of it rounds.
    pub(super) fn cost(&self) -> u32 {
        self.cost
    }

    /// Tells whether a password is the one hashed. It takes from one to thousands of milliseconds.
    ///
    /// As with Apache's `htpasswd`, which made the hash, only the first 72 bytes of a password
    /// count. A password with a NUL never comes here (it is malformed, see
    /// [`super::CredentialsError::Control`]); `htpasswd` cannot make one, and Apache would take
    /// what precedes the NUL for the whole.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        if self.cost == COST_MD5 {
            return apr1::verify(password, &self.text);
        }
        bcrypt::verify(password, &self.text).expect("the hash was parsed, and its cost is in range")
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash(cost {}, …)", self.cost)
    }
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoColon => "there is no colon",
            Self::User => "the user is empty, not UTF-8 or has control characters",
            Self::Scheme => "the hash is neither bcrypt's nor Apache's MD5 (htpasswd -B makes the former)",
            Self::Malformed => "the hash is malformed",
            Self::Cost => {
                return write!(f, "the cost of the bcrypt hash is not between {COST_MIN} and {COST_MAX}");
            }
            Self::Repeated => "an earlier line has the same user",
        })
    }
}

#[cfg(test)]
mod tests;
