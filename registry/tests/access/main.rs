//! Accounts that somebody else keeps.
//!
//! *Goal*: a directory that others wrote decides who logs in, exactly as it would by itself, and what is wrong
//! with it or on the way to it neither lets anybody in nor holds anybody up.
//!
//! *Method*: each test starts an OpenLDAP of its own on free ports of this machine, with a folder and
//! certificates of its own, and ends it. Where a server does not misbehave on demand, it is stopped by a signal,
//! or a pipe before it delays, stalls, counts and listens. Without OpenLDAP a test says that it is skipped, and
//! fails where everything is prepared.
//!
//! | module | what it holds |
//! |---|---|
//! | `support` | OpenLDAP, the pipe, and what is shared with other tests |
//! | `ldap` | the directory as the server asks it |

#![cfg(test)]

mod ldap;
mod support;
