//! Goal: `_catalog` lists the repositories that hold something, page by page (T-125, Docker's
//! registry API). Method: the real dispatch over memory, a transcript. What an account may see of it
//! is with `auth`.

use serde_json::json;

use super::exchange::{Transcript, assert_error, plain};
use super::tags::next;
use crate::support::Registry;

#[tokio::test]
async fn catalog_answers() {
    let client = Registry::default().open().await;
    let mut transcript = Transcript::new(&client);
    transcript.plain("GET", "/v2/_catalog").await;
    for name in ["zoo", "a/b", "a-b", "a", "a/b/c"] {
        client.push_image(name, "v1", b"layer").await;
    }
    for query in ["", "?n=2", "?n=2&last=a-b", "?n=0", "?last=a/b", "?n=x"] {
        transcript.plain("GET", &format!("/v2/_catalog{query}")).await;
    }
    insta::assert_snapshot!(transcript.text());
}

#[tokio::test]
async fn every_page_size_walks_the_whole_catalog() {
    let client = Registry::default().open().await;
    let mut names = vec!["a", "a-b", "a/b", "a/b/c", "zoo", "tags/list"];
    for name in &names {
        client.push_image(name, "v1", b"layer").await;
    }
    names.sort_unstable();
    for n in 1..=names.len() + 1 {
        let (mut seen, mut path) = (Vec::new(), Some(format!("/v2/_catalog?n={n}")));
        while let Some(at) = path {
            let answer = plain(&client, "GET", &at).await;
            seen.extend(answer.json()["repositories"].as_array().unwrap().clone());
            path = next(answer.header("link"));
        }
        assert_eq!(json!(seen), json!(names), "{n}");
    }
}

#[tokio::test]
async fn a_repository_is_listed_while_it_holds_a_manifest() {
    let client = Registry::default().open().await;
    let listed = async || plain(&client, "GET", "/v2/_catalog").await.json()["repositories"].clone();
    client.push_blob("app", b"blob").await;
    assert_eq!(listed().await, json!([]));
    let (_, digest) = client.push_image("app", "v1", b"layer").await;
    assert_eq!(listed().await, json!(["app"]));
    plain(&client, "DELETE", "/v2/app/manifests/v1").await;
    assert_eq!(listed().await, json!(["app"]));
    plain(&client, "DELETE", &format!("/v2/app/manifests/{digest}")).await;
    assert_eq!(listed().await, json!([]));
    assert_error(&plain(&client, "GET", "/v2/app/tags/list").await, 404, "NAME_UNKNOWN");
    client.push_image("app", "v1", b"layer").await;
    assert_eq!(listed().await, json!(["app"]));
}
