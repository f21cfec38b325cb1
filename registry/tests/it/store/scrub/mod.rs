//! Scrub: what is wrong with a store is found, told once, and made good where that can be.
//!
//! | module | what it holds |
//! |---|---|
//! | `stand` | a store of every shape, on a disk that can be damaged |
//! | `planted` | each kind of damage, on a folder and in memory |
//! | `oracle`, `random` | any damage at all, held against what the files say |
//! | `acts` | quarantine, healing, fetching again, going on after an interruption |
//! | `races` | pushes, deletes and pulls beside a scrub |

mod acts;
pub(crate) mod oracle;
mod planted;
mod races;
mod random;
pub(crate) mod stand;
