//! Goal: a path reaches what the grammar of names allows, and nothing else: not another
//! repository, not a file, not a crash (R-011 to R-014, P10, T-010 to T-017). Method: tables over the
//! real dispatch, every place of a name.

use std::sync::Arc;

use axum::body::Body;
use wharfinger::backend::disk::OsDisk;

use super::exchange::{ask, assert_error, plain};
use super::manifests::IMAGE;
use crate::support::{Client, Registry, sha256};

/// Every kind of path that has a name in it, with the methods that write.
async fn everywhere(client: &Client, name: &str, status: u16, code: &str) {
    let digest = sha256(b"x");
    for (method, path) in [
        ("GET", format!("/v2/{name}/manifests/v1")),
        ("PUT", format!("/v2/{name}/manifests/v1")),
        ("DELETE", format!("/v2/{name}/manifests/v1")),
        ("GET", format!("/v2/{name}/blobs/{digest}")),
        ("DELETE", format!("/v2/{name}/blobs/{digest}")),
        ("POST", format!("/v2/{name}/blobs/uploads/")),
        ("POST", format!("/v2/{name}/blobs/uploads/?digest={digest}")),
        ("PATCH", format!("/v2/{name}/blobs/uploads/3d2f7b0e-6c1e-4d5a-9b1e-0a1b2c3d4e5f")),
        ("GET", format!("/v2/{name}/tags/list")),
        ("GET", format!("/v2/{name}/referrers/{digest}")),
    ] {
        let answer = ask(client, method, &path, &[("content-type", IMAGE)], "x").await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{method} {path}");
    }
}

#[tokio::test]
async fn names_that_follow_the_grammar_are_names() {
    let client = Registry::default().open().await;
    let longest = "a".repeat(255);
    for name in ["a", "a--b", "a__b", "a.b/c_d/e-f", "0", "a/b/c/d/e/f/g", "manifests", "referrers", &longest]
    {
        let (_, digest) = client.push_image(name, "v1", b"layer").await;
        let answer = plain(&client, "GET", &format!("/v2/{name}/manifests/{digest}")).await;
        assert_eq!(answer.status, 200, "{name}");
        assert_eq!(plain(&client, "GET", &format!("/v2/{name}/tags/list")).await.json()["name"], name);
    }
}

#[tokio::test]
async fn names_that_break_the_grammar_are_refused_everywhere() {
    let client = Registry::default().open().await;
    let long = "a".repeat(256);
    let endless = "a/".repeat(2500);
    for name in [
        "UPPER",
        "a/UPPER",
        "a___b",
        "-a",
        "a-",
        "a..b",
        "a._b",
        "_a",
        "a_",
        ".",
        "..",
        "a/./b",
        "a/../b",
        "a//b",
        "a/",
        "%20a",
        "a%20b",
        "a%00",
        "a%0d%0aSet-Cookie:x",
        "%c3%a9",
        "a:b",
        "a@b",
        "a%5cb",
        "..%5c..",
        "%2e%2e/%2e%2e/etc",
        "../../../../etc/passwd",
        &long,
        endless.trim_end_matches('/'),
    ] {
        everywhere(&client, name, 400, "NAME_INVALID").await;
        let mount = format!("/v2/app/blobs/uploads/?mount={}&from={name}", sha256(b"x"));
        assert_error(&plain(&client, "POST", &mount).await, 400, "NAME_INVALID");
    }
    for name in ["a%2fb", "%2e%2e%2f%2e%2e", "a%ff", "%80"] {
        everywhere(&client, name, 400, "NAME_INVALID").await;
    }
    assert_eq!(plain(&client, "GET", "/v2/_catalog").await.json()["repositories"], serde_json::json!([]));
}

#[tokio::test]
async fn a_message_is_as_short_as_its_reason() {
    let client = Registry::default().open().await;
    let component = "A".repeat(250);
    for name in [component.as_str(), &"a".repeat(60_000)] {
        let answer = plain(&client, "GET", &format!("/v2/{name}/tags/list")).await;
        assert_error(&answer, 400, "NAME_INVALID");
        assert!(answer.body.len() < 1000, "{}", answer.body.len());
    }
}

/// The same over a real folder: nothing appears beside it, whatever is asked for.
#[tokio::test]
async fn p10_no_path_leaves_the_folder() {
    let outer = tempfile::tempdir().unwrap();
    let secret = outer.path().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    let root = outer.path().join("data");
    let registry = Registry { disk: Arc::new(OsDisk::open(&root).unwrap()), ..Registry::default() };
    let client = registry.open().await;
    let digest = sha256(b"x");
    let ways = [
        "../secret",
        "..%2fsecret",
        "%2e%2e/secret",
        "%2e%2e%2fsecret",
        "..%5csecret",
        "....//secret",
        "%252e%252e%252fsecret",
        "/secret",
        "sha256:../../secret",
        "sha256:..%2f..%2fsecret",
    ];
    for way in ways {
        for (method, path) in [
            ("GET", format!("/v2/{way}/manifests/v1")),
            ("GET", format!("/v2/app/manifests/{way}")),
            ("PUT", format!("/v2/app/manifests/{way}")),
            ("GET", format!("/v2/app/blobs/{way}")),
            ("DELETE", format!("/v2/app/blobs/{way}")),
            ("GET", format!("/v2/app/blobs/uploads/{way}")),
            ("PATCH", format!("/v2/app/blobs/uploads/{way}")),
            ("DELETE", format!("/v2/app/blobs/uploads/{way}")),
            ("PUT", format!("/v2/app/blobs/uploads/{way}?digest={digest}")),
            ("GET", format!("/v2/app/referrers/{way}")),
            ("POST", format!("/v2/app/blobs/uploads/?mount={digest}&from={way}")),
            ("POST", format!("/v2/app/blobs/uploads/?mount={way}&from=app")),
            ("POST", format!("/v2/app/blobs/uploads/?digest={way}")),
        ] {
            let answer = ask(&client, method, &path, &[("content-type", IMAGE)], Body::from("x")).await;
            assert!([400, 404].contains(&answer.status.as_u16()), "{method} {path}: {answer:?}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("data/"), "{method} {path}");
        }
        // A list takes any text to begin after; it is compared, never looked up.
        assert_eq!(plain(&client, "GET", &format!("/v2/_catalog?last={way}")).await.status, 200);
    }
    let beside: Vec<_> =
        std::fs::read_dir(outer.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(beside.len(), 2, "{beside:?}");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "secret");
}
