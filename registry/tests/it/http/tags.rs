//! Goal: the tags of a repository in one order, page by page, none twice and none left out (R-091
//! to R-100, T-115 to T-124). Method: the real dispatch over memory, a transcript, every page size.

use serde_json::{Value, json};

use super::exchange::{Transcript, assert_error, plain};
use super::manifests::{push_parts, small};
use crate::support::{Client, Registry};

const TAGS: [&str; 9] = ["1", "10", "2", "B", "C.1", "_x", "a", "a-b", "v1.0"];

async fn tagged() -> Client {
    let client = Registry::default().open().await;
    push_parts(&client, "team/app").await;
    for tag in ["B", "a", "v1.0", "_x", "1", "C.1", "10", "a-b", "2"] {
        assert_eq!(client.push_manifest("team/app", tag, &small()).await.status, 201);
    }
    client
}

#[tokio::test]
async fn tags_answers() {
    let client = tagged().await;
    let mut transcript = Transcript::new(&client);
    for query in ["", "?n=2", "?n=2&last=10", "?n=0", "?n=99", "?last=_x", "?last=zzz", "?n=-1"] {
        transcript.plain("GET", &format!("/v2/team/app/tags/list{query}")).await;
    }
    transcript.plain("GET", "/v2/never/tags/list").await;
    transcript.plain("GET", "/v2/UPPER/tags/list").await;
    insta::assert_snapshot!(transcript.text());
}

/// Returns the path in a `Link` to the next page.
pub(super) fn next(link: &str) -> Option<String> {
    let (path, rest) = link.strip_prefix('<')?.split_once('>')?;
    assert_eq!(rest, "; rel=\"next\"");
    assert!(path.starts_with("/v2/"), "{path}");
    Some(path.to_owned())
}

#[tokio::test]
async fn every_page_size_walks_the_whole_list() {
    let client = tagged().await;
    for n in 1..=TAGS.len() + 1 {
        let (mut seen, mut path) = (Vec::new(), Some(format!("/v2/team/app/tags/list?n={n}")));
        while let Some(at) = path {
            let answer = plain(&client, "GET", &at).await;
            let body = answer.json();
            let page: Vec<Value> = body["tags"].as_array().unwrap().clone();
            assert_eq!(body["name"], "team/app");
            path = next(answer.header("link"));
            assert!(page.len() == n || path.is_none(), "{at}: {}", page.len());
            assert!(!page.is_empty(), "a link leads to something: {at}");
            seen.extend(page);
        }
        assert_eq!(json!(seen), json!(TAGS), "{n}");
    }
}

#[tokio::test]
async fn a_page_begins_strictly_after_last() {
    let client = tagged().await;
    for last in
        ["", "0", "1", "100", "a", "a-", "b", "v1.0", "zzz", "not%20a%20tag", "%C3%A9", &"x".repeat(500)]
    {
        let answer = plain(&client, "GET", &format!("/v2/team/app/tags/list?last={last}")).await;
        let decoded = last.replace("%20", " ").replace("%C3%A9", "é");
        let expect: Vec<&str> = TAGS.into_iter().filter(|tag| *tag > decoded.as_str()).collect();
        assert_eq!(answer.json()["tags"], json!(expect), "{last}");
        assert!(!answer.headers.contains_key("link"), "{last}");
    }
}

#[tokio::test]
async fn a_number_is_held_to_what_it_means() {
    let client = tagged().await;
    for n in ["-1", "abc", "1.5", "", "%31%20", "0x1"] {
        let answer = plain(&client, "GET", &format!("/v2/team/app/tags/list?n={n}")).await;
        assert_error(&answer, 400, "UNSUPPORTED");
    }
    let huge = plain(&client, "GET", "/v2/team/app/tags/list?n=99999999999999999999999999").await;
    assert_eq!(huge.json()["tags"], json!(TAGS));
    let none = plain(&client, "GET", "/v2/team/app/tags/list?n=0").await;
    assert_eq!(
        (none.status.as_u16(), none.json()["tags"].clone(), none.header("link")),
        (200, json!([]), "")
    );
}

#[tokio::test]
async fn p6_a_page_has_a_largest_size() {
    let mut registry = Registry::default();
    registry.http.page_items_max = 2;
    let client = registry.open().await;
    push_parts(&client, "app").await;
    for tag in ["a", "b", "c"] {
        client.push_manifest("app", tag, &small()).await;
    }
    for query in ["", "?n=100"] {
        let answer = plain(&client, "GET", &format!("/v2/app/tags/list{query}")).await;
        assert_eq!(answer.json()["tags"], json!(["a", "b"]));
        let rest = plain(&client, "GET", &next(answer.header("link")).unwrap()).await;
        assert_eq!((rest.json()["tags"].clone(), rest.header("link")), (json!(["c"]), ""));
    }
}

#[tokio::test]
async fn a_repository_of_untagged_manifests_has_no_tags() {
    let client = Registry::default().open().await;
    push_parts(&client, "app").await;
    assert_error(&plain(&client, "GET", "/v2/app/tags/list").await, 404, "NAME_UNKNOWN");
    let digest = crate::support::sha256(small().to_string().as_bytes());
    client.push_manifest("app", &digest, &small()).await;
    assert_eq!(plain(&client, "GET", "/v2/app/tags/list").await.json(), json!({"name": "app", "tags": []}));
}

#[tokio::test]
async fn pages_survive_what_happens_between_them() {
    let client = tagged().await;
    let first = plain(&client, "GET", "/v2/team/app/tags/list?n=4").await;
    assert_eq!(first.json()["tags"], json!(TAGS[..4]));
    // The last one of the page goes, and one comes before and one after it.
    assert_eq!(plain(&client, "DELETE", "/v2/team/app/manifests/B").await.status, 202);
    for tag in ["0", "C"] {
        client.push_manifest("team/app", tag, &small()).await;
    }
    let second = plain(&client, "GET", &next(first.header("link")).unwrap()).await;
    assert_eq!(second.json()["tags"], json!(["C", "C.1", "_x", "a"]));
}
