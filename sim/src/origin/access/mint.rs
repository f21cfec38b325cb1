//! What lies about access are made with: passes for callers who have not earned them. Nothing honest is here.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use http::header::AUTHORIZATION;
use serde_json::Value;

use super::{
    account::{Account, Scheme},
    basic::Credentials,
    gate::Gate,
    scope::{Demand, Scope},
    token_endpoint::{Moment, claims},
    tokens::Token,
};
use crate::{locked, origin::dispatch::Call};

impl Gate {
    /// Returns the account that may do most: the first.
    pub(in crate::origin) fn owner(&self) -> Option<&Account> {
        self.access.accounts.first()
    }

    /// Says whether there is an account of this name.
    pub(in crate::origin) fn knows(&self, name: &str) -> bool {
        self.access.accounts.iter().any(|account| account.name == name)
    }

    /// Returns the header with which the account of this name logs in.
    pub(in crate::origin) fn basic_of(&self, name: &str) -> Option<String> {
        let account = self.access.accounts.iter().find(|account| account.name == name)?;
        Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{}", account.password))))
    }

    /// Returns the name and the password that a request comes with, if it does.
    pub(in crate::origin) fn given(call: &Call) -> Option<(String, String)> {
        let Credentials { name, password } = Credentials::parse(call.header(AUTHORIZATION)?)?;
        Some((name, password))
    }

    /// Returns the account and the scopes of the token that a request comes with, if it is a good one; nobody has
    /// no name.
    pub(in crate::origin) fn holder(
        &self,
        call: &Call,
        now: Moment,
    ) -> Option<(Option<String>, Vec<String>)> {
        let token = locked(&self.tokens).find(bearer(call)?, now.instant)?;
        Some((token.account, token.scopes.iter().map(ToString::to_string).collect()))
    }

    /// Returns a header that lets an account, or nobody, do what the request demands, as far as they may.
    pub(in crate::origin) fn pass(&self, account: Option<&str>, call: &Call, now: Moment) -> Option<String> {
        let rights = self.rights(account);
        let scopes = Demand::of(call).scopes.into_iter().map(|scope| scope.narrowed(rights)).collect();
        self.mint(account, scopes, now)
    }

    /// Returns a header with a token that is worth whatever these claims say.
    pub(in crate::origin) fn pass_of(&self, claims: &Value, now: Moment) -> Option<String> {
        let access = claims.get("access").and_then(Value::as_array);
        let scopes = access.into_iter().flatten().filter_map(Scope::of_claim).collect();
        self.mint(claims.get("sub").and_then(Value::as_str), scopes, now)
    }

    /// Returns the text of an issued token of which this is true.
    pub(in crate::origin) fn issued(&self, is_it: impl Fn(&str) -> bool) -> Option<String> {
        locked(&self.tokens).text(is_it).map(str::to_owned)
    }

    fn mint(&self, account: Option<&str>, scopes: Vec<Scope>, now: Moment) -> Option<String> {
        let Scheme::Bearer(options) = &self.access.scheme else { return None };
        let token = Token {
            account: account.map(str::to_owned),
            service: options.service.clone(),
            scopes,
            expires: now.instant + options.lifetime,
        };
        let claims = claims(&token, options, now);
        Some(format!("Bearer {}", locked(&self.tokens).issue(token, &claims)))
    }
}

/// Returns the token that a request comes with.
pub(in crate::origin) fn bearer(call: &Call) -> Option<&str> {
    let (scheme, text) = call.header(AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(text.trim())
}

/// Returns a part of a token: its header is the first, what it says the second.
pub(in crate::origin) fn part(token: &str, number: usize) -> Option<Value> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(number)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}
