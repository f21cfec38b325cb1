//! Goal: a token is had once for all, in time, by the form that the RFCs say; what fails is told, and no secret.
//! Method: an endpoint behind the transport's seam that follows a script, a manual clock, a paused one.

use std::collections::VecDeque;
use std::path::PathBuf;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, stream};

use super::*;
use crate::upstream::options::Assertion;

const SECOND: Duration = Duration::from_secs(1);
const URL: &str = "https://sts.example:8443/token?tenant=hunter2";

/// What the endpoint does next; the last is done again and again.
#[derive(Clone)]
enum Reply {
    Status(u16, &'static str),
    RetryAfter(u16, &'static str),
    Fault(Fault),
    Drip,
}

/// A token endpoint that keeps the forms that it was sent.
struct Endpoint {
    replies: Mutex<VecDeque<Reply>>,
    forms: Mutex<Vec<String>>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoint")
    }
}

impl Transport for Endpoint {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, Fault>> {
        assert_eq!((request.peer, request.method, &*request.url), (Peer::TokenEndpoint, Method::POST, URL));
        assert_eq!(request.headers[CONTENT_TYPE], "application/x-www-form-urlencoded");
        self.forms.lock().unwrap().push(String::from_utf8(request.body.to_vec()).unwrap());
        let mut replies = self.replies.lock().unwrap();
        let reply = if replies.len() > 1 { replies.pop_front().unwrap() } else { replies[0].clone() };
        let mut headers = HeaderMap::new();
        let (status, body) = match reply {
            Reply::Fault(fault) => return std::future::ready(Err(fault)).boxed(),
            Reply::Status(status, body) => {
                (status, stream::iter([Ok(Bytes::from_static(body.as_bytes()))]).boxed())
            }
            Reply::RetryAfter(status, after) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(after));
                (status, stream::empty().boxed())
            }
            Reply::Drip => {
                let drip = stream::unfold((), |()| async {
                    tokio::time::sleep(SECOND).await;
                    Some((Ok(Bytes::from_static(b" ")), ()))
                });
                (200, drip.boxed())
            }
        };
        let status = StatusCode::from_u16(status).unwrap();
        async move {
            tokio::task::yield_now().await;
            Ok(Response { status, headers, body })
        }
        .boxed()
    }
}

struct Stand {
    endpoint: Arc<Endpoint>,
    tokens: TokenEndpoint,
    clock: Clock,
    assertion: PathBuf,
    _folder: tempfile::TempDir,
}

impl Stand {
    fn new(replies: &[Reply]) -> Self {
        Self::with(replies, |_| {})
    }

    fn with(replies: &[Reply], configure: impl FnOnce(&mut Oauth2)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (assertion, secret) = (folder.path().join("assertion"), folder.path().join("secret"));
        std::fs::write(&assertion, " an.assertion+of-hunter2\n").unwrap();
        std::fs::write(&secret, "hunter2 & more\n").unwrap();
        let mut options = Oauth2 {
            token_url: URL.to_owned(),
            assertion: Assertion::Ready(assertion.clone()),
            client_secret_file: Some(secret),
            ..Oauth2::default()
        };
        configure(&mut options);
        let endpoint = Arc::new(Endpoint {
            replies: Mutex::new(replies.iter().cloned().collect()),
            forms: Mutex::default(),
        });
        let clock = Clock::manual(Timestamp::from_millis(1_000_000));
        let transport: Arc<dyn Transport> = Arc::clone(&endpoint) as Arc<dyn Transport>;
        let tokens = TokenEndpoint::new("hub", options, transport, clock.clone(), SECOND * 30);
        Self { endpoint, tokens, clock, assertion, _folder: folder }
    }

    async fn password(&self) -> Result<String, Oauth2Error> {
        let token = self.tokens.token().await?;
        assert!(self.tokens.account().await.unwrap() == Account::new("<token>", token.text.clone()));
        Ok(token.text)
    }

    fn exchanges(&self) -> usize {
        self.endpoint.forms.lock().unwrap().len()
    }

    /// Lets time go by, on the wall and for those who wait.
    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        tokio::time::sleep(time).await;
    }
}

fn token(body: &'static str) -> Reply {
    Reply::Status(200, body)
}

