//! Seeds, and a test for each place.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;

/// What a test is about.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    /// Its name, as the test runner filters by it.
    pub(super) test: String,
    pub(super) place: Place,
    pub(super) seed: u64,
}

/// Where the processes keep what they are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Folder,
    Bucket,
}

/// Makes a test of each place, in a module with the name of what they show.
macro_rules! over_both {
    ($name:ident, $run:path) => {
        mod $name {
            use crate::replicas::trial::{Place, Trial};

            #[tokio::test(flavor = "multi_thread")]
            async fn in_a_folder() {
                Trial::new(concat!(module_path!(), "::in_a_folder"), Place::Folder).run($run).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn in_a_bucket() {
                Trial::new(concat!(module_path!(), "::in_a_bucket"), Place::Bucket).run($run).await;
            }
        }
    };
}
pub(super) use over_both;

impl Trial {
    /// Makes that of a test, by the seed of `WHARFINGER_SEED` or one of the time.
    pub(super) fn new(path: &str, place: Place) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
        let by_time = u64::try_from(now % 1_000_000_007).unwrap();
        let told = std::env::var("WHARFINGER_SEED").ok();
        let seed = told.map_or(by_time, |text| text.parse().expect("WHARFINGER_SEED is a number"));
        // The first part is the program of the tests.
        let test = path.split_once("::").map_or(path, |(_, test)| test).to_owned();
        Self { test, place, seed }
    }

    /// Runs it; a failure says how to see it again.
    pub(super) async fn run(self, run: impl AsyncFnOnce(Trial)) {
        let replay = format!(
            "WHARFINGER_SEED={} cargo test -p wharfinger --test bucket -- --exact {} --nocapture",
            self.seed, self.test
        );
        println!("replay: {replay}");
        if let Err(panic) = AssertUnwindSafe(run(self)).catch_unwind().await {
            eprintln!("a promise is broken; replay: {replay}");
            resume_unwind(panic);
        }
    }
}
