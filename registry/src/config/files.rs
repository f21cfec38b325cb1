//! The files that a configuration names: what is not there is a warning, since it may come before
//! it is needed.

use super::env::is_on_path;
use super::error::Fault;
use super::load::Loaded;
use crate::upstream::options::{Assertion, CredentialSource, Options, helper_program};

/// Warns of files that are not there.
pub(super) fn look(loaded: &mut Loaded) {
    let Loaded { config, warnings } = loaded;
    if config.auth.htpasswd.as_ref().is_some_and(|path| !path.is_file()) {
        warnings
            .push(Fault::new("http.auth.htpasswd.path", "there is no such file yet, so no login succeeds"));
    }
    let files = config.upstreams.iter().filter_map(|upstream| match &upstream.credentials {
        CredentialSource::File(path) => Some(path),
        _ => None,
    });
    if files.into_iter().any(|path| !path.is_file()) {
        let gone = "there is no such file yet, and without it no upstream can be asked that it is for";
        warnings.push(Fault::new("extensions.sync.credentialsFile", gone));
    }
    for (index, upstream) in config.upstreams.iter_mut().enumerate() {
        credentials(&format!("extensions.sync.registries[{index}]"), &upstream.credentials, warnings);
        let key = format!("extensions.sync.registries[{index}].certDir");
        let Some(path) = upstream.ca_file.clone() else { continue };
        if !path.is_file() {
            // A folder that holds a client certificate alone is no fault, and trusting fewer
            // authorities lets nobody in.
            upstream.ca_file = None;
            if !has_certificate(upstream) {
                let gone = "there is no ca.crt, so only the system's authorities are trusted";
                warnings.push(Fault::new(&key, gone));
            }
        }
        if let Some((certificate, secret)) = &upstream.client_certificate
            && certificate.is_file() != secret.is_file()
        {
            warnings.push(Fault::new(
                &key,
                "client.cert and client.key only work together, and one is not there",
            ));
        }
        if !has_certificate(upstream) {
            upstream.client_certificate = None;
        }
    }
}

/// Warns of programs and files by which an account is to be had, and which are not there.
fn credentials(path: &str, source: &CredentialSource, warnings: &mut Vec<Fault>) {
    match source {
        CredentialSource::Helper(name) if !is_on_path(&helper_program(name)) => {
            let message = format!(
                "there is no program {} on the PATH yet, and without it this upstream cannot be asked",
                helper_program(name)
            );
            warnings.push(Fault::new(format!("{path}.credentialHelper"), message));
        }
        CredentialSource::Oauth2(oauth2) => {
            let (key, file) = match &oauth2.assertion {
                Assertion::Ready(file) => ("assertionFile", file),
                Assertion::Signed(file) => ("signingFile", file),
            };
            let secret = oauth2.client_secret_file.iter().map(|file| ("clientSecretFile", file));
            for (key, _) in [(key, file)].into_iter().chain(secret).filter(|(_, file)| !file.is_file()) {
                let gone = "there is no such file yet, and without it this upstream cannot be asked";
                warnings.push(Fault::new(format!("{path}.oauth2CredentialHelper.{key}"), gone));
            }
        }
        CredentialSource::Nobody | CredentialSource::File(_) | CredentialSource::Helper(_) => {}
    }
}

fn has_certificate(upstream: &Options) -> bool {
    let files = upstream.client_certificate.as_ref();
    files.is_some_and(|(certificate, key)| certificate.is_file() && key.is_file())
}
