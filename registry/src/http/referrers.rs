//! `/v2/<name>/referrers/<digest>`.
//!
//! *Spec:* `[end-12a]`, `[end-12b]`.

use axum::body::Body;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue, LINK};
use serde_json::json;

use super::dispatch::Call;
use super::error::Error;
use super::headers::{self, OCI_FILTERS_APPLIED};
use super::query;
use super::route::Target;
use crate::oci::media_type::OCI_INDEX;
use crate::oci::{Digest, RepositoryName};
use crate::repository::ReferrersQuery;

pub(super) async fn list(
    call: &Call<'_>,
    name: &RepositoryName,
    subject: &Digest,
) -> Result<Response<Body>, Error> {
    let grant = call.grant(name)?;
    let namespace = call.namespace()?;
    // Several types are any of them, as containerd asks.
    let types: Vec<&str> = call.query.all("artifactType").filter(|wanted| !wanted.is_empty()).collect();
    let after = call.query.one("last")?.map(Digest::parse).transpose()?.map(|last| last.to_string());
    let bytes_max = Some(call.app.0.options.referrers_page_bytes_max);
    let query = ReferrersQuery { after: after.as_deref(), types: &types, bytes_max };
    let listed = call.repositories.referrers(&grant, namespace, subject, query).await?;
    let page = &listed.page;
    let body = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page.descriptors});
    let mut response = Response::new(Body::from(body.to_string()));
    let map = response.headers_mut();
    map.insert(CONTENT_TYPE, HeaderValue::from_static(OCI_INDEX));
    if !types.is_empty() {
        map.insert(OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    if let Some(last) = page.descriptors.last().filter(|_| page.more) {
        let path = Target::Referrers(name.clone(), *subject);
        let filters: String =
            types.iter().map(|wanted| format!("&artifactType={}", query::encode(wanted))).collect();
        let (last, namespace) = (last.digest.to_string(), query::namespace(namespace));
        let last = query::encode(&last);
        map.insert(LINK, headers::next_page(format_args!("{path}?last={last}{filters}{namespace}")));
    }
    headers::warn_of_stale(&mut response, listed.stale.as_deref());
    call.name_namespace(&mut response)?;
    Ok(response)
}
