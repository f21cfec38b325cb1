//! Several targets side by side, as one self-contained page. It shows what targets said, so it runs nothing:
//! all text is escaped, and its policy admits its own style and nothing else.

use super::card::Card;
use super::scorecard::{self, MET, Members};

/// It stands in a file of its own and is copied into the page, which loads nothing.
const STYLE: &str = include_str!("scorecard.css");

/// Renders the page.
pub(super) fn page(cards: &[Card]) -> String {
    let names: Vec<&str> = cards.iter().map(|it| it.target.as_str()).collect();
    let title = escape(&names.join(" and "));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>Behind a flaky upstream: {title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <header><p>Behind a flaky upstream</p><h1>{title}</h1></header>\n<main>\n"
    );
    let says = "How many scenarios kept it, of those that put it to the test.";
    push(&mut page, "Promises", says, &["promise"], &names, &scorecard::promises(cards));
    for Members { name, cells, rows } in scorecard::members(cards) {
        let (title, says) = (format!("{name}, fault by fault"), format!("{MET}: {cells}."));
        push(&mut page, &title, &says, &["fault"], &names, &rows);
    }
    push(&mut page, "Scenarios", "", &["scenario", "promise"], &names, &scorecard::scenarios(cards));
    let says = "Upstream bytes for each byte of a blob that was needed; the longest wait for the first byte of a \
                cold blob; the longest wait of all; what clients saw.";
    push(&mut page, "Figures", says, &["scenario", "figure"], &names, &scorecard::figures(cards));
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn push(page: &mut String, title: &str, says: &str, head: &[&str], names: &[&str], rows: &[Vec<String>]) {
    page.push_str(&format!("<section>\n<h2>{}</h2>\n<p>{}</p>\n", escape(title), escape(says)));
    page.push_str("<div class=\"wide\"><table>\n<thead><tr>");
    for name in head.iter().chain(names) {
        page.push_str(&format!("<th>{}</th>", escape(name)));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    let mut before: Option<&str> = None;
    for row in rows {
        let first = row.first().map(String::as_str);
        let class = if first == before { "" } else { " class=\"first\"" };
        page.push_str(&format!("<tr{class}>"));
        for (column, cell) in row.iter().enumerate() {
            page.push_str(&match column {
                // What stands above needs no repetition where a scenario has several rows.
                0 if first == before => "<th></th>".to_owned(),
                column if column < head.len() => format!("<th>{}</th>", escape(cell)),
                _ => format!("<td class=\"{}\">{}</td>", class_of(cell), escape(&cell.replace("**", ""))),
            });
        }
        page.push_str("</tr>\n");
        before = first;
    }
    page.push_str("</tbody>\n</table></div>\n</section>\n");
}

fn class_of(cell: &str) -> &'static str {
    match cell {
        _ if cell.contains("FAIL") => "fail",
        _ if cell.starts_with("pass") => "pass",
        "moot" | "–" => "moot",
        "vacuous" => "vacuous",
        _ => "plain",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::{class_of, escape};

    #[test]
    fn cells_have_their_colours() {
        for (cell, class) in
            [("pass 2 of 2", "pass"), ("**FAIL** 0 of 2", "fail"), ("moot", "moot"), ("7 ms", "plain")]
        {
            assert_eq!(class_of(cell), class, "{cell}");
        }
        assert_eq!(escape("<a href=\"&\">"), "&lt;a href=&quot;&amp;&quot;&gt;");
    }
}
