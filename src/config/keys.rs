//! The table of keys: name, reader, and when a changed value takes effect. One row here is one key
//! of the file, one `NUDGED_` variable and one line of `vendor-config/nudged.toml`.

use super::load::OTHER_VARIABLES;
use super::near::{distance, nearest};
use super::origin::origins;
use super::schema::{AckMode, Config, LogFormat, QueueMode};
use super::url;
use super::value::{
    SettingValue, ValueRefusal, addresses, admin, boolean, count, cpu, cpus, duration, keys,
    one_of, optional_path, path, size, users, whole, zone,
};
use nudged_base::limits::{
    BUSY_POLL_US_MAX, CONNECTIONS_MAX, JOURNAL_BYTES_MIN, MYSQL_CONNECTIONS_MAX, SHARDS_MAX,
    SLICE_BYTES_MAX, SLICE_SHARD_BYTES_MIN, UNSENT_BYTES_MAX, UNSENT_BYTES_MIN,
};
use nudged_base::telemetry::log::Level;
use nudged_base::time::DURATION_MAX;

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// With a reload.
    Reload,
    /// With the next start.
    Restart,
}

/// One row of the table.
pub(super) struct Setting {
    /// The key with its section: `log.level`.
    pub name: &'static str,
    /// When a changed value takes effect.
    pub when: When,
    /// Reads a value into its field; says what it takes where it can't.
    pub set: fn(&mut Config, &SettingValue) -> Result<(), ValueRefusal>,
    /// Whether two configurations hold the same value.
    pub same: fn(&Config, &Config) -> bool,
    /// Copies the value into the first configuration from the second.
    pub copy: fn(&mut Config, &Config),
}

impl Setting {
    /// Whether the value may be shown in an error.
    pub(super) fn is_secret(&self) -> bool {
        self.name.starts_with("keys.")
            || self.name.ends_with(".url")
            || self.name == "mysql.replica"
    }

    /// The name of its environment variable: `NUDGED_LOG_LEVEL`.
    pub(super) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('.', "_").to_ascii_uppercase())
    }
}

/// What the names of all environment variables start with.
pub(super) const PREFIX: &str = "NUDGED_";

macro_rules! keys {
    ($($when:ident $name:literal, $($field:ident).+ = $read:expr;)*) => {
        /// Every key.
        pub(super) static KEYS: &[Setting] = &[$(Setting {
            name: $name,
            when: When::$when,
            set: |config, value| {
                let read: fn(&SettingValue) -> Result<_, _> = $read;
                config.$($field).+ = read(value).map_err(ValueRefusal::from)?;
                Ok(())
            },
            same: |one, other| one.$($field).+ == other.$($field).+,
            copy: |to, from| to.$($field).+.clone_from(&from.$($field).+),
        },)*];
    };
}

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;
const SHOWS_MAX: u32 = 1_000_000;

const LEVELS: [Level; 4] = [Level::Error, Level::Warn, Level::Info, Level::Debug];
const FORMATS: [LogFormat; 3] = [LogFormat::Auto, LogFormat::Json, LogFormat::Text];

