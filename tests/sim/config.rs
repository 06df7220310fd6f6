//! What a seed draws before anything happens: which faults are on and how often, sizes, settings.
//! Each seed has some faults and lacks others (a swarm), so that no fault hides behind another.
//!
//! A node alone has the faults of disks, clients and power; nodes that share Redis and SQL have
//! those of what is between them, and some of them the others too.

use nudged_base::limits::SEGMENT_BYTES_MIN;
use nudged_base::time::DurationMs;
use nudged_journal::appender::{AckLevel, AppenderConfig};

use super::faults::Fault;
use super::random::Stream;

/// Which configurations are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One node that decides by itself.
    One,
    /// Several nodes with one Redis.
    Nodes,
}

/// How bytes are cut on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// All that is there at once.
    #[default]
    Whole,
    /// A few bytes each.
    Tiny,
    /// Any size.
    Any,
}

/// How the wall clock behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// Right.
    #[default]
    Steady,
    /// Set by up to a minute now and then.
    Seconds,
    /// Set by up to ten years now and then.
    Years,
}

/// More segments than a run fills.
const SEGMENTS: u64 = 64;
/// Longer than a run.
const DAY: DurationMs = DurationMs(86_400_000);
/// Users of a run that forgets some of them.
const USERS_FORGOTTEN: u64 = 1_000;
/// One seed of so many is about late replies.
const LATE_EVERY: u64 = 12;

/// Everything that is drawn beforehand. `one_in_...`: in so many, 0 for never.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub seed: u64,
    pub nodes: usize,
    /// Whether Redis decides between them.
    pub has_redis: bool,
    /// The shards of each life of each node, in turn.
    pub shards: Vec<u16>,

    pub clients: usize,
    /// Questions that a client has under way at most.
    pub pipeline_max: usize,
    pub users: u64,
    /// Whether their ids are as long as they may be.
    pub has_long_users: bool,
    /// Times that each client does something.
    pub acts: u64,
    /// Longest time that a client thinks, in milliseconds.
    pub think_ms: u64,
    /// How long a client waits for an answer, in milliseconds; 0 for ever.
    pub patience_ms: u64,
    /// Times that a client goes to another node.
    pub one_in_move: u64,
    /// Decisions that ask for the popup which a node may show from its own memory.
    pub one_in_local: u64,
    /// Of the others, decisions that ask for the one alone in its placement.
    pub one_in_solo: u64,

    /// Longest way between a client and a node, in microseconds.
    pub network_us: u64,
    pub cut: Cut,
    /// Sends of which a part is taken.
    pub one_in_part_sent: u64,
    pub one_in_send_error: u64,
    /// Times that a client closes, halfway or broken, instead of asking.
    pub one_in_client_close: u64,

    /// Longest pause of a shard, in milliseconds.
    pub pause_ms: u64,
    /// Hops that find the other shard's lane full.
    pub one_in_hop_refused: u64,
    /// Whether users are forgotten whom nothing binds.
    pub forgets: bool,
    /// Whether another catalog becomes current before each step of a shard.
    pub swaps_catalog: bool,
    /// `quiet_time`, in milliseconds.
    pub quiet_ms: u64,
    pub max_per_day: u32,
    pub clock: Clock,

    /// When records are acknowledged.
    pub ack: AckLevel,
    /// How long applied segments are kept.
    pub retention: DurationMs,
    /// Segments that the journal may hold.
    pub segments: u64,
    /// Longest time of a disk command, in microseconds.
    pub disk_us: u64,
    /// Writes and preparations that find no space.
    pub one_in_full: u64,
    pub one_in_write_error: u64,
    pub one_in_sync_error: u64,
    /// Commands that are interrupted, and writes that are cut short.
    pub one_in_partial: u64,

    /// Longest wait between two transactions, in microseconds.
    pub sql_us: u64,
    /// Longest time of a read, in microseconds.
    pub read_us: u64,
    pub sql_records: usize,
    pub one_in_sql_error: u64,
    /// Transactions whose outcome is not told.
    pub one_in_untold: u64,
    pub one_in_read_error: u64,

    /// Ends of the process, by the count of things that happened.
    pub crashes: Vec<u64>,
    /// Whether it also ends soon after a segment is opened.
    pub ends_at_openings: bool,
    /// Whether power may be lost, not only the process.
    pub loses_power: bool,
    /// Whether a loss of power takes the latest transactions of SQL too.
    pub loses_sql: bool,

    /// Whether records queue in lists of Redis.
    pub has_lists: bool,
    /// Whether Redis begins with nothing, so that its first epoch has to be begun.
    pub begins_empty: bool,
    /// Longest way between a node and Redis, in microseconds.
    pub redis_us: u64,
    /// Whether bytes come in pieces there.
    pub is_split: bool,
    pub faults: Vec<Fault>,
    /// How many are injected.
    pub fault_count: u64,
    /// Longest time between two of them, in milliseconds.
    pub fault_gap_ms: u64,
    /// Longest time that one lasts, in milliseconds.
    pub fault_ms: u64,
}

