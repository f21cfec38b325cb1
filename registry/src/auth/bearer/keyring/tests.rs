//! Goal: an issuer may change its keys when it likes and be away for as long, and nobody who asks with nonsense
//! makes us ask it all the time. Method: a server of key sets, and a clock of the test's own.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::auth::bearer::testing::{P256, Signer};

const REFRESH: Duration = Duration::from_secs(300);

struct Fixture {
    server: MockServer,
    clock: Clock,
    ring: Arc<Keyring>,
}

impl Fixture {
    async fn new(answer: ResponseTemplate) -> Self {
        let server = MockServer::start().await;
        let fetcher = Fetcher::new(None).unwrap();
        let source = Source::Set(fetcher, format!("{}/keys", server.uri()));
        let fixture = Self::with(server, source);
        fixture.answer(answer).await;
        fixture
    }

    fn with(server: MockServer, source: Source) -> Self {
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let ring = Keyring::new(source, REFRESH, clock.clone());
        Self { server, clock, ring }
    }

    /// Lets the server answer otherwise from now on.
    async fn answer(&self, answer: ResponseTemplate) {
        self.server.reset().await;
        Mock::given(method("GET")).and(path("/keys")).respond_with(answer).mount(&self.server).await;
    }

    /// Says whether a key is known by a name, and how often the server was asked since its last change.
    async fn knows(&self, id: &str) -> (bool, usize) {
        let keys = self.ring.keys(Some(id)).await;
        let knows = keys.is_ok_and(|keys| keys.meant(Some(id)).next().is_some());
        (knows, self.asked().await)
    }

    async fn asked(&self) -> usize {
        self.server.received_requests().await.unwrap().len()
    }

    /// Waits until the server was asked, and has answered.
    async fn asked_at_last(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while self.asked().await == 0 || self.ring.reading.try_lock().is_err() {
            assert!(tokio::time::Instant::now() < deadline, "the server was not asked");
            tokio::task::yield_now().await;
        }
    }

    /// Waits until a key is known by what happens beside requests.
    async fn knows_at_last(&self, id: &str) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while self.ring.known().is_none_or(|(keys, _)| keys.meant(Some(id)).next().is_none()) {
            assert!(tokio::time::Instant::now() < deadline, "the server was not asked");
            tokio::task::yield_now().await;
        }
    }
}

fn set(keys: &[Value]) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"keys": keys}))
}

/// A configuration that is read again must not turn tokens away because their issuer is away at that moment.
#[tokio::test]
async fn one_that_is_made_anew_goes_on_with_what_the_former_knows() {
    let fixture = Fixture::new(set(&[P256.jwk("old")])).await;
    assert_eq!(fixture.knows("old").await, (true, 1));
    fixture.answer(ResponseTemplate::new(503)).await;
    let source = Source::Set(Fetcher::new(None).unwrap(), format!("{}/keys", fixture.server.uri()));
    let ring = Keyring::new(source, REFRESH, fixture.clock.clone());
    ring.goes_on_from(&fixture.ring);
    let fixture = Fixture { ring, ..fixture };
    assert!(fixture.knows("old").await.0);
    fixture.asked_at_last().await;
    assert!(fixture.knows("old").await.0, "the issuer is away");
    fixture.answer(set(&[P256.jwk("new")])).await;
    fixture.clock.advance(LOOK_INTERVAL);
    assert!(fixture.knows("new").await.0);
}

#[tokio::test]
async fn an_unknown_key_is_looked_for_once_in_a_while() {
    let fixture = Fixture::new(set(&[P256.jwk("old")])).await;
    assert_eq!(fixture.knows("old").await, (true, 1));
    let new = Signer::new(&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256);
    fixture.answer(set(&[P256.jwk("old"), new.jwk("new")])).await;
    // The issuer was asked just now; whoever makes names up does not change that.
    assert_eq!(fixture.knows("new").await, (false, 0));
    fixture.clock.advance(LOOK_INTERVAL);
    assert_eq!(fixture.knows("new").await, (true, 1));
    for _ in 0..5 {
        assert_eq!(fixture.knows("made up").await, (false, 1));
    }
    // Many at once ask once.
    fixture.clock.advance(LOOK_INTERVAL);
    let both = tokio::join!(fixture.knows("a"), fixture.knows("b"), fixture.knows("c"));
    assert_eq!((both.0.0, both.1.0, both.2.0, fixture.asked().await), (false, false, false, 2));
}

