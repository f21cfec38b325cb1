//! `/auth/apikey`: the keys that a user makes for his programs.
//!
//! The shape of requests and answers is zot's, so that what makes keys there makes them here.

use std::time::{Duration, UNIX_EPOCH};

use axum::body::Body;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::body;
use super::dispatch::{self, Call};
use super::error::Error;
use super::route::Verb;
use crate::auth::{ApiKey, ApiKeyError, ApiKeyWish};
use crate::clock::Timestamp;

/// The largest wish taken, in bytes.
const WISH_BYTES_MAX: u64 = 64 * 1024;

/// What a user wants of a key, as it is written. What else stands there means nothing, as in zot.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wish {
    #[serde(default)]
    label: String,
    scopes: Option<Vec<String>>,
    expiration_date: Option<String>,
}

/// Answers a request about the keys of whoever asks.
///
/// What is made with a certificate ends `certified_until`.
pub(super) async fn answer(
    call: &Call<'_>,
    certified_until: Option<Timestamp>,
    body: Body,
) -> Result<Response<Body>, Error> {
    let authorization = dispatch::one(&call.headers, &AUTHORIZATION)?.map(HeaderValue::as_bytes);
    let mut owner = call.access.owner(authorization, certified_until, &call.identity)?;
    if let Some(user) = call.query.one("user")? {
        owner = call.access.owner_of(user, &owner, &call.identity)?;
    }
    let id = call.query.one("id")?.unwrap_or_default();
    if call.verb == Verb::Delete {
        call.asker.concerns(is_written(id).then_some(id), owner.user());
    }
    match call.verb {
        Verb::Post => {
            let bytes = body::manifest(body, call.app.0.options.read_idle_timeout, WISH_BYTES_MAX).await?;
            let wish = read(&bytes)?;
            let user = owner.user().to_owned();
            let (key, secret) = call.access.create_key(owner, wish).await?;
            call.asker.concerns(Some(&key.id), &user);
            let mut page = page(&key);
            page["apiKey"] = secret.reveal().into();
            Ok(respond(StatusCode::CREATED, &page))
        }
        Verb::Delete => {
            call.access.revoke_key(&owner, id).await?;
            Ok(respond(StatusCode::OK, &json!({})))
        }
        _ => {
            let keys = call.access.keys_of(&owner).await?;
            Ok(respond(StatusCode::OK, &json!({"apiKeys": keys.iter().map(page).collect::<Vec<_>>()})))
        }
    }
}

/// Says whether the name of a key, which is any text, may stand in the audit log.
fn is_written(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn read(bytes: &[u8]) -> Result<ApiKeyWish, ApiKeyError> {
    let wish: Wish = serde_json::from_slice(bytes).map_err(|_| ApiKeyError::Wish)?;
    let date = wish.expiration_date.filter(|date| !date.is_empty());
    let expires_at = date.map(|date| moment(&date).ok_or(ApiKeyError::Date)).transpose()?;
    Ok(ApiKeyWish { label: wish.label, scopes: wish.scopes.unwrap_or_default(), expires_at })
}

fn page(key: &ApiKey) -> Value {
    json!({
        "id": key.id,
        "uuid": key.id,
        "label": key.label,
        "scopes": key.scopes,
        "createdAt": key.created_at.to_string(),
        "expirationDate": key.expires_at.map(|at| at.to_string()),
        "isExpired": key.is_expired,
    })
}

fn respond(status: StatusCode, page: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(page.to_string()));
    *response.status_mut() = status;
    let map = response.headers_mut();
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    map.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Reads a moment of RFC 3339, in UTC or with an offset.
fn moment(text: &str) -> Option<Timestamp> {
    let utc = |text: &str| {
        let since = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Timestamp::from_millis(0).after(since))
    };
    if text.ends_with(['Z', 'z']) {
        return utc(&text.to_ascii_uppercase());
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let (sign, hours, minutes) =
        (offset.get(..1)?, offset.get(1..3)?, offset.strip_prefix(offset.get(..3)?)?);
    let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.strip_prefix(':')?.parse().ok()?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let offset = Duration::from_secs((hours * 60 + minutes) * 60);
    let local = utc(&format!("{local}Z"))?;
    match sign {
        "-" => Some(local.after(offset)).filter(|moment| *moment <= Timestamp::LAST),
        "+" => {
            Some(Timestamp::from_millis(0).after(local.since(Timestamp::from_millis(0)).checked_sub(offset)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    //! Goal: dates are read as they are meant. Method: a table.

    use super::moment;

    #[test]
    fn moments() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(moment(text).map(|it| it.to_string()).as_deref(), expect, "{text}");
        };
        check("2030-01-02T03:04:05Z", Some("2030-01-02T03:04:05.000Z"));
        check("2030-01-02t03:04:05.25z", Some("2030-01-02T03:04:05.250Z"));
        check("2030-01-02T03:04:05+02:30", Some("2030-01-02T00:34:05.000Z"));
        check("2030-01-01T23:04:05-01:00", Some("2030-01-02T00:04:05.000Z"));
        for text in [
            "",
            "Z",
            "2030-01-02",
            "2030-01-02T03:04:05",
            "2030-01-02T03:04:05+0230",
            "2030-01-02T03:04:05+24:00",
            "2030-01-02T03:04:05+02:60",
            "2030-13-02T03:04:05Z",
            "1969-01-01T00:00:00Z",
            "1970-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-23:59",
            "2030-01-02T03:04:05é0:00",
            "2030-01-02T03:04:05+é:00",
        ] {
            check(text, None);
        }
    }
}
