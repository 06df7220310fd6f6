//! The program: arguments to a command, its outcome to an exit code.

use std::io::Write as _;
use std::process::ExitCode;

use nudged::node::arguments::{self, Command};
use nudged::node::{check, explain, export, import, migrate, serve, settings, vectors};
use nudged_runtime::signal_mask;

fn main() -> ExitCode {
    // Before anything else: a signal that comes early waits for who takes it.
    signal_mask::hold();
    let parsed = arguments::parse(std::env::args_os());
    if !matches!(parsed, Ok(Command::Serve(_))) {
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
    if !matches!(command, Command::Serve(_) | Command::Check(_) | Command::Vectors(_)) {
        settings::tell_unknown_variables();
    }
    let code = match command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => {
            let report = check::run_with_config(&arguments);
            let said = if arguments.json { report.json() } else { report.text() };
            // A reader that has gone, as with `| head`, is no error.
            let _ = std::io::stdout().write_all(said.as_bytes());
            report.exit_code()
        }
        Command::Vectors(arguments) => vectors::run(&arguments.files),
        Command::Export(arguments) => export::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Migrate(arguments) => migrate::run(&arguments),
    };
    ExitCode::from(code)
}
