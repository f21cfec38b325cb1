//! containerd, as nodes of Kubernetes run it: pulls by way of a mirror that `hosts.toml` names.
//!
//! The registries of the images do not exist, so that what the mirror does not give cannot be had.

use crate::support::containerd::{Containerd, PROGRAMS};
use crate::support::layout::Layout;
use crate::support::server::Server;
use crate::support::skip;
use crate::support::upstream::{Upstream, entry, steadfast, sync};

/// The programs that make an image and put it into an upstream.
const MAKERS: [&str; 3] = ["skopeo", "tar", "gzip"];

#[tokio::test(flavor = "multi_thread")]
async fn containerd_names_the_upstream_of_a_mirror() {
    let test = "containerd_names_the_upstream_of_a_mirror";
    if !(skip::has(test, &PROGRAMS) && skip::has(test, &MAKERS)) {
        return;
    }
    let Some(containerd) = Containerd::start(test).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let mut registries = Vec::new();
    let mut images = Vec::new();
    for (seed, upstream, namespace) in [(1, &first, "first.example"), (2, &second, "second.example")] {
        // One name, and another image at each: only the namespace tells them apart.
        let layout = Layout::create(folder.path().join(namespace));
        let digest = layout.several_layers("1", seed).await;
        upstream.push(&layout, "1", "team/app:1").await;
        let mut registry = entry(upstream);
        registry["namespaces"] = [namespace].into();
        registries.push(registry);
        images.push((upstream, namespace, layout, digest));
    }
    let server = Server::with(&sync(&registries)).await;
    for (upstream, namespace, layout, digest) in &images {
        containerd.mirror(namespace, server.url());
        let marks = [&first, &second].map(|it| it.origin().journal().mark());
        let (before, reference) = (containerd.blobs(), format!("{namespace}/team/app:1"));
        containerd.pull(&reference).await;
        containerd.expect_whole(&reference, digest).await;
        let mut got = containerd.blobs();
        got.retain(|digest, _| !before.contains_key(digest));
        assert_eq!(got, layout.blobs());
        for (other, mark) in [&first, &second].into_iter().zip(marks) {
            let asked = other.asked_since(mark);
            let wanted = other.url() == upstream.url();
            assert_eq!(!asked.is_empty(), wanted, "{namespace} asked {} for {asked:?}", other.url());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_containerd_gets_an_image_whole_from_an_upstream_that_fails() {
    let test = "p7_containerd_gets_an_image_whole_from_an_upstream_that_fails";
    if !(skip::has(test, &PROGRAMS) && skip::has(test, &MAKERS)) {
        return;
    }
    let Some(containerd) = Containerd::start(test).await else { return };
    let (folder, upstream) = (tempfile::tempdir().unwrap(), Upstream::start().await);
    let layout = Layout::create(folder.path().join("local"));
    let digest = layout.several_layers("1", 3).await;
    upstream.push(&layout, "1", "team/app:1").await;
    let mut registry = steadfast(&upstream);
    registry["namespaces"] = ["registry.example"].into();
    let server = Server::with(&sync(&[registry])).await;
    containerd.mirror("registry.example", server.url());

    let storm = upstream.storm();
    containerd.pull("registry.example/team/app:1").await;
    storm.expect_fired();
    containerd.expect_whole("registry.example/team/app:1", &digest).await;
    assert_eq!(containerd.blobs(), layout.blobs());
}
