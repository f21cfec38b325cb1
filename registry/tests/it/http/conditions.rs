//! Goal: a rule with conditions grants exactly where they hold, on every way that leads there: with a password, with
//! a token, by a digest with tags, in lists, as the source of a mount. Method: the real dispatch, with rules as
//! operators write them.

use std::time::Duration;

use axum::body::Body;
use sim::origin::Origin;
use wharfinger::auth::options::{AccessControl, Action, ConditionOptions, Options, RepositoryPolicy, Rule};
use wharfinger::clock::Clock;
use wharfinger::upstream::Routes;

use super::accounts::{self, ALL, HOST, at};
use super::exchange::{ask, assert_error};
use super::manifests::{IMAGE, small};
use crate::proxy::bench;
use crate::support::{Answer, Registry, sha256};

/// `ada:secret`.
const ADA: &str = "Basic YWRhOnNlY3JldA==";

/// When it is, in seconds since 1970: 2027-01-15T08:00:00Z.
const NOW: u64 = 1_800_000_000;

/// A registry with the account of `ada`.
struct Harbour(accounts::Harbour);

/// Makes a rule for `ada`.
fn rule(actions: &[Action], conditions: &[(&str, &str)]) -> Rule {
    let condition = |(expression, message): &(&str, &str)| ConditionOptions {
        expression: (*expression).to_owned(),
        message: (*message).to_owned(),
    };
    let conditions = conditions.iter().map(condition).collect();
    Rule { conditions, ..accounts::rule(&["ada"], actions) }
}

impl Harbour {
    async fn open(policies: Vec<Rule>) -> Self {
        Self::before(Routes::default(), policies).await
    }

    /// Opens one in front of upstreams.
    async fn before(routes: Routes, policies: Vec<Rule>) -> Self {
        let everywhere = RepositoryPolicy { policies, ..RepositoryPolicy::default() };
        let access =
            AccessControl { repositories: vec![("**".to_owned(), everywhere)], ..AccessControl::default() };
        let auth = Options { access: Some(access), ..Options::default() };
        Self(accounts::Harbour::open(&[("ada", "secret")], Registry { auth, routes, ..at(NOW) }).await)
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut all = vec![("host", HOST)];
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            all.push(("authorization", ADA));
        }
        all.extend(headers);
        ask(&self.0.client, method, path, &all, body).await
    }

    async fn status(&self, method: &str, path: &str) -> u16 {
        self.send(method, path, &[], Body::empty()).await.status.as_u16()
    }

    async fn push_blobs(&self, name: &str) {
        for blob in [&b"{}"[..], b"layer"] {
            let path = format!("/v2/{name}/blobs/uploads/?digest={}", sha256(blob));
            assert_eq!(self.send("POST", &path, &[], blob.to_vec()).await.status, 201);
        }
    }

    async fn put(&self, name: &str, reference: &str) -> Answer {
        let path = format!("/v2/{name}/manifests/{reference}");
        self.send("PUT", &path, &[("content-type", IMAGE)], small().to_string()).await
    }
}

#[tokio::test]
async fn everybody_has_a_name_space_of_his_own() {
    let own = ("req.repository.startsWith('users/' + req.user.username + '/')", "push below users/<you>/");
    let harbour = Harbour::open(vec![rule(&[Action::Create], &[own]), rule(&[Action::Read], &[])]).await;
    harbour.push_blobs("users/ada/app").await;
    assert_eq!(harbour.put("users/ada/app", "v1").await.status, 201);
    let refused = harbour.send("POST", "/v2/users/bob/app/blobs/uploads/", &[], Body::empty()).await;
    assert_error(&refused, 403, "DENIED");
    let body = String::from_utf8(refused.body.to_vec()).unwrap();
    assert!(body.contains("the requested access is denied: push below users/<you>/"), "{body}");
    // What the rule never grants is refused without a word of it.
    let plain = harbour.send("DELETE", "/v2/users/bob/app/manifests/v1", &[], Body::empty()).await;
    assert!(!String::from_utf8_lossy(&plain.body).contains("below"));
}

