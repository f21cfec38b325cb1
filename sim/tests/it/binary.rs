//! Goal: the binary keeps its contract: one line on stdout, exit codes, reports, plans.
//! Method: the built binary as a child process, with the tiny proxy or an origin as its target.

use std::{net::SocketAddr, process::Stdio};

use sim::origin::Origin;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    proxy::{Lie, Proxy},
    raw::{DEADLINE, get},
};

fn sim(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs the binary to its end and returns the exit code, stdout and stderr.
async fn done(args: &[&str]) -> (i32, String, String) {
    let output = tokio::time::timeout(DEADLINE, sim(args).output()).await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Starts `sim serve` and returns its address from the one line that it prints.
async fn serve(scenario: &str) -> (Child, SocketAddr) {
    let mut child = sim(&["serve", scenario, "--listen", "127.0.0.1:0"]).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    tokio::time::timeout(DEADLINE, stdout.read_line(&mut line)).await.unwrap().unwrap();
    let addr = line.strip_prefix("listening on http://").unwrap().trim_end().parse().unwrap();
    child.stdout = Some(stdout.into_inner());
    (child, addr)
}

/// Returns an address that was free a moment ago.
async fn free_addr() -> SocketAddr {
    let running = Origin::new().serve("127.0.0.1:0").await.unwrap();
    let addr = running.addr();
    running.close().await;
    addr
}

#[tokio::test]
async fn serve_prints_one_line_and_suffers_its_faults() {
    let (mut child, addr) = serve("upstream-429").await;
    let limited = get(addr, "/v2/sim/upstream-429/manifests/v1").await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, Some("1")));
    let (honest, addr) = serve("honest").await;
    assert_eq!(get(addr, "/v2/sim/honest/manifests/v1").await.status, 200);
    drop(honest);
    child.kill().await.unwrap();
    let mut rest = String::new();
    child.stdout.take().unwrap().read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "", "more than one line on stdout");
}

#[tokio::test]
async fn list_names_every_scenario() {
    let (code, stdout, _) = done(&["list"]).await;
    assert_eq!(code, 0);
    for name in ["honest", "storm", "leaver", "corrupt-blob", "upstream-429"] {
        assert!(stdout.lines().any(|line| line.starts_with(name)), "{name} in {stdout}");
    }
}

