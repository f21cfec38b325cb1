//! P8: an error says what happened. 404 only when the origin said 404; else 403, 429, 502, 503 or 504 with
//! an OCI error body that holds neither the origin's address nor its words.

use serde_json::Value;

use super::verdict::{Evidence, Tally};
use crate::{
    fault::ORIGIN_WORDS,
    origin::Entry,
    stand::Stand,
    traffic::{Ask, Exchange, Kind, Outcome},
};

/// The codes of the specification, and `UNKNOWN`, which every registry has used for 5xx since the first.
const CODES: [&str; 15] = [
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
    "UNKNOWN",
];

pub(super) fn judge(evidence: &Evidence<'_>) -> Tally {
    let mut tally = Tally::default();
    // What a target says to a push is its own affair, and no upstream's.
    for exchange in evidence.exchanges.iter().filter(|it| it.wanted.ask != Ask::Push) {
        tally.look();
        if let Err(text) = check(exchange, evidence) {
            tally.wrong(text, Some(exchange));
        }
    }
    tally
}

fn check(exchange: &Exchange, evidence: &Evidence<'_>) -> Result<(), String> {
    let Some(status) = exchange.status else {
        return match exchange.outcome {
            Outcome::TimedOut => Err("no answer at all: a client gives up, or hangs with it".to_owned()),
            _ => Err("the connection ended without an answer".to_owned()),
        };
    };
    let asked: Vec<&Entry> =
        evidence.journal.iter().filter(|it| it.names(&exchange.wanted.reference)).collect();
    let upstream_said =
        |wanted: &[u16]| asked.iter().any(|it| it.status.is_some_and(|it| wanted.contains(&it)));
    match status {
        200 | 206 => return Ok(()),
        // Asked before a push: what the upstream cannot lend, the client sends.
        404 if exchange.wanted.ask == Ask::Head && exchange.wanted.kind == Kind::Blob => {}
        404 if !upstream_said(&[404]) => {
            return Err("404 for what the origin never said is absent".to_owned());
        }
        403 if !upstream_said(&[401, 403]) => return Err("403 for what the origin never denied".to_owned()),
        403 | 404 | 429 | 502 | 503 | 504 => {}
        other => return Err(format!("{other} is none of 403, 404, 429, 502, 503, 504")),
    }
    if status == 429 && exchange.retry_after.is_none() {
        return Err("429 without Retry-After".to_owned());
    }
    if exchange.wanted.ask == Ask::Head {
        return Ok(());
    }
    let body = exchange.error_body.as_deref().unwrap_or_default();
    let Stand { origin, mirror, .. } = evidence.stand;
    [Some(origin), mirror.as_ref()].into_iter().flatten().try_for_each(|address| check_body(body, address))
}

fn check_body(body: &str, origin_addr: &str) -> Result<(), String> {
    let port = origin_addr.rsplit(':').next().unwrap_or_default();
    if body.contains(origin_addr) || body.contains(&format!("localhost:{port}")) {
        return Err("the error shows the origin's address".to_owned());
    }
    if body.contains(ORIGIN_WORDS) {
        return Err("the error repeats the origin's words".to_owned());
    }
    let value: Value = serde_json::from_str(body).map_err(|_| "the error body is not JSON".to_owned())?;
    let errors = value.get("errors").and_then(Value::as_array).filter(|it| !it.is_empty());
    let errors = errors.ok_or("the error body has no errors")?;
    for error in errors {
        let code = error.get("code").and_then(Value::as_str).ok_or("an error has no code")?;
        if !CODES.contains(&code) {
            return Err(format!("the error code {code} is none of the specification's"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        super::planted::{check, entry, failed, findings, layer, refused},
        *,
    };

    #[test]
    fn p8_dishonest_statuses_are_caught() {
        let check = |exchange: Exchange, upstream: Entry, expect: &[&str]| {
            assert_eq!(findings(&check(judge, &[exchange], &[upstream])), expect);
        };
        let path = layer().path();
        check(refused(layer(), 502), failed(&path, 0, 500), &[]);
        check(refused(layer(), 404), failed(&path, 0, 404), &[]);
        check(
            refused(layer(), 404),
            failed(&path, 0, 500),
            &["404 for what the origin never said is absent"],
        );
        check(refused(layer(), 403), failed(&path, 0, 500), &["403 for what the origin never denied"]);
        check(refused(layer(), 429), failed(&path, 0, 429), &["429 without Retry-After"]);
        check(refused(layer(), 500), entry(&path, 0), &["500 is none of 403, 404, 429, 502, 503, 504"]);
        let hung = Exchange { status: None, outcome: Outcome::TimedOut, ..refused(layer(), 500) };
        check(hung, entry(&path, 0), &["no answer at all: a client gives up, or hangs with it"]);
    }

    #[test]
    fn bodies() {
        let check = |body: &str| check_body(body, "127.0.0.1:5001");
        assert_eq!(
            check(r#"{"errors":[{"code":"UNKNOWN","message":"upstream hub does not answer"}]}"#),
            Ok(())
        );
        for bad in [
            "",
            "<html>",
            "{}",
            r#"{"errors":[]}"#,
            r#"{"errors":[{"message":"x"}]}"#,
            r#"{"errors":[{"code":"OOPS"}]}"#,
            r#"{"errors":[{"code":"UNKNOWN","message":"GET http://127.0.0.1:5001/v2/ failed"}]}"#,
            r#"{"errors":[{"code":"UNKNOWN","message":"localhost:5001 does not answer"}]}"#,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(
            check(&format!(r#"{{"errors":[{{"code":"UNKNOWN","message":"{ORIGIN_WORDS}"}}]}}"#)).is_err()
        );
    }
}
