//! What a seed of several nodes draws before anything happens.

use std::fmt;

use crate::random::Stream;

/// Something that befalls a node, Redis or SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A node is killed, and started again on its directory.
    NodeKilled,
    /// A node stands still.
    NodeFrozen,
    /// Redis is killed, and started again with all that it had.
    RedisKilled,
    /// Redis stands still.
    RedisFrozen,
    /// Redis is killed, and started again with what it had a while ago.
    RedisOld,
    /// Redis is killed, and started again with nothing.
    RedisEmpty,
    /// Everything in Redis is deleted.
    RedisFlushed,
    /// Redis may evict keys for a while, and does.
    RedisEvicts,
    /// A node's connections to Redis break, in the middle of anything.
    Cut,
    /// Nothing passes between a node and Redis for a while.
    Silence,
    /// A node can't connect to Redis for a while.
    Refused,
    /// SQL does not answer.
    SqlAway,
    /// The clock of Redis is set.
    RedisClock,
    /// The clock of a node is set.
    NodeClock,
}

impl Fault {
    const ALL: [Fault; 14] = [
        Fault::NodeKilled,
        Fault::NodeFrozen,
        Fault::RedisKilled,
        Fault::RedisFrozen,
        Fault::RedisOld,
        Fault::RedisEmpty,
        Fault::RedisFlushed,
        Fault::RedisEvicts,
        Fault::Cut,
        Fault::Silence,
        Fault::Refused,
        Fault::SqlAway,
        Fault::RedisClock,
        Fault::NodeClock,
    ];

    /// Whether Redis loses writes that it has acknowledged.
    pub fn is_loss(self) -> bool {
        matches!(
            self,
            Fault::RedisOld | Fault::RedisEmpty | Fault::RedisFlushed | Fault::RedisEvicts
        )
    }
}

/// One seed of so many is about late replies.
const LATE_EVERY: u64 = 12;

/// Everything that is drawn beforehand. `one_in_...`: in so many, 0 for never.
#[derive(Clone, Debug)]
pub struct Config {
    /// The seed.
    pub seed: u64,
    /// Nodes.
    pub nodes: usize,
    /// Shards of each node.
    pub shards: Vec<u16>,
    /// Whether records queue in lists of Redis.
    pub has_lists: bool,
    /// Whether Redis begins with nothing, so that its first epoch has to be begun.
    pub begins_empty: bool,
    /// Clients.
    pub clients: usize,
    /// Users.
    pub users: u64,
    /// Times that each client asks.
    pub acts: u64,
    /// Longest time that a client thinks, in milliseconds.
    pub think_ms: u64,
    /// Which faults there are.
    pub faults: Vec<Fault>,
    /// How many befall.
    pub fault_count: u64,
    /// Longest time between two of them, in milliseconds.
    pub fault_gap_ms: u64,
    /// Longest time that one lasts, in milliseconds.
    pub fault_ms: u64,
    /// Longest way between a node and Redis, in microseconds.
    pub redis_us: u64,
    /// Whether bytes come in pieces.
    pub is_split: bool,
    /// Longest time of a disk command, in microseconds.
    pub disk_us: u64,
    /// Longest wait between two transactions, in microseconds; a read takes a part of it.
    pub sql_us: u64,
    /// Transactions whose outcome is not told.
    pub one_in_untold: u64,
    /// Records of a transaction.
    pub sql_records: usize,
    /// Longest pause of a shard, in milliseconds.
    pub pause_ms: u64,
    /// Decisions that ask for the popup which a node may show from its own memory.
    pub one_in_local: u64,
}

impl Config {
    /// Draws the configuration of a seed.
    pub fn draw(seed: u64) -> Config {
        let mut draw = Stream::new(seed, "config of nodes");
        let nodes = draw.pick(&[2, 2, 3]);
        let has_lists = draw.one_in(3);
        let is_calm = draw.one_in(8);
        let faults: Vec<Fault> = Fault::ALL
            .into_iter()
            .filter(|fault| draw.one_in(3) && !is_calm && !(has_lists && fault.is_loss()))
            .collect();
        let fault_count = if faults.is_empty() { 0 } else { draw.between(1, 12) };
        let config = Config {
            seed,
            nodes,
            shards: (0..nodes).map(|_| draw.pick(&[1, 1, 2])).collect(),
            has_lists,
            begins_empty: draw.one_in(4),
            clients: usize::try_from(draw.between(2, 8)).expect("few"),
            users: draw.pick(&[1, 2, 4, 16]),
            acts: draw.between(20, 80),
            think_ms: draw.pick(&[20, 100, 400, 1_500]),
            faults,
            fault_count,
            fault_gap_ms: draw.pick(&[100, 1_000, 4_000]),
            fault_ms: draw.pick(&[30, 300, 1_500, 5_000]),
            redis_us: draw.pick(&[100, 1_000, 4_000, 9_000]),
            is_split: draw.one_in(2),
            disk_us: draw.pick(&[100, 2_000, 20_000]),
            sql_us: draw.pick(&[500, 5_000, 20_000]),
            one_in_untold: if draw.one_in(3) && !is_calm { 8 } else { 0 },
            sql_records: draw.pick(&[1, 10, 1_000]),
            pause_ms: if is_calm { 0 } else { draw.pick(&[0, 0, 5, 60]) },
            one_in_local: draw.pick(&[0, 2, 4]),
        };
        let config = if draw.one_in(4) { config.with_losses(&mut draw) } else { config };
        if seed.is_multiple_of(LATE_EVERY) { config.with_late_replies(&mut draw) } else { config }
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

    /// A run about losses of Redis: they befall nodes whose journals are far from being in SQL.
    fn with_losses(self, draw: &mut Stream) -> Config {
        let losses = [Fault::RedisOld, Fault::RedisEmpty, Fault::RedisFlushed, Fault::RedisEvicts];
        let others = [Fault::SqlAway, Fault::Cut, Fault::RedisFrozen, Fault::NodeFrozen];
        let mut faults = vec![draw.pick(&losses), draw.pick(&losses)];
        faults.extend(draw.one_in(3).then(|| draw.pick(&others)));
        Config {
            has_lists: false,
            begins_empty: false,
            users: draw.pick(&[2, 4, 8]),
            acts: 60,
            think_ms: draw.pick(&[300, 1_000, 2_000]),
            faults,
            fault_count: draw.between(2, 5),
            fault_gap_ms: 6_000,
            fault_ms: draw.pick(&[30, 300, 700]),
            sql_us: draw.pick(&[20_000, 100_000, 400_000]),
            sql_records: 1,
            ..self
        }
    }

    /// Whether Redis may lose writes.
    pub fn has_losses(&self) -> bool {
        self.faults.iter().any(|fault| fault.is_loss())
    }
}

impl fmt::Display for Config {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One line, with the fields' own names.
        write!(out, "{self:?}")
    }
}
