//! The token endpoint: `GET` with Basic or without anything, `POST` with a form.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    account::{Scheme, TokenOptions},
    basic::Credentials,
    gate::{Gate, TOKEN_PATH},
    scope::Scope,
    tokens::Token,
};
use crate::{
    locked,
    origin::{
        dispatch::{Answer, Call, finished, json, set},
        query::Query,
        refusal::Refusal,
    },
};

/// What time it is: the one clock decides, the other is told.
#[derive(Debug, Clone, Copy)]
pub(in crate::origin) struct Moment {
    /// By which tokens expire.
    pub(in crate::origin) instant: Instant,
    /// Which `issued_at` says.
    pub(in crate::origin) wall: SystemTime,
}

/// A request for a token that was understood: who asks, for what.
struct Wanted {
    account: Option<String>,
    service: Option<String>,
    scopes: Vec<Scope>,
    refresh: Refresh,
}

/// Which refresh token goes with the answer.
enum Refresh {
    None,
    New,
    Same(String),
}

impl Gate {
    /// Answers a request for a token; `None` for any other request.
    pub(in crate::origin) fn issue(&self, call: &Call, now: Moment) -> Option<Response<Bytes>> {
        let Scheme::Bearer(options) = &self.access.scheme else { return None };
        (call.path == TOKEN_PATH).then(|| finished(self.issue_to(call, options, now)))
    }

    fn issue_to(&self, call: &Call, options: &TokenOptions, now: Moment) -> Answer {
        let own = Query::parse(options.realm_query.as_deref().unwrap_or_default());
        if !call.query.includes(&own) {
            return Err(Refusal::EndpointUnknown);
        }
        let wanted = match call.method {
            Method::GET => self.asked_by_query(call)?,
            Method::POST => self.asked_by_form(&call.body)?,
            _ => return Err(Refusal::MethodUnsupported { allow: "GET, POST" }),
        };
        Ok(self.grant(wanted, options, now))
    }

    fn asked_by_query(&self, call: &Call) -> Result<Wanted, Refusal> {
        let given = match call.one(header::AUTHORIZATION)? {
            None => None,
            Some(header) => Some(Credentials::parse(header).ok_or_else(unauthorized)?),
        };
        let account = match &given {
            None => None,
            Some(given) => Some(self.account(given).ok_or_else(unauthorized)?.name.clone()),
        };
        // An account that is named must be the one whose password was given.
        if call.query.first("account").is_some_and(|named| account.as_deref().is_some_and(|it| it != named)) {
            return Err(unauthorized());
        }
        let offline = account.is_some() && call.query.first("offline_token") == Some("true");
        Ok(Wanted {
            account,
            service: call.query.first("service").map(str::to_owned),
            scopes: Scope::parse_all(call.query.all("scope")),
            refresh: if offline { Refresh::New } else { Refresh::None },
        })
    }

    fn asked_by_form(&self, body: &[u8]) -> Result<Wanted, Refusal> {
        let form = Query::of_form(&String::from_utf8_lossy(body));
        let text = |name| form.first(name).map(str::to_owned);
        let (account, refresh) = match form.first("grant_type") {
            Some("password") => {
                let (name, password) = text("username").zip(text("password")).ok_or_else(unauthorized)?;
                let account = self.account(&Credentials { name, password }).ok_or_else(unauthorized)?;
                let offline = form.first("access_type") == Some("offline");
                (account.name.clone(), if offline { Refresh::New } else { Refresh::None })
            }
            Some("refresh_token") => {
                let refresh = text("refresh_token").unwrap_or_default();
                let account = locked(&self.tokens).refreshed(&refresh).ok_or_else(unauthorized)?;
                (account, Refresh::Same(refresh))
            }
            _ => return Err(Refusal::ParameterInvalid("grant_type")),
        };
        let (service, scopes) = (text("service"), Scope::parse_all(form.all("scope")));
        Ok(Wanted { account: Some(account), service, scopes, refresh })
    }

    /// Issues what the account may have of what it wants: less is no error.
    fn grant(&self, wanted: Wanted, options: &TokenOptions, now: Moment) -> Response<Bytes> {
        let rights = self.rights(wanted.account.as_deref());
        let scopes = wanted.scopes.into_iter().map(|scope| scope.narrowed(rights)).collect();
        let mut tokens = locked(&self.tokens);
        let refresh = match (wanted.refresh, &wanted.account) {
            (Refresh::Same(text), _) => Some(text),
            (Refresh::New, Some(account)) => Some(tokens.issue_refresh(account)),
            (Refresh::New, None) | (Refresh::None, _) => None,
        };
        let token = Token {
            account: wanted.account,
            service: wanted.service.unwrap_or_else(|| options.service.clone()),
            scopes,
            expires: now.instant + options.lifetime,
        };
        let claims = claims(&token, options, now);
        let token = tokens.issue(token, &claims);
        let mut body = json!({
            "token": token,
            "access_token": token,
            "expires_in": options.lifetime.as_secs(),
            "issued_at": rfc3339(now.wall),
        });
        if let Some(refresh) = refresh {
            body["refresh_token"] = json!(refresh);
        }
        let mut response = json(StatusCode::OK, body.to_string());
        set(&mut response, header::CACHE_CONTROL, "no-store");
        response
    }
}

/// Returns what a token says of itself.
pub(super) fn claims(token: &Token, options: &TokenOptions, now: Moment) -> Value {
    let issued = now.wall.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    json!({
        "iss": "sim",
        "sub": token.account.as_deref().unwrap_or_default(),
        "aud": token.service,
        "iat": issued,
        "nbf": issued,
        "exp": issued + options.lifetime.as_secs(),
        "jti": Uuid::new_v4().to_string(),
        "access": token.scopes.iter().map(Scope::claim).collect::<Vec<_>>(),
    })
}

fn unauthorized() -> Refusal {
    Refusal::Unauthorized { challenge: "Basic realm=\"sim token\"".to_owned() }
}

/// Writes a time as `2006-01-02T15:04:05Z`.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    // Counted from 1 March of year 0, a year ends with its leap day, so that months have fixed offsets.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_wants() {
        let check = |seconds, expect: &str| {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), expect);
        };
        check(0, "1970-01-01T00:00:00Z");
        check(951_782_399, "2000-02-28T23:59:59Z");
        check(951_868_799, "2000-02-29T23:59:59Z");
        check(951_868_800, "2000-03-01T00:00:00Z");
        check(1_735_689_599, "2024-12-31T23:59:59Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
    }
}
