//! What a node does about Redis as a whole: one round at a time, from what was just read there, in
//! SQL and of this node. Nothing is remembered of an order that was given: the next round reads
//! whether it was carried out, so a lost reply, a lost connection and a killed process are all the
//! same. The argument why nobody is shown twice stands in the module above.
//!
//! ```text
//! vanished  users may vanish -> marked (v) in every partition -> no more -> begun anew
//! run       new -> shards compared, losses held -> said -> all have said, or 3 s -> cleared
//! rebuild   lost -> begun, sealed (phase b) -> every journal is in SQL -> filling (phase f)
//!           -> every user of SQL is in Redis -> open (no phase)
//! ```

use std::collections::BTreeSet;

use super::barrier::{Barrier, Progress};
use super::ledger::{Ledger, Losses, PartitionMeta, Standing, Vanishing};
use super::peers::{Beat, NodeId, Peers};
use nudged_base::ids::Partition;
use nudged_base::limits::{COMPARE_WAIT_MS, KEEPER_BUSY_MS, KEEPER_IDLE_MS, KEEPER_METAS_MS};
use nudged_base::time::{MonoNs, WallMs};
use nudged_redis::command::PartitionPhase;

/// Says that a new epoch was begun in all partitions that were to get it, in a run of Redis.
/// Nodes give their word to a seal, never to an epoch that may still be being begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The new epoch.
    pub epoch: u32,
    /// The run in which it was begun.
    pub run: u64,
}

/// Who leads a rebuild. Only for thrift: two that lead at once do the same twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// Nobody.
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

/// What a round has read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Now.
    pub now: MonoNs,
    /// The run of Redis that answered all of this.
    pub run: u64,
    /// Its TIME.
    pub redis_now: WallMs,
    /// What it says of users that vanish, read before `metas`.
    pub losses: Losses,
    /// Signs of life in Redis.
    pub beats: &'a [Beat],
    /// Nodes that SQL has seen lately; empty where it was not asked.
    pub sql_nodes: &'a [NodeId],
    /// The metas of all partitions, where [`Keeper::wants_metas`].
    pub metas: Option<&'a [PartitionMeta]>,
    /// Nodes that have said that they compared this run.
    pub compared: &'a BTreeSet<NodeId>,
    /// Whether a node has cleared this run.
    pub is_cleared: bool,
    /// The latest seal.
    pub seal: Option<Seal>,
    /// Nodes that have given their word to it.
    pub answered: &'a BTreeSet<NodeId>,
    /// Who leads.
    pub lead: Lead,
    /// Of this process.
    pub filling: Filling,
    /// The run that every shard of this node has compared with what it had seen.
    pub own_compared: Option<u64>,
    /// The run that this node's shards may work with; `None` where they never could with any.
    pub own_cleared: Option<u64>,
    /// Partitions that shards of this node say have lost writes; read before `metas`.
    pub own_lost: &'a [Partition],
    /// What this node has reached.
    pub progress: &'a Progress,
}

/// What is to be done, in this order. Each is made so that carrying it out twice, late, or beside
/// another node is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nobody decides by these partitions any more, if they still have this epoch.
    Hold(Vec<(Partition, u32)>),
    /// From now on a user who is missing in these partitions proves nothing, where they still have
    /// these epochs.
    Doubt(Vec<(Partition, u32, Vanishing)>),
    /// What this node's shards have reported of these partitions is known by now.
    Settle(Vec<Partition>),
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
    /// Give this node's word to a seal.
    Answer(Seal),
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
    /// The earliest phase of any of them.
    pub phase: &'static str,
    /// When the first of them was seen not to be open.
    pub since: MonoNs,
}

