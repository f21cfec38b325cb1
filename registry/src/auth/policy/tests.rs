//! Goal: a decision is the one that the configuration's words mean. Method: tables of the everyday
//! cases, and a property against a model that is written the long way: it matches globs by
//! backtracking over components, looks at every glob in the order written, and lists everything
//! that is granted to somebody before it looks for the action.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::auth::circumstances::{Circumstances, Request, Transport};
use crate::auth::grant::{Delete, Overwrite, Pull, Push};
use crate::auth::options::ConditionOptions;
use crate::clock::Timestamp;
use crate::oci::Reference;

const EVERYTHING: [Action; 4] = [Action::Read, Action::Create, Action::Update, Action::Delete];

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).unwrap()
}

fn account(user: &str) -> Identity {
    Identity::of(crate::auth::Account::new(user, Vec::new()))
}

fn rule(users: &[&str], groups: &[&str], actions: &[Action]) -> Rule {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Rule { users: owned(users), groups: owned(groups), actions: actions.to_vec(), conditions: Vec::new() }
}

fn policy(access: &AccessControl) -> Policy {
    Policy::new(Some(access), Accounts::Configured).unwrap()
}

/// Returns which of some globs decides about a name: in the policy, each grants another user.
fn deciding(globs: &[&str], text: &str) -> Option<usize> {
    let section = |(at, glob): (usize, &&str)| {
        let policies = vec![rule(&[&at.to_string()], &[], &[Action::Read])];
        ((*glob).to_owned(), RepositoryPolicy { policies, ..RepositoryPolicy::default() })
    };
    let repositories = globs.iter().enumerate().map(section).collect();
    let policy = policy(&AccessControl { repositories, ..AccessControl::default() });
    let allowed =
        |at: &usize| policy.decide(&account(&at.to_string()), &name(text), Action::Read) == Decision::Allowed;
    let mut deciding = (0..globs.len()).filter(allowed);
    let first = deciding.next();
    assert_eq!(deciding.next(), None, "two globs decide about {text}");
    first
}

#[test]
fn globs_match_as_zot_users_expect() {
    for (glob, text, expect) in [
        ("**", "a", true),
        ("**", "a/b/c", true),
        ("*", "a", true),
        ("*", "a/b", false),
        ("team/*", "team/app", true),
        ("team/*", "team/app/web", false),
        ("team/*", "team", false),
        ("team/**", "team/app/web", true),
        ("team/**", "team", true),
        ("team/**", "teams", false),
        ("team/**/**", "team", true),
        ("**/app", "app", true),
        ("**/app", "a/b/app", true),
        ("**/app", "a/myapp", false),
        ("a/**/z", "a/z", true),
        ("a/**/z", "a/b/c/z", true),
        ("a?c", "abc", true),
        ("a?c", "a/c", false),
        ("te*m/a*", "team/app", true),
        ("t**p", "team/app", false),
        ("{a,b/**}", "a", true),
        ("{a,b/**}", "b/c", true),
        ("app{,-web}", "app", true),
        ("app[0-9]", "app1", true),
        ("app[!0-9]", "app1", false),
        ("app", "app", true),
        ("/app", "app", false),
        ("APP", "app", false),
        ("", "app", false),
    ] {
        assert_eq!(deciding(&[glob], text).is_some(), expect, "{glob} {text}");
    }
}

#[test]
fn the_longest_glob_decides() {
    let globs = ["**", "team/**", "team/app", "*/app"];
    for (text, expect) in [("other", 0), ("team/web", 1), ("team/app", 2), ("x/app", 3), ("team", 1)] {
        assert_eq!(deciding(&globs, text), Some(expect), "{text}");
    }
    // Of two as long, the one written first.
    for globs in [["?b", "a?"], ["a?", "?b"], ["a*", "a*"]] {
        assert_eq!(deciding(&globs, "ab"), Some(0), "{globs:?}");
    }
    // The length is in bytes, not in characters.
    assert_eq!(deciding(&["a????", "[éa]*"], "abcde"), Some(1));
    assert_eq!(deciding(&[], "ab"), None);
}

#[test]
fn a_longer_glob_takes_away_what_a_shorter_one_grants() {
    let read = |actions: &[Action]| RepositoryPolicy {
        anonymous_policy: actions.to_vec(),
        ..RepositoryPolicy::default()
    };
    let repositories = vec![("**".to_owned(), read(&[Action::Read])), ("secret/**".to_owned(), read(&[]))];
    let policy = policy(&AccessControl { repositories, ..AccessControl::default() });
    for (text, expect) in
        [("public", Decision::Allowed), ("secret", Decision::Denied), ("secret/a", Decision::Denied)]
    {
        assert_eq!(policy.decide(&Identity::ANONYMOUS, &name(text), Action::Read), expect, "{text}");
    }
}

