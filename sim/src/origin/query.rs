//! The query part of a request.
//!
//! A plus sign means itself: digests and media types contain it, and nothing in this API contains a space.

use percent_encoding::percent_decode_str;

/// The decoded parameters of a query, in order; names may repeat.
#[derive(Debug, Default)]
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

    /// Returns every value of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
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
    }
}
