//! What checks say about responses: each function passes or names what it saw.

use serde_json::Value;

use crate::check::{Stop, Verdict};
use crate::content::sha256;
use crate::wire::Response;

/// The error codes that the specification lists (spec.md#error-codes).
pub const CODES: [&str; 14] = [
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
];

/// Codes of Docker's API that the specification calls optional (R-010), and that of its extensions.
const CODES_TOLERATED: [&str; 3] = ["TAG_INVALID", "MANIFEST_UNVERIFIED", "EXTENSION_UNKNOWN"];

/// Bytes of a body that a message quotes.
const QUOTE_BYTES_MAX: usize = 160;

/// Fails with the message unless the condition holds.
pub fn that(condition: bool, message: impl FnOnce() -> String) -> Verdict {
    if condition { Ok(()) } else { Err(Stop::Fail(message())) }
}

/// Passes when the status is one of those allowed.
pub fn status(response: &Response, allowed: &[u16]) -> Verdict {
    that(allowed.contains(&response.status), || {
        let allowed: Vec<String> = allowed.iter().map(u16::to_string).collect();
        format!("{}: answered {}, expected {}", response.label, told(response), allowed.join(" or "))
    })
}

/// Passes when the request was refused with any status of the 4xx class.
pub fn refused(response: &Response) -> Verdict {
    that(response.is_client_error(), || {
        format!("{}: answered {}, expected a refusal (4xx)", response.label, told(response))
    })
}

/// Passes when the server did not break: any status below 500.
pub fn no_server_error(response: &Response) -> Verdict {
    that(response.status < 500, || {
        format!("{}: answered {}, expected no server error", response.label, told(response))
    })
}

/// Returns the header's value, or fails.
pub fn header<'r>(response: &'r Response, name: &str) -> Result<&'r str, Stop> {
    response.header(name).ok_or_else(|| {
        Stop::Fail(format!("{}: the answer {} has no {name} header", response.label, response.status))
    })
}

/// Passes when the header has exactly this value.
pub fn header_is(response: &Response, name: &str, value: &str) -> Verdict {
    let got = header(response, name)?;
    that(got == value, || format!("{}: {name} is {got:?}, expected {value:?}", response.label))
}

/// Passes when the header is absent.
pub fn header_absent(response: &Response, name: &str) -> Verdict {
    let got = response.header(name);
    that(got.is_none(), || format!("{}: {name} is {got:?}, expected none", response.label))
}

/// Passes when the body is these bytes.
pub fn body_is(response: &Response, bytes: &[u8]) -> Verdict {
    that(response.body == bytes, || {
        format!(
            "{}: the body has {} bytes ({}), expected {} ({})",
            response.label,
            response.body.len(),
            sha256(&response.body),
            bytes.len(),
            sha256(bytes)
        )
    })
}

/// Passes when the response has no body and nothing follows it on a closed connection.
pub fn empty(response: &Response) -> Verdict {
    let bytes = response.body.len() + response.excess;
    that(bytes == 0, || format!("{}: {bytes} bytes of body, expected none", response.label))
}

/// Passes when Docker-Content-Digest names the content, in sha256 or another algorithm.
pub fn digest_header(response: &Response, digests: &[&str]) -> Verdict {
    let got = header(response, "Docker-Content-Digest")?;
    that(digests.contains(&got), || {
        format!("{}: Docker-Content-Digest is {got}, expected {}", response.label, digests.join(" or "))
    })
}

/// Returns the body as JSON, or fails.
pub fn json(response: &Response) -> Result<Value, Stop> {
    serde_json::from_slice(&response.body).map_err(|error| {
        Stop::Fail(format!("{}: the body is not JSON ({error}): {}", response.label, quote(&response.body)))
    })
}

/// Returns the codes of an OCI error body; none when the body is not JSON, which is legal.
///
/// *Spec:* `spec.md#error-codes`: a JSON body has `errors`, each with a `code` of upper case letters.
pub fn codes(response: &Response) -> Result<Vec<String>, Stop> {
    let declared = response.header("content-type").is_some_and(|value| value.contains("json"));
    let value = match serde_json::from_slice::<Value>(&response.body) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
        _ if declared && !response.body.is_empty() => json(response)?,
        _ => return Ok(Vec::new()),
    };
    let wrong = |what: &str| {
        Stop::Fail(format!("{}: {what} in the error body {}", response.label, quote(&response.body)))
    };
    let errors = value.get("errors").and_then(Value::as_array).ok_or_else(|| wrong("no list of errors"))?;
    if errors.is_empty() {
        return Err(wrong("an empty list of errors"));
    }
    let mut codes = Vec::new();
    for error in errors {
        let code = error.get("code").and_then(Value::as_str).ok_or_else(|| wrong("an error without code"))?;
        if code.is_empty() || !code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') {
            return Err(wrong("a code that is not made of A to Z and _"));
        }
        if error.get("message").is_some_and(|message| !message.is_string()) {
            return Err(wrong("a message that is no string"));
        }
        codes.push(code.to_owned());
    }
    Ok(codes)
}

/// Passes when the error body, if it is JSON, carries one of these codes.
pub fn code(response: &Response, wanted: &[&str]) -> Verdict {
    let got = codes(response)?;
    that(got.is_empty() || got.iter().any(|code| wanted.contains(&code.as_str())), || {
        format!("{}: error code {}, expected {}", response.label, got.join(", "), wanted.join(" or "))
    })
}

/// Passes when every code of the error body is one that the specification lists or calls optional.
pub fn listed(response: &Response) -> Verdict {
    let got = codes(response)?;
    let odd = got.iter().find(|c| !CODES.contains(&c.as_str()) && !CODES_TOLERATED.contains(&c.as_str()));
    that(odd.is_none(), || format!("{}: error code {got:?} is not one of the listed ones", response.label))
}

