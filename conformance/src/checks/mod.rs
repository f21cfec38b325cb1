//! The checks, a file for each section of the specification.

use std::sync::OnceLock;

use crate::check::Check;

mod auth;
mod base;
mod blobs;
mod catalog;
mod deletes;
mod digests;
mod docker;
mod errors;
mod intruders;
mod manifest_faults;
mod manifest_push;
mod manifests;
mod mounts;
mod names;
mod proxy;
mod ranges;
mod referrers;
mod subjects;
mod tags;
mod upload_faults;
mod upload_sessions;
mod uploads;
mod upstreams;

/// The base check: what fails it is no registry, and everything else is moot.
pub const BASE: &str = "T-001";
/// Pushing a blob and pulling it again.
pub const BLOB: &str = "R-047";
/// Pushing a manifest and pulling it again.
pub const MANIFEST: &str = "R-081";

/// Returns all checks; the first is the base check.
pub fn all() -> &'static [Check] {
    static ALL: OnceLock<Vec<Check>> = OnceLock::new();
    ALL.get_or_init(|| {
        [
            base::CHECKS,
            names::CHECKS,
            digests::CHECKS,
            uploads::CHECKS,
            upload_faults::CHECKS,
            upload_sessions::CHECKS,
            mounts::CHECKS,
            blobs::CHECKS,
            ranges::CHECKS,
            manifest_push::CHECKS,
            manifest_faults::CHECKS,
            manifests::CHECKS,
            docker::CHECKS,
            tags::CHECKS,
            catalog::CHECKS,
            referrers::CHECKS,
            subjects::CHECKS,
            deletes::CHECKS,
            errors::CHECKS,
            auth::CHECKS,
            intruders::tokens::CHECKS,
            intruders::scopes::CHECKS,
            intruders::logins::CHECKS,
            intruders::secrets::CHECKS,
            intruders::strangers::CHECKS,
            intruders::sessions::CHECKS,
            intruders::disguises::CHECKS,
            intruders::framing::CHECKS,
            proxy::CHECKS,
            upstreams::CHECKS,
        ]
        .concat()
    })
}
