//! What lasts: an outage has one line at its begin, one a minute while it lasts, one at its end,
//! however many threads meet it and however often. The table below says which messages report an
//! outage and which its end; whoever logs them needs to know nothing of it and may log each failure
//! and each success.
//!
//! ```text
//!            a report                      a minute
//!   none ──────────────► open ◄──────────────────────┐
//!    ▲                    │ └────────────────────────┘
//!    │ a second           │ every report has ended, or was not repeated for its `quiet_ms`
//!    └──────────── settling ──► open, at a further report
//! ```
//!
//! An outage `by` a field has a begin, minutes and an end for each of the field's values that the
//! table lists; with another value, or without the field, its messages are no reports.
//!
//! A *symptom* is what follows from an outage that others report better: it is told only where
//! nobody has done so within a second, or once it is over. Only atomics are shared, and a lock that
//! nobody but the log's own thread waits for: no shard is held up.

use crate::clock::Now;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{LogField, LogValue, Message};
use crate::hash;
use crate::limits::{LOG_OUTAGE_PERIOD_MS, LOG_QUIET_MS, LOG_SETTLE_MS};
use crate::time::WallMs;

/// How a report begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// With its end message, whoever logs it.
    Told,
    /// With as many end messages as there were reports: each shard has its own.
    ToldByEach,
    /// With its end message, or where it was not repeated for [`LOG_QUIET_MS`].
    Quiet,
}

/// Whether a report is told as soon as it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// At once, and again where its field `cause` is a new one.
    Reason,
    /// At once, and again where its error is a new one: its errors are few texts.
    Texts,
    /// Where no reason has come within [`LOG_SETTLE_MS`].
    Symptom,
}

struct OutageReport {
    outage: Outage,
    message: Message,
    end: Message,
    weight: Weight,
    ends: Ends,
}

