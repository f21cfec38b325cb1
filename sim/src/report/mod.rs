//! Reports: the scorecard as text, `report.json`, `report.md`, `report.html`, and a plan for every failure.
//!
//! | module | says |
//! |---|---|
//! | `summary` | everything that a run has found ([`Report`]), and what it comes to ([`Total`]) |
//! | `text` | the lines of a result, and the words that every form shares |
//! | `json`, `markdown`, `html` | one form each |
//! | `files` | what is written into a folder |

mod files;
mod html;
mod json;
mod markdown;
mod summary;
mod text;

pub use self::summary::{Choice, Report, Summary, Total};
