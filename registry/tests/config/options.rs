//! Goal: every field of every layer's options can be set by a file.
//! Method: a file that sets everything, and patterns without `..`, so that a new field does not
//! compile here before it has a key.

use wharfinger::config::{Config, LogOptions, MetricsOptions, parse};
use wharfinger::{auth, http, repository, store, upstream};

use crate::{fixture, parsed};

macro_rules! all_differ {
    ($type:path, $left:expr, $right:expr, { $($field:ident),* $(,)? }) => {
        let $type { $($field),* } = $left;
        $( assert_ne!($field, &$right.$field, "{}: {}", stringify!($type), stringify!($field)); )*
    };
}

#[test]
fn every_option_has_a_key() {
    // Proxies are what the environment says.
    let env = |name: &str| (name == "HTTPS_PROXY").then(|| "http://proxy.example:3128".to_owned());
    let loaded = parse(&fixture("everything.yaml"), &env).expect("the file has no fault");
    assert_eq!(loaded.warnings, []);
    let usual = Config::default();
    let config = &loaded.config;
    all_differ!(Config, config, usual, { http, store, auth, repositories, upstreams, metrics, log });
    all_differ!(MetricsOptions, metrics, usual.metrics, { enable, path });
    all_differ!(LogOptions, log, usual.log, { level, format });
    all_differ!(http::options::Options, http, usual.http, {
        address, port, manifest_bytes_max, blob_bytes_max, header_bytes_max, connections_max,
        tags_per_push_max, ranges_max, page_items_max, referrers_page_bytes_max, header_timeout,
        read_idle_timeout, write_idle_timeout, drain_timeout, rates,
    });
    all_differ!(http::options::Rates, rates, usual.http.rates, { all, methods });
    all_differ!(store::options::Options, store, usual.store, {
        place, commit, upload_expiry, uploads_max, memory_cache_bytes_max, missing_in_image,
        missing_in_index, verify_on_read,
    });
    all_differ!(auth::options::Options, auth, usual.auth, {
        realm, htpasswd, fail_delay, cache_ttl, cache_entries_max, verifications_max, access,
    });
    let plain = upstream::options::Options::default();
    all_differ!(upstream::options::Options, &upstreams[0], plain, {
        name, urls, on_demand, tls_verify, ca_file, content, connect_timeout, response_timeout,
        check_timeout, manifest_check_interval, requests_max, manifest_bytes_max, namespaces,
        fall_through, retries_max, retry_delay, retry_delay_max, on_demand_timeout, cool_down_max,
        breaker_failures, breaker_delay, negative_ttl, on_delete, on_denied, denied_stale_max,
        stale_age_max, stale_while_revalidate, throughput_min, credentials, auth_realms,
        client_certificate, http1_only, idle_connections_max, rate_max, proxies,
    });
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
    all_differ!(auth::options::AccessControl, access, nobody, { repositories, admin, groups });
    let rule = auth::options::Rule::default();
    all_differ!(auth::options::Rule, admin, rule, { users, groups, actions });
}

