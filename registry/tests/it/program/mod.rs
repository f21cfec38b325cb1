//! The program itself, as operators run it.
//!
//! | module | what it holds |
//! |---|---|
//! | `scrub` | `wharfinger scrub`, and the server's own |

mod scrub;
