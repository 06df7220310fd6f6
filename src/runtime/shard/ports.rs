//! A driver's side of the lanes: inputs out of them, effects into them, and each waker woken at
//! most once a turn. What a full lane refuses comes back as an input, so nothing is lost unsaid.

use std::collections::VecDeque;
use std::sync::Arc;

use crossbeam::channel::Sender;

use crate::redis_status::ServerFound;
use crate::shard::mesh::{Mesh, ShardLanes};
use nudged_base::ids::{Sequence, ShardId};
use nudged_base::slab::{Handle, Slab};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_shard::control::{Control, ControlReply};
use nudged_shard::seam::{Effect, Input, ReadFailed, RedisStatusView, ShardReport, UserRead};

/// Commands of operators that one shard may be working on.
const CONTROLS_MAX: usize = 1_024;

/// The ports of one shard.
#[derive(Debug)]
pub struct Ports {
    shard: ShardId,
    mesh: Arc<Mesh>,
    applied_seen: Sequence,
    accepting_seen: bool,
    lack_changes_seen: u64,
    /// None before the first turn.
    status_seen: Option<RedisStatusView>,
    /// Newcomers were held when the listeners were looked at last.
    holding_seen: bool,
    returned: VecDeque<Input<'static>>,
    waiting: Slab<Sender<ControlReply>>,
    to_wake: Vec<bool>,
    wake_reader: bool,
}

impl Ports {
    /// The ports of `shard`.
    pub fn new(shard: ShardId, mesh: Arc<Mesh>) -> Ports {
        let to_wake = vec![false; mesh.shards.len()];
        Ports {
            shard,
            mesh,
            applied_seen: Sequence(0),
            accepting_seen: true,
            lack_changes_seen: 0,
            status_seen: None,
            holding_seen: false,
            returned: VecDeque::new(),
            waiting: Slab::new(CONTROLS_MAX),
            to_wake,
            wake_reader: false,
        }
    }

    /// The lanes towards this shard.
    pub fn lanes(&self) -> &ShardLanes {
        self.mesh.of(self.shard)
    }

    /// Whether what waits to be accepted at the end is somebody else's.
    pub(crate) fn are_queues_kept(&self) -> bool {
        self.mesh.are_queues_kept()
    }

    /// Whether newcomers are to wait in the listeners' queues. Their admission wakes the shard.
    pub(crate) fn are_newcomers_held(&mut self) -> bool {
        self.holding_seen = self.mesh.are_newcomers_held();
        self.holding_seen
    }

    /// Whether the next turn has nothing to take.
    pub fn is_idle(&self) -> bool {
        self.returned.is_empty()
            && self.lanes().is_empty()
            && !self.mesh.journal.has_ack(self.shard)
            && Some(self.mesh.redis_status.view()) == self.status_seen
            && self.mesh.are_newcomers_held() == self.holding_seen
    }

