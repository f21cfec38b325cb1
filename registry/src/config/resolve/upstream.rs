//! The section `extensions.sync`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{Resolved, credentials, mirroring, server};
use crate::config::checked::View;
use crate::config::error::Fault;
use crate::config::kind::is_upstream_name;
use crate::config::origin::Origin;
use crate::repository::options::UnknownNamespace;
use crate::upstream::options::{
    CA_FILE, CERTIFICATE_FILE, CacheBound, ColdRange, Content, FallThrough, Fetch, KEY_FILE, Mirror,
    OnRefusal, Options, Tags,
};

/// Sets what `extensions.sync` says.
pub(super) fn upstreams(section: View<'_>, resolved: &mut Resolved) {
    let mut upstreams = Vec::new();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for (index, registry) in section.at("registries").items().enumerate() {
        let path = format!("extensions.sync.registries[{index}]");
        let mut upstream = upstream(registry);
        upstream.credentials = credentials::source(section, registry, &path, resolved);
        mirroring::faults(registry, &path, &mut resolved.faults);
        mirroring::warn(registry, &path, &mut resolved.warnings);
        name_faults(registry, &upstream, &path, &mut names, &mut resolved.faults);
        names.entry(upstream.name.clone()).or_insert(index);
        if !upstream.on_demand && upstream.mirror.interval.is_none() {
            resolved.warnings.push(Fault::new(
                format!("{path}.onDemand"),
                "is false, and nothing else makes the server ask this upstream",
            ));
        }
        if upstream.fall_through == FallThrough::Any {
            resolved.warnings.push(Fault::new(
                format!("{path}.fallThrough"),
                "is any: while this upstream is down, another one may answer for its names; notFound moves on only where it has none",
            ));
        }
        let own = registry.at("storage");
        if own.is_written()
            && let Some(options) = server::own_store(own, &format!("{path}.storage"), resolved)
        {
            resolved.config.stores_by_upstream.insert(upstream.name.clone(), options);
        }
        upstreams.push(upstream);
    }
    let options = &mut resolved.config.repositories;
    section.read("backgroundFills", &mut options.background_fills_max);
    if section.at("unknownNamespace").get::<String>().as_deref() == Some("hosted") {
        options.unknown_namespace = UnknownNamespace::Hosted;
    }
    let mut enable = true;
    section.read("enable", &mut enable);
    if enable {
        resolved.config.upstreams = upstreams;
    } else {
        resolved.config.stores_by_upstream.clear();
    }
}

fn upstream(section: View<'_>) -> Options {
    let mut options = Options::default();
    options.urls = section.at("urls").list();
    options.name = default_name(&options.urls);
    section.read("name", &mut options.name);
    section.read("onDemand", &mut options.on_demand);
    section.read("tlsVerify", &mut options.tls_verify);
    if let Some(folder) = section.at("certDir").get::<PathBuf>() {
        options.ca_file = Some(folder.join(CA_FILE));
        options.client_certificate = Some((folder.join(CERTIFICATE_FILE), folder.join(KEY_FILE)));
        options.certificate_folder = Some(folder);
    }
    section.read("disableHTTP2", &mut options.http1_only);
    section.read("maxIdleConnsPerHost", &mut options.idle_connections_max);
    options.rate_max = section.at("reqPerSec").get();
    options.content = section.at("content").items().filter_map(content).collect();
    section.read("connectTimeout", &mut options.connect_timeout);
    section.read("responseTimeout", &mut options.response_timeout);
    section.read("checkTimeout", &mut options.check_timeout);
    section.read("manifestCheckInterval", &mut options.manifest_check_interval);
    section.read("reqConcurrent", &mut options.requests_max);
    section.read("maxManifestBytes", &mut options.manifest_bytes_max);
    options.auth_realms = section.at("authRealms").list();
    let namespaces = section.at("namespaces");
    options.namespaces = namespaces.is_written().then(|| namespaces.list());
    options.fall_through = match section.at("fallThrough").get::<String>().as_deref() {
        Some("never") => FallThrough::Never,
        Some("any") => FallThrough::Any,
        _ => FallThrough::NotFound,
    };
    attempts(section, &mut options);
    keeping(section, &mut options);
    options.mirror = mirror(section);
    answers(section, &mut options);
    options
}

