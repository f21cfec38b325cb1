//! The variants by name, each with what it does and the requirement that allows it.

use std::str::FromStr;

use thiserror::Error;

/// Says that no variant has this name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no variant is called {0:?}")]
pub struct UnknownVariant(pub String);

/// Makes the enum, its list and its names from one table.
macro_rules! variants {
    ($( $(#[doc = $doc:literal])* $variant:ident = $name:literal, $says:literal; )*) => {
        /// One liberty of the specification.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Variant {
            $( $(#[doc = $doc])* $variant, )*
        }

        impl Variant {
            /// All variants.
            pub const ALL: &'static [Self] = &[$( Self::$variant ),*];

            /// Returns the name that the command line has for the variant.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// Returns what the variant does, in one sentence.
            #[must_use]
            pub fn says(self) -> &'static str {
                match self { $( Self::$variant => $says, )* }
            }
        }
    };
}

variants! {
    /// Spec: `spec.md#listing-tags`: fewer results than asked for are legal with a Link.
    SmallPages = "small-pages", "Tags and the catalog come in pages of two, whatever is asked for.";
    /// Spec: `spec.md#listing-tags`: fewer results than asked for are legal with a Link.
    CappedPages = "capped-pages", "A page holds at most three entries, however many are asked for.";
    /// Spec: `spec.md#listing-tags`: lexical order without regard to case is one of the two legal ones.
    AlphabeticTags = "alphabetic-tags", "Tags are sorted without regard to case.";
    /// Spec: `spec.md#listing-tags` demands 200 of a repository that exists, and nothing of others.
    UnknownTagsEmpty = "unknown-tags-empty", "The tags of an unknown repository are an empty list.";
    /// Spec: `spec.md#listing-referrers`: what does not fit into one index goes on behind a Link.
    PagedReferrers = "paged-referrers", "Referrers come in pages of two.";
    /// Spec: `spec.md#filtering-referrers` is a SHOULD; without the header nothing was filtered.
    UnfilteredReferrers = "unfiltered-referrers", "The filter of referrers is ignored, and not confirmed.";
    /// Spec: `spec.md#extensions`: the catalog is reserved, and nowhere demanded.
    NoCatalog = "no-catalog", "There is no catalog: 404.";
    /// Spec: `spec.md#content-management`: deletion is optional, 405 where it is off.
    DeletesNotAllowed = "deletes-405", "Nothing can be deleted: 405.";
    /// Spec: `spec.md#content-management`: deletion is optional, 400 where it is off.
    DeletesBadRequest = "deletes-400", "Nothing can be deleted: 400.";
    /// Spec: `spec.md#deleting-tags`: optional apart from the deletion of manifests.
    NoTagDelete = "no-tag-delete", "Tags cannot be deleted, manifests and blobs can.";
    /// Spec: `spec.md#deleting-manifests`: optional.
    NoManifestDelete = "no-manifest-delete", "Manifests cannot be deleted, tags and blobs can.";
    /// Spec: `spec.md#deleting-blobs`: optional.
    NoBlobDelete = "no-blob-delete", "Blobs cannot be deleted, tags and manifests can.";
    /// Spec: `spec.md#cancel-a-blob-upload` is a SHOULD.
    NoUploadCancel = "no-upload-cancel", "An upload cannot be cancelled: 405.";
    /// Spec: `spec.md#listing-referrers`: a registry without the API answers 404 and no OCI-Subject.
    NoReferrers = "no-referrers", "There is no referrers API: 404.";
    /// Spec: `spec.md#digests`: an algorithm that is not supported is refused with 400.
    NoSha512 = "no-sha512", "Digests are sha256 only, others are 400.";
    /// Spec: `spec.md#pushing-manifests-with-tags` is a MAY; without OCI-Tag nothing was tagged.
    NoTagParameter = "no-tag-parameter", "Tag parameters of a push by digest are ignored.";
    /// Spec: `spec.md#mounting-a-blob-from-another-repository`: what cannot be mounted is 202.
    NoMount = "no-mount", "Every mount opens an upload: 202.";
    /// Spec: `spec.md#single-post` is a MAY; without it the answer is 202.
    NoSinglePost = "no-single-post", "A single POST opens an upload: 202.";
    /// Spec: `spec.md#error-codes`: the body of an error may have any format.
    PlainErrors = "plain-errors", "Errors are plain text.";
    /// Spec: `spec.md#error-codes` lists the codes; which one answers what is told for one case only.
    OneErrorCode = "one-error-code", "Errors are UNSUPPORTED, except for missing blobs of a manifest.";
    /// Spec: `spec.md#pushing-a-blob-in-chunks` says nothing about what is malformed.
    MalformedChunkUnsatisfiable = "malformed-chunk-416", "A malformed Content-Range is 416 and not 400.";
    /// Spec: `spec.md#pushing-a-blob-in-chunks` demands the status and no header.
    BareUnsatisfiable = "bare-416", "A chunk out of order is 416 without Location and Range.";
    /// Spec: `spec.md#post-then-put`: a Location may be absolute.
    AbsoluteLocations = "absolute-locations", "Every Location and Link is an absolute address.";
    /// Spec: `spec.md#post-then-put`: a Location has the protocol and/or the host name.
    SchemelessLocations = "schemeless-locations", "Every Location has a host and no scheme.";
    /// Spec: `spec.md#post-then-put`: a Location may have critical parameters; the newest one counts.
    StatefulLocations = "stateful-locations", "An upload needs the state that its last Location had.";
    /// Spec: `spec.md#endpoints`: the address of an upload is opaque, that of a blob anywhere.
    OpaqueLocations = "opaque-locations", "Uploads and pushed blobs have addresses outside of /v2/.";
    /// Spec: `spec.md#api`: any request may be redirected.
    RedirectedBase = "redirected-base", "GET /v2 is redirected to /v2/.";
    /// Spec: `spec.md#api`: any request may be redirected.
    RedirectedReads = "redirected-reads", "Every read below /v2/ is redirected once.";
    /// Spec: `spec.md#api`: any request may be redirected.
    RedirectedBlobs = "redirected-blobs", "The GET of a blob is redirected to a signed address.";
    /// Spec: `spec.md#pulling-blobs`: ranges are a SHOULD; RFC 9110 section 14.2 lets them be ignored.
    NoRanges = "no-ranges", "Ranges are ignored, and not announced.";
    /// Spec: RFC 9110 section 14.6: several ranges may come as parts.
    MultipartRanges = "multipart-ranges", "Several ranges come as parts of one 206.";
    /// Spec: `spec.md` mentions entity tags for conditional pushes only.
    NoEtags = "no-etags", "There are no entity tags, and conditions are ignored.";
    /// Spec: `spec.md#overview`: Docker's headers are optional.
    NoDockerHeaders = "no-docker-headers", "Docker's headers are left out where nothing demands them.";
    /// Spec: `spec.md#pulling-manifests`: the digest may be of another algorithm than that asked for.
    OtherDigest = "other-digest", "A manifest comes with its sha512 digest.";
    /// Spec: RFC 9110 section 12.5.1: what is not acceptable may be refused.
    StrictAccept = "strict-accept", "A manifest of a type that Accept does not name is 406.";
    /// Spec: `spec.md#pulling-blobs`: whatever has this digest in the repository may be served.
    ManifestsAsBlobs = "manifests-as-blobs", "Manifests can be pulled as blobs too.";
    /// Spec: RFC 9112 section 7.1: a body may come in chunks; only HEAD must tell the length.
    UnsizedBodies = "unsized-bodies", "GET is answered in chunks, without Content-Length.";
    /// Spec: `spec.md#pushing-manifests`: refusing a manifest with missing blobs is a MAY.
    SparseManifests = "sparse-manifests", "Manifests are taken whatever is missing of their content.";
    /// Spec: `spec.md#mounting-a-blob-from-another-repository`: `from` is optional.
    AnonymousMount = "anonymous-mount", "A mount without a source finds the blob wherever it is.";
    /// Spec: `spec.md#deleting-manifests` says nothing about the referrers of what is deleted.
    DeletesReferrers = "deletes-referrers", "Referrers are deleted with their subject.";
    /// Spec: RFC 9110 section 15.5.10: a deletion may conflict with what needs the content.
    ProtectsContent = "protects-content", "What a manifest needs cannot be deleted: 409.";
    /// Spec: `spec.md#pushing-a-blob-in-chunks` has no word for a range of no bytes.
    NegativeRange = "negative-range", "The Range of an empty upload is 0--1.";
    /// Spec: `spec.md#post-then-put` does not say that an upload outlives a close that failed.
    FailedCloseEnds = "failed-close-ends", "A close that is refused with 400 ends the upload.";
    /// Spec: `spec.md#pushing-a-blob-in-chunks`: the least length that is accepted, but for the last chunk.
    ChunkMinimum = "chunk-minimum", "Nothing may follow a chunk below the announced sixteen bytes.";
}

impl FromStr for Variant {
    type Err = UnknownVariant;

    /// Reads a variant's name.
    ///
    /// *Errors*: [`UnknownVariant`].
    fn from_str(name: &str) -> Result<Self, UnknownVariant> {
        let known = Self::ALL.iter().find(|it| it.name() == name);
        known.copied().ok_or_else(|| UnknownVariant(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_sentences_end() {
        for variant in Variant::ALL {
            assert_eq!(variant.name().parse(), Ok(*variant), "{variant:?}");
            assert!(variant.says().ends_with('.'), "{variant:?}");
        }
        assert_eq!("x".parse::<Variant>(), Err(UnknownVariant("x".to_owned())));
    }
}
