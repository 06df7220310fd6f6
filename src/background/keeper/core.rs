//! What a node does about Redis as a whole: one round at a time, from what was just read there, in
//! SQL and of this node. Nothing is remembered of an action that was decided on: the next round
//! reads whether it was carried out, so a lost reply, a lost connection and a killed process are
//! all the same. The argument why nobody is shown twice stands in the module above.
//!
//! ```text
//! vanished  users may vanish -> marked (v) in every partition -> no more -> begun anew
//! run       new -> shards compared, losses fenced -> said -> all have said, or 3 s -> cleared
//! rebuild   lost -> begun, sealed (phase b) -> every journal is in SQL -> filling (phase f)
//!           -> every user of SQL is in Redis -> open (no phase)
//! ```

use std::collections::BTreeSet;

use super::barrier::{Barrier, NodeProgress};
use super::partition_table::{
    EvictionState, PartitionMeta, PartitionStatus, PartitionTable, Vanishing,
};
use super::peers::{Heartbeat, Peers};
use nudged_base::ids::{NodeId, Partition};
use nudged_base::limits::{COMPARE_WAIT_MS, KEEPER_BUSY_MS, KEEPER_IDLE_MS, KEEPER_METAS_MS};
use nudged_base::time::{MonoNs, WallMs};
use nudged_redis::command::PartitionPhase;

/// Says that a new epoch was begun in all partitions that were to get it, in a run of Redis.
/// Nodes acknowledge a sealed epoch, never one that may still be being begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedEpoch {
    /// The new epoch.
    pub epoch: u32,
    /// The run in which it was begun.
    pub run: u64,
}

/// Who leads a rebuild. Only for thrift: two that lead at once do the same twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lead {
    /// Nobody.
    #[default]
    Free,
    /// This process.
    Own,
    /// Another one.
    Other,
}

/// How far this process is with filling Redis from SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filling {
    /// It is not.
    Idle,
    /// Not all users are through.
    Running,
    /// All users are through.
    Done,
}

/// What a round has read in Redis.
#[derive(Clone, Debug, Default)]
pub struct RedisSigns {
    /// The run of Redis that answered all of this.
    pub run: u64,
    /// Its TIME.
    pub redis_now: WallMs,
    /// What it says of users that vanish, read before `metas`.
    pub eviction: EvictionState,
    /// Signs of life in Redis.
    pub heartbeats: Vec<Heartbeat>,
    /// The metas of all partitions, where [`Keeper::wants_metas`].
    pub metas: Option<Vec<PartitionMeta>>,
    /// Nodes that have said that they compared this run.
    pub compared: BTreeSet<NodeId>,
    /// Whether a node has cleared this run.
    pub is_cleared: bool,
    /// The latest seal.
    pub seal: Option<SealedEpoch>,
    /// Nodes that have acknowledged it.
    pub acks: BTreeSet<NodeId>,
    /// Who leads.
    pub lead: Lead,
}

/// What a round has read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Now, before Redis was asked.
    pub now: MonoNs,
    /// Redis.
    pub signs: &'a RedisSigns,
    /// Nodes that SQL has seen lately; empty where it was not asked.
    pub sql_nodes: &'a [NodeId],
    /// Of this process.
    pub filling: Filling,
    /// The run that every shard of this node has compared with what it had seen.
    pub own_compared: Option<u64>,
    /// The run that this node's shards may work with; `None` where they never could with any.
    pub own_cleared: Option<u64>,
    /// Partitions that shards of this node say have lost writes; read before `metas`.
    pub own_lost: &'a [Partition],
    /// What this node has reached.
    pub progress: &'a NodeProgress,
}

