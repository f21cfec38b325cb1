//! The arrows between the layers of `registry/src`, bottom to top. A layer imports what its row allows
//! and nothing else; a new arrow is a decision, and needs an ADR before its row.

use std::sync::LazyLock;

use regex::Regex;

use super::Fault;
use super::source::{Source, regex};
use super::tree::Tree;

/// Where the layers are.
const ROOT: &str = "registry/src/";

/// One layer and what it may import.
struct Layer {
    name: &'static str,
    imports: Imports,
}

enum Imports {
    /// These, in full.
    Only(&'static [Import]),
    /// Everything: the composition root and what stands above it.
    Everything,
}

/// One arrow.
struct Import {
    layer: &'static str,
    /// The first names that a path may have behind the layer's; none means any.
    names: Option<&'static [&'static str]>,
}

const fn all(layer: &'static str) -> Import {
    Import { layer, names: None }
}

const fn only(layer: &'static str, names: &'static [&'static str]) -> Import {
    Import { layer, names: Some(names) }
}

const fn layer(name: &'static str, imports: &'static [Import]) -> Layer {
    Layer { name, imports: Imports::Only(imports) }
}

/// A repository takes its authorisation as an argument, and knows nothing else of who asks.
const GRANTS: &[&str] =
    &["grant", "Grant", "Pull", "Push", "Delete", "Overwrite", "Identity", "Right", "Refusal"];

/// The configuration resolves what was written into the options of a layer, and calls nothing.
const OPTIONS: &[&str] = &["options", "Options"];

/// The table.
const LAYERS: &[Layer] = &[
    layer("clock", &[]),
    layer("telemetry", &[]),
    layer("mutants", &[]),
    layer("oci", &[]),
    layer("backend", &[]),
    layer("store", &[all("oci"), all("backend")]),
    layer("upstream", &[all("oci")]),
    layer("auth", &[all("oci")]),
    layer("repository", &[all("oci"), all("store"), all("upstream"), only("auth", GRANTS)]),
    layer("transfer", &[all("oci"), all("store")]),
    layer("http", &[all("oci"), all("auth"), all("repository")]),
    layer("extensions", &[all("http"), all("auth"), all("repository"), all("store")]),
    layer(
        "config",
        &[
            only("backend", OPTIONS),
            only("store", OPTIONS),
            only("upstream", OPTIONS),
            only("auth", OPTIONS),
            only("repository", OPTIONS),
            only("http", OPTIONS),
            only("extensions", OPTIONS),
            only("telemetry", OPTIONS),
        ],
    ),
    Layer { name: "server", imports: Imports::Everything },
    Layer { name: "cli", imports: Imports::Everything },
    Layer { name: "main", imports: Imports::Everything },
    Layer { name: "lib", imports: Imports::Everything },
];

/// What every layer may import.
const FOR_ALL: &[&str] = &["clock", "telemetry", "mutants"];

static CRATE: LazyLock<Regex> = LazyLock::new(|| regex(r"\bcrate\s*::\s*"));
static SUPERS: LazyLock<Regex> = LazyLock::new(|| regex(r"\b(?:self\s*::\s*)?(?:super\s*::\s*)+"));

/// Finds arrows that the table does not have, and modules without a row.
pub(super) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, source) in tree.sources() {
        let Some(inside) = path.strip_prefix(ROOT) else { continue };
        let name = layer_of(inside);
        let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
            faults.push(Fault::new(
                path,
                1,
                format!("`{name}` is no layer; give it a row in the table of layers"),
            ));
            continue;
        };
        if tree.is_test(path) {
            continue;
        }
        if let Imports::Only(imports) = &layer.imports {
            faults.extend(check_file(path, inside, source, layer.name, imports));
        }
    }
    faults
}

/// Returns the layer of a file: its first folder, or its own name at the top.
fn layer_of(inside: &str) -> &str {
    let first = inside.split('/').next().unwrap_or(inside);
    first.strip_suffix(".rs").unwrap_or(first)
}

