//! Goal: a server that stops, is too busy, breaks off or loses its answers costs time and single requests,
//! and nothing that was answered; when it works again so does everything, without a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::Method;
use serde_json::json;
use wharfinger::backend::object::bucket::{Bucket, Put};
use wharfinger::backend::{Backend, Error, Key, Outcome, When};

use crate::servers::azurite::Azurite;
use crate::servers::lens::{Bend, Lens};
use crate::servers::moto::Moto;
use crate::servers::{Place, over};
use crate::support::layout::sha256;
use crate::support::program::{Berth, Program};

const MIB: usize = 1024 * 1024;

fn content(len: usize) -> Bytes {
    sim::rng::Rng::labelled(1, "outage").bytes(len).into()
}

/// A server behind a lens.
async fn behind_lens(test: &str) -> Option<(Moto, Lens, Place)> {
    let moto = Moto::start(test).await?;
    let lens = Lens::before(&moto.url).await;
    let place = moto.place().with("endpoint", &lens.url);
    Some((moto, lens, place))
}

/// An upload of which a first chunk is there, and where it goes on.
async fn begin_upload(program: &Program, wire: &reqwest::Client, first: Bytes) -> String {
    let opened = wire.post(format!("{}/v2/app/blobs/uploads/", program.url)).send().await.unwrap();
    let at = format!("{}{}", program.url, opened.headers()["location"].to_str().unwrap());
    let sent = wire.patch(&at).body(first).send().await.unwrap();
    assert_eq!(sent.status(), 202);
    at
}

/// The server goes away between two chunks of a push: what is asked meanwhile is 503, and then all goes on.
async fn stop_and_resume(place: &Place, stop: impl AsyncFnOnce(), resume: impl AsyncFnOnce()) {
    let (berth, wire) = (Berth::new(), reqwest::Client::new());
    let program = berth.start(place.storage(), &json!({})).await;
    let bytes = content(13 * MIB);
    let at = begin_upload(&program, &wire, bytes.slice(..6 * MIB)).await;
    let other = begin_upload(&program, &wire, bytes.slice(..6 * MIB)).await;
    stop().await;
    let failed = wire.patch(&other).body(bytes.slice(6 * MIB..)).send().await.unwrap();
    assert_eq!(failed.status(), 503);
    assert!(failed.headers().contains_key("retry-after"), "{failed:?}");
    resume().await;
    let put = format!("{at}?digest={}", sha256(&bytes));
    let range = format!("{}-{}", 6 * MIB, 13 * MIB - 1);
    let done =
        wire.put(put).header("content-range", range).body(bytes.slice(6 * MIB..)).send().await.unwrap();
    assert_eq!(done.status(), 201, "{}", done.text().await.unwrap());
    let pulled = wire.get(format!("{}/v2/app/blobs/{}", program.url, sha256(&bytes))).send().await.unwrap();
    assert_eq!(pulled.bytes().await.unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_moto_that_comes_back_has_lost_no_push() {
    let Some((_moto, lens, place)) = behind_lens("p2_moto_that_comes_back_has_lost_no_push").await else {
        return;
    };
    let lens = tokio::sync::Mutex::new(lens);
    stop_and_resume(
        &place,
        async || lens.lock().await.stop().await,
        async || lens.lock().await.resume().await,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_azurite_that_comes_back_has_lost_no_push() {
    let Some(azurite) = Azurite::start("p2_azurite_that_comes_back_has_lost_no_push").await else { return };
    let place = azurite.place();
    let azurite = tokio::sync::Mutex::new(azurite);
    stop_and_resume(
        &place,
        async || azurite.lock().await.stop(),
        async || azurite.lock().await.resume().await,
    )
    .await;
}

/// A server that has too many requests is asked again, a bounded number of times.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_asked_again_within_bounds() {
    let Some((_moto, lens, place)) = behind_lens("a_busy_server_is_asked_again_within_bounds").await else {
        return;
    };
    let client = place.client();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    lens.bend(
        move |_, _| if count.fetch_add(1, Ordering::SeqCst) < 2 { Bend::SlowDown } else { Bend::Clear },
    );
    client.put("a", Bytes::from_static(b"a"), Put::New).await.unwrap().expect("it is new");
    assert_eq!(asked.load(Ordering::SeqCst), 3, "the third time it is carried out");
    let count = Arc::clone(&asked);
    count.store(0, Ordering::SeqCst);
    lens.bend(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        Bend::SlowDown
    });
    let error = client.get("a", None).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 5, "the first time, and four more");
}

/// A removal is a POST, which the client of the provider does not repeat when a connection breaks.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_whose_connection_breaks_is_asked_again() {
    let Some((_moto, lens, place)) = behind_lens("a_removal_whose_connection_breaks_is_asked_again").await
    else {
        return;
    };
    let client = place.client();
    client.put("a", Bytes::from_static(b"a"), Put::Any).await.unwrap();
    let mut left = 1;
    lens.bend(move |method, _| {
        left -= i32::from(method == Method::POST);
        if method == Method::POST && left >= 0 { Bend::Half } else { Bend::Clear }
    });
    client.remove(vec!["a".to_owned()]).await.unwrap();
    assert_eq!(client.get("a", None).await.unwrap(), None);
}

