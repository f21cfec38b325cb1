//! Rust source as the checks see it: comments and literals blanked, test items told apart.
//!
//! No parser: a lexer of comments and literals and a matching of brackets answer every question asked
//! here, and a file that does not compile is the compiler's business.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// One source file.
#[derive(Debug)]
pub(super) struct Source {
    /// As written.
    raw: String,
    /// The same bytes, of which comments are blanks and the insides of literals underscores. Offsets and
    /// lines are those of `raw`.
    code: String,
    /// Where items under `#[cfg(test)]` stand.
    tests: Vec<Range<usize>>,
}

/// A declaration `mod name;`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModDecl {
    pub(super) name: String,
    /// What `#[path = "…"]` says.
    pub(super) path: Option<String>,
    /// Whether only tests compile it.
    pub(super) is_test: bool,
}

static CFG_TEST: LazyLock<Regex> =
    LazyLock::new(|| regex(r"#\[\s*cfg\s*\(\s*(?:test|all\s*\(\s*test\b[^\]]*\))\s*\)\s*\]"));
static MOD_DECL: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"(?m)(?P<attributes>(?:#\[[^\]]*\]\s*)*)(?:\bpub(?:\s*\([^)]*\))?\s+)?\bmod\s+(?P<name>\w+)\s*;")
});
static PATH_ATTRIBUTE: LazyLock<Regex> = LazyLock::new(|| regex(r#"#\[\s*path\s*=\s*"([^"]+)"\s*\]"#));

/// Compiles a pattern of this program.
pub(super) fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant that a test has compiled")
}

impl Source {
    /// Reads a source text.
    pub(super) fn new(raw: &str) -> Self {
        let code = blank(raw);
        let tests =
            CFG_TEST.find_iter(&code).map(|found| found.start()..item_end(&code, found.end())).collect();
        Self { raw: raw.to_owned(), code, tests }
    }

    /// Returns the text as written.
    pub(super) fn raw(&self) -> &str {
        &self.raw
    }

    /// Returns the text without comments and literals.
    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// Says whether the byte at `offset` is compiled for tests only.
    pub(super) fn is_test(&self, offset: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&offset))
    }

    /// Returns the line, counted from 1, of the byte at `offset`.
    pub(super) fn line(&self, offset: usize) -> usize {
        line_of(&self.raw, offset)
    }

    /// Counts lines that hold code outside of tests.
    pub(super) fn code_lines(&self) -> usize {
        let mut offset = 0;
        let mut count = 0;
        for line in self.code.split_inclusive('\n') {
            let begin = offset + (line.len() - line.trim_start().len());
            if !line.trim().is_empty() && !self.is_test(begin) {
                count += 1;
            }
            offset += line.len();
        }
        count
    }

    /// Returns the modules that stand in files of their own.
    pub(super) fn mod_decls(&self) -> Vec<ModDecl> {
        let decl = |captures: regex::Captures<'_>| {
            let whole = captures.get(0).expect("group 0 is the match");
            // The attribute's string is blanked in `code`; the same bytes of `raw` still have it.
            let path = PATH_ATTRIBUTE.captures(&self.raw[whole.range()]).map(|path| path[1].to_owned());
            ModDecl { name: captures["name"].to_owned(), path, is_test: self.is_test(whole.end() - 1) }
        };
        MOD_DECL.captures_iter(&self.code).map(decl).collect()
    }
}

/// Returns the line, counted from 1, of the byte at `offset` of `text`.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Returns where the item that begins at `from` ends: behind its block, or its semicolon.
fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return offset + 1;
                }
            }
            b';' if depth == 0 => return offset + 1,
            _ => {}
        }
    }
    code.len()
}

/// Replaces comments by blanks and the insides of literals by underscores, byte for byte.
fn blank(raw: &str) -> String {
    let bytes = raw.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (length, filler) = if rest.starts_with(b"//") {
            (rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()), b' ')
        } else if rest.starts_with(b"/*") {
            (block_comment(rest), b' ')
        } else if let Some(length) = literal(rest, out.last().copied()) {
            (length, b'_')
        } else {
            out.push(if rest[0].is_ascii() { rest[0] } else { b'_' });
            at += 1;
            continue;
        };
        let fill = |byte: &u8| if byte.is_ascii_whitespace() { *byte } else { filler };
        out.extend(rest[..length].iter().map(fill));
        at += length;
    }
    String::from_utf8(out).expect("only ASCII was written")
}

