//! Digests: whatever is taken comes back as it went in, with as many digits as its algorithm has.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfinger::oci::Digest;

fuzz_target!(|text: &str| {
    let Ok(digest) = Digest::parse(text) else { return };
    assert_eq!(digest.to_string(), text);
    assert_eq!(digest.hash().len(), digest.algorithm().hash_len());
    assert_eq!(digest.hex().len(), digest.algorithm().hash_len() * 2);
});
