//! Accounts: who may do what at an origin, by Basic or by Docker's token flow.
//!
//! | module | says |
//! |---|---|
//! | `account` | [`Access`]: accounts, their rights, the scheme |
//! | `scope` | `repository:NAME:pull,push` and what a request demands |
//! | `basic` | the `Basic` header |
//! | `tokens` | the tokens that were issued |
//! | `token_endpoint` | `/token`, where they are |
//! | `gate` | whether a request is let in, and the challenge if not |
//! | `mint` | what lies about all this are made with |
//!
//! Spec: RFC 7617; Docker's token authentication. The distribution specification leaves both open.

mod account;
mod basic;
mod gate;
mod mint;
mod scope;
mod token_endpoint;
mod tokens;

pub use self::account::{Access, Account, Action, Right, Scheme, TokenOptions};
pub(super) use self::{
    gate::{Caller, Gate, TOKEN_PATH},
    mint::{bearer, part},
    token_endpoint::Moment,
};
