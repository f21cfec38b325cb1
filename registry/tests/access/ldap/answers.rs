//! Goal: right, wrong and unknown are told apart as the directory has it, whatever a name is made of, and groups
//! are the directory's. Method: one directory, people of every kind, and its own log of what it was asked.

use std::time::Duration;

use wharfinger::auth::ldap::Verdict;
use wharfinger::auth::options::ldap::{AccountSource, Depth, LdapOptions};

use super::{directory, login, right, secret, until};
use crate::support::log::Log;
use crate::support::slapd::{Anonymous, PEOPLE, READER_BINDS, Slapd, password};

const ALICE: &[&str] = &[
    "builders",
    "cn=builders,ou=groups,dc=example,dc=org",
    "cn=keepers,ou=groups,dc=example,dc=org",
    "keepers",
];

#[tokio::test]
async fn right_wrong_and_unknown_are_told_apart() {
    let Some(slapd) = Slapd::start("right_wrong_and_unknown_are_told_apart").await else { return };
    let people = directory(slapd.options());
    assert_eq!(login(&people, "alice", &password("alice")).await, Ok(right(ALICE)));
    assert_eq!(login(&people, "bob", &password("bob")).await, Ok(right(&[])));
    for wrong in ["wrong", "pass-Alice", "pass-alice ", &password("bob")] {
        assert_eq!(login(&people, "alice", wrong).await, Ok(Verdict::Wrong), "{wrong}");
    }
    assert_eq!(login(&people, "nobody", &password("alice")).await, Ok(Verdict::Unknown));
    assert_eq!(login(&people, "", "x").await, Ok(Verdict::Unknown));
    let words: Vec<String> = ALICE.iter().map(|group| (*group).to_owned()).collect();
    assert_eq!(people.find("alice").await.unwrap().unwrap().groups, words);
    assert_eq!(people.find("bob").await.unwrap().unwrap().groups, Vec::<String>::new());
    assert_eq!(people.find("nobody").await, Ok(None));
    let without = LdapOptions { group_attribute: None, ..slapd.options() };
    assert_eq!(login(&directory(without), "alice", &password("alice")).await, Ok(right(&[])));
}

#[tokio::test]
async fn a_user_is_called_what_the_directory_calls_him() {
    let Some(slapd) = Slapd::start("a_user_is_called_what_the_directory_calls_him").await else { return };
    let people = directory(LdapOptions { group_attribute: None, ..slapd.options() });
    for typed in ["alice", "Alice", "ALICE", " alice", "alice ", "ａlice"] {
        let Ok(Verdict::Right(alice)) = people.login(typed, &secret(password("alice"))).await else {
            panic!("{typed}")
        };
        assert_eq!(alice.name, "alice", "{typed}");
        assert_eq!(people.find(typed).await.unwrap().unwrap().name, "alice", "{typed}");
    }
    let ldif = format!("dn: uid=alice,{PEOPLE}\nchangetype: modify\nadd: uid\nuid: Wonder\n");
    slapd.modify(&ldif).await;
    for (typed, name) in [("wonder", "Wonder"), ("ALICE", "alice")] {
        assert_eq!(people.find(typed).await.unwrap().unwrap().name, name);
    }
}

#[tokio::test]
async fn an_empty_password_is_never_sent() {
    let Some(slapd) = Slapd::start("an_empty_password_is_never_sent").await else { return };
    let people = directory(slapd.options());
    for user in ["alice", "nobody", ""] {
        assert_eq!(login(&people, user, "").await, Ok(Verdict::Wrong), "{user:?}");
    }
    assert_eq!(slapd.count(READER_BINDS), 0, "nobody searches");
    let anonymous_binds = slapd.count("BIND dn=\"\"");
    login(&people, "alice", &password("alice")).await.unwrap();
    assert_eq!(slapd.count("BIND dn=\"\""), anonymous_binds);
    assert!(slapd.count(READER_BINDS) > 0);
}

