//! Pages beside the distribution API. Each adds its routes to the router that `server` puts together.

pub mod metrics;
