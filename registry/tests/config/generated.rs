//! Goal: `docs/config.md` is what the table of keys says.
//! Method: compare the file with the function.

use std::path::Path;

#[test]
fn the_documentation_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.md");
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    let page = wharfinger::config::docs();
    let differs = page.lines().zip(written.lines()).find(|(ours, theirs)| ours != theirs);
    assert!(
        written == page,
        "docs/config.md is not what the table of keys says (first at {differs:?}); regenerate it: \
         cargo run -p wharfinger -- schema --markdown > docs/config.md"
    );
}

#[test]
fn p6_every_limit_of_the_wire_has_a_row() {
    let page = wharfinger::config::docs();
    let limits = page.split("## Limits").nth(1).expect("the page has a table of limits");
    let everything = crate::fixture("everything.yaml");
    let section = everything.split("  limits:\n").nth(1).expect("the file sets limits");
    let keys: Vec<&str> = section
        .lines()
        .take_while(|line| line.starts_with("    "))
        .filter_map(|line| line.trim().split_once(':').map(|(key, _)| key))
        .collect();
    assert!(keys.len() >= 10, "{keys:?}");
    for key in keys {
        assert!(limits.contains(&format!("| `http.limits.{key}` |")), "{key} has a row");
    }
}

#[test]
fn tables_are_whole() {
    for line in wharfinger::config::docs().lines().filter(|line| line.starts_with('|')) {
        let cells = line.replace("\\|", "").matches('|').count();
        assert!((4..=6).contains(&cells), "{line}");
    }
}