/// Reads how an upstream that fails is asked again.
fn attempts(section: View<'_>, options: &mut Options) {
    section.read("maxRetries", &mut options.retries_max);
    section.read("retryDelay", &mut options.retry_delay);
    options.retry_delay_max = options.retry_delay;
    section.read("maxRetryDelay", &mut options.retry_delay_max);
    section.read("onDemandTimeout", &mut options.on_demand_timeout);
    section.read("maxRetryAfter", &mut options.cool_down_max);
    section.read("breakerFailures", &mut options.breaker_failures);
    section.read("breakerDelay", &mut options.breaker_delay);
    section.read("minThroughput", &mut options.throughput_min);
}

/// Reads what is served when an upstream gives no new answer.
fn answers(section: View<'_>, options: &mut Options) {
    let on_refusal = |key| match section.at(key).get::<String>().as_deref() {
        Some("follow") => OnRefusal::Follow,
        _ => OnRefusal::Keep,
    };
    options.on_delete = on_refusal("onUpstreamDelete");
    options.on_denied = on_refusal("onUpstreamDenied");
    section.read("deniedStaleMax", &mut options.denied_stale_max);
    options.stale_age_max = section.at("staleMaxAge").get();
    section.read("staleWhileRevalidate", &mut options.stale_while_revalidate);
    section.read("negativeTtl", &mut options.negative_ttl);
}

/// Reads what is kept, and of whom it may be had.
fn keeping(section: View<'_>, options: &mut Options) {
    section.read("rangeWait", &mut options.range_wait);
    section.read("rangeFetchMax", &mut options.range_fetch_max);
    if section.at("coldRange").get::<String>().as_deref() == Some("wait") {
        options.cold_range = ColdRange::Wait;
    }
    section.read("trustMembership", &mut options.trust_membership);
    section.read("onlySigned", &mut options.only_signed);
    section.read("overlay", &mut options.overlay);
    if section.at("fetch").get::<String>().as_deref() == Some("explicit") {
        options.fetch = Fetch::Explicit;
    }
    let cache = section.at("cache");
    options.cache = CacheBound { bytes_max: cache.at("maxBytes").get(), age_max: cache.at("maxAge").get() };
}

/// Reads what is mirrored.
fn mirror(section: View<'_>) -> Mirror {
    let mut mirror = Mirror::default();
    let mut interval = Duration::ZERO;
    section.read("pollInterval", &mut interval);
    mirror.interval = (!interval.is_zero()).then_some(interval);
    mirror.platforms = section.at("platforms").list();
    section.read("syncLegacyCosignTags", &mut mirror.cosign_tags);
    section.read("syncTimeout", &mut mirror.tag_timeout);
    mirror.deletions_max = section.at("mirrorDeleteMax").get();
    mirror
}

fn default_name(urls: &[String]) -> String {
    urls.first().and_then(|url| Origin::parse(url)).map(|origin| origin.name()).unwrap_or_default()
}

fn content(section: View<'_>) -> Option<Content> {
    let prefix = section.at("prefix").get::<String>()?;
    let prefix = prefix.strip_prefix('/').unwrap_or(&prefix).to_owned();
    let (mut destination, mut strip_prefix) = (String::new(), false);
    section.read("destination", &mut destination);
    section.read("stripPrefix", &mut strip_prefix);
    let tags = section.at("tags");
    let mut semver = false;
    tags.read("semver", &mut semver);
    let tags = Tags { regex: tags.at("regex").get(), exclude: tags.at("excludeRegex").get(), semver };
    Some(Content { prefix, destination, strip_prefix, tags })
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
