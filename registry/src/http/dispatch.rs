//! From a request to the noun that answers it: rate limit, route, who asks, which right.

use std::sync::Arc;

use axum::body::Body;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use tokio::time::Instant;

use super::app::Now;
use super::asker::Asker;
use super::error::Error;
use super::peer::Peer;
use super::query::Query;
use super::route::{Route, RouteError, Target, Verb};
use super::{
    App, api_keys, auth as token, base, blobs, catalog, headers, manifests, origin, referrers, tags, uploads,
};
use crate::auth::{self, Access, Grant, Identity, Overwrite, Push, Right, Transport};
use crate::clock::Timestamp;
use crate::oci::{Reference, RepositoryName, Tag};
use crate::repository::Repositories;

/// What conditions see of what a client calls itself, in bytes: it is copied for each decision.
const USER_AGENT_BYTES_MAX: usize = 512;

/// One request, routed and identified.
pub(super) struct Call<'a> {
    pub(super) app: &'a App,
    pub(super) asker: &'a Asker,
    pub(super) access: Arc<Access>,
    pub(super) repositories: Repositories,
    pub(super) verb: Verb,
    pub(super) identity: Identity,
    pub(super) version: http::Version,
    pub(super) headers: HeaderMap,
    pub(super) query: Query<'a>,
}

/// Answers a request, or says why not.
pub(super) async fn dispatch(
    app: &App,
    asker: &Asker,
    routed: Result<Route, RouteError>,
    request: Request<Body>,
) -> Result<Response<Body>, Error> {
    // Before anything is looked at: what is too much must cost next to nothing.
    let taken = app.limits().take(asker.source(), request.method(), Instant::now());
    taken.map_err(|wait| Error::RateLimited { wait })?;
    origin::check_host(&request)?;
    let route = routed?;
    let (parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    let Now { access, repositories } = app.now();
    if route.target == Target::Token {
        if !access.issues_tokens() {
            return Err(RouteError::Path.into());
        }
        return token::token(app, &access, asker, route.verb, &parts.headers, &query, body).await;
    }
    if route.target == Target::ApiKeys && !access.has_api_keys() {
        return Err(RouteError::Path.into());
    }
    let identity = identify(&access, asker, &parts.headers, parts.extensions.get()).await?;
    let identity = access.judged_by(identity, |now| circumstances(now, &route.target, &parts, asker));
    let (version, headers) = (parts.version, parts.headers);
    let call = Call { app, asker, access, repositories, verb: route.verb, identity, version, headers, query };
    match (route.target, route.verb) {
        (Target::Base | Target::Token, _) => base::get(&call),
        (Target::ApiKeys, _) => {
            let until = parts.extensions.get().and_then(Peer::valid_until);
            api_keys::answer(&call, until, body).await
        }
        (Target::Catalog, _) => catalog::list(&call).await,
        (Target::Tags(name), _) => tags::list(&call, &name).await,
        (Target::Cache(name), _) => catalog::purge(&call, &name).await,
        (Target::Referrers(name, digest), _) => referrers::list(&call, &name, &digest).await,
        (Target::Manifest(name, reference), Verb::Put) => manifests::put(&call, &name, reference, body).await,
        (Target::Manifest(name, reference), Verb::Delete) => {
            manifests::delete(&call, &name, &reference).await
        }
        (Target::Manifest(name, reference), _) => manifests::get(&call, &name, &reference).await,
        (Target::Blob(name, digest), Verb::Delete) => blobs::delete(&call, &name, &digest).await,
        (Target::Blob(name, digest), _) => blobs::get(&call, &name, &digest).await,
        (Target::Uploads(name), _) => uploads::open(&call, &name, body).await,
        (Target::Upload(name, id), Verb::Patch) => uploads::append(&call, &name, &id, body).await,
        (Target::Upload(name, id), Verb::Put) => uploads::commit(&call, &name, &id, body).await,
        (Target::Upload(name, id), Verb::Delete) => uploads::cancel(&call, &name, &id).await,
        (Target::Upload(name, id), _) => uploads::status(&call, &name, &id).await,
    }
}

/// Tells what conditions of the policy may be about.
fn circumstances(now: Timestamp, target: &Target, parts: &Parts, asker: &Asker) -> auth::Request {
    let peer = parts.extensions.get::<Peer>();
    let version = match &asker.client.scheme {
        Some(scheme) => (*scheme == http::uri::Scheme::HTTPS).then_some(""),
        None => peer.and_then(Peer::tls_version),
    };
    let user_agent = parts.headers.get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    let user_agent = &user_agent[..user_agent.len().min(USER_AGENT_BYTES_MAX)];
    auth::Request {
        time: now,
        method: parts.method.to_string(),
        user_agent: String::from_utf8_lossy(user_agent).into_owned(),
        reference: match target {
            Target::Manifest(_, reference) => Some(reference.clone()),
            Target::Blob(_, digest) | Target::Referrers(_, digest) => Some(Reference::Digest(*digest)),
            _ => None,
        },
        address: asker.client.address,
        transport: version.map_or(Transport::Plain, Transport::Tls),
    }
}

/// Tells who asks: by what the request says, and where it says nothing, by the certificate of its connection.
pub(super) async fn identify(
    access: &Access,
    asker: &Asker,
    headers: &HeaderMap,
    peer: Option<&Peer>,
) -> Result<Identity, Error> {
    let authorization = one(headers, &AUTHORIZATION)?;
    if authorization.is_none()
        && let Some((peer, certificates)) = peer.zip(access.certificates())
        && let Some(account) = peer.account(certificates, access.now())
    {
        let identity = Identity::of(account);
        asker.is(&identity, None);
        return Ok(identity);
    }
    asker.tries(authorization);
    let identified = access.identify_from(asker.source(), authorization.map(HeaderValue::as_bytes)).await;
    let identity = identified.inspect_err(|_| asker.claims(authorization))?;
    asker.is(&identity, authorization);
    Ok(identity)
}

/// Returns the value of a header about who asks, which may stand once.
pub(super) fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Error> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(Error::SeveralAuthorizations) } else { Ok(first) }
}