/// A condition about tags holds whichever way a tag is set.
#[tokio::test]
async fn a_push_by_digest_is_judged_for_each_of_its_tags() {
    let no_latest = ("req.tag != 'latest'", "latest is made by the build");
    let harbour = Harbour::open(vec![rule(&[Action::Read, Action::Create], &[no_latest])]).await;
    harbour.push_blobs("app").await;
    let digest = sha256(small().to_string().as_bytes());
    assert_error(&harbour.put("app", "latest").await, 403, "DENIED");
    assert_error(&harbour.put("app", &format!("{digest}?tag=latest")).await, 403, "DENIED");
    assert_error(&harbour.put("app", &format!("{digest}?tag=v1&tag=latest&tag=v2")).await, 403, "DENIED");
    assert_eq!(harbour.status("GET", "/v2/app/manifests/v1").await, 404, "nothing of it was done");
    assert_eq!(harbour.put("app", &format!("{digest}?tag=v1&tag=v2")).await.status, 201);
}

/// The least right to any of the tags is that to all of them: `latest` may be made, and not moved.
#[tokio::test]
async fn a_tag_that_may_not_be_moved_is_not_moved_by_digest() {
    let create = rule(&[Action::Read, Action::Create], &[]);
    let harbour = Harbour::open(vec![create, rule(&[Action::Update], &[("req.tag != 'latest'", "")])]).await;
    harbour.push_blobs("app").await;
    assert_eq!(harbour.put("app", "latest").await.status, 201);
    let other = small().to_string() + " ";
    let path = |tags: &str| format!("/v2/app/manifests/{}?{tags}", sha256(other.as_bytes()));
    for tags in ["tag=latest", "tag=v1&tag=latest", "tag=latest&tag=v1"] {
        let refused = harbour.send("PUT", &path(tags), &[("content-type", IMAGE)], other.clone()).await;
        assert_error(&refused, 403, "DENIED");
    }
    let moved =
        harbour.send("PUT", "/v2/app/manifests/v1", &[("content-type", IMAGE)], small().to_string()).await;
    assert_eq!(moved.status, 201);
    let pushed = harbour.send("PUT", &path("tag=v1"), &[("content-type", IMAGE)], other.clone()).await;
    assert_eq!(pushed.status, 201, "v1 may be moved");
}

/// What is deleted by its digest takes its tags along.
#[tokio::test]
async fn a_delete_by_digest_is_judged_for_each_of_its_tags() {
    let no_release = ("!req.tag.startsWith('release-')", "releases stay");
    let others = rule(&[Action::Read, Action::Create, Action::Update], &[]);
    let harbour = Harbour::open(vec![others, rule(&[Action::Delete], &[no_release])]).await;
    harbour.push_blobs("app").await;
    let by_digest = format!("/v2/app/manifests/{}", sha256(small().to_string().as_bytes()));
    for tag in ["dev", "release-1"] {
        assert_eq!(harbour.put("app", tag).await.status, 201);
    }
    for path in ["/v2/app/manifests/release-1", &by_digest] {
        let refused = harbour.send("DELETE", path, &[], Body::empty()).await;
        assert_error(&refused, 403, "DENIED");
        assert!(String::from_utf8_lossy(&refused.body).contains("releases stay"));
    }
    assert_eq!(harbour.status("GET", "/v2/app/manifests/release-1").await, 200);
    assert_eq!(harbour.status("DELETE", "/v2/app/manifests/dev").await, 202);
    // Without a tag that stays it may go.
    let other = small().to_string() + " ";
    let path = format!("/v2/app/manifests/{}", sha256(other.as_bytes()));
    let pushed = harbour.send("PUT", &format!("{path}?tag=dev"), &[("content-type", IMAGE)], other).await;
    assert_eq!(pushed.status, 201);
    assert_eq!(harbour.status("DELETE", &path).await, 202);
}