impl Config {
    pub fn draw(kind: Kind, seed: u64) -> Config {
        let config = match kind {
            Kind::One => Config::of_one(seed),
            Kind::Nodes => Config::of_nodes(seed),
        };
        config.with_forgetting()
    }

    /// Some runs forget users. Not where records are in lists or Redis may lose writes: what became
    /// of the change is then not to be told from outside.
    fn with_forgetting(self) -> Config {
        let mut draw = Stream::new(self.seed, "forgetting of users");
        let is_about_more =
            self.has_redis && self.seed.is_multiple_of(LATE_EVERY) || self.users > USERS_FORGOTTEN;
        if self.has_lists || self.has_losses() || is_about_more || !draw.one_in(3) {
            return self;
        }
        // Mostly the popup that binds nobody for long; visits far enough apart.
        Config {
            forgets: true,
            one_in_solo: draw.pick(&[1, 1, 2]),
            one_in_local: 0,
            think_ms: draw.pick(&[8_000, 20_000]),
            acts: self.acts.max(20),
            sql_us: self.sql_us.min(200_000),
            ..self
        }
    }

    /// The same with the day's limit at one show: whether anything of it binds.
    pub fn strictest(&self) -> Config {
        Config { max_per_day: self.max_per_day.min(1), ..self.clone() }
    }

    fn of_one(seed: u64) -> Config {
        let mut draw = Stream::new(seed, "config of one node");
        // More users than a slice holds: some are evicted and read back.
        let is_crowded = draw.one_in(60);
        let is_short_of_disk = draw.one_in(4);
        let loses_power = draw.one_in(2);
        let one_in_sql_error = draw.sometimes(5);
        let shards =
            |draw: &mut Stream| if is_crowded { 1 } else { draw.pick(&[1, 2, 2, 2, 3, 4]) };
        Config {
            seed,
            nodes: 1,
            shards: (0..8).map(|_| shards(&mut draw)).collect(),
            clients: if is_crowded { 8 } else { usize::try_from(draw.between(1, 8)).expect("few") },
            // More than a shard takes.
            pipeline_max: 24,
            users: if is_crowded { 30_000 } else { draw.pick(&[1, 3, 10, 40]) },
            has_long_users: is_crowded || draw.one_in(3),
            acts: if is_crowded { 600 } else { draw.between(8, 40) },
            think_ms: draw.pick(&[5, 300, 2_000, 8_000]),
            one_in_local: draw.pick(&[0, 8]),
            one_in_solo: 8,
            network_us: 3_000,
            cut: draw.pick(&[Cut::Whole, Cut::Tiny, Cut::Any, Cut::Any]),
            one_in_part_sent: draw.sometimes(8),
            one_in_send_error: draw.sometimes(100),
            one_in_client_close: draw.sometimes(12),
            pause_ms: draw.pick(&[0, 5, 60, 3_000]),
            one_in_hop_refused: draw.sometimes(20),
            swaps_catalog: draw.one_in(4),
            quiet_ms: draw.pick(&[0, 0, 700]),
            max_per_day: draw.pick(&[0, 0, 12]),
            clock: draw.pick(&[Clock::Steady, Clock::Seconds, Clock::Years]),
            ack: draw.pick(&[AckLevel::Written, AckLevel::Synced]),
            retention: if is_short_of_disk { DurationMs(draw.between(0, 3_000)) } else { DAY },
            segments: if is_short_of_disk { draw.between(4, 8) } else { SEGMENTS },
            disk_us: draw.pick(&[100, 1_000, 5_000, 60_000]),
            one_in_full: draw.sometimes(20),
            one_in_write_error: draw.sometimes(60),
            one_in_sync_error: draw.sometimes(40),
            one_in_partial: draw.sometimes(10),
            sql_us: draw.pick(&[20_000, 200_000, 2_000_000, 20_000_000]),
            read_us: draw.pick(&[1_000, 10_000, 80_000]),
            sql_records: draw.pick(&[1, 7, 100, 1_000]),
            one_in_sql_error,
            one_in_untold: one_in_sql_error,
            one_in_read_error: draw.sometimes(6),
            crashes: draw_crashes(&mut draw),
            ends_at_openings: draw.one_in(4),
            loses_power,
            // What SQL lost has to be in the journal still.
            loses_sql: loses_power && !is_short_of_disk && draw.one_in(2),
            ..Config::default()
        }
    }

