//! Pages beside the API that only some may read: who asks is identified as everywhere.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::middleware::{self, Next};
use http::header::HeaderMap;
use http::{Request, Response};

use super::asker::Asker;
use super::client::client;
use super::error::{self, Error};
use super::origin::Asked;
use super::peer::Peer;
use super::{App, dispatch};

/// Lets only those see the pages who may read the metrics.
pub(super) fn metrics(app: &App, pages: Router) -> Router {
    pages.layer(middleware::from_fn_with_state(app.clone(), guarded))
}

async fn guarded(State(app): State<App>, request: Request<Body>, next: Next) -> Response<Body> {
    let peer: Option<Peer> = request.extensions().get().cloned();
    let address = peer.as_ref().map(|peer| peer.address().ip());
    let asker = Asker::new(client(address, request.headers(), &app.0.options.trusted_proxies));
    let asked = Asked::of(&request, None, None, &asker.client);
    match admit(&app, &asker, request.headers().clone(), peer).await {
        Ok(()) => next.run(request).await,
        Err(error) => {
            let challenge = asked.challenge(&app, &error);
            let (status, headers, body) = error::render(&error, challenge.as_deref());
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
    }
}

async fn admit(app: &App, asker: &Asker, headers: HeaderMap, peer: Option<Peer>) -> Result<(), Error> {
    let access = app.access();
    let identity = dispatch::identify(&access, asker, &headers, peer.as_ref()).await?;
    Ok(access.metrics(&identity)?)
}
