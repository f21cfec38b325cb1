//! The command line: arguments, the known-failures file, reports and exit codes.
//!
//! Exit codes: 0 nothing failed that was not known, 1 something did or a known failure passed, 2 bad
//! usage or no target, 3 nothing ran.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::check::{Check, Level};
use crate::known::Known;
use crate::login::Account;
use crate::report::{self, Report};
use crate::source::{Given, OriginAt};
use crate::wire::Trust;
use crate::{Options, checks};

/// Nothing failed.
const EXIT_GREEN: u8 = 0;
/// Something failed.
const EXIT_RED: u8 = 1;
/// Bad usage, or no target.
const EXIT_USAGE: u8 = 2;
/// Nothing ran.
const EXIT_NOTHING: u8 = 3;

#[derive(Debug, Parser)]
#[command(name = "conformance", version, about = "A black-box conformance suite for any OCI registry.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the suite against a registry.
    Run(Box<RunArgs>),
    /// List all checks.
    List,
    /// Explain a check: what it rests on, why it matters, which clients break.
    Explain {
        /// The id, as `list` prints it.
        id: String,
    },
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Base address of the registry, such as http://localhost:5000.
    #[arg(long)]
    target: String,
    /// User name, for Basic authorization and for the realm that gives tokens.
    #[arg(long, requires = "password")]
    username: Option<String>,
    /// Its password.
    #[arg(long, requires = "username")]
    password: Option<String>,
    /// USER:PASSWORD of an account that may pull NAMESPACE/** and not push.
    #[arg(long, value_name = "USER:PASSWORD", value_parser = Account::parse)]
    reader: Option<Account>,
    /// USER:PASSWORD of an account that may push to NAMESPACE-outside/** and read nothing of NAMESPACE/**.
    #[arg(long, value_name = "USER:PASSWORD", value_parser = Account::parse)]
    outsider: Option<Account>,
    /// A PEM file with authorities to trust beside those of the system.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Where the names of the repositories that the suite makes begin.
    #[arg(long, default_value = "conf")]
    namespace: String,
    /// Judge the target as a proxy: serve an origin on ADDR, its upstream, which it knows as NS; repeatable.
    #[arg(long, value_name = "ADDR[=NS]", value_parser = OriginAt::parse)]
    origin: Vec<OriginAt>,
    /// Only read: an image that the target holds, NAME:TAG or NAME@DIGEST; repeatable.
    #[arg(long, value_name = "IMAGE", value_parser = Given::parse, conflicts_with = "origin")]
    given: Vec<Given>,
    /// Run only checks whose id or clause matches; `*` stands for anything, a comma separates.
    #[arg(long)]
    filter: Option<String>,
    /// The weakest level that runs.
    #[arg(long, value_enum, default_value = "observe")]
    level: LevelArg,
    /// Checks that run at the same time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Seed of the content; random unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// Run heavy checks too.
    #[arg(long)]
    heavy: bool,
    /// A command that carries out controls: restart, gc, files, configuration NAME; exit 3 means not given.
    #[arg(long)]
    control: Option<String>,
    /// A file with known failures: an id a line, the cause in comments above it.
    #[arg(long)]
    known: Option<PathBuf>,
    /// Write report.json, junit.xml, report.html and report.md into this folder.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Seconds that one request may take.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LevelArg {
    Must,
    Should,
    May,
    Observe,
}

impl From<LevelArg> for Level {
    fn from(level: LevelArg) -> Self {
        match level {
            LevelArg::Must => Self::Must,
            LevelArg::Should => Self::Should,
            LevelArg::May => Self::May,
            LevelArg::Observe => Self::Observe,
        }
    }
}

