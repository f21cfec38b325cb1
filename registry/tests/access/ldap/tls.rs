//! Goal: passwords go to the directory that was meant, and nobody on the way reads them; to nobody else they go
//! at all. Method: a directory with a certificate for 127.0.0.1 of an authority made here, and a pipe before it
//! that keeps what passes.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use wharfinger::auth::ldap::{Step, Trouble, Unreachable, Verdict};
use wharfinger::auth::options::ldap::{LdapOptions, Security, Verification};

use super::{TIMEOUT, directory, login};
use crate::support::pipe::Pipe;
use crate::support::slapd::{READER_BINDS, READER_PASSWORD, Slapd, password};

fn secured(slapd: &Slapd, security: Security) -> LdapOptions {
    let port = if security == Security::Ldaps { slapd.tls_port } else { slapd.port };
    LdapOptions { security, port, ..slapd.options() }
}

const BOTH: [Security; 2] = [Security::Ldaps, Security::StartTls];

fn holds(bytes: &[u8], words: &str) -> bool {
    bytes.windows(words.len()).any(|window| window == words.as_bytes())
}

#[tokio::test]
async fn p11_with_tls_nobody_on_the_way_reads_a_password() {
    let Some(slapd) = Slapd::start("p11_with_tls_nobody_on_the_way_reads_a_password").await else { return };
    let alice = password("alice");
    for security in [Security::Ldaps, Security::StartTls, Security::Plain] {
        let options = secured(&slapd, security);
        let pipe = Pipe::before(options.port).await;
        let people = directory(LdapOptions { port: pipe.address.port(), ..options });
        assert!(matches!(login(&people, "alice", &alice).await, Ok(Verdict::Right(_))), "{security:?}");
        assert_eq!(login(&people, "alice", "wrong").await, Ok(Verdict::Wrong), "{security:?}");
        // Where there is no TLS they are seen, which shows that they are looked for.
        let is_plain = security == Security::Plain;
        for words in [&*alice, READER_PASSWORD, "uid"] {
            assert_eq!(holds(&pipe.sent(), words), is_plain, "{security:?} {words}");
        }
    }
}

#[tokio::test]
async fn a_directory_that_is_not_the_one_meant_gets_nothing() {
    let Some(slapd) = Slapd::start("a_directory_that_is_not_the_one_meant_gets_nothing").await else {
        return;
    };
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let other = slapd.path("other.pem");
    fs::write(&other, params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()).unwrap();
    for security in BOTH {
        let options = secured(&slapd, security);
        let wrong = [
            LdapOptions { ca_file: Some(other.clone()), ..options.clone() },
            // The certificate is for the address alone.
            LdapOptions { host: "localhost".to_owned(), ..options.clone() },
        ];
        for wrong in wrong {
            let host = wrong.host.clone();
            let failed = login(&directory(wrong), "alice", &password("alice")).await;
            let Err(Unreachable::Failed(Trouble::Tls { reason })) = &failed else { panic!("{failed:?}") };
            assert!(reason.contains("certificate"), "{reason}");
            assert_eq!(slapd.count(READER_BINDS), 0, "{security:?} {host}");
        }
    }
    for security in BOTH {
        let (host, ca_file) = ("localhost".to_owned(), Some(other.clone()));
        let verification = Verification::Skipped;
        let any = LdapOptions { host, ca_file, verification, ..secured(&slapd, security) };
        let verdict = login(&directory(any), "alice", &password("alice")).await;
        assert!(matches!(verdict, Ok(Verdict::Right(_))), "{security:?} {verdict:?}");
    }
}

#[tokio::test]
async fn tls_where_there_is_none_is_no_way_around_it() {
    let Some(slapd) = Slapd::start("tls_where_there_is_none_is_no_way_around_it").await else { return };
    let swapped = |security, port| LdapOptions { security, port, timeout: TIMEOUT, ..slapd.options() };
    for options in [swapped(Security::Ldaps, slapd.port), swapped(Security::StartTls, slapd.tls_port)] {
        let security = options.security;
        let failed = login(&directory(options), "alice", &password("alice")).await;
        let Err(Unreachable::Failed(trouble)) = &failed else { panic!("{security:?} {failed:?}") };
        let is_of_connection = matches!(
            trouble,
            Trouble::Connect { .. }
                | Trouble::Tls { .. }
                | Trouble::Lost { step: Step::Connection }
                | Trouble::Timeout { step: Step::Connection, .. }
        );
        assert!(is_of_connection, "{security:?} {trouble:?}");
    }
    assert_eq!(slapd.count(READER_BINDS), 0);
}
