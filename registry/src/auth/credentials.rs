//! The value of an `Authorization` header.
//!
//! The schemes Basic and Bearer. Nothing here prints a password or a token.
//!
//! *Spec:* RFC 7617; RFC 6750 section 2.1; RFC 9110 section 11.4.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::error::CredentialsError;

/// The longest value of an `Authorization` header that is looked at, in bytes.
///
/// Tokens with the groups of a large company have some ten thousand.
pub const AUTHORIZATION_BYTES_MAX: usize = 16 * 1024;

/// The grammar of a credential (`token68`) allows the padding and asks for none.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What an `Authorization` header claims.
#[derive(Debug, Clone)]
pub enum Authorization {
    /// A user and a password, or a key in place of one.
    Basic(Credentials),
    /// A token.
    Bearer(BearerToken),
}

/// A token, as somebody presents it; a secret for as long as it is valid.
#[derive(Clone)]
pub struct BearerToken(String);

/// A user and a password, as somebody claims them.
#[derive(Debug, Clone)]
pub struct Credentials {
    user: String,
    password: Password,
}

/// A password, in bytes: its character set is the client's affair.
///
/// Two of them cannot be compared: whoever must compare does so with their hashes, in constant time.
#[derive(Clone)]
pub struct Password(Vec<u8>);

impl Authorization {
    /// Parses the value of an `Authorization` header.
    ///
    /// *Shape:* the scheme in any case, spaces, and what the scheme says: [`Credentials::parse`] of Basic, the
    /// characters of `token68` of Bearer.
    ///
    /// *Errors:* every variant of [`CredentialsError`].
    pub fn parse(value: &[u8]) -> Result<Self, CredentialsError> {
        if value.len() > AUTHORIZATION_BYTES_MAX {
            return Err(CredentialsError::TooLong { len: value.len() });
        }
        let (scheme, token) = split(value);
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return BearerToken::parse(token).map(Self::Bearer);
        }
        Credentials::parse(value).map(Self::Basic)
    }
}

/// Splits off the scheme.
fn split(value: &[u8]) -> (&[u8], &[u8]) {
    let value = value.trim_ascii();
    let scheme_len = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, token) = value.split_at(scheme_len);
    (scheme, token.trim_ascii())
}

impl BearerToken {
    /// Takes a text for a token.
    pub(super) const fn of(text: String) -> Self {
        Self(text)
    }

    /// Parses a token: at least one character of `token68`.
    ///
    /// *Errors:* [`CredentialsError::Token`].
    pub fn parse(text: &[u8]) -> Result<Self, CredentialsError> {
        let is_token = |byte: &u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
        };
        let text =
            str::from_utf8(text).ok().filter(|text| !text.is_empty() && text.bytes().all(|it| is_token(&it)));
        text.map(|text| Self(text.to_owned())).ok_or(CredentialsError::Token)
    }

    /// Returns the text of the token, for whoever verifies it and for the client that it is issued to.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

impl Credentials {
    /// Parses the value of an `Authorization` header whose scheme is Basic.
    ///
    /// *Shape:* `Basic`, in any case, spaces, and the base64 of `<user>:<password>`, with or
    /// without padding. The user holds no colon; the password may.
    ///
    /// *Errors:* every variant of [`CredentialsError`].
    pub fn parse(value: &[u8]) -> Result<Self, CredentialsError> {
        if value.len() > AUTHORIZATION_BYTES_MAX {
            return Err(CredentialsError::TooLong { len: value.len() });
        }
        let (scheme, token) = split(value);
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return Err(CredentialsError::UnsupportedScheme);
        }
        let mut user = BASE64.decode(token).map_err(|_| CredentialsError::Base64)?;
        let colon = user.iter().position(|byte| *byte == b':').ok_or(CredentialsError::NoColon)?;
        let password = user.split_off(colon + 1);
        user.truncate(colon);
        let user = String::from_utf8(user).map_err(|_| CredentialsError::UserNotUtf8)?;
        // A user's name goes into logs, so that the control characters beyond ASCII are refused too.
        if user.chars().any(char::is_control) || password.iter().any(u8::is_ascii_control) {
            return Err(CredentialsError::Control);
        }
        Ok(Self { user, password: Password(password) })
    }

    /// Makes them of a form's fields.
    ///
    /// *Errors:* [`CredentialsError::Control`].
    pub fn of_form(user: &str, password: &str) -> Result<Self, CredentialsError> {
        if user.chars().any(char::is_control) || password.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(CredentialsError::Control);
        }
        Ok(Self { user: user.to_owned(), password: Password(password.as_bytes().to_vec()) })
    }

    /// Returns the same password, of nobody: no place has an account without a name.
    #[must_use]
    pub(super) fn of_nobody(self) -> Self {
        Self { user: String::new(), ..self }
    }

    /// Returns the user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns the password.
    pub fn password(&self) -> &Password {
        &self.password
    }

    /// Tells whether there is neither a user nor a password, as clients send it that have been
    /// given an empty login.
    pub fn is_empty(&self) -> bool {
        self.user.is_empty() && self.password.0.is_empty()
    }
}

