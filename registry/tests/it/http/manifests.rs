//! Goal: a manifest comes out byte for byte as it went in, whatever its kind and whatever the
//! client accepts (R-016 to, T-045 to T-060, T-067 to T-077). Method: the real
//! dispatch over memory, tables, a transcript.

use axum::body::Body;
use serde_json::{Value, json};
use wharfinger::store::options::Missing;

use super::exchange::{Transcript, ask, assert_error, plain, sha512};
use crate::support::{Client, Registry, image, index, sha256};

pub(super) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Pushes the config and layer that [`small`] refers to.
pub(super) async fn push_parts(client: &Client, name: &str) {
    client.push_blob(name, b"{}").await;
    client.push_blob(name, b"layer").await;
}

/// An image manifest of one layer.
pub(super) fn small() -> Value {
    image(&[(&sha256(b"{}"), 2)], &[(&sha256(b"layer"), 5)])
}

#[tokio::test]
async fn manifest_answers() {
    let client = Registry::default().open().await;
    push_parts(&client, "team/app").await;
    let (body, typed) = (small().to_string(), [("content-type", IMAGE)]);
    let digest = sha256(body.as_bytes());
    let by_digest = format!("/v2/team/app/manifests/{digest}");
    let mut transcript = Transcript::new(&client);
    transcript.ask("PUT", "/v2/team/app/manifests/v1", &typed, body.clone()).await;
    transcript.ask("PUT", &format!("{by_digest}?tag=a&tag=b&tag=a"), &typed, body.clone()).await;
    transcript.plain("GET", "/v2/team/app/manifests/v1").await;
    transcript.plain("HEAD", &by_digest).await;
    let tag = format!("\"{digest}\"");
    transcript.ask("GET", "/v2/team/app/manifests/v1", &[("if-none-match", &tag)], Body::empty()).await;
    transcript.plain("GET", "/v2/team/app/manifests/none").await;
    transcript.plain("GET", &format!("/v2/team/app/manifests/{}", sha256(b"none"))).await;
    transcript.plain("GET", "/v2/never/manifests/v1").await;
    transcript.plain("GET", "/v2/team/app/manifests/sha256:x").await;
    transcript.plain("GET", "/v2/team/app/manifests/.x").await;
    transcript.plain("DELETE", "/v2/team/app/manifests/none").await;
    transcript.plain("DELETE", "/v2/team/app/manifests/v1").await;
    transcript.plain("DELETE", &by_digest).await;
    transcript.plain("GET", &by_digest).await;
    insta::assert_snapshot!(transcript.text());
}

#[tokio::test]
async fn p1_exactly_the_bytes_come_back() {
    let client = Registry::default().open().await;
    push_parts(&client, "app").await;
    let (config, layer) = (sha256(b"{}"), sha256(b"layer"));
    let odd = format!(
        "{{ \"layers\" : [ {{\"size\":5,\t\"digest\":\"{layer}\",\"mediaType\":\"x/y\"}} ],\r\n \"annotations\": {{\"\\u00e9\": \"\\/\"}},\n\
         \"unknown\": [1.50e3, null], \"config\":{{\"mediaType\":\"x/z\",\"size\":2,\"digest\":\"{config}\"}},\"schemaVersion\":2}}\n\n"
    );
    for (reference, digest) in
        [("odd".to_owned(), sha256(odd.as_bytes())), (sha512(odd.as_bytes()), sha512(odd.as_bytes()))]
    {
        let path = format!("/v2/app/manifests/{reference}");
        let put = ask(&client, "PUT", &path, &[("content-type", IMAGE)], odd.clone()).await;
        assert_eq!(
            (put.status.as_u16(), put.header("docker-content-digest")),
            (201, digest.as_str()),
            "{put:?}"
        );
        assert_eq!(put.header("location"), format!("/v2/app/manifests/{digest}"));
        for path in [path.as_str(), put.header("location")] {
            let got = plain(&client, "GET", path).await;
            assert_eq!((got.status.as_u16(), &*got.body), (200, odd.as_bytes()));
            assert_eq!(
                (got.header("docker-content-digest"), got.header("content-type")),
                (digest.as_str(), IMAGE)
            );
            assert_eq!(got.header("etag"), format!("\"{digest}\""));
            assert_eq!(got.header("content-length"), odd.len().to_string());
        }
    }
}

#[tokio::test]
async fn accept_never_changes_bytes() {
    let client = Registry::default().open().await;
    push_parts(&client, "app").await;
    client.push_manifest("app", "v1", &small()).await;
    let expect = plain(&client, "GET", "/v2/app/manifests/v1").await;
    let many = [("accept", IMAGE), ("accept", INDEX), ("accept", DOCKER_IMAGE), ("accept-encoding", "gzip")];
    for accept in [
        &[("accept", "*/*")][..],
        &[("accept", "application/json")],
        &[("accept", DOCKER_IMAGE)],
        &[("accept", "application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.9, text/html;q=0.1")],
        &[("accept", "")],
        &many,
    ] {
        let answer = ask(&client, "GET", "/v2/app/manifests/v1", accept, Body::empty()).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &expect.body), "{accept:?}");
        assert_eq!(answer.header("content-type"), IMAGE, "{accept:?}");
        assert_eq!(answer.header("content-length"), expect.header("content-length"), "{accept:?}");
    }
}

