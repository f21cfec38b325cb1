//! Goal: a blob of any size passes through a server that holds little of it.
//! Method: 1 GiB is generated while it is sent and hashed while it is read; the kernel tells the
//! most memory that the server ever held.

use sha2::{Digest, Sha256};

use crate::support::{Folder, Launch, hex};

const BLOB_BYTES: u64 = 1 << 30;
const PIECE: usize = 256 * 1024;
const PEAK_MAX_KIB: u64 = 64 * 1024;

/// Makes the piece of the blob with this number: no two are alike.
fn piece(number: u64, bytes: &mut [u8]) {
    for (word, eight) in bytes.chunks_exact_mut(8).enumerate().step_by(64) {
        eight.copy_from_slice(&(number ^ ((word as u64) << 32)).to_le_bytes());
    }
}

#[test]
fn p6_a_gibibyte_passes_within_64_mebibytes() {
    let folder = Folder::new();
    let server = Launch::on(&folder).start();
    let mut wire = server.connect();
    let opened = wire.call("POST", "/v2/team/large/blobs/uploads/", &[], &[]).expect("there is an answer");
    let path = opened.header("location").to_owned();

    let length = BLOB_BYTES.to_string();
    wire.send_head("PATCH", &path, &[("Content-Length", &length)]).expect("it reads");
    let (mut hasher, mut bytes) = (Sha256::new(), vec![0; PIECE]);
    for number in 0..BLOB_BYTES / PIECE as u64 {
        piece(number, &mut bytes);
        hasher.update(&bytes);
        wire.send(&bytes).expect("it reads");
    }
    assert_eq!(wire.answer("PATCH").expect("there is an answer").status, 202);
    let digest = hex(&hasher.finalize());
    let target = format!("{path}?digest={digest}");
    let committed = wire.call("PUT", &target, &[], &[]).expect("there is an answer");
    assert_eq!(committed.status, 201, "{committed:?}");
    let pushed = server.peak_memory_kib();

    wire.send_head("GET", &format!("/v2/team/large/blobs/{digest}"), &[]).expect("it reads");
    let head = wire.head().expect("there is an answer");
    assert_eq!((head.status, head.header("content-length")), (200, length.as_str()));
    let (mut hasher, mut left) = (Sha256::new(), BLOB_BYTES);
    while left > 0 {
        let read = wire.read(&mut bytes).expect("it sends");
        assert!(read > 0, "{left} bytes are missing");
        hasher.update(&bytes[..read]);
        left -= read as u64;
    }
    assert_eq!(hex(&hasher.finalize()), digest);
    let peak = server.peak_memory_kib();
    println!("peak memory: {pushed} KiB after the push, {peak} KiB after the pull");
    assert!(peak < PEAK_MAX_KIB, "the server held {peak} KiB");
}
