//! Lists: the tags of a repository, and the repositories. Spec: end-8.

use std::cmp::Ordering;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::{
    dispatch::{Answer, Call, json, set},
    refusal::Refusal,
    store::Store,
};

/// Answers `tags/list`: sorted by byte, with `n`, `last` and `Link`.
pub(super) fn list(store: &Store, name: &str, call: &Call) -> Answer {
    list_in(store, name, call, str::cmp)
}

/// Answers `tags/list` in an order.
pub(super) fn list_in(store: &Store, name: &str, call: &Call, order: Order) -> Answer {
    let mut tags: Vec<&str> = store.repository(name)?.tags.keys().map(String::as_str).collect();
    tags.sort_by(|a, b| order(a, b));
    let page = Page::cut(tags.into_iter(), call, order)?;
    let body = json!({ "name": name, "tags": page.items }).to_string();
    Ok(page.linked(json(StatusCode::OK, body), &call.path))
}

/// Answers `_catalog` with the repositories that the caller may see.
pub(super) fn catalog(store: &Store, call: &Call) -> Answer {
    let page = Page::cut(store.names().filter(|name| call.caller.may_see(name)), call, str::cmp)?;
    let body = json!({ "repositories": page.items }).to_string();
    Ok(page.linked(json(StatusCode::OK, body), &call.path))
}

/// How the entries of a list are compared.
pub(super) type Order = fn(&str, &str) -> Ordering;

struct Page<'a> {
    items: Vec<&'a str>,
    limit: usize,
    has_next: bool,
}

impl<'a> Page<'a> {
    fn cut(items: impl Iterator<Item = &'a str>, call: &Call, order: Order) -> Result<Self, Refusal> {
        let limit = match call.query.first("n") {
            None => usize::MAX,
            // A number too large for us is larger than any list.
            Some(n) if !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) => {
                n.parse().unwrap_or(usize::MAX)
            }
            Some(_) => return Err(Refusal::ParameterInvalid("n")),
        };
        let last = call.query.first("last").unwrap_or_default();
        let mut rest = items.filter(|item| order(item, last).is_gt()).peekable();
        let mut page = Vec::new();
        while page.len() < limit
            && let Some(item) = rest.next()
        {
            page.push(item);
        }
        Ok(Self { has_next: limit > 0 && rest.peek().is_some(), items: page, limit })
    }

    fn linked(&self, mut response: Response<Bytes>, path: &str) -> Response<Bytes> {
        if let Some(last) = self.items.last().filter(|_| self.has_next) {
            let last = utf8_percent_encode(last, NON_ALPHANUMERIC);
            let link = format!("<{path}?n={}&last={last}>; rel=\"next\"", self.limit);
            set(&mut response, header::LINK, &link);
        }
        response
    }
}
