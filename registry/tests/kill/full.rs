//! Goal: a full disk refuses pushes with 507, keeps pulls, shows nothing half-done, and recovers.
//! Method: a small file system, mounted where only the server sees it, filled over the API.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{
    Answer, Connection, Folder, Launch, Random, Server, Skip, digest_of, needs_package, skipped,
};

const IMAGE_BYTES: u64 = 24 << 20;
/// More than the file system can have.
const TOO_MUCH: usize = 30 << 20;
const CHUNK: usize = 1 << 20;

/// A file system image, mounted in a namespace of its own, which ends with the server.
struct Small {
    folder: Folder,
    mount: String,
}

impl Small {
    fn make() -> Result<Self, Skip> {
        needs_package("mkfs.ext4", "e2fsprogs")?;
        needs_package("unshare", "util-linux")?;
        let folder = Folder::new();
        let (image, at) = (folder.path("image"), folder.path("mounted"));
        let file = std::fs::File::create(&image).expect("a file can be made");
        file.set_len(IMAGE_BYTES).expect("a sparse file can be made");
        std::fs::create_dir(&at).expect("a folder can be made");
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfs.ext4 failed");
        let (image, at) = (image.display(), at.display());
        let loop_device = format!("mount -o loop '{image}' '{at}'");
        let memory = format!("mount -t tmpfs -o size={IMAGE_BYTES} tmpfs '{at}'");
        let works = |mount: &String| {
            let mut command = Command::new("unshare");
            command.args(["-m", "sh", "-c", mount]).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        match [loop_device, memory].into_iter().find(works) {
            Some(mount) => Ok(Self { folder, mount }),
            None => Err(Skip("neither a loop device nor a tmpfs can be mounted here".to_owned())),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path("mounted/data")
    }

    fn start(&self) -> Server {
        let script = format!("{} && exec \"$@\"", self.mount);
        let wrapper = ["unshare", "-m", "sh", "-c", &script, "sh"];
        Launch::on(&self.folder).data(self.data()).under(wrapper).start()
    }

    /// Returns the names in a folder of the store, as the server sees it.
    fn entries(&self, server: &Server, name: &str) -> usize {
        let root = Path::new("/proc").join(server.id().to_string()).join("root");
        let data = self.data();
        let below = data.strip_prefix("/").expect("temporary folders are absolute");
        std::fs::read_dir(root.join(below).join(name)).map_or(0, Iterator::count)
    }
}

fn push(wire: &mut Connection, bytes: &[u8]) -> Answer {
    let path = format!("/v2/team/app/blobs/uploads/?digest={}", digest_of(bytes));
    wire.call("POST", &path, &[], bytes).expect("there is an answer")
}

fn check_full(answer: &Answer) {
    assert_eq!((answer.status, answer.code().as_str()), (507, "UNKNOWN"), "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    let text = String::from_utf8_lossy(&answer.body);
    assert!(text.contains("the registry's disk is full"), "{text}");
}

#[test]
fn p3_a_full_disk_refuses_pushes_and_keeps_pulls() {
    match Small::make() {
        Ok(small) => full(&small),
        Err(skip) => skipped("p3_a_full_disk_refuses_pushes_and_keeps_pulls", &skip),
    }
}

fn full(small: &Small) {
    let mut random = Random::new(3);
    let server = small.start();
    let kept = random.bytes(2 * CHUNK);
    assert_eq!(push(&mut server.connect(), &kept).status, 201);

    let too_much = random.bytes(TOO_MUCH);
    check_full(&push(&mut server.connect(), &too_much));
    check_absent(&server, &too_much);
    assert_eq!(small.entries(&server, "uploads"), 0, "what was refused takes no space");

    let open = fill(&server, &random.bytes(CHUNK));
    let refused = random.bytes(CHUNK + 1);
    check_full(&push(&mut server.connect(), &refused));
    check_absent(&server, &refused);
    assert_eq!(small.entries(&server, "uploads"), open.len(), "what was refused takes no space");
    check_pull(&server, &kept);

    // A start needs no space that a full disk does not have.
    server.kill();
    let server = small.start();
    check_pull(&server, &kept);
    check_absent(&server, &too_much);
    check_freeing(&server, &open, &refused);
}

/// Leaves uploads open until there is no space for another chunk, and returns their paths.
fn fill(server: &Server, chunk: &[u8]) -> Vec<String> {
    let mut open = Vec::new();
    loop {
        let mut wire = server.connect();
        let answer = wire.call("POST", "/v2/team/app/blobs/uploads/", &[], &[]).expect("there is an answer");
        if answer.status != 202 {
            check_full(&answer);
            return open;
        }
        let path = answer.header("location").to_owned();
        let answer = wire.call("PATCH", &path, &[], chunk).expect("there is an answer");
        if answer.status != 202 {
            check_full(&answer);
            let gone = server.connect().get(&path).expect("there is an answer");
            assert_eq!(gone.status, 404, "an upload that failed gives its space back");
            return open;
        }
        open.push(path);
        assert!(open.len() * chunk.len() < TOO_MUCH, "the disk is larger than it should be");
    }
}

fn check_freeing(server: &Server, open: &[String], bytes: &[u8]) {
    let mut wire = server.connect();
    for path in &open[..3] {
        let cancelled = wire.call("DELETE", path, &[], &[]).expect("there is an answer");
        assert_eq!(cancelled.status, 204, "{cancelled:?}");
    }
    assert_eq!(push(&mut wire, bytes).status, 201);
    check_pull(server, bytes);
    let offset = wire.get(&open[3]).expect("there is an answer").offset();
    assert_eq!(offset, CHUNK, "the other uploads are as they were");
}

fn check_absent(server: &Server, bytes: &[u8]) {
    let path = format!("/v2/team/app/blobs/{}", digest_of(bytes));
    assert_eq!(server.connect().get(&path).expect("there is an answer").status, 404);
}

fn check_pull(server: &Server, bytes: &[u8]) {
    let path = format!("/v2/team/app/blobs/{}", digest_of(bytes));
    let answer = server.connect().get(&path).expect("there is an answer");
    assert_eq!(answer.status, 200);
    assert!(answer.body == bytes, "the bytes are others");
}
