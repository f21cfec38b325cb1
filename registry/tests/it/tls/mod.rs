//! TLS of the listener, with certificates made here.
//!
//! | file | what it holds |
//! |---|---|
//! | `authority` | authorities, certificates, and the files of `http.tls` |
//! | `stand` | a registry behind TLS in this process, and clients that speak it by hand |
//! | `exchange` | pushes and pulls, versions, and what is no TLS |
//! | `reload` | files that change |
//! | `clients` | client certificates |
//! | `standing` | handshakes, clients and readers that stand still, and draining |
//! | `program` | the program itself |

#![cfg(test)]

pub(crate) mod authority;
mod clients;
mod exchange;
mod program;
mod reload;
mod stand;
mod standing;
