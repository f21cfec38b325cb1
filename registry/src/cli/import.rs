//! `wharfinger import`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use wharfinger::oci::{RepositoryName, Tag};
use wharfinger::server::Offline;
use wharfinger::transfer::import::{Existing, Options, import};
use wharfinger::transfer::reference::parse_tagged;
use wharfinger::transfer::{Report, Source};

use super::Failure;
use super::progress::{Shown, amount, count};
use super::stores::{StoreArgs, with_stores};

#[derive(Debug, Args)]
pub(super) struct Import {
    /// An OCI image layout (a folder, or a tar of one, such as `docker save` writes), the root folder of a
    /// zot, or that of a CNCF distribution registry.
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// What a layout is to be called, with the tag of its only image in place of its own; or what comes before
    /// each name of a zot's or distribution's.
    #[arg(value_name = "NAME[:TAG]", value_parser = parse_tagged)]
    name: Option<(RepositoryName, Option<Tag>)>,
    /// Move tags that are here and point elsewhere; without it they stay, and are reported.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    stores: StoreArgs,
}

/// Imports, and says what was done.
pub(super) fn run(arguments: Import) -> ExitCode {
    // Before the store, so that a mistyped path makes no store.
    let source = match Source::open(&arguments.source) {
        Ok(source) => Arc::new(source),
        Err(error) => {
            super::explain(&Failure::Transfer(error));
            return ExitCode::FAILURE;
        }
    };
    let (name, tag) = arguments.name.unzip();
    let existing = if arguments.overwrite { Existing::Move } else { Existing::Keep };
    with_stores(&arguments.stores, async |offline: Offline| {
        let options = Options {
            name,
            tag: tag.flatten(),
            existing,
            manifest_bytes_max: offline.config.http.manifest_bytes_max,
        };
        let progress = Shown::new();
        progress.line(&format!("importing {}, {}", source.path().display(), source.describe()));
        let stores = offline.stores.clone();
        let imported = import(&source, &|name| stores.of(name).clone(), &options, &progress).await;
        progress.end();
        let report = imported?;
        println!("{}", summary(&report));
        Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

fn summary(report: &Report) -> String {
    let failed = match report.failed {
        0 => String::new(),
        failed => format!("; {} could not be imported", count(failed, "thing")),
    };
    format!(
        "imported {} ({} were here), {} ({} were here), {} of {}: {} written{failed}",
        count(report.manifests, "manifest"),
        report.manifests_here,
        count(report.blobs, "blob"),
        report.blobs_here,
        count(report.tags, "tag"),
        count(report.repositories, "repository"),
        amount(report.bytes),
    )
}
