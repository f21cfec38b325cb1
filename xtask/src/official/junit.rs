//! Reads `junit.xml` as the official suite writes it, current and former. It is no XML parser for anything
//! else: entities of its own, namespaces and encodings other than UTF-8 do not occur there.

use anyhow::{Context, Result, bail, ensure};

/// One test of a report. The same name may come several times, one for each time that it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) outcome: Outcome,
    /// The first line of what it said, empty when it said nothing.
    pub(super) said: String,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// It did not run, or the target does not offer what it looks at.
    Skipped,
    Passed,
    /// It failed, or the suite broke in it.
    Failed,
}

impl Outcome {
    /// Reads the `status` of a test case. `None` for a word that neither suite uses: to guess a verdict
    /// would be worse than to stop.
    fn of_status(status: &str) -> Option<Self> {
        match status {
            "passed" => Some(Self::Passed),
            "skipped" | "pending" | "disabled" => Some(Self::Skipped),
            "failure" | "error" | "failed" | "panicked" | "interrupted" | "aborted" | "timedout" => {
                Some(Self::Failed)
            }
            _ => None,
        }
    }

    /// Reads what an element inside of a test case says of its end.
    fn of_element(element: &str) -> Option<Self> {
        match element {
            "failure" | "error" => Some(Self::Failed),
            "skipped" => Some(Self::Skipped),
            _ => None,
        }
    }
}

/// Reads all test cases.
///
/// *Errors*: the text ends inside of a tag, a case has no name, or its status is unknown.
pub(super) fn read(xml: &str) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let mut open: Option<Case> = None;
    let mut element = String::new();
    let mut rest = xml;
    while !rest.is_empty() {
        let (piece, after) = next_piece(rest)?;
        rest = after;
        match (piece, &mut open) {
            (Piece::Open { name: "testcase", attributes, empty }, _) => {
                let case = begin(attributes)?;
                if empty { cases.push(case) } else { open = Some(case) }
            }
            (Piece::Open { name, attributes, empty }, Some(case)) => {
                if let Some(outcome) = Outcome::of_element(name) {
                    case.outcome = outcome;
                    case.say(&attribute(attributes, "message").unwrap_or_default());
                }
                if !empty {
                    name.clone_into(&mut element);
                }
            }
            (Piece::Close("testcase"), Some(_)) => cases.extend(open.take()),
            (Piece::Close(_), _) => element.clear(),
            (Piece::Text(text), Some(case)) if tells_why(&element) => case.say(&unescape(text)),
            (Piece::Literal(text), Some(case)) if tells_why(&element) => case.say(text),
            _ => {}
        }
    }
    ensure!(open.is_none(), "it ends inside of a test case");
    Ok(cases)
}

impl Case {
    /// Keeps the first line that is said.
    fn say(&mut self, text: &str) {
        if self.said.is_empty() {
            text.lines()
                .map(str::trim)
                .find(|line| !line.is_empty())
                .unwrap_or_default()
                .clone_into(&mut self.said);
        }
    }
}

/// Says whether the text of an element tells why a test ended as it did. The current suite writes the
/// reason to `system-out` and the whole exchange to `system-err`.
fn tells_why(element: &str) -> bool {
    element == "system-out" || Outcome::of_element(element).is_some()
}

/// Begins a case. One without a status passed, unless an element inside says otherwise.
fn begin(attributes: &str) -> Result<Case> {
    let name = attribute(attributes, "name").context("a test case has no name")?;
    let outcome = match attribute(attributes, "status") {
        None => Outcome::Passed,
        Some(status) => Outcome::of_status(&status)
            .with_context(|| format!("the test case `{name}` has the unknown status `{status}`"))?,
    };
    Ok(Case { name, outcome, said: String::new() })
}

