//! Goal: a policy lets go exactly what its words say. Method: a table of what people write, and random policies
//! over random repositories against a model that asks of each thing alone whether something keeps it.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::oci::Hasher;
use crate::store::options::retention::{Glob, Pattern, TagRule};

fn at(hours: u64) -> Timestamp {
    Timestamp::from_millis(hours * 3_600_000)
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

fn digest(number: usize) -> Digest {
    Hasher::digest(Algorithm::Sha256, &[u8::try_from(number).unwrap()])
}

fn tag(name: &str) -> Tag {
    Tag::parse(name).unwrap()
}

fn policy(keep_tags: Vec<TagRule>) -> Policy {
    Policy {
        repositories: vec![Glob::parse("**").unwrap()],
        delete_referrers: false,
        delete_untagged: false,
        keep_tags,
        keep_untagged: None,
    }
}

fn rule(pattern: &str, rule: Rule) -> TagRule {
    let patterns = if pattern.is_empty() { vec![] } else { vec![pattern] };
    let patterns =
        patterns.iter().map(|text| Pattern::from(regex::bytes::Regex::new(text).unwrap())).collect();
    TagRule { patterns, rule }
}

/// Five tags, one an hour, of a manifest each; the first two were pulled at the tenth and eleventh hour.
fn five() -> Contents {
    let mut contents = Contents::default();
    for (number, name) in ["v1", "v2", "v3", "dev-1", "dev-2"].iter().enumerate() {
        let pushed_at = at(number as u64);
        contents.tags.insert(tag(name), TagEntry { digest: digest(number), pushed_at });
        let pulled_at = (number < 2).then(|| at(10 + number as u64));
        let facts = Facts { pushed_at, pulled_at, subject: None, references: vec![] };
        contents.manifests.insert(digest(number), facts);
    }
    contents
}

const NOON: Moment = Moment {
    now: Timestamp::from_millis(12 * 3_600_000),
    pulls_known_since: Timestamp::from_millis(0),
    delay: Duration::ZERO,
};

fn gone(policy: &Policy, contents: &Contents) -> Vec<String> {
    decide(policy, contents, NOON).tags.iter().map(|tag| tag.as_str().to_owned()).collect()
}

#[test]
fn rules_keep_what_they_say_and_the_rest_goes() {
    let none = Rule::default;
    for (keep, expect) in [
        (vec![], vec![]),
        (vec![rule("", none())], vec![]),
        (vec![rule("^v", none())], vec!["dev-1", "dev-2"]),
        (vec![rule("^v", none()), rule("2$", none())], vec!["dev-1"]),
        (vec![rule("", Rule { most_recently_pushed: Some(2), ..none() })], vec!["v1", "v2", "v3"]),
        (vec![rule("^v", Rule { most_recently_pushed: Some(2), ..none() })], vec!["dev-1", "dev-2", "v1"]),
        (
            vec![rule("", Rule { most_recently_pulled: Some(1), ..none() })],
            vec!["dev-1", "dev-2", "v1", "v3"],
        ),
        // What was never pulled: what was pushed last first.
        (vec![rule("", Rule { most_recently_pulled: Some(3), ..none() })], vec!["dev-1", "v3"]),
        (vec![rule("", Rule { pushed_within: Some(hours(9)), ..none() })], vec!["v1", "v2", "v3"]),
        (vec![rule("", Rule { pulled_within: Some(hours(2)), ..none() })], vec!["dev-1", "dev-2", "v3"]),
        (
            vec![rule("", Rule { pulled_within: Some(hours(1)), most_recently_pushed: Some(1), ..none() })],
            vec!["dev-1", "v1", "v3"],
        ),
    ] {
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        let expect = sorted(expect.into_iter().map(str::to_owned).collect());
        assert_eq!(sorted(gone(&policy(keep.clone()), &five())), expect, "{keep:?}");
    }
}

#[test]
fn what_was_pulled_before_pulls_were_known_is_not_held_against_it() {
    let keep = policy(vec![rule("", Rule { pulled_within: Some(hours(24)), ..Rule::default() })]);
    let since = |known| Moment { pulls_known_since: at(known), now: at(100), ..NOON };
    assert_eq!(decide(&keep, &five(), since(80)).tags.len(), 0);
    assert_eq!(decide(&keep, &five(), since(0)).tags.len(), 5);
}

#[test]
fn untagged_manifests_and_referrers_go_only_where_a_policy_says_so() {
    let mut contents = Contents::default();
    let facts = |subject: Option<usize>, references: &[usize]| Facts {
        pushed_at: at(1),
        pulled_at: None,
        subject: subject.map(digest),
        references: references.iter().map(|number| digest(*number)).collect(),
    };
    // 0 an index of 1; 2 about 0; 3 about what is not there; 4 tagged; 5 about 4.
    let all = [
        facts(None, &[1]),
        facts(None, &[]),
        facts(Some(0), &[]),
        facts(Some(9), &[]),
        facts(None, &[]),
        facts(Some(4), &[]),
    ];
    contents.manifests.extend(all.into_iter().enumerate().map(|(number, facts)| (digest(number), facts)));
    contents.tags.insert(tag("v1"), TagEntry { digest: digest(4), pushed_at: at(1) });
    let signature = tag(&format!("sha256-{}.sig", digest(0).hex()));
    contents.tags.insert(signature.clone(), TagEntry { digest: digest(5), pushed_at: at(1) });
    let go = |untagged, referrers| {
        let policy = Policy {
            delete_untagged: untagged,
            delete_referrers: referrers,
            ..policy(vec![rule("^v", Rule::default())])
        };
        let decision = decide(&policy, &contents, NOON);
        let mut numbers: Vec<usize> =
            (0..6).filter(|number| decision.manifests.contains(&digest(*number))).collect();
        numbers.sort_unstable();
        (numbers, decision.tags.contains(&signature))
    };
    assert_eq!(go(false, false), (vec![], false));
    assert_eq!(go(true, false), (vec![0, 1], false), "the index first, and then what it held");
    assert_eq!(go(false, true), (vec![3], false));
    assert_eq!(go(true, true), (vec![0, 1, 2, 3], true));
    let young = Moment { delay: hours(48), ..NOON };
    let policy = Policy { delete_untagged: true, delete_referrers: true, ..policy(vec![]) };
    assert_eq!(decide(&policy, &contents, young), Decision::default());
}

#[test]
fn what_is_pulled_most_is_not_known_before_pulls_were_noted_for_a_while() {
    let policy = policy(vec![rule("", Rule { most_recently_pulled: Some(1), ..Rule::default() })]);
    let since = |hour: u64, delay: u64| Moment { pulls_known_since: at(hour), delay: hours(delay), ..NOON };
    let left = |moment| 5 - decide(&policy, &five(), moment).tags.len();
    assert_eq!([since(11, 2), since(10, 2), since(11, 1)].map(left), [5, 1, 1]);
    // A pull from before there was a gap counts as none: then what was pushed last stays.
    let stays = |moment| decide(&policy, &five(), moment).tags.contains(&tag("v2"));
    assert_eq!([since(11, 1), since(12, 0)].map(stays), [false, true]);
}

/// When a thing was pushed, and pulled.
type Times = (Timestamp, Option<Timestamp>);

/// Says whether one thing stands before another, by pulls or by pushes.
fn is_ahead(pulls: bool, a: Times, b: Times, is_first_by_name: bool) -> bool {
    let (first, second) = if pulls { ((a.1, a.0), (b.1, b.0)) } else { ((None, a.0), (None, b.0)) };
    first > second || (first == second && is_first_by_name)
}

/// Says whether a rule keeps a thing before which so many stand.
fn is_kept_by(rule: &Rule, own: Times, moment: Moment, before: &dyn Fn(bool) -> usize) -> bool {
    let pulled = own.1.unwrap_or(moment.pulls_known_since).max(moment.pulls_known_since);
    *rule == Rule::default()
        || rule.pushed_within.is_some_and(|within| moment.now.since(own.0) <= within)
        || rule.pulled_within.is_some_and(|within| moment.now.since(pulled) <= within)
        || rule.most_recently_pushed.is_some_and(|count| before(false) < count)
        || rule.most_recently_pulled.is_some_and(|count| {
            before(true) < count || moment.now.since(moment.pulls_known_since) < moment.delay
        })
}

/// Takes the tags away that no rule keeps.
fn take_unkept_tags(policy: &Policy, contents: &Contents, moment: Moment, left: &mut Contents) {
    let times = |tag: &Tag| {
        let entry = contents.tags[tag];
        let pulled_at = contents.manifests.get(&entry.digest).and_then(|facts| facts.pulled_at);
        (entry.pushed_at, pulled_at.filter(|at| *at >= moment.pulls_known_since))
    };
    for tag in contents.tags.keys().filter(|tag| subject_of(tag).is_none()) {
        let is_kept = policy.keep_tags.is_empty()
            || policy.keep_tags.iter().filter(|rule| rule.has(tag)).any(|rule| {
                let before = |pulls| {
                    let others = contents.tags.keys().filter(|it| subject_of(it).is_none() && rule.has(it));
                    others.filter(|it| is_ahead(pulls, times(it), times(tag), *it < tag)).count()
                };
                is_kept_by(&rule.rule, times(tag), moment, &before)
            });
        if !is_kept {
            left.tags.remove(tag);
        }
    }
}

/// Says whether nothing that is left needs a manifest.
fn is_free(left: &Contents, digest: &Digest) -> bool {
    !left.tags.values().any(|entry| entry.digest == *digest)
        && !left.manifests.values().any(|facts| facts.references.contains(digest))
}

/// Asks of each thing alone whether something keeps it, again and again until nothing goes.
fn model(policy: &Policy, contents: &Contents, moment: Moment) -> (BTreeSet<Tag>, BTreeSet<Digest>) {
    let mut left = contents.clone();
    take_unkept_tags(policy, contents, moment, &mut left);
    let whole = Contents { tags: left.tags.clone(), manifests: contents.manifests.clone() };
    let is_counted = |it: &&Digest| contents.manifests[*it].subject.is_none() && is_free(&whole, it);
    let counted: Vec<Digest> = contents.manifests.keys().filter(is_counted).copied().collect();
    let of = |it: &Digest| {
        let facts = &contents.manifests[it];
        (facts.pushed_at, facts.pulled_at.filter(|at| *at >= moment.pulls_known_since))
    };
    let is_kept = |digest: &Digest| {
        let before =
            |pulls| counted.iter().filter(|it| is_ahead(pulls, of(it), of(digest), *it < digest)).count();
        let rule = policy.keep_untagged.as_ref().filter(|_| counted.contains(digest));
        rule.is_some_and(|rule| is_kept_by(rule, of(digest), moment, &before))
    };
    let is_old = |pushed_at| moment.now.since(pushed_at) >= moment.delay;
    loop {
        let size = (left.tags.len(), left.manifests.len());
        let here: BTreeSet<Digest> = left.manifests.keys().copied().collect();
        if policy.delete_referrers {
            left.tags.retain(|tag, entry| {
                !is_old(entry.pushed_at) || subject_of(tag).is_none_or(|subject| here.contains(&subject))
            });
        }
        let goes = |(digest, facts): &(&Digest, &Facts)| {
            let may = match &facts.subject {
                Some(subject) => policy.delete_referrers && !here.contains(subject),
                None => policy.delete_untagged && !is_kept(digest),
            };
            may && is_old(facts.pushed_at) && is_free(&left, digest)
        };
        let going = left.manifests.iter().find(goes).map(|(digest, _)| *digest);
        going.map(|digest| left.manifests.remove(&digest));
        if size == (left.tags.len(), left.manifests.len()) {
            break;
        }
    }
    let tags = contents.tags.keys().filter(|tag| !left.tags.contains_key(*tag)).cloned().collect();
    let manifests =
        contents.manifests.keys().filter(|it| !left.manifests.contains_key(*it)).copied().collect();
    (tags, manifests)
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let within = || proptest::option::weighted(0.3, (0..12_u64).prop_map(hours));
    let count = || proptest::option::weighted(0.3, 0..4_usize);
    (within(), within(), count(), count()).prop_map(
        |(pulled_within, pushed_within, most_recently_pushed, most_recently_pulled)| Rule {
            pulled_within,
            pushed_within,
            most_recently_pushed,
            most_recently_pulled,
        },
    )
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let pattern = prop_oneof![Just(""), Just("^v"), Just("1"), Just("x")];
    let tag_rule = (pattern, any_rule()).prop_map(|(pattern, own)| rule(pattern, own));
    let rules = proptest::collection::vec(tag_rule, 0..3);
    (rules, any::<(bool, bool)>(), proptest::option::of(any_rule())).prop_map(
        |(keep_tags, flags, keep_untagged)| Policy {
            delete_referrers: flags.0,
            delete_untagged: flags.1,
            keep_untagged,
            ..policy(keep_tags)
        },
    )
}

fn any_contents() -> impl Strategy<Value = Contents> {
    let hour = || (0..12_u64).prop_map(at);
    let one = (
        hour(),
        proptest::option::of(hour()),
        proptest::option::weighted(0.3, 0..9_usize),
        proptest::collection::vec(any::<Index>(), 0..2),
    );
    let tags = proptest::collection::btree_map(
        prop_oneof![Just(0), Just(1), Just(2), Just(3), Just(4), Just(5)],
        (0..8_usize, hour()),
        0..6,
    );
    (proptest::collection::vec(one, 1..8), tags).prop_map(|(all, tags)| {
        let mut contents = Contents::default();
        for (number, (pushed_at, pulled_at, subject, references)) in all.into_iter().enumerate() {
            // A manifest needs only what was there before it.
            let references =
                references.iter().filter(|_| number > 0).map(|it| digest(it.index(number.max(1))));
            let facts = Facts {
                pushed_at,
                pulled_at,
                subject: subject.map(digest),
                references: references.collect(),
            };
            contents.manifests.insert(digest(number), facts);
        }
        let names = [
            "v1".to_owned(),
            "v2".to_owned(),
            "x1".to_owned(),
            "other".to_owned(),
            format!("sha256-{}.sig", digest(0).hex()),
            format!("sha256-{}", digest(3).hex()),
        ];
        for (name, (number, pushed_at)) in tags {
            let digest = digest(number % contents.manifests.len());
            contents.tags.insert(tag(&names[name]), TagEntry { digest, pushed_at });
        }
        contents
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_goes_is_what_nothing_keeps(policy in any_policy(), contents in any_contents(), known in 0..12_u64, delay in 0..12_u64) {
        let moment = Moment { pulls_known_since: at(known), delay: hours(delay), ..NOON };
        let decision = decide(&policy, &contents, moment);
        let (tags, manifests) = model(&policy, &contents, moment);
        prop_assert_eq!(&decision.tags, &tags);
        prop_assert_eq!(decision.manifests.iter().copied().collect::<BTreeSet<_>>(), manifests);
        // Each after those that need it.
        for (place, digest) in decision.manifests.iter().enumerate() {
            let later = &decision.manifests[place + 1..];
            prop_assert!(!later.iter().any(|it| contents.manifests[it].references.contains(digest)));
        }
        prop_assert!(!policy.keep_tags.is_empty() || tags.iter().all(|tag| subject_of(tag).is_some()));
    }
}
