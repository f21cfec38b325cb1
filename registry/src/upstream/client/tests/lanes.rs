//! Goal (P6): what is small never queues behind a layer, and every request of an upstream keeps its pace.
//! Method: an upstream behind the transport's seam whose layers do not end, and a paused clock.

use std::num::NonZeroU32;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, stream};
use tokio::time::Instant;

use super::*;
use crate::upstream::Fault;
use crate::upstream::transport::Request;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const SECOND: Duration = Duration::from_secs(1);
/// Pages of the list of tags.
const PAGES: usize = 5;

/// An upstream whose layers send a byte and then nothing, and whose manifests may do so too.
#[derive(Debug, Default)]
struct Slow {
    manifests_stand: bool,
    asked_at: Mutex<Vec<Instant>>,
}

impl Transport for Slow {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, Fault>> {
        let mut asked = self.asked_at.lock().unwrap();
        asked.push(Instant::now());
        let is_head = request.method == Method::HEAD;
        let is_list = request.url.contains("/tags/list");
        let stands = !is_head && !is_list && (request.url.contains("/blobs/") || self.manifests_stand);
        let mut headers = HeaderMap::new();
        headers.insert("docker-content-digest", HeaderValue::from_static(DIGEST));
        if is_head {
            headers.insert("content-length", HeaderValue::from_static("100"));
        }
        if is_list && asked.len() < PAGES {
            let link = format!("</v2/team/app/tags/list?last={}>; rel=\"next\"", asked.len());
            headers.insert("link", HeaderValue::from_str(&link).unwrap());
        }
        let piece = stream::iter([Ok(Bytes::from(if is_list { r#"{"tags": ["v1"]}"# } else { "{" }))]);
        let body = if stands { piece.chain(stream::pending()).boxed() } else { piece.boxed() };
        async move { Ok(Response { status: StatusCode::OK, headers, body }) }.boxed()
    }
}

fn before(slow: Slow, configure: impl FnOnce(&mut Options)) -> (Arc<Upstream>, Arc<Slow>) {
    let urls = vec!["http://slow.example".to_owned()];
    let mut options = Options { name: NAME.to_owned(), urls, requests_max: 1, ..Options::default() };
    configure(&mut options);
    let slow = Arc::new(slow);
    let transport: Arc<dyn Transport> = Arc::clone(&slow) as Arc<dyn Transport>;
    (Arc::new(Upstream::new(options, transport, Clock::system())), slow)
}

fn is_turn(error: &Error) -> bool {
    matches!(error, Error::Timeout { phase: Phase::Turn, .. })
}

#[tokio::test(start_paused = true)]
async fn nothing_small_queues_behind_a_layer() {
    let (upstream, _) = before(Slow::default(), |_| {});
    let (url, digest, begun) = (&upstream.urls()[0], Digest::parse(DIGEST).unwrap(), Instant::now());
    let layer = upstream.blob(url, &name(), &digest, 0).await.unwrap();
    upstream.manifest_digest(&name(), &tag()).await.unwrap();
    assert_eq!(upstream.blob_size(&name(), &digest).await.unwrap(), 100);
    upstream.manifest(url, &name(), &tag()).await.unwrap();
    assert_eq!(upstream.tags(&name()).await.unwrap(), ["v1"]);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // Another layer does, as long as for an answer; and takes the place of one whose reader has left.
    let second = upstream.blob(url, &name(), &digest, 0).await;
    assert!(second.as_ref().is_err_and(is_turn), "{second:?}");
    assert_eq!(begun.elapsed(), SECOND * 30);
    drop(layer);
    assert!(upstream.blob(url, &name(), &digest, 0).await.is_ok());
    assert_eq!(begun.elapsed(), SECOND * 30);
}

#[tokio::test(start_paused = true)]
async fn a_layer_does_not_queue_behind_manifests() {
    let (upstream, _) = before(Slow { manifests_stand: true, ..Slow::default() }, |_| {});
    let (digest, begun) = (Digest::parse(DIGEST).unwrap(), Instant::now());
    let own = Arc::clone(&upstream);
    let manifest = tokio::spawn(async move { own.manifest(&own.urls()[0], &name(), &tag()).await });
    while upstream.manifest_lane.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(upstream.blob(&upstream.urls()[0], &name(), &digest, 0).await.is_ok());
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(manifest.await.unwrap().is_err());
    assert_eq!(begun.elapsed(), SECOND * 30);
    assert!(upstream.manifest_digest(&name(), &tag()).await.is_ok(), "its place is free again");
}

#[tokio::test(start_paused = true)]
async fn every_request_keeps_the_pace() {
    let four = |options: &mut Options| options.rate_max = NonZeroU32::new(4);
    let (upstream, slow) = before(Slow::default(), four);
    let begun = Instant::now();
    // Each page of a list is a request.
    assert_eq!(upstream.tags(&name()).await.unwrap(), ["v1"]);
    upstream.manifest_digest(&name(), &tag()).await.unwrap();
    upstream.manifest(&upstream.urls()[0], &name(), &tag()).await.unwrap();
    let digest = Digest::parse(DIGEST).unwrap();
    upstream.blob_size(&name(), &digest).await.unwrap();
    upstream.blob(&upstream.urls()[0], &name(), &digest, 0).await.unwrap();
    let at: Vec<_> = slow.asked_at.lock().unwrap().iter().map(|at| *at - begun).collect();
    let expect: Vec<_> = (0..9).map(|turn| SECOND / 4 * turn).collect();
    assert_eq!(at, expect);
}