#[tokio::test]
async fn bad_usage_and_missing_targets_are_2() {
    let nobody = format!("http://{}", free_addr().await);
    for args in [
        &["run"][..],
        &["run", "--target", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--scenario", "nothing"],
        &["run", "--target", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--plan", "nothing.json"],
        &["run", "--target", "http://127.0.0.1:1", "--listen", "nowhere"],
        &["run", "--target", &nobody, "--listen", "127.0.0.1:0"],
        &["serve", "nothing", "--listen", "127.0.0.1:0"],
    ] {
        let (code, stdout, stderr) = done(args).await;
        assert_eq!((code, stdout.as_str()), (2, ""), "{args:?}: {stderr}");
        assert!(!stderr.is_empty(), "{args:?}");
    }
    let other = Origin::new().serve("127.0.0.1:0").await.unwrap();
    let (code, _, stderr) = done(&["run", "--target", &other.url(), "--listen", "127.0.0.1:0"]).await;
    assert_eq!(code, 2);
    assert!(stderr.contains("does not seem to use this origin as its upstream"), "{stderr}");
}

#[tokio::test]
async fn run_judges_reports_and_replays() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().to_str().unwrap();
    let listen = free_addr().await;
    let at = listen.to_string();
    let proxy = Proxy::start(listen, Lie::None).await;
    let url = proxy.url();
    let run = |extra: &'static [&'static str]| {
        let args = [&["run", "--target", &url, "--listen", &at][..], extra].concat();
        async move { done(&args).await }
    };
    let args = ["run", "--target", &url, "--origin", &at, "--scenario", "push-beside-pull"];
    let (code, stdout, _) = done(&args).await;
    assert_eq!(code, 3, "what is moot is not passed: {stdout}");
    assert!(stdout.contains("the target lacks pushes"), "{stdout}");
    let (code, stdout, stderr) = run(&["--scenario", "honest", "--runs", "2"]).await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.ends_with("6 passed, 0 failed, 0 vacuous; 2 scenario runs\n"), "{stdout}");

    let liar = Proxy::start(listen, Lie::SaysNotFound).await;
    let args = ["run", "--target", &liar.url(), "--listen", &at, "--scenario", "upstream-500", "--seed", "9"];
    let (code, stdout, _) = done(&[&args[..], &["--report", report]].concat()).await;
    assert_eq!(code, 1, "{stdout}");
    let again =
        format!("again: sim run --target {} --listen {at} --scenario upstream-500 --seed 9", liar.url());
    for part in
        ["P8 honest errors", again.as_str(), "GET /v2/sim/upstream-500", "404 for what the origin never said"]
    {
        assert!(stdout.contains(part), "{part} in {stdout}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(json["summary"], serde_json::json!({ "pass": 2, "fail": 1, "vacuous": 0, "moot": 0 }));
    assert!(std::fs::read_to_string(folder.path().join("report.html")).unwrap().contains("class=\"fail\""));
    assert!(std::fs::read_to_string(folder.path().join("report.md")).unwrap().contains("| FAIL |"));
    let plan = folder.path().join("plan-upstream-500-9.json");
    let args = ["run", "--target", &liar.url(), "--listen", &at, "--plan", plan.to_str().unwrap()];
    assert_eq!(done(&args).await.0, 1, "the plan replays the failure");
}

#[tokio::test]
async fn a_run_that_proves_nothing_is_3() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("idle.json");
    let mut scenario = sim::scenario::Scenario::named("upstream-500").unwrap();
    scenario.faults[0].on.path = "/v2/other/*".to_owned();
    std::fs::write(&file, serde_json::to_vec(&scenario).unwrap()).unwrap();
    let listen = free_addr().await;
    let (at, proxy) = (listen.to_string(), Proxy::start(listen, Lie::None).await);
    let args = ["run", "--target", &proxy.url(), "--listen", &at, "--scenario", file.to_str().unwrap()];
    let (code, stdout, _) = done(&args).await;
    assert_eq!(code, 3, "{stdout}");
    assert!(stdout.contains("fault status never happened"), "{stdout}");
}

#[tokio::test]
async fn stands_share_the_work_and_what_none_has_is_moot() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (free_addr().await, free_addr().await);
    let proxies = [Proxy::start(one, Lie::None).await, Proxy::start(two, Lie::None).await];
    let stands = serde_json::json!([
        { "target": proxies[0].url(), "origin": one.to_string() },
        { "target": proxies[1].url(), "origin": two.to_string() },
    ]);
    let (file, report) = (folder.path().join("stands.json"), folder.path().join("report"));
    std::fs::write(&file, stands.to_string()).unwrap();
    let (file, report) = (file.to_str().unwrap(), report.to_str().unwrap());
    let run = async |scenario: &str| {
        let args = [
            "run",
            "--stands",
            file,
            "--name",
            "tiny",
            "--scenario",
            scenario,
            "--runs",
            "8",
            "--report",
            report,
        ];
        let (code, stdout, stderr) = done(&args).await;
        let json = std::fs::read(format!("{report}/report.json")).unwrap();
        (code, serde_json::from_slice::<serde_json::Value>(&json).unwrap(), stdout + &stderr)
    };
    let (code, json, text) = run("leaver").await;
    assert_eq!((code, json["target"].as_str()), (0, Some("tiny")), "{text}");
    let results = json["results"].as_array().unwrap();
    let seeds: Vec<_> = results.iter().filter_map(|it| it["seed"].as_u64()).collect();
    assert_eq!(seeds, [1, 2, 3, 4, 5, 6, 7, 8], "in the order in which they were asked for");
    for addr in [one, two] {
        let listens = format!("--listen {addr} ");
        let count = results.iter().filter(|it| it["replay"].as_str().unwrap().contains(&listens)).count();
        assert!(count > 0, "{addr} did nothing: {text}");
    }
    let (code, json, text) = run("mirror-takes-over").await;
    assert_eq!((code, json["summary"]["moot"].as_u64()), (3, Some(32)), "{text}");
    assert_eq!(
        done(&["run", "--stands", file, "--target", "http://127.0.0.1:1", "--listen", "x"]).await.0,
        2
    );
    std::fs::write(file, "[]").unwrap();
    assert_eq!(done(&["run", "--stands", file]).await.0, 2, "no stand is no target");
}
