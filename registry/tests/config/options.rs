//! Goal: every field of every layer's options can be set by a file.
//! Method: a file that sets everything, and patterns without `..`, so that a new field does not
//! compile here before it has a key.

use wharfinger::auth::options::ldap::LdapOptions;
use wharfinger::config::{Config, LogOptions, MetricsOptions, parse};
use wharfinger::extensions::options::ScrubOptions;
use wharfinger::{auth, http, repository, store, upstream};

use crate::{fixture, parsed};

macro_rules! all_differ {
    ($type:path, $left:expr, $right:expr, { $($field:ident),* $(,)? }) => {
        let $type { $($field),* } = $left;
        $( assert_ne!($field, &$right.$field, "{}: {}", stringify!($type), stringify!($field)); )*
    };
}

#[test]
fn what_the_whole_file_is_warned_of() {
    let loaded = parsed(&fixture("everything.yaml")).expect("the file has no fault");
    // The main store is a folder, and this key is for buckets.
    let warned: Vec<&str> = loaded.warnings.iter().map(|warning| warning.path.as_str()).collect();
    // What checks certificates nowhere needs no authorities.
    assert_eq!(
        warned,
        [
            "storage.redirectBlobURL",
            "http.auth.ldap.skipVerify",
            "http.auth.ldap.caCert",
            "http.auth.bearer.oidc[0].skipIssuerVerification"
        ]
    );
}

