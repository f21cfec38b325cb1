//! Goal: a policy lets go of tags and manifests what it says, with what only they needed; what has changed since it
//! was judged stays. Method: one case each through the store; and a tag that is moved at each of the calls of a run.

use std::sync::Arc;
use std::time::Duration;

use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::oci::{Digest, Reference};
use wharfinger::store::Store;
use wharfinger::store::gc::{Clients, Kind, Mode, Request};
use wharfinger::store::manifests::{References, Tagging};
use wharfinger::store::options::Options;
use wharfinger::store::options::retention::{Glob, Pattern, Policy, Retention, Rule, TagRule};

use super::pace::Pace;
use super::{backend, keys, request};
use crate::store::audit::{self, Fact};
use crate::store::contents::{CONTENTS, hosted, tag};
use crate::store::machine::put_blob;

const HOUR: Duration = Duration::from_secs(3600);

/// Keeps tags that begin with `v`, and those pulled within a day or pushed within an hour.
fn retention() -> Retention {
    let pattern = Pattern::from(regex::bytes::Regex::new("^v").unwrap());
    let pulled = Rule { pulled_within: Some(24 * HOUR), ..Rule::default() };
    let policy = Policy {
        repositories: vec![Glob::parse("team/*").unwrap()],
        delete_referrers: true,
        delete_untagged: true,
        keep_tags: vec![
            TagRule { patterns: vec![pattern], rule: Rule::default() },
            TagRule { patterns: vec![], rule: pulled },
            TagRule { patterns: vec![], rule: Rule { pushed_within: Some(HOUR), ..Rule::default() } },
        ],
        keep_untagged: None,
    };
    Retention { delay: 2 * HOUR, policies: vec![policy], ..Retention::default() }
}

struct Stand {
    store: Store,
    clock: Clock,
    pace: Pace,
    disk: MemoryDisk,
}

impl Stand {
    async fn new(retention: Retention) -> Self {
        Self::paced(retention, 7).await
    }

    async fn paced(retention: Retention, seed: u64) -> Self {
        let (disk, clock) = (MemoryDisk::new(), Clock::manual(Timestamp::from_millis(1_700_000_000_000)));
        let pace = Pace::new(backend(&disk).await, clock.clone(), seed);
        let options = Options { retention, ..Options::default() };
        let store = Store::open(Arc::new(pace.clone()), options, clock.clone()).await.unwrap();
        Self { store, clock, pace, disk }
    }

    async fn push(&self, name: &str, item: usize, tags: &[&str]) {
        let repository = hosted(name);
        for needed in &CONTENTS.manifests[item].manifest.references {
            let blob =
                CONTENTS.blobs.iter().find(|bytes| crate::store::contents::digest(bytes) == needed.digest);
            if let Some(blob) = blob {
                put_blob(&self.store, &repository, blob).await.unwrap();
            }
        }
        self.put(name, item, tags).await;
    }

    async fn put(&self, name: &str, item: usize, tags: &[&str]) {
        let tags = tags.iter().map(|name| tag(name)).collect();
        let new = CONTENTS.manifests[item].pushed(tags, Tagging::Move, References::Required);
        self.store.put_manifest(&hosted(name), new).await.unwrap();
    }

    /// Returns the tags and the numbers of the manifests that are there.
    async fn left(&self, name: &str) -> (Vec<String>, Vec<usize>) {
        let world = audit::observe(&self.store, &[hosted(name)]).await.unwrap();
        let tags = self.store.tags(&hosted(name)).await.unwrap().to_vec();
        let is_here = |item: &usize| {
            world.contains_key(&Fact::Manifest(hosted(name), CONTENTS.manifests[*item].digest))
        };
        (tags, (0..CONTENTS.manifests.len()).filter(is_here).collect())
    }

    async fn replace(&self, retention: Retention) {
        self.store.prepare_retention(&retention).await.unwrap();
        self.store.replace_retention(retention);
    }

