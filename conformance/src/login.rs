//! Logging in as clients do: Basic, or a token for the scope that a request needs.
//!
//! A request that carries no Authorization header of its own gets one here. A target whose challenge asks
//! for Bearer is given tokens from its realm, one for each scope, kept until the target refuses them.
//!
//! Spec: RFC 9110 §11, RFC 6750 §3, and the token authentication of Docker's registry.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::context::lock;
use crate::wire::{Request, Response, Url};

/// A user name with its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The user name.
    pub username: String,
    /// The password, which no output shows.
    pub password: String,
}

impl Account {
    /// Makes an account.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: password.into() }
    }

    /// Parses `USER:PASSWORD`, in which the first colon separates.
    ///
    /// *Errors*: a sentence when there is no colon or no user name.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((username, password)) if !username.is_empty() => Ok(Self::new(username, password)),
            _ => Err("expected USER:PASSWORD".to_owned()),
        }
    }

    /// Returns the value of a Basic Authorization header.
    pub fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.username, self.password)))
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What a 401 asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// `basic`, `bearer` or another scheme, in lower case.
    pub scheme: String,
    /// Its parameters in order, names in lower case, values without their quotes.
    pub parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Parses one WWW-Authenticate value that holds one challenge.
    pub fn parse(value: &str) -> Option<Self> {
        let (scheme, mut rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        let mut parameters = Vec::new();
        loop {
            rest = rest.trim_start_matches([' ', ',']);
            if rest.is_empty() {
                break;
            }
            let (name, tail) = rest.split_once('=')?;
            let (text, tail) = match tail.strip_prefix('"') {
                Some(quoted) => unquote(quoted)?,
                None => {
                    let end = tail.find(',').unwrap_or(tail.len());
                    (tail[..end].trim().to_owned(), &tail[end..])
                }
            };
            parameters.push((name.trim().to_ascii_lowercase(), text));
            rest = tail;
        }
        let is_token = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let named = !scheme.is_empty() && scheme.chars().all(is_token);
        named.then(|| Self { scheme: scheme.to_ascii_lowercase(), parameters })
    }

    /// Returns the Bearer challenge of a response, if it has one.
    pub fn bearer(response: &Response) -> Option<Self> {
        let mut all = response.header_all("www-authenticate").into_iter().filter_map(Self::parse);
        all.find(|challenge| challenge.scheme == "bearer")
    }

    /// Returns a parameter's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads a quoted string up to its closing quote and returns it with what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => out.push(chars.next()?.1),
            c => out.push(c),
        }
    }
    None
}

/// How a target lets an account in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Scheme {
    /// Not known yet: Basic is sent unasked, as scripts do.
    #[default]
    Unknown,
    Bearer(Realm),
}

/// Where tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Realm {
    url: Url,
    service: Option<String>,
}

/// One account at one target, or nobody.
#[derive(Debug, Default)]
pub struct Login {
    account: Option<Account>,
    scheme: Mutex<Scheme>,
    tokens: Mutex<HashMap<String, String>>,
}

impl Login {
    /// Makes the login of an account; without one, requests go out as they are.
    pub fn new(account: Option<Account>) -> Self {
        Self { account, ..Self::default() }
    }

    /// Returns the account.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Says whether the target has asked for tokens.
    pub fn is_bearer(&self) -> bool {
        matches!(*lock(&self.scheme), Scheme::Bearer(_))
    }

    /// Returns the request for a token that this request needs first, unless one is kept.
    pub fn wants_token(&self, request: &Request) -> Option<Request> {
        let Scheme::Bearer(realm) = &*lock(&self.scheme) else {
            return None;
        };
        let scopes = scopes(request);
        let kept = lock(&self.tokens).contains_key(&scopes.join(" "));
        (!kept).then(|| self.ask(realm, &scopes)).flatten()
    }

