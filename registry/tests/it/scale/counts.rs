//! Operations of the backend, as the meter of the server counts them, of the thread of one test.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// Counts since the last [`Counts::take`], by operation.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Counts {
    /// Returns what was done since the last time; operations that were not done are left out.
    pub(super) fn take(&self) -> BTreeMap<String, u64> {
        let counts = self.0.lock().unwrap();
        let taken =
            counts.iter().map(|(operation, count)| (operation.clone(), count.swap(0, Ordering::SeqCst)));
        taken.filter(|(_, count)| *count > 0).collect()
    }
}

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if key.name() != "wharfinger_storage_operations_total" {
            return Counter::noop();
        }
        let operation = key.labels().find(|label| label.key() == "operation").unwrap().value().to_owned();
        Counter::from_arc(Arc::clone(self.0.lock().unwrap().entry(operation).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
