//! Wharfinger in every configuration that a scenario needs, each process with an upstream of its own, so
//! that scenarios run side by side.

use std::fs;
use std::net::TcpListener;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::server::Server;

/// How many stands have nothing special: most scenarios wait rather than compute.
pub(super) const PLAIN: usize = 5;
/// The account that `sim` knows.
pub(super) const ACCOUNT: (&str, &str) = ("harbour-master", "lighthouse-at-dusk");
/// Repetitions, and what `retryDelay` says, in milliseconds.
const RETRIES: (u32, u32) = (2, 200);
/// The defaults of `breakerFailures` and, in milliseconds, `breakerDelay`.
const BREAKER: (u32, u32) = (5, 10_000);

/// Ports below those that Linux gives to who asks for any one.
const PORTS: Range<u32> = 20_000..32_000;
/// How far apart two runs begin to look, so that they seldom want the same.
const PORTS_APART: u32 = 101;

/// What is special about a stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing: short waits and no breaker, so that scenarios are quick and each fault is met.
    Plain,
    /// It has an account at its upstream, which wants tokens.
    Account,
    /// It has one at its upstream, which knows no tokens.
    Basic,
    /// Its upstream has two urls.
    Mirror,
    /// It waits and gives up as it does when nobody configures that.
    Defaults,
}

/// Starts all of them, and returns them with the list that `sim` reads.
pub(super) fn start(program: &Path, folder: &Path, logs: &Path) -> Result<(Vec<Server>, Value)> {
    let special = [Kind::Defaults, Kind::Account, Kind::Account, Kind::Basic, Kind::Mirror];
    let kinds = special.into_iter().chain([Kind::Plain; PLAIN]);
    let (mut servers, mut stands) = (Vec::new(), Vec::new());
    for (number, kind) in kinds.enumerate() {
        let own = folder.join(number.to_string());
        fs::create_dir_all(&own).with_context(|| format!("making {}", own.display()))?;
        let origin = address()?;
        let mirror = (kind == Kind::Mirror).then(address).transpose()?;
        let mut text = configuration(kind, &origin, mirror.as_deref(), &own.join("data"));
        if matches!(kind, Kind::Account | Kind::Basic) {
            let file = own.join("credentials.json");
            let account = json!({ &origin: {"username": ACCOUNT.0, "password": ACCOUNT.1} });
            fs::write(&file, account.to_string()).with_context(|| format!("writing {}", file.display()))?;
            text["extensions"]["sync"]["credentialsFile"] = json!(file);
        }
        let file = own.join("config.json");
        fs::write(&file, text.to_string()).with_context(|| format!("writing {}", file.display()))?;
        let server = Server::start(program, [&file], &logs.join(format!("{number}.log")))?;
        stands.push(stand(kind, server.url(), &origin, mirror.as_deref()));
        servers.push(server);
    }
    Ok((servers, Value::Array(stands)))
}

/// Returns an address that nothing listens on now, and that the kernel gives to nobody who asks for any
/// port: the origin takes it only later, when servers and their clients have taken theirs.
pub(super) fn address() -> Result<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(PORTS_APART);
    for _ in 0..PORTS.len() {
        let number = first.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + number % (PORTS.end - PORTS.start);
        let address = format!("127.0.0.1:{port}");
        if TcpListener::bind(&address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port from {} to {} is free", PORTS.start, PORTS.end)
}

/// Writes the configuration: everything on demand from `origin`.
fn configuration(kind: Kind, origin: &str, mirror: Option<&str>, data: &Path) -> Value {
    let urls: Vec<_> =
        [Some(origin), mirror].into_iter().flatten().map(|it| format!("http://{it}")).collect();
    let mut upstream = json!({"urls": urls, "onDemand": true, "tlsVerify": false});
    if kind != Kind::Defaults {
        let quick = json!({
            "connectTimeout": "2s",
            "responseTimeout": "2s",
            "checkTimeout": "1s",
            "maxRetries": RETRIES.0,
            "retryDelay": format!("{}ms", RETRIES.1),
            "negativeTtl": "1s",
            "breakerFailures": 0,
        });
        let quick = quick.as_object().cloned().unwrap_or_default();
        upstream.as_object_mut().expect("it was made an object above").extend(quick);
    }
    json!({
        "storage": {"rootDirectory": data},
        "http": {"address": "127.0.0.1", "port": "0"},
        "extensions": {"sync": {"enable": true, "registries": [upstream]}},
    })
}

/// Describes a stand to `sim`.
fn stand(kind: Kind, target: &str, origin: &str, mirror: Option<&str>) -> Value {
    let mut stand = json!({"target": target, "origin": origin, "push": true});
    match kind {
        Kind::Defaults => stand["breaker"] = json!({"failures": BREAKER.0, "delay_ms": BREAKER.1}),
        _ => stand["retries"] = json!({"max": RETRIES.0, "delay_ms": RETRIES.1}),
    }
    match kind {
        Kind::Account => stand["account"] = json!(true),
        Kind::Basic => stand["basic_account"] = json!(true),
        _ => {}
    }
    if let Some(mirror) = mirror {
        stand["mirror"] = json!(mirror);
    }
    stand
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Kind, address, configuration, stand};

    #[test]
    fn no_address_is_given_twice() {
        let (one, two) = (address().unwrap(), address().unwrap());
        assert_ne!(one, two);
    }

    #[test]
    fn the_only_upstream_is_the_simulator() {
        let text = configuration(Kind::Defaults, "127.0.0.1:7", None, Path::new("/data")).to_string();
        let expect = r#""registries":[{"onDemand":true,"tlsVerify":false,"urls":["http://127.0.0.1:7"]}]"#;
        assert!(text.contains(expect), "{text}");
        assert!(text.contains(r#""rootDirectory":"/data""#), "{text}");
        let text = configuration(Kind::Mirror, "a:7", Some("b:8"), Path::new("/data")).to_string();
        assert!(text.contains(r#""urls":["http://a:7","http://b:8"]"#), "{text}");
    }

    #[test]
    fn what_is_configured_is_said() {
        let said = |kind, mirror| stand(kind, "http://t", "o", mirror);
        assert!(said(Kind::Plain, None).get("account").is_none());
        assert_eq!(said(Kind::Account, None)["account"], true);
        assert_eq!(said(Kind::Basic, None)["basic_account"], true);
        assert_eq!(said(Kind::Mirror, Some("m"))["mirror"], "m");
        assert_eq!(said(Kind::Plain, None)["retries"]["delay_ms"], 200);
        assert!(said(Kind::Defaults, None).get("retries").is_none());
    }
}
