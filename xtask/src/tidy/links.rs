//! Documents that point at what is not there: relative links, anchors, and paths in backticks.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::Fault;
use super::source::{line_of, regex};
use super::tree::{Tree, normal};

static LINK: LazyLock<Regex> = LazyLock::new(|| regex(r"\[[^\]\n]*\]\(\s*<?([^)>\s]+)>?[^)\n]*\)"));
static TICKED: LazyLock<Regex> = LazyLock::new(|| regex(r"`([^`\n]+)`"));
static FENCE: LazyLock<Regex> = LazyLock::new(|| regex(r"(?ms)^\s*```.*?^\s*```[^\n]*$"));
static PATH: LazyLock<Regex> = LazyLock::new(|| regex(r"^[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*/?$"));

/// Endings of what a document may name by its file name alone.
const SOURCE_ENDINGS: &[&str] = &[".rs", ".toml", ".md", ".sh"];
/// Endings that make a path of something with a `/` in it.
const PATH_ENDINGS: &[&str] =
    &[".rs", ".toml", ".md", ".sh", ".json", ".yaml", ".yml", ".txt", ".html", ".xml", ".conf", ".snap"];
/// First parts of paths that exist at run time only: the data folder and the keys in it, what is built,
/// and the placeholder names of repositories.
const ELSEWHERE: &[&str] = &[
    "wharfinger-data",
    "wharfinger.json",
    "target",
    "reports",
    "blobs",
    "content",
    "repositories",
    "names",
    "uploads",
    "upstreams",
    "system",
    "quarantine",
    "accessed",
    "library",
    "v2",
    "auth",
    "etc",
    "var",
    "tmp",
    "proc",
];
/// Folders that paths in documents may be relative to, beside the checkout and the document's own.
const BASES: &[&str] = &["registry/src/", "registry/"];

/// Finds dead links in every document, and dead paths in those that describe the checkout.
pub(super) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, text) in tree.documents() {
        let prose = without_fences(text);
        faults.extend(dead_links(tree, path, &prose));
        if describes_the_checkout(path) {
            faults.extend(dead_paths(tree, path, &prose));
        }
    }
    faults
}

fn describes_the_checkout(path: &str) -> bool {
    ["ARCHITECTURE.md", "README.md", "CONTRIBUTING.md"].contains(&path) || path.starts_with("docs/")
}

/// Blanks fenced blocks, which show output and commands.
fn without_fences(text: &str) -> String {
    let blank = |found: &regex::Captures<'_>| {
        found[0].chars().map(|character| if character == '\n' { '\n' } else { ' ' }).collect::<String>()
    };
    FENCE.replace_all(text, blank).into_owned()
}

fn dead_links(tree: &Tree, path: &str, prose: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for found in LINK.captures_iter(prose) {
        let target = found.get(1).expect("the group is not optional");
        let (file, anchor) = target.as_str().split_once('#').unwrap_or((target.as_str(), ""));
        if target.as_str().contains("://") || target.as_str().starts_with("mailto:") {
            continue;
        }
        let resolved =
            if file.is_empty() { path.to_owned() } else { normal(&format!("{}{file}", folder(path))) };
        let line = line_of(prose, target.start());
        if !tree.exists(&resolved) {
            faults.push(Fault::new(
                path,
                line,
                format!("the link `{}` leads nowhere; mend it", target.as_str()),
            ));
        } else if let (false, Some(text)) = (anchor.is_empty(), tree.document(&resolved))
            && !anchors(text).contains(anchor)
        {
            faults.push(Fault::new(
                path,
                line,
                format!("`{resolved}` has no heading for `#{anchor}`; mend the link"),
            ));
        }
    }
    faults
}

fn dead_paths(tree: &Tree, path: &str, prose: &str) -> Vec<Fault> {
    TICKED
        .captures_iter(prose)
        .filter_map(|found| {
            let token = found.get(1).expect("the group is not optional");
            let named = as_path(token.as_str())?;
            let message = format!("`{named}` does not exist; name what does");
            (!resolves(tree, path, named)).then(|| Fault::new(path, line_of(prose, token.start()), message))
        })
        .collect()
}

