//! Tags and `<tag-or-digest>`: whatever is taken comes back as it went in, and is one file name.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfinger::oci::{Reference, Tag};

fuzz_target!(|text: &str| {
    let reference = Reference::parse(text);
    if let Ok(reference) = &reference {
        assert_eq!(reference.to_string(), text);
    }
    if let Ok(tag) = Tag::parse(text) {
        assert!(text.len() <= 128 && !text.contains(['/', ':']) && !text.starts_with('.'));
        assert_eq!(reference, Ok(Reference::Tag(tag)));
    }
});
