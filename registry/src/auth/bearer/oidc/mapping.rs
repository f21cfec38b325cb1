//! Which user and which groups the claims of a workload come to, and what else they must say.

use serde_json::Value;

use crate::auth::bearer::claims::{Claims, check_name};
use crate::auth::error::TokenError;
use crate::auth::expression::{Context, Expression, ExpressionError, Failure, Subject};
use crate::auth::identity::Account;
use crate::auth::options::MappingOptions;

/// The most groups that a token gives.
const GROUPS_MAX: usize = 1_000;

/// A mapping of claims, ready to be used.
#[derive(Debug)]
pub(in crate::auth::bearer) struct Mapping {
    variables: Vec<(String, Expression)>,
    validations: Vec<(Expression, String)>,
    username: Expression,
    groups: Option<Expression>,
}

impl Mapping {
    /// Reads its expressions.
    ///
    /// *Errors:* the key of the first that is none, below `claimMapping`, and what is wrong with it.
    pub(in crate::auth::bearer) fn parse(
        options: &MappingOptions,
    ) -> Result<Self, (String, ExpressionError)> {
        let mut names: Vec<String> = Vec::new();
        let mut variables = Vec::new();
        for (index, (name, text)) in options.variables.iter().enumerate() {
            let at = |error| (format!("variables[{index}].expression"), error);
            variables.push((name.clone(), Expression::parse(text, Subject::Claims, &names).map_err(at)?));
            names.push(name.clone());
        }
        let mut validations = Vec::new();
        for (index, (text, message)) in options.validations.iter().enumerate() {
            let at = |error| (format!("validations[{index}].expression"), error);
            validations
                .push((Expression::parse(text, Subject::Claims, &names).map_err(at)?, message.clone()));
        }
        let of = |key: &str, text: &str| {
            Expression::parse(text, Subject::Claims, &names).map_err(|error| (key.to_owned(), error))
        };
        let username = of("username", &options.username)?;
        let groups = options.groups.as_ref().map(|text| of("groups", text)).transpose()?;
        Ok(Self { variables, validations, username, groups })
    }

    /// Returns the account that claims come to.
    ///
    /// *Errors:* [`TokenError::Mapping`] when they do not come to one, or a validation does not hold.
    pub(in crate::auth::bearer) fn account(&self, claims: &Claims) -> Result<Account, TokenError> {
        let mut context = Context { subject: claims.value(), ..Context::default() };
        for (name, expression) in &self.variables {
            let value = expression.evaluate(&context).map_err(|Failure| refused(name, "variable"))?;
            context.variables.insert(name.clone(), value);
        }
        for (expression, message) in &self.validations {
            if expression.truth(&context) != Ok(true) {
                return Err(refused(message, "validation"));
            }
        }
        let name = self.username.text(&context).map_err(|Failure| refused("username", "mapping"))?;
        check_name(&name).map_err(|_| refused("username", "mapping"))?;
        let groups = match &self.groups {
            Some(expression) => {
                groups(expression.evaluate(&context)).ok_or_else(|| refused("groups", "mapping"))?
            }
            None => Vec::new(),
        };
        Ok(Account::new(name, groups))
    }
}

fn groups(value: Result<Value, Failure>) -> Option<Vec<String>> {
    let items = match value.ok()? {
        Value::Array(items) if items.len() <= GROUPS_MAX => items,
        _ => return None,
    };
    let text = |item: &Value| item.as_str().filter(|it| check_name(it).is_ok()).map(str::to_owned);
    items.iter().map(text).collect()
}

/// Says in the log what the client is not told: which part of the configuration does not take its token.
fn refused(name: &str, part: &'static str) -> TokenError {
    tracing::info!(auth.mapping = name, "an identity token was refused by a {part} of its claimMapping");
    TokenError::Mapping
}
