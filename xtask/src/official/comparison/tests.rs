//! Goal: each way in which the two suites can agree or differ is told, and told once. Method: small reports
//! against the real table, and the whole text.

use super::{Check, Comparison};
use crate::official::junit::{Case, Outcome};
use crate::official::table::Table;
use crate::tally::Tally;

fn case(name: &str, outcome: Outcome, said: &str) -> Case {
    Case { name: name.to_owned(), outcome, said: said.to_owned() }
}

fn passed(name: &str) -> Case {
    case(name, Outcome::Passed, "")
}

fn failed(name: &str) -> Case {
    case(name, Outcome::Failed, "expected 200, received 500")
}

fn check(id: &str, level: &str, outcome: &str) -> Check {
    let message = if outcome == "fail" { "GET /v2/: answered 500\nand more" } else { "" };
    let [id, level, outcome, message] = [id, level, outcome, message].map(str::to_owned);
    Check { id, level, outcome, message }
}

fn compare(cases: &[Case], checks: &[Check]) -> (String, Tally) {
    let table = Table::load().unwrap();
    let comparison = Comparison::new(&table, cases, checks);
    (comparison.to_string(), comparison.tally())
}

/// Asserts what stands between the counts and the checks that only ours has.
fn tells(cases: &[Case], checks: &[Check], expect: &[&str]) {
    let (text, _) = compare(cases, checks);
    let lines: Vec<&str> =
        text.lines().skip(1).take_while(|line| !line.starts_with("only ours looks at")).collect();
    assert_eq!(lines, expect, "{text}");
}

#[test]
fn two_suites_that_agree_leave_nothing_to_tell() {
    let cases = [passed("ping"), case("empty/referrers", Outcome::Skipped, "disabled")];
    let checks = [
        check("T-001", "must", "pass"),
        check("R-102", "must", "skip"),
        check("T-133", "must", "pass"),
        check("T-002", "observe", "pass"),
        check("T-107", "should", "skip"),
    ];
    let (text, tally) = compare(&cases, &checks);
    assert_eq!(
        text,
        "official suite: 1 passed, 0 failed, 1 skipped\n\
         no difference where both judge\n\
         only ours looks at: 2 checks (0 must, 1 should, 0 may, 1 observe), of which 1 did not run\n"
    );
    assert_eq!(tally, Tally { passed: 1, failed: 0, skipped: 1 });
}

#[test]
fn a_failure_that_only_the_official_suite_sees_is_told() {
    let cases = [failed("sha256 blobs/post+put/blob-head"), failed("image/head/blob-head"), passed("ping")];
    let checks = [check("R-034", "must", "pass"), check("T-001", "must", "pass")];
    tells(
        &cases,
        &checks,
        &[
            "the official suite fails 2 tests, ours passes R-034:",
            "  image/head/blob-head: expected 200, received 500",
            "  sha256 blobs/post+put/blob-head: expected 200, received 500",
        ],
    );
}

#[test]
fn a_failure_that_only_ours_sees_is_told() {
    for outcome in ["fail", "known", "error"] {
        let message = if outcome == "fail" { "  GET /v2/: answered 500" } else { "  " };
        let checks = [check("R-034", "must", outcome)];
        let first = "ours fails R-034 (must), where the official suite passes `image/head/blob-head`:";
        tells(&[passed("image/head/blob-head")], &checks, &[first, message]);
    }
    tells(
        &[case("image/head/blob-head", Outcome::Skipped, "")],
        &[check("R-034", "must", "fail")],
        &[
            "ours fails R-034 (must), where the official suite skips `image/head/blob-head`:",
            "  GET /v2/: answered 500",
        ],
    );
}

#[test]
fn a_failure_that_both_see_is_counted() {
    // Where several checks look at what a test looks at, one that fails is agreement, and so the other way.
    let cases = [failed("image/pull/manifest-by-tag"), passed("index/pull/manifest-by-tag")];
    let checks = [check("R-021", "must", "fail"), check("R-019", "should", "pass")];
    tells(&cases, &checks, &["both fail: 1 test of the official suite", "no difference where both judge"]);
}

#[test]
fn a_failure_that_ours_does_not_judge_is_told_apart() {
    let cases = [failed("empty/referrers")];
    let checks = [check("R-102", "must", "skip"), check("T-133", "must", "pass")];
    tells(
        &cases,
        &checks,
        &[
            "the official suite fails 1 test, ours does not judge (R-102: skip, T-133: pass):",
            "  empty/referrers: expected 200, received 500",
            "no difference where both judge",
        ],
    );
}

#[test]
fn one_failed_run_of_many_is_a_failure_of_the_test() {
    let cases =
        [passed("image/head/blob-head"), failed("image/head/blob-head"), passed("image/head/blob-head")];
    let (text, tally) = compare(&cases, &[check("R-034", "must", "pass")]);
    assert!(text.contains("the official suite fails 1 test, ours passes R-034"), "{text}");
    assert_eq!(tally, Tally { passed: 2, failed: 1, skipped: 0 });
}

#[test]
fn failures_around_the_tests_and_unknown_tests_are_listed() {
    let cases = [failed("Pull Setup Populate registry with test blob"), failed("brand/new"), failed("ping")];
    let line = "  Pull Setup Populate registry with test blob: expected 200, received 500";
    // T-001 is no part of this report, as in a run with a filter.
    let (text, _) = compare(&cases, &[check("T-002", "observe", "pass")]);
    let expect = format!(
        "official suite: 0 passed, 3 failed, 0 skipped\n\
         the official suite fails where no check of this run is for:\n\
         {line}\n  ping: expected 200, received 500\n\
         only ours looks at: 1 checks (0 must, 0 should, 0 may, 1 observe), of which 0 did not run\n\
         not in xtask/src/official/table.txt, so compared with nothing:\n  brand/new (Failed)\n"
    );
    assert_eq!(text, expect);
}

#[test]
fn long_lists_and_long_messages_are_cut() {
    let mut cases: Vec<Case> = (0..7).map(|i| failed(&format!("data-{i}/head/blob-head"))).collect();
    cases[0].said = "é".repeat(200);
    let (text, _) = compare(&cases, &[check("R-034", "must", "pass")]);
    assert!(text.contains(&format!("  data-0/head/blob-head: {}…\n", "é".repeat(160))), "{text}");
    assert!(text.contains("data-4") && !text.contains("data-5") && text.contains("  and 2 more\n"), "{text}");
    let passing: Vec<Case> = cases.into_iter().map(|case| passed(&case.name)).collect();
    let (text, _) = compare(&passing, &[check("R-034", "must", "fail")]);
    assert!(text.contains("`data-4/head/blob-head`, and 2 more:\n"), "{text}");
}

#[test]
fn a_report_is_read() {
    let report = r#"{"target": "x", "checks": [{"id": "T-001", "clause": "c", "level": "must",
        "outcome": "fail", "message": "m"}]}"#;
    let expect = Check { message: "m".to_owned(), ..check("T-001", "must", "fail") };
    assert_eq!(Check::read(report).unwrap(), [expect]);
    assert!(Check::read("{}").unwrap_err().to_string().contains("no list `checks`"));
    let error = Check::read(r#"{"checks": [{"id": "T-001"}]}"#).unwrap_err().to_string();
    assert!(error.contains("no `level`"), "{error}");
}
