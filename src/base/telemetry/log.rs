//! The log: messages (one enum), who gets logged, how often, and the queue to the thread that
//! writes. Owns no thread and no clock: time is given, and `threads::log_writer` takes lines out.
//!
//! Never blocks: a full queue drops the line and counts it. Each message is logged 10 times at once
//! and then once a second, over all threads of the node, with a count of those suppressed; what
//! lasts is told once a minute (`outage`). Lines of users in `log.users` are always logged, with
//! the id in clear; all other ids are hashed.
//!
//! Limits: 1,024 lines wait; a field has 256 bytes at most.

mod line;
mod outage;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use crossbeam::queue::ArrayQueue;

pub use self::outage::LastError;
use self::outage::{Due, Outages, Part};
use crate::clock::Now;
use crate::limits::{LOG_BURST, LOG_LINES_MAX, LOG_PERIOD_MS};
use crate::time::{MonoNs, WallMs};

/// Weight of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// A person should look.
    Error = 0,
    /// Served less well, or soon will be.
    Warn = 1,
    /// Starts, stops, changes.
    Info = 2,
    /// What happens to each request.
    Debug = 3,
}

impl Level {
    /// Every level, the gravest first.
    pub const ALL: [Level; 4] = [Level::Error, Level::Warn, Level::Info, Level::Debug];

    /// The level of a name.
    pub fn of_name(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.name() == name)
    }

    /// The level's name, as it is set and as it is logged.
    pub fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}

macro_rules! messages {
    ($($level:ident $message:ident $name:literal $text:literal;)*) => {
        /// Everything that a node may say.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Message { $(#[doc = $text] $message,)* }

        impl Message {
            /// Every message, in the order of their numbers.
            pub const ALL: &[Message] = &[$(Message::$message,)*];

            /// Its weight.
            pub fn level(self) -> Level {
                match self { $(Message::$message => Level::$level,)* }
            }

            /// Its code, for machines: it does not change.
            pub fn code(self) -> &'static str {
                match self { $(Message::$message => $name,)* }
            }

            /// What it says, for people.
            pub fn text(self) -> &'static str {
                match self { $(Message::$message => $text,)* }
            }
        }
    };
}

