//! `wharfinger policy explain`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};
use wharfinger::auth::options::Action;
use wharfinger::auth::{
    Account, Accounts, Circumstances, Hindrance, Identity, Policy, Reason, Request, Transport,
};
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::config::{self, Faults};
use wharfinger::oci::{Reference, RepositoryName};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say whether somebody may do something, and which rule says so; exits 1 when he may not.
    Explain(Explain),
}

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The configuration.
    file: PathBuf,
    /// The user's name; without it, somebody who does not log in.
    #[arg(long, value_name = "U")]
    user: Option<String>,
    /// A group that comes with the user's login, as those of a directory do; may be repeated. The groups of the
    /// configuration are known.
    #[arg(long, value_name = "G", requires = "user")]
    group: Vec<String>,
    /// The repository, which need not exist; what is cached goes by its canonical name, such as
    /// docker.io/library/alpine.
    #[arg(long, value_name = "R")]
    repository: String,
    /// What is to be done.
    #[arg(long, value_name = "A")]
    action: Asked,
    #[command(flatten)]
    request: RequestArgs,
}

/// What conditions are about, beside who asks for what. What is not said is empty, and the time is now.
#[derive(Debug, Args)]
struct RequestArgs {
    /// For conditions: the tag or the digest that is asked for.
    #[arg(long, value_name = "T", value_parser = Reference::parse)]
    reference: Option<Reference>,
    /// For conditions: the client's address.
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// For conditions: the request's method.
    #[arg(long, value_name = "M", default_value = "")]
    method: String,
    /// For conditions: what the client calls itself.
    #[arg(long, value_name = "NAME", default_value = "")]
    user_agent: String,
    /// For conditions: the version of TLS, such as 1.3; without it the request comes in plain text.
    #[arg(long, value_name = "V", value_parser = ["1.2", "1.3"])]
    tls: Option<String>,
    /// For conditions: when it comes, such as 2027-01-31T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339)]
    time: Option<SystemTime>,
}

impl RequestArgs {
    fn circumstances(&self) -> Circumstances {
        let time = self.time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let start = Timestamp::from_millis(0);
        Circumstances::new(Request {
            time: time.map_or_else(|| Clock::system().now(), |time| start.after(time)),
            method: self.method.clone(),
            user_agent: self.user_agent.clone(),
            reference: self.reference.clone(),
            address: self.address,
            transport: match self.tls.as_deref() {
                Some("1.2") => Transport::Tls("1.2"),
                Some(_) => Transport::Tls("1.3"),
                None => Transport::Plain,
            },
        })
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Asked {
    Read,
    Create,
    Update,
    Delete,
    Fetch,
}

impl Asked {
    const fn action(self) -> Action {
        match self {
            Self::Read => Action::Read,
            Self::Create => Action::Create,
            Self::Update => Action::Update,
            Self::Delete => Action::Delete,
            Self::Fetch => Action::Fetch,
        }
    }
}

/// The exit code where nothing was decided: a bad name, a configuration with faults.
const UNDECIDED: u8 = 2;

/// Runs it.
pub(super) fn run(command: Command) -> ExitCode {
    let Command::Explain(arguments) = command;
    match explain(&arguments) {
        Ok((text, true)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok((text, false)) => {
            println!("{text}");
            ExitCode::FAILURE
        }
        Err(lines) => {
            lines.iter().for_each(|line| eprintln!("{line}"));
            ExitCode::from(UNDECIDED)
        }
    }
}

fn explain(arguments: &Explain) -> Result<(String, bool), Vec<String>> {
    let file = arguments.file.display();
    let loaded = config::load(&arguments.file).map_err(|Faults { faults, .. }| {
        faults.iter().map(|fault| format!("{file}: {fault}")).collect::<Vec<_>>()
    })?;
    let name = RepositoryName::parse(&arguments.repository);
    let name = name.map_err(|error| vec![format!("--repository {}: {error}", arguments.repository)])?;
    let options = &loaded.config.auth;
    let accounts = if options.knows_accounts() { Accounts::Configured } else { Accounts::Absent };
    let policy =
        Policy::new(options.access.as_ref(), accounts).map_err(|error| vec![format!("{file}: {error}")])?;
    let identity = match &arguments.user {
        Some(user) => Identity::of(Account::new(user.as_str(), arguments.group.clone())),
        None => Identity::ANONYMOUS,
    }
    .under(arguments.request.circumstances());
    let who = arguments.user.as_deref().unwrap_or("somebody who does not log in");
    let what = format!("{:?}", arguments.action).to_lowercase();
    let action = arguments.action.action();
    if let Some(Hindrance { rule, condition, message }) = policy.hindrance(&identity, &name, action) {
        let told = if message.is_empty() { String::new() } else { format!(": {message}") };
        let why = format!("{rule} would let him, and its conditions[{condition}] does not hold{told}");
        return Ok((format!("denied: {who} may not {what} {name}: {why}"), false));
    }
    Ok(match policy.explain(&identity, &name, action) {
        Some(reason) => (format!("allowed: {who} may {what} {name}: {}", says(&reason)), true),
        None => {
            let why = match policy.deciding(&name) {
                Some(glob) => {
                    format!(
                        "http.accessControl.repositories[{glob:?}] decides, being the longest glob that matches, and grants it to others"
                    )
                }
                None if options.access.is_some() => {
                    "no glob of http.accessControl.repositories matches the name".to_owned()
                }
                None => "there are accounts and no http.accessControl, so only who logs in may".to_owned(),
            };
            (format!("denied: {who} may not {what} {name}: {why}"), false)
        }
    })
}

fn says(reason: &Reason<'_>) -> String {
    match reason {
        Reason::Open | Reason::AccountsOnly => reason.to_string(),
        Reason::Admin | Reason::Policy { .. } | Reason::Default { .. } | Reason::Anonymous { .. } => {
            format!("{reason} says so")
        }
    }
}