/// Returns the path that a token in backticks names; `None` when it names no path of the checkout. What
/// stands behind `::` is an item in the file.
pub(super) fn as_path(token: &str) -> Option<&str> {
    let path = token.split("::").next().unwrap_or(token);
    let first = path.split('/').next().unwrap_or(path);
    let is_pattern = path.starts_with('_') || path.contains("/_") || path.contains("...");
    if !PATH.is_match(path) || is_pattern || ELSEWHERE.contains(&first) {
        return None;
    }
    let has_ending =
        |endings: &[&str]| endings.iter().any(|ending| path.len() > ending.len() && path.ends_with(ending));
    let is_path = match path.trim_end_matches('/').contains('/') {
        // A host with a path is no folder of ours: `ghcr.io/team/app.json`.
        true => {
            (has_ending(PATH_ENDINGS) || path.ends_with('/'))
                && (first.starts_with('.') || !first.contains('.'))
        }
        false => has_ending(SOURCE_ENDINGS) || (path.ends_with('/') && !first.contains('.')),
    };
    is_path.then_some(path)
}

/// Says whether a path exists: from the checkout, from the document's folder, from the registry's source;
/// a bare file name anywhere.
pub(super) fn resolves(tree: &Tree, document: &str, path: &str) -> bool {
    let mut bases = vec!["", folder(document)];
    bases.extend(BASES);
    bases.iter().any(|base| tree.exists(&normal(&format!("{base}{path}"))))
        || (!path.contains('/') && tree.exists_by_name(path))
}

fn folder(path: &str) -> &str {
    &path[..path.rfind('/').map_or(0, |at| at + 1)]
}

/// Returns the anchors that the headings of a document make.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in without_fences(text).lines().filter(|line| line.starts_with('#')) {
        let slug: String = line
            .trim_start_matches('#')
            .trim()
            .to_lowercase()
            .chars()
            .filter_map(|character| match character {
                ' ' => Some('-'),
                '-' | '_' => Some(character),
                _ => character.is_alphanumeric().then_some(character),
            })
            .collect();
        // A repeated heading gets a number.
        let free = (0..).map(|n| if n == 0 { slug.clone() } else { format!("{slug}-{n}") });
        anchors.extend(free.into_iter().find(|name| !anchors.contains(name)));
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::{anchors, as_path, check};

    fn faults(document: &str, text: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("registry/src/http/route.rs", ""),
            ("docs/config.md", "# Keys and *limits*\n## Keys\n## Keys\n"),
            ("deploy/Dockerfile", ""),
            (document, text),
        ]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn dead_links_are_found() {
        fn check(text: &str, expect: &str) {
            let found = faults("docs/adr/0001-x.md", text);
            assert_eq!(found.len(), usize::from(!expect.is_empty()), "{text}: {found:?}");
            assert!(found.concat().contains(expect), "{text}: {found:?}");
        }
        check("See [config](../config.md#keys-and-limits) and [keys](../config.md#keys-1).", "");
        check("[here](#title)\n# Title\n", "");
        check("[out](https://example.org/x.md) [image](../../deploy/Dockerfile \"title\")", "");
        check("line\n[gone](../gone.md)", "docs/adr/0001-x.md:2: the link `../gone.md`");
        check("[gone](../config.md#nothing)", "no heading for `#nothing`");
        check("[outside](../../../shared.md)", "leads nowhere");
        check("```\n[sample](gone.md)\n```\n", "");
    }

    #[test]
    fn dead_paths_are_found() {
        assert_eq!(
            faults("README.md", "`registry/src/http/route.rs` `http/route.rs` `route.rs::parse` `deploy/`"),
            [""; 0]
        );
        let found = faults("README.md", "\n`registry/src/http/gone.rs` and `gone.rs` and `gone/`");
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().all(|fault| fault.starts_with("README.md:2: ")), "{found:?}");
        assert_eq!(faults("deploy/notes.md", "`gone.rs`"), [""; 0], "only what describes the checkout");
    }

    #[test]
    fn what_is_no_path_is_left_alone() {
        for token in [
            "cargo xtask test",
            "GET /v2/",
            "/etc/hosts",
            "<name>/x.rs",
            "_tags/",
            "blobs/<alg>/x.json",
            "0.8.9",
            "127.0.0.1:5000",
            "registry.k8s.io",
            "application/vnd.oci.image.index.v1+json",
            "report.json",
            "wharfinger-data/",
            "*.rs",
            "docker.io/library/",
            "repositories/team/x.json",
            "Grant::system",
            "docs/…/x.md",
        ] {
            assert_eq!(as_path(token), None, "{token}");
        }
        assert_eq!(as_path(".ci/run.sh"), Some(".ci/run.sh"));
        assert_eq!(as_path("a/b.rs::item"), Some("a/b.rs"));
    }

    #[test]
    fn headings_make_anchors() {
        let expect = ["a-b", "a-b-1", "the-where-is-table"];
        assert_eq!(
            anchors("# A, b!\n## a b\n```\n# no\n```\n### The *where-is* table\n").iter().collect::<Vec<_>>(),
            expect
        );
    }
}
