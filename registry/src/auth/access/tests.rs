//! Goal: whoever asks is identified, let in or sent to log in, as the set-ups that people have
//! mean it. Method: a real htpasswd file, real headers, and tables over the identities.

mod kept;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::auth::error::CredentialsError;
use crate::auth::grant::{Delete, Overwrite, Pull, Push};
use crate::auth::htpasswd::PasswordHash;
use crate::auth::identity::Origin;
use crate::auth::options::{AccessControl, RepositoryPolicy, Rule};

struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    /// Makes an htpasswd file with `admin` and `eve`, whose passwords are their names doubled.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let line = |user: &str| format!("{user}:{}\n", bcrypt::hash(user.repeat(2), 4).unwrap());
        std::fs::write(folder.path().join("htpasswd"), line("admin") + &line("eve")).unwrap();
        Self { folder }
    }

    fn options(&self) -> Options {
        Options { htpasswd: Some(self.folder.path().join("htpasswd")), ..Options::default() }
    }

    /// Anonymous may pull, only `admin` may do the rest.
    fn public(&self) -> Options {
        let policy = RepositoryPolicy {
            policies: Vec::new(),
            default_policy: vec![Action::Read],
            anonymous_policy: vec![Action::Read],
        };
        let admin = Rule {
            users: vec!["admin".to_owned()],
            groups: Vec::new(),
            actions: vec![Action::Read, Action::Create, Action::Update, Action::Delete],
            conditions: Vec::new(),
        };
        let repositories = vec![("**".to_owned(), policy)];
        Options {
            access: Some(AccessControl { repositories, admin, ..AccessControl::default() }),
            ..self.options()
        }
    }
}

fn basic(user: &str, password: &str) -> Vec<u8> {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))).into_bytes()
}

fn account(user: &str) -> Identity {
    Identity::of(crate::auth::Account::new(user, Vec::new()))
}

fn app() -> RepositoryName {
    RepositoryName::parse("team/app").unwrap()
}

#[tokio::test]
async fn whoever_asks_is_identified() {
    let access = Access::new(&Fixture::new().options()).unwrap();
    for (header, expect) in [
        (None, Ok(Identity::ANONYMOUS)),
        (Some(basic("", "")), Ok(Identity::ANONYMOUS)),
        // The folder is gone with its fixture: the file was read in time, and is looked for now.
        (Some(basic("admin", "adminadmin")), Err(LoginError::Refused)),
        (Some(b"Bearer token".to_vec()), Err(LoginError::UnsupportedScheme)),
        (Some(b"Basic ?".to_vec()), Err(LoginError::Malformed(CredentialsError::Base64))),
    ] {
        assert_eq!(access.identify(header.as_deref()).await, expect);
    }
    let fixture = Fixture::new();
    let access = Access::new(&fixture.options()).unwrap();
    for (user, password, expect) in [
        ("admin", "adminadmin", Ok(account("admin"))),
        ("eve", "eveeve", Ok(account("eve"))),
        ("admin", "eveeve", Err(LoginError::Refused)),
        ("admin", "", Err(LoginError::Refused)),
        ("", "adminadmin", Err(LoginError::Refused)),
        ("Admin", "adminadmin", Err(LoginError::Refused)),
        ("mallory", "adminadmin", Err(LoginError::Refused)),
    ] {
        assert_eq!(access.identify(Some(&basic(user, password))).await, expect, "{user}");
    }
}

#[tokio::test]
async fn without_accounts_everybody_is_anonymous() {
    let access = Access::new(&Options::default()).unwrap();
    for header in [None, Some(&b"Basic ?"[..]), Some(b"Bearer token"), Some(&basic("admin", "admin"))] {
        assert_eq!(access.identify(header).await, Ok(Identity::ANONYMOUS));
    }
    assert_eq!(access.challenge(&Need::default()), None);
    assert_eq!(access.base(&Identity::ANONYMOUS), Ok(()));
    assert!(access.grant::<Delete>(&Identity::ANONYMOUS, &app()).is_ok());
}

