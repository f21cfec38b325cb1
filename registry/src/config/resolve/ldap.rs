//! The section `http.auth.ldap`.

use std::path::PathBuf;

use super::Resolved;
use crate::auth::options::ldap::{AccountSource, BindAccount, Depth, LdapOptions, Security, Verification};
use crate::config::checked::View;
use crate::config::error::Fault;

/// Where the section is.
const SECTION: &str = "http.auth.ldap";

/// Sets what `http.auth` says of a directory; what is remembered of its logins stands beside it.
pub(super) fn ldap(auth: View<'_>, resolved: &mut Resolved) {
    let section = auth.at("ldap");
    if !section.is_written() {
        return;
    }
    let mut options = LdapOptions {
        security: security(section),
        account: account(section, &mut resolved.faults),
        ca_file: section.at("caCert").get(),
        user_filter: section.at("userFilter").get(),
        group_attribute: section.at("userGroupAttribute").get(),
        ..LdapOptions::default()
    };
    options.port = section.at("port").get().unwrap_or(options.security.port());
    section.read("address", &mut options.host);
    section.read("baseDN", &mut options.base_dn);
    section.read("userAttribute", &mut options.user_attribute);
    section.read("timeout", &mut options.timeout);
    section.read("poolSize", &mut options.pool_size);
    auth.read("cacheTtl", &mut options.cache_ttl);
    auth.read("cacheEntries", &mut options.cache_entries_max);
    if is_on(section, "skipVerify") {
        options.verification = Verification::Skipped;
    }
    if is_on(section, "subtreeSearch") {
        options.depth = Depth::Subtree;
    }
    for (key, fault) in options.faults() {
        // What is absent or no text at all is a fault already.
        if section.at(key).get::<String>().is_some() {
            resolved.faults.push(Fault::new(format!("{SECTION}.{key}"), fault.to_string()));
        }
    }
    warn(section, &options, &mut resolved.warnings);
    resolved.config.auth.ldap = Some(options);
}

/// `insecure` and `startTLS` together are how zot is told of StartTLS. Alone, `startTLS` asks for TLS
/// and says how, so it is taken at its word.
fn security(section: View<'_>) -> Security {
    match (is_on(section, "startTLS"), is_on(section, "insecure")) {
        (true, _) => Security::StartTls,
        (false, true) => Security::Plain,
        (false, false) => Security::Ldaps,
    }
}

fn account(section: View<'_>, faults: &mut Vec<Fault>) -> AccountSource {
    let mut fault = |key: &str, message: &str| {
        faults.push(Fault::new(format!("{SECTION}.{key}"), message));
        AccountSource::Anonymous
    };
    let file: Option<PathBuf> = section.at("credentialsFile").get();
    let (dn, password) = (section.at("bindDN").get(), section.at("bindPassword").get());
    match (file, dn, password) {
        (None, None, None) => AccountSource::Anonymous,
        (Some(file), None, None) => AccountSource::File(file),
        (None, Some(dn), Some(password)) => AccountSource::Written(BindAccount { dn, password }),
        (Some(_), ..) => {
            fault("credentialsFile", "bindDN and bindPassword are written as well; one account searches")
        }
        (None, Some(_), None) => fault(
            "bindDN",
            "there is no bindPassword, without which a directory takes the bind for an anonymous one; leave both out to search anonymously",
        ),
        (None, None, Some(_)) => fault("bindPassword", "there is no bindDN that it is of"),
    }
}

fn warn(section: View<'_>, options: &LdapOptions, warnings: &mut Vec<Fault>) {
    let mut warn = |key: &str, message: &str| {
        if section.at(key).is_written() {
            warnings.push(Fault::new(format!("{SECTION}.{key}"), message));
        }
    };
    if options.security == Security::Plain {
        warn("insecure", "passwords go to the directory in clear text");
        warn("caCert", "it changes nothing, since the directory is asked without TLS");
    } else if options.verification == Verification::Skipped {
        warn("skipVerify", "the directory may be anybody, who then gets the passwords of all who log in");
        warn("caCert", "it changes nothing, since skipVerify takes any certificate");
    }
}

fn is_on(section: View<'_>, key: &str) -> bool {
    section.at(key).get() == Some(true)
}
