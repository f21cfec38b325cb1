//! What a running check holds: the target, its own content and names, and the record of what it did.
//!
//! Map: this file (content, names, other views of the target), `send` (every request of a check goes through
//! it, so that logins are added, exchanges recorded and pushed content noted in one place), `record` (what the
//! check did and left behind).

mod record;
mod send;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::check::{Control, Feature, Stop, Verdict};
use crate::content::{Blob, Image, Manifest, Rng};
use crate::control::{ControlError, Controls, StoredFile};
use crate::features::Features;
use crate::login::Login;
use crate::source::Source;
use crate::wire::{Bulk, Dialer, Exchange, Url};

pub use record::Left;
use record::Record;

/// What all checks of a run share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Scheme, host and port of the target.
    pub target: Url,
    /// What opens connections.
    pub dialer: Dialer,
    /// The account that was given, or nobody.
    pub login: Arc<Login>,
    /// An account that may pull and not push.
    pub reader: Option<Arc<Login>>,
    /// An account that may read nothing of what the suite pushes.
    pub outsider: Option<Arc<Login>>,
    /// Where the names of repositories begin.
    pub namespace: String,
    /// Where the content of the checks comes from.
    pub source: Source,
    /// The seed of the content.
    pub seed: u64,
    /// What sets the names of this run apart from those of any other.
    pub stamp: String,
    /// How long one request may take.
    pub request_deadline: Duration,
    /// The controls that were given.
    pub controls: Controls,
    /// What the target offers.
    pub features: Features,
}

/// Whether the target has served the content of a check before the check looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temperature {
    /// It has not.
    Cold,
    /// Every piece was pulled through it once.
    Warm,
}

/// The surroundings of one running check, as one account sees them.
#[derive(Clone, Debug)]
pub struct Context {
    shared: Arc<Shared>,
    target: Url,
    login: Arc<Login>,
    temperature: Temperature,
    configuration: Option<&'static str>,
    own: Arc<Own>,
}

/// What every view of one running check shares.
#[derive(Debug)]
struct Own {
    id: &'static str,
    rng: Mutex<Rng>,
    names: AtomicU32,
    record: Mutex<Record>,
}

impl Context {
    /// Makes the surroundings of the check with this id.
    pub fn new(shared: Arc<Shared>, id: &'static str) -> Self {
        Self::at(shared, id, Temperature::Cold)
    }

    /// Makes the surroundings of a check whose content is cold or warm.
    pub fn at(shared: Arc<Shared>, id: &'static str, temperature: Temperature) -> Self {
        let rng = Mutex::new(Rng::new(shared.seed, &format!("{id}{temperature:?}")));
        let own = Arc::new(Own { id, rng, names: AtomicU32::new(0), record: Mutex::default() });
        let (target, login) = (shared.target.clone(), Arc::clone(&shared.login));
        Self { shared, target, login, temperature, configuration: None, own }
    }

    // === views ===

