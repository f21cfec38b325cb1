//! Goal (P10, ADR 6 "the status is that of a name that nobody has"): who may not read a private registry is not given
//! a public registry's content under its name.

use sim::origin::Origin;
use wharfinger::auth;
use wharfinger::auth::options::{AccessControl, Action, RepositoryPolicy, Rule};
use wharfinger::clock::Clock;
use wharfinger::upstream::options::Options;

use super::bench::{image, routes, serve, upstream};
use crate::support::Registry;

#[tokio::test]
async fn p10_a_private_name_is_not_answered_by_a_public_registry() {
    let (private, public, clock) =
        (serve(&Origin::new()).await, serve(&Origin::new()).await, Clock::system());
    let named = |name: &str, url: &str, namespace: &str| Options {
        namespaces: Some(vec![namespace.to_owned()]),
        ..upstream(name, &[url])
    };
    let upstreams =
        vec![named("corp", &private.url(), "corp.example"), named("pub", &public.url(), "public.example")];
    let policy = |actions: &[Action]| RepositoryPolicy {
        policies: Vec::new(),
        default_policy: Vec::new(),
        anonymous_policy: actions.to_vec(),
    };
    let repositories = [("**", &[Action::Read][..]), ("corp.example/**", &[])];
    let repositories =
        repositories.iter().map(|(glob, actions)| ((*glob).to_owned(), policy(actions))).collect();
    let admin = Rule::default();
    let access = AccessControl { repositories, admin, ..AccessControl::default() };
    let auth = auth::options::Options { access: Some(access), ..auth::options::Options::default() };
    let client =
        Registry { auth, routes: routes(upstreams, &clock), clock, ..Registry::default() }.open().await;
    image(private.origin(), "team/app", "v1", &[10], 1);
    image(public.origin(), "team/app", "v1", &[10], 666);
    let status = client.get("/v2/team/app/manifests/v1").await.status.as_u16();
    assert_eq!(
        (status, public.origin().journal().entries().len()),
        (404, 0),
        "a stranger's image under the private name"
    );
}
