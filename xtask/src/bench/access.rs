//! What it costs to say who asks: pulls with a password, with a token, and without either, side by side on
//! one server.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::content::{Content, REPOSITORY};
use super::http::Client;
use super::table::{self, Row, Unit};
use super::{Effort, report, sample};
use crate::cargo::{Profile, Workspace};
use crate::packages;
use crate::server::{Scratch, Server};

/// The account `bench`, whose password is its name, at the cost that `htpasswd -B -C 10` hashes with.
const ACCOUNT: &str = "bench:$2y$10$P.iTHo35j5fsA/6qvhIYu.NexFeXpEc7l/JYv2vWuNv.csnMh/wNi";
const BASIC: &str = "Authorization: Basic YmVuY2g6YmVuY2g=";
const CONNECTIONS: usize = 32;

/// Measures them, and writes their table.
pub(super) fn run(workspace: &Workspace, effort: Effort) -> Result<()> {
    for name in packages::ensure(packages::FOR_BENCH) {
        println!("missing {name}: the load is made by plain threads");
    }
    let program = workspace.build("wharfinger", Profile::Release)?;
    let scratch = Scratch::new(workspace.target(), "bench-access")?;
    let at = |name: &str| scratch.path().join(name);
    fs::write(at("htpasswd"), ACCOUNT).context("writing the accounts")?;
    let everybody = json!({"anonymousPolicy": ["read", "create", "update"]});
    let config = json!({
        "storage": {"rootDirectory": at("data")},
        "http": {
            "auth": {"htpasswd": {"path": at("htpasswd")}},
            "accessControl": {"repositories": {"**": everybody}},
        },
    });
    fs::write(at("config.json"), config.to_string()).context("writing the configuration")?;
    let args = [at("config.json").into_os_string(), "--listen".into(), "127.0.0.1:0".into()];
    let server = Server::start(&program, args, &workspace.reports("bench-access.log"))?;
    let content = Content::push(server.url(), &at("files"))?;
    let token = format!("Authorization: Bearer {}", token(&server)?);
    let rows = [("a password", BASIC), ("a token", token.as_str())].map(|(what, header)| {
        let work = format!("manifest GET by tag with {what}, {CONNECTIONS} connections");
        let mut row = Row::new(&work, "the same without", Unit::Requests, 0.9);
        let url = format!("{}{}", server.url(), content.manifest().path);
        for round in 1..=effort.rounds {
            println!("{work}: round {round} of {}", effort.rounds);
            for (header, side) in [(Some(header), &mut row.ours), (None, &mut row.theirs)] {
                side.push(sample(server.guard(), &url, header, CONNECTIONS, effort, Unit::Requests)?);
            }
        }
        Ok(row)
    });
    let rows: Result<Vec<Row>> = rows.into_iter().collect();
    report(workspace, "bench-access.md", &table::markdown(&rows?))
}

/// Gets a token as clients do.
fn token(server: &Server) -> Result<String> {
    let mut client = Client::connect(server.url())?;
    let scope = format!("repository:{REPOSITORY}:pull");
    let (answer, body) = client.get(&format!("/auth/token?service=wharfinger&scope={scope}"), Some(BASIC))?;
    ensure!(answer.status == 200, "no token: {}", answer.status);
    let page: Value = serde_json::from_slice(&body).context("reading the token")?;
    page["token"].as_str().map(str::to_owned).context("the page has no token")
}
