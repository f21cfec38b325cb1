//! Goal: an upload is one, whichever processes its requests reach.
//!
//! *Method*: chunks of two uploads in turn, each to another process; chunks that begin where the upload does not
//! stand; other bytes for the same place through two processes at once.

use bytes::Bytes;
use futures_util::future::join;
use http::Method;
use sim::rng::Rng;

use super::fleet::{Answer, Ask, Config, Fleet};
use super::image::Blob;
use super::trial::{Trial, over_both};

const MIB: usize = 1024 * 1024;
/// More than a part of a bucket.
const LEN: usize = 6 * MIB + 17;
const OPEN: &str = "/v2/team/app/blobs/uploads/";

over_both!(p13_an_upload_goes_from_one_process_to_another, super::in_turn);
over_both!(p13_two_processes_get_a_chunk_at_once, super::at_once);

struct Upload {
    at: String,
    bytes: Bytes,
    sent: usize,
}

impl Upload {
    async fn open(fleet: &Fleet, at: usize, bytes: Bytes) -> Self {
        let opened = ask(fleet, at, Ask::new(Method::POST, OPEN)).await.expect(202);
        Self { at: opened.header("location").to_owned(), bytes, sent: 0 }
    }

    /// Makes a chunk of the bytes, which says where it begins.
    fn chunk(&self, from: usize, to: usize) -> Ask {
        Ask::new(Method::PATCH, self.at.clone())
            .header("content-range", format!("{from}-{}", to - 1))
            .with(self.bytes.slice(from..to))
    }

    /// Sends the next part of it.
    async fn go_on(&mut self, fleet: &Fleet, at: usize, len: usize) {
        let to = (self.sent + len).min(self.bytes.len());
        let answer = ask(fleet, at, self.chunk(self.sent, to)).await.expect(202);
        self.sent = to;
        assert_eq!(answer.header("range"), format!("0-{}", to - 1));
    }

    /// Sends a chunk that begins elsewhere, and asks where the upload stands.
    async fn go_astray(&self, fleet: &Fleet, at: usize) {
        let (from, to) = (self.sent + 1, self.sent + 100);
        let refused = ask(fleet, at, self.chunk(from, to)).await.expect(416);
        let stands = format!("0-{}", self.sent - 1);
        assert_eq!(
            (refused.header("range"), refused.header("location")),
            (stands.as_str(), self.at.as_str())
        );
        for at in 0..fleet.len() {
            assert_eq!(fleet.get(at, &self.at).await.expect(204).header("range"), stands);
        }
    }

    /// Sends the rest, and pulls the blob from everywhere.
    async fn close(self, fleet: &Fleet, at: usize) {
        let blob = Blob::new(self.bytes.clone());
        let put = Ask::new(Method::PUT, format!("{}?digest={}", self.at, blob.digest))
            .header("content-range", format!("{}-{}", self.sent, self.bytes.len() - 1))
            .with(self.bytes.slice(self.sent..));
        let done = ask(fleet, at, put).await.expect(201);
        assert_eq!(done.header("docker-content-digest"), blob.digest);
        for at in 0..fleet.len() {
            let pulled = fleet.get(at, &format!("/v2/team/app/blobs/{}", blob.digest)).await.expect(200);
            assert!(pulled.body == self.bytes, "replica {at} has other bytes");
            fleet.get(at, &self.at).await.expect(404);
        }
    }
}

async fn ask(fleet: &Fleet, at: usize, ask: Ask) -> Answer {
    fleet.ask(at, ask).await.expect("it runs")
}

async fn in_turn(trial: Trial) {
    let Some(fleet) = Fleet::start(&trial, 3, Config::plain()).await else { return };
    let mut rng = Rng::labelled(trial.seed, "uploads");
    let mut other = |limit: usize| usize::try_from(rng.below(limit as u64)).unwrap();
    // One with several parts of a bucket, and one whose chunks are smaller than one.
    let sizes = [11 * MIB + other(MIB), 10_000 + other(10_000)];
    let contents = sizes.map(|size| Bytes::from(Rng::labelled(trial.seed, "content").bytes(size)));
    let mut uploads = Vec::new();
    for (at, bytes) in contents.into_iter().enumerate() {
        uploads.push(Upload::open(&fleet, at, bytes).await);
    }
    for turn in 1..6 {
        for (number, upload) in uploads.iter_mut().enumerate() {
            // Never the one that had the chunk before.
            let len = upload.bytes.len() / 8 + other(upload.bytes.len() / 20);
            upload.go_on(&fleet, (turn + number) % 3, len).await;
            upload.go_astray(&fleet, other(3)).await;
        }
    }
    for (number, upload) in uploads.into_iter().enumerate() {
        upload.close(&fleet, number).await;
    }
    let wrong = Upload::open(&fleet, 0, Bytes::from_static(b"given up")).await;
    ask(&fleet, 1, wrong.chunk(0, 5)).await.expect(202);
    ask(&fleet, 2, Ask::new(Method::DELETE, wrong.at.clone())).await.expect(204);
    for at in 0..3 {
        fleet.get(at, &wrong.at).await.expect(404);
    }
}

/// Two processes get different bytes for the same place: one of them is told that it is not its turn, and where the
/// upload stands; sometimes both are. What was taken is what the blob has.
async fn at_once(trial: Trial) {
    let Some(fleet) = Fleet::start(&trial, 2, Config::plain()).await else { return };
    let contents = ["one", "two"].map(|label| Bytes::from(Rng::labelled(trial.seed, label).bytes(LEN)));
    for at in 0..2 {
        let mut upload = Upload::open(&fleet, at, contents[0].clone()).await;
        for part in 1..5 {
            let to = LEN * part / 5;
            let chunks = [0, 1].map(|by| {
                let all = [&upload.bytes[..upload.sent], &contents[by][upload.sent..]].concat();
                Upload { at: upload.at.clone(), bytes: all.into(), sent: upload.sent }
            });
            let send = |by: usize| ask(&fleet, by, chunks[by].chunk(upload.sent, to));
            let both = join(send(0), send(1)).await;
            let statuses = [both.0.status.as_u16(), both.1.status.as_u16()];
            assert!(statuses.iter().all(|status| [202, 409, 416].contains(status)), "{statuses:?}");
            assert_ne!(statuses, [202, 202], "both were told that their bytes were taken");
            let stands = fleet.get(at, &upload.at).await.expect(204).header("range").to_owned();
            let [chosen, other] = chunks;
            match statuses.iter().position(|status| *status == 202) {
                Some(by) => {
                    assert_eq!(stands, format!("0-{}", to - 1), "{statuses:?}");
                    upload = Upload { sent: to, ..if by == 0 { chosen } else { other } };
                }
                // `0--1` is nothing.
                None => assert_eq!(stands, format!("0-{}", upload.sent as i64 - 1), "{statuses:?}"),
            }
        }
        upload.close(&fleet, 1 - at).await;
    }
}
