//! What is asked of a garbage collection.

use std::sync::Arc;

use wharfinger::store::gc::{Clients, Mode, Orphans, Request};

/// Asks for a run that removes what it finds, while clients are served.
pub(crate) fn request(clients: Clients) -> Request {
    Request {
        mode: Mode::Remove,
        clients,
        upstreams: Some(["hub".to_owned()].into()),
        orphans: Orphans::Keep,
        pulls: Arc::new(|_, _| None),
        told: Arc::new(|_| {}),
    }
}
