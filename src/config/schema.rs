//! The settings as plain values, and their defaults. `vendor-config/nudged.toml` says the same
//! with comments; a test holds the two equal.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::network::Network;
use nudged_base::limits;
use nudged_base::rate::{Rate, RateLimit};
use nudged_base::telemetry::log::Level;
use nudged_base::time::{DurationMs, Gap};

/// Every setting of a node. Reading one allocates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The data listeners, 1 to 16; port 0 picks a free one.
    pub listen: Vec<DataListener>,
    /// Where the admin listener is.
    pub admin: AdminAddress,
    /// File (0600) with the admin listener's bearer token; needed where it is not loopback.
    pub admin_token_file: Option<PathBuf>,
    /// Further names, in lower case, by which the admin listener may be asked for, up to 32.
    pub admin_hosts: Vec<String>,
    /// Data directory: journal, SQLite, signing keys.
    pub data: PathBuf,
    /// Popups file, imported at start and reload.
    pub popups: Option<PathBuf>,
    /// Shards, 1 to 256; `Auto` is one for each CPU of `cpus`.
    pub shards: Count,
    /// CPUs that shards are pinned to in turn; `None` for all allowed ones but the last.
    pub cpus: Option<Vec<u16>>,
    /// CPU of the dedicated core; `None` for the last allowed one.
    pub writer_cpu: Option<u16>,
    /// Whether threads are pinned.
    pub pin: bool,
    /// How long an idle shard spins before it sleeps, in microseconds; 0 for not at all.
    pub busy_poll_us: u32,
    /// How long the kernel polls network cards for a ring that waits, in microseconds; 0 for not at
    /// all.
    pub napi_busy_poll_us: u32,
    /// Whether a shard's listeners prefer connections whose packets its own CPU takes.
    pub incoming_cpu: bool,
    /// What `202` and a returned popup promise.
    pub ack: AckMode,
    /// Where writes queue on their way to SQL.
    pub queue: QueueMode,
    /// Zone of `max_per_day`: a name of the tz database that is bundled with this binary.
    pub tz: String,
    /// After a show, no popup is shown for this long; 0 for none.
    pub quiet_time: DurationMs,
    /// Shows per user per calendar day; 0 for no limit.
    pub max_per_day: u32,
    /// Shows per session; 0 for no limit.
    pub max_per_session: u32,
    /// How long a stopping node goes on accepting after readiness went red.
    pub lame_duck: DurationMs,
    /// How long a stop may take in all.
    pub drain_timeout: DurationMs,
    /// Memory for users, all shards together, in bytes.
    pub slice_bytes: u64,
    /// Open connections; `Auto` is what the descriptor limits allow, at most 65,536.
    pub connections_max: Count,
    /// The journal.
    pub journal: JournalSettings,
    /// Deadlines and bounds of requests.
    pub limits: LimitSettings,
    /// API keys.
    pub keys: KeySettings,
    /// Users who only look.
    pub preview: PreviewSettings,
    /// The console.
    pub console: ConsoleSettings,
    /// Origins of browsers.
    pub cors: CorsSettings,
    /// Certificate and key of listeners that speak TLS.
    pub tls: TlsSettings,
    /// Balancers that say whose their connections are.
    pub proxy_protocol: ProxySettings,
    /// The log.
    pub log: LogSettings,
    /// Numbers for operators.
    pub metrics: MetricSettings,
    /// How long SQL keeps what.
    pub retention: RetentionSettings,
    /// Redis as arbiter of state.
    pub redis: RedisSettings,
    /// MySQL as store.
    pub mysql: MysqlSettings,
}

/// One data listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataListener {
    /// Where it listens.
    pub address: SocketAddr,
    /// TLS is spoken there, behind that header if there is one.
    pub is_tls: bool,
    /// Each of its connections begins with a header of the PROXY protocol.
    pub is_proxied: bool,
}

impl DataListener {
    /// A plain one.
    pub fn plain(address: SocketAddr) -> DataListener {
        DataListener { address, is_tls: false, is_proxied: false }
    }
}

