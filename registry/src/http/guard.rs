//! Pages beside the API that only some may read: who asks is identified, limited and written down as everywhere.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::middleware::{self, Next};
use http::{Request, Response};
use tokio::time::Instant;

use super::asker::Asker;
use super::error::Error;
use super::{App, access_log, dispatch};

/// Lets only those see the pages who may read the metrics.
pub(super) fn metrics(app: &App, pages: Router) -> Router {
    pages.layer(middleware::from_fn_with_state(app.clone(), guarded))
}

async fn guarded(State(app): State<App>, request: Request<Body>, page: Next) -> Response<Body> {
    access_log::observed_page(&app, request, page).await
}

/// Answers a request for a page, or says why not.
pub(super) async fn answer(
    app: &App,
    asker: &Asker,
    request: Request<Body>,
    page: Next,
) -> Result<Response<Body>, Error> {
    let taken = app.limits().take_page(asker.source(), request.method(), Instant::now());
    taken.map_err(|wait| Error::RateLimited { wait })?;
    let (parts, body) = request.into_parts();
    let access = app.access();
    let identity = dispatch::identify(&access, asker, &parts.headers, parts.extensions.get()).await?;
    access.metrics(&identity)?;
    Ok(page.run(Request::from_parts(parts, body)).await)
}
