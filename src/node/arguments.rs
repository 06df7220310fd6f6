//! The command line: which subcommand, and which flags stand for settings. Knows the names of
//! flags and no values: `config` reads them, with the same errors as for a file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use nudged_config::{Flag, Value};

/// A popup decision server. Without a subcommand it serves.
#[derive(Debug, Parser)]
#[command(
    name = "nudged",
    version,
    after_help = "\
Each setting has a key in nudged.toml, a variable NUDGED_<KEY> and, where it is listed above, a flag;
flags beat variables beat the file beats defaults.

Examples:
  nudged --config /etc/nudged.toml          serve
  nudged check --config /etc/nudged.toml    what is wrong with it, before a start or a reload
  nudged help COMMAND                       more about one"
)]
pub struct Arguments {
    #[command(flatten)]
    shared: SharedArguments,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
}

/// Flags of every command, before its name or after it.
#[derive(Args, Clone, Debug, Default, PartialEq)]
struct SharedArguments {
    /// Configuration file [env: NUDGED_CONFIG] [default: nudged.toml, if it is there]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Data directory [env: NUDGED_DATA] [default: ./nudged-data]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<String>,
}

/// What to do.
#[derive(Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Serve decisions (what is done without a subcommand)
    #[command(after_help = "\
Example:
  nudged serve --config /etc/nudged.toml --listen 0.0.0.0:8080 --cpus 0-6 --writer-cpu 7")]
    Serve(ServeArguments),
    /// Validate configuration and popups: exit 0, or 2 with every error
    #[command(after_help = "\
Looks at the configuration, at what this host says of it (CPUs, files, directories, addresses), and
at popups. Asks no server. Run it as the user of the node. What a running node has in use is a
warning, and so is a kernel or a limit that a node here would not start with.

Codes of warnings about popups in --json: ended, number_as_text, rollout_empty, shadowed,
target_never_matches, too_many_to_remember, variant_unreachable, window_never_opens.

Examples:
  nudged check --config /etc/nudged.toml
  nudged check popups.toml --json | jq '.problems[] | select(.severity == \"error\")'")]
    Check(CheckArguments),
    /// Run decision vectors: exit 1 if any failed
    #[command(after_help = "\
The last line is \"N passed, M failed\".

