//! When this node may acknowledge a rebuild: all that its shards were granted before it began is in
//! SQL. Knows what the shards, the journal and its writer have reached; must not know Redis.
//!
//! ```text
//! Settling  what was executed before has been answered, or its connection is given up: twice the
//!           deadline of a command
//! Turning   every shard has ended a turn that began after that: the answers are taken, and late
//!           ones withdrawn
//! Acking    every record that was handed to the journal until then is in its files
//! Applying  every record in the files until then is in SQL
//! Draining  with `queue = "redis"`: what was read from the lists until then is in SQL, too
//! ```
//!
//! Records that wait for Redis to be merged hold the writer's position, and behind them may be
//! shows that were granted before the loss. The shards journal the waiting ones again, so that
//! the position can pass.

use nudged_base::ids::Sequence;
use nudged_base::time::MonoNs;

/// What this node has reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeProgress {
    /// Turns that each shard has ended.
    pub turns: Vec<u64>,
    /// Batches that each shard has handed to the journal.
    pub pushed: Vec<u64>,
    /// Batches of each shard that the journal has acknowledged.
    pub acknowledged: Vec<u64>,
    /// Everything up to here is in the files.
    pub written: Sequence,
    /// Everything up to here is in SQL.
    pub applied: Sequence,
    /// Applying has ended for good: waiting for it would be for ever.
    pub is_halted: bool,
    /// Times that the lists were read and what was in them applied; `None` without lists.
    pub drained: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Settling { until: MonoNs },
    Turning { turns: Vec<u64> },
    Acking { pushed: Vec<u64> },
    Applying { through: Sequence },
    Draining { drained: u64 },
    Ready,
}

/// The way to the acknowledgement.
#[derive(Debug)]
pub struct Barrier {
    stage: Stage,
}

impl Barrier {
    /// Begins when this node learns of the rebuild. `deadline_ms` is that of a command.
    pub fn begin(now: MonoNs, deadline_ms: u64) -> Barrier {
        Barrier { stage: Stage::Settling { until: now.plus_ms(deadline_ms.saturating_mul(2)) } }
    }

    /// Goes as far as it can; whether it may be acknowledged. May allocate.
    pub fn step(&mut self, now: MonoNs, progress: &NodeProgress) -> bool {
        while let Some(next) = self.next(now, progress) {
            self.stage = next;
        }
        self.stage == Stage::Ready
    }

    fn next(&self, now: MonoNs, progress: &NodeProgress) -> Option<Stage> {
        match &self.stage {
            Stage::Settling { until } => {
                // One turn may have begun before: it has to be the next but one that has ended.
                let turns = || progress.turns.iter().map(|turns| turns + 2).collect();
                (now >= *until).then(|| Stage::Turning { turns: turns() })
            }
            Stage::Turning { turns } => has_reached(&progress.turns, turns)
                .then(|| Stage::Acking { pushed: progress.pushed.clone() }),
            Stage::Acking { pushed } => has_reached(&progress.acknowledged, pushed)
                .then_some(Stage::Applying { through: progress.written }),
            Stage::Applying { through } => {
                let is_applied = progress.applied.0 >= through.0;
                (is_applied || progress.is_halted).then_some(match progress.drained {
                    // The reading that is under way may have begun before.
                    Some(drained) => Stage::Draining { drained: drained + 2 },
                    None => Stage::Ready,
                })
            }
            Stage::Draining { drained } => {
                (progress.drained.is_none_or(|done| done >= *drained)).then_some(Stage::Ready)
            }
            Stage::Ready => None,
        }
    }
}

fn has_reached(now: &[u64], aims: &[u64]) -> bool {
    now.len() == aims.len() && now.iter().zip(aims).all(|(now, aim)| now >= aim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE_MS: u64 = 20;

    fn ms(ms: u64) -> MonoNs {
        MonoNs(ms * 1_000_000)
    }

    fn progress() -> NodeProgress {
        NodeProgress {
            turns: vec![10, 20],
            pushed: vec![3, 4],
            acknowledged: vec![3, 4],
            written: Sequence(7),
            applied: Sequence(7),
            ..NodeProgress::default()
        }
    }

    #[test]
    fn each_stage_is_waited_for() {
        let mut barrier = Barrier::begin(ms(0), DEADLINE_MS);
        let mut now = progress();
        assert!(!barrier.step(ms(39), &now));
        assert!(!barrier.step(ms(40), &now), "the shards have not turned");
        now.turns = vec![12, 21];
        assert!(!barrier.step(ms(41), &now), "one shard has not turned");
        now.turns = vec![12, 22];
        now.pushed = vec![4, 4];
        assert!(!barrier.step(ms(42), &now), "a record is on its way to the journal");
        now.pushed = vec![9, 9];
        now.acknowledged = vec![4, 4];
        now.written = Sequence(8);
        assert!(!barrier.step(ms(43), &now), "a record is not in SQL");
        now.written = Sequence(20);
        now.applied = Sequence(8);
        assert!(barrier.step(ms(44), &now), "later records are of no account");
    }

    #[test]
    fn records_behind_one_that_waits_for_redis_are_waited_for() {
        let mut barrier = Barrier::begin(ms(0), DEADLINE_MS);
        let mut now = progress();
        now.written = Sequence(9);
        assert!(!barrier.step(ms(40), &now));
        now.turns = vec![12, 22];
        assert!(!barrier.step(ms(41), &now), "shows may be among them");
        now.applied = Sequence(9);
        assert!(barrier.step(ms(42), &now), "it was journaled again, behind them");
    }

    #[test]
    fn a_halted_writer_holds_nobody_up() {
        let mut barrier = Barrier::begin(ms(0), DEADLINE_MS);
        let mut now = progress();
        now.written = Sequence(9);
        assert!(!barrier.step(ms(40), &now));
        now.turns = vec![12, 22];
        assert!(!barrier.step(ms(41), &now));
        now.is_halted = true;
        assert!(barrier.step(ms(42), &now));
    }

    #[test]
    fn lists_are_drained_by_a_reading_that_began_after() {
        let mut barrier = Barrier::begin(ms(0), DEADLINE_MS);
        let mut now = progress();
        now.drained = Some(5);
        assert!(!barrier.step(ms(40), &now));
        now.turns = vec![12, 22];
        assert!(!barrier.step(ms(41), &now));
        now.drained = Some(6);
        assert!(!barrier.step(ms(42), &now));
        now.drained = Some(7);
        assert!(barrier.step(ms(43), &now));
    }
}
