//! What a key may hold, and the reading of single values.

use std::net::IpAddr;
use std::time::Duration;

use globset::{GlobBuilder, GlobSetBuilder};

use super::checked::Checked;
use super::origin::Origin;
use super::raw::Raw;
use super::{duration, size};
use crate::auth::options::{URI_PATTERN_BYTES_MAX, UriPattern};
use crate::http::options::Network;
use crate::store::options::Window;
use crate::upstream::options::pattern::{self, PATTERN_BYTES_MAX};

/// The longest glob, in bytes: names have at most 255, and alternatives add to that.
const GLOB_BYTES_MAX: usize = 1_024;
/// The longest name of an upstream, in bytes: it becomes the name of a folder, which the file
/// systems cut at 255.
const NAME_BYTES_MAX: usize = 128;

/// What a key may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A section: the keys below it in the table and no others. Nothing is an empty one.
    Section,
    /// A section that may hold other keys than those in the table.
    Open,
    /// A section of the same shape as the one at that path.
    Like(&'static str),
    /// A section whose keys are the operator's, each holding the same.
    Map(Names, &'static Kind),
    /// A list, each item of one kind.
    List(&'static Kind),
    /// A list with at least one item.
    Filled(&'static Kind),
    /// Any text.
    Text,
    /// Text that is not empty.
    Word,
    /// A path of the file system.
    Path,
    /// True or false.
    Bool,
    /// A whole number between two, both included.
    Integer(u64, u64),
    /// A number of requests a second, from one.
    Rate(u64),
    /// A number of bytes between two, both included.
    Size(u64, u64),
    /// A share of a whole, from nothing to all.
    Percent,
    /// A duration between two, both included.
    Duration(Duration, Duration),
    /// A duration up to one, or a whole number of seconds.
    Delay(Duration),
    /// A TCP port.
    Port,
    /// An IP address.
    Address,
    /// A network of IP addresses.
    Network,
    /// Scheme, host and port of another registry.
    Origin,
    /// A url over HTTP, with a path.
    Url,
    /// A glob over repository names.
    Glob,
    /// A regular expression over tags.
    Regex,
    /// A regular expression over URIs whose first group is a name.
    UriPattern,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A path of this server, outside its API.
    Endpoint,
    /// Text that may stand between quotes in an HTTP header.
    Quotable,
    /// The name of an upstream.
    UpstreamName,
    /// The name of a docker credential helper.
    Helper,
    /// A part of every day, in UTC.
    Hours,
}

/// What the operator's keys of a [`Kind::Map`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Globs over repository names.
    Globs,
    /// Any names.
    Any,
}

impl Kind {
    /// Returns what a single value of this kind is, as the rest of "… is not".
    pub(super) fn expected(&self) -> String {
        match self {
            Self::Section | Self::Open | Self::Like(_) | Self::Map(..) => "a section".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Filled(_) => "a list with at least one item".to_owned(),
            Self::Text => "a string".to_owned(),
            Self::Word => "a non-empty string".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Integer(least, most) => format!("a whole number from {least} to {most}"),
            Self::Rate(most) => format!("a whole number of requests a second from 1 to {most}"),
            Self::Size(least, most) => {
                format!(
                    "a size such as 65536 or \"8MiB\", from {} to {}",
                    size::render(*least),
                    size::render(*most)
                )
            }
            Self::Duration(least, most) => format!(
                "a duration such as \"300ms\" or \"1h30m\", from {} to {}",
                duration::render(*least),
                duration::render(*most)
            ),
            Self::Delay(most) => {
                format!(
                    "a number of seconds or a duration such as \"300ms\", up to {}",
                    duration::render(*most)
                )
            }
            Self::Percent => "a share such as \"5%\", from 0% to 100%".to_owned(),
            Self::Port => "a port from 0 to 65535".to_owned(),
            Self::Address => "an IP address".to_owned(),
            Self::Network => {
                "a network such as \"10.0.0.0/8\" without a bit behind its prefix, or one IP address"
                    .to_owned()
            }
            Self::Origin => "http(s)://host[:port]".to_owned(),
            Self::Url => "http(s)://host[:port]/path, without an account or a fragment".to_owned(),
            Self::Regex => format!("a regular expression over tags of at most {PATTERN_BYTES_MAX} bytes"),
            Self::UriPattern => {
                format!("a regular expression with a group ( ) of at most {URI_PATTERN_BYTES_MAX} bytes")
            }
            Self::Glob => format!("a glob over repository names of at most {GLOB_BYTES_MAX} bytes"),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Endpoint => {
                "a path such as \"/metrics\" of letters, digits and . _ - /, not of the API or the probes"
                    .to_owned()
            }
            Self::Quotable => "printable ASCII without \" and \\".to_owned(),
            Self::Hours => "a part of the day in UTC such as \"01:00-05:30\"".to_owned(),
            Self::Helper => {
                "oauth2, or the name of a program docker-credential-NAME: a-z, 0-9 and -".to_owned()
            }
            Self::UpstreamName => format!(
                "a name of letters, digits and . _ : - that starts with neither . nor _ and has at most {NAME_BYTES_MAX} bytes"
            ),
        }
    }

    /// Returns the least and the most of a limit, for the documentation.
    pub(super) fn range(&self) -> String {
        match self {
            Self::Integer(least, most) => format!("{least} to {most}"),
            Self::Percent => "0% to 100%".to_owned(),
            Self::Rate(most) => format!("1 to {most}"),
            Self::Size(least, most) => format!("{} to {}", size::render(*least), size::render(*most)),
            Self::Duration(least, most) => {
                format!("{} to {}", duration::render(*least), duration::render(*most))
            }
            _ => String::new(),
        }
    }

    /// Returns the name of this kind, for the documentation.
    pub(super) fn label(&self) -> String {
        let name = match self {
            Self::Section | Self::Open => "section",
            Self::Like(place) => return format!("as `{place}`"),
            Self::Map(Names::Globs, of) => return format!("{} by glob", of.label()),
            Self::Map(Names::Any, of) => return format!("{} by name", of.label()),
            Self::List(Self::Section | Self::Open) => "list of sections",
            Self::List(of) | Self::Filled(of) => return format!("list of {}", of.label()),
            Self::Text | Self::Word | Self::Quotable => "string",
            Self::Path => "path",
            Self::Bool => "true, false",
            Self::Integer(..) | Self::Rate(_) => "number",
            Self::Size(..) => "size",
            Self::Duration(..) => "duration",
            Self::Delay(_) => "seconds or duration",
            Self::Percent => "share",
            Self::Port => "port",
            Self::Address => "IP address",
            Self::Network => "IP network",
            Self::Origin | Self::Url => "url",
            Self::Glob => "glob",
            Self::Regex | Self::UriPattern => "regular expression",
            Self::Choice(words) => return words.join(", "),
            Self::Endpoint => "path of a url",
            Self::UpstreamName | Self::Helper => "name",
            Self::Hours => "hours",
        };
        name.to_owned()
    }

    /// Returns the value that a string says, or none if it says none of this kind.
    pub(super) fn read_text(&self, text: &str) -> Option<Checked> {
        let owned = |fits: bool| fits.then(|| Checked::Text(text.to_owned()));
        match self {
            Self::Section | Self::Open | Self::Like(_) | Self::Map(..) | Self::List(_) | Self::Filled(_) => {
                None
            }
            Self::Text => owned(true),
            Self::Word => owned(!text.is_empty()),
            Self::Path => owned(!text.is_empty() && !text.contains('\0')),
            Self::Bool => text.parse().ok().map(Checked::Bool),
            Self::Integer(..) | Self::Rate(_) | Self::Port => self.read_number(digits(text)?),
            Self::Size(..) => self.read_number(size::parse(text)?),
            Self::Percent => self.read_number(digits(text.strip_suffix('%')?)?),
            Self::Duration(least, most) => {
                duration::parse(text).filter(|value| value >= least && value <= most).map(Checked::Duration)
            }
            Self::Delay(most) => match digits(text) {
                Some(seconds) => self.read_number(seconds),
                None => duration::parse(text).filter(|value| value <= most).map(Checked::Duration),
            },
            Self::Address => text.parse::<IpAddr>().ok().map(|address| Checked::Text(address.to_string())),
            Self::Network => Network::parse(text).map(|network| Checked::Text(network.to_string())),
            Self::Origin => Origin::parse(text).map(|origin| Checked::Text(origin.url())),
            Self::Url => owned(is_url(text)),
            Self::Glob => owned(glob_fault(text).is_none()),
            Self::Regex => owned(pattern::compile(text).is_ok()),
            Self::UriPattern => owned(UriPattern::parse(text).is_ok()),
            Self::Choice(words) => words
                .iter()
                .find(|word| word.eq_ignore_ascii_case(text))
                .map(|word| Checked::Text((*word).to_owned())),
            Self::Endpoint => owned(is_endpoint(text)),
            Self::Quotable => {
                owned(text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')))
            }
            Self::UpstreamName => owned(is_upstream_name(text)),
            Self::Helper => owned(is_helper(text)),
            Self::Hours => owned(Window::parse(text).is_some()),
        }
    }

    /// Returns the value that a single value of the file says, or none if it says none of this kind.
    pub(super) fn read(&self, raw: &Raw) -> Option<Checked> {
        match raw {
            Raw::Bool(value) => (*self == Self::Bool).then_some(Checked::Bool(*value)),
            // A share without its sign might be meant as another unit.
            Raw::Integer(_) if *self == Self::Percent => None,
            Raw::Integer(value) => self.read_number(*value),
            Raw::Text(text) => self.read_text(text),
            Raw::Nothing | Raw::Number(_) | Raw::List(_) | Raw::Section(_) => None,
        }
    }

    /// Returns whether a fault may quote what was written: what is meant to be a word of a known
    /// set gives nothing away, where free text might be a secret in the wrong place.
    pub(super) fn is_quoted(&self) -> bool {
        !matches!(self, Self::Text | Self::Word | Self::Origin | Self::Url)
    }

    /// Returns why a text is none of this kind, where there is more to say than what it should be.
    pub(super) fn cause(&self, text: &str) -> Option<String> {
        match self {
            Self::Glob => glob_fault(text),
            Self::Regex => pattern::compile(text).err().map(|error| error.to_string()),
            Self::UriPattern => UriPattern::parse(text).err().map(|error| error.to_string()),
            _ => None,
        }
    }

    fn read_number(&self, number: u64) -> Option<Checked> {
        match self {
            Self::Integer(least, most) | Self::Size(least, most) => {
                (*least..=*most).contains(&number).then_some(Checked::Integer(number))
            }
            Self::Percent => (number <= 100).then_some(Checked::Integer(number)),
            Self::Rate(most) => (1..=*most).contains(&number).then_some(Checked::Integer(number)),
            Self::Port => u16::try_from(number).ok().map(|port| Checked::Integer(port.into())),
            Self::Delay(most) => {
                let delay = Duration::from_secs(number);
                (delay <= *most).then_some(Checked::Duration(delay))
            }
            // Zero is the one duration that needs no unit.
            Self::Duration(least, _) => {
                (number == 0 && least.is_zero()).then_some(Checked::Duration(Duration::ZERO))
            }
            _ => None,
        }
    }
}

/// Says whether a text names a credential helper: it becomes part of a program's name.
fn is_helper(text: &str) -> bool {
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    is_plain && !text.is_empty() && text.len() <= NAME_BYTES_MAX
}

/// Returns whether `text` can be the name of an upstream, and with it of a folder.
pub(super) fn is_upstream_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && !text.starts_with(['.', '_'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-'))
}

fn digits(text: &str) -> Option<u64> {
    // `u64::from_str` would also take a plus.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Says whether a text is a url with a path: an origin, and what stands behind it.
fn is_url(text: &str) -> bool {
    let Some(host) = text.find("://").map(|at| at + "://".len()) else { return false };
    let path = text[host..].find(['/', '?']).map_or(text.len(), |at| host + at);
    Origin::parse(&text[..path]).is_some()
        && text[path..].bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

/// Returns why a text is no glob; nothing more is said of one that is empty or too long.
fn glob_fault(text: &str) -> Option<String> {
    // A slash in front is dropped from a prefix, and must leave something to match.
    if matches!(text, "" | "/") {
        return Some("it matches nothing".to_owned());
    }
    if text.len() > GLOB_BYTES_MAX {
        return Some("it is longer".to_owned());
    }
    let built = GlobBuilder::new(text).literal_separator(true).build();
    // A `GlobSet` reports a pattern that is too large, where `Glob::compile_matcher` panics.
    let built = built.and_then(|glob| GlobSetBuilder::new().add(glob).build());
    built.err().map(|error| error.kind().to_string().replace(['\n', '\r'], " "))
}

fn is_endpoint(path: &str) -> bool {
    let taken = ["/livez", "/readyz", "/startupz", "/v2"];
    let below =
        |taken: &&str| path.strip_prefix(*taken).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    path.len() > 1
        && path.starts_with('/')
        && !path.contains("//")
        && !path.ends_with('/')
        && !taken.iter().any(below)
        && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/'))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Kind, PATTERN_BYTES_MAX};
    use crate::config::checked::Checked;
    use crate::config::raw::Raw;

    fn text(kind: Kind, written: &str) -> Option<Checked> {
        kind.read(&Raw::Text(written.to_owned()))
    }

    #[test]
    fn numbers_have_ranges() {
        let kind = Kind::Integer(1, 10);
        for (number, fits) in [(0, false), (1, true), (10, true), (11, false)] {
            assert_eq!(kind.read(&Raw::Integer(number)).is_some(), fits, "{number}");
            assert_eq!(text(kind, &number.to_string()).is_some(), fits, "{number:?}");
        }
        assert_eq!(text(kind, "+5"), None);
        assert_eq!(text(kind, ""), None);
        for (number, fits) in [(0, false), (1, true), (5, true), (6, false)] {
            assert_eq!(Kind::Rate(5).read(&Raw::Integer(number)).is_some(), fits, "{number}");
        }
        assert_eq!(text(Kind::Port, "65535"), Some(Checked::Integer(65_535)));
        assert_eq!(text(Kind::Port, "65536"), None);
        assert_eq!(text(Kind::Size(0, 1 << 20), "1MiB"), Some(Checked::Integer(1 << 20)));
        assert_eq!(text(Kind::Size(0, 1 << 20), "2MiB"), None);
    }

    #[test]
    fn durations_need_a_unit_unless_they_are_delays() {
        let most = Duration::from_secs(10);
        let kind = Kind::Duration(Duration::ZERO, most);
        assert_eq!(kind.read(&Raw::Integer(0)), Some(Checked::Duration(Duration::ZERO)));
        assert_eq!(kind.read(&Raw::Integer(5)), None);
        assert_eq!(text(kind, "5s"), Some(Checked::Duration(Duration::from_secs(5))));
        assert_eq!(text(kind, "11s"), None);
        assert_eq!(Kind::Duration(Duration::from_secs(1), most).read(&Raw::Integer(0)), None);
        assert_eq!(Kind::Delay(most).read(&Raw::Integer(5)), text(Kind::Delay(most), "5s"));
        assert_eq!(text(Kind::Delay(most), "5"), text(Kind::Delay(most), "5s"));
        assert_eq!(Kind::Delay(most).read(&Raw::Integer(11)), None);
        assert_eq!(Kind::Delay(most).read(&Raw::Integer(u64::MAX)), None);
    }

    #[test]
    fn words_are_of_their_kind() {
        let check = |kind: Kind, good: &[&str], bad: &[&str]| {
            for written in good {
                assert!(text(kind, written).is_some(), "{written:?} is {}", kind.expected());
            }
            for written in bad {
                assert!(text(kind, written).is_none(), "{written:?} is not {}", kind.expected());
            }
        };
        check(Kind::Bool, &["true", "false"], &["True", "yes", "1", ""]);
        check(
            Kind::Address,
            &["0.0.0.0", "::", "127.0.0.1"],
            &["", "localhost", "[::]", "1.2.3", "0.0.0.0:5000"],
        );
        check(
            Kind::Endpoint,
            &["/metrics", "/a/b.c", "/v2x"],
            &["", "/", "metrics", "/v2", "/v2/x", "/a//b", "/a/", "/livez", "/{x}", "/a?b"],
        );
        check(Kind::Quotable, &["", "My registry"], &["a\"b", "a\\b", "a\nb", "größe"]);
        check(Kind::Hours, &["01:00-05:30", "23:00-00:30"], &["", "01:00", "1-2", "24:00-01:00"]);
        check(Kind::Helper, &["ecr", "gcp", "oauth2", "osxkeychain", "my-own"], &["", "a/b", "A", "a b"]);
        check(
            Kind::Url,
            &["https://a/token", "http://a:80", "https://a?x=y", "HTTPS://[::1]:1/a/b?c=%20"],
            &[
                "",
                "a/token",
                "https://",
                "https:///x",
                "https://u:p@a/x",
                "https://a/x#y",
                "https://a/ü",
                "ftp://a/",
            ],
        );
        check(
            Kind::Regex,
            &["^v1\\..*$", "(?i)rc", "a|b", "\\d+", ".*"],
            &["", "(", "[z-a]", "a{999999999}", "(?=x)", "(?:a{1000}){1000}"],
        );
        assert_eq!(text(Kind::Regex, &"a".repeat(PATTERN_BYTES_MAX + 1)), None);
        check(
            Kind::UpstreamName,
            &["gcr.io", "a_b:5000", "-a", ":1"],
            &["", ".a", "_a", "a/b", "a b", "größe"],
        );
        check(Kind::Path, &["/", "x"], &["", "a\0b"]);
        check(Kind::Glob, &["**", "a/*", "{a,b}/**", "[a-z]"], &["", "/", "[", "{a", "a/[z-a]"]);
        check(Kind::Choice(&["read", "create"]), &["read", "READ"], &["", "write", "read "]);
        assert_eq!(text(Kind::UpstreamName, &"a".repeat(129)), None);
        assert_eq!(text(Kind::Glob, &"a".repeat(1_025)), None);
    }
}
