//! `/v2/_catalog`: the repositories that the caller may read.

use axum::body::Body;
use http::Response;
use serde_json::json;

use super::dispatch::Call;
use super::error::Error;
use super::route::Target;
use super::tags::{Page, json_page};
use crate::oci::RepositoryName;

pub(super) async fn list(call: &Call<'_>) -> Result<Response<Body>, Error> {
    call.app.0.access.base(&call.identity)?;
    let page = Page::of(call)?;
    let may_read = |name: &RepositoryName| call.app.0.access.may_read(&call.identity, name);
    let names = call.app.0.repositories.catalog(may_read).await?;
    let (names, more) = page.cut(&names, RepositoryName::as_str);
    let next = more.map(|last| page.link(&Target::Catalog, last.as_str(), None));
    let names: Vec<&str> = names.iter().map(RepositoryName::as_str).collect();
    Ok(json_page(&json!({ "repositories": names }), next))
}
