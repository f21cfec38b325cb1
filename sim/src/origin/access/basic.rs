//! The `Basic` header: base64 of a name, a colon and a password. Spec: RFC 7617, RFC 4648 section 4.

/// A name and a password as a client sent them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) name: String,
    pub(super) password: String,
}

impl Credentials {
    /// Reads an `Authorization` header, if it is `Basic` and well-formed.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.split_once(' ')?;
        let text = String::from_utf8(decode(rest.trim())?).ok()?;
        let (name, password) = text.split_once(':').filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        Some(Self { name: name.to_owned(), password: password.to_owned() })
    }
}

/// Decodes padded base64.
fn decode(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.as_bytes().chunks(4) {
        let mut number = 0_u32;
        for byte in group {
            number = number << 6 | u32::from(value(*byte)?);
        }
        // A group of n digits holds n - 1 bytes, at its upper end.
        let all = (number << (6 * (4 - group.len()))).to_be_bytes();
        bytes.extend_from_slice(&all[1..group.len()]);
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_rfc_4648_lists() {
        for (text, expect) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
        ] {
            assert_eq!(decode(text).as_deref(), Some(expect.as_bytes()), "{text}");
        }
        for bad in ["Z", "Zg=", "Zg", "Z===", "Zm9!", "====", "Zg==Zg=="] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_password_may_contain_colons() {
        let expect = Credentials { name: "a".into(), password: "b:c".into() };
        assert_eq!(Credentials::parse("bAsIc YTpiOmM="), Some(expect));
        for bad in ["Bearer YTpiOmM=", "Basic", "Basic YWI=", "Basic /w==", ""] {
            assert_eq!(Credentials::parse(bad), None, "{bad}");
        }
    }
}
