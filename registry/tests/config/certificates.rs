//! Goal: files with which the server could not start are faults, each with its cause; what may come later is a
//! warning.
//! Method: tables of folders with certificates made here, good and bad, and of files of accounts.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use wharfinger::config::{Faults, Loaded, load};

use crate::lines;

/// A certificate and its key, in PEM form.
fn pair() -> (String, String) {
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("the name is one");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key can be made");
    let certificate = params.self_signed(&key).expect("a certificate can be made");
    (certificate.pem(), key.serialize_pem())
}

fn loaded(folder: &Path, sync: &str) -> Result<Loaded, Faults> {
    let file = folder.join("config.yaml");
    // With accounts and without access control, nobody comes without an account.
    let accounts = folder.join("htpasswd");
    std::fs::write(&accounts, "").expect("a file can be written");
    let text = format!(
        "http: {{ auth: {{ htpasswd: {{ path: {} }} }} }}\nextensions: {{ sync: {{ {sync} }} }}\n",
        accounts.display()
    );
    std::fs::write(&file, text).expect("a file can be written");
    load(&file)
}

/// Returns what is said of a `certDir` with these files.
fn said(files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let certificates = folder.path().join("certificates");
    std::fs::create_dir(&certificates).expect("a folder can be made");
    for (name, content) in files {
        std::fs::write(certificates.join(name), content).expect("a file can be written");
    }
    let certificates = certificates.display();
    let sync = format!("registries: [{{ urls: [https://a], onDemand: true, certDir: {certificates} }}]");
    match loaded(folder.path(), &sync) {
        Ok(loaded) => format!("warns {}", lines(&loaded.warnings)),
        Err(faults) => lines(&faults.faults),
    }
    .replace("extensions.sync.registries[0].certDir", "certDir")
}

#[test]
fn certificates_that_cannot_be_used_are_faults() {
    let ((certificate, key), (other, other_key)) = (pair(), pair());
    let torn = certificate.replace("-----END CERTIFICATE-----", "");
    let noise = "-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n";
    let both = format!("{certificate}{noise}");
    let (ca, cert, private) = ("ca.crt", "client.cert", "client.key");
    let no_key = "certDir: client.key holds no private key in PEM form that is not encrypted";
    for (files, expect) in [
        (vec![], "warns certDir: there is no ca.crt, so only the system's authorities are trusted"),
        (vec![(ca, &*certificate)], "warns "),
        (vec![(cert, &*certificate), (private, &*key)], "warns "),
        (vec![(ca, &*other), (cert, &certificate), (private, &key)], "warns "),
        (vec![(ca, "")], "certDir: ca.crt holds no certificate in PEM form"),
        (vec![(ca, &*key)], "certDir: ca.crt holds no certificate in PEM form"),
        (vec![(ca, &*torn)], "certDir: ca.crt is not in PEM form throughout"),
        (
            vec![(ca, &*both)],
            "certDir: certificate 2 of ca.crt cannot be used: invalid peer certificate: BadEncoding",
        ),
        (
            vec![(cert, &*certificate)],
            "certDir: there is client.cert but no client.key; they only work together",
        ),
        (vec![(private, &*key)], "certDir: there is client.key but no client.cert; they only work together"),
        (vec![(cert, &*certificate), (private, "hunter2")], no_key),
        (vec![(cert, &*certificate), (private, &*certificate)], no_key),
        (
            vec![(cert, &*certificate), (private, &*other_key)],
            "certDir: client.key is not the key of the first certificate in client.cert",
        ),
        (vec![(cert, "hunter2"), (private, &*key)], "certDir: client.cert holds no certificate in PEM form"),
        (
            vec![(cert, noise), (private, &*key)],
            "certDir: client.cert cannot be used: invalid peer certificate: BadEncoding",
        ),
    ] {
        let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        assert_eq!(said(&files), expect, "{names:?}");
    }
}

