//! Goal: the work of a failed login does not depend on who exists, verdicts are bounded and asked
//! for once, and only successes are remembered. Method: the seam counts the rounds that real
//! hashing would take, and can hold verifications back until the test lets them go; no clock is
//! looked at.

use std::sync::atomic::AtomicUsize;
use std::sync::{Condvar, Mutex};

use super::*;
use crate::auth::account_file::AccountFile;
use crate::auth::verdicts::{PENDING_MAX, WAIT_MAX};

/// Takes a password for right when it is `right`, and counts.
#[derive(Default)]
struct Counting {
    checks: AtomicUsize,
    rounds: AtomicU64,
    under_way: AtomicUsize,
    under_way_most: AtomicUsize,
    gate: Gate,
}

#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn set_closed(&self, closed: bool) {
        *self.closed.lock().unwrap() = closed;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let deadline = Duration::from_secs(60);
        let closed = self.closed.lock().unwrap();
        let (_open, waited) = self.opened.wait_timeout_while(closed, deadline, |closed| *closed).unwrap();
        assert!(!waited.timed_out(), "nobody opened the gate");
    }
}

impl Check for Arc<Counting> {
    fn check(&self, password: &[u8], hash: &PasswordHash) -> bool {
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.under_way_most.fetch_max(under_way, Ordering::SeqCst);
        self.checks.fetch_add(1, Ordering::SeqCst);
        self.rounds.fetch_add(1 << hash.cost(), Ordering::SeqCst);
        self.gate.pass();
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        password == b"right"
    }
}

impl Counting {
    fn checks(&self) -> usize {
        self.checks.load(Ordering::SeqCst)
    }
}

fn credentials(user: &str, password: &str) -> Credentials {
    use base64::Engine as _;
    let token = base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}"));
    Credentials::parse(format!("Basic {token}").as_bytes()).unwrap()
}

fn line(user: &str, cost: u32) -> String {
    format!("{user}:$2y${cost:02}${}\n", ".".repeat(53))
}

/// Reads an edition of a file with these lines.
fn edition(lines: &str) -> Arc<Edition> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    std::fs::write(&path, lines).unwrap();
    AccountFile::open(path).edition()
}

fn verifier(limits: &Limits) -> (Arc<Counting>, Arc<Verifier>) {
    let counting = Arc::new(Counting::default());
    (Arc::clone(&counting), Arc::new(Verifier::new(Arc::clone(&counting), limits)))
}

const LIMITS: Limits =
    Limits { at_once_max: 2, remembered_max: 100, remembered_for: Duration::from_secs(60 * 60) };

/// Waits for what another thread does, and gives up loudly.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[test]
fn a_failed_login_takes_the_same_work_whoever_exists() {
    let edition = edition(&(line("cheap", 4) + &line("middle", 7) + &line("costly", 9) + "broken:plain\n"));
    for user in ["cheap", "middle", "costly", "broken", "unknown", ""] {
        let counting = Arc::new(Counting::default());
        assert!(!verify(&Arc::clone(&counting), edition.users(), &credentials(user, "wrong")));
        assert_eq!(counting.rounds.load(Ordering::SeqCst), 1 << 9, "{user}");
    }
}

#[test]
fn a_right_password_of_an_unknown_user_is_wrong() {
    let edition = edition(&(line("ada", 4) + "broken:plain\n"));
    let counting = Arc::new(Counting::default());
    for (user, expect) in [("ada", true), ("broken", false), ("unknown", false), ("", false)] {
        assert_eq!(verify(&counting, edition.users(), &credentials(user, "right")), expect, "{user}");
    }
}

#[test]
fn without_users_there_is_nothing_to_hide() {
    let counting = Arc::new(Counting::default());
    assert!(!verify(&counting, Edition::default().users(), &credentials("ada", "right")));
    assert_eq!(counting.checks(), 0);
}

#[tokio::test]
async fn successes_are_remembered_and_failures_are_not() {
    let (counting, verifier) = verifier(&LIMITS);
    let edition = edition(&(line("ada", 4) + &line("ad", 4)));
    for (user, password, expect, checks) in [
        ("ada", "right", true, 1),
        ("ada", "right", true, 1),
        ("ada", "wrong", false, 2),
        ("ada", "wrong", false, 3),
        // The same letters, cut at another place, are other credentials.
        ("ad", "aright", false, 4),
        ("ad", "right", true, 5),
        ("ada", "right", true, 5),
    ] {
        assert_eq!(verifier.verify(&edition, credentials(user, password)).await, Ok(expect));
        assert_eq!(counting.checks(), checks, "{user} {password}");
    }
    assert!(verifier.verdicts.pending() == 0);
}

#[tokio::test]
async fn a_changed_file_forgets() {
    let (counting, verifier) = verifier(&LIMITS);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    std::fs::write(&path, line("ada", 4)).unwrap();
    let file = AccountFile::open(path.clone());
    let old = file.edition();
    assert_eq!(verifier.verify(&old, credentials("ada", "right")).await, Ok(true));

    std::fs::write(&path, line("somebody-else", 4)).unwrap();
    file.look();
    let new = file.edition();
    assert_eq!(verifier.verify(&new, credentials("ada", "right")).await, Ok(false));
    // Somebody who still holds the old edition may fill the cache again, for nobody but himself.
    assert_eq!(verifier.verify(&old, credentials("ada", "right")).await, Ok(true));
    assert_eq!(verifier.verify(&new, credentials("ada", "right")).await, Ok(false));
    assert_eq!(counting.checks(), 4);
}

