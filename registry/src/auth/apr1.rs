//! Apache's MD5 hashes, which `htpasswd` makes unless it is told otherwise.
//!
//! A thousand rounds of MD5 stop nobody who has the file; they are taken because files made with
//! the everyday command have them, and complained about (`account_file`). The construction is that
//! of FreeBSD's `crypt(3)` with another magic word.

use md5::{Digest as _, Md5};

/// What such a hash begins with.
pub(super) const PREFIX: &str = "$apr1$";

const ROUNDS: usize = 1_000;
const SALT_BYTES_MAX: usize = 8;
const HASH_CHARS: usize = 22;
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Which bytes of the hash are written together, three in four characters.
const GROUPS: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];

/// Says whether a text is such a hash.
///
/// *Shape:* `$apr1$`, a salt of at most 8 characters, `$`, and 22 characters of `./0-9A-Za-z`.
pub(super) fn is_hash(text: &str) -> bool {
    let parts = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('$'));
    parts.is_some_and(|(salt, hash)| {
        salt.len() <= SALT_BYTES_MAX
            && hash.len() == HASH_CHARS
            && hash.bytes().all(|byte| ALPHABET.contains(&byte))
    })
}

/// Tells whether a password is the one hashed; a text that is no such hash hashes none.
pub(super) fn verify(password: &[u8], text: &str) -> bool {
    let Some((salt, expected)) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('$')) else {
        return false;
    };
    let actual = encode(&hash(password, salt.as_bytes()));
    // Every character is looked at, so that the time does not tell how many are right.
    let difference = actual.bytes().zip(expected.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    difference == 0 && actual.len() == expected.len()
}

fn hash(password: &[u8], salt: &[u8]) -> [u8; 16] {
    let inner: [u8; 16] = digest(&[password, salt, password]);
    let mut outer = Md5::new();
    outer.update(password);
    outer.update(PREFIX);
    outer.update(salt);
    for at in (0..password.len()).step_by(inner.len()) {
        outer.update(&inner[..inner.len().min(password.len() - at)]);
    }
    let mut bits = password.len();
    while bits > 0 {
        outer.update(if bits & 1 == 1 { &[0] } else { &password[..1] });
        bits >>= 1;
    }
    let mut result: [u8; 16] = outer.finalize().into();
    for round in 0..ROUNDS {
        let is_odd = round % 2 == 1;
        let none: &[u8] = &[];
        result = digest(&[
            if is_odd { password } else { &result },
            if round % 3 == 0 { none } else { salt },
            if round % 7 == 0 { none } else { password },
            if is_odd { &result } else { password },
        ]);
    }
    result
}

fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = Md5::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn encode(hash: &[u8; 16]) -> String {
    let mut text = String::with_capacity(HASH_CHARS);
    let mut write = |mut bits: u32, chars: usize| {
        for _ in 0..chars {
            text.push(ALPHABET[usize::try_from(bits & 63).expect("six bits are small")].into());
            bits >>= 6;
        }
    };
    for [high, middle, low] in GROUPS {
        write(u32::from(hash[high]) << 16 | u32::from(hash[middle]) << 8 | u32::from(hash[low]), 4);
    }
    write(u32::from(hash[11]), 2);
    text
}

#[cfg(test)]
mod tests {
    //! Goal: what Apache's `htpasswd` and `openssl passwd -apr1` make is verified. Method: a table
    //! of hashes that these programs made, of lengths around a block of MD5.

    use super::*;

    #[test]
    fn hashes_of_other_programs_are_verified() {
        for (password, text) in [
            ("admin", "$apr1$abcdefgh$mMZnMi5KMcUTRCidnJ3Px0"),
            ("", "$apr1$x$tMwYqBfQwi3FYAr0aJc8M/"),
            ("a", "$apr1$12345678$68ZQVfPkWX/wcXr/41VxQ."),
            ("0123456789abcdef", "$apr1$saltsalt$noZiBycUL1t9WTQEO7/nr1"),
            ("0123456789abcdefg", "$apr1$s$vBGBjU5fyn8tTWt.U6c8s1"),
            ("pässwörd", "$apr1$......$Co8J7u/JF7RnRAPo/LOmS/"),
            ("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "$apr1$ABCDEFGH$YfP3almKNcHJQgtR6bL6h."),
            ("admin", "$apr1$Gs5D/Gh5$6txPMtnYo6.hCEOm8kqGC/"),
        ] {
            assert!(is_hash(text), "{text}");
            assert!(verify(password.as_bytes(), text), "{password}");
            assert!(!verify(format!("{password}x").as_bytes(), text), "{password}");
        }
    }

    #[test]
    fn other_texts_are_no_hashes() {
        for text in [
            "",
            "$apr1$",
            "$apr1$salt$short",
            "$apr1$ninechars$0123456789012345678901",
            "$1$a$0123456789012345678901",
        ] {
            assert!(!is_hash(text), "{text}");
            assert!(!verify(b"", text), "{text}");
        }
    }
}
