//! `/v2/_catalog`: the repositories that the caller may read; and what is cached of one.

use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::json;

use super::dispatch::Call;
use super::error::Error;
use super::route::Target;
use super::tags::{Page, json_page};
use crate::oci::RepositoryName;

pub(super) async fn list(call: &Call<'_>) -> Result<Response<Body>, Error> {
    let reader = call.access.catalog(&call.identity)?;
    let page = Page::of(call)?;
    let may_read = |name: &RepositoryName| call.access.may_read(&reader, name);
    // One more than is shown tells whether more follow.
    let wanted = page.n().saturating_add(1);
    let names = call.repositories.catalog(page.last(), wanted, may_read).await?;
    let (names, more) = page.cut(&names, RepositoryName::as_str);
    let next = more.map(|last| page.link(&Target::Catalog, last.as_str(), None));
    let names: Vec<&str> = names.iter().map(RepositoryName::as_str).collect();
    Ok(json_page(&json!({ "repositories": names }), next))
}

/// Purges what is cached of a repository: `DELETE /v2/<name>/_wharfinger/cache`.
pub(super) async fn purge(call: &Call<'_>, name: &RepositoryName) -> Result<Response<Body>, Error> {
    let grant = call.grant(name)?;
    call.repositories.purge_cache(&grant, call.namespace()?).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
