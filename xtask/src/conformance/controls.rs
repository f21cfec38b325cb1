//! Controls: what a check does to the registry that HTTP cannot do.
//!
//! The suite runs a command for each. That command is this program again (`xtask control SOCKET WORD…`),
//! which asks the run that owns the servers: over a socket, so that the servers end with the run however it
//! ends.
//!
//! *Shape*: the words on one line; the answer is an exit code on a line of its own, then what is printed.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};

/// The exit code that says that a control is not given.
const EXIT_ABSENT: u8 = 3;
const EXIT_FAILED: u8 = 1;

/// What carries out a control: the words, and what is printed; `None` when it is not given.
pub(super) type Carry = dyn Fn(&[&str]) -> Result<Option<String>> + Send + Sync;

/// The socket of one run. Dropping it removes the socket; the thread behind it ends with the program.
#[derive(Debug)]
pub(super) struct Controls {
    socket: PathBuf,
}

impl Controls {
    /// Listens for controls in the folder for temporary files: the path of a socket must be short.
    pub(super) fn listen(name: &str, carry: Arc<Carry>) -> Result<Self> {
        let socket = std::env::temp_dir().join(format!("wharfinger-{name}-{}", std::process::id()));
        if socket.exists() {
            fs::remove_file(&socket).with_context(|| format!("removing {}", socket.display()))?;
        }
        let listener =
            UnixListener::bind(&socket).with_context(|| format!("listening on {}", socket.display()))?;
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let carry = Arc::clone(&carry);
                // One that hangs up early has been killed by the suite, which says so itself.
                thread::spawn(move || drop(answer(stream, &*carry)));
            }
        });
        Ok(Self { socket })
    }

    /// Returns the command that the suite runs.
    pub(super) fn command(&self) -> Result<String> {
        let program = std::env::current_exe().context("looking for this program")?;
        Ok(format!("{} control {}", quoted(&replaced(&program)), quoted(&self.socket)))
    }
}

impl Drop for Controls {
    fn drop(&mut self) {
        // A leftover is removed by the next run of this process id.
        let _ = fs::remove_file(&self.socket);
    }
}

/// Returns where the program is now: Linux says of one that was built anew while it runs, as this one is by a
/// test run, that it was deleted.
fn replaced(program: &Path) -> PathBuf {
    let path = program.display().to_string();
    path.strip_suffix(" (deleted)").map_or_else(|| program.to_owned(), PathBuf::from)
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

fn answer(mut stream: UnixStream, carry: &Carry) -> Result<()> {
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let (code, text) = match carry(&words) {
        Ok(Some(text)) => (0, text),
        Ok(None) => (EXIT_ABSENT, String::new()),
        Err(error) => (EXIT_FAILED, format!("{error:#}")),
    };
    stream.write_all(format!("{code}\n{text}").as_bytes())?;
    Ok(())
}

/// Asks a run for a control, prints its answer, and returns the exit code.
pub(crate) fn ask(socket: &Path, words: &[String]) -> Result<u8> {
    let mut stream =
        UnixStream::connect(socket).with_context(|| format!("connecting to {}", socket.display()))?;
    stream.write_all(format!("{}\n", words.join(" ")).as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (code, text) = text.split_once('\n').context("the run hung up")?;
    let code = code.parse().context("the run answered no exit code")?;
    if code == 0 {
        print!("{text}");
    } else {
        eprint!("{text}");
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use anyhow::bail;

    use std::path::Path;

    use super::{Carry, Controls, ask, quoted, replaced};

    #[test]
    fn a_program_that_was_built_anew_is_found() {
        assert_eq!(replaced(Path::new("/a b/xtask (deleted)")), Path::new("/a b/xtask"));
        assert_eq!(replaced(Path::new("/a b/xtask")), Path::new("/a b/xtask"));
    }

    #[test]
    fn a_command_reaches_the_run() {
        let carry: Arc<Carry> = Arc::new(|words: &[&str]| match words {
            ["files", name] => Ok(Some(format!("1 {name}"))),
            ["gc"] => Ok(None),
            _ => bail!("no such control"),
        });
        let controls = Controls::listen("controls-test", carry).unwrap();
        let run = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            ask(&controls.socket, &words).unwrap()
        };
        assert_eq!((run(&["files", "x"]), run(&["gc"]), run(&["dance"])), (0, 3, 1));
        let socket = controls.socket.clone();
        assert!(controls.command().unwrap().ends_with(&format!("control {}", quoted(&socket))));
        drop(controls);
        assert!(!socket.exists());
    }
}
