//! The sections `http.auth` and `http.accessControl`.

use super::{Resolved, bearer, ldap};
use crate::auth::options::{
    AccessControl, Action, Attribute, CertificateOptions, ConditionOptions, MetricsPolicy, RepositoryPolicy,
    Rule, UriPattern,
};
use crate::config::checked::{Checked, FromChecked, View};
use crate::config::error::Fault;

/// Sets what `http` says of who may do what.
pub(super) fn auth(http: View<'_>, resolved: &mut Resolved) {
    let options = &mut resolved.config.auth;
    http.read("realm", &mut options.realm);
    let section = http.at("auth");
    options.htpasswd = section.at("htpasswd").at("path").get();
    section.read("failDelay", &mut options.fail_delay);
    section.read("maxFailures", &mut options.failures_max);
    section.read("failureWindow", &mut options.failure_window);
    section.read("cacheTtl", &mut options.cache_ttl);
    section.read("cacheEntries", &mut options.cache_entries_max);
    section.read("maxVerifications", &mut options.verifications_max);
    section.read("apikey", &mut options.api_keys);
    let makes_keys = ["htpasswd", "ldap"].iter().any(|way| section.at(way).is_written())
        || http.at("tls").at("cacert").is_written();
    if options.api_keys && !makes_keys {
        let message = "there are no accounts (http.auth.htpasswd), so nobody can make a key";
        resolved.warnings.push(Fault::new("http.auth.apikey", message));
    }
    let token = section.at("token");
    token.read("enable", &mut options.token.enable);
    options.token.key_file = token.at("keyFile").get();
    token.read("expiry", &mut options.token.life);
    token.read("refreshExpiry", &mut options.token.refresh_life);
    token.read("keyRotation", &mut options.token.rotation);
    let is_certified = http.at("tls").at("cacert").is_written();
    options.certificates = is_certified.then(|| certificates(section.at("mtls")));
    if section.at("mtls").is_written() && !is_certified {
        resolved.faults.push(Fault::new(
            "http.auth.mtls",
            "needs http.tls.cacert: without authorities no client certificate is asked for",
        ));
    }
    ldap::ldap(section, resolved);
    bearer::bearer(section.at("bearer"), resolved);
    let access = http.at("accessControl");
    if !access.is_written() {
        bearer::warn_of_anybody(resolved);
        return;
    }
    let access = access_control(access);
    condition_faults(&access, &mut resolved.faults);
    let logs_in =
        ["htpasswd", "ldap", "bearer"].iter().any(|way| section.at(way).is_written()) || is_certified;
    if !logs_in && grants_to_accounts(&access) {
        resolved.warnings.push(Fault::new(
            "http.accessControl",
            "there are no accounts (http.auth.htpasswd), so only an anonymousPolicy grants anything",
        ));
    }
    // What groups a directory has is known to the directory alone, and what a token brings to its issuer.
    let brings = |oidc: View<'_>| oidc.at("claimMapping").at("groups").is_written();
    let are_brought = section.at("bearer").at("oidc").items().any(brings);
    if !section.at("ldap").at("userGroupAttribute").is_written() && !are_brought {
        unknown_groups(http.at("accessControl"), &access, &mut resolved.warnings);
    }
    resolved.config.auth.access = Some(access);
}

fn certificates(section: View<'_>) -> CertificateOptions {
    let mut options = CertificateOptions::default();
    let attributes = section.at("identityAttributes").list();
    if !attributes.is_empty() {
        options.attributes = attributes;
    }
    options.uri_pattern = section.at("uriSanPattern").get();
    section.read("uriSanIndex", &mut options.uri_index);
    section.read("dnsSanIndex", &mut options.dns_index);
    section.read("emailSanIndex", &mut options.email_index);
    options
}

