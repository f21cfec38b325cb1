//! Groups from the values of an attribute.

use std::collections::BTreeSet;

/// The most groups of a user that are kept.
const GROUPS_MAX: usize = 4_096;

/// Returns the groups that the values of an attribute name: each value as it is, and of one that is a
/// distinguished name which begins with a common name, that name too.
///
/// zot has the whole values alone, so policies that were written for it go on to hold; the short name
/// is what one would write.
///
/// *Shape:* each once, in order.
pub(super) fn of_values(values: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut groups = BTreeSet::new();
    for value in values.into_iter().take(GROUPS_MAX) {
        groups.extend(common_name(&value));
        groups.insert(value);
    }
    groups.into_iter().filter(|group| !group.is_empty()).collect()
}

/// Returns the common name with which a distinguished name begins.
///
/// A first component of several parts names no group by its common name alone, and a value in
/// hexadecimal is none that somebody would write: of such there is none.
///
/// *Spec:* RFC 4514 section 3.
fn common_name(dn: &str) -> Option<String> {
    let (kind, rest) = dn.split_once('=')?;
    if !kind.trim().eq_ignore_ascii_case("cn") {
        return None;
    }
    let (value, behind) = attribute_value(rest.trim_start_matches(' '))?;
    // A value alone is no distinguished name: a group may be called `cn=x`.
    let is_dn = behind.starts_with([',', ';']) && behind.contains('=');
    (is_dn && !value.is_empty()).then_some(value)
}

/// Reads a value to the end of its component, and returns what is behind it.
fn attribute_value(text: &str) -> Option<(String, &str)> {
    let (mut value, mut kept) = (Vec::new(), 0);
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b',' | b';' => break,
            b'+' | b'"' | b'<' | b'>' => return None,
            b'#' if at == 0 => return None,
            b'\\' => {
                let pair = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
                let hex = pair.filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
                if let Some(octet) = hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
                    value.push(octet);
                    at += 3;
                } else {
                    value.push(*bytes.get(at + 1)?);
                    at += 2;
                }
                kept = value.len();
                continue;
            }
            byte => {
                value.push(*byte);
                if *byte != b' ' {
                    kept = value.len();
                }
            }
        }
        at += 1;
    }
    // Spaces at the end are the writing's, unless they are escaped.
    value.truncate(kept);
    Some((String::from_utf8(value).ok()?, &text[at..]))
}

#[cfg(test)]
mod tests {
    //! Goal: the groups that a policy would name, and no name that nobody gave. Method: a table, and
    //! that nothing panics.

    use proptest::prelude::*;

    use super::{common_name, of_values};

    #[test]
    fn common_names_are_read() {
        let check = |dn: &str, expect: Option<&str>| assert_eq!(common_name(dn).as_deref(), expect, "{dn}");
        check("cn=builders,ou=groups,dc=example,dc=org", Some("builders"));
        check("CN=Builders,DC=example", Some("Builders"));
        check("cn = a b , dc=x", Some("a b"));
        check("cn=a\\2cb,dc=x", Some("a,b"));
        check("cn=a\\,b\\\\,dc=x", Some("a,b\\"));
        check("cn=a\\ ,dc=x", Some("a "));
        check("cn=gr\\c3\\b6\\c3\\9fe,dc=x", Some("größe"));
        check("cn=größe,dc=x", Some("größe"));
        check("cn=a;dc=x", Some("a"));
        check("cn=a", None);
        check("cn=a,b", None);
        check("cn=,dc=x", None);
        check("cn=a+ou=b,dc=x", None);
        check("cn=#0403,dc=x", None);
        check("cn=\\ff,dc=x", None);
        check("cn=a\\", None);
        check("ou=a,cn=b,dc=x", None);
        check("builders", None);
        check("", None);
    }

    #[test]
    fn groups_are_whole_values_and_common_names() {
        let values = ["cn=b,dc=x", "a", "", "a", "cn=b,dc=y"].map(str::to_owned);
        assert_eq!(of_values(values), ["a", "b", "cn=b,dc=x", "cn=b,dc=y"]);
    }

    proptest! {
        #[test]
        fn no_value_panics(value in "(cn=)?[a-z\\\\,;=+# \"<>é0-9]{0,30}") {
            let groups = of_values([value.clone()]);
            prop_assert!(value.is_empty() || groups.contains(&value));
        }
    }
}
