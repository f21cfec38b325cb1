//! Which bucket a store is in: by our own keys, or by those of zot's drivers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Resolved;
use crate::config::checked::View;
use crate::config::error::Fault;
use crate::store::options::BucketOptions;

/// Returns the bucket that a section `storage` names, if it names one.
pub(super) fn bucket(section: View<'_>, path: &str, resolved: &mut Resolved) -> Option<BucketOptions> {
    let (own, driver) = (section.at("bucket"), section.at("storageDriver"));
    let (key, address, settings) = match (own.is_written(), driver.is_written()) {
        (false, false) => return None,
        (true, true) => {
            let message = "stands beside storageDriver; a store is in one place";
            resolved.faults.push(Fault::new(format!("{path}.bucket"), message));
            return None;
        }
        (true, false) => {
            let settings = own.at("options").entries();
            let settings = settings.filter_map(|(key, view)| Some((key.to_owned(), view.get()?))).collect();
            (format!("{path}.bucket"), own.at("url").get::<String>()?, settings)
        }
        (false, true) => {
            let key = format!("{path}.storageDriver");
            match driver_address(driver) {
                Ok((address, settings)) => (key, address, settings),
                Err(missing) => {
                    resolved.faults.push(Fault::new(format!("{key}.{missing}"), "is missing"));
                    return None;
                }
            }
        }
    };
    BucketOptions::new(&address, settings)
        .map_err(|error| resolved.faults.push(Fault::new(key, error.to_string())))
        .ok()
}

type Settings = BTreeMap<String, String>;

/// Says the same as zot's keys in our own; the error is the key without which it cannot.
fn driver_address(driver: View<'_>) -> Result<(String, Settings), &'static str> {
    let text = |name: &str| driver.at(name).get::<String>().filter(|text| !text.is_empty());
    let name = text("name").ok_or("name")?;
    let (scheme, bucket, settings) = match name.as_str() {
        "s3" => ("s3", text("bucket").ok_or("bucket")?, s3(driver)),
        "gcs" => ("gs", text("bucket").ok_or("bucket")?, google(driver)),
        _ => ("az", text("container").ok_or("container")?, azure(driver)?),
    };
    let root = text("rootdirectory").unwrap_or_default();
    Ok((format!("{scheme}://{bucket}/{}", root.trim_matches('/')), settings))
}

/// Adds what keys say as they stand.
fn copy(section: View<'_>, names: &[(&str, &str)], settings: &mut Settings) {
    for (name, setting) in names {
        if let Some(value) = section.at(name).get::<String>().filter(|value| !value.is_empty()) {
            settings.insert((*setting).to_owned(), value);
        }
    }
}

fn s3(driver: View<'_>) -> Settings {
    let mut settings = Settings::new();
    copy(
        driver,
        &[
            ("region", "region"),
            ("accesskey", "access_key_id"),
            ("secretkey", "secret_access_key"),
            ("sessiontoken", "session_token"),
            ("keyid", "sse_kms_key_id"),
        ],
        &mut settings,
    );
    let flag = |name: &str| driver.at(name).get::<bool>();
    let is_secure = flag("secure") != Some(false);
    if let Some(endpoint) = driver.at("regionendpoint").get::<String>().filter(|it| !it.is_empty()) {
        // distribution takes a bare host and port too.
        let scheme = if is_secure { "https" } else { "http" };
        let url = if endpoint.contains("://") { endpoint } else { format!("{scheme}://{endpoint}") };
        if url.starts_with("http://") {
            settings.insert("allow_http".to_owned(), "true".to_owned());
        }
        settings.insert("endpoint".to_owned(), url);
    }
    if flag("forcepathstyle") == Some(false) {
        settings.insert("virtual_hosted_style_request".to_owned(), "true".to_owned());
    }
    if flag("skipverify") == Some(true) {
        settings.insert("allow_invalid_certificates".to_owned(), "true".to_owned());
    }
    if flag("encrypt") == Some(true) {
        let kind = if settings.contains_key("sse_kms_key_id") { "aws:kms" } else { "AES256" };
        settings.insert("server_side_encryption".to_owned(), kind.to_owned());
    }
    settings
}

fn google(driver: View<'_>) -> Settings {
    let mut settings = Settings::new();
    for name in ["keyfile", "credentialsFile"] {
        if let Some(file) = driver.at(name).get::<PathBuf>() {
            settings.insert("service_account".to_owned(), file.display().to_string());
        }
    }
    settings
}

fn azure(driver: View<'_>) -> Result<Settings, &'static str> {
    let mut settings = Settings::new();
    copy(driver, &[("accountname", "account_name"), ("serviceurl", "endpoint")], &mut settings);
    if settings.get("endpoint").is_some_and(|url| url.starts_with("http://")) {
        settings.insert("allow_http".to_owned(), "true".to_owned());
    }
    let credentials = driver.at("credentials");
    match credentials.at("type").get::<String>().as_deref() {
        None | Some("shared_key") => copy(driver, &[("accountkey", "access_key")], &mut settings),
        Some("client_secret") => {
            let names = [("clientid", "client_id"), ("tenantid", "tenant_id"), ("secret", "client_secret")];
            copy(credentials, &names, &mut settings);
        }
        // The machine's identity, or the environment's variables.
        Some(_) => {}
    }
    if settings.contains_key("account_name") { Ok(settings) } else { Err("accountname") }
}
