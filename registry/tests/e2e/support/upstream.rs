//! Upstreams of the simulator's, in this process: the journal of one says what it was asked, and it
//! suffers the faults that a test installs.

use serde_json::{Value, json};
use sim::fault::{At, Fault, Guard, Selector};
use sim::origin::{Origin, Running};

use super::command::Command;
use super::layout::Layout;

/// How often a blob fails in a storm, before it comes whole.
const STORM_FAILURES: u64 = 3;

/// A listening origin. Dropping it cuts its connections.
#[derive(Debug)]
pub(crate) struct Upstream(Running);

/// Faults that hit every object of an upstream. Dropping it heals the upstream.
#[derive(Debug)]
pub(crate) struct Storm(Vec<Guard>);

impl Upstream {
    /// Listens on a free port.
    pub(crate) async fn start() -> Self {
        Self(Origin::new().serve("127.0.0.1:0").await.unwrap())
    }

    /// Returns its url.
    pub(crate) fn url(&self) -> String {
        self.0.url()
    }

    /// Returns the origin.
    pub(crate) fn origin(&self) -> &Origin {
        self.0.origin()
    }

    /// Refuses connections from now on, and cuts those that are open.
    pub(crate) async fn stop(&self) {
        self.0.stop().await;
    }

    /// Pushes what a layout names, byte for byte.
    pub(crate) async fn push(&self, layout: &Layout, tag: &str, name: &str) {
        Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--all", "--preserve-digests", "--dest-tls-verify=false"])
            .args([layout.reference(tag), format!("docker://{}/{name}", self.0.addr())])
            .run()
            .await;
    }

    /// Returns the requests that arrived since the mark, each as `METHOD PATH`.
    pub(crate) fn asked_since(&self, mark: u64) -> Vec<String> {
        let entries = self.origin().journal().entries_since(mark);
        entries.into_iter().map(|entry| format!("{} {}", entry.method, entry.path)).collect()
    }

    /// Makes the first request for every object fail, and then cuts the body of every blob twice: once
    /// cleanly, once with a reset. One attempt more than [`STORM_FAILURES`] gets everything.
    ///
    /// An object that fails is answered before it fails again. So of an image with four blobs no five
    /// failures follow each other, which would open the breaker.
    pub(crate) fn storm(&self) -> Storm {
        let unavailable = || Fault::Status { status: 503, retry_after: None };
        let rules = [
            Selector::any("/v2/*/manifests/*").nth(1).suffer(unavailable()),
            Selector::any("/v2/*/blobs/*").nth(1).suffer(unavailable()),
            Selector::get("/v2/*/blobs/*").nth(2).suffer(Fault::Truncate { at: At::Percent(50) }),
            Selector::get("/v2/*/blobs/*").nth(3).suffer(Fault::Reset { at: At::Percent(60) }),
        ];
        Storm(rules.into_iter().map(|rule| self.origin().install(rule)).collect())
    }
}

impl Storm {
    /// Fails unless every fault has happened.
    #[track_caller]
    pub(crate) fn expect_fired(&self) {
        for guard in &self.0 {
            println!("{} times {:?}", guard.fired(), guard.rule());
            assert!(guard.fired() > 0, "never happened: {:?}", guard.rule());
        }
    }
}

/// Returns an upstream for [`sync`] that is asked often enough to outlast a storm, and no oftener.
pub(crate) fn steadfast(upstream: &Upstream) -> Value {
    let mut entry = entry(upstream);
    entry["maxRetries"] = STORM_FAILURES.into();
    entry
}

/// Returns a configuration with these upstreams.
pub(crate) fn sync(registries: &[Value]) -> Value {
    json!({"extensions": {"sync": {"enable": true, "registries": registries}}})
}

/// Returns an upstream for [`sync`], with the defaults of everything else.
pub(crate) fn entry(upstream: &Upstream) -> Value {
    json!({"urls": [upstream.url()], "onDemand": true, "tlsVerify": false})
}