    /// Returns the request for a new token that a refused request needs; none if its challenge is no Bearer.
    pub fn wants_other_token(&self, request: &Request, refusal: &Response) -> Option<Request> {
        let challenge = Challenge::bearer(refusal).filter(|_| refusal.status == 401)?;
        let url = request.url.join(challenge.get("realm")?).ok()?;
        let realm = Realm { url, service: challenge.get("service").map(str::to_owned) };
        let asked: Vec<String> = challenge.get("scope").into_iter().flat_map(split_scopes).collect();
        *lock(&self.scheme) = Scheme::Bearer(realm.clone());
        self.ask(&realm, &if asked.is_empty() { scopes(request) } else { asked })
    }

    /// Keeps the token of a realm's answer for requests that need the same; says whether there was one.
    pub fn keep_token(&self, request: &Request, answer: &Response) -> bool {
        let value: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let token = ["token", "access_token"].into_iter().find_map(|name| value.get(name)?.as_str());
        let Some(token) = token.filter(|_| answer.status == 200) else {
            return false;
        };
        lock(&self.tokens).insert(scopes(request).join(" "), token.to_owned());
        true
    }

    /// Returns the value of the Authorization header for a request.
    pub fn authorization(&self, request: &Request) -> Option<String> {
        match &*lock(&self.scheme) {
            Scheme::Unknown => self.account.as_ref().map(Account::basic),
            Scheme::Bearer(_) => {
                lock(&self.tokens).get(&scopes(request).join(" ")).map(|token| format!("Bearer {token}"))
            }
        }
    }

    fn ask(&self, realm: &Realm, scopes: &[String]) -> Option<Request> {
        // Anonymous tokens are asked for too: a public pull needs one.
        let mut request = Request::new("GET", realm.url.clone());
        if let Some(service) = &realm.service {
            request = request.query("service", &encode(service));
        }
        for scope in scopes {
            request = request.query("scope", &encode(scope));
        }
        Some(match &self.account {
            Some(account) => {
                request.query("account", &encode(&account.username)).header("Authorization", account.basic())
            }
            None => request,
        })
    }
}

fn split_scopes(text: &str) -> Vec<String> {
    text.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
}

/// Returns the scopes that a request to a registry needs, the repository's own first.
pub fn scopes(request: &Request) -> Vec<String> {
    let (path, query) = request.url.target.split_once('?').unwrap_or((&request.url.target, ""));
    let Some(rest) = path.strip_prefix("/v2/") else {
        return Vec::new();
    };
    if rest == "_catalog" {
        return vec!["registry:catalog:*".to_owned()];
    }
    let nouns = ["/blobs/", "/manifests/", "/tags/", "/referrers/"];
    // A repository may be called `blobs`: the last noun that leaves something on both sides counts.
    let Some(end) = nouns.iter().filter_map(|noun| rest.rfind(noun)).max() else {
        return Vec::new();
    };
    let name = &rest[..end];
    let actions = match request.method.as_str() {
        "GET" | "HEAD" => "pull",
        "DELETE" => "delete",
        _ => "pull,push",
    };
    let from = query.split('&').find_map(|pair| pair.strip_prefix("from="));
    let from = from.map(|from| format!("repository:{}:pull", from.replace("%2F", "/").replace("%2f", "/")));
    std::iter::once(format!("repository:{name}:{actions}")).chain(from).collect()
}

