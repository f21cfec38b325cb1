//! Goal: a mount gives a repository what another one has, and is a plain session where it cannot
//! (R-072 to R-075, T-109 to T-114). Method: the real dispatch over memory, a transcript.

use super::exchange::{Transcript, ask, assert_error, plain, sha512};
use crate::support::{Answer, Client, Registry, sha256};

async fn mount(client: &Client, name: &str, query: &str) -> Answer {
    plain(client, "POST", &format!("/v2/{name}/blobs/uploads/?{query}")).await
}

#[tokio::test]
async fn mount_answers() {
    let client = Registry::default().open().await;
    let digest = client.push_blob("team/base", b"layer").await;
    let mut transcript = Transcript::new(&client);
    for query in [
        format!("mount={digest}&from=team/base"),
        format!("mount={digest}&from=team%2Fbase"),
        format!("mount={digest}&from=never"),
        format!("mount={digest}"),
        format!("mount={}&from=team/base", sha256(b"missing")),
        "mount=sha256:x&from=team/base".to_owned(),
        format!("mount={digest}&from=../base"),
    ] {
        transcript.plain("POST", &format!("/v2/team/app/blobs/uploads/?{query}")).await;
    }
    insta::assert_snapshot!(transcript.text());
}

#[tokio::test]
async fn a_mounted_blob_is_the_repositorys_own() {
    let client = Registry::default().open().await;
    let digest = client.push_blob("base", b"layer").await;
    let answer = mount(&client, "app", &format!("mount={digest}&from=base")).await;
    assert_eq!((answer.status.as_u16(), answer.header("docker-content-digest")), (201, digest.as_str()));
    let path = answer.header("location").to_owned();
    assert_eq!(plain(&client, "GET", &path).await.body, "layer");
    assert_eq!(plain(&client, "DELETE", &format!("/v2/base/blobs/{digest}")).await.status, 202);
    assert_eq!(plain(&client, "GET", &path).await.body, "layer");
    assert_error(&plain(&client, "GET", &format!("/v2/base/blobs/{digest}")).await, 404, "BLOB_UNKNOWN");
    // A manifest may be built on it.
    client.push_image("app", "v1", b"layer").await;
}

#[tokio::test]
async fn a_blob_is_mounted_by_either_digest() {
    let client = Registry::default().open().await;
    let digest = sha512(b"layer");
    let pushed =
        ask(&client, "POST", &format!("/v2/base/blobs/uploads/?digest={digest}"), &[], "layer").await;
    assert_eq!(pushed.status, 201);
    let answer = mount(&client, "app", &format!("mount={digest}&from=base")).await;
    assert_eq!((answer.status.as_u16(), answer.header("docker-content-digest")), (201, digest.as_str()));
    // The same bytes, but nobody has pushed them by this digest.
    assert_eq!(mount(&client, "app", &format!("mount={}&from=base", sha256(b"layer"))).await.status, 202);
}

#[tokio::test]
async fn a_repository_may_mount_from_itself() {
    let client = Registry::default().open().await;
    let digest = client.push_blob("app", b"layer").await;
    assert_eq!(mount(&client, "app", &format!("mount={digest}&from=app")).await.status, 201);
}

#[tokio::test]
async fn what_cannot_be_mounted_can_be_pushed() {
    let client = Registry::default().open().await;
    let digest = sha256(b"layer");
    let answer = mount(&client, "app", &format!("mount={digest}&from=never&digest={digest}")).await;
    assert_eq!((answer.status.as_u16(), answer.header("range")), (202, "0-0"));
    let end = format!("{}?digest={digest}", answer.header("location"));
    assert_eq!(ask(&client, "PUT", &end, &[], "layer").await.status, 201);
}

#[tokio::test]
async fn p10_a_mount_without_a_source_finds_nothing() {
    let client = Registry::default().open().await;
    let digest = client.push_blob("base", b"layer").await;
    for query in [format!("mount={digest}"), format!("mount={digest}&from=app")] {
        assert_eq!(mount(&client, "app", &query).await.status, 202, "{query}");
    }
    let answer = mount(&client, "app", &format!("mount={digest}&from=")).await;
    assert_error(&answer, 400, "NAME_INVALID");
    assert_error(&plain(&client, "GET", &format!("/v2/app/blobs/{digest}")).await, 404, "BLOB_UNKNOWN");
}