/// The everyday case: anonymous may pull, accounts may pull, only `admin` may do the rest.
#[test]
fn anonymous_may_pull_and_only_the_admin_may_delete() {
    let access = AccessControl {
        repositories: vec![(
            "**".to_owned(),
            RepositoryPolicy {
                policies: Vec::new(),
                default_policy: vec![Action::Read],
                anonymous_policy: vec![Action::Read],
            },
        )],
        admin: rule(&["admin"], &[], &EVERYTHING),
        groups: BTreeMap::new(),
        metrics: None,
    };
    let policy = policy(&access);
    assert!(policy.anonymous_reads_somewhere());
    let app = name("team/app");
    for (identity, expect) in
        [(Identity::ANONYMOUS, false), (account("eve"), false), (account("admin"), true)]
    {
        assert!(policy.grant::<Pull>(&identity, &app).is_some());
        assert_eq!(policy.grant::<Push>(&identity, &app).is_some(), expect, "{identity}");
        assert_eq!(policy.grant::<Delete>(&identity, &app).is_some(), expect, "{identity}");
    }
    let push = policy.grant::<Push>(&account("admin"), &app).unwrap();
    assert_eq!((push.name(), push.overwrite()), (&app, Overwrite::Allowed));
    assert_eq!(push.holder().to_string(), "admin");
}

#[test]
fn groups_lend_their_rights_to_their_members() {
    let access = AccessControl {
        repositories: vec![(
            "team/**".to_owned(),
            RepositoryPolicy {
                policies: vec![rule(&[], &["devs", "nobody-knows"], &[Action::Create])],
                ..RepositoryPolicy::default()
            },
        )],
        admin: rule(&[], &["ops"], &[Action::Delete]),
        groups: BTreeMap::from([
            ("devs".to_owned(), vec!["ada".to_owned()]),
            ("ops".to_owned(), vec!["bob".to_owned()]),
        ]),
        metrics: None,
    };
    let policy = policy(&access);
    let (app, other) = (name("team/app"), name("other"));
    let push = policy.grant::<Push>(&account("ada"), &app).unwrap();
    assert_eq!(push.overwrite(), Overwrite::Refused);
    assert_eq!(policy.grant::<Push>(&account("ada"), &other), None);
    assert_eq!(policy.grant::<Push>(&account("devs"), &app), None);
    assert!(policy.grant::<Delete>(&account("bob"), &other).is_some());
    assert_eq!(policy.grant::<Delete>(&account("ada"), &app), None);
}

/// A rule that names the empty user grants nothing to somebody who has no name.
#[test]
fn nobody_is_not_a_user() {
    let access = AccessControl {
        repositories: vec![(
            "**".to_owned(),
            RepositoryPolicy {
                policies: vec![rule(&["", "anonymous"], &[], &EVERYTHING)],
                default_policy: EVERYTHING.to_vec(),
                anonymous_policy: Vec::new(),
            },
        )],
        admin: rule(&["", "anonymous"], &[], &EVERYTHING),
        groups: BTreeMap::new(),
        metrics: None,
    };
    let policy = policy(&access);
    for action in EVERYTHING {
        assert_eq!(policy.decide(&Identity::ANONYMOUS, &name("a"), action), Decision::Denied);
    }
    assert!(!policy.anonymous_reads_somewhere());
}

#[test]
fn without_access_control_accounts_decide() {
    for (accounts, identity, expect) in [
        (Accounts::Absent, Identity::ANONYMOUS, Decision::Allowed),
        (Accounts::Configured, Identity::ANONYMOUS, Decision::Denied),
        (Accounts::Configured, account("eve"), Decision::Allowed),
    ] {
        let policy = Policy::new(None, accounts).unwrap();
        assert_eq!(policy.anonymous_reads_somewhere(), accounts == Accounts::Absent);
        for action in EVERYTHING {
            assert_eq!(policy.decide(&identity, &name("a"), action), expect, "{accounts:?} {identity}");
        }
    }
    // An empty section is one: it grants nothing, accounts or not.
    let policy = Policy::new(Some(&AccessControl::default()), Accounts::Absent).unwrap();
    assert_eq!(policy.decide(&Identity::ANONYMOUS, &name("a"), Action::Read), Decision::Denied);
}

