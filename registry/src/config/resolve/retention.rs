//! The section `retention` of a store.

use crate::config::checked::{Checked, FromChecked, View};
use crate::config::error::Fault;
use crate::store::options::retention::{Glob, Pattern, Policy, Retention, Rule, TagRule};
use crate::upstream::options::pattern;

/// Returns what a section means.
pub(super) fn retention(section: View<'_>) -> Retention {
    let mut retention = Retention::default();
    section.read("dryRun", &mut retention.dry_run);
    section.read("delay", &mut retention.delay);
    retention.policies = section.at("policies").items().map(policy).collect();
    retention
}

/// Warns, where somebody has thought of garbage, that manifests without a tag stay which zot would remove; and of
/// policies that are for nobody.
pub(super) fn warn(storage: View<'_>, path: &str, warnings: &mut Vec<Fault>) {
    let policies = storage.at("retention").at("policies");
    for (index, policy) in policies.items().enumerate() {
        if policy.at("repositories").items().next().is_none() {
            let path = format!("{path}.retention.policies[{index}]");
            warnings.push(Fault::new(path, "names no repositories, so it is for none"));
        }
    }
    let is_off = storage.at("gc").get() == Some(false);
    let is_thought_of =
        ["gc", "gcDelay", "gcInterval", "retention"].iter().any(|key| storage.at(key).is_written());
    let says_untagged = policies.items().any(|policy| policy.at("deleteUntagged").is_written());
    if is_thought_of && !is_off && !says_untagged {
        let message =
            "does not say deleteUntagged: manifests without a tag stay; zot deletes them by default";
        warnings.push(Fault::new(format!("{path}.retention"), message));
    }
}

fn policy(section: View<'_>) -> Policy {
    let mut policy = Policy {
        repositories: section.at("repositories").list(),
        delete_referrers: false,
        delete_untagged: false,
        keep_tags: section.at("keepTags").items().map(tag_rule).collect(),
        keep_untagged: None,
    };
    section.read("deleteReferrers", &mut policy.delete_referrers);
    section.read("deleteUntagged", &mut policy.delete_untagged);
    if section.at("keepUntagged").is_written() {
        policy.keep_untagged = Some(rule(section.at("keepUntagged")));
    }
    policy
}

fn tag_rule(section: View<'_>) -> TagRule {
    TagRule { patterns: section.at("patterns").list(), rule: rule(section) }
}

fn rule(section: View<'_>) -> Rule {
    Rule {
        pulled_within: section.at("pulledWithin").get(),
        pushed_within: section.at("pushedWithin").get(),
        most_recently_pushed: section.at("mostRecentlyPushedCount").get(),
        most_recently_pulled: section.at("mostRecentlyPulledCount").get(),
    }
}

impl FromChecked for Glob {
    fn from_checked(checked: &Checked) -> Option<Self> {
        Self::parse(&String::from_checked(checked)?)
    }
}

impl FromChecked for Pattern {
    fn from_checked(checked: &Checked) -> Option<Self> {
        pattern::compile(&String::from_checked(checked)?).ok().map(Self::from)
    }
}
