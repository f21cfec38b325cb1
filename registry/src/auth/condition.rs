//! What has to hold for a rule of the policy to grant anything.

use std::sync::Arc;

use serde_json::Value;

use super::circumstances::MEMBERS;
use super::error::PolicyError;
use super::expression::{Context, Expression, Subject};
use super::options::{ConditionOptions, Rule};

/// A condition, ready to be judged.
#[derive(Debug)]
pub(super) struct Condition {
    expression: Expression,
    pub(super) message: Arc<str>,
    /// Whether it may be about the groups of who asks.
    pub(super) names_groups: bool,
}

impl ConditionOptions {
    /// Returns what is wrong with its expression.
    pub fn fault(&self) -> Option<String> {
        Expression::parse(&self.expression, Subject::Request(MEMBERS), &[])
            .err()
            .map(|error| error.to_string())
    }
}

/// Reads the conditions of a rule that stands at a place of the configuration.
///
/// *Errors:* [`PolicyError::Condition`] for the first that is no expression.
pub(super) fn read(rule: &Rule, place: impl Fn() -> String) -> Result<Vec<Condition>, PolicyError> {
    let read = |(index, options): (usize, &ConditionOptions)| {
        let expression = Expression::parse(&options.expression, Subject::Request(MEMBERS), &[]);
        let expression =
            expression.map_err(|source| PolicyError::Condition { place: place(), index, source })?;
        let names_groups = options.expression.contains("groups");
        Ok(Condition { expression, message: options.message.as_str().into(), names_groups })
    };
    rule.conditions.iter().enumerate().map(read).collect()
}

/// Returns the first condition that a request does not meet, and its place among them.
///
/// One that comes to nothing, or to something other than true and false, is not met.
pub(super) fn unmet(conditions: &[Condition], subject: Value) -> Option<(usize, &Condition)> {
    let context = Context { subject, ..Context::default() };
    conditions.iter().enumerate().find(|(_, condition)| condition.expression.truth(&context) != Ok(true))
}
