//! One check on the page: a line with its outcome, and on click the reasons, the replay and the exchanges.

use std::time::Duration;

use crate::check::{Check, Outcome};
use crate::report::escape::{brief, cut, escape};
use crate::report::message::Message;
use crate::report::{CheckResult, Report, group};
use crate::wire::Exchange;

/// Exchanges written of one check: a few checks make hundreds, and the page has to stay small.
const EXCHANGES_MAX: usize = 60;
/// Characters of a request line that head an exchange; the whole line stands inside.
const HEAD_CHARS_MAX: usize = 160;

/// Writes one check.
pub(super) fn push_card(page: &mut String, report: &Report, result: &CheckResult, check: Option<&Check>) {
    let (outcome, level) = (result.outcome, result.level);
    let (anchor, says) = group::clause(result);
    let id = escape(&result.id);
    page.push_str(&format!(
        "<details class=\"check {outcome}\" id=\"{id}\" data-outcome=\"{outcome}\" data-level=\"{level}\">\n\
         <summary><span class=\"badge {outcome}\">{outcome}</span> <span class=\"id\">{id}</span> \
         <span class=\"tag {level}\">{level}</span> <span class=\"says\">{}</span> \
         <span class=\"time\">{}</span>",
        escape(says),
        time(result.elapsed)
    ));
    push_message(page, result);
    page.push_str("</summary>\n<div class=\"inside\">\n");
    push_facts(page, report, result, check, anchor);
    push_exchanges(page, result);
    page.push_str("</div>\n</details>\n");
}

/// Writes what was seen into the line itself, so that nobody has to click for it.
fn push_message(page: &mut String, result: &CheckResult) {
    let (first, second) = match result.outcome {
        Outcome::Known => group::known(result),
        _ => (result.message.as_str(), ""),
    };
    for (class, text) in [("message", first), ("message seen", second)] {
        if !text.is_empty() {
            page.push_str(&format!(" <span class=\"{class}\">{}</span>", escape(&brief(text))));
        }
    }
}

fn push_facts(page: &mut String, report: &Report, result: &CheckResult, check: Option<&Check>, anchor: &str) {
    page.push_str("<dl class=\"facts\">\n");
    let mut fact = |name: &str, text: &str| {
        if !text.is_empty() {
            page.push_str(&format!("<dt>{name}</dt><dd>{text}</dd>\n"));
        }
    };
    fact("Why it matters", &escape(check.map_or("", |check| check.why)));
    fact("Who breaks", &escape(check.map_or("", |check| check.breaks)));
    fact("Rests on", &escape(anchor));
    fact("Covers", &escape(&check.map_or_else(String::new, |check| check.covers.join(", "))));
    let after = check.map_or(&[][..], |check| check.after);
    let links = after.iter().map(|id| format!("<a href=\"#{id}\">{id}</a>"));
    fact("Runs after", &links.collect::<Vec<_>>().join(", "));
    // The line above shows long words by their beginning; here they stand whole.
    if brief(&result.message) != result.message {
        fact("In full", &escape(&result.message));
    }
    let (command, id) = (escape(&group::replay(report, &result.id, check)), escape(&result.id));
    fact(
        "Run it again",
        &format!(
            "<span class=\"replay\"><code>{command}</code>\
             <button type=\"button\" class=\"copy\" hidden>Copy</button></span>"
        ),
    );
    fact("Link", &format!("<a href=\"#{id}\">#{id}</a>"));
    page.push_str("</dl>\n");
}

fn push_exchanges(page: &mut String, result: &CheckResult) {
    let Some(telling) = group::telling(result) else {
        page.push_str("<p class=\"note\">Nothing was sent.</p>\n");
        return;
    };
    let count = result.exchanges.len();
    // The last ones are those that were judged; the telling one is never left out.
    let hidden = count.saturating_sub(EXCHANGES_MAX).min(telling);
    if hidden > 0 {
        page.push_str(&format!("<p class=\"note\">{hidden} earlier exchanges are left out.</p>\n"));
    }
    let judged = matches!(result.outcome, Outcome::Fail | Outcome::Error | Outcome::Known);
    page.push_str("<div class=\"exchanges\">\n");
    for (index, exchange) in result.exchanges.iter().enumerate().skip(hidden) {
        push_exchange(page, exchange, index + 1, judged && index == telling);
    }
    page.push_str("</div>\n");
}

fn push_exchange(page: &mut String, exchange: &Exchange, number: usize, open: bool) {
    let (request, response) = (Message::parse(&exchange.request), Message::parse(&exchange.response));
    let status = response.status();
    let class = status.map_or_else(|| "none".to_owned(), |status| format!("s{}", status / 100));
    let shown = status.map_or_else(|| "no response".to_owned(), |status| status.to_string());
    let (open, class) = (if open { " open" } else { "" }, class.as_str());
    page.push_str(&format!(
        "<details class=\"exchange\"{open}><summary><span class=\"number\">{number}</span> \
         <code>{}</code> <span class=\"status {class}\">{shown}</span></summary>\n<div class=\"sides\">\n",
        escape(&cut(&brief(request.start), HEAD_CHARS_MAX))
    ));
    push_side(page, "Request", &request);
    push_side(page, "Response", &response);
    page.push_str("</div></details>\n");
}

fn push_side(page: &mut String, title: &str, message: &Message<'_>) {
    page.push_str(&format!(
        "<div class=\"side\"><h3>{title}</h3>\n<pre class=\"head\"><b>{}</b>",
        escape(message.start)
    ));
    for (name, value) in &message.headers {
        page.push_str(&format!("\n<i>{}:</i> {}", escape(name), escape(value)));
    }
    page.push_str("</pre>\n");
    if !message.body.is_empty() {
        page.push_str(&format!("<pre class=\"body\">{}</pre>\n", escape(message.body)));
    }
    if let Some(length) = message.cut {
        page.push_str(&format!("<p class=\"cut\">Cut here: {} bytes in all.</p>\n", escape(length)));
    }
    page.push_str("</div>\n");
}

/// Returns a time in the unit that fits it; nothing where no time was taken.
fn time(elapsed: Duration) -> String {
    if elapsed.is_zero() {
        String::new()
    } else if elapsed < Duration::from_secs(1) {
        format!("{} ms", elapsed.as_millis())
    } else {
        format!("{:.1} s", elapsed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_fitting_unit() {
        let check = |millis, expect: &str| assert_eq!(time(Duration::from_millis(millis)), expect);
        check(0, "");
        check(7, "7 ms");
        check(999, "999 ms");
        check(5250, "5.2 s");
    }
}
