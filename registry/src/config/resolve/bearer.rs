//! The section `http.auth.bearer`.

use std::path::PathBuf;

use super::Resolved;
use crate::auth::options::{
    Authority, BearerOptions, IssuerCheck, KeySetPlace, MappingOptions, OidcOptions, may_be_fetched,
};
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
    let has_service = section.at("cert").is_written() || section.at("jwks").is_written();
    if !has_service && !section.at("oidc").is_written() {
        let message = "names none of cert, jwks and oidc, and one of them has to verify tokens";
        resolved.faults.push(Fault::new(PATH, message));
    }
    if has_service && bearer.service.is_empty() {
        let message = "is missing: without it a token that is meant for another service would be taken";
        resolved.faults.push(Fault::new(format!("{PATH}.service"), message));
    }
    if has_service && bearer.realm.is_none() {
        let message = "is missing: clients have to be told where to get a token";
        resolved.faults.push(Fault::new(format!("{PATH}.realm"), message));
    }
    bearer.oidc =
        section.at("oidc").items().zip(0..).map(|(item, index)| oidc(item, index, resolved)).collect();
    resolved.config.auth.bearer = Some(bearer);
}

/// Warns of issuers whose every token opens everything.
pub(super) fn warn_of_anybody(resolved: &mut Resolved) {
    let oidc = resolved.config.auth.bearer.iter().flat_map(|bearer| &bearer.oidc);
    let open = oidc.zip(0..).filter(|(oidc, _)| oidc.mapping.validations.is_empty());
    let message = "has no validations, and there is no http.accessControl: whoever its issuer gives a token may do \
                   everything, which is anybody at all where the issuer is public";
    let warning = |index: usize| Fault::new(format!("{PATH}.oidc[{index}].claimMapping"), message);
    let warnings: Vec<Fault> = open.map(|(_, index)| warning(index)).collect();
    resolved.warnings.extend(warnings);
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

fn oidc(section: View<'_>, index: usize, resolved: &mut Resolved) -> OidcOptions {
    let path = format!("{PATH}.oidc[{index}]");
    let mut oidc = OidcOptions { audiences: section.at("audiences").list(), ..OidcOptions::default() };
    section.read("issuer", &mut oidc.issuer);
    let (text, file) = (section.at("certificateAuthority"), section.at("certificateAuthorityFile"));
    oidc.authority = text.get().map(Authority::Text).or_else(|| file.get().map(Authority::File));
    if section.at("skipIssuerVerification").get() == Some(true) {
        oidc.check = IssuerCheck::Skipped;
        let message = "is true: whoever has a token by one of the issuer's keys comes in; for tests alone";
        resolved.warnings.push(Fault::new(format!("{path}.skipIssuerVerification"), message));
    }
    oidc.mapping = mapping(section.at("claimMapping"));
    let mut fault =
        |key: &str, message: String| resolved.faults.push(Fault::new(format!("{path}.{key}"), message));
    if !oidc.issuer.is_empty() && !may_be_fetched(&oidc.issuer) {
        fault(
            "issuer",
            "is no https url without an account (http is for 127.0.0.1 and localhost)".to_owned(),
        );
    }
    if text.is_written() && file.is_written() {
        fault(
            "certificateAuthorityFile",
            "stands beside certificateAuthority; remove one of them".to_owned(),
        );
    }
    if let Some((key, message)) = oidc.mapping.fault() {
        fault(&format!("claimMapping.{key}"), message);
    }
    oidc
}

fn mapping(section: View<'_>) -> MappingOptions {
    let texts = |list: &str, first: &str, second: &str| {
        let text = |item: View<'_>, name: &str| item.at(name).get().unwrap_or_default();
        section.at(list).items().map(|item| (text(item, first), text(item, second))).collect()
    };
    let mut mapping = MappingOptions {
        variables: texts("variables", "name", "expression"),
        validations: texts("validations", "expression", "message"),
        groups: section.at("groups").get(),
        ..MappingOptions::default()
    };
    section.read("username", &mut mapping.username);
    mapping
}
