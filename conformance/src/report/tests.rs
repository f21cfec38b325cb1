//! Goal: the forms of a report are what their readers parse. Method: snapshots of one made-up report
//! that holds every outcome, and characters that every form has to escape.

use std::time::Duration;

use super::*;
use crate::check::{Check, Control, Need, Run};
use crate::checks;

const NOTHING: Run = |_| Box::pin(async { Ok(()) });

/// What the suite says of the sample's checks: apart from the real ones, which change.
const CHECKS: [Check; 2] = [
    Check::new("T-902", Level::Must, "", "", NOTHING)
        .why("Without it, <nothing> works.")
        .breaks("docker, \"oras\"")
        .covers(&["R-001", "R-002"])
        .after(&["T-901"]),
    Check::new("T-906", Level::Observe, "", "", NOTHING)
        .needs(&[Need::Control(Control::Restart), Need::Heavy]),
];

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn exchange(request: &str, response: &str) -> Exchange {
    Exchange { request: request.to_owned(), response: response.to_owned() }
}

fn exchanges() -> Vec<Exchange> {
    vec![
        exchange("PUT /v2/a\nHost: h\nContent-Length: 9\n\n{\"a\": \"b\"}\n", "201\nLocation: /v2/a\n"),
        exchange(
            &format!("GET /v2/a/blobs/{DIGEST}\nHost: h\n"),
            "500\nX: <y>\nDate: now\n\n<b>\r\ntwo\nthree\nfour\n[cut: 4097 bytes in all]\n",
        ),
        exchange("GET /\\x00 HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n", "no response: it took longer than 5s\n"),
    ]
}

fn sample() -> Report {
    let failure = format!(
        "GET /v2/a/blobs/{DIGEST}: answered 500 (<b>\"oops\" & 'more'|</b>), expected 200 and the same \
         bytes as were pushed"
    );
    let outcomes = [
        (Level::Must, Outcome::Pass, ""),
        (Level::Must, Outcome::Fail, failure.as_str()),
        (Level::Should, Outcome::Skip, "needs control: restart"),
        (Level::Should, Outcome::Moot, "T-902 did not pass"),
        (Level::May, Outcome::Known, "It cannot, <ever>. Seen: answered 404"),
        (Level::Observe, Outcome::Error, "preparation failed: \u{1} took\nlong"),
        (Level::Observe, Outcome::Skip, "needs control: restart"),
    ];
    let checks = outcomes.iter().zip(901..).map(|((level, outcome, message), number)| CheckResult {
        id: format!("T-{number:03}"),
        clause: format!("spec.md#part-{number}: A registry does <this> & that."),
        level: *level,
        outcome: *outcome,
        message: (*message).to_owned(),
        elapsed: Duration::from_millis(number * 2),
        exchanges: match outcome {
            Outcome::Skip | Outcome::Moot => Vec::new(),
            Outcome::Fail => exchanges(),
            _ => exchanges()[..1].to_vec(),
        },
    });
    let seen = |id: &str, text: &str| Observation { id: id.to_owned(), text: text.to_owned() };
    Report {
        target: "http://h:5000".to_owned(),
        seed: 42,
        checks: checks.collect(),
        observations: vec![
            seen("T-901", "tags of an unknown repository: 404 | or 200"),
            seen("features", "does not offer <deletion>"),
        ],
    }
}

fn body(page: &str) -> &str {
    page.split_once("<body>").unwrap().1.split_once("<script>").unwrap().0
}

#[test]
fn text_report() {
    insta::assert_snapshot!(text::render(&sample(), &CHECKS));
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
    insta::assert_snapshot!(body(&html::render(&sample(), &CHECKS)));
}

#[test]
fn only_commands_are_wider_than_a_terminal() {
    let text = text::render(&sample(), &CHECKS);
    let wide: Vec<&str> =
        text.lines().filter(|line| line.chars().count() >= 80 && !line.contains("replay:")).collect();
    assert_eq!(wide, [""; 0]);
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
}