#[test]
fn faulty_globs_are_named() {
    for glob in ["[a", "{a", "a}", "[z-a]", "a\\"] {
        let repositories = vec![
            ("**".to_owned(), RepositoryPolicy::default()),
            (glob.to_owned(), RepositoryPolicy::default()),
        ];
        let access = AccessControl { repositories, ..AccessControl::default() };
        let error = Policy::new(Some(&access), Accounts::Absent).unwrap_err();
        assert!(
            matches!(&error, PolicyError::Glob { glob: named, .. } if named == glob),
            "{glob}: {error:?}"
        );
    }
}

// The model.

fn model_components(glob: &[&str], name: &[&str]) -> bool {
    match glob.split_first() {
        None => name.is_empty(),
        Some((&"**", rest)) => (0..=name.len()).any(|skipped| model_components(rest, &name[skipped..])),
        Some((first, rest)) => {
            !name.is_empty()
                && model_characters(first.as_bytes(), name[0].as_bytes())
                && model_components(rest, &name[1..])
        }
    }
}

fn model_characters(glob: &[u8], text: &[u8]) -> bool {
    match glob.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skipped| model_characters(rest, &text[skipped..])),
        Some((b'?', rest)) => !text.is_empty() && model_characters(rest, &text[1..]),
        Some((byte, rest)) => text.first() == Some(byte) && model_characters(rest, &text[1..]),
    }
}

fn model_granted(access: &AccessControl, user: Option<&str>, name: &str) -> Vec<Action> {
    let name: Vec<&str> = name.split('/').collect();
    let mut best: Option<&(String, RepositoryPolicy)> = None;
    for section in &access.repositories {
        let glob: Vec<&str> = section.0.split('/').collect();
        if model_components(&glob, &name) && best.is_none_or(|best| section.0.len() > best.0.len()) {
            best = Some(section);
        }
    }
    let mut granted = Vec::new();
    let mut rules = vec![&access.admin];
    if let Some((_, section)) = best {
        granted.extend(&section.anonymous_policy);
        if user.is_some() {
            granted.extend(&section.default_policy);
        }
        rules.extend(&section.policies);
    }
    for rule in rules {
        for (group, members) in &access.groups {
            let named = rule.users.iter().any(|each| Some(each.as_str()) == user);
            let member =
                rule.groups.contains(group) && members.iter().any(|each| Some(each.as_str()) == user);
            if named || member {
                granted.extend(&rule.actions);
            }
        }
    }
    granted
}

fn condition(expression: &str, message: &str) -> ConditionOptions {
    ConditionOptions { expression: expression.to_owned(), message: message.to_owned() }
}

fn asking(identity: Identity, reference: Option<&str>) -> Identity {
    identity.under(Circumstances::new(Request {
        time: Timestamp::from_millis(1_800_000_000_000),
        method: "PUT".to_owned(),
        user_agent: "docker/28.0".to_owned(),
        reference: reference.map(|text| Reference::parse(text).unwrap()),
        address: Some([192, 0, 2, 7].into()),
        transport: Transport::Tls("1.3"),
    }))
}

fn conditional(actions: &[Action], conditions: Vec<ConditionOptions>) -> AccessControl {
    let policies = vec![Rule { conditions, ..rule(&["ada"], &["devs"], actions) }];
    AccessControl {
        repositories: vec![("**".to_owned(), RepositoryPolicy { policies, ..RepositoryPolicy::default() })],
        admin: rule(&["root"], &[], &[]),
        groups: BTreeMap::from([("own".to_owned(), vec!["ada".to_owned()])]),
        metrics: None,
    }
}