#[tokio::test]
async fn limits_without_end_are_taken() {
    let limits = Limits { at_once_max: usize::MAX, remembered_max: u64::MAX, remembered_for: Duration::MAX };
    let (counting, verifier) = verifier(&limits);
    let edition = edition(&line("ada", 4));
    for _ in 0..2 {
        assert_eq!(verifier.verify(&edition, credentials("ada", "right")).await, Ok(true));
    }
    assert_eq!(counting.checks(), 1);
}

#[tokio::test]
async fn a_busy_pull_costs_one_verification() {
    for password in ["right", "wrong"] {
        let (counting, verifier) = verifier(&LIMITS);
        let edition = edition(&line("ada", 4));
        counting.gate.set_closed(true);
        let login = || {
            let (verifier, edition) = (Arc::clone(&verifier), Arc::clone(&edition));
            tokio::spawn(async move { verifier.verify(&edition, credentials("ada", password)).await })
        };
        let logins: Vec<_> = (0..100).map(|_| login()).collect();
        until("the verification began", || counting.checks() == 1).await;
        let late = login();
        counting.gate.set_closed(false);
        for login in logins.into_iter().chain([late]) {
            // The late one may come after the verdict, which of a failure is not remembered.
            assert_eq!(login.await.unwrap(), Ok(password == "right"));
        }
        assert!(counting.checks() <= if password == "right" { 1 } else { 2 });
    }
}

#[tokio::test]
async fn p6_verifications_at_once_and_pending_are_bounded() {
    let (counting, verifier) = verifier(&LIMITS);
    let edition = edition(&line("ada", 4));
    counting.gate.set_closed(true);
    let login = |password: String| {
        let (verifier, edition) = (Arc::clone(&verifier), Arc::clone(&edition));
        tokio::spawn(async move { verifier.verify(&edition, credentials("ada", &password)).await })
    };
    let logins: Vec<_> = (0..PENDING_MAX).map(|at| login(format!("wrong {at}"))).collect();
    until("all are pending", || verifier.verdicts.pending() == PENDING_MAX && counting.checks() == 2).await;

    let one_more = verifier.verify(&edition, credentials("ada", "right")).await;
    assert_eq!(one_more, Err(LoginError::Overloaded));
    let joined = login("wrong 7".to_owned());

    counting.gate.set_closed(false);
    for login in logins.into_iter().chain([joined]) {
        assert_eq!(login.await.unwrap(), Ok(false));
    }
    assert_eq!(counting.under_way_most.load(Ordering::SeqCst), 2);
    until("all are struck off", || verifier.verdicts.pending() == 0).await;
    assert_eq!(verifier.verify(&edition, credentials("ada", "right")).await, Ok(true));
}

#[tokio::test]
async fn a_client_that_leaves_neither_stops_nor_frees_its_verification() {
    let (counting, verifier) = verifier(&Limits { at_once_max: 1, ..LIMITS });
    let edition = edition(&line("ada", 4));
    counting.gate.set_closed(true);
    let login = {
        let (verifier, edition) = (Arc::clone(&verifier), Arc::clone(&edition));
        tokio::spawn(async move { verifier.verify(&edition, credentials("ada", "right")).await })
    };
    until("the verification began", || counting.checks() == 1).await;
    login.abort();
    assert!(login.await.unwrap_err().is_cancelled());
    assert_eq!(verifier.permits.available_permits(), 0);
    counting.gate.set_closed(false);
    until("it ended", || verifier.verdicts.pending() == 0).await;
    assert_eq!(verifier.verify(&edition, credentials("ada", "right")).await, Ok(true));
    assert_eq!(counting.checks(), 1);
}

#[tokio::test(start_paused = true)]
async fn p6_a_login_waits_only_so_long() {
    let (counting, verifier) = verifier(&Limits { at_once_max: 0, ..LIMITS });
    let start = tokio::time::Instant::now();
    let verdict = verifier.verify(&edition(&line("ada", 4)), credentials("ada", "right")).await;
    assert_eq!(verdict, Err(LoginError::Overloaded));
    assert!(start.elapsed() >= WAIT_MAX);
    assert_eq!(counting.checks(), 0);
}

/// A check that panics, as a bug would.
struct Panicking;

impl Check for Panicking {
    fn check(&self, _password: &[u8], _hash: &PasswordHash) -> bool {
        panic!("on purpose");
    }
}

#[tokio::test]
async fn a_verification_that_dies_lets_nobody_in_and_blocks_nobody() {
    let verifier = Verifier::new(Panicking, &Limits { at_once_max: 1, ..LIMITS });
    let edition = edition(&line("ada", 4));
    for _ in 0..3 {
        let verdict = verifier.verify(&edition, credentials("ada", "right")).await;
        assert_eq!(verdict, Err(LoginError::Overloaded));
    }
    assert!(verifier.verdicts.pending() == 0);
    assert_eq!(verifier.permits.available_permits(), 1);
}

#[tokio::test]
async fn real_hashes_are_verified() {
    let verifier = Verifier::new(Bcrypt, &LIMITS);
    let edition = edition(&format!("ada:{}\n{}", bcrypt::hash("hunter2", 4).unwrap(), line("bob", 6)));
    for (user, password, expect) in [
        ("ada", "hunter2", true),
        ("ada", "hunter", false),
        ("bob", "hunter2", false),
        ("eve", "hunter2", false),
    ] {
        assert_eq!(
            verifier.verify(&edition, credentials(user, password)).await,
            Ok(expect),
            "{user} {password}"
        );
    }
}

#[test]
fn p11_no_secret_in_debug() {
    let (_, verifier) = verifier(&LIMITS);
    assert_eq!(format!("{verifier:?}"), "Verifier { verdicts: Verdicts { pending: 0, .. }, .. }");
}
