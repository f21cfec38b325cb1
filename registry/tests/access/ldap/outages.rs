//! Goal: a directory that is down, slow, restarted or overrun costs those who log in as little as can be, lets
//! nobody in, and is used again once it answers; its operator is told once. Method: a directory that is ended,
//! started, and stopped in the middle; pipes before it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wharfinger::auth::ldap::{Step, Trouble, Unreachable, Verdict};
use wharfinger::auth::options::ldap::{AccountSource, BindAccount, LdapOptions};

use super::{TIMEOUT, directory, login, right, until};
use crate::support::log::Log;
use crate::support::pipe::{Forgetful, Pipe};
use crate::support::slapd::{READER, READER_BINDS, READER_PASSWORD, Slapd, password};

#[tokio::test]
async fn a_directory_that_is_down_is_told_of_once_and_used_again() {
    let test = "a_directory_that_is_down_is_told_of_once_and_used_again";
    let Some(mut slapd) = Slapd::start(test).await else { return };
    let (log, _listening) = Log::listen();
    let people = directory(slapd.options());
    slapd.stop();
    let bob = password("bob");
    let failed = login(&people, "bob", &bob).await;
    assert!(matches!(failed, Err(Unreachable::Failed(Trouble::Connect { .. }))), "{failed:?}");
    for user in ["bob", "alice", "nobody"] {
        let resting = login(&people, user, "x").await;
        assert!(matches!(resting, Err(Unreachable::Resting { .. })), "{resting:?}");
    }
    // It fails a second time, after the rest.
    let deadline = Instant::now() + Duration::from_secs(30);
    while !matches!(login(&people, "bob", &bob).await, Err(Unreachable::Failed(_))) {
        assert!(Instant::now() < deadline, "it is tried again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    slapd.resume().await;
    until(&people, ("bob", &bob), &right(&[])).await;
    let said = log.take();
    assert_eq!(said.matches("the directory cannot be asked").count(), 1, "{said}");
    assert_eq!(said.matches("the directory answers again").count(), 1, "{said}");
    assert!(said.contains("WARN") && said.contains("no connection: "), "{said}");
}

#[tokio::test]
async fn a_restarted_directory_is_used_at_once() {
    let Some(mut slapd) = Slapd::start("a_restarted_directory_is_used_at_once").await else { return };
    let people = directory(LdapOptions { cache_ttl: Duration::ZERO, ..slapd.options() });
    for _ in 0..3 {
        assert_eq!(login(&people, "bob", &password("bob")).await, Ok(right(&[])));
        slapd.stop();
        slapd.resume().await;
    }
    assert_eq!(login(&people, "bob", &password("bob")).await, Ok(right(&[])));
}

#[tokio::test]
async fn what_was_verified_holds_while_the_directory_is_down() {
    let test = "what_was_verified_holds_while_the_directory_is_down";
    let Some(mut slapd) = Slapd::start(test).await else { return };
    let people = directory(slapd.options());
    assert_eq!(login(&people, "bob", &password("bob")).await, Ok(right(&[])));
    slapd.stop();
    assert_eq!(login(&people, "bob", &password("bob")).await, Ok(right(&[])));
    assert!(login(&people, "bob", "wrong").await.is_err(), "of another password nothing is known");
}

#[tokio::test]
async fn a_directory_that_hangs_holds_up_one_login() {
    let Some(slapd) = Slapd::start("a_directory_that_hangs_holds_up_one_login").await else { return };
    let people = directory(LdapOptions { timeout: TIMEOUT, cache_ttl: Duration::ZERO, ..slapd.options() });
    assert_eq!(login(&people, "bob", &password("bob")).await, Ok(right(&[])));
    let paused = slapd.pause();
    let begun = Instant::now();
    let failed = login(&people, "bob", &password("bob")).await;
    let expect = Trouble::Timeout { step: Step::Bind, after: TIMEOUT };
    assert_eq!(failed, Err(Unreachable::Failed(expect)), "the second connection is not answered either");
    assert!(begun.elapsed() >= 2 * TIMEOUT, "both were waited for");
    let begun = Instant::now();
    for user in ["alice", "bob", "nobody", "twin"] {
        let resting = login(&people, user, "x").await;
        assert!(matches!(resting, Err(Unreachable::Resting { .. })), "{resting:?}");
    }
    assert!(begun.elapsed() < TIMEOUT, "the others do not wait");
    drop(paused);
    until(&people, ("bob", &password("bob")), &right(&[])).await;
}

#[tokio::test]
async fn a_connection_that_was_forgotten_is_replaced() {
    let Some(slapd) = Slapd::start("a_connection_that_was_forgotten_is_replaced").await else { return };
    let firewall = Forgetful::before(slapd.port).await;
    let port = firewall.address.port();
    let options = LdapOptions { port, timeout: TIMEOUT, cache_ttl: Duration::ZERO, ..slapd.options() };
    let people = directory(options);
    assert_eq!(login(&people, "bob", &password("bob")).await, Ok(right(&[])));
    firewall.forget();
    let begun = Instant::now();
    assert_eq!(login(&people, "bob", &password("bob")).await, Ok(right(&[])));
    assert!(begun.elapsed() >= TIMEOUT, "the old connection was tried");
}

#[tokio::test]
async fn an_account_that_is_refused_is_not_tried_for_every_login() {
    let test = "an_account_that_is_refused_is_not_tried_for_every_login";
    let Some(slapd) = Slapd::start(test).await else { return };
    let (log, _listening) = Log::listen();
    let account = BindAccount { dn: READER.to_owned(), password: "hunter2".to_owned() };
    let people = directory(LdapOptions { account: AccountSource::Written(account), ..slapd.options() });
    let failed = login(&people, "alice", &password("alice")).await;
    assert_eq!(failed, Err(Unreachable::Failed(Trouble::Account { code: 49 })));
    let binds = slapd.count(READER_BINDS);
    for _ in 0..20 {
        assert!(login(&people, "alice", &password("alice")).await.is_err());
    }
    // A second may have passed since, after which it is tried once more.
    assert!(slapd.count(READER_BINDS) <= binds + 1, "the directory would lock it");
    let said = log.take();
    assert!(said.contains("the bind account is refused with result 49 (invalidCredentials)"), "{said}");
}

#[tokio::test]
async fn a_base_that_is_not_there_is_no_unknown_user() {
    let Some(slapd) = Slapd::start("a_base_that_is_not_there_is_no_unknown_user").await else { return };
    let people =
        directory(LdapOptions { base_dn: "ou=gone,dc=example,dc=org".to_owned(), ..slapd.options() });
    let failed = login(&people, "alice", &password("alice")).await;
    assert_eq!(failed, Err(Unreachable::Failed(Trouble::Search { code: 32 })));
}

#[tokio::test]
async fn many_logins_at_once_are_bounded_and_all_answered() {
    let Some(slapd) = Slapd::start("many_logins_at_once_are_bounded_and_all_answered").await else { return };
    // A password is checked over a connection of its own, so that checks are slow and searches are not.
    let pipe = Pipe::delaying(slapd.port, Duration::from_millis(100)).await;
    let port = pipe.address.port();
    let people = Arc::new(directory(LdapOptions { port, pool_size: 2, ..slapd.options() }));
    let logins = (0..40).map(|number| {
        let people = Arc::clone(&people);
        tokio::spawn(async move {
            let verdict = login(&people, "bob", &format!("wrong-{number}")).await;
            assert_eq!(verdict, Ok(Verdict::Wrong), "{number}");
        })
    });
    for login in logins.collect::<Vec<_>>() {
        login.await.unwrap();
    }
    // Two connections search and two check a password. A closed one may be seen a little later, but without a
    // bound all forty would be open.
    assert!(pipe.open_max() <= 12, "{}", pipe.open_max());
    assert!(pipe.opened() >= 40, "each password is checked over a connection of its own");
}

#[tokio::test]
async fn as_many_as_log_in_alike_are_asked_for_once() {
    let Some(slapd) = Slapd::start("as_many_as_log_in_alike_are_asked_for_once").await else { return };
    let people = Arc::new(directory(slapd.options()));
    let logins: Vec<_> = (0..40)
        .map(|_| {
            let people = Arc::clone(&people);
            tokio::spawn(async move { login(&people, "bob", &password("bob")).await })
        })
        .collect();
    for login in logins {
        assert_eq!(login.await.unwrap(), Ok(right(&[])));
    }
    assert_eq!((slapd.count("SRCH base"), slapd.count("BIND dn=\"uid=bob")), (1, 2), "a bind has two lines");
}

#[tokio::test]
async fn p11_no_secret_is_told() {
    let Some(mut slapd) = Slapd::start("p11_no_secret_is_told").await else { return };
    let (log, _listening) = Log::listen();
    let (alice, mut told) = (password("alice"), String::new());
    let people = directory(slapd.options());
    for (user, password) in [("alice", &*alice), ("alice", "planted-1"), ("nobody", "planted-2")] {
        told += &format!("{:?}", login(&people, user, password).await);
    }
    slapd.stop();
    for _ in 0..2 {
        let failed = login(&people, "alice", "planted-3").await;
        told += &format!("{failed:?} {}", failed.as_ref().unwrap_err());
    }
    told += &format!("{people:?} {:?} {}", slapd.options(), log.take());
    for secret in [&*alice, READER_PASSWORD, "planted"] {
        assert!(!told.contains(secret), "{secret} stands in {told}");
    }
    assert!(told.contains(READER) && told.contains("Unknown"), "{told}");
}
