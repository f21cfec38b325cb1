//! `Content-Range` of a chunk: what is taken has a length that can be counted, and no other spelling.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfinger::oci::ContentRange;

fuzz_target!(|text: &str| {
    let Some(range) = ContentRange::parse(text) else { return };
    assert!(range.start <= range.last && range.len() >= 1);
    assert_eq!(range.start.checked_add(range.len()), range.last.checked_add(1));
    let again = format!("{}-{}", range.start, range.last);
    assert_eq!(ContentRange::parse(&again), Some(range));
    assert!(text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()));
});
