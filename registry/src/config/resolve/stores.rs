//! Whether two stores would write into one folder, or under one prefix of a bucket.
//!
//! Two stores in one folder, or one within the other, would take each other's files for their own.

use std::path::{Component, Path, PathBuf};

use crate::config::error::Fault;

/// A store, and the key that says where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct Place {
    /// The key, such as `storage.rootDirectory`.
    pub(in crate::config) key: String,
    /// The folder; absolute, for a relative one cannot be held against an absolute one. Or a bucket's address.
    pub(in crate::config) folder: PathBuf,
}

/// Reports each store whose folder is that of one before it, or within it, or around it.
///
/// Links are not followed: what they lead to may change.
pub(in crate::config) fn faults(places: &[Place]) -> Vec<Fault> {
    let folders: Vec<PathBuf> = places.iter().map(|place| plain(&place.folder)).collect();
    let mut faults = Vec::new();
    for (index, place) in places.iter().enumerate() {
        for (before, folder) in places.iter().zip(&folders).take(index) {
            let own = &folders[index];
            let relation = match (own.starts_with(folder), folder.starts_with(own)) {
                (true, true) => "is the place of",
                (true, false) => "is within the place of",
                (false, true) => "is around the place of",
                (false, false) => continue,
            };
            let message = format!("{relation} {}; give each store a place of its own", before.key);
            faults.push(Fault::new(&place.key, message));
        }
    }
    faults
}

/// Returns a path without `.`, and without what a `..` takes back.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, component| {
        match component {
            Component::CurDir => {}
            Component::ParentDir => _ = plain.pop(),
            component => plain.push(component),
        }
        plain
    })
}

#[cfg(test)]
mod tests {
    //! Goal: stores that would share files are told, however their folders are written. Method: a table.

    use super::*;

    #[test]
    fn stores_share_no_folder() {
        for (folders, expect) in [
            (vec!["/a", "/b", "/c"], vec![]),
            (vec!["/a", "/ab", "/b/a"], vec![]),
            (vec!["/a", "/b", "/b"], vec!["2: is the place of 1; give each store a place of its own"]),
            (vec!["/a", "/a/./"], vec!["1: is the place of 0; give each store a place of its own"]),
            (vec!["/a", "/a/b"], vec!["1: is within the place of 0; give each store a place of its own"]),
            (vec!["/a/b", "/a"], vec!["1: is around the place of 0; give each store a place of its own"]),
            (vec!["/a", "/b/../a"], vec!["1: is the place of 0; give each store a place of its own"]),
            (vec!["/a", "/../.."], vec!["1: is around the place of 0; give each store a place of its own"]),
        ] {
            let place =
                |(index, folder): (usize, &&str)| Place { key: index.to_string(), folder: folder.into() };
            let places: Vec<Place> = folders.iter().enumerate().map(place).collect();
            let told: Vec<String> = faults(&places).iter().map(Fault::to_string).collect();
            assert_eq!(told, expect, "{folders:?}");
        }
        let all = ["/a", "/a/b", "/a/b/c"].map(|it| Place { key: it.to_owned(), folder: it.into() });
        assert_eq!(faults(&all).len(), 3, "each pair");
    }
}
