//! The table of keys: name, reader, and when a changed value takes effect. One row here is one key
//! of the file, one `NUDGED_` variable and one line of `vendor-config/nudged.toml`.

use super::listener;
use super::near::{distance, nearest};
use super::origin::origins;
use super::schema::{AckMode, Config, ConsoleAccess, LogFormat, QueueMode, TlsVersion};
use super::tree::TreeValue;
use super::url;
use super::value::{
    ValueRefusal, age, boolean, bound, count, cpu, cpus, duration, hosts, keys, networks, one_of,
    optional_path, path, preview_users, rate, secrets, size, users, wait, whole, zone,
};
use nudged_base::limits::{
    BUSY_POLL_US_MAX, CONNECTIONS_MAX, JOURNAL_BYTES_MIN, MYSQL_CONNECTIONS_MAX,
    POPUPS_COUNTED_MAX, QUEUE_DELAY_MAX_MS, RATE_BURST_MAX, RETENTION_EVENTS_MIN_MS,
    RETENTION_USERS_MIN_MS, SHARDS_MAX, SLICE_BYTES_MAX, SLICE_SHARD_BYTES_MIN, UNSENT_BYTES_MAX,
    UNSENT_BYTES_MIN,
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
    pub set: fn(&mut Config, &TreeValue) -> Result<(), ValueRefusal>,
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

/// Variables that start with `NUDGED_` and are no keys: the name of the file itself.
pub(super) const OTHER_VARIABLES: [&str; 1] = ["NUDGED_CONFIG"];

/// What the names of all environment variables start with.
pub(super) const PREFIX: &str = "NUDGED_";

macro_rules! keys {
    ($(
        $when:ident $section:ident $(. $key:ident)? = $($reader:ident)::+ $(($($bound:expr),*))?;
    )*) => {
        /// Every key.
        pub(super) static KEYS: &[Setting] = &[$(Setting {
            name: concat!(stringify!($section) $(, ".", stringify!($key))?),
            when: When::$when,
            set: |config, value| {
                config.$section$(.$key)? = $($reader)::+(value $(, $($bound),*)?)?;
                Ok(())
            },
            same: |one, other| one.$section$(.$key)? == other.$section$(.$key)?,
            copy: |to, from| to.$section$(.$key)?.clone_from(&from.$section$(.$key)?),
        },)*];
    };
}

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;
const SHOWS_MAX: u32 = 1_000_000;

const LEVELS: [Level; 4] = [Level::Error, Level::Warn, Level::Info, Level::Debug];
const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];
const ACCESSES: [ConsoleAccess; 3] =
    [ConsoleAccess::Full, ConsoleAccess::ReadOnly, ConsoleAccess::Off];
const FORMATS: [LogFormat; 3] = [LogFormat::Auto, LogFormat::Json, LogFormat::Text];

keys! {
    Restart listen = listener::listeners;
    Restart admin = listener::admin;
    Restart admin_token_file = optional_path;
    Restart admin_hosts = hosts;
    Restart data = path;
    Reload popups = optional_path;
    Restart shards = count(1, u32::from(SHARDS_MAX));
    Restart cpus = cpus;
    Restart writer_cpu = cpu;
    Restart pin = boolean;
    Restart busy_poll_us = whole(0, BUSY_POLL_US_MAX);
    Restart napi_busy_poll_us = whole(0, BUSY_POLL_US_MAX);
    Restart incoming_cpu = boolean;
    Restart ack = one_of(&["written", "synced"], &[AckMode::Written, AckMode::Synced]);
    Restart queue = one_of(&["journal", "redis"], &[QueueMode::Journal, QueueMode::Redis]);
    Reload tz = zone;
    Reload quiet_time = duration(0, DURATION_MAX.0);
    Reload max_per_day = whole(0, SHOWS_MAX);
    Reload max_per_session = whole(0, SHOWS_MAX);
    Restart lame_duck = duration(0, HOUR_MS);
    Restart drain_timeout = duration(SECOND_MS, HOUR_MS);
    Restart slice_bytes = size(SLICE_SHARD_BYTES_MIN, SLICE_BYTES_MAX);
    Restart connections_max = count(1, CONNECTIONS_MAX);
    Restart journal.retention = duration(0, 366 * 24 * HOUR_MS);
    Restart journal.bytes_max = size(JOURNAL_BYTES_MIN, 16 << 40);
    Restart limits.read_deadline = duration(1, MINUTE_MS);
    Restart limits.first_byte_timeout = duration(100, HOUR_MS);
    Restart limits.head_timeout = duration(100, HOUR_MS);
    Restart limits.body_timeout = duration(100, HOUR_MS);
    Restart limits.write_stall_timeout = duration(100, HOUR_MS);
    Restart limits.idle_timeout = duration(SECOND_MS, 24 * HOUR_MS);
    Restart limits.unsent_bytes_max = size(UNSENT_BYTES_MIN, UNSENT_BYTES_MAX);
    Restart limits.key_rate = rate;
    Restart limits.key_burst = whole(1, RATE_BURST_MAX);
    Restart limits.user_rate = rate;
    Restart limits.user_burst = whole(1, RATE_BURST_MAX);
    Restart limits.queue_delay = wait(1, QUEUE_DELAY_MAX_MS);
    Restart limits.connections_per_source = bound(1, CONNECTIONS_MAX);
    Reload keys.server = keys;
    Reload keys.public = keys;
    Reload keys.identity = secrets;
    Reload preview.users = preview_users;
    Reload console.access = one_of(&["full", "read-only", "off"], &ACCESSES);
    Reload cors.origins = origins;
    Reload cors.max_age = duration(0, 24 * HOUR_MS);
    Reload tls.certificate = optional_path;
    Reload tls.key = optional_path;
    Reload tls.min_version = one_of(&["1.2", "1.3"], &VERSIONS);
    Restart proxy_protocol.networks = networks;
    Reload log.level = one_of(&["error", "warn", "info", "debug"], &LEVELS);
    Reload log.users = users;
    Reload log.format = one_of(&["auto", "json", "text"], &FORMATS);
    Restart metrics.popups = whole(0, POPUPS_COUNTED_MAX);
    Reload retention.events = age(RETENTION_EVENTS_MIN_MS);
    Reload retention.users = age(RETENTION_USERS_MIN_MS);
    Restart redis.url = url::redis;
    Restart redis.deadline = duration(1, MINUTE_MS);
    Restart redis.slice_ttl = duration(0, HOUR_MS);
    Restart redis.negative_ttl = duration(0, HOUR_MS);
    Restart redis.ttl = duration(0, 10 * 366 * 24 * HOUR_MS);
    Restart redis.window = whole(16, 65_536);
    Restart redis.breaker_failures = whole(1, 1_000);
    Restart redis.breaker_open = duration(10, MINUTE_MS);
    Restart redis.breaker_open_max = duration(10, MINUTE_MS);
    Restart redis.retry_budget = whole(0, 100);
    Restart redis.list_max = whole(1, 1_000_000);
    Restart mysql.url = url::mysql;
    Restart mysql.batch = whole(1, 100_000);
    Restart mysql.connections = whole(1, MYSQL_CONNECTIONS_MAX);
    Restart mysql.replica = url::mysql;
    Restart mysql.connect_timeout = duration(100, MINUTE_MS);
    Restart mysql.query_timeout = duration(100, HOUR_MS);
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
