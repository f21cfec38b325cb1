//! The processes over one store, and how they are asked.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::trial::{Place, Trial};
use crate::servers::moto::Moto;
use crate::support::program::{Berth, Program};

/// No request takes longer: claims are waited for 30 s at most.
const PATIENCE: Duration = Duration::from_secs(90);

/// Processes that share a store. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Fleet {
    http: reqwest::Client,
    lives: Mutex<Vec<Life>>,
    berths: Vec<Berth>,
    config: Config,
    /// After the processes that use it.
    _store: Store,
}

/// What the configuration says beside where the store is.
#[derive(Debug, Clone)]
pub(super) struct Config {
    /// The section `storage`.
    pub(super) storage: Value,
    pub(super) rest: Value,
}

#[derive(Debug)]
enum Store {
    Folder(TempDir),
    Bucket(Moto),
}

/// A process, and how many ran in its place before.
#[derive(Debug)]
struct Life {
    program: Option<Program>,
    number: u32,
}

/// What a process answered.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    failures: &'static [u16],
}

impl Config {
    /// Says nothing of its own: nothing is garbage before the test is over.
    pub(super) fn plain() -> Self {
        Self { storage: json!({}), rest: json!({}) }
    }
}

impl Fleet {
    /// Starts so many processes over a new store, or says that the test is skipped.
    pub(super) async fn start(trial: &Trial, count: usize, mut config: Config) -> Option<Self> {
        let store = match trial.place {
            Place::Folder => Store::Folder(tempfile::tempdir().unwrap()),
            Place::Bucket => Store::Bucket(Moto::start(&trial.test).await?),
        };
        let place = match &store {
            Store::Folder(folder) => json!({"rootDirectory": folder.path().join("store"), "shared": true}),
            Store::Bucket(moto) => moto.place().storage(),
        };
        for (key, value) in place.as_object().unwrap() {
            config.storage[key] = value.clone();
        }
        let berths: Vec<Berth> = (0..count).map(|_| Berth::new()).collect();
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let starts = berths.iter().map(|berth| berth.start(config.storage.clone(), &config.rest));
        let lives = join_all(starts).await.into_iter();
        let lives = lives.map(|program| Life { program: Some(program), number: 0 }).collect();
        Some(Self { http, lives: Mutex::new(lives), berths, config, _store: store })
    }

    /// Returns how many processes there are, with those that were killed.
    pub(super) fn len(&self) -> usize {
        self.berths.len()
    }

    /// Returns those that run.
    pub(super) fn running(&self) -> Vec<usize> {
        let lives = self.lives();
        (0..lives.len()).filter(|at| lives[*at].program.is_some()).collect()
    }

    /// Kills one in the middle of whatever it does.
    pub(super) fn kill(&self, at: usize) {
        // First it is known to be away: who asks it meanwhile is not surprised.
        let program = {
            let mut lives = self.lives();
            lives[at].number += 1;
            lives[at].program.take().expect("it runs")
        };
        program.kill();
    }

    /// Starts one that was killed.
    pub(super) async fn restart(&self, at: usize) {
        let program = self.berths[at].start(self.config.storage.clone(), &self.config.rest).await;
        self.lives()[at].program = Some(program);
    }

    /// Asks one; `None` is that it was killed before it could answer.
    pub(super) async fn ask(&self, at: usize, ask: Ask) -> Option<Answer> {
        let (url, number) = {
            let lives = self.lives();
            (lives[at].program.as_ref()?.url.clone(), lives[at].number)
        };
        let failures = ask.failures;
        let what = format!("{} {} to replica {at}", ask.method, ask.path);
        let mut request = self.http.request(ask.method, format!("{url}{}", ask.path)).body(ask.body);
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        let answered = async {
            let answer = request.send().await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            Ok::<_, reqwest::Error>(Answer { status, headers, body: answer.bytes().await? })
        };
        match answered.await {
            Ok(answer) => {
                let fails = answer.status.is_server_error() && !failures.contains(&answer.status.as_u16());
                assert!(!fails, "{what}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
                Some(answer)
            }
            Err(error) => {
                assert!(self.lives()[at].number != number, "{what}: {error:?}");
                None
            }
        }
    }

    /// Asks one that is not killed.
    pub(super) async fn get(&self, at: usize, path: &str) -> Answer {
        self.ask(at, Ask::new(Method::GET, path)).await.expect("it runs")
    }

    /// Returns the sum of a metric over all that run, of the lines that have these words.
    pub(super) async fn metric(&self, words: &[&str]) -> f64 {
        let mut sum = 0.0;
        for at in self.running() {
            let text = self.get(at, "/metrics").await.body;
            let text = String::from_utf8(text.to_vec()).unwrap();
            let lines = text.lines().filter(|line| words.iter().all(|word| line.contains(word)));
            sum += lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>();
        }
        sum
    }

    fn lives(&self) -> MutexGuard<'_, Vec<Life>> {
        self.lives.lock().unwrap()
    }
}

impl Ask {
    /// Makes one without a body.
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        // Others may be changing the same thing.
        Self { method, path: path.into(), headers: Vec::new(), body: Bytes::new(), failures: &[503] }
    }

    /// Says which failures on the server's side are answers.
    pub(super) fn may_fail(mut self, failures: &'static [u16]) -> Self {
        self.failures = failures;
        self
    }

    /// Adds a body.
    pub(super) fn with(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a header.
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Answer {
    /// Returns the text of a header.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Fails unless it has this status.
    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}
