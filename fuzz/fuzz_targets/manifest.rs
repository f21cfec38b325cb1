//! Manifests: nothing panics, and what is taken is of one kind by every reading.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfinger::oci::manifest::Kind;
use wharfinger::oci::{Manifest, MediaType};

fuzz_target!(|bytes: &[u8]| {
    let untyped = Manifest::parse(bytes, None);
    for text in [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ] {
        let media_type = MediaType::parse(text).expect("the text is a media type");
        let Ok(manifest) = Manifest::parse(bytes, Some(&media_type)) else { continue };
        assert_eq!(manifest.media_type, media_type);
        assert!(manifest.kind == Kind::Index || !manifest.references.is_empty(), "an image has a config");
        // A body that names its own type has only that one.
        if let Ok(untyped) = &untyped {
            assert_eq!(untyped, &manifest);
        }
    }
});
