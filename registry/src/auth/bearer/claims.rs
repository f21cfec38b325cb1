//! What a token claims, once its signature is right.
//!
//! *Spec:* RFC 7519 section 4: a claim stands once, and whoever finds one twice may refuse the token; here it is
//! refused, since two readers could take different ones.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::auth::error::TokenError;
use crate::auth::token::check_times;
use crate::clock::Timestamp;

/// The longest name of an account that a token may give, in bytes.
pub(in crate::auth) const NAME_BYTES_MAX: usize = 1024;

/// The claims of a token, each of which stands once.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::auth) struct Claims(Map<String, Value>);

impl Claims {
    /// Reads them.
    ///
    /// *Errors:* [`TokenError::Claims`] for what is no JSON object, and for names that stand twice, at any depth.
    pub(super) fn parse(json: &[u8]) -> Result<Self, TokenError> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let value = Unique.deserialize(&mut deserializer).map_err(|_| TokenError::Claims)?;
        deserializer.end().map_err(|_| TokenError::Claims)?;
        match value {
            Value::Object(claims) => Ok(Self(claims)),
            _ => Err(TokenError::Claims),
        }
    }

    /// Returns a claim.
    pub(in crate::auth) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns a claim that is text.
    pub(in crate::auth) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Returns them as one value.
    pub(in crate::auth) fn value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// Holds the times against the clock, and returns when the token ends, in seconds since 1970.
    ///
    /// *Errors:* [`TokenError::Claims`] without an end, or for a time that is no number; [`TokenError::Expired`],
    /// [`TokenError::TooEarly`].
    pub(in crate::auth) fn check_times(&self, now: Timestamp) -> Result<u64, TokenError> {
        let expires = self.seconds("exp")?.ok_or(TokenError::Claims)?;
        check_times(now, self.seconds("nbf")?.unwrap_or(0), expires)?;
        Ok(expires)
    }

    /// Checks that the token is for one of these audiences.
    ///
    /// *Errors:* [`TokenError::Audience`].
    pub(in crate::auth) fn check_audience(&self, ours: &[String]) -> Result<(), TokenError> {
        let is_ours = |it: &str| ours.iter().any(|ours| ours == it);
        let names_us = match self.0.get("aud") {
            Some(Value::String(audience)) => is_ours(audience),
            Some(Value::Array(audiences)) => audiences.iter().filter_map(Value::as_str).any(is_ours),
            _ => false,
        };
        if names_us { Ok(()) } else { Err(TokenError::Audience) }
    }

    /// Checks who issued the token.
    ///
    /// *Errors:* [`TokenError::Issuer`].
    pub(in crate::auth) fn check_issuer(&self, issuer: &str) -> Result<(), TokenError> {
        if self.text("iss") == Some(issuer) { Ok(()) } else { Err(TokenError::Issuer) }
    }

    /// Reads a time: seconds since 1970, of which a fraction does not count.
    fn seconds(&self, name: &str) -> Result<Option<u64>, TokenError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let whole = value.as_u64().or_else(|| {
            let seconds = value.as_f64().filter(|seconds| (0.0..1e15).contains(seconds))?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "It was found to be in range, and the fraction does not count."
            )]
            Some(seconds as u64)
        });
        whole.map(Some).ok_or(TokenError::Claims)
    }
}

/// Checks that a text may be an account's name: it goes into logs and records.
///
/// *Errors:* [`TokenError::Claims`].
pub(in crate::auth) fn check_name(name: &str) -> Result<(), TokenError> {
    let is_fit = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control);
    if is_fit { Ok(()) } else { Err(TokenError::Claims) }
}

/// Reads JSON in which no name stands twice in one object.
struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON in which no name stands twice")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Self)?;
            if map.insert(name, value).is_some() {
                return Err(de::Error::custom("a name stands twice"));
            }
        }
        Ok(map.into())
    }
}
