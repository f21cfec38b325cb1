//! Variants: each takes one of the choices that the specification leaves to a registry.
//!
//! A test suite that takes one of them for a fault raises a false alarm; a client that breaks on one
//! relies on something that nobody promised.
//!
//! | module | says |
//! |---|---|
//! | `kinds` | [`Variant`]: all of them, with the requirement that allows each |
//! | `lists` | pages, orders and filters |
//! | `off` | parts of the API that are not offered |
//! | `errors` | how a refusal looks |
//! | `locations` | where a Location points |
//! | `content` | how blobs and manifests are served |
//! | `changes` | how uploads, mounts and deletions go |
//!
//! Two variants are not here, because they are about the connection and not about one answer:
//! [`Variant::RedirectedBlobs`] is in `blob_host`, [`Variant::UnsizedBodies`] in `server`.

mod changes;
mod content;
mod errors;
mod kinds;
mod lists;
mod locations;
mod off;

use bytes::Bytes;
use http::Response;

pub use self::kinds::{UnknownVariant, Variant};
use super::{
    dispatch::{Call, honest},
    store::Store,
};

/// Answers a request as this variant does.
pub(super) fn answer(variant: Variant, store: &mut Store, call: &Call) -> Response<Bytes> {
    match variant {
        Variant::SmallPages => lists::small_pages(store, call),
        Variant::CappedPages => lists::capped_pages(store, call),
        Variant::AlphabeticTags => lists::alphabetic_tags(store, call),
        Variant::UnknownTagsEmpty => lists::unknown_tags_empty(store, call),
        Variant::PagedReferrers => lists::paged_referrers(store, call),
        Variant::UnfilteredReferrers => lists::unfiltered_referrers(store, call),
        Variant::NoCatalog => off::catalog(store, call),
        Variant::DeletesNotAllowed => off::deletes_with_405(store, call),
        Variant::DeletesBadRequest => off::deletes_with_400(store, call),
        Variant::NoTagDelete => off::tag_deletes(store, call),
        Variant::NoManifestDelete => off::manifest_deletes(store, call),
        Variant::NoBlobDelete => off::blob_deletes(store, call),
        Variant::NoUploadCancel => off::upload_cancels(store, call),
        Variant::NoReferrers => off::referrers(store, call),
        Variant::NoSha512 => off::sha512(store, call),
        Variant::NoTagParameter => off::tag_parameter(store, call),
        Variant::NoMount => off::mounts(store, call),
        Variant::NoSinglePost => off::single_posts(store, call),
        Variant::PlainErrors => errors::plain(store, call),
        Variant::OneErrorCode => errors::one_code(store, call),
        Variant::MalformedChunkUnsatisfiable => errors::malformed_chunks(store, call),
        Variant::BareUnsatisfiable => errors::bare_unsatisfiable(store, call),
        Variant::AbsoluteLocations => locations::absolute(store, call),
        Variant::SchemelessLocations => locations::schemeless(store, call),
        Variant::StatefulLocations => locations::stateful(store, call),
        Variant::OpaqueLocations => locations::opaque(store, call),
        Variant::RedirectedBase => locations::redirected_base(store, call),
        Variant::RedirectedReads => locations::redirected_reads(store, call),
        Variant::NoRanges => content::no_ranges(store, call),
        Variant::MultipartRanges => content::multipart_ranges(store, call),
        Variant::NoEtags => content::no_etags(store, call),
        Variant::NoDockerHeaders => content::no_docker_headers(store, call),
        Variant::OtherDigest => content::other_digest(store, call),
        Variant::StrictAccept => content::strict_accept(store, call),
        Variant::ManifestsAsBlobs => content::manifests_as_blobs(store, call),
        Variant::SparseManifests => changes::sparse_manifests(store, call),
        Variant::AnonymousMount => changes::anonymous_mounts(store, call),
        Variant::DeletesReferrers => changes::deletes_referrers(store, call),
        Variant::ProtectsContent => changes::protects_content(store, call),
        Variant::NegativeRange => changes::negative_range(store, call),
        Variant::FailedCloseEnds => changes::failed_close_ends(store, call),
        Variant::ChunkMinimum => changes::chunk_minimum(store, call),
        Variant::RedirectedBlobs | Variant::UnsizedBodies => honest(store, call),
    }
}
