//! The program: arguments to a command, its outcome to an exit code.

use std::io::Write as _;
use std::process::ExitCode;

use nudged::node::arguments::{self, Subcommand};
use nudged::node::{check, explain, export, import, migrate, serve, settings, vectors};
use nudged_runtime::signal_mask;

fn main() -> ExitCode {
    // Before anything else: a signal that comes early waits for who takes it.
    signal_mask::hold();
    let parsed = arguments::parse(std::env::args_os());
    if !matches!(parsed, Ok(Subcommand::Serve(_))) {
        // Tools end at a signal as other tools do.
        signal_mask::release();
    }
    let command = match parsed {
        Ok(command) => command,
        Err(error) => {
            // Help and version go to standard output, errors to standard error.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // The others have a log or a report that says it.
    if !matches!(command, Subcommand::Serve(_) | Subcommand::Check(_) | Subcommand::Vectors(_)) {
        settings::print_unknown_variables();
    }
    let code = match command {
        Subcommand::Serve(arguments) => serve::run(&arguments),
        Subcommand::Check(arguments) => {
            let report = check::run_with_config(&arguments);
            let said = if arguments.json { report.json() } else { report.text() };
            // A reader that has gone, as with `| head`, is no error.
            let _ = std::io::stdout().write_all(said.as_bytes());
            report.exit_code()
        }
        Subcommand::Vectors(arguments) => vectors::run(&arguments.files),
        Subcommand::Export(arguments) => export::run(&arguments),
        Subcommand::Import(arguments) => import::run(&arguments),
        Subcommand::Explain(arguments) => explain::run(&arguments),
        Subcommand::Migrate(arguments) => migrate::run(&arguments),
    };
    ExitCode::from(code)
}
