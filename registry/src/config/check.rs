//! Holds a file against the table of keys and collects everything that is wrong with it.
//!
//! It knows no key by name. What more than one key says together is checked in `resolve`.

use super::checked::Checked;
use super::env;
use super::error::Fault;
use super::key::Class;
use super::kind::{Kind, Names};
use super::raw::Raw;
use super::tree::{self, Node};

/// The longest piece of a file that a fault quotes, in characters.
const QUOTED_MAX: usize = 80;

/// A walk along a file: where the environment is, and what was found on the way.
pub(super) struct Check<'run> {
    env: &'run dyn Fn(&str) -> Option<String>,
    /// What is wrong, in the file's order.
    pub(super) faults: Vec<Fault>,
    /// What is worth knowing, in the file's order.
    pub(super) warnings: Vec<Fault>,
}

/// Which classes of keys a walk still reports, after what the sections above said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Classes {
    /// All.
    All,
    /// Those that are refused: the section above only warned of itself.
    Refused,
    /// None: the section above is a fault itself, or asks for nothing.
    Silent,
}

impl<'run> Check<'run> {
    /// Returns a walk that has not begun.
    pub(super) fn new(env: &'run dyn Fn(&str) -> Option<String>) -> Self {
        Self { env, faults: Vec::new(), warnings: Vec::new() }
    }

    /// Returns what `raw`, a whole file, says in its honoured keys.
    pub(super) fn file(&mut self, raw: &Raw) -> Checked {
        let root = tree::root();
        match raw {
            Raw::Section(_) | Raw::Nothing => self.value(root, &root.key.kind, raw, "", Classes::All),
            _ => {
                self.fault("(file)", format!("{} is not a section", raw.described()));
                Checked::Faulty
            }
        }
    }

    /// Checks one key and returns what it says, if it is honoured.
    fn key(&mut self, node: &Node, raw: &Raw, path: &str, classes: Classes) -> Option<Checked> {
        let refused = matches!(node.key.class, Class::Refused(_));
        if classes == Classes::All || (classes == Classes::Refused && refused) {
            self.class(node, raw, path);
        }
        let below = match (classes, node.key.class) {
            (Classes::All, Class::Honoured) => Classes::All,
            (Classes::Silent, _) | (_, Class::Refused(_) | Class::Pending) => Classes::Silent,
            _ if asks(node, raw) => Classes::Refused,
            _ => Classes::Silent,
        };
        let checked = self.value(node, &node.key.kind, raw, path, below);
        (node.key.class == Class::Honoured).then_some(checked)
    }

    /// Reports what comes of a key that is not honoured.
    fn class(&mut self, node: &Node, raw: &Raw, path: &str) {
        match node.key.class {
            Class::Honoured => {}
            Class::Inert(reason) => self.warn(path, format!("has no effect: {reason}")),
            Class::Refused(reason) => self.fault(path, format!("is refused: {reason}")),
            Class::Pending if asks(node, raw) => self.fault(path, format!("not supported yet: {path}")),
            Class::Later if asks(node, raw) => self.warn(path, format!("not supported yet: {path}")),
            Class::Pending | Class::Later => {}
        }
    }

    fn value(&mut self, node: &Node, kind: &Kind, raw: &Raw, path: &str, classes: Classes) -> Checked {
        match (kind, raw) {
            (Kind::Section | Kind::Open, Raw::Section(entries)) => {
                self.section(node, kind, entries, path, classes)
            }
            (Kind::Like(place), Raw::Section(_) | Raw::Nothing) => {
                let like = tree::root().at(place).expect("the table names a section of its own");
                self.value(like, &like.key.kind, raw, path, classes)
            }
            (Kind::Map(names, of), Raw::Section(entries)) => {
                self.map(node, *names, of, entries, path, classes)
            }
            // YAML writes an empty section as nothing.
            (Kind::Section | Kind::Open, Raw::Nothing) => self.section(node, kind, &[], path, classes),
            (Kind::Map(names, of), Raw::Nothing) => self.map(node, *names, of, &[], path, classes),
            (Kind::Filled(_), Raw::List(items)) if items.is_empty() => self.unfit(kind, raw, path),
            (Kind::List(of) | Kind::Filled(of), Raw::List(items)) => {
                let item = |(index, item)| self.value(node, of, item, &format!("{path}[{index}]"), classes);
                Checked::List(items.iter().enumerate().map(item).collect())
            }
            _ => self.single(kind, raw, path),
        }
    }

    fn section(
        &mut self,
        node: &Node,
        kind: &Kind,
        entries: &[(String, Raw)],
        path: &str,
        classes: Classes,
    ) -> Checked {
        let mut checked: Vec<(String, Checked)> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for (written, raw) in entries {
            let Some(below) = node.named(written) else {
                if *kind != Kind::Open {
                    self.unknown(node, written, path);
                }
                continue;
            };
            let name = below.key.name();
            let place = join(path, name);
            if seen.contains(&name) {
                self.fault(&place, "is written twice");
                continue;
            }
            seen.push(name);
            if let Some(value) = self.key(below, raw, &place, classes) {
                checked.push((name.to_owned(), value));
            }
        }
        for missing in node.below.iter().filter(|below| below.key.required) {
            if !seen.contains(&missing.key.name()) {
                self.fault(&join(path, missing.key.name()), "is missing");
            }
        }
        Checked::Section(checked)
    }