fn check_file(path: &str, inside: &str, source: &Source, layer: &str, imports: &[Import]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (offset, parts) in crate_paths(source, depth(inside)) {
        let Some(target) = parts.first().map(String::as_str) else { continue };
        if source.is_test(offset) || target == layer || FOR_ALL.contains(&target) {
            continue;
        }
        let import = imports.iter().find(|import| import.layer == target);
        let forbidden = match (import.map(|import| import.names), parts.get(1)) {
            (None, item) => vec![(offset, item.cloned())],
            (Some(None), _) => Vec::new(),
            (Some(Some(names)), Some(item)) if names.contains(&item.as_str()) => Vec::new(),
            (Some(Some(_)), Some(item)) => vec![(offset, Some(item.clone()))],
            // The layer itself is imported: what is taken from it stands further down.
            (Some(Some(names)), None) => uses_of(source, target)
                .into_iter()
                .filter(|(_, item)| !item.as_ref().is_some_and(|item| names.contains(&item.as_str())))
                .collect(),
        };
        faults.extend(forbidden.into_iter().map(|(offset, item)| {
            let named = item.map_or_else(|| target.to_owned(), |item| format!("{target}::{item}"));
            let message = format!(
                "`{layer}` may not import `{named}`; move the code, pass the value in, or write an ADR for the arrow"
            );
            Fault::new(path, source.line(offset), message)
        }));
    }
    faults
}

/// Returns what a file takes from a module that it has imported by name, with the offset. `None` where
/// that cannot be told: a group, or another name for the module.
fn uses_of(source: &Source, module: &str) -> Vec<(usize, Option<String>)> {
    let code = source.code();
    let mut uses = Vec::new();
    for found in regex(&format!(r"\b{module}\s*(?:::\s*(?P<item>\w*)|\bas\b)")).captures_iter(code) {
        let start = found.get(0).expect("group 0 is the match").start();
        let item = found.name("item").map(|item| item.as_str().to_owned());
        // `other::auth::x` is another module, and `crate::auth::x` has been judged as a path.
        let is_longer_path = code[..start].trim_end().ends_with("::") && item.is_some();
        if !is_longer_path && !source.is_test(start) {
            uses.push((start, item.filter(|item| !item.is_empty())));
        }
    }
    uses
}

/// Returns how many modules deep a file is: the number of `super` that lead from it to the crate's root.
fn depth(inside: &str) -> usize {
    let folders = inside.matches('/').count();
    if inside.ends_with("/mod.rs") { folders } else { folders + 1 }
}

/// Returns every path from the crate's root, with the offset where it stands; groups are taken apart.
fn crate_paths(source: &Source, depth: usize) -> Vec<(usize, Vec<String>)> {
    let code = source.code();
    let mut found = Vec::new();
    for start in CRATE.find_iter(code) {
        read_path(code, start.end(), &mut Vec::new(), &mut found);
    }
    for start in SUPERS.find_iter(code) {
        if start.as_str().matches("super").count() >= depth {
            read_path(code, start.end(), &mut Vec::new(), &mut found);
        }
    }
    found
}

/// Reads a path, or a group of paths, that begins at `at`, and returns where it ends.
fn read_path(
    code: &str,
    at: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let mut at = skip_blanks(code, at);
    let begin = at;
    let length_before = prefix.len();
    loop {
        if code[at..].starts_with('{') {
            at = read_group(code, at + 1, prefix, found);
            break;
        }
        let length = code[at..]
            .find(|character: char| !(character.is_alphanumeric() || character == '_' || character == '*'))
            .unwrap_or(code.len() - at);
        prefix.push(code[at..at + length].to_owned());
        let next = skip_blanks(code, at + length);
        if length == 0 || !code[next..].starts_with("::") {
            at = next;
            found.push((begin, prefix.iter().filter(|part| !part.is_empty()).cloned().collect()));
            break;
        }
        at = skip_blanks(code, next + 2);
        if code[at..].starts_with('<') {
            // A turbofish: the path's own names end here.
            found.push((begin, prefix.clone()));
            break;
        }
    }
    prefix.truncate(length_before);
    at
}

/// Reads the members of a group behind its `{`, and returns where it ends.
fn read_group(
    code: &str,
    at: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let mut at = skip_blanks(code, at);
    while at < code.len() && !code[at..].starts_with('}') {
        let member = read_path(code, at, prefix, found);
        // Behind a member stands a comma, the end, or `as name`.
        at = code[member..].find([',', '}']).map_or(code.len(), |found| member + found);
        if code[at..].starts_with(',') {
            at = skip_blanks(code, at + 1);
        }
    }
    (at + 1).min(code.len())
}

fn skip_blanks(code: &str, at: usize) -> usize {
    at + (code[at..].len() - code[at..].trim_start().len())
}

#[cfg(test)]
mod tests {
    use super::super::source::Source;
    use super::super::tree::Tree;
    use super::{LAYERS, check, crate_paths};

