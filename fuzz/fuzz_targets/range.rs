//! `Range` headers: what is resolved is inside the content.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfinger::oci::RangeHeader;

fuzz_target!(|input: (&str, u64)| {
    let (text, size) = input;
    let Some(header) = RangeHeader::parse(text) else { return };
    let ranges = header.resolve(size);
    assert!(ranges.len() <= header.count());
    for range in ranges {
        assert!(range.start <= range.last && range.last < size);
        assert!((1..=size).contains(&range.len()));
    }
});
