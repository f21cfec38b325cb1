//! The filter that finds a user.

/// Returns the filter of the entries whose attribute has exactly that value, and which pass a further
/// filter if there is one.
///
/// Whatever the value is, it stands in the filter as a value and as nothing else: each byte of it that
/// is not plainly harmless is written as a backslash and two hexadecimal digits, which a filter allows
/// for every byte. The attribute and the further filter are the operator's, and are taken as they are.
///
/// *Spec:* RFC 4515 section 3.
pub fn user_filter(attribute: &str, value: &[u8], further: Option<&str>) -> String {
    let mut found = format!("({attribute}=");
    for byte in value {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'@') {
            found.push(char::from(*byte));
        } else {
            found.push('\\');
            for digit in [byte >> 4, byte & 0xf] {
                found.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
    }
    found.push(')');
    match further {
        Some(further) => format!("(&{found}{further})"),
        None => found,
    }
}

#[cfg(test)]
mod tests {
    //! Goal: no name can say anything in a filter but itself. Method: a table of the known tricks, and a
    //! property over all bytes, judged by another parser of filters.

    use ldap3::asn1::{ASNTag as _, PL, StructureTag};
    use proptest::prelude::*;

    use super::user_filter;

    /// Numbers of the choices of a filter, by RFC 4511 section 4.5.1.
    const AND: u64 = 0;
    const EQUALITY: u64 = 3;

    fn parsed(filter: &str) -> StructureTag {
        let tag = ldap3::parse_filter(filter).unwrap_or_else(|()| panic!("{filter} is a filter"));
        tag.into_structure()
    }

    fn constructed(tag: StructureTag, id: u64) -> Vec<StructureTag> {
        assert_eq!(tag.id, id);
        match tag.payload {
            PL::C(parts) => parts,
            PL::P(_) => panic!("{id} has parts"),
        }
    }

    fn text(tag: &StructureTag) -> &[u8] {
        match &tag.payload {
            PL::P(bytes) => bytes,
            PL::C(_) => panic!("it has no parts"),
        }
    }

    fn check(value: &[u8]) {
        let equality = parsed(&user_filter("uid", value, None));
        let parts = constructed(equality.clone(), EQUALITY);
        assert_eq!(parts.iter().map(text).collect::<Vec<_>>(), [b"uid", value]);
        let further = "(memberOf=cn=a,dc=b)";
        let both = constructed(parsed(&user_filter("uid", value, Some(further))), AND);
        assert_eq!(both, [equality, parsed(further)]);
    }

    #[test]
    fn known_tricks_are_values() {
        for value in [
            "",
            "alice",
            "*",
            "a*",
            "*)(uid=*",
            "admin)(|(uid=*",
            "x)(objectClass=*)",
            "\\2a",
            "\\",
            "a\0b",
            " a ",
            "a=b",
            "größe",
            "a)(&",
            "~=a",
            ":=",
            ">=a",
        ] {
            check(value.as_bytes());
        }
        assert_eq!(user_filter("uid", b"a*(b", None), "(uid=a\\2a\\28b)");
        assert_eq!(user_filter("uid", b"a", Some("(b=c)")), "(&(uid=a)(b=c))");
    }

    proptest! {
        #[test]
        fn every_value_is_a_value(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            check(&value);
        }

        #[test]
        fn every_value_of_the_filter_alphabet_is_a_value(value in "[()*&|!=\\\\~<>:,0-9a-f \0]{0,40}") {
            check(value.as_bytes());
        }
    }
}
