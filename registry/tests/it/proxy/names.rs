//! Goal (P10): a cached repository is known by its canonical name: in the catalog, and in what a policy allows,
//! by whichever name it is asked for; and where that takes a right of its own, nobody else makes an upstream be
//! asked.
//! Method: policies for anybody, an upstream that stands for a registry, and what it is asked for.

use sim::origin::{Origin, Running};
use wharfinger::auth;
use wharfinger::auth::options::{AccessControl, Action, RepositoryPolicy, Rule};
use wharfinger::clock::Clock;
use wharfinger::upstream::options::{Fetch, Options};

use super::bench::{NAME, image, routes, serve, upstream};
use crate::support::{Client, Registry};

const NS: &str = "registry.example";

async fn stand(policies: &[(&str, &[Action])], fetch: Fetch) -> (Running, Client) {
    let (origin, clock) = (serve(&Origin::new()).await, Clock::system());
    let options = Options {
        namespaces: Some(vec![NS.to_owned(), "other.example".to_owned()]),
        fetch,
        ..upstream(NAME, &[&origin.url()])
    };
    let policy = |actions: &[Action]| RepositoryPolicy {
        policies: Vec::new(),
        default_policy: Vec::new(),
        anonymous_policy: actions.to_vec(),
    };
    let repositories = policies.iter().map(|(glob, actions)| ((*glob).to_owned(), policy(actions))).collect();
    let admin = Rule::default();
    let access = AccessControl { repositories, admin, ..AccessControl::default() };
    let auth = auth::options::Options { access: Some(access), ..auth::options::Options::default() };
    let registry = Registry { auth, routes: routes(vec![options], &clock), clock, ..Registry::default() };
    (origin, registry.open().await)
}

fn paths() -> [String; 4] {
    [
        "/v2/team/app/manifests/v1".to_owned(),
        format!("/v2/team/app/manifests/v1?ns={NS}"),
        format!("/v2/{NS}/team/app/manifests/v1"),
        "/v2/other.example/team/app/manifests/v1".to_owned(),
    ]
}

#[tokio::test]
async fn p10_reading_takes_the_right_by_both_names() {
    let read: &[Action] = &[Action::Read];
    for (policies, expect) in [
        (vec![("**", read)], [200, 200, 200, 200]),
        (vec![("team/**", read)], [404, 404, 403, 403]),
        (vec![("registry.example/**", read)], [403, 403, 200, 403]),
        (vec![("team/**", read), ("registry.example/**", read)], [200, 200, 200, 403]),
        (vec![("**", read), ("registry.example/team/**", &[][..])], [404, 404, 403, 404]),
    ] {
        let (origin, client) = stand(&policies, Fetch::Implied).await;
        image(origin.origin(), "team/app", "v1", &[10], 1);
        // Twice: what is cached is guarded as what is fetched.
        for round in 1..=2 {
            let mut statuses = Vec::new();
            for path in paths() {
                statuses.push(client.get(&path).await.status.as_u16());
            }
            assert_eq!(statuses, expect, "{policies:?}, {round}");
        }
        if !expect.contains(&200) {
            assert!(origin.origin().journal().entries().is_empty(), "{policies:?}: nobody was asked");
        }
    }
}

#[tokio::test]
async fn the_catalog_has_canonical_names() {
    let (origin, client) =
        stand(&[("**", &[Action::Read, Action::Create, Action::Update])], Fetch::Implied).await;
    image(origin.origin(), "team/app", "v1", &[10], 1);
    assert_eq!(client.get(&paths()[0]).await.status, 200);
    client.push_image("own/app", "v1", b"layer").await;
    let names = client.get("/v2/_catalog").await.json();
    assert_eq!(names["repositories"], serde_json::json!(["own/app", "registry.example/team/app"]));
}

#[tokio::test]
async fn who_may_not_have_an_upstream_asked_gets_what_is_here() {
    let read: &[Action] = &[Action::Read];
    let fetch: &[Action] = &[Action::Read, Action::Fetch];
    // By their own name readers may only read; by the canonical one, those of one team may fetch.
    let policies = [("**", read), ("registry.example/team/**", fetch)];
    let (origin, client) = stand(&policies, Fetch::Explicit).await;
    let (ours, theirs) = (
        image(origin.origin(), "team/app", "v1", &[100_000], 1),
        image(origin.origin(), "else/app", "v1", &[100_000], 2),
    );
    let there = |path: &str| format!("/v2/{NS}/{path}");
    for path in [
        "else/app/manifests/v1".to_owned(),
        format!("else/app/blobs/{}", theirs.layers[0].digest),
        "else/app/tags/list".to_owned(),
        format!("else/app/referrers/{}", theirs.manifest.digest),
    ] {
        let answer = client.get(&there(&path)).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "DENIED"), "{path}");
    }
    assert!(origin.origin().journal().entries().is_empty());
    assert_eq!(client.get(&there("team/app/manifests/v1")).await.status, 200);
    assert_eq!(client.get(&there(&format!("team/app/blobs/{}", ours.layers[0].digest))).await.status, 200);
    // Without the right, what is here is served, and the upstream is not asked whether it is current.
    let (origin, client) = stand(&[("**", fetch)], Fetch::Explicit).await;
    image(origin.origin(), "team/app", "v1", &[10], 1);
    assert_eq!(client.get(&paths()[0]).await.status, 200);
    let mark = origin.origin().journal().mark();
    assert_eq!(client.get(&paths()[0]).await.status, 200);
    assert_eq!(origin.origin().journal().entries_since(mark).len(), 1, "with it, it is");
}
