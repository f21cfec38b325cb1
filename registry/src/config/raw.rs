//! What was written: YAML or JSON as a tree that keeps the order and the repeated keys of its file.
//!
//! One parser reads both, since JSON is YAML. It resolves aliases and merge keys itself, within a
//! budget, so that no file of a few lines grows without limit.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;

use super::error::Faults;

/// The deepest nesting of a file; the deepest key of the table stands 8 deep.
const DEPTH_MAX: usize = 64;
/// The most values in a file.
const NODES_MAX: usize = 250_000;

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    /// `null`, or nothing at all.
    Nothing,
    /// True or false.
    Bool(bool),
    /// A whole number that is not negative.
    Integer(u64),
    /// Any other number.
    Number(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Raw>),
    /// A section, in the file's order; a key may stand there twice.
    Section(Vec<(String, Raw)>),
}

impl Raw {
    /// Returns what this is, as the start of "… is not".
    pub(super) fn described(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Bool(_) => "a bare true or false",
            Self::Integer(_) | Self::Number(_) => "this number",
            Self::Text(text) if text.is_empty() => "an empty string",
            Self::Text(_) => "what is written",
            Self::List(items) if items.is_empty() => "an empty list",
            Self::List(_) => "a list",
            Self::Section(_) => "a section",
        }
    }
}

/// Returns the tree that `text` says.
///
/// *Errors*: one fault at the line and column where it stops being YAML, or exceeds the budget.
pub(super) fn read(text: &str) -> Result<Raw, Faults> {
    let options = serde_saphyr::options! {
        // Repeated keys are reported with their path, and in either case; the parser sees only
        // equal spelling.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
        },
        // `yes` and `on` are words, as they are to zot.
        strict_booleans: true,
        // A snippet would copy lines of the file, which may hold secrets, into the fault.
        with_snippet: false,
    };
    // A byte order mark is no part of the text; editors add one.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_saphyr::from_str_with_options::<Option<Raw>>(text, options)
        .map(|root| root.unwrap_or(Raw::Nothing))
        .map_err(|error| syntax(&error))
}

fn syntax(error: &serde_saphyr::Error) -> Faults {
    let message = error.without_snippet().to_string();
    let message = message.lines().next().unwrap_or_default().trim();
    // What follows tells programmers which function of the parser to call.
    let message = message.split_once("; use ").map_or(message, |(cause, _)| cause);
    let Some(location) = error.location() else {
        return Faults::one("(file)", message);
    };
    // The parser says the place in its message too.
    let place = format!("line {}, column {}", location.line(), location.column());
    let message = message.strip_suffix(&place).and_then(|rest| rest.strip_suffix(" at ")).unwrap_or(message);
    Faults::one(place, message)
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Integer(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        // The precision is of no matter: no key may hold a negative number.
        Ok(u64::try_from(value).map_or(Raw::Number(-1.0), Raw::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        // Keys are text whatever they look like: a group may be called `on`, or `8080`.
        while let Some(key) = map.next_key::<String>()? {
            entries.push((key, map.next_value()?));
        }
        Ok(Raw::Section(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::{Raw, read};

    fn text(text: &str) -> Raw {
        Raw::Text(text.to_owned())
    }

    fn section(entries: &[(&str, Raw)]) -> Raw {
        Raw::Section(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
    }

    fn check(written: &str, expect: &Raw) {
        assert_eq!(&read(written).expect(written), expect, "{written}");
    }

    #[test]
    fn reads_yaml_and_json_alike() {
        let expect = section(&[
            ("port", Raw::Integer(5000)),
            ("address", text("0.0.0.0")),
            ("on", Raw::Bool(true)),
            ("list", Raw::List(vec![text("a"), Raw::Nothing, Raw::Number(1.5)])),
        ]);
        check("port: 5000\naddress: 0.0.0.0\non: true\nlist:\n  - a\n  -\n  - 1.5\n", &expect);
        check(r#"{"port":5000,"address":"0.0.0.0","on":true,"list":["a",null,1.5]}"#, &expect);
        check(
            "\u{feff}{\n\t\"port\": 5000,\r\n\t\"address\": \"0.0.0.0\",\n\t\"on\": true,\n\t\"list\": [\n\t\t\"a\", null, 1.5\n\t]\n}\n",
            &expect,
        );
    }

    #[test]
    fn keeps_order_and_repetition() {
        let expect = section(&[("b", Raw::Integer(1)), ("a", Raw::Integer(2)), ("b", Raw::Integer(3))]);
        check("b: 1\na: 2\nb: 3\n", &expect);
        check(r#"{"b":1,"a":2,"b":3}"#, &expect);
    }

    #[test]
    fn leaves_words_and_odd_numbers_alone() {
        check("", &Raw::Nothing);
        check("# nothing\n", &Raw::Nothing);
        check("a: 3h\n", &section(&[("a", text("3h"))]));
        check("a: \"5000\"\n", &section(&[("a", text("5000"))]));
        check("a: 18446744073709551615\n", &section(&[("a", Raw::Integer(u64::MAX))]));
        check("a: -5\n", &section(&[("a", Raw::Number(-1.0))]));
        check("8080: a\non: yes\n", &section(&[("8080", text("a")), ("on", text("yes"))]));
        check(r#"{"a": "\u00fc\/\ud83d\ude00\t"}"#, &section(&[("a", text("ü/😀\t"))]));
    }

    #[test]
    fn resolves_aliases_within_a_budget() {
        check(
            "a: &x [1]\nb: *x\n",
            &section(&[("a", Raw::List(vec![Raw::Integer(1)])), ("b", Raw::List(vec![Raw::Integer(1)]))]),
        );
        let bomb = (0..30).fold("x0: &x0 [1]\n".to_owned(), |bomb, level| {
            bomb + &format!("x{}: &x{} [*x{level}, *x{level}]\n", level + 1, level + 1)
        });
        assert!(read(&bomb).is_err());
        assert!(read(&"[".repeat(100_000)).is_err());
        assert!(read(&format!("{}1{}", "[".repeat(1_000), "]".repeat(1_000))).is_err());
    }

    #[test]
    fn says_where_the_syntax_breaks() {
        let check = |written: &str, path: &str| {
            let faults = read(written).expect_err(written).faults;
            assert_eq!(faults.len(), 1);
            assert_eq!(faults[0].path, path, "{faults:?}");
            assert!(!faults[0].message.is_empty() && !faults[0].message.contains('\n'), "{faults:?}");
            assert!(!faults[0].message.contains("line "), "{faults:?}");
        };
        check("{\"a\": 1,\n  \"b\" 2}", "line 2, column 7");
        check("a: 1\n b: 2\n", "line 2, column 3");
        check("a: [1\n", "line 1, column 4");
        check("a: 1\n--- \nb: 2\n", "line 3, column 1");
    }
}