#[tokio::test]
async fn parameters_of_a_content_type_are_left_out() {
    let client = Registry::default().open().await;
    push_parts(&client, "app").await;
    for (tag, content_type) in [
        ("a", format!("{IMAGE}; charset=utf-8")),
        ("b", format!("{IMAGE};foo=\"bar\"")),
        ("c", format!(" {IMAGE} ;")),
    ] {
        let path = format!("/v2/app/manifests/{tag}");
        let put = ask(&client, "PUT", &path, &[("content-type", &content_type)], small().to_string()).await;
        assert_eq!(put.status, 201, "{content_type}");
        assert_eq!(plain(&client, "GET", &path).await.header("content-type"), IMAGE, "{content_type}");
    }
    let put = ask(&client, "PUT", "/v2/app/manifests/d", &[], small().to_string()).await;
    assert_eq!(put.status, 201, "without a Content-Type the body's mediaType counts");
    assert_eq!(plain(&client, "GET", "/v2/app/manifests/d").await.header("content-type"), IMAGE);
}

/// Docker's formats, and artifacts that are images only in form: Helm, cosign, ORAS, wasm.
#[tokio::test]
async fn every_kind_of_manifest_goes_in_and_out() {
    let client = Registry::default().open().await;
    push_parts(&client, "app").await;
    let (config, layer) = (sha256(b"{}"), sha256(b"layer"));
    let of = |media_type: &str, config_type: &str, layer_type: &str| {
        json!({
            "schemaVersion": 2, "mediaType": media_type,
            "config": {"mediaType": config_type, "digest": config, "size": 2},
            "layers": [{"mediaType": layer_type, "digest": layer, "size": 5}],
        })
    };
    let docker = of(
        DOCKER_IMAGE,
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    );
    let (docker_digest, oci_digest) =
        (sha256(docker.to_string().as_bytes()), sha256(small().to_string().as_bytes()));
    let child =
        |media_type: &str, digest: &str| json!({"mediaType": media_type, "digest": digest, "size": 1});
    let list = |media_type: &str, children: &[Value]| json!({"schemaVersion": 2, "mediaType": media_type, "manifests": children});
    let artifact = json!({
        "schemaVersion": 2, "mediaType": IMAGE, "artifactType": "application/vnd.example+type",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2, "data": "e30="},
        "layers": [],
    });
    let manifests = [
        docker,
        small(),
        of(
            IMAGE,
            "application/vnd.cncf.helm.config.v1+json",
            "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        ),
        of(
            IMAGE,
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.dev.cosign.simplesigning.v1+json",
        ),
        of(IMAGE, "application/vnd.wasm.config.v0+json", "application/wasm"),
        artifact,
        list(DOCKER_LIST, &[child(DOCKER_IMAGE, &docker_digest)]),
        list(INDEX, &[child(DOCKER_IMAGE, &docker_digest), child(IMAGE, &oci_digest)]),
        // BuildKit's older caches: an index whose children are layers.
        list(
            INDEX,
            &[
                child("application/vnd.oci.image.layer.v1.tar+gzip", &layer),
                child("application/vnd.buildkit.cacheconfig.v0", &config),
            ],
        ),
        list(INDEX, &[]),
    ];
    for (at, manifest) in manifests.iter().enumerate() {
        let put = client.push_manifest("app", &format!("tag-{at}"), manifest).await;
        assert_eq!(put.status, 201, "{manifest}: {put:?}");
        let got = plain(&client, "GET", &format!("/v2/app/manifests/tag-{at}")).await;
        assert_eq!(got.body, manifest.to_string(), "{manifest}");
        assert_eq!(got.header("content-type"), manifest["mediaType"].as_str().unwrap());
    }
    let child = ask(
        &client,
        "GET",
        &format!("/v2/app/manifests/{docker_digest}"),
        &[("accept", DOCKER_IMAGE)],
        Body::empty(),
    )
    .await;
    assert_eq!(child.status, 200);
}

#[tokio::test]
async fn what_may_not_be_distributed_need_not_be_here() {
    let client = Registry::default().open().await;
    push_parts(&client, "app").await;
    for (at, layer_type) in [
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.v1.tar",
    ]
    .iter()
    .enumerate()
    {
        let mut manifest = small();
        let urls = if at == 2 { json!(["https://example.com/layer"]) } else { json!([]) };
        manifest["layers"][0] =
            json!({"mediaType": layer_type, "digest": sha256(b"elsewhere"), "size": 9, "urls": urls});
        assert_eq!(client.push_manifest("app", "v1", &manifest).await.status, 201, "{layer_type}");
    }
}

