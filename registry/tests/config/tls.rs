//! Goal: a section `http.tls` or `http.auth.mtls` that the server could not start with, or that would do
//! something else than it says, is a fault with its cause; files that may come later are warnings.
//! Method: a table of sections, and of files made here.

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use wharfinger::auth::options::Attribute;
use wharfinger::config::load;
use wharfinger::http::options::TlsVersion;

use crate::{lines, parsed};

/// Returns what is said of a section `http`.
fn said(http: &str) -> String {
    match parsed(&format!("http: {{ {http} }}\n")) {
        Ok(loaded) => format!("warns {}", lines(&loaded.warnings)),
        Err(faults) => lines(&faults.faults),
    }
}

#[test]
fn what_goes_together_goes_only_together() {
    for (http, expect) in [
        ("tls: { cert: /c, key: /k }", "warns "),
        ("tls: { cert: /c, key: /k, cacert: /a }", "warns "),
        ("tls: { cert: /c, key: /k, cacert: /a }, auth: { mtls: { } }", "warns "),
        ("tls: { cert: /c }", "http.tls.key: is missing"),
        ("tls: { key: /k }", "http.tls.cert: is missing"),
        ("tls: { cacert: /a }", "http.tls.cert: is missing\nhttp.tls.key: is missing"),
        ("tls: { }", "http.tls.cert: is missing\nhttp.tls.key: is missing"),
        ("tls: { cert: '', key: /k }", "http.tls.cert: an empty string is not a path"),
        (
            "tls: { cert: /c, key: /k }, auth: { mtls: { } }",
            "http.auth.mtls: needs http.tls.cacert: without authorities no client certificate is asked for",
        ),
        (
            "auth: { mtls: { } }",
            "http.auth.mtls: needs http.tls.cacert: without authorities no client certificate is asked for",
        ),
        (
            "tls: { cert: /c, key: /k, minVersion: 1.3 }",
            "http.tls.minVersion: this number is not one of 1.2, 1.3; put it in quotes",
        ),
        (
            "tls: { cert: /c, key: /k, minVersion: '1.1' }",
            "http.tls.minVersion: \"1.1\" is not one of 1.2, 1.3",
        ),
        // Accounts come from certificates too.
        (
            "tls: { cert: /c, key: /k, cacert: /a }, accessControl: { adminPolicy: { actions: [read] } }",
            "warns ",
        ),
        (
            "tls: { cert: /c, key: /k }, accessControl: { adminPolicy: { actions: [read] } }",
            "warns http.accessControl: there are no accounts (http.auth.htpasswd), so only an anonymousPolicy grants anything",
        ),
    ] {
        assert_eq!(said(http), expect, "{http}");
    }
    let mtls = |keys: &str| {
        said(&format!("tls: {{ cert: /c, key: /k, cacert: /a }}, auth: {{ mtls: {{ {keys} }} }}"))
    };
    for (keys, expect) in [
        ("identityAttributes: [uri, CN, rfc822Name]", "warns "),
        ("identityAttributes: []", "warns "),
        ("uriSanPattern: ^spiffe://a/(.*)$", "warns "),
        ("uriSanPattern: spiffe://a/.*", "has no group ( ) for the name"),
        ("uriSanPattern: '('", "unclosed group"),
        ("uriSanIndex: -1", "is not a whole number"),
    ] {
        assert!(mtls(keys).contains(expect), "{keys}: {}", mtls(keys));
    }
}

#[test]
fn names_stand_where_they_stand_in_zot() {
    let text =
        "http: { tls: { cert: /c, key: /k, cacert: /a }, auth: { mtls: { identityAttributes: [dn, DNS] } } }";
    let config = parsed(text).expect("it has no fault").config;
    assert_eq!(config.http.tls.expect("it has TLS").version_min, TlsVersion::V1_2);
    let attributes = config.auth.certificates.expect("it has authorities").attributes;
    assert_eq!(attributes, [Attribute::Subject, Attribute::DnsName]);
    let without = parsed("http: { tls: { cert: /c, key: /k, cacert: /a } }").expect("it has no fault").config;
    assert_eq!(without.auth.certificates.expect("it has authorities").attributes, [Attribute::CommonName]);
}

/// A certificate and its key, in PEM form.
fn pair() -> (String, String) {
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("the name is one");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key can be made");
    let certificate = params.self_signed(&key).expect("a certificate can be made");
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn files_are_looked_at() {
    let said = |files: &[(&str, &str)]| {
        let folder = tempfile::tempdir().expect("a folder can be made");
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).expect("a file can be written");
        }
        let path = |name: &str| folder.path().join(name).display().to_string();
        let text = format!(
            "http: {{ tls: {{ cert: {}, key: {}, cacert: {} }} }}\n",
            path("crt"),
            path("key"),
            path("ca")
        );
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, text).expect("a file can be written");
        match load(&file) {
            Ok(loaded) => format!("warns {}", lines(&loaded.warnings)),
            Err(faults) => lines(&faults.faults),
        }
    };
    let ((certificate, key), (other, other_key)) = (pair(), pair());
    let gone = "there is no such file yet, and without it the server does not start";
    assert_eq!(
        said(&[]),
        format!("warns http.tls.cert: {gone}\nhttp.tls.key: {gone}\nhttp.tls.cacert: {gone}")
    );
    assert_eq!(said(&[("crt", &certificate), ("key", &key), ("ca", &other)]), "warns ");
    assert_eq!(
        said(&[("crt", &certificate), ("ca", &other)]),
        format!("warns http.tls.key: {gone}"),
        "half a pair may become whole"
    );
    assert_eq!(
        said(&[("crt", &certificate), ("key", &other_key), ("ca", "hunter2")]),
        "http.tls: key is not the key of the first certificate in crt\n\
         http.tls.cacert: ca holds no certificate in PEM form"
    );
}