impl fmt::Display for DataListener {
    /// As it is set: the address, and the words behind it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.address)?;
        out.write_str(if self.is_tls { " tls" } else { "" })?;
        out.write_str(if self.is_proxied { " proxy_protocol" } else { "" })
    }
}

/// The admin listener's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A TCP address where TLS is spoken.
    Tls(SocketAddr),
    /// A unix socket, by its absolute path.
    Unix(PathBuf),
}

/// A number that the node may work out by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Worked out at start.
    Auto,
    /// Given.
    Exactly(u32),
}

/// What an acknowledged record survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckMode {
    /// A kill -9 of the server.
    Written,
    /// Loss of power.
    Synced,
}

/// The FIFO between decisions and SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueMode {
    /// The node's journal.
    Journal,
    /// A Redis list.
    Redis,
}

/// `[metrics]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricSettings {
    /// Popups that have series of their own; all others are told together.
    pub popups: u32,
}

/// `[journal]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalSettings {
    /// Segments that SQL has applied are kept for this long.
    pub retention: DurationMs,
    /// All segments together, in bytes; at it, the oldest applied ones go early.
    pub bytes_max: u64,
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// A request that waits for its user's state answers degraded after this long.
    pub read_deadline: DurationMs,
    /// From accept to a connection's first byte.
    pub first_byte_timeout: DurationMs,
    /// From the first byte of a head to its end.
    pub head_timeout: DurationMs,
    /// From the end of a head to the end of its body.
    pub body_timeout: DurationMs,
    /// A peer that takes no byte of an answer for this long is reset.
    pub write_stall_timeout: DurationMs,
    /// Idle keep-alive.
    pub idle_timeout: DurationMs,
    /// Memory of answers that clients have not taken, all shards together, in bytes.
    pub unsent_bytes_max: u64,
    /// Requests of one access key, on all shards together; `None` for no limit.
    pub key_rate: Option<Rate>,
    /// Requests above `key_rate` that may come at once.
    pub key_burst: u32,
    /// What one user may ask for beyond what the slice answers; `None` for no limit.
    pub user_rate: Option<Rate>,
    /// What above `user_rate` may come at once.
    pub user_burst: u32,
    /// How long requests may wait before a shard sees them until it is overloaded; `None` where
    /// it never is.
    pub queue_delay: Option<DurationMs>,
    /// Connections of one source at once, on all shards together; `None` for no limit.
    pub connections_per_source: Option<u32>,
}

impl LimitSettings {
    /// The limit of one access key.
    pub fn of_key(&self) -> Option<RateLimit> {
        self.key_rate.map(|rate| RateLimit::new(rate, self.key_burst))
    }

    /// The limit of one user.
    pub fn of_user(&self) -> Option<RateLimit> {
        self.user_rate.map(|rate| RateLimit::new(rate, self.user_burst))
    }
}

/// `[keys]`: where there is none of either kind, none is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySettings {
    /// Keys of servers: may do all.
    pub server: Vec<SecretText>,
    /// Keys of apps and pages: may decide and post events, not explain.
    pub public: Vec<SecretText>,
    /// What users are signed with, for whoever has no server key; the first signs, all verify.
    pub identity: Vec<SecretText>,
}

/// `[preview]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PreviewSettings {
    /// Users who only look, by their ids.
    pub users: Vec<String>,
}

/// `[console]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleSettings {
    /// What it lets its users do.
    pub access: ConsoleAccess,
}

/// What the console of the admin listener lets its users do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleAccess {
    /// What the admin API lets them.
    Full,
    /// To look, unless they have signed in with a token.
    ReadOnly,
    /// Nothing: there is no console.
    Off,
}

/// `[cors]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsSettings {
    /// `scheme://host[:port]`, or `*` alone for any; none for no CORS headers.
    pub origins: Vec<String>,
    /// How long browsers may remember a preflight.
    pub max_age: DurationMs,
}

/// `[tls]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// File with the certificate, and its chain behind it, as PEM.
    pub certificate: Option<PathBuf>,
    /// File with the certificate's key as PEM, closed to others.
    pub key: Option<PathBuf>,
    /// The oldest version that clients may speak.
    pub min_version: TlsVersion,
}

