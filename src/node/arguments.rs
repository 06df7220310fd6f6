//! The command line: which subcommand, with which flags and what help. `flags` says which of them
//! stand for settings; `config` reads those, with the same errors as for a file.

mod flags;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser};

use super::version::VERSION;

/// A popup decision server. Without a subcommand it serves.
#[derive(Debug, Parser)]
#[command(
    name = "nudged",
    version = VERSION,
    after_help = "\
Each setting has a key in nudged.toml, an environment variable NUDGED_<KEY> and, if listed above, a
flag. Flags override variables, variables override the file, and the file overrides the defaults.

Examples:
  nudged --config /etc/nudged.toml          serve
  nudged check --config /etc/nudged.toml    find what is wrong before a start or a reload
  nudged help COMMAND                       more about a command"
)]
struct Arguments {
    #[command(flatten)]
    shared: SharedArguments,
    #[command(subcommand)]
    command: Option<Subcommand>,
    #[command(flatten)]
    serve: ServeArguments,
}

/// Flags of every command, before its name or after it.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct SharedArguments {
    /// Configuration file [env: NUDGED_CONFIG] [default: nudged.toml, if it is there]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Data directory [env: NUDGED_DATA] [default: ./nudged-data]
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<String>,
}

/// What to do.
#[derive(Debug, PartialEq, clap::Subcommand)]
pub enum Subcommand {
    /// Serve decisions (the default without a subcommand)
    #[command(after_help = "\
Example:
  nudged serve --config /etc/nudged.toml --listen 0.0.0.0:8080 --cpus 0-6 --writer-cpu 7")]
    Serve(ServeArguments),
    /// Validate configuration and popups: exit 0, or 2 with every error
    #[command(after_help = "\
Checks the configuration, whether it fits this host (CPUs, files, directories, addresses), and the
popups. Contacts no server. Run it as the user that nudged runs as. What a running node has in use
is only a warning, and so is a kernel or a limit that a node would not start with.

Codes of warnings about popups in --json: ended, link_runs, number_as_text, rollout_empty,
shadowed, target_never_matches, too_many_to_remember, variant_unreachable, window_never_opens.

Examples:
  nudged check --config /etc/nudged.toml
  nudged check popups.toml --json | jq '.problems[] | select(.severity == \"error\")'")]
    Check(CheckArguments),
    /// Is this host ready: kernel, limits, sysctls, cores, disk, Redis, MySQL: exit 1 on a fail
    #[command(after_help = "\
A line for each check: ok, warn or fail, what was found, why it matters, and the command that mends
it. Changes nothing, asks the configured servers alone, and ends within 15 s. Run it as the user that
nudged runs as, with the flags that it is served with; where a node runs in the data directory, its
limits and control groups count.

Examples:
  nudged doctor --config /etc/nudged.toml
  nudged doctor --json | jq -r '.[] | select(.status != \"ok\") | .mend'")]
    Doctor(DoctorArguments),
    /// Print the JSON Schema of popups files, for editors and for what writes such files
    #[command(after_help = "\
Fields, ranges, defaults and examples, as JSON Schema 2020-12. Editors find it by the first line of a
popups file: #:schema ./popups.schema.json. What a schema can't say, `nudged check` says.

Example:
  nudged schema > popups.schema.json")]
    Schema,
    /// Run decision vectors: exit 1 if any failed
    #[command(after_help = "\
The last line is \"N passed, M failed\".

Example:
  nudged vectors tests/vectors/*.json")]
    Vectors(VectorsArguments),
    /// Explain why a user sees, or does not see, each popup; asks a running node
    #[command(after_help = "\
Nothing is recorded.

Example:
  nudged explain --user ann --placement home --attr country=DE --tz Europe/Berlin")]
    Explain(ExplainArguments),
    /// Print a journal's records, readable, with what is torn or damaged; beside a running node too
    #[command(after_help = "\
Reads only: it takes no lock and changes no byte. Damage is reported with its place, and reading goes
on behind it.

Examples:
  nudged journal /var/lib/nudged --user ann
  nudged journal /var/lib/nudged --summary
  nudged journal /var/lib/nudged --json | jq -r 'select(.popup_id == \"welcome\").user_id'")]
    Journal(JournalArguments),
    /// Bring to SQL what the journal of a node holds that is retired for ever
    #[command(after_help = "\
The node must have stopped. Its records go to nudged.db in its data directory, or with [mysql] in the
configuration to that database, exactly once: run it again as often as you like. Records that are
damaged are named, and those behind them stay until --salvage. Exit 0 says that SQL has all of them,
so that the directory may go; 4 that it has not, and why.

Examples:
  nudged drain --config /etc/nudged.toml /var/lib/nudged
  nudged drain --config /etc/nudged.toml /mnt/disk-of-node3/nudged")]
    Drain(DrainArguments),
    /// Watch a running node live in the terminal: shards, rates, latency, stores, lag
    #[command(after_help = "\
Asks the admin address for /metrics and /v1/status. Keys: q or Esc quits, p pauses, h helps. Where
standard output is no terminal, or with --once, it prints one snapshot and exits.

Examples:
  nudged top
  nudged top --admin unix:/run/nudged/admin.sock --interval 5
  nudged top --admin https://node1.example:8081 --token-file admin.token --cacert ca.pem
  nudged top --once")]
    Top(TopArguments),
    /// Write popups, users, statistics or journals to standard output as NDJSON
    #[command(after_help = "\
Example:
  nudged export --config /etc/nudged.toml popups --history > popups.ndjson")]
    Export(ExportArguments),
    /// Import what export wrote: popups all or none, users while no node is running
    #[command(after_help = "\
Example:
  nudged import --config /etc/nudged.toml popups.ndjson")]
    Import(ImportArguments),
    /// Copy the database of a running embedded node: all that it remembers, in one file
    #[command(after_help = "\
The copy has everything that was acknowledged before the command was run. It is made on the node's
host by this command, so run it as the node's user or as root. FILE must not exist; it is there
whole or not at all. It has the signing keys: keep it as safe as the data directory. With - for FILE
the copy goes to standard output, once it is whole; it is made in $TMPDIR, or /var/tmp.

Examples:
  nudged backup --config /etc/nudged.toml /var/backups/nudged-$(date +%F).db
  nudged backup --config /etc/nudged.toml - | zstd | ssh backup 'cat > nudged.db.zst'")]
    Backup(BackupArguments),
    /// Create or upgrade the SQL schema of mysql.url; with --from, move an embedded node there
    #[command(after_help = "\
Examples:
  NUDGED_MYSQL_URL=mysql://nudged_migrate:SECRET@db/nudged nudged migrate
  nudged migrate --config /etc/nudged.toml --from /var/lib/nudged")]
    Migrate(MigrateArguments),
}

/// Flags that say where a node listens and on which cores it runs: what a host has to be fit for.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct PlaceArguments {
    /// Address for visitors' requests; may be given more than once; port 0 picks a free one;
    /// 'ADDR:PORT tls' speaks TLS, 'ADDR:PORT proxy_protocol' is behind a balancer that sends it
    /// [env: NUDGED_LISTEN] [default: 127.0.0.1:8080]
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
}

/// Flags of `serve`. Each beats its environment variable and its key in the file.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ServeArguments {
    /// Popups file, imported at start and reload [env: NUDGED_POPUPS] [default: none]
    #[arg(long, value_name = "FILE")]
    popups: Option<String>,
    /// Where it listens, and on which cores it runs.
    #[command(flatten)]
    place: PlaceArguments,
    /// How long an idle shard spins before it sleeps [env: NUDGED_BUSY_POLL_US] [default: 0]
    #[arg(long, value_name = "MICROSECONDS")]
    busy_poll: Option<String>,
    /// Start even if the journal is more than 1 h ahead of the wall clock
    #[arg(long)]
    pub accept_clock: bool,
    /// Start despite damage in the middle of the journal: copy it aside, skip the damaged batches
    #[arg(long)]
    pub salvage: bool,
}

/// Flags of the commands that ask a running node.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct NodeArguments {
    /// The node's admin address, https://HOST:PORT where it speaks TLS, or unix:/PATH [env:
    /// NUDGED_ADMIN] [default: the configuration's]
    #[arg(long, value_name = "ADDR:PORT")]
    admin: Option<String>,
    /// File with the admin token [env: NUDGED_ADMIN_TOKEN_FILE] [default: the configuration's]
    #[arg(long, value_name = "FILE")]
    token_file: Option<String>,
    /// Certificates in PEM that the node's, for its name, has to be or to be signed by [default:
    /// the configuration's tls.certificate, for any name; those that this host trusts]
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
}

/// Arguments of `check`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct CheckArguments {
    /// Popups files [default: the one in the configuration]
    #[arg(value_name = "POPUPS")]
    pub popups: Vec<PathBuf>,
    /// One JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `doctor`: those of `serve` that matter to a host.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct DoctorArguments {
    /// As of `serve`.
    #[command(flatten)]
    place: PlaceArguments,
    /// An array of {"name","status","found","why","mend"} instead of lines
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `export`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ExportArguments {
    /// What to write [default: popups]
    #[command(subcommand)]
    pub subject: Option<ExportSubject>,
}

/// What `export` writes.
#[derive(Clone, Debug, PartialEq, clap::Subcommand)]
pub enum ExportSubject {
    /// Every popup, one per line, with the status that an operator set
    Popups {
        /// With each popup's latest 1,000 changes
        #[arg(long)]
        history: bool,
    },
    /// Every user with their popups, and every erased user, one per line
    Users,
    /// Counts per popup, variant, hour and journal, one per line
    Stats,
    /// Every journal record, one per line
    Journal {
        /// Data directories [default: the configuration's]
        #[arg(value_name = "DIR")]
        directories: Vec<PathBuf>,
    },
}

/// Arguments of `journal`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct JournalArguments {
    /// A data directory, a journal's directory, or one of its files
    #[arg(value_name = "DIR|FILE")]
    pub path: PathBuf,
    /// Records as NDJSON on standard output; damage and the summary on standard error
    #[arg(long)]
    pub json: bool,
    /// Only what a record says of this user
    #[arg(long, value_name = "U")]
    pub user: Option<String>,
    /// Begin with this record
    #[arg(long, value_name = "SEQ", default_value_t = 0, hide_default_value = true)]
    pub from: u64,
    /// Stop after so many records
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Only the summary: files, batches, records, what is torn or damaged
    #[arg(long, conflicts_with_all = ["user", "from", "limit"])]
    pub summary: bool,
}

/// Arguments of `drain`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct DrainArguments {
    /// The node's data directory, or the journal in it
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Go on behind damaged records, without exactly those
    #[arg(long)]
    pub salvage: bool,
    /// Give up shows and events that were accepted while Redis was away and wait to be merged
    #[arg(long)]
    pub unmerged_lost: bool,
}

/// Arguments of `top`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct TopArguments {
    /// Which node.
    #[command(flatten)]
    pub node: NodeArguments,
    /// Print one snapshot and exit
    #[arg(long)]
    pub once: bool,
    /// Seconds from one look to the next, 1 to 3600
    #[arg(long, value_name = "SECONDS", default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub interval: u64,
}

/// Arguments of `import`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ImportArguments {
    /// Output of `nudged export`; - for standard input
    #[arg(value_name = "FILE|-")]
    pub file: PathBuf,
    /// Give up nodes that did not stop cleanly, with what only they had recorded
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

/// Arguments of `backup`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct BackupArguments {
    /// Where the copy goes; a new file, or - for standard output
    #[arg(value_name = "FILE|-")]
    pub file: PathBuf,
    /// Which node.
    #[command(flatten)]
    pub node: NodeArguments,
}

/// Arguments of `migrate`.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct MigrateArguments {
    /// Data directory of a stopped embedded node, to move into mysql.url with all its users
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// Give up nodes that did not stop cleanly, with what only they had recorded
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
    /// The time, as RFC 3339 [default: now]
    #[arg(long, value_name = "T")]
    pub at: Option<String>,
    /// The user's session [default: none]
    #[arg(long, value_name = "S")]
    session: Option<String>,
    /// The locale, such as de-AT [default: none]
    #[arg(long, value_name = "L")]
    locale: Option<String>,
    /// The user's time zone, such as Europe/Berlin; times are shown in it [default: UTC]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// An attribute; may be given more than once [default: none]
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    attr: Vec<(String, String)>,
    /// Which node.
    #[command(flatten)]
    pub node: NodeArguments,
}

/// A command line that was understood.
#[derive(Debug, PartialEq)]
pub struct CommandLine {
    /// The flags of every command.
    pub shared: SharedArguments,
    /// What to do: the subcommand, or `serve` where none was given.
    pub command: Subcommand,
}

/// The whole command line, for what is written from it: pages of the manual, completions.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Reads a command line, the program's name first.
///
/// # Errors
/// Wrong usage (exit code 2), or a wish for help or the version (exit code 0): the error prints
/// itself to the right stream and knows its exit code.
pub fn parse<I>(arguments: I) -> Result<CommandLine, clap::Error>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let Arguments { shared, command, serve } = Arguments::try_parse_from(arguments)?;
    let command = match command {
        // A flag that would do nothing is not what was meant.
        Some(_) if serve != ServeArguments::default() => {
            let names: Vec<_> = serve.flags().iter().map(|flag| flag.name).collect();
            let names = if names.is_empty() { "a flag".to_owned() } else { names.join(", ") };
            let message = format!(
                "{names} before the command: give flags of `serve` after it, as in `nudged serve \
                 --listen ADDR:PORT`; only --config and --data may come before a command"
            );
            return Err(Arguments::command().error(ErrorKind::ArgumentConflict, message));
        }
        Some(command) => command,
        None => Subcommand::Serve(serve),
    };
    Ok(CommandLine { shared, command })
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
}

#[cfg(test)]
mod tests;
