//! Goal: what the directory says decides, and the file where it says nothing. Method: the table of all
//! verdicts, and a directory at a port where nobody is; real ones are asked in `tests/access`.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::*;
use crate::auth::credentials::Credentials;
use crate::auth::options::ldap::Security;

fn password(text: &str) -> Password {
    let header = format!("Basic {}", BASE64_STANDARD.encode(format!("u:{text}")));
    Credentials::parse(header.as_bytes()).unwrap().password().clone()
}

/// Nothing listens at port 0.
fn nowhere() -> LdapOptions {
    LdapOptions {
        host: "127.0.0.1".to_owned(),
        port: 0,
        security: Security::Plain,
        base_dn: "dc=example,dc=org".to_owned(),
        user_attribute: "uid".to_owned(),
        ..LdapOptions::default()
    }
}

#[test]
fn the_file_is_asked_when_the_directory_does_not_know() {
    let person = |groups: &[&str]| Person {
        name: "alice".to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
    };
    let (builder, other) = (person(&["builders"]), person(&[]));
    let trouble = Trouble::Lost { step: Step::Search };
    let table = [
        (Ok(Verdict::Right(builder.clone())), Next::Accept(builder)),
        (Ok(Verdict::Right(other.clone())), Next::Accept(other)),
        (Ok(Verdict::Wrong), Next::Refuse),
        (Ok(Verdict::Unknown), Next::AskFile),
        (Err(Unreachable::Failed(trouble)), Next::AskFile),
        (Err(Unreachable::Resting { retry_after: Duration::ZERO }), Next::AskFile),
        (Err(Unreachable::Overloaded), Next::AskFile),
    ];
    for (verdict, expect) in table {
        assert_eq!(after(verdict.clone()), expect, "{verdict:?}");
    }
}

#[tokio::test]
async fn an_empty_password_is_wrong_unasked() {
    let directory = Directory::new(nowhere()).unwrap();
    assert_eq!(directory.login("alice", &password("")).await, Ok(Verdict::Wrong));
    let failed = directory.login("alice", &password("a")).await;
    assert!(matches!(failed, Err(Unreachable::Failed(Trouble::Connect { .. }))), "{failed:?}");
    let resting = directory.login("alice", &password("a")).await;
    assert!(matches!(resting, Err(Unreachable::Resting { .. })), "{resting:?}");
    assert!(matches!(directory.find("alice").await, Err(Unreachable::Resting { .. })));
    assert_eq!(directory.verdicts.pending(), 0);
}

#[test]
fn what_cannot_work_is_refused_at_the_start() {
    let error = |options| Directory::new(options).unwrap_err();
    let options = LdapOptions { user_attribute: "uid=".to_owned(), ..nowhere() };
    assert!(matches!(error(options), DirectoryError::Word { key: "userAttribute", .. }));
    assert!(matches!(error(LdapOptions { pool_size: 0, ..nowhere() }), DirectoryError::NoPool));
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("ca.pem");
    std::fs::write(&empty, "").unwrap();
    let with = |ca_file| LdapOptions { ca_file: Some(ca_file), security: Security::Ldaps, ..nowhere() };
    assert!(matches!(error(with(empty)), DirectoryError::NoAuthorities));
    let absent = folder.path().join("absent");
    assert!(matches!(error(with(absent)), DirectoryError::Authorities { .. }));
}
