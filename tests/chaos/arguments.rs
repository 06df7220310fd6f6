//! What a run is asked to do: `--minutes N` or `--seconds N`, `--queue journal|redis`, `--seed S`,
//! `--nodes N`, `--clients N`, `--wipe`, `--embedded`; or `--upgrades N`, `--drains N`,
//! `--wait-max-ms N`, or `--reloads N`, which stand for runs without faults; or
//! `--outages N` of Redis alone; `--program FILE`, `--beside FILE`.

use std::path::PathBuf;
use std::time::Duration;

/// Long enough for a handful of faults: what `cargo test` runs.
const SECONDS: u64 = 20;
/// Nodes and clients at most: a bound on threads and memory, not a promise.
const COUNT_MAX: usize = 64;

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// How long faults go on.
    pub time: Duration,
    /// Where records queue: `journal` or `redis`.
    pub queue: String,
    /// What the faults and the clients' choices are drawn from. The machine's own timing is not.
    pub seed: u64,
    /// Processes.
    pub nodes: usize,
    /// Connections, each a thread.
    pub clients: usize,
    /// Whether Redis is wiped now and then.
    pub wipes: bool,
    /// One node without Redis and MySQL.
    pub is_embedded: bool,
    /// Hand-overs to new processes, and restarts, of a run without faults.
    pub upgrades: usize,
    /// Drains of such a run.
    pub drains: usize,
    /// Changes of the popups file of a run of them alone.
    pub reloads: u64,
    /// Outages of Redis, of a run of them alone.
    pub outages: usize,
    /// A newcomer may wait so long in a run of upgrades, and all for the end of an outage.
    pub wait_max_ms: u64,
    /// What runs.
    pub program: PathBuf,
    /// What every second node runs instead: the version before, or after.
    pub beside: Option<PathBuf>,
    /// Whether there is anything to run: not where other tests are named.
    pub is_wanted: bool,
}

impl Default for Arguments {
    fn default() -> Arguments {
        Arguments {
            time: Duration::from_secs(SECONDS),
            queue: "journal".to_owned(),
            seed: 1,
            nodes: 3,
            clients: 6,
            wipes: false,
            is_embedded: false,
            upgrades: 0,
            drains: 0,
            reloads: 0,
            outages: 0,
            wait_max_ms: 1_000,
            program: PathBuf::from(env!("CARGO_BIN_EXE_nudged")),
            beside: None,
            is_wanted: true,
        }
    }
}

impl Arguments {
    /// Reads them.
    ///
    /// # Errors
    /// A phrase that names what is wrong.
    pub fn of(words: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut arguments = Arguments::default();
        let mut words = words;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--minutes" => {
                    arguments.time = Duration::from_secs(60 * number(&word, &value()?)?);
                }
                "--seconds" => arguments.time = Duration::from_secs(number(&word, &value()?)?),
                "--queue" => arguments.queue = value()?,
                "--seed" => arguments.seed = number(&word, &value()?)?,
                "--nodes" => arguments.nodes = count(&word, &value()?)?,
                "--clients" => arguments.clients = count(&word, &value()?)?,
                "--wipe" => arguments.wipes = true,
                "--embedded" => arguments.is_embedded = true,
                "--upgrades" => arguments.upgrades = steps(&word, &value()?)?,
                "--drains" => arguments.drains = steps(&word, &value()?)?,
                "--reloads" => arguments.reloads = number(&word, &value()?)?,
                "--outages" => arguments.outages = steps(&word, &value()?)?,
                "--wait-max-ms" => arguments.wait_max_ms = number(&word, &value()?)?,
                "--program" => arguments.program = program(&value()?)?,
                "--beside" => arguments.beside = Some(program(&value()?)?),
                // What people pass to all test binaries at once.
                "--nocapture" | "--quiet" | "-q" | "--exact" => {}
                "--test-threads" | "--skip" => drop(value()?),
                "--list" => arguments.is_wanted = false,
                filter if !filter.starts_with('-') => {
                    arguments.is_wanted = "chaos".contains(filter);
                }
                other => return Err(format!("unknown argument {other}")),
            }
        }
        if !["journal", "redis"].contains(&arguments.queue.as_str()) {
            return Err("--queue is journal or redis".to_owned());
        }
        if arguments.wipes && arguments.queue == "redis" {
            return Err("a wiped Redis loses the records that queue in it: no --wipe".to_owned());
        }
        if arguments.is_embedded {
            arguments.nodes = 1;
        }
        Ok(arguments)
    }

    /// Whether it is one of upgrades and drains.
    pub fn is_calm(&self) -> bool {
        self.upgrades > 0 || self.drains > 0
    }

    /// The command that repeats this run.
    pub fn command(&self) -> String {
        if self.reloads > 0 {
            return format!("tools/chaos --reloads {} --clients {}", self.reloads, self.clients);
        }
        if self.outages > 0 {
            return format!("tools/chaos --outages {} --clients {}", self.outages, self.clients);
        }
        if self.is_calm() {
            let (upgrades, drains, embedded) = (self.upgrades, self.drains, self.embedded());
            return format!("tools/upgrade --upgrades {upgrades} --drains {drains}{embedded}");
        }
        format!(
            "tools/chaos --seconds {} --queue {} --seed {} --nodes {} --clients {}{}{}",
            self.time.as_secs(),
            self.queue,
            self.seed,
            self.nodes,
            self.clients,
            if self.wipes { " --wipe" } else { "" },
            self.embedded(),
        )
    }

    fn embedded(&self) -> &'static str {
        if self.is_embedded { " --embedded" } else { "" }
    }
}

fn number(name: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{name} is a number, not {text}"))
}

/// A file that can be started from any directory.
fn program(text: &str) -> Result<PathBuf, String> {
    std::fs::canonicalize(text).map_err(|error| format!("{text}: {error}"))
}

fn steps(name: &str, text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{name} is a number, not {text}"))
}

fn count(name: &str, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=COUNT_MAX) => Ok(count),
        _ => Err(format!("{name} is 1 to {COUNT_MAX}, not {text}")),
    }
}
