//! Goal: a token is taken for what it was issued for, by whom, and for as long, and nothing else is a token.
//! Method: an issuer with a clock of the test's own, and every way in which a token can be wrong.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use super::*;
use crate::auth::keep::InMemory;
use crate::auth::options::Action;
use crate::auth::scope::asked;
use crate::oci::RepositoryName;

const MINUTE: Duration = Duration::from_secs(60);

struct Fixture {
    keep: Arc<InMemory>,
    clock: Clock,
    issuer: Issuer,
}

impl Fixture {
    async fn new() -> Self {
        let keep = Arc::new(InMemory::default());
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let issuer = open(&keep, &clock, "wharfinger").await;
        Self { keep, clock, issuer }
    }

    async fn token(&self, user: Option<&str>, scope: &str) -> BearerToken {
        let account = user.map(|user| Account::new(user, Vec::new()));
        let issued = self.issuer.issue(account.as_ref(), vec!["ops".to_owned()], asked(scope)).await;
        issued.unwrap().token
    }

    /// Signs claims with the key that the issuer signs with.
    async fn signed(&self, header: Header, claims: &Value) -> BearerToken {
        let key = self.issuer.keys.signing().await.unwrap();
        let header = Header { kid: Some(key.id.clone()), ..header };
        BearerToken::of(jsonwebtoken::encode(&header, claims, &key.signing).unwrap())
    }
}

async fn open(keep: &Arc<InMemory>, clock: &Clock, realm: &str) -> Issuer {
    let keep: Kept = keep.clone();
    Issuer::open(&TokenOptions::default(), realm, keep, clock.clone()).await.unwrap()
}

fn claims(now: u64) -> Value {
    json!({
        "iss": ISSUER, "aud": "wharfinger", "sub": "eve", "iat": now, "nbf": now, "exp": now + 300, "jti": "x",
        "access": [{"type": "repository", "name": "team/app", "actions": ["pull"]}],
    })
}

fn app() -> RepositoryName {
    RepositoryName::parse("team/app").unwrap()
}

#[tokio::test]
async fn a_token_says_who_and_for_what() {
    let fixture = Fixture::new().await;
    let token = fixture.token(Some("eve"), "repository:team/app:pull").await;
    let identity = fixture.issuer.verify(&token).await.unwrap();
    assert_eq!((identity.account(), identity.groups()), (Some("eve"), &["ops".to_owned()][..]));
    let scope = identity.scope().unwrap();
    assert!(scope.covers(&app(), Action::Read) && !scope.covers(&app(), Action::Create));
    let anonymous = fixture.issuer.verify(&fixture.token(None, "").await).await.unwrap();
    assert_eq!((anonymous.account(), anonymous.scope().is_some()), (None, true));
}

#[tokio::test]
async fn a_token_ends() {
    let fixture = Fixture::new().await;
    let token = fixture.token(Some("eve"), "").await;
    fixture.clock.advance(5 * MINUTE - Duration::from_secs(1));
    assert!(fixture.issuer.verify(&token).await.is_ok());
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.issuer.verify(&token).await.err(), Some(TokenError::Expired));
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_told_apart() {
    let fixture = Fixture::new().await;
    let now = seconds(fixture.clock.now());
    let hs256 = Header::new(Algorithm::HS256);
    let good = fixture.signed(hs256.clone(), &claims(now)).await;
    assert!(fixture.issuer.verify(&good).await.is_ok());
    let with = |key: &str, value: Value| {
        let mut claims = claims(now);
        claims[key] = value;
        claims
    };
    for (claims, expect) in [
        (with("iss", json!("https://elsewhere")), TokenError::Issuer),
        (with("aud", json!("another")), TokenError::Audience),
        (with("aud", json!("wharfinger refresh")), TokenError::Audience),
        (with("exp", json!(now)), TokenError::Expired),
        (with("nbf", json!(now + 120)), TokenError::TooEarly),
        (with("exp", Value::Null), TokenError::Claims),
        (with("sub", json!(7)), TokenError::Claims),
        (with("exp", json!("never")), TokenError::Claims),
    ] {
        let token = fixture.signed(hs256.clone(), &claims).await;
        assert_eq!(fixture.issuer.verify(&token).await.err(), Some(expect), "{claims}");
    }
    let other_algorithm = fixture.signed(Header::new(Algorithm::HS384), &claims(now)).await;
    assert_eq!(fixture.issuer.verify(&other_algorithm).await.err(), Some(TokenError::Signature));
}

