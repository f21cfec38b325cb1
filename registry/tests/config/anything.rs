//! Goal: whatever is written, `parse` answers, and what it accepts restricts as much as it says.
//! Method: properties over arbitrary text, arbitrary JSON, and known keys with arbitrary values.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::Config;
use serde_json::{Map, Value, json};
use wharfinger::http::options::Rates;

use crate::parsed;

/// Words that lead deep into the table of keys.
fn word() -> impl Strategy<Value = String> {
    let words = [
        "http",
        "storage",
        "extensions",
        "log",
        "auth",
        "htpasswd",
        "path",
        "accessControl",
        "repositories",
        "policies",
        "users",
        "actions",
        "conditions",
        "adminPolicy",
        "groups",
        "limits",
        "maxRanges",
        "port",
        "address",
        "failDelay",
        "sync",
        "registries",
        "urls",
        "content",
        "prefix",
        "name",
        "enable",
        "scrub",
        "interval",
        "subPaths",
        "retention",
        "tls",
        "cluster",
        "search",
        "cve",
        "metrics",
        "**",
        "read",
        "5m",
        "8MiB",
        "https://gcr.io",
        "${env:HOME}",
        "${env:",
        "true",
        "",
    ];
    prop_oneof![4 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            1 => vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => btree_map(word(), inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A section that is right in some of the cases.
fn rate_limit() -> impl Strategy<Value = Value> {
    let rate = || prop_oneof![6 => (1..1000_u64).prop_map(Value::from), 1 => value()];
    let method = prop_oneof![
        6 => proptest::sample::select(vec!["GET", "head", "Post", "PATCH", "PUT", "DELETE"]).prop_map(Value::from),
        1 => value(),
    ];
    let methods =
        vec((method, rate()).prop_map(|(method, rate)| json!({"method": method, "rate": rate})), 0..3);
    let section = (option::of(rate()), option::of(methods)).prop_map(|(rate, methods)| {
        let keys = [("rate", rate), ("methods", methods.map(Value::from))];
        let written = keys.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Value::Object(written.collect())
    });
    prop_oneof![4 => section, 1 => value()]
}

proptest! {
    #![proptest_config(Config { cases: 512, failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        if let Err(faults) = parsed(&text) {
            prop_assert!(!faults.faults.is_empty());
        }
    }

    #[test]
    fn any_json_is_answered_on_one_line_a_fault(value in value()) {
        if let Err(faults) = parsed(&value.to_string()) {
            prop_assert!(!faults.faults.is_empty());
            for fault in faults.faults.iter().chain(&faults.warnings) {
                prop_assert!(!fault.to_string().contains(['\n', '\r']), "{fault}");
            }
        }
    }

    /// "No key that restricts access is ever accepted and not enforced", whatever its value is.
    #[test]
    fn what_restricts_is_never_accepted_without_effect(value in value(), key in 0..4_usize) {
        let text = match key {
            0 => format!(r#"{{"http": {{"tls": {value}}}}}"#),
            1 => format!(r#"{{"http": {{"auth": {{"ldap": {value}}}}}}}"#),
            2 => format!(r#"{{"http": {{"auth": {{"openid": {value}}}}}}}"#),
            _ => format!(r#"{{"cluster": {value}}}"#),
        };
        prop_assert!(parsed(&text).is_err(), "{text}");
    }

    /// A limit that is written limits, or something is said of it.
    #[test]
    fn a_rate_limit_is_never_accepted_in_silence(value in rate_limit()) {
        let text = format!(r#"{{"http": {{"ratelimit": {value}}}}}"#);
        if let Ok(loaded) = parsed(&text) {
            let none = loaded.config.http.rates == Rates::default();
            let said = loaded.warnings.iter().any(|warning| warning.path == "http.ratelimit");
            prop_assert_eq!(none, said, "{}", text);
            let written = value["methods"].as_array().map_or(0, Vec::len);
            prop_assert_eq!(loaded.config.http.rates.methods.len(), written, "{}", text);
        }
    }
}
