//! The servers that the suite is run against: one for each configuration that some check needs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::controls::{Carry, Controls};
use crate::bench;
use crate::cargo::Workspace;
use crate::process::free_port;
use crate::server::{Scratch, Server};

/// bcrypt hashes of `of alice`, `of bob` and `of carol`, at the lowest cost: the suite logs in thousands of
/// times, and these protect nothing.
const ACCOUNTS: &str = "\
alice:$2b$04$abcdefghijklmnopqrstuuhi.t1xRhUlwFkDl3mP4A6HLVwr5fxm6
bob:$2b$04$abcdefghijklmnopqrstuu87P8OoqrKv9svOCFELPVUlyO2qiw4O2
carol:$2b$04$abcdefghijklmnopqrstuuBXyoCXfL82mpG6dT8gghKVKmefedJay
";
/// What a policy may allow.
const EVERYTHING: [&str; 4] = ["read", "create", "update", "delete"];
/// How long an upload of the configuration `short-uploads` may stand still; controls name ten seconds.
const SHORT_UPLOADS: &str = "10s";
/// Requests a second of the configuration `rate-limit`: fewer than a check sends, enough to prepare it.
const RATE_LIMIT: u32 = 100;

/// How often the open server looks for garbage, and how old that must be: no push of the suite takes as long.
const GC_INTERVAL: &str = "1s";
const GC_DELAY: &str = "60s";
/// How long it is waited for a look for garbage, and how often it is asked.
const GC_PATIENCE: Duration = Duration::from_secs(60);
const GC_PAUSE: Duration = Duration::from_millis(100);

/// A kind of server.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) says: &'static str,
    role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Open,
    Accounts,
    /// The same, without tokens.
    Basic,
    /// The same as the first, over TLS.
    Encrypted,
    Proxy,
    Reading,
}

/// Every kind; the first is the one that most checks are for.
pub(super) const STANDS: &[Kind] = &[
    Kind { name: "open", says: "everybody may do everything, with all controls", role: Role::Open },
    Kind { name: "accounts", says: "accounts with different rights, by token", role: Role::Accounts },
    Kind { name: "basic", says: "accounts with different rights, by password alone", role: Role::Basic },
    Kind { name: "encrypted", says: "accounts with different rights, over TLS", role: Role::Encrypted },
    Kind { name: "proxy", says: "in front of two upstreams", role: Role::Proxy },
    Kind { name: "reading", says: "anonymous users may only pull", role: Role::Reading },
];

impl Kind {
    /// Says whether it is the server that anybody may push to.
    pub(super) fn is_open(&self) -> bool {
        self.role == Role::Open
    }
}

/// A running server of one kind, with what the suite is told of it.
#[derive(Debug)]
pub(super) struct Stand {
    url: String,
    args: Vec<String>,
    _controls: Controls,
    // Last, so that the servers have ended when their folder is removed.
    _servers: Arc<Servers>,
}

impl Stand {
    /// Starts a server of this kind in a folder of its own.
    pub(super) fn start(workspace: &Workspace, program: &Path, kind: &Kind) -> Result<Self> {
        let scratch = Scratch::new(workspace.target(), &format!("conformance-{}", kind.name))?;
        let servers = Arc::new(Servers {
            program: program.to_owned(),
            logs: workspace.reports("conformance-logs").join(kind.name),
            // Once is enough: what takes an expiring session a quarter of a minute is not repeated.
            configures: kind.is_open(),
            running: Mutex::default(),
            scratch,
        });
        let (configuration, mut args) = servers.of(kind.role)?;
        let url = servers.start("target", &configuration, 0)?;
        let carry: Arc<Carry> = {
            // The thread that listens for controls outlives the stand, and must not keep its servers.
            let servers = Arc::downgrade(&servers);
            Arc::new(move |words: &[&str]| servers.upgrade().context("the stand has ended")?.carry(words))
        };
        let controls = Controls::listen(kind.name, carry)?;
        args.extend(["--control".to_owned(), controls.command()?]);
        Ok(Self { url, args, _controls: controls, _servers: servers })
    }

    /// Returns `http://IP:PORT`.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Returns what the suite is given beside the target.
    pub(super) fn args(&self) -> &[String] {
        &self.args
    }
}

/// The servers of a stand: the target, and those that a control gave.
#[derive(Debug)]
struct Servers {
    program: PathBuf,
    logs: PathBuf,
    /// Whether other configurations are given.
    configures: bool,
    running: Mutex<BTreeMap<String, Running>>,
    scratch: Scratch,
}