/// Returns the strings of a JSON member that has to be a list of strings.
pub fn strings(response: &Response, member: &str) -> Result<Vec<String>, Stop> {
    let value = json(response)?;
    let list = value.get(member).and_then(Value::as_array).ok_or_else(|| {
        Stop::Fail(format!("{}: no list {member:?} in {}", response.label, quote(&response.body)))
    })?;
    list.iter()
        .map(|item| {
            item.as_str().map(str::to_owned).ok_or_else(|| {
                Stop::Fail(format!("{}: {member:?} holds {item}, expected strings", response.label))
            })
        })
        .collect()
}

/// Turns a failure into an error of the preparation.
pub fn setup<T>(result: Result<T, Stop>) -> Result<T, Stop> {
    result.map_err(|stop| match stop {
        Stop::Fail(message) => Stop::Error(format!("preparation failed: {message}")),
        other => other,
    })
}

/// Gathers the failures of the cases of one check.
#[derive(Debug, Default)]
pub struct Findings {
    failures: Vec<String>,
}

impl Findings {
    /// Keeps a failure and goes on.
    ///
    /// *Errors*: passes on a skip or an error, which end the check.
    pub fn note(&mut self, verdict: Verdict) -> Verdict {
        match verdict {
            Err(Stop::Fail(message)) => {
                self.failures.push(message);
                Ok(())
            }
            other => other,
        }
    }

    /// Returns all failures as one.
    pub fn verdict(self) -> Verdict {
        if self.failures.is_empty() { Ok(()) } else { Err(Stop::Fail(self.failures.join("; "))) }
    }
}

fn told(response: &Response) -> String {
    if response.status < 400 || response.body.is_empty() {
        return response.status.to_string();
    }
    format!("{} ({})", response.status, quote(&response.body))
}

fn quote(bytes: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(QUOTE_BYTES_MAX)]);
    let mark = if bytes.len() > QUOTE_BYTES_MAX { "…" } else { "" };
    format!("{}{mark}", shown.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Framing;

    fn response(status: u16, body: &str) -> Response {
        Response {
            label: "GET /x".into(),
            status,
            headers: vec![("Content-Type".into(), "application/json".into())],
            body: body.as_bytes().to_vec(),
            framing: Framing::Close,
            interim: vec![],
            excess: 0,
        }
    }

    fn failure(verdict: Verdict) -> String {
        match verdict {
            Err(Stop::Fail(message)) => message,
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    #[test]
    fn messages_name_what_was_seen() {
        let seen = failure(status(&response(500, "oops"), &[200, 404]));
        assert_eq!(seen, "GET /x: answered 500 (oops), expected 200 or 404");
        let seen = failure(status(&response(400, "why"), &[200]));
        assert_eq!(seen, "GET /x: answered 400 (why), expected 200");
        let seen = failure(status(&response(201, "content"), &[200]));
        assert_eq!(seen, "GET /x: answered 201, expected 200", "content is not quoted");
        assert!(failure(body_is(&response(200, "ab"), b"abc")).contains("has 2 bytes"));
        assert!(failure(header_is(&response(200, ""), "Content-Type", "x")).contains("application/json"));
        assert!(failure(header_absent(&response(200, ""), "Content-Type")).contains("expected none"));
        assert!(failure(refused(&response(201, ""))).contains("answered 201"));
        assert!(failure(no_server_error(&response(502, ""))).contains("answered 502"));
        assert!(failure(empty(&response(404, "x"))).contains("1 bytes"));
        assert!(
            failure(digest_header(&response(200, ""), &["sha256:a"])).contains("no Docker-Content-Digest")
        );
    }

    #[test]
    fn error_bodies_are_judged_by_shape() {
        let good = response(404, r#"{"errors":[{"code":"NAME_UNKNOWN","message":"","detail":[1]}]}"#);
        assert_eq!(codes(&good).unwrap(), ["NAME_UNKNOWN"]);
        assert!(code(&good, &["NAME_UNKNOWN"]).is_ok());
        assert!(failure(code(&good, &["DENIED"])).contains("NAME_UNKNOWN"));
        assert!(listed(&good).is_ok());
        for bad in [
            r#"{"error":"x"}"#,
            r#"{"errors":[]}"#,
            r#"{"errors":[{"message":"x"}]}"#,
            r#"{"errors":[{"code":"lower"}]}"#,
            r#"{"errors":[{"code":"DENIED","message":7}]}"#,
            "[]",
            "not json",
        ] {
            assert!(codes(&response(404, bad)).is_err(), "{bad}");
        }
        assert!(listed(&response(404, r#"{"errors":[{"code":"NO_IDEA"}]}"#)).is_err());
        let mut plain = response(404, "404 page not found");
        plain.headers.clear();
        assert!(codes(&plain).unwrap().is_empty(), "any format is legal");
    }

    #[test]
    fn findings_gather_failures_but_pass_on_the_rest() {
        let mut findings = Findings::default();
        findings.note(Err(Stop::Fail("a".into()))).unwrap();
        findings.note(Ok(())).unwrap();
        findings.note(Err(Stop::Fail("b".into()))).unwrap();
        assert!(findings.note(Err(Stop::Skip("c".into()))).is_err());
        assert_eq!(findings.verdict(), Err(Stop::Fail("a; b".into())));
        assert_eq!(
            setup::<()>(Err(Stop::Fail("x".into()))),
            Err(Stop::Error("preparation failed: x".into()))
        );
    }
}