    fn of_nodes(seed: u64) -> Config {
        let mut draw = Stream::new(seed, "config of nodes");
        let nodes = draw.pick(&[2, 2, 3]);
        let has_lists = draw.one_in(3);
        let is_calm = draw.one_in(8);
        let faults: Vec<Fault> = Fault::ALL
            .into_iter()
            .filter(|fault| draw.one_in(3) && !is_calm && !(has_lists && fault.is_loss()))
            .collect();
        let sql_us = draw.pick(&[500, 5_000, 20_000]);
        let config = Config {
            seed,
            nodes,
            has_redis: true,
            shards: (0..8).map(|_| draw.pick(&[1, 1, 2])).collect(),
            has_lists,
            begins_empty: draw.one_in(4),
            clients: usize::try_from(draw.between(2, 8)).expect("few"),
            pipeline_max: 1,
            network_us: 400,
            retention: DAY,
            segments: SEGMENTS,
            users: draw.pick(&[1, 2, 4, 16]),
            acts: draw.between(20, 80),
            think_ms: draw.pick(&[20, 100, 400, 1_500]),
            patience_ms: 4_000,
            one_in_move: 4,
            one_in_local: draw.pick(&[0, 2, 4]),
            one_in_solo: 3,
            fault_count: if faults.is_empty() { 0 } else { draw.between(1, 12) },
            faults,
            fault_gap_ms: draw.pick(&[100, 1_000, 4_000]),
            fault_ms: draw.pick(&[30, 300, 1_500, 5_000]),
            redis_us: draw.pick(&[100, 1_000, 4_000, 9_000]),
            is_split: draw.one_in(2),
            disk_us: draw.pick(&[100, 2_000, 20_000]),
            sql_us,
            // Longer ones are answered degraded anyway.
            read_us: sql_us.min(20_000),
            one_in_sql_error: if is_calm { 0 } else { draw.sometimes(20) },
            one_in_untold: if is_calm { 0 } else { draw.sometimes(8) },
            sql_records: draw.pick(&[1, 10, 1_000]),
            pause_ms: if is_calm { 0 } else { draw.pick(&[0, 0, 5, 60]) },
            swaps_catalog: draw.one_in(4),
            ..Config::default()
        };
        let config = match draw.below(8) {
            0 | 1 => config.with_losses(&mut draw),
            2 => config.with_deferred(&mut draw),
            _ => config,
        };
        let is_about_late_replies = seed.is_multiple_of(LATE_EVERY);
        match is_about_late_replies {
            true => config.with_late_replies(&mut draw),
            false if is_calm || config.has_losses() => config,
            false => config.with_own_trouble(),
        }
    }

    /// The disks and clients of nodes fail, too, in some runs. Not where Redis may lose writes: a
    /// journal that is late is then not waited for.
    fn with_own_trouble(self) -> Config {
        let mut draw = Stream::new(self.seed, "disks and clients of nodes");
        if !draw.one_in(3) {
            return self;
        }
        Config {
            cut: draw.pick(&[Cut::Whole, Cut::Tiny, Cut::Any]),
            one_in_part_sent: draw.sometimes(8),
            one_in_send_error: draw.sometimes(100),
            one_in_client_close: draw.sometimes(12),
            ack: draw.pick(&[AckLevel::Written, AckLevel::Synced]),
            one_in_full: draw.sometimes(20),
            one_in_write_error: draw.sometimes(60),
            one_in_sync_error: draw.sometimes(40),
            one_in_partial: draw.sometimes(10),
            loses_power: draw.one_in(2),
            ..self
        }
    }

