//! Client certificates: none panics, and a name is one that an account can have, wherever it stood.
//!
//! The first byte says where the name is looked for, and which of several it is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wharfinger::auth::Certificates;
use wharfinger::auth::options::{Attribute, CertificateOptions, UriPattern};

const ATTRIBUTES: [Attribute; 5] =
    [Attribute::CommonName, Attribute::Subject, Attribute::Email, Attribute::Uri, Attribute::DnsName];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, leaf)) = bytes.split_first() else { return };
    let index = usize::from(first >> 6);
    let pattern = UriPattern::parse("^spiffe://[^/]*/(.*)$").expect("the pattern has a group");
    let names = Certificates::new(CertificateOptions {
        attributes: vec![ATTRIBUTES[usize::from(first & 7) % ATTRIBUTES.len()]],
        uri_pattern: (first & 8 != 0).then_some(pattern),
        uri_index: index,
        dns_index: index,
        email_index: index,
    });
    let name = names.name(leaf);
    assert_eq!(name, names.name(leaf), "it is the same each time");
    if let Ok(Some(name)) = name {
        assert!(!name.is_empty() && name.len() <= 255);
        assert!(!name.chars().any(char::is_control));
    }
});