#[tokio::test]
async fn forgeries_are_refused() {
    let fixture = Fixture::new().await;
    let now = seconds(fixture.clock.now());
    let good = fixture.signed(Header::new(Algorithm::HS256), &claims(now)).await;
    let parts: Vec<&str> = good.reveal().split('.').collect();
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let key = fixture.issuer.keys.signing().await.unwrap();
    let none = encode(&json!({"alg": "none", "kid": key.id}));
    let mine = EncodingKey::from_secret(b"a key of whoever forges, of thirty-two bytes");
    let header = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::HS256) };
    let unknown = Header { kid: Some("0011223344556677".to_owned()), ..Header::new(Algorithm::HS256) };
    for forged in [
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{}.{}.{}", parts[0], encode(&claims(now + 1)), parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.{}.{}", parts[0], parts[1], parts[2], parts[2]),
        jsonwebtoken::encode(&header, &claims(now), &mine).unwrap(),
        jsonwebtoken::encode(&unknown, &claims(now), &mine).unwrap(),
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(now), &key.signing).unwrap(),
        "x".repeat(16_000),
        "..".to_owned(),
        String::new(),
    ] {
        assert!(fixture.issuer.verify(&BearerToken::of(forged.clone())).await.is_err(), "{forged}");
    }
}

#[tokio::test]
async fn a_refresh_token_is_no_access_token_and_the_other_way() {
    let fixture = Fixture::new().await;
    let renewal = Renewal { user: "eve".to_owned(), mark: "m".to_owned() };
    let refresh = fixture.issuer.issue_refresh(&renewal).await.unwrap();
    assert_eq!(fixture.issuer.verify_refresh(&refresh).await.unwrap(), renewal);
    assert_eq!(fixture.issuer.verify(&refresh).await.err(), Some(TokenError::Audience));
    let token = fixture.token(Some("eve"), "").await;
    assert_eq!(fixture.issuer.verify_refresh(&token).await.err(), Some(TokenError::Audience));
}

#[tokio::test]
async fn replicas_take_each_others_tokens() {
    let fixture = Fixture::new().await;
    let other = open(&fixture.keep, &fixture.clock, "wharfinger").await;
    let token = fixture.token(Some("eve"), "").await;
    assert!(other.verify(&token).await.is_ok());
    // A key that the other one has not seen yet.
    fixture.clock.advance(TokenOptions::default().rotation + MINUTE);
    fixture.issuer.keys.signing().await.unwrap();
    fixture.clock.advance(MINUTE);
    let token = fixture.token(Some("eve"), "").await;
    assert!(other.verify(&token).await.is_ok());
}

#[tokio::test]
async fn keys_follow_each_other_with_an_overlap() {
    let fixture = Fixture::new().await;
    let first = fixture.issuer.keys.signing().await.unwrap().id.clone();
    let renewal = Renewal { user: "eve".to_owned(), mark: "m".to_owned() };
    fixture.clock.advance(TokenOptions::default().rotation - MINUTE);
    let refresh = fixture.issuer.issue_refresh(&renewal).await.unwrap();
    fixture.clock.advance(2 * MINUTE);
    // The new key is known before it signs.
    assert_eq!(fixture.issuer.keys.signing().await.unwrap().id, first);
    fixture.clock.advance(MINUTE);
    assert_ne!(fixture.issuer.keys.signing().await.unwrap().id, first);
    fixture.clock.advance(TokenOptions::default().refresh_life - 4 * MINUTE);
    assert!(fixture.issuer.verify_refresh(&refresh).await.is_ok());
    fixture.clock.advance(2 * TokenOptions::default().rotation);
    assert_eq!(fixture.issuer.verify_refresh(&refresh).await.err(), Some(TokenError::KeyUnknown));
    fixture.issuer.keys.signing().await.unwrap();
    let kept = crate::auth::keep::Keep::list(&*fixture.keep, "token-keys").await.unwrap();
    assert!(!kept.contains(&first), "{kept:?}");
}

