//! Goal: everybody may do what the policy says and nothing else, and learns nothing of what may not
//! be seen (P10, T-112, T-113, T-149 to T-156). Method: the real dispatch with an htpasswd file of the
//! cheapest bcrypt; tables of who, what and the answer; a transcript.

use axum::body::Body;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use tempfile::TempDir;
use wharfinger::auth::options::{AccessControl, Action, Options, RepositoryPolicy, Rule, TokenOptions};

use super::exchange::{Transcript, ask, assert_error, plain};
use super::manifests::{IMAGE, push_parts, small};
use crate::support::{Answer, Client, Registry, sha256};

const ALL: [Action; 4] = [Action::Read, Action::Create, Action::Update, Action::Delete];

/// Accounts whose passwords are their names twice.
const ACCOUNTS: [&str; 4] = ["admin", "ada", "bob", "eve"];

fn rule(users: &[&str], actions: &[Action]) -> Rule {
    let users = users.iter().map(ToString::to_string).collect();
    Rule { users, groups: Vec::new(), actions: actions.to_vec(), ..Rule::default() }
}

/// `public/**` anybody reads; `team/**` is ada's, and bob may add to it; `secret/**` is ada's alone;
/// what no glob names is the admin's.
fn rules() -> AccessControl {
    let public = RepositoryPolicy { anonymous_policy: vec![Action::Read], ..RepositoryPolicy::default() };
    let team = RepositoryPolicy {
        policies: vec![rule(&["ada"], &ALL), rule(&["bob"], &[Action::Read, Action::Create])],
        default_policy: vec![Action::Read],
        ..RepositoryPolicy::default()
    };
    let secret = RepositoryPolicy { policies: vec![rule(&["ada"], &ALL)], ..RepositoryPolicy::default() };
    AccessControl {
        repositories: vec![
            ("public/**".to_owned(), public),
            ("team/**".to_owned(), team),
            ("secret/**".to_owned(), secret),
        ],
        admin: rule(&["admin"], &ALL),
        ..AccessControl::default()
    }
}

/// A registry with accounts. The folder holds their file.
struct Guarded {
    client: Client,
    _folder: TempDir,
}

/// What a registry answers that issues no tokens; with them, see `tokens`.
fn without_tokens() -> TokenOptions {
    TokenOptions { enable: false, ..TokenOptions::default() }
}

impl Guarded {
    async fn open(access: Option<AccessControl>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        let line = |user: &str| format!("{user}:{}\n", bcrypt::hash(user.repeat(2), 4).unwrap());
        std::fs::write(&path, ACCOUNTS.map(line).concat()).unwrap();
        let auth = Options { htpasswd: Some(path), access, token: without_tokens(), ..Options::default() };
        let registry = Registry { auth, ..Registry::default() };
        Self { client: registry.open().await, _folder: folder }
    }

    async fn ask(
        &self,
        user: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let authorization = basic(user, &user.repeat(2));
        let mut headers = headers.to_vec();
        if !user.is_empty() {
            headers.push(("authorization", &authorization));
        }
        ask(&self.client, method, path, &headers, body).await
    }

    async fn plain(&self, user: &str, method: &str, path: &str) -> Answer {
        self.ask(user, method, path, &[], Body::empty()).await
    }

    /// Pushes the small image as the admin.
    async fn fill(&self, name: &str, tag: &str) {
        for blob in [&b"{}"[..], b"layer"] {
            let path = format!("/v2/{name}/blobs/uploads/?digest={}", sha256(blob));
            assert_eq!(self.ask("admin", "POST", &path, &[], blob.to_vec()).await.status, 201);
        }
        assert_eq!(self.put("admin", name, tag, &small().to_string()).await.status, 201);
    }