/// What is to be done, in this order. Each is made so that carrying it out twice, late, or beside
/// another node is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeeperAction {
    /// Nobody decides by these partitions any more, if they still have this epoch.
    Fence(Vec<(Partition, u32)>),
    /// From now on a user who is missing in these partitions proves nothing, where they still have
    /// these epochs.
    Doubt(Vec<(Partition, u32, Vanishing)>),
    /// What this node's shards have reported of these partitions is known by now, and cleared.
    ClearLosses(Vec<Partition>),
    /// This node has compared the run.
    SayCompared {
        /// The run.
        run: u64,
        /// Whether it has also cleared it.
        is_cleared: bool,
    },
    /// This node's shards may work with the run.
    Clear {
        /// The run.
        run: u64,
    },
    /// Take the lead if nobody has it.
    TakeLead,
    /// Keep the lead.
    KeepLead,
    /// Let others lead.
    LeaveLead,
    /// Begin a new epoch, from SQL and at least this, in these partitions, where the epoch is still
    /// the one that stands beside it; then seal it.
    Begin {
        /// The new epoch is not below this.
        at_least: u32,
        /// The run that the seal is of.
        run: u64,
        /// Keys that it had evicted before.
        evicted: u64,
        /// Why users go on vanishing.
        vanishing: Option<Vanishing>,
        /// The partitions with the epochs that they have.
        partitions: Vec<(Partition, Option<u32>)>,
    },
    /// All that this node was granted before the sealed epoch is in SQL: say so.
    AckDrained(SealedEpoch),
    /// Go from one phase to the next, where epoch and phase are still these.
    Advance {
        /// The phase that is over; the next one follows from it.
        from: PartitionPhase,
        /// The partitions with their epochs.
        partitions: Vec<(Partition, u32)>,
    },
    /// Begin to fill these partitions from SQL.
    Fill(Vec<Partition>),
    /// Fill some more users.
    FillOn,
    /// Forget what was filled.
    FillStop,
}

/// How a rebuild stands, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RebuildStatus {
    /// Partitions that are not open.
    pub partitions: usize,
    /// The earliest phase of any of them: 1 lost, 2 barrier, 3 filling.
    pub phase: u8,
    /// When the first of them was seen not to be open.
    pub since: MonoNs,
}

/// One node's keeper.
#[derive(Debug)]
pub struct Keeper {
    peers: Peers,
    table: PartitionTable,
    deadline_ms: u64,
    /// The run of the last round, with the moment at which it was first seen.
    run: Option<(u64, MonoNs)>,
    /// The run whose metas the table holds.
    table_run: Option<u64>,
    metas_due: MonoNs,
    /// As the table's metas were read.
    eviction: EvictionState,
    barrier: Option<(SealedEpoch, Barrier)>,
    /// What this process fills from SQL.
    pass: Option<Vec<(Partition, u32)>>,
    rebuild_since: Option<MonoNs>,
    is_busy: bool,
}

impl Keeper {
    /// A keeper that has read nothing. `deadline_ms` is that of a command.
    pub fn new(own: NodeId, deadline_ms: u64, partitions: u16) -> Keeper {
        Keeper {
            peers: Peers::new(own),
            table: PartitionTable::new(partitions),
            deadline_ms,
            run: None,
            table_run: None,
            metas_due: MonoNs(0),
            eviction: EvictionState::default(),
            barrier: None,
            pass: None,
            rebuild_since: None,
            is_busy: true,
        }
    }

    /// Whether the next round has to read all metas.
    pub(crate) fn wants_metas(&self, now: MonoNs) -> bool {
        self.is_busy || now >= self.metas_due
    }

    /// Whether a round has to read all metas since users may vanish, or vanish no more.
    pub fn is_news(&self, eviction: &EvictionState) -> bool {
        *eviction != self.eviction
    }

    /// How long the next round can wait, in milliseconds.
    pub(crate) fn pace_ms(&self) -> u64 {
        if self.is_busy { KEEPER_BUSY_MS } else { KEEPER_IDLE_MS }
    }

    /// Redis does not answer.
    pub(crate) fn disconnected(&mut self) {
        self.peers.disconnected();
        self.is_busy = true;
    }

    /// Whether this node is about to acknowledge an epoch, for which its shards have to turn.
    pub(crate) fn is_waiting_for_shards(&self) -> bool {
        self.barrier.is_some()
    }

    /// The other nodes and this one.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The partitions as they were last read.
    pub fn partitions(&self) -> &PartitionTable {
        &self.table
    }

    /// How a rebuild stands; `None` while every partition is open. Before Redis has answered there
    /// is nothing to tell.
    pub fn rebuild(&self) -> Option<RebuildStatus> {
        let since = self.rebuild_since?;
        let rank = |status| match status {
            PartitionStatus::Lost { .. } | PartitionStatus::Suspect { .. } => Some(1),
            PartitionStatus::Waiting { .. } => Some(2),
            PartitionStatus::Filling { .. } => Some(3),
            PartitionStatus::Open => None,
        };
        let ranks = || self.table.statuses().filter_map(|(_, at)| rank(at));
        let (partitions, phase) = (ranks().count(), ranks().min().unwrap_or(3));
        Some(RebuildStatus { partitions, phase, since })
    }

