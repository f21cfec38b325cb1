//! Lies: each breaks one promise of the specification and leaves the rest of the origin honest.

use bytes::Bytes;
use http::Response;

use super::{
    dispatch::{Call, honest},
    store::Store,
};

/// One departure from the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Manifests are stored without a look at their digest.
    ManifestDigestUnchecked,
}

/// Answers a request with this lie.
pub(super) fn answer(lie: Lie, store: &mut Store, call: Call) -> Response<Bytes> {
    match lie {
        Lie::ManifestDigestUnchecked => honest(store, &call),
    }
}
