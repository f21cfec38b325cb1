//! Goal: `ns` means something only where an upstream stands for the registry it names; and then the
//! answer says so (R-126 to R-129, T-161 to T-163). Method: the real dispatch, with an upstream of a
//! few lines behind the transport's seam.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;
use wharfinger::clock::Clock;
use wharfinger::upstream::options::{Content, Options, Tags};
use wharfinger::upstream::transport::{Request, Response};
use wharfinger::upstream::{Fault, Routes, Transport, Upstream};

use super::exchange::{assert_error, plain};
use super::tags::next;
use crate::support::{Client, Registry, index, sha256};

const HOST: &str = "registry.example";

/// An upstream that has an empty index under every tag but `none`, and remembers what it was asked.
#[derive(Debug, Default)]
struct Origin(Mutex<Vec<String>>);

impl Transport for Origin {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, Fault>> {
        self.0.lock().unwrap().push(format!("{} {}", request.method, request.url));
        let body = index(&[]).to_string();
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/vnd.oci.image.index.v1+json".parse().unwrap());
        headers.insert("docker-content-digest", sha256(body.as_bytes()).parse().unwrap());
        let status = if request.url.contains("/manifests/") && !request.url.ends_with("/none") {
            StatusCode::OK
        } else {
            StatusCode::NOT_FOUND
        };
        let bytes = if request.method == Method::HEAD { String::new() } else { body };
        let body = stream::iter([Ok(bytes.into())]).boxed();
        async move { Ok(Response { status, headers, body }) }.boxed()
    }
}

/// Opens a registry with that upstream, which answers for some names, and one repository of its own.
async fn with_upstream(prefix: &str) -> (Client, Arc<Origin>) {
    let origin = Arc::new(Origin::default());
    let options = Options {
        content: vec![Content {
            prefix: prefix.to_owned(),
            destination: String::new(),
            strip_prefix: false,
            tags: Tags::default(),
        }],
        name: "example".to_owned(),
        urls: vec![format!("https://{HOST}")],
        on_demand: true,
        ..Options::default()
    };
    let upstream = Upstream::new(options.clone(), Arc::clone(&origin) as Arc<dyn Transport>, Clock::system());
    let mut routes = Routes::default();
    routes.add(Arc::new(upstream), &options).unwrap();
    let client = Registry { routes, ..Registry::default() }.open().await;
    client.push_image("app", "hosted", b"layer").await;
    (client, origin)
}

#[tokio::test]
async fn an_unclaimed_namespace_means_nothing() {
    let client = Registry::default().open().await;
    let (_, digest) = client.push_image("app", "v1", b"layer").await;
    for ns in
        ["docker.io", "localhost:5001", "", "http://169.254.169.254", "a/../b", "user:pass@host", "%0d%0ax"]
    {
        for path in [
            "/v2/app/manifests/v1".to_owned(),
            format!("/v2/app/blobs/{}", sha256(b"layer")),
            "/v2/app/tags/list".to_owned(),
            format!("/v2/app/referrers/{digest}"),
        ] {
            let answer = plain(&client, "GET", &format!("{path}?ns={ns}")).await;
            assert_eq!(answer.status, 200, "{path} {ns}");
            assert!(!answer.headers.contains_key("oci-namespace"), "{path} {ns}");
        }
        let missing = plain(&client, "GET", &format!("/v2/app/manifests/none?ns={ns}")).await;
        assert_error(&missing, 404, "MANIFEST_UNKNOWN");
    }
}

#[tokio::test]
async fn p10_only_a_configured_upstream_is_asked() {
    let (client, origin) = with_upstream("**").await;
    for ns in
        ["http://169.254.169.254", "169.254.169.254", "registry.example@evil", "registry.example:444", "evil"]
    {
        let answer = plain(&client, "GET", &format!("/v2/app/manifests/hosted?ns={ns}")).await;
        assert_eq!((answer.status.as_u16(), answer.header("oci-namespace")), (200, ""), "{ns}");
    }
    assert_eq!(*origin.0.lock().unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_claimed_namespace_is_answered_by_who_claims_it() {
    let (client, origin) = with_upstream("**").await;
    // What is hosted under the same name has no part in it.
    let hosted = plain(&client, "GET", &format!("/v2/app/manifests/hosted?ns={HOST}")).await;
    assert_eq!((hosted.status.as_u16(), &*hosted.body), (200, index(&[]).to_string().as_bytes()));
    assert_eq!(hosted.header("oci-namespace"), HOST);
    assert_error(
        &plain(&client, "GET", &format!("/v2/app/manifests/none?ns={HOST}")).await,
        404,
        "MANIFEST_UNKNOWN",
    );
    let blob = plain(&client, "GET", &format!("/v2/app/blobs/{}?ns={HOST}", sha256(b"layer"))).await;
    assert_error(&blob, 404, "BLOB_UNKNOWN");
    let asked = origin.0.lock().unwrap().clone();
    assert!(
        !asked.is_empty() && asked.iter().all(|line| line.contains(&format!("https://{HOST}/v2/app/"))),
        "{asked:?}"
    );
    assert_eq!(plain(&client, "GET", "/v2/app/manifests/hosted").await.header("oci-namespace"), "");
}

/// A namespace that is claimed and a name that is not: nobody has it, whatever is hosted here.
#[tokio::test]
async fn p10_a_claimed_namespace_is_never_answered_by_another() {
    let (client, origin) = with_upstream("library/**").await;
    for path in ["manifests/hosted".to_owned(), format!("blobs/{}", sha256(b"layer")), "tags/list".to_owned()]
    {
        assert_eq!(plain(&client, "GET", &format!("/v2/app/{path}")).await.status, 200);
        let answer = plain(&client, "GET", &format!("/v2/app/{path}?ns={HOST}")).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    assert_eq!(*origin.0.lock().unwrap(), [""; 0]);
}

/// The lists are of that namespace too, to their last page.
#[tokio::test]
async fn the_lists_of_a_claimed_namespace_are_its_own() {
    let (client, _) = with_upstream("**").await;
    for tag in ["a", "b", "c"] {
        let answer = plain(&client, "GET", &format!("/v2/app/manifests/{tag}?ns={HOST}")).await;
        assert_eq!(answer.status, 200);
    }
    let (mut seen, mut path) = (Vec::new(), Some(format!("/v2/app/tags/list?n=1&ns={HOST}")));
    while let Some(at) = path {
        let answer = plain(&client, "GET", &at).await;
        assert_eq!(answer.header("oci-namespace"), HOST, "{at}");
        seen.extend(answer.json()["tags"].as_array().unwrap().clone());
        path = next(answer.header("link"));
    }
    assert_eq!(json!(seen), json!(["a", "b", "c"]));
    let referrers = plain(&client, "GET", &format!("/v2/app/referrers/{}?ns={HOST}", sha256(b"x"))).await;
    assert_eq!((referrers.status.as_u16(), referrers.header("oci-namespace")), (200, HOST));
}