/// Credentials that have expired are no outage: nothing is asked again, and the error says what it is.
#[tokio::test(flavor = "multi_thread")]
async fn expired_credentials_are_not_asked_for_again() {
    let Some((_moto, lens, place)) = behind_lens("expired_credentials_are_not_asked_for_again").await else {
        return;
    };
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    lens.bend(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        Bend::Expired
    });
    let error = place.client().get("a", None).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    let mut told = String::new();
    let mut source: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = source {
        told.push_str(&error.to_string());
        source = error.source();
    }
    assert!(told.contains("ExpiredToken"), "{told}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// The server answers 409 to a write that met another one which then failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_looked_at_again() {
    let Some((_moto, lens, place)) = behind_lens("a_conflict_is_looked_at_again").await else { return };
    let backend = over(Arc::new(place.client())).await;
    let (key, one, two) = (Key::new("a"), Bytes::from_static(b"one"), Bytes::from_static(b"two"));
    for (record, when) in [(&one, When::Absent), (&two, When::Is(one.clone()))] {
        let mut conflicts = 2;
        lens.bend(move |method, _| {
            conflicts -= i32::from(method == Method::PUT);
            if method == Method::PUT && conflicts >= 0 { Bend::Conflict } else { Bend::Clear }
        });
        assert_eq!(backend.write(&key, record.clone(), when).await.unwrap(), Outcome::Done);
        assert_eq!(backend.read(&key).await.unwrap().as_ref(), Some(record));
    }
}

/// A write is carried out, its answer lost, and what the client tries again is refused by it: it was done.
#[tokio::test(flavor = "multi_thread")]
async fn p2_a_write_whose_answer_was_lost_is_done_once() {
    let Some((_moto, lens, place)) = behind_lens("p2_a_write_whose_answer_was_lost_is_done_once").await
    else {
        return;
    };
    let backend = over(Arc::new(place.client())).await;
    let (key, one, two) = (Key::new("a"), Bytes::from_static(b"one"), Bytes::from_static(b"two"));
    for (record, when) in [(&one, When::Absent), (&two, When::Is(one.clone()))] {
        let mut puts = 0;
        lens.bend(move |method, _| {
            puts += i32::from(method == Method::PUT);
            if method == Method::PUT && puts == 1 { Bend::NoAnswer } else { Bend::Clear }
        });
        assert_eq!(backend.write(&key, record.clone(), when).await.unwrap(), Outcome::Done);
        assert_eq!(backend.read(&key).await.unwrap().as_ref(), Some(record));
    }
}

/// The body of an object breaks off once, and is gone on with; or always, and is an error, never an end.
#[tokio::test(flavor = "multi_thread")]
async fn p1_a_body_that_breaks_off_is_never_an_end() {
    let Some((_moto, lens, place)) = behind_lens("p1_a_body_that_breaks_off_is_never_an_end").await else {
        return;
    };
    let (client, bytes) = (place.client(), content(3 * MIB));
    client.put("a", bytes.clone(), Put::Any).await.unwrap();
    let mut left = 1;
    lens.bend(move |method, _| {
        left -= i32::from(method == Method::GET);
        if method == Method::GET && left >= 0 { Bend::Half } else { Bend::Clear }
    });
    let whole: Vec<Bytes> = client.stream("a", 0..bytes.len() as u64).try_collect().await.unwrap();
    assert_eq!(whole.concat(), bytes);
    lens.bend(|method, _| if method == Method::GET { Bend::Half } else { Bend::Clear });
    let cut: Result<Vec<Bytes>, Error> = client.stream("a", 0..bytes.len() as u64).try_collect().await;
    assert!(matches!(cut, Err(Error::Unreachable { .. })), "{cut:?}");
}

/// What the client of the program is told, and what the log says; all of it ends without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_tells_what_the_server_said() {
    let Some((_moto, lens, place)) = behind_lens("the_program_tells_what_the_server_said").await else {
        return;
    };
    let (berth, wire, bytes) = (Berth::new(), reqwest::Client::new(), content(3 * MIB));
    let program = berth.start(place.storage(), &json!({})).await;
    let push = format!("{}/v2/app/blobs/uploads/?digest={}", program.url, sha256(&bytes));
    assert_eq!(wire.post(push).body(bytes.clone()).send().await.unwrap().status(), 201);
    let url = format!("{}/v2/app/blobs/{}", program.url, sha256(&bytes));
    for (bend, status, words) in [(Bend::SlowDown, 503, "SlowDown"), (Bend::Expired, 500, "ExpiredToken")] {
        lens.bend(move |_, _| bend);
        let answer = wire.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers().contains_key("retry-after"), status == 503, "{answer:?}");
        let told = answer.text().await.unwrap();
        assert!(!told.contains(words), "what the server said is for the log: {told}");
        let log = std::fs::read_to_string(berth.path("wharfinger-0.log")).unwrap();
        assert!(log.contains("a request failed") && log.contains(words), "{log}");
    }
    lens.bend(
        |method, path| {
            if method == Method::GET && path.contains("/content/") { Bend::Half } else { Bend::Clear }
        },
    );
    let cut = wire.get(&url).send().await.unwrap();
    assert_eq!(cut.status(), 200);
    assert!(cut.bytes().await.is_err(), "a body that breaks off is no whole one");
    lens.bend(|_, _| Bend::Clear);
    assert_eq!(wire.get(&url).send().await.unwrap().bytes().await.unwrap(), bytes);
}