#[tokio::test]
async fn a_key_file_signs_with_its_first_and_takes_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let (old, new) = (BASE64_URL_SAFE_NO_PAD.encode([1; 32]), BASE64_URL_SAFE_NO_PAD.encode([2; 48]));
    std::fs::write(&path, format!("# the only one\n{old}\n")).unwrap();
    let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
    let options = TokenOptions { key_file: Some(path.clone()), ..TokenOptions::default() };
    let open = || async {
        let keep: Kept = Arc::new(InMemory::default());
        Issuer::open(&options, "wharfinger", keep, clock.clone()).await
    };
    let before = open().await.unwrap();
    let token = before.issue(None, Vec::new(), Vec::new()).await.unwrap().token;
    std::fs::write(&path, format!("{new}\n{old}\n")).unwrap();
    let after = open().await.unwrap();
    assert!(after.verify(&token).await.is_ok());
    let newer = after.issue(None, Vec::new(), Vec::new()).await.unwrap().token;
    // Who has not been restarted reads the file again when a key is new to him.
    assert!(before.verify(&newer).await.is_ok());
    for (text, expect) in [("", "hold no key"), ("?", "line 1 is not base64"), ("AAAA", "32 to 1,024 bytes")]
    {
        std::fs::write(&path, text).unwrap();
        let error = open().await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(expect), "{source}");
    }
}

/// A place whose disk is full until it is not.
#[derive(Debug, Default)]
struct Full {
    below: InMemory,
    has_room: std::sync::atomic::AtomicBool,
}

#[async_trait::async_trait]
impl crate::auth::keep::Keep for Full {
    async fn read(&self, folder: &str, name: &str) -> Result<Option<Vec<u8>>, KeepError> {
        self.below.read(folder, name).await
    }

    async fn create(&self, folder: &str, name: &str, record: Vec<u8>) -> Result<bool, KeepError> {
        if !self.has_room.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(KeepError::new(std::io::Error::from(std::io::ErrorKind::StorageFull)));
        }
        self.below.create(folder, name, record).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, KeepError> {
        self.below.list(folder).await
    }

    async fn remove(&self, _folder: &str, _name: &str) -> Result<bool, KeepError> {
        Err(KeepError::new(std::io::Error::from(std::io::ErrorKind::ReadOnlyFilesystem)))
    }
}

#[tokio::test]
async fn a_full_disk_stops_no_start_and_no_key_that_is_there() {
    let full = Arc::new(Full::default());
    let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
    let kept: Kept = full.clone();
    let options = TokenOptions::default();
    let issuer = Issuer::open(&options, "wharfinger", kept, clock.clone()).await.unwrap();
    assert!(issuer.issue(None, Vec::new(), Vec::new()).await.is_err());
    full.has_room.store(true, std::sync::atomic::Ordering::SeqCst);
    clock.advance(Duration::from_secs(1));
    issuer.issue(None, Vec::new(), Vec::new()).await.unwrap();
    // It is full again when it is time for the next key, and what is too old cannot be removed.
    full.has_room.store(false, std::sync::atomic::Ordering::SeqCst);
    clock.advance(options.rotation + MINUTE);
    let token = issuer.issue(None, Vec::new(), Vec::new()).await.unwrap().token;
    let kept: Kept = full.clone();
    let after = Issuer::open(&options, "wharfinger", kept, clock.clone()).await.unwrap();
    assert!(after.verify(&token).await.is_ok());
    assert!(after.issue(None, Vec::new(), Vec::new()).await.is_ok());
}

#[tokio::test]
async fn p11_no_key_and_no_token_in_debug() {
    let fixture = Fixture::new().await;
    let token = fixture.token(Some("eve"), "").await;
    let kept = fixture.keep.clone();
    let id = crate::auth::keep::Keep::list(&*kept, "token-keys").await.unwrap().remove(0);
    let record = crate::auth::keep::Keep::read(&*kept, "token-keys", &id).await.unwrap().unwrap();
    let secret = serde_json::from_slice::<Value>(&record).unwrap()["secret"].as_str().unwrap().to_owned();
    let text = format!("{:?} {token:?} {kept:?}", fixture.issuer);
    assert!(!text.contains(&secret) && !text.contains(token.reveal()), "{text}");
}

