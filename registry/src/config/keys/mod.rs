//! The one table of keys: what may be written, what it means and what comes of it.
//!
//! Validation, the JSON Schema and `docs/config.md` are made from it. Every key of zot's is in it,
//! and beside them our own. Rows stand in the order in which the documentation shows them, a
//! section before its keys.

mod access;
mod auth;
mod drivers;
mod extensions;
mod http;
mod storage;
mod sync;
mod top;

use std::time::Duration;

use super::key::Key;
use super::kind::Kind;

/// Iterates over all rows.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    [
        top::KEYS,
        storage::KEYS,
        drivers::KEYS,
        http::KEYS,
        auth::KEYS,
        access::KEYS,
        sync::KEYS,
        extensions::KEYS,
    ]
    .into_iter()
    .flatten()
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A duration that may be zero and long.
const ANY_DURATION: Kind = Kind::Duration(Duration::ZERO, YEAR);
/// Requests a second.
const RATE: Kind = Kind::Rate(1_000_000);
/// A count that may be zero.
const ANY_COUNT: Kind = Kind::Integer(0, 1_000_000_000);
const TEXTS: Kind = Kind::List(&Kind::Text);
const WORDS: Kind = Kind::List(&Kind::Word);
const GLOBS: Kind = Kind::List(&Kind::Glob);
const SECTIONS: Kind = Kind::List(&Kind::Section);
/// The actions of access control.
const ACTIONS: Kind =
    Kind::List(&Kind::Choice(&["read", "create", "update", "delete", "fetch", "detectManifestCollision"]));

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::all;
    use crate::config::key::Class;
    use crate::config::kind::Kind;

    /// The keys below `extensions` that are faults although they are not built yet: without them,
    /// the server would answer with what the operator said it must not.
    const GUARDED: &[&str] = &[
        "extensions.sync.registries[].onlySigned",
        "extensions.sync.registries[].namespaces",
        "extensions.sync.registries[].fallThrough",
        "extensions.sync.registries[].fetch",
        "extensions.sync.registries[].onUpstreamDenied",
        "extensions.sync.registries[].deniedStaleMax",
        "extensions.sync.registries[].content[].destination",
        "extensions.sync.registries[].content[].stripPrefix",
    ];

    #[test]
    fn every_key_stands_once_and_is_explained() {
        let mut seen = BTreeSet::new();
        for key in all() {
            assert!(seen.insert(key.path), "{} stands twice", key.path);
            assert!(key.meaning.ends_with('.'), "{} is explained in a sentence", key.path);
            let reason = match key.class {
                Class::Inert(reason) | Class::Refused(reason) => reason,
                Class::Honoured | Class::Pending | Class::Later => "as it is",
            };
            assert!(!reason.is_empty() && !reason.ends_with('.'), "{} has a reason", key.path);
        }
    }

    #[test]
    fn every_default_is_of_its_kind() {
        for key in all() {
            let single = !matches!(
                key.kind,
                Kind::Section | Kind::Open | Kind::Like(_) | Kind::Map(..) | Kind::List(_) | Kind::Filled(_)
            );
            if single && !key.default.is_empty() {
                assert!(key.kind.read_text(key.default).is_some(), "{}: {}", key.path, key.default);
            } else {
                assert_eq!(key.default, "", "{} can have no default", key.path);
            }
        }
    }

    /// P6: every limit has a row in the table of limits.
    #[test]
    fn p6_every_limit_says_what_happens_at_it() {
        for key in all().filter(|key| key.class == Class::Honoured) {
            let limits = key.path.starts_with("http.limits.")
                || key.name().starts_with("max")
                || key.name().ends_with("Timeout")
                || key.name().ends_with("Entries")
                || key.name().ends_with("CacheBytes");
            let section = matches!(key.kind, Kind::Section);
            assert!(section || !limits || key.at_limit.is_some(), "{} is a limit", key.path);
        }
    }

    #[test]
    fn what_is_not_built_stops_the_server_outside_the_extensions() {
        for key in all() {
            let inside = key.path.starts_with("extensions.");
            match key.class {
                Class::Later => assert!(inside, "{} must stop the server", key.path),
                Class::Pending => {
                    assert!(!inside || GUARDED.contains(&key.path), "{} must only warn", key.path);
                }
                Class::Honoured | Class::Inert(_) | Class::Refused(_) => {}
            }
        }
    }
}
