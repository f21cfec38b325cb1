//! Query strings.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// A parsed query string: pairs in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Why a query string cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// It is not text.
    #[error("the query is not UTF-8")]
    Encoding,
    /// It has more pairs than any request needs.
    #[error("the query has more than {PAIRS_MAX} parameters")]
    TooMany,
    /// A parameter that may stand once stands twice, with different values.
    #[error("the parameter {key} stands twice with different values")]
    Ambiguous {
        /// The parameter.
        key: &'static str,
    },
    /// A parameter that is a number is not.
    #[error("the parameter {key} is not a whole number")]
    Number {
        /// The parameter.
        key: &'static str,
    },
}

/// Pairs taken of one query.
pub const PAIRS_MAX: usize = 1024;

impl<'a> Query<'a> {
    /// Returns the query that says nothing.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Parses a query string, which is what follows the question mark.
    ///
    /// *Errors:* [`QueryError::Encoding`], [`QueryError::TooMany`].
    pub fn parse(text: &'a str) -> Result<Self, QueryError> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs: Result<Vec<_>, QueryError> = pairs
            .take(PAIRS_MAX + 1)
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(key)?, decode(value)?))
            })
            .collect();
        let pairs = pairs?;
        if pairs.len() > PAIRS_MAX { Err(QueryError::TooMany) } else { Ok(Self(pairs)) }
    }

    /// Returns every value of a parameter, in order.
    pub fn all<'b>(&'b self, key: &'b str) -> impl Iterator<Item = &'b str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_ref())
    }

    /// Returns the value of a parameter that may stand once.
    ///
    /// *Errors:* [`QueryError::Ambiguous`].
    pub fn one(&self, key: &'static str) -> Result<Option<&str>, QueryError> {
        let mut values = self.all(key);
        let first = values.next();
        if values.any(|value| Some(value) != first) { Err(QueryError::Ambiguous { key }) } else { Ok(first) }
    }

    /// Returns the value of a parameter that is a number; one too large to count is the largest.
    ///
    /// *Errors:* [`QueryError::Ambiguous`], [`QueryError::Number`].
    pub fn number(&self, key: &'static str) -> Result<Option<usize>, QueryError> {
        let Some(text) = self.one(key)? else { return Ok(None) };
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(QueryError::Number { key });
        }
        Ok(Some(text.parse().unwrap_or(usize::MAX)))
    }
}

/// A plus stays a plus: media types have it, and clients send it bare.
fn decode(text: &str) -> Result<Cow<'_, str>, QueryError> {
    percent_decode_str(text).decode_utf8().map_err(|_| QueryError::Encoding)
}

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Encodes a value for a query string.
pub fn encode(value: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(value, RESERVED)
}

/// Renders the parameter that keeps a link within the namespace that was asked for.
///
/// *Spec:* `spec.md#proxying`.
pub(super) fn namespace(namespace: Option<&str>) -> String {
    namespace.map_or_else(String::new, |namespace| format!("&ns={}", encode(namespace)))
}

#[cfg(test)]
mod tests {
    //! Goal: values come out as they went in, and nothing panics. Method: a table and properties.

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn queries() {
        let query = Query::parse("n=5&last=a%2Fb&tag=x&tag=y&flag&at=application/a+json").unwrap();
        assert_eq!(query.number("n"), Ok(Some(5)));
        assert_eq!(query.one("last"), Ok(Some("a/b")));
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(query.one("tag"), Err(QueryError::Ambiguous { key: "tag" }));
        assert_eq!(query.one("flag"), Ok(Some("")));
        assert_eq!(query.one("at"), Ok(Some("application/a+json")));
        assert_eq!(query.one("absent"), Ok(None));
        assert_eq!(Query::parse("a=1&a=1").unwrap().one("a"), Ok(Some("1")));
        for text in ["-1", "abc", "1.5", "", "+1"] {
            assert_eq!(
                Query::parse(&format!("n={text}")).unwrap().number("n"),
                Err(QueryError::Number { key: "n" })
            );
        }
        assert_eq!(Query::parse("n=99999999999999999999999").unwrap().number("n"), Ok(Some(usize::MAX)));
        assert_eq!(Query::parse("a=%ff"), Err(QueryError::Encoding));
        assert_eq!(Query::parse(&"a&".repeat(PAIRS_MAX + 1)), Err(QueryError::TooMany));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(value in "\\PC{0,40}") {
            let text = format!("k={}", encode(&value));
            let query = Query::parse(&text).unwrap();
            prop_assert_eq!(query.one("k"), Ok(Some(value.as_str())));
        }

        #[test]
        fn any_query_is_answered(text in "\\PC{0,80}") {
            let _ = Query::parse(&text);
        }
    }
}