messages! {
    Info Started "started" "nudged is starting";
    Info Ready "ready" "nudged is ready for requests";
    Info Draining "draining"
        "nudged is draining: /readyz is red, requests are still answered until the drain ends";
    Info Stopped "stopped" "nudged has stopped";
    Warn VariableUnknown "variable_unknown"
        "an environment variable looks like a setting, but there is no such setting";
    Info ConfigReloaded "config_reloaded" "settings were reloaded";
    Warn ConfigWaits "config_waits" "a changed setting takes effect at the next restart";
    Error ConfigRefused "config_refused" "the reload was refused; the old settings stay in force";
    Info CatalogChanged "catalog_changed" "popups changed";
    Warn CatalogLint "catalog_lint" "a popup may not do what its definition suggests";
    Error CatalogRefused "catalog_refused" "the popups were refused; the old ones stay live";
    Warn CatalogStale "catalog_stale"
        "popups can't be read or copied at the moment; the ones already loaded stay live";
    Error CatalogBehind "catalog_behind"
        "popups that another node stored can't be used here; the old ones stay live";
    Warn FileWaits "file_waits"
        "the popups file is waiting for SQL: its pauses and archives already apply on this node";
    Info CatalogFresh "catalog_fresh" "popups can be read again";
    Warn CatalogReplaced "catalog_replaced"
        "this node's popups file overwrote another node's: give all nodes the same file";
    Info PopupsReleased "popups_released"
        "no popups file is configured any more: its popups now belong to the admin API";
    Warn CatalogUnconfirmed "catalog_unconfirmed"
        "a change is stored, but not every shard confirmed it in time";
    Warn SettingUnsupported "setting_unsupported"
        "this host can't do what a setting asks for: nudged runs without it";
    Warn PriorityRefused "priority_refused"
        "the SQL writer's priority can't be lowered: answers may wait for it where they share a core";
    Warn CoresShared "cores_shared" "several threads share a core";
    Warn KeysMissing "keys_missing" "a listener that other hosts can reach requires no key";
    Info JournalRecovered "journal_recovered" "the journal was recovered";
    Warn JournalTorn "journal_torn" "the unfinished end of the journal was cut off";
    Error JournalDamaged "journal_damaged" "the journal is damaged in the middle";
    Warn JournalLow "journal_low"
        "there is no room for the journal's next segment; the current one is filled to its end";
    Info JournalRoom "journal_room" "there is room for the journal's next segment again";
    Error JournalFull "journal_full"
        "the journal is full: decisions degrade and events are refused until there is room again";
    Info JournalResumed "journal_resumed" "the journal has room again";
    Error JournalFailed "journal_failed" "the journal could not be written";
    Info JournalMended "journal_mended" "the journal can be written again";
    Error JournalClosed "journal_closed" "the journal accepts no more records: restart nudged";
    Warn ClockStepped "clock_stepped" "the wall clock was stepped";
    Error ClockApart "clock_apart"
        "the wall clock and this node's clock are more than a minute apart";
    Info ClockTogether "clock_together" "the wall clock and this node's clock agree again";
    Error SqlFailed "sql_failed" "records could not be applied to SQL; they wait in the journal";
    Error SqlUnfit "sql_unfit"
        "SQL denies rights that nudged needs; records wait in the journal";
    Info SqlResumed "sql_resumed" "records are applied to SQL again";
    Error SqlHalted "sql_halted"
        "SQL holds different content for a record: no more records are applied";
    Error SqlRegressed "sql_regressed"
        "SQL has lost records; they are being applied again from the journal";
    Warn SqlWeak "sql_weak" "a setting of the SQL server weakens what nudged guarantees";
    Error DeadLetter "dead_letter" "SQL refused records; they went to the dead-letter file";
    Warn SqlAway "sql_away"
        "SQL does not answer: nudged starts with what Redis and the local copies have";
    Error ReadFailed "read_failed" "users could not be read from SQL; their decisions degrade";
    Info ReadResumed "read_resumed" "users can be read from SQL again";
    Warn ReadSlow "read_slow" "users were not read from SQL in time; their decisions degraded";
    Info ReadsInTime "read_in_time" "users are read from SQL in time again";
    Warn RedisLost "redis_lost" "the connection to Redis was lost; popups follow on_failure";
    Info RedisConnected "redis_connected" "Redis is connected again";
    Warn SliceFull "slice_full" "the slice has no room for more users until SQL catches up";
    Info SliceRoom "slice_room" "the slice has room again";
    Warn ConnectionsFull "connections_full"
        "connections are refused: a shard has reached its share of connections_max";
    Warn UnsentFull "unsent_full"
        "unread answers reached limits.unsent_bytes_max: connections with the most were reset";
    Info UnsentRoom "unsent_room" "unread answers are below limits.unsent_bytes_max again";
    Info ConnectionsRoom "connections_room" "connections are accepted again";
    Warn TlsSeen "tls_seen"
        "a client speaks https to a plain http listener: use http://, or terminate TLS in front of \
         it";
    Info CertificateLoaded "certificate_loaded"
        "another TLS certificate is in use for new connections";
    Warn CertificateExpires "certificate_expires"
        "the TLS certificate expires soon, or has expired: renew it, then reload";
    Warn CertificateEarly "certificate_early"
        "the TLS certificate is not valid yet: clients refuse it";
    Warn ConnectionsFew "connections_few"
        "connections_max is below 1,000: raise RLIMIT_NOFILE (`LimitNOFILE=`) or the setting";
    Warn AcceptFailed "accept_failed" "connections could not be accepted";
    Warn ProxyRefused "proxy_refused"
        "connections to a proxy_protocol listener were closed: only balancers in \
         proxy_protocol.networks may connect, and must send the header";
    Info ProxyAccepted "proxy_accepted"
        "every connection to a proxy_protocol listener has its header again";
    Info AcceptResumed "accept_resumed" "connections can be accepted again";
    Warn LaneFull "lane_full" "a shard is overloaded: requests for it were refused with 503";
    Info LaneRoom "lane_room" "shards accept all requests again";
    Warn Shedding "shedding"
        "a shard is overloaded: it answers the newest requests first and refuses others with 503";
    Info Unhurried "unhurried" "no shard is overloaded any more";
    Warn SourceFull "source_full"
        "connections were reset: a source has limits.connections_per_source open";
    Info SourceRoom "source_room" "connections of every source are accepted again";
    Error RedisUnfit "redis_unfit" "Redis can't be used as it is configured";
    Info RedisFit "redis_fit" "Redis can be used again";
    Warn RedisAway "redis_away" "Redis does not answer; popups follow on_failure";
    Warn RedisNotReady "redis_not_ready"
        "nudged is serving before Redis is ready; popups follow on_failure until then";
    Warn KeysNotShared "keys_not_shared" "the signing keys could not be shared with other nodes";
    Warn NameUnknown "name_unknown" "a server's host name could not be resolved";
    Info NameKnown "name_known" "host names can be resolved again";
    Warn AdminRefused "admin_refused" "an admin request had no valid token";
    Warn AdminForbidden "admin_forbidden" "an admin request's token has no right to it";
    Info SignedIn "signed_in" "an operator signed in to the console";
    Warn SessionsUnkept "sessions_unkept"
        "the file of the console's sessions can't be written or read: a restart signs people out";
    Info TokenChanged "token_changed" "an operator's token was made or revoked";
    Info PopupChanged "popup_changed" "an operator changed a popup";
    Info DraftChanged "draft_changed" "an operator changed a popup's draft";
    Warn OverridesWait "overrides_wait"
        "pauses and archives apply on this node, but could not be stored elsewhere yet";
    Info OverridesStored "overrides_stored" "pauses and archives are stored again";
    Error OverridesFile "overrides_file"
        "a file of pauses and archives, or of tokens, can't be written: kept in memory only";
    Warn OverridesUnread "overrides_unread"
        "pauses and archives, or operators' tokens, could not be read at start";
    Warn OverrideDropped "override_dropped"
        "a popup that an operator had set live is no longer live: its own status applies again";
    Info UserErased "user_erased" "a user was erased";
    Debug Asked "asked" "a user asked, from this address";
    Debug Decided "decided" "a decision was made";
    Debug EventTaken "event_taken" "an event was taken";
    Warn KeeperFailed "keeper_failed" "a round of Redis recovery failed";
    Info KeeperResumed "keeper_resumed" "Redis recovery is working again";
    Warn KeeperSqlFailed "keeper_sql_failed" "Redis recovery could not query SQL";
    Info KeeperSqlResumed "keeper_sql_resumed" "Redis recovery can query SQL again";
    Error WritesLost "writes_lost"
        "Redis has lost writes; for users in these partitions popups follow on_failure for now";
    Warn RebuildNeeded "rebuild_needed"
        "Redis may be missing users: popups follow on_failure until they are filled in from SQL";
    Warn RebuildBegun "rebuild_begun" "Redis is being filled from SQL";
    Info RebuildEnded "rebuild_ended" "Redis has every user again";
    Error ListFailed "list_failed"
        "records could not be read from the lists in Redis; they stay there";
    Error ListSqlFailed "list_sql_failed"
        "records could not be moved from the lists in Redis to SQL; they stay in the lists";
    Info ListResumed "list_resumed" "records are moved from the lists in Redis to SQL again";
    Error ListEntryUnread "list_entry_unread" "an entry of a list in Redis can't be read";
    Info ListEntriesRead "list_entries_read" "all entries of the lists in Redis can be read again";
    Warn ListGivenUp "list_given_up" "another node took over a list that this node was moving";
    Warn LinesLost "lines_lost" "log lines were lost: the log's queue was full";
    Error ThreadEnded "thread_ended" "a thread that nudged needs has ended, so nudged exits";
    Info HandOverBegun "handover_begun" "a new process was started and prepares to take over";
    Info HandOverPrepared "handover_prepared"
        "this process is prepared and waits for the old one to hand over";
    Info HandOverLeaving "handover_leaving"
        "the new process is prepared: answers ask clients to close until it takes over";
    Warn HandOverCut "handover_cut"
        "connections whose requests were not finished in time were closed for the new process";
    Info HandedOver "handed_over" "the new process serves; this one has ended";
    Info TakenOver "taken_over" "this process serves in place of the old one";
    Error HandOverFailed "handover_failed"
        "the new process can't take over; this one serves as before";
    Error HandOverLost "handover_lost"
        "the new process ended before it served; the version before it starts again";
    Warn HandOverRefused "handover_refused" "SIGUSR2 was ignored";
    Warn ShardStuck "shard_stuck"
        "a thread has not turned in time: the service manager is not told that all is well";
}

