//! What the table of keys says of one key.

use super::kind::Kind;

/// One row of the table of keys: where a key stands, what it may hold and what comes of it.
#[derive(Debug)]
pub(super) struct Key {
    /// Where it stands, from the top; `[]` is an item of a list, `*` a name of the operator's.
    pub(super) path: &'static str,
    /// What it may hold.
    pub(super) kind: Kind,
    /// What holds without it, as it would be written; empty for nothing.
    pub(super) default: &'static str,
    /// What it means, in one sentence.
    pub(super) meaning: &'static str,
    /// What comes of it.
    pub(super) class: Class,
    /// For a limit: what happens at it.
    pub(super) at_limit: Option<&'static str>,
    /// Whether its section is a fault without it.
    pub(super) required: bool,
}

/// What comes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// It does what it says.
    Honoured,
    /// It changes nothing, for this reason, and a warning says so.
    Inert(&'static str),
    /// It is a fault, for this reason, which says what to use instead.
    Refused(&'static str),
    /// It is a fault, since it is not built yet and the server would do something else than what
    /// was asked for.
    Pending,
    /// It is not built yet, and the server does without it after a warning.
    Later,
}

impl Key {
    const fn new(
        path: &'static str,
        kind: Kind,
        default: &'static str,
        meaning: &'static str,
        class: Class,
    ) -> Self {
        Self { path, kind, default, meaning, class, at_limit: None, required: false }
    }

    /// Returns this key as a limit, at which `what` happens.
    pub(super) const fn limit(self, what: &'static str) -> Self {
        Self { at_limit: Some(what), ..self }
    }

    /// Returns this key as one that its section cannot do without.
    pub(super) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// Returns the last name of its path.
    pub(super) fn name(&self) -> &'static str {
        names(self.path).last().unwrap_or("")
    }
}

/// Returns the names of `path`, without its marks of lists and of the operator's names.
pub(super) fn names(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('.').map(|name| name.trim_end_matches("[]")).filter(|name| !matches!(*name, "" | "*"))
}

/// Returns a row of [`Class::Honoured`].
pub(super) const fn honoured(
    path: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    Key::new(path, kind, default, meaning, Class::Honoured)
}

/// Returns a row of [`Class::Inert`], without a default of its own since it changes nothing.
pub(super) const fn inert(
    path: &'static str,
    kind: Kind,
    meaning: &'static str,
    reason: &'static str,
) -> Key {
    Key::new(path, kind, "", meaning, Class::Inert(reason))
}

/// Returns a row of [`Class::Refused`].
pub(super) const fn refused(
    path: &'static str,
    kind: Kind,
    meaning: &'static str,
    reason: &'static str,
) -> Key {
    Key::new(path, kind, "", meaning, Class::Refused(reason))
}

/// Returns a row of [`Class::Pending`]; its default is what the server does without it.
pub(super) const fn pending(
    path: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    Key::new(path, kind, default, meaning, Class::Pending)
}

/// Returns a row of [`Class::Later`]; its default is what the server does without it.
pub(super) const fn later(
    path: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    Key::new(path, kind, default, meaning, Class::Later)
}
