//! The checkout as texts: every Rust source, document and cargo manifest, and the path of everything else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use regex::Regex;

use super::source::{Source, regex};

/// Folders whose content is made, not written.
const MADE: &[&str] = &["target", ".git", "wharfinger-data", "reports"];

static EXPLICIT_ROOT: LazyLock<Regex> = LazyLock::new(|| regex(r#"(?m)^\s*path\s*=\s*"([^"]+\.rs)""#));

/// The checkout. Paths are relative to it, with `/`.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Rust sources.
    sources: BTreeMap<String, Source>,
    /// Documents (`.md`).
    documents: BTreeMap<String, String>,
    /// Folders that hold a crate (of cargo's manifests), with the targets that each names explicitly.
    crates: BTreeMap<String, Vec<String>>,
    /// Everything that exists, folders too.
    paths: BTreeSet<String>,
    /// What is compiled: each file, and whether for tests only.
    compiled: BTreeMap<String, bool>,
}

impl Tree {
    /// Reads the checkout at `root`.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        tree.compiled = tree.find_compiled();
        Ok(tree)
    }

    /// Makes a tree of texts, for tests of the checks.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            for (at, _) in path.match_indices('/') {
                tree.paths.insert(path[..at].to_owned());
            }
            tree.add(path, text);
        }
        tree.compiled = tree.find_compiled();
        tree
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
            let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
            // Paths that are no UTF-8 cannot be named by a document or a module; they are nobody's fault here.
            let Ok(name) = entry.file_name().into_string() else { continue };
            if MADE.contains(&name.as_str()) {
                continue;
            }
            let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            if entry.file_type()?.is_dir() {
                self.paths.insert(path.clone());
                self.read_folder(&entry.path(), &path)?;
            } else if [".rs", ".md", "Cargo.toml"].iter().any(|end| path.ends_with(end)) {
                let text = fs::read_to_string(entry.path()).with_context(|| format!("reading {path}"))?;
                self.add(&path, &text);
            } else {
                self.paths.insert(path);
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, text: &str) {
        self.paths.insert(path.to_owned());
        if path.ends_with(".rs") {
            self.sources.insert(path.to_owned(), Source::new(text));
        } else if path.ends_with(".md") {
            self.documents.insert(path.to_owned(), text.to_owned());
        } else if let Some(folder) = path.strip_suffix("Cargo.toml") {
            let roots =
                EXPLICIT_ROOT.captures_iter(text).map(|found| format!("{folder}{}", &found[1])).collect();
            self.crates.insert(folder.to_owned(), roots);
        }
    }

    /// Returns every Rust source.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.sources.iter().map(|(path, source)| (path.as_str(), source))
    }

    /// Returns one Rust source.
    pub(super) fn source(&self, path: &str) -> Option<&Source> {
        self.sources.get(path)
    }

    /// Returns every document.
    pub(super) fn documents(&self) -> impl Iterator<Item = (&str, &str)> {
        self.documents.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Returns one document.
    pub(super) fn document(&self, path: &str) -> Option<&str> {
        self.documents.get(path).map(String::as_str)
    }

    /// Says whether a file or folder exists.
    pub(super) fn exists(&self, path: &str) -> bool {
        self.paths.contains(path.trim_end_matches('/'))
    }

    /// Says whether any file or folder has this name.
    pub(super) fn exists_by_name(&self, name: &str) -> bool {
        self.paths.iter().any(|path| path.rsplit('/').next() == Some(name))
    }

    /// Says whether cargo compiles the file.
    pub(super) fn is_compiled(&self, path: &str) -> bool {
        self.compiled.contains_key(path)
    }

    /// Says whether the file is compiled for tests only: an integration test, a bench, or a module that
    /// is declared under `#[cfg(test)]`.
    pub(super) fn is_test(&self, path: &str) -> bool {
        self.compiled.get(path).copied().unwrap_or(false)
    }

    /// Follows `mod` declarations from the root of every target.
    fn find_compiled(&self) -> BTreeMap<String, bool> {
        let mut compiled: BTreeMap<String, bool> = BTreeMap::new();
        let mut queue: VecDeque<(String, bool, bool)> = self
            .sources
            .keys()
            .filter_map(|path| Some((path.clone(), self.target_root(path)?, true)))
            .collect();
        while let Some((path, is_test, is_root)) = queue.pop_front() {
            let Some(source) = self.sources.get(&path) else { continue };
            match compiled.get(&path) {
                // Seen: only what makes a test file an ordinary one is news.
                Some(&seen) if is_test || !seen => continue,
                _ => compiled.insert(path.clone(), is_test),
            };
            let (folder, stem) = split(&path);
            let children =
                if is_root || stem == "mod" { folder.to_owned() } else { format!("{folder}{stem}/") };
            for decl in source.mod_decls() {
                let is_test = is_test || decl.is_test;
                let candidates = match decl.path {
                    Some(path) => vec![normal(&format!("{folder}{path}"))],
                    None => {
                        vec![format!("{children}{}.rs", decl.name), format!("{children}{}/mod.rs", decl.name)]
                    }
                };
                queue.extend(candidates.into_iter().map(|path| (path, is_test, false)));
            }
        }
        compiled
    }

    /// Says whether the file is the root of one of cargo's targets: `Some(true)` where it is a test,
    /// bench or example.
    fn target_root(&self, path: &str) -> Option<bool> {
        let (folder, explicit) = self
            .crates
            .iter()
            .filter(|(folder, _)| path.starts_with(*folder))
            .max_by_key(|(folder, _)| folder.len())?;
        let inside = &path[folder.len()..];
        let of_tests = ["tests/", "benches/", "examples/"].iter().any(|start| inside.starts_with(start));
        let depth = inside.matches('/').count();
        let is_root = match inside {
            "src/lib.rs" | "src/main.rs" | "build.rs" => true,
            _ if inside.starts_with("src/bin/") || of_tests => {
                let depth = if of_tests { depth } else { depth - 1 };
                depth == 1 || (depth == 2 && inside.ends_with("/main.rs"))
            }
            _ => false,
        };
        (is_root || explicit.iter().any(|root| root == path)).then_some(of_tests)
    }
}