/// A field of a line: its name and its value.
pub type LogField<'a> = (&'static str, LogValue<'a>);

/// The value of a field.
#[derive(Clone, Copy, Debug)]
pub enum LogValue<'a> {
    /// A text; control characters are escaped, and it is cut at 256 bytes.
    Text(&'a str),
    /// A whole number.
    Number(u64),
    /// A user's id: hashed, unless the user is listed.
    User(&'a str),
}

/// How often one message is logged, over all threads, without a lock (GCRA).
#[derive(Debug, Default)]
struct Pace {
    /// When, in nanoseconds, the next line would be due if lines came once a period.
    due_ns: AtomicU64,
    suppressed: AtomicU64,
}

impl Pace {
    /// Whether a line may be logged now.
    fn allow(&self, now: MonoNs) -> bool {
        let period_ns = LOG_PERIOD_MS * 1_000_000;
        let latest_ns = now.0.saturating_add((LOG_BURST - 1) * period_ns);
        let step = |due_ns: u64| {
            (due_ns <= latest_ns).then(|| due_ns.max(now.0).saturating_add(period_ns))
        };
        self.due_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).is_ok()
    }
}

type Wake = Box<dyn Fn() + Send + Sync>;

/// A line on its way to where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedLine {
    /// As it is written, with its line end.
    pub text: String,
    /// When it was logged.
    pub at: WallMs,
    /// What it says.
    pub message: Message,
}

