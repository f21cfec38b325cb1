//! Goal: a server that cannot start says why, naming the thing, and exits with 1.
//! Method: the real command line, with one thing wrong at a time, and all of a file's at once.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Folder, Launch, program};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A start that failed, with everything it was to name.
fn check_failed(output: &Output, named: &[&str]) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "stdout is for the address alone");
    let told = stderr(output);
    for name in named {
        assert!(told.contains(name), "it does not tell of {name}: {told}");
    }
    assert!(!told.contains("panicked"), "{told}");
}

#[test]
fn a_folder_that_is_none_is_named() {
    let folder = Folder::new();
    let file = folder.file("file", "");
    for place in [file.clone(), file.join("below"), "/proc/wharfinger".into(), "/dev/null".into()] {
        let output = Launch::on(&folder).data(&place).output();
        let place = place.display().to_string();
        check_failed(&output, &["cannot use the folder", &place, "because: "]);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    // Also root cannot make a file in a folder of the kernel's.
    let output = Launch::on(&folder).data("/proc/self/net").output();
    check_failed(&output, &["cannot use the folder /proc/self/net", "because: "]);
}

#[test]
fn a_folder_belongs_to_one_process() {
    let folder = Folder::new();
    let server = Launch::on(&folder).start();
    let data = folder.path("data").display().to_string();
    check_failed(&Launch::on(&folder).output(), &[&data, "in use by another process"]);
    let answer = server.connect().get("/v2/").expect("the first one goes on");
    assert_eq!(answer.status, 200);
    server.kill();
    Launch::on(&folder).start();
}

#[test]
fn a_port_in_use_is_named() {
    let folder = Folder::new();
    let other = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = other.local_addr().expect("it is bound").to_string();
    check_failed(&Launch::on(&folder).listen(&address).output(), &[&address, "cannot listen on"]);
    drop(other);
    Launch::on(&folder).listen(&address).start();
}

/// A file with faults of many kinds, each on a line that begins with its path.
const BROKEN: &str = r#"
http:
  port: 70000
  adress: 127.0.0.1
  readTimeout: soon
  limits: { maxManifestBytes: -1 }
storage:
  rootDirectory: ""
  commit: maybe
log: { level: loud }
"#;
const FAULTS: [&str; 7] = [
    "http.port",
    "http.adress",
    "http.readTimeout",
    "http.limits.maxManifestBytes",
    "storage.rootDirectory",
    "storage.commit",
    "log.level",
];

fn verify(files: &[&Path]) -> Output {
    Command::new(program()).arg("verify").args(files).output().expect("the program can be run")
}

#[test]
fn a_broken_configuration_tells_all_its_faults() {
    let folder = Folder::new();
    let broken = folder.file("broken.yaml", BROKEN);
    let output = verify(&[&broken]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stdout).expect("it is text");
    let lines: Vec<&str> = told.lines().collect();
    for (line, fault) in lines.iter().zip(FAULTS) {
        let begin = format!("{}: {fault}: ", broken.display());
        assert!(line.starts_with(&begin) && line.len() > begin.len(), "{line:?} is not of {fault}");
    }
    assert_eq!(lines.len(), FAULTS.len(), "{told}");

    let config = folder.path("config.yaml");
    let output = Launch::on(&folder).config(BROKEN).output();
    let prefixes = FAULTS.map(|fault| format!("{}: {fault}: ", config.display()));
    check_failed(&output, &prefixes.each_ref().map(String::as_str));
    assert!(!folder.path("data").exists(), "a broken configuration touches nothing");
}

#[test]
fn verify_tells_by_its_exit_code() {
    let folder = Folder::new();
    let sound = folder.file("sound.yaml", "http: { port: 5000 }\n");
    let warned =
        folder.file("warned.yaml", "http: { auth: { htpasswd: { path: /nonexistent/htpasswd } } }\n");
    let syntax = folder.file("syntax.json", "{\"http\": {\"port\": }");
    let absent = folder.path("absent.yaml");
    let check = |files: &[&Path], code: i32, out: usize, err: usize| {
        let output = verify(files);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().count();
        assert_eq!((lines(&output.stdout), lines(&output.stderr)), (out, err), "{output:?}");
    };
    check(&[&sound], 0, 0, 0);
    check(&[&warned], 0, 0, 1);
    check(&[&sound, &warned], 0, 0, 1);
    check(&[&syntax], 1, 1, 0);
    check(&[&absent], 1, 1, 0);
    check(&[&absent, &sound, &syntax], 1, 2, 0);
    let output = Launch::on(&folder).config("{").output();
    check_failed(&output, &["config.yaml: line 1"]);
}