    fn faults(path: &str, text: &str) -> Vec<String> {
        let tree = Tree::of(&[("registry/Cargo.toml", ""), (path, text)]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn paths_are_taken_apart() {
        fn check(code: &str, expect: &[&str]) {
            let paths: Vec<_> =
                crate_paths(&Source::new(code), 2).into_iter().map(|(_, parts)| parts.join("::")).collect();
            assert_eq!(paths, expect, "{code}");
        }
        check("use crate::oci::Name;", &["oci::Name"]);
        check("use crate::{oci::{Name, digest::*}, store};", &["oci::Name", "oci::digest::*", "store"]);
        check("use crate::{\n    auth::Grant as G,\n    store::Blobs,\n};", &["auth::Grant", "store::Blobs"]);
        check("let x = crate::store::blobs::<T>::new();", &["store::blobs"]);
        check("fn f(x: &crate::oci::Name) -> crate::oci::Tag {}", &["oci::Name", "oci::Tag"]);
        check("use super::super::http::route;", &["http::route"]);
        check("use super::route;", &[]);
        check("// crate::store::Blobs\nlet x = \"crate::store\";", &[]);
        check("pub(crate) fn f() {}", &[]);
    }

    #[test]
    fn every_way_to_a_forbidden_layer_is_found() {
        fn check(text: &str, line: usize) {
            let found = faults("registry/src/http/blobs.rs", text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            let start = format!("registry/src/http/blobs.rs:{line}: `http` may not import `store::Blobs`");
            assert!(found[0].starts_with(&start), "{found:?}");
        }
        check("//! Blobs.\nuse crate::store::Blobs;", 2);
        check("//! Blobs.\n\nuse crate::{oci::Name, store::{Blobs}};", 3);
        check("fn f() {\n    crate::store::Blobs::new();\n}", 2);
        check("use super::super::store::Blobs;", 1);
    }

    #[test]
    fn allowed_arrows_and_tests_are_left_alone() {
        fn check(path: &str, text: &str) {
            assert_eq!(faults(path, text), [""; 0], "{path}: {text}");
        }
        check(
            "registry/src/http/blobs.rs",
            "use crate::{oci::Name, repository::pull, http::route, clock::Clock};",
        );
        check("registry/src/http/blobs.rs", "#[cfg(test)]\nmod tests {\n    use crate::store::Blobs;\n}");
        check(
            "registry/src/repository/pull.rs",
            "use crate::auth::{Grant, Pull};\nuse crate::auth::grant::Grant;",
        );
        check(
            "registry/src/config/resolve.rs",
            "use crate::store::options::Commit;\nuse crate::auth::Options;",
        );
        check("registry/src/server.rs", "use crate::{store::Blobs, http::Router, config};");
    }

    #[test]
    fn only_the_named_part_of_a_layer_is_allowed() {
        assert_eq!(faults("registry/src/repository/pull.rs", "use crate::auth::{Grant, htpasswd};").len(), 1);
        assert_eq!(faults("registry/src/repository/pull.rs", "use crate::auth::*;").len(), 1);
        assert_eq!(faults("registry/src/config/resolve.rs", "use crate::store::Blobs;").len(), 1);
        assert_eq!(faults("registry/src/oci/name.rs", "use crate::http::Options;").len(), 1);
    }

    #[test]
    fn a_layer_imported_by_name_is_followed() {
        fn check(text: &str, lines: &[&str]) {
            let found = faults("registry/src/config/options.rs", text);
            let starts: Vec<_> =
                found.iter().map(|fault| fault.split(':').nth(1).unwrap_or_default()).collect();
            assert_eq!(starts, lines, "{text}: {found:?}");
        }
        check("use crate::{auth, store};\nfn f(a: auth::options::Rule, s: &store::Options) {}", &[]);
        check("use crate::auth;\nfn f() {\n    auth::htpasswd::read();\n}", &["3"]);
        check("use crate::auth;\nuse auth::{htpasswd};", &["2"]);
        check("use crate::auth as a;", &["1"]);
        check("use crate::auth;\nfn f() { other::auth::g(); }", &[]);
    }

    #[test]
    fn a_module_needs_a_row() {
        let found = faults("registry/src/util/mod.rs", "");
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("`util` is no layer"), "{found:?}");
        assert!(LAYERS.iter().any(|layer| layer.name == "extensions"));
    }

    #[test]
    fn a_file_of_tests_may_import_everything() {
        let tree = Tree::of(&[
            ("registry/Cargo.toml", ""),
            ("registry/src/lib.rs", "mod oci;"),
            ("registry/src/oci/mod.rs", "#[cfg(test)]\nmod tests;"),
            ("registry/src/oci/tests.rs", "use crate::store::Blobs;"),
        ]);
        assert_eq!(check(&tree), []);
    }
}
