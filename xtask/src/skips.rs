//! The skip protocol: how a test says that it cannot run on this machine.
//!
//! libtest knows no skip at run time, so such a test appends the line `NAME: reason` to the file
//! that the variable `WHARFINGER_SKIPS` names, and returns. The runner counts it as skipped.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The variable that names the file.
pub(crate) const VARIABLE: &str = "WHARFINGER_SKIPS";

/// The file of one run.
#[derive(Debug)]
pub(crate) struct Skips {
    file: PathBuf,
}

impl Skips {
    /// Makes an empty file in `folder`, named after this process so that two runs do not mix.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let file = folder.join(format!("skips-{}.txt", std::process::id()));
        fs::write(&file, "").with_context(|| format!("writing {}", file.display()))?;
        Ok(Self { file })
    }

    /// Returns where tests append.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Reads what was skipped, and why.
    pub(crate) fn read(&self) -> Result<BTreeMap<String, String>> {
        match fs::read_to_string(&self.file) {
            Ok(text) => Ok(parse(&text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error).with_context(|| format!("reading {}", self.file.display())),
        }
    }
}

impl Drop for Skips {
    fn drop(&mut self) {
        // A leftover is overwritten by the next process of this id; nothing depends on its removal.
        let _ = fs::remove_file(&self.file);
    }
}

/// Reads `NAME: reason` lines. A test counts once, however often it says so.
fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| match line.split_once(": ") {
            Some((name, reason)) => (name.trim().to_owned(), reason.trim().to_owned()),
            None => (line.trim().to_owned(), "no reason given".to_owned()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Skips, parse};

    #[test]
    fn a_test_counts_once() {
        let skips = parse(
            "docker_push: no engine: not root\n\npower_loss: no loop device\ndocker_push: again\nodd\n",
        );
        let names: Vec<_> = skips.keys().map(String::as_str).collect();
        assert_eq!(names, ["docker_push", "odd", "power_loss"]);
        assert_eq!(skips["power_loss"], "no loop device");
    }

    #[test]
    fn the_file_goes_with_its_owner() {
        let folder = std::env::temp_dir().join(format!("xtask-skips-{}", std::process::id()));
        let skips = Skips::new(&folder).unwrap();
        std::fs::write(skips.file(), "a: b\n").unwrap();
        assert_eq!(skips.read().unwrap().len(), 1);
        let file = skips.file().to_owned();
        drop(skips);
        assert!(!file.exists());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