keys! {
    Restart "listen", listen = addresses;
    Restart "admin", admin = admin;
    Restart "admin_token_file", admin_token_file = optional_path;
    Restart "data", data = path;
    Reload "popups", popups = optional_path;
    Restart "shards", shards = |value| count(value, 1, u32::from(SHARDS_MAX));
    Restart "cpus", cpus = cpus;
    Restart "writer_cpu", writer_cpu = cpu;
    Restart "pin", pin = boolean;
    Restart "busy_poll_us", busy_poll_us = |value| whole(value, 0, BUSY_POLL_US_MAX);
    Restart "ack", ack = |value| {
        one_of(value, &["written", "synced"], &[AckMode::Written, AckMode::Synced])
    };
    Restart "queue", queue = |value| {
        one_of(value, &["journal", "redis"], &[QueueMode::Journal, QueueMode::Redis])
    };
    Reload "tz", tz = zone;
    Reload "quiet_time", quiet_time = |value| duration(value, 0, DURATION_MAX.0);
    Reload "max_per_day", max_per_day = |value| whole(value, 0, SHOWS_MAX);
    Reload "max_per_session", max_per_session = |value| whole(value, 0, SHOWS_MAX);
    Restart "lame_duck", lame_duck = |value| duration(value, 0, HOUR_MS);
    Restart "drain_timeout", drain_timeout = |value| duration(value, SECOND_MS, HOUR_MS);
    Restart "slice_bytes", slice_bytes = |value| {
        size(value, SLICE_SHARD_BYTES_MIN, SLICE_BYTES_MAX)
    };
    Restart "connections_max", connections_max = |value| count(value, 1, CONNECTIONS_MAX);
    Restart "journal.retention", journal.retention = |value| duration(value, 0, 366 * 24 * HOUR_MS);
    Restart "journal.bytes_max", journal.bytes_max = |value| {
        size(value, JOURNAL_BYTES_MIN, 16 << 40)
    };
    Restart "limits.read_deadline", limits.read_deadline = |value| duration(value, 1, MINUTE_MS);
    Restart "limits.first_byte_timeout", limits.first_byte_timeout = |value| {
        duration(value, 100, HOUR_MS)
    };
    Restart "limits.head_timeout", limits.head_timeout = |value| duration(value, 100, HOUR_MS);
    Restart "limits.body_timeout", limits.body_timeout = |value| duration(value, 100, HOUR_MS);
    Restart "limits.write_stall_timeout", limits.write_stall_timeout = |value| {
        duration(value, 100, HOUR_MS)
    };
    Restart "limits.idle_timeout", limits.idle_timeout = |value| {
        duration(value, SECOND_MS, 24 * HOUR_MS)
    };
    Restart "limits.unsent_bytes_max", limits.unsent_bytes_max = |value| {
        size(value, UNSENT_BYTES_MIN, UNSENT_BYTES_MAX)
    };
    Reload "keys.server", keys.server = keys;
    Reload "keys.public", keys.public = keys;
    Reload "cors.origins", cors.origins = origins;
    Reload "cors.max_age", cors.max_age = |value| duration(value, 0, 24 * HOUR_MS);
    Reload "log.level", log.level = |value| {
        one_of(value, &["error", "warn", "info", "debug"], &LEVELS)
    };
    Reload "log.users", log.users = users;
    Reload "log.format", log.format = |value| one_of(value, &["auto", "json", "text"], &FORMATS);
    Restart "redis.url", redis.url = url::redis;
    Restart "redis.deadline", redis.deadline = |value| duration(value, 1, MINUTE_MS);
    Restart "redis.slice_ttl", redis.slice_ttl = |value| duration(value, 0, HOUR_MS);
    Restart "redis.negative_ttl", redis.negative_ttl = |value| duration(value, 0, HOUR_MS);
    Restart "redis.ttl", redis.ttl = |value| duration(value, 0, 10 * 366 * 24 * HOUR_MS);
    Restart "redis.window", redis.window = |value| whole(value, 16, 65_536);
    Restart "redis.breaker_failures", redis.breaker_failures = |value| whole(value, 1, 1_000);
    Restart "redis.breaker_open", redis.breaker_open = |value| duration(value, 10, MINUTE_MS);
    Restart "redis.breaker_open_max", redis.breaker_open_max = |value| {
        duration(value, 10, MINUTE_MS)
    };
    Restart "redis.retry_budget", redis.retry_budget = |value| whole(value, 0, 100);
    Restart "redis.list_max", redis.list_max = |value| whole(value, 1, 1_000_000);
    Restart "mysql.url", mysql.url = url::mysql;
    Restart "mysql.batch", mysql.batch = |value| whole(value, 1, 100_000);
    Restart "mysql.connections", mysql.connections = |value| {
        whole(value, 1, MYSQL_CONNECTIONS_MAX)
    };
    Restart "mysql.replica", mysql.replica = url::mysql;
    Restart "mysql.connect_timeout", mysql.connect_timeout = |value| {
        duration(value, 100, MINUTE_MS)
    };
    Restart "mysql.query_timeout", mysql.query_timeout = |value| duration(value, 100, HOUR_MS);
}

/// The position of a key in [`KEYS`].
pub(super) fn position(name: &str) -> Option<usize> {
    KEYS.iter().position(|key| key.name == name)
}

/// The environment variable of a key; `None` for a key that does not exist.
pub fn variable_of(name: &str) -> Option<String> {
    position(name).map(|index| KEYS[index].variable())
}

/// Whether a name is a section of the file.
pub(super) fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.split_once('.').is_some_and(|(section, _)| section == name))
}

/// The key that was probably meant: the same key in another section, else one that differs in
/// few letters.
pub(super) fn suggestion(unknown: &str) -> Option<&'static str> {
    let last = |name: &'static str| name.rsplit('.').next().unwrap_or(name);
    let unknown_last = unknown.rsplit('.').next().unwrap_or(unknown);
    if let Some(key) = KEYS.iter().find(|key| last(key.name) == unknown_last) {
        return Some(key.name);
    }
    let names = KEYS.iter().flat_map(|key| [key.name, last(key.name)]);
    let near = nearest(unknown, names)?;
    KEYS.iter().map(|key| key.name).find(|name| *name == near || last(name) == near)
}

/// The variable whose name comes nearest, however far that is: the same key in another section,
/// else the one that differs in the fewest letters.
pub(super) fn variable_suggestion(unknown: &str) -> String {
    let known = KEYS.iter().map(Setting::variable).chain(OTHER_VARIABLES.map(str::to_owned));
    let tail = unknown.strip_prefix(PREFIX).unwrap_or(unknown);
    let nearest = known.min_by_key(|name| {
        let is_in_section = name.strip_suffix(tail).is_some_and(|head| head.ends_with('_'));
        if is_in_section { 0 } else { distance(unknown, name) }
    });
    nearest.expect("the table has keys")
}
