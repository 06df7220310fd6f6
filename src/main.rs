//! The program: arguments to a command, its outcome to an exit code.

use std::io::Write as _;
use std::process::ExitCode;

use nudged::node::arguments::{self, Command};
use nudged::node::{check, explain, export, import, migrate, serve, vectors};

fn main() -> ExitCode {
    let command = match arguments::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => {
            // Help and version go to standard output, errors to standard error.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let code = match command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => {
            let report = check::run_with_config(arguments.config.as_deref(), &arguments.popups);
            // A reader that has gone, as with `| head`, is no error.
            let _ = std::io::stdout().write_all(report.text.as_bytes());
            report.exit_code
        }
        Command::Vectors(arguments) => vectors::run(&arguments.files),
        Command::Export(arguments) => export::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Migrate(arguments) => {
            migrate::run(arguments.config.as_deref(), arguments.from.as_deref())
        }
    };
    ExitCode::from(code)
}
