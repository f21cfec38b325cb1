//! Where clients reach this registry, for what must be an absolute url; and what a refused request would have
//! needed.

use http::header::{HOST, HeaderValue};
use http::uri::Authority;
use http::{Method, Request};

use super::App;
use super::error::Error;
use super::route::{Route, Target};
use crate::auth::challenge::Need;
use crate::auth::{LoginError, Refusal};

/// What is kept of a request for the case that it is refused. Cheap to make.
pub(super) struct Asked {
    host: Option<HeaderValue>,
    authority: Option<Authority>,
    is_encrypted: bool,
    method: Method,
    repository: Option<String>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Catalog,
    /// What is deleted with the right to push.
    Upload,
    Other,
}

impl Asked {
    /// Notes what a challenge would name.
    pub(super) fn of<B>(request: &Request<B>, route: Option<&Route>, repository: Option<&str>) -> Self {
        let kind = match route.map(|route| &route.target) {
            Some(Target::Catalog) => Kind::Catalog,
            Some(Target::Upload(..)) => Kind::Upload,
            _ => Kind::Other,
        };
        Self {
            host: request.headers().get(HOST).cloned(),
            authority: request.uri().authority().cloned(),
            is_encrypted: request.uri().scheme() == Some(&http::uri::Scheme::HTTPS),
            method: request.method().clone(),
            repository: repository.map(str::to_owned),
            kind,
        }
    }

    /// Returns the challenge that goes with a failure; `None` where it is none of who asks.
    pub(super) fn challenge(&self, app: &App, error: &Error) -> Option<String> {
        let error = match error {
            Error::Login(LoginError::Overloaded | LoginError::Unavailable) => return None,
            Error::Login(LoginError::Token(_)) => Some("invalid_token"),
            Error::Refused { refusal: Refusal::InsufficientScope } => Some("insufficient_scope"),
            Error::Login(_) | Error::Refused { refusal: Refusal::Unauthenticated } => None,
            _ => return None,
        };
        let (origin, scope) = (self.origin(app), self.scope());
        app.access().challenge(&Need { origin: &origin, scope: &scope, error })
    }

    /// Returns scheme and authority: those of the configuration, else those that the client used.
    fn origin(&self, app: &App) -> String {
        if let Some(url) = &app.0.options.external_url {
            return url.trim_end_matches('/').to_owned();
        }
        let scheme = if self.is_encrypted { "https" } else { "http" };
        let of_header = || self.host.as_ref().and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let authority = self.authority.clone().or_else(of_header);
        let authority = authority.as_ref().map_or(app.0.options.address.as_str(), Authority::as_str);
        // Nobody's account belongs into an answer.
        let authority = authority.rsplit('@').next().unwrap_or_default();
        format!("{scheme}://{authority}")
    }

    /// Returns what a token for the request has to name.
    fn scope(&self) -> String {
        if self.kind == Kind::Catalog {
            return "registry:catalog:*".to_owned();
        }
        let Some(name) = &self.repository else { return String::new() };
        let actions = match self.method {
            Method::GET | Method::HEAD if self.kind != Kind::Upload => "pull",
            Method::DELETE if self.kind != Kind::Upload => "delete",
            _ => "pull,push",
        };
        format!("repository:{name}:{actions}")
    }
}
