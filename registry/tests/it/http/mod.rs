//! The wire, one file per noun: the real dispatch over memory.
//!
//! | file | what it holds |
//! |---|---|
//! | `exchange` | sending a request and holding its answer against what every answer must have |
//! | `base`, `blobs`, `ranges`, `uploads`, `upload_faults`, `mounts`, `manifests`, `manifest_faults`, `tagging`, `tags`, `catalog`, `referrers`, `deletes` | one noun each |
//! | `disk_faults` | what the client is told of a disk that fails |
//! | `locked_disk` | a disk that cannot be written for a while |
//! | `slow_disk` | a disk whose every call waits |
//! | `names` | what a path may hold, and what it may not reach |
//! | `namespaces` | `ns`, with and without an upstream that stands for it |
//! | `accounts` | registries with accounts, and requests of those who have one |
//! | `auth` | who may do what, and what those who may not can learn |
//! | `conditions` | rights that depend on the request |
//! | `tokens` | how clients get tokens, and what these are worth |
//! | `audit` | what is recorded of changes, refusals and failed logins |
//! | `backoff` | who has to wait after failed logins |
//! | `clients` | how clients are told apart, and what each may take |
//! | `api_keys` | what a user's keys do in the place of his password |
//! | `hostile` | intruders of every kind, at every endpoint |
//! | `pages` | pages beside the API that only some may read |
//! | `ratelimit` | how many requests a second are answered, and what becomes of the others |
//! | `workloads` | tokens of other issuers: of token services, pods and builds |
//! | `wire` | what only a socket shows: HEAD bodies and lengths |

#![cfg(test)]

mod accounts;
mod api_keys;
mod audit;
mod auth;
mod backoff;
mod base;
mod blobs;
mod catalog;
mod clients;
mod conditions;
mod deletes;
mod disk_faults;
mod exchange;
mod hostile;
pub(crate) mod locked_disk;
mod manifest_faults;
mod manifests;
mod mounts;
mod names;
mod namespaces;
mod pages;
mod ranges;
mod ratelimit;
mod referrers;
mod slow_disk;
mod tagging;
mod tags;
mod tokens;
mod upload_faults;
mod uploads;
mod wire;
mod workloads;
