//! `report.html`: one self-contained page, the failures first, with filters and every exchange on click.
//!
//! The page shows what a registry sent, so it must not run any of it: all text is escaped, and a content
//! security policy admits this page's own style and script by their hashes and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::check::{Check, Level, Outcome};
use crate::checks;
use crate::report::card::push_card;
use crate::report::escape::escape;
use crate::report::tally::{Standing, Tally, Verdict};
use crate::report::{CheckResult, Report};

/// Style and script stand in files of their own and are copied into the page: it loads nothing.
const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// The sections of the page: what has to be looked at comes first.
const SECTIONS: [(Outcome, &str); 6] = [
    (Outcome::Fail, "Failed"),
    (Outcome::Error, "Could not be carried out"),
    (Outcome::Known, "Known failures"),
    (Outcome::Moot, "Moot: something they rest on did not pass"),
    (Outcome::Pass, "Passed"),
    (Outcome::Skip, "Skipped"),
];

/// Renders the page.
pub fn html(report: &Report) -> String {
    render(report, checks::all())
}

/// Renders the page with what the given checks say of themselves.
pub(super) fn render(report: &Report, checks: &[Check]) -> String {
    let target = escape(&report.target);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{}'; \
         script-src '{}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Conformance of {target}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        hash(STYLE),
        hash(SCRIPT)
    );
    push_header(&mut page, report);
    push_filters(&mut page, report);
    page.push_str("<main>\n");
    for (outcome, title) in SECTIONS {
        push_section(&mut page, report, checks, outcome, title);
    }
    push_observations(&mut page, report);
    page.push_str("</main>\n");
    page.push_str(&format!("<script>{SCRIPT}</script>\n</body>\n</html>\n"));
    page
}

/// Returns the hash by which the content security policy admits an inline style or script.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

fn push_header(page: &mut String, report: &Report) {
    let verdict = Verdict::of(report);
    let class = match verdict.standing {
        Standing::Conforms => "conforms",
        Standing::Fails => "fails",
        Standing::Open => "open",
    };
    page.push_str(&format!(
        "<header>\n<h1>Conformance of <code>{}</code></h1>\n\
         <p class=\"run\">{} checks, seed {}</p>\n\
         <p class=\"verdict {class}\"><strong>{}</strong> <span>{}</span></p>\n<div class=\"levels\">\n",
        escape(&report.target),
        report.checks.len(),
        report.seed,
        verdict.headline,
        verdict.detail
    ));
    for tally in Tally::of(report) {
        push_level(page, &tally);
    }
    page.push_str("</div>\n</header>\n");
}

fn push_level(page: &mut String, tally: &Tally) {
    let total: usize = Outcome::ALL.map(|outcome| tally.count(outcome)).iter().sum();
    let counts = SECTIONS.map(|(outcome, _)| (outcome, tally.count(outcome)));
    let class = if tally.passed() == tally.judged() { "whole" } else { "part" };
    page.push_str(&format!(
        "<section class=\"level {class}\">\n<h2>{}</h2>\n\
         <p class=\"score\"><b>{}</b> of {} passed</p>\n\
         <svg class=\"bar\" viewBox=\"0 0 {total} 1\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
        tally.level,
        tally.passed(),
        tally.judged()
    ));
    let mut x = 0;
    for (outcome, count) in counts.iter().filter(|(_, count)| *count > 0) {
        page.push_str(&format!(
            "<rect class=\"{outcome}\" x=\"{x}\" y=\"0\" width=\"{count}\" height=\"1\"/>"
        ));
        x += count;
    }
    page.push_str("</svg>\n<p class=\"counts\">");
    for (outcome, count) in counts.iter().filter(|(_, count)| *count > 0) {
        page.push_str(&format!("<span class=\"{outcome}\">{count} {outcome}</span> "));
    }
    page.push_str("</p>\n</section>\n");
}

/// Writes the filters, hidden until the script that gives them an effect shows them.
fn push_filters(page: &mut String, report: &Report) {
    page.push_str("<form id=\"filters\" hidden>\n<fieldset><legend>Outcome</legend>");
    for (outcome, _) in SECTIONS {
        push_choice(page, "outcome", outcome.name(), report.count(outcome));
    }
    page.push_str("</fieldset>\n<fieldset><legend>Level</legend>");
    for level in Level::ALL {
        let count = report.checks.iter().filter(|check| check.level == level).count();
        push_choice(page, "level", level.name(), count);
    }
    page.push_str(
        "</fieldset>\n<div class=\"find\">\n\
         <input id=\"search\" type=\"search\" placeholder=\"Search: id or words ( / )\" \
         aria-label=\"Search by id or words\">\n\
         <button type=\"button\" id=\"only-failures\">Only failures</button>\n\
         <button type=\"reset\">Show all</button>\n\
         <output id=\"shown\"></output>\n</div>\n</form>\n",
    );
}

fn push_choice(page: &mut String, group: &str, name: &str, count: usize) {
    let state = if count == 0 { "disabled" } else { "checked" };
    page.push_str(&format!(
        "<label class=\"{name}\"><input type=\"checkbox\" name=\"{group}\" value=\"{name}\" {state}>\
         <span>{name} <b>{count}</b></span></label>"
    ));
}

fn push_section(page: &mut String, report: &Report, checks: &[Check], outcome: Outcome, title: &str) {
    let results: Vec<&CheckResult> = report.checks.iter().filter(|check| check.outcome == outcome).collect();
    if results.is_empty() {
        return;
    }
    page.push_str(&format!(
        "<section class=\"group\" id=\"{outcome}\">\n<h2>{title} <span>{}</span></h2>\n",
        results.len()
    ));
    for result in results {
        let check = checks.iter().find(|check| check.id == result.id);
        push_card(page, report, result, check);
    }
    page.push_str("</section>\n");
}

fn push_observations(page: &mut String, report: &Report) {
    if report.observations.is_empty() {
        return;
    }
    page.push_str(&format!(
        "<section id=\"observations\">\n<h2>Observations <span>{}</span></h2>\n\
         <p>Neither right nor wrong, and worth knowing.</p>\n<ul>\n",
        report.observations.len()
    ));
    for observation in &report.observations {
        let (id, text) = (escape(&observation.id), escape(&observation.text));
        let is_check = report.checks.iter().any(|check| check.id == observation.id);
        let id = if is_check { format!("<a href=\"#{id}\">{id}</a>") } else { id };
        page.push_str(&format!("<li><span class=\"id\">{id}</span> <span>{text}</span></li>\n"));
    }
    page.push_str("</ul>\n</section>\n");
}
