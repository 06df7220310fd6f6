//! The command line: which subcommand, and which flags stand for settings. Knows the names of
//! flags and no values: `config` reads them, with the same errors as for a file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::config::{Flag, Value};

/// A popup decision server. Without a subcommand it serves.
#[derive(Debug, Parser)]
#[command(name = "nudged", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
}

/// What to do.
#[derive(Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Serve decisions (what is done without a subcommand)
    Serve(ServeArguments),
    /// Validate configuration and popups: exit 0, or 2 with every error
    Check(CheckArguments),
    /// Run decision vectors: exit 1 if any failed
    Vectors(VectorsArguments),
    /// Tell why this user sees, or does not see, each popup; asks a running node
    Explain(ExplainArguments),
    /// Write popups or journals to standard output as NDJSON
    Export(ExportArguments),
    /// Take popups or journal records of NDJSON into the database, popups all or none
    Import(ImportArguments),
    /// Create or upgrade the SQL schema of mysql.url
    Migrate(MigrateArguments),
}

/// Flags of `serve`. Each beats its environment variable and its key in the file.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ServeArguments {
    /// Configuration file [default: nudged.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data directory
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Popups file, imported at start and reload
    #[arg(long, value_name = "FILE")]
    popups: Option<String>,
    /// Address for visitors' requests; may be given more than once; port 0 picks a free one
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// Address for operators, or unix:/PATH
    #[arg(long, value_name = "ADDR:PORT")]
    admin: Option<String>,
    /// Shards, or auto: one for each CPU of --cpus
    #[arg(long, value_name = "N|auto")]
    shards: Option<String>,
    /// CPUs that shards are pinned to in turn, such as 2-5,8
    #[arg(long, value_name = "LIST")]
    cpus: Option<String>,
    /// CPU of the journal and of the SQL writer
    #[arg(long, value_name = "N")]
    writer_cpu: Option<String>,
    /// Leave threads where the kernel puts them
    #[arg(long)]
    no_pin: bool,
    /// How long an idle shard spins before it sleeps
    #[arg(long, value_name = "MICROSECONDS")]
    busy_poll: Option<String>,
    /// Start although the journal is more than 1 h ahead of the wall clock
    #[arg(long)]
    pub accept_clock: bool,
    /// Go on after damage in the middle of the journal: copy it aside and skip the damaged batches
    #[arg(long)]
    pub salvage: bool,
}

/// Arguments of `check`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct CheckArguments {
    /// Configuration file [default: nudged.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Popups files; without any, the one that the configuration names
    #[arg(value_name = "POPUPS")]
    pub popups: Vec<PathBuf>,
}

/// Arguments of `export`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ExportArguments {
    /// Configuration file [default: nudged.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data directory
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// What to write [default: popups]
    #[command(subcommand)]
    pub what: Option<Exported>,
}

/// What `export` writes.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Exported {
    /// Every popup, a line each, with the status that an operator set
    Popups {
        /// With each popup's latest 1,000 changes
        #[arg(long)]
        history: bool,
    },
    /// Every record of journals, a line each
    Journal {
        /// Data directories; without any, the configuration's
        #[arg(value_name = "DIR")]
        directories: Vec<PathBuf>,
    },
}

/// Arguments of `import`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ImportArguments {
    /// Configuration file [default: nudged.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data directory
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// What `nudged export` has written; - for standard input
    #[arg(value_name = "FILE|-")]
    pub file: PathBuf,
}

/// Arguments of `vectors`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct VectorsArguments {
    /// Files of decision vectors
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// Arguments of `migrate`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct MigrateArguments {
    /// Configuration file [default: nudged.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `explain`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ExplainArguments {
    /// The user's id
    #[arg(long, value_name = "U")]
    pub user: String,
    /// The placement
    #[arg(long, value_name = "P", default_value = "home")]
    pub placement: String,
    /// The moment, as RFC 3339 [default: now]
    #[arg(long, value_name = "T")]
    pub at: Option<String>,
    /// The user's session
    #[arg(long, value_name = "S")]
    session: Option<String>,
    /// The locale, such as de-AT
    #[arg(long, value_name = "L")]
    locale: Option<String>,
    /// The user's zone, such as Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// An attribute; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    attr: Vec<(String, String)>,
    /// The node's admin address, or unix:/PATH [default: the configuration's]
    #[arg(long, value_name = "ADDR:PORT")]
    admin: Option<String>,
    /// Configuration file [default: nudged.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Arguments {
    /// What to do: the subcommand, or `serve` where none was given.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

/// Reads a command line, the program's name first.
///
/// # Errors
/// Wrong usage (exit code 2), or a wish for help or the version (exit code 0): the error prints
/// itself to the right stream and knows its exit code.
pub fn parse<I>(arguments: I) -> Result<Command, clap::Error>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    Arguments::try_parse_from(arguments).map(Arguments::into_command)
}

fn flag(name: &'static str, key: &'static str, value: Option<&String>) -> Option<Flag> {
    Some(Flag { name, key, value: Value::Loose(value?.clone()) })
}

impl ServeArguments {
    /// What opening the storage is told: the configuration's file, and whether to salvage.
    pub fn storage_options(&self) -> (Option<&Path>, bool) {
        (self.config.as_deref(), self.salvage)
    }