#[tokio::test]
async fn a_password_that_is_not_utf_8_is_nobodys() {
    let Some(slapd) = Slapd::start("a_password_that_is_not_utf_8_is_nobodys").await else { return };
    let people = directory(slapd.options());
    assert_eq!(people.login("alice", &secret(b"pass-\xff")).await, Ok(Verdict::Wrong));
    assert_eq!(people.login("nobody", &secret(b"pass-\xff")).await, Ok(Verdict::Unknown));
}

#[tokio::test]
async fn users_stand_as_deep_as_is_said_and_pass_the_filter() {
    let Some(slapd) = Slapd::start("users_stand_as_deep_as_is_said_and_pass_the_filter").await else {
        return;
    };
    let carol = ("carol", password("carol"));
    let shallow = directory(slapd.options());
    assert_eq!(login(&shallow, carol.0, &carol.1).await, Ok(Verdict::Unknown));
    let deep = directory(LdapOptions { depth: Depth::Subtree, ..slapd.options() });
    assert_eq!(login(&deep, carol.0, &carol.1).await, Ok(right(&[])));
    for filter in [
        "(!(employeeType=machine))",
        "employeeType=human",
        "(memberOf=cn=builders,ou=groups,dc=example,dc=org)",
    ] {
        let humans = directory(LdapOptions { user_filter: Some(filter.to_owned()), ..slapd.options() });
        assert_eq!(login(&humans, "robot", &password("robot")).await, Ok(Verdict::Unknown), "{filter}");
        assert_eq!(humans.find("robot").await, Ok(None), "{filter}");
        assert_eq!(login(&humans, "alice", &password("alice")).await, Ok(right(ALICE)), "{filter}");
    }
    let robot = login(&shallow, "robot", &password("robot")).await;
    assert_eq!(robot, Ok(right(&["cn=machines,ou=groups,dc=example,dc=org", "machines"])));
}

#[tokio::test]
async fn of_several_entries_none_is_taken() {
    let Some(slapd) = Slapd::start("of_several_entries_none_is_taken").await else { return };
    let (log, _listening) = Log::listen();
    let people = directory(slapd.options());
    assert_eq!(login(&people, "twin", &password("twin")).await, Ok(Verdict::Unknown));
    assert_eq!(people.find("twin").await, Ok(None));
    let said = log.take();
    assert!(said.contains("WARN") && said.contains("auth.user=\"twin\""), "{said}");
    let one = LdapOptions { user_filter: Some("(cn=twin one)".to_owned()), ..slapd.options() };
    assert_eq!(login(&directory(one), "twin", &password("twin")).await, Ok(right(&[])));
}

#[tokio::test]
async fn a_name_says_nothing_but_itself() {
    let Some(slapd) = Slapd::start("a_name_says_nothing_but_itself").await else { return };
    let filter = Some("(objectClass=inetOrgPerson)".to_owned());
    let people = directory(LdapOptions { user_filter: filter, ..slapd.options() });
    for name in [
        "*",
        "alic*",
        "a*e",
        "alice)(uid=*",
        "alice)(objectClass=*",
        "*)(uid=alice",
        "*)(|(uid=alice",
        "alice)(|(cn=*",
        "\\2a",
        "\\61lice",
        "alice\\",
        "alice)",
        "(alice",
        "uid=alice",
        "uid=alice,ou=people,dc=example,dc=org",
        "alice,ou=people",
        "%s",
        "{}",
    ] {
        assert_eq!(login(&people, name, &password("alice")).await, Ok(Verdict::Unknown), "{name}");
        assert_eq!(people.find(name).await, Ok(None), "{name}");
    }
    let weird = "we(i)rd*\\name, \"ö\"";
    assert_eq!(login(&people, weird, &password(weird)).await, Ok(right(&[])));
    assert_eq!(login(&people, weird, "wrong").await, Ok(Verdict::Wrong));
}

