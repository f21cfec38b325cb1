//! Which checks run, and which are waiting for what.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{Check, Level, Need, Outcome};
use crate::context::Shared;
use crate::source::Source;

/// Picks checks out of the registry of checks.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The weakest level that runs.
    pub level: Level,
    /// Only checks whose id or clause matches; `*` stands for anything.
    pub filter: Option<String>,
}

impl Selection {
    /// Returns the chosen checks with their prerequisites, in the order of the registry of checks.
    ///
    /// The base check comes with every choice: a target that fails it must not pass anything.
    pub fn pick<'c>(&self, all: &'c [Check]) -> Vec<&'c Check> {
        let mut ids: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&Check> = all.iter().filter(|check| self.wants(check)).collect();
        if let Some(base) = all.first().filter(|_| !open.is_empty()) {
            open.push(base);
        }
        while let Some(check) = open.pop() {
            if ids.insert(check.id) {
                open.extend(all.iter().filter(|other| check.after.contains(&other.id)));
            }
        }
        all.iter().filter(|check| ids.contains(check.id)).collect()
    }

    fn wants(&self, check: &Check) -> bool {
        let text = format!("{} {}", check.id, check.clause());
        let matches = self.filter.as_deref().is_none_or(|filter| {
            filter.split(',').any(|pattern| {
                let exact = glob(&pattern.to_lowercase(), &check.id.to_lowercase());
                exact || glob(&format!("*{}*", pattern.to_lowercase()), &text.to_lowercase())
            })
        });
        check.level <= self.level && matches
    }
}

/// Matches a text against a pattern in which `*` stands for any run of characters.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut rest = rest;
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// What may happen with a check next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A prerequisite has not finished.
    Wait,
    /// It can run.
    Run,
    /// It will not run.
    Drop(Outcome, String),
}

/// Decides what happens with a check, given the outcomes so far.
///
/// `beside` are checks that this kind of run leaves out; whoever comes after them does not wait.
pub fn next(
    check: &Check,
    base: &str,
    done: &BTreeMap<&str, Outcome>,
    beside: &BTreeSet<&str>,
    lacks: Option<String>,
) -> Next {
    let prerequisites = check.after.iter().copied().filter(|id| !beside.contains(id));
    let prerequisites = prerequisites.chain((check.id != base).then_some(base));
    let mut waiting = false;
    let mut skipped = None;
    for id in prerequisites {
        match done.get(id) {
            None => waiting = true,
            Some(Outcome::Pass) => {}
            Some(Outcome::Skip) => skipped = Some(id),
            Some(_) => return Next::Drop(Outcome::Moot, format!("{id} did not pass")),
        }
    }
    if let Some(reason) = lacks {
        return if waiting { Next::Wait } else { Next::Drop(Outcome::Skip, reason) };
    }
    match (waiting, skipped) {
        (true, _) => Next::Wait,
        (false, Some(id)) => Next::Drop(Outcome::Skip, format!("{id} was skipped")),
        (false, None) => Next::Run,
    }
}

/// Returns why a check cannot run against this target; none when it can.
pub fn lacks(check: &Check, shared: &Shared, heavy: bool) -> Option<String> {
    let of_run = shared.source.lacks(check.content).map(str::to_owned);
    of_run.or_else(|| check.needs.iter().find_map(|need| lacks_need(*need, shared, heavy)))
}

fn lacks_need(need: Need, shared: &Shared, heavy: bool) -> Option<String> {
    let given = match need {
        Need::Feature(feature) => {
            let reason = shared.features.missing(feature)?;
            return Some(format!("the target does not offer {}: {reason}", feature.name()));
        }
        Need::Control(_) => shared.controls.given(),
        Need::Credentials => shared.login.account().is_some(),
        Need::Tokens => shared.login.is_bearer(),
        Need::Reader => shared.reader.is_some(),
        Need::Outsider => shared.outsider.is_some(),
        Need::SecondOrigin => {
            matches!(&shared.source, Source::Origins(all) if all.iter().filter(|one| one.ns.is_some()).count() > 1)
        }
        Need::Heavy => heavy,
    };
    (!given).then(|| format!("needs {need}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Run;

    const NOTHING: Run = |_| Box::pin(async { Ok(()) });
    const CHECKS: [Check; 5] = [
        Check::new("T-001", Level::Must, "base", "answers", NOTHING),
        Check::new("T-002", Level::Observe, "base", "slash", NOTHING),
        Check::new("R-047", Level::Must, "push", "blob", NOTHING),
        Check::new("T-010", Level::Must, "names", "upper", NOTHING).after(&["R-047"]),
        Check::new("T-011", Level::Should, "names", "lower", NOTHING).after(&["T-010"]),
    ];

    fn picked(level: Level, filter: Option<&str>) -> Vec<&'static str> {
        let selection = Selection { level, filter: filter.map(str::to_owned) };
        selection.pick(&CHECKS).iter().map(|check| check.id).collect()
    }

    #[test]
    fn choices_come_with_their_prerequisites() {
        assert_eq!(picked(Level::Observe, None), ["T-001", "T-002", "R-047", "T-010", "T-011"]);
        assert_eq!(picked(Level::Must, None), ["T-001", "R-047", "T-010"]);
        assert_eq!(picked(Level::Observe, Some("t-011")), ["T-001", "R-047", "T-010", "T-011"]);
        assert_eq!(picked(Level::Observe, Some("slash,push")), ["T-001", "T-002", "R-047"]);
        assert_eq!(picked(Level::Observe, Some("T-*")), ["T-001", "T-002", "R-047", "T-010", "T-011"]);
        assert!(picked(Level::Must, Some("lower")).is_empty());
    }

    #[test]
    fn patterns_match_as_globs() {
        let check = |pattern: &str, text: &str, expect: bool| {
            assert_eq!(glob(pattern, text), expect, "{pattern} {text}");
        };
        check("t-0*1", "t-021", true);
        check("t-0*1", "t-022", false);
        check("t-021", "t-021a", false);
        check("*", "", true);
        check("a*b*c", "aXbYc", true);
        check("a*b*c", "aXc", false);
        check("ab*ab", "ab", false);
    }

    #[test]
    fn prerequisites_decide() {
        let check = |after: &[(&'static str, Outcome)], lacks: Option<&str>| {
            let lacks = lacks.map(str::to_owned);
            next(&CHECKS[3], "T-001", &after.iter().copied().collect(), &BTreeSet::new(), lacks)
        };
        let passed = ("T-001", Outcome::Pass);
        assert_eq!(check(&[passed], None), Next::Wait);
        assert_eq!(check(&[passed, ("R-047", Outcome::Pass)], None), Next::Run);
        let moot = |id: &str| Next::Drop(Outcome::Moot, format!("{id} did not pass"));
        assert_eq!(check(&[("T-001", Outcome::Fail)], None), moot("T-001"));
        assert_eq!(check(&[passed, ("R-047", Outcome::Known)], None), moot("R-047"));
        assert_eq!(check(&[passed, ("R-047", Outcome::Error)], Some("x")), moot("R-047"));
        let skip = |text: &str| Next::Drop(Outcome::Skip, text.to_owned());
        assert_eq!(check(&[passed, ("R-047", Outcome::Skip)], None), skip("R-047 was skipped"));
        assert_eq!(check(&[passed, ("R-047", Outcome::Pass)], Some("x")), skip("x"));
        let beside = next(&CHECKS[3], "T-001", &[passed].into(), &["R-047"].into(), None);
        assert_eq!(beside, Next::Run, "what this kind of run leaves out is not waited for");
    }
}
