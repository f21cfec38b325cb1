//! What an upstream's 401 asks for, and Bearer tokens.
//!
//! A token is fetched without an account from a realm on the upstream's own host or below the same registered
//! name (`auth.docker.io` for `registry-1.docker.io`), so that an upstream cannot make this process ask
//! arbitrary hosts (P10). An account goes to a realm only where that is *bound* to the upstream: on its own
//! host, Docker Hub's own, or named in `authRealms` (P11): two names under one registered name may belong to
//! different people.
//!
//! *Spec:* the distribution project's token authentication; RFC 7617 for Basic.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::mutants;

/// Docker Hub's registry, and its token service.
const DOCKER_HUB: (&str, &str) = ("registry-1.docker.io", "auth.docker.io");

/// What a url wants from who is not logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// User and password.
    Basic,
    /// A token.
    Bearer(Challenge),
}

impl Wanted {
    /// Reads the values of `WWW-Authenticate`; a token where there is a choice.
    pub(super) fn parse(values: &[&str]) -> Option<Self> {
        let scheme = |value: &&str| value.trim().split(' ').next().map(str::to_ascii_lowercase);
        let bearer = values.iter().find_map(|value| Challenge::parse(value)).map(Self::Bearer);
        let is_basic = values.iter().any(|value| scheme(value).as_deref() == Some("basic"));
        bearer.or_else(|| is_basic.then_some(Self::Basic))
    }
}

/// A Bearer challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    realm: String,
    service: Option<String>,
    scope: Option<String>,
}

impl Challenge {
    /// Parses the value of a `WWW-Authenticate` header, or returns `None` when it is no Bearer
    /// challenge with a realm.
    ///
    /// *Spec:* RFC 9110 §11.6.1.
    pub fn parse(value: &str) -> Option<Self> {
        let (scheme, mut rest) = value.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut parameters = HashMap::new();
        while let Some((key, after)) = rest.split_once('=') {
            let key = key.trim_matches([' ', ',']).to_ascii_lowercase();
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_once(',').unwrap_or((after, "")),
            };
            parameters.insert(key, value.to_owned());
            rest = after;
        }
        Some(Self {
            realm: parameters.remove("realm")?,
            service: parameters.remove("service"),
            scope: parameters.remove("scope"),
        })
    }

    /// Returns the challenge as it is for another repository, for which nobody has been asked yet.
    pub(super) fn for_any(&self) -> Self {
        Self { scope: None, ..self.clone() }
    }

    /// Says whether an account for the upstream may be shown to the realm.
    pub(super) fn is_bound(&self, upstream_url: &str, realms: &[String]) -> bool {
        let url = |text: &str| reqwest::Url::parse(text).ok();
        let Some((realm, upstream)) = url(&self.realm).zip(url(upstream_url)) else { return false };
        let (realm_host, upstream_host) = (realm.host_str(), upstream.host_str());
        realm_host == upstream_host
            || (upstream_host, realm_host) == (Some(DOCKER_HUB.0), Some(DOCKER_HUB.1))
            || realms.iter().any(|named| names(named, &realm))
    }

    /// Returns the realm's host, for an operator.
    pub(super) fn host(&self) -> Option<String> {
        reqwest::Url::parse(&self.realm).ok()?.host_str().map(str::to_owned)
    }

    /// Returns the url to ask for a token that may pull from a repository, or `None` when the
    /// realm is not the upstream's to name.
    pub fn url(&self, upstream_url: &str, repository: &str, realms: &[String]) -> Option<String> {
        let realm = reqwest::Url::parse(&self.realm).ok()?;
        let upstream = reqwest::Url::parse(upstream_url).ok()?;
        let (realm_host, upstream_host) = (realm.host_str()?, upstream.host_str()?);
        let same_place = realm_host == upstream_host
            || same_registered_name(realm_host, upstream_host)
            || realms.iter().any(|named| names(named, &realm));
        // A realm must not make us speak plainly about an upstream that is asked over TLS.
        let same_secrecy = realm.scheme() == "https" || realm.scheme() == upstream.scheme();
        if !same_place || !same_secrecy {
            return None;
        }
        let mut url = realm;
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = &self.service {
                query.append_pair("service", service);
            }
            let default = format!("repository:{repository}:pull");
            query.append_pair("scope", self.scope.as_deref().unwrap_or(&default));
        }
        Some(url.into())
    }
}

/// Says whether an entry of `authRealms`, a host with or without scheme and port, names a realm.
fn names(named: &str, realm: &reqwest::Url) -> bool {
    let named = named.split_once("://").map_or(named, |(_, rest)| rest);
    let named = named.split('/').next().unwrap_or_default();
    let host = realm.host_str().unwrap_or_default();
    let with_port = realm.port_or_known_default().map(|port| format!("{host}:{port}"));
    named.eq_ignore_ascii_case(host) || with_port.is_some_and(|it| named.eq_ignore_ascii_case(&it))
}

/// Says whether two host names share their last two labels, and neither is an address.
fn same_registered_name(a: &str, b: &str) -> bool {
    let last_two = |host: &str| -> Option<String> {
        let labels: Vec<&str> = host.rsplit('.').take(2).collect();
        let is_address =
            host.contains(':') || labels.iter().any(|label| label.bytes().all(|b| b.is_ascii_digit()));
        (labels.len() == 2 && !is_address).then(|| labels.join("."))
    };
    matches!((last_two(a), last_two(b)), (Some(a), Some(b)) if a == b)
}

