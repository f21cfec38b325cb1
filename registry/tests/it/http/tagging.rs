//! Goal: a push moves exactly the tags it names, under exactly the conditions it states (R-083 to
//! T-072 to T-078). Method: tables over the real dispatch.

use serde_json::json;

use super::exchange::{ask, assert_error, plain, sha512};
use super::manifests::{IMAGE, push_parts, small};
use crate::support::{Answer, Client, Registry, sha256};

async fn ready() -> Client {
    let client = Registry::default().open().await;
    push_parts(&client, "app").await;
    client
}

/// Returns a manifest of its own for a word.
fn variant(word: &str) -> String {
    let mut manifest = small();
    manifest["annotations"] = json!({"variant": word});
    manifest.to_string()
}

async fn put(client: &Client, reference: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers = [&[("content-type", IMAGE)], headers].concat();
    ask(client, "PUT", &format!("/v2/app/manifests/{reference}"), &headers, body.to_owned()).await
}

async fn tags(client: &Client) -> serde_json::Value {
    plain(client, "GET", "/v2/app/tags/list").await.json()["tags"].clone()
}

async fn points_at(client: &Client, tag: &str) -> String {
    let answer = plain(client, "HEAD", &format!("/v2/app/manifests/{tag}")).await;
    answer.header("docker-content-digest").to_owned()
}

#[tokio::test]
async fn a_push_by_digest_sets_the_tags_it_names() {
    let client = ready().await;
    let body = variant("a");
    for digest in [sha256(body.as_bytes()), sha512(body.as_bytes())] {
        let words: Vec<String> = (0..10).map(|number| format!("t{number}")).collect();
        let query = words.iter().map(|word| format!("tag={word}")).collect::<Vec<_>>().join("&");
        let answer = put(&client, &format!("{digest}?{query}&tag=t3"), &[], &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let told: Vec<&str> =
            answer.headers.get_all("oci-tag").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(told, words);
        assert_eq!(tags(&client).await, json!(words));
        // A tag keeps the algorithm that it was pushed with.
        for word in &words {
            assert_eq!(points_at(&client, word).await, digest);
        }
    }
}

#[tokio::test]
async fn a_push_by_digest_alone_sets_no_tag() {
    let client = ready().await;
    let body = variant("a");
    let answer = put(&client, &sha256(body.as_bytes()), &[], &body).await;
    assert_eq!(answer.status, 201);
    assert!(!answer.headers.contains_key("oci-tag"));
    assert_eq!(tags(&client).await, json!([]));
}

#[tokio::test]
async fn tags_beside_a_tag_mean_nothing() {
    let client = ready().await;
    let answer = put(&client, "v1?tag=v2", &[], &variant("a")).await;
    assert_eq!(answer.status, 201);
    assert!(!answer.headers.contains_key("oci-tag"));
    assert_eq!(tags(&client).await, json!(["v1"]));
}

#[tokio::test]
async fn one_bad_tag_is_no_push() {
    let client = ready().await;
    let body = variant("a");
    let digest = sha256(body.as_bytes());
    for bad in [".x", "a/b", "", "%C3%A9", &"x".repeat(129)] {
        let answer = put(&client, &format!("{digest}?tag=good&tag={bad}"), &[], &body).await;
        assert_error(&answer, 400, "MANIFEST_INVALID");
    }
    let many = (0..101).map(|number| format!("tag=t{number}")).collect::<Vec<_>>().join("&");
    assert_error(&put(&client, &format!("{digest}?{many}"), &[], &body).await, 414, "MANIFEST_INVALID");
    assert_error(&plain(&client, "GET", "/v2/app/manifests/good").await, 404, "MANIFEST_UNKNOWN");
    assert_error(
        &plain(&client, "GET", &format!("/v2/app/manifests/{digest}")).await,
        404,
        "MANIFEST_UNKNOWN",
    );
    let hundred = many.replace("&tag=t100", "");
    let answer = put(&client, &format!("{digest}?{hundred}"), &[], &body).await;
    assert_eq!((answer.status.as_u16(), answer.headers.get_all("oci-tag").iter().count()), (201, 100));
}

#[tokio::test]
async fn a_tag_moves_and_leaves_what_it_pointed_at() {
    let client = ready().await;
    let (one, two) = (variant("one"), variant("two"));
    put(&client, "v1", &[], &one).await;
    put(&client, &format!("{}?tag=v1", sha256(two.as_bytes())), &[], &two).await;
    assert_eq!(points_at(&client, "v1").await, sha256(two.as_bytes()));
    let old = plain(&client, "GET", &format!("/v2/app/manifests/{}", sha256(one.as_bytes()))).await;
    assert_eq!((old.status.as_u16(), old.body), (200, one.into()));
    assert_eq!(tags(&client).await, json!(["v1"]));
}

#[tokio::test]
async fn a_condition_on_a_tag_is_held() {
    let client = ready().await;
    let (one, two) = (variant("one"), variant("two"));
    let (at_one, at_two) =
        (format!("\"{}\"", sha256(one.as_bytes())), format!("\"{}\"", sha256(two.as_bytes())));
    // Absent: only If-None-Match lets it be made.
    assert_error(&put(&client, "v1", &[("if-match", &at_one)], &one).await, 412, "UNSUPPORTED");
    assert_error(&plain(&client, "GET", "/v2/app/manifests/v1").await, 404, "MANIFEST_UNKNOWN");
    assert_eq!(put(&client, "v1", &[("if-none-match", "*")], &one).await.status, 201);
    // There: If-None-Match refuses, and If-Match holds it to what it was.
    assert_error(&put(&client, "v1", &[("if-none-match", "*")], &two).await, 412, "UNSUPPORTED");
    assert_error(&put(&client, "v1", &[("if-match", &at_two)], &two).await, 412, "UNSUPPORTED");
    assert_eq!(points_at(&client, "v1").await, sha256(one.as_bytes()));
    let etag = plain(&client, "GET", "/v2/app/manifests/v1").await.header("etag").to_owned();
    assert_eq!(etag, at_one);
    assert_eq!(put(&client, "v1", &[("if-match", &etag)], &two).await.status, 201);
    assert_eq!(points_at(&client, "v1").await, sha256(two.as_bytes()));
    // One that cannot be held is refused rather than overlooked.
    for (name, value) in
        [("if-match", "W/\"x\""), ("if-match", "x"), ("if-none-match", "\"x\""), ("if-match", "")]
    {
        assert_error(&put(&client, "v1", &[(name, value)], &one).await, 412, "UNSUPPORTED");
    }
    let both = [("if-match", at_two.as_str()), ("if-none-match", "*")];
    assert_error(&put(&client, "v1", &both, &one).await, 412, "UNSUPPORTED");
    assert_eq!(points_at(&client, "v1").await, sha256(two.as_bytes()));
}