fn access_control(section: View<'_>) -> AccessControl {
    AccessControl {
        repositories: section
            .at("repositories")
            .entries()
            .map(|(glob, policy)| (glob.to_owned(), repository_policy(policy)))
            .collect(),
        admin: rule(section.at("adminPolicy")),
        groups: section
            .at("groups")
            .entries()
            .map(|(name, group)| (name.to_owned(), group.at("users").list()))
            .collect(),
        metrics: section.at("metrics").is_written().then(|| MetricsPolicy {
            users: section.at("metrics").at("users").list(),
            anonymous_policy: section.at("metrics").at("anonymousPolicy").list(),
        }),
    }
}

fn repository_policy(section: View<'_>) -> RepositoryPolicy {
    RepositoryPolicy {
        policies: section.at("policies").items().map(rule).collect(),
        default_policy: section.at("defaultPolicy").list(),
        anonymous_policy: section.at("anonymousPolicy").list(),
    }
}

fn rule(section: View<'_>) -> Rule {
    Rule {
        users: section.at("users").list(),
        groups: section.at("groups").list(),
        actions: section.at("actions").list(),
        conditions: section.at("conditions").items().map(condition).collect(),
    }
}

fn condition(section: View<'_>) -> ConditionOptions {
    let mut condition = ConditionOptions::default();
    section.read("expression", &mut condition.expression);
    section.read("message", &mut condition.message);
    condition
}

fn grants_to_accounts(access: &AccessControl) -> bool {
    let grants = |rule: &Rule| !rule.actions.is_empty();
    grants(&access.admin)
        || access
            .repositories
            .iter()
            .any(|(_, policy)| !policy.default_policy.is_empty() || policy.policies.iter().any(grants))
}

/// Tells of conditions that are none.
fn condition_faults(access: &AccessControl, faults: &mut Vec<Fault>) {
    let mut check = |path: &str, rule: &Rule| {
        for (index, condition) in rule.conditions.iter().enumerate() {
            if let Some(message) = condition.fault() {
                faults.push(Fault::new(format!("{path}.conditions[{index}].expression"), message));
            }
        }
    };
    for (glob, policy) in &access.repositories {
        for (index, rule) in policy.policies.iter().enumerate() {
            check(&format!("http.accessControl.repositories[{glob:?}].policies[{index}]"), rule);
        }
    }
    check("http.accessControl.adminPolicy", &access.admin);
}

/// Warns of groups that have no members: a rule for one grants nothing to anybody.
fn unknown_groups(section: View<'_>, access: &AccessControl, warnings: &mut Vec<Fault>) {
    let mut check = |path: &str, rule: View<'_>| {
        for (index, group) in rule.at("groups").items().enumerate() {
            let Some(name) = group.get::<String>() else { continue };
            if !access.groups.contains_key(&name) {
                let path = format!("{path}.groups[{index}]");
                warnings.push(Fault::new(path, "there is no such group below http.accessControl.groups"));
            }
        }
    };
    for (glob, policy) in section.at("repositories").entries() {
        for (index, rule) in policy.at("policies").items().enumerate() {
            check(&format!("http.accessControl.repositories[{glob:?}].policies[{index}]"), rule);
        }
    }
    check("http.accessControl.adminPolicy", section.at("adminPolicy"));
}

impl FromChecked for Attribute {
    fn from_checked(checked: &Checked) -> Option<Self> {
        Self::parse(&String::from_checked(checked)?)
    }
}

impl FromChecked for UriPattern {
    fn from_checked(checked: &Checked) -> Option<Self> {
        Self::parse(&String::from_checked(checked)?).ok()
    }
}

impl FromChecked for Action {
    fn from_checked(checked: &Checked) -> Option<Self> {
        match String::from_checked(checked)?.as_str() {
            "read" => Some(Self::Read),
            "create" => Some(Self::Create),
            "fetch" => Some(Self::Fetch),
            "update" => Some(Self::Update),
            "delete" => Some(Self::Delete),
            "detectManifestCollision" => Some(Self::DetectManifestCollision),
            _ => None,
        }
    }
}