/// Returns the length of a block comment, which may hold others.
fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Returns the length of the string or character literal that begins here, if one does. `before` is the
/// byte in front: the `r` of `for"…"` belongs to a word, not to a raw string.
fn literal(rest: &[u8], before: Option<u8>) -> Option<usize> {
    let in_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match rest[0] {
        b'"' => Some(quoted(rest, 0)),
        b'\'' => character(rest),
        b'r' | b'b' | b'c' if !in_word => {
            let prefix = rest.iter().take(2).take_while(|byte| matches!(byte, b'r' | b'b' | b'c')).count();
            let is_raw = rest[..prefix].contains(&b'r');
            let hashes = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
            match rest.get(prefix + hashes) {
                Some(b'"') if is_raw => Some(raw_string(rest, prefix + hashes, hashes)),
                Some(b'"') if hashes == 0 => Some(quoted(rest, prefix)),
                Some(b'\'') if hashes == 0 && rest[0] == b'b' => {
                    character(&rest[prefix..]).map(|n| n + prefix)
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Returns the length of a string with escapes, whose opening quote is at `open`.
fn quoted(rest: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Returns the length of a raw string, whose opening quote is at `open`.
fn raw_string(rest: &[u8], open: usize, hashes: usize) -> usize {
    let mut end = vec![b'"'];
    end.resize(hashes + 1, b'#');
    let body = &rest[open + 1..];
    let found = body.windows(end.len()).position(|window| window == end);
    found.map_or(rest.len(), |at| open + 1 + at + end.len())
}

/// Returns the length of a character literal; `None` for a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        // The escaped character itself may be a quote; the closing one comes after it.
        return rest.iter().skip(3).position(|byte| *byte == b'\'').map(|at| at + 4);
    }
    let text = std::str::from_utf8(rest).ok()?;
    let inside = text[1..].chars().next()?;
    text[1 + inside.len_utf8()..].starts_with('\'').then_some(inside.len_utf8() + 2)
}

#[cfg(test)]
mod tests {
    use super::{ModDecl, Source, blank};

    #[test]
    fn comments_and_literals_are_blanked() {
        fn check(raw: &str, expect: &str) {
            assert_eq!(blank(raw), expect, "{raw}");
        }
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ d */ e", "a                   e");
        check(r#"f("x // \" y") + 1"#, "f(__ __ __ __) + 1");
        check(r###"r#"a "b" c"# d"###, "____ ___ ___ d");
        check("'a' + '\\'' + b'\\n' + 'ü'", "___ + ____ + _____ + ____");
        check("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}");
        check("br\"a\" for\"b\"", "_____ for___");
        check("\"a\nb\" c", "__\n__ c");
    }

    #[test]
    fn an_unfinished_literal_ends_with_the_file() {
        for raw in ["\"abc", "r#\"abc\"", "/* a", "'", "b'", "\"\\"] {
            assert_eq!(blank(raw).len(), raw.len(), "{raw}");
        }
    }

    const FILE: &str = "//! A file.\n\nmod a;\n/// Documented.\n#[path = \"odd.rs\"]\npub(crate) mod b;\n\n\
        fn one() {\n    two(); // call\n}\n\n#[cfg(test)]\nmod tests {\n    fn x() { y(); }\n    const A: [u8; 1] = [0];\n}\n\
        #[cfg(test)]\nmod more_tests;\n#[cfg(test)]\nuse a::{b, c};\nfn last() {}\n";

    #[test]
    fn test_items_are_told_apart() {
        let source = Source::new(FILE);
        assert!(source.is_test(FILE.find("fn x").unwrap()));
        assert!(source.is_test(FILE.find("const A").unwrap()));
        assert!(source.is_test(FILE.find("b, c").unwrap()));
        assert!(!source.is_test(FILE.find("fn one").unwrap()));
        assert!(!source.is_test(FILE.find("fn last").unwrap()));
        assert_eq!(source.line(FILE.find("fn one").unwrap()), 8);
    }

    #[test]
    fn lines_of_code_leave_out_comments_blanks_and_tests() {
        // `mod a`, `#[path]`, `mod b`, `fn one` with its call and bracket, `fn last`.
        assert_eq!(Source::new(FILE).code_lines(), 7);
        assert_eq!(Source::new("//! Doc.\n\n/* a\nb */\n").code_lines(), 0);
        assert_eq!(Source::new("const A: &str = \"a\nb\nc\";\n").code_lines(), 3);
    }

    #[test]
    fn module_declarations_are_found() {
        let decl = |name: &str, path: Option<&str>, is_test| ModDecl {
            name: name.to_owned(),
            path: path.map(str::to_owned),
            is_test,
        };
        let expect =
            [decl("a", None, false), decl("b", Some("odd.rs"), false), decl("more_tests", None, true)];
        assert_eq!(Source::new(FILE).mod_decls(), expect);
    }
}