    /// One round: what follows from what was read. Allocates.
    pub fn decide(&mut self, view: &View<'_>) -> Vec<KeeperAction> {
        let mut actions = Vec::new();
        self.peers.read_redis(view.now, &view.signs.heartbeats, view.signs.redis_now);
        self.peers.read_sql(view.sql_nodes);
        if self.run.is_none_or(|(run, _)| run != view.signs.run) {
            self.run = Some((view.signs.run, view.now));
            self.barrier = None;
            self.stop_filling(&mut actions);
        }
        if let Some(metas) = &view.signs.metas {
            let reports = (view.own_lost, self.has_missed_clearing(view));
            self.table.read(metas, &view.signs.eviction, reports);
            self.eviction = view.signs.eviction;
            if !self.table.unmarked().is_empty() {
                // Before anything that opens a partition.
                actions.push(KeeperAction::Doubt(self.table.unmarked().to_vec()));
            }
            self.table_run = Some(view.signs.run);
            self.metas_due = view.now.plus_ms(KEEPER_METAS_MS);
            let is_open = self.table.is_open();
            self.clear_losses(view.own_lost, &mut actions);
            self.rebuild_since = (!is_open).then(|| self.rebuild_since.unwrap_or(view.now));
        }
        if self.table_run == Some(view.signs.run) {
            self.compare(view, &mut actions);
            self.acknowledge(view, &mut actions);
            self.lead(view, &mut actions);
        }
        let is_cleared = view.own_cleared == Some(view.signs.run);
        self.is_busy = !is_cleared || self.barrier.is_some() || !self.table.is_open();
        actions
    }

    /// Whether others have worked with this run before this node could compare it, while this node
    /// has worked with one before: what it had seen may have been counted up to again since.
    fn has_missed_clearing(&self, view: &View<'_>) -> bool {
        let has_worked = view.own_cleared.is_some_and(|run| run != view.signs.run);
        has_worked && view.signs.is_cleared && !view.signs.compared.contains(&self.peers.own())
    }

    /// A report that a partition's state has answered must not count against its next epoch.
    fn clear_losses(&self, reported: &[Partition], actions: &mut Vec<KeeperAction>) {
        let is_answered = |partition: &Partition| {
            !matches!(self.table.status(*partition), PartitionStatus::Lost { .. })
        };
        let answered: Vec<Partition> = reported.iter().copied().filter(is_answered).collect();
        if !answered.is_empty() {
            actions.push(KeeperAction::ClearLosses(answered));
        }
    }

    fn compare(&mut self, view: &View<'_>, actions: &mut Vec<KeeperAction>) {
        let unfenced = |(partition, status)| match status {
            PartitionStatus::Lost { epoch: Some(epoch), fenced: false } => Some((partition, epoch)),
            _ => None,
        };
        let losses: Vec<_> = self.table.statuses().filter_map(unfenced).collect();
        if !losses.is_empty() {
            // Others must see it before they hear that this node has compared.
            actions.push(KeeperAction::Fence(losses));
            return;
        }
        let run = view.signs.run;
        let has_said = view.signs.compared.contains(&self.peers.own());
        if view.own_cleared == Some(run) {
            if !has_said || !view.signs.is_cleared {
                // Redis was wiped in this run: who comes later must not wait for us.
                actions.push(KeeperAction::SayCompared { run, is_cleared: true });
            }
            return;
        }
        if view.own_compared != Some(run) {
            return;
        }
        if !has_said {
            actions.push(KeeperAction::SayCompared { run, is_cleared: view.signs.is_cleared });
            return;
        }
        let began = self.run.map_or(view.now, |(_, began)| began);
        let is_late = view.now >= began.plus_ms(COMPARE_WAIT_MS);
        let have_all = self.peers.awaited().all(|node| view.signs.compared.contains(&node));
        if view.signs.is_cleared || have_all || is_late {
            actions.push(KeeperAction::SayCompared { run, is_cleared: true });
            actions.push(KeeperAction::Clear { run });
        }
    }

