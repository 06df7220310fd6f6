//! What a seed draws before anything happens: which faults are on and how often, sizes, settings.
//! Each seed has some faults and lacks others (a swarm), so that no fault hides behind another.

use std::fmt;

use nudged_base::limits::SEGMENT_BYTES_MIN;
use nudged_base::time::DurationMs;
use nudged_journal::appender::{AckLevel, AppenderConfig};

use super::random::Stream;

/// How bytes are cut on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// All that is there at once.
    Whole,
    /// A few bytes each.
    Tiny,
    /// Any size.
    Any,
}

/// How the wall clock behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Right.
    Steady,
    /// Set by up to a minute now and then.
    Seconds,
    /// Set by up to ten years now and then.
    Years,
}

/// Everything that is drawn beforehand. `one_in_...`: a fault in so many, 0 for never.
#[derive(Clone, Debug)]
pub struct Config {
    /// The seed.
    pub seed: u64,
    /// When records are acknowledged.
    pub ack: AckLevel,
    /// The shards of each life, in turn.
    pub shards: Vec<u16>,
    /// Connections that clients hold.
    pub clients: usize,
    /// Users.
    pub users: u64,
    /// Whether their ids are as long as they may be.
    pub has_long_users: bool,
    /// Times that each client does something.
    pub acts: u64,
    /// Ends of the process, by the count of things that happened.
    pub crashes: Vec<u64>,
    /// Whether it also ends soon after a segment is opened.
    pub ends_at_openings: bool,
    /// Whether power may be lost, not only the process.
    pub loses_power: bool,
    /// Whether a loss of power takes the latest transactions of SQL too.
    pub loses_sql: bool,
    /// How long applied segments are kept.
    pub retention: DurationMs,
    /// Segments that the journal may hold.
    pub segments: u64,
    /// Longest time of a disk command, in microseconds.
    pub disk_us: u64,
    /// Writes and preparations that find no space.
    pub one_in_full: u64,
    /// Writes that fail.
    pub one_in_write_error: u64,
    /// Syncs that fail.
    pub one_in_sync_error: u64,
    /// Commands that are interrupted, and writes that are cut short.
    pub one_in_partial: u64,
    /// Cuts of bytes.
    pub cut: Cut,
    /// Sends of which a part is taken.
    pub one_in_part_sent: u64,
    /// Sends that fail.
    pub one_in_send_error: u64,
    /// Times that a client closes, halfway or broken, instead of asking.
    pub one_in_client_close: u64,
    /// Longest pause of a shard, in milliseconds.
    pub pause_ms: u64,
    /// Hops that find the other shard's lane full.
    pub one_in_hop_refused: u64,
    /// Reads of users that fail.
    pub one_in_read_error: u64,
    /// Longest time of such a read, in milliseconds.
    pub read_ms: u64,
    /// Transactions that fail, and commits whose outcome is not told.
    pub one_in_sql_error: u64,
    /// Longest wait between two transactions, in milliseconds.
    pub sql_ms: u64,
    /// Records of a transaction.
    pub sql_records: u64,
    /// The wall clock.
    pub clock: Clock,
    /// Longest time that a client thinks, in milliseconds.
    pub think_ms: u64,
    /// `quiet_time`, in milliseconds.
    pub quiet_ms: u64,
    /// `max_per_day`.
    pub max_per_day: u32,
    /// Whether another catalog becomes current before each step of a shard.
    pub swaps_catalog: bool,
}

impl Config {
    /// Draws the configuration of a seed.
    pub fn draw(seed: u64) -> Config {
        let mut draw = Stream::new(seed, "config");
        let mut sometimes = |one_in: u64| if draw.one_in(3) { one_in } else { 0 };
        let faults = [
            sometimes(20),
            sometimes(60),
            sometimes(40),
            sometimes(10),
            sometimes(8),
            sometimes(100),
            sometimes(12),
            sometimes(20),
            sometimes(6),
            sometimes(5),
        ];
        let crash_count = draw.pick(&[0, 1, 1, 2, 3, 4]);
        let mut crashes: Vec<u64> = (0..crash_count).map(|_| draw.skewed(12_000)).collect();
        if draw.one_in(2) {
            // One soon after another finds a node that has just begun.
            let soon = crashes.first().map(|first| first + draw.skewed(1_000));
            crashes.extend(soon);
        }
        let loses_power = draw.one_in(2);
        // More users than a slice holds: some are evicted and read back.
        let is_crowded = draw.one_in(60);
        let is_short_of_disk = draw.one_in(4);
        let short_retention = DurationMs(draw.between(0, 3_000));
        let retention = if is_short_of_disk { short_retention } else { DurationMs(86_400_000) };
        Config {
            seed,
            ack: draw.pick(&[AckLevel::Written, AckLevel::Synced]),
            shards: (0..8)
                .map(|_| if is_crowded { 1 } else { draw.pick(&[1, 2, 2, 2, 3, 4]) })
                .collect(),
            clients: if is_crowded { 8 } else { usize::try_from(draw.between(1, 8)).expect("few") },
            users: if is_crowded { 30_000 } else { draw.pick(&[1, 3, 10, 40]) },
            has_long_users: is_crowded || draw.one_in(3),
            acts: if is_crowded { 600 } else { draw.between(8, 40) },
            crashes,
            ends_at_openings: draw.one_in(4),
            loses_power,
            // What SQL lost has to be in the journal still.
            loses_sql: loses_power && !is_short_of_disk && draw.one_in(2),
            retention,
            segments: if is_short_of_disk { draw.between(4, 8) } else { 64 },
            disk_us: draw.pick(&[100, 1_000, 5_000, 60_000]),
            one_in_full: faults[0],
            one_in_write_error: faults[1],
            one_in_sync_error: faults[2],
            one_in_partial: faults[3],
            cut: draw.pick(&[Cut::Whole, Cut::Tiny, Cut::Any, Cut::Any]),
            one_in_part_sent: faults[4],
            one_in_send_error: faults[5],
            one_in_client_close: faults[6],
            pause_ms: draw.pick(&[0, 5, 60, 3_000]),
            one_in_hop_refused: faults[7],
            one_in_read_error: faults[8],
            read_ms: draw.pick(&[1, 10, 80]),
            one_in_sql_error: faults[9],
            sql_ms: draw.pick(&[20, 200, 2_000, 20_000]),
            sql_records: draw.pick(&[1, 7, 100, 1_000]),
            clock: draw.pick(&[Clock::Steady, Clock::Seconds, Clock::Years]),
            think_ms: draw.pick(&[5, 300, 2_000, 8_000]),
            quiet_ms: draw.pick(&[0, 0, 700]),
            max_per_day: draw.pick(&[0, 0, 12]),
            swaps_catalog: draw.one_in(4),
        }
    }

    /// The appender's share.
    pub fn appender(&self) -> AppenderConfig {
        AppenderConfig {
            ack: self.ack,
            segment_bytes: SEGMENT_BYTES_MIN,
            budget_bytes: self.segments * SEGMENT_BYTES_MIN,
            retention: self.retention,
            ..AppenderConfig::default()
        }
    }
}

impl fmt::Display for Config {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One line, with the fields' own names.
        write!(out, "{self:?}")
    }
}
