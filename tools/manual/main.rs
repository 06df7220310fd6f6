//! Writes the pages of the manual and the completions of shells into a folder, from the command
//! line as the server reads it. A program of its own, so that the server does not carry it;
//! `tools/package` runs it.
//!
//! ```text
//! nudged-manual FOLDER       man/nudged.1, man/nudged-COMMAND.1, completions/nudged.bash, ...
//! ```

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use clap::Command;
use clap_complete::Shell;
use nudged::node::arguments;

/// What manual pages stand under.
const SECTION: &str = "nudged manual";
/// What a page needs beside the flags.
const FILES: &str = "\
.SH FILES
.TP
/etc/nudged/nudged.toml
Configuration of the packaged service; every setting with its default is in
/usr/share/doc/nudged/nudged.toml.
.TP
/etc/default/nudged
Environment of the packaged service.
.TP
/var/lib/nudged
Its data directory.
.SH EXIT STATUS
0 after a clean stop; 1 where vectors failed or a node gave no answer; 2 for usage or configuration;
3 for a host that is not fit; 4 for storage; 70 for a broken invariant.
.SH SIGNALS
.TP
SIGTERM, SIGINT
Drain and stop; a second one stops at once.
.TP
SIGHUP
Read popups, certificates and what else nudged.toml marks \\(lqReload.\\(rq anew: all of it, or
nothing.
.TP
SIGUSR2
Start the binary that now lies at this one\\(aqs path, hand the listening sockets and the data
directory over to it, and end: an upgrade without a refused or lost request.
.TP
SIGUSR1
Nothing.
.SH SEE ALSO
/usr/share/doc/nudged/operations.md
";

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: nudged-manual FOLDER");
        return ExitCode::from(2);
    };
    match write_all(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nudged-manual: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write_all(folder: &Path) -> io::Result<()> {
    let pages = folder.join("man");
    fs::create_dir_all(&pages)?;
    // The same command line on every machine: no width of a terminal.
    let mut command = arguments::command().term_width(80);
    command.build();
    write_page(&command, "nudged", &pages)?;
    for subcommand in command.get_subcommands().filter(|it| it.get_name() != "help") {
        write_page(subcommand, &format!("nudged-{}", subcommand.get_name()), &pages)?;
    }
    let completions = folder.join("completions");
    fs::create_dir_all(&completions)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut arguments::command(), "nudged", &completions)?;
    }
    Ok(())
}

fn write_page(command: &Command, name: &str, folder: &Path) -> io::Result<()> {
    let page = clap_mangen::Man::new(command.clone()).title(name).section("1").manual(SECTION);
    let mut text = Vec::new();
    page.render(&mut text)?;
    if name == "nudged" {
        text.extend_from_slice(FILES.as_bytes());
    }
    fs::write(folder.join(format!("{name}.1")), text)
}
