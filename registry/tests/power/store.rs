//! What is stored, and the audit of it.

#[path = "../it/store/audit.rs"]
pub(crate) mod audit;
#[path = "../it/store/collecting.rs"]
pub(crate) mod collecting;
#[path = "../it/store/contents.rs"]
pub(crate) mod contents;
