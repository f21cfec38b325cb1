//! What goes beyond the distribution API: pages, whose routes `server` adds to its router, and regular work.

pub mod metrics;
pub mod options;
pub mod scrub;
