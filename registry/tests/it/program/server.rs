//! The program, while its configuration changes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Within this every condition must hold; far above what it takes.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// The program on a free port; dropping it ends it.
pub(super) struct Server {
    process: Child,
    pub(super) url: String,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts it in a folder.
    pub(super) fn start(config: &Path, folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharfinger"));
        command.arg("serve").arg(config).args(["--listen", "127.0.0.1:0"]).current_dir(folder);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (into, lines) = (Arc::clone(&log), BufReader::new(process.stderr.take().unwrap()).lines());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *into.lock().unwrap() += &(line + "\n");
            }
        });
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("it does not listen: {}", log.lock().unwrap()))
            .to_owned();
        Self { process, url, log }
    }

    /// Returns what a request is answered; a user's password is his name.
    pub(super) async fn status(&self, method: &str, path: &str, user: &str) -> u16 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.request(method.parse().unwrap(), format!("{}{path}", self.url));
        let request = if user.is_empty() { request } else { request.basic_auth(user, Some(user)) };
        request.send().await.unwrap().status().as_u16()
    }

    /// Waits until a request has that answer.
    pub(super) async fn answers(&self, method: &str, path: &str, user: &str, expect: u16) {
        let end = Instant::now() + DEADLINE;
        loop {
            let status = self.status(method, path, user).await;
            if status == expect {
                return;
            }
            assert!(
                Instant::now() < end,
                "{method} {path} as {user:?}: {status}, not {expect}\n{}",
                self.told()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns its log.
    pub(super) fn told(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Forgets what it has logged.
    pub(super) fn forget_log(&self) {
        self.log.lock().unwrap().clear();
    }

    /// Waits until its log has a text.
    pub(super) async fn tells(&self, text: &str) {
        let end = Instant::now() + DEADLINE;
        while !self.told().contains(text) {
            assert!(Instant::now() < end, "the log does not say {text:?}\n{}", self.told());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends SIGHUP.
    pub(super) fn hang_up(&self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
