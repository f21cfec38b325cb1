//! Logs and metrics: the one place that decides their form.
//!
//! Logs go to stderr, or where the configuration says: human on a terminal, JSON elsewhere. Fields
//! have fixed dotted names (`docs/lexicon.md`). Metrics are Prometheus series named `wharfinger_…`,
//! with labels of our own words only, so that no client can make up a series.

pub mod appender;
pub mod audit;

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use appender::Appender;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Human,
    /// For machines.
    Json,
}

impl Form {
    /// Returns the form that suits where lines go.
    pub fn of(target: &Target) -> Self {
        if target.is_terminal() { Self::Human } else { Self::Json }
    }

    /// Returns the form that suits where stderr goes.
    pub fn of_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Human } else { Self::Json }
    }
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The process's standard error.
    Stderr,
    /// Its standard output.
    Stdout,
    /// A file, which others may rotate.
    File(PathBuf),
}

impl Target {
    fn is_terminal(&self) -> bool {
        match self {
            Self::Stderr => io::stderr().is_terminal(),
            Self::Stdout => io::stdout().is_terminal(),
            Self::File(_) => false,
        }
    }
}

/// A log file, which is looked for at its path every so often.
struct LogFile {
    file: Appender,
    looked: Instant,
}

/// How often that is.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.looked.elapsed() >= LOOK_INTERVAL {
            self.looked = Instant::now();
            // It cannot be logged that the log cannot be opened; the old file goes on.
            let _ = self.file.renew();
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.file.append(&[text]).map_err(|lost| lost.source)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts logging to stderr for the whole process; a second call changes nothing.
///
/// `level` is one of `trace`, `debug`, `info`, `warn` and `error`; anything else is `info`.
pub fn start_logging(level: &str, form: Form) {
    start(&Target::Stderr, level, form, BoxMakeWriter::new(io::stderr));
}

/// The same, to elsewhere.
///
/// *Errors:* those of the system, when the file cannot be opened.
pub fn start_logging_to(target: &Target, level: &str, form: Form) -> io::Result<()> {
    let writer = match target {
        Target::Stderr => BoxMakeWriter::new(io::stderr),
        Target::Stdout => BoxMakeWriter::new(io::stdout),
        Target::File(path) => {
            let file = LogFile { file: Appender::open(path.clone())?, looked: Instant::now() };
            BoxMakeWriter::new(Mutex::new(file))
        }
    };
    start(target, level, form, writer);
    Ok(())
}

fn start(target: &Target, level: &str, form: Form, writer: BoxMakeWriter) {
    let (dispatch, set) = lines(form, target.is_terminal(), filter(level), writer);
    if dispatch.try_init().is_ok() {
        let _ = SET_FILTER.set(set);
    }
}

/// Logs from now on what is at least of that level, as [`start_logging`] reads it.
pub fn set_level(level: &str) {
    if let Some(set) = SET_FILTER.get() {
        set(filter(level));
    }
}

/// Replaces the filter of the log.
type SetFilter = Box<dyn Fn(EnvFilter) + Send + Sync>;

static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

fn filter(level: &str) -> EnvFilter {
    let level: tracing::level_filters::LevelFilter =
        level.parse().unwrap_or(tracing::level_filters::LevelFilter::INFO);
    // The HTTP libraries log bodies and headers below info, and headers carry secrets (P11).
    let filter = EnvFilter::default().add_directive(tracing::level_filters::LevelFilter::WARN.into());
    let ours = format!("wharfinger={level}").parse();
    ours.map_or_else(|_| EnvFilter::new("info"), |directive| filter.add_directive(directive))
}

/// Writes what happens, a line each; and returns what replaces the filter.
fn lines(form: Form, colours: bool, filter: EnvFilter, to: BoxMakeWriter) -> (Dispatch, SetFilter) {
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(to).with_target(false);
    match form {
        Form::Human => {
            let builder = builder.with_ansi(colours).with_filter_reloading();
            let handle = builder.reload_handle();
            (builder.finish().into(), Box::new(move |filter| drop(handle.reload(filter))))
        }
        Form::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(false).with_filter_reloading();
            let handle = builder.reload_handle();
            (builder.finish().into(), Box::new(move |filter| drop(handle.reload(filter))))
        }
    }
}

