//! Goal: the forms of a report are what their readers parse. Method: snapshots of one made-up report
//! that holds every outcome, and characters that every form has to escape.

use std::time::Duration;

use super::*;

fn sample() -> Report {
    let outcomes = [
        (Level::Must, Outcome::Pass, ""),
        (Level::Must, Outcome::Fail, "GET /v2/a: answered 500 (<b>\"oops\" & 'more'|</b>), expected 200"),
        (Level::Should, Outcome::Skip, "needs control: restart"),
        (Level::Should, Outcome::Moot, "T-002 did not pass"),
        (Level::May, Outcome::Known, "It cannot. Seen: answered 404"),
        (Level::Observe, Outcome::Error, "preparation failed: \u{1} took\nlong"),
    ];
    let checks = outcomes.iter().zip(1..).map(|((level, outcome, message), number)| CheckResult {
        id: format!("T-{number:03}"),
        clause: format!("spec.md#part-{number}: A registry does <this> & that."),
        level: *level,
        outcome: *outcome,
        message: (*message).to_owned(),
        elapsed: Duration::from_millis(number * 10),
        exchanges: vec![Exchange {
            request: format!("GET /v2/{number}\nHost: h\n"),
            response: "500\nX: <y>\n".to_owned(),
        }],
    });
    let text = "tags of an unknown repository: 404 | or 200".to_owned();
    Report {
        target: "http://h:5000".to_owned(),
        seed: 42,
        checks: checks.collect(),
        observations: vec![Observation { id: "T-123".to_owned(), text }],
    }
}

#[test]
fn text_report() {
    insta::assert_snapshot!(text(&sample()));
}

#[test]
fn json_report() {
    insta::assert_snapshot!(json(&sample()));
}

#[test]
fn junit_report() {
    insta::assert_snapshot!(junit(&sample()));
}

#[test]
fn markdown_report() {
    insta::assert_snapshot!(markdown(&sample()));
}

#[test]
fn html_report_body() {
    let page = html(&sample());
    let body = page.split_once("<body>").unwrap().1.split_once("<script>").unwrap().0;
    insta::assert_snapshot!(body);
}

#[test]
fn html_loads_nothing_from_elsewhere() {
    let mut report = sample();
    report.target = "target".to_owned();
    let page = html(&report);
    for mark in ["src=", "href=", "@import", "url(", "http://", "https://"] {
        assert!(!page.contains(mark), "{mark}");
    }
}

#[test]
fn all_four_files_are_written() {
    let folder = std::env::temp_dir().join(format!("conformance-report-{}", std::process::id()));
    write(&sample(), &folder).unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    std::fs::remove_dir_all(&folder).unwrap();
    names.sort();
    assert_eq!(names, ["junit.xml", "report.html", "report.json", "report.md"]);
}

#[test]
fn red_outcomes_are_failures_and_errors() {
    let report = sample();
    let red: Vec<&str> = report.failures().iter().map(|check| check.id.as_str()).collect();
    assert_eq!(red, ["T-002", "T-006"]);
    assert_eq!(report.ran(), 3);
}