#[tokio::test]
async fn somebody_anonymous_searches_where_that_is_allowed() {
    let test = "somebody_anonymous_searches_where_that_is_allowed";
    let Some(slapd) = Slapd::start_for(test, Anonymous::Reads).await else { return };
    let people = directory(LdapOptions { account: AccountSource::Anonymous, ..slapd.options() });
    assert_eq!(login(&people, "alice", &password("alice")).await, Ok(right(ALICE)));
    assert_eq!(login(&people, "alice", "wrong").await, Ok(Verdict::Wrong));
    assert_eq!(slapd.count(READER_BINDS), 0);
}

/// What the directory is asked for an unknown user is what it is asked for a wrong password; and an account
/// elsewhere does not show it its password.
#[tokio::test]
async fn an_unknown_user_takes_the_same_steps() {
    let Some(slapd) = Slapd::start("an_unknown_user_takes_the_same_steps").await else { return };
    let people = directory(slapd.options());
    login(&people, "alice", &password("alice")).await.unwrap();
    let steps = |slapd: &Slapd| ["SRCH base", "BIND dn", "ACCEPT from"].map(|words| slapd.count(words));
    let mut taken = Vec::new();
    for (user, password) in [("alice", "wrong"), ("nobody", "wrong"), ("twin", "wrong")] {
        let before = steps(&slapd);
        assert!(!matches!(login(&people, user, password).await, Ok(Verdict::Right(_)) | Err(_)));
        let after = steps(&slapd);
        taken.push([0, 1, 2].map(|step| after[step] - before[step]));
    }
    assert_eq!(taken[0], taken[1]);
    assert_eq!(taken[0], taken[2]);
    assert_eq!(slapd.count(&format!("by no name,{PEOPLE}")), 2);
}

#[tokio::test]
async fn who_is_right_is_remembered_and_who_is_wrong_is_not() {
    let Some(slapd) = Slapd::start("who_is_right_is_remembered_and_who_is_wrong_is_not").await else {
        return;
    };
    let people = directory(LdapOptions { cache_ttl: Duration::from_secs(3600), ..slapd.options() });
    let old = password("alice");
    assert_eq!(login(&people, "alice", "new").await, Ok(Verdict::Wrong));
    assert_eq!(login(&people, "alice", &old).await, Ok(right(ALICE)));
    let searches = slapd.count("SRCH base");
    for _ in 0..20 {
        assert_eq!(login(&people, "alice", &old).await, Ok(right(ALICE)));
    }
    assert_eq!(slapd.count("SRCH base"), searches, "it is not asked again");
    slapd.set_password("alice", "new").await;
    assert_eq!(login(&people, "alice", "new").await, Ok(right(ALICE)), "a failure is not remembered");
    assert_eq!(login(&people, "alice", &old).await, Ok(right(ALICE)), "for as long as cacheTtl says");
    assert_eq!(login(&people, "bob", &old).await, Ok(Verdict::Wrong), "for nobody else");
}

#[tokio::test]
async fn a_changed_password_is_honoured_after_the_time_to_live() {
    let test = "a_changed_password_is_honoured_after_the_time_to_live";
    let Some(slapd) = Slapd::start(test).await else { return };
    let people = directory(LdapOptions { cache_ttl: Duration::from_millis(500), ..slapd.options() });
    let never = directory(LdapOptions { cache_ttl: Duration::ZERO, ..slapd.options() });
    let old = password("alice");
    for people in [&people, &never] {
        assert_eq!(login(people, "alice", &old).await, Ok(right(ALICE)));
    }
    slapd.set_password("alice", "new").await;
    assert_eq!(login(&never, "alice", &old).await, Ok(Verdict::Wrong));
    until(&people, ("alice", &old), &Verdict::Wrong).await;
    assert_eq!(login(&people, "alice", "new").await, Ok(right(ALICE)));
}
