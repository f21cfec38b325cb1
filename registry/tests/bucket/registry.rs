//! Goal: the registry over the bucket of a server passes its own suite, as it does over a disk.

use std::sync::Arc;

use axum::Router;
use conformance::check::Outcome;
use wharfinger::auth::Access;
use wharfinger::clock::Clock;
use wharfinger::http::{App, listener, options};
use wharfinger::repository::{Repositories, Stores};
use wharfinger::store::Store;
use wharfinger::store::options::{Options, Writers};
use wharfinger::upstream::Routes;

use crate::servers::Place;
use crate::servers::azurite::Azurite;
use crate::servers::moto::Moto;

async fn conforms(place: &Place) {
    let store = Options { writers: Writers::Several, ..Options::default() };
    let opened = Store::open(Arc::new(place.backend().await), store, Clock::system()).await.unwrap();
    let stores = Stores::new(opened, Default::default(), Default::default());
    let repositories = Repositories::new(stores, Routes::default(), Default::default(), Clock::system());
    let http = options::Options { port: 0, ..options::Options::default() };
    let app = App::new(
        repositories,
        Access::new(&wharfinger::auth::options::Options::default()).unwrap(),
        http.clone(),
    );
    let (socket, address) = listener::bind(&http).await.unwrap();
    let router = app.router(Router::new());
    tokio::spawn(async move { listener::serve(socket, router, &http, std::future::pending()).await });
    let report = conformance::run(conformance::Options::new(format!("http://{address}"))).await.unwrap();
    assert!(report.failures().is_empty(), "{}", conformance::report::text(&report));
    assert!(report.count(Outcome::Pass) > 150, "{}", conformance::report::text(&report));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_on_moto_conforms() {
    let Some(moto) = Moto::start("a_registry_on_moto_conforms").await else { return };
    conforms(&moto.place()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_on_azurite_conforms() {
    let Some(azurite) = Azurite::start("a_registry_on_azurite_conforms").await else { return };
    conforms(&azurite.place()).await;
}
