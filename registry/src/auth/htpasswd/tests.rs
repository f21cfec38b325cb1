//! Goal: a file gives exactly the accounts that Apache's `htpasswd -B` put into it, and every line
//! that gives none is named without its hash. Method: tables, published vectors of bcrypt, and a
//! property over arbitrary bytes.

use proptest::prelude::*;

use super::*;

/// The password `U*U`, from the vectors that came with crypt_blowfish.
const HASH: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
/// The password `U*U*U`, from the same place.
const OTHER_HASH: &str = "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a";

fn users(users: &Users) -> Vec<&str> {
    let mut users: Vec<&str> = users.hashes.keys().map(String::as_str).collect();
    users.sort_unstable();
    users
}

fn with_cost(cost: u32) -> String {
    HASH.replace("$05$", &format!("${cost:02}$"))
}

#[test]
fn lines_are_read_as_apache_reads_them() {
    let file = format!(
        "# users\n\nada:{HASH}\r\n  bob:{OTHER_HASH}:a comment: with colons  \n \t\n\t# more\n#eve:{HASH}\ncleo:{HASH}"
    );
    let (found, ignored) = parse(file.as_bytes());
    assert_eq!(users(&found), ["ada", "bob", "cleo"]);
    assert_eq!(ignored, []);
    assert_eq!((found.len(), found.cost_max()), (3, 5));
    assert!(found.hash("ada").unwrap().verify(b"U*U"));
    assert!(found.hash("bob").unwrap().verify(b"U*U*U"));
    assert_eq!(found.hash("Ada"), None);
    assert_eq!(parse(b"").0.cost_max(), 0);
}

#[test]
fn every_version_of_bcrypt_is_verified() {
    for version in ["$2a$", "$2b$", "$2x$", "$2y$"] {
        let hash = PasswordHash::parse(HASH.replace("$2a$", version).as_bytes()).unwrap();
        assert!(hash.verify(b"U*U"), "{version}");
        assert!(!hash.verify(b"U*V"), "{version}");
        assert!(!hash.verify(b""), "{version}");
    }
}

/// Made by `htpasswd -nbB ada hunter2` and `htpasswd -nbB -C 6 bob` with 80 times `x`, of which
/// `htpasswd` hashes the first 72.
#[test]
fn what_htpasswd_made_is_verified() {
    let file = "ada:$2y$05$xoELInqcrJo4rk8rN2lCueHmbmxHtnSk0YstdYJxbMGPez0QyacbS\n\n\
                bob:$2y$06$iLnYv.h8QIa3VkWISSp2DegsDYyV.HN/tQ.ve78p1wzxwtF04IGS6\n\n";
    let (found, ignored) = parse(file.as_bytes());
    assert_eq!((found.cost_max(), ignored.len()), (6, 0));
    assert!(found.hash("ada").unwrap().verify(b"hunter2"));
    assert!(!found.hash("ada").unwrap().verify(b"hunter3"));
    for (len, expect) in [(71, false), (72, true), (73, true), (80, true), (8_000, true)] {
        assert_eq!(found.hash("bob").unwrap().verify("x".repeat(len).as_bytes()), expect, "{len}");
    }
}

#[test]
fn faulty_lines_are_named() {
    for (line, user, fault) in [
        ("ada:$apr1$abcdefgh$012345678901234567890!".to_owned(), Some("ada"), LineFault::Malformed),
        ("ada:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=".to_owned(), Some("ada"), LineFault::Scheme),
        ("ada:$6$abcdefgh$0123456789012345678901".to_owned(), Some("ada"), LineFault::Malformed),
        (
            "ada:$5$rounds=99999999$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5".to_owned(),
            Some("ada"),
            LineFault::Cost,
        ),
        (
            "ada:$2$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".to_owned(),
            Some("ada"),
            LineFault::Scheme,
        ),
        ("ada:plain".to_owned(), Some("ada"), LineFault::Scheme),
        ("ada:".to_owned(), Some("ada"), LineFault::Scheme),
        (format!("ada: {HASH}"), Some("ada"), LineFault::Scheme),
        (format!("ada:{}", &HASH[..59]), Some("ada"), LineFault::Malformed),
        (format!("ada:{HASH}x"), Some("ada"), LineFault::Malformed),
        (format!("ada:{}é", &HASH[..58]), Some("ada"), LineFault::Malformed),
        (format!("ada:{}", with_cost(3)), Some("ada"), LineFault::Cost),
        (format!("ada:{}", with_cost(18)), Some("ada"), LineFault::Cost),
        (format!("ada:{}", with_cost(31)), Some("ada"), LineFault::Cost),
        (format!(":{HASH}"), None, LineFault::User),
        (format!("a\u{7}da:{HASH}"), None, LineFault::User),
        (HASH.to_owned(), None, LineFault::NoColon),
    ] {
        let (found, ignored) = parse(format!("\nbob:{HASH}\n{line}\n").as_bytes());
        assert_eq!(users(&found), ["bob"], "{line}");
        assert_eq!(ignored, [IgnoredLine { number: 3, user: user.map(str::to_owned), fault }], "{line}");
    }
    assert_eq!(parse(b"\xff:x").1[0].fault, LineFault::User);
    for cost in [COST_MIN, COST_MAX] {
        assert_eq!(users(&parse(format!("ada:{}", with_cost(cost)).as_bytes()).0), ["ada"], "{cost}");
    }
}

#[test]
fn the_first_line_of_a_user_counts_whatever_is_in_it() {
    let (found, ignored) = parse(format!("ada:{HASH}\nada:{OTHER_HASH}\nbob:plain\nbob:{HASH}\n").as_bytes());
    assert_eq!(users(&found), ["ada"]);
    assert!(found.hash("ada").unwrap().verify(b"U*U"));
    let faults: Vec<_> = ignored.iter().map(|line| (line.number, line.fault)).collect();
    assert_eq!(faults, [(2, LineFault::Repeated), (3, LineFault::Scheme), (4, LineFault::Repeated)]);
}

#[test]
fn dummies_can_be_verified() {
    for cost in [COST_MD5, COST_MIN, COST_MIN + 1, COST_MAX] {
        let dummy = PasswordHash::dummy(cost);
        assert_eq!(PasswordHash::parse(dummy.text.as_bytes()), Ok(dummy));
    }
    for cost in [COST_MD5, COST_MIN] {
        assert!(!PasswordHash::dummy(cost).verify(b"anything"));
    }
}

#[test]
fn p11_no_hash_in_debug() {
    let (found, ignored) = parse(format!("ada:{HASH}\nbob:$apr1$secret\n{OTHER_HASH}\n").as_bytes());
    let text = format!("{found:?} {ignored:?}");
    assert!(text.contains("ada") && text.contains("bob"), "{text}");
    for secret in ["E5YPO9", "CCCC", "secret", "XXXX"] {
        assert!(!text.contains(secret), "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let lines = bytes.split(|byte| *byte == b'\n').count();
        let (found, ignored) = parse(&bytes);
        prop_assert!(found.len() + ignored.len() <= lines);
    }

    #[test]
    fn any_hash_is_taken_or_refused(hash in "\\$2[abxy]\\$[0-9+]{2}\\$[./A-Za-z0-9]{53}") {
        if let Ok(hash) = PasswordHash::parse(hash.as_bytes()) {
            prop_assert!((COST_MIN..=COST_MAX).contains(&hash.cost()));
        }
    }
}
