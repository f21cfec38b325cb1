//! curl alone: what an administrator types. The configuration with accounts is the one that users are
//! shown: anyone may pull, only the administrator may delete.

use serde_json::{Value, json};

use crate::support::command::Command;
use crate::support::layout::{CONFIG, MANIFEST, sha256};
use crate::support::server::Server;
use crate::support::skip;

/// Where anyone reads and the administrator deletes.
const ACCOUNTS: &str = include_str!("../../../fixtures/configs/htpasswd-anonymous-read.json");

/// Calls curl, and returns the status, the header lines in lower case, and the body.
async fn curl(args: &[&str]) -> (u16, String, String) {
    let said = Command::new("curl").args(["--silent", "--show-error", "--include"]).args(args).run().await;
    // After `100 Continue` comes the answer itself.
    let said = said.replace("\r\n", "\n");
    let said = said.strip_prefix("HTTP/1.1 100 Continue\n\n").unwrap_or(&said);
    let (head, body) = said.split_once("\n\n").unwrap_or((said, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {said}")), head.to_lowercase(), body.to_owned())
}

/// Pushes an image of nothing as `app:1` with curl, as whom the arguments say.
async fn push(url: &str, login: &[&str]) {
    let config = b"{}";
    let digest = sha256(config);
    let blob = format!("{url}/v2/app/blobs/uploads/?digest={digest}");
    let octets = ["--header", "Content-Type: application/octet-stream", "--data-binary", "{}"];
    assert_eq!(curl(&[&["-X", "POST", &blob], &octets[..], login].concat()).await.0, 201);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": digest, "size": config.len()},
        "layers": [],
    });
    let (body, kind) = (manifest.to_string(), format!("Content-Type: {MANIFEST}"));
    let tagged = format!("{url}/v2/app/manifests/1");
    let put = ["-X", "PUT", &tagged, "--header", &kind, "--data-binary", &body];
    assert_eq!(curl(&[&put[..], login].concat()).await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_pings_lists_and_deletes() {
    if !skip::has("curl_pings_lists_and_deletes", &["curl"]) {
        return;
    }
    let server = Server::start().await;
    let url = server.url();
    let (status, headers, _) = curl(&[&format!("{url}/v2/")]).await;
    assert_eq!(status, 200);
    assert!(headers.contains("docker-distribution-api-version: registry/2.0"), "{headers}");
    push(url, &[]).await;

    let (_, _, catalog) = curl(&[&format!("{url}/v2/_catalog")]).await;
    assert_eq!(serde_json::from_str::<Value>(&catalog).unwrap(), json!({"repositories": ["app"]}));
    let (_, _, tags) = curl(&[&format!("{url}/v2/app/tags/list")]).await;
    assert_eq!(serde_json::from_str::<Value>(&tags).unwrap(), json!({"name": "app", "tags": ["1"]}));

    let tagged = format!("{url}/v2/app/manifests/1");
    assert_eq!(curl(&[&tagged]).await.0, 200);
    assert_eq!(curl(&["-X", "DELETE", &tagged]).await.0, 202);
    let (status, _, error) = curl(&[&tagged]).await;
    assert_eq!(status, 404);
    assert!(error.contains("MANIFEST_UNKNOWN"), "{error}");
    assert_eq!(curl(&["-X", "DELETE", &tagged]).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_pulls_as_anyone_and_deletes_only_as_admin() {
    if !skip::has("curl_pulls_as_anyone_and_deletes_only_as_admin", &["curl", "htpasswd"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("htpasswd");
    Command::new("htpasswd").arg("-bBc").arg(&file).args(["admin", "admin"]).run().await;
    Command::new("htpasswd").arg("-bB").arg(&file).args(["reader", "secret"]).run().await;
    let mut config: Value = serde_json::from_str(ACCOUNTS).unwrap();
    config["http"]["auth"]["htpasswd"]["path"] = json!(file);
    let server = Server::with(&config).await;
    let url = server.url();
    let admin = ["--user", "admin:admin"];
    push(url, &admin).await;

    let tagged = format!("{url}/v2/app/manifests/1");
    assert_eq!(curl(&[&tagged]).await.0, 200);
    let (status, headers, error) = curl(&["-X", "DELETE", &tagged]).await;
    assert_eq!(status, 401);
    assert!(headers.contains("\nwww-authenticate: "), "{headers}");
    assert!(error.contains("UNAUTHORIZED"), "{error}");
    assert_eq!(curl(&["-X", "DELETE", "--user", "admin:guess", &tagged]).await.0, 401);
    assert_eq!(curl(&["-X", "DELETE", "--user", "reader:secret", &tagged]).await.0, 403);
    assert_eq!(curl(&[&tagged]).await.0, 200, "the refused ones deleted nothing");
    assert_eq!(curl(&["-X", "DELETE", admin[0], admin[1], &tagged]).await.0, 202);
    assert_eq!(curl(&[&tagged]).await.0, 404);
}
