//! The hashes of `crypt(3)` over SHA-256 and SHA-512, which `htpasswd -2` and `-5` make.
//!
//! The computing is the crate's; here is which texts are taken, and what one costs.
//!
//! *Spec:* U. Drepper, Unix crypt using SHA-256 and SHA-512.

use sha_crypt::{Params, ShaCrypt};

/// What such hashes begin with.
pub(super) const PREFIXES: [&str; 2] = ["$5$", "$6$"];

/// The longest password that is hashed, in bytes; a longer one matches nothing.
///
/// The work grows with the square of its length, and a form may be long.
pub(super) const PASSWORD_BYTES_MAX: usize = 1024;

/// What the usual number of rounds counts as: it takes about as long as bcrypt at this cost.
const COST_USUAL: u32 = 6;

const SALT_CHARS_MAX: usize = 16;
const ROUNDS: &str = "rounds=";

/// Returns what verifying such a hash costs, as a cost of bcrypt; `None` when the text is no such hash.
///
/// *Shape:* `$5$` or `$6$`, perhaps `rounds=<number>$`, a salt of at most 16 characters, `$`, and 43 or 86
/// characters of `./0-9A-Za-z`.
pub(super) fn cost(text: &str) -> Option<u32> {
    let hash_chars = if text.starts_with(PREFIXES[0]) { 43 } else { 86 };
    let rest = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix))?;
    let (rounds, rest) = match rest.strip_prefix(ROUNDS) {
        Some(rest) => {
            let (rounds, rest) = rest.split_once('$')?;
            (rounds.parse::<u32>().ok().filter(|rounds| Params::new(*rounds).is_ok())?, rest)
        }
        None => (Params::RECOMMENDED_ROUNDS, rest),
    };
    let (salt, hash) = rest.split_once('$')?;
    let is_char = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    let is_salt = !salt.is_empty() && salt.len() <= SALT_CHARS_MAX && salt.bytes().all(is_char);
    let is_hash = hash.len() == hash_chars && hash.bytes().all(is_char);
    let more = rounds.div_ceil(Params::RECOMMENDED_ROUNDS).next_power_of_two().ilog2();
    (is_salt && is_hash).then_some(COST_USUAL + more)
}

/// Tells whether a password is the one hashed; a text that is no such hash hashes none.
pub(super) fn verify(password: &[u8], text: &str) -> bool {
    use sha_crypt::PasswordVerifier as _;
    password.len() <= PASSWORD_BYTES_MAX && ShaCrypt::default().verify_password(password, text).is_ok()
}

/// Makes a hash of the same work as another one; its verdict means nothing.
pub(super) fn dummy(text: &str) -> String {
    let hash_chars = if text.starts_with(PREFIXES[0]) { 43 } else { 86 };
    let trunk = text.rsplit_once('$').map_or("", |(trunk, _)| trunk);
    format!("{trunk}${}", ".".repeat(hash_chars))
}

#[cfg(test)]
mod tests {
    //! Goal: what `crypt(3)` makes is taken, nothing else is. Method: the hashes of other programs, and every way of breaking one.

    use super::*;

    /// What `openssl passwd` and glibc's `crypt` make of the specification's examples.
    const VECTORS: [(&str, &str); 4] = [
        ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
        (
            "Hello world!",
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        ),
        ("Hello world!", "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
        (
            "Hello world!",
            "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
        ),
    ];

    #[test]
    fn the_vectors_of_the_specification() {
        for (password, text) in VECTORS {
            assert!(cost(text).is_some(), "{text}");
            assert!(verify(password.as_bytes(), text), "{text}");
            assert!(!verify(b"Hello world?", text), "{text}");
            assert!(!verify(b"", text), "{text}");
            assert_eq!(cost(&dummy(text)), cost(text));
        }
    }

    #[test]
    fn rounds_cost() {
        let hash = "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5";
        for (rounds, expect) in [
            ("", Some(6)),
            ("rounds=1000$", Some(6)),
            ("rounds=5000$", Some(6)),
            ("rounds=5001$", Some(7)),
            ("rounds=656000$", Some(14)),
            ("rounds=999999999$", Some(24)),
            ("rounds=999$", None),
            ("rounds=1000000000$", None),
            ("rounds=-1$", None),
            ("rounds=$", None),
        ] {
            assert_eq!(cost(&format!("$5${rounds}saltstring${hash}")), expect, "{rounds}");
        }
    }

    #[test]
    fn what_is_no_such_hash() {
        let (_, good) = VECTORS[0];
        for text in ["", "$5$", "$5$salt$", "$7$saltstring$x", &good[..good.len() - 1], &format!("{good}a")] {
            assert_eq!(cost(text), None, "{text}");
            assert!(!verify(b"Hello world!", text), "{text}");
        }
        assert_eq!(cost("$5$saltstringsaltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"), None);
        assert!(!verify(&[b'a'; PASSWORD_BYTES_MAX + 1], good));
    }
}