impl Default for TlsSettings {
    fn default() -> TlsSettings {
        TlsSettings { certificate: None, key: None, min_version: TlsVersion::Tls12 }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2.
    Tls12,
    /// 1.3.
    Tls13,
}

/// `[proxy_protocol]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// Who may connect to a listener that expects the PROXY protocol.
    pub networks: Vec<Network>,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The least weighty level that is logged.
    pub level: Level,
    /// Users who are always logged in full, by their ids.
    pub users: Vec<String>,
    /// How lines look.
    pub format: LogFormat,
}

/// `[retention]`: ages at which rows of SQL go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Rows of `events`, from `RETENTION_EVENTS_MIN_MS` up.
    pub events: Gap,
    /// Users whom nothing binds, from `RETENTION_USERS_MIN_MS` up.
    pub users: Gap,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON lines.
    Auto,
    /// JSON lines.
    Json,
    /// Text.
    Text,
}

/// `[redis]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisSettings {
    /// Where it is; may hold a password.
    pub url: Option<SecretText>,
    /// A command's deadline.
    pub deadline: DurationMs,
    /// A shard trusts its copy of a user for at most this long.
    pub slice_ttl: DurationMs,
    /// A shard remembers for at most this long that Redis does not know a user; never longer than
    /// `slice_ttl`.
    pub negative_ttl: DurationMs,
    /// Users' states expire this long after their last change; 0 for never. With it a user missing
    /// in Redis is always looked up in MySQL.
    pub ttl: DurationMs,
    /// Commands that one shard may have in flight.
    pub window: u32,
    /// Consecutive failures that open the breaker.
    pub breaker_failures: u32,
    /// How long the breaker stays open at first; doubles with each failed probe.
    pub breaker_open: DurationMs,
    /// How long the breaker stays open at most.
    pub breaker_open_max: DurationMs,
    /// Commands that may be sent again after a lost connection, in percent of all; 0 for none.
    pub retry_budget: u32,
    /// With `queue = "redis"`: records that may wait in the list of one partition.
    pub list_max: u32,
}

/// `[mysql]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MysqlSettings {
    /// Where it is; may hold a password.
    pub url: Option<SecretText>,
    /// Records that one transaction applies.
    pub batch: u32,
    /// Connections that read users back at once, and as many that drain lists.
    pub connections: u32,
    /// Where reports are read from; `None` for `url`. May hold a password.
    pub replica: Option<SecretText>,
    /// How long a connection may take to stand.
    pub connect_timeout: DurationMs,
    /// How long a statement may take; then its connection is given up.
    pub query_timeout: DurationMs,
}

impl MysqlSettings {
    /// Connections for what is done beside each other: reading users back, draining lists. A file
    /// has one.
    pub fn parallel(&self) -> u32 {
        if self.url.is_some() { self.connections } else { 1 }
    }
}

/// A text that must not be seen: `Debug` hides it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Hides a text.
    pub fn new(text: String) -> SecretText {
        SecretText(text)
    }

    /// The text itself, for those who must send or compare it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(secret)")
    }
}

impl AdminAddress {
    /// Whether only this host can reach it: then no token is asked for.
    pub fn is_local(&self) -> bool {
        match self {
            AdminAddress::Tcp(address) | AdminAddress::Tls(address) => address.ip().is_loopback(),
            AdminAddress::Unix(_) => true,
        }
    }
}

impl Config {
    /// The key of a listener that speaks TLS: `listen[1]`, or `admin`.
    pub fn tls_listener(&self) -> Option<String> {
        let index = self.listen.iter().position(|listener| listener.is_tls);
        let is_admin = matches!(self.admin, AdminAddress::Tls(_));
        index.map(|index| format!("listen[{index}]")).or(is_admin.then(|| "admin".to_owned()))
    }

    /// The memory for users that each of `shards` shards gets, in bytes.
    pub fn slice_bytes_per_shard(&self, shards: u16) -> u64 {
        self.slice_bytes / u64::from(shards.max(1))
    }

