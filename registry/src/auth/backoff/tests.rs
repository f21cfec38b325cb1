//! Goal: guessing gets slow and stays so, whoever is right goes on, and what is remembered is bounded. Method:
//! moments that are made up, and tables of who fails and who comes next.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn backoff() -> Backoff {
    Backoff::new(10, MINUTE).unwrap()
}

fn source(text: &str) -> Source {
    Source::of(Some(text.parse().unwrap()))
}

fn credentials(user: &str, password: &str) -> Credentials {
    Credentials::of_form(user, password).unwrap()
}

/// Tries once, and returns how long it had to wait instead.
fn try_once(backoff: &Backoff, from: Source, user: &str, password: &str, now: Instant) -> Option<Duration> {
    match backoff.admit(from, &credentials(user, password), now) {
        Err(wait) => Some(wait),
        Ok(attempt) if password == "right" => {
            backoff.succeeded(&attempt, now);
            None
        }
        Ok(attempt) => {
            backoff.failed(&attempt, now);
            None
        }
    }
}

/// Fails until it has to wait, and returns how often that was.
fn fail(backoff: &Backoff, from: Source, user: &str, now: Instant) -> usize {
    (0..1000).take_while(|_| try_once(backoff, from, user, "wrong", now).is_none()).count()
}

#[test]
fn waits_double_up_to_a_minute() {
    let (backoff, from, mut now) = (backoff(), source("192.0.2.1"), Instant::now());
    assert_eq!(fail(&backoff, from, "ada", now), 10);
    for expect in [1, 2, 4, 8, 16, 32, 60, 60] {
        let wait = try_once(&backoff, from, "ada", "wrong", now).unwrap();
        assert_eq!(wait, Duration::from_secs(expect));
        // Those that come while it is held are not counted, and put nothing off.
        assert_eq!(try_once(&backoff, from, "ada", "wrong", now + wait / 2), Some(wait / 2));
        now += wait;
        assert_eq!(try_once(&backoff, from, "ada", "wrong", now), None, "one is let through");
    }
    assert!(try_once(&backoff, from, "ada", "wrong", now).is_some());
    // A minute after the last wait everything is forgiven.
    assert_eq!(fail(&backoff, from, "ada", now + 2 * MINUTE), 10);
}

/// A directory finds the same user by each of them.
#[test]
fn spellings_of_a_name_are_one_user() {
    let (backoff, from, now) = (backoff(), source("192.0.2.1"), Instant::now());
    for spelling in ["ada", "Ada", "ADA", " ada", "ada "].repeat(2) {
        assert_eq!(try_once(&backoff, from, spelling, "wrong", now), None, "{spelling:?}");
    }
    for spelling in ["ada", "aDa", "  ada"] {
        assert!(try_once(&backoff, from, spelling, "wrong", now).is_some(), "{spelling:?}");
    }
    assert_eq!(try_once(&backoff, from, "ad a", "wrong", now), None, "another");
}

#[test]
fn failures_that_are_far_apart_are_not_counted_together() {
    let (backoff, from, mut now) = (backoff(), source("192.0.2.1"), Instant::now());
    for _ in 0..100 {
        assert_eq!(try_once(&backoff, from, "ada", "wrong", now), None);
        now += Duration::from_secs(7);
    }
}

#[test]
fn others_are_not_held() {
    let (backoff, from, now) = (backoff(), source("192.0.2.1"), Instant::now());
    assert_eq!(fail(&backoff, from, "ada", now), 10);
    assert_eq!(try_once(&backoff, from, "bob", "right", now), None, "another user of the address");
    assert_eq!(try_once(&backoff, source("192.0.2.2"), "ada", "right", now), None, "the user elsewhere");
    assert!(try_once(&backoff, from, "ada", "right", now).is_some(), "nobody knows yet that it is right");
}

#[test]
fn who_is_known_goes_on() {
    let (backoff, from, mut now) = (backoff(), source("192.0.2.1"), Instant::now());
    assert_eq!(try_once(&backoff, from, "ada", "right", now), None);
    for _ in 0..20 {
        fail(&backoff, from, "ada", now);
        for user in 0..20 {
            try_once(&backoff, from, &format!("user {user}"), "wrong", now);
        }
        assert_eq!(try_once(&backoff, from, "ada", "right", now), None);
        // And he does not open the door for his neighbour.
        assert!(try_once(&backoff, from, "ada", "wrong", now).is_some());
        now += Duration::from_secs(1);
    }
    // What is not right any more is not known any more.
    let attempt = backoff.admit(from, &credentials("ada", "right"), now).unwrap();
    backoff.failed(&attempt, now);
    assert!(backoff.admit(from, &credentials("ada", "right"), now).is_err());
    assert!(backoff.admit(source("192.0.2.2"), &credentials("ada", "right"), now).is_ok());
}