/// Percent-encodes a query value.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Framing;

    fn request(method: &str, target: &str) -> Request {
        Request::new(method, Url::parse("http://h:5000").unwrap().at(target))
    }

    fn response(status: u16, challenge: &str, body: &str) -> Response {
        Response {
            label: "GET /".into(),
            status,
            headers: vec![("WWW-Authenticate".into(), challenge.into())],
            body: body.into(),
            framing: Framing::Close,
            interim: vec![],
            excess: 0,
        }
    }

    #[test]
    fn challenges_are_read() {
        let text = r#"Bearer realm="http://h/t?a=b,c", service="s \"x\"",scope="repository:a/b:pull,push""#;
        let challenge = Challenge::parse(text).unwrap();
        assert_eq!(challenge.scheme, "bearer");
        assert_eq!(challenge.get("realm"), Some("http://h/t?a=b,c"));
        assert_eq!(challenge.get("service"), Some("s \"x\""));
        assert_eq!(challenge.get("scope"), Some("repository:a/b:pull,push"));
        assert_eq!(Challenge::parse("Basic realm=x, charset=UTF-8").unwrap().get("realm"), Some("x"));
        assert_eq!(Challenge::parse("Negotiate").unwrap().parameters, []);
        for bad in ["", "Bearer realm=\"x", "Bearer realm", "Bea/rer x=y"] {
            assert_eq!(Challenge::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn scopes_follow_the_request() {
        let check = |method: &str, target: &str, expect: &[&str]| {
            assert_eq!(scopes(&request(method, target)), expect, "{method} {target}");
        };
        check("GET", "/v2/", &[]);
        check("GET", "/v2/_catalog", &["registry:catalog:*"]);
        check("HEAD", "/v2/a/b/manifests/t", &["repository:a/b:pull"]);
        check("PUT", "/v2/a/b/manifests/t", &["repository:a/b:pull,push"]);
        check("POST", "/v2/a/blobs/uploads/", &["repository:a:pull,push"]);
        check("PATCH", "/v2/a/blobs/uploads/id?s=1", &["repository:a:pull,push"]);
        check("DELETE", "/v2/a/blobs/sha256:0", &["repository:a:delete"]);
        check(
            "POST",
            "/v2/a/blobs/uploads/?mount=sha256:0&from=c%2Fd",
            &["repository:a:pull,push", "repository:c/d:pull"],
        );
        check("GET", "/v2/a/tags/list/tags/list", &["repository:a/tags/list:pull"]);
        check("GET", "/v2/blobs/manifests/t", &["repository:blobs:pull"]);
    }

    #[test]
    fn basic_goes_unasked_until_the_target_wants_tokens() {
        let login = Login::new(Some(Account::new("u", "p")));
        let pull = request("GET", "/v2/a/manifests/t");
        assert!(!login.is_bearer());
        assert_eq!(login.authorization(&pull).as_deref(), Some("Basic dTpw"));
        assert!(login.wants_token(&pull).is_none());
        assert!(login.wants_other_token(&pull, &response(401, "Basic realm=\"x\"", "")).is_none());
        assert!(login.wants_other_token(&pull, &response(403, "Bearer realm=\"/t\"", "")).is_none());

        let refusal = response(401, "Bearer realm=\"http://t:1/?x=y\",service=\"s s\",scope=\"a b\"", "");
        let ask = login.wants_other_token(&pull, &refusal).unwrap();
        assert_eq!(ask.url.to_string(), "http://t:1/?x=y&service=s%20s&scope=a&scope=b&account=u");
        assert_eq!(ask.headers, [("Authorization".to_owned(), "Basic dTpw".to_owned())]);
        assert_eq!(login.authorization(&pull), None, "no Basic where tokens are wanted");
        assert!(login.is_bearer());
        assert!(!login.keep_token(&pull, &response(401, "", r#"{"token":"t"}"#)));
        assert!(!login.keep_token(&pull, &response(200, "", "{}")));
        assert!(login.keep_token(&pull, &response(200, "", r#"{"access_token":"t"}"#)));
        assert_eq!(login.authorization(&pull).as_deref(), Some("Bearer t"));
        assert!(login.wants_token(&pull).is_none());
        let push = login.wants_token(&request("PUT", "/v2/a/manifests/t")).unwrap();
        assert!(push.url.target.contains("scope=repository%3Aa%3Apull%2Cpush"), "{}", push.url);
    }

    #[test]
    fn accounts_are_parsed_and_their_passwords_never_shown() {
        let account = Account::parse("u:p:q").unwrap();
        assert_eq!((account.username.as_str(), account.password.as_str()), ("u", "p:q"));
        assert!(!format!("{account:?}").contains("p:q"));
        assert!(Account::parse("u").is_err() && Account::parse(":p").is_err());
        assert_eq!(Account::parse("u:").unwrap().basic(), "Basic dTo=");
    }
}
