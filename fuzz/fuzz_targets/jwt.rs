//! Tokens of strangers, and the keys and expressions that they meet: none panics, and none is taken.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfinger::auth::{is_signed_by, maps_to_a_name};

/// A public key whose secret is nowhere.
const KEY: &[u8] = b"-----BEGIN PUBLIC KEY-----\n\
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgfPuG8SKV6OG2rTUbcoRKlrvPAeB\n\
1vCbWSCqIEWNXQhm/P/XMZQDbs4uD9YXdYF4w0QGUXB7vLcaZ8E2F8BIwA==\n\
-----END PUBLIC KEY-----\n";

fuzz_target!(|input: (&str, &[u8], &str)| {
    let (token, bytes, expression) = input;
    assert!(!is_signed_by(token, KEY));
    let _answered = is_signed_by(token, bytes);
    let _answered = maps_to_a_name(expression, bytes);
});