    /// The memory for answers that clients have not taken that each of `shards` shards gets, in
    /// bytes: an equal share, at least `UNSENT_SHARD_BYTES_MIN`.
    pub fn unsent_bytes_per_shard(&self, shards: u16) -> u64 {
        let share = self.limits.unsent_bytes_max / u64::from(shards.max(1));
        share.max(limits::UNSENT_SHARD_BYTES_MIN)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: vec![DataListener::plain(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))],
            admin: AdminAddress::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8081))),
            admin_token_file: None,
            admin_hosts: Vec::new(),
            data: PathBuf::from("./nudged-data"),
            popups: None,
            shards: Count::Auto,
            cpus: None,
            writer_cpu: None,
            pin: true,
            busy_poll_us: 0,
            napi_busy_poll_us: 0,
            incoming_cpu: false,
            ack: AckMode::Written,
            queue: QueueMode::Journal,
            tz: "UTC".to_owned(),
            quiet_time: DurationMs(0),
            max_per_day: 0,
            max_per_session: 0,
            lame_duck: DurationMs(5_000),
            drain_timeout: DurationMs(30_000),
            slice_bytes: 256 << 20,
            connections_max: Count::Auto,
            journal: JournalSettings { retention: DurationMs::DAY, bytes_max: 1 << 30 },
            limits: LimitSettings::default(),
            keys: KeySettings::default(),
            preview: PreviewSettings::default(),
            console: ConsoleSettings { access: ConsoleAccess::Full },
            cors: CorsSettings { origins: Vec::new(), max_age: DurationMs(600_000) },
            tls: TlsSettings::default(),
            proxy_protocol: ProxySettings::default(),
            log: LogSettings { level: Level::Info, users: Vec::new(), format: LogFormat::Auto },
            metrics: MetricSettings { popups: 200 },
            retention: RetentionSettings::default(),
            redis: RedisSettings::default(),
            mysql: MysqlSettings::default(),
        }
    }
}

impl Default for RetentionSettings {
    fn default() -> RetentionSettings {
        RetentionSettings {
            events: Gap::After(DurationMs(400 * DurationMs::DAY.0)),
            users: Gap::Never,
        }
    }
}

impl Default for RedisSettings {
    fn default() -> RedisSettings {
        RedisSettings {
            url: None,
            deadline: DurationMs(20),
            slice_ttl: DurationMs(60_000),
            negative_ttl: DurationMs(60_000),
            ttl: DurationMs(0),
            window: 1_024,
            breaker_failures: 5,
            breaker_open: DurationMs(100),
            breaker_open_max: DurationMs(500),
            retry_budget: 10,
            list_max: 10_000,
        }
    }
}

impl Default for MysqlSettings {
    fn default() -> MysqlSettings {
        MysqlSettings {
            url: None,
            batch: 1_000,
            connections: 1,
            replica: None,
            connect_timeout: DurationMs(5_000),
            query_timeout: DurationMs(30_000),
        }
    }
}

impl Default for LimitSettings {
    fn default() -> LimitSettings {
        LimitSettings {
            read_deadline: DurationMs(limits::READ_DEADLINE_MS),
            first_byte_timeout: DurationMs(limits::FIRST_BYTE_TIMEOUT_MS),
            head_timeout: DurationMs(limits::HEAD_TIMEOUT_MS),
            body_timeout: DurationMs(limits::BODY_TIMEOUT_MS),
            write_stall_timeout: DurationMs(limits::WRITE_STALL_TIMEOUT_MS),
            idle_timeout: DurationMs(limits::IDLE_TIMEOUT_MS),
            unsent_bytes_max: limits::UNSENT_BYTES_DEFAULT,
            key_rate: None,
            key_burst: limits::KEY_BURST_DEFAULT,
            user_rate: None,
            user_burst: limits::USER_BURST_DEFAULT,
            queue_delay: Some(DurationMs(limits::QUEUE_DELAY_MS)),
            connections_per_source: None,
        }
    }
}