/// So is a purge of what is cached, for the tags that it has there: a release that its upstream has lost would not
/// come back.
#[tokio::test]
async fn a_purge_by_digest_is_judged_for_each_of_its_cached_tags() {
    let running = bench::serve(&Origin::new()).await;
    let routes = bench::routes(vec![bench::upstream("hub", &[&running.url()])], &Clock::system());
    let no_release = ("!req.tag.startsWith('release-')", "releases stay");
    let others = rule(&[Action::Read, Action::Create, Action::Update], &[]);
    let harbour = Harbour::before(routes, vec![others, rule(&[Action::Delete], &[no_release])]).await;
    let made = |tag: &str, seed| bench::image(running.origin(), "app", tag, &[100], seed).manifest.digest;
    let (release, dev) = (made("release-1", 1), made("dev", 2));
    assert_eq!(made("dev-1", 1), release, "one manifest of two tags");
    let path = |reference: &str| format!("/v2/app/manifests/{reference}");
    for tag in ["release-1", "dev-1", "dev"] {
        assert_eq!(harbour.status("GET", &path(tag)).await, 200);
    }
    for reference in ["release-1", &release.to_string()] {
        let refused = harbour.send("DELETE", &path(reference), &[], Body::empty()).await;
        assert_error(&refused, 403, "DENIED");
        assert!(String::from_utf8_lossy(&refused.body).contains("releases stay"));
    }
    let mark = running.origin().journal().mark();
    assert_eq!(harbour.status("GET", &path(&release.to_string())).await, 200);
    assert_eq!(running.origin().journal().entries_since(mark).len(), 0, "it has stayed");
    // Without a tag that stays it may go.
    assert_eq!(harbour.status("DELETE", &path(&dev.to_string())).await, 202);
    assert_eq!(harbour.status("GET", &path(&dev.to_string())).await, 200);
    assert_eq!(running.origin().journal().entries_since(mark).len(), 1, "it was fetched again");
}

/// As zot's users have it: a delete by digest that would take several tags along is told, and not done.
#[tokio::test]
async fn who_is_to_detect_collisions_deletes_no_manifest_of_several_tags() {
    let careful = rule(&[Action::Read, Action::Create, Action::Delete, Action::DetectManifestCollision], &[]);
    let harbour = Harbour::open(vec![careful]).await;
    harbour.push_blobs("app").await;
    let path = format!("/v2/app/manifests/{}", sha256(small().to_string().as_bytes()));
    for tag in ["v1", "v2"] {
        assert_eq!(harbour.put("app", tag).await.status, 201);
    }
    let page =
        harbour.send("GET", "/auth/token?scope=repository:app:delete", &[], Body::empty()).await.json();
    let bearer = format!("Bearer {}", page["token"].as_str().unwrap());
    for authorization in [ADA, &bearer] {
        let refused = harbour.send("DELETE", &path, &[("authorization", authorization)], Body::empty()).await;
        assert_error(&refused, 409, "DENIED");
    }
    assert_eq!(harbour.status("DELETE", "/v2/app/manifests/v2").await, 202);
    assert_eq!(harbour.status("DELETE", &path).await, 202, "one tag is left");
}

