//! Goal (P11): an upstream is asked with temporary tokens where that is configured, had once for all who wait and
//! again when one is refused; what proves who we are goes to the token endpoint and nowhere else.
//! Method: origins with accounts, whose password is what a token endpoint gives; a wall clock that the test moves.

use std::path::PathBuf;
use std::time::Duration;

use sim::origin::{Access, Account, Origin, Right, Running, Scheme, TokenOptions};
use tempfile::TempDir;
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::upstream::options::{Assertion, CredentialSource, Oauth2, Options};
use wiremock::matchers::{body_string_contains, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::bench::{NAME, REPO, blob_path, image, manifest_path, registry, serve, upstream};
use crate::support::Client;
use crate::support::log::Log;

/// What proves who we are.
const ASSERTION: &str = "an.assertion.hunter2";

/// An origin that wants a token for its password, the endpoint that gives it, and a registry before them.
struct Stand {
    origin: Running,
    endpoint: MockServer,
    client: Client,
    clock: Clock,
    _folder: TempDir,
}

fn schemes() -> [Scheme; 2] {
    [Scheme::Basic, Scheme::Bearer(TokenOptions::default())]
}

async fn stand(scheme: Scheme, configure: impl FnOnce(&mut Options)) -> Stand {
    let rights = vec![Right::to_everything()];
    let robot = Account { name: "robot".into(), password: "good-hunter2".into(), rights };
    let guarded = Origin::guarded(Access { scheme, accounts: vec![robot], anonymous: Vec::new() });
    let (origin, endpoint) = (serve(&guarded).await, MockServer::start().await);
    image(origin.origin(), REPO, "v1", &[100; 20], 1);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| -> PathBuf {
        let file = folder.path().join(name);
        std::fs::write(&file, content).unwrap();
        file
    };
    let mut options = upstream(NAME, &[&origin.url()]);
    options.credentials = CredentialSource::Oauth2(Box::new(Oauth2 {
        token_url: format!("{}/oauth2/token", endpoint.uri()),
        assertion: Assertion::Ready(file("assertion", ASSERTION)),
        client_secret_file: Some(file("secret", "secret-hunter2")),
        username: "robot".to_owned(),
        ..Oauth2::default()
    }));
    configure(&mut options);
    let clock = Clock::manual(Timestamp::from_millis(1_000_000));
    let client = registry(vec![options], &clock).await;
    Stand { origin, endpoint, client, clock, _folder: folder }
}

fn token(text: &str) -> ResponseTemplate {
    let answer = serde_json::json!({"access_token": text, "token_type": "Bearer", "expires_in": 3600});
    ResponseTemplate::new(200).set_body_json(answer)
}

impl Stand {
    /// Lets the endpoint answer so, `times` times at most before what is said next.
    async fn answers(&self, response: ResponseTemplate, times: u64) {
        Mock::given(method("POST"))
            .and(path("/oauth2/token"))
            .and(body_string_contains(format!("client_assertion={ASSERTION}&")))
            .and(body_string_contains("client_secret=secret-hunter2"))
            .respond_with(response)
            .up_to_n_times(times)
            .mount(&self.endpoint)
            .await;
    }

    async fn exchanges(&self) -> usize {
        self.endpoint.received_requests().await.unwrap().len()
    }

    async fn status(&self) -> u16 {
        self.client.get(&manifest_path("v1")).await.status.as_u16()
    }
}

#[tokio::test]
async fn p4_a_private_image_is_pulled_with_one_token_for_all() {
    for scheme in schemes() {
        let text = format!("{scheme:?}");
        let it = stand(scheme, |_| {}).await;
        it.answers(token("good-hunter2").set_delay(Duration::from_millis(50)), 100).await;
        let made = image(it.origin.origin(), REPO, "v2", &[100; 20], 2);
        let paths = made.layers.iter().map(|layer| blob_path(&layer.digest)).chain([manifest_path("v2")]);
        let pulls = paths.map(|path| {
            let client = it.client.clone();
            async move { client.get(&path).await.status }
        });
        let statuses = futures_util::future::join_all(pulls).await;
        assert!(statuses.iter().all(|status| *status == 200), "{text}: {statuses:?}");
        assert_eq!(it.exchanges().await, 1, "{text}");
        // It has ended, and what the registry gave for it is over as well.
        it.clock.advance(Duration::from_secs(3600));
        assert_eq!((it.status().await, it.exchanges().await), (200, 2), "{text}");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_exchanged_once_unless_it_is_new() {
    for scheme in schemes() {
        let text = format!("{scheme:?}");
        let it = stand(scheme, |_| {}).await;
        it.answers(token("revoked"), 1).await;
        it.answers(token("good-hunter2"), 100).await;
        for _ in 0..2 {
            assert_eq!((it.status().await, it.exchanges().await), (403, 1), "{text}");
        }
        it.clock.advance(Duration::from_secs(10));
        assert_eq!((it.status().await, it.exchanges().await), (200, 2), "{text}");
    }
}

#[tokio::test]
async fn p11_an_endpoint_that_gives_none_is_an_honest_error_without_a_secret() {
    let (log, _listening) = Log::listen();
    for (response, why) in [
        (
            ResponseTemplate::new(400)
                .set_body_string(r#"{"error":"invalid_grant","error_description":"hunter2"}"#),
            "refused: 400 invalid_grant",
        ),
        (ResponseTemplate::new(404).set_body_string("hunter2"), "refused: 404"),
        (ResponseTemplate::new(503), "has no answer for now: 503"),
        (ResponseTemplate::new(200).set_body_string("hunter2"), "has no access_token"),
        (ResponseTemplate::new(200).set_body_string("x".repeat(70_000)), "has no access_token"),
    ] {
        let it = stand(Scheme::Basic, |_| {}).await;
        it.answers(response, 100).await;
        let answer = it.client.get(&manifest_path("v1")).await;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        // Not 404: another upstream would then answer for a private name.
        assert_eq!(answer.status, 502, "{why}: {body}");
        assert!(body.contains("operator finds why in the log"), "{body}");
        let told = log.take();
        assert!(told.contains(why), "{why}: {told}");
        assert!(!told.contains("hunter2") && !body.contains("hunter2"), "{told} {body}");
        assert!(!body.contains(&it.endpoint.address().to_string()), "P8: {body}");
    }
    let it = stand(Scheme::Bearer(TokenOptions::default()), |_| {}).await;
    it.answers(token("good-hunter2"), 1).await;
    assert_eq!(it.status().await, 200);
    let told = log.take();
    assert!(told.contains("token was renewed") && !told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn an_endpoint_that_is_away_is_tried_again_as_an_upstream_is() {
    let it = stand(Scheme::Basic, |options| {
        options.retries_max = 3;
        (options.retry_delay, options.retry_delay_max) =
            (Duration::from_millis(600), Duration::from_millis(600));
    })
    .await;
    it.answers(ResponseTemplate::new(503), 1).await;
    it.answers(token("good-hunter2"), 1).await;
    assert_eq!((it.status().await, it.exchanges().await), (200, 2), "the endpoint had a moment of rest");
}

#[tokio::test]
async fn p11_a_redirect_of_the_endpoint_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let it = stand(Scheme::Basic, |_| {}).await;
        let elsewhere = MockServer::start().await;
        let target = format!("{}/oauth2/token", elsewhere.uri());
        it.answers(ResponseTemplate::new(status).insert_header("location", target), 100).await;
        assert_eq!(it.status().await, 502, "{status}");
        assert_eq!(elsewhere.received_requests().await.unwrap().len(), 0, "{status}");
    }
}

#[tokio::test]
async fn p11_what_proves_who_we_are_goes_to_the_endpoint_alone() {
    for scheme in schemes() {
        let it = stand(scheme, |_| {}).await;
        it.answers(token("good-hunter2"), 1).await;
        assert_eq!(it.status().await, 200);
        let sent = it.endpoint.received_requests().await.unwrap();
        assert_eq!(sent[0].headers.get("authorization"), None);
        for entry in it.origin.origin().journal().entries() {
            let text = format!("{entry:?}");
            assert!(!text.contains(ASSERTION) && !text.contains("secret-hunter2"), "{text}");
        }
    }
}
