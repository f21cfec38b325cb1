//! Which requests a fault happens to.

use serde::{Deserialize, Serialize};

use super::Fault;

/// Pairs a fault with the requests that it happens to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The requests.
    #[serde(default)]
    pub on: Selector,
    /// What happens to them.
    #[serde(rename = "do")]
    pub fault: Fault,
}

/// Chooses requests.
///
/// Requests are counted for each method and path apart, so that "the second GET of this blob" names the
/// same request however many clients race; probability is drawn from the seed, the method, the path and
/// that count, for the same reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selector {
    /// Only this method; without it, every method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Only paths that match: `*` stands for any text, slashes too.
    pub path: String,
    /// Only requests to this address of the origin; without it, to every one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Place>,
    /// Only the nth matching request of a path, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
    /// Only the first so many matching requests of a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// Only this share of the matching requests, 0.0 to 1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
}

/// Names an address at which an origin is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Its own.
    #[default]
    First,
    /// A second one with the same content: another url of the same upstream.
    Mirror,
    /// Another host, to which nobody's secrets must come. No fault happens there.
    Stranger,
}

impl Default for Selector {
    fn default() -> Self {
        Self { method: None, path: "*".to_owned(), at: None, nth: None, times: None, probability: None }
    }
}

impl Selector {
    /// Selects GET requests whose path matches `path`.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self { method: Some("GET".to_owned()), path: path.to_owned(), ..Self::default() }
    }

    /// Selects requests of every method whose path matches `path`.
    #[must_use]
    pub fn any(path: &str) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    /// Keeps only the nth request of each path, counted from 1.
    #[must_use]
    pub fn nth(self, nth: u64) -> Self {
        Self { nth: Some(nth), ..self }
    }

    /// Keeps only the first `times` requests of each path.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Joins the selected requests with what happens to them.
    #[must_use]
    pub fn suffer(self, fault: Fault) -> Rule {
        Rule { on: self, fault }
    }

    pub(super) fn matches(&self, method: &str, path: &str, place: Place) -> bool {
        self.at.is_none_or(|wanted| wanted == place)
            && place != Place::Stranger
            && self.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && glob(self.path.as_bytes(), path.as_bytes())
    }
}

/// Matches `*` by backtracking to the last star only, which is enough for one kind of wildcard and
/// keeps the work within pattern times text.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            star = Some((star_p, star_t + 1));
            p = star_p + 1;
            t = star_t + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        let check = |pattern: &str, text: &str, expect: bool| {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), expect, "{pattern} on {text}");
        };
        check("*", "", true);
        check("*", "/v2/a", true);
        check("/v2/*/blobs/*", "/v2/a/b/blobs/sha256:00", true);
        check("/v2/*/blobs/*", "/v2/a/manifests/x", false);
        check("/v2/", "/v2/", true);
        check("/v2/", "/v2/a", false);
        check("*b", "aab", true);
        check("a*b*c", "abbbcbc", true);
        check("a*b*c", "abbbcb", false);
        check("", "", true);
        check("", "a", false);
    }

    #[test]
    fn reads_what_a_scenario_says() {
        let text = r#"{"on": {"method": "GET", "path": "/v2/*", "nth": 2}, "do": {"kind": "reset", "at": {"percent": 50}}}"#;
        let rule: Rule = serde_json::from_str(text).unwrap();
        assert!(rule.on.matches("get", "/v2/x", Place::First));
        assert!(!rule.on.matches("HEAD", "/v2/x", Place::First));
        assert!(!rule.on.matches("GET", "/v2/x", Place::Stranger));
        assert!(serde_json::from_str::<Rule>(r#"{"on": {"pth": "/"}, "do": {"kind": "html"}}"#).is_err());
    }
}
