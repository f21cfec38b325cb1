//! Lies: each breaks one promise of the specification and leaves the rest of the origin honest.
//!
//! A lie is an entry in the table of the file that bears the name of its noun. It stands between the
//! request and the honest handlers: it misreads the one, bends what the others answer, changes the store
//! behind their back, or answers itself. `tools` says how, `memory` keeps what has to be kept meanwhile. A lie
//! about who asks stands before the gate ([`Asked`]); an origin without one does not tell it. One about
//! what a request is stands before everything ([`Wire`]).

use std::{fmt, str::FromStr};

use bytes::Bytes;
use http::Response;
use thiserror::Error;

use super::{
    dispatch::{Call, honest},
    store::Store,
};

pub(super) use self::asked::Asked;

mod asked;
mod base;
mod blobs;
mod chunks;
mod deletes;
mod digests;
mod doors;
mod errors;
mod forgeries;
mod kinds;
mod leaks;
mod manifests;
mod memory;
mod mounts;
mod pushes;
mod ranges;
mod references;
mod referrers;
mod tags;
mod tools;
mod uploads;

/// One departure from the specification.
///
/// ```
/// use sim::origin::Lie;
///
/// let lie: Lie = "cancel-does-nothing".parse()?;
/// assert!(lie.says().starts_with("Answers 204 to a cancelled upload"));
/// assert_eq!((lie.name(), lie.mutant()), ("cancel-does-nothing", Some(20)));
/// # Ok::<(), sim::origin::UnknownLie>(())
/// ```
#[derive(Clone, Copy)]
pub struct Lie(&'static Plan);

/// Says that no lie has the name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no lie is called {0:?}")]
pub struct UnknownLie(pub String);

/// How a lie answers a request.
#[derive(Debug)]
enum Tell {
    /// Once it is let in.
    Inside(fn(&mut Store, &mut Call) -> Response<Bytes>),
    /// Before anybody is let in.
    AtTheGate(fn(Asked<'_>) -> Response<Bytes>),
    /// Before it is looked at.
    OnTheWire(Wire),
}

/// What is read carelessly of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// Where it ends.
    Lengths,
    /// Whom it is for.
    Hosts,
}

/// What a lie is made of.
#[derive(Debug)]
struct Plan {
    name: &'static str,
    says: &'static str,
    mutant: Option<u8>,
    tell: Tell,
}

/// Returns an entry of a table of lies.
const fn plan(
    name: &'static str,
    says: &'static str,
    tell: fn(&mut Store, &mut Call) -> Response<Bytes>,
) -> Plan {
    Plan { name, says, mutant: None, tell: Tell::Inside(tell) }
}

/// Returns an entry of a table of lies about who asks.
const fn guarded(name: &'static str, says: &'static str, tell: fn(Asked<'_>) -> Response<Bytes>) -> Plan {
    Plan { name, says, mutant: None, tell: Tell::AtTheGate(tell) }
}

impl Plan {
    /// Sets the number of the mutant that this lie is.
    const fn mutant(self, number: u8) -> Self {
        Self { mutant: Some(number), ..self }
    }
}

/// Lies about what a request is, before anybody reads what it asks.
const WIRE: &[Plan] = &[
    Plan {
        name: "request-of-two-lengths-goes-on",
        says: "Reads a request of two lengths by one of them, and what follows as the next.",
        mutant: None,
        tell: Tell::OnTheWire(Wire::Lengths),
    },
    Plan {
        name: "request-of-two-hosts-is-read",
        says: "Reads a request that names no host, several, or none that is one.",
        mutant: None,
        tell: Tell::OnTheWire(Wire::Hosts),
    },
];

const TABLES: [&[Plan]; 19] = [
    base::LIES,
    references::LIES,
    digests::LIES,
    uploads::LIES,
    chunks::LIES,
    mounts::LIES,
    blobs::LIES,
    ranges::LIES,
    manifests::LIES,
    pushes::LIES,
    kinds::LIES,
    tags::LIES,
    referrers::LIES,
    deletes::LIES,
    errors::LIES,
    WIRE,
    doors::LIES,
    forgeries::LIES,
    leaks::LIES,
];

impl Lie {
    /// Returns every lie, by noun.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLES.into_iter().flatten().map(Self)
    }

    /// Returns the name, in words with hyphens.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Returns a sentence that says what an origin with this lie does.
    #[must_use]
    pub fn says(self) -> &'static str {
        self.0.says
    }

    /// Says whether only an origin with accounts tells it.
    #[must_use]
    pub fn is_about_access(self) -> bool {
        self.at_the_gate().is_some()
    }

    /// Returns what answers in place of the gate, if it is about that.
    pub(super) fn at_the_gate(self) -> Option<fn(Asked<'_>) -> Response<Bytes>> {
        match self.0.tell {
            Tell::AtTheGate(tell) => Some(tell),
            Tell::Inside(_) | Tell::OnTheWire(_) => None,
        }
    }

    /// Returns what it reads carelessly of a request, if it is about that.
    pub(super) fn on_the_wire(self) -> Option<Wire> {
        match self.0.tell {
            Tell::OnTheWire(wire) => Some(wire),
            Tell::Inside(_) | Tell::AtTheGate(_) => None,
        }
    }

    /// Returns the number of the mutant of a registry that this lie plays, where there is one.
    #[must_use]
    pub fn mutant(self) -> Option<u8> {
        self.0.mutant
    }
}

impl PartialEq for Lie {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Lie {}

impl fmt::Debug for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lie").field(&self.name()).finish()
    }
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Lie {
    type Err = UnknownLie;

    fn from_str(name: &str) -> Result<Self, UnknownLie> {
        Self::all().find(|lie| lie.name() == name).ok_or_else(|| UnknownLie(name.to_owned()))
    }
}

/// Answers a request with this lie.
pub(super) fn answer(lie: Lie, store: &mut Store, mut call: Call) -> Response<Bytes> {
    match lie.0.tell {
        Tell::Inside(tell) => tell(store, &mut call),
        Tell::AtTheGate(_) | Tell::OnTheWire(_) => honest(store, &call),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_sentences_are_sentences() {
        let mut names = BTreeSet::new();
        for lie in Lie::all() {
            let name = lie.name();
            assert!(names.insert(name), "{name} stands twice");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{name}"
            );
            let first = lie.says().chars().next().unwrap();
            assert!(first.is_ascii_uppercase() && lie.says().ends_with('.'), "{name}: {}", lie.says());
            assert_eq!(name.parse(), Ok(lie));
        }
        assert_eq!("honesty".parse::<Lie>(), Err(UnknownLie("honesty".to_owned())));
    }
}
