//! What a link is told, and what it tells: settings, requests, events. Plain values.

use std::fmt;

use crate::command::{CommandFailure, Reply};
use nudged_base::ids::{Partition, Revision};
use nudged_config::SecretText;

/// How a link speaks to its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    /// The ACL user; `None` for `default`.
    pub user: Option<String>,
    /// The password; without one the link does not authenticate.
    pub password: Option<SecretText>,
    /// The number of the database.
    pub database: u32,
    /// The name of the connection in `CLIENT LIST`, without spaces.
    pub name: String,
    /// Partitions whose changes by other nodes are told (`LinkEvent::Changed`).
    pub subscriptions: Vec<Partition>,
    /// A command without a reply for this long has expired, in milliseconds.
    pub deadline_ms: u64,
    /// Commands that may be in flight.
    pub window: usize,
    /// When the link stops asking.
    pub breaker: BreakerSettings,
    /// Commands that may be sent again after a lost connection, in percent of all; 0 for none.
    pub retry_budget_percent: u32,
}

impl Default for LinkSettings {
    /// The defaults of `[redis]`, without subscriptions.
    fn default() -> LinkSettings {
        LinkSettings {
            user: None,
            password: None,
            database: 0,
            name: "nudged".to_owned(),
            subscriptions: Vec::new(),
            deadline_ms: 20,
            window: 1_024,
            breaker: BreakerSettings::default(),
            retry_budget_percent: 10,
        }
    }
}

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open at first, in milliseconds; doubles with each failed probe.
    pub open_ms: u64,
    /// How long it stays open at most, in milliseconds.
    pub open_max_ms: u64,
}

impl Default for BreakerSettings {
    fn default() -> BreakerSettings {
        BreakerSettings { failures: 5, open_ms: 100, open_max_ms: 500 }
    }
}

/// What a link wants of its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkRequest {
    /// A new connection. Answered by `connected`, or by `broken` where there is none.
    Connect,
    /// The connection is given up: nothing of it is told to the link from now on.
    Close,
}

/// What became known. Each ticket that was sent gets exactly one `Reply`, after at most one
/// `Expired`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// Commands can be sent (`Link::is_open` tells when: the breaker has a word in it).
    Up(RedisServer),
    /// The connection is lost, with the subscription.
    Down,
    /// The server can't be used as it is: somebody has to change a setting. The link goes on
    /// trying, slowly.
    Incompatible(Incompatible),
    /// A command was refused for want of a right, for the first time since one was done.
    Denied,
    /// The deadline of a command has passed; its reply may still come, late.
    Expired {
        /// As given to `Link::send`.
        ticket: u64,
    },
    /// The outcome of a command.
    Reply {
        /// As given to `Link::send`.
        ticket: u64,
        /// Whether `Expired` went before.
        late: bool,
        /// What came of it.
        result: Result<Reply, CommandFailure>,
    },
    /// A node has changed a user's state.
    Changed {
        /// The user's partition.
        partition: Partition,
        /// The user's id.
        user: Box<str>,
        /// The revision that stands now.
        revision: Revision,
    },
}

/// The server behind a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedisServer {
    /// Which run of the server this is: a hash of its `run_id` (`redis::greeting::run_of`).
    pub run: u64,
    /// Whether it speaks RESP3.
    pub resp3: bool,
    /// Whether changes of the partitions are told from now on until `Down`.
    pub subscribed: bool,
    /// Whether its `maxmemory-policy` can evict keys.
    pub evicts: bool,
    /// Whether it syncs each write to disk before it answers; `None` where it does not say.
    pub syncs_always: Option<bool>,
}

/// Why a server can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incompatible {
    /// It does not let us in (NOAUTH, WRONGPASS).
    NotLetIn,
    /// It denies a command without which there is no connection (NOPERM).
    Denied(&'static str),
    /// Older than Redis 7.0.
    TooOld,
    /// There is no such database.
    NoDatabase,
    /// It does not say who it is.
    Unnamed,
}

impl fmt::Display for Incompatible {
    /// What is wrong with the server, and what mends it, for people.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Incompatible::NotLetIn => "Redis refuses the login: set user and password in redis.url",
            Incompatible::Denied(command) => {
                return write!(
                    formatter,
                    "Redis denies nudged +{command}: grant the rights in \
                     vendor-config/redis/users.acl"
                );
            }
            Incompatible::TooOld => "Redis is older than 7.0: upgrade it",
            Incompatible::NoDatabase => "Redis has no database with the number in redis.url",
            Incompatible::Unnamed => "Redis does not report its run_id: allow INFO",
        })
    }
}

/// Why a command was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// There is no connection, or the breaker is open.
    Closed,
    /// The window is full.
    Full,
}

/// Where a breaker stands, as metrics number it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerState {
    /// Commands pass.
    #[default]
    Closed = 0,
    /// Nothing passes until a probe is due.
    Open = 1,
    /// A probe is on its way, or one command is.
    Probing = 2,
}
