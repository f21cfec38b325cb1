//! Whom a client certificate names.
//!
//! Pure: a certificate in, a name out. That the certificate is genuine, of a known authority and in date is
//! for TLS to say, before it gets here; and until when it is, for who keeps the name.

use std::sync::atomic::{AtomicU64, Ordering};

use regex::bytes::{Regex, RegexBuilder};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::options::CertificateOptions;
use crate::clock::Timestamp;

mod subject;

/// The longest name that a certificate may give, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// The longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1_024;
/// The largest program that a pattern may become, in bytes.
const PATTERN_PROGRAM_BYTES_MAX: usize = 256 * 1024;

/// How client certificates name accounts, as configured.
#[derive(Debug, Clone)]
pub struct Certificates {
    options: CertificateOptions,
    /// No other has it: what was read by one is read again by the next.
    id: u64,
}

/// A place in a certificate where a name can stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// The subject's common name; of several, the last, which is the most specific.
    CommonName,
    /// The whole subject.
    Subject,
    /// A mail address among the alternative names.
    Email,
    /// A URI among the alternative names.
    Uri,
    /// A DNS name among the alternative names.
    DnsName,
}

/// A pattern whose first group is the name in a URI. It is found anywhere in it, unless it is anchored.
#[derive(Debug, Clone)]
pub struct UriPattern {
    text: String,
    regex: Regex,
}

/// Why a certificate's name is none that an account can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be read as a certificate, or as one whose names are text.
    #[error("the client certificate is malformed")]
    Malformed,
    /// The name contains a control character.
    #[error("the name in the client certificate contains a control character")]
    Control,
    /// The name has more than [`NAME_BYTES_MAX`] bytes.
    #[error("the name in the client certificate has {len} bytes, more than {NAME_BYTES_MAX}")]
    TooLong {
        /// How many it has.
        len: usize,
    },
}

/// Why a pattern is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriPatternError {
    /// It is longer than [`PATTERN_BYTES_MAX`].
    #[error("it is longer")]
    Long,
    /// It repeats so much that matching would take too much memory.
    #[error("it becomes too large")]
    Large,
    /// It has no group, so that nothing of what it matches is the name.
    #[error("it has no group ( ) for the name")]
    NoGroup,
    /// It cannot be read.
    #[error("{0}")]
    Syntax(String),
}

impl Certificates {
    /// Names accounts as the options say.
    pub fn new(options: CertificateOptions) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { options, id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Returns what no other has, so that a name can be remembered beside what gave it.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Returns the name that a certificate gives, in DER form: that of the first attribute that has one.
    /// `None` if there is none.
    ///
    /// *Errors:* every variant of [`CertificateError`]. A name that is refused is not made up for by the next
    /// attribute: who asked for it would be somebody else.
    pub fn name(&self, leaf: &[u8]) -> Result<Option<String>, CertificateError> {
        let (rest, certificate) = X509Certificate::from_der(leaf).map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateError::Malformed);
        }
        let alternatives = alternatives(&certificate)?;
        for attribute in &self.options.attributes {
            let name = match attribute {
                Attribute::CommonName => subject::common_name(certificate.subject())?,
                Attribute::Subject => subject::whole(certificate.subject())?,
                Attribute::Email => nth(&alternatives, self.options.email_index, |name| match name {
                    GeneralName::RFC822Name(text) => Some(text),
                    _ => None,
                }),
                Attribute::DnsName => nth(&alternatives, self.options.dns_index, |name| match name {
                    GeneralName::DNSName(text) => Some(text),
                    _ => None,
                }),
                Attribute::Uri => self.uri(&alternatives),
            };
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                return accepted(name).map(Some);
            }
        }
        Ok(None)
    }

    /// Returns the last moment at which a certificate, in DER form, is valid; `None` if it cannot be read.
    ///
    /// *Spec:* RFC 5280 section 4.1.2.5: of the second that it names, all counts.
    pub fn valid_until(leaf: &[u8]) -> Option<Timestamp> {
        let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
        let second = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
        Some(Timestamp::from_millis(second.saturating_mul(1000).saturating_add(999)))
    }

    fn uri(&self, alternatives: &[GeneralName<'_>]) -> Option<String> {
        let uri = nth(alternatives, self.options.uri_index, |name| match name {
            GeneralName::URI(text) => Some(text),
            _ => None,
        })?;
        match &self.options.uri_pattern {
            Some(pattern) => pattern.name_in(&uri),
            None => Some(uri),
        }
    }
}

/// Returns the alternative names of the subject.
fn alternatives<'a>(certificate: &X509Certificate<'a>) -> Result<Vec<GeneralName<'a>>, CertificateError> {
    let found = certificate.subject_alternative_name().map_err(|_| CertificateError::Malformed)?;
    let names = found.map(|found| found.value.general_names.clone()).unwrap_or_default();
    // Left out, it would give the ones behind it another number.
    if names.iter().any(|name| matches!(name, GeneralName::Invalid(..))) {
        return Err(CertificateError::Malformed);
    }
    Ok(names)
}

/// Returns the name with that number, from zero, among those of one kind.
fn nth<'a>(
    names: &'a [GeneralName<'a>],
    index: usize,
    of_kind: impl Fn(&'a GeneralName<'a>) -> Option<&'a str>,
) -> Option<String> {
    names.iter().filter_map(of_kind).nth(index).map(str::to_owned)
}

/// Lets a name pass that an account can have.
fn accepted(name: String) -> Result<String, CertificateError> {
    if name.len() > NAME_BYTES_MAX {
        return Err(CertificateError::TooLong { len: name.len() });
    }
    // A log line, a header or somebody's eye would take it for another name.
    if name.chars().any(char::is_control) {
        return Err(CertificateError::Control);
    }
    Ok(name)
}

impl Attribute {
    /// Returns the attribute of that name, in any case, or of its short name.
    pub fn parse(word: &str) -> Option<Self> {
        let names = [
            (Self::CommonName, ["CommonName", "CN"]),
            (Self::Subject, ["Subject", "DN"]),
            (Self::Email, ["Email", "rfc822name"]),
            (Self::Uri, ["URI", "URL"]),
            (Self::DnsName, ["DNSName", "DNS"]),
        ];
        let found = names.into_iter().find(|(_, names)| names.iter().any(|it| it.eq_ignore_ascii_case(word)));
        found.map(|(attribute, _)| attribute)
    }
}

impl UriPattern {
    /// Reads a pattern. As in Go, and so in zot, its classes are those of ASCII, and it cannot look around.
    ///
    /// *Errors:* [`UriPatternError`], on one line.
    pub fn parse(text: &str) -> Result<Self, UriPatternError> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(UriPatternError::Long);
        }
        let built = RegexBuilder::new(text).unicode(false).size_limit(PATTERN_PROGRAM_BYTES_MAX).build();
        let regex = built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => UriPatternError::Large,
            error => {
                // It shows the pattern and points into it, before it says on the last line what is wrong.
                let text = error.to_string();
                let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
                UriPatternError::Syntax(last.trim().trim_start_matches("error: ").to_owned())
            }
        })?;
        // The whole match counts as a group too.
        if regex.captures_len() < 2 {
            return Err(UriPatternError::NoGroup);
        }
        Ok(Self { text: text.to_owned(), regex })
    }

    fn name_in(&self, uri: &str) -> Option<String> {
        let group = self.regex.captures(uri.as_bytes())?.get(1)?;
        std::str::from_utf8(group.as_bytes()).ok().map(str::to_owned)
    }
}

impl PartialEq for UriPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for UriPattern {}

#[cfg(test)]
mod tests;