struct LogState {
    lines: ArrayQueue<QueuedLine>,
    lost: AtomicU64,
    level: AtomicU8,
    json: AtomicBool,
    has_users: AtomicBool,
    /// Sorted. Written at reload alone; readers only ever try the lock.
    users: RwLock<Vec<String>>,
    paces: Vec<Pace>,
    outages: Outages,
    wake: OnceLock<Wake>,
}

/// A handle to the node's log; clones are the same log.
#[derive(Clone)]
pub struct Log {
    shared: Arc<LogState>,
}

impl Log {
    /// A log that keeps up to 1,024 lines until they are taken out. Allocates its queue.
    pub fn new(level: Level, json: bool, users: &[String]) -> Log {
        let shared = LogState {
            lines: ArrayQueue::new(LOG_LINES_MAX),
            lost: AtomicU64::new(0),
            level: AtomicU8::new(level as u8),
            json: AtomicBool::new(json),
            has_users: AtomicBool::new(false),
            users: RwLock::new(Vec::new()),
            paces: Message::ALL.iter().map(|_| Pace::default()).collect(),
            outages: Outages::new(),
            wake: OnceLock::new(),
        };
        let log = Log { shared: Arc::new(shared) };
        log.reload(level, json, users);
        log
    }

    /// Takes new settings. May wait for a thread that is just looking a user up.
    pub fn reload(&self, level: Level, json: bool, users: &[String]) {
        let mut sorted = users.to_vec();
        sorted.sort_unstable();
        let shared = &self.shared;
        *shared.users.write().unwrap_or_else(PoisonError::into_inner) = sorted;
        shared.has_users.store(!users.is_empty(), Ordering::Relaxed);
        shared.level.store(level as u8, Ordering::Relaxed);
        shared.json.store(json, Ordering::Relaxed);
    }

    /// What to do after each new line: wakes the thread that writes. The first call counts.
    pub fn on_line(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.shared.wake.set(Box::new(wake));
    }

    /// Whether this user is always logged. Costs one load where nobody is listed; where the list
    /// is just being replaced, nobody is.
    pub fn is_listed(&self, user: &str) -> bool {
        if !self.shared.has_users.load(Ordering::Relaxed) {
            return false;
        }
        let Ok(users) = self.shared.users.try_read() else { return false };
        users.binary_search_by(|listed| listed.as_str().cmp(user)).is_ok()
    }

    /// Whether a message about this user, or about none, would get past the level: asked before
    /// its fields are put together.
    pub fn wants(&self, message: Message, user: Option<&str>) -> bool {
        message.level() as u8 <= self.shared.level.load(Ordering::Relaxed)
            || user.is_some_and(|user| self.is_listed(user))
    }

