//! Goal: no requirement is forgotten and no check is careless. Method: compare the registry of checks with
//! the committed lists of requirements and of those that are not checked, in both directions.

use std::collections::{BTreeMap, BTreeSet};

use conformance::checks;
use conformance::known::Known;

/// Requirements as `id level who`.
const REQUIREMENTS: &str = include_str!("../requirements.txt");
/// Requirements without a check, as `id reason`.
const UNCHECKED: &str = include_str!("../unchecked.txt");

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn of_registries() -> BTreeMap<&'static str, &'static str> {
    lines(REQUIREMENTS)
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (id, level, who) = (words.next()?, words.next()?, words.next()?);
            matches!(who, "reg" | "both" | "ext").then_some((id, level))
        })
        .collect()
}

fn covered() -> BTreeSet<&'static str> {
    checks::all().iter().flat_map(|check| check.covers.iter().copied()).collect()
}

fn unchecked() -> BTreeMap<&'static str, &'static str> {
    lines(UNCHECKED).map(|line| line.split_once(' ').expect("an id, a space and a reason")).collect()
}

#[test]
fn every_requirement_on_registries_has_a_check_or_a_reason() {
    let (covered, unchecked, requirements) = (covered(), unchecked(), of_registries());
    assert!(requirements.values().filter(|level| level.contains("must")).count() > 50);
    let missing: Vec<_> = requirements
        .iter()
        .filter(|(id, _)| !covered.contains(*id) && !unchecked.contains_key(*id))
        .collect();
    assert!(missing.is_empty(), "{missing:?} have neither a check nor a line in unchecked.txt");
    let both: Vec<_> = unchecked.keys().filter(|id| covered.contains(*id)).collect();
    assert!(both.is_empty(), "{both:?} are checked and listed as unchecked");
    let thin: Vec<_> = unchecked.iter().filter(|(_, reason)| reason.len() < 20).collect();
    assert!(thin.is_empty(), "{thin:?} need a reason that says something");
}

#[test]
fn checks_and_lists_name_only_requirements_that_exist() {
    let all: BTreeSet<&str> = lines(REQUIREMENTS).filter_map(|line| line.split_whitespace().next()).collect();
    let unknown: Vec<_> =
        covered().into_iter().chain(unchecked().into_keys()).filter(|id| !all.contains(id)).collect();
    assert!(unknown.is_empty(), "{unknown:?} are no requirements");
}

#[test]
fn every_test_of_the_catalogue_is_listed() {
    let ids: BTreeSet<&str> = checks::all().iter().map(|check| check.id).collect();
    let missing: Vec<String> =
        (1..=174).map(|number| format!("T-{number:03}")).filter(|id| !ids.contains(id.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?} are not in the registry of checks");
}

#[test]
fn checks_are_well_formed() {
    let all = checks::all();
    assert_eq!(all[0].id, checks::BASE);
    let mut seen = BTreeSet::new();
    for check in all {
        let id = check.id;
        assert!(seen.insert(id), "{id} stands twice");
        let digits: String = id.chars().skip(2).take(3).collect();
        let tail: String = id.chars().skip(5).collect();
        assert!(id.starts_with("T-") || id.starts_with("R-"), "{id}");
        assert!(digits.len() == 3 && digits.chars().all(|c| c.is_ascii_digit()), "{id}");
        assert!(tail.len() <= 1 && tail.chars().all(|c| c.is_ascii_lowercase()), "{id}");
        assert!(check.says.ends_with('.') && check.why.ends_with('.') && check.breaks.ends_with('.'), "{id}");
        assert!(!check.anchor.is_empty(), "{id}");
        for other in check.after {
            let Some(other) = all.iter().find(|candidate| candidate.id == *other) else {
                panic!("{id} comes after {other}, which does not exist");
            };
            assert!(
                other.level <= check.level,
                "{id} needs {}, which a run of its level leaves out",
                other.id
            );
        }
    }
}

#[test]
fn known_failures_parse() {
    let ids: Vec<&str> = checks::all().iter().map(|check| check.id).collect();
    let text = include_str!("../known/docker-registry.txt");
    Known::parse(text, &ids).unwrap();
}