#[test]
fn a_folder_that_is_not_there_or_cannot_be_read_is_a_fault() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let absent = "registries: [{ urls: [https://a], onDemand: true, certDir: /nonexistent/certificates }]";
    let faults = loaded(folder.path(), absent).expect_err("the folder is not there");
    insta::assert_snapshot!(lines(&faults.faults), @"extensions.sync.registries[0].certDir: there is no such folder; create it with ca.crt, or with client.cert and client.key, or leave the key out");
    std::fs::create_dir(folder.path().join("ca.crt")).expect("a folder can be made");
    let sync = format!("registries: [{{ urls: [https://a], certDir: {} }}]", folder.path().display());
    let faults = loaded(folder.path(), &sync).expect_err("a folder is no file");
    assert!(faults.to_string().contains(".certDir: ca.crt cannot be read: Is a directory"), "{faults}");
}

#[test]
fn faults_of_files_stand_beside_those_of_the_text() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let sync = "registries: [{ urls: [https://a], onDemnad: true, certDir: /nonexistent/certificates }]";
    let faults = loaded(folder.path(), sync).expect_err("the file has faults");
    let paths: Vec<&str> = faults.faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(paths, ["extensions.sync.registries[0].onDemnad", "extensions.sync.registries[0].certDir"]);
}

#[test]
fn what_may_come_before_it_is_needed_is_a_warning() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let sync = "registries: [
      { urls: [https://a], onDemand: true, credentialHelper: of-nobody },
      { urls: [https://b], onDemand: true, credentialHelper: oauth2, oauth2CredentialHelper: {
          tokenURL: https://sts/token, assertionFile: /nonexistent/a, clientSecretFile: /nonexistent/b } },
      { urls: [https://c], onDemand: true, credentialHelper: oauth2, oauth2CredentialHelper: {
          tokenURL: https://sts/token, signingFile: /nonexistent/c } },
      { urls: [https://d], onDemand: true }], credentialsFile: /nonexistent/d";
    insta::assert_snapshot!(lines(&loaded(folder.path(), sync).expect("it has no fault").warnings), @"
    extensions.sync.credentialsFile: there is no such file yet, and without it no upstream can be asked that it is for
    extensions.sync.registries[0].credentialHelper: there is no program docker-credential-of-nobody on the PATH yet, and without it this upstream cannot be asked
    extensions.sync.registries[1].oauth2CredentialHelper.assertionFile: there is no such file yet, and without it this upstream cannot be asked
    extensions.sync.registries[1].oauth2CredentialHelper.clientSecretFile: there is no such file yet, and without it this upstream cannot be asked
    extensions.sync.registries[2].oauth2CredentialHelper.signingFile: there is no such file yet, and without it this upstream cannot be asked
    ");
}

#[test]
fn upstreams_with_accounts_that_anybody_may_read_are_named() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let accounts = folder.path().join("accounts.json");
    let file = folder.path().join("config.yaml");
    let check = |content: &str, access: &str| {
        std::fs::write(&accounts, content).expect("a file can be written");
        let text = format!(
            "http: {{ accessControl: {{ repositories: {access} }} }}\n\
             extensions: {{ sync: {{ credentialsFile: {}, registries: [\n\
             {{ urls: [https://a:5000], onDemand: true }}, {{ urls: [https://b], onDemand: true }}] }} }}\n",
            accounts.display()
        );
        std::fs::write(&file, text).expect("a file can be written");
        lines(&load(&file).expect("it has no fault").warnings)
    };
    let own = r#"{"a:5000": {"username": "u", "password": "hunter2"}}"#;
    insta::assert_snapshot!(check(own, "{ '**': { anonymousPolicy: [read] } }"), @r#"extensions.sync.registries[0]: is asked with an account, and whoever comes without one may read what it has (http.accessControl.repositories["**"].anonymousPolicy); if that is not meant, give its names a policy without anonymousPolicy"#);
    assert_eq!(check(own, "{}"), "");
    insta::assert_snapshot!(check("{\"hunter2\"", "{}"), @"extensions.sync.credentialsFile: is no JSON object of accounts by host, and until it is no upstream can be asked that it is for");
}
