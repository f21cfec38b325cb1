//! `Authorization` headers: none panics, and no password is ever in text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfinger::auth::{AUTHORIZATION_BYTES_MAX, Authorization, Credentials};

fuzz_target!(|value: &[u8]| {
    for value in [value.to_vec(), [b"Bearer ", value].concat()] {
        let Ok(Authorization::Bearer(token)) = Authorization::parse(&value) else { continue };
        assert!(value.len() <= AUTHORIZATION_BYTES_MAX && !token.reveal().is_empty());
        assert_eq!(format!("{token:?}"), "BearerToken(…)");
    }
    for value in [value.to_vec(), [b"Basic ", value].concat()] {
        let Ok(credentials) = Credentials::parse(&value) else { continue };
        assert!(value.len() <= AUTHORIZATION_BYTES_MAX);
        assert!(!credentials.user().contains(':') && !credentials.user().chars().any(char::is_control));
        assert_eq!(format!("{:?}", credentials.password()), "Password(…)");
    }
});
