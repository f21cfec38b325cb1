//! A request to an origin that asks who is calling, as lies about access meet it: before anybody is let in.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::AUTHORIZATION};

use crate::origin::{
    access::{Caller, Gate, Moment},
    dispatch::{Call, finished, honest},
    store::Store,
};

/// A request with what decides about it.
pub(in crate::origin) struct Asked<'a> {
    pub(in crate::origin) gate: &'a Gate,
    pub(in crate::origin) store: &'a mut Store,
    pub(in crate::origin) call: Call,
    pub(in crate::origin) now: Moment,
}

impl Asked<'_> {
    /// Answers honestly: with a token, with a refusal, or with what was asked for.
    pub(super) fn honest(&mut self) -> Response<Bytes> {
        self.answered(honest)
    }

    /// Answers honestly who may ask, and otherwise what this does.
    pub(super) fn answered(
        &mut self,
        answer: impl FnOnce(&mut Store, &Call) -> Response<Bytes>,
    ) -> Response<Bytes> {
        if let Some(issued) = self.gate.issue(&self.call, self.now) {
            return issued;
        }
        match self.gate.admit(&self.call, self.now.instant) {
            Ok(caller) => {
                self.call.caller = caller;
                answer(self.store, &self.call)
            }
            Err(refusal) => finished(Err(refusal)),
        }
    }

    /// Answers honestly as if the request had come with this header; one that comes with two is left as it is.
    pub(super) fn honest_with(&mut self, authorization: Option<String>) -> Response<Bytes> {
        if self.call.headers.get_all(AUTHORIZATION).iter().count() < 2
            && let Some(value) = authorization.and_then(|it| HeaderValue::from_str(&it).ok())
        {
            self.call.headers.insert(AUTHORIZATION, value);
        }
        self.honest()
    }

    /// Answers honestly and, where that is a refusal, once more with this header.
    pub(super) fn relented(
        &mut self,
        authorization: impl FnOnce(&Self) -> Option<String>,
    ) -> Response<Bytes> {
        let refused = self.honest();
        if !matches!(refused.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return refused;
        }
        match authorization(self) {
            None => refused,
            other => self.honest_with(other),
        }
    }

    /// Returns a header with which the request does whatever it wants.
    pub(super) fn pass_of_the_owner(&self) -> Option<String> {
        self.gate.pass(Some(&self.gate.owner()?.name), &self.call, self.now)
    }

    /// Returns who asks, as far as he may ask this.
    pub(super) fn caller(&self) -> Option<Caller> {
        self.gate.admit(&self.call, self.now.instant).ok()
    }
}
