//! The configuration: from a file in zot's shape to the options of each layer.
//!
//! A file goes through four hands. [`raw`] reads YAML or JSON into a tree that keeps its order and
//! its repeated keys; [`check`] holds the tree against the one table of keys ([`keys`]) and collects
//! every fault; [`resolve`] turns what was checked into the options of the layers; [`load`] ties them
//! together and looks at the files that are named. The same table writes the JSON Schema
//! ([`schema()`]) and `docs/config.md` ([`docs()`]), so none of the three can disagree.
//!
//! It must not start anything, and it reads nothing but the named files and, in [`env`] alone, the
//! environment.

mod certificates;
mod check;
mod checked;
mod distance;
mod docs;
mod duration;
mod env;
mod error;
mod files;
mod key;
mod keys;
mod kind;
mod load;
mod options;
mod origin;
mod raw;
mod reach;
mod resolve;
mod schema;
mod size;
mod tree;

pub use docs::docs;
pub use error::{Fault, Faults};
pub use load::{Loaded, load, parse};
pub use options::{Config, LogFormat, LogOptions, MetricsOptions};
pub use schema::schema;
