//! `Authorization` headers: none panics, and no password is ever in text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfinger::auth::{AUTHORIZATION_BYTES_MAX, Credentials};

fuzz_target!(|value: &[u8]| {
    for value in [value.to_vec(), [b"Basic ", value].concat()] {
        let Ok(credentials) = Credentials::parse(&value) else { continue };
        assert!(value.len() <= AUTHORIZATION_BYTES_MAX);
        assert!(!credentials.user().contains(':') && !credentials.user().chars().any(char::is_control));
        assert_eq!(format!("{:?}", credentials.password()), "Password(…)");
    }
});