#[test]
fn the_page_says_why_a_check_matters() {
    let check = checks::all().iter().find(|check| !check.why.is_empty()).unwrap();
    let mut report = sample();
    check.id.clone_into(&mut report.checks[0].id);
    assert!(html(&report).contains(&escape::escape(check.why)), "{check:?}");
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    let mut report = sample();
    "target".clone_into(&mut report.target);
    let page = html::render(&report, &CHECKS);
    for mark in ["src=", "@import", "url(", "http://", "https://", "href=\"/"] {
        assert!(!page.contains(mark), "{mark}");
    }
    let links = page.matches("href=").count();
    assert!(links > 0 && links == page.matches("href=\"#").count());
}

#[test]
fn nothing_that_a_registry_sends_becomes_markup() {
    let page = |word: &str| {
        let mut report = sample();
        report.checks[1].message.push_str(word);
        report.checks[1].exchanges[0].request = format!("GET /{word}\nX{word}: {word}\n\n{word}\n");
        report.checks[1].exchanges[1].response = format!("500 {word}\nX{word}: {word}\n\n{word}\n");
        report.observations[0].text.push_str(word);
        html::render(&report, &CHECKS)
    };
    let (evil, harmless) =
        (page("</pre></script><script>alert('1')</script><img onerror=\"x\">"), page("word"));
    assert!(evil.contains("&lt;script&gt;alert(&#39;1&#39;)"));
    for mark in ['<', '>', '"', '\''] {
        assert_eq!(evil.matches(mark).count(), harmless.matches(mark).count(), "{mark}");
    }
}

#[test]
fn long_checks_keep_the_exchange_that_matters() {
    let mut report = sample();
    let failing = report.checks[1].exchanges[1].clone();
    let filler = |n: usize| exchange(&format!("GET /filler/{n}\n"), "200\n");
    report.checks[1].exchanges = (0..20).map(filler).chain([failing]).chain((20..200).map(filler)).collect();
    let page = html::render(&report, &CHECKS);
    assert!(page.contains("20 earlier exchanges are left out"));
    assert!(page.contains("<details class=\"exchange\" open><summary><span class=\"number\">21</span>"));
    report.checks[1].message = "nothing that a request is named in".to_owned();
    let page = html::render(&report, &CHECKS);
    assert!(page.contains("141 earlier exchanges are left out") && page.contains("/filler/199"));
}

#[test]
fn junit_counts_are_those_of_its_elements() {
    let xml = junit(&sample());
    let elements = |name: &str| xml.matches(&format!("<{name}")).count();
    assert_eq!(elements("testcase "), 7);
    assert_eq!(elements("failure "), 1);
    assert_eq!(elements("error "), 1);
    assert_eq!(elements("skipped "), 4);
    assert_eq!(elements("system-out>"), 1);
    assert_eq!(elements("testsuite "), 4);
    assert!(
        xml.contains(
            "<testsuites name=\"conformance\" tests=\"7\" failures=\"1\" errors=\"1\" skipped=\"4\" "
        )
    );
    for name in ["tests", "failures", "errors", "skipped"] {
        let mark = format!(" {name}=\"");
        let counts: Vec<usize> =
            xml.split(&mark).skip(1).map(|rest| rest.split_once('"').unwrap().0.parse().unwrap()).collect();
        assert_eq!(counts[0], counts[1..].iter().sum::<usize>(), "{name}");
    }
}

#[test]
fn markdown_tables_keep_their_columns() {
    let text = markdown(&sample());
    for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
        let columns = |line: &str| line.replace("\\|", "").matches('|').count();
        let first = columns(table.lines().next().unwrap());
        assert!(table.lines().all(|line| columns(line) == first), "{table}");
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
    assert_eq!(red, ["T-902", "T-906"]);
    assert_eq!(report.ran(), 3);
}
