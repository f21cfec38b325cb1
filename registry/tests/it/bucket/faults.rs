//! Goal: a bucket that fails is told to the client as what it is, nothing that was answered is lost, and as
//! soon as it works again everything does, without a restart.
//! Method: a bucket in memory whose requests meet the fate that a test wants.

use std::time::Duration;

use wharfinger::backend::object::memory::Fate;

use super::bench::{Bench, content};
use crate::support::log::Log;
use crate::support::{Answer, Client, image, sha256};

const MIB: usize = 1024 * 1024;

/// What was asked, what came, and what was logged.
type Asked = (String, Answer, String);

/// Sends every sort of request, each for something that is there.
async fn everything(client: &Client, log: &Log, layer: &str) -> Vec<Asked> {
    let blob = format!("/v2/app/blobs/{layer}");
    let fresh = format!("/v2/app/blobs/uploads/?digest={}", sha256(b"fresh"));
    let manifest = image(&[(&sha256(b"{}"), 2)], &[]);
    let body = manifest.to_string();
    let kind = [("content-type", manifest["mediaType"].as_str().unwrap())];
    let mut answers = Vec::new();
    for (method, path, headers, body) in [
        ("GET", "/v2/app/manifests/v1", &[][..], ""),
        ("HEAD", "/v2/app/manifests/v1", &[], ""),
        ("GET", &blob, &[], ""),
        ("HEAD", &blob, &[], ""),
        ("GET", "/v2/app/tags/list", &[], ""),
        ("POST", "/v2/app/blobs/uploads/", &[], ""),
        ("POST", &fresh, &[], "fresh"),
        ("PUT", "/v2/app/manifests/v2", &kind, &body),
        ("DELETE", "/v2/app/manifests/v1", &[], ""),
    ] {
        let answer = client.call(method, path, headers, body.to_owned()).await;
        answers.push((format!("{method} {path}"), answer, log.take()));
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_does_not_answer_is_503_until_it_does() {
    for fate in [Fate::SlowDown, Fate::AnswerLost, Fate::Late] {
        let bench = Bench::new();
        bench.open().await.push_image("app", "v1", b"layer").await;
        let client = bench.open().await;
        let (log, _listening) = Log::listen();
        bench.sky.all(fate);
        for (what, answer, logged) in everything(&client, &log, &sha256(b"layer")).await {
            assert_eq!(answer.status, 503, "{fate:?} {what}: {answer:?}");
            assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0, "{what}: {answer:?}");
            if !what.starts_with("HEAD") {
                assert_eq!(answer.code(), "UNKNOWN", "{what}");
            }
            assert!(
                logged.contains("ERROR") && logged.contains("the bucket did not carry out"),
                "{what}: {logged}"
            );
        }
        assert_eq!(client.get("/v2/").await.status, 200, "what needs no bucket is answered");
        bench.sky.clear();
        bench.bucket.land();
        for (what, answer, _) in everything(&client, &log, &sha256(b"layer")).await {
            assert!(answer.status.is_success() && !answer.cut, "{fate:?} {what}: {answer:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_have_expired_are_500_and_the_log_says_so() {
    let bench = Bench::new();
    bench.open().await.push_image("app", "v1", b"layer").await;
    let client = bench.open().await;
    let (log, _listening) = Log::listen();
    bench.sky.all(Fate::Expired);
    for (what, answer, logged) in everything(&client, &log, &sha256(b"layer")).await {
        assert_eq!(answer.status, 500, "{what}: {answer:?}");
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!body.contains("credential"), "what is in the log is not for clients: {body}");
        assert!(
            logged.contains("ERROR") && logged.contains("the credentials are not valid"),
            "{what}: {logged}"
        );
    }
    bench.sky.clear();
    for (what, answer, _) in everything(&client, &log, &sha256(b"layer")).await {
        assert!(answer.status.is_success() && !answer.cut, "{what}: {answer:?}");
    }
}

/// The server says that two writes met, though nobody else writes: it is asked again.
#[tokio::test(start_paused = true)]
async fn a_conflict_that_was_none_is_not_told_to_the_client() {
    let bench = Bench::new();
    let client = bench.open().await;
    let mut number = 0;
    bench.sky.set(move |request| {
        // Only writes that have a condition can meet another.
        let is_whole = request.name.starts_with("uploads/") && request.name.ends_with("/state");
        let is_conditional = request.operation == "put" && request.name.contains("s/") && !is_whole;
        number += u64::from(is_conditional && !request.name.starts_with("tails/"));
        let meets = is_conditional && !request.name.starts_with("tails/") && number % 3 == 0;
        if meets { Fate::Conflict } else { Fate::Answered }
    });
    for tag in ["v1", "v1", "v2"] {
        client.push_image("app", tag, tag.as_bytes()).await;
    }
    assert_eq!(client.get("/v2/app/manifests/v2").await.status, 200);
}

/// Whether it was carried out is not known, so the client is told to ask again; when he does, all is well.
#[tokio::test(start_paused = true)]
async fn p2_a_lost_answer_is_asked_for_again() {
    for lost in 1..40 {
        let bench = Bench::new();
        let client = bench.open().await;
        let (config, layer) = (client.push_blob("app", b"{}").await, client.push_blob("app", b"layer").await);
        let manifest = image(&[(&config, 2)], &[(&layer, 5)]);
        let mut number = 0;
        bench.sky.set(move |_| {
            number += 1;
            if number == lost { Fate::AnswerLost } else { Fate::Answered }
        });
        let first = client.push_manifest("app", "v1", &manifest).await;
        bench.sky.clear();
        assert!(first.status == 503 || first.status == 201, "{lost}: {first:?}");
        let again = client.push_manifest("app", "v1", &manifest).await;
        assert_eq!(again.status, 201, "{lost}: {again:?}");
        let got = bench.open().await.get("/v2/app/manifests/v1").await;
        assert_eq!(got.body, manifest.to_string(), "{lost}");
    }
}

/// What the bucket has lost of a blob is never sent as if it were the whole.
#[tokio::test(start_paused = true)]
async fn p1_a_body_that_the_bucket_cuts_short_is_cut_for_the_client() {
    let bench = Bench::new();
    let client = bench.open().await;
    let bytes = content(MIB, 1);
    let digest = client.push_blob("app", &bytes).await;
    let object = bench.bucket.names().into_iter().find(|name| name.starts_with("content/")).unwrap();
    for left in [MIB - 1, MIB / 2, 0] {
        bench.bucket.damage(&object, |bytes| bytes.truncate(left));
        let answer = client.get(&format!("/v2/app/blobs/{digest}")).await;
        assert!(answer.cut || !answer.status.is_success(), "{left}: {}", answer.status);
        assert!(answer.body.len() < MIB, "{left}");
    }
    // The same bytes heal it.
    assert_eq!(client.push_blob("app", &bytes).await, digest);
    let answer = client.get(&format!("/v2/app/blobs/{digest}")).await;
    assert!(answer.status == 200 && !answer.cut && answer.body == bytes, "{}", answer.status);
}

/// A part that the bucket refuses costs the upload, and nothing else: the next one has no trace of it.
#[tokio::test(start_paused = true)]
async fn p2_an_upload_whose_part_is_refused_is_pushed_again() {
    for operation in ["begin", "part", "complete", "put", "remove"] {
        let bench = Bench::new();
        let client = bench.open().await;
        let bytes = content(12 * MIB, 2);
        let path = format!("/v2/app/blobs/uploads/?digest={}", sha256(&bytes));
        bench.sky.next(operation, Fate::SlowDown);
        let first = client.call("POST", &path, &[], bytes.clone()).await;
        assert!(first.status == 503 || first.status == 201, "{operation}: {first:?}");
        let again = client.call("POST", &path, &[], bytes.clone()).await;
        assert_eq!(again.status, 201, "{operation}: {again:?}");
        let got = client.get(&format!("/v2/app/blobs/{}", sha256(&bytes))).await;
        assert!(got.status == 200 && !got.cut && got.body == bytes, "{operation}: {}", got.status);
    }
}

/// The client of a provider tries again what it heard no answer of, and is refused by what it has written
/// itself: neither the first write of an upload nor a later one is lost by that.
#[tokio::test(start_paused = true)]
async fn p2_an_upload_is_not_ended_by_its_own_write() {
    for written in 1..=3 {
        let bench = Bench::new();
        let client = bench.open().await;
        let mut number = 0;
        bench.sky.set(move |request| {
            number += i32::from(request.operation == "put" && request.name.ends_with("/data"));
            let is_it = request.operation == "put" && request.name.ends_with("/data") && number == written;
            if is_it { Fate::Refused } else { Fate::Answered }
        });
        let opened = client.call("POST", "/v2/app/blobs/uploads/", &[], "").await;
        assert_eq!(opened.status, 202, "{written}: {opened:?}");
        let at = opened.header("location").to_owned();
        for piece in ["01", "23"] {
            let patched = client.call("PATCH", &at, &[], piece).await;
            assert_eq!(patched.status, 202, "{written}: {patched:?}");
        }
        let put = format!("{at}?digest={}", sha256(b"0123"));
        assert_eq!(client.call("PUT", &put, &[], "").await.status, 201, "{written}");
    }
}

/// A DELETE is answered 503, since its end is not known. What is pushed after it stays, whenever the delete is
/// carried out.
#[tokio::test(start_paused = true)]
async fn p2_a_delete_that_comes_late_takes_no_later_push() {
    let manifest = image(&[(&sha256(b"{}"), 2)], &[(&sha256(b"layer"), 5)]);
    let digest = sha256(manifest.to_string().as_bytes());
    let by_digest = format!("/v2/app/manifests/{digest}");
    let blob = format!("/v2/app/blobs/{}", sha256(b"loose"));
    let mut undone = Vec::new();
    for path in ["/v2/app/manifests/v1", &by_digest, &blob] {
        for late in 1..12 {
            let bench = Bench::new();
            let client = bench.open().await;
            client.push_blob("app", b"loose").await;
            client.push_image("app", "v1", b"layer").await;
            let mut number = 0;
            bench.sky.set(move |request| {
                number += i32::from(request.operation == "put");
                if request.operation == "put" && number == late { Fate::Late } else { Fate::Answered }
            });
            let deleted = client.call("DELETE", path, &[], "").await;
            bench.sky.clear();
            if deleted.status != 503 {
                continue;
            }
            // What the lost delete claims stands until it can no longer come; a push waits for that, and is told.
            let mut pushed = client.push_manifest("app", &digest, &manifest).await;
            while pushed.status == 503 {
                tokio::time::sleep(Duration::from_secs(60)).await;
                pushed = client.push_manifest("app", &digest, &manifest).await;
            }
            client.push_blob("app", b"loose").await;
            client.push_image("app", "v1", b"layer").await;
            bench.bucket.land();
            let fresh = bench.open().await;
            for pushed in ["/v2/app/manifests/v1", &by_digest, &blob] {
                let got = fresh.get(pushed).await;
                if got.status != 200 {
                    undone.push(format!("DELETE {path}, put {late}: {pushed} is {}", got.status));
                }
            }
        }
    }
    assert!(undone.is_empty(), "{undone:#?}");
}
