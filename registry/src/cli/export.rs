//! `wharfinger export`.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use wharfinger::oci::{Reference, RepositoryName};
use wharfinger::server::Offline;
use wharfinger::store::RepositoryKey;
use wharfinger::transfer::Report;
use wharfinger::transfer::export::{Destination, export};
use wharfinger::transfer::reference::parse_reference;

use super::Failure;
use super::progress::{Shown, amount, count};
use super::stores::{StoreArgs, with_existing_stores};

#[derive(Debug, Args)]
pub(super) struct Export {
    /// An image with all that is about it; without a tag or a digest, all of a repository.
    #[arg(value_name = "NAME[:TAG|@DIGEST]", value_parser = parse_reference)]
    reference: (RepositoryName, Option<Reference>),
    /// A folder; a file that ends in `.tar`, which is replaced when the new one is whole; or `-` for a tar to
    /// stdout.
    #[arg(value_name = "DEST")]
    destination: PathBuf,
    #[command(flatten)]
    stores: StoreArgs,
}

/// Exports, and says what was done: on stderr, where stdout is the tar.
pub(super) fn run(arguments: Export) -> ExitCode {
    let (name, reference) = arguments.reference;
    let is_stdout = arguments.destination.as_os_str() == "-";
    if is_stdout && std::io::stdout().is_terminal() {
        eprintln!("wharfinger: a tar is not for a terminal; redirect stdout, or give a file or folder");
        return ExitCode::FAILURE;
    }
    with_existing_stores(&arguments.stores, async |offline: Offline| {
        let destination = if is_stdout { stdout()? } else { destination(arguments.destination) };
        let repository = RepositoryKey::hosted(name);
        let store = offline.stores.of(&repository);
        let progress = Shown::new();
        let exported = export(store, &repository, reference.as_ref(), destination, &progress).await;
        progress.end();
        let summary = summary(&exported?);
        if is_stdout {
            eprintln!("{summary}");
        } else {
            println!("{summary}");
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn destination(path: PathBuf) -> Destination {
    let is_tar = !path.is_dir() && path.extension().is_some_and(|extension| extension == "tar");
    if is_tar { Destination::Tar(path) } else { Destination::Folder(path) }
}

fn stdout() -> Result<Destination, Failure> {
    // Of its own, past the buffer that looks for ends of lines.
    let stdout = std::io::stdout().as_fd().try_clone_to_owned().map_err(Failure::Stdout)?;
    Ok(Destination::Stream(Box::new(File::from(stdout))))
}

fn summary(report: &Report) -> String {
    format!(
        "exported {} ({} were there), {} ({} were there), {}: {} written",
        count(report.manifests, "manifest"),
        report.manifests_here,
        count(report.blobs, "blob"),
        report.blobs_here,
        count(report.tags, "tag"),
        amount(report.bytes),
    )
}