/// An error as a line of the log has it: with its causes, outermost first.
///
/// Errors leave their cause out of their message, and the JSON form of a line leaves the causes
/// out of an error that is handed to it as a value; so every error is logged as one of these
/// (`cargo xtask tidy` says so).
#[derive(Debug)]
pub struct WithCauses<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Bounds of the buckets of every duration, in seconds.
const SECONDS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Starts metrics for the whole process, and returns what renders them; `None` when they were
/// started before.
pub fn start_metrics() -> Option<PrometheusHandle> {
    let builder = PrometheusBuilder::new();
    let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS).ok()?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).ok()?;
    describe();
    describe_tls();
    describe_clients();
    Some(handle)
}

/// What is refused to clients, and what is recorded of them.
fn describe_clients() {
    use metrics::describe_counter as counter;
    counter!(
        "wharfinger_connections_refused_total",
        "Connections that were closed, since their client had too many"
    );
    counter!("wharfinger_http_requests_limited_total", "Requests answered 429, by whose limit it was");
    counter!("wharfinger_logins_failed_total", "Logins with a wrong user or password");
    counter!("wharfinger_logins_held_total", "Logins that were not looked at, since too many had failed");
    counter!("wharfinger_audit_lines_lost_total", "Lines of the audit log that could not be written");
}