    /// Logs a message, unless it is below the level or came too often; of an outage, what its
    /// table says. Allocates the line.
    pub fn write(&self, stamp: Now, message: Message, fields: &[LogField<'_>]) {
        match self.shared.outages.take(stamp, message, fields, || self.wake()) {
            Part::Other => self.write_paced(stamp, message, fields),
            Part::Report(true) if self.wants(message, None) => {
                self.push(stamp, message, fields, (false, 0));
            }
            Part::Report(_) | Part::End => {}
        }
    }

    /// Logs a message with what is wrong as its `error`; with an empty text, that it is over.
    pub fn write_error(&self, stamp: Now, message: Message, text: &str) {
        self.write(stamp, message, &[("error", LogValue::Text(text))]);
    }

    fn write_paced(&self, stamp: Now, message: Message, fields: &[LogField<'_>]) {
        let user = fields.iter().find_map(|(_, value)| match value {
            LogValue::User(user) => Some(*user),
            _ => None,
        });
        if !self.wants(message, user) {
            return;
        }
        let listed = user.is_some_and(|user| self.is_listed(user));
        let pace = &self.shared.paces[message as usize];
        if !listed && !pace.allow(stamp.mono) {
            pace.suppressed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let suppressed = if listed { 0 } else { pace.suppressed.swap(0, Ordering::Relaxed) };
        self.push(stamp, message, fields, (listed, suppressed));
    }

    /// Logs what is left to be said: of outages, and lines that were lost or suppressed with none
    /// after them to carry their count. To be called about once a second.
    pub fn sweep(&self, stamp: Now) {
        self.shared.outages.sweep(stamp, false, |due| self.push_due(stamp, &due));
        for (message, pace) in Message::ALL.iter().zip(&self.shared.paces) {
            if pace.suppressed.load(Ordering::Relaxed) > 0 && pace.allow(stamp.mono) {
                let suppressed = pace.suppressed.swap(0, Ordering::Relaxed);
                self.push(stamp, *message, &[], (false, suppressed));
            }
        }
        let lost = self.shared.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let fields = [("count", LogValue::Number(lost))];
            if !self.push(stamp, Message::LinesLost, &fields, (false, 0)) {
                self.shared.lost.fetch_add(lost, Ordering::Relaxed);
            }
        }
    }

    /// Logs the ends of outages that are over: nothing comes after this.
    pub fn finish(&self, stamp: Now) {
        self.shared.outages.sweep(stamp, true, |due| self.push_due(stamp, &due));
    }

    /// What may be out of order for a while: each name, whether it is now, and how often it was.
    pub fn outages(&self) -> impl Iterator<Item = (&'static str, bool, u64)> {
        self.shared.outages.all()
    }

    /// What was last wrong with each that has been out of order since the start.
    pub fn last_errors(&self) -> impl Iterator<Item = LastError> {
        self.shared.outages.last_errors()
    }

    fn push_due(&self, stamp: Now, due: &Due) {
        if !self.wants(due.message, None) {
            return;
        }
        let (count, duration) = (LogValue::Number(due.count), LogValue::Number(due.duration_ms));
        let mut fields: Vec<LogField<'_>> = due.key.into_iter().collect();
        if !due.error.is_empty() {
            fields.push(("error", LogValue::Text(&due.error)));
        }
        fields.extend([("count", count), ("duration_ms", duration)]);
        self.push(stamp, due.message, &fields, (false, 0));
    }

    /// Whether [`Log::sweep`] would find something, now or soon.
    pub fn has_unsaid(&self) -> bool {
        self.shared.lost.load(Ordering::Relaxed) > 0
            || self.shared.outages.is_any_open()
            || self.shared.paces.iter().any(|pace| pace.suppressed.load(Ordering::Relaxed) > 0)
    }

    /// The next line, with its line end.
    pub fn next_line(&self) -> Option<String> {
        self.next_queued().map(|line| line.text)
    }

    /// The next line, with what is known of it.
    pub fn next_queued(&self) -> Option<QueuedLine> {
        self.shared.lines.pop()
    }

    /// A line as it would be queued, with its line end, for who has to write it himself. Allocates.
    pub fn line(&self, stamp: Now, message: Message, fields: &[LogField<'_>]) -> String {
        let line = line::LogLine { at: stamp.wall, message, fields, listed: false, suppressed: 0 };
        line.render(self.shared.json.load(Ordering::Relaxed))
    }

    /// Formats and queues a line; `listed_suppressed` says whether ids are shown in clear, and how
    /// many lines of this message were left out before it. Whether there was room.
    fn push(
        &self,
        stamp: Now,
        message: Message,
        fields: &[LogField<'_>],
        listed_suppressed: (bool, u64),
    ) -> bool {
        let (listed, suppressed) = listed_suppressed;
        let line = line::LogLine { at: stamp.wall, message, fields, listed, suppressed };
        let text = line.render(self.shared.json.load(Ordering::Relaxed));
        let queued = QueuedLine { text, at: stamp.wall, message };
        let queued = self.shared.lines.push(queued).is_ok();
        if !queued {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
        self.wake();
        queued
    }

    fn wake(&self) {
        if let Some(wake) = self.shared.wake.get() {
            wake();
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Log").field("lines", &self.shared.lines.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