    fn acknowledge(&mut self, view: &View<'_>, actions: &mut Vec<KeeperAction>) {
        let seal = view.signs.seal.filter(|seal| seal.run == view.signs.run);
        let Some(seal) = seal.filter(|_| !view.signs.acks.contains(&self.peers.own())) else {
            self.barrier = None;
            return;
        };
        if self.barrier.as_ref().is_none_or(|(of, _)| *of != seal) {
            self.barrier = Some((seal, Barrier::begin(view.now, self.deadline_ms)));
        }
        let barrier = self.barrier.as_mut().map(|(_, barrier)| barrier);
        if barrier.is_some_and(|barrier| barrier.step(view.now, view.progress)) {
            actions.push(KeeperAction::AckDrained(seal));
        }
    }

    fn lead(&mut self, view: &View<'_>, actions: &mut Vec<KeeperAction>) {
        if self.table.is_open() {
            if view.signs.lead == Lead::Own {
                actions.push(KeeperAction::LeaveLead);
            }
            return;
        }
        if view.own_cleared != Some(view.signs.run) || view.signs.lead == Lead::Other {
            self.stop_filling(actions);
            return;
        }
        if view.signs.lead == Lead::Free {
            actions.push(KeeperAction::TakeLead);
            return;
        }
        actions.push(KeeperAction::KeepLead);
        let begins = self.to_begin(view);
        if !begins.is_empty() {
            self.stop_filling(actions);
            actions.push(KeeperAction::Begin {
                at_least: self.table.highest_epoch().saturating_add(1),
                run: view.signs.run,
                evicted: self.eviction.evicted,
                vanishing: self.eviction.vanishing(),
                partitions: begins,
            });
            return;
        }
        let waiting = self.in_phase(PartitionPhase::Barrier);
        if !waiting.is_empty() {
            if self.peers.awaited().all(|node| view.signs.acks.contains(&node)) {
                actions.push(KeeperAction::Advance {
                    from: PartitionPhase::Barrier,
                    partitions: waiting,
                });
            }
            return;
        }
        self.fill(view, actions);
    }

    /// Partitions that need a new epoch, with those that wait in an earlier one, so that there is
    /// one seal for all; none where every one that waits has the seal of this run.
    fn to_begin(&self, view: &View<'_>) -> Vec<(Partition, Option<u32>)> {
        let sealed =
            view.signs.seal.filter(|seal| seal.run == view.signs.run).map(|seal| seal.epoch);
        let is_due = self.table.statuses().any(|(_, status)| match status {
            PartitionStatus::Lost { .. } | PartitionStatus::Suspect { .. } => true,
            PartitionStatus::Waiting { epoch } => sealed != Some(epoch),
            _ => false,
        });
        let epoch = |(partition, status)| match status {
            PartitionStatus::Lost { epoch, .. } => Some((partition, epoch)),
            PartitionStatus::Suspect { epoch } | PartitionStatus::Waiting { epoch } => {
                Some((partition, Some(epoch)))
            }
            _ => None,
        };
        if is_due { self.table.statuses().filter_map(epoch).collect() } else { Vec::new() }
    }

    fn in_phase(&self, phase: PartitionPhase) -> Vec<(Partition, u32)> {
        let of = |(partition, status)| match (status, phase) {
            (PartitionStatus::Waiting { epoch }, PartitionPhase::Barrier)
            | (PartitionStatus::Filling { epoch }, PartitionPhase::Filling) => {
                Some((partition, epoch))
            }
            _ => None,
        };
        self.table.statuses().filter_map(of).collect()
    }

    fn fill(&mut self, view: &View<'_>, actions: &mut Vec<KeeperAction>) {
        match (self.pass.take(), view.filling) {
            (Some(partitions), Filling::Done) => {
                actions.push(KeeperAction::Advance { from: PartitionPhase::Filling, partitions });
                actions.push(KeeperAction::FillStop);
            }
            (Some(partitions), Filling::Running) => {
                self.pass = Some(partitions);
                actions.push(KeeperAction::FillOn);
            }
            (_, Filling::Idle) | (None, _) => {
                let partitions = self.in_phase(PartitionPhase::Filling);
                let names = partitions.iter().map(|(partition, _)| *partition).collect();
                actions.push(KeeperAction::Fill(names));
                self.pass = Some(partitions);
            }
        }
    }

    fn stop_filling(&mut self, actions: &mut Vec<KeeperAction>) {
        if self.pass.take().is_some() {
            actions.push(KeeperAction::FillStop);
        }
    }
}
