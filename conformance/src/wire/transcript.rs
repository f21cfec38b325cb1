//! The record of an exchange that the reports show: secrets blanked, bodies cut.

use crate::wire::{Request, Response, WireError};

/// The most bytes of a body that the record keeps.
pub const PREVIEW_BYTES_MAX: usize = 2 * 1024;

/// Stands where a secret stood.
const BLANK: &str = "[blanked]";

/// Headers whose values never reach a report.
const SECRET_HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];

/// JSON members whose values never reach a report.
const SECRET_MEMBERS: [&str; 4] = ["token", "access_token", "refresh_token", "password"];

/// One request with what came of it, ready for printing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Request line, headers and the beginning of the body.
    pub request: String,
    /// Status line, headers and the beginning of the body; or why there is none.
    pub response: String,
}

impl Exchange {
    /// Records a request and its result.
    pub fn new(request: &Request, result: &Result<Response, WireError>) -> Self {
        let mut text = format!("{} {}\n", request.method, request.url.target);
        push_headers(&mut text, &request.framed_headers());
        let payload = request.payload();
        push_preview(&mut text, &payload);
        Self { request: text, response: render(result) }
    }

    /// Records raw bytes that were sent, and their result.
    pub fn raw(bytes: &[u8], result: &Result<Response, WireError>) -> Self {
        let shown = &bytes[..bytes.len().min(PREVIEW_BYTES_MAX)];
        Self { request: shown.escape_ascii().to_string(), response: render(result) }
    }
}

fn render(result: &Result<Response, WireError>) -> String {
    match result {
        Ok(response) => {
            let mut text = format!("{}\n", response.status);
            push_headers(&mut text, &response.headers);
            push_preview(&mut text, &response.body);
            text
        }
        Err(error) => format!("no response: {error}\n"),
    }
}

fn push_headers(text: &mut String, headers: &[(String, String)]) {
    for (name, value) in headers {
        let secret = SECRET_HEADERS.iter().any(|header| name.eq_ignore_ascii_case(header));
        let value = if secret { BLANK } else { value.as_str() };
        text.push_str(&format!("{name}: {value}\n"));
    }
}

fn push_preview(text: &mut String, body: &[u8]) {
    if body.is_empty() {
        return;
    }
    let shown = &body[..body.len().min(PREVIEW_BYTES_MAX)];
    text.push('\n');
    // A cut may split a character: up to three bytes at the end are forgiven.
    let readable = match std::str::from_utf8(shown) {
        Ok(readable) => Some(readable),
        Err(error) if shown.len() - error.valid_up_to() < 4 => {
            std::str::from_utf8(&shown[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    match readable.filter(|text| !text.contains('\0')) {
        Some(readable) => text.push_str(&blank_members(readable)),
        None => text.push_str(&format!("[{} bytes of binary]", body.len())),
    }
    if body.len() > PREVIEW_BYTES_MAX {
        text.push_str(&format!("\n[cut: {} bytes in all]", body.len()));
    }
    text.push('\n');
}

/// Blanks the string values of secret JSON members, also in a body that is cut and so no longer JSON.
fn blank_members(text: &str) -> String {
    let mut out = text.to_owned();
    for member in SECRET_MEMBERS {
        let key = format!("\"{member}\"");
        let mut from = 0;
        while let Some(at) = out[from..].find(&key).map(|at| from + at + key.len()) {
            let rest = &out[at..];
            let opened = rest.trim_start().strip_prefix(':').map(str::trim_start);
            let Some(value) = opened.and_then(|rest| rest.strip_prefix('"')) else {
                from = at;
                continue;
            };
            let start = out.len() - value.len();
            let end = value.find('"').map_or(out.len(), |length| start + length);
            out.replace_range(start..end, BLANK);
            from = start + BLANK.len();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Framing, Url};

    fn response(body: &[u8]) -> Response {
        Response {
            label: "GET /".into(),
            status: 200,
            headers: vec![("Set-Cookie".into(), "secret=1".into()), ("X".into(), "y".into())],
            body: body.to_vec(),
            framing: Framing::Close,
            interim: vec![],
            excess: 0,
        }
    }

    #[test]
    fn secrets_are_blanked() {
        let request = Request::new("GET", Url::parse("http://h:1/v2/").unwrap())
            .header("Authorization", "Basic c2VjcmV0")
            .body(*b"{\"password\": \"hunter2\"}");
        let answer = Ok(response(b"{\"token\":\"abc\",\"access_token\" : \"def\",\"token\":\"ghi"));
        let exchange = Exchange::new(&request, &answer);
        let all = format!("{}{}", exchange.request, exchange.response);
        for secret in ["c2VjcmV0", "hunter2", "secret=1", "abc", "def", "ghi"] {
            assert!(!all.contains(secret), "{secret} in {all}");
        }
        assert!(all.contains("X: y"));
    }

    #[test]
    fn bodies_are_cut_and_binary_is_named() {
        let long = "é".repeat(PREVIEW_BYTES_MAX);
        let cut = Exchange::new(
            &Request::new("GET", Url::parse("http://h:1/").unwrap()),
            &Ok(response(format!("x{long}").as_bytes())),
        );
        assert!(cut.response.contains("[cut: 4097 bytes in all]"));
        assert!(cut.response.len() < PREVIEW_BYTES_MAX + 200);
        let binary = Exchange::raw(b"GET \0\r\n", &Ok(response(&[0, 159, 146, 150, 0, 1])));
        assert!(binary.response.contains("[6 bytes of binary]"));
        assert_eq!(binary.request, "GET \\x00\\r\\n");
    }
}
