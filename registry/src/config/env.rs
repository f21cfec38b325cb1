//! The environment: the only reader of environment variables.
//!
//! A string of a configuration may say `${env:NAME}`, so that secrets and addresses need not stand
//! in the file. What a variable holds goes into the options and never into a fault.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::upstream::options::Proxies;

const OPEN: &str = "${env:";

/// Why a string with `${env:NAME}` cannot be completed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum EnvError {
    /// There is no closing brace.
    #[error("`${{env:` is not closed by `}}`")]
    Open,
    /// What stands in the braces cannot be the name of a variable.
    #[error("{name:?} is not the name of an environment variable")]
    Name {
        /// What stands there.
        name: String,
    },
    /// The process was given no such variable.
    #[error("the environment variable {name} is not set, or is not UTF-8")]
    Unset {
        /// Its name.
        name: String,
    },
}

/// Returns what the process's environment says of `name`.
pub(super) fn process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Returns the proxies that the usual variables name. `HTTP_PROXY` in upper case is not read: a web server
/// that starts programs sets it to what its client says.
pub(super) fn proxies(lookup: &dyn Fn(&str) -> Option<String>) -> Proxies {
    let first =
        |names: &[&str]| names.iter().find_map(|name| lookup(name)).filter(|value| !value.trim().is_empty());
    Proxies {
        http: first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
        https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
        none: first(&["no_proxy", "NO_PROXY"]),
    }
}

/// Says whether a program of this name can be started.
pub(super) fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Returns a path from the root on; as it is where there is no working directory.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Says whether a text is completed with what the environment says.
pub(super) fn is_expanded(text: &str) -> bool {
    text.contains(OPEN)
}

/// Returns `text` with every `${env:NAME}` replaced by what `lookup` says of it.
///
/// What a variable holds is taken as it is: it is not searched for further names.
///
/// *Errors*: the first name that is open, impossible or unset.
pub(super) fn expand<'text>(
    text: &'text str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Cow<'text, str>, EnvError> {
    if !is_expanded(text) {
        return Ok(Cow::Borrowed(text));
    }
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(OPEN) {
        expanded.push_str(&rest[..start]);
        let after = &rest[start + OPEN.len()..];
        let end = after.find('}').ok_or(EnvError::Open)?;
        let name = &after[..end];
        if !is_name(name) {
            return Err(EnvError::Name { name: name.to_owned() });
        }
        expanded.push_str(&lookup(name).ok_or_else(|| EnvError::Unset { name: name.to_owned() })?);
        rest = &after[end + 1..];
    }
    expanded.push_str(rest);
    Ok(Cow::Owned(expanded))
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::{EnvError, expand};

    #[test]
    fn replaces_names_by_values() {
        let lookup = |name: &str| match name {
            "HOST" => Some("hub.example".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${env:HOST}".to_owned()),
            _ => None,
        };
        let check = |text: &str, expect: Result<&str, EnvError>| {
            let expect = expect.map(std::borrow::Cow::Borrowed);
            assert_eq!(expand(text, &lookup), expect, "{text}");
        };
        check("", Ok(""));
        check("plain $ {env:HOST} ${HOST}", Ok("plain $ {env:HOST} ${HOST}"));
        check("${env:HOST}", Ok("hub.example"));
        check("https://${env:HOST}:443/${env:EMPTY}x", Ok("https://hub.example:443/x"));
        check("${env:NESTED}", Ok("${env:HOST}"));
        check("a${env:HOST", Err(EnvError::Open));
        check("${env:}", Err(EnvError::Name { name: String::new() }));
        check("${env:1A}", Err(EnvError::Name { name: "1A".to_owned() }));
        check("${env:A-B}", Err(EnvError::Name { name: "A-B".to_owned() }));
        check("${env:NONE}", Err(EnvError::Unset { name: "NONE".to_owned() }));
    }
}
