//! The subject of a certificate as text.
//!
//! The whole of it is written as RFC 4514 writes names, and in the order in which Go, and so zot, puts the usual
//! attributes whatever the certificate's own is, so that the names in a policy of zot's stay what they are.

use std::fmt::Write as _;

use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::CertificateError;

/// The usual attributes, as they follow each other in the text: their number below 2.5.4 and their name.
const USUAL: [(u8, &str); 9] = [
    (5, "SERIALNUMBER"),
    (3, "CN"),
    (17, "POSTALCODE"),
    (9, "STREET"),
    (8, "ST"),
    (7, "L"),
    (11, "OU"),
    (10, "O"),
    (6, "C"),
];

/// Attributes of which a subject has one; of several the last counts.
const SINGLE: [u8; 2] = [5, 3];

/// The arc 2.5.4, as its identifiers begin.
const ARC: [u8; 2] = [0x55, 4];

/// Returns the common name, if there is one.
pub(super) fn common_name(name: &X509Name<'_>) -> Result<Option<String>, CertificateError> {
    let last = name.iter_attributes().filter(|attribute| usual(attribute) == Some(3)).last();
    last.map(|attribute| text(attribute).map(str::to_owned)).transpose()
}

/// Returns the whole subject, unless it is empty.
pub(super) fn whole(name: &X509Name<'_>) -> Result<Option<String>, CertificateError> {
    let attributes: Vec<_> = name.iter_attributes().collect();
    let mut parts = Vec::new();
    for (number, label) in USUAL {
        let mut values: Vec<_> =
            attributes.iter().filter(|attribute| usual(attribute) == Some(number)).collect();
        if SINGLE.contains(&number) {
            values.drain(..values.len().saturating_sub(1));
        }
        let mut part = String::new();
        for value in values {
            let separator = if part.is_empty() { "" } else { "+" };
            part.push_str(separator);
            part.push_str(label);
            part.push('=');
            escape(text(value)?, &mut part);
        }
        if !part.is_empty() {
            parts.push(part);
        }
    }
    let is_unusual = |attribute: &&&AttributeTypeAndValue<'_>| {
        !usual(attribute).is_some_and(|number| USUAL.iter().any(|(usual, _)| *usual == number))
    };
    parts.extend(attributes.iter().filter(is_unusual).rev().map(|attribute| unnamed(attribute)));
    Ok((!parts.is_empty()).then(|| parts.join(",")))
}

/// Returns the number of an attribute below 2.5.4, if it stands there.
fn usual(attribute: &AttributeTypeAndValue<'_>) -> Option<u8> {
    match attribute.attr_type().as_bytes() {
        [first, second, number] if [*first, *second] == ARC => Some(*number),
        _ => None,
    }
}

fn text<'a>(attribute: &AttributeTypeAndValue<'a>) -> Result<&'a str, CertificateError> {
    attribute.as_str().map_err(|_| CertificateError::Malformed)
}

/// Writes a value so that nothing in it looks like the end of it.
fn escape(value: &str, out: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (at, character) in value.chars().enumerate() {
        let is_special = match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            ' ' => at == 0 || at == last,
            '#' => at == 0,
            _ => false,
        };
        if is_special {
            out.push('\\');
        }
        out.push(character);
    }
}

/// Writes an attribute without a name as RFC 4514 section 2.4 does: by its number and its encoding.
fn unnamed(attribute: &AttributeTypeAndValue<'_>) -> String {
    let value = attribute.attr_value();
    let mut out = format!("{}=#", attribute.attr_type().to_id_string());
    let length = value.data.len();
    // Writing to a string cannot fail.
    let _ = write!(out, "{:02x}", value.tag().0);
    let _ = match length {
        0..0x80 => write!(out, "{length:02x}"),
        0x80..0x100 => write!(out, "81{length:02x}"),
        _ => write!(out, "82{length:04x}"),
    };
    for byte in value.data {
        let _ = write!(out, "{byte:02x}");
    }
    out
}
