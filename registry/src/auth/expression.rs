//! Expressions over the claims of a token, or over a request: a small part of CEL, without loops.
//!
//! *Shape:* texts in either quotes, whole numbers, `true`, `false`, lists; what it is about ([`Subject`]), and
//! `vars.<name>` of a variable that stands before; `.name`, `['name']`, `[0]`; `+` of texts and of lists; `==`, `!=`,
//! `in`; `<`, `<=`, `>`, `>=` of two texts or two numbers; `!`, `&&`, `||`, `a ? b : c`; `has(claims.name)`;
//! `timestamp('2027-01-31T00:00:00Z')`; the methods `startsWith`, `endsWith`, `contains`, `matches`, `split`,
//! `lowerAscii`, and those that take a time apart. Everything else is a fault when the configuration is read, rather
//! than a token or a request that is refused or taken later.
//!
//! A time is a text: RFC 3339 in UTC with milliseconds, so that the later one is the greater one.
//!
//! *Units and limits:* an expression has [`EXPRESSION_BYTES_MAX`] and is [`DEPTH_MAX`] deep; evaluating takes as many
//! steps as it has parts, and makes nothing larger than [`VALUE_BYTES_MAX`](evaluate::VALUE_BYTES_MAX). A regular
//! expression is a text of its own, compiled when it is read, of at most [`REGEX_BYTES_MAX`].

mod evaluate;
mod pattern;
mod time;

pub(super) use evaluate::{Context, Failure};

use pattern::Pattern;
use time::Part;

/// The longest expression, in bytes.
const EXPRESSION_BYTES_MAX: usize = 4096;

/// How deep parts of an expression may stand in each other.
const DEPTH_MAX: usize = 32;

/// How many operators an expression may have: each stands around what is before it.
const OPERATORS_MAX: usize = 200;

/// The largest that a regular expression may become, in bytes.
const REGEX_BYTES_MAX: usize = 256 * 1024;

/// What expressions are about, and the name that they call it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// `claims`: whatever a token says.
    Claims,
    /// `req`: a request, of which these members are known, in full, such as `user.username`.
    Request(&'static [&'static str]),
}

impl Subject {
    const fn name(self) -> &'static str {
        match self {
            Self::Claims => "claims",
            Self::Request(_) => "req",
        }
    }
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Text(String),
    Number(i64),
    Bool(bool),
    List(Vec<Expression>),
    Subject,
    Variable(String),
    Member(Box<Expression>, String),
    Index(Box<Expression>, Box<Expression>),
    Has(Box<Expression>),
    Not(Box<Expression>),
    Pair(Box<Expression>, Operator, Box<Expression>),
    Choice(Box<Expression>, Box<Expression>, Box<Expression>),
    Call(Box<Expression>, Method, Box<Expression>),
    Matches(Box<Expression>, Pattern),
    Lower(Box<Expression>),
    Part(Box<Expression>, Part),
}

/// What stands between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Plus,
}

