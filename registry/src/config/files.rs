//! The files that a configuration names: what is not there is a warning, since it may come before
//! it is needed.

use super::error::Fault;
use super::load::Loaded;

/// Warns of files that are not there.
pub(super) fn look(loaded: &mut Loaded) {
    let Loaded { config, warnings } = loaded;
    if config.auth.htpasswd.as_ref().is_some_and(|path| !path.is_file()) {
        warnings
            .push(Fault::new("http.auth.htpasswd.path", "there is no such file yet, so no login succeeds"));
    }
    for (index, upstream) in config.upstreams.iter_mut().enumerate() {
        let key = format!("extensions.sync.registries[{index}].certDir");
        let Some(path) = upstream.ca_file.clone() else { continue };
        if path.with_file_name("client.cert").exists() || path.with_file_name("client.key").exists() {
            warnings.push(Fault::new(&key, format!("not supported yet: {key} with a client certificate")));
        }
        if !path.is_file() {
            warnings
                .push(Fault::new(&key, "there is no ca.crt, so only the system's authorities are trusted"));
            // A folder that holds a client certificate alone is no fault, and trusting fewer
            // authorities lets nobody in.
            upstream.ca_file = None;
        }
    }
}
