//! The program: arguments to a command, its outcome to an exit code.

use std::io::Write as _;
use std::process::ExitCode;

use nudged::node::arguments::{self, CommandLine, Subcommand};
use nudged::node::doctor::report::ReportStyle;
use nudged::node::failure::Failure;
use nudged::node::{
    backup, check, doctor, drain_command, explain, export, import, journal_command, migrate, schema,
    serve, settings, top, vectors,
};
use nudged_runtime::signal_mask;

fn main() -> ExitCode {
    // Before anything else: a signal that comes early waits for who takes it.
    signal_mask::hold();
    let parsed = arguments::parse(std::env::args_os());
    if !matches!(&parsed, Ok(CommandLine { command: Subcommand::Serve(_), .. })) {
        // Tools end at a signal as other tools do.
        signal_mask::release();
    }
    let line = match parsed {
        Ok(line) => line,
        Err(error) => {
            // Help and version go to standard output, errors to standard error.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    ExitCode::from(run(&line).unwrap_or_else(|failure| failure.report()))
}

/// Carries a command out; gives the exit code.
fn run(line: &CommandLine) -> Result<u8, Failure> {
    let CommandLine { shared, command } = line;
    // The others have a log or a report that says it.
    use Subcommand::{Check, Schema, Serve, Vectors};
    if !matches!(command, Serve(_) | Check(_) | Vectors(_) | Schema) {
        settings::print_unknown_variables();
    }
    match command {
        Subcommand::Serve(arguments) => serve::run(shared, arguments),
        Subcommand::Check(arguments) => {
            let report = check::run(shared, arguments);
            let said = if arguments.json { report.json() } else { report.text() };
            // A reader that has gone, as with `| head`, is no error.
            let _ = std::io::stdout().write_all(said.as_bytes());
            Ok(report.exit_code())
        }
        Subcommand::Doctor(arguments) => {
            let report = doctor::run(shared, arguments)?;
            let said = match arguments.json {
                true => report.json(),
                false => report.text(ReportStyle::of_output()),
            };
            let _ = std::io::stdout().write_all(said.as_bytes());
            Ok(report.exit_code())
        }
        Subcommand::Vectors(arguments) => Ok(vectors::run(&arguments.files)),
        Subcommand::Export(arguments) => export::run(shared, arguments).map(|()| 0),
        Subcommand::Schema => schema::run().map(|()| 0),
        Subcommand::Drain(arguments) => drain_command::run(shared, arguments).map(|()| 0),
        Subcommand::Journal(arguments) => journal_command::run(arguments).map(|()| 0),
        Subcommand::Top(arguments) => top::run(shared, arguments).map(|()| 0),
        Subcommand::Import(arguments) => import::run(shared, arguments).map(|()| 0),
        Subcommand::Backup(arguments) => backup::run(shared, arguments).map(|()| 0),
        Subcommand::Explain(arguments) => explain::run(shared, arguments).map(|()| 0),
        Subcommand::Migrate(arguments) => migrate::run(shared, arguments).map(|()| 0),
    }
}
