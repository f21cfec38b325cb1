//! A black-box conformance suite for any OCI registry.
//!
//! Map: `wire` (raw HTTP client), `content` (seeded blobs and manifests), `check` (what a check is),
//! `checks` (the checks, a file per section of the specification), `context` and `steps` (what a running
//! check uses), `expect` (assertions), `features` and `control` (what the target offers), `plan` and
//! `runner` (order and execution), `known` (known failures), `report` (text, JSON, JUnit, HTML, Markdown).
//!
//! It shares no code with any registry: what it says about a target is its own reading of the
//! specification. Spec anchors name sections of the OCI distribution specification's `spec.md`.

pub mod check;
pub mod checks;
pub mod cli;
pub mod content;
pub mod context;
pub mod control;
pub mod expect;
pub mod features;
pub mod known;
pub mod login;
pub mod plan;
pub mod progress;
pub mod report;
pub mod runner;
pub mod source;
mod steps;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;

use crate::check::Level;
use crate::context::{Context, Shared};
use crate::control::Controls;
use crate::features::Features;
use crate::known::Known;
use crate::login::{Account, Login};
use crate::plan::Selection;
use crate::progress::Progress;
use crate::report::{Observation, Report};
use crate::source::{Behind, Given, OriginAt, OriginError, Source};
use crate::wire::{Connection, Dialer, Trust, TrustError, Url, UrlError, WireError};

/// How long the first connection to the target may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// Base address of the registry: `http://host:port`.
    pub target: String,
    /// User name and password: sent as Basic authorization, or to the realm that gives tokens.
    pub credentials: Option<(String, String)>,
    /// An account that may pull what the suite pushes, but not push.
    pub reader: Option<Account>,
    /// An account that may read nothing of what the suite pushes, but push to `NAMESPACE-outside/…`.
    pub outsider: Option<Account>,
    /// Whose certificates are accepted.
    pub trust: Trust,
    /// Where the names of the repositories that the suite makes begin.
    pub namespace: String,
    /// Where origins are put behind the target, which the run then judges as a proxy.
    pub origins: Vec<OriginAt>,
    /// Images that the target holds; with any of them the run only reads.
    pub given: Vec<Given>,
    /// Only checks whose id or clause matches.
    pub filter: Option<String>,
    /// The weakest level that runs.
    pub level: Level,
    /// Checks that run at the same time.
    pub jobs: usize,
    /// Seed of the content.
    pub seed: u64,
    /// Whether heavy checks run.
    pub heavy: bool,
    /// A command that carries out controls.
    pub control: Option<String>,
    /// Failures that are expected.
    pub known: Known,
    /// How long one request may take.
    pub request_deadline: Duration,
    /// How long one check may take.
    pub check_deadline: Duration,
    /// Whether progress is shown on stderr.
    pub show_progress: bool,
}

impl Options {
    /// Returns options that run everything against a target.
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            credentials: None,
            reader: None,
            outsider: None,
            trust: Trust::default(),
            namespace: "conf".to_owned(),
            origins: Vec::new(),
            given: Vec::new(),
            filter: None,
            level: Level::Observe,
            jobs: 8,
            seed: 1,
            heavy: false,
            control: None,
            known: Known::default(),
            request_deadline: Duration::from_secs(20),
            check_deadline: Duration::from_secs(90),
            show_progress: false,
        }
    }
}