#[tokio::test]
async fn an_absent_file_refuses_until_it_is_there() {
    let fixture = Fixture::new();
    let path: PathBuf = fixture.folder.path().join("htpasswd");
    let away = fixture.folder.path().join("away");
    std::fs::rename(&path, &away).unwrap();
    let access = Access::new(&fixture.public()).unwrap();
    assert_eq!(access.identify(Some(&basic("admin", "adminadmin"))).await, Err(LoginError::Refused));
    assert_eq!(access.identify(None).await, Ok(Identity::ANONYMOUS));
    assert!(access.grant::<Pull>(&Identity::ANONYMOUS, &app()).is_ok());
    assert_eq!(
        access.grant::<Pull>(&Identity::ANONYMOUS, &app()).map(|grant| grant.name().clone()),
        Ok(app())
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_login_is_held_back() {
    let fixture = Fixture::new();
    let fail_delay = Duration::from_secs(5);
    let access = Access::new(&Options { fail_delay, ..fixture.options() }).unwrap();
    let took = async |header: Vec<u8>| {
        let start = Instant::now();
        let ok = access.identify(Some(&header)).await.is_ok();
        (ok, start.elapsed() >= fail_delay)
    };
    assert_eq!(took(basic("admin", "adminadmin")).await, (true, false));
    assert_eq!(took(basic("admin", "wrong")).await, (false, true));
    assert_eq!(took(basic("mallory", "wrong")).await, (false, true));
    assert_eq!(took(b"Basic ?".to_vec()).await, (false, false));
}

struct Counting(Arc<AtomicUsize>);

impl Check for Counting {
    fn check(&self, password: &[u8], hash: &PasswordHash) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst);
        hash.verify(password)
    }
}

/// Takes no password, and looks at none until it is opened.
#[derive(Clone, Default)]
struct Gated(Arc<AtomicBool>);

impl Check for Gated {
    fn check(&self, _: &[u8], _: &PasswordHash) -> bool {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while !self.0.load(Ordering::SeqCst) {
            assert!(std::time::Instant::now() < deadline, "nobody opened the gate");
            std::thread::yield_now();
        }
        false
    }
}

/// Else a guess would cost nothing whose sender leaves before its verdict, and sends it again to learn it.
#[tokio::test]
async fn a_login_that_nobody_waits_for_counts_all_the_same() {
    let fixture = Fixture::new();
    let options = Options { failures_max: 3, failure_window: Duration::from_secs(3600), ..fixture.options() };
    let gated = Gated::default();
    let access = Access::with_check(&options, gated.clone()).unwrap();
    let from = Source::of(Some([192, 0, 2, 1].into()));
    for password in ["one", "two", "three"] {
        let header = basic("eve", password);
        let guess = access.identify_from(from, Some(&header));
        assert!(tokio::time::timeout(Duration::from_millis(1), guess).await.is_err(), "he leaves");
    }
    gated.0.store(true, Ordering::SeqCst);
    let (backoff, next) = (access.backoff.as_ref().unwrap(), Credentials::of_form("eve", "four").unwrap());
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while backoff.admit(from, &next, Instant::now()).is_ok() {
        assert!(std::time::Instant::now() < deadline, "three have failed");
        tokio::task::yield_now().await;
    }
}

/// What vouched for somebody is what his refresh token is of, whatever another place says meanwhile.
#[tokio::test]
async fn a_password_of_the_file_buys_no_token_of_the_directory() {
    let fixture = Fixture::new();
    let access = Access::new(&fixture.options()).unwrap();
    let logins = access.logins.as_ref().unwrap();
    let eve = logins.verify(Credentials::of_form("eve", "eveeve").unwrap()).await.unwrap();
    let of_file = logins.renewal(&eve).await.unwrap();
    assert_eq!(logins.renew(&of_file).await.unwrap(), eve);
    let of_directory = Account::of(Origin::Directory, "eve", Vec::new());
    assert_ne!(logins.renewal(&of_directory).await.unwrap(), of_file);
    assert_eq!(logins.renewal(&Account::new("eve", Vec::new())).await, None, "a token vouches for nobody");
    assert_eq!(logins.renewal(&Account::certified("eve")).await, None);
}

