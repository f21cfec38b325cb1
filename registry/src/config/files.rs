//! The files that a configuration names. What the server cannot start with is a fault; what may come before
//! it is needed, and is not there, is a warning.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;

use super::certificates;
use super::env::{self, is_on_path};
use super::error::{Fault, Faults};
use super::options::Config;
use super::reach;
use super::resolve::stores::{self, Place};
use crate::auth::options::ldap::{AccountSource, BindAccount, Security, Verification};
use crate::auth::options::{Authority, BearerOptions, OidcOptions};
use crate::http::options::TlsOptions;
use crate::store;
use crate::telemetry::Target;
use crate::upstream::options::{Assertion, CredentialSource, Options, helper_program};

/// How much of a file of accounts is read, in bytes: what the server reads of it.
const ACCOUNTS_BYTES_MAX: u64 = 1024 * 1024;

/// Looks at the files that `config` names, adds what is wrong and worth knowing to `found`, and leaves out of
/// `config` what is not there and need not be.
pub(super) fn look(config: &mut Config, found: &mut Faults) {
    let Faults { faults, warnings } = found;
    if config.auth.htpasswd.as_ref().is_some_and(|path| !path.is_file()) {
        let gone = match &config.auth.ldap {
            None => "there is no such file yet, so no login succeeds",
            Some(_) => "there is no such file yet, so only the directory's logins succeed",
        };
        warnings.push(Fault::new("http.auth.htpasswd.path", gone));
    }
    if let Some(open_to) = config.auth.token.key_file.as_ref().and_then(|path| readers(path)) {
        let message = format!("{open_to} can read it and sign tokens of any account; chmod 600 it");
        warnings.push(Fault::new("http.auth.token.keyFile", message));
    }
    if let Some(tls) = &config.http.tls {
        listener(tls, faults, warnings);
    }
    let folders = [("log.output", Some(&config.log.output)), ("log.audit", config.log.audit.as_ref())];
    for (key, target) in folders {
        let Some(Target::File(path)) = target else { continue };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if folder.is_some_and(|folder| !folder.is_dir()) {
            faults.push(Fault::new(key, "its folder is not there; create it, or name another place"));
        }
    }
    directory(config, faults);
    let issuer = config.auth.bearer.iter().flat_map(BearerOptions::faults_of_files);
    faults.extend(issuer.map(|(key, message)| Fault::new(format!("http.auth.bearer.{key}"), message)));
    faults.extend(authorities(config));
    faults.extend(stores::faults(&places(config)));
    let hosts = accounts(config, warnings);
    for (index, upstream) in config.upstreams.iter_mut().enumerate() {
        let path = format!("extensions.sync.registries[{index}]");
        credentials(&path, &upstream.credentials, warnings);
        certificate_folder(&format!("{path}.certDir"), upstream, faults, warnings);
    }
    // A file of accounts is for some hosts, and says nothing of the others.
    let has_account = |upstream: &Options| match (&upstream.credentials, &hosts) {
        (CredentialSource::File(_), Some(hosts)) => {
            reach::hosts(upstream).any(|host| hosts.iter().any(|it| it == host))
        }
        (source, _) => *source != CredentialSource::Nobody,
    };
    warnings.extend(reach::warnings(config, &has_account));
}

/// Says who else can read a file, if anybody can. The group of a file that is another account's is what this process
/// reads it by, as that of a Kubernetes secret, and is left out.
fn readers(path: &Path) -> Option<&'static str> {
    let found = std::fs::metadata(path).ok()?;
    let is_ours = found.uid() == rustix::process::geteuid().as_raw();
    match found.mode() {
        mode if mode & 0o004 != 0 => Some("everybody on this machine"),
        mode if mode & 0o040 != 0 && is_ours => Some("its group"),
        _ => None,
    }
}

/// Checks the files of `http.tls`. Where a secret is made before each start, they may be absent until then.
fn listener(tls: &TlsOptions, faults: &mut Vec<Fault>, warnings: &mut Vec<Fault>) {
    let mut is_there = |key: &str, path: &Path| {
        let exists = path.exists();
        if !exists {
            let gone = "there is no such file yet, and without it the server does not start";
            warnings.push(Fault::new(key, gone));
        }
        exists
    };
    let has_certificate = is_there("http.tls.cert", &tls.certificate);
    if is_there("http.tls.key", &tls.key) && has_certificate {
        let fault = certificates::identity(&tls.certificate, &tls.key);
        faults.extend(fault.map(|fault| Fault::new("http.tls", fault)));
    }
    if let Some(path) = tls.client_authorities.as_ref().filter(|path| is_there("http.tls.cacert", path)) {
        let fault = certificates::authorities(path);
        faults.extend(fault.map(|fault| Fault::new("http.tls.cacert", fault)));
    }
}

