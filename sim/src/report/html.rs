//! `report.html`: one self-contained page, what failed first.
//!
//! The page shows what a target sent, so it must not run any of it: all text is escaped, there is no
//! script, and a content security policy admits the page's own style and nothing else.

use super::{
    Report,
    summary::failed,
    text::{figures, findings},
};
use crate::{
    run::ScenarioResult,
    validate::{Ruling, Verdict},
};

/// It stands in a file of its own and is copied into the page, which loads nothing.
const STYLE: &str = include_str!("report.css");

impl Report {
    /// Returns the page.
    #[must_use]
    pub fn html(&self) -> String {
        let target = escape(&self.target);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>Resilience of {target}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <header>\n<h1>Resilience of <code>{target}</code></h1>\n<p class=\"sum\">{}</p>\n</header>\n<main>\n",
            escape(&self.last_line())
        );
        let broken: Vec<_> = self.results.iter().filter(|it| failed(it)).collect();
        if !broken.is_empty() {
            page.push_str("<section>\n<h2>Failed</h2>\n");
            broken.iter().for_each(|it| self.push_failure(&mut page, it));
            page.push_str("</section>\n");
        }
        page.push_str(
            "<section>\n<h2>Scenarios</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>scenario</th><th>seed</th>\
             <th>verdicts</th><th>bytes</th><th>first byte</th><th>worst wait</th><th>statuses</th>\
             <th>cells</th></tr></thead>\n<tbody>\n",
        );
        self.results.iter().for_each(|it| push_row(&mut page, it));
        page.push_str(
            "</tbody>\n</table></div>\n<p>Bytes: upstream bytes for each byte of a blob that was needed. First byte: \
             the longest wait for one of a cold blob. Cells: questions that the fault really met.</p>\n\
             </section>\n</main>\n</body>\n</html>\n",
        );
        page
    }

    fn push_failure(&self, page: &mut String, result: &ScenarioResult) {
        let scenario = &result.plan.scenario;
        page.push_str(&format!(
            "<article>\n<h3>{}, seed {}</h3>\n<p>{}</p>\n<ul>\n",
            escape(&scenario.name),
            result.plan.seed,
            escape(&scenario.about)
        ));
        for finding in findings(result) {
            page.push_str(&format!("<li>{}</li>\n", escape(&finding)));
        }
        page.push_str(&format!("</ul>\n<pre>{}</pre>\n</article>\n", escape(&self.replay(result))));
    }
}

fn push_row(page: &mut String, result: &ScenarioResult) {
    let (name, about) = (escape(&result.plan.scenario.name), escape(&result.plan.scenario.about));
    page.push_str(&format!("<tr><th title=\"{about}\">{name}</th><td>{}</td><td>", result.plan.seed));
    for verdict in &result.verdicts {
        let Verdict { validator, ruling, promise, judged, .. } = verdict;
        let class = match ruling {
            Ruling::Pass => "pass",
            Ruling::Fail => "fail",
            Ruling::Vacuous => "vacuous",
            Ruling::Moot => "moot",
        };
        let title = escape(&format!("{promise}: {ruling}, {judged} judged"));
        page.push_str(&format!("<span class=\"{class}\" title=\"{title}\">{validator}</span> "));
    }
    if result.stuck.is_some() {
        page.push_str("<span class=\"fail\">recovery</span>");
    }
    page.push_str("</td>");
    let cells = match &result.moot {
        Some(lacks) => format!("<td colspan=\"5\">lacks {}</td>", escape(lacks)),
        None => figures(&result.figures).iter().map(|it| format!("<td>{}</td>", escape(it))).collect(),
    };
    page.push_str(&format!("{cells}</tr>\n"));
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn what_a_target_says_is_no_markup() {
        assert_eq!(escape("<a href=\"x\">&'</a>"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;&lt;/a&gt;");
    }
}
