//! The real process: killed, starved of disk and descriptors, and talked to badly.
//!
//! `WHARFINGER_BIN` names another program to test. A test that this machine cannot run says so in
//! the file that `WHARFINGER_SKIPS` names. `pushes` has clients that remember what they were
//! promised, and the audit of it; `support` has the process, the sockets and strace.
//!
//! | module | what it holds |
//! |---|---|
//! | `rounds` | killed at random moments while clients push: P2, P3 |
//! | `canary` | what is damaged on purpose, and must be noticed |
//! | `cuts` | killed at every system call of a push: P2, P3 |
//! | `errors` | told by the kernel that the disk fails |
//! | `full` | on a disk that is full |
//! | `start` | with a folder, port or configuration that is of no use |
//! | `memory` | with a blob much larger than its memory may be |
//! | `connections` | idle, slow, stuck, and too many |
//! | `drops` | connections and servers that go away, and SIGTERM |
//! | `wire` | HTTP by hand, and HTTP/2 |
//! | `logs` | everything that the server writes, searched for secrets |

mod canary;
mod connections;
mod cuts;
mod drops;
mod errors;
mod full;
mod logs;
mod memory;
mod pushes;
mod rounds;
mod start;
mod support;
mod wire;
