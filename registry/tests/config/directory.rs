//! Goal: a directory of accounts that cannot work, or not as was meant, is a fault with its cause; what
//! gives passwords away is a warning. Method: tables of sections, and of files made here.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use wharfinger::auth::options::ldap::{AccountSource, LdapOptions, Security};
use wharfinger::config::{Faults, Loaded, load};

use crate::{lines, parsed};

const USERS: &str = "address: ldap, baseDN: dc=example, userAttribute: uid";

fn directory(keys: &str) -> Result<Loaded, Faults> {
    parsed(&format!("http: {{ auth: {{ ldap: {{ {keys} }} }} }}"))
}

fn options(keys: &str) -> LdapOptions {
    let loaded = directory(&format!("{USERS}, {keys}")).unwrap_or_else(|faults| panic!("{keys}: {faults}"));
    loaded.config.auth.ldap.expect("there is a directory")
}

/// Returns what is said of a section, without the path of the section.
fn said(keys: &str) -> String {
    let said = match directory(keys) {
        Ok(loaded) => format!("warns {}", lines(&loaded.warnings)),
        Err(faults) => lines(&faults.faults),
    };
    said.replace("http.auth.ldap.", "")
}

#[test]
fn security_is_what_zot_takes_it_for_and_startls_is_taken_at_its_word() {
    for (keys, security, port) in [
        ("insecure: false", Security::Ldaps, 636),
        ("insecure: true", Security::Plain, 389),
        ("insecure: true, startTLS: true", Security::StartTls, 389),
        ("startTLS: true", Security::StartTls, 389),
        ("startTLS: true, port: 1389", Security::StartTls, 1389),
    ] {
        let options = options(keys);
        assert_eq!((options.security, options.port), (security, port), "{keys}");
    }
    assert_eq!(options("poolSize: 1").account, AccountSource::Anonymous);
}

#[test]
fn what_cannot_work_is_a_fault() {
    for (keys, expect) in [
        ("", "address: is missing\nbaseDN: is missing\nuserAttribute: is missing"),
        (
            "address: \"ldaps://a\", baseDN: b, userAttribute: c",
            "address: is no host name and no IP address; scheme and port have keys of their own",
        ),
        (
            "address: \"::1\", baseDN: b, userAttribute: c",
            "address: an IPv6 address can only be asked without TLS; give the host's name",
        ),
        (
            "address: a, baseDN: b, userAttribute: \"(uid\", userGroupAttribute: \"member of\"",
            "userAttribute: is no name of an attribute: letters, digits, \"-\", \".\" and \";\"\n\
             userGroupAttribute: is no name of an attribute: letters, digits, \"-\", \".\" and \";\"",
        ),
        (
            &format!("{USERS}, userFilter: \"(a=b\""),
            "userFilter: is no LDAP filter such as \"(objectClass=person)\"",
        ),
        (
            &format!("{USERS}, bindDN: cn=a"),
            "bindDN: there is no bindPassword, without which a directory takes the bind for an anonymous one; leave both out to search anonymously",
        ),
        (&format!("{USERS}, bindPassword: hunter2"), "bindPassword: there is no bindDN that it is of"),
        (
            &format!("{USERS}, credentialsFile: /a, bindDN: cn=a, bindPassword: hunter2"),
            "credentialsFile: bindDN and bindPassword are written as well; one account searches",
        ),
        (
            &format!("{USERS}, timeout: 1m, poolSize: 0"),
            "timeout: \"1m\" is not a duration such as \"300ms\" or \"1h30m\", from 100ms to 30s\n\
             poolSize: 0 is not a whole number from 1 to 256",
        ),
    ] {
        assert_eq!(said(keys), expect, "{keys}");
    }
}

#[test]
fn what_gives_passwords_away_is_warned_of() {
    for (keys, expect) in [
        ("insecure: true", "insecure: passwords go to the directory in clear text"),
        ("insecure: true, startTLS: true", ""),
        (
            "skipVerify: true",
            "skipVerify: the directory may be anybody, who then gets the passwords of all who log in",
        ),
        ("skipVerify: false, insecure: false", ""),
    ] {
        assert_eq!(said(&format!("{USERS}, {keys}")), format!("warns {expect}"), "{keys}");
    }
}

#[test]
fn groups_of_a_directory_are_not_missed() {
    let policy = "accessControl: { adminPolicy: { groups: [a], actions: [read] } }";
    for (keys, expect) in [
        ("userGroupAttribute: memberOf", ""),
        (
            "poolSize: 1",
            "http.accessControl.adminPolicy.groups[0]: there is no such group below http.accessControl.groups",
        ),
    ] {
        let text = format!("http: {{ auth: {{ ldap: {{ {USERS}, {keys} }} }}, {policy} }}");
        assert_eq!(lines(&parsed(&text).expect("it has no fault").warnings), expect, "{keys}");
    }
}

/// Returns what is said of a file with that content, as the value of a key.
fn said_of_file(folder: &Path, key: &str, content: &str) -> String {
    let (config, file) = (folder.join("config.yaml"), folder.join("file"));
    std::fs::write(&file, content).expect("a file can be written");
    let text = format!("http: {{ auth: {{ ldap: {{ {USERS}, {key}: {} }} }} }}\n", file.display());
    std::fs::write(&config, text).expect("a file can be written");
    match load(&config) {
        Ok(_) => String::new(),
        Err(faults) => lines(&faults.faults).replace(&file.display().to_string(), "FILE"),
    }
}

#[test]
fn files_that_cannot_be_used_are_faults() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut params = CertificateParams::new(vec!["ldap".to_owned()]).expect("the name is one");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key can be made");
    let authority = params.self_signed(&key).expect("a certificate can be made").pem();
    let form = "http.auth.ldap.credentialsFile: FILE is not {\"bindDN\": …, \"bindPassword\": …} with two non-empty strings";
    for (key, content, expect) in [
        ("credentialsFile", r#"{"bindDN": "cn=a", "bindPassword": "b"}"#, ""),
        ("credentialsFile", r#"{"bindDN": "cn=a", "bindPassword": ""}"#, form),
        ("credentialsFile", "hunter2", form),
        ("caCert", &authority, ""),
        ("caCert", "hunter2", "http.auth.ldap.caCert: file holds no certificate in PEM form"),
    ] {
        assert_eq!(said_of_file(folder.path(), key, content), expect, "{key}");
    }
}
