//! What of a request goes into the audit log.
//!
//! Each change that came as far as the policy, whatever came of it; each change that the policy refused; each login
//! that failed. A step on the way to a change (opening a session, a chunk) is recorded when it is refused, since the
//! change that it was for does not come then. What is slowed down is not: it was not looked at.

use std::sync::Arc;

use http::header::HeaderMap;
use http::{Request, StatusCode};

use super::asker::{Asker, Who};
use super::error::Error;
use super::headers::DOCKER_CONTENT_DIGEST;
use super::query::Query;
use super::route::{Route, Target, Verb};
use crate::auth::{LoginError, TokenError};
use crate::oci::{Digest, Reference, RepositoryName, Tag};
use crate::telemetry::audit::{Audit, Event};

/// What is recorded of one request. If answering is broken off, what is known by then is.
pub(super) struct Trail {
    audit: Audit,
    asker: Arc<Asker>,
    event: Event,
    weight: Weight,
    state: State,
}

/// When a request is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// When it is a failed login.
    Nothing,
    /// When it is refused, too.
    Step,
    /// The same, and when the blob was there to be mounted: else a session was opened, as by a step.
    Mount,
    /// Always.
    Change,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The event is as it is to be recorded.
    Told,
    Over,
}

impl Trail {
    /// Begins it.
    pub(super) fn begin<B>(
        audit: &Audit,
        asker: &Arc<Asker>,
        id: &str,
        request: &Request<B>,
        route: Option<&Route>,
    ) -> Self {
        let query = Query::parse(request.uri().query().unwrap_or_default()).unwrap_or_else(|_| Query::none());
        let (name, weight) = route.map_or(("", Weight::Nothing), |route| change(route, &query));
        let mut event = Event {
            event: name,
            request_id: id.to_owned(),
            client_address: asker.client.address.map(|address| address.to_string()),
            method: request.method().as_str().chars().take(METHOD_CHARS_MAX).collect(),
            repository: route.and_then(|route| route.target.name()).map(ToString::to_string),
            ..Event::default()
        };
        if let Some(route) = route.filter(|_| weight != Weight::Nothing) {
            describe(&mut event, route, &query);
        }
        Self { audit: audit.clone(), asker: Arc::clone(asker), event, weight, state: State::Open }
    }

    /// Records what came of it. When this returns, the line is on its way.
    pub(super) async fn end(
        mut self,
        status: StatusCode,
        error: Option<&Error>,
        headers: Option<&HeaderMap>,
    ) {
        let is_told = match error {
            Some(Error::Login(fault)) => is_failed(fault).then(|| self.fail()),
            _ => self.is_due(status).then(|| self.change(status, headers)),
        };
        if is_told.is_none() {
            self.state = State::Over;
            return;
        }
        self.event.status = Some(status.as_u16());
        self.event.code = error.map(|error| error.code().as_str());
        self.state = State::Told;
        self.audit.record(&self.event).await;
        self.state = State::Over;
    }

    fn is_due(&self, status: StatusCode) -> bool {
        let is_judged = self.asker.identified().is_some();
        let is_refused = is_refused(status);
        is_judged
            && match self.weight {
                Weight::Nothing => false,
                Weight::Step => is_refused,
                Weight::Mount => is_refused || status == StatusCode::CREATED,
                Weight::Change => true,
            }
    }

    fn fail(&mut self) {
        let who = self.asker.claimed();
        self.event.event = "login";
        self.event.outcome = "refused";
        self.set(who);
    }

    fn change(&mut self, status: StatusCode, headers: Option<&HeaderMap>) {
        let who = self.asker.identified().cloned().unwrap_or_default();
        self.tell_key();
        self.event.outcome = match status {
            _ if is_refused(status) => "refused",
            _ if status.is_success() => "done",
            _ => "failed",
        };
        let digest = headers.and_then(|headers| headers.get(DOCKER_CONTENT_DIGEST));
        if let Some(digest) = digest.and_then(|value| value.to_str().ok()) {
            self.event.digest = Some(digest.to_owned());
        }
        self.set(who);
    }

    /// Says which key it is about; one that is made is known when it is there.
    fn tell_key(&mut self) {
        if let Some(key) = self.asker.concerned() {
            self.event.reference.clone_from(&key.id);
            self.event.owner = Some(key.owner.clone());
        }
    }

    fn set(&mut self, who: Who) {
        self.event.user = who.user;
        self.event.auth = who.auth;
    }
}