/// Every member of a request, as it was sent.
#[test]
fn conditions_are_about_the_request() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let of_digest =
        format!("req.digest == '{digest}' && req.reference == req.digest && req.referenceType == 'digest'");
    for (expression, reference, expect) in [
        ("req.repository.startsWith('prod/')", None, true),
        ("req.repository.startsWith(req.user.username + '/')", None, false),
        ("req.action == 'create' && req.method == 'PUT'", None, true),
        ("req.action == 'update'", None, false),
        ("req.userAgent.startsWith('docker/')", None, true),
        (
            "req.tag == 'v1' && req.reference == 'v1' && req.referenceType == 'tag' && req.digest == ''",
            Some("v1"),
            true,
        ),
        (of_digest.as_str(), Some(digest.as_str()), true),
        ("req.reference == '' && req.tag == '' && req.digest == '' && req.referenceType == ''", None, true),
        ("req.tag != 'latest'", Some("latest"), false),
        ("req.tag.matches('^v[0-9]+$')", Some("v17"), true),
        ("req.user.username == 'ada' && 'devs' in req.user.groups && 'own' in req.user.groups", None, true),
        ("!req.auth.anonymous && !req.auth.admin", None, true),
        ("req.client.ip.startsWith('192.0.2.')", None, true),
        ("req.tls.enabled && req.tls.version >= '1.3'", None, true),
        ("req.time == '2027-01-15T08:00:00.000Z'", None, true),
        ("req.time < timestamp('2027-01-15T08:00:00Z')", None, false),
        ("req.time.getHours() >= 8 && req.time.getDayOfWeek() == 5", None, true),
        // What comes to nothing, or to no truth, grants nothing.
        ("req.repository", None, false),
        ("req.repository < 1 || true", None, true),
        ("req.repository < 1 || false", None, false),
    ] {
        let policy = policy(&conditional(&[Action::Create], vec![condition(expression, "")]));
        let ada = Identity::of(crate::auth::Account::new("ada", vec!["devs".to_owned()]));
        let decision = policy.decide(&asking(ada, reference), &name("prod/app"), Action::Create);
        assert_eq!(decision == Decision::Allowed, expect, "{expression}");
    }
}

#[test]
fn all_conditions_have_to_hold_and_the_first_that_does_not_is_told() {
    let holds = condition("req.tls.enabled", "use TLS");
    let fails = condition("req.tag == 'v2'", "only v2 may be pushed");
    let ada = asking(account("ada"), Some("v1"));
    let (app, push) = (name("app"), |policy: &Policy| policy.grant::<Push>(&ada, &name("app")).is_some());
    let both = policy(&conditional(&[Action::Create], vec![holds.clone(), fails.clone()]));
    assert!(push(&policy(&conditional(&[Action::Create], vec![holds.clone(), holds.clone()]))));
    assert!(!push(&both));
    let hindrance = both.hindrance(&ada, &app, Action::Create).unwrap();
    assert_eq!((hindrance.condition, &*hindrance.message), (1, "only v2 may be pushed"));
    assert_eq!(hindrance.rule.to_string(), "http.accessControl.repositories[\"**\"].policies[0]");
    let told = both.refuse::<Push>(&ada, &app);
    assert_eq!(told, Refusal::Condition { message: "only v2 may be pushed".into() });
    // Who is not named by the rule, and what it does not grant, has nothing to do with it.
    assert_eq!(both.refuse::<Push>(&asking(account("eve"), None), &app), Refusal::Denied);
    assert_eq!(both.refuse::<Delete>(&ada, &app), Refusal::Denied);
    assert_eq!(both.hindrance(&asking(account("eve"), None), &app, Action::Create), None);
    let silent = policy(&conditional(&[Action::Create], vec![condition("false", "")]));
    assert_eq!(silent.refuse::<Push>(&ada, &app), Refusal::Denied);
}

/// A place that forgets to say what a request is must not thereby open anything.
#[test]
fn without_a_request_no_condition_holds() {
    let policy = policy(&conditional(&[Action::Read], vec![condition("true", "")]));
    assert_eq!(policy.decide(&account("ada"), &name("app"), Action::Read), Decision::Denied);
    assert_eq!(policy.decide(&asking(account("ada"), None), &name("app"), Action::Read), Decision::Allowed);
    // A token is got before there is a request, and is judged with it.
    assert_eq!(policy.may_come_to(&account("ada"), &name("app"), Action::Read), Decision::Allowed);
    assert_eq!(policy.may_come_to(&account("ada"), &name("app"), Action::Create), Decision::Denied);
    assert_eq!(policy.may_come_to(&account("eve"), &name("app"), Action::Read), Decision::Denied);
    assert!(policy.has_conditions());
}

#[test]
fn administrators_have_conditions_too() {
    let mut access = conditional(&[], Vec::new());
    access.admin = Rule {
        conditions: vec![condition("req.auth.admin && req.tag != 'v1'", "not v1")],
        ..rule(&["root"], &[], &EVERYTHING)
    };
    let policy = policy(&access);
    for (reference, expect) in [("v1", Decision::Denied), ("v2", Decision::Allowed)] {
        assert_eq!(
            policy.decide(&asking(account("root"), Some(reference)), &name("app"), Action::Delete),
            expect
        );
    }
    let told = policy.refuse::<Delete>(&asking(account("root"), Some("v1")), &name("app"));
    assert_eq!(told, Refusal::Condition { message: "not v1".into() });
}