impl Call<'_> {
    /// Returns the caller's right to a repository.
    pub(super) fn grant<R: Right>(&self, name: &RepositoryName) -> Result<Grant<R>, Error> {
        Ok(self.access.grant(&self.identity, name)?)
    }

    /// Returns the caller's right to push a manifest under tags that the path does not name.
    ///
    /// A condition may be about each of them, so that the right is the least that he has to any.
    pub(super) fn grant_for_tags(&self, name: &RepositoryName, tags: &[Tag]) -> Result<Grant<Push>, Error> {
        let mut least = self.grant::<Push>(name)?;
        let Some(circumstances) = self.identity.circumstances() else { return Ok(least) };
        for tag in tags {
            let about = circumstances.about(Reference::Tag(tag.clone()));
            let grant = self.access.grant::<Push>(&self.identity.clone().under(about), name)?;
            if grant.overwrite() == Overwrite::Refused {
                least = grant;
            }
        }
        Ok(least)
    }

    /// Returns the registry that the client means, whether or not an upstream stands for it: one that
    /// states its namespaces is not asked about others.
    ///
    /// *Spec:* `spec.md#proxying`.
    pub(super) fn namespace(&self) -> Result<Option<&str>, Error> {
        Ok(self.query.one("ns")?.filter(|namespace| !namespace.is_empty()))
    }

    /// Tells the client which registry the answer is from, if an upstream stands for it.
    pub(super) fn name_namespace(&self, response: &mut Response<Body>) -> Result<(), Error> {
        if let Some(namespace) = self.namespace()?
            && self.repositories.is_claimed(namespace)
            && let Ok(value) = http::HeaderValue::from_str(namespace)
        {
            response.headers_mut().insert(headers::OCI_NAMESPACE, value);
        }
        Ok(())
    }
}
