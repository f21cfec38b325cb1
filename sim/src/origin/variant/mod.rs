//! Variants: each takes one of the choices that the specification leaves to a registry.

use bytes::Bytes;
use http::Response;

use super::{
    dispatch::{Call, honest},
    store::Store,
};

/// One liberty of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Pages of two entries, whatever is asked for.
    SmallPages,
}

/// Answers a request as this variant does.
pub(super) fn answer(variant: Variant, store: &mut Store, call: Call) -> Response<Bytes> {
    match variant {
        Variant::SmallPages => honest(store, &call),
    }
}