/// The client left, and what it asked for may be done all the same: changes run to their end, and so does the
/// judging of a login.
impl Drop for Trail {
    fn drop(&mut self) {
        let is_open = self.state == State::Open;
        let may_be_done = is_open && matches!(self.weight, Weight::Change | Weight::Mount);
        if let Some(who) = self.asker.identified().filter(|_| may_be_done).cloned() {
            self.tell_key();
            self.event.outcome = "unknown";
            self.set(who);
            self.state = State::Told;
        } else if is_open && let Some(who) = self.asker.undecided() {
            self.event.event = "login";
            self.event.outcome = "unknown";
            self.set(who);
            self.state = State::Told;
        }
        if self.state == State::Told {
            self.audit.record_apart(std::mem::take(&mut self.event));
        }
    }
}

/// The longest method that is written down, in characters; those that change something are shorter.
const METHOD_CHARS_MAX: usize = 16;

fn is_refused(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// Says whether somebody tried to log in and did not prove who he is. A token that has run out is none: a client
/// gets another every few minutes.
const fn is_failed(fault: &LoginError) -> bool {
    match fault {
        LoginError::Refused | LoginError::Malformed(_) | LoginError::UnsupportedScheme => true,
        LoginError::Token(fault) => {
            !matches!(fault, TokenError::Expired | TokenError::TooEarly | TokenError::Unavailable)
        }
        LoginError::Held { .. } | LoginError::Overloaded | LoginError::Unavailable => false,
    }
}

/// Tells what a request would change.
fn change(route: &Route, query: &Query<'_>) -> (&'static str, Weight) {
    let asks = |key: &str| query.all(key).next().is_some();
    match (&route.target, route.verb) {
        (Target::Manifest(..), Verb::Put) => ("manifest.push", Weight::Change),
        (Target::Manifest(_, Reference::Tag(_)), Verb::Delete) => ("tag.delete", Weight::Change),
        (Target::Manifest(_, Reference::Digest(_)), Verb::Delete) => ("manifest.delete", Weight::Change),
        (Target::Blob(..), Verb::Delete) => ("blob.delete", Weight::Change),
        (Target::Cache(_), Verb::Delete) => ("cache.purge", Weight::Change),
        (Target::ApiKeys, Verb::Post) => ("apikey.create", Weight::Change),
        (Target::ApiKeys, Verb::Delete) => ("apikey.revoke", Weight::Change),
        (Target::Uploads(_), Verb::Post) if asks("mount") => ("blob.mount", Weight::Mount),
        (Target::Uploads(_), Verb::Post) if asks("digest") => ("blob.push", Weight::Change),
        (Target::Upload(..), Verb::Put) => ("blob.push", Weight::Change),
        (Target::Uploads(_), Verb::Post) | (Target::Upload(..), Verb::Patch) => ("blob.push", Weight::Step),
        (Target::Upload(..), Verb::Delete) => ("upload.cancel", Weight::Step),
        _ => ("", Weight::Nothing),
    }
}

/// Says what a change is about, as far as the request does. Only what can be read is taken from the query, which
/// is any text.
fn describe(event: &mut Event, route: &Route, query: &Query<'_>) {
    let digest = |key: &str| {
        let digest = query.all(key).next().and_then(|text| Digest::parse(text).ok());
        digest.map(|digest| digest.to_string())
    };
    match &route.target {
        Target::Manifest(_, reference) => {
            event.reference = Some(reference.to_string());
            match reference {
                Reference::Tag(tag) => event.tags = vec![tag.to_string()],
                Reference::Digest(digest) => {
                    event.digest = Some(digest.to_string());
                    let tags = query.all("tag").filter_map(|text| Tag::parse(text).ok());
                    event.tags = tags.map(|tag| tag.to_string()).take(TAGS_MAX).collect();
                }
            }
        }
        Target::Blob(_, blob) => event.digest = Some(blob.to_string()),
        Target::Uploads(_) | Target::Upload(..) => {
            event.digest = digest("mount").or_else(|| digest("digest"));
            let from = query.all("from").next().and_then(|text| RepositoryName::parse(text).ok());
            event.from = from.map(|name| name.to_string()).filter(|_| event.event == "blob.mount");
        }
        _ => {}
    }
}

/// Tags of one push that are written down; one that is taken sets no more.
const TAGS_MAX: usize = 10_000;