/// Splits `a/b/c.rs` into `a/b/` and `c`.
fn split(path: &str) -> (&str, &str) {
    let (folder, name) = path.split_at(path.rfind('/').map_or(0, |at| at + 1));
    (folder, name.strip_suffix(".rs").unwrap_or(name))
}

/// Resolves `.` and `..` in a relative path; what leaves the checkout keeps its `..`.
pub(super) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::{Tree, normal};

    #[test]
    fn paths_are_resolved() {
        fn check(path: &str, expect: &str) {
            assert_eq!(normal(path), expect);
        }
        check("docs/adr/../storage.md", "docs/storage.md");
        check("./a//b/.", "a/b");
        check("docs/../../outside", "../outside");
    }

    #[test]
    fn compiled_files_are_those_that_a_target_reaches() {
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]"),
            ("a/Cargo.toml", "[lib]\npath = \"lib.rs\"\n"),
            ("a/lib.rs", "mod x;\n#[cfg(test)]\nmod tests;"),
            ("a/x/mod.rs", "mod y;"),
            ("a/x/y.rs", "mod z;"),
            ("a/x/y/z.rs", ""),
            ("a/tests.rs", "mod deep;"),
            ("a/tests/deep.rs", ""),
            ("b/Cargo.toml", "[package]"),
            ("b/src/main.rs", ""),
            ("b/src/forgotten.rs", ""),
            ("b/tests/it/main.rs", "mod blobs;\n#[path = \"../shared.rs\"]\nmod shared;"),
            ("b/tests/it/blobs.rs", ""),
            ("b/tests/it/tags.rs", ""),
        ]);
        for path in ["a/lib.rs", "a/x/mod.rs", "a/x/y.rs", "a/x/y/z.rs", "b/src/main.rs"] {
            assert!(tree.is_compiled(path) && !tree.is_test(path), "{path}");
        }
        for path in ["a/tests.rs", "a/tests/deep.rs", "b/tests/it/main.rs", "b/tests/it/blobs.rs"] {
            assert!(tree.is_compiled(path) && tree.is_test(path), "{path}");
        }
        assert!(!tree.is_compiled("b/src/forgotten.rs"));
        assert!(!tree.is_compiled("b/tests/it/tags.rs"));
    }

    #[test]
    fn existence_knows_folders() {
        let tree = Tree::of(&[("docs/adr/0001.md", "")]);
        assert!(tree.exists("docs/adr/") && tree.exists("docs") && tree.exists("docs/adr/0001.md"));
        assert!(tree.exists_by_name("0001.md") && !tree.exists_by_name("0002.md"));
        assert!(!tree.exists("docs/ad"));
    }
}