#[test]
fn many_users_hold_their_address() {
    let (backoff, from, now) = (backoff(), source("2001:db8::1"), Instant::now());
    // Each often enough to be seen, and none so often that it would be held.
    for user in (0..9).chain(0..9).chain(0..10) {
        assert_eq!(try_once(&backoff, from, &format!("user {user}"), "wrong", now), None);
    }
    assert!(
        try_once(&backoff, source("2001:db8::ffff"), "ada", "right", now).is_some(),
        "of the same network"
    );
    assert_eq!(try_once(&backoff, source("2001:db8:0:1::1"), "ada", "right", now), None);
    let later = now + Duration::from_secs(1);
    assert_eq!(try_once(&backoff, from, "ada", "wrong", later), None);
    assert_eq!(try_once(&backoff, from, "bob", "wrong", later), Some(Duration::from_secs(2)));
}

#[test]
fn newcomers_who_are_right_do_not_wait_for_each_other() {
    let (backoff, from, now) = (backoff(), source("192.0.2.1"), Instant::now());
    for user in 0..10 {
        try_once(&backoff, from, &format!("user {user}"), "wrong", now);
    }
    assert!(try_once(&backoff, from, "new", "right", now).is_some());
    let mut later = now + Duration::from_secs(1);
    for user in 0..100 {
        assert_eq!(try_once(&backoff, from, &format!("new {user}"), "right", later), None, "{user}");
        later += Duration::from_secs(1);
    }
    // Their coming has put nothing off: a minute later all is forgiven.
    assert_eq!(try_once(&backoff, from, "ada", "wrong", later), None);
    assert_eq!(try_once(&backoff, from, "bob", "right", later), None);
}

#[test]
fn a_success_forgives_its_user_and_nobody_else() {
    let (backoff, from, now) = (backoff(), source("192.0.2.1"), Instant::now());
    for _ in 0..9 {
        try_once(&backoff, from, "ada", "wrong", now);
    }
    assert_eq!(try_once(&backoff, from, "ada", "right", now), None);
    assert_eq!(fail(&backoff, from, "ada", now), 10);
    // With an account of one's own, a list of names is tried as slowly as without.
    let from = source("192.0.2.2");
    let guess = |user: &i32| try_once(&backoff, from, &format!("user {user}"), "wrong", now).is_none();
    let guessed = (0..100)
        .take_while(|user| try_once(&backoff, from, "mallory", "right", now).is_none() && guess(user));
    assert_eq!(guessed.count(), 10);
}

#[test]
fn many_at_once_are_one_guess() {
    let (backoff, from, now) = (backoff(), source("192.0.2.1"), Instant::now());
    fail(&backoff, from, "ada", now);
    let later = now + Duration::from_secs(1);
    let admitted =
        (0..50).filter(|it| backoff.admit(from, &credentials("ada", &it.to_string()), later).is_ok());
    assert_eq!(admitted.count(), 1);
}

#[test]
fn nothing_is_counted_where_it_is_off() {
    assert!(Backoff::new(0, MINUTE).is_none() && Backoff::new(10, Duration::ZERO).is_none());
}

#[test]
fn what_is_remembered_is_bounded() {
    let (backoff, now) = (backoff(), Instant::now());
    for number in 0..100_000_u32 {
        let from = Source::of(Some(std::net::Ipv4Addr::from_bits(number).into()));
        try_once(&backoff, from, "ada", "wrong", now);
    }
    backoff.failing.run_pending_tasks();
    assert!(backoff.failing.entry_count() <= FAILING_MAX, "{}", backoff.failing.entry_count());
}

#[test]
fn p11_no_password_in_debug() {
    let backoff = backoff();
    let attempt = backoff.admit(Source::UNKNOWN, &credentials("ada", "hunter2"), Instant::now()).unwrap();
    let text = format!("{backoff:?} {attempt:?}");
    assert!(!text.contains("hunter"), "{text}");
}
