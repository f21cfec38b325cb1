//! Whose account an upstream is asked with: `credentialsFile`, `credentialHelper`, `oauth2CredentialHelper`.

use super::Resolved;
use crate::config::checked::{Checked, FromChecked, View};
use crate::config::error::Fault;
use crate::upstream::options::{Assertion, CredentialSource, Grant, Oauth2};

/// The helper that is none: it asks a token endpoint.
const OAUTH2: &str = "oauth2";

/// Returns where the accounts of a registry of `sync`, whose place is `path`, come from.
pub(super) fn source(
    sync: View<'_>,
    registry: View<'_>,
    path: &str,
    resolved: &mut Resolved,
) -> CredentialSource {
    let helper: Option<String> = registry.at("credentialHelper").get();
    let section = registry.at("oauth2CredentialHelper");
    let path = format!("{path}.oauth2CredentialHelper");
    if helper.as_deref() == Some(OAUTH2) {
        return match oauth2(section, &path, resolved) {
            Some(oauth2) => CredentialSource::Oauth2(Box::new(oauth2)),
            None => CredentialSource::Nobody,
        };
    }
    if section.is_written() {
        resolved.warnings.push(Fault::new(path, "is not used: credentialHelper is not oauth2"));
    }
    match (helper, sync.at("credentialsFile").get()) {
        (Some(helper), _) => CredentialSource::Helper(helper),
        (None, Some(file)) => CredentialSource::File(file),
        (None, None) => CredentialSource::Nobody,
    }
}

fn oauth2(section: View<'_>, path: &str, resolved: &mut Resolved) -> Option<Oauth2> {
    if !section.is_written() {
        let message = "is missing: the credential helper oauth2 needs its tokenURL, and one of assertionFile and \
                       signingFile";
        resolved.faults.push(Fault::new(path, message));
        return None;
    }
    let assertion = assertion(section, path, &mut resolved.faults);
    let mut oauth2 = Oauth2::default();
    section.read("tokenURL", &mut oauth2.token_url);
    section.read("grantType", &mut oauth2.grant);
    oauth2.client_id = section.at("clientID").get();
    oauth2.client_secret_file = section.at("clientSecretFile").get();
    oauth2.scopes = section.at("scopes").list();
    section.read("username", &mut oauth2.username);
    oauth2.audience = section.at("audience").get();
    section.read("subjectTokenType", &mut oauth2.subject_token_type);
    oauth2.requested_token_type = section.at("requestedTokenType").get();
    warn(section, &oauth2, path, &mut resolved.warnings);
    oauth2.assertion = assertion?;
    Some(oauth2)
}

fn assertion(section: View<'_>, path: &str, faults: &mut Vec<Fault>) -> Option<Assertion> {
    let (ready, signed) = (section.at("assertionFile"), section.at("signingFile"));
    match (ready.is_written(), signed.is_written()) {
        (true, true) => {
            let message =
                "stands beside assertionFile; an assertion comes from one of them, remove the other";
            faults.push(Fault::new(format!("{path}.signingFile"), message));
            None
        }
        (false, false) => {
            let message =
                "names neither assertionFile nor signingFile, and one of them has to prove who asks";
            faults.push(Fault::new(path, message));
            None
        }
        // A path that is faulty has been reported.
        (true, false) => ready.get().map(Assertion::Ready),
        (false, true) => signed.get().map(Assertion::Signed),
    }
}

fn warn(section: View<'_>, oauth2: &Oauth2, path: &str, warnings: &mut Vec<Fault>) {
    if oauth2.token_url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http:")) {
        let message = "is http: whoever is on the way can read the assertion, the secret and the token";
        warnings.push(Fault::new(format!("{path}.tokenURL"), message));
    }
    for key in ["subjectTokenType", "requestedTokenType"] {
        if section.at(key).is_written() && oauth2.grant != Grant::TokenExchange {
            let message = format!("is not sent: grantType is not {}", Grant::TokenExchange.name());
            warnings.push(Fault::new(format!("{path}.{key}"), message));
        }
    }
}

impl FromChecked for Grant {
    fn from_checked(checked: &Checked) -> Option<Self> {
        Self::parse(&String::from_checked(checked)?)
    }
}