#[tokio::test]
async fn a_pull_of_a_hundred_layers_costs_one_verification() {
    let fixture = Fixture::new();
    let checks = Arc::new(AtomicUsize::new(0));
    let access = Access::with_check(&fixture.options(), Counting(Arc::clone(&checks))).unwrap();
    for _ in 0..100 {
        assert_eq!(access.identify(Some(&basic("eve", "eveeve"))).await, Ok(account("eve")));
    }
    assert_eq!(checks.load(Ordering::SeqCst), 1);
}

/// The everyday case: anonymous may pull, only `admin` may delete; without a password a DELETE is
/// told to log in, with the wrong account it is told no.
#[test]
fn refusals_tell_who_should_log_in() {
    let fixture = Fixture::new();
    let access = Access::new(&fixture.public()).unwrap();
    for (identity, expect) in [
        (Identity::ANONYMOUS, Some(Refusal::Unauthenticated)),
        (account("eve"), Some(Refusal::Denied)),
        (account("admin"), None),
    ] {
        assert!(access.may_read(&identity, &app()));
        assert!(access.grant::<Pull>(&identity, &app()).is_ok());
        assert_eq!(access.grant::<Push>(&identity, &app()).err(), expect, "{identity}");
        assert_eq!(access.grant::<Delete>(&identity, &app()).err(), expect, "{identity}");
        assert_eq!(access.base(&identity), Ok(()));
    }
    assert_eq!(access.grant::<Push>(&account("admin"), &app()).unwrap().overwrite(), Overwrite::Allowed);
}

#[test]
fn without_access_control_only_accounts_get_in() {
    let fixture = Fixture::new();
    let access = Access::new(&fixture.options()).unwrap();
    assert!(!access.may_read(&Identity::ANONYMOUS, &app()));
    assert_eq!(access.grant::<Pull>(&Identity::ANONYMOUS, &app()).err(), Some(Refusal::Unauthenticated));
    assert_eq!(access.base(&Identity::ANONYMOUS), Err(Refusal::Unauthenticated));
    assert_eq!(access.base(&account("eve")), Ok(()));
    assert!(access.grant::<Delete>(&account("eve"), &app()).is_ok());
}

/// Where nobody can log in, no answer asks for it.
#[test]
fn access_control_without_accounts_denies() {
    let access = Some(AccessControl::default());
    let access = Access::new(&Options { access, ..Options::default() }).unwrap();
    assert_eq!(access.grant::<Pull>(&Identity::ANONYMOUS, &app()).err(), Some(Refusal::Denied));
    assert_eq!(access.base(&Identity::ANONYMOUS), Ok(()));
}

#[test]
fn challenges_quote_the_realm() {
    let fixture = Fixture::new();
    for (realm, expect) in [
        ("wharfinger", Some(r#"Basic realm="wharfinger""#)),
        (r#"say "hi" \o/"#, Some(r#"Basic realm="say \"hi\" \\o/""#)),
        ("", Some(r#"Basic realm="""#)),
        ("a\r\nb", None),
        ("é", None),
    ] {
        let access = Access::new(&Options { realm: realm.to_owned(), ..fixture.options() });
        match expect {
            Some(_) => assert_eq!(access.unwrap().challenge(&Need::default()).as_deref(), expect),
            None => assert!(matches!(access.unwrap_err(), AccessError::Realm { realm: it } if it == realm)),
        }
    }
}

#[test]
fn faulty_options_are_errors() {
    let fixture = Fixture::new();
    let access = Access::new(&Options { verifications_max: 0, ..fixture.options() });
    assert!(matches!(access.unwrap_err(), AccessError::NoVerifications));
    let repositories = vec![("[".to_owned(), RepositoryPolicy::default())];
    let access = Some(AccessControl { repositories, ..AccessControl::default() });
    let access = Access::new(&Options { access, ..fixture.options() });
    assert!(matches!(access.unwrap_err(), AccessError::Policy(_)));
}

#[tokio::test]
async fn p11_no_secret_in_debug() {
    let fixture = Fixture::new();
    let access = Access::new(&fixture.options()).unwrap();
    access.identify(Some(&basic("eve", "eveeve"))).await.unwrap();
    let text = format!("{access:?}");
    assert!(text.contains("eve") && !text.contains("eveeve") && !text.contains("$2"), "{text}");
}
