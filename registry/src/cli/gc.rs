//! `wharfinger gc`.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use wharfinger::server::Offline;
use wharfinger::store::gc::{Clients, Item, Mode, Orphans};
use wharfinger::telemetry::{self, Form};

use super::Failure;
use super::stores::{StoreArgs, with_stores};

#[derive(Debug, Args)]
pub(super) struct Gc {
    #[command(flatten)]
    stores: StoreArgs,
    /// Only tell what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Remove what is cached of upstreams that the configuration does not have any more.
    ///
    /// Of a bucket, stop every server that has it first, on every host: nothing here can see them.
    #[arg(long)]
    orphans: bool,
}

/// What a command ends with when its arguments make no sense together, as for clap.
const USAGE: u8 = 2;

/// Collects the garbage of stores that no server has.
pub(super) fn run(arguments: &Gc) -> ExitCode {
    if arguments.orphans && !arguments.stores.names_upstreams() {
        eprintln!("wharfinger: --orphans needs --config: a folder does not say which upstreams there are");
        return ExitCode::from(USAGE);
    }
    with_stores(&arguments.stores, async |offline| collect(arguments, &offline).await)
}

async fn collect(arguments: &Gc, offline: &Offline) -> Result<ExitCode, Failure> {
    telemetry::start_logging(&offline.config.log.level, Form::of_stderr());
    let mut failures = 0;
    for store in offline.stores.all() {
        let mut request = offline.repositories.garbage_request(store, Clients::Absent);
        let said = if arguments.dry_run { "would remove" } else { "removed" };
        request.told = Arc::new(move |item: &Item| println!("{said} {item}"));
        if arguments.dry_run {
            request.mode = Mode::Tell;
        }
        if arguments.orphans {
            request.orphans = Orphans::Remove;
        }
        if !arguments.stores.names_upstreams() {
            // A folder does not say which upstreams there are: all that is cached stays.
            request.upstreams = None;
        }
        let report = store.collect_garbage(&request).await.map_err(Failure::Store)?;
        print!("{report}");
        failures += report.failures;
    }
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
