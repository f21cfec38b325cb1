//! `/auth/token`: tokens for those who log in, and for those who do not.
//!
//! *Spec:* the Docker Registry token specification (GET) and its form of OAuth 2 (POST, RFC 6749 sections 4.3
//! and 6); RFC 8693 for the tokens of workloads. Granting a part of what is asked, or nothing, is no error: the registry refuses what is not granted.

use axum::body::Body;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use http::{HeaderValue, Response};
use serde_json::json;

use super::asker::Asker;
use super::error::Error;
use super::query::Query;
use super::route::Verb;
use super::{App, body, dispatch};
use crate::auth::scope::{self, Resource, SCOPE_RESOURCES_MAX};
use crate::auth::{Access, Account, Asking, Authorization, BearerToken, Credentials, Grants, LoginError};

/// The largest form taken, in bytes.
const FORM_BYTES_MAX: u64 = 64 * 1024;

/// RFC 8693 section 2.1.
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// What an exchange may be told that the token of a workload is; it gives the first. RFC 8693 section 3.
const TOKEN_KINDS: [&str; 3] = [
    "urn:ietf:params:oauth:token-type:access_token",
    "urn:ietf:params:oauth:token-type:id_token",
    "urn:ietf:params:oauth:token-type:jwt",
];

/// Answers a request for a token.
pub(super) async fn token(
    app: &App,
    access: &Access,
    asker: &Asker,
    verb: Verb,
    headers: &HeaderMap,
    query: &Query<'_>,
    body: Body,
) -> Result<Response<Body>, Error> {
    if verb == Verb::Post {
        let form = body::manifest(body, app.0.options.read_idle_timeout, FORM_BYTES_MAX).await;
        return of_form(access, asker, &form?).await;
    }
    Ok(answer(&of_query(access, asker, headers, query).await?, None))
}

async fn of_query(
    access: &Access,
    asker: &Asker,
    headers: &HeaderMap,
    query: &Query<'_>,
) -> Result<Grants, Error> {
    let authorization = dispatch::one(headers, &AUTHORIZATION)?;
    asker.claims(authorization);
    let from = asker.source();
    let offline = query.one("offline_token")? == Some("true");
    let asking = match authorization.map(|value| Authorization::parse(value.as_bytes())).transpose() {
        Ok(None) => Asking::Anonymous,
        Ok(Some(Authorization::Basic(credentials))) if credentials.is_empty() => Asking::Anonymous,
        Ok(Some(Authorization::Basic(credentials))) => Asking::Password { from, credentials, offline },
        Ok(Some(Authorization::Bearer(_))) => return Err(LoginError::UnsupportedScheme.into()),
        Err(error) => return Err(LoginError::from(error).into()),
    };
    issue(access, asker, asking, resources(query)).await
}

/// Has a token issued, and notes for whom.
async fn issue(
    access: &Access,
    asker: &Asker,
    asking: Asking,
    resources: Vec<Resource>,
) -> Result<Grants, Error> {
    let auth = match &asking {
        Asking::Anonymous => "none",
        Asking::Password { .. } => "password",
        Asking::Exchange(_) | Asking::Refresh(_) => "token",
    };
    let grants = access.issue(asking, resources).await?;
    asker.is_given_a_token(grants.account.as_ref().map(Account::name), auth);
    Ok(grants)
}

async fn of_form(access: &Access, asker: &Asker, form: &Bytes) -> Result<Response<Body>, Error> {
    let text = str::from_utf8(form).map_err(|_| Error::Query(super::query::QueryError::Encoding))?;
    // Forms have a plus for a space; one that is meant is encoded.
    let text = text.replace('+', " ");
    let form = Query::parse(&text)?;
    let mut issued = None;
    let asking = match form.one("grant_type")? {
        Some("password") => {
            let (user, password) = (form.one("username")?.unwrap_or(""), form.one("password")?.unwrap_or(""));
            let credentials = Credentials::of_form(user, password).map_err(LoginError::from)?;
            asker.claims_user(user);
            let offline = form.one("access_type")? == Some("offline");
            Asking::Password { from: asker.source(), credentials, offline }
        }
        Some("refresh_token") => {
            asker.claims_by_token();
            let text = form.one("refresh_token")?.unwrap_or("");
            Asking::Refresh(BearerToken::parse(text.as_bytes()).map_err(LoginError::from)?)
        }
        Some(TOKEN_EXCHANGE) => {
            let kind = form.one("subject_token_type")?.unwrap_or(TOKEN_KINDS[0]);
            if !TOKEN_KINDS.contains(&kind) {
                return Err(Error::GrantType);
            }
            asker.claims_by_token();
            let text = form.one("subject_token")?.unwrap_or("");
            issued = Some(TOKEN_KINDS[0]);
            Asking::Exchange(BearerToken::parse(text.as_bytes()).map_err(LoginError::from)?)
        }
        _ => return Err(Error::GrantType),
    };
    let grants = issue(access, asker, asking, resources(&form)).await?;
    Ok(answer(&grants, issued))
}

/// Returns what is asked for: any number of parameters, each with any number of scopes.
fn resources(query: &Query<'_>) -> Vec<Resource> {
    // Some clients encode the spaces between scopes as a plus, which no scope has itself.
    let scopes = query.all("scope").map(|scopes| scopes.replace('+', " "));
    scopes.flat_map(|scopes| scope::asked(&scopes)).take(SCOPE_RESOURCES_MAX).collect()
}

/// Renders what was granted; an exchange says what kind of token it gave.
fn answer(grants: &Grants, issued: Option<&str>) -> Response<Body> {
    let token = grants.token.token.reveal();
    let mut page = json!({
        "token": token,
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": grants.token.expires_in.as_secs(),
        "issued_at": grants.token.issued_at.to_string(),
    });
    if let Some(kind) = issued {
        page["issued_token_type"] = kind.into();
    }
    if let Some(refresh) = &grants.refresh {
        page["refresh_token"] = refresh.reveal().into();
    }
    let mut response = Response::new(Body::from(page.to_string()));
    let map = response.headers_mut();
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // RFC 6749 section 5.1: a token is for nobody's cache.
    map.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
