//! Lies about the base of the API and about connections.

use http::{Method, StatusCode, header};

use super::{
    Plan, plan,
    tools::{Kind, bent, refuse_if, respell, restatus, without},
};
use crate::origin::dispatch::honest;

pub(super) const LIES: &[Plan] = &[
    plan("base-absent", "Answers 404 to `/v2/`.", |store, call| {
        refuse_if(store, call, StatusCode::NOT_FOUND, |_, call| Kind::of(call) == Kind::Base)
    }),
    plan("base-head-refused", "Answers 405 to a HEAD of `/v2/`.", |store, call| {
        bent(store, call, Kind::Base, |call, response| {
            if call.method == Method::HEAD {
                restatus(response, StatusCode::OK, StatusCode::METHOD_NOT_ALLOWED);
            }
        })
    }),
    plan("base-version-missing", "Leaves Docker-Distribution-API-Version out of `/v2/`.", |store, call| {
        bent(store, call, Kind::Base, |_, response| {
            response.headers_mut().remove("docker-distribution-api-version");
        })
    }),
    plan("base-slash-needed", "Answers 404 to `/v2` without the slash.", |store, call| {
        refuse_if(store, call, StatusCode::NOT_FOUND, |_, call| call.path == "/v2")
    }),
    plan("allow-missing", "Answers 405 without Allow.", |store, call| {
        let mut response = honest(store, call);
        without(&mut response, &header::ALLOW);
        response
    }),
    plan("unknown-path-serves", "Answers 200 to paths below `/v2/` that mean nothing.", |store, call| {
        refuse_if(store, call, StatusCode::OK, |_, call| call.path.ends_with("/unknown/x"))
    }),
    plan("closing-cuts", "Cuts the last byte off a blob before it closes the connection.", |store, call| {
        bent(store, call, Kind::BlobPull, |call, response| {
            if call.header(header::CONNECTION) == Some("close") {
                respell(response, |bytes| {
                    bytes.pop();
                });
            }
        })
    }),
    plan("long-header-breaks", "Breaks with 500 on headers of a kilobyte.", |store, call| {
        refuse_if(store, call, StatusCode::INTERNAL_SERVER_ERROR, |_, call| {
            call.headers.values().any(|value| value.len() >= 1000)
        })
    }),
];