#[tokio::test]
async fn a_clock_that_was_wrong_for_a_moment_ends_no_key() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let fixture = Fixture::new().await;
    fixture.clock.advance(MINUTE);
    let renewal = Renewal { user: "eve".to_owned(), mark: "x".to_owned() };
    let refresh = fixture.issuer.issue_refresh(&renewal).await.unwrap();
    // A replica that comes up in 2096, and has its clock set right.
    drop(open(&fixture.keep, &Clock::manual(Timestamp::from_millis(4_000_000_000_000)), "wharfinger").await);
    let after = open(&fixture.keep, &fixture.clock, "wharfinger").await;
    assert!(after.verify_refresh(&refresh).await.is_ok(), "what it found too old is gone for all");
    let first = after.keys.signing().await.unwrap().id.clone();
    fixture.clock.advance(70 * DAY);
    let now = after.keys.signing().await.unwrap().id.clone();
    assert_ne!(first, now, "and its own signs for seventy years");
}

#[tokio::test]
async fn a_clock_that_jumps_there_and_back_ends_no_key() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    for wrong in [0, 1_600_000_000_000, 1_720_000_000_000, 4_000_000_000_000] {
        let fixture = Fixture::new().await;
        let renewal = Renewal { user: "eve".to_owned(), mark: "x".to_owned() };
        fixture.clock.advance(MINUTE);
        let right = fixture.clock.now();
        let first = fixture.issuer.keys.signing().await.unwrap().id.clone();
        let refresh = fixture.issuer.issue_refresh(&renewal).await.unwrap();
        fixture.clock.set(Timestamp::from_millis(wrong));
        let meanwhile = fixture.issuer.keys.signing().await.unwrap().id.clone();
        assert_ne!(meanwhile, first, "{wrong}: a key that is not of that time signs nothing");
        fixture.clock.advance(MINUTE);
        fixture.clock.set(right.after(MINUTE));
        for issuer in [&fixture.issuer, &open(&fixture.keep, &fixture.clock, "wharfinger").await] {
            assert_eq!(issuer.keys.signing().await.unwrap().id, first, "{wrong}");
            assert!(issuer.verify_refresh(&refresh).await.is_ok(), "{wrong}");
        }
        // They follow each other as if there were no other, and go in the end.
        fixture.clock.advance(31 * DAY);
        fixture.issuer.keys.signing().await.unwrap();
        fixture.clock.advance(MINUTE);
        let next = fixture.issuer.keys.signing().await.unwrap().id.clone();
        assert!(next != first && next != meanwhile, "{wrong}");
        fixture.clock.advance(31 * DAY);
        fixture.issuer.keys.signing().await.unwrap();
        let kept = crate::auth::keep::Keep::list(&*fixture.keep, "token-keys").await.unwrap();
        assert!(!kept.contains(&first) && !kept.contains(&meanwhile) && kept.contains(&next), "{wrong}");
    }
}

/// A key file that does not answer holds up nobody but whom it concerns: it is a pipe here, and the only thread of
/// the runtime goes on to let somebody write into it.
#[tokio::test]
async fn a_key_file_is_not_waited_for_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let key = BASE64_URL_SAFE_NO_PAD.encode([1; 32]);
    std::fs::write(&path, &key).unwrap();
    let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
    let options = TokenOptions { key_file: Some(path.clone()), ..TokenOptions::default() };
    let keep: Kept = Arc::new(InMemory::default());
    let issuer = Issuer::open(&options, "wharfinger", keep, clock.clone()).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let (go, gone) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        let went_on = gone.recv_timeout(Duration::from_secs(10));
        // Were both looks waited for, each would need somebody who writes.
        for _ in 0..if went_on.is_ok() { 1 } else { 2 } {
            std::fs::write(&path, format!("{key}\n{}\n", BASE64_URL_SAFE_NO_PAD.encode([2; 32]))).unwrap();
        }
        went_on
    });
    let second = keys::Key::id_of(&[2; 32]);
    let another = async {
        clock.advance(MINUTE);
        // It looks as well, and does not wait for the first look.
        let found = issuer.keys.verifying("another").await.is_some();
        go.send(()).unwrap();
        found
    };
    let (found, another) = tokio::join!(issuer.keys.verifying(&second), another);
    assert_eq!(writer.join().unwrap(), Ok(()), "the thread of the runtime went on");
    assert!(found.is_some() && !another);
}