/// Checks the files of the directory, which the server reads at its start.
fn directory(config: &Config, faults: &mut Vec<Fault>) {
    let Some(ldap) = &config.auth.ldap else { return };
    if let AccountSource::File(path) = &ldap.account
        && let Err(error) = BindAccount::read(path)
    {
        faults.push(Fault::new("http.auth.ldap.credentialsFile", error.to_string()));
    }
    if let (Some(path), Verification::Checked) = (&ldap.ca_file, ldap.verification)
        && ldap.security != Security::Plain
        && let Some(fault) = certificates::authorities(path)
    {
        faults.push(Fault::new("http.auth.ldap.caCert", fault));
    }
}

/// Checks the files of authorities of issuers.
fn authorities(config: &Config) -> Vec<Fault> {
    let issuers = config.auth.bearer.iter().flat_map(|bearer| &bearer.oidc).zip(0..);
    let fault = |(issuer, index): (&OidcOptions, usize)| match &issuer.authority {
        Some(Authority::File(path)) => {
            let path_of_key = format!("http.auth.bearer.oidc[{index}].certificateAuthorityFile");
            certificates::authorities(path).map(|message| Fault::new(path_of_key, message))
        }
        Some(Authority::Text(_)) | None => None,
    };
    issuers.filter_map(fault).collect()
}

/// Returns the hosts of the file of accounts, if there is one that can be read.
fn accounts(config: &Config, warnings: &mut Vec<Fault>) -> Option<Vec<String>> {
    let path = config.upstreams.iter().find_map(|upstream| match &upstream.credentials {
        CredentialSource::File(path) => Some(path),
        _ => None,
    })?;
    let key = "extensions.sync.credentialsFile";
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(ACCOUNTS_BYTES_MAX).read_to_end(&mut text));
    if read.is_err() {
        let gone = "there is no such file yet, and without it no upstream can be asked that it is for";
        warnings.push(Fault::new(key, gone));
        return None;
    }
    // What stands at a host is of no matter here; the server wants a user and a password.
    let hosts = serde_json::from_slice::<BTreeMap<String, serde_json::Map<_, _>>>(&text).ok();
    if hosts.is_none() {
        let form =
            "is no JSON object of accounts by host, and until it is no upstream can be asked that it is for";
        warnings.push(Fault::new(key, form));
    }
    Some(hosts?.into_keys().collect())
}

/// Returns where the stores are. A relative path starts at the working directory, as when it is opened.
fn places(config: &Config) -> Vec<Place> {
    let main = ("storage".to_owned(), &config.store);
    let by_component = config.stores_by_component.iter();
    let by_component = by_component.map(|(name, store)| (format!("storage.subPaths[{name:?}]"), store));
    let by_upstream = config.upstreams.iter().enumerate().filter_map(|(index, upstream)| {
        let store = config.stores_by_upstream.get(&upstream.name)?;
        Some((format!("extensions.sync.registries[{index}].storage"), store))
    });
    let place = |(key, store): (String, &store::options::Options)| match &store.place {
        store::options::Place::Folder(folder) => {
            vec![Place { key: format!("{key}.rootDirectory"), folder: env::absolute(folder) }]
        }
        store::options::Place::Bucket(place) => {
            let endpoint = place.bucket.settings.get("endpoint").map_or("", String::as_str);
            let address = PathBuf::from(format!("{endpoint} {}", place.bucket.url()));
            vec![
                Place { key: format!("{key}.rootDirectory"), folder: env::absolute(&place.spool) },
                Place { key, folder: address },
            ]
        }
        store::options::Place::Memory => Vec::new(),
    };
    std::iter::once(main).chain(by_component).chain(by_upstream).flat_map(place).collect()
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

/// Checks the files of a `certDir`, with which the client of the upstream is made at the start.
fn certificate_folder(key: &str, upstream: &mut Options, faults: &mut Vec<Fault>, warnings: &mut Vec<Fault>) {
    let Some((authorities, (certificate, secret))) =
        upstream.ca_file.clone().zip(upstream.client_certificate.clone())
    else {
        return;
    };
    let folder = authorities.parent().unwrap_or(Path::new(""));
    let mut fault = |message: String| faults.push(Fault::new(key, message));
    if !folder.is_dir() {
        return fault(
            "there is no such folder; create it with ca.crt, or with client.cert and client.key, or leave the key out"
                .to_owned(),
        );
    }
    let (has_authorities, has_certificate, has_secret) =
        (authorities.exists(), certificate.exists(), secret.exists());
    if has_authorities {
        certificates::authorities(&authorities).into_iter().for_each(&mut fault);
    }
    match (has_certificate, has_secret) {
        (true, true) => certificates::identity(&certificate, &secret).into_iter().for_each(&mut fault),
        (true, false) => fault("there is client.cert but no client.key; they only work together".to_owned()),
        (false, true) => fault("there is client.key but no client.cert; they only work together".to_owned()),
        (false, false) => upstream.client_certificate = None,
    }
    if !has_authorities {
        // A folder that holds a client certificate alone is no fault, and trusting fewer authorities lets
        // nobody in.
        upstream.ca_file = None;
        if !has_certificate {
            let gone = "there is no ca.crt, so only the system's authorities are trusted";
            warnings.push(Fault::new(key, gone));
        }
    }
}
