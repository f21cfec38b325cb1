//! What the checks of intruders have in common: tokens taken apart, and answers that must be alike.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::check::{Stop, Verdict};
use crate::checks::auth::{account, ask, token_of};
use crate::context::Context;
use crate::expect::{codes, status, that};
use crate::login::Challenge;
use crate::wire::{Request, Response};

/// Bytes of a block of SHA-256.
const BLOCK_BYTES: usize = 64;

/// A JSON Web Token, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Jwt {
    /// What it says of its signature.
    pub(super) header: Value,
    /// What it says of its bearer.
    pub(super) claims: Value,
    /// Its three parts as they came.
    pub(super) parts: [String; 3],
}

impl Jwt {
    /// Takes a token apart; none when it is of another form.
    pub(super) fn parse(token: &str) -> Option<Self> {
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else {
            return None;
        };
        let read = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        let (read_header, read_claims) = (read(header)?, read(claims)?);
        let is_jwt = read_header.is_object() && read_claims.is_object();
        let parts = [header, claims, signature].map(|part| (*part).to_owned());
        is_jwt.then_some(Self { header: read_header, claims: read_claims, parts })
    }

    /// Gets a token of the account for these actions, which is seen to work where it is for a push.
    ///
    /// *Errors*: [`Stop::Skip`] when tokens are of another form.
    pub(super) async fn got(ctx: &Context, repo: &str, actions: &str) -> Result<Self, Stop> {
        let token = token_of(&ask(ctx, repo, actions, Some(&account(ctx)?)).await?)?;
        if actions.contains("push") {
            status(&ctx.send(with_token(ctx.begin(repo), &token)).await?, &[202])?;
        }
        Self::parse(&token).ok_or_else(|| Stop::Skip("the tokens are no JSON Web Tokens".to_owned()))
    }

    /// Returns the token with other claims and the old signature.
    pub(super) fn claiming(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.claims.clone();
        change(&mut claims);
        format!("{}.{}.{}", self.parts[0], encoded(&claims), self.parts[2])
    }

    /// Returns the token with another header and this signature.
    pub(super) fn headed(&self, header: &Value, signature: &str) -> String {
        format!("{}.{}.{signature}", encoded(header), self.parts[1])
    }

    /// Returns the token with another header, signed with a key of our own.
    pub(super) fn signed(&self, header: &Value, key: &[u8]) -> String {
        let text = format!("{}.{}", encoded(header), self.parts[1]);
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(hmac(key, text.as_bytes())))
    }
}

/// Returns JSON as a part of a token has it.
pub(super) fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Returns the HMAC of a text by SHA-256 (RFC 2104). The key is no longer than a block.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let padded = |pad: u8| -> Vec<u8> {
        (0..BLOCK_BYTES).map(|at| key.get(at).copied().unwrap_or_default() ^ pad).collect()
    };
    let inner = Sha256::digest([padded(0x36).as_slice(), text].concat());
    Sha256::digest([padded(0x5c).as_slice(), inner.as_slice()].concat()).to_vec()
}

/// Returns a Basic header of bytes that need be neither a name nor a password.
pub(super) fn basic(pair: &[u8]) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

/// Returns the request with a token.
pub(super) fn with_token(request: Request, token: &str) -> Request {
    request.header("Authorization", format!("Bearer {token}"))
}

/// Passes when a push with this token is refused as one with a token that is none.
pub(super) async fn token_refused(ctx: &Context, repo: &str, what: &str, token: &str) -> Verdict {
    let response = ctx.send(with_token(ctx.begin(repo), token)).await?;
    that(response.status == 401, || format!("{what}: answered {}, expected 401", response.status))?;
    let Some(challenge) = Challenge::bearer(&response) else {
        return Ok(());
    };
    let error = challenge.get("error").unwrap_or_default();
    that(error == "invalid_token", || format!("{what}: the challenge says {error:?}, expected invalid_token"))
}

/// Lets a login find out how the target wants to be asked, so that no answer differs for being the first.
pub(super) async fn settled(who: &Context) -> Verdict {
    who.send(who.begin(&who.repo())).await.map(drop)
}

/// Passes when two answers say the same to somebody who must not know what is there: status, error codes, names
/// of headers, challenge, length and body, but for the texts given, each with what stands in its place.
pub(super) fn told_alike(real: &Response, other: &Response, names: &[(&str, &str)]) -> Verdict {
    let (left, right) = (Told::of(real, names, Side::Real), Told::of(other, names, Side::Other));
    that(left.status == right.status, || {
        format!("{}: answered {} where it is and {} where not", real.label, left.status, right.status)
    })?;
    if real.is_client_error() {
        that(codes(real)? == codes(other)?, || format!("{}: another error code where it is", real.label))?;
    }
    that(left.headers == right.headers, || {
        format!("{}: headers {:?} where it is and {:?} where not", real.label, left.headers, right.headers)
    })?;
    that(left.body == right.body, || {
        format!("{}: the body is {:?} where it is and {:?} where not", real.label, left.body, right.body)
    })
}

/// Which of two texts stands for both.
#[derive(Clone, Copy)]
enum Side {
    Real,
    Other,
}

