//! The table of keys as a JSON Schema (draft 2020-12), for editors and for checks elsewhere.
//!
//! It is as strict as the check of a file, with two differences that no schema can say: keys are
//! spelled here as the table spells them, where a file may use any case; and a string with
//! `${env:NAME}` passes, whatever the environment holds.

use serde_json::{Map, Value, json};

use super::key::{Class, Key};
use super::kind::Kind;
use super::tree::{self, Node};

/// A string that says more than the schema can know.
const ENV_PATTERN: &str = r"\$\{env:[A-Za-z_][A-Za-z0-9_]*\}";
const DURATION_PATTERN: &str = r"^\+?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$";
const SIZE_PATTERN: &str = r"^[0-9]+ ?([Bb]|[KkMmGgTt][Ii]?[Bb])?$";

/// Returns the schema of a configuration file.
pub fn schema() -> Value {
    let root = tree::root();
    let mut schema = node_schema(root, &root.key.kind);
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!("Wharfinger"));
    schema.insert("description".to_owned(), json!(root.key.meaning));
    Value::Object(schema)
}

fn key_schema(node: &Node) -> Value {
    let mut schema = node_schema(node, &node.key.kind);
    schema.insert("description".to_owned(), json!(description(node.key)));
    if !node.key.default.is_empty() {
        schema.insert("default".to_owned(), default(node.key));
    }
    if matches!(node.key.class, Class::Inert(_) | Class::Refused(_)) {
        schema.insert("deprecated".to_owned(), json!(true));
    }
    Value::Object(schema)
}

fn node_schema(node: &Node, kind: &Kind) -> Map<String, Value> {
    match kind {
        Kind::Section => section(node, false),
        Kind::Open => section(node, true),
        Kind::Like(place) => object(json!({ "$ref": format!("#/properties/{place}") })),
        Kind::Map(_, of) => {
            object(json!({ "type": ["object", "null"], "additionalProperties": node_schema(node, of) }))
        }
        Kind::List(of) => object(json!({ "type": "array", "items": node_schema(node, of) })),
        Kind::Filled(of) => object(json!({ "type": "array", "items": node_schema(node, of), "minItems": 1 })),
        single => single_schema(single),
    }
}

fn section(node: &Node, open: bool) -> Map<String, Value> {
    let properties: Map<String, Value> =
        node.below.iter().map(|below| (below.key.name().to_owned(), key_schema(below))).collect();
    let required: Vec<&str> =
        node.below.iter().filter(|below| below.key.required).map(|below| below.key.name()).collect();
    let mut schema = object(json!({ "properties": properties, "additionalProperties": open }));
    if required.is_empty() {
        schema.insert("type".to_owned(), json!(["object", "null"]));
    } else {
        schema.insert("type".to_owned(), json!("object"));
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

fn single_schema(kind: &Kind) -> Map<String, Value> {
    let text =
        |pattern: &str| object(json!({ "type": "string", "pattern": format!("{pattern}|{ENV_PATTERN}") }));
    let number = |least: u64, most: u64, pattern: &str| {
        object(json!({
            "type": ["integer", "string"],
            "minimum": least,
            "maximum": most,
            "pattern": format!("{pattern}|{ENV_PATTERN}"),
        }))
    };
    match kind {
        Kind::Bool => object(
            json!({ "type": ["boolean", "string"], "pattern": format!("^(true|false)$|{ENV_PATTERN}") }),
        ),
        Kind::Integer(least, most) => number(*least, *most, "^[0-9]+$"),
        Kind::Rate(most) => number(1, *most, "^[0-9]+$"),
        Kind::Port => number(0, u16::MAX.into(), "^[0-9]+$"),
        Kind::Size(least, most) => number(*least, *most, SIZE_PATTERN),
        Kind::Delay(most) => number(0, most.as_secs(), &format!("^[0-9]+$|{DURATION_PATTERN}")),
        Kind::Duration(least, _) if least.is_zero() => number(0, 0, DURATION_PATTERN),
        Kind::Duration(..) => text(DURATION_PATTERN),
        Kind::Origin => text("^[Hh][Tt][Tt][Pp][Ss]?://[^/@?#]+/?$"),
        Kind::Url => text("^[Hh][Tt][Tt][Pp][Ss]?://[^/@?#]+[^#]*$"),
        Kind::Choice(words) => object(json!({
            "type": "string",
            "anyOf": [{ "enum": words }, { "pattern": ENV_PATTERN }],
        })),
        Kind::Endpoint => text("^/[A-Za-z0-9._/-]+$"),
        Kind::Helper => text("^[a-z0-9-]+$"),
        Kind::Hours => text("^[0-2][0-9]:[0-5][0-9] *- *[0-2][0-9]:[0-5][0-9]$"),
        Kind::UpstreamName => text("^[A-Za-z0-9:-][A-Za-z0-9._:-]*$"),
        Kind::Quotable => text(r#"^[ !#-\[\]-~]*$"#),
        Kind::Word
        | Kind::Path
        | Kind::Address
        | Kind::Network
        | Kind::Glob
        | Kind::Regex
        | Kind::UriPattern => object(json!({ "type": "string", "minLength": 1 })),
        _ => object(json!({ "type": "string" })),
    }
}

fn default(key: &Key) -> Value {
    match key.kind {
        Kind::Bool | Kind::Integer(..) | Kind::Port => {
            serde_json::from_str(key.default).unwrap_or_else(|_| json!(key.default))
        }
        _ => json!(key.default),
    }
}

fn description(key: &Key) -> String {
    let class = match key.class {
        Class::Honoured => String::new(),
        Class::Inert(reason) => format!(" Has no effect: {reason}."),
        Class::Refused(reason) => format!(" Refused: {reason}."),
        Class::Pending => " Not supported yet: the server does not start with it.".to_owned(),
        Class::Later => " Not supported yet: the server does without it.".to_owned(),
    };
    let limit = key.at_limit.map(|what| format!(" At the limit, {what}.")).unwrap_or_default();
    format!("{}{limit}{class}", key.meaning)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