/// `http.missingReferences`, for images and indexes apart.
#[tokio::test]
async fn sparse_manifests_are_taken_where_the_operator_allows_them() {
    let list = index(&[(&sha256(b"nowhere"), 7)]);
    for (in_image, in_index) in [
        (Missing::Refuse, Missing::Refuse),
        (Missing::Accept, Missing::Refuse),
        (Missing::Refuse, Missing::Accept),
        (Missing::Accept, Missing::Accept),
    ] {
        let mut registry = Registry::default();
        (registry.store.missing_in_image, registry.store.missing_in_index) = (in_image, in_index);
        let client = registry.open().await;
        for (tag, manifest, policy) in [("image", &small(), in_image), ("list", &list, in_index)] {
            let put = client.push_manifest("app", tag, manifest).await;
            let got = plain(&client, "GET", &format!("/v2/app/manifests/{tag}")).await;
            if policy == Missing::Refuse {
                assert_error(&put, 404, "MANIFEST_BLOB_UNKNOWN");
                assert_error(&got, 404, "MANIFEST_UNKNOWN");
            } else {
                assert_eq!((put.status.as_u16(), got.body), (201, manifest.to_string().into()), "{tag}");
            }
        }
    }
}

#[tokio::test]
async fn p10_a_manifest_is_read_through_its_own_repository_only() {
    let client = Registry::default().open().await;
    let (_, digest) = client.push_image("team/app", "v1", b"layer").await;
    client.push_image("team/other", "v2", b"other").await;
    for name in ["team/other", "team", "never"] {
        for reference in [digest.as_str(), "v1"] {
            for method in ["GET", "HEAD", "DELETE"] {
                let answer = plain(&client, method, &format!("/v2/{name}/manifests/{reference}")).await;
                assert_error(&answer, 404, "MANIFEST_UNKNOWN");
            }
        }
    }
}

#[tokio::test]
async fn an_unchanged_manifest_is_not_sent_again() {
    let client = Registry::default().open().await;
    let (_, digest) = client.push_image("app", "v1", b"one").await;
    let tag = format!("\"{digest}\"");
    for method in ["GET", "HEAD"] {
        let same =
            ask(&client, method, "/v2/app/manifests/v1", &[("if-none-match", &tag)], Body::empty()).await;
        assert_eq!(
            (same.status.as_u16(), same.header("etag"), same.body.len()),
            (304, tag.as_str(), 0),
            "{method}"
        );
        assert_eq!(same.header("docker-content-digest"), digest);
    }
    let (_, moved) = client.push_image("app", "v1", b"two").await;
    let other = ask(&client, "GET", "/v2/app/manifests/v1", &[("if-none-match", &tag)], Body::empty()).await;
    assert_eq!((other.status.as_u16(), other.header("docker-content-digest")), (200, moved.as_str()));
}

/// 4 MiB exactly is the most that a registry should take and the default here.
#[tokio::test]
async fn p6_a_manifest_has_a_largest_size() {
    let client = Registry::default().open().await;
    push_parts(&client, "app").await;
    let padded = |size: usize| {
        let mut text = small().to_string();
        text.push_str(&" ".repeat(size - text.len()));
        text
    };
    const MAX: usize = 4 * 1024 * 1024;
    let (full, over) = (padded(MAX), padded(MAX + 1));
    let typed = [("content-type", IMAGE)];
    let put = ask(&client, "PUT", "/v2/app/manifests/full", &typed, full.clone()).await;
    assert_eq!(put.status, 201);
    assert_eq!(plain(&client, "GET", "/v2/app/manifests/full").await.body, full);
    // Counted, and announced: then the body is not even read.
    let counted = ask(&client, "PUT", "/v2/app/manifests/over", &typed, over.clone()).await;
    assert_error(&counted, 413, "SIZE_INVALID");
    let length = (MAX + 1).to_string();
    let announced = [("content-type", IMAGE), ("content-length", length.as_str())];
    let unread = Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    assert_error(
        &ask(&client, "PUT", "/v2/app/manifests/over", &announced, unread).await,
        413,
        "SIZE_INVALID",
    );
    assert_error(&plain(&client, "GET", "/v2/app/manifests/over").await, 404, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn the_same_push_twice_is_one_manifest() {
    let client = Registry::default().open().await;
    push_parts(&client, "app").await;
    for _ in 0..2 {
        let put = client.push_manifest("app", "v1", &small()).await;
        assert_eq!(put.status, 201);
        assert_eq!(put.header("docker-content-digest"), sha256(small().to_string().as_bytes()));
        assert!(!put.headers.contains_key("oci-subject") && !put.headers.contains_key("oci-tag"));
    }
    assert_eq!(plain(&client, "GET", "/v2/app/tags/list").await.json()["tags"], json!(["v1"]));
}

#[tokio::test]
async fn an_index_of_images_goes_in_after_them() {
    let client = Registry::default().open().await;
    let (manifest, digest) = client.push_image("app", "amd64", b"layer").await;
    let index = index(&[(&digest, manifest.to_string().len())]);
    assert_eq!(client.push_manifest("app", "v1", &index).await.status, 201);
    let got = plain(&client, "GET", "/v2/app/manifests/v1").await;
    assert_eq!(
        (got.header("content-type"), got.json()["manifests"][0]["digest"].as_str()),
        (INDEX, Some(digest.as_str()))
    );
}