    fn map(
        &mut self,
        node: &Node,
        names: Names,
        of: &Kind,
        entries: &[(String, Raw)],
        path: &str,
        classes: Classes,
    ) -> Checked {
        let mut checked: Vec<(String, Checked)> = Vec::new();
        for (name, raw) in entries {
            let place = format!("{path}[{}]", quoted(name));
            if checked.iter().any(|(seen, _)| seen == name) {
                self.fault(&place, "is written twice");
                continue;
            }
            if names == Names::Globs && Kind::Glob.read_text(name).is_none() {
                let cause = Kind::Glob.cause(name).map(|cause| format!(": {cause}")).unwrap_or_default();
                self.fault(&place, format!("is not {}{cause}", Kind::Glob.expected()));
            }
            let value = self.value(node, of, raw, &place, classes);
            checked.push((name.clone(), value));
        }
        Checked::Section(checked)
    }

    fn single(&mut self, kind: &Kind, raw: &Raw, path: &str) -> Checked {
        let Raw::Text(written) = raw else {
            return kind.read(raw).unwrap_or_else(|| self.unfit(kind, raw, path));
        };
        match env::expand(written, self.env) {
            Ok(expanded) => kind.read_text(&expanded).unwrap_or_else(|| self.unfit(kind, raw, path)),
            Err(error) => {
                self.fault(path, error.to_string());
                Checked::Faulty
            }
        }
    }

    /// Reports a value of another kind. Only what the file itself says is quoted, never what the
    /// environment put in its place.
    fn unfit(&mut self, kind: &Kind, raw: &Raw, path: &str) -> Checked {
        let described = match raw {
            Raw::Text(written) if kind.is_quoted() && !written.is_empty() => quoted(written),
            Raw::Integer(number) if kind.is_quoted() => number.to_string(),
            _ => raw.described().to_owned(),
        };
        let hint = match (kind, raw) {
            (
                Kind::Text | Kind::Word | Kind::Path | Kind::UpstreamName | Kind::Choice(_),
                Raw::Integer(_) | Raw::Number(_) | Raw::Bool(_),
            ) => "; put it in quotes",
            (Kind::Duration(..), Raw::Integer(_)) => "; give it a unit",
            (Kind::Rate(_), _) => "; leave the limit out where there is to be none",
            _ => "",
        };
        let cause = match raw {
            // A cause may quote, and what the environment holds is not to be quoted.
            Raw::Text(written) if !env::is_expanded(written) => kind.cause(written),
            _ => None,
        };
        let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
        self.fault(path, format!("{described} is not {}{hint}{cause}", kind.expected()));
        Checked::Faulty
    }

    fn unknown(&mut self, node: &Node, written: &str, path: &str) {
        let globs = node.below.iter().find(|below| matches!(below.key.kind, Kind::Map(Names::Globs, _)));
        let hint = match (globs, node.nearest(written)) {
            // Old files of zot's have their globs one section higher.
            (Some(globs), _) if written.contains(['*', '/']) => {
                format!("; globs stand below {}", globs.key.path)
            }
            (_, Some(known)) => format!("; the nearest known key is {known}"),
            (_, None) => String::new(),
        };
        self.fault(&join(path, &printable(written)), format!("unknown key{hint}"));
    }

    fn fault(&mut self, path: &str, message: impl Into<String>) {
        self.faults.push(Fault::new(path, message));
    }

    fn warn(&mut self, path: &str, message: impl Into<String>) {
        self.warnings.push(Fault::new(path, message));
    }
}

/// Returns whether `raw` asks for something that the server does not do anyway: a section that says
/// `enable: false` asks for nothing, and neither does a value that is what holds without it.
fn asks(node: &Node, raw: &Raw) -> bool {
    match raw {
        Raw::Section(entries) => {
            let off = |(name, value): &(String, Raw)| {
                name.eq_ignore_ascii_case("enable") && Kind::Bool.read(value) == Some(Checked::Bool(false))
            };
            node.named("enable").is_none() || !entries.iter().any(off)
        }
        Raw::List(_) => true,
        single => {
            let kind = &node.key.kind;
            let asked = kind.read(single);
            asked.is_none() || asked != kind.read_text(node.key.default)
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Returns `text` in quotes, on one line and cut where it is long.
fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(QUOTED_MAX).collect();
    let rest = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut:?}{rest}")
}

/// Returns a key as it may stand in a path: as it is, or quoted if it could be taken for more.
fn printable(name: &str) -> String {
    let plain = !name.is_empty()
        && name.len() <= QUOTED_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if plain { name.to_owned() } else { quoted(name) }
}
