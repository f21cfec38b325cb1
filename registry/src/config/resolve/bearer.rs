//! The section `http.auth.bearer`.

use std::path::PathBuf;

use super::Resolved;
use crate::auth::options::{BearerOptions, KeySetPlace, may_be_fetched};
use crate::config::checked::View;
use crate::config::error::Fault;

const PATH: &str = "http.auth.bearer";

/// Sets whose tokens are taken beside our own.
pub(super) fn bearer(section: View<'_>, resolved: &mut Resolved) {
    if !section.is_written() {
        return;
    }
    let mut bearer = BearerOptions { realm: section.at("realm").get(), ..BearerOptions::default() };
    section.read("service", &mut bearer.service);
    bearer.issuer = section.at("issuer").get();
    bearer.certificates = section.at("cert").get();
    bearer.key_set =
        section.at("jwks").get().and_then(|written: String| key_set(written, &mut resolved.faults));
    section.read("jwksRefresh", &mut bearer.refresh);
    let fault = |name: &str, message: &str| Fault::new(format!("{PATH}.{name}"), message);
    let verifies = section.at("cert").is_written() || section.at("jwks").is_written();
    if !verifies {
        resolved
            .faults
            .push(Fault::new(PATH, "names neither cert nor jwks, and one of them has to verify tokens"));
    }
    if bearer.service.is_empty() {
        let message = "is missing: without it a token that is meant for another service would be taken";
        resolved.faults.push(fault("service", message));
    }
    if bearer.realm.is_none() {
        resolved.faults.push(fault("realm", "is missing: clients have to be told where to get a token"));
    }
    resolved.config.auth.bearer = Some(bearer);
}

/// Reads where a key set is: a url has a scheme, and everything else is a path.
fn key_set(written: String, faults: &mut Vec<Fault>) -> Option<KeySetPlace> {
    if !written.contains("://") {
        return Some(KeySetPlace::File(PathBuf::from(written)));
    }
    if may_be_fetched(&written) {
        return Some(KeySetPlace::Url(written));
    }
    let message =
        "is neither a path nor an https url without an account (http is for 127.0.0.1 and localhost)";
    faults.push(Fault::new(format!("{PATH}.jwks"), message));
    None
}
