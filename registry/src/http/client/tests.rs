//! Goal: a client has the address that it came from, whatever it writes into headers, and proxies that are
//! trusted are believed as far as they can know. Method: tables of chains; properties over lists that a client
//! makes up before the proxies add their part.

use http::HeaderValue;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert_eq, prop_oneof, proptest};

use super::*;

fn networks() -> Vec<Network> {
    ["10.0.0.0/8", "2001:db8:ffff::/48"].map(|text| Network::parse(text).unwrap()).to_vec()
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

#[track_caller]
fn check(peer: &str, lines: &[(&str, &str)], expect: &str) {
    let found = client(Some(peer.parse().unwrap()), &headers(lines), &networks());
    assert_eq!(found.address, Some(expect.parse().unwrap()), "{peer} {lines:?}");
}

const FOR: &str = "x-forwarded-for";

#[test]
fn strangers_are_who_they_are() {
    for peer in ["192.0.2.1", "2001:db8::1"] {
        check(peer, &[], peer);
        check(peer, &[(FOR, "198.51.100.1")], peer);
        check(peer, &[("forwarded", "for=198.51.100.1;proto=https;host=evil.example")], peer);
    }
    let lines =
        [("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.example"), ("forwarded", "proto=https")];
    let found = client(Some("192.0.2.1".parse().unwrap()), &headers(&lines), &networks());
    assert_eq!((found.scheme, found.authority), (None, None));
    assert_eq!(client(None, &headers(&[(FOR, "192.0.2.1")]), &networks()), Client::default());
    // Nobody is trusted unless somebody is named.
    let found = client(Some("10.0.0.1".parse().unwrap()), &headers(&[(FOR, "192.0.2.1")]), &[]);
    assert_eq!(found.address, Some("10.0.0.1".parse().unwrap()));
}

#[test]
fn the_first_stranger_from_the_right_is_the_client() {
    let peer = "10.0.0.1";
    for (list, expect) in [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1, 10.0.0.2", "192.0.2.1"),
        ("198.51.100.9, 192.0.2.1, 10.0.0.3, 10.0.0.2", "192.0.2.1"),
        // The client wrote a trusted address to the left of its own.
        ("10.0.0.9, 192.0.2.1", "192.0.2.1"),
        // Everybody is trusted: the one furthest out asked.
        ("10.0.0.9, 10.0.0.2", "10.0.0.9"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1, ::ffff:10.0.0.2", "192.0.2.1"),
        ("192.0.2.1, 2001:db8:ffff::1", "192.0.2.1"),
        (" ,, 192.0.2.1 ,\t10.0.0.2 , ", "192.0.2.1"),
        // Who cannot be read stands behind the proxy that says so.
        ("192.0.2.1, unknown", "10.0.0.1"),
        ("192.0.2.1, unknown, 10.0.0.2", "10.0.0.2"),
        ("_hidden, 10.0.0.2", "10.0.0.2"),
        ("192.0.2.1:, 10.0.0.2", "10.0.0.2"),
        ("192.0.2.1:port", "10.0.0.1"),
        ("192.0.2.1:123456", "10.0.0.1"),
        ("[192.0.2.1]", "10.0.0.1"),
        ("[2001:db8::1", "10.0.0.1"),
        ("[2001:db8::1]x", "10.0.0.1"),
        ("2001:db8::1]", "10.0.0.1"),
        ("fe80::1%eth0", "10.0.0.1"),
        ("192.0.2.1 10.0.0.2", "10.0.0.1"),
        ("", "10.0.0.1"),
    ] {
        check(peer, &[(FOR, list)], expect);
    }
    // Several headers are one list.
    check(peer, &[(FOR, "198.51.100.1"), (FOR, "192.0.2.1, 10.0.0.2"), (FOR, "10.0.0.3")], "192.0.2.1");
    check("::ffff:10.0.0.1", &[(FOR, "192.0.2.1")], "192.0.2.1");
    check(peer, &[(FOR, "192.0.2.1"), (FOR, "\u{ff}")], peer);
}

#[test]
fn forwarded_is_read_as_the_rfc_has_it() {
    let peer = "10.0.0.1";
    for (list, expect) in [
        ("for=192.0.2.1", "192.0.2.1"),
        ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17"),
        ("for=198.51.100.17, for=10.0.0.2; proto=https", "198.51.100.17"),
        ("by=203.0.113.43; FOR = \"192.0.2.43:_gazonk\"", "192.0.2.43"),
        ("for=192.0.2.1, for=\"_gazonk\"", "10.0.0.1"),
        ("for=192.0.2.1, for=unknown", "10.0.0.1"),
        ("for=192.0.2.1, proto=https", "10.0.0.1"),
        ("for=192.0.2.1;for=192.0.2.2", "10.0.0.1"),
        ("for=\"192.0.2.1", "10.0.0.1"),
        // A client that opens a quote does not hide what the proxy adds.
        ("for=\"198.51.100.1, for=192.0.2.1", "192.0.2.1"),
        ("for", "10.0.0.1"),
    ] {
        check(peer, &[("forwarded", list)], expect);
    }
}

#[test]
fn headers_that_disagree_are_not_believed() {
    let peer = "10.0.0.1";
    check(peer, &[("forwarded", "for=192.0.2.1"), (FOR, "192.0.2.1:80")], "192.0.2.1");
    check(peer, &[("forwarded", "for=198.51.100.1"), (FOR, "192.0.2.1")], peer);
    check(peer, &[("forwarded", "garbage"), (FOR, "192.0.2.1")], peer);
}

#[test]
fn scheme_and_authority_are_the_first_proxys() {
    let check = |lines: &[(&str, &str)], scheme: Option<Scheme>, authority: Option<&str>| {
        let found = client(Some("10.0.0.1".parse().unwrap()), &headers(lines), &networks());
        let named = found.authority.as_ref().map(Authority::as_str);
        assert_eq!((found.scheme, named), (scheme, authority), "{lines:?}");
    };
    check(&[("x-forwarded-proto", "https")], Some(Scheme::HTTPS), None);
    check(&[("x-forwarded-proto", "HTTPS, http")], Some(Scheme::HTTPS), None);
    check(
        &[("forwarded", "for=192.0.2.1;proto=https;host=r.example:8443, for=10.0.0.2;proto=http")],
        Some(Scheme::HTTPS),
        Some("r.example:8443"),
    );
    check(
        &[("x-forwarded-host", "r.example, inner"), ("x-forwarded-proto", "gopher")],
        None,
        Some("r.example"),
    );
    for host in ["", "a b", "user@r.example", "r.example/path", &"a".repeat(300)] {
        check(&[("x-forwarded-host", host)], None, None);
    }
}

/// Ten thousand entries, made by a client, cost no more than the first few.
#[test]
fn a_long_list_is_not_looked_through() {
    let long = ["10.0.0.2"; 10_000].join(",");
    check("10.0.0.1", &[(FOR, &format!("192.0.2.1,{long}"))], "10.0.0.2");
    let lines = headers(&[(FOR, &long), ("forwarded", &long)]);
    let looked = entries(&lines, &X_FORWARDED_FOR).count();
    assert_eq!(looked, HOPS_MAX);
}

/// What a client may write into a header: addresses, of proxies too, and anything else.
fn anything() -> impl Strategy<Value = String> {
    let entry = prop_oneof![
        3 => any::<[u8; 4]>().prop_map(|bytes| IpAddr::from(bytes).to_string()),
        2 => any::<[u8; 16]>().prop_map(|bytes| format!("\"[{}]:1\"", IpAddr::from(bytes))),
        3 => any::<[u8; 3]>().prop_map(|[a, b, c]| format!("10.{a}.{b}.{c}")),
        2 => "[ -~]{0,20}".prop_map(|text| text),
        1 => proptest::sample::select(vec!["unknown", "_x", "for=\"", "for=10.0.0.7", "\"", ";", "="]).prop_map(str::to_owned),
    ];
    vec(entry, 0..8).prop_map(|entries| entries.join(","))
}

proptest! {
    /// Whatever the client writes, the address is the one that the first trusted proxy saw.
    #[test]
    fn nothing_to_the_left_of_a_stranger_counts(
        written in anything(),
        proxies in vec(any::<[u8; 3]>(), 0..5),
        is_standard in any::<bool>(),
        own in any::<[u8; 4]>().prop_filter("it is no proxy", |own| own[0] != 10),
    ) {
        let own = IpAddr::from(own);
        let seen = std::iter::once(own).chain(proxies.iter().map(|[a, b, c]| IpAddr::from([10, *a, *b, *c])));
        let (name, added): (_, Vec<String>) = if is_standard {
            ("forwarded", seen.map(|address| format!("for={address};proto=http")).collect())
        } else {
            (FOR, seen.map(|address| address.to_string()).collect())
        };
        let list = format!("{written},{}", added.join(", "));
        let found = client(Some("10.0.0.1".parse().unwrap()), &headers(&[(name, &list)]), &networks());
        prop_assert_eq!(found.address, Some(own), "{}", list);
    }

    #[test]
    fn any_bytes_are_answered(bytes in vec(any::<u8>(), 0..200)) {
        let bytes: Vec<u8> = bytes.into_iter().filter(|byte| *byte >= 32 && *byte != 127).collect();
        let value = HeaderValue::from_bytes(&bytes).unwrap();
        let map: HeaderMap = [FORWARDED, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO]
            .map(|name| (name, value.clone())).into_iter().collect();
        let found = client(Some("10.0.0.1".parse().unwrap()), &map, &networks());
        prop_assert_eq!(found.address.is_some(), true);
    }
}