#[test]
fn the_whole_file_means_what_it_says() {
    let loaded = parsed(&fixture("everything.yaml")).expect("the file has no fault");
    insta::assert_debug_snapshot!(loaded.config, @r#"
    Config {
        http: Options {
            address: "0.0.0.0",
            port: 5001,
            manifest_bytes_max: 8388608,
            blob_bytes_max: 10737418240,
            header_bytes_max: 32768,
            connections_max: 100,
            tags_per_push_max: 10,
            ranges_max: 4,
            page_items_max: 50,
            referrers_page_bytes_max: 1048576,
            header_timeout: 1.5s,
            read_idle_timeout: 120s,
            write_idle_timeout: 90s,
            drain_timeout: 0ns,
            rates: Rates {
                all: Some(
                    500,
                ),
                methods: {
                    Put: 20,
                },
            },
        },
        store: Options {
            place: Folder(
                "/var/lib/wharfinger",
            ),
            commit: No,
            upload_expiry: 129600s,
            uploads_max: 77,
            memory_cache_bytes_max: 50331648,
            missing_in_image: Accept,
            missing_in_index: Accept,
            verify_on_read: true,
        },
        auth: Options {
            realm: "quay",
            htpasswd: Some(
                "/etc/wharfinger/htpasswd",
            ),
            fail_delay: 5s,
            cache_ttl: 30s,
            cache_entries_max: 99,
            verifications_max: 3,
            access: Some(
                AccessControl {
                    repositories: [
                        (
                            "**",
                            RepositoryPolicy {
                                policies: [],
                                default_policy: [
                                    Read,
                                    Create,
                                ],
                                anonymous_policy: [
                                    Read,
                                ],
                            },
                        ),
                        (
                            "team/*",
                            RepositoryPolicy {
                                policies: [
                                    Rule {
                                        users: [
                                            "alice",
                                        ],
                                        groups: [
                                            "builders",
                                        ],
                                        actions: [
                                            Read,
                                            Create,
                                            Update,
                                        ],
                                    },
                                ],
                                default_policy: [],
                                anonymous_policy: [],
                            },
                        ),
                    ],
                    admin: Rule {
                        users: [
                            "admin",
                        ],
                        groups: [
                            "keepers",
                        ],
                        actions: [
                            Read,
                            Create,
                            Update,
                            Delete,
                        ],
                    },
                    groups: {
                        "builders": [
                            "bob",
                            "carol",
                        ],
                        "keepers": [
                            "dora",
                        ],
                    },
                },
            ),
        },
        repositories: Options {
            unknown_namespace: Hosted,
            background_fills_max: 50,
        },
        upstreams: [
            Options {
                name: "hub",
                urls: [
                    "https://registry-1.docker.io",
                    "http://mirror.example:5000",
                ],
                on_demand: true,
                tls_verify: false,
                ca_file: Some(
                    "/etc/wharfinger/hub/ca.crt",
                ),
                client_certificate: Some(
                    (
                        "/etc/wharfinger/hub/client.cert",
                        "/etc/wharfinger/hub/client.key",
                    ),
                ),
                http1_only: true,
                idle_connections_max: 3,
                proxies: Proxies {
                    http: None,
                    https: None,
                    none: None,
                },
                content: [
                    Content {
                        prefix: "library/**",
                        destination: "",
                        strip_prefix: false,
                    },
                    Content {
                        prefix: "{a,b}/*",
                        destination: "/mirror",
                        strip_prefix: true,
                    },
                ],
                connect_timeout: 1s,
                response_timeout: 20s,
                check_timeout: 250ms,
                manifest_check_interval: 300s,
                requests_max: 7,
                rate_max: Some(
                    30,
                ),
                manifest_bytes_max: 1048576,
                credentials: Helper(
                    "pass",
                ),
                auth_realms: [
                    "auth.docker.io",
                ],
                namespaces: Some(
                    [
                        "docker.io",
                    ],
                ),
                fall_through: Never,
                retries_max: 4,
                retry_delay: 5s,
                retry_delay_max: 60s,
                on_demand_timeout: 10s,
                cool_down_max: 60s,
                breaker_failures: 9,
                breaker_delay: 3s,
                negative_ttl: 0ns,
                on_delete: Follow,
                on_denied: Follow,
                denied_stale_max: 3600s,
                stale_age_max: Some(
                    172800s,
                ),
                stale_while_revalidate: 600s,
                throughput_min: 2048,
            },
            Options {
                name: "plain",
                urls: [
                    "https://registry.example",
                ],
                on_demand: true,
                tls_verify: true,
                ca_file: None,
                client_certificate: None,
                http1_only: false,
                idle_connections_max: 64,
                proxies: Proxies {
                    http: None,
                    https: None,
                    none: None,
                },
                content: [],
                connect_timeout: 10s,
                response_timeout: 30s,
                check_timeout: 3s,
                manifest_check_interval: 0ns,
                requests_max: 64,
                rate_max: None,
                manifest_bytes_max: 4194304,
                credentials: File(
                    "/etc/wharfinger/upstreams.json",
                ),
                auth_realms: [],
                namespaces: None,
                fall_through: NotFound,
                retries_max: 2,
                retry_delay: 1s,
                retry_delay_max: 1s,
                on_demand_timeout: 20s,
                cool_down_max: 900s,
                breaker_failures: 5,
                breaker_delay: 10s,
                negative_ttl: 10s,
                on_delete: Keep,
                on_denied: Keep,
                denied_stale_max: 86400s,
                stale_age_max: None,
                stale_while_revalidate: 0ns,
                throughput_min: 1024,
            },
            Options {
                name: "exchanged",
                urls: [
                    "https://exchanged.example",
                ],
                on_demand: true,
                tls_verify: true,
                ca_file: None,
                client_certificate: None,
                http1_only: false,
                idle_connections_max: 64,
                proxies: Proxies {
                    http: None,
                    https: None,
                    none: None,
                },
                content: [],
                connect_timeout: 10s,
                response_timeout: 30s,
                check_timeout: 3s,
                manifest_check_interval: 0ns,
                requests_max: 64,
                rate_max: None,
                manifest_bytes_max: 4194304,
                credentials: Oauth2(
                    Oauth2 {
                        token_url: "https://sts.example/token",
                        assertion: Ready(
                            "/run/secrets/token",
                        ),
                        grant: TokenExchange,
                        client_id: Some(
                            "wharfinger",
                        ),
                        client_secret_file: Some(
                            "/run/secrets/client",
                        ),
                        scopes: [
                            "pull",
                        ],
                        username: "oauth2accesstoken",
                        audience: Some(
                            "registry",
                        ),
                        subject_token_type: "urn:ietf:params:oauth:token-type:id_token",
                        requested_token_type: Some(
                            "urn:ietf:params:oauth:token-type:access_token",
                        ),
                    },
                ),
                auth_realms: [],
                namespaces: None,
                fall_through: NotFound,
                retries_max: 2,
                retry_delay: 1s,
                retry_delay_max: 1s,
                on_demand_timeout: 20s,
                cool_down_max: 900s,
                breaker_failures: 5,
                breaker_delay: 10s,
                negative_ttl: 10s,
                on_delete: Keep,
                on_denied: Keep,
                denied_stale_max: 86400s,
                stale_age_max: None,
                stale_while_revalidate: 0ns,
                throughput_min: 1024,
            },
            Options {
                name: "signed",
                urls: [
                    "https://signed.example",
                ],
                on_demand: true,
                tls_verify: true,
                ca_file: None,
                client_certificate: None,
                http1_only: false,
                idle_connections_max: 64,
                proxies: Proxies {
                    http: None,
                    https: None,
                    none: None,
                },
                content: [],
                connect_timeout: 10s,
                response_timeout: 30s,
                check_timeout: 3s,
                manifest_check_interval: 0ns,
                requests_max: 64,
                rate_max: None,
                manifest_bytes_max: 4194304,
                credentials: Oauth2(
                    Oauth2 {
                        token_url: "https://sts.example/token",
                        assertion: Signed(
                            "/run/secrets/signing.json",
                        ),
                        grant: ClientCredentials,
                        client_id: None,
                        client_secret_file: None,
                        scopes: [],
                        username: "<token>",
                        audience: None,
                        subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
                        requested_token_type: None,
                    },
                ),
                auth_realms: [],
                namespaces: None,
                fall_through: NotFound,
                retries_max: 2,
                retry_delay: 1s,
                retry_delay_max: 1s,
                on_demand_timeout: 20s,
                cool_down_max: 900s,
                breaker_failures: 5,
                breaker_delay: 10s,
                negative_ttl: 10s,
                on_delete: Keep,
                on_denied: Keep,
                denied_stale_max: 86400s,
                stale_age_max: None,
                stale_while_revalidate: 0ns,
                throughput_min: 1024,
            },
        ],
        metrics: MetricsOptions {
            enable: false,
            path: "/internal/metrics",
        },
        log: LogOptions {
            level: "debug",
            format: Json,
        },
    }
    "#);
}
