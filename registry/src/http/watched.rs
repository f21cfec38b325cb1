//! Files that are looked at for changes, without any help of the file system.
//!
//! Links are followed, so that a folder which Kubernetes swaps as a whole (`..data`) is seen to change as well
//! as a file that is written to or renamed over.

use std::fs;
use std::path::PathBuf;

use crate::auth::Fingerprint;

/// Some files, and what they looked like when they were last looked at.
#[derive(Debug, Clone)]
pub struct Watched {
    paths: Vec<PathBuf>,
    seen: Vec<Option<Fingerprint>>,
}

impl Watched {
    /// Looks at the files, which need not be there. Whoever reads them afterwards misses no change.
    ///
    /// It blocks for as long as the file system does.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let paths: Vec<PathBuf> = paths.into_iter().collect();
        let seen = look(&paths);
        Self { paths, seen }
    }

    /// Looks at the files again, and says whether one of them is another than at the last look, or came, or
    /// went.
    ///
    /// A write that a [`Fingerprint`] does not tell apart is missed. Who finds a file half written should therefore
    /// read it again even if nothing has changed.
    pub fn changed(&mut self) -> bool {
        let now = look(&self.paths);
        let changed = now != self.seen;
        self.seen = now;
        changed
    }
}

fn look(paths: &[PathBuf]) -> Vec<Option<Fingerprint>> {
    let fingerprint = |path: &PathBuf| Some(Fingerprint::of(&fs::metadata(path).ok()?));
    paths.iter().map(fingerprint).collect()
}

#[cfg(test)]
mod tests {
    //! Goal: every way in which a file becomes another is seen, once. Method: a folder, changed as an editor,
    //! `mv`, and Kubernetes change it.

    use std::fs;
    use std::os::unix::fs::symlink;

    use super::Watched;

    #[test]
    fn each_change_is_seen_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "1").unwrap();
        let mut watched = Watched::new([path("a"), path("b")]);
        assert!(!watched.changed(), "nothing has happened");
        let mut check = |what: &str| {
            assert!(watched.changed(), "{what}");
            assert!(!watched.changed(), "{what}, and no more");
        };
        fs::write(path("a"), "22").unwrap();
        check("it was written to");
        fs::write(path("c"), "33").unwrap();
        fs::rename(path("c"), path("a")).unwrap();
        check("another was renamed over it");
        fs::write(path("b"), "").unwrap();
        check("the other came");
        fs::remove_file(path("b")).unwrap();
        check("the other went");
        fs::remove_file(path("a")).unwrap();
        fs::create_dir(path("a")).unwrap();
        check("a folder is in its place");
    }

    #[test]
    fn a_folder_that_is_swapped_below_the_links_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for edition in ["..1", "..2"] {
            fs::create_dir(path(edition)).unwrap();
            fs::write(path(edition).join("tls.crt"), "same size").unwrap();
        }
        symlink("..1", path("..data")).unwrap();
        symlink("..data/tls.crt", path("tls.crt")).unwrap();
        let mut watched = Watched::new([path("tls.crt")]);
        symlink("..2", path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
        assert!(watched.changed());
        fs::remove_dir_all(path("..1")).unwrap();
        assert!(!watched.changed(), "what the link led to before is of no matter");
    }
}
