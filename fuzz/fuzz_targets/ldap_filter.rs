//! Filters of a directory: a user's name stands in one as a value, whatever it is, and says nothing else.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfinger::auth::ldap::user_filter;

fuzz_target!(|name: &[u8]| {
    let filter = user_filter("uid", name, None);
    let value = filter.strip_prefix("(uid=").and_then(|rest| rest.strip_suffix(')'));
    assert_eq!(decoded(value.expect("the filter is an equality")), name);
    assert_eq!(user_filter("uid", name, Some("(a=b)")), format!("(&{filter}(a=b))"));
});

/// Reads a value as a directory does: two hexadecimal digits behind a backslash are a byte, and nothing that
/// means something in a filter stands without one.
fn decoded(value: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), value.as_bytes());
    while let [first, behind @ ..] = rest {
        assert!(!b"()*&|!=<>~\0".contains(first));
        if *first == b'\\' {
            let digits = std::str::from_utf8(&behind[..2]).expect("hexadecimal digits are ASCII");
            bytes.push(u8::from_str_radix(digits, 16).expect("two of them are a byte"));
            rest = &behind[2..];
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    bytes
}
