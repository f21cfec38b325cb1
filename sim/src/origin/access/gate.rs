//! The gate: whether a request is let in, and what is said to one that is not.

use std::{sync::Mutex, time::Instant};

use http::header::AUTHORIZATION;

use super::{
    account::{Access, Account, Action, Right, Scheme, TokenOptions, allow},
    basic::Credentials,
    scope::{Demand, Resource, Scope},
    tokens::Tokens,
};
use crate::{
    locked,
    origin::{dispatch::Call, refusal::Refusal},
};

/// Where tokens are issued.
pub(in crate::origin) const TOKEN_PATH: &str = "/token";

/// Lets requests in, or not.
#[derive(Debug)]
pub(in crate::origin) struct Gate {
    pub(super) access: Access,
    pub(super) tokens: Mutex<Tokens>,
}

/// Who asks, as far as handlers must know it: what else than the thing asked for the caller may see.
#[derive(Debug, Clone, Default)]
pub(in crate::origin) struct Caller {
    /// What the account may do; everything, where nobody is asked who he is.
    rights: Option<Vec<Right>>,
    /// What the token grants of that, where there is a token.
    scopes: Option<Vec<Scope>>,
}

/// What is wrong with a token, in the words of RFC 6750 section 3.1.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Invalid,
    Insufficient,
}

impl Caller {
    /// Says whether the caller may be told that the repository is there.
    pub(in crate::origin) fn may_see(&self, repository: &str) -> bool {
        self.rights.as_ref().is_none_or(|rights| allow(rights, repository, Action::Pull))
    }

    /// Says whether this request may read from the repository.
    pub(in crate::origin) fn may_pull(&self, repository: &str) -> bool {
        let resource = Resource::Repository(repository.to_owned());
        let granted = |it: &Vec<Scope>| it.iter().any(|scope| scope.grants(&resource, Some(Action::Pull)));
        self.may_see(repository) && self.scopes.as_ref().is_none_or(granted)
    }
}

impl Gate {
    pub(in crate::origin) fn new(access: Access) -> Self {
        Self { access, tokens: Mutex::default() }
    }

    /// Lets a request in and says who makes it.
    ///
    /// Neither the content nor what it lacks has any part in this, so that it tells nothing about it.
    pub(in crate::origin) fn admit(&self, call: &Call, now: Instant) -> Result<Caller, Refusal> {
        call.one(AUTHORIZATION)?;
        let demand = Demand::of(call);
        match &self.access.scheme {
            Scheme::Basic => self.admit_basic(call, &demand),
            Scheme::Bearer(options) => {
                self.admit_bearer(call, &demand, options, now).map_err(|fault| Refusal::Unauthorized {
                    challenge: bearer_challenge(call.host(), options, &demand.scopes, fault),
                })
            }
        }
    }

    fn admit_basic(&self, call: &Call, demand: &Demand) -> Result<Caller, Refusal> {
        let unauthorized = || Refusal::Unauthorized { challenge: "Basic realm=\"sim\"".to_owned() };
        let header = call.header(AUTHORIZATION);
        let rights = match header {
            Some(header) => {
                let credentials = Credentials::parse(header).ok_or_else(unauthorized)?;
                &self.account(&credentials).ok_or_else(unauthorized)?.rights
            }
            None if self.access.anonymous.is_empty() => return Err(unauthorized()),
            None => &self.access.anonymous,
        };
        let allowed = match &demand.needs {
            Some((Resource::Repository(name), Some(action))) => allow(rights, name, *action),
            _ => true,
        };
        match (allowed, header) {
            (true, _) => Ok(Caller { rights: Some(rights.clone()), scopes: None }),
            (false, None) => Err(unauthorized()),
            (false, Some(_)) => Err(Refusal::Denied),
        }
    }

    fn admit_bearer(
        &self,
        call: &Call,
        demand: &Demand,
        options: &TokenOptions,
        now: Instant,
    ) -> Result<Caller, Option<Fault>> {
        let header = call.header(AUTHORIZATION).and_then(|it| it.split_once(' '));
        let (_, text) = header.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).ok_or(None)?;
        let token = locked(&self.tokens).find(text.trim(), now);
        let token = token.filter(|it| it.service == options.service).ok_or(Some(Fault::Invalid))?;
        if let Some((resource, action)) = &demand.needs
            && !token.scopes.iter().any(|scope| scope.grants(resource, *action))
        {
            // A token that is about other things only was not made for this; one that is about this, or
            // about nothing at all, was made and grants too little.
            let about = token.scopes.is_empty() || token.scopes.iter().any(|it| it.resource == *resource);
            return Err(Some(if about { Fault::Insufficient } else { Fault::Invalid }));
        }
        let rights = self.rights(token.account.as_deref()).to_vec();
        Ok(Caller { rights: Some(rights), scopes: Some(token.scopes) })
    }

    /// Returns the account with this name and this password.
    pub(super) fn account(&self, given: &Credentials) -> Option<&Account> {
        self.access.accounts.iter().find(|it| it.name == given.name && it.password == given.password)
    }

    /// Returns what an account, or an anonymous caller, may do.
    pub(super) fn rights(&self, account: Option<&str>) -> &[Right] {
        match account {
            None => &self.access.anonymous,
            Some(name) => self.access.accounts.iter().find(|it| it.name == name).map_or(&[], |it| &it.rights),
        }
    }
}

/// Returns the challenge of docker's token flow; its realm is the address that the client has used.
fn bearer_challenge(host: &str, options: &TokenOptions, scopes: &[Scope], fault: Option<Fault>) -> String {
    let query = options.realm_query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
    let mut challenge =
        format!("Bearer realm=\"http://{host}{TOKEN_PATH}{query}\",service=\"{}\"", options.service);
    if !scopes.is_empty() {
        let scopes: Vec<_> = scopes.iter().map(ToString::to_string).collect();
        challenge.push_str(&format!(",scope=\"{}\"", scopes.join(" ")));
    }
    match fault {
        Some(Fault::Invalid) => challenge.push_str(",error=\"invalid_token\""),
        Some(Fault::Insufficient) => challenge.push_str(",error=\"insufficient_scope\""),
        None => {}
    }
    challenge
}
