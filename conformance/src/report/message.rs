//! Takes the record of a message apart again, so that a form can set its parts apart.

/// The parts of a recorded request or response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message<'e> {
    /// The request line, the status, or the words that say why there is no response.
    pub(super) start: &'e str,
    /// Name and value, in the order of the wire.
    pub(super) headers: Vec<(&'e str, &'e str)>,
    /// The beginning of the body, without the mark of the cut; empty when there is none.
    pub(super) body: &'e str,
    /// The length of a body that is not shown whole.
    pub(super) cut: Option<&'e str>,
}

impl<'e> Message<'e> {
    /// Parses what an exchange recorded; what it does not understand stays in the body.
    pub(super) fn parse(text: &'e str) -> Self {
        // Raw bytes are recorded in one line, with their line ends written out.
        if !text.contains('\n')
            && let Some((start, rest)) = text.split_once("\\r\\n")
        {
            return Self { start, headers: Vec::new(), body: rest, cut: None };
        }
        let (start, rest) = text.split_once('\n').unwrap_or((text, ""));
        let (head, body) = match rest.strip_prefix('\n') {
            Some(body) => ("", body),
            None => rest.split_once("\n\n").unwrap_or((rest, "")),
        };
        let headers = head.lines().map(|line| line.split_once(": ").unwrap_or((line, ""))).collect();
        let body = body.strip_suffix('\n').unwrap_or(body);
        let (body, cut) = split_cut(body);
        Self { start, headers, body, cut }
    }

    /// Returns the status, where the message is a response that came.
    pub(super) fn status(&self) -> Option<u16> {
        self.start.split(' ').find_map(|word| word.parse().ok()).filter(|status| (100..600).contains(status))
    }
}

fn split_cut(body: &str) -> (&str, Option<&str>) {
    let (kept, last) = body.rsplit_once('\n').unwrap_or(("", body));
    match last.strip_prefix("[cut: ").and_then(|last| last.strip_suffix(" bytes in all]")) {
        Some(length) => (kept, Some(length)),
        None => (body, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Exchange, Framing, Request, Response, Url};

    fn exchange(body: &[u8]) -> Exchange {
        let request = Request::new("PUT", Url::parse("http://h:1/v2/").unwrap()).body(body.to_vec());
        let response = Response {
            label: "PUT /v2/".into(),
            status: 201,
            headers: vec![("Location".into(), "a: b".into()), ("Empty".into(), String::new())],
            body: body.to_vec(),
            framing: Framing::Close,
            interim: vec![],
            excess: 0,
        };
        Exchange::new(&request, &Ok(response))
    }

    #[test]
    fn what_the_record_writes_is_read() {
        let record = exchange(b"{\"a\": 1}\n\nb");
        let (request, response) = (Message::parse(&record.request), Message::parse(&record.response));
        assert_eq!(request.start, "PUT /v2/");
        assert!(request.headers.contains(&("Content-Length", "11")), "{request:?}");
        assert_eq!((request.body, request.cut), ("{\"a\": 1}\n\nb", None));
        assert_eq!(response.status(), Some(201));
        assert_eq!(response.headers, [("Location", "a: b"), ("Empty", "")]);
        assert_eq!(response.body, "{\"a\": 1}\n\nb");
    }

    #[test]
    fn cuts_are_found() {
        let record = exchange(&[b'x'; 5000]);
        let message = Message::parse(&record.response);
        assert_eq!(message.cut, Some("5000"));
        assert!(message.body.bytes().all(|b| b == b'x') && !message.body.is_empty());
    }

    #[test]
    fn messages_without_parts_are_read() {
        let none = Message::parse("no response: it took 5 s\n");
        assert_eq!((none.start, none.status(), none.body), ("no response: it took 5 s", None, ""));
        let bare = Message::parse("404\n\ngone\n");
        assert_eq!((bare.headers.len(), bare.body, bare.status()), (0, "gone", Some(404)));
        let raw = Message::parse("GET /\\x00 HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n");
        assert_eq!((raw.start, raw.body), ("GET /\\x00 HTTP/1.1", "Host: h\\r\\n\\r\\n"));
        assert_eq!(Message::parse("").start, "");
    }
}
