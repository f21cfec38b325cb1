//! From the checked tree to the options of the layers, with what several keys say together.
//!
//! Single values were checked before; here it is only which field a key sets. Faults of the whole
//! (names that stand twice, rules for nobody) are found here.

mod auth;
mod bearer;
mod bucket;
mod credentials;
mod ldap;
mod mirroring;
mod retention;
mod server;
pub(super) mod stores;
mod upstream;

use super::checked::View;
use super::error::Fault;
use super::options::Config;

/// A configuration, to be thrown away if anything is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// The configuration, with defaults where a key is absent or faulty.
    pub(super) config: Config,
    /// What is wrong with keys together.
    pub(super) faults: Vec<Fault>,
    /// What is worth knowing of keys together.
    pub(super) warnings: Vec<Fault>,
}

/// Returns what a whole file means.
pub(super) fn resolve(file: View<'_>) -> Resolved {
    let mut resolved = Resolved::default();
    server::http(file.at("http"), &mut resolved.config.http);
    server::tls(file.at("http").at("tls"), &mut resolved.config.http);
    server::trusted(&mut resolved);
    server::rates(file.at("http").at("ratelimit"), &mut resolved);
    server::store(file, &mut resolved);
    retention::warn(file.at("storage"), "storage", &mut resolved.warnings);
    server::stores_by_component(file.at("storage").at("subPaths"), &mut resolved);
    server::metrics(file.at("extensions").at("metrics"), &mut resolved.config.metrics);
    server::scrub(file.at("extensions").at("scrub"), &mut resolved.config.scrub);
    server::log(file.at("log"), &mut resolved.config.log);
    auth::auth(file.at("http"), &mut resolved);
    let sync = file.at("extensions").at("sync");
    upstream::upstreams(sync, &mut resolved);
    server::spools(sync.at("downloadDir").get(), &mut resolved);
    resolved
}

#[cfg(test)]
mod tests {
    use crate::config::error::Faults;
    use crate::config::key::{Class, Key};
    use crate::config::keys;
    use crate::config::kind::Kind;
    use crate::config::load::{Loaded, interpret};
    use crate::config::raw::{Raw, read};

    macro_rules! fixture {
        ($name:literal) => {
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/configs/", $name))
        };
    }

    /// A file with every honoured key that can stand beside the others, each with a value that is not its default.
    const EVERYTHING: &str = fixture!("everything.yaml");
    /// The first of these in which a key stands says what it does: a store is in one place.
    const FILES: [&str; 8] = [
        EVERYTHING,
        fixture!("ldap-plain.yaml"),
        fixture!("bucket.yaml"),
        fixture!("driver-s3.yaml"),
        fixture!("driver-gcs.yaml"),
        fixture!("driver-gcs-keyfile.yaml"),
        fixture!("driver-azure.yaml"),
        fixture!("driver-azure-client.yaml"),
    ];

    fn meaning(raw: &Raw) -> Result<Loaded, Faults> {
        interpret(raw, &|_| None)
    }

    /// Sets the value of `path` wherever it stands in `raw`, or removes it; returns how often.
    fn set(raw: &mut Raw, path: &[&str], value: Option<&Raw>) -> usize {
        match (raw, path) {
            (Raw::List(items), _) => items.iter_mut().map(|item| set(item, path, value)).sum(),
            (Raw::Section(entries), ["*", rest @ ..]) => {
                entries.iter_mut().map(|(_, below)| set(below, rest, value)).sum()
            }
            (Raw::Section(entries), [name]) => {
                let before = entries.len();
                entries.retain(|(key, _)| key != name);
                let found = before - entries.len();
                if let (Some(value), true) = (value, found > 0) {
                    entries.push(((*name).to_owned(), value.clone()));
                }
                found
            }
            (Raw::Section(entries), [name, rest @ ..]) => entries
                .iter_mut()
                .filter(|(key, _)| key == name)
                .map(|(_, below)| set(below, rest, value))
                .sum(),
            _ => 0,
        }
    }

    /// Keys of which a section needs one: without it, its section is a fault, or another that rests on it.
    const ALTERNATIVES: [&str; 10] = [
        "http.tls.cacert",
        "http.auth.ldap.bindDN",
        "http.auth.ldap.bindPassword",
        "http.auth.bearer.realm",
        "http.auth.bearer.service",
        "storage.storageDriver.bucket",
        "storage.storageDriver.container",
        "storage.storageDriver.accountname",
        "extensions.sync.registries[].oauth2CredentialHelper.assertionFile",
        "extensions.sync.registries[].oauth2CredentialHelper.signingFile",
    ];

    /// Returns the file in which a key stands, as it is and with another value.
    fn changed(key: &Key, value: Option<&Raw>) -> (Raw, Raw) {
        let path: Vec<&str> = key.path.split('.').map(|name| name.trim_end_matches("[]")).collect();
        let files = FILES.iter().map(|file| read(file).expect("the fixture is YAML"));
        let mut changed = files.filter_map(|file| {
            let mut changed = file.clone();
            (set(&mut changed, &path, value) > 0).then_some((file, changed))
        });
        changed.next().unwrap_or_else(|| panic!("{} stands in one of the files", key.path))
    }

