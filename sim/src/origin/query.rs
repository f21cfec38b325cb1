//! The query part of a request.
//!
//! A plus sign means itself: digests and media types contain it, and nothing in this API contains a space.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The decoded parameters of a query, in order; names may repeat.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query. Text that is not UTF-8 after decoding becomes replacement characters, which no
    /// grammar of ours accepts.
    pub(super) fn parse(text: &str) -> Self {
        let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        )
    }

    /// Returns the first value of a parameter.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Reads the body of a form, in which a plus sign is a space.
    pub(super) fn of_form(text: &str) -> Self {
        Self::parse(&text.replace('+', "%20"))
    }

    /// Removes every value of a parameter.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| key != name);
    }

    /// Gives a parameter this value alone.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// Says whether every parameter of `other` is here too, with the same value.
    pub(super) fn includes(&self, other: &Self) -> bool {
        other.0.iter().all(|pair| self.0.contains(pair))
    }

    /// Returns every value of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let mark = if index == 0 { "" } else { "&" };
            let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
            write!(f, "{mark}{}={}", encode(name), encode(value))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_repeated_and_encoded() {
        let query = Query::parse("tag=a&tag=b%2Fc&artifactType=a/b+json&n&&x==");
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b/c"]);
        assert_eq!(query.first("artifactType"), Some("a/b+json"));
        assert_eq!(query.first("n"), Some(""));
        assert_eq!(query.first("x"), Some("="));
        assert_eq!(query.first("y"), None);
        assert_eq!(Query::parse(&query.to_string()).0, query.0);
        assert_eq!(Query::of_form("scope=a+b%2B").first("scope"), Some("a b+"));
        assert!(query.includes(&Query::parse("n")) && !query.includes(&Query::parse("n=1")));
    }
}
