//! Goal: a disk that fails is told as such, nothing half-done is visible, and the server goes on.
//! Method: strace is attached to a running server and makes the nth of a system call fail, for
//! every n of a script of all kinds of writes; then it lets go, and all of it is tried again.

use std::sync::Arc;

use crate::pushes::{Leniency, Pool, Pusher, Stop, audit, script};
use crate::support::{Answer, Folder, Launch, Random, Server, Skip, Strace, can_trace, skipped};

/// How far the nth may go; a script has fewer of each call.
const AT_MAX: usize = 80;

struct Fault {
    call: &'static str,
    error: &'static str,
    status: u16,
}

const fn fault(call: &'static str, error: &'static str, status: u16) -> Fault {
    Fault { call, error, status }
}

const FAULTS: [Fault; 9] = [
    fault("fdatasync", "EIO", 500),
    fault("fsync", "EIO", 500),
    fault("pwrite64", "ENOSPC", 507),
    fault("pwrite64", "EIO", 500),
    fault("pwrite64", "EDQUOT", 507),
    fault("renameat2", "EIO", 500),
    fault("renameat", "EIO", 500),
    fault("mkdirat", "ENOSPC", 507),
    fault("unlinkat", "EIO", 500),
];

#[test]
fn p3_a_failing_disk_leaves_nothing_half_done() {
    let test = "p3_a_failing_disk_leaves_nothing_half_done";
    if let Err(skip) = can_trace().and_then(|()| can_attach()) {
        return skipped(test, &skip);
    }
    for fault in &FAULTS {
        let failed = (1..=AT_MAX).take_while(|at| fails_at(fault, *at)).count();
        println!("{} {}: {failed} places", fault.call, fault.error);
        assert!((1..AT_MAX).contains(&failed), "{} {}: {failed} places", fault.call, fault.error);
    }
}

/// A process may be allowed to trace its children and nobody else.
fn can_attach() -> Result<(), Skip> {
    let folder = Folder::new();
    let server = Launch::on(&folder).start();
    Strace::attach(&folder, server.id(), &["-e", "trace=fsync"]).map(drop)
}

/// Lets the `at`th of a call fail, and says whether the script came so far.
fn fails_at(fault: &Fault, at: usize) -> bool {
    let folder = Folder::new();
    let mut random = Random::new(2);
    let mut pusher = Pusher::new("team/app", "shared", Arc::new(Pool::new(&mut random)), random);
    let mut server = Launch::on(&folder).start();
    let place = format!("{} {} {at}", fault.call, fault.error);

    let strace = Strace::failing(&folder, server.id(), fault.call, fault.error, at);
    let ran = script(&mut pusher, &mut server.connect());
    drop(strace);
    let failed = match ran {
        Ok(()) => false,
        Err(Stop::Refused { request, answer }) => {
            check_refusal(fault, &place, &request, &answer);
            true
        }
        Err(stop) => panic!("{place}: {stop:?}"),
    };
    assert!(server.is_running(), "{place}: {}", folder.log());
    audit(&server, &mut pusher, leniency(fault.call));
    check_use(&server, &mut pusher, &place);
    failed
}

fn check_refusal(fault: &Fault, place: &str, request: &str, answer: &Answer) {
    assert_eq!(answer.status, fault.status, "{place}: {request}: {answer:?}");
    assert_eq!(answer.code(), "UNKNOWN", "{place}: {request}: {answer:?}");
    let text = String::from_utf8_lossy(&answer.body);
    assert!(!text.contains("/data") && !text.contains("os error"), "{place}: it tells too much: {text}");
}

/// A folder is synced after the name in it is there, and an upload is cleared away after its blob.
fn leniency(call: &str) -> Leniency {
    if matches!(call, "fsync" | "unlinkat") { Leniency::RefusedLate } else { Leniency::Refused }
}

/// All of it can be done again, and outlives a kill.
fn check_use(server: &Server, pusher: &mut Pusher, place: &str) {
    let mut wire = server.connect();
    for path in pusher.before.uploads.keys().cloned().collect::<Vec<_>>() {
        pusher.commit(&mut wire, &path).unwrap_or_else(|stop| panic!("{place}: {path}: {stop:?}"));
    }
    let again = script(pusher, &mut wire);
    again.unwrap_or_else(|stop| panic!("{place}: the server is of no use afterwards: {stop:?}"));
    audit(server, pusher, Leniency::Killed);
}