Example:
  nudged vectors tests/vectors/*.json")]
    Vectors(VectorsArguments),
    /// Tell why this user sees, or does not see, each popup; asks a running node
    #[command(after_help = "\
Nothing is recorded.

Example:
  nudged explain --user ann --placement home --attr country=DE --tz Europe/Berlin")]
    Explain(ExplainArguments),
    /// Write popups, users, statistics or journals to standard output as NDJSON
    #[command(after_help = "\
Example:
  nudged export --config /etc/nudged.toml popups --history > popups.ndjson")]
    Export(ExportArguments),
    /// Take what export wrote into the database: popups all or none, users with no node running
    #[command(after_help = "\
Example:
  nudged import --config /etc/nudged.toml popups.ndjson")]
    Import(ImportArguments),
    /// Create or upgrade the SQL schema of mysql.url; with --from, move an embedded node there
    #[command(after_help = "\
Examples:
  NUDGED_MYSQL_URL=mysql://nudged_migrate:SECRET@db/nudged nudged migrate
  nudged migrate --config /etc/nudged.toml --from /var/lib/nudged")]
    Migrate(MigrateArguments),
}

/// Flags of `serve`. Each beats its environment variable and its key in the file.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ServeArguments {
    /// Configuration file
    #[arg(skip)]
    pub config: Option<PathBuf>,
    /// Data directory
    #[arg(skip)]
    data: Option<String>,
    /// Popups file, imported at start and reload [env: NUDGED_POPUPS] [default: none]
    #[arg(long, value_name = "FILE")]
    popups: Option<String>,
    /// Address for visitors' requests; may be given more than once; port 0 picks a free one [env:
    /// NUDGED_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// Address for operators, or unix:/PATH [env: NUDGED_ADMIN] [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR:PORT")]
    admin: Option<String>,
    /// Shards, or auto: one for each CPU of --cpus [env: NUDGED_SHARDS] [default: auto]
    #[arg(long, value_name = "N|auto")]
    shards: Option<String>,
    /// CPUs that shards are pinned to in turn, such as 2-5,8 [env: NUDGED_CPUS] [default: auto, all
    /// allowed ones but the last]
    #[arg(long, value_name = "LIST")]
    cpus: Option<String>,
    /// CPU of the journal and of the SQL writer [env: NUDGED_WRITER_CPU] [default: auto, the last
    /// allowed one]
    #[arg(long, value_name = "N")]
    writer_cpu: Option<String>,
    /// Leave threads where the kernel puts them [env: NUDGED_PIN=false] [default: pinned]
    #[arg(long)]
    no_pin: bool,
    /// How long an idle shard spins before it sleeps [env: NUDGED_BUSY_POLL_US] [default: 0]
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
    /// Configuration file
    #[arg(skip)]
    pub config: Option<PathBuf>,
    /// Data directory
    #[arg(skip)]
    pub data: Option<String>,
    /// Popups files [default: the one that the configuration names]
    #[arg(value_name = "POPUPS")]
    pub popups: Vec<PathBuf>,
    /// One JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `export`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ExportArguments {
    /// Configuration file
    #[arg(skip)]
    pub config: Option<PathBuf>,
    /// Data directory
    #[arg(skip)]
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
    /// Every user with their popups, and every erased one, a line each
    Users,
    /// Counts of popups per variant, hour and journal, a line each
    Stats,
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
    /// Configuration file
    #[arg(skip)]
    pub config: Option<PathBuf>,
    /// Data directory
    #[arg(skip)]
    data: Option<String>,
    /// What `nudged export` has written; - for standard input
    #[arg(value_name = "FILE|-")]
    pub file: PathBuf,
    /// Nodes that did not stop cleanly are gone for good, and what only they had recorded
    #[arg(long)]
    pub nodes_lost: bool,
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
    /// Configuration file
    #[arg(skip)]
    pub config: Option<PathBuf>,
    /// Data directory
    #[arg(skip)]
    data: Option<String>,
    /// Data directory of a stopped embedded node, to be moved into mysql.url with all its users
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// Nodes that did not stop cleanly are gone for good, and what only they had recorded
    #[arg(long, requires = "from")]
    pub nodes_lost: bool,
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
    /// The user's session [default: none]
    #[arg(long, value_name = "S")]
    session: Option<String>,
    /// The locale, such as de-AT [default: none]
    #[arg(long, value_name = "L")]
    locale: Option<String>,
    /// The user's zone, such as Europe/Berlin; moments are told in it [default: UTC]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// An attribute; may be given more than once [default: none]
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    attr: Vec<(String, String)>,
    /// The node's admin address, or unix:/PATH [env: NUDGED_ADMIN] [default: the configuration's]
    #[arg(long, value_name = "ADDR:PORT")]
    admin: Option<String>,
    /// Configuration file
    #[arg(skip)]
    pub config: Option<PathBuf>,
    /// Data directory
    #[arg(skip)]
    data: Option<String>,
}

impl Command {
    /// The flags of every command where this one keeps them; none where it has no use for them.
    fn shared(&mut self) -> Option<(&mut Option<PathBuf>, &mut Option<String>)> {
        Some(match self {
            Command::Serve(of) => (&mut of.config, &mut of.data),
            Command::Check(of) => (&mut of.config, &mut of.data),
            Command::Explain(of) => (&mut of.config, &mut of.data),
            Command::Export(of) => (&mut of.config, &mut of.data),
            Command::Import(of) => (&mut of.config, &mut of.data),
            Command::Migrate(of) => (&mut of.config, &mut of.data),
            Command::Vectors(_) => return None,
        })
    }
}

impl Arguments {
    /// What to do: the subcommand, or `serve` where none was given.
    fn into_command(self) -> Result<Command, clap::Error> {
        let mut command = match self.command {
            // A flag that would do nothing is not what was meant.
            Some(_) if self.serve != ServeArguments::default() => {
                let names: Vec<_> = self.serve.flags().iter().map(|flag| flag.name).collect();
                let names = if names.is_empty() { "a flag".to_owned() } else { names.join(", ") };
                let message = format!(
                    "{names} before the command: flags of `serve` stand behind it, as in `nudged \
                     serve --listen ADDR:PORT`; only --config and --data may stand before any \
                     command"
                );
                return Err(Arguments::command().error(ErrorKind::ArgumentConflict, message));
            }
            Some(command) => command,
            None => Command::Serve(self.serve),
        };
        if let Some((config, data)) = command.shared() {
            (*config, *data) = (self.shared.config, self.shared.data);
        }
        Ok(command)
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
    Arguments::try_parse_from(arguments).and_then(Arguments::into_command)
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
        let admin = flag("--admin", "admin", self.admin.as_ref());
        admin.into_iter().chain(of_data(self.data.as_ref())).collect()
    }
}

fn of_data(data: Option<&String>) -> Vec<Flag> {
    flag("--data", "data", data).into_iter().collect()
}

/// The flags of a command that has no other one that stands for a setting.
macro_rules! flags_of_data {
    ($($arguments:ident)*) => {$(
        impl $arguments {
            /// The flags that stand for settings.
            pub fn flags(&self) -> Vec<Flag> {
                of_data(self.data.as_ref())
            }
        }
    )*};
}

flags_of_data! { CheckArguments ExportArguments ImportArguments MigrateArguments }

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_config::{AdminAddress, Config, Count, load, variable_of};

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
            ("nudged --listen 127.0.0.1:0 check", 2),
            ("nudged --accept-clock check", 2),
            ("nudged check --listen 127.0.0.1:0", 2),
            ("nudged help check", 0),
            ("nudged --help", 0),
            ("nudged --version", 0),
        ];
        for (line, code) in codes {
            assert_eq!(read(line).unwrap_err().exit_code(), code, "{line}");
        }
    }

    #[test]
    fn the_other_commands_take_their_arguments() {
        let popups = vec!["a".into(), "b".into()];
        let check = CheckArguments { popups, ..CheckArguments::default() };
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

    #[test]
    fn config_and_data_stand_before_a_command_or_behind_it() {
        let commands = [
            "serve",
            "check",
            "explain --user u",
            "export popups",
            "export journal",
            "import -",
            "migrate",
            "vectors v.json",
        ];
        for command in commands {
            let before = format!("nudged --config c.toml --data d {command}");
            let behind = format!("nudged {command} --data d --config c.toml");
            let mut before = read(&before).unwrap();
            assert_eq!(before, read(&behind).unwrap());
            if let Some((config, data)) = before.shared() {
                assert_eq!(*config, Some(PathBuf::from("c.toml")), "{command}");
                assert_eq!(data.as_deref(), Some("d"), "{command}");
            }
        }
        let Command::Check(check) = read("nudged check --data d --json").unwrap() else {
            panic!("not check")
        };
        assert!(check.json);
        let config = load(None, &[], &check.flags()).unwrap().config;
        assert_eq!(config.data, PathBuf::from("d"));
    }

    #[test]
    fn a_flag_in_a_wrong_place_and_a_misspelt_one_are_told_what_mends_them() {
        for (line, said) in [
            ("nudged --listen 127.0.0.1:0 check", "--listen before the command"),
            ("nudged --no-pin migrate", "as in `nudged serve"),
            ("nudged --lisen 127.0.0.1:0", "--listen"),
            ("nudged chekc", "check"),
            ("nudged explain --placement p", "--user <U>"),
        ] {
            let error = read(line).unwrap_err().to_string();
            assert!(error.contains(said), "{line}: {error}");
        }
    }

    #[test]
    fn help_has_defaults_variables_and_an_example_each() {
        let mut root = Arguments::command();
        root.build();
        let flags = served(
            "nudged --data d --popups p --listen a --admin a --shards 1 --cpus 1 --writer-cpu 1 \
             --no-pin --busy-poll 1",
        )
        .flags();
        let serve = root.find_subcommand("serve").unwrap();
        for flag in flags {
            let argument = serve
                .get_arguments()
                .find(|known| known.get_long() == flag.name.strip_prefix("--"))
                .unwrap_or_else(|| panic!("{} is no flag", flag.name));
            let help = argument.get_help().unwrap().to_string();
            let variable = variable_of(flag.key).unwrap();
            assert!(help.contains(&format!("[env: {variable}")), "{}: {help}", flag.name);
            assert!(help.contains("[default: "), "{}: {help}", flag.name);
        }
        let defaults = Config::default();
        let help = serve.clone().render_help().to_string();
        assert!(help.contains(&defaults.listen[0].to_string()), "{help}");
        assert!(help.contains(&defaults.data.display().to_string()), "{help}");
        for command in root.get_subcommands().filter(|command| command.get_name() != "help") {
            let name = command.get_name();
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("Example") && after.contains(name), "{name}: {after}");
        }
    }
}
