//! `junit.xml`, for the tools that show test results.
//!
//! *Shape*: one suite a level; a case has at most one of `<failure>`, `<error>` and `<skipped>`, then
//! `<system-out>`, in the order that the schema demands. A known failure counts as skipped and keeps what
//! was seen in `<system-out>`.

use crate::check::{Level, Outcome};
use crate::report::escape::{escape, line};
use crate::report::{CheckResult, Report, group};

/// Exchanges written of one case: the last ones are those that were judged.
const EXCHANGES_SHOWN: usize = 20;

/// Renders one suite a level, with `<failure>`, `<error>` and `<skipped>` elements.
pub fn junit(report: &Report) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let total: Vec<&CheckResult> = report.checks.iter().collect();
    xml.push_str(&format!("<testsuites name=\"conformance\" {}>\n", counts(&total)));
    for level in Level::ALL {
        let checks: Vec<&CheckResult> = report.checks.iter().filter(|check| check.level == level).collect();
        if checks.is_empty() {
            continue;
        }
        xml.push_str(&format!("  <testsuite name=\"{level}\" {}>\n", counts(&checks)));
        push_properties(&mut xml, report);
        for check in checks {
            push_case(&mut xml, check);
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn counts(checks: &[&CheckResult]) -> String {
    let count =
        |outcomes: &[Outcome]| checks.iter().filter(|check| outcomes.contains(&check.outcome)).count();
    let seconds: f64 = checks.iter().map(|check| check.elapsed.as_secs_f64()).sum();
    format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{seconds:.3}\"",
        checks.len(),
        count(&[Outcome::Fail]),
        count(&[Outcome::Error]),
        count(&[Outcome::Skip, Outcome::Moot, Outcome::Known]),
    )
}

/// Writes what it takes to run the suite again; the schema has no place for it but a suite.
fn push_properties(xml: &mut String, report: &Report) {
    xml.push_str(&format!(
        "    <properties>\n      <property name=\"target\" value=\"{}\"/>\n      \
         <property name=\"seed\" value=\"{}\"/>\n    </properties>\n",
        attribute(&report.target),
        report.seed
    ));
}

fn push_case(xml: &mut String, check: &CheckResult) {
    let name = attribute(&format!("{} {}", check.id, check.clause));
    let seconds = check.elapsed.as_secs_f64();
    let level = check.level;
    let head =
        format!("    <testcase classname=\"conformance.{level}\" name=\"{name}\" time=\"{seconds:.3}\"");
    let message = attribute(&check.message);
    let inner = match check.outcome {
        Outcome::Pass => {
            xml.push_str(&format!("{head}/>\n"));
            return;
        }
        Outcome::Fail => {
            format!("<failure message=\"{message}\" type=\"{level}\">{}</failure>", transcript(check))
        }
        Outcome::Error => {
            format!("<error message=\"{message}\" type=\"error\">{}</error>", transcript(check))
        }
        Outcome::Skip => format!("<skipped message=\"{message}\"/>"),
        Outcome::Moot => format!("<skipped message=\"moot: {message}\"/>"),
        Outcome::Known => {
            let (cause, seen) = group::known(check);
            format!(
                "<skipped message=\"known failure: {}\"/>\n      <system-out>{}\n{}</system-out>",
                attribute(cause),
                escape(seen),
                transcript(check)
            )
        }
    };
    xml.push_str(&format!("{head}>\n      {inner}\n    </testcase>\n"));
}

/// Escapes text for an attribute, where a parser would turn line ends into spaces anyway.
fn attribute(text: &str) -> String {
    escape(&line(text))
}

fn transcript(check: &CheckResult) -> String {
    let hidden = check.exchanges.len().saturating_sub(EXCHANGES_SHOWN);
    let mut text = String::new();
    if hidden > 0 {
        text.push_str(&format!("({hidden} earlier exchanges are left out)\n"));
    }
    for exchange in &check.exchanges[hidden..] {
        for (mark, message) in [("> ", &exchange.request), ("< ", &exchange.response)] {
            for line in message.lines() {
                text.push_str(&format!("{mark}{line}\n"));
            }
        }
    }
    escape(&text)
}
