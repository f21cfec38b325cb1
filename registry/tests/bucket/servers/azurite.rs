//! Azurite: Azure's blobs in a folder, with their conditions, blocks and signatures.

use std::process::Command;
use std::time::SystemTime;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::{BUCKET, Place, free_port, installed};
use crate::support::daemon::Daemon;

/// Where the runner puts it.
const PROGRAM: &str = "azurite-3.37.0/node_modules/.bin/azurite-blob";
const ACCOUNT: &str = "harbourmaster";
const SECRET: &[u8] = b"a secret of the account, of 32 b";

/// A running Azurite.
#[derive(Debug)]
pub(crate) struct Azurite {
    daemon: Option<Daemon>,
    port: u16,
    folder: TempDir,
}

impl Azurite {
    /// Starts it, or says that a test is skipped.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        installed(test, PROGRAM)?;
        let mut azurite = Self { daemon: None, port: free_port(), folder: tempfile::tempdir().unwrap() };
        azurite.resume().await;
        azurite.make(BUCKET).await;
        Some(azurite)
    }

    /// Ends it; what it has stays in its folder.
    pub(crate) fn stop(&mut self) {
        self.daemon = None;
    }

    /// Starts it on its port, with what it had.
    pub(crate) async fn resume(&mut self) {
        let program = installed("azurite", PROGRAM).expect("it was there before");
        let mut command = Command::new(program);
        command
            .args(["--blobHost", "127.0.0.1", "--blobPort", &self.port.to_string()])
            .args(["--disableTelemetry", "--skipApiVersionCheck", "--location"])
            .arg(self.folder.path())
            .env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{}", STANDARD.encode(SECRET)));
        let mut daemon = Daemon::start("azurite", &mut command, self.folder.path());
        daemon.wait_for("successfully listens on").await.unwrap();
        self.daemon = Some(daemon);
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.port)
    }

    /// Makes a container, by a request that the account's key signs.
    async fn make(&self, container: &str) {
        let (version, date) = ("2021-08-06", httpdate::fmt_http_date(SystemTime::now()));
        let headers = format!("x-ms-date:{date}\nx-ms-version:{version}\n");
        let resource = format!("/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container");
        // The method, and eleven headers of which none is sent.
        let text = format!("PUT\n\n\n\n\n\n\n\n\n\n\n\n{headers}{resource}");
        let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), text.as_bytes());
        let made = reqwest::Client::new()
            .put(format!("{}/{container}?restype=container", self.endpoint()))
            .header("x-ms-date", date)
            .header("x-ms-version", version)
            .header("authorization", format!("SharedKey {ACCOUNT}:{}", STANDARD.encode(signed.as_ref())))
            .header("content-length", 0)
            .send()
            .await
            .unwrap();
        let status = made.status();
        assert!(status.is_success(), "{status} {}", made.text().await.unwrap_or_default());
    }

    /// Returns how to reach its container.
    pub(crate) fn place(&self) -> Place {
        let secret = STANDARD.encode(SECRET);
        let settings = [
            ("account_name", ACCOUNT),
            ("account_key", &secret),
            ("endpoint", &self.endpoint()),
            ("allow_http", "true"),
        ];
        Place::new(&format!("az://{BUCKET}"), &settings)
    }
}