#[tokio::test]
async fn keys_are_read_again_in_time_and_one_that_is_gone_is_gone() {
    let fixture = Fixture::new(set(&[P256.jwk("old")])).await;
    assert_eq!(fixture.knows("old").await, (true, 1));
    fixture.answer(set(&[P256.jwk("new")])).await;
    fixture.clock.advance(REFRESH - Duration::from_secs(1));
    assert_eq!(fixture.knows("old").await, (true, 0));
    // Now beside the request, and soon it is done.
    fixture.clock.advance(Duration::from_secs(1));
    assert!(fixture.knows("old").await.0);
    fixture.knows_at_last("new").await;
    // Long after that it is done before the request.
    fixture.answer(set(&[P256.jwk("newer")])).await;
    fixture.clock.advance(2 * REFRESH);
    assert_eq!(fixture.knows("old").await, (false, 1));
    assert_eq!(fixture.knows("newer").await, (true, 1));
}

#[tokio::test]
async fn the_old_keys_stay_while_the_issuer_is_away() {
    let fixture = Fixture::new(set(&[P256.jwk("old")])).await;
    assert!(fixture.knows("old").await.0);
    let large = format!("{{\"keys\": [], \"x\": \"{}\"}}", "x".repeat(DOCUMENT_BYTES_MAX));
    for answer in [
        ResponseTemplate::new(503),
        ResponseTemplate::new(302).insert_header("location", "/elsewhere"),
        ResponseTemplate::new(200).set_body_string("<html>"),
        ResponseTemplate::new(200).set_body_string(large),
        set(&[]),
        set(&[json!({"kty": "oct", "k": "c2VjcmV0", "kid": "old"})]),
    ] {
        fixture.answer(answer).await;
        fixture.clock.advance(2 * REFRESH);
        assert!(fixture.knows("old").await.0);
        fixture.asked_at_last().await;
        assert!(fixture.knows("old").await.0);
    }
    fixture.answer(set(&[P256.jwk("new")])).await;
    fixture.clock.advance(2 * REFRESH);
    assert!(fixture.knows("old").await.0);
    fixture.knows_at_last("new").await;
    assert!(!fixture.knows("old").await.0);
}

/// Whoever was away once is not waited for again: here the second answer never comes.
#[tokio::test]
async fn nobody_waits_for_an_issuer_that_is_away() {
    let fixture = Fixture::new(set(&[P256.jwk("old")])).await;
    assert!(fixture.knows("old").await.0);
    fixture.answer(ResponseTemplate::new(503)).await;
    fixture.clock.advance(2 * REFRESH);
    assert_eq!(fixture.knows("old").await, (true, 1));
    fixture.answer(ResponseTemplate::new(200).set_delay(Duration::from_secs(3600))).await;
    fixture.clock.advance(2 * REFRESH);
    let waited = tokio::time::timeout(Duration::from_secs(5), fixture.ring.keys(Some("old"))).await;
    assert!(waited.is_ok_and(|keys| keys.is_ok()));
}

#[tokio::test]
async fn without_any_keys_it_is_said_so_and_tried_again() {
    let fixture = Fixture::new(ResponseTemplate::new(500)).await;
    assert_eq!(fixture.ring.keys(None).await.err(), Some(TokenError::Unavailable));
    assert_eq!(fixture.ring.keys(None).await.err(), Some(TokenError::Unavailable));
    assert_eq!(fixture.asked().await, 1);
    fixture.answer(set(&[P256.jwk("a")])).await;
    fixture.clock.advance(FIRST_INTERVAL);
    assert_eq!(fixture.knows("a").await, (true, 1));
}