/// A piece of XML.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Open {
        name: &'a str,
        attributes: &'a str,
        empty: bool,
    },
    Close(&'a str),
    Text(&'a str),
    /// Text in which nothing is escaped.
    Literal(&'a str),
    /// A declaration or a comment.
    Aside,
}

/// Takes the first piece, and returns it with what follows. The text must not be empty.
fn next_piece(text: &str) -> Result<(Piece<'_>, &str)> {
    let Some(tag) = text.strip_prefix('<') else {
        let end = text.find('<').unwrap_or(text.len());
        return Ok((Piece::Text(&text[..end]), &text[end..]));
    };
    if let Some(literal) = tag.strip_prefix("![CDATA[") {
        let (text, rest) = literal.split_once("]]>").context("it ends inside of a CDATA section")?;
        return Ok((Piece::Literal(text), rest));
    }
    if let Some(comment) = tag.strip_prefix("!--") {
        let (_, rest) = comment.split_once("-->").context("it ends inside of a comment")?;
        return Ok((Piece::Aside, rest));
    }
    let end = end_of_tag(tag).context("it ends inside of a tag")?;
    let (inside, rest) = (&tag[..end], &tag[end + 1..]);
    if inside.starts_with(['?', '!']) {
        return Ok((Piece::Aside, rest));
    }
    if let Some(name) = inside.strip_prefix('/') {
        return Ok((Piece::Close(name.trim()), rest));
    }
    let (inside, empty) = match inside.strip_suffix('/') {
        Some(inside) => (inside, true),
        None => (inside, false),
    };
    let (name, attributes) = inside.split_once(char::is_whitespace).unwrap_or((inside, ""));
    if name.is_empty() {
        bail!("a tag has no name");
    }
    Ok((Piece::Open { name, attributes, empty }, rest))
}

/// Finds the `>` of a tag: one between quotes belongs to a value.
fn end_of_tag(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in tag.char_indices() {
        match quote {
            Some(open) if open == c => quote = None,
            Some(_) => {}
            None if c == '>' => return Some(at),
            None if c == '"' || c == '\'' => quote = Some(c),
            None => {}
        }
    }
    None
}

/// Returns the value of an attribute.
fn attribute(attributes: &str, wanted: &str) -> Option<String> {
    let mut rest = attributes;
    loop {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| ['"', '\''].contains(c))?;
        let (value, after) = after[1..].split_once(quote)?;
        if name.trim() == wanted {
            return Some(unescape(value));
        }
        rest = after;
    }
}

/// Replaces the entities of XML; what is none stays as it is.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        match after.split_once(';').and_then(|(entity, after)| Some((character(entity)?, after))) {
            Some((c, after)) => {
                plain.push(c);
                rest = after;
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// Returns the character that an entity stands for.
fn character(entity: &str) -> Option<char> {
    match entity {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Case, Outcome, attribute, read, unescape};

    fn case(name: &str, outcome: Outcome, said: &str) -> Case {
        Case { name: name.to_owned(), outcome, said: said.to_owned() }
    }

    /// As the current suite writes it: the verdict in `status`, the reason in `system-out`.
    #[test]
    fn the_current_suite_is_read() {
        let xml = r#"<testsuites time="0.1" tests="4" failures="1"><testsuite name="S" tests="4">
            <properties><property name="Config" value="a: b&#xA;c: &#34;&#34;"></property></properties>
            <testcase name="S/a/b 1-2" classname="" time="0.1" status="passed">
              <system-err>GET &lt;x&gt; failure</system-err>
            </testcase>
            <testcase name="S/a/b -5" classname="" status="skipped"><system-out>full blob</system-out></testcase>
            <testcase name="S/c" classname="" status="failure">
              <system-out>expected [416], received &#34;&lt;202&gt;&#34;&#xA;second line</system-out>
              <system-err>=====</system-err>
            </testcase>
            <testcase name="S/d" status="error"></testcase>
            </testsuite></testsuites>"#;
        let expect = [
            case("S/a/b 1-2", Outcome::Passed, ""),
            case("S/a/b -5", Outcome::Skipped, "full blob"),
            case("S/c", Outcome::Failed, "expected [416], received \"<202>\""),
            case("S/d", Outcome::Failed, ""),
        ];
        assert_eq!(read(xml).unwrap(), expect);
    }

    /// As both generations of the framework under the former suite write it: the verdict in elements.
    #[test]
    fn the_former_suite_is_read() {
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?><!-- a > b --><testsuites><testsuite>
            <testcase name="T Pull GET &#34;a&#34; &lt;b&gt;" status="failed" time="1">
              <failure message="Expected&#xA;  &lt;int&gt;: 1" type="failed">[FAILED] x</failure>
              <system-err>noise</system-err></testcase>
            <testcase name="T panics" status="panicked"><error message="no"/></testcase>
            <testcase name="T old style" classname="C"><failure type="F"><![CDATA[
              a < b]]></failure></testcase>
            <testcase name="T disabled" classname="C"><skipped></skipped></testcase>
            <testcase name="T quiet > loud" classname="C" time="0.1"/>
            </testsuite></testsuites>"#;
        let expect = [
            case("T Pull GET \"a\" <b>", Outcome::Failed, "Expected"),
            case("T panics", Outcome::Failed, "no"),
            case("T old style", Outcome::Failed, "a < b"),
            case("T disabled", Outcome::Skipped, ""),
            case("T quiet > loud", Outcome::Passed, ""),
        ];
        assert_eq!(read(xml).unwrap(), expect);
    }

    #[test]
    fn what_cannot_be_judged_is_an_error() {
        fn check(xml: &str, expect: &str) {
            let error = format!("{:#}", read(xml).unwrap_err());
            assert!(error.contains(expect), "{xml}: {error}");
        }
        check(r#"<testcase name="a" status="flaky"/>"#, "`a` has the unknown status `flaky`");
        check(r#"<testcase status="passed"/>"#, "no name");
        check(r#"<testsuites><testcase name="a">"#, "inside of a test case");
        check(r#"<testcase name="a"#, "inside of a tag");
        check("<!-- a", "inside of a comment");
        check("<![CDATA[ a", "inside of a CDATA");
        check("< >", "a tag has no name");
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn attributes_and_entities_are_read() {
        assert_eq!(attribute(r#"name="a='b'" status='c'"#, "status").unwrap(), "c");
        assert_eq!(attribute(r#"classname="x" name="y""#, "name").unwrap(), "y");
        assert_eq!(attribute("name", "name"), None);
        assert_eq!(attribute("name=a", "name"), None);
        assert_eq!(unescape("&#65;&#x42;&amp;lt; & &no; &#x110000;"), "AB&lt; & &no; &#x110000;");
    }
}
