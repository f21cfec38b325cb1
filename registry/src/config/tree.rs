//! The table of keys as a tree, to be walked along a file.

use std::sync::LazyLock;

use super::distance::distance;
use super::key::{Class, Key, names};
use super::keys;
use super::kind::Kind;

/// A key and the keys below it, in the order of the table.
///
/// What lists hold, and what the operator's own names hold, stands directly below the list or the
/// section of names.
#[derive(Debug)]
pub(super) struct Node {
    /// The row of the table.
    pub(super) key: &'static Key,
    /// The keys below.
    pub(super) below: Vec<Node>,
}

static TOP: Key = Key {
    path: "",
    kind: Kind::Section,
    default: "",
    meaning: "The configuration of a registry and pull-through cache.",
    class: Class::Honoured,
    at_limit: None,
    required: false,
};

static ROOT: LazyLock<Node> = LazyLock::new(|| {
    let mut root = Node { key: &TOP, below: Vec::new() };
    for key in keys::all() {
        root.insert(key);
    }
    root
});

/// Returns the whole tree.
pub(super) fn root() -> &'static Node {
    &ROOT
}

impl Node {
    /// Returns the key below that is called `name`, in any case.
    pub(super) fn named(&self, name: &str) -> Option<&Node> {
        self.below.iter().find(|node| node.key.name().eq_ignore_ascii_case(name))
    }

    /// Returns the node of `path`, a path of the table.
    pub(super) fn at(&self, path: &'static str) -> Option<&Node> {
        names(path).try_fold(self, Node::named)
    }

    /// Returns the path of the known key that an unknown `name` below this one most likely meant.
    ///
    /// A neighbour is preferred; the same name elsewhere in the table wins over neighbours that are
    /// further off than a slip of the finger.
    pub(super) fn nearest(&self, name: &str) -> Option<&'static str> {
        let neighbour = self
            .below
            .iter()
            .map(|node| (distance(node.key.name(), name), node.key.path))
            .min_by_key(|found| found.0);
        let elsewhere = keys::all()
            .map(|key| (distance(key.name(), name) + 2, key.path))
            .min_by_key(|found| found.0)
            .filter(|found| neighbour.is_none_or(|neighbour| found.0 < neighbour.0));
        elsewhere.or(neighbour).map(|(_, path)| path)
    }

    fn insert(&mut self, key: &'static Key) {
        let mut place = self;
        for name in names(key.path) {
            let known = place.below.iter().position(|node| node.key.name() == name);
            let Some(index) = known else {
                // Rows come after the rows of their sections, so this name is the key's own.
                place.below.push(Node { key, below: Vec::new() });
                return;
            };
            place = &mut place.below[index];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::root;
    use crate::config::keys;

    #[test]
    fn every_key_stands_in_the_tree() {
        for key in keys::all() {
            let node = root().at(key.path).unwrap_or_else(|| panic!("{} is in the tree", key.path));
            assert_eq!(node.key.path, key.path, "a row comes before the row of its section");
        }
    }

    #[test]
    fn names_the_key_that_was_meant() {
        let check = |section: &'static str, name: &str, expect: &str| {
            let section = root().at(section).expect("the section is known");
            assert_eq!(section.nearest(name), Some(expect), "{name}");
        };
        check("http", "prot", "http.port");
        check("http", "realms", "http.realm");
        check("http", "dedupe", "storage.dedupe");
        check("http.auth", "htpaswd", "http.auth.htpasswd");
        check("", "htpasswd", "http.auth.htpasswd");
        check("", "extension", "extensions");
    }
}
