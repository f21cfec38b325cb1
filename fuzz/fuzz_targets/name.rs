//! Repository names: whatever is taken follows the grammar, comes back as it went in, and is no path
//! that leaves its folder.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfinger::oci::RepositoryName;

fuzz_target!(|text: &str| {
    let Ok(name) = RepositoryName::parse(text) else { return };
    assert_eq!(name.as_str(), text);
    assert!(text.len() <= 255);
    for component in text.split('/') {
        assert!(component.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit()));
        assert!(component.ends_with(|last: char| last.is_ascii_lowercase() || last.is_ascii_digit()));
        assert!(!component.contains(".."));
    }
});
