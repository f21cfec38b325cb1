//! The page of metrics, in Prometheus' text format.

use axum::Router;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::PrometheusHandle;

/// Returns the router of the page.
///
/// *Shape:* `path` begins with a slash and has no parameters; the configuration has checked it.
pub fn router(path: &str, handle: PrometheusHandle) -> Router {
    let page = move || async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render()) };
    Router::new().route(path, get(page))
}