fn describe() {
    use metrics::{describe_counter as counter, describe_gauge as gauge, describe_histogram as histogram};
    gauge!("wharfinger_connections_open", "Connections that are open");
    gauge!("wharfinger_http_requests_in_flight", "Requests whose response has not ended");
    counter!("wharfinger_http_requests_total", "Requests, by method, kind of path and status");
    histogram!("wharfinger_http_request_seconds", "From a request to the end of its response");
    counter!("wharfinger_http_response_bytes_total", "Bytes of response bodies");
    counter!(
        "wharfinger_http_responses_cut_total",
        "Responses that were cut off, since their bytes could not be had"
    );
    counter!("wharfinger_storage_operations_total", "Operations of the storage backend, by outcome");
    histogram!("wharfinger_storage_operation_seconds", "How long they took");
    counter!("wharfinger_config_reloads_total", "Times that the configuration was read again, by outcome");
    counter!("wharfinger_uploads_opened_total", "Uploads opened");
    counter!("wharfinger_uploads_committed_total", "Uploads that became a blob");
    counter!("wharfinger_uploads_expired_total", "Uploads that stood still for too long");
    counter!("wharfinger_uploads_bytes_total", "Bytes of blobs pushed");
    counter!("wharfinger_upstream_requests_total", "Requests to upstreams, by outcome");
    histogram!("wharfinger_upstream_request_seconds", "From such a request to the head of its answer");
    counter!("wharfinger_upstream_retries_total", "Attempts at upstreams that were scheduled again");
    gauge!("wharfinger_upstream_breakers_open", "Urls of upstreams that are not asked for a while");
    counter!("wharfinger_fills_mismatched_total", "Bodies of upstreams that did not have their digest");
    counter!("wharfinger_fills_total", "Blobs fetched from upstreams, by outcome");
    counter!("wharfinger_fills_joined_total", "Readers that joined a fetch under way");
    counter!("wharfinger_fills_bytes_total", "Bytes of blobs received from upstreams");
    counter!(
        "wharfinger_fills_resumed_total",
        "Bodies of upstreams that went on where an earlier one stopped"
    );
    counter!(
        "wharfinger_fills_taken_up_total",
        "Fetches that went on with what an earlier one, or an earlier process, left"
    );
    gauge!("wharfinger_fills_running", "Blobs that are being fetched");
    counter!("wharfinger_cold_range_bytes_total", "Bytes of ranges that were fetched apart from their blob");
    counter!(
        "wharfinger_upstream_served_bytes_total",
        "Bytes of blobs sent to clients from upstreams and their caches; fetched bytes divided by these are the amplification"
    );
    gauge!("wharfinger_upstream_quota_remaining", "Requests that the upstream says it will still answer");
    counter!("wharfinger_gc_runs_total", "Runs of garbage collection over a store, by outcome");
    histogram!("wharfinger_gc_run_seconds", "How long they took");
    counter!("wharfinger_gc_removed_objects_total", "What garbage collection and retention removed, by kind");
    counter!("wharfinger_gc_removed_bytes_total", "Bytes of it");
    counter!("wharfinger_gc_failures_total", "What garbage collection could not look at or remove");
    counter!("wharfinger_retention_spared_total", "What retention would have removed, but for its dry run");
    gauge!("wharfinger_cache_bytes", "Bytes of a bounded cache, when it was last looked through");
    counter!("wharfinger_cache_evictions_total", "Manifests that were evicted");
    counter!("wharfinger_mirror_runs_total", "Runs of mirroring, by outcome");
    counter!("wharfinger_mirror_tags_total", "Tags mirrored, or not, by outcome");
    counter!("wharfinger_scrub_bytes_total", "Bytes of content that a scrub has hashed");
    counter!("wharfinger_scrub_objects_total", "Contents that a scrub has hashed");
    counter!(
        "wharfinger_scrub_findings_total",
        "What a scrub has found, by kind and by what was done about it"
    );
    counter!("wharfinger_scrub_runs_total", "Scrubs that have ended, by outcome: sound, repaired, damaged");
    gauge!("wharfinger_scrub_started_timestamp_seconds", "When the last scrub began");
    gauge!("wharfinger_scrub_ended_timestamp_seconds", "When the last scrub ended");
    gauge!("wharfinger_scrub_unsettled", "What the last scrub found and could not make good");
    counter!("wharfinger_quarantined_total", "Contents that were moved to the quarantine");
    gauge!("wharfinger_quarantine_objects", "Contents in the quarantine, when it was last looked at");
    counter!(
        "wharfinger_stale_serves_total",
        "Cached tags served without a check, since the upstream did not answer"
    );
}

fn describe_tls() {
    use metrics::{describe_counter as counter, describe_gauge as gauge};
    counter!(
        "wharfinger_tls_handshakes_total",
        "TLS handshakes, by outcome: done, failed, timeout, plain, left"
    );
    counter!(
        "wharfinger_tls_reload_failures_total",
        "Changes of the files of http.tls that left what could not be used, so that the old stays"
    );
    gauge!(
        "wharfinger_tls_certificate_expiry_timestamp_seconds",
        "When the certificate that clients are shown expires"
    );
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::fmt::writer::BoxMakeWriter;

    use super::{Form, WithCauses, lines};

    #[derive(Debug, thiserror::Error)]
    #[error("the outermost failed")]
    struct Outermost {
        source: Middle,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the middle failed")]
    struct Middle {
        source: io::Error,
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Goal (P8): whoever reads a line learns what the system said, whatever the line's form.
    #[test]
    fn a_line_has_every_cause_of_its_error() {
        for form in [Form::Human, Form::Json] {
            let written = Written::default();
            let writer = written.clone();
            let to = BoxMakeWriter::new(move || writer.clone());
            let (dispatch, _) = lines(form, false, EnvFilter::new("warn"), to);
            let error = Outermost { source: Middle { source: io::Error::other("disk on fire") } };
            tracing::dispatcher::with_default(&dispatch, || {
                tracing::warn!(error = %WithCauses(&error), "something could not be done");
            });
            let line = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
            let whole = "the outermost failed: the middle failed: disk on fire";
            assert!(line.contains(whole), "{form:?}: {line}");
        }
    }
}