#[test]
fn every_option_has_a_key() {
    // Proxies are what the environment says.
    let env = |name: &str| (name == "HTTPS_PROXY").then(|| "http://proxy.example:3128".to_owned());
    let loaded = parse(&fixture("everything.yaml"), &env).expect("the file has no fault");
    let usual = Config::default();
    let config = &loaded.config;
    all_differ!(Config, config, usual, {
        http, store, stores_by_component, stores_by_upstream, auth, repositories, upstreams, metrics, log,
        scrub,
    });
    all_differ!(MetricsOptions, metrics, usual.metrics, { enable, path });
    // A section asks for it, and this one takes that back.
    let ScrubOptions { enable: false, interval, bytes_per_second } = scrub else { panic!("{scrub:?}") };
    assert_ne!((*interval, *bytes_per_second), (usual.scrub.interval, usual.scrub.bytes_per_second));
    assert!(parsed(r#"{"extensions": {"scrub": {}}}"#).expect("it has no fault").config.scrub.enable);
    all_differ!(LogOptions, log, usual.log, { level, format, output, audit });
    all_differ!(http::options::Options, http, usual.http, {
        address, port, external_url, trusted_proxies, manifest_bytes_max, blob_bytes_max, header_bytes_max, connections_max,
        connections_per_client_max, requests_per_second_max,
        tags_per_push_max, ranges_max, page_items_max, referrers_page_bytes_max, header_timeout,
        read_idle_timeout, write_idle_timeout, drain_timeout, rates, tls,
    });
    all_differ!(http::options::Rates, rates, usual.http.rates, { all, methods });
    all_differ!(store::options::Options, store, usual.store, {
        place, writers, redirect, commit, upload_expiry, uploads_max, memory_cache_bytes_max, missing_in_image,
        missing_in_index, verify_on_read, free_min_percent, gc, retention,
    });
    all_differ!(auth::options::Options, auth, usual.auth, {
        realm, htpasswd, ldap, fail_delay, failures_max, failure_window, cache_ttl, cache_entries_max, verifications_max, token, api_keys, bearer, access,
        certificates,
    });
    let (directory, plain) = (ldap.as_ref().expect("there is one"), LdapOptions::default());
    all_differ!(LdapOptions, directory, plain, {
        host, port, security, verification, ca_file, account, base_dn, depth, user_attribute, user_filter,
        group_attribute, timeout, pool_size, cache_ttl, cache_entries_max,
    });
    all_differ!(auth::options::TokenOptions, token, usual.auth.token, { enable, key_file, life, refresh_life, rotation });
    let plain = upstream::options::Options::default();
    all_differ!(upstream::options::Options, &upstreams[0], plain, {
        name, urls, on_demand, tls_verify, certificate_folder, ca_file, content, connect_timeout, response_timeout,
        check_timeout, manifest_check_interval, requests_max, manifest_bytes_max, namespaces,
        fall_through, retries_max, retry_delay, retry_delay_max, on_demand_timeout, cool_down_max,
        breaker_failures, breaker_delay, negative_ttl, on_delete, on_denied, denied_stale_max,
        stale_age_max, stale_while_revalidate, throughput_min, credentials, auth_realms,
        client_certificate, http1_only, idle_connections_max, rate_max, proxies, range_wait,
        range_fetch_max, cold_range, trust_membership, cache, fetch, only_signed, mirror,
        overlay,
    });
    all_differ!(upstream::options::Mirror, mirror, plain.mirror, {
        interval, platforms, cosign_tags, tag_timeout, deletions_max,
    });
    all_differ!(upstream::options::CacheBound, cache, plain.cache, { bytes_max, age_max });
    let tags = upstream::options::Tags::default();
    all_differ!(upstream::options::Tags, &content[1].tags, tags, { regex, exclude, semver });
    let upstream::options::CredentialSource::Oauth2(exchanged) = &upstreams[2].credentials else {
        panic!("the third upstream has tokens: {:?}", upstreams[2].credentials);
    };
    let usual_tokens = upstream::options::Oauth2::default();
    all_differ!(upstream::options::Oauth2, &**exchanged, usual_tokens, {
        token_url, assertion, grant, client_id, client_secret_file, scopes, username, audience,
        subject_token_type, requested_token_type,
    });
    all_differ!(repository::options::Options, repositories, usual.repositories, {
        unknown_namespace, background_fills_max,
    });
    let access = access.as_ref().expect("the file controls access");
    let nobody = auth::options::AccessControl::default();
    all_differ!(auth::options::AccessControl, access, nobody, { repositories, admin, groups, metrics });
    let rule = auth::options::Rule::default();
    all_differ!(auth::options::Rule, admin, rule, { users, groups, actions, conditions });
    let condition = auth::options::ConditionOptions::default();
    all_differ!(auth::options::ConditionOptions, &admin.conditions[0], condition, { expression, message });
}

#[test]
fn every_option_of_tls_has_a_key() {
    let config = parsed(&fixture("everything.yaml")).expect("the file has no fault").config;
    let tls = &config.http.tls.expect("the file has TLS");
    let usual = http::options::TlsOptions::default();
    all_differ!(http::options::TlsOptions, tls, usual, {
        certificate, key, client_authorities, version_min, handshake_timeout,
    });
    let names = &config.auth.certificates.expect("the file has authorities of client certificates");
    let usual = auth::options::CertificateOptions::default();
    all_differ!(auth::options::CertificateOptions, names, usual, {
        attributes, uri_pattern, uri_index, dns_index, email_index,
    });
}

#[test]
fn every_option_of_issuers_has_a_key() {
    let loaded = parsed(&fixture("everything.yaml")).expect("the file has no fault");
    let bearer = loaded.config.auth.bearer.as_ref().expect("the file takes tokens of others");
    all_differ!(auth::options::BearerOptions, bearer, auth::options::BearerOptions::default(), {
        realm, service, issuer, certificates, key_set, refresh, oidc,
    });
    all_differ!(auth::options::OidcOptions, &bearer.oidc[0], auth::options::OidcOptions::default(), {
        issuer, audiences, mapping, authority, check,
    });
    let mapping = &bearer.oidc[0].mapping;
    all_differ!(auth::options::MappingOptions, mapping, auth::options::MappingOptions::default(), {
        variables, validations, username, groups,
    });
}

#[test]
fn the_whole_file_means_what_it_says() {
    let loaded = parsed(&fixture("everything.yaml")).expect("the file has no fault");
    insta::assert_debug_snapshot!(loaded.config);
}
