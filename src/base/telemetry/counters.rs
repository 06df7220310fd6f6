//! One block of numbers per shard. A shard writes its own block with plain stores, so a count
//! costs a load and a store and never a bus lock; the admin listener reads all blocks.
//!
//! The table at the end of this file is the one place for names and help texts.

pub use super::counter::Counter;
use super::histogram::Histogram;
use super::listener_counters::ListenerCounters;
use super::popup_counters::PopupCounters;
use super::request_durations::RequestDurations;

/// Counters of one name that differ in the value of one label. The last value is `other`, which
/// takes what the table does not name, so that nothing goes uncounted.
#[derive(Debug)]
pub struct Family<const N: usize> {
    cells: [Counter; N],
    values: &'static [&'static str; N],
}

impl<const N: usize> Family<N> {
    fn new(values: &'static [&'static str; N]) -> Family<N> {
        Family { cells: std::array::from_fn(|_| Counter::default()), values }
    }

    /// The counter of the value at a place of the table, which whoever counts often knows.
    pub fn at(&self, place: usize) -> &Counter {
        &self.cells[place]
    }

    /// Every value of the label with its count.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.values.iter().zip(&self.cells).map(|(value, cell)| (*value, cell.get()))
    }

    /// The counter of a label's value; that of `other` where there is no such value.
    pub fn of(&self, value: &str) -> &Counter {
        let known = self.values.iter().position(|known| *known == value);
        &self.cells[known.unwrap_or(N - 1)]
    }
}

/// What readers do with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It only rises, from 0 at start.
    Counter,
    /// It is what it is now.
    Gauge,
}

/// What a number is kept in. It is shown in Prometheus' base units, whatever this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// As it is: a count, bytes, a sequence number, whole seconds.
    #[default]
    Base,
    /// Milliseconds, shown as seconds.
    Milliseconds,
    /// Nanoseconds, shown as seconds.
    Nanoseconds,
    /// Thousandths of a share, shown as the share.
    Thousandths,
}

