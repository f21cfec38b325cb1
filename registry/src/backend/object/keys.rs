//! The names of objects that no key of the store leads to: they are made up once, and never used again.

/// Where content stands.
pub(super) const CONTENT: &str = "content";
/// Where what is known of uploads in parts stands, so that those nobody ends can be given up.
pub(super) const MULTIPARTS: &str = "multiparts";
/// Where the ends of pushes stand that are too small for a part.
pub(super) const TAILS: &str = "tails";

/// Where objects stand that are written to learn what time the bucket has.
pub(super) const CLOCKS: &str = "clocks";
/// Where objects stand that are written to learn whether the bucket honours conditions.
pub(super) const PROBES: &str = "probes";

/// Makes up the last component of a name.
pub(super) fn new() -> String {
    uuid::Uuid::new_v4().hyphenated().to_string()
}

/// Says whether a text is such a component.
pub(super) fn is_content(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok_and(|id| id.hyphenated().to_string() == text)
}

/// Returns the name of content.
pub(super) fn content(id: &str) -> String {
    format!("{CONTENT}/{id}")
}

/// Returns the name of what is known of an upload in parts.
pub(super) fn multipart(id: &str) -> String {
    format!("{MULTIPARTS}/{id}")
}

/// Returns the name of the end of a push.
pub(super) fn tail(id: &str) -> String {
    format!("{TAILS}/{id}")
}

/// Where marks stand of content that nothing led to when it was looked at.
pub(super) const ORPHANS: &str = "orphans";

/// Returns the name of such a mark.
pub(super) fn orphan(id: &str) -> String {
    format!("{ORPHANS}/{id}")
}

/// Says whether a first component is one of these.
pub(super) fn is_own(name: &str) -> bool {
    matches!(name, CONTENT | MULTIPARTS | TAILS | ORPHANS | CLOCKS | PROBES)
}
