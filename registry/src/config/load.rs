//! From a file to a configuration: reads, checks, resolves, and reports all faults together.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::check::Check;
use super::checked::View;
use super::error::{Fault, Faults};
use super::options::Config;
use super::raw::{self, Raw};
use super::{env, files, resolve};

/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A configuration that may be started, and what should be known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What has no effect, is not built yet, or is not there yet.
    pub warnings: Vec<Fault>,
}

/// Reads the file at `path`, with the environment of this process, and looks at the files it names.
///
/// It blocks; it is meant for the start of the process.
///
/// *Errors*: everything that is wrong with the file at once, or why it cannot be read or parsed.
pub fn load(path: &Path) -> Result<Loaded, Faults> {
    let text = read(path)?;
    let (mut config, mut found) = examine(&raw::read(&text)?, &env::process);
    files::look(&mut config, &mut found);
    finish(config, found)
}

/// Reads `text`, a file's content, and asks `env` for the environment. Touches no file.
///
/// *Errors*: everything that is wrong with it at once, or where it stops being YAML.
pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Faults> {
    interpret(&raw::read(text)?, env)
}

/// Returns what `raw`, a whole file, means.
///
/// *Errors*: everything that is wrong with it at once.
pub(super) fn interpret(raw: &Raw, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Faults> {
    let (config, found) = examine(raw, env);
    finish(config, found)
}

/// Returns what can be understood of `raw`, and everything that is wrong with it.
fn examine(raw: &Raw, env: &dyn Fn(&str) -> Option<String>) -> (Config, Faults) {
    let mut check = Check::new(env);
    let checked = check.file(raw);
    let mut resolved = resolve::resolve(View::new(&checked));
    for upstream in &mut resolved.config.upstreams {
        upstream.proxies = env::proxies(env);
    }
    let mut faults = check.faults;
    let mut warnings = check.warnings;
    faults.extend(resolved.faults);
    warnings.extend(resolved.warnings);
    (resolved.config, Faults { faults, warnings })
}

fn finish(config: Config, found: Faults) -> Result<Loaded, Faults> {
    if found.faults.is_empty() { Ok(Loaded { config, warnings: found.warnings }) } else { Err(found) }
}

fn read(path: &Path) -> Result<String, Faults> {
    let unreadable = |error: std::io::Error| Faults::one("(file)", format!("cannot be read: {error}"));
    let mut bytes = Vec::new();
    // One byte more than the limit tells a file of exactly that size from a larger one.
    File::open(path)
        .map_err(unreadable)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Faults::one("(file)", format!("has more than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| Faults::one("(file)", "is not UTF-8"))
}
