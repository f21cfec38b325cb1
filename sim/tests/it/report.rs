//! Goal: a report reads the same next year. Method: a result made by hand, and snapshots of its text.

use std::{collections::BTreeMap, time::Duration};

use sim::{
    digest::Digest,
    figures::Figures,
    origin::SeededBlob,
    report::{Choice, Report, Total},
    run::ScenarioResult,
    scenario::{Plan, Scenario},
    stand::Stand,
    traffic::{Exchange, Outcome, Upstream, Wanted},
    validate::{Finding, Ruling, Validator, Verdict},
};

fn exchange() -> Exchange {
    let digest = Digest::sha256_of(b"layer");
    Exchange {
        wanted: Wanted::blob("sim/corrupt-blob", &SeededBlob { digest, size: 5 }),
        step: 0,
        client: 1,
        attempt: 1,
        upstream: Upstream::Up,
        troubled: true,
        pulled_before: false,
        status: Some(200),
        declared_bytes: Some(5),
        false_digest: None,
        retry_after: None,
        outcome: Outcome::Complete,
        bytes: 5,
        digest: Digest::sha256_of(b"LAYER"),
        exact: false,
        first_wrong_byte: Some(0),
        error_body: None,
        first_byte: Some(Duration::from_millis(2)),
        total: Duration::from_millis(3),
        origin_sent_at_first_byte: Some(5),
    }
}

fn report() -> Report {
    let verdict = |validator: Validator, ruling, findings: Vec<Finding>| Verdict {
        validator,
        promise: validator.promise(),
        ruling,
        judged: 4,
        wrong: findings.len(),
        findings,
    };
    let finding =
        Finding { text: "a complete response with wrong bytes".to_owned(), exchange: Some(exchange()) };
    let result = ScenarioResult {
        plan: Plan::new(Scenario::named("corrupt-blob").unwrap(), 7),
        verdicts: vec![
            verdict(Validator::Content, Ruling::Fail, vec![finding]),
            verdict(Validator::Statuses, Ruling::Pass, Vec::new()),
        ],
        fired: vec![0],
        stuck: None,
        moot: None,
        figures: Figures {
            upstream_requests: 9,
            upstream_bytes: 15,
            blob_bytes: 10,
            first_byte_ms: Some(2),
            wait_ms: 3,
            statuses: BTreeMap::from([("200".to_owned(), 4), ("502".to_owned(), 1)]),
            cells: None,
        },
        took_ms: 17,
        stand: Stand::plain("http://127.0.0.1:5000", "127.0.0.1:5001"),
    };
    Report {
        target: "http://127.0.0.1:5000".to_owned(),
        choice: Choice::BuiltIn,
        again: None,
        results: vec![result],
    }
}

#[test]
fn text_of_a_failure() {
    let report = report();
    insta::assert_snapshot!(report.text(&report.results[0]));
}

#[test]
fn scorecard() {
    insta::assert_snapshot!(report().markdown());
}

#[test]
fn page() {
    let page = report().html();
    let part = page.split_once("<main>").unwrap().1;
    insta::assert_snapshot!(part);
    assert!(!page.contains("<script") && page.contains("default-src 'none'"), "{page}");
}

#[test]
fn who_started_the_targets_says_how_to_do_so_again() {
    let mut report = report();
    report.again = Some("cargo xtask sim --".to_owned());
    assert_eq!(report.replay(&report.results[0]), "cargo xtask sim -- --scenario corrupt-blob --seed 7");
}

#[test]
fn what_is_moot_is_no_pass() {
    let mut report = report();
    let moot = ScenarioResult::moot(report.results[0].plan.clone(), &report.results[0].stand);
    report.results = vec![moot];
    assert_eq!(report.total(), Total::Vacuous, "nothing ran");
    assert!(
        report.last_line().starts_with("0 passed, 0 failed, 0 vacuous, 3 moot"),
        "{}",
        report.last_line()
    );
}

#[test]
fn totals() {
    let mut report = report();
    assert_eq!(report.total(), Total::Failed);
    report.results[0].verdicts.remove(0);
    assert_eq!(report.total(), Total::Vacuous, "a fault that never happened proves nothing");
    report.results[0].fired = vec![1];
    assert_eq!(report.total(), Total::Passed);
    report.results[0].stuck = Some("no answer".to_owned());
    assert_eq!(report.total(), Total::Failed);
    report.results.clear();
    assert_eq!(report.total(), Total::Vacuous);
}