#[derive(Debug)]
struct Running {
    server: Option<Server>,
    configuration: Value,
    url: String,
}

impl Servers {
    /// Returns the configuration of the target, and what the suite is told.
    fn of(&self, role: Role) -> Result<(Value, Vec<String>)> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Ok(match role {
            Role::Open => (json!({"storage": {"gcDelay": GC_DELAY, "gcInterval": GC_INTERVAL}}), Vec::new()),
            Role::Accounts => self.people()?,
            Role::Basic => {
                let (mut configuration, args) = self.people()?;
                configuration["http"]["auth"]["token"] = json!({"enable": false});
                (configuration, args)
            }
            Role::Encrypted => {
                let (mut configuration, mut args) = self.people()?;
                let (certificate, key) = self.certify()?;
                configuration["http"]["tls"] = json!({"cert": certificate, "key": key});
                args.extend(["--ca".to_owned(), certificate.display().to_string()]);
                (configuration, args)
            }
            Role::Proxy => {
                let port = || free_port().map(|port| format!("127.0.0.1:{port}")).context("a free port");
                let (one, two) = (port()?, port()?);
                let named = |address: &str| format!("{address}={address}");
                let args = words(&["--origin", &named(&one), "--origin", &named(&two)]);
                (proxy(&[("one", &one), ("two", &two)]), args)
            }
            Role::Reading => {
                let url = self.start("target", &json!({}), 0)?;
                let image = bench::push_image(&url, self.scratch.path())?;
                (self.accounts(&json!({"**": {"anonymousPolicy": ["read"]}}))?, words(&["--given", &image]))
            }
        })
    }

    /// Returns a configuration in which alice may do everything, bob reads, and carol has nothing to do with it; and
    /// what the suite is told of them.
    fn people(&self) -> Result<(Value, Vec<String>)> {
        let args = "--username=alice --password=of_alice --reader=bob:of_bob --outsider=carol:of_carol";
        let args: Vec<String> = args.split(' ').map(|arg| arg.replace('_', " ")).collect();
        let policies = json!({
            "conf/**": {"policies": [{"users": ["bob"], "actions": ["read"]}]},
            "conf-outside/**": {"policies": [{"users": ["carol"], "actions": EVERYTHING}]},
        });
        Ok((self.accounts(&policies)?, args))
    }

    /// Makes a certificate for 127.0.0.1 that is its own authority; returns its file, and that of its key.
    fn certify(&self) -> Result<(PathBuf, PathBuf)> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let file = |name: &str, pem: String| {
            let path = self.scratch.path().join(name);
            fs::write(&path, pem).with_context(|| format!("writing {}", path.display()))?;
            Ok::<_, anyhow::Error>(path)
        };
        Ok((file("certificate.pem", made.cert.pem())?, file("key.pem", made.signing_key.serialize_pem())?))
    }

    /// Returns a configuration in which alice may do everything, and others what these policies say.
    fn accounts(&self, policies: &Value) -> Result<Value> {
        let file = self.scratch.path().join("htpasswd");
        fs::write(&file, ACCOUNTS).with_context(|| format!("writing {}", file.display()))?;
        let admin = json!({"users": ["alice"], "actions": EVERYTHING});
        Ok(json!({"http": {
            // The suite gives more wrong passwords than anybody else.
            "auth": {"htpasswd": {"path": file}, "maxFailures": 0},
            "accessControl": {"repositories": policies, "adminPolicy": admin},
        }}))
    }

    /// Starts a server, in place of one of the same name; port 0 takes a free one.
    fn start(&self, name: &str, configuration: &Value, port: u16) -> Result<String> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // The old one first: it holds the port and the store.
        running.remove(name);
        let mut file = configuration.clone();
        file["storage"]["rootDirectory"] = json!(self.data(name));
        file["http"]["address"] = json!("127.0.0.1");
        file["http"]["port"] = json!(port.to_string());
        let path = self.scratch.path().join(format!("{name}.json"));
        fs::write(&path, file.to_string()).with_context(|| format!("writing {}", path.display()))?;
        let server = Server::start(&self.program, [&path], &self.logs.join(format!("{name}.log")))?;
        let url = server.url().to_owned();
        let entry = Running { server: Some(server), configuration: configuration.clone(), url: url.clone() };
        running.insert(name.to_owned(), entry);
        Ok(url)
    }

    fn data(&self, name: &str) -> PathBuf {
        self.scratch.path().join("data").join(name)
    }

    /// Carries out a control.
    fn carry(&self, words: &[&str]) -> Result<Option<String>> {
        Ok(match words {
            ["restart"] => {
                self.restart()?;
                Some(String::new())
            }
            ["files"] => Some(list(&self.data("target"))?),
            ["files", name] => Some(list(&self.data(name))?),
            ["gc"] if self.configures => {
                self.collect()?;
                Some(String::new())
            }
            ["configuration", name] if self.configures => self.configured(name)?,
            _ => None,
        })
    }

    /// Waits until the target has begun to look for garbage after now, and has ended.
    fn collect(&self) -> Result<()> {
        let url = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.get("target").context("there is no target")?.url.clone()
        };
        let began = Instant::now();
        // The next to end may have begun before.
        let wanted = runs(&url)? + 2;
        while runs(&url)? < wanted {
            if began.elapsed() > GC_PATIENCE {
                bail!("the target does not look for garbage");
            }
            thread::park_timeout(GC_PAUSE);
        }
        Ok(())
    }

    /// Kills the target and starts it again at the same address, with the same data.
    fn restart(&self) -> Result<()> {
        let (configuration, url) = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let target = running.get_mut("target").context("there is no target")?;
            target.server = None;
            (target.configuration.clone(), target.url.clone())
        };
        let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
        let again =
            self.start("target", &configuration, port.context("the target's address has no port")?)?;
        if again != url {
            bail!("the target came back at {again}");
        }
        Ok(())
    }

    /// Returns the address of a server with another configuration, which is started once.
    fn configured(&self, name: &str) -> Result<Option<String>> {
        let configuration = match name {
            "short-uploads" => json!({"storage": {"uploadExpiry": SHORT_UPLOADS}}),
            "rate-limit" => json!({"http": {"ratelimit": {"rate": RATE_LIMIT}}}),
            _ => return Ok(None),
        };
        let there = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.get(name).map(|running| running.url.clone())
        };
        there.map_or_else(|| self.start(name, &configuration, 0), Ok).map(Some)
    }
}