    async fn put(&self, user: &str, name: &str, reference: &str, body: &str) -> Answer {
        let path = format!("/v2/{name}/manifests/{reference}");
        self.ask(user, "PUT", &path, &[("content-type", IMAGE)], body.to_owned()).await
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

#[tokio::test]
async fn auth_answers() {
    let guarded = Guarded::open(Some(rules())).await;
    guarded.fill("public/app", "v1").await;
    let (wrong, eve) = (basic("ada", "wrong"), basic("eve", "eveeve"));
    let mut transcript = Transcript::new(&guarded.client);
    transcript.plain("GET", "/v2/").await;
    transcript.plain("GET", "/v2/public/app/tags/list").await;
    transcript.plain("DELETE", "/v2/public/app/manifests/v1").await;
    transcript.plain("HEAD", "/v2/team/app/manifests/v1").await;
    transcript.plain("GET", "/v2/never/tags/list").await;
    for authorization in [wrong.as_str(), "Bearer token", "Basic !", "", eve.as_str()] {
        let header = [("authorization", authorization)];
        transcript.ask("DELETE", "/v2/public/app/manifests/v1", &header, Body::empty()).await;
    }
    let twice = [("authorization", eve.as_str()), ("authorization", eve.as_str())];
    transcript.ask("GET", "/v2/", &twice, Body::empty()).await;
    insta::assert_snapshot!(transcript.text());
}

/// The everyday case: anybody pulls, only the admin deletes.
#[tokio::test]
async fn anybody_pulls_and_only_the_admin_deletes() {
    let everywhere = RepositoryPolicy { anonymous_policy: vec![Action::Read], ..RepositoryPolicy::default() };
    let access = AccessControl {
        repositories: vec![("**".to_owned(), everywhere)],
        admin: rule(&["admin"], &ALL),
        ..AccessControl::default()
    };
    let guarded = Guarded::open(Some(access)).await;
    guarded.fill("app", "v1").await;
    assert_eq!(guarded.plain("", "GET", "/v2/").await.status, 200);
    assert_eq!(guarded.plain("", "GET", "/v2/app/manifests/v1").await.status, 200);
    let path = "/v2/app/manifests/v1";
    let refused = guarded.plain("", "DELETE", path).await;
    assert_error(&refused, 401, "UNAUTHORIZED");
    assert_eq!(refused.header("www-authenticate"), "Basic realm=\"wharfinger\"");
    assert_error(&guarded.plain("eve", "DELETE", path).await, 403, "DENIED");
    assert_eq!(guarded.plain("admin", "DELETE", path).await.status, 202);
}

/// Who, what, and the answer where the repository has the image and where it has nothing.
#[tokio::test]
async fn p10_rights_decide_and_existence_does_not() {
    let guarded = Guarded::open(Some(rules())).await;
    for name in ["public/app", "team/app", "secret/app", "other/app"] {
        guarded.fill(name, "v1").await;
    }
    let blob = sha256(b"layer");
    let reads = |name: &str| {
        [
            ("GET", format!("/v2/{name}/manifests/v1")),
            ("HEAD", format!("/v2/{name}/manifests/v1")),
            ("GET", format!("/v2/{name}/blobs/{blob}")),
            ("HEAD", format!("/v2/{name}/blobs/{blob}")),
            ("GET", format!("/v2/{name}/tags/list")),
            ("GET", format!("/v2/{name}/referrers/{blob}")),
        ]
    };
    for (user, folder, may) in [
        ("", "public", true),
        ("", "team", false),
        ("", "secret", false),
        ("", "other", false),
        ("eve", "public", true),
        ("eve", "team", true),
        ("eve", "secret", false),
        ("eve", "other", false),
        ("bob", "team", true),
        ("bob", "secret", false),
        ("ada", "secret", true),
        ("ada", "other", false),
        ("admin", "secret", true),
        ("admin", "other", true),
    ] {
        let (there, missing) = (reads(&format!("{folder}/app")), reads(&format!("{folder}/none")));
        for ((method, path), (_, path_of_none)) in there.iter().zip(&missing) {
            let (mut one, mut two) =
                (guarded.plain(user, method, path).await, guarded.plain(user, method, path_of_none).await);
            let status = one.status.as_u16();
            let expect = if may {
                200
            } else if user.is_empty() {
                401
            } else {
                403
            };
            assert_eq!(status, expect, "{user} {method} {path}");
            if !may {
                one.headers.remove("x-request-id");
                two.headers.remove("x-request-id");
                assert_eq!(
                    (one.status, one.headers, one.body),
                    (two.status, two.headers, two.body),
                    "{user} {path}"
                );
            }
        }
    }
}

#[tokio::test]
async fn writing_needs_the_right_to_it() {
    let guarded = Guarded::open(Some(rules())).await;
    guarded.fill("team/app", "v1").await;
    guarded.fill("public/app", "v1").await;
    for (user, name, open, delete) in [
        ("", "team/app", 401, 401),
        ("", "public/app", 401, 401),
        ("eve", "team/app", 403, 403),
        ("eve", "public/app", 403, 403),
        ("bob", "team/app", 202, 403),
        ("bob", "secret/new", 403, 403),
        ("ada", "team/app", 202, 404),
        ("ada", "secret/new", 202, 404),
    ] {
        let opened = guarded.plain(user, "POST", &format!("/v2/{name}/blobs/uploads/")).await;
        assert_eq!(opened.status.as_u16(), open, "{user} {name}");
        let deleted = guarded.plain(user, "DELETE", &format!("/v2/{name}/manifests/none")).await;
        assert_eq!(deleted.status.as_u16(), delete, "{user} {name}");
        let deleted = guarded.plain(user, "DELETE", &format!("/v2/{name}/blobs/{}", sha256(b"none"))).await;
        assert_eq!(deleted.status.as_u16(), delete, "{user} {name}");
    }
}

/// Create without update: tags are immutable to their pusher, the same push again excepted.
#[tokio::test]
async fn who_may_only_create_moves_no_tag() {
    let guarded = Guarded::open(Some(rules())).await;
    guarded.fill("team/app", "v1").await;
    let (same, mut other) = (small().to_string(), small());
    other["annotations"] = json!({"a": "b"});
    let (other, digest) = (other.to_string(), sha256(other.to_string().as_bytes()));
    assert_eq!(guarded.put("bob", "team/app", "v1", &same).await.status, 201);
    let moved = guarded.put("bob", "team/app", "v1", &other).await;
    assert_error(&moved, 403, "DENIED");
    assert_error(
        &guarded.put("bob", "team/app", &format!("{digest}?tag=new&tag=v1"), &other).await,
        403,
        "DENIED",
    );
    let at = guarded.plain("bob", "GET", "/v2/team/app/manifests/v1").await;
    assert_eq!(at.body, same);
    assert_error(&guarded.plain("bob", "GET", "/v2/team/app/manifests/new").await, 404, "MANIFEST_UNKNOWN");
    assert_eq!(guarded.put("bob", "team/app", "v2", &other).await.status, 201);
    assert_eq!(guarded.put("ada", "team/app", "v1", &other).await.status, 201);
}

/// A condition does not give the right that it is about.
#[tokio::test]
async fn who_may_only_create_is_held_to_conditions_too() {
    let guarded = Guarded::open(Some(rules())).await;
    guarded.fill("team/app", "v1").await;
    let same = small().to_string();
    let (mut other, at) = (small(), format!("\"{}\"", sha256(same.as_bytes())));
    other["annotations"] = json!({"a": "b"});
    let other = other.to_string();
    let put = async |tag: &str, condition: (&str, &str), body: &str| {
        let path = format!("/v2/team/app/manifests/{tag}");
        guarded.ask("bob", "PUT", &path, &[("content-type", IMAGE), condition], body.to_owned()).await
    };
    assert_error(&put("v1", ("if-match", &at), &other).await, 403, "DENIED");
    assert_error(&put("v1", ("if-none-match", "*"), &other).await, 412, "UNSUPPORTED");
    assert_eq!(put("v1", ("if-match", &at), &same).await.status, 201);
    // There is nothing at `v2` that could be what the request requires.
    assert_error(&put("v2", ("if-match", &at), &same).await, 412, "UNSUPPORTED");
    assert_error(&put("v2", ("if-match", &at), &other).await, 403, "DENIED");
    assert_error(&guarded.plain("bob", "GET", "/v2/team/app/manifests/v2").await, 404, "MANIFEST_UNKNOWN");
    assert_eq!(put("v2", ("if-none-match", "*"), &other).await.status, 201);
}

#[tokio::test]
async fn p10_an_upload_is_its_openers() {
    let guarded = Guarded::open(Some(rules())).await;
    let at = guarded.plain("ada", "POST", "/v2/team/app/blobs/uploads/").await.header("location").to_owned();
    assert_eq!(guarded.ask("ada", "PATCH", &at, &[], "bytes").await.status, 202);
    let end = format!("{at}?digest={}", sha256(b"bytes"));
    for user in ["bob", "admin"] {
        for (method, path) in [("GET", &at), ("PATCH", &at), ("PUT", &end), ("DELETE", &at)] {
            assert_error(&guarded.ask(user, method, path, &[], "").await, 404, "BLOB_UPLOAD_UNKNOWN");
        }
    }
    for (user, status) in [("", 401), ("eve", 403)] {
        assert_eq!(guarded.plain(user, "GET", &at).await.status.as_u16(), status, "{user}");
    }
    // A wrong password in the middle costs the request, not the session (T-158).
    let wrong = [("authorization", basic("ada", "wrong"))].map(|(name, value)| (name, value));
    let wrong = [(wrong[0].0, wrong[0].1.as_str())];
    assert_error(&ask(&guarded.client, "PATCH", &at, &wrong, "more").await, 401, "UNAUTHORIZED");
    assert_eq!(guarded.ask("ada", "PUT", &end, &[], "").await.status, 201);
}

/// A mount from what may not be read is a mount from nothing.
#[tokio::test]
async fn p10_a_mount_is_no_oracle() {
    let guarded = Guarded::open(Some(rules())).await;
    guarded.fill("secret/app", "v1").await;
    guarded.fill("team/base", "v1").await;
    let (there, missing) = (sha256(b"layer"), sha256(b"missing"));
    let mount = async |user: &str, digest: &str, from: &str| {
        let mut answer = guarded
            .plain(user, "POST", &format!("/v2/team/app/blobs/uploads/?mount={digest}&from={from}"))
            .await;
        let names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        answer.headers.remove("x-request-id");
        let location = answer.header("location").rsplit_once('/').unwrap().0.to_owned();
        (answer.status.as_u16(), names, location, answer.header("range").to_owned(), answer.body.len())
    };
    let unreadable = mount("bob", &there, "secret/app").await;
    assert_eq!(unreadable.0, 202);
    for (digest, from) in
        [(&missing, "secret/app"), (&there, "secret/none"), (&there, "team/none"), (&missing, "team/base")]
    {
        assert_eq!(mount("bob", digest, from).await, unreadable, "{digest} {from}");
    }
    assert_error(
        &guarded.plain("bob", "GET", &format!("/v2/team/app/blobs/{there}")).await,
        404,
        "BLOB_UNKNOWN",
    );
    assert_eq!(mount("ada", &there, "secret/app").await.0, 201);
    assert_eq!(mount("bob", &there, "team/base").await.0, 201);
}

#[tokio::test]
async fn p10_the_catalog_shows_what_may_be_read() {
    let guarded = Guarded::open(Some(rules())).await;
    for name in ["public/app", "secret/app", "team/app", "other"] {
        guarded.fill(name, "v1").await;
    }
    for (user, expect) in [
        ("", &["public/app"][..]),
        ("eve", &["public/app", "team/app"]),
        ("ada", &["public/app", "secret/app", "team/app"]),
        ("admin", &["other", "public/app", "secret/app", "team/app"]),
    ] {
        let whole = guarded.plain(user, "GET", "/v2/_catalog").await;
        assert_eq!(whole.json()["repositories"], json!(expect), "{user}");
        // Nor do the pages count what is not shown.
        let all = guarded.plain(user, "GET", &format!("/v2/_catalog?n={}", expect.len())).await;
        assert_eq!((all.json()["repositories"].clone(), all.header("link")), (json!(expect), ""), "{user}");
    }
}

#[tokio::test]
async fn base_says_whether_to_log_in() {
    let mixed = Guarded::open(Some(rules())).await;
    for user in ["", "eve", "admin"] {
        assert_eq!(mixed.plain(user, "GET", "/v2/").await.status, 200, "{user}");
    }
    let mut closed = rules();
    closed.repositories.remove(0);
    for access in [Some(closed), None] {
        let guarded = Guarded::open(access).await;
        let refused = guarded.plain("", "GET", "/v2/").await;
        assert_error(&refused, 401, "UNAUTHORIZED");
        assert_eq!(refused.header("www-authenticate"), "Basic realm=\"wharfinger\"");
        assert_error(&guarded.plain("", "GET", "/v2/_catalog").await, 401, "UNAUTHORIZED");
        for user in ACCOUNTS {
            assert_eq!(guarded.plain(user, "GET", "/v2/").await.status, 200, "{user}");
        }
    }
}

#[tokio::test]
async fn accounts_without_rules_may_do_everything() {
    let guarded = Guarded::open(None).await;
    guarded.fill("any/thing", "v1").await;
    assert_eq!(guarded.plain("eve", "DELETE", "/v2/any/thing/manifests/v1").await.status, 202);
    assert_error(&guarded.plain("", "GET", "/v2/any/thing/tags/list").await, 401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_login_that_fails_is_told_the_same_way() {
    let guarded = Guarded::open(Some(rules())).await;
    guarded.fill("public/app", "v1").await;
    let long = format!("Basic {}", "A".repeat(18_000));
    let mut told = Vec::new();
    for authorization in [
        basic("ada", "wrong"),
        basic("nobody", "wrong"),
        basic("ada", ""),
        basic("", "adaada"),
        basic("ADA", "adaada"),
        "Basic !!!".to_owned(),
        "Basic".to_owned(),
        "Bearer abc".to_owned(),
        "hunter2".to_owned(),
        long,
    ] {
        let header = [("authorization", authorization.as_str())];
        // Also where nobody would have needed an account.
        for path in ["/v2/", "/v2/public/app/tags/list", "/v2/secret/app/tags/list"] {
            let answer = ask(&guarded.client, "GET", path, &header, Body::empty()).await;
            assert_error(&answer, 401, "UNAUTHORIZED");
            assert_eq!(answer.header("www-authenticate"), "Basic realm=\"wharfinger\"", "{path}");
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(!text.contains("hunter2") && !text.contains("AAAA"), "{text}");
            told.push((
                authorization.starts_with("Basic bm9") || authorization == basic("ada", "wrong"),
                text,
            ));
        }
    }
    let same: Vec<&String> = told.iter().filter(|(same, _)| *same).map(|(_, text)| text).collect();
    assert!(
        same.len() == 6 && same.iter().all(|text| *text == same[0]),
        "a wrong user or password is one answer"
    );
    // Some clients send an empty login when they have none.
    let empty = [("authorization", basic("", ""))];
    let answer =
        ask(&guarded.client, "GET", "/v2/public/app/tags/list", &[(empty[0].0, &empty[0].1)], Body::empty())
            .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn without_accounts_nobody_can_log_in_and_need_not() {
    let client = Registry::default().open().await;
    push_parts(&client, "app").await;
    let header = [("authorization", "Basic nonsense"), ("content-type", IMAGE)];
    let put = ask(&client, "PUT", "/v2/app/manifests/v1", &header, small().to_string()).await;
    assert_eq!(put.status, 201);
    // Rules without accounts: what the anonymous may not, nobody may, and a challenge would not help.
    let mut registry = Registry::default();
    registry.auth.access = Some(rules());
    let client = registry.open().await;
    let refused = plain(&client, "POST", "/v2/public/app/blobs/uploads/").await;
    assert_error(&refused, 403, "DENIED");
    assert!(!refused.headers.contains_key("www-authenticate"));
    assert_eq!(plain(&client, "GET", "/v2/").await.status, 200);
}

#[tokio::test]
async fn an_absent_file_refuses_every_login() {
    let folder = tempfile::tempdir().unwrap();
    let htpasswd = Some(folder.path().join("none"));
    let auth = Options { htpasswd, access: Some(rules()), token: without_tokens(), ..Options::default() };
    let client = Registry { auth, ..Registry::default() }.open().await;
    let header = basic("admin", "adminadmin");
    let answer = ask(&client, "GET", "/v2/", &[("authorization", &header)], Body::empty()).await;
    assert_error(&answer, 401, "UNAUTHORIZED");
    assert_eq!(plain(&client, "GET", "/v2/").await.status, 200, "the anonymous read as before");
}