const FIRST: Reply =
    Reply::Status(200, r#"{"access_token": "first", "token_type": "Bearer", "expires_in": 600}"#);
const SECOND_TOKEN: Reply = Reply::Status(200, r#"{"access_token": "second", "expires_in": 600}"#);
const DOWN: Reply = Reply::Fault(Fault::Connect);

#[tokio::test]
async fn what_is_sent_is_what_the_grant_says() {
    let common = "&audience=an+audience&scope=a+b&client_id=me%40here&client_secret=hunter2+%26+more";
    for (grant, expect) in [
        (
            Grant::ClientCredentials,
            "grant_type=client_credentials&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3A\
             client-assertion-type%3Ajwt-bearer&client_assertion=an.assertion%2Bof-hunter2",
        ),
        (
            Grant::JwtBearer,
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=an.assertion%2Bof-hunter2",
        ),
        (
            Grant::TokenExchange,
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
             &subject_token=an.assertion%2Bof-hunter2&subject_token_type=x%3Aid&requested_token_type=x%3Aaccess",
        ),
    ] {
        let stand = Stand::with(&[FIRST], |options| {
            options.grant = grant;
            options.client_id = Some("me@here".to_owned());
            options.scopes = vec!["a".to_owned(), "b".to_owned()];
            options.audience = Some("an audience".to_owned());
            options.subject_token_type = "x:id".to_owned();
            options.requested_token_type = Some("x:access".to_owned());
        });
        assert_eq!(stand.password().await.unwrap(), "first");
        assert_eq!(*stand.endpoint.forms.lock().unwrap(), [format!("{expect}{common}")]);
    }
    let bare = Stand::with(&[FIRST], |options| {
        (options.grant, options.client_secret_file) = (Grant::TokenExchange, None);
    });
    bare.password().await.unwrap();
    let expect = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=\
                  an.assertion%2Bof-hunter2&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt";
    assert_eq!(*bare.endpoint.forms.lock().unwrap(), [expect]);
}

#[tokio::test]
async fn one_exchange_is_made_for_all_that_wait() {
    let stand = Stand::new(&[FIRST, SECOND_TOKEN]);
    for (round, expect) in ["first", "second"].into_iter().enumerate() {
        let all = futures_util::future::join_all((0..50).map(|_| stand.password())).await;
        assert!(all.iter().all(|password| password.as_deref().is_ok_and(|it| it == expect)), "{expect}");
        assert_eq!(stand.exchanges(), round + 1);
        stand.clock.advance(SECOND * 540);
    }
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    for (body, renewed_after) in [
        (r#"{"access_token": "t", "expires_in": 3600}"#, 3540),
        (r#"{"access_token": "t", "expires_in": "3600"}"#, 3540),
        (r#"{"access_token": "t", "expires_in": 100}"#, 75),
        (r#"{"access_token": "t"}"#, 240),
        (r#"{"access_token": "t", "expires_in": 0}"#, 240),
        (r#"{"access_token": "t", "expires_in": -5}"#, 240),
        (r#"{"access_token": "t", "expires_in": "soon"}"#, 240),
    ] {
        let stand = Stand::new(&[token(body)]);
        stand.password().await.unwrap();
        stand.clock.advance(SECOND * (renewed_after - 1));
        stand.password().await.unwrap();
        assert_eq!(stand.exchanges(), 1, "{body}");
        stand.clock.advance(SECOND);
        stand.password().await.unwrap();
        assert_eq!(stand.exchanges(), 2, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_lives_is_used_while_the_endpoint_is_down() {
    let stand = Stand::new(&[FIRST, DOWN]);
    stand.password().await.unwrap();
    stand.pass(SECOND * 540).await;
    for tried in [2, 2] {
        assert_eq!(stand.password().await.unwrap(), "first");
        assert_eq!(stand.exchanges(), tried, "an endpoint that failed is left alone for a moment");
    }
    stand.pass(SECOND * 59).await;
    assert_eq!(stand.password().await.unwrap(), "first");
    stand.pass(SECOND).await;
    let error = stand.password().await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert_eq!(
        error.to_string(),
        "the token endpoint sts.example did not answer: the connection was refused or failed"
    );
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_failed_is_left_alone_as_long_as_it_says() {
    for (reply, pause) in [
        (DOWN, 1),
        (Reply::Status(503, ""), 1),
        (Reply::RetryAfter(429, "7"), 7),
        (Reply::RetryAfter(503, "0"), 1),
        (Reply::RetryAfter(503, "100000"), 60),
        (Reply::Status(400, ""), 1),
    ] {
        let stand = Stand::new(&[reply, FIRST]);
        stand.password().await.unwrap_err();
        stand.pass(SECOND * pause - Duration::from_millis(1)).await;
        stand.password().await.unwrap_err();
        assert_eq!(stand.exchanges(), 1, "{pause}");
        stand.pass(Duration::from_millis(1)).await;
        assert_eq!(stand.password().await.unwrap(), "first", "{pause}");
    }
}

#[tokio::test(start_paused = true)]
async fn p11_failures_are_told_without_what_was_sent() {
    let unknown = "without a known error code";
    let refused =
        |status: u16, code: &str| format!("the token endpoint sts.example refused: {status} {code}");
    let silent = |what: &str| format!("the token endpoint sts.example did not answer: {what}");
    let none = "the token endpoint sts.example answered with something that has no access_token".to_owned();
    let busy = |status: u16| format!("the token endpoint sts.example has no answer for now: {status}");
    for (reply, expect, is_passing) in [
        (
            Reply::Status(400, r#"{"error": "invalid_grant", "error_description": "hunter2"}"#),
            refused(400, "invalid_grant"),
            false,
        ),
        (Reply::Status(401, r#"{"error": "invalid_client"}"#), refused(401, "invalid_client"), false),
        (Reply::Status(400, r#"{"error": "hunter2"}"#), refused(400, unknown), false),
        (Reply::Status(403, "<html>hunter2</html>"), refused(403, unknown), false),
        (Reply::Status(404, ""), refused(404, unknown), false),
        (Reply::Status(204, ""), refused(204, unknown), false),
        (Reply::Status(429, "hunter2"), busy(429), true),
        (Reply::Status(500, "hunter2"), busy(500), true),
        (
            Reply::Status(307, ""),
            "the token endpoint sts.example redirects, which is not followed; give its last url as tokenURL"
                .to_owned(),
            false,
        ),
        (token("hunter2"), none.clone(), false),
        (token(r#"{"access_token": ""}"#), none.clone(), false),
        (token(r#"{"token": "hunter2"}"#), none.clone(), false),
        (token("x".repeat(ANSWER_BYTES_MAX as usize + 1).leak()), none, false),
        (Reply::Fault(Fault::Tls), silent("TLS failed; check tlsVerify, certDir and the clock"), false),
        (Reply::Fault(Fault::Dns), silent("its name could not be resolved"), true),
        (Reply::Drip, silent("it took too long while reading the body"), true),
    ] {
        let (log, guard) = Log::listen();
        let stand = Stand::new(&[reply]);
        let error = stand.password().await.unwrap_err();
        assert_eq!((error.to_string(), error.is_passing()), (expect.clone(), is_passing));
        drop(guard);
        let log = log.text();
        assert!(log.contains(&expect) && log.contains(if is_passing { "WARN" } else { "ERROR" }), "{log}");
        assert!(!format!("{error:?} {:?} {log}", stand.tokens).contains("hunter2 &"), "{error:?} {log}");
        assert!(!format!("{error} {error:?} {log}").contains("hunter2"), "{error:?} {log}");
    }
}

#[tokio::test]
async fn files_are_read_for_each_exchange() {
    let stand = Stand::new(&[FIRST]);
    std::fs::remove_file(&stand.assertion).unwrap();
    let error = stand.password().await.unwrap_err();
    assert!(
        matches!(&error, Oauth2Error::Assertion { source: AssertionError::Read { .. }, .. }),
        "{error:?}"
    );
    for (content, fits) in [("", false), (" \n", false), ("mended", true)] {
        std::fs::write(&stand.assertion, content).unwrap();
        assert_eq!(stand.password().await.is_ok(), fits, "{content:?}");
    }
    std::fs::write(&stand.assertion, "rotated").unwrap();
    stand.clock.advance(SECOND * 540);
    stand.password().await.unwrap();
    let forms = stand.endpoint.forms.lock().unwrap();
    assert_eq!(forms.len(), 2, "what cannot be read is not sent");
    assert!(forms[0].contains("assertion=mended&") && forms[1].contains("assertion=rotated&"), "{forms:?}");
}

#[tokio::test]
async fn a_refused_token_is_exchanged_again_unless_it_is_new() {
    let stand = Stand::new(&[FIRST, SECOND_TOKEN]);
    let refused = stand.tokens.account().await.unwrap();
    stand.clock.advance(SECOND * 9);
    assert!(!stand.tokens.forget(&refused), "a new one would be no better");
    assert_eq!(stand.password().await.unwrap(), "first");
    stand.clock.advance(SECOND);
    assert!(stand.tokens.forget(&refused));
    assert_eq!(stand.password().await.unwrap(), "second");
    // Of two requests that were refused, the second finds what the first one brought.
    assert!(stand.tokens.forget(&refused));
    assert_eq!((stand.password().await.unwrap().as_str(), stand.exchanges()), ("second", 2));
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

/// Listens until it is dropped.
struct Listening {
    _default: tracing::subscriber::DefaultGuard,
    /// With a single subscriber in the process, whether a line is written at all would be decided by whichever
    /// thread comes to it first, and that may be another test's, which listens to nothing.
    _other: tracing::Dispatch,
}

impl Log {
    fn listen() -> (Self, Listening) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let _other = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
        (log, Listening { _default: tracing::subscriber::set_default(subscriber), _other })
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// After a clock was set back, a token that the registry refuses is not kept until the clock has caught up.
#[tokio::test(start_paused = true)]
async fn a_refused_token_is_exchanged_again_after_the_clock_went_back() {
    let stand = Stand::new(&[
        Reply::Status(200, r#"{"access_token":"one","expires_in":3600}"#),
        Reply::Status(200, r#"{"access_token":"two","expires_in":3600}"#),
    ]);
    assert_eq!(stand.password().await.unwrap(), "one");
    let used = stand.tokens.account().await.unwrap();
    // 900 s back (a manual clock wraps), and then an hour in which the registry refuses the token.
    stand.clock.advance(Duration::from_millis(u64::MAX - 900_000 + 1));
    stand.clock.advance(SECOND * 600);
    assert!(stand.tokens.forget(&used), "it is ten minutes old, and refused");
    assert_eq!(stand.password().await.unwrap(), "two");
}
