//! The layers, one over the other: defaults, file, environment, flags. Every layer is read whole,
//! so that one run names every error, also those in values that a higher layer would replace.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, PREFIX, is_section, position, suggestion};
use super::problem::{Kind, Origin, Problem, Problems};
use super::schema::{AdminAddress, Config, Count, Queue};
use super::value::{Expected, Value};
use crate::base::limits::{SETTING_SHOWN_CHARS_MAX, SLICE_SHARD_BYTES_MIN};

/// The file that is read where no other is named, if it is there.
pub const DEFAULT_FILE: &str = "nudged.toml";

/// Variables that start with `NUDGED_` and are no keys: the name of the file itself.
const OTHER_VARIABLES: [&str; 1] = ["NUDGED_CONFIG"];

/// A configuration file that has been read.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Its name, for error texts.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// The environment, as pairs of name and value; names that are not ours are passed over.
pub type Environment = Vec<(String, String)>;

/// A flag that stands for a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Flag {
    /// The flag as people type it: `--shards`.
    pub name: &'static str,
    /// The key that it sets.
    pub key: &'static str,
    /// Its value: `Loose`, or a list of them where it was given more than once.
    pub value: Value,
}

/// A configuration without errors.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Environment variables that look like ours and are no keys. They are told, not refused:
    /// Kubernetes sets such names (`NUDGED_PORT`) for a service called nudged.
    pub unknown_variables: Vec<String>,
    /// The configuration file that was read; `None` where there is none.
    pub file: Option<String>,
    origins: Vec<Origin>,
}

impl Loaded {
    /// Where the value of a key came from; `None` for a key that does not exist.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        position(key).map(|index| &self.origins[index])
    }
}

/// Lays file, environment and flags over the defaults. Allocates; to be called at start and
/// reload.
///
/// # Errors
/// Everything that is wrong, in all layers.
pub fn load(
    file: Option<File<'_>>,
    environment: &[(String, String)],
    flags: &[Flag],
) -> Result<Loaded, Problems> {
    let mut layers = Layers {
        config: Config::default(),
        origins: vec![Origin::Default; KEYS.len()],
        problems: Vec::new(),
    };
    if let Some(file) = file {
        layers.read_file(file);
    }
    let unknown_variables = layers.read_environment(environment);
    for flag in flags {
        let index = position(flag.key).expect("a flag stands for a key");
        layers.set(index, &flag.value, Origin::Flag(flag.name));
    }
    layers.check_relations();
    if layers.problems.is_empty() {
        let file = file.map(|file| file.name.to_owned());
        Ok(Loaded { config: layers.config, unknown_variables, file, origins: layers.origins })
    } else {
        Err(Problems(layers.problems))
    }
}

struct Layers {
    config: Config,
    origins: Vec<Origin>,
    problems: Vec<Problem>,
}

impl Layers {
    fn set(&mut self, index: usize, value: &Value, origin: Origin) {
        let key = &KEYS[index];
        match (key.set)(&mut self.config, value) {
            Ok(()) => self.origins[index] = origin,
            Err(expected) => {
                let got = (!key.is_secret()).then(|| shown(value));
                self.refuse(origin, key.name, Kind::Refused { expected, got });
            }
        }
    }

    fn refuse(&mut self, origin: Origin, key: &str, kind: Kind) {
        self.problems.push(Problem { origin, key: key.to_owned(), kind });
    }