/// What an answer tells.
struct Told {
    status: u16,
    headers: Vec<String>,
    body: String,
}

impl Told {
    fn of(response: &Response, names: &[(&str, &str)], side: Side) -> Self {
        let neutral = |text: &str| {
            names.iter().enumerate().fold(text.to_owned(), |text, (number, (real, other))| {
                let name = match side {
                    Side::Real => real,
                    Side::Other => other,
                };
                let mark = format!("<{number}>");
                text.replace(name, &mark).replace(&crate::login::encode(name), &mark)
            })
        };
        let mut headers: Vec<String> = response.headers.iter().map(|header| told(header, &neutral)).collect();
        headers.sort();
        let body = neutral(&String::from_utf8_lossy(&response.body));
        // The length is told apart from the text, in which lists have no order.
        let body = match serde_json::from_str::<Value>(&body) {
            Ok(value) => format!("{} in {} bytes", ordered(value), body.len()),
            Err(_) => body,
        };
        Self { status: response.status, headers, body }
    }
}

/// Returns what a header tells: its value where that is about what was asked for, else its name alone.
fn told((name, value): &(String, String), neutral: &impl Fn(&str) -> String) -> String {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "www-authenticate" => format!("{name}: {}", challenge(&neutral(value))),
        "content-type" | "link" | "allow" | "docker-content-digest" => format!("{name}: {}", neutral(value)),
        _ => name,
    }
}

/// Returns a challenge in an order of its own: neither parameters nor scopes nor actions have one.
fn challenge(value: &str) -> String {
    let Some(Challenge { scheme, mut parameters }) = Challenge::parse(value) else {
        return value.to_owned();
    };
    for (_, text) in parameters.iter_mut().filter(|(name, _)| name == "scope") {
        let mut scopes: Vec<String> = text.split(' ').map(scope).collect();
        scopes.sort();
        *text = scopes.join(" ");
    }
    parameters.sort();
    format!("{scheme} {parameters:?}")
}

fn scope(text: &str) -> String {
    let (resource, actions) = text.rsplit_once(':').unwrap_or(("", text));
    let mut actions: Vec<&str> = actions.split(',').collect();
    actions.sort_unstable();
    format!("{resource}:{}", actions.join(","))
}

/// Returns JSON whose lists are sorted: some are made of what has no order.
fn ordered(value: Value) -> Value {
    match value {
        Value::Array(list) => {
            let mut list: Vec<Value> = list.into_iter().map(ordered).collect();
            list.sort_by_key(Value::to_string);
            Value::Array(list)
        }
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| (name, ordered(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::content::hex;
    use crate::wire::Framing;

    #[test]
    fn a_text_is_signed_as_rfc_4231_says() {
        let signed = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(&signed), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn tokens_are_taken_apart_and_changed() {
        let part = |value: Value| encoded(&value);
        let token = format!("{}.{}.c2ln", part(json!({"alg": "HS256"})), part(json!({"sub": "a"})));
        let jwt = Jwt::parse(&token).unwrap();
        assert_eq!(jwt.headed(&jwt.header, "c2ln"), token);
        let changed = Jwt::parse(&jwt.claiming(|claims| claims["sub"] = "b".into())).unwrap();
        assert_eq!((&changed.claims["sub"], &changed.parts[2]), (&json!("b"), &"c2ln".to_owned()));
        for other in ["", "abc", "a.b", "a.b.c", &format!("{token}.x")] {
            assert!(Jwt::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn what_has_no_order_is_alike_in_any() {
        let one = r#"Bearer realm="r",scope="repository:a:push,pull repository:b:pull""#;
        let other = r#"Bearer scope="repository:b:pull repository:a:pull,push", realm="r""#;
        assert_eq!(challenge(one), challenge(other));
        assert_ne!(challenge(one), challenge(&other.replace("a:pull,", "a:")));
        assert_eq!(ordered(json!([{"a": [2, 1]}, 3])), ordered(json!([3, {"a": [1, 2]}])));
        assert_ne!(ordered(json!([1])), ordered(json!([1, 1])));
    }

    #[test]
    fn answers_are_alike_but_for_names() {
        let answer = |headers: &[(&str, &str)], body: &str| Response {
            label: "GET /x".into(),
            status: 404,
            headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            body: body.into(),
            framing: Framing::None,
            interim: vec![],
            excess: 0,
        };
        let names = [("a/b", "c/d")];
        let real = answer(&[("Date", "1"), ("Link", "</v2/a%2Fb>")], "no a/b");
        let alike = |other: Response| told_alike(&real, &other, &names).is_ok();
        assert!(alike(answer(&[("link", "</v2/c%2Fd>"), ("date", "2")], "no c/d")));
        assert!(!alike(answer(&[("Date", "1"), ("Link", "</v2/c%2Fd>")], "no a/b")), "the wrong name");
        assert!(!alike(answer(&[("Date", "1")], "no c/d")), "a header less");
        assert!(!alike(answer(&[("Date", "1"), ("Link", "</x>")], "no c/d")), "another link");
    }
}