/// Says why a run could not begin.
#[derive(Debug, Error)]
pub enum RunError {
    /// The target is not an address that the suite can talk to.
    #[error("bad target")]
    Target(#[source] UrlError),
    /// The target has a path; `/v2/` stands at the root of a host.
    #[error("bad target: {0} is not the root of a host")]
    Path(String),
    /// Nothing answers at the target.
    #[error("target unreachable")]
    Unreachable(#[source] WireError),
    /// The authorities to trust cannot be used.
    #[error("bad certificate authorities")]
    Trust(#[source] TrustError),
    /// An origin cannot be put behind the target.
    #[error("no origin behind the target")]
    Origin(#[source] OriginError),
    /// Origins and given images exclude each other.
    #[error("a run judges a proxy with an origin or reads given images, not both")]
    Source,
}

/// Runs the suite against a target.
///
/// Afterwards what was pushed is deleted, as far as the target allows it.
///
/// *Errors*: every variant of [`RunError`]; what the target does wrong is in the report instead.
pub async fn run(options: Options) -> Result<Report, RunError> {
    let target = Url::parse(&options.target).map_err(RunError::Target)?;
    if target.target != "/" {
        return Err(RunError::Path(target.target));
    }
    let unreachable = |error| RunError::Unreachable(error);
    let dialer = Dialer::new(&options.trust).map_err(RunError::Trust)?;
    let source = source(&options).await?;
    let opened = timeout(CONNECT_DEADLINE, Connection::open(&dialer, &target)).await;
    opened.unwrap_or(Err(WireError::Timeout(CONNECT_DEADLINE))).map_err(unreachable)?;

    let selection = Selection { level: options.level, filter: options.filter.clone() };
    let plan = selection.pick(checks::all());
    let (shared, mut left) = share(&options, target, dialer, source).await;
    let settings = runner::Settings {
        jobs: options.jobs,
        check_deadline: if options.heavy { options.check_deadline * 20 } else { options.check_deadline },
        heavy: options.heavy,
        known: options.known,
    };
    let progress = if options.show_progress { Progress::for_stderr(plan.len()) } else { Progress::Silent };
    let mut results = runner::run(&plan, &shared, &settings, &progress).await;
    progress.end();
    left.append(&mut results.left);
    runner::clean_up(&shared, left, options.jobs).await;

    let missing = shared.features.list();
    let missing = missing.map(|(name, reason)| Observation {
        id: "features".to_owned(),
        text: format!("does not offer {name}: {reason}"),
    });
    let observations = missing.chain(results.observations).collect();
    Ok(Report { target: options.target, seed: options.seed, checks: results.checks, observations })
}

/// Puts the content where the options say.
async fn source(options: &Options) -> Result<Source, RunError> {
    match (options.origins.as_slice(), options.given.as_slice()) {
        ([], []) => Ok(Source::Pushed),
        ([], given) => Ok(Source::Given(given.into())),
        (origins, []) => {
            let mut behind = Vec::with_capacity(origins.len());
            for at in origins {
                behind.push(Behind::start(at).await.map_err(RunError::Origin)?);
            }
            Ok(Source::Origins(behind.into()))
        }
        _ => Err(RunError::Source),
    }
}

/// Makes what all checks share, after a look at what the target offers.
async fn share(
    options: &Options,
    target: Url,
    dialer: Dialer,
    source: Source,
) -> (Arc<Shared>, Vec<context::Left>) {
    let account = options.credentials.clone().map(|(username, password)| Account { username, password });
    let login = |account: &Account| Arc::new(Login::new(Some(account.clone())));
    let blank = Shared {
        target,
        dialer,
        login: Arc::new(Login::new(account)),
        reader: options.reader.as_ref().map(login),
        outsider: options.outsider.as_ref().map(login),
        namespace: options.namespace.clone(),
        source,
        seed: options.seed,
        stamp: stamp(),
        request_deadline: options.request_deadline,
        controls: Controls::new(options.control.clone()),
        features: Features::default(),
    };
    let probe = Context::new(Arc::new(blank), "probe");
    let features = Features::probe(&probe).await;
    let left = probe.take_left();
    (Arc::new(Shared { features, ..probe.shared().clone() }), left)
}

/// Returns letters and digits that no other run has in its names.
fn stamp() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{SystemTime, UNIX_EPOCH};
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    format!("{:x}{:x}{run:x}", since.as_micros(), std::process::id())
}
