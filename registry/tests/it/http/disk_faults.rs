//! Goal (P2, P8): a disk that is full, fails, is read-only or forbids is told to the client as what it is; nothing
//! that was answered is lost, and the next request works, without a restart.
//! Method: each operation of the disk under a push, a tag move and a delete fails alone, once for each error.

use std::io::ErrorKind;
use std::sync::Arc;

use wharfinger::backend::disk::Disk;
use wharfinger::backend::faulty::{Fault, FaultyDisk};
use wharfinger::backend::memory::MemoryDisk;

use crate::support::{Answer, Client, Registry, image, sha256};

/// The errors of a disk, and what the client is told of each.
const FAULTS: [(ErrorKind, u16); 4] = [
    (ErrorKind::StorageFull, 507),
    (ErrorKind::Other, 500),
    (ErrorKind::ReadOnlyFilesystem, 500),
    (ErrorKind::PermissionDenied, 500),
];

/// A request and the status of its success.
struct Ask {
    method: &'static str,
    path: String,
    body: String,
    status: u16,
}

impl Ask {
    async fn send(&self, client: &Client) -> Answer {
        let kind = [("content-type", "application/vnd.oci.image.manifest.v1+json")];
        let headers = if self.path.contains("/manifests/") { &kind[..] } else { &[] };
        client.call(self.method, &self.path, headers, self.body.clone()).await
    }
}

/// Pushes two images under one tag, and deletes the first.
fn script() -> Vec<Ask> {
    let blob = |body: &str| {
        let path = format!("/v2/app/blobs/uploads/?digest={}", sha256(body.as_bytes()));
        Ask { method: "POST", path, body: body.to_owned(), status: 201 }
    };
    let manifest = |layers: &[&str]| {
        let layers: Vec<(String, usize)> =
            layers.iter().map(|it| (sha256(it.as_bytes()), it.len())).collect();
        let layers: Vec<(&str, usize)> = layers.iter().map(|(digest, len)| (digest.as_str(), *len)).collect();
        image(&[(&sha256(b"{}"), 2)], &layers).to_string()
    };
    let (first, second) = (manifest(&["one"]), manifest(&["one", "two"]));
    let put = |body: &str| Ask {
        method: "PUT",
        path: "/v2/app/manifests/v1".to_owned(),
        body: body.to_owned(),
        status: 201,
    };
    let path = format!("/v2/app/manifests/{}", sha256(first.as_bytes()));
    let delete = Ask { method: "DELETE", path, body: String::new(), status: 202 };
    vec![blob("{}"), blob("one"), put(&first), blob("two"), put(&second), delete]
}

/// Runs the script with one fault; says how many operations the disk had, and how many answers told of it.
async fn run(at: u64, kind: ErrorKind, told: u16) -> (u64, u64) {
    let disk = MemoryDisk::new();
    Registry { disk: Arc::new(disk.clone()), ..Registry::default() }.open().await;
    let faulty = FaultyDisk::new(Arc::new(disk.clone()), at, Fault::Error(kind));
    let over = |disk: Arc<dyn Disk>| Registry { disk, ..Registry::default() }.open();
    let client = over(Arc::new(faulty.clone())).await;
    let mut reported = 0;
    for ask in script() {
        let answer = ask.send(&client).await;
        let case = format!("{kind:?} at {at}: {} {}: {answer:?}", ask.method, ask.path);
        if answer.status != ask.status {
            assert_eq!(answer.status, told, "{case}");
            assert_eq!(answer.code(), "UNKNOWN", "{case}");
            reported += 1;
            let again = ask.send(&client).await;
            let was_done = ask.method == "DELETE" && again.status == 404;
            assert!(again.status == ask.status || was_done, "{case}: {again:?}");
        }
    }
    for client in [client, over(Arc::new(disk)).await] {
        let pulled = client.get("/v2/app/manifests/v1").await;
        assert_eq!(pulled.body, script()[4].body, "{kind:?} at {at}");
        for layer in ["{}", "one", "two"] {
            let blob = client.get(&format!("/v2/app/blobs/{}", sha256(layer.as_bytes()))).await;
            assert!(blob.body == layer && !blob.cut, "{kind:?} at {at}: {layer}");
        }
        assert_eq!(client.get(&script()[5].path).await.status, 404, "{kind:?} at {at}");
    }
    (faulty.operations(), reported)
}

#[tokio::test]
async fn p2_a_disk_that_fails_once_is_told_and_loses_nothing() {
    for (kind, told) in FAULTS {
        // What the start asks for comes first: it is the operator's matter, not a client's.
        let first = {
            let (disk, faulty) = (MemoryDisk::new(), |disk: &MemoryDisk| {
                FaultyDisk::new(Arc::new(disk.clone()), 0, Fault::Stop)
            });
            Registry { disk: Arc::new(disk.clone()), ..Registry::default() }.open().await;
            let counted = faulty(&disk);
            Registry { disk: Arc::new(counted.clone()), ..Registry::default() }.open().await;
            counted.operations() + 1
        };
        let (mut at, mut reported) = (first, 0);
        loop {
            let (operations, told) = run(at, kind, told).await;
            if operations < at {
                break;
            }
            reported += told;
            at += 1;
        }
        assert!(reported > 10, "{kind:?}: {reported} of {} faults were told", at - first);
    }
}