    async fn collect(&self) -> wharfinger::store::gc::Report {
        self.store.collect_garbage(&request(Clients::Served)).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_policy_lets_go_goes_with_what_only_it_needed() {
    let stand = Stand::new(retention()).await;
    for name in ["team/app", "other"] {
        stand.push(name, 0, &["v1"]).await;
        stand.push(name, 1, &["dev"]).await;
        stand.push(name, 3, &[]).await;
        stand.put(name, 2, &[]).await;
    }
    // Since when pulls are known is known from the first run on.
    assert_eq!(stand.collect().await.of(Kind::Tag).objects, 0, "everything counts as pulled by now");
    stand.clock.advance(25 * HOUR);
    let told =
        stand.store.collect_garbage(&Request { mode: Mode::Tell, ..request(Clients::Served) }).await.unwrap();
    assert_eq!((told.of(Kind::Tag).objects, told.of(Kind::Manifest).objects), (1, 2), "{told}");
    let report = stand.collect().await;
    assert_eq!((report.of(Kind::Tag).objects, report.of(Kind::Manifest).objects), (1, 2), "{report}");
    assert_eq!(
        stand.left("team/app").await,
        (vec!["v1".to_owned()], vec![0, 3]),
        "a referrer of an image that is there stays"
    );
    assert_eq!(stand.left("other").await, (vec!["dev".to_owned(), "v1".to_owned()], vec![0, 1, 2, 3]));
    stand.clock.advance(4 * HOUR);
    stand.collect().await;
    let layer = crate::store::contents::digest(&CONTENTS.blobs[2]);
    assert!(!stand.store.has_blob(&hosted("team/app"), &layer).await.unwrap());
    assert!(stand.store.has_blob(&hosted("other"), &layer).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_counts_and_removes_nothing() {
    let stand = Stand::new(Retention { dry_run: true, ..retention() }).await;
    stand.push("team/app", 1, &["dev"]).await;
    stand.push("team/app", 0, &[]).await;
    stand.collect().await;
    stand.clock.advance(25 * HOUR);
    let before = keys(&*backend(&stand.disk).await).await;
    let report = stand.collect().await;
    assert_eq!(report.spared.into_iter().collect::<Vec<_>>(), [(Kind::Tag, 1), (Kind::Manifest, 2)]);
    assert_eq!(keys(&*backend(&stand.disk).await).await, before);
}

#[tokio::test(start_paused = true)]
async fn a_pull_keeps_a_tag_whether_it_was_written_down_or_not() {
    for is_written in [true, false] {
        let stand = Stand::new(retention()).await;
        stand.push("team/app", 0, &["dev"]).await;
        stand.push("team/app", 1, &["dev-2"]).await;
        stand.collect().await;
        stand.clock.advance(20 * HOUR);
        let (pulled, at) = (CONTENTS.manifests[0].digest, stand.clock.now());
        let mut ask = request(Clients::Served);
        if is_written {
            stand.store.note_pull(&hosted("team/app"), &pulled, at).await.unwrap();
        } else {
            ask.pulls = Arc::new(move |_, digest: &Digest| (*digest == pulled).then_some(at));
        }
        stand.clock.advance(10 * HOUR);
        stand.store.collect_garbage(&ask).await.unwrap();
        assert_eq!(stand.left("team/app").await, (vec!["dev".to_owned()], vec![0]), "{is_written}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_moved_since_it_was_judged_stays() {
    let (mut kept, mut gone) = (0, 0);
    for seed in 0..200 {
        let (pause, stand) = (seed % 25, Stand::paced(retention(), seed).await);
        stand.push("team/app", 1, &["v2"]).await;
        stand.push("team/app", 0, &["dev"]).await;
        stand.collect().await;
        stand.clock.advance(25 * HOUR);
        // Moved to another manifest while it is judged, by which the first loses it.
        let collect = async {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            stand.pace.tick();
            stand.collect().await
        };
        let put = async {
            tokio::time::sleep(Duration::from_millis(seed / 25 % 8 * 15)).await;
            stand.put("team/app", 1, &["dev"]).await;
        };
        let ((), report) = tokio::join!(put, collect);
        kept += u32::from(report.of(Kind::Tag).objects == 0);
        gone += u32::from(report.of(Kind::Tag).objects == 1);
        let (tags, manifests) = stand.left("team/app").await;
        assert_eq!(tags, ["dev", "v2"], "it was pushed a moment ago; seed {seed}");
        assert!(manifests.contains(&1));
    }
    assert!(kept > 10 && gone > 10, "the push has met no judgement: {kept} {gone}");
}

#[tokio::test(start_paused = true)]
async fn another_retention_holds_from_the_next_run() {
    let stand = Stand::new(Retention::default()).await;
    stand.push("team/app", 0, &["v1"]).await;
    stand.push("team/app", 1, &["dev"]).await;
    stand.clock.advance(100 * HOUR);
    stand.collect().await;
    let all = (vec!["dev".to_owned(), "v1".to_owned()], vec![0, 1]);
    assert_eq!(stand.left("team/app").await, all, "there is no policy");
    stand.replace(Retention { dry_run: true, ..retention() }).await;
    stand.clock.advance(25 * HOUR);
    stand.collect().await;
    stand.clock.advance(25 * HOUR);
    assert_eq!(stand.collect().await.spared.get(&Kind::Tag), Some(&1));
    assert_eq!(stand.left("team/app").await, all, "it is a dry run");
    stand.replace(retention()).await;
    // Whoever looks what is left is told of it, which keeps it for a while.
    stand.clock.advance(3 * HOUR);
    stand.collect().await;
    assert_eq!(stand.left("team/app").await, (vec!["v1".to_owned()], vec![0]));
    stand.replace(Retention::default()).await;
    stand.push("team/app", 1, &["dev"]).await;
    stand.clock.advance(100 * HOUR);
    stand.collect().await;
    assert_eq!(stand.left("team/app").await, all, "there is no policy any more");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_noted_before_counts_against_nothing() {
    let keeps_pulled = || {
        let mut retention = retention();
        retention.policies[0].keep_tags.remove(2);
        retention
    };
    let stand = Stand::new(keeps_pulled()).await;
    stand.push("team/app", 1, &["dev"]).await;
    // Since when pulls are known is written down.
    stand.collect().await;
    stand.replace(Retention::default()).await;
    // It may be pulled at any time here, which nobody notes.
    stand.clock.advance(100 * HOUR);
    stand.replace(keeps_pulled()).await;
    for hours in [0, 23] {
        stand.clock.advance(hours * HOUR);
        stand.collect().await;
        assert_eq!(stand.left("team/app").await.0, ["dev"], "it may have been pulled {hours} hours ago");
    }
    stand.clock.advance(2 * HOUR);
    stand.collect().await;
    assert_eq!(stand.left("team/app").await.0, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_run_under_way_knows_of_no_pulls_before_the_policy() {
    let mut without_pulls = retention();
    without_pulls.policies[0].keep_tags.remove(1);
    let (pulls, no_pulls) = (gone_during_a_run(&retention()).await, gone_during_a_run(&without_pulls).await);
    assert!(no_pulls > 5, "few runs had not yet judged when the policy came: {no_pulls}");
    assert_eq!(pulls, 0, "what may have been pulled during the run has gone");
}

/// Returns in how many of many runs a tag goes that was pushed long ago, when a first policy comes in the middle.
async fn gone_during_a_run(retention: &Retention) -> u64 {
    let mut gone = 0;
    for pause in 0..40 {
        let stand = Stand::paced(Retention::default(), pause).await;
        stand.push("team/app", 1, &["dev"]).await;
        stand.clock.advance(100 * HOUR);
        let replace = async {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            // A run may take that long.
            stand.clock.advance(30 * HOUR);
            stand.replace(retention.clone()).await;
        };
        let (report, ()) = tokio::join!(stand.collect(), replace);
        gone += report.of(Kind::Tag).objects;
    }
    gone
}

#[tokio::test(start_paused = true)]
async fn what_clients_were_told_of_before_the_first_policy_stays_for_a_while() {
    let mut retention = retention();
    retention.delay = Duration::ZERO;
    let delay = Options::default().gc.delay;
    let stand = Stand::new(Retention::default()).await;
    stand.push("team/app", 0, &[]).await;
    stand.clock.advance(100 * HOUR);
    let needed = CONTENTS.manifests[0].digest;
    assert!(stand.store.manifest(&hosted("team/app"), &Reference::Digest(needed)).await.unwrap().is_some());
    stand.replace(retention).await;
    for (pause, expect) in [(delay / 2, 0), (delay, 1)] {
        stand.clock.advance(pause);
        let report = stand.collect().await;
        assert_eq!(report.of(Kind::Manifest).objects, expect, "a client was told that it is here");
    }
}