/// The body of a token service's answer.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// Tokens by url and repository: a mirror is not shown the token of another one (P11).
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<TokenKey, (String, Timestamp)>>);

/// The upstream's url, and the repository.
pub(super) type TokenKey = (String, String);

/// Tokens kept at once; when they are more, all are dropped and fetched again.
const TOKENS_MAX: usize = 10_000;
/// What a token lives when its service does not say.
const LIFETIME_DEFAULT: Duration = Duration::from_secs(60);
/// How long before its end a token is no longer used.
const LIFETIME_MARGIN: Duration = Duration::from_secs(10);

impl Tokens {
    /// Returns a token for a repository that still lives.
    pub(super) fn find(&self, url: &str, repository: &str, clock: &Clock) -> Option<String> {
        if mutants::is("MU44-a-token-for-every-request") {
            return None;
        }
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (token, until) = tokens.get(&key(url, repository))?;
        (*until > clock.now()).then(|| token.clone())
    }

    /// Forgets a token that was refused, unless there is another one by now.
    pub(super) fn forget(&self, url: &str, repository: &str, refused: &str) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(url, repository);
        if tokens.get(&key).is_some_and(|(token, _)| token == refused) {
            tokens.remove(&key);
        }
    }

    /// Keeps the token of an answer, and returns it; `None` when the answer has none.
    pub(super) fn keep(&self, url: &str, repository: &str, answer: Answer, clock: &Clock) -> Option<String> {
        let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty())?;
        let lifetime = answer.expires_in.map_or(LIFETIME_DEFAULT, Duration::from_secs);
        let until = clock.now().after(lifetime.saturating_sub(LIFETIME_MARGIN));
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_MAX {
            tokens.clear();
        }
        tokens.insert(key(url, repository), (token.clone(), until));
        Some(token)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

fn key(url: &str, repository: &str) -> TokenKey {
    (url.to_owned(), repository.to_owned())
}

#[cfg(test)]
mod tests {
    //! Goal: challenges as registries send them are read, and realms elsewhere are not asked.
    //! Method: tables.

    use super::*;

    #[test]
    fn challenges() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull""#;
        let challenge = Challenge::parse(hub).unwrap();
        let url = challenge.url("https://registry-1.docker.io", "a/b", &[]).unwrap();
        assert_eq!(
            url,
            "https://auth.docker.io/token?service=registry.docker.io&scope=repository%3Aa%2Fb%3Apull"
        );
        let bare = Challenge::parse("bearer realm=https://r.example/t").unwrap();
        assert_eq!(
            bare.url("https://r.example", "x", &[]).unwrap(),
            "https://r.example/t?scope=repository%3Ax%3Apull"
        );
        for none in ["", "Basic realm=\"x\"", "Bearer", "Bearer service=\"x\"", "Bearer realm=\"x"] {
            assert_eq!(Challenge::parse(none), None, "{none}");
        }
    }

    #[test]
    fn realms_elsewhere_are_refused() {
        let url = |realm: &str, upstream: &str| {
            Challenge::parse(&format!("Bearer realm=\"{realm}\"")).unwrap().url(upstream, "x", &[])
        };
        assert!(url("https://evil.example/t", "https://registry-1.docker.io").is_none());
        assert!(url("http://auth.docker.io/t", "https://registry-1.docker.io").is_none());
        assert!(url("http://169.254.169.254/t", "http://127.0.0.1:5000").is_none());
        assert!(url("http://10.0.0.1/t", "http://127.0.0.1:5000").is_none());
        assert!(url("file:///etc/passwd", "https://registry-1.docker.io").is_none());
        assert!(url("http://127.0.0.1:7000/t", "http://127.0.0.1:5000").is_some());
    }

    #[test]
    fn p11_an_account_goes_to_realms_that_are_bound() {
        for (realm, upstream, realms, bound) in [
            ("https://r.example/token", "https://r.example", "", true),
            ("https://r.example:8443/token", "https://r.example", "", true),
            ("https://auth.docker.io/token", "https://registry-1.docker.io", "", true),
            ("https://auth.r.example/token", "https://r.example", "", false),
            ("https://evil.co.example/token", "https://good.co.example", "", false),
            ("https://auth.r.example/token", "https://r.example", "auth.r.example", true),
            ("https://auth.r.example/token", "https://r.example", "https://auth.r.example/x", true),
            ("https://auth.r.example:8443/t", "https://r.example", "auth.r.example:443", false),
            ("https://auth.docker.io/token", "https://r.example", "", false),
        ] {
            let challenge = Challenge::parse(&format!("Bearer realm=\"{realm}\"")).unwrap();
            let realms: Vec<String> = realms.split_whitespace().map(str::to_owned).collect();
            assert_eq!(challenge.is_bound(upstream, &realms), bound, "{realm} {upstream} {realms:?}");
        }
    }

    #[test]
    fn what_is_wanted() {
        let wanted = Wanted::parse;
        assert_eq!(wanted(&["Basic realm=\"x\""]), Some(Wanted::Basic));
        assert!(matches!(
            wanted(&["Basic realm=\"x\"", "Bearer realm=\"https://r/t\""]),
            Some(Wanted::Bearer(_))
        ));
        assert_eq!(wanted(&["Negotiate"]), None);
        assert_eq!(wanted(&[]), None);
    }
}
