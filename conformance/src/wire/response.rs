//! What came back: status, headers and body exactly as read, and how the body ended.

/// How the end of a body was marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The status or the method allows no body.
    None,
    /// `Content-Length` gave the number of bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The end of the connection was the end of the body.
    Close,
}

/// One complete response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The request that it answers, for messages.
    pub label: String,
    /// Status code.
    pub status: u16,
    /// Headers in the order in which they arrived, names as sent.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// How the body ended.
    pub framing: Framing,
    /// Interim statuses (1xx) that came before.
    pub interim: Vec<u16>,
    /// Bytes that followed the message on a connection that was asked to close.
    pub excess: usize,
}

impl Response {
    /// Returns the first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns all headers of that name, in order.
    pub fn header_all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// Returns the comma-separated items of all headers of that name.
    pub fn header_list(&self, name: &str) -> Vec<&str> {
        self.header_all(name)
            .into_iter()
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .collect()
    }

    /// Says whether the status is of the 2xx class.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Says whether the status is of the 4xx class.
    pub fn is_client_error(&self) -> bool {
        (400..500).contains(&self.status)
    }

    /// Says whether the status sends the client elsewhere.
    pub fn is_redirect(&self) -> bool {
        matches!(self.status, 301 | 302 | 303 | 307 | 308)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_in_any_case_and_split() {
        let response = Response {
            label: "GET /".into(),
            status: 200,
            headers: vec![
                ("OCI-Tag".into(), "a, b".into()),
                ("oci-tag".into(), "c".into()),
                ("X".into(), String::new()),
            ],
            body: Vec::new(),
            framing: Framing::None,
            interim: Vec::new(),
            excess: 0,
        };
        assert_eq!(response.header("oci-TAG"), Some("a, b"));
        assert_eq!(response.header_all("Oci-Tag"), ["a, b", "c"]);
        assert_eq!(response.header_list("Oci-Tag"), ["a", "b", "c"]);
        assert!(response.header_list("x").is_empty());
    }
}