    /// Returns this check as one that is not logged in.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        Self { login: Arc::default(), ..self.clone() }
    }

    /// Returns this check as the account that may pull and not push.
    ///
    /// *Errors*: [`Stop::Skip`] when there is none.
    pub fn reader(&self) -> Result<Self, Stop> {
        self.account(self.shared.reader.as_ref(), "no account that may only pull was given")
    }

    /// Returns this check as the account that may read nothing of what the suite pushes.
    ///
    /// *Errors*: [`Stop::Skip`] when there is none.
    pub fn outsider(&self) -> Result<Self, Stop> {
        self.account(self.shared.outsider.as_ref(), "no account that may not pull was given")
    }

    /// Returns this check as another login of its own, which no other check shares.
    #[must_use]
    pub fn as_login(&self, login: Login) -> Self {
        Self { login: Arc::new(login), ..self.clone() }
    }

    fn account(&self, login: Option<&Arc<Login>>, absent: &str) -> Result<Self, Stop> {
        let login = login.ok_or_else(|| Stop::Skip(absent.to_owned()))?;
        Ok(Self { login: Arc::clone(login), ..self.clone() })
    }

    /// Returns this check at a registry with another configuration.
    ///
    /// *Errors*: [`Stop::Skip`] when nobody gives it, [`Stop::Error`] when it does not come up.
    pub async fn configured(&self, name: &'static str) -> Result<Self, Stop> {
        let target = self.shared.controls.configured(name, &self.shared.dialer).await.map_err(stop)?;
        Ok(Self { target, configuration: Some(name), ..self.clone() })
    }

    /// Returns this check at another address.
    #[must_use]
    pub fn towards(&self, target: Url) -> Self {
        Self { target, ..self.clone() }
    }

    /// Returns the account's login.
    pub fn login(&self) -> &Login {
        &self.login
    }

    /// Returns the root of the registry that the check talks to.
    pub fn target(&self) -> &Url {
        &self.target
    }

    /// Returns whether the content is cold or warm.
    pub fn temperature(&self) -> Temperature {
        self.temperature
    }

    // === content ===

    /// Returns the name of a repository that nobody has used yet.
    pub fn repo(&self) -> String {
        self.repo_in(&self.shared.namespace)
    }

    /// Returns such a name where the outsider may push.
    pub fn outside(&self) -> String {
        self.repo_in(&format!("{}-outside", self.shared.namespace))
    }

    fn repo_in(&self, namespace: &str) -> String {
        let number = self.own.names.fetch_add(1, Ordering::Relaxed);
        let check = self.own.id.to_ascii_lowercase().replace('-', "");
        let heat = if self.temperature == Temperature::Warm { "w" } else { "" };
        format!("{namespace}/{:x}-{}-{check}{heat}-{number}", self.shared.seed, self.shared.stamp)
    }

    /// Returns a blob of that many fresh bytes.
    pub fn blob(&self, size: usize) -> Blob {
        Blob::new(lock(&self.own.rng).bytes(size))
    }

    /// Returns fresh content of any size, which is not kept in memory.
    pub fn bulk(&self, size: u64) -> Bulk {
        Bulk::new(&mut lock(&self.own.rng), size)
    }

    /// Returns a fresh OCI image.
    pub fn image(&self) -> Image {
        Image::oci(&mut lock(&self.own.rng))
    }

    /// Returns a fresh OCI image whose manifest has more members.
    pub fn image_with(&self, extra: Value) -> Image {
        Image::with(&mut lock(&self.own.rng), extra)
    }

    /// Returns a fresh Docker schema 2 image.
    pub fn docker_image(&self) -> Image {
        Image::docker(&mut lock(&self.own.rng))
    }

    /// Says whether the target offers a feature, as far as the run's beginning could tell.
    pub fn offers(&self, feature: Feature) -> bool {
        self.shared.features.missing(feature).is_none()
    }

    // === controls ===

    /// Runs a control and waits until the target answers again.
    ///
    /// *Errors*: [`Stop::Skip`] when it is not given; [`Stop::Error`] when the command fails or the target
    /// stays away.
    pub async fn control(&self, control: Control) -> Verdict {
        self.shared.controls.run(control, &self.shared.dialer, &self.target).await.map_err(stop)
    }

    /// Lists the files of the store that this view of the target has.
    ///
    /// *Errors*: as [`Context::control`].
    pub async fn files(&self) -> Result<Vec<StoredFile>, Stop> {
        self.shared.controls.files(self.configuration).await.map_err(stop)
    }

    // === what came of it ===

    /// Records something worth knowing that is neither right nor wrong.
    pub fn observe(&self, text: impl Into<String>) {
        lock(&self.own.record).observations.push(text.into());
    }

    /// Returns and forgets the exchanges recorded so far.
    pub fn take_exchanges(&self) -> Vec<Exchange> {
        std::mem::take(&mut lock(&self.own.record).exchanges)
    }

    /// Returns and forgets the observations recorded so far.
    pub fn take_observations(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.own.record).observations)
    }

    /// Returns and forgets what was left at the target.
    pub fn take_left(&self) -> Vec<Left> {
        std::mem::take(&mut lock(&self.own.record).left)
    }

    /// Returns what the checks of the run share, apart from the running context.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Manifest {
    /// Returns the Accept header that asks for every manifest type.
    pub fn accept_all() -> String {
        use crate::content::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
        [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, "*/*"].join(", ")
    }
}

fn stop(error: ControlError) -> Stop {
    match error {
        ControlError::Absent(_) => Stop::Skip(error.to_string()),
        error => Stop::Error(error.to_string()),
    }
}

/// Locks, also after a panic elsewhere: the data are plain lists that no panic leaves half-written.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Controls;
    use crate::wire::{Request, Trust, WireError};

    fn context(heat: Temperature) -> Context {
        let shared = Shared {
            target: Url::parse("http://h:1").unwrap(),
            dialer: Dialer::new(&Trust::default()).unwrap(),
            login: Arc::default(),
            reader: None,
            outsider: None,
            namespace: "conf".to_owned(),
            source: Source::Pushed,
            seed: 10,
            stamp: "s".to_owned(),
            request_deadline: Duration::from_secs(1),
            controls: Controls::default(),
            features: Features::default(),
        };
        Context::at(Arc::new(shared), "T-001", heat)
    }

    #[test]
    fn names_are_used_once_and_apart_by_temperature() {
        let (cold, warm) = (context(Temperature::Cold), context(Temperature::Warm));
        assert_eq!((cold.repo().as_str(), warm.repo().as_str()), ("conf/a-s-t001-0", "conf/a-s-t001w-0"));
        assert_eq!(cold.anonymous().outside(), "conf-outside/a-s-t001-1", "views share their names");
        assert_ne!(cold.blob(8), cold.blob(8));
        assert_ne!(cold.blob(8), warm.blob(8));
    }

    #[test]
    fn what_was_recorded_is_taken_once() {
        let context = context(Temperature::Cold);
        let request = Request::new("GET", Url::parse("http://h:1/x").unwrap());
        lock(&context.own.record).push(Exchange::new(&request, &Err(WireError::Closed)));
        context.observe("seen");
        assert_eq!(
            (context.take_exchanges().len(), context.take_observations()),
            (1, vec!["seen".to_owned()])
        );
        assert_eq!((context.take_exchanges().len(), context.take_observations().len()), (0, 0));
    }
}
