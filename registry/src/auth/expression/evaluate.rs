//! What an expression comes to.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Number, Value};

use super::{Expression, Method, Operator};

/// The largest text that an expression makes, in bytes, and the most items of a list.
pub(super) const VALUE_BYTES_MAX: usize = 64 * 1024;
const ITEMS_MAX: usize = 1_000;

/// What an expression is about.
#[derive(Debug, Default)]
pub(in crate::auth) struct Context {
    /// The claims, or the request.
    pub(in crate::auth) subject: Value,
    pub(in crate::auth) variables: BTreeMap<String, Value>,
}

/// An expression comes to nothing: a claim is not there or of another kind, or the value would be too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::auth) struct Failure;

impl Expression {
    /// Evaluates it.
    ///
    /// *Errors:* [`Failure`].
    pub(in crate::auth) fn evaluate(&self, context: &Context) -> Result<Value, Failure> {
        match self {
            Self::Text(text) => Ok(text.as_str().into()),
            Self::Number(number) => Ok((*number).into()),
            Self::Bool(value) => Ok((*value).into()),
            Self::List(items) => items
                .iter()
                .map(|item| item.evaluate(context))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::from),
            Self::Subject => Ok(context.subject.clone()),
            Self::Variable(name) => context.variables.get(name).cloned().ok_or(Failure),
            Self::Member(..) | Self::Index(..) => self.found(context)?.ok_or(Failure),
            Self::Has(of) => Ok(of.found(context)?.is_some().into()),
            Self::Not(of) => of.truth(context).map(|truth| (!truth).into()),
            Self::Pair(left, operator, right) => operate(left, *operator, right, context),
            Self::Choice(condition, then, otherwise) => {
                if condition.truth(context)? {
                    then.evaluate(context)
                } else {
                    otherwise.evaluate(context)
                }
            }
            Self::Call(of, method, argument) => call(&of.text(context)?, *method, &argument.text(context)?),
            Self::Matches(of, pattern) => Ok(pattern.is_match(&of.text(context)?).into()),
            Self::Part(of, part) => part.of(&of.text(context)?).map(Value::from).ok_or(Failure),
            Self::Lower(of) => Ok(of.text(context)?.to_ascii_lowercase().into()),
        }
    }

    /// Evaluates it to true or false.
    pub(in crate::auth) fn truth(&self, context: &Context) -> Result<bool, Failure> {
        self.evaluate(context)?.as_bool().ok_or(Failure)
    }

    /// Evaluates it to a text.
    pub(in crate::auth) fn text(&self, context: &Context) -> Result<String, Failure> {
        match self.evaluate(context)? {
            Value::String(text) => Ok(text),
            _ => Err(Failure),
        }
    }

    /// Finds a member or an item; `None` where what it would be in is there and does not have it.
    fn found(&self, context: &Context) -> Result<Option<Value>, Failure> {
        let (of, by) = match self {
            Self::Member(of, name) => (of, Value::from(name.as_str())),
            Self::Index(of, index) => (of, index.evaluate(context)?),
            other => return other.evaluate(context).map(Some),
        };
        // What it is about is large, and only one of them is meant.
        let whole = match of.as_ref() {
            Self::Subject => None,
            of => Some(of.evaluate(context)?),
        };
        match (whole.as_ref().unwrap_or(&context.subject), by) {
            (Value::Object(members), Value::String(name)) => Ok(members.get(&name).cloned()),
            (Value::Array(items), Value::Number(index)) => {
                let index = index.as_u64().and_then(|index| usize::try_from(index).ok()).ok_or(Failure)?;
                Ok(items.get(index).cloned())
            }
            _ => Err(Failure),
        }
    }
}

fn operate(
    left: &Expression,
    operator: Operator,
    right: &Expression,
    context: &Context,
) -> Result<Value, Failure> {
    // As in CEL, either side decides, even beside one that comes to nothing.
    let either = |decides: bool| match left.truth(context) {
        Ok(truth) if truth == decides => Ok(decides.into()),
        Ok(_) => right.truth(context).map(Value::from),
        Err(failure) => {
            if right.truth(context) == Ok(decides) {
                Ok(decides.into())
            } else {
                Err(failure)
            }
        }
    };
    match operator {
        Operator::Or => either(true),
        Operator::And => either(false),
        Operator::Equal => Ok(is_equal(&left.evaluate(context)?, &right.evaluate(context)?).into()),
        Operator::Unequal => Ok((!is_equal(&left.evaluate(context)?, &right.evaluate(context)?)).into()),
        Operator::Less => Ok(compare(left, right, context)?.is_lt().into()),
        Operator::LessOrEqual => Ok(compare(left, right, context)?.is_le().into()),
        Operator::Greater => Ok(compare(left, right, context)?.is_gt().into()),
        Operator::GreaterOrEqual => Ok(compare(left, right, context)?.is_ge().into()),
        Operator::In => match (left.evaluate(context)?, right.evaluate(context)?) {
            (item, Value::Array(items)) => Ok(items.iter().any(|it| is_equal(it, &item)).into()),
            (Value::String(name), Value::Object(members)) => Ok(members.contains_key(&name).into()),
            _ => Err(Failure),
        },
        Operator::Plus => match (left.evaluate(context)?, right.evaluate(context)?) {
            (Value::String(left), Value::String(right)) if left.len() + right.len() <= VALUE_BYTES_MAX => {
                Ok((left + &right).into())
            }
            (Value::Array(left), Value::Array(right)) if left.len() + right.len() <= ITEMS_MAX => {
                Ok([left, right].concat().into())
            }
            _ => Err(Failure),
        },
    }
}

fn compare(left: &Expression, right: &Expression, context: &Context) -> Result<Ordering, Failure> {
    match (left.evaluate(context)?, right.evaluate(context)?) {
        (Value::String(left), Value::String(right)) => Ok(left.cmp(&right)),
        (Value::Number(left), Value::Number(right)) => order(&left, &right).ok_or(Failure),
        _ => Err(Failure),
    }
}

/// Numbers are equal when they are worth the same, however they are written.
fn is_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(one), Value::Number(other)) => order(one, other) == Some(Ordering::Equal),
        (one, other) => one == other,
    }
}

/// Orders two numbers; whole ones to the last digit, which a floating-point number of their size has not.
fn order(left: &Number, right: &Number) -> Option<Ordering> {
    let whole = |number: &Number| number.as_i128();
    match whole(left).zip(whole(right)) {
        Some((left, right)) => Some(left.cmp(&right)),
        None => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

fn call(of: &str, method: Method, argument: &str) -> Result<Value, Failure> {
    match method {
        Method::StartsWith => Ok(of.starts_with(argument).into()),
        Method::EndsWith => Ok(of.ends_with(argument).into()),
        Method::Contains => Ok(of.contains(argument).into()),
        Method::Split if argument.is_empty() => Err(Failure),
        Method::Split => {
            let parts: Vec<Value> = of.split(argument).take(ITEMS_MAX + 1).map(Value::from).collect();
            if parts.len() > ITEMS_MAX { Err(Failure) } else { Ok(parts.into()) }
        }
    }
}
