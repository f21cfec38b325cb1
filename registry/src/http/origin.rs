//! Where clients reach this registry, for what must be an absolute url; and what a refused request would have
//! needed.

use http::header::{HOST, HeaderValue};
use http::uri::Authority;
use http::{Method, Request, Version};

use super::App;
use super::client::Client;
use super::error::Error;
use super::peer::Peer;
use super::query::Query;
use super::route::{Route, Target};
use crate::auth::challenge::Need;
use crate::auth::{LoginError, Refusal};
use crate::oci::RepositoryName;

/// What is kept of a request for the case that it is refused. Cheap to make.
pub(super) struct Asked {
    host: Option<HeaderValue>,
    authority: Option<Authority>,
    is_encrypted: bool,
    method: Method,
    repository: Option<String>,
    /// Where a mount is from.
    from: Option<String>,
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
    pub(super) fn of<B>(
        request: &Request<B>,
        route: Option<&Route>,
        repository: Option<&str>,
        client: &Client,
    ) -> Self {
        let kind = match route.map(|route| &route.target) {
            Some(Target::Catalog) => Kind::Catalog,
            Some(Target::Upload(..)) => Kind::Upload,
            _ => Kind::Other,
        };
        Self {
            host: request.headers().get(HOST).cloned(),
            authority: client.authority.clone().or_else(|| request.uri().authority().cloned()),
            is_encrypted: match &client.scheme {
                Some(scheme) => *scheme == http::uri::Scheme::HTTPS,
                None => request.extensions().get::<Peer>().is_some_and(Peer::is_encrypted),
            },
            method: request.method().clone(),
            repository: repository.map(str::to_owned),
            from: from(request, route),
            kind,
        }
    }

    /// Returns the challenge that goes with a failure; `None` where it is none of who asks.
    pub(super) fn challenge(&self, app: &App, error: &Error) -> Option<String> {
        let error = match error {
            Error::Login(LoginError::Overloaded | LoginError::Held { .. } | LoginError::Unavailable) => {
                return None;
            }
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
        let mut scope = format!("repository:{name}:{actions}");
        if let Some(from) = &self.from {
            scope += &format!(" repository:{from}:pull");
        }
        scope
    }
}

/// Checks that a request which came over a connection names one host, and one that is one: a proxy in front may
/// read the other, and challenges are made of it.
///
/// What is asked within the process has no connection, and needs no host. Nor does HTTP/2, whose authority was
/// checked when it was read, or a client that is older than hosts.
///
/// *Errors:* [`Error::Host`]. *Spec:* RFC 9112 section 3.2.
pub(super) fn check_host<B>(request: &Request<B>) -> Result<(), Error> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let is_one = match (hosts.next(), hosts.next()) {
        // It may be empty where the client knows no name.
        (Some(host), None) => host.is_empty() || is_host(host),
        (None, None) => request.version() != Version::HTTP_11 || request.extensions().get::<Peer>().is_none(),
        _ => false,
    };
    if is_one { Ok(()) } else { Err(Error::Host) }
}

/// Says whether a value is a host with or without a port.
fn is_host(value: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(value.as_bytes()) else { return false };
    let port = authority.as_str().strip_prefix(authority.host());
    port.is_some_and(|port| port.is_empty() || port == ":" || authority.port_u16().is_some())
}

/// Returns the repository that a mount takes its blob from.
fn from<B>(request: &Request<B>, route: Option<&Route>) -> Option<String> {
    let Some(Target::Uploads(_)) = route.map(|route| &route.target) else { return None };
    let query = Query::parse(request.uri().query()?).ok()?;
    let name = RepositoryName::parse(query.one("from").ok()??).ok()?;
    Some(name.as_str().to_owned())
}
