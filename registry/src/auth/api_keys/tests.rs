//! Goal: a key is its user's, good for what it was made for and until it ends or is revoked, and what is kept of it
//! gives it to nobody. Method: a place in memory, a clock of the test's own, and a second replica.

use super::*;
use crate::auth::credentials::Credentials;
use crate::auth::keep::InMemory;
use crate::auth::options::Action;
use crate::oci::RepositoryName;

struct Fixture {
    keep: Arc<InMemory>,
    clock: Clock,
    keys: ApiKeys,
}

impl Fixture {
    fn new() -> Self {
        let keep = Arc::new(InMemory::default());
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let keys = ApiKeys::new(keep.clone(), clock.clone());
        Self { keep, clock, keys }
    }

    fn replica(&self) -> ApiKeys {
        ApiKeys::new(self.keep.clone(), self.clock.clone())
    }

    async fn create(&self, user: &str, wish: ApiKeyWish) -> Result<(ApiKey, ApiKeySecret), ApiKeyError> {
        self.keys.create(maker(user), wish).await
    }
}

fn maker(user: &str) -> Maker {
    Maker { user: user.to_owned(), origin: Origin::File, until: None }
}

fn presented(text: &str) -> Option<Presented> {
    Presented::parse(Credentials::of_form("", text).unwrap().password())
}

async fn is_good(keys: &ApiKeys, user: &str, text: &str) -> bool {
    keys.verify(user, &presented(text).unwrap()).await.unwrap().is_some()
}

fn scoped(scopes: &[&str]) -> ApiKeyWish {
    ApiKeyWish { scopes: scopes.iter().map(ToString::to_string).collect(), ..ApiKeyWish::default() }
}

#[tokio::test]
async fn a_key_is_its_users_and_nobody_elses() {
    let fixture = Fixture::new();
    let (key, secret) = fixture.create("eve", scoped(&["team/*:pull"])).await.unwrap();
    let verified = fixture.keys.verify("eve", &presented(secret.reveal()).unwrap()).await.unwrap().unwrap();
    assert_eq!(verified.origin, Origin::File);
    let app = RepositoryName::parse("team/app").unwrap();
    let scope = verified.scope.unwrap();
    assert!(scope.covers(&app, Action::Read) && !scope.covers(&app, Action::Create));
    for user in ["admin", "", "Eve", "eve "] {
        assert!(!is_good(&fixture.keys, user, secret.reveal()).await, "{user}");
    }
    // Another secret under the same name, and the same secret under another.
    let (other, its_secret) = fixture.create("eve", ApiKeyWish::default()).await.unwrap();
    let mixed = secret.reveal().replace(&key.id, &other.id);
    assert!(is_good(&fixture.keys, "eve", its_secret.reveal()).await);
    assert!(!is_good(&fixture.keys, "eve", &mixed).await);
    assert!(
        fixture
            .keys
            .verify("eve", &presented(its_secret.reveal()).unwrap())
            .await
            .unwrap()
            .unwrap()
            .scope
            .is_none()
    );
}

#[tokio::test]
async fn a_revoked_key_ends_here_at_once_and_elsewhere_soon() {
    let fixture = Fixture::new();
    let (key, secret) = fixture.create("eve", ApiKeyWish::default()).await.unwrap();
    let replica = fixture.replica();
    assert!(
        is_good(&replica, "eve", secret.reveal()).await
            && is_good(&fixture.keys, "eve", secret.reveal()).await
    );
    // Nobody revokes another's key.
    assert!(!fixture.keys.revoke("admin", &key.id).await.unwrap());
    for id in ["", "x", "../token-keys/a", &key.id.to_uppercase()] {
        assert!(!fixture.keys.revoke("eve", id).await.unwrap(), "{id}");
    }
    assert!(fixture.keys.revoke("eve", &key.id).await.unwrap());
    assert!(!is_good(&fixture.keys, "eve", secret.reveal()).await);
    assert!(is_good(&replica, "eve", secret.reveal()).await);
    fixture.clock.advance(LOOKUP_TIME_MAX);
    assert!(!is_good(&replica, "eve", secret.reveal()).await);
    assert!(!fixture.keys.revoke("eve", &key.id).await.unwrap());
}