    fn honoured_values() -> impl Iterator<Item = &'static Key> {
        keys::all().filter(|key| {
            let section = matches!(key.kind, Kind::Section | Kind::Map(..) | Kind::List(Kind::Section));
            key.class == Class::Honoured && !section
        })
    }

    #[test]
    fn every_honoured_key_has_an_effect() {
        let everything = meaning(&read(EVERYTHING).expect("the fixture is YAML")).expect("it has no fault");
        // With this one off there are no upstreams, and no other key of theirs would show.
        let on = "extensions.sync.enable";
        for key in honoured_values().filter(|key| key.path != on) {
            let (file, without) = changed(key, None);
            let with = meaning(&file).expect("the file has no fault");
            match meaning(&without) {
                Ok(without) => assert_ne!(without.config, with.config, "{} does nothing", key.path),
                Err(faults) => {
                    assert!(key.required || ALTERNATIVES.contains(&key.path), "{}: {faults}", key.path);
                }
            }
        }
        assert!(!everything.config.upstreams.is_empty());
        let on = keys::all().find(|key| key.path == on).expect("the key is in the table");
        let off = meaning(&changed(on, Some(&Raw::Bool(false))).1).expect("it has no fault");
        assert!(off.config.upstreams.is_empty());
    }

    #[test]
    fn every_default_is_what_holds_without_the_key() {
        for key in honoured_values().filter(|key| !key.default.is_empty()) {
            let written = meaning(&changed(key, Some(&Raw::Text(key.default.to_owned()))).1).expect(key.path);
            let absent = meaning(&changed(key, None).1).expect(key.path);
            assert_eq!(written.config, absent.config, "{} has the default {}", key.path, key.default);
        }
    }

    /// Lists are empty, accounts, rates, names, places, authorities and what a token endpoint may want absent,
    /// an age has no bound, and one wait is by default another's; every other value has a default.
    const ABSENT: [&str; 72] = [
        "http.accessControl.repositories.*.policies[].conditions[].expression",
        "http.accessControl.repositories.*.policies[].conditions[].message",
        "http.accessControl.adminPolicy.conditions[].expression",
        "http.accessControl.adminPolicy.conditions[].message",
        "storage.shared",
        "storage.bucket.url",
        "extensions.sync.downloadDir",
        "storage.gcTimeWindow",
        "storage.retention.policies[].keepTags[].pulledWithin",
        "storage.retention.policies[].keepTags[].pushedWithin",
        "storage.retention.policies[].keepTags[].mostRecentlyPushedCount",
        "storage.retention.policies[].keepTags[].mostRecentlyPulledCount",
        "storage.retention.policies[].keepUntagged.pulledWithin",
        "storage.retention.policies[].keepUntagged.pushedWithin",
        "storage.retention.policies[].keepUntagged.mostRecentlyPushedCount",
        "storage.retention.policies[].keepUntagged.mostRecentlyPulledCount",
        "http.externalUrl",
        "log.audit",
        "http.ratelimit.rate",
        "http.ratelimit.methods[].method",
        "http.ratelimit.methods[].rate",
        "http.auth.htpasswd.path",
        "http.auth.mtls.uriSanPattern",
        "http.tls.cert",
        "http.tls.key",
        "http.tls.cacert",
        "http.auth.token.keyFile",
        "http.auth.ldap.credentialsFile",
        "http.auth.ldap.bindDN",
        "http.auth.ldap.bindPassword",
        "http.auth.ldap.address",
        "http.auth.ldap.port",
        "http.auth.ldap.baseDN",
        "http.auth.ldap.userAttribute",
        "http.auth.ldap.userFilter",
        "http.auth.ldap.userGroupAttribute",
        "http.auth.ldap.caCert",
        "http.auth.bearer.realm",
        "http.auth.bearer.service",
        "http.auth.bearer.cert",
        "http.auth.bearer.jwks",
        "http.auth.bearer.issuer",
        "http.auth.bearer.oidc[].issuer",
        "http.auth.bearer.oidc[].claimMapping.variables[].name",
        "http.auth.bearer.oidc[].claimMapping.variables[].expression",
        "http.auth.bearer.oidc[].claimMapping.validations[].expression",
        "http.auth.bearer.oidc[].claimMapping.validations[].message",
        "http.auth.bearer.oidc[].claimMapping.groups",
        "http.auth.bearer.oidc[].certificateAuthority",
        "http.auth.bearer.oidc[].certificateAuthorityFile",
        "extensions.sync.credentialsFile",
        "extensions.sync.registries[].credentialHelper",
        "extensions.sync.registries[].oauth2CredentialHelper.tokenURL",
        "extensions.sync.registries[].oauth2CredentialHelper.assertionFile",
        "extensions.sync.registries[].oauth2CredentialHelper.signingFile",
        "extensions.sync.registries[].oauth2CredentialHelper.clientID",
        "extensions.sync.registries[].oauth2CredentialHelper.clientSecretFile",
        "extensions.sync.registries[].oauth2CredentialHelper.audience",
        "extensions.sync.registries[].oauth2CredentialHelper.requestedTokenType",
        "extensions.sync.registries[].reqPerSec",
        "extensions.sync.registries[].name",
        "extensions.sync.registries[].certDir",
        "extensions.sync.registries[].content[].prefix",
        "extensions.sync.registries[].content[].destination",
        "extensions.sync.registries[].maxRetryDelay",
        "extensions.sync.registries[].staleMaxAge",
        "extensions.sync.registries[].storage",
        "extensions.sync.registries[].cache.maxBytes",
        "extensions.sync.registries[].cache.maxAge",
        "extensions.sync.registries[].content[].tags.regex",
        "extensions.sync.registries[].content[].tags.excludeRegex",
        "extensions.sync.registries[].mirrorDeleteMax",
    ];

    #[test]
    fn every_value_without_a_default_has_a_reason() {
        for key in honoured_values().filter(|key| key.default.is_empty()) {
            let list = matches!(key.kind, Kind::List(_) | Kind::Filled(_));
            // What zot's drivers are told is told to the provider's client, which has its own defaults.
            let driver = key.path.starts_with("storage.storageDriver.");
            assert!(list || driver || ABSENT.contains(&key.path), "{} has a default", key.path);
        }
    }
}
