//! What a directory sends: only messages within bounds are passed, as they came, however the bytes are cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfinger::auth::ldap::{Messages, Unfit};

fuzz_target!(|input: (u8, &[u8])| {
    let (chunk, bytes) = input;
    let (passed, end) = cut(bytes, usize::from(chunk) + 1);
    assert!(bytes.starts_with(&passed.concat()));
    for message in &passed {
        assert!(message.len() <= 1024 * 1024);
        assert_eq!(rest(message, 32), Some(&[][..]), "it is one element");
    }
    assert_eq!(cut(bytes, bytes.len().max(1)), (passed, end));
});

fn cut(bytes: &[u8], chunk: usize) -> (Vec<Vec<u8>>, Option<Unfit>) {
    let (mut messages, mut passed) = (Messages::default(), Vec::new());
    for chunk in bytes.chunks(chunk) {
        messages.push(chunk);
        loop {
            match messages.take() {
                Ok(Some(message)) => passed.push(message.to_vec()),
                Ok(None) => break,
                Err(unfit) => return (passed, Some(unfit)),
            }
        }
    }
    (passed, None)
}

/// Reads an element as a parser does that trusts it; returns what follows it, and nothing when it is too deep.
fn rest(bytes: &[u8], depth: usize) -> Option<&[u8]> {
    let (tag, first) = (bytes[0], usize::from(bytes[1]));
    let long = if first < 0x80 { 0 } else { first - 0x80 };
    let length = bytes[2..2 + long].iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
    let length = if long == 0 { first } else { length };
    let (mut content, rest_of_all) = bytes[2 + long..].split_at(length);
    while tag & 0x20 != 0 && !content.is_empty() {
        content = rest(content, depth.checked_sub(1)?)?;
    }
    (depth > 0).then_some(rest_of_all)
}
