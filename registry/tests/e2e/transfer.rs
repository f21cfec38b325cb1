//! `wharfinger import` and `export`: what a zot and a distribution have on their disks is pulled afterwards, and
//! what is exported is read by skopeo.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::command::{Command, Output};
use crate::support::daemon::Daemon;
use crate::support::layout::{Layout, Packing};
use crate::support::registry::{self, Distribution};
use crate::support::server::{Server, program};
use crate::support::skip;

const PROGRAMS: [&str; 3] = ["skopeo", "tar", "gzip"];
const PATIENCE: Duration = Duration::from_secs(120);
/// What a command ends with when a server has its store.
const HELD: i32 = 3;

fn skopeo(args: &[&str]) -> Command {
    Command::new("skopeo").arg("--insecure-policy").args(args)
}

fn import(source: &Path, name: Option<&str>, data: &Path) -> Command {
    Command::new(program()).arg("import").arg(source).args(name).arg("--data").arg(data)
}

fn export(reference: &str, destination: &Path, data: &Path) -> Command {
    Command::new(program()).args(["export", reference]).arg(destination).arg("--data").arg(data)
}

/// Pulls a tag with every platform, and returns the layout that this makes.
async fn pulled(server: &Server, name: &str, tag: &str, to: &Path) -> Layout {
    let from = format!("docker://{}/{name}:{tag}", server.authority());
    let target = format!("oci:{}:{tag}", to.display());
    skopeo(&["copy", "--all", "--src-tls-verify=false", &from, &target]).run().await;
    Layout::open(to.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zot_moves_in() {
    if !skip::has("a_zot_moves_in", &PROGRAMS) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (zot, data) = (folder.path().join("zot"), folder.path().join("data"));
    let app = Layout::create(zot.join("team/app"));
    let digest = app.two_platforms("1").await;
    let base = Layout::create(zot.join("base"));
    let other = base.several_layers("stable", 4).await;
    // What zot has beside them, and blobs that two repositories share on the disk.
    for name in ["_trivy", "team/app/.uploads", "team/app/.sync"] {
        fs::create_dir_all(zot.join(name)).unwrap();
    }
    fs::write(zot.join("cache.db"), "zot's own").unwrap();
    let copy = Layout::create(zot.join("team/copy"));
    for file in fs::read_dir(zot.join("team/app/blobs/sha256")).unwrap() {
        let file = file.unwrap().path();
        fs::hard_link(&file, zot.join("team/copy/blobs/sha256").join(file.file_name().unwrap())).unwrap();
    }
    fs::copy(zot.join("team/app/index.json"), zot.join("team/copy/index.json")).unwrap();

    let said = import(&zot, None, &data).run().await;
    assert!(said.starts_with("imported ") && said.contains(" of 3 repositories"), "{said}");
    let server = Server::over(&data).await;
    for (name, tag, digest, from) in [
        ("team/app", "1", &digest, &app),
        ("team/copy", "1", &digest, &copy),
        ("base", "stable", &other, &base),
    ] {
        let back = pulled(&server, name, tag, &folder.path().join(name.replace('/', "-"))).await;
        assert_eq!(&back.root().0, digest);
        assert_eq!(back.blobs(), from.blobs());
    }

    let Output { code, stderr, .. } = import(&zot, None, &data).output(PATIENCE).await;
    assert_eq!(code, Some(HELD), "{stderr}");
    let Output { code, stderr, .. } =
        export("base", &folder.path().join("out"), &data).output(PATIENCE).await;
    assert_eq!(code, Some(HELD), "{stderr}");
    drop(server);
    let said = import(&zot, None, &data).run().await;
    assert!(said.starts_with("imported 0 manifests ("), "nothing is copied twice: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distribution_moves_in() {
    if !(skip::has("a_distribution_moves_in", &PROGRAMS)
        && skip::has("a_distribution_moves_in", &[registry::PROGRAM]))
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let old = Distribution::start().await;
    let local = Layout::create(folder.path().join("local"));
    let digest = local.two_platforms("1").await;
    for tag in ["1", "latest"] {
        let target = format!("docker://{}/team/app:{tag}", old.authority());
        skopeo(&["copy", "--all", "--dest-tls-verify=false", &local.reference("1"), &target]).run().await;
    }
    let docker = format!("docker://{}/docker:2", old.authority());
    let v2s2 = ["copy", "--all", "--format", "v2s2", "--dest-tls-verify=false"];
    skopeo(&v2s2).args([&local.reference("1"), &docker]).run().await;
    let inspect = skopeo(&["inspect", "--raw", "--tls-verify=false", &docker]).run().await;

    let said = import(&old.root(), Some("old"), &data).run().await;
    assert!(said.contains("3 tags of 2 repositories"), "{said}");
    let server = Server::over(&data).await;
    for tag in ["1", "latest"] {
        let back = pulled(&server, "old/team/app", tag, &folder.path().join(tag)).await;
        assert_eq!(back.root().0, digest);
        assert_eq!(back.blobs(), local.blobs());
    }
    let moved = format!("docker://{}/old/docker:2", server.authority());
    let found = skopeo(&["inspect", "--raw", "--tls-verify=false", &moved]).run().await;
    assert_eq!(found, inspect, "a list of Docker's form stays one");
    let to = format!("dir:{}", folder.path().join("docker").display());
    skopeo(&["copy", "--all", "--src-tls-verify=false", &moved, &to]).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_reads_what_is_exported() {
    if !skip::has("skopeo_reads_what_is_exported", &PROGRAMS) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let local = Layout::create(at("local"));
    let digest = local.two_platforms("1").await;
    // In by an archive that skopeo made.
    let archive = format!("oci-archive:{}:1", at("in.tar").display());
    skopeo(&["copy", "--all", &local.reference("1"), &archive]).run().await;
    import(&at("in.tar"), Some("team/app:mine"), &at("data")).run().await;

    export("team/app", &at("tree"), &at("data")).run().await;
    export("team/app:mine", &at("out.tar"), &at("data")).run().await;
    for (number, from) in ["oci:TREE:mine", "oci-archive:TAR:mine"].into_iter().enumerate() {
        let from = from.replace("TREE", at("tree").to_str().unwrap());
        let from = from.replace("TAR", at("out.tar").to_str().unwrap());
        let back = at(&format!("back{number}"));
        skopeo(&["copy", "--all", &from, &format!("oci:{}:1", back.display())]).run().await;
        let back = Layout::open(back);
        assert_eq!(back.root().0, digest, "{from}");
        assert_eq!(back.blobs(), local.blobs(), "{from}");
    }

    // The same bytes through a pipe, which tar reads.
    let line = "\"$0\" export team/app:mine - --data \"$1\" | tee \"$2\" | tar -t";
    let shell = Command::new("sh").args(["-c", line]).arg(program()).arg(at("data")).arg(at("piped.tar"));
    let listed = shell.run().await;
    assert!(listed.starts_with("oci-layout\nblobs/\n") && listed.ends_with("\nindex.json"), "{listed}");
    assert!(fs::read(at("piped.tar")).unwrap() == fs::read(at("out.tar")).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_p3_an_import_that_was_killed_is_gone_on_with() {
    if !skip::has("p2_p3_an_import_that_was_killed_is_gone_on_with", &PROGRAMS) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (zot, data) = (folder.path().join("zot"), folder.path().join("data"));
    let mut digests = Vec::new();
    for number in 0..20 {
        let layout = Layout::create(zot.join(format!("app{number:02}")));
        let layer = layout.layer(number, 1_500_000, Packing::Gzip).await;
        digests.push(layout.name("1", layout.image("amd64", &[layer])));
    }
    let mut command = std::process::Command::new(program());
    command.arg("import").arg(&zot).arg("--data").arg(&data);
    let mut killed = Daemon::start("import", &mut command, folder.path());
    // It has no word for SIGTERM, so that is the end of it there and then.
    killed.wait_for("app03:1: copied").await.unwrap();
    drop(killed);

    let server = Server::over(&data).await;
    let mut missing = 0;
    for (number, digest) in digests.iter().enumerate() {
        let path = format!("/v2/app{number:02}/manifests/1");
        let answer = server.wire().begin("GET", &path, &[]).send().await.unwrap();
        match answer.status().as_u16() {
            200 => assert_eq!(&server.wire().digest(&format!("app{number:02}"), "1").await, digest),
            404 => missing += 1,
            other => panic!("{path}: {other}"),
        }
        assert!(number > 3 || missing == 0, "what was said to be copied is there");
    }
    println!("{missing} of {} were missing", digests.len());
    drop(server);
    let said = import(&zot, None, &data).run().await;
    assert!(said.contains(&format!("imported {missing} manifests ({} were here)", 20 - missing)), "{said}");
    let server = Server::over(&data).await;
    for (number, digest) in digests.iter().enumerate() {
        let name = format!("app{number:02}");
        let back = pulled(&server, &name, "1", &folder.path().join(&name)).await;
        assert_eq!(&back.root().0, digest);
    }
}
