//! `junit.xml`, for the tools that show test results.

use crate::check::{Level, Outcome};
use crate::report::{CheckResult, Report, escape};

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

fn push_case(xml: &mut String, check: &CheckResult) {
    let name = escape(&format!("{} {}", check.id, check.clause));
    let seconds = check.elapsed.as_secs_f64();
    let head = format!(
        "    <testcase classname=\"conformance.{}\" name=\"{name}\" time=\"{seconds:.3}\"",
        check.level
    );
    let message = escape(&check.message);
    let inner = match check.outcome {
        Outcome::Pass => {
            xml.push_str(&format!("{head}/>\n"));
            return;
        }
        Outcome::Fail => format!("<failure message=\"{message}\">{}</failure>", transcript(check)),
        Outcome::Error => format!("<error message=\"{message}\">{}</error>", transcript(check)),
        Outcome::Skip | Outcome::Moot | Outcome::Known => {
            format!("<skipped message=\"{}: {message}\"/>", check.outcome)
        }
    };
    xml.push_str(&format!("{head}>\n      {inner}\n    </testcase>\n"));
}

fn transcript(check: &CheckResult) -> String {
    let exchanges = check.exchanges.iter().map(|e| format!("> {}\n< {}\n", e.request, e.response));
    escape(&exchanges.collect::<String>())
}
