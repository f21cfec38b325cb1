//! Media types: whatever is taken can stand in a header, and reads as itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfinger::oci::MediaType;

fuzz_target!(|text: &str| {
    let Some(media_type) = MediaType::parse(text) else { return };
    assert!(http::HeaderValue::from_str(media_type.as_str()).is_ok());
    assert_eq!(MediaType::parse(media_type.as_str()).as_ref(), Some(&media_type));
    let _ = (media_type.manifest_kind(), media_type.is_docker_manifest(), media_type.is_non_distributable());
});
