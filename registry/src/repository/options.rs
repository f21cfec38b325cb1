//! What all repositories can be told.

/// Settings that hold for all upstreams, resolved from the section `extensions.sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What becomes of a `ns` that no upstream claims (`unknownNamespace`).
    pub unknown_namespace: UnknownNamespace,
    /// Objects whose schedule of repetitions goes on in the background at once (`backgroundFills`).
    pub background_fills_max: usize,
}

/// What becomes of a `ns` that no upstream claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownNamespace {
    /// It is as if there were none.
    #[default]
    Route,
    /// Only what is hosted here is looked at.
    Hosted,
}

impl Default for Options {
    fn default() -> Self {
        Self { unknown_namespace: UnknownNamespace::default(), background_fills_max: 1000 }
    }
}