#[test]
fn a_condition_that_is_none_is_refused_with_its_place() {
    let access =
        conditional(&[Action::Read], vec![condition("true", ""), condition("req.usr.name == 'a'", "")]);
    let error = Policy::new(Some(&access), Accounts::Configured).unwrap_err();
    let place =
        "http.accessControl.repositories[\"**\"].policies[0].conditions[1] names \"req.usr\", and there are ";
    assert!(error.to_string().starts_with(place), "{error}");
}

fn some_actions() -> impl Strategy<Value = Vec<Action>> {
    proptest::sample::subsequence(EVERYTHING.to_vec(), 0..=4)
}

fn some_of(texts: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    let count = texts.len();
    proptest::sample::subsequence(texts, 0..=count)
}

fn some_rule() -> impl Strategy<Value = Rule> {
    (some_of(&["u", "v", "w"]), some_of(&["g", "h", "unknown"]), some_actions())
        .prop_map(|(users, groups, actions)| Rule { users, groups, actions, conditions: Vec::new() })
}

fn some_glob() -> impl Strategy<Value = String> {
    let component = prop_oneof![2 => Just("**".to_owned()), 3 => "[ab*?]{1,3}", 3 => "[ab]{1,2}"];
    // A run of asterisks inside a component is one asterisk to both, so the model need not know it.
    proptest::collection::vec(component, 1..4).prop_map(|components| components.join("/"))
}

fn some_access() -> impl Strategy<Value = AccessControl> {
    let section = (proptest::collection::vec(some_rule(), 0..3), some_actions(), some_actions()).prop_map(
        |(policies, default_policy, anonymous_policy)| RepositoryPolicy {
            policies,
            default_policy,
            anonymous_policy,
        },
    );
    let repositories = proptest::collection::vec((some_glob(), section), 0..6);
    (repositories, some_rule(), some_of(&["u", "v"]), some_of(&["v", "w"])).prop_map(
        |(repositories, admin, g, h)| {
            let groups = BTreeMap::from([("g".to_owned(), g), ("h".to_owned(), h)]);
            AccessControl { repositories, admin, groups, metrics: None }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn decisions_are_the_models(access in some_access(), text in "[ab]{1,2}(/[ab]{1,2}){0,3}") {
        let policy = policy(&access);
        for user in [None, Some("u"), Some("v"), Some("w"), Some("x")] {
            let identity = user.map_or(Identity::ANONYMOUS, account);
            let granted = model_granted(&access, user, &text);
            for action in EVERYTHING {
                let expect = if granted.contains(&action) { Decision::Allowed } else { Decision::Denied };
                prop_assert_eq!(policy.decide(&identity, &name(&text), action), expect, "{} {:?}", identity, action);
            }
        }
    }

    /// A condition takes away the rule that it stands in, where it does not hold, and nothing else.
    #[test]
    fn a_condition_makes_its_rule_there_or_not_there(
        access in some_access(),
        holds in proptest::collection::vec(any::<bool>(), 32),
        text in "[ab]{1,2}(/[ab]{1,2}){0,3}",
    ) {
        let (mut conditioned, mut reduced) = (access.clone(), access);
        let rules = |access: &mut AccessControl, change: &dyn Fn(&mut Rule, bool)| {
            let policies = access.repositories.iter_mut().flat_map(|(_, policy)| policy.policies.iter_mut());
            for (rule, holds) in policies.chain([&mut access.admin]).zip(holds.iter().cycle()) {
                change(rule, *holds);
            }
        };
        rules(&mut conditioned, &|rule, holds| rule.conditions.push(condition(&holds.to_string(), "")));
        rules(&mut reduced, &|rule, holds| if !holds { rule.actions.clear() });
        let (conditioned, reduced) = (policy(&conditioned), policy(&reduced));
        for identity in [Identity::ANONYMOUS, account("u"), account("v"), account("w"), account("x")] {
            for action in EVERYTHING {
                let decision = conditioned.decide(&asking(identity.clone(), None), &name(&text), action);
                prop_assert_eq!(decision, reduced.decide(&identity, &name(&text), action), "{} {:?}", identity, action);
            }
        }
    }

    #[test]
    fn logging_in_takes_nothing_away(access in some_access(), text in "[ab]{1,2}(/[ab]{1,2}){0,3}", user in "[u-x]") {
        let policy = policy(&access);
        for action in EVERYTHING {
            if policy.decide(&Identity::ANONYMOUS, &name(&text), action) == Decision::Allowed {
                prop_assert_eq!(policy.decide(&account(&user), &name(&text), action), Decision::Allowed);
            }
        }
    }
}
