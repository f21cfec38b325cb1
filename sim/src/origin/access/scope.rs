//! Scopes: what a token is asked for and grants, and what a request demands.

use std::fmt;

use http::Method;
use serde_json::{Value, json};

use super::account::{Action, Right, allow};
use crate::origin::{
    dispatch::Call,
    route::{Endpoint, is_name},
};

/// What a scope is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    /// `repository:NAME`.
    Repository(String),
    /// `registry:catalog`.
    Catalog,
}

/// A resource and what may be done to it.
///
/// *Shape*: `repository:NAME:ACTION[,ACTION…]`, or `registry:catalog:*`. A name may contain a colon, so a
/// scope is read from both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) resource: Resource,
    pub(super) actions: Vec<Action>,
}

/// What a request needs, and what its challenge asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Demand {
    /// Without this the request is refused; nothing for what only asks who is calling.
    pub(super) needs: Option<(Resource, Option<Action>)>,
    /// What the challenge names; a mount names its source too.
    pub(super) scopes: Vec<Scope>,
}

impl Scope {
    fn of(name: &str, actions: &[Action]) -> Self {
        Self { resource: Resource::Repository(name.to_owned()), actions: actions.to_vec() }
    }

    /// Reads a scope; what is of no known type is `None`, and a token grants nothing for it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "registry:catalog:*" {
            return Some(Self { resource: Resource::Catalog, actions: Vec::new() });
        }
        let (name, actions) = text.strip_prefix("repository:")?.rsplit_once(':')?;
        let wanted = |action: &Action| actions.split(',').any(|it| it == "*" || it == action.name());
        Some(Self::of(name, &Action::ALL.into_iter().filter(wanted).collect::<Vec<_>>()))
    }

    /// Reads scopes as the token endpoint gets them: in several parameters, or several in one.
    pub(super) fn parse_all<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<Self> {
        texts.flat_map(str::split_whitespace).filter_map(Self::parse).collect()
    }

    /// Leaves only what the rights allow. A scope without actions stays: it was asked for and not granted.
    pub(super) fn narrowed(mut self, rights: &[Right]) -> Self {
        if let Resource::Repository(name) = &self.resource {
            self.actions.retain(|action| allow(rights, name, *action));
        }
        self
    }

    /// Returns the scope as an entry of a token's `access`.
    pub(super) fn claim(&self) -> Value {
        match &self.resource {
            Resource::Catalog => json!({"type": "registry", "name": "catalog", "actions": ["*"]}),
            Resource::Repository(name) => {
                let actions: Vec<_> = self.actions.iter().map(|action| action.name()).collect();
                json!({"type": "repository", "name": name, "actions": actions})
            }
        }
    }

    /// Reads an entry of a token's `access`.
    pub(super) fn of_claim(claim: &Value) -> Option<Self> {
        let text = |name: &str| claim.get(name).and_then(Value::as_str);
        let actions = claim.get("actions")?.as_array()?.iter().filter_map(Value::as_str);
        let actions = actions.collect::<Vec<_>>().join(",");
        Self::parse(&format!("{}:{}:{actions}", text("type")?, text("name")?))
    }

    /// Says whether the scope grants the action.
    pub(super) fn grants(&self, resource: &Resource, action: Option<Action>) -> bool {
        self.resource == *resource && action.is_none_or(|action| self.actions.contains(&action))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.resource {
            Resource::Catalog => f.write_str("registry:catalog:*"),
            Resource::Repository(name) => {
                let actions: Vec<_> = self.actions.iter().map(|action| action.name()).collect();
                write!(f, "repository:{name}:{}", actions.join(","))
            }
        }
    }
}

impl Demand {
    /// Returns what a request needs. A path that means nothing needs only a caller.
    pub(super) fn of(call: &Call) -> Self {
        let push: &[Action] = &[Action::Pull, Action::Push];
        let (name, action, actions) = match Endpoint::parse(&call.path) {
            Err(_) | Ok(Endpoint::Base) => return Self::default(),
            Ok(Endpoint::Catalog) => {
                let scope = Scope { resource: Resource::Catalog, actions: Vec::new() };
                return Self { needs: Some((Resource::Catalog, None)), scopes: vec![scope] };
            }
            Ok(Endpoint::Uploads { name } | Endpoint::Upload { name, .. }) => (name, Action::Push, push),
            Ok(
                Endpoint::Tags { name }
                | Endpoint::Referrers { name, .. }
                | Endpoint::Blob { name, .. }
                | Endpoint::Manifest { name, .. },
            ) => match call.method {
                Method::DELETE => (name, Action::Delete, [Action::Delete].as_slice()),
                Method::PUT => (name, Action::Push, push),
                _ => (name, Action::Pull, [Action::Pull].as_slice()),
            },
        };
        let mut scopes = vec![Scope::of(&name, actions)];
        let source = call.query.first("from").filter(|_| call.query.first("mount").is_some());
        scopes.extend(source.filter(|it| is_name(it)).map(|source| Scope::of(source, &[Action::Pull])));
        Self { needs: Some((Resource::Repository(name), Some(action))), scopes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_from_both_ends() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(Scope::parse(text).map(|it| it.to_string()).as_deref(), expect, "{text}");
        };
        check("repository:a/b:pull", Some("repository:a/b:pull"));
        check("repository:host:5000/a:push,pull", Some("repository:host:5000/a:pull,push"));
        check("repository:a:*", Some("repository:a:pull,push,delete"));
        check("repository:a:fly", Some("repository:a:"));
        check("registry:catalog:*", Some("registry:catalog:*"));
        for text in ["repository:a/b:pull,push", "repository:a:", "registry:catalog:*"] {
            let scope = Scope::parse(text).unwrap();
            assert_eq!(Scope::of_claim(&scope.claim()), Some(scope), "{text}");
        }
        for bad in ["", "repository:a", "registry:catalog:pull", "plugin:a:pull"] {
            check(bad, None);
        }
        assert_eq!(Scope::parse_all(["repository:a:pull repository:b:pull", "x"].into_iter()).len(), 2);
    }

    #[test]
    fn narrowing_keeps_what_was_asked_for() {
        let scope = Scope::parse("repository:a:pull,push").unwrap();
        assert_eq!(
            scope.clone().narrowed(&[Right::of("*", [Action::Pull])]).to_string(),
            "repository:a:pull"
        );
        assert_eq!(scope.narrowed(&[]).to_string(), "repository:a:");
    }
}
