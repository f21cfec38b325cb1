//! Makes text safe for the form that it stands in, and short enough to be read.

use std::borrow::Cow;

/// Runs of word characters longer than this are digests, signed states and the like.
const WORD_CHARS_MAX: usize = 40;
/// What stays of a word that is too long.
const WORD_CHARS_KEPT: usize = 12;

/// Escapes text for XML and HTML, and shows control characters, which XML cannot hold, as pictures.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c => out.push(picture(c)),
        }
    }
    out
}

/// Escapes text for a cell of a Markdown table.
pub(super) fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '&' => out.extend(['\\', c]),
            c => out.push(picture(c)),
        }
    }
    out
}

/// Returns the text as one line without control characters, which a terminal would obey.
pub(super) fn line(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { picture(c) }).collect()
}

/// Cuts digests, signed states and other words that nobody reads to their beginning.
pub(super) fn brief(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '=');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        if word.len() > WORD_CHARS_MAX {
            out.push_str(&word[..WORD_CHARS_KEPT]);
            out.push('…');
        } else {
            out.push_str(word);
        }
        // A word that was cut already has its mark.
        let after = if out.ends_with('…') { after.trim_start_matches('…') } else { after };
        let gap = after.find(is_word).unwrap_or(after.len());
        out.push_str(&after[..gap]);
        rest = &after[gap..];
    }
    out
}

/// Cuts text to a number of characters, the mark of the cut among them.
pub(super) fn cut(text: &str, chars: usize) -> Cow<'_, str> {
    if text.chars().count() <= chars {
        return Cow::Borrowed(text);
    }
    let mut kept: String = text.chars().take(chars.saturating_sub(1)).collect();
    kept.push('…');
    Cow::Owned(kept)
}

/// Quotes a word for the shell where it needs that.
pub(super) fn shell(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

/// Returns the visible picture of a control character, and any other character as it is.
fn picture(c: char) -> char {
    match u32::from(c) {
        code @ 0..0x20 => char::from_u32(0x2400 + code).unwrap_or('\u{fffd}'),
        0x7f => '\u{2421}',
        0x80..0xa0 | 0xfffe | 0xffff => '\u{fffd}',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_control_characters_are_escaped() {
        assert_eq!(escape("<a b='c' d=\"&\">\r\n\t\u{1}\u{7f}\u{85}\u{fffe}é"), {
            "&lt;a b=&#39;c&#39; d=&quot;&amp;&quot;&gt;␍\n\t␁␡\u{fffd}\u{fffd}é"
        });
        assert_eq!(cell("a|b\r\n*c* `d` <e> [f](g) &amp; h\\ _i_"), {
            "a\\|b  \\*c\\* \\`d\\` \\<e\\> \\[f\\](g) \\&amp; h\\\\ \\_i\\_"
        });
        assert_eq!(line("a\nb\u{1b}[31mc\td"), "a b␛[31mc d");
    }

    #[test]
    fn long_words_are_cut_once() {
        let digest = "0123456789abcdef".repeat(4);
        let check = |text: &str, expect: &str| assert_eq!(brief(text), expect, "{text}");
        check(&format!("GET /v2/a/blobs/sha256:{digest}: answered 500"), {
            "GET /v2/a/blobs/sha256:0123456789ab…: answered 500"
        });
        check(&format!("{digest}…: no"), "0123456789ab…: no");
        check("6136de35-660fea38d566e17250-t007-0/é", "6136de35-660fea38d566e17250-t007-0/é");
        check(&"n".repeat(41), "nnnnnnnnnnnn…");
        check(&"n".repeat(40), &"n".repeat(40));
        check("", "");
        assert_eq!(cut("éàü", 3), "éàü");
        assert_eq!(cut("éàüx", 3), "éà…");
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(shell("http://h:5000"), "http://h:5000");
        assert_eq!(shell("http://[::1]:5000"), "'http://[::1]:5000'");
        assert_eq!(shell("a'b"), r"'a'\''b'");
        assert_eq!(shell(""), "''");
    }
}