    /// A run about replies that come late or never: nothing else is wrong, so that a show may not
    /// stand that nobody saw.
    fn with_late_replies(self, draw: &mut Stream) -> Config {
        Config {
            has_lists: false,
            begins_empty: false,
            clients: 6,
            users: 64,
            acts: 50,
            think_ms: 4_000,
            faults: vec![Fault::RedisFrozen, Fault::RedisFrozen, Fault::Silence],
            fault_count: 16,
            fault_gap_ms: 600,
            fault_ms: draw.pick(&[100, 1_500]),
            ..self
        }
    }

    /// A run about losses of Redis: they hit nodes whose journals are far from being in SQL.
    fn with_losses(self, draw: &mut Stream) -> Config {
        let losses = [Fault::RedisOld, Fault::RedisEmpty, Fault::RedisFlushed, Fault::RedisEvicts];
        let others = [Fault::SqlAway, Fault::Cut, Fault::RedisFrozen, Fault::NodeFrozen];
        let mut faults = vec![draw.pick(&losses), draw.pick(&losses)];
        faults.extend(draw.one_in(3).then(|| draw.pick(&others)));
        let sql_us = draw.pick(&[20_000, 100_000, 400_000]);
        let (users, think_ms) = (draw.pick(&[2, 4, 8]), draw.pick(&[300, 1_000, 2_000]));
        // Redis is filled for long enough that users are decided on meanwhile.
        let is_long = Stream::new(self.seed, "long fills").one_in(3);
        let (users, think_ms) = if is_long { (48, 300) } else { (users, think_ms) };
        Config {
            has_lists: false,
            begins_empty: false,
            users,
            acts: 60,
            think_ms,
            faults,
            fault_count: draw.between(2, 5),
            fault_gap_ms: 6_000,
            fault_ms: draw.pick(&[30, 300, 700]),
            sql_us,
            read_us: sql_us.min(20_000),
            sql_records: 1,
            ..self
        }
    }

    /// A run about shows that nodes decide from their own memory while they can't reach Redis:
    /// nodes are killed before those are merged, and SQL follows at once.
    fn with_deferred(self, draw: &mut Stream) -> Config {
        let away = [Fault::RedisKilled, Fault::RedisFrozen, Fault::Refused, Fault::Silence];
        Config {
            users: draw.pick(&[2, 4, 16]),
            acts: 80,
            think_ms: draw.pick(&[100, 400]),
            one_in_local: 2,
            faults: vec![draw.pick(&away), draw.pick(&away), Fault::NodeKilled],
            fault_count: 16,
            fault_gap_ms: draw.pick(&[300, 1_000]),
            fault_ms: draw.pick(&[1_500, 5_000]),
            sql_us: 500,
            ..self
        }
    }

    pub fn has_losses(&self) -> bool {
        self.faults.iter().any(|fault| fault.is_loss())
    }

    /// Whether a journal may refuse or delay records.
    pub fn has_disk_faults(&self) -> bool {
        self.one_in_full + self.one_in_write_error + self.one_in_sync_error > 0
    }

    pub fn appender(&self) -> AppenderConfig {
        let budget_bytes = self.segments * SEGMENT_BYTES_MIN;
        AppenderConfig {
            ack: self.ack,
            segment_bytes: SEGMENT_BYTES_MIN,
            budget_bytes,
            unapplied_bytes_max: match self.has_redis {
                true => budget_bytes - 2 * SEGMENT_BYTES_MIN,
                false => AppenderConfig::default().unapplied_bytes_max,
            },
            retention: self.retention,
        }
    }
}

fn draw_crashes(draw: &mut Stream) -> Vec<u64> {
    let count = draw.pick(&[0, 1, 1, 2, 3, 4]);
    let mut crashes: Vec<u64> = (0..count).map(|_| draw.skewed(12_000)).collect();
    if draw.one_in(2) {
        // One soon after another finds a node that has just begun.
        let soon = crashes.first().map(|first| first + draw.skewed(1_000));
        crashes.extend(soon);
    }
    // The next one is the last.
    crashes.sort_unstable_by_key(|at| std::cmp::Reverse(*at));
    crashes
}
