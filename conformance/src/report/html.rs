//! `report.html`: one self-contained page, filtered by level and outcome, an exchange on click.

use crate::check::{Level, Outcome};
use crate::report::{CheckResult, Report, escape};

/// Style and script stand in files of their own and are copied into the page: it loads nothing.
const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// Renders the page.
pub fn html(report: &Report) -> String {
    let target = escape(&report.target);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Conformance of {target}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>Conformance of <code>{target}</code></h1>\n"
    );
    push_summary(&mut page, report);
    page.push_str("</header>\n");
    push_filters(&mut page, report);
    page.push_str("<main>\n");
    for check in &report.checks {
        push_check(&mut page, check);
    }
    page.push_str("</main>\n");
    push_observations(&mut page, report);
    page.push_str(&format!("<script>\n{SCRIPT}</script>\n</body>\n</html>\n"));
    page
}

fn push_summary(page: &mut String, report: &Report) {
    page.push_str("<p class=\"levels\">");
    for (level, passed, judged) in report.levels() {
        let class = if passed == judged { "whole" } else { "part" };
        page.push_str(&format!("<span class=\"{class}\"><b>{passed}/{judged}</b> {level}</span> "));
    }
    page.push_str(&format!("<span>seed {}</span></p>\n", report.seed));
}

fn push_filters(page: &mut String, report: &Report) {
    page.push_str("<form id=\"filters\">\n<fieldset><legend>Outcome</legend>");
    for outcome in Outcome::ALL {
        push_choice(page, "outcome", outcome.name(), report.count(outcome));
    }
    page.push_str("</fieldset>\n<fieldset><legend>Level</legend>");
    for level in Level::ALL {
        let count = report.checks.iter().filter(|check| check.level == level).count();
        push_choice(page, "level", level.name(), count);
    }
    page.push_str(
        "</fieldset>\n<fieldset><legend>Search</legend>\
         <input id=\"search\" type=\"search\" placeholder=\"id or words\" aria-label=\"Search\"></fieldset>\n\
         <output id=\"shown\"></output>\n</form>\n",
    );
}

fn push_choice(page: &mut String, group: &str, name: &str, count: usize) {
    let state = if count == 0 { "disabled" } else { "checked" };
    page.push_str(&format!(
        "<label class=\"{name}\"><input type=\"checkbox\" name=\"{group}\" value=\"{name}\" {state}>\
         {name} <b>{count}</b></label>"
    ));
}

fn push_check(page: &mut String, check: &CheckResult) {
    let (outcome, level) = (check.outcome, check.level);
    page.push_str(&format!(
        "<details class=\"check\" id=\"{id}\" data-outcome=\"{outcome}\" data-level=\"{level}\">\n\
         <summary><span class=\"badge {outcome}\">{outcome}</span><code>{id}</code>\
         <span class=\"level\">{level}</span><span class=\"clause\">{clause}</span>",
        id = escape(&check.id),
        clause = escape(&check.clause),
    ));
    if !check.message.is_empty() {
        page.push_str(&format!("<span class=\"message\">{}</span>", escape(&check.message)));
    }
    page.push_str("</summary>\n");
    for exchange in &check.exchanges {
        page.push_str(&format!(
            "<div class=\"exchange\"><pre>{}</pre><pre>{}</pre></div>\n",
            escape(&exchange.request),
            escape(&exchange.response)
        ));
    }
    if check.exchanges.is_empty() {
        page.push_str("<p class=\"none\">Nothing was sent.</p>\n");
    }
    page.push_str("</details>\n");
}

fn push_observations(page: &mut String, report: &Report) {
    if report.observations.is_empty() {
        return;
    }
    page.push_str("<section>\n<h2>Observations</h2>\n<ul>\n");
    for observation in &report.observations {
        let (id, text) = (escape(&observation.id), escape(&observation.text));
        page.push_str(&format!("<li><code>{id}</code> {text}</li>\n"));
    }
    page.push_str("</ul>\n</section>\n");
}
