//! The table of keys as `docs/config.md`.

use std::fmt::Write;

use super::key::{Class, Key};
use super::keys;

const HEAD: &str = "\
# Configuration

<!-- Generated from the table of keys in `registry/src/config/keys/`.
     Regenerate: cargo run -p wharfinger -- schema --markdown > docs/config.md -->

`wharfinger serve FILE` reads one file, `wharfinger verify FILE…` checks files without starting, and
`wharfinger schema` prints this page's tables as a JSON Schema. Without a file the server listens on
127.0.0.1:5000 and stores in `./wharfinger-data`.

- The file is YAML or JSON (one parser reads both), in the shape of zot's file. Keys may be written in
  any case; names of the operator's own (globs, groups, users) may not.
- It is read strictly: an unknown key, a key written twice and a value of the wrong type or out of its
  range are faults, and so is a key that is not supported yet where the server would do less than the
  file asks for. All faults are reported together, and with any of them the server does not start.
- *Durations* are written as in Go: `\"300ms\"`, `\"5m\"`, `\"1h30m\"`, `\"1.5h\"`, `0`. *Sizes* are bytes or
  carry a unit: `8388608`, `\"8MiB\"`, `\"8MB\"`. A number or a switch may be written as a string.
- `${env:NAME}` in any string is replaced by the environment variable; one that is not set is a fault.
- A section that is empty, or `null`, has its defaults; an extension is enabled by an empty section.
- In a path, `[]` is every item of a list and `*` every name of the operator's.
- A relative path of a file or folder starts at the working directory. The file itself has at most 4 MiB.

Where a default differs from zot's, its row says so.
";

/// Returns the page `docs/config.md`.
pub fn docs() -> String {
    let mut page = HEAD.to_owned();
    honoured(&mut page);
    inert(&mut page);
    refused(&mut page);
    unbuilt(&mut page);
    limits(&mut page);
    page
}

fn honoured(page: &mut String) {
    open(page, "Honoured", "", &["key", "type", "default", "meaning"]);
    for key in keys::all().filter(|key| key.class == Class::Honoured) {
        let required = if key.required { " Required." } else { "" };
        let meaning = format!("{}{required}", key.meaning);
        row(page, &[code(key.path), key.kind.label(), code(key.default), meaning]);
    }
}

fn inert(page: &mut String) {
    let text = "These change nothing; a warning says why.";
    open(page, "Accepted without effect", text, &["key", "type", "meaning", "why it has no effect"]);
    for key in keys::all() {
        if let Class::Inert(reason) = key.class {
            row(page, &[code(key.path), key.kind.label(), key.meaning.to_owned(), reason.to_owned()]);
        }
    }
}

fn refused(page: &mut String) {
    open(page, "Refused", "", &["key", "meaning", "why, and what to use instead"]);
    for key in keys::all() {
        if let Class::Refused(reason) = key.class {
            row(page, &[code(key.path), key.meaning.to_owned(), reason.to_owned()]);
        }
    }
}

fn unbuilt(page: &mut String) {
    let text = "\
These are known and checked, and nothing comes of them yet: the message is `not supported yet` with the
path. *Stops* is a fault, since without the key the server would allow or do what the file forbids;
*warns* starts without it. A value that says what holds anyway (`false` for a switch, the default of the
row) is accepted silently, and so is an extension with `\"enable\": false`.";
    open(page, "Not supported yet", text, &["key", "type", "default", "meaning", "the server"]);
    for key in keys::all() {
        let effect = match key.class {
            Class::Pending => "stops",
            Class::Later => "warns",
            Class::Honoured | Class::Inert(_) | Class::Refused(_) => continue,
        };
        let cells =
            [code(key.path), key.kind.label(), code(key.default), key.meaning.to_owned(), effect.to_owned()];
        row(page, &cells);
    }
}

fn limits(page: &mut String) {
    open(page, "Limits", "", &["key", "default", "range", "what happens at it"]);
    for (key, what) in keys::all().filter_map(|key: &Key| key.at_limit.map(|what| (key, what))) {
        row(page, &[code(key.path), code(key.default), key.kind.range(), what.to_owned()]);
    }
}

fn open(page: &mut String, title: &str, text: &str, columns: &[&str]) {
    let text = if text.is_empty() { String::new() } else { format!("{text}\n\n") };
    let rule = "---|".repeat(columns.len());
    line(page, &format!("\n## {title}\n\n{text}| {} |\n|{rule}", columns.join(" | ")));
}

fn row(page: &mut String, cells: &[String]) {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    line(page, &format!("| {} |", cells.join(" | ")));
}

fn line(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("a string takes all that is written to it");
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}