/// One node's keeper.
#[derive(Debug)]
pub struct Keeper {
    peers: Peers,
    ledger: Ledger,
    deadline_ms: u64,
    /// The run of the last round, with the moment at which it was first seen.
    run: Option<(u64, MonoNs)>,
    /// The run whose metas the ledger holds.
    ledger_run: Option<u64>,
    metas_due: MonoNs,
    /// As the ledger's metas were read.
    losses: Losses,
    barrier: Option<(Seal, Barrier)>,
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
            ledger: Ledger::new(partitions),
            deadline_ms,
            run: None,
            ledger_run: None,
            metas_due: MonoNs(0),
            losses: Losses::default(),
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
    pub fn is_news(&self, losses: &Losses) -> bool {
        *losses != self.losses
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

    /// Whether this node is on its way to its word, for which its shards have to turn.
    pub(crate) fn is_waiting_for_shards(&self) -> bool {
        self.barrier.is_some()
    }

    /// The other nodes and this one.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The partitions as they were last read.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How a rebuild stands; `None` while every partition is open. Before Redis has answered there
    /// is nothing to tell.
    pub fn rebuild(&self) -> Option<RebuildStatus> {
        let since = self.rebuild_since?;
        let rank = |standing| match standing {
            Standing::Lost { .. } | Standing::Suspect { .. } => Some("lost"),
            Standing::Waiting { .. } => Some("barrier"),
            Standing::Filling { .. } => Some("filling"),
            Standing::Open => None,
        };
        let ranks: Vec<&str> = self.ledger.standings().filter_map(|(_, at)| rank(at)).collect();
        let phase = ["lost", "barrier"].into_iter().find(|phase| ranks.contains(phase));
        let partitions = ranks.len();
        Some(RebuildStatus { partitions, phase: phase.unwrap_or("filling"), since })
    }

    /// One round: what follows from what was read. Allocates.
    pub fn decide(&mut self, view: &View<'_>) -> Vec<Order> {
        let mut orders = Vec::new();
        self.peers.read_redis(view.now, view.beats, view.redis_now);
        self.peers.read_sql(view.sql_nodes);
        if self.run.is_none_or(|(run, _)| run != view.run) {
            self.run = Some((view.run, view.now));
            self.barrier = None;
            self.stop_filling(&mut orders);
        }
        if let Some(metas) = view.metas {
            let reports = (view.own_lost, self.has_missed_clearing(view));
            self.ledger.read(metas, &view.losses, reports);
            self.losses = view.losses;
            if !self.ledger.unmarked().is_empty() {
                // Before anything that opens a partition.
                orders.push(Order::Doubt(self.ledger.unmarked().to_vec()));
            }
            self.ledger_run = Some(view.run);
            self.metas_due = view.now.plus_ms(KEEPER_METAS_MS);
            let is_open = self.ledger.is_open();
            self.settle(view.own_lost, &mut orders);
            self.rebuild_since = (!is_open).then(|| self.rebuild_since.unwrap_or(view.now));
        }
        if self.ledger_run == Some(view.run) {
            self.compare(view, &mut orders);
            self.answer(view, &mut orders);
            self.lead(view, &mut orders);
        }
        let is_cleared = view.own_cleared == Some(view.run);
        self.is_busy = !is_cleared || self.barrier.is_some() || !self.ledger.is_open();
        orders
    }

    /// Whether others have worked with this run before this node could compare it, while this node
    /// has worked with one before: what it had seen may have been counted up to again since.
    fn has_missed_clearing(&self, view: &View<'_>) -> bool {
        let has_worked = view.own_cleared.is_some_and(|run| run != view.run);
        has_worked && view.is_cleared && !view.compared.contains(&self.peers.own())
    }

    /// A report that a partition's state has answered must not count against its next epoch.
    fn settle(&self, reported: &[Partition], orders: &mut Vec<Order>) {
        let is_answered = |partition: &Partition| {
            !matches!(self.ledger.standing(*partition), Standing::Lost { .. })
        };
        let answered: Vec<Partition> = reported.iter().copied().filter(is_answered).collect();
        if !answered.is_empty() {
            orders.push(Order::Settle(answered));
        }
    }

    fn compare(&mut self, view: &View<'_>, orders: &mut Vec<Order>) {
        let unheld = |(partition, standing)| match standing {
            Standing::Lost { epoch: Some(epoch), held: false } => Some((partition, epoch)),
            _ => None,
        };
        let losses: Vec<_> = self.ledger.standings().filter_map(unheld).collect();
        if !losses.is_empty() {
            // Others must see it before they hear that this node has compared.
            orders.push(Order::Hold(losses));
            return;
        }
        let run = view.run;
        let has_said = view.compared.contains(&self.peers.own());
        if view.own_cleared == Some(run) {
            if !has_said || !view.is_cleared {
                // Redis was wiped in this run: who comes later must not wait for us.
                orders.push(Order::SayCompared { run, is_cleared: true });
            }
            return;
        }
        if view.own_compared != Some(run) {
            return;
        }
        if !has_said {
            orders.push(Order::SayCompared { run, is_cleared: view.is_cleared });
            return;
        }
        let began = self.run.map_or(view.now, |(_, began)| began);
        let is_late = view.now >= began.plus_ms(COMPARE_WAIT_MS);
        let have_all = self.peers.awaited().all(|node| view.compared.contains(&node));
        if view.is_cleared || have_all || is_late {
            orders.push(Order::SayCompared { run, is_cleared: true });
            orders.push(Order::Clear { run });
        }
    }

    fn answer(&mut self, view: &View<'_>, orders: &mut Vec<Order>) {
        let seal = view.seal.filter(|seal| seal.run == view.run);
        let Some(seal) = seal.filter(|_| !view.answered.contains(&self.peers.own())) else {
            self.barrier = None;
            return;
        };
        if self.barrier.as_ref().is_none_or(|(of, _)| *of != seal) {
            self.barrier = Some((seal, Barrier::begin(view.now, self.deadline_ms)));
        }
        let barrier = self.barrier.as_mut().map(|(_, barrier)| barrier);
        if barrier.is_some_and(|barrier| barrier.step(view.now, view.progress)) {
            orders.push(Order::Answer(seal));
        }
    }

    fn lead(&mut self, view: &View<'_>, orders: &mut Vec<Order>) {
        if self.ledger.is_open() {
            if view.lead == Lead::Own {
                orders.push(Order::LeaveLead);
            }
            return;
        }
        if view.own_cleared != Some(view.run) || view.lead == Lead::Other {
            self.stop_filling(orders);
            return;
        }
        if view.lead == Lead::Free {
            orders.push(Order::TakeLead);
            return;
        }
        orders.push(Order::KeepLead);
        let begins = self.to_begin(view);
        if !begins.is_empty() {
            self.stop_filling(orders);
            orders.push(Order::Begin {
                at_least: self.ledger.highest_epoch().saturating_add(1),
                run: view.run,
                evicted: self.losses.evicted,
                vanishing: self.losses.vanishing(),
                partitions: begins,
            });
            return;
        }
        let waiting = self.in_phase(PartitionPhase::Barrier);
        if !waiting.is_empty() {
            if self.peers.awaited().all(|node| view.answered.contains(&node)) {
                orders.push(Order::Advance { from: PartitionPhase::Barrier, partitions: waiting });
            }
            return;
        }
        self.fill(view, orders);
    }

    /// Partitions that need a new epoch, with those that wait in an earlier one, so that there is
    /// one seal for all; none where every one that waits has the seal of this run.
    fn to_begin(&self, view: &View<'_>) -> Vec<(Partition, Option<u32>)> {
        let sealed = view.seal.filter(|seal| seal.run == view.run).map(|seal| seal.epoch);
        let is_due = self.ledger.standings().any(|(_, standing)| match standing {
            Standing::Lost { .. } | Standing::Suspect { .. } => true,
            Standing::Waiting { epoch } => sealed != Some(epoch),
            _ => false,
        });
        let epoch = |(partition, standing)| match standing {
            Standing::Lost { epoch, .. } => Some((partition, epoch)),
            Standing::Suspect { epoch } | Standing::Waiting { epoch } => {
                Some((partition, Some(epoch)))
            }
            _ => None,
        };
        if is_due { self.ledger.standings().filter_map(epoch).collect() } else { Vec::new() }
    }

    fn in_phase(&self, phase: PartitionPhase) -> Vec<(Partition, u32)> {
        let of = |(partition, standing)| match (standing, phase) {
            (Standing::Waiting { epoch }, PartitionPhase::Barrier)
            | (Standing::Filling { epoch }, PartitionPhase::Filling) => Some((partition, epoch)),
            _ => None,
        };
        self.ledger.standings().filter_map(of).collect()
    }

    fn fill(&mut self, view: &View<'_>, orders: &mut Vec<Order>) {
        match (self.pass.take(), view.filling) {
            (Some(partitions), Filling::Done) => {
                orders.push(Order::Advance { from: PartitionPhase::Filling, partitions });
                orders.push(Order::FillStop);
            }
            (Some(partitions), Filling::Running) => {
                self.pass = Some(partitions);
                orders.push(Order::FillOn);
            }
            (_, Filling::Idle) | (None, _) => {
                let partitions = self.in_phase(PartitionPhase::Filling);
                let names = partitions.iter().map(|(partition, _)| *partition).collect();
                orders.push(Order::Fill(names));
                self.pass = Some(partitions);
            }
        }
    }

    fn stop_filling(&mut self, orders: &mut Vec<Order>) {
        if self.pass.take().is_some() {
            orders.push(Order::FillStop);
        }
    }
}