    /// The flags that stand for settings, in the order of the help text.
    pub fn flags(&self) -> Vec<Flag> {
        let listen = (!self.listen.is_empty()).then(|| Flag {
            name: "--listen",
            key: "listen",
            value: Value::List(self.listen.iter().cloned().map(Value::Loose).collect()),
        });
        let no_pin = self.no_pin.then_some(Flag {
            name: "--no-pin",
            key: "pin",
            value: Value::Boolean(false),
        });
        let flags = [
            flag("--data", "data", self.data.as_ref()),
            flag("--popups", "popups", self.popups.as_ref()),
            listen,
            flag("--admin", "admin", self.admin.as_ref()),
            flag("--shards", "shards", self.shards.as_ref()),
            flag("--cpus", "cpus", self.cpus.as_ref()),
            flag("--writer-cpu", "writer_cpu", self.writer_cpu.as_ref()),
            no_pin,
            flag("--busy-poll", "busy_poll_us", self.busy_poll.as_ref()),
        ];
        flags.into_iter().flatten().collect()
    }
}

/// A name and a value; the name goes out as `attr.NAME`.
fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((format!("attr.{name}"), value.to_owned()))
}

impl ExplainArguments {
    /// What the node is asked, as names and values of its query.
    pub fn query(&self) -> Vec<(&str, &str)> {
        let mut query = vec![("user", self.user.as_str()), ("placement", self.placement.as_str())];
        let optional = [
            ("at", &self.at),
            ("session", &self.session),
            ("locale", &self.locale),
            ("tz", &self.tz),
        ];
        query.extend(optional.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
        query.extend(self.attr.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        query
    }

    /// The flags that stand for settings.
    pub fn flags(&self) -> Vec<Flag> {
        flag("--admin", "admin", self.admin.as_ref()).into_iter().collect()
    }
}

impl ExportArguments {
    /// The flags that stand for settings.
    pub fn flags(&self) -> Vec<Flag> {
        flag("--data", "data", self.data.as_ref()).into_iter().collect()
    }
}

impl ImportArguments {
    /// The flags that stand for settings.
    pub fn flags(&self) -> Vec<Flag> {
        flag("--data", "data", self.data.as_ref()).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AdminAddress, Count, load};
    use clap::CommandFactory;

    fn read(line: &str) -> Result<Command, clap::Error> {
        parse(line.split_whitespace())
    }

    fn served(line: &str) -> ServeArguments {
        match read(line).unwrap() {
            Command::Serve(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn serve_is_what_is_done_without_a_subcommand() {
        Arguments::command().debug_assert();
        let line = "--config c.toml --data d --popups p --listen 127.0.0.1:0 --listen [::1]:0 \
                    --admin unix:/a --shards 2 --cpus 2-5,8 --writer-cpu 1 --no-pin \
                    --busy-poll 50 --accept-clock --salvage";
        let bare = served(&format!("nudged {line}"));
        assert_eq!(bare, served(&format!("nudged serve {line}")));
        assert_eq!(served("nudged"), ServeArguments::default());
        assert!(bare.accept_clock && bare.salvage);
        assert_eq!(bare.config, Some(PathBuf::from("c.toml")));
        let config = load(None, &[], &bare.flags()).unwrap().config;
        assert_eq!(config.listen.len(), 2);
        assert_eq!(config.admin, AdminAddress::Unix(PathBuf::from("/a")));
        assert_eq!(config.shards, Count::Exactly(2));
        assert_eq!(config.cpus, Some(vec![2, 3, 4, 5, 8]));
        assert_eq!(config.writer_cpu, Some(1));
        assert_eq!((config.pin, config.busy_poll_us), (false, 50));
        assert_eq!(config.data, PathBuf::from("d"));
        assert_eq!(config.popups, Some(PathBuf::from("p")));
    }

    #[test]
    fn a_wrong_value_of_a_flag_is_an_error_of_the_configuration() {
        let flags = served("nudged --shards 0 --listen x --busy-poll x").flags();
        let said = load(None, &[], &flags).unwrap_err().to_string();
        assert_eq!(said.lines().count(), 3, "{said}");
        assert!(said.contains("--shards: shards: expected \"auto\" or a whole number"), "{said}");
    }

    #[test]
    fn usage_errors_exit_2_and_help_exits_0() {
        let codes = [
            ("nudged --no-such-flag", 2),
            ("nudged no-such-command", 2),
            ("nudged vectors", 2),
            ("nudged explain --placement p", 2),
            ("nudged --data a --data b", 2),
            ("nudged --data d check", 2),
            ("nudged --help", 0),
            ("nudged --version", 0),
        ];
        for (line, code) in codes {
            assert_eq!(read(line).unwrap_err().exit_code(), code, "{line}");
        }
    }

    #[test]
    fn the_other_commands_take_their_arguments() {
        let check = CheckArguments { popups: vec!["a".into(), "b".into()], config: None };
        assert_eq!(read("nudged check a b").unwrap(), Command::Check(check));
        let vectors = VectorsArguments { files: vec!["v.json".into()] };
        assert_eq!(read("nudged vectors v.json").unwrap(), Command::Vectors(vectors));
        let line = "nudged explain --user u --placement p --at T --admin 127.0.0.1:9 --attr a=b=c";
        let Command::Explain(explain) = read(line).unwrap() else { panic!("not explain") };
        assert_eq!((explain.user.as_str(), explain.placement.as_str()), ("u", "p"));
        assert_eq!(explain.flags()[0].key, "admin");
        let query = [("user", "u"), ("placement", "p"), ("at", "T"), ("attr.a", "b=c")];
        assert_eq!(explain.query(), query);
        let wrong = "nudged explain --user u --placement p --attr a";
        assert_eq!(read(wrong).unwrap_err().exit_code(), 2);
    }
}
