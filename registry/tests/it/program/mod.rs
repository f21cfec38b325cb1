//! The program itself, as operators run it.
//!
//! | module | what it holds |
//! |---|---|
//! | `access` | changing who may do what while it serves, and asking who may |
//! | `audit` | the audit log, and how it is rotated |
//! | `scrub` | `wharfinger scrub`, and the server's own |
//! | `server` | the program, while its configuration changes |
//! | `upstreams` | other upstreams and another retention while it serves |
//! | `secrets` | who else can read what it keeps |

mod access;
mod audit;
mod scrub;
mod secrets;
mod server;
mod upstreams;
