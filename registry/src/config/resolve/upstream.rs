//! The section `extensions.sync`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Resolved;
use crate::config::checked::View;
use crate::config::error::Fault;
use crate::config::kind::is_upstream_name;
use crate::config::origin::Origin;
use crate::upstream::options::{Content, Options};

/// The file of a `certDir` that holds authorities.
const CA_FILE: &str = "ca.crt";

/// Sets what `extensions.sync` says.
pub(super) fn upstreams(section: View<'_>, resolved: &mut Resolved) {
    let mut upstreams = Vec::new();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for (index, registry) in section.at("registries").items().enumerate() {
        let path = format!("extensions.sync.registries[{index}]");
        let upstream = upstream(registry);
        name_faults(registry, &upstream, &path, &mut names, &mut resolved.faults);
        names.entry(upstream.name.clone()).or_insert(index);
        if !upstream.on_demand {
            resolved.warnings.push(Fault::new(
                format!("{path}.onDemand"),
                "is false, and nothing else makes the server ask this upstream",
            ));
        }
        upstreams.push(upstream);
    }
    let mut enable = true;
    section.read("enable", &mut enable);
    if enable {
        resolved.config.upstreams = upstreams;
    }
}

fn upstream(section: View<'_>) -> Options {
    let mut options = Options::default();
    options.urls = section.at("urls").list();
    options.name = default_name(&options.urls);
    section.read("name", &mut options.name);
    section.read("onDemand", &mut options.on_demand);
    section.read("tlsVerify", &mut options.tls_verify);
    options.ca_file = section.at("certDir").get::<PathBuf>().map(|folder| folder.join(CA_FILE));
    options.content = section.at("content").items().filter_map(content).collect();
    section.read("connectTimeout", &mut options.connect_timeout);
    section.read("responseTimeout", &mut options.response_timeout);
    section.read("checkTimeout", &mut options.check_timeout);
    section.read("manifestCheckInterval", &mut options.manifest_check_interval);
    section.read("reqConcurrent", &mut options.requests_max);
    section.read("maxManifestBytes", &mut options.manifest_bytes_max);
    options
}

fn default_name(urls: &[String]) -> String {
    urls.first().and_then(|url| Origin::parse(url)).map(|origin| origin.name()).unwrap_or_default()
}

fn content(section: View<'_>) -> Option<Content> {
    let prefix = section.at("prefix").get::<String>()?;
    let prefix = prefix.strip_prefix('/').unwrap_or(&prefix).to_owned();
    Some(Content { prefix })
}

/// Reports names that would make two upstreams share a cache, or that cannot name a folder.
fn name_faults(
    section: View<'_>,
    upstream: &Options,
    path: &str,
    names: &mut BTreeMap<String, usize>,
    faults: &mut Vec<Fault>,
) {
    if upstream.name.is_empty() {
        // Neither a name nor a url could be read: that is a fault of its own.
        return;
    }
    let own = section.at("name").is_written();
    let path = format!("{path}.name");
    if let Some(first) = names.get(&upstream.name) {
        let cause = if own { "" } else { ", by default from the first url; give this one a name" };
        let message = format!("is the name of extensions.sync.registries[{first}] too{cause}");
        faults.push(Fault::new(path, message));
    } else if !own && !is_upstream_name(&upstream.name) {
        faults.push(Fault::new(path, "the host of the first url cannot name a folder; give this one a name"));
    }
}