/// Returns how often a server has looked for garbage.
fn runs(url: &str) -> Result<u64> {
    let host = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).with_context(|| format!("connecting to {host}"))?;
    stream.write_all(
        format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let line = text.lines().find_map(|line| line.strip_prefix("wharfinger_gc_runs_total{outcome=\"done\"} "));
    line.map_or(Ok(0), |number| number.trim().parse().context("a number of runs"))
}

/// Writes the configuration of a proxy whose patience is short, so that the checks of its upstreams' failures
/// are quick.
fn proxy(upstreams: &[(&str, &str)]) -> Value {
    let upstream = |(name, address): &(&str, &str)| {
        json!({
            "name": name,
            "urls": [format!("http://{address}")],
            "onDemand": true,
            "tlsVerify": false,
            "responseTimeout": "2s",
            "maxRetries": 1,
            "retryDelay": "100ms",
            "negativeTtl": "500ms",
            "breakerDelay": "500ms",
        })
    };
    json!({"extensions": {"sync": {"registries": upstreams.iter().map(upstream).collect::<Vec<_>>()}}})
}

/// Lists files as the suite reads them: `BYTES PATH`.
fn list(folder: &Path) -> Result<String> {
    let mut lines = String::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
            let entry = entry?;
            // What vanishes meanwhile was staged.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                lines.push_str(&format!("{} {}\n", metadata.len(), entry.path().display()));
            }
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::{list, proxy};
    use crate::server::Scratch;

    #[test]
    fn files_are_listed_with_their_sizes() {
        let scratch = Scratch::new(&std::env::temp_dir(), "xtask-list").unwrap();
        std::fs::create_dir(scratch.path().join("a")).unwrap();
        std::fs::write(scratch.path().join("a/b"), "four").unwrap();
        let expect = format!("4 {}\n", scratch.path().join("a/b").display());
        assert_eq!(list(scratch.path()).unwrap(), expect);
    }

    #[test]
    fn a_proxy_names_its_upstreams() {
        let configuration = proxy(&[("one", "127.0.0.1:7"), ("two", "127.0.0.1:8")]);
        let registries = &configuration["extensions"]["sync"]["registries"];
        assert_eq!(registries[1]["name"], "two");
        assert_eq!(registries[0]["urls"][0], "http://127.0.0.1:7");
    }
}