    /// Gives the shard what waits: first what makes room (acknowledgements, replies, reads), then
    /// what makes work. At most `budget` of each kind.
    pub fn drain(&mut self, budget: usize, mut step: impl FnMut(Input<'_>)) {
        for _ in 0..self.returned.len() {
            step(self.returned.pop_front().expect("counted"));
        }
        let mesh = Arc::clone(&self.mesh);
        let lanes = mesh.of(self.shard);
        for ack in std::iter::from_fn(|| mesh.journal.pop_ack(self.shard)).take(budget) {
            step(Input::Acked(ack));
        }
        for reply in std::iter::from_fn(|| lanes.replies.pop()).take(budget) {
            step(Input::HopReply(reply));
        }
        for read in std::iter::from_fn(|| lanes.reads.pop()).take(budget) {
            step(Input::UserRead(read));
        }
        for hop in std::iter::from_fn(|| lanes.hops.pop()).take(budget) {
            step(Input::Hop(hop));
        }
        for envelope in std::iter::from_fn(|| lanes.controls.pop()).take(budget) {
            // A full table drops the sender, which its waiter sees at once.
            if let Ok(handle) = self.waiting.insert(envelope.reply) {
                let ticket = handle.to_bits();
                step(Input::Control(Control { ticket, request: envelope.command }));
            }
        }
    }

    /// Tells the shard what journal and SQL have reached and which run of Redis is cleared, where
    /// that has changed: first in a turn, so that what follows rests on it.
    pub(crate) fn tell_watermarks(&mut self, mut step: impl FnMut(Input<'_>)) {
        let applied = self.mesh.journal.applied();
        let accepting = self.mesh.journal.is_accepting();
        if applied != self.applied_seen || accepting != self.accepting_seen {
            self.applied_seen = applied;
            self.accepting_seen = accepting;
            step(Input::Journal { accepting, applied });
        }
        let changes = self.mesh.journal.lack_changes();
        if changes != self.lack_changes_seen {
            self.lack_changes_seen = changes;
            step(Input::Disk(self.mesh.journal.lack()));
        }
        let view = self.mesh.redis_status.view();
        if Some(view) != self.status_seen {
            self.status_seen = Some(view);
            step(Input::RedisStatus(view));
        }
    }

    /// Puts an effect into its lane.
    pub fn deliver(&mut self, effect: Effect) {
        match effect {
            Effect::Hop { to, hop } => match self.mesh.of(to).hops.push(hop) {
                Ok(()) => self.to_wake[to.index()] = true,
                Err(hop) => self.returned.push_back(Input::HopRefused(hop)),
            },
            Effect::HopReply { to, reply } => {
                let pushed = self.mesh.of(to).replies.push(reply);
                assert!(pushed.is_ok(), "the coordinator bounds its hops by this lane");
                self.to_wake[to.index()] = true;
            }
            Effect::Append(batch) => {
                let pushed = self.mesh.journal.push(batch);
                assert!(pushed.is_ok(), "the shard bounds its batches by this lane");
            }
            Effect::ReadUser(request) => match self.mesh.reads.push(request) {
                Ok(()) => self.wake_reader = true,
                Err(request) => self.returned.push_back(Input::UserRead(UserRead {
                    ticket: request.ticket,
                    state: Err(ReadFailed),
                })),
            },
            Effect::Report(report) => self.report(report),
            Effect::ControlReply(reply) => {
                if let Some(sender) = self.waiting.remove(Handle::from_bits(reply.ticket)) {
                    // Who no longer waits needs no answer.
                    let _ = sender.try_send(reply);
                }
            }
            other => unreachable!("the driver carries out {other:?} itself"),
        }
    }

    fn report(&self, report: ShardReport) {
        let redis_status = &self.mesh.redis_status;
        match report {
            ShardReport::Lost(partition) => {
                redis_status.report_lost(partition);
            }
            ShardReport::Run { run, evicts, syncs_always } => {
                let found = ServerFound::Server { run, evicts, syncs_always };
                redis_status.report_found(self.shard, found);
            }
            ShardReport::Incompatible(unfit) => {
                redis_status.report_found(self.shard, ServerFound::Incompatible(unfit))
            }
            ShardReport::Denied => redis_status.report_denied(),
            ShardReport::Compared { run } => redis_status.report_compared(self.shard, run),
            ShardReport::Journal { acked, unmerged } => {
                redis_status.report_journal(self.shard, acked, unmerged);
            }
            ShardReport::Promised { bytes } => self.mesh.journal.set_promised(self.shard, bytes),
        }
    }

    /// Wakes every waker for whom something was delivered since the last call.
    pub(crate) fn wake_all(&mut self, counters: &ShardCounters) {
        for (index, wanted) in self.to_wake.iter_mut().enumerate() {
            if std::mem::take(wanted) && self.mesh.shards[index].waker.wake() {
                counters.wakes.add(1);
            }
        }
        if std::mem::take(&mut self.wake_reader) && self.mesh.reader.wake() {
            counters.wakes.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::ids::Partition;
    use nudged_redis::link::Incompatible;
    use nudged_shard::seam::Learned;

    #[test]
    fn news_of_the_board_are_told_once_and_keeps_the_shard_from_sleeping_until_then() {
        let mesh = Arc::new(Mesh::new(1).unwrap());
        let mut ports = Ports::new(ShardId(0), Arc::clone(&mesh));
        let told = |ports: &mut Ports| {
            let mut told = Vec::new();
            ports.tell_watermarks(|input| {
                if let Input::RedisStatus(view) = input {
                    told.push((view.cleared_run, view.takes_traffic));
                }
            });
            told
        };
        told(&mut ports);
        assert!(ports.is_idle());
        mesh.redis_status.start();
        assert_eq!(told(&mut ports), [(0, true)]);
        mesh.redis_status.clear_run(7);
        assert!(!ports.is_idle());
        assert_eq!((told(&mut ports), told(&mut ports)), (vec![(7, true)], vec![]));
        assert!(ports.is_idle());
        mesh.redis_status.learn(Learned { is_evicting: true, ..Learned::default() });
        assert!(!ports.is_idle());
        assert_eq!((told(&mut ports), told(&mut ports)), (vec![(7, true)], vec![]));
    }

    #[test]
    fn an_admission_keeps_the_shard_from_sleeping_until_it_is_seen() {
        let mesh = Arc::new(Mesh::new(1).unwrap());
        mesh.hold_newcomers();
        let mut ports = Ports::new(ShardId(0), Arc::clone(&mesh));
        ports.tell_watermarks(|_| {});
        assert!(ports.are_newcomers_held() && ports.is_idle());
        mesh.admit_newcomers();
        assert!(!ports.is_idle());
        assert!(!ports.are_newcomers_held() && ports.is_idle());
    }

    #[test]
    fn reports_reach_the_board() {
        let mesh = Arc::new(Mesh::new(2).unwrap());
        let mut ports = Ports::new(ShardId(1), Arc::clone(&mesh));
        let (acked, unmerged) = (Sequence(9), Some(Sequence(4)));
        let run = ShardReport::Run { run: 5, evicts: false, syncs_always: Some(true) };
        ports.deliver(Effect::Report(run));
        let found = ServerFound::Server { run: 5, evicts: false, syncs_always: Some(true) };
        assert_eq!(mesh.redis_status.found(ShardId(1)), found);
        ports.deliver(Effect::Report(ShardReport::Incompatible(Incompatible::NotLetIn)));
        assert_eq!(mesh.redis_status.unfit(), Some(Incompatible::NotLetIn));
        ports.deliver(Effect::Report(ShardReport::Denied));
        assert_eq!(mesh.redis_status.denials(), 1);
        ports.deliver(Effect::Report(ShardReport::Lost(Partition(17))));
        ports.deliver(Effect::Report(ShardReport::Compared { run: 5 }));
        ports.deliver(Effect::Report(ShardReport::Journal { acked, unmerged }));
        assert_eq!(mesh.redis_status.lost().collect::<Vec<_>>(), [Partition(17)]);
        assert_eq!(mesh.redis_status.compared_run(ShardId(1)), 5);
        assert_eq!(mesh.redis_status.journal_of(ShardId(1)), (acked, unmerged));
        ports.deliver(Effect::Report(ShardReport::Promised { bytes: 700 }));
        assert_eq!(mesh.journal.promised_bytes(), 700);
    }
}
