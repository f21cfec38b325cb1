//! The `conformance` command: parses its arguments and leaves the rest to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    conformance::cli::main()
}
