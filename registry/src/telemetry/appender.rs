//! A file that lines are appended to, and that others move away when it has grown.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

/// Who may read such a file: what is done here is for its owner to know.
const MODE: u32 = 0o600;

/// A file, open at its end.
#[derive(Debug)]
pub struct Appender {
    path: PathBuf,
    file: File,
    /// Whether a line in it has no end, since writing it failed half-way.
    is_torn: bool,
}

/// Lines that were not written.
#[derive(Debug)]
pub struct Lost {
    /// How many.
    pub lines: u64,
    /// Why.
    pub source: io::Error,
}

impl Appender {
    /// Opens a file, which is made if it is not there.
    ///
    /// *Errors:* those of the system.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let file = open(&path)?;
        Ok(Self { path, file, is_torn: false })
    }

    /// Opens the file anew if it is no longer the one at its path.
    ///
    /// *Errors:* those of the system; until it can be opened, the old file is written to.
    pub fn renew(&mut self) -> io::Result<()> {
        let held = self.file.metadata()?;
        let is_same = std::fs::metadata(&self.path)
            .is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino()));
        if !is_same {
            self.file = open(&self.path)?;
            self.is_torn = false;
        }
        Ok(())
    }

    /// Appends whole lines, each of which ends with a newline.
    ///
    /// *Errors:* how many of them are not in the file as a whole.
    pub fn append(&mut self, lines: &[String]) -> Result<(), Lost> {
        // What is left of a line that could not be written must not be the beginning of the next.
        let mut text = if self.is_torn { vec![b'\n'] } else { Vec::new() };
        let mut ends = Vec::with_capacity(lines.len());
        for line in lines {
            text.extend_from_slice(line.as_bytes());
            ends.push(text.len());
        }
        let mut written = 0;
        while written < text.len() {
            let source = match self.file.write(&text[written..]) {
                Ok(0) => ErrorKind::WriteZero.into(),
                Ok(count) => {
                    written += count;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            if written > 0 {
                self.is_torn = text[written - 1] != b'\n';
            }
            let lines = ends.iter().filter(|end| **end > written).count();
            return Err(Lost { lines: u64::try_from(lines).unwrap_or(u64::MAX), source });
        }
        self.is_torn = false;
        Ok(())
    }
}

fn open(path: &std::path::Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

#[cfg(test)]
mod tests {
    //! Goal: every line is in one of the files, whole, whoever rotates them and however. Method: a folder, and the
    //! ways in which a file is rotated; a device that is full.

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn line(text: &str) -> Vec<String> {
        vec![format!("{text}\n")]
    }

    #[test]
    fn it_follows_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let mut file = Appender::open(path.clone()).unwrap();
        let mut put = |text| {
            file.renew().unwrap();
            file.append(&line(text)).unwrap();
        };
        put("one");
        fs::rename(&path, folder.path().join("audit.1")).unwrap();
        put("two");
        // Others made the new file.
        fs::rename(&path, folder.path().join("audit.2")).unwrap();
        fs::write(&path, "made\n").unwrap();
        put("three");
        // A copy, and the file is cut.
        fs::copy(&path, folder.path().join("audit.3")).unwrap();
        fs::write(&path, "").unwrap();
        put("four");
        fs::remove_file(&path).unwrap();
        put("five");
        let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(
            ["audit.1", "audit.2", "audit.3", "audit"].map(read),
            ["one\n", "two\n", "made\nthree\n", "five\n"]
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn without_its_folder_it_goes_on_in_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (folder.path().join("here"), folder.path().join("there"));
        fs::create_dir(&here).unwrap();
        let mut file = Appender::open(here.join("audit")).unwrap();
        fs::rename(&here, &there).unwrap();
        assert!(file.renew().is_err());
        file.append(&line("one")).unwrap();
        assert_eq!(fs::read_to_string(there.join("audit")).unwrap(), "one\n");
    }

    #[test]
    fn a_full_disk_loses_what_it_says() {
        let mut file = Appender::open("/dev/full".into()).unwrap();
        let lost = file.append(&[line("one"), line("two")].concat()).unwrap_err();
        assert_eq!((lost.lines, lost.source.kind()), (2, ErrorKind::StorageFull));
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        fs::write(&path, "torn").unwrap();
        let mut file = Appender::open(path.clone()).unwrap();
        file.is_torn = true;
        file.append(&line("one")).unwrap();
        file.append(&line("two")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "torn\none\ntwo\n");
    }
}
