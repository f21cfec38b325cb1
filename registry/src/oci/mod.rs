//! The spec's words as types: names, tags, digests, media types, descriptors, manifests, ranges, error codes.
//!
//! Pure: no I/O, no clock, no async, no HTTP. A value of one of these types has been parsed, so
//! that nothing above has to check it again.
//!
//! *Spec:* OCI distribution 1.1 and image 1.1; Docker image manifest schema 2.

pub mod descriptor;
pub mod digest;
pub mod error;
pub mod hasher;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod range;
pub mod reference;

pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestError};
pub use error::ErrorCode;
pub use hasher::{BlobHasher, Hasher};
pub use manifest::{Kind, Manifest, ManifestError};
pub use media_type::MediaType;
pub use name::{NameError, RepositoryName};
pub use range::{ByteRange, ContentRange, RangeHeader};
pub use reference::{Reference, ReferenceError, Tag, TagError};
