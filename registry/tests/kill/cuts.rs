//! Goal: P2 and P3 at every boundary between system calls that change the folder.
//! Method: strace counts the calls of a start and a script of all kinds of writes; then, for every
//! one of them, a server is killed when it begins it, started again, audited, and used.

use std::sync::Arc;

use crate::pushes::{Leniency, Pool, Pusher, Stop, audit, script};
use crate::support::{Folder, Launch, Random, Server, Skip, Strace, can_trace, skipped};

/// The system calls that change a folder.
const CALLS: [&str; 9] =
    ["fsync", "fdatasync", "renameat", "renameat2", "linkat", "unlinkat", "mkdirat", "ftruncate", "pwrite64"];
/// Fewer places than a push has mean that strace did not see it.
const PLACES_MIN: usize = 40;

/// Makes a client whose contents are the same in every run, so that its calls are too.
fn client() -> Pusher {
    let mut random = Random::new(1);
    Pusher::new("team/app", "shared", Arc::new(Pool::new(&mut random)), random)
}

#[test]
fn p2_every_system_call_may_be_the_last() {
    let test = "p2_every_system_call_may_be_the_last";
    if let Err(skip) = can_trace().and_then(|()| cut_everywhere()) {
        skipped(test, &skip);
    }
}

fn cut_everywhere() -> Result<(), Skip> {
    let places = places()?;
    let total: usize = places.iter().map(|(_, count)| count).sum();
    assert!(total >= PLACES_MIN, "{places:?}");
    let mut cut = 0;
    for (call, count) in &places {
        for at in 1..=*count {
            cut += usize::from(cut_at(call, at));
        }
    }
    println!("cut at {cut} of {total} places: {places:?}");
    // Which thread does what may differ between runs, and with it the last numbers of each call.
    assert!(cut * 2 >= total, "only {cut} of {total} places were reached");
    Ok(())
}

/// Counts the calls of a start and a script, without cutting.
fn places() -> Result<Vec<(String, usize)>, Skip> {
    let folder = Folder::new();
    let log = folder.path("calls");
    let starting = Launch::on(&folder).under(Strace::logging(&CALLS, &log)).spawn();
    let server = starting.listening().map_err(|status| Skip(format!("strace ended with {status}")))?;
    script(&mut client(), &mut server.connect()).expect("nothing is cut");
    server.terminate();
    server.ended();
    let counts = Strace::counts(&log);
    Ok(counts.into_iter().filter(|(call, _)| CALLS.contains(&call.as_str())).collect())
}

/// Kills a server at the `at`th of a call, and says whether it came so far.
fn cut_at(call: &str, at: usize) -> bool {
    let folder = Folder::new();
    let mut pusher = client();
    let place = format!("{call} {at}");
    let was_cut = match Launch::on(&folder).under(Strace::killing(call, at)).spawn().listening() {
        Err(_) => true,
        Ok(server) => run_until_cut(server, &mut pusher, &place),
    };
    folder.wait_until_free();
    let server = Launch::on(&folder).start();
    audit(&server, &mut pusher, Leniency::Killed);
    assert_eq!(folder.entries("data/tmp"), Vec::<String>::new(), "{place}: a start empties it");
    let mut wire = server.connect();
    for path in pusher.before.uploads.keys().cloned().collect::<Vec<_>>() {
        pusher.commit(&mut wire, &path).unwrap_or_else(|stop| panic!("{place}: {path}: {stop:?}"));
    }
    let again = script(&mut pusher, &mut wire);
    again.unwrap_or_else(|stop| panic!("{place}: the server is of no use afterwards: {stop:?}"));
    audit(&server, &mut pusher, Leniency::Killed);
    was_cut
}

fn run_until_cut(server: Server, pusher: &mut Pusher, place: &str) -> bool {
    let was_cut = match script(pusher, &mut server.connect()) {
        Ok(()) => false,
        Err(Stop::Broken) => true,
        Err(stop) => panic!("{place}: {stop:?}"),
    };
    server.kill();
    was_cut
}