/// Runs the command and returns its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { EXIT_USAGE } else { EXIT_GREEN };
            // There is nowhere to report that the terminal is gone.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let result = match cli.command {
        Command::Run(args) => run(*args),
        Command::List => print(&list()).map(|()| EXIT_GREEN),
        Command::Explain { id } => explain(&id),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("conformance: {error:#}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn run(args: RunArgs) -> anyhow::Result<u8> {
    let ids: Vec<&str> = checks::all().iter().map(|check| check.id).collect();
    let known = args.known.as_deref().map(|path| Known::read(path, &ids)).transpose()?;
    let seed = args.seed.unwrap_or_else(random_seed);
    let options = Options {
        credentials: args.username.zip(args.password),
        reader: args.reader,
        outsider: args.outsider,
        trust: Trust { ca: args.ca },
        namespace: args.namespace,
        origins: args.origin,
        given: args.given,
        filter: args.filter,
        level: args.level.into(),
        jobs: args.jobs.into(),
        seed,
        heavy: args.heavy,
        control: args.control,
        known: known.unwrap_or_default(),
        request_deadline: Duration::from_secs(args.timeout),
        show_progress: true,
        ..Options::new(args.target)
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let report = runtime.block_on(crate::run(options))?;
    print(&report::text(&report))?;
    if let Some(folder) = &args.report {
        report::write(&report, folder)
            .with_context(|| format!("cannot write the reports into {}", folder.display()))?;
    }
    Ok(exit_code(&report))
}

fn exit_code(report: &Report) -> u8 {
    if !report.failures().is_empty() {
        EXIT_RED
    } else if report.ran() == 0 {
        EXIT_NOTHING
    } else {
        EXIT_GREEN
    }
}

fn random_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Short seeds are easier to type again; 32 bits are plenty beside the stamp in the names.
    u64::from(since.subsec_nanos()) ^ (since.as_secs() & 0xffff_ffff)
}

fn list() -> String {
    let mut text = String::new();
    for check in checks::all() {
        text.push_str(&format!("{:7} {:8} {}\n", check.id, check.level, check.clause()));
    }
    text
}

fn explain(id: &str) -> anyhow::Result<u8> {
    let Some(check) = checks::all().iter().find(|check| check.id.eq_ignore_ascii_case(id)) else {
        anyhow::bail!("no check has the id {id}; `conformance list` prints them");
    };
    print(&explanation(check))?;
    Ok(EXIT_GREEN)
}

fn explanation(check: &Check) -> String {
    let mut text = format!("{} ({})\n\n{}\n", check.id, check.level, check.clause());
    text.push_str(&format!("\nWhy it matters: {}\n", check.why));
    text.push_str(&format!("\nWho breaks: {}\n", check.breaks));
    if !check.covers.is_empty() {
        text.push_str(&format!("\nCovers: {}\n", check.covers.join(", ")));
    }
    if !check.after.is_empty() {
        text.push_str(&format!("\nAfter: {}\n", check.after.join(", ")));
    }
    if !check.needs.is_empty() {
        let needs: Vec<String> = check.needs.iter().map(ToString::to_string).collect();
        text.push_str(&format!("\nNeeds: {}\n", needs.join(", ")));
    }
    text
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to stdout")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Outcome;
    use crate::report::CheckResult;

    fn report(outcomes: &[Outcome]) -> Report {
        let result = |outcome: &Outcome| CheckResult {
            id: "T-001".into(),
            clause: "x: y".into(),
            level: Level::Must,
            outcome: *outcome,
            message: String::new(),
            elapsed: Duration::ZERO,
            exchanges: vec![],
        };
        Report {
            target: "http://h".into(),
            seed: 1,
            checks: outcomes.iter().map(result).collect(),
            observations: vec![],
        }
    }

    #[test]
    fn exit_codes_follow_the_outcomes() {
        use Outcome::*;
        assert_eq!(exit_code(&report(&[Pass, Skip, Known, Moot])), 0);
        assert_eq!(exit_code(&report(&[Pass, Fail])), 1);
        assert_eq!(exit_code(&report(&[Pass, Error])), 1);
        assert_eq!(exit_code(&report(&[Skip, Moot])), 3);
        assert_eq!(exit_code(&report(&[])), 3);
    }

    #[test]
    fn arguments_parse_as_documented() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parse("conformance run --target http://h --username u --password p --level must").is_ok());
        assert!(parse("conformance run").is_err());
        assert!(parse("conformance run --target http://h --username u").is_err());
        assert!(parse("conformance run --target http://h --jobs 0").is_err());
        assert!(parse("conformance run --target http://h --level loud").is_err());
        assert!(parse("conformance explain T-001").is_ok());
    }
}
