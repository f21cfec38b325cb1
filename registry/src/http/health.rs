//! `/livez`, `/readyz`, `/startupz`, for those who keep processes alive. They need no account.
//!
//! The listener opens when the store is open, so started and live are one; ready ends when
//! draining begins.

use axum::Router;
use axum::routing::get;
use http::StatusCode;

use super::App;

pub(super) fn router(app: &App) -> Router {
    let app = app.clone();
    let ready = move || async move {
        if app.is_draining() {
            (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        } else {
            (StatusCode::OK, "ready\n")
        }
    };
    Router::new()
        .route("/livez", get(|| async { "live\n" }))
        .route("/startupz", get(|| async { "started\n" }))
        .route("/readyz", get(ready))
}