    fn read_environment(&mut self, environment: &[(String, String)]) -> Vec<String> {
        let mut unknown = Vec::new();
        for (name, value) in environment.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            match KEYS.iter().position(|key| key.variable() == *name) {
                Some(index) => {
                    let origin = Origin::Environment(name.clone());
                    self.set(index, &Value::Loose(value.clone()), origin);
                }
                None if OTHER_VARIABLES.contains(&name.as_str()) => {}
                None => unknown.push(name.clone()),
            }
        }
        unknown.sort();
        unknown
    }

    fn read_file(&mut self, file: File<'_>) {
        let lines = Lines { name: Arc::from(file.name), text: file.text };
        let (table, errors) = DeTable::parse_recoverable(file.text);
        for error in &errors {
            // Not the parser's own rendering: it repeats the line, which may hold a secret.
            let origin = lines.at(error.span().map_or(0, |span| span.start));
            self.refuse(origin, "", Kind::Syntax(error.message().to_owned()));
        }
        // Where the text is not TOML, what else was read of it may not be what was meant.
        if errors.is_empty() {
            self.read_table(table.get_ref(), "", &lines);
        }
        self.problems.sort_by_key(|problem| match problem.origin {
            Origin::File { line, .. } => line,
            _ => 0,
        });
    }

    fn read_table(&mut self, table: &DeTable<'_>, section: &str, lines: &Lines<'_>) {
        for (key, value) in table {
            let name = match section {
                "" => key.get_ref().to_string(),
                _ => format!("{section}.{}", key.get_ref()),
            };
            let origin = lines.at(key.span().start);
            if let Some(index) = position(&name) {
                self.set(index, &read_value(value), origin);
            } else if section.is_empty() && is_section(&name) {
                match value.get_ref().as_table() {
                    Some(table) => self.read_table(table, &name, lines),
                    None => {
                        let got = Some(shown(&read_value(value)));
                        let kind = Kind::Refused { expected: Expected::Section, got };
                        self.refuse(origin, &name, kind);
                    }
                }
            } else {
                self.refuse(origin, &name, Kind::Unknown(suggestion(&name)));
            }
        }
    }

    /// Relations between keys. One is looked at only where its keys could be read: an error that
    /// follows from another helps nobody.
    fn check_relations(&mut self) {
        if self.all_read(&["redis.url", "mysql.url", "queue"]) {
            self.check_stores();
        }
        if self.all_read(&["admin", "admin_token_file", "listen"]) {
            self.check_listeners();
        }
        if self.all_read(&["keys.server", "keys.public"]) {
            let keys = &self.config.keys;
            if keys.public.iter().any(|key| keys.server.contains(key)) {
                self.refuse_key("keys.public", Kind::SameKey("keys.server"));
            }
        }
        if self.all_read(&["lame_duck", "drain_timeout"])
            && self.config.lame_duck > self.config.drain_timeout
        {
            self.refuse_key("lame_duck", Kind::LongerThan("drain_timeout"));
        }
        if let Count::Exactly(shards) = self.config.shards {
            let needed = u64::from(shards) * SLICE_SHARD_BYTES_MIN;
            if self.all_read(&["shards", "slice_bytes"]) && self.config.slice_bytes < needed {
                let kind = Kind::SliceTooSmall { shards, needed_mib: needed >> 20 };
                self.refuse_key("slice_bytes", kind);
            }
        }
    }

    fn check_stores(&mut self) {
        let (redis, mysql) = (self.config.redis.url.is_some(), self.config.mysql.url.is_some());
        if redis && !mysql {
            self.refuse_key("redis.url", Kind::Needs("mysql.url"));
        }
        let url = self.config.redis.url.as_ref().map_or("", |url| url.expose());
        let later = [
            ("rediss://", "TLS to Redis"),
            ("redis+cluster://", "Redis Cluster"),
            ("redis+sentinel://", "Redis Sentinel"),
        ];
        if let Some((_, what)) = later.iter().find(|(scheme, _)| url.starts_with(scheme)) {
            self.refuse_key("redis.url", Kind::NotYet(what));
        }
        if self.config.redis.breaker_open > self.config.redis.breaker_open_max {
            self.refuse_key("redis.breaker_open", Kind::LongerThan("redis.breaker_open_max"));
        }
        if self.config.mysql.replica.is_some() && !mysql {
            self.refuse_key("mysql.replica", Kind::Needs("mysql.url"));
        }
        if self.config.queue == Queue::Redis && !redis {
            self.refuse_key("queue", Kind::Needs("redis.url"));
        }
    }

    fn check_listeners(&mut self) {
        if !self.config.admin.is_local() && self.config.admin_token_file.is_none() {
            self.refuse_key("admin", Kind::TokenMissing);
        }
        if let AdminAddress::Tcp(admin) = self.config.admin
            && admin.port() != 0
            && self.config.listen.contains(&admin)
        {
            self.refuse_key("admin", Kind::SameAddress("listen"));
        }
    }

    fn all_read(&self, keys: &[&str]) -> bool {
        debug_assert!(keys.iter().all(|key| position(key).is_some()));
        !self.problems.iter().any(|problem| keys.contains(&problem.key.as_str()))
    }

    fn refuse_key(&mut self, key: &'static str, kind: Kind) {
        let index = position(key).expect("a key of the table");
        self.refuse(self.origins[index].clone(), key, kind);
    }
}

struct Lines<'a> {
    name: Arc<str>,
    text: &'a str,
}

impl Lines<'_> {
    /// The place of a byte of the text.
    fn at(&self, offset: usize) -> Origin {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Origin::File { name: self.name.clone(), line: u32::try_from(line).unwrap_or(u32::MAX) }
    }
}

fn read_value(value: &Spanned<DeValue<'_>>) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or(Value::Other("a number out of range"), Value::Whole),
        DeValue::Array(values) => Value::List(values.iter().map(read_value).collect()),
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Table(_) => Value::Other("a section"),
    }
}

/// A value in an error: cut short, control characters escaped.
fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) | Value::Loose(text) => {
            let cut: String = text.chars().take(SETTING_SHOWN_CHARS_MAX).collect();
            let more = if cut.len() < text.len() { "…" } else { "" };
            format!("{cut:?}{more}")
        }
        Value::Whole(number) => number.to_string(),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::List(values) => match values.as_slice() {
            [] => "an empty list".to_owned(),
            [one] => format!("[{}]", shown(one)),
            [first, ..] => format!("[{}, …] ({} values)", shown(first), values.len()),
        },
        Value::Other(name) => (*name).to_owned(),
    }
}