/// What a text is asked, about another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    StartsWith,
    EndsWith,
    Contains,
    Split,
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// It is too long.
    #[error("is longer than {EXPRESSION_BYTES_MAX} bytes")]
    TooLong,
    /// Its parts stand too deep in each other.
    #[error("is more than {DEPTH_MAX} parts deep, or has more than {OPERATORS_MAX} operators")]
    TooDeep,
    /// Something else was expected.
    #[error("is no expression from its character {at} on: {expected} is expected")]
    Expected {
        /// Where, in characters from 1.
        at: usize,
        /// What.
        expected: &'static str,
    },
    /// It names what there is not.
    #[error("names {name:?}, which is neither {subject} nor a variable that stands before as vars.<name>")]
    Name {
        /// The name.
        name: String,
        /// What could be named.
        subject: &'static str,
    },
    /// It names a member of a request that there is not.
    #[error("names {name:?}, and there are {known}")]
    Member {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// It calls what there is not.
    #[error(
        "calls {name:?}, which is none of startsWith, endsWith, contains, matches, split, lowerAscii, {parts}, has and timestamp",
        parts = time::NAMES
    )]
    Call {
        /// The name.
        name: String,
    },
    /// A regular expression is none.
    #[error("matches the regular expression {pattern:?}, which is none, or too large: {reason}")]
    Pattern {
        /// The text.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Expression {
    /// Reads an expression about something, which may name these variables.
    ///
    /// *Errors:* every variant of [`ExpressionError`].
    pub(super) fn parse(text: &str, subject: Subject, variables: &[String]) -> Result<Self, ExpressionError> {
        if text.len() > EXPRESSION_BYTES_MAX {
            return Err(ExpressionError::TooLong);
        }
        let mut parser = Parser { text, at: 0, depth: 0, operators: 0, subject, variables };
        let expression = parser.expression()?;
        parser.space();
        if parser.rest().is_empty() { Ok(expression) } else { Err(parser.expected("an operator or the end")) }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    operators: usize,
    subject: Subject,
    variables: &'a [String],
}

type Parsed = Result<Expression, ExpressionError>;

impl<'a> Parser<'a> {
    fn expression(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(ExpressionError::TooDeep);
        }
        let condition = self.or()?;
        let expression = if self.take("?") {
            let then = self.expression()?;
            self.need(":", "a colon")?;
            Expression::Choice(Box::new(condition), Box::new(then), Box::new(self.expression()?))
        } else {
            condition
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn or(&mut self) -> Parsed {
        let mut left = self.and()?;
        while self.take("||") {
            left = self.pair(left, Operator::Or, Self::and)?;
        }
        Ok(left)
    }

    fn and(&mut self) -> Parsed {
        let mut left = self.relation()?;
        while self.take("&&") {
            left = self.pair(left, Operator::And, Self::relation)?;
        }
        Ok(left)
    }

    fn relation(&mut self) -> Parsed {
        let left = self.sum()?;
        let operator = if self.take("==") {
            Operator::Equal
        } else if self.take("!=") {
            Operator::Unequal
        } else if self.take("<=") {
            Operator::LessOrEqual
        } else if self.take("<") {
            Operator::Less
        } else if self.take(">=") {
            Operator::GreaterOrEqual
        } else if self.take(">") {
            Operator::Greater
        } else if self.take_word("in") {
            Operator::In
        } else {
            return Ok(left);
        };
        self.pair(left, operator, Self::sum)
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.unary()?;
        while self.take("+") {
            left = self.pair(left, Operator::Plus, Self::unary)?;
        }
        Ok(left)
    }

    fn pair(&mut self, left: Expression, operator: Operator, right: fn(&mut Self) -> Parsed) -> Parsed {
        self.operators += 1;
        if self.operators > OPERATORS_MAX {
            return Err(ExpressionError::TooDeep);
        }
        Ok(Expression::Pair(Box::new(left), operator, Box::new(right(self)?)))
    }

    fn unary(&mut self) -> Parsed {
        let mut is_negated = false;
        while !self.looks_at("!=") && self.take("!") {
            is_negated = !is_negated;
        }
        let of = self.member()?;
        Ok(if is_negated { Expression::Not(Box::new(of)) } else { of })
    }

    fn member(&mut self) -> Parsed {
        let mut of = self.primary()?;
        if of == Expression::Subject
            && let Subject::Request(members) = self.subject
        {
            of = self.member_of_request(members)?;
        }
        // Each step stands around the one before it, so that their number is a depth too.
        for _ in 0..DEPTH_MAX {
            if self.take(".") {
                let name = self.word().ok_or_else(|| self.expected("a name"))?;
                of = if self.take("(") {
                    self.call(of, name)?
                } else {
                    Expression::Member(Box::new(of), name)
                };
            } else if self.take("[") {
                let index = self.expression()?;
                self.need("]", "a closing bracket")?;
                of = Expression::Index(Box::new(of), Box::new(index));
            } else {
                return Ok(of);
            }
        }
        Err(ExpressionError::TooDeep)
    }

    /// Reads the members of a request one after the other, as far as they name one that is known.
    fn member_of_request(&mut self, members: &[&str]) -> Parsed {
        let (mut of, mut path) = (Expression::Subject, String::new());
        loop {
            let name = if self.take(".") { self.word() } else { None };
            let Some(name) = name else { return Err(self.expected("a member, as in req.user.username")) };
            path.push_str(&name);
            of = Expression::Member(Box::new(of), name);
            if members.contains(&path.as_str()) {
                return Ok(of);
            }
            path.push('.');
            if !members.iter().any(|member| member.starts_with(&path)) {
                let name = format!("req.{}", path.trim_end_matches('.'));
                return Err(ExpressionError::Member { name, known: members.join(", ") });
            }
        }
    }

    fn call(&mut self, of: Expression, name: String) -> Parsed {
        let of = Box::new(of);
        if let Some(part) = Part::named(&name) {
            self.need(")", "a closing parenthesis, since times are in UTC,")?;
            return Ok(Expression::Part(of, part));
        }
        let method = match name.as_str() {
            "startsWith" => Method::StartsWith,
            "endsWith" => Method::EndsWith,
            "contains" => Method::Contains,
            "split" => Method::Split,
            "lowerAscii" => {
                self.need(")", "a closing parenthesis")?;
                return Ok(Expression::Lower(of));
            }
            "matches" => {
                let pattern = Pattern::compile(self.literal()?)?;
                self.need(")", "a closing parenthesis")?;
                return Ok(Expression::Matches(of, pattern));
            }
            _ => return Err(ExpressionError::Call { name }),
        };
        let argument = self.expression()?;
        self.need(")", "a closing parenthesis")?;
        Ok(Expression::Call(of, method, Box::new(argument)))
    }

    /// Reads a text that stands there itself.
    fn literal(&mut self) -> Result<String, ExpressionError> {
        self.space();
        match self.rest().chars().next() {
            Some(quote @ ('\'' | '"')) => self.quoted(quote),
            _ => Err(self.expected("a text in quotes")),
        }
    }

    fn primary(&mut self) -> Parsed {
        self.space();
        match self.rest().chars().next() {
            Some(quote @ ('\'' | '"')) => self.quoted(quote).map(Expression::Text),
            Some('0'..='9' | '-') => self.number(),
            Some('(') => {
                self.at += 1;
                let inner = self.expression()?;
                self.need(")", "a closing parenthesis")?;
                Ok(inner)
            }
            Some('[') => {
                self.at += 1;
                self.list()
            }
            _ => self.named(),
        }
    }

    fn list(&mut self) -> Parsed {
        let mut items = Vec::new();
        while !self.take("]") {
            if !items.is_empty() {
                self.need(",", "a comma or a closing bracket")?;
            }
            items.push(self.expression()?);
        }
        Ok(Expression::List(items))
    }

    fn named(&mut self) -> Parsed {
        let Some(name) = self.word() else { return Err(self.expected("a value")) };
        match name.as_str() {
            "true" => Ok(Expression::Bool(true)),
            "false" => Ok(Expression::Bool(false)),
            name if name == self.subject.name() => Ok(Expression::Subject),
            "timestamp" if self.take("(") => {
                let time = time::normal(&self.literal()?);
                let time = time.ok_or_else(|| {
                    self.expected("a time such as '2027-01-31T00:00:00Z', in UTC, before this")
                })?;
                self.need(")", "a closing parenthesis")?;
                Ok(Expression::Text(time))
            }
            "vars" => {
                self.need(".", "the name of a variable after vars.")?;
                let name = self.word().ok_or_else(|| self.expected("the name of a variable"))?;
                if self.variables.contains(&name) {
                    Ok(Expression::Variable(name))
                } else {
                    Err(self.unknown(format!("vars.{name}")))
                }
            }
            "has" if self.take("(") => {
                let of = self.member()?;
                if !matches!(of, Expression::Member(..)) {
                    return Err(self.expected("a member such as claims.name in has()"));
                }
                self.need(")", "a closing parenthesis")?;
                Ok(Expression::Has(Box::new(of)))
            }
            _ if self.looks_at("(") => Err(ExpressionError::Call { name }),
            _ => Err(self.unknown(name)),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, ExpressionError> {
        self.at += 1;
        let mut text = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((at, char)) = chars.next() {
            match char {
                '\\' => match chars.next() {
                    Some((_, escaped @ ('\\' | '\'' | '"'))) => text.push(escaped),
                    _ => return Err(self.expected("a backslash or a quote after a backslash")),
                },
                char if char == quote => {
                    self.at += at + 1;
                    return Ok(text);
                }
                char => text.push(char),
            }
        }
        Err(self.expected("the end of this text"))
    }

    fn number(&mut self) -> Parsed {
        let rest = self.rest();
        let digits = rest.strip_prefix('-').unwrap_or(rest);
        let len = digits.find(|it: char| !it.is_ascii_digit()).unwrap_or(digits.len());
        let len = len + rest.len() - digits.len();
        let number = rest[..len].parse().map_err(|_| self.expected("a whole number"))?;
        self.at += len;
        Ok(Expression::Number(number))
    }

    fn word(&mut self) -> Option<String> {
        self.space();
        let rest = self.rest();
        let len = rest.find(|it: char| !is_of_word(it)).unwrap_or(rest.len());
        let word = &rest[..len];
        if word.is_empty() || word.starts_with(|it: char| it.is_ascii_digit()) {
            return None;
        }
        self.at += len;
        Some(word.to_owned())
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.looks_at(word) && !self.rest()[word.len()..].starts_with(is_of_word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.looks_at(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    fn looks_at(&mut self, sign: &str) -> bool {
        self.space();
        self.rest().starts_with(sign)
    }

    fn need(&mut self, sign: &str, expected: &'static str) -> Result<(), ExpressionError> {
        if self.take(sign) { Ok(()) } else { Err(self.expected(expected)) }
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn unknown(&self, name: String) -> ExpressionError {
        ExpressionError::Name { name, subject: self.subject.name() }
    }

    fn expected(&self, expected: &'static str) -> ExpressionError {
        ExpressionError::Expected { at: self.text[..self.at].chars().count() + 1, expected }
    }
}

fn is_of_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

#[cfg(test)]
mod tests;
