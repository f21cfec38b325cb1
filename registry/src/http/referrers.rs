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
use crate::oci::{Descriptor, Digest, RepositoryName};

pub(super) async fn list(
    call: &Call<'_>,
    name: &RepositoryName,
    subject: &Digest,
) -> Result<Response<Body>, Error> {
    let grant = call.grant(name)?;
    let namespace = call.namespace()?;
    let mut descriptors = call.app.0.repositories.referrers(&grant, namespace, subject).await?;
    // Several types are any of them, as containerd asks.
    let types: Vec<&str> = call.query.all("artifactType").filter(|wanted| !wanted.is_empty()).collect();
    if !types.is_empty() {
        descriptors
            .retain(|descriptor| descriptor.artifact_type.as_deref().is_some_and(|own| types.contains(&own)));
    }
    if let Some(last) = call.query.one("last")? {
        let last = Digest::parse(last)?.to_string();
        descriptors.retain(|descriptor| descriptor.digest.to_string() > last);
    }
    let (page, more) = cut(&descriptors, call.app.0.options.referrers_page_bytes_max);
    let body = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page});
    let mut response = Response::new(Body::from(body.to_string()));
    let map = response.headers_mut();
    map.insert(CONTENT_TYPE, HeaderValue::from_static(OCI_INDEX));
    if !types.is_empty() {
        map.insert(OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    if let Some(last) = more {
        let path = Target::Referrers(name.clone(), *subject);
        let filters: String =
            types.iter().map(|wanted| format!("&artifactType={}", query::encode(wanted))).collect();
        let (last, namespace) = (last.to_string(), query::namespace(namespace));
        let last = query::encode(&last);
        map.insert(LINK, headers::next_page(format_args!("{path}?last={last}{filters}{namespace}")));
    }
    call.name_namespace(&mut response)?;
    Ok(response)
}

/// Cuts the first page off: as many descriptors as fit, at least one. The second part is the last
/// digest on it when more follow.
fn cut(descriptors: &[Descriptor], bytes_max: usize) -> (&[Descriptor], Option<Digest>) {
    let mut bytes = 0;
    for (count, descriptor) in descriptors.iter().enumerate() {
        bytes += serde_json::to_vec(descriptor).map_or(0, |json| json.len() + 1);
        if bytes > bytes_max && count > 0 {
            return (&descriptors[..count], Some(descriptors[count - 1].digest));
        }
    }
    (descriptors, None)
}
