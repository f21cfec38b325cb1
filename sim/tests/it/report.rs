//! Goal: a report reads the same next year. Method: a result made by hand, and snapshots of its text.

use std::time::Duration;

use sim::{
    digest::Digest,
    origin::SeededBlob,
    report::{Choice, Report, Total},
    run::ScenarioResult,
    scenario::{Plan, Scenario},
    traffic::{Exchange, Kind, Outcome, Upstream, Wanted},
    validate::{Finding, Ruling, Validator, Verdict},
};

fn exchange() -> Exchange {
    let digest = Digest::sha256_of(b"layer");
    Exchange {
        wanted: Wanted {
            kind: Kind::Blob,
            repository: "sim/corrupt-blob".to_owned(),
            reference: digest.to_string(),
            content: SeededBlob { digest: digest.clone(), size: 5 },
        },
        step: 0,
        client: 1,
        attempt: 1,
        upstream: Upstream::Up,
        pulled_before: false,
        status: Some(200),
        declared_bytes: Some(5),
        false_digest: None,
        retry_after: None,
        outcome: Outcome::Complete,
        bytes: 5,
        digest: Digest::sha256_of(b"LAYER"),
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
        upstream_requests: 9,
    };
    Report {
        target: "http://127.0.0.1:5000".to_owned(),
        listen: "127.0.0.1:5001".to_owned(),
        choice: Choice::BuiltIn,
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
