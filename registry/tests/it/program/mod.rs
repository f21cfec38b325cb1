//! The program itself, as operators run it.
//!
//! | module | what it holds |
//! |---|---|
//! | `audit` | the audit log, and how it is rotated |
//! | `scrub` | `wharfinger scrub`, and the server's own |

mod audit;
mod scrub;
