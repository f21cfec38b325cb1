//! Lists: pages, orders and filters.

use std::cmp::Ordering;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::{Value, json as object};

use crate::origin::{
    dispatch::{Call, finished, honest, json, set},
    route::Endpoint,
    store::Store,
    tags,
};

/// Entries of a page that is always small.
const SMALL: usize = 2;
/// The most entries of a page that is capped.
const CAP: usize = 3;

pub(super) fn small_pages(store: &mut Store, call: &Call) -> Response<Bytes> {
    with_at_most(store, call, SMALL, true)
}

pub(super) fn capped_pages(store: &mut Store, call: &Call) -> Response<Bytes> {
    with_at_most(store, call, CAP, call.query.first("n").is_some())
}

/// Answers a list as if no more entries than `most` had been asked for.
fn with_at_most(store: &mut Store, call: &Call, most: usize, limited: bool) -> Response<Bytes> {
    let is_list = matches!(Endpoint::parse(&call.path), Ok(Endpoint::Tags { .. } | Endpoint::Catalog));
    let asked = call.query.first("n");
    // What is no number stays, to be refused; a number too large for us is large.
    let fewer = asked.is_some_and(|n| !n.bytes().all(|b| b.is_ascii_digit()) || n.is_empty())
        || asked.and_then(|n| n.parse::<usize>().ok()).is_some_and(|n| n <= most);
    let mut call = call.clone();
    if is_list && limited && !fewer {
        call.query.set("n", &most.to_string());
    }
    honest(store, &call)
}

pub(super) fn alphabetic_tags(store: &mut Store, call: &Call) -> Response<Bytes> {
    match Endpoint::parse(&call.path) {
        Ok(Endpoint::Tags { name }) if call.is_read() => {
            finished(tags::list_in(store, &name, call, without_case))
        }
        _ => honest(store, call),
    }
}

/// Compares without regard to case, and by byte what differs in nothing else.
fn without_case(a: &str, b: &str) -> Ordering {
    a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase()).then_with(|| a.cmp(b))
}

pub(super) fn unknown_tags_empty(store: &mut Store, call: &Call) -> Response<Bytes> {
    let response = honest(store, call);
    match Endpoint::parse(&call.path) {
        Ok(Endpoint::Tags { name }) if call.is_read() && response.status() == StatusCode::NOT_FOUND => {
            finished(Ok(json(StatusCode::OK, object!({ "name": name, "tags": [] }).to_string())))
        }
        _ => response,
    }
}

pub(super) fn paged_referrers(store: &mut Store, call: &Call) -> Response<Bytes> {
    let response = honest(store, call);
    let is_list = matches!(Endpoint::parse(&call.path), Ok(Endpoint::Referrers { .. }));
    if !is_list || response.status() != StatusCode::OK {
        return response;
    }
    let (parts, body) = response.into_parts();
    let mut index: Value = serde_json::from_slice(&body).expect("the honest answer is JSON");
    let after = call.query.first("after").unwrap_or_default();
    let digest = |entry: &Value| entry["digest"].as_str().unwrap_or_default().to_owned();
    let all = index["manifests"].as_array().cloned().unwrap_or_default();
    let rest: Vec<Value> = all.into_iter().filter(|entry| digest(entry).as_str() > after).collect();
    let page = &rest[..rest.len().min(SMALL)];
    index["manifests"] = page.into();
    let mut response = Response::from_parts(parts, Bytes::from(index.to_string()));
    if let Some(last) = page.last().filter(|_| rest.len() > SMALL) {
        let kinds: String = call.query.all("artifactType").map(|it| format!("&artifactType={it}")).collect();
        // A plus sign in a media type means itself here, and a space to others.
        let kinds = kinds.replace('+', "%2B");
        let next = format!("<{}?after={}{kinds}>; rel=\"next\"", call.path, digest(last));
        set(&mut response, header::LINK, &next);
    }
    response
}

pub(super) fn unfiltered_referrers(store: &mut Store, call: &Call) -> Response<Bytes> {
    let mut call = call.clone();
    call.query.remove("artifactType");
    honest(store, &call)
}
