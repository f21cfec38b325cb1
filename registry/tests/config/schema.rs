//! Goal: the JSON Schema says the same as the parser.
//! Method: a validator of the few words that the schema uses, but for patterns, over the fixtures.

use serde_json::{Value, json};
use wharfinger::config::schema;

use crate::fixture;

/// Returns where `value` is not what `schema` says.
fn faults(root: &Value, schema: &Value, value: &Value, path: &str, out: &mut Vec<String>) {
    if let Some(place) = schema["$ref"].as_str() {
        let place = root.pointer(place.trim_start_matches('#')).expect("the schema names a part of itself");
        return faults(root, place, value, path, out);
    }
    let fits = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        "null" => value.is_null(),
        other => panic!("the schema says {other}"),
    };
    let types = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        Value::String(only) => vec![only.as_str()],
        other => panic!("{path} has the type {other}"),
    };
    let number = value.as_u64().is_none_or(|number| {
        number >= schema["minimum"].as_u64().unwrap_or(0)
            && number <= schema["maximum"].as_u64().unwrap_or(u64::MAX)
    });
    let length = value.as_array().map_or(0, Vec::len) as u64;
    let short = value.is_array() && length < schema["minItems"].as_u64().unwrap_or(0);
    let word = match (&schema["anyOf"][0]["enum"], value.as_str()) {
        (Value::Array(words), Some(word)) => {
            words.iter().any(|known| known == word) || word.contains("${env:")
        }
        _ => true,
    };
    if !types.into_iter().any(fits) || !number || short || !word {
        out.push(path.to_owned());
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        faults(root, &schema["items"], item, &format!("{path}[{index}]"), out);
    }
    for (key, below) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        match (schema["properties"].get(key), &schema["additionalProperties"]) {
            (Some(schema), _) => faults(root, schema, below, &path, out),
            (None, Value::Bool(true)) => {}
            (None, Value::Object(_)) => faults(root, &schema["additionalProperties"], below, &path, out),
            (None, _) => out.push(path),
        }
    }
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.is_object() && value.get(key).is_none() {
            out.push(format!("{path}.{key}"));
        }
    }
}

fn check(text: &str) -> Vec<String> {
    let schema = schema();
    let value = serde_saphyr::from_str::<Value>(text).expect("the text is YAML");
    let mut out = Vec::new();
    faults(&schema, &schema, &value, "", &mut out);
    out
}

#[test]
fn good_files_are_valid() {
    for name in [
        "sync-two-upstreams.json",
        "extensions-empty.json",
        "htpasswd-anonymous-read.json",
        "minimal.json",
        "everything.yaml",
        "inert.json",
        "unsupported.json",
    ] {
        assert_eq!(check(&fixture(name)), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn broken_keys_are_invalid() {
    for (text, place) in [
        ("storge: {}", ".storge"),
        ("http: { port: 70000 }", ".http.port"),
        ("http: { port: [] }", ".http.port"),
        ("log: { level: loud }", ".log.level"),
        ("http: { auth: { htpasswd: {} } }", ".http.auth.htpasswd.path"),
        ("extensions: { sync: { registries: [{ urls: [] }] } }", ".extensions.sync.registries[0].urls"),
        ("storage: { subPaths: { /a: { comit: true } } }", ".storage.subPaths./a.comit"),
        (
            "http: { accessControl: { repositories: { '**': { anonymousPolicy: [write] } } } }",
            ".http.accessControl.repositories.**.anonymousPolicy[0]",
        ),
    ] {
        assert_eq!(check(text), [place], "{text}");
    }
}

#[test]
fn keys_are_described_with_their_defaults_and_classes() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let port = &schema["properties"]["http"]["properties"]["port"];
    assert_eq!(port["default"], json!(5000));
    assert_eq!(port["maximum"], json!(65_535));
    let storage = &schema["properties"]["storage"]["properties"];
    assert_eq!(storage["dedupe"]["deprecated"], json!(true));
    assert_eq!(storage["uploadExpiry"]["default"], json!("24h"));
    let origin = schema["properties"]["http"]["properties"]["allowOrigin"]["description"].as_str();
    assert!(origin.is_some_and(|text| text.contains("Not supported yet")), "{origin:?}");
}
