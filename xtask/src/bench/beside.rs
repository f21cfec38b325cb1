//! What the registry is measured beside: nginx with sendfile, openssl, dd.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::process::{Guard, free_port, is_on_path, is_root, wait_for_port};

/// How long nginx may take to start.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// A running nginx that serves the files of one folder.
#[derive(Debug)]
pub(super) struct Nginx {
    guard: Guard,
    url: String,
}

impl Nginx {
    /// Starts nginx on a free port. Its configuration and its own files go to the folder too.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let port = free_port().context("looking for a free port")?;
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration(folder, port, is_root()))
            .with_context(|| format!("writing {}", file.display()))?;
        let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let mut guard = Guard::start(
            Command::new(program)
                .args(["-e", "stderr", "-p"])
                .arg(folder)
                .arg("-c")
                .arg(&file)
                .stdin(Stdio::null()),
        )?;
        wait_for_port(&mut guard, port, START_PATIENCE).context("starting nginx")?;
        Ok(Self { guard, url: format!("http://127.0.0.1:{port}") })
    }

    /// Returns `http://127.0.0.1:PORT`.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Returns the process.
    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }
}

/// Writes a configuration of one process: worker and master in one, so that killing it leaves no worker
/// behind and its processor time is all of it.
fn configuration(folder: &Path, port: u16, is_root: bool) -> String {
    let folder = folder.display();
    // As root, nginx would otherwise read the files as another user, who may not.
    let user = if is_root { "user root;\n" } else { "" };
    let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("    {name}_temp_path {folder}/temp-{name};\n"))
        .concat();
    format!(
        "{user}daemon off;\nmaster_process off;\nworker_processes 1;\npid {folder}/nginx.pid;\n\
         error_log stderr;\nevents {{ worker_connections 1024; }}\nhttp {{\n{places}    access_log off;\n    \
         sendfile on;\n    tcp_nopush on;\n    keepalive_requests 1000000000;\n    \
         default_type application/octet-stream;\n    server {{ listen 127.0.0.1:{port}; root {folder}; }}\n}}\n"
    )
}

/// Hashes a file as fast as this machine can, and returns how long that took; zero without openssl.
pub(super) fn hash(file: &Path) -> Result<Duration> {
    if !is_on_path("openssl") {
        return Ok(Duration::ZERO);
    }
    timed(Command::new("openssl").args(["dgst", "-sha256"]).arg(file))
}

/// Copies a file and waits for the disk, and returns how long that took.
pub(super) fn write(file: &Path, copy: &Path) -> Result<Duration> {
    let _ = fs::remove_file(copy);
    let (from, to) = (format!("if={}", file.display()), format!("of={}", copy.display()));
    timed(Command::new("dd").args([from.as_str(), to.as_str(), "bs=1M", "conv=fsync", "status=none"]))
}

fn timed(command: &mut Command) -> Result<Duration> {
    let program = command.get_program().to_string_lossy().into_owned();
    let begun = Instant::now();
    let output = command.output().with_context(|| format!("starting {program}"))?;
    let took = begun.elapsed();
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(took)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{configuration, write};

    #[test]
    fn nginx_is_one_process_that_can_read_its_files() {
        let text = configuration(Path::new("/scratch"), 4711, true);
        assert!(text.starts_with("user root;\ndaemon off;\nmaster_process off;\n"), "{text}");
        assert!(text.contains("listen 127.0.0.1:4711; root /scratch;"), "{text}");
        assert!(!configuration(Path::new("/scratch"), 4711, false).contains("user"));
    }

    #[test]
    fn a_copy_that_fails_is_no_measurement() {
        let error =
            write(Path::new("/no/such/file"), &std::env::temp_dir().join("xtask-no-copy")).unwrap_err();
        assert!(error.to_string().starts_with("dd: "), "{error}");
    }
}
