//! Goal (P2, P9): a disk whose every call is slow, or stands still, delays who needs it and nobody else; what is
//! asked of it ends rightly, however slowly it goes.
//! Method: a disk before whose every call there is a gate: the test lets one call through at a time, so slowness
//! is an order of events and no time.

use std::sync::{Arc, Condvar, Mutex};

use tokio::task::JoinSet;
use wharfinger::backend::memory::MemoryDisk;

use crate::support::disk::{Calls, RuledDisk};
use crate::support::{Answer, Client, Registry, image, sha256};

/// Calls wait here.
#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    /// How many calls wait.
    waiting: usize,
    /// How many of them may go on.
    let_through: usize,
    /// How many went through a closed gate.
    passed: usize,
}

impl Gate {
    /// Waits while it is closed.
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        if !state.is_closed {
            return;
        }
        state.waiting += 1;
        self.moved.notify_all();
        let mut state = self.moved.wait_while(state, |it| it.is_closed && it.let_through == 0).unwrap();
        state.waiting -= 1;
        state.let_through = state.let_through.saturating_sub(1);
        state.passed += 1;
    }

    fn close(&self) {
        self.state.lock().unwrap().is_closed = true;
    }

    fn open(&self) {
        self.state.lock().unwrap().is_closed = false;
        self.moved.notify_all();
    }

    /// Lets one of the calls through that wait, if any does.
    fn let_one_through(&self) {
        let mut state = self.state.lock().unwrap();
        if state.waiting > state.let_through {
            state.let_through += 1;
            self.moved.notify_all();
        }
    }

    fn waiting(&self) -> usize {
        self.state.lock().unwrap().waiting
    }
}

/// A registry on a disk behind a gate, with an image whose manifest and blobs were asked for before.
struct Stand {
    gate: Arc<Gate>,
    below: MemoryDisk,
    client: Client,
    manifest: String,
}

impl Stand {
    async fn new() -> Self {
        let (gate, below) = (Arc::new(Gate::default()), MemoryDisk::new());
        let at = Arc::clone(&gate);
        let disk = RuledDisk::new(Arc::new(below.clone()), Calls::Block, move |_| {
            at.pass();
            Ok(())
        });
        let client = Registry { disk: Arc::new(disk), ..Registry::default() }.open().await;
        let (manifest, _) = client.push_image("app", "v1", LAYER).await;
        let stand = Self { gate, below, client, manifest: manifest.to_string() };
        stand.ask_for_what_needs_no_disk().await;
        stand
    }

    /// Everything here is in memory; a call of the disk among it would never end while the gate is closed.
    async fn ask_for_what_needs_no_disk(&self) {
        let digest = sha256(self.manifest.as_bytes());
        for (method, path, body) in [
            ("GET", "/v2/".to_owned(), None),
            ("GET", "/v2/app/manifests/v1".to_owned(), Some(&self.manifest)),
            ("GET", format!("/v2/app/manifests/{digest}"), Some(&self.manifest)),
            ("HEAD", "/v2/app/manifests/v1".to_owned(), None),
            ("GET", "/v2/app/tags/list".to_owned(), None),
            ("GET", "/v2/_nothing".to_owned(), None),
        ] {
            let answer = self.client.call(method, &path, &[], "").await;
            let expect = if path.ends_with("_nothing") { 404 } else { 200 };
            assert_eq!(answer.status, expect, "{method} {path}: {answer:?}");
            assert!(body.is_none_or(|body| answer.body == body), "{method} {path}");
        }
    }
}

const LAYER: &[u8] = &[7; 100_000];
/// More than may wait for the disk to sync at once, and than there are threads of the executor.
const CLIENTS: usize = 48;

/// Pulls and pushes, each with the status and the body that it must end with.
fn begin(client: &Client) -> JoinSet<()> {
    let mut asking = JoinSet::new();
    for number in 0..CLIENTS {
        let client = client.clone();
        asking.spawn(async move {
            let pulled = client.get(&format!("/v2/app/blobs/{}", sha256(LAYER))).await;
            assert!(pulled.status == 200 && !pulled.cut && pulled.body == LAYER, "{number}: {pulled:?}");
        });
    }
    for number in 0..CLIENTS {
        let client = client.clone();
        asking.spawn(async move { drop(push(&client, number).await) });
    }
    asking
}

/// Pushes into another repository, since what is pushed is read from the disk again.
async fn push(client: &Client, number: usize) -> Answer {
    let (layer, tag) = (number.to_string(), format!("t{number}"));
    client.push_blob("other", b"{}").await;
    let digest = client.push_blob("other", layer.as_bytes()).await;
    let manifest = image(&[(&sha256(b"{}"), 2)], &[(&digest, layer.len())]);
    let answer = client.push_manifest("other", &tag, &manifest).await;
    assert_eq!(answer.status, 201, "{number}: {answer:?}");
    answer
}

/// Everything that was answered is on the disk, for another process.
async fn assert_all_is_there(stand: &Stand) {
    let again = Registry { disk: Arc::new(stand.below.clone()), ..Registry::default() }.open().await;
    for number in 0..CLIENTS {
        let manifest = again.get(&format!("/v2/other/manifests/t{number}")).await;
        assert_eq!(manifest.status, 200, "{number}");
        let layer = manifest.json()["layers"][0]["digest"].as_str().unwrap().to_owned();
        assert_eq!(again.get(&format!("/v2/other/blobs/{layer}")).await.body, number.to_string());
    }
}

#[tokio::test]
async fn p9_a_disk_that_stands_still_delays_nobody_who_does_not_need_it() {
    let stand = Stand::new().await;
    stand.gate.close();
    let mut asking = begin(&stand.client);
    // All pulls wait in threads of their own; of the pushes, as many as may.
    while stand.gate.waiting() <= CLIENTS {
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        stand.ask_for_what_needs_no_disk().await;
    }
    assert!(asking.try_join_next().is_none(), "nothing of the disk has ended");
    stand.gate.open();
    while let Some(ended) = asking.join_next().await {
        ended.unwrap();
    }
    assert_all_is_there(&stand).await;
}

#[tokio::test]
async fn p2_p9_a_disk_that_does_one_thing_at_a_time_answers_everybody_rightly() {
    let stand = Stand::new().await;
    stand.gate.close();
    let mut asking = begin(&stand.client);
    let mut steps = 0_usize;
    while !asking.is_empty() {
        stand.gate.let_one_through();
        steps += 1;
        if steps.is_multiple_of(64) {
            stand.ask_for_what_needs_no_disk().await;
        }
        while let Some(ended) = asking.try_join_next() {
            ended.unwrap();
        }
        tokio::task::yield_now().await;
    }
    let passed = stand.gate.state.lock().unwrap().passed;
    assert!(passed > CLIENTS * 10, "only {passed} calls were slow");
    stand.gate.open();
    assert_all_is_there(&stand).await;
}