/// A token is got before there is a request, and is worth what conditions say when it comes.
#[tokio::test]
async fn a_token_is_held_to_conditions_when_it_is_used() {
    let until = ("req.time < timestamp('2027-01-15T09:00:00Z')", "the window has closed");
    let tagged = ("req.tag == '' || req.tag.matches('^v[0-9]+$')", "tags are v and a number");
    let harbour = Harbour::open(vec![rule(&ALL, &[until, tagged])]).await;
    harbour.push_blobs("app").await;
    let page = harbour.send(
        "GET",
        "/auth/token?service=wharfinger&scope=repository:app:pull,push",
        &[],
        Body::empty(),
    );
    let bearer = format!("Bearer {}", page.await.json()["token"].as_str().unwrap());
    let put = async |tag: &str| {
        let path = format!("/v2/app/manifests/{tag}");
        let headers = [("content-type", IMAGE), ("authorization", bearer.as_str())];
        harbour.send("PUT", &path, &headers, small().to_string()).await
    };
    assert_eq!(put("v1").await.status, 201);
    let refused = put("dev").await;
    // Another token would not help, so that none is asked for.
    assert_error(&refused, 403, "DENIED");
    harbour.0.clock.advance(Duration::from_secs(3600));
    let late = harbour.send("GET", "/v2/app/tags/list", &[], Body::empty()).await;
    assert!(String::from_utf8_lossy(&late.body).contains("the window has closed"), "{:?}", late.body);
    assert_eq!(late.status, 403);
}

#[tokio::test]
async fn lists_and_mounts_see_what_conditions_let_be_seen() {
    let create = rule(&[Action::Create, Action::Update], &[]);
    let read = rule(&[Action::Read], &[("!req.repository.startsWith('secret/')", "")]);
    let harbour = Harbour::open(vec![create, read]).await;
    for name in ["open/app", "secret/app"] {
        harbour.push_blobs(name).await;
        assert_eq!(harbour.put(name, "v1").await.status, 201);
    }
    let listed = harbour.send("GET", "/v2/_catalog", &[], Body::empty()).await.json();
    assert_eq!(listed["repositories"], serde_json::json!(["open/app"]));
    assert_eq!(harbour.status("GET", "/v2/secret/app/manifests/v1").await, 403);
    for (from, expect) in [("open/app", 201), ("secret/app", 202)] {
        let path = format!("/v2/open/other/blobs/uploads/?mount={}&from={from}", sha256(b"layer"));
        assert_eq!(harbour.status("POST", &path).await, expect, "{from}");
    }
}

/// The header of a stranger is not what a condition about addresses goes by, and what has no address fits none.
#[tokio::test]
async fn an_address_is_not_what_a_client_says() {
    let inside = ("req.client.ip.startsWith('10.')", "come from inside");
    let harbour = Harbour::open(vec![rule(&ALL, &[inside])]).await;
    for header in ["x-forwarded-for", "x-real-ip"] {
        let answer = harbour.send("GET", "/v2/app/tags/list", &[(header, "10.0.0.1")], Body::empty()).await;
        assert_error(&answer, 403, "DENIED");
    }
}

/// A tag that somebody sets while the delete is judged stays: whoever was told that it is there has it.
#[tokio::test]
async fn a_tag_that_comes_while_a_delete_is_judged_stays() {
    let no_release = ("!req.tag.startsWith('release-')", "releases stay");
    let others = rule(&[Action::Read, Action::Create, Action::Update], &[]);
    let by_digest = format!("/v2/app/manifests/{}", sha256(small().to_string().as_bytes()));
    let mut seen = std::collections::BTreeSet::new();
    // More than enough where nothing else runs; on a slow machine until both have been first.
    for pause in 0..20_000 {
        if pause >= 300 && seen.contains(&202) && seen.contains(&403) {
            break;
        }
        let harbour =
            Harbour::open(vec![others.clone(), rule(&[Action::Delete], std::slice::from_ref(&no_release))])
                .await;
        harbour.push_blobs("app").await;
        assert_eq!(harbour.put("app", "free").await.status, 201);
        // The tag comes after less and less of the delete.
        let delete = async {
            for _ in 0..pause {
                tokio::task::yield_now().await;
            }
            harbour.status("DELETE", &by_digest).await
        };
        let (deleted, pushed) = tokio::join!(delete, harbour.put("app", "release-1"));
        if pushed.status == 201 {
            assert_eq!(harbour.status("GET", "/v2/app/manifests/release-1").await, 200, "{deleted} {pause}");
        }
        seen.insert(deleted);
    }
    assert!(seen.contains(&202) && seen.contains(&403), "the two have not met: {seen:?}");
}