impl Password {
    /// Returns the bytes of the password, for whoever hashes it.
    pub(super) fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a header gives exactly the credentials that were meant, or the error that says why
    //! not, and never a password in text. Method: tables and two properties.

    use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn check(value: &[u8], expect: Result<(&str, &[u8]), CredentialsError>) {
        let found = Credentials::parse(value);
        let found = found.as_ref().map(|found| (found.user(), found.password().reveal()));
        assert_eq!(found, expect.as_ref().copied(), "{}", value.escape_ascii());
    }

    fn basic(pair: &[u8]) -> Vec<u8> {
        format!("Basic {}", BASE64_STANDARD.encode(pair)).into_bytes()
    }

    #[test]
    fn basic_credentials_are_read() {
        // The first two are the examples of RFC 7617, sections 2 and 2.1.
        check(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Ok(("Aladdin", b"open sesame")));
        check(b"Basic dGVzdDoxMjPCow==", Ok(("test", "123£".as_bytes())));
        check(b"bAsIc   QWxhZGRpbjpvcGVuIHNlc2FtZQ==  ", Ok(("Aladdin", b"open sesame")));
        check(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ", Ok(("Aladdin", b"open sesame")));
        check(&basic(b"a:b:c"), Ok(("a", b"b:c")));
        check(&basic(b"a:"), Ok(("a", b"")));
        check(&basic(b":b"), Ok(("", b"b")));
        check(&basic(b"a:\xff"), Ok(("a", b"\xff")));
        check(&basic("é:b".as_bytes()), Ok(("é", b"b")));
    }

    #[test]
    fn faults_are_told_apart() {
        for value in
            [&b"Bearer abc"[..], b"Digest username=\"a\"", b"s3cret", b"", b" ", b"BasicQTpi", b"Basi QTpi"]
        {
            check(value, Err(CredentialsError::UnsupportedScheme));
        }
        for value in [&b"Basic QTpi="[..], b"Basic Q", b"Basic QTpi QTpi", b"Basic QTp-", b"Basic QT\0i"] {
            check(value, Err(CredentialsError::Base64));
        }
        for value in [basic(b"user"), b"Basic ".to_vec(), b"Basic".to_vec()] {
            check(&value, Err(CredentialsError::NoColon));
        }
        check(&basic(b"\xff:b"), Err(CredentialsError::UserNotUtf8));
        for pair in ["a\n:b", "a:b\0", "a:\0b", "a:b\r\n", "a\u{85}:b", "a:\u{7f}"] {
            check(&basic(pair.as_bytes()), Err(CredentialsError::Control));
        }
    }

    #[test]
    fn a_value_has_a_longest_length() {
        let password = vec![b'x'; 3 * (AUTHORIZATION_BYTES_MAX - 8) / 4 - 2];
        let value = basic(&[b"a:", password.as_slice()].concat());
        assert!(value.len() <= AUTHORIZATION_BYTES_MAX, "{}", value.len());
        check(&value, Ok(("a", &password)));
        let len = AUTHORIZATION_BYTES_MAX + 1;
        check(&vec![b'x'; len], Err(CredentialsError::TooLong { len }));
    }

    #[test]
    fn only_an_empty_login_is_empty() {
        for (pair, expect) in [(":", true), ("a:", false), (":b", false)] {
            assert_eq!(Credentials::parse(&basic(pair.as_bytes())).map(|found| found.is_empty()), Ok(expect));
        }
    }

    #[test]
    fn p11_no_password_in_debug() {
        let credentials = Credentials::parse(&basic(b"user:hunter2")).unwrap();
        let text = format!("{credentials:?} {:#?}", credentials.password());
        assert!(text.contains("user") && !text.contains("hunter"), "{text}");
    }

    proptest! {
        #[test]
        fn parse_undoes_encoding(user in "[^:\\p{Cc}]{0,40}", password in "[^\\p{Cc}]{0,90}") {
            let token = BASE64_STANDARD_NO_PAD.encode(format!("{user}:{password}"));
            let found = Credentials::parse(format!("Basic {token}").as_bytes()).unwrap();
            prop_assert_eq!((found.user(), found.password().reveal()), (&*user, password.as_bytes()));
        }

        #[test]
        fn any_bytes_are_answered(scheme in "Basic |", value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let value = [scheme.as_bytes(), &value].concat();
            let _answered = Credentials::parse(&value).is_ok();
        }
    }
}
