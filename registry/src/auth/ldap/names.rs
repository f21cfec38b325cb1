//! What a user is called, of whom the directory has an entry.
//!
//! Most directories compare names without regard to case and spaces: what was typed finds the user, and is not what
//! he is called. Were he an account by each spelling, he would have as many keys and as many policies.

/// Returns the name of a user, who was found by what was typed, of the values of the attribute that holds it: the
/// value that differs from it in case and spaces alone.
///
/// Where there is none, as with a directory that compares in a way of its own, it is the only value; of several,
/// anybody who may write his own could choose that he is called as somebody else. Then, and where the values cannot
/// be read, it is what was typed.
pub(super) fn of_values(typed: &str, values: &[String]) -> String {
    let folded = fold(typed);
    let same = values.iter().find(|value| *value == typed);
    let same = same.or_else(|| values.iter().find(|value| fold(value) == folded));
    let name = match (same, values) {
        (Some(same), _) => same,
        (None, [only]) if !only.trim().is_empty() && !only.contains(char::is_control) => only,
        (None, _) => typed,
    };
    name.to_owned()
}

fn fold(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::of_values;

    #[test]
    fn a_user_is_called_what_the_directory_calls_him() {
        for (typed, values, expect) in [
            ("alice", &["alice"][..], "alice"),
            ("ALICE", &["alice"], "alice"),
            ("alice", &["Alice"], "Alice"),
            (" alice ", &["alice"], "alice"),
            ("alice  a", &["Alice A"], "Alice A"),
            ("größe", &["GRÖSSE", "GRÖẞE"], "GRÖẞE"),
            ("wonder", &["alice", "Wonder"], "Wonder"),
            ("Alice", &["alice", "Alice"], "Alice"),
            // Directories know more spellings than this program.
            ("ａlice", &["alice"], "alice"),
            ("ｗonder", &["alice", "Wonder"], "ｗonder"),
            ("alice", &[], "alice"),
            ("alice", &[" "], "alice"),
            ("alice", &["a\nb"], "alice"),
        ] {
            let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            assert_eq!(of_values(typed, &values), expect, "{typed} {values:?}");
        }
    }
}