/// One name of the table.
pub struct Descriptor {
    /// Its name without `nudged_`.
    pub name: &'static str,
    /// What readers do with it.
    pub kind: MetricKind,
    /// What its numbers are kept in.
    pub unit: Unit,
    /// What it says.
    pub help: &'static str,
    /// The label and its values; none for a single number.
    pub label: Option<(&'static str, &'static [&'static str])>,
    /// Its numbers in a shard's block, one for each value of the label.
    pub cells: fn(&ShardCounters) -> &[Counter],
}

/// One histogram of the table.
pub(crate) struct HistogramDescriptor {
    /// Its name without `nudged_`.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// A label and its value; rows of one name follow one another.
    pub label: Option<(&'static str, &'static str)>,
    /// The histogram in a shard's block.
    pub histogram: fn(&ShardCounters) -> &Histogram,
}

macro_rules! shard_counters {
    (
        one { $($kind:ident $field:ident $name:literal $help:literal $(in $unit:ident)?;)* }
        many {
            $($many:ident $many_name:literal [$label:literal $values:ident] $many_help:literal;)*
        }
        histograms {
            $(
                $histogram:ident $histogram_name:literal
                $([$histogram_label:literal $histogram_value:literal])? $histogram_help:literal;
            )*
        }
        beside { $($(#[$doc:meta])* pub $beside:ident: $type:ty,)* }
    ) => {
        /// All numbers of one shard. Aligned so that no other shard's block shares its cache
        /// lines, or the line beside them that processors fetch with it.
        #[derive(Debug)]
        #[repr(align(128))]
        pub struct ShardCounters {
            $(#[doc = $help] pub $field: Counter,)*
            $(#[doc = $many_help] pub $many: Family<{ $values.len() }>,)*
            $(#[doc = $histogram_help] pub $histogram: Histogram,)*
            $($(#[$doc])* pub $beside: $type,)*
        }

        impl Default for ShardCounters {
            fn default() -> ShardCounters {
                ShardCounters {
                    $($field: Counter::default(),)*
                    $($many: Family::new(&$values),)*
                    $($histogram: Histogram::default(),)*
                    $($beside: <$type>::default(),)*
                }
            }
        }

        /// Every counter and gauge of a shard.
        pub static DESCRIPTORS: &[Descriptor] = &[
            $(Descriptor {
                name: $name, kind: MetricKind::$kind, help: $help, label: None,
                unit: [$(Unit::$unit,)? Unit::Base][0],
                cells: |shard| std::slice::from_ref(&shard.$field),
            },)*
            $(Descriptor {
                name: $many_name, kind: MetricKind::Counter, help: $many_help, unit: Unit::Base,
                label: Some(($label, &$values)),
                cells: |shard| &shard.$many.cells,
            },)*
        ];

        /// Every histogram of a shard.
        pub(crate) static HISTOGRAMS: &[HistogramDescriptor] = &[$(HistogramDescriptor {
            name: $histogram_name, help: $histogram_help, histogram: |shard| &shard.$histogram,
            label: [$(Some(($histogram_label, $histogram_value)),)? None][0],
        },)*];
    };
}

/// Places of [`ROUTES`].
pub const DECIDE_ROUTE: usize = 0;
/// As [`DECIDE_ROUTE`].
pub const EVENTS_ROUTE: usize = 1;
/// As [`DECIDE_ROUTE`].
pub const PREVIEW_ROUTE: usize = 2;
const ROUTES: [&str; 8] =
    ["decide", "events", "preview", "health", "readyz", "snippet", "options", "other"];
const REASONS: [&str; 15] = [
    "none",
    "status",
    "schedule",
    "window",
    "placement",
    "target",
    "rollout",
    "max_shows",
    "gap",
    "cap",
    "quiet",
    "day",
    "session",
    "degraded",
    "other",
];
const REJECTIONS: [&str; 8] = [
    "bad_event",
    "bad_decision",
    "bad_ts",
    "unknown_action",
    "too_late",
    "other_user",
    "overloaded",
    "other",
];
const PURSUITS: [&str; 3] = ["committed", "not_committed", "other"];
/// What else a command may fail of than a refusal.
const NO_REFUSALS: [&str; 7] =
    ["away", "deadline", "late", "lost", "full", "unknown", "quarantined"];
const CAUSES: [&str; 19] = {
    let mut causes = [""; 19];
    let (first, rest) = causes.split_at_mut(NO_REFUSALS.len());
    first.copy_from_slice(&NO_REFUSALS);
    rest.copy_from_slice(&REFUSALS);
    causes
};
/// Kinds of refusals, as `redis::refusal` names them.
pub const REFUSALS: [&str; 12] = [
    "loading",
    "primary_down",
    "busy",
    "read_only",
    "out_of_memory",
    "misconfigured",
    "cluster",
    "denied",
    "wrong_type",
    "no_script",
    "no_command",
    "other",
];
/// Why a connection to a listener of the PROXY protocol was closed, as `http::proxy` and the driver
/// name it.
const PROXY_REFUSALS: [&str; 8] =
    ["network", "missing", "malformed", "too_long", "checksum", "timeout", "cut", "other"];
/// Why a request was shed: there were too many, it had waited too long, its client had gone
/// meanwhile, or it had waited too long for the shard that was to execute it.
const SHED_CAUSES: [&str; 5] = ["early", "late", "gone", "hop", "other"];
const TLS_KINDS: [&str; 5] = ["tls13", "tls13_resumed", "tls12", "tls12_resumed", "other"];
/// Why a connection of TLS failed, as `tls::connection` and the driver name it.
const TLS_FAILURES: [&str; 13] = [
    "plain_http",
    "not_tls",
    "malformed",
    "too_long",
    "version",
    "incompatible",
    "alpn",
    "alert",
    "timeout",
    "cut",
    "displaced",
    "overload",
    "other",
];
const STATUSES: [&str; 16] = [
    "400", "401", "403", "404", "405", "408", "413", "414", "415", "417", "429", "431", "501",
    "503", "505", "other",
];

shard_counters! {
    one {
        Counter connections_accepted "connections_accepted_total" "Connections accepted.";
        Counter connections_refused "connections_refused_total"
            "Connections refused because too many were open.";
        Gauge connections_open "connections_open" "Open connections.";
        Counter sources_refused "source_connections_refused_total"
            "Connections reset because their source had limits.connections_per_source open.";
        Counter connections_cut "connections_cut_total"
            "Connections reset because unsent answers reached their bound and these were the largest.";
        Gauge unsent_bytes "unsent_bytes" "Answers that clients have not read yet, in bytes.";
        Counter buffers_freed "buffers_freed_bytes_total"
            "Request and answer buffers returned to the allocator, in bytes.";
        Counter accept_errors "accept_errors_total"
            "Accepts that failed for want of descriptors or memory.";
        Counter proxy_protocol_accepted "proxy_protocol_accepted_total"
            "Connections that began with a PROXY protocol header.";
        Gauge tls_handshakes_open "tls_handshakes_open" "TLS handshakes under way.";
        Gauge clock_apart_ms "clock_apart_seconds"
            "Difference between the wall clock and the node's time." in Milliseconds;
        Counter decisions_shown "decisions_shown_total" "Decisions that returned a popup.";
        Counter events_accepted "events_accepted_total" "Events accepted.";
        Counter events_duplicate "events_duplicate_total" "Events that repeated an accepted one.";
        Counter preview_decisions "preview_decisions_total"
            "Decisions for preview users, shown or not, that count nowhere else.";
        Counter preview_events "preview_events_total"
            "Events of previews, that count nowhere else.";
        Counter degraded "degraded_total" "Requests whose user's state could not be read in time.";
        Counter ignored_fields "ignored_fields_total"
            "Unknown request fields, each counted once per request.";
        Counter hops_sent "hops_sent_total" "Requests sent to the shard that owns their user.";
        Counter hops_received "hops_received_total" "Requests executed for other shards.";
        Counter hops_refused "hops_refused_total"
            "Requests refused because the lane to another shard was full.";
        Gauge parked "parked" "Requests waiting for state or for the journal.";
        Counter ring_enters "ring_enters_total" "System calls to enter the ring.";
        Counter ring_submissions "ring_submissions_total" "Operations submitted to the ring.";
        Counter ring_completions "ring_completions_total" "Completions taken from the ring.";
        Counter ring_buffers_empty "ring_buffers_empty_total"
            "Receives that found no provided buffer.";
        Counter ring_overflows "ring_overflows_total" "Completions that overflowed the queue.";
        Counter slice_hits "slice_hits_total" "Users found in the slice.";
        Counter slice_misses "slice_misses_total" "Users not found in the slice.";
        Counter slice_evictions "slice_evictions_total" "Users evicted from the slice.";
        Counter slice_full "slice_full_total" "Users that found no room in the slice.";
        Gauge slice_entries "slice_entries" "Users in the slice.";
        Gauge slice_bytes "slice_bytes" "Memory allocated for the slice, in bytes.";
        Counter reads "reads_total" "Users read back from SQL.";
        Counter reads_failed "reads_failed_total" "Users that could not be read back from SQL.";
        Counter reads_late "reads_late_total" "Requests whose user was not read back in time.";
        Counter users_limited "user_rate_refusals_total"
            "Requests and events refused because their user asks more often than it may.";
        Counter users_untracked "user_rate_untracked_total"
            "Requests of users whose rate was not counted: too many users at once.";
        Gauge users_rated "user_rate_users" "Users whose rate is counted.";
        Counter parked_full "parked_full_total"
            "Requests that could not wait for their user's state: too many did.";
        Counter acks_late "acks_late_total" "Answers given up because the journal was too slow.";
        Counter catalogs_let_go "catalogs_let_go_total"
            "Answers given up because too many catalogs were published while they waited.";
        Counter journal_records "journal_records_total" "Records given to the journal.";
        Counter journal_bytes "journal_bytes_total" "Bytes of records given to the journal.";
        Counter journal_refusals "journal_refusals_total"
            "Records that the journal had no room for.";
        Gauge journal_waiting "journal_waiting"
            "Answers waiting for the journal's acknowledgement.";
        Counter redis_reads "redis_reads_total" "Users read from Redis.";
        Counter redis_joined "redis_joined_total" "Requests that waited behind a command of their user.";
        Counter redis_commits "redis_commits_total" "Changes sent to Redis.";
        Counter redis_moved "redis_moved_total" "Changes evaluated again: another node was first.";
        Counter redis_absent "redis_absent_total" "Users that neither Redis nor SQL knew.";
        Counter redis_fills "redis_fills_total" "Users written to Redis from SQL.";
        Counter redis_withdrawn "redis_withdrawn_total"
            "Shows withdrawn because they were committed too late to be seen.";
        Gauge unmerged "unmerged"
            "Events and local shows waiting to be merged into their users' states.";
        Counter merged "merged_total" "Events and local shows merged into their users' states.";
        Counter merges_dropped "merges_dropped_total"
            "Accepted events and local shows dropped: their show is forgotten or erased.";
        Counter shows_learnt "shows_learnt_total"
            "Local shows merged because their event came before their own node's record.";
        Counter journaled_again "journaled_again_total"
            "Unmerged records written to the journal again, so that SQL can proceed.";
        Counter decisions_local "decisions_local_total"
            "Decisions that returned a popup from this node's own memory.";
        Counter redis_told "redis_told_total" "User changes announced by Redis.";
        Counter redis_link_commands "redis_link_commands_total" "Commands sent.";
        Counter redis_link_replies "redis_link_replies_total" "Replies in time.";
        Counter redis_link_expired "redis_link_expired_total" "Commands whose deadline passed.";
        Counter redis_link_late "redis_link_late_total" "Replies after the deadline.";
        Counter redis_link_unknown "redis_link_unknown_total" "Commands of unknown outcome.";
        Counter redis_link_refused "redis_link_refused_total" "Commands that Redis refused.";
        Counter redis_link_noscript "redis_link_noscript_total" "Scripts that Redis did not have.";
        Counter redis_link_reconnects "redis_link_reconnects_total" "Reconnects.";
        Counter redis_link_retries "redis_link_retries_total"
            "Commands sent again after a lost connection.";
        Counter redis_link_malformed "redis_link_malformed_total"
            "Connections closed because of malformed replies.";
        Counter redis_link_round_trip_ns "redis_link_round_trip_seconds_total"
            "Time from command to reply, summed over the replies in time." in Nanoseconds;
        Counter redis_breaker_opens "redis_breaker_opens_total" "Times the breaker opened.";
        Gauge redis_breaker "redis_breaker" "The breaker: 0 closed, 1 open, 2 probing.";
        Gauge redis_pursued "redis_pursued"
            "Changes that nobody waits for, sent again until Redis reports their outcome.";
        Gauge redis_in_flight "redis_in_flight" "Commands waiting for their replies.";
        Gauge shedding "shedding" "Whether the shard is overloaded: 0 or 1.";
        Gauge shed_held "shed_held" "Requests held back while the shard is overloaded.";
        Counter turns "turns_total" "Turns of the shard's loop.";
        Counter sleeps "sleeps_total" "Turns of the shard's loop that ended in sleep.";
        Counter wakes "wakes_total" "Other threads woken.";
        Counter spun_ns "busy_poll_idle_seconds_total"
            "Time spent spinning for work that did not come, with --busy-poll." in Nanoseconds;
    }
    many {
        requests "requests_total" ["route" ROUTES] "Requests by route.";
        decisions_nothing "decisions_nothing_total" ["reason" REASONS]
            "Decisions that returned no popup, by reason.";
        events_rejected "events_rejected_total" ["code" REJECTIONS] "Events rejected, by code.";
        redis_failures "redis_failures_total" ["cause" CAUSES]
            "Commands that failed and requests given up, by cause.";
        redis_pursuits "redis_pursuits_total" ["outcome" PURSUITS]
            "Unseen shows whose replies were lost with their connections, by outcome.";
        redis_refused "redis_refused_total" ["kind" REFUSALS]
            "Commands that Redis refused, by kind; some are sent again.";
        shed "shed_total" ["cause" SHED_CAUSES]
            "Requests refused with 503 because the shard was overloaded, by cause.";
        proxy_protocol_refused "proxy_protocol_refused_total" ["reason" PROXY_REFUSALS]
            "Connections to proxy_protocol listeners that were closed, by reason.";
        tls_handshakes "tls_handshakes_total" ["kind" TLS_KINDS]
            "TLS handshakes that succeeded, by version, and whether a session was resumed.";
        tls_failures "tls_failures_total" ["reason" TLS_FAILURES]
            "TLS connections that failed, by reason.";
        http_errors "http_errors_total" ["status" STATUSES] "Refusals by status.";
    }
    histograms {
        journal_wait "journal_wait_seconds"
            "Time from handing a record to the journal to its acknowledgement.";
        redis_read_time "redis_round_trip_seconds" ["operation" "read"]
            "Time from a command to its reply, of those in time.";
        redis_commit_time "redis_round_trip_seconds" ["operation" "commit"]
            "Time from a command to its reply, of those in time.";
        redis_fill_time "redis_round_trip_seconds" ["operation" "fill"]
            "Time from a command to its reply, of those in time.";
        redis_other_time "redis_round_trip_seconds" ["operation" "other"]
            "Time from a command to its reply, of those in time.";
        queue_delay "queue_delay_seconds"
            "Time that requests waited before a busy shard saw them, measured by samples.";
        turn_length "turn_seconds" "Duration of a turn of the shard's loop.";
    }
    beside {
        /// How long requests take.
        pub request_durations: RequestDurations,
        /// Shows and events by popup.
        pub popups: PopupCounters,
        /// Connections by listener.
        pub listeners: ListenerCounters,
        /// The kernel's number of the shard's thread; 0 until it runs.
        pub thread: Counter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_stands_once_and_by_the_rules_of_prometheus() {
        let mut names: Vec<&str> = DESCRIPTORS.iter().map(|row| row.name).collect();
        let mut histograms: Vec<&str> = HISTOGRAMS.iter().map(|row| row.name).collect();
        // Those that differ in their label follow one another.
        histograms.dedup();
        names.extend(histograms);
        for descriptor in DESCRIPTORS {
            let total = descriptor.name.ends_with("_total");
            assert_eq!(total, descriptor.kind == MetricKind::Counter, "{}", descriptor.name);
            let values = descriptor.label.map_or(1, |(_, values)| values.len());
            assert_eq!((descriptor.cells)(&ShardCounters::default()).len(), values);
            let last = descriptor.label.and_then(|(_, values)| values.last());
            assert!(last.is_none_or(|last| *last == "other"));
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn routes_have_their_places() {
        let places = [(DECIDE_ROUTE, "decide"), (EVENTS_ROUTE, "events")];
        assert!(places.iter().all(|(place, name)| ROUTES[*place] == *name));
        let shard = ShardCounters::default();
        shard.requests.at(EVENTS_ROUTE).increment();
        assert_eq!(shard.requests.of("events").get(), 1);
    }

    #[test]
    fn a_family_counts_what_it_does_not_know_as_other() {
        let shard = ShardCounters::default();
        shard.decisions_nothing.of("gap").increment();
        shard.decisions_nothing.of("no such reason").add(2);
        assert_eq!(shard.decisions_nothing.of("gap").get(), 1);
        assert_eq!(shard.decisions_nothing.of("other").get(), 2);
        shard.connections_open.set(1);
        assert_eq!(shard.connections_open.get(), 1);
        assert_eq!(align_of::<ShardCounters>(), 128);
    }
}