#[tokio::test]
async fn a_key_ends_by_itself() {
    let fixture = Fixture::new();
    let minute = Duration::from_secs(60);
    let expires_at = Some(fixture.clock.now().after(minute));
    let (key, secret) =
        fixture.create("eve", ApiKeyWish { expires_at, ..ApiKeyWish::default() }).await.unwrap();
    assert!(!key.is_expired);
    fixture.clock.advance(minute - Duration::from_millis(1));
    assert!(is_good(&fixture.keys, "eve", secret.reveal()).await);
    fixture.clock.advance(Duration::from_millis(1));
    assert!(!is_good(&fixture.keys, "eve", secret.reveal()).await);
    assert!(fixture.keys.list("eve").await.unwrap()[0].is_expired);
    // What vouches for its maker ends before it, and takes it along.
    let until = Some(fixture.clock.now().after(minute));
    let late =
        ApiKeyWish { expires_at: Some(fixture.clock.now().after(2 * minute)), ..ApiKeyWish::default() };
    for wish in [late, ApiKeyWish::default()] {
        let (key, _) = fixture.keys.create(Maker { until, ..maker("ada") }, wish).await.unwrap();
        assert_eq!(key.expires_at, until);
    }
    let past = ApiKeyWish { expires_at, ..ApiKeyWish::default() };
    assert!(matches!(fixture.create("eve", past).await, Err(ApiKeyError::Past)));
}

#[tokio::test]
async fn wishes_have_bounds() {
    let fixture = Fixture::new();
    for scope in ["", "team/[", "team/*:pul", "team/*:", "team/*:pull,", &"a".repeat(SCOPE_BYTES_MAX + 1)] {
        let refused = fixture.create("eve", scoped(&["ok", scope])).await;
        assert!(matches!(refused, Err(ApiKeyError::Scope { index: 1 })), "{scope}: {refused:?}");
    }
    let many = vec!["a"; SCOPES_MAX + 1];
    assert!(matches!(fixture.create("eve", scoped(&many)).await, Err(ApiKeyError::Scopes)));
    for label in ["a\nb".to_owned(), "é".repeat(LABEL_CHARS_MAX + 1)] {
        let wish = ApiKeyWish { label, ..ApiKeyWish::default() };
        assert!(matches!(fixture.create("eve", wish).await, Err(ApiKeyError::Label)));
    }
    for _ in 0..KEYS_MAX {
        fixture.create("eve", ApiKeyWish::default()).await.unwrap();
    }
    assert!(matches!(fixture.create("eve", ApiKeyWish::default()).await, Err(ApiKeyError::TooMany)));
    // Each user has a bound of his own.
    let label = "é".repeat(LABEL_CHARS_MAX);
    let (key, _) = fixture
        .create("ada", ApiKeyWish { label: label.clone(), ..scoped(&["**:pull,push"]) })
        .await
        .unwrap();
    let listed = fixture.keys.list("ada").await.unwrap();
    assert_eq!((listed.as_slice(), listed[0].label.as_str()), (&[key][..], label.as_str()));
    assert_eq!(fixture.keys.list("eve").await.unwrap().len(), KEYS_MAX);
    assert_eq!(fixture.keys.list("nobody").await.unwrap(), []);
}

#[test]
fn what_is_no_key_is_a_password() {
    let (id, secret) = ("0".repeat(ID_CHARS), "A".repeat(43));
    assert!(presented(&format!("zak_{id}{secret}")).is_some());
    for text in [
        String::new(),
        "zak_".to_owned(),
        format!("zak_{id}"),
        format!("zak_{id}{secret}A"),
        format!("zak_{id}{}?", &secret[1..]),
        format!("ZAK_{id}{secret}"),
        format!("zak_{}g{secret}", &id[1..]),
        format!("zak_{}é{secret}", &id[1..]),
        format!("zak-{id}{secret}"),
    ] {
        assert!(presented(&text).is_none(), "{text}");
    }
}

#[tokio::test]
async fn p11_nothing_that_is_kept_or_printed_has_the_secret() {
    let fixture = Fixture::new();
    let (key, secret) = fixture.create("eve", scoped(&["team/*"])).await.unwrap();
    let record = fixture.keep.read(FOLDER, &name("eve", &key.id)).await.unwrap().unwrap();
    assert!(is_good(&fixture.keys, "eve", secret.reveal()).await);
    let text = format!(
        "{} {:?} {key:?} {secret:?} {:?}",
        String::from_utf8(record).unwrap(),
        fixture.keys,
        presented(secret.reveal())
    );
    let hidden = &secret.reveal()[PREFIX.len() + ID_CHARS..];
    assert!(text.contains(&key.id) && !text.contains(hidden), "{text}");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_no_key() {
    let fixture = Fixture::new();
    let (key, secret) = fixture.create("eve", ApiKeyWish::default()).await.unwrap();
    let name = name("eve", &key.id);
    let record = fixture.keep.read(FOLDER, &name).await.unwrap().unwrap();
    let text = String::from_utf8(record).unwrap();
    for broken in [
        "{}".to_owned(),
        text.replace("\"eve\"", "\"admin\""),
        text.replace("\"scopes\":[]", "\"scopes\":[\"[\"]"),
    ] {
        fixture.keep.remove(FOLDER, &name).await.unwrap();
        fixture.keep.create(FOLDER, &name, broken.clone().into_bytes()).await.unwrap();
        let keys = fixture.replica();
        for user in ["eve", "admin"] {
            assert!(!is_good(&keys, user, secret.reveal()).await, "{broken}");
        }
    }
}