/// A field, and its values that are outages of their own.
type OutageKeys = (&'static str, &'static [&'static str]);

/// Of an outage that is one, whatever its messages' fields.
const ONE: OutageKeys = ("", &[""]);

macro_rules! outages {
    (@keys) => { ONE };
    (@keys $field:literal $values:tt) => { ($field, &$values) };
    ($($outage:ident $name:literal $(by $field:literal $values:tt)? {
        $($message:ident to $end:ident $weight:ident $ends:ident;)*
    })*) => {
        /// What may be out of order for a while.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Outage { $($outage,)* }

        /// The outages' names in metrics, in the order of their numbers.
        const NAMES: &[&str] = &[$($name,)*];

        /// What tells the parts of an outage apart, in the order of their numbers.
        const KEYS: &[OutageKeys] = &[$(outages!(@keys $($field $values)?),)*];

        const REPORTS: &[OutageReport] = &[$($(OutageReport {
            outage: Outage::$outage,
            message: Message::$message,
            end: Message::$end,
            weight: Weight::$weight,
            ends: Ends::$ends,
        },)*)*];
    };
}

outages! {
    Redis "redis" {
        RedisAway to RedisConnected Reason Told;
        RedisLost to RedisConnected Reason ToldByEach;
        KeeperFailed to KeeperResumed Symptom Told;
        ListFailed to ListResumed Symptom Told;
    }
    RedisUnfit "redis_unfit" by "cause" [
        "rights", "handshake", "eviction", "replica", "loading", "primary_down", "busy", "read_only",
        "out_of_memory", "misconfigured", "cluster", "denied", "wrong_type", "no_script", "no_command",
        "other"
    ] { RedisUnfit to RedisFit Texts Told; }
    Overrides "overrides" by "place" ["node", "redis", "sql"] {
        OverridesWait to OverridesStored Reason Told;
        OverridesFile to OverridesStored Reason Told;
    }
    Rebuild "rebuild" { RebuildNeeded to RebuildEnded Reason Told; }
    Sql "sql" {
        SqlAway to SqlResumed Reason Told;
        SqlFailed to SqlResumed Reason Told;
        SqlUnfit to SqlResumed Texts Told;
        ReadFailed to ReadResumed Symptom Quiet;
        KeeperSqlFailed to KeeperSqlResumed Symptom Told;
        ListSqlFailed to ListResumed Symptom Told;
        CatalogStale to CatalogFresh Symptom Told;
    }
    Catalog "catalog" { CatalogBehind to CatalogFresh Reason Told; }
    File "file" { FileWaits to CatalogFresh Reason Told; }
    JournalLow "journal_low" { JournalLow to JournalRoom Reason Told; }
    JournalFull "journal_full" { JournalFull to JournalResumed Reason Told; }
    Journal "journal" { JournalFailed to JournalMended Reason Quiet; }
    Names "names" { NameUnknown to NameKnown Reason Quiet; }
    Clock "clock" { ClockApart to ClockTogether Reason Told; }
    Reads "reads" { ReadSlow to ReadsInTime Reason Quiet; }
    Lists "lists" { ListEntryUnread to ListEntriesRead Reason Quiet; }
    Slice "slice" { SliceFull to SliceRoom Reason Quiet; }
    Lanes "lanes" { LaneFull to LaneRoom Reason Quiet; }
    Connections "connections" { ConnectionsFull to ConnectionsRoom Reason Quiet; }
    Overload "shedding" { Shedding to Unhurried Reason Quiet; }
    Sources "sources" { SourceFull to SourceRoom Reason Quiet; }
    Unsent "unsent" { UnsentFull to UnsentRoom Reason Quiet; }
    Proxied "proxied" { ProxyRefused to ProxyAccepted Reason Quiet; }
    Accepts "accepts" { AcceptFailed to AcceptResumed Reason Quiet; }
}

/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;

#[derive(Debug, Default)]
struct OutageState {
    /// When it was first met; 0 where there is none.
    begun_ns: AtomicU64,
    /// When its last line was written; 0 where it has had none yet.
    told_ns: AtomicU64,
    /// When the last report ended; 0 while one has not.
    ended_ns: AtomicU64,
    /// Reports since it began.
    count: AtomicU64,
    /// A bit for each cause that was told.
    causes: AtomicU64,
    /// Outages so far.
    total: AtomicU64,
    /// What the lines say: the place of the report, and its error.
    said: Mutex<(usize, String)>,
    /// When that came up, by the wall clock; 0 where it never did.
    said_at_ms: AtomicI64,
}

#[derive(Debug, Default)]
struct ReportState {
    /// Reports that have not ended: 0 or 1, or one for each shard.
    open: AtomicU64,
    last_ns: AtomicU64,
}

/// All outages of a node.
#[derive(Debug)]
pub(super) struct Outages {
    /// For each outage, in the order of [`NAMES`], a state for each of its keys.
    states: Vec<Vec<OutageState>>,
    /// The same for each report.
    reports: Vec<Vec<ReportState>>,
    /// For each message the place of its report.
    places: Vec<Option<usize>>,
    is_end: Vec<bool>,
}

/// A report of an outage, and which of the outage's keys it is of.
#[derive(Clone, Copy)]
struct Met {
    place: usize,
    key: usize,
}

/// What a message is to the outages.
pub(super) enum Part {
    /// None of their business.
    Other,
    /// It reports one; whether it is to be written.
    Report(bool),
    /// It reports an end, which is written later.
    End,
}

/// A line that is due.
pub(super) struct Due {
    pub(super) message: Message,
    pub(super) error: String,
    pub(super) count: u64,
    pub(super) duration_ms: u64,
    /// The field that tells this outage from others like it, where there are others.
    pub(super) key: Option<LogField<'static>>,
}

impl Outages {
    pub(super) fn new() -> Outages {
        let place_of = |message: &Message| REPORTS.iter().position(|row| row.message == *message);
        let is_end = |message: &Message| REPORTS.iter().any(|row| row.end == *message);
        Outages {
            states: KEYS.iter().map(for_each_key).collect(),
            reports: REPORTS.iter().map(|row| for_each_key(&KEYS[row.outage as usize])).collect(),
            places: Message::ALL.iter().map(place_of).collect(),
            is_end: Message::ALL.iter().map(is_end).collect(),
        }
    }

    /// Takes a message. `wake` is called where a line will be due without another message.
    pub(super) fn take(
        &self,
        stamp: Now,
        message: Message,
        fields: &[LogField<'_>],
        wake: impl FnOnce(),
    ) -> Part {
        if self.is_end[message as usize] {
            self.end(stamp, message, fields);
            return Part::End;
        }
        let place = self.places[message as usize];
        let met = place.and_then(|place| {
            let key = key_of(REPORTS[place].outage, fields)?;
            Some(Met { place, key })
        });
        match met {
            Some(met) => Part::Report(self.begin(stamp, met, fields, wake)),
            None => Part::Other,
        }
    }

    fn begin(&self, stamp: Now, met: Met, fields: &[LogField<'_>], wake: impl FnOnce()) -> bool {
        let Met { place, key } = met;
        let (row, report) = (&REPORTS[place], &self.reports[place][key]);
        let state = &self.states[row.outage as usize][key];
        let now_ns = stamp.mono.0.max(1);
        match row.ends {
            Ends::ToldByEach => report.open.fetch_add(1, Ordering::Relaxed),
            Ends::Told | Ends::Quiet => report.open.swap(1, Ordering::Relaxed),
        };
        report.last_ns.store(now_ns, Ordering::Relaxed);
        state.ended_ns.store(0, Ordering::Relaxed);
        let begun = state.begun_ns.compare_exchange(0, now_ns, Ordering::AcqRel, Ordering::Relaxed);
        if begun.is_ok() {
            state.count.store(0, Ordering::Relaxed);
            state.causes.store(0, Ordering::Relaxed);
            state.told_ns.store(0, Ordering::Relaxed);
            state.total.fetch_add(1, Ordering::Relaxed);
        }
        state.count.fetch_add(1, Ordering::Relaxed);
        let cause = match row.weight {
            Weight::Reason => Some(text_of(fields, "cause")),
            Weight::Texts => Some(text_of(fields, "error")),
            Weight::Symptom => None,
        };
        let is_new = cause.is_some_and(|cause| {
            let bit = bit_of(cause);
            state.causes.fetch_or(bit, Ordering::Relaxed) & bit == 0
        });
        if is_new || begun.is_ok() {
            state.say(stamp, place, text_of(fields, "error"));
            wake();
        }
        if is_new {
            state.told_ns.store(now_ns, Ordering::Relaxed);
        }
        is_new
    }

    fn end(&self, stamp: Now, end: Message, fields: &[LogField<'_>]) {
        for (row, reports) in REPORTS.iter().zip(&self.reports).filter(|(row, _)| row.end == end) {
            let Some(key) = key_of(row.outage, fields) else { continue };
            let report = &reports[key];
            let is_each = row.ends == Ends::ToldByEach;
            let less = |open: u64| open.checked_sub(if is_each { 1 } else { open.max(1) });
            let before = report.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            if before.is_ok() && !self.is_open(row.outage as usize, key) {
                let state = &self.states[row.outage as usize][key];
                state.ended_ns.store(stamp.mono.0.max(1), Ordering::Relaxed);
            }
        }
    }

    fn is_open(&self, outage: usize, key: usize) -> bool {
        let of = |row: &OutageReport| row.outage as usize == outage;
        let mut own = REPORTS.iter().zip(&self.reports).filter(|(row, _)| of(row));
        own.any(|(_, reports)| reports[key].open.load(Ordering::Relaxed) > 0)
    }

    /// Every state, with its outage's number and its key's.
    fn all_states(&self) -> impl Iterator<Item = (usize, usize, &OutageState)> {
        let of_outage = |(outage, states): (usize, &'_ Vec<OutageState>)| (outage, states.len());
        let places = self.states.iter().enumerate().map(of_outage);
        let keys = places.flat_map(|(outage, count)| (0..count).map(move |key| (outage, key)));
        keys.map(|(outage, key)| (outage, key, &self.states[outage][key]))
    }

    /// Whether one is under way, so that [`Outages::sweep`] has to be called.
    pub(super) fn is_any_open(&self) -> bool {
        self.all_states().any(|(.., state)| state.is_begun())
    }

    /// The lines that are due. `is_last`: what has ended is told now, since nobody comes again.
    pub(super) fn sweep(&self, stamp: Now, is_last: bool, mut tell: impl FnMut(Due)) {
        let now_ns = stamp.mono.0.max(1);
        self.end_quiet(now_ns);
        for (outage, key, state) in self.all_states() {
            let begun_ns = state.begun_ns.load(Ordering::Acquire);
            if begun_ns == 0 {
                continue;
            }
            let told_ns = state.told_ns.load(Ordering::Relaxed);
            let ended_ns = state.ended_ns.load(Ordering::Relaxed);
            let is_settled = is_last || now_ns.saturating_sub(ended_ns) >= LOG_SETTLE_MS * MS;
            if ended_ns > 0 && is_settled {
                // What was over before it was told has one line, which says what it was.
                match told_ns {
                    0 => tell(state.due(ended_ns, key, Says::Message)),
                    _ => tell(state.due(ended_ns, key, Says::End)),
                }
                state.begun_ns.store(0, Ordering::Release);
                // A report that came in between found one under way: it begins the next.
                if self.is_open(outage, key) {
                    state.told_ns.store(0, Ordering::Relaxed);
                    state.begun_ns.store(now_ns, Ordering::Release);
                }
                continue;
            }
            let wait_ms = if told_ns == 0 { LOG_SETTLE_MS } else { LOG_OUTAGE_PERIOD_MS };
            let since_ns = if told_ns == 0 { begun_ns } else { told_ns };
            if ended_ns == 0 && now_ns.saturating_sub(since_ns) >= wait_ms * MS {
                state.told_ns.store(now_ns, Ordering::Relaxed);
                tell(state.due(now_ns, key, Says::Message));
            }
        }
    }

    /// Ends reports that were not repeated for long enough.
    fn end_quiet(&self, now_ns: u64) {
        let quiet = REPORTS.iter().zip(&self.reports).filter(|(row, _)| row.ends == Ends::Quiet);
        let each = quiet.flat_map(|(row, reports)| {
            reports.iter().enumerate().map(move |(key, report)| (row, key, report))
        });
        for (row, key, report) in each {
            let last_ns = report.last_ns.load(Ordering::Relaxed);
            let is_over = now_ns.saturating_sub(last_ns) >= LOG_QUIET_MS * MS;
            if report.open.load(Ordering::Relaxed) > 0 && is_over {
                report.open.store(0, Ordering::Relaxed);
                if !self.is_open(row.outage as usize, key) {
                    let state = &self.states[row.outage as usize][key];
                    state.ended_ns.store(last_ns, Ordering::Relaxed);
                }
            }
        }
    }

    /// What was last wrong with each that has ever been out of order, its keys each for itself.
    pub(super) fn last_errors(&self) -> impl Iterator<Item = LastError> {
        let was = |(.., state): &(usize, usize, &OutageState)| {
            state.said_at_ms.load(Ordering::Relaxed) != 0
        };
        self.all_states().filter(was).map(|(outage, _, state)| {
            let (place, error) = state.said();
            LastError {
                outage: NAMES[outage],
                is_active: state.is_begun(),
                at: WallMs(state.said_at_ms.load(Ordering::Relaxed)),
                code: REPORTS[place].message.code(),
                error,
            }
        })
    }

    /// Each outage's name, whether it is under way, and how often there was one, its keys together.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, bool, u64)> {
        NAMES.iter().zip(&self.states).map(|(name, states)| {
            let total = states.iter().map(|state| state.total.load(Ordering::Relaxed));
            (*name, states.iter().any(OutageState::is_begun), total.sum())
        })
    }
}

/// What was last wrong with something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// The outage's name, as in metrics.
    pub outage: &'static str,
    /// Whether it lasts.
    pub is_active: bool,
    /// When this cause came up, by the wall clock.
    pub at: WallMs,
    /// The code of its log line.
    pub code: &'static str,
    /// What was wrong, as the log says it; may be empty.
    pub error: String,
}

/// Which of its row's messages a line has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    Message,
    End,
}

impl OutageState {
    fn is_begun(&self) -> bool {
        self.begun_ns.load(Ordering::Relaxed) > 0
    }

    /// Remembers what the next lines say, unless somebody is just reading it.
    fn say(&self, stamp: Now, place: usize, error: &str) {
        if let Ok(mut said) = self.said.try_lock() {
            self.said_at_ms.store(stamp.wall.0, Ordering::Relaxed);
            said.0 = place;
            said.1.clear();
            said.1.push_str(error);
        }
    }

    fn said(&self) -> (usize, String) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn due(&self, until_ns: u64, key: usize, says: Says) -> Due {
        let (place, error) = self.said();
        let begun_ns = self.begun_ns.load(Ordering::Relaxed);
        let row = &REPORTS[place];
        let (field, values) = KEYS[row.outage as usize];
        let (message, error) = match says {
            Says::Message => (row.message, error),
            Says::End => (row.end, String::new()),
        };
        Due {
            message,
            error,
            key: (!field.is_empty()).then(|| (field, LogValue::Text(values[key]))),
            count: self.count.load(Ordering::Relaxed),
            duration_ms: until_ns.saturating_sub(begun_ns) / MS,
        }
    }
}

fn for_each_key<T: Default>((_, values): &OutageKeys) -> Vec<T> {
    values.iter().map(|_| T::default()).collect()
}

/// Which of an outage's keys a message is of.
fn key_of(outage: Outage, fields: &[LogField<'_>]) -> Option<usize> {
    let (field, values) = KEYS[outage as usize];
    let value = text_of(fields, field);
    values.iter().position(|known| *known == value)
}

fn text_of<'a>(fields: &[LogField<'a>], wanted: &str) -> &'a str {
    let found = fields.iter().find(|(name, _)| *name == wanted);
    match found {
        Some((_, LogValue::Text(text))) => text,
        _ => "",
    }
}

/// One of 64 bits for a cause; causes that share one are told once.
fn bit_of(cause: &str) -> u64 {
    1 << (hash::user(cause.as_bytes()) % 64)
}

#[cfg(test)]
mod tests;
