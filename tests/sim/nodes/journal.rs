//! The journal of a node among several: the real appender over the modelled disk. The disk does not
//! fail here; what it does then is the subject of the world of one node.

use std::collections::{BTreeMap, VecDeque};

use nudged_base::clock::NodeClock;
use nudged_base::limits::SEGMENT_BYTES_MIN;
use nudged_journal::appender::{Appender, AppenderConfig, AppenderStart};
use nudged_journal::disk::{DiskCommand, DiskCompletion};
use nudged_journal::lane::LaneBatch;

use super::node::Node;
use super::scene::{Scene, US, What, number};
use crate::disk::{Disk, Fate};

/// Segments that a journal may hold: more than a run fills.
const SEGMENTS: u64 = 64;

/// The journal's side of a node.
pub struct Journal {
    /// The real write path.
    pub appender: Appender,
    /// Records on their way from each shard.
    pub lanes: Vec<VecDeque<LaneBatch>>,
    /// Batches of each shard that are acknowledged.
    pub acknowledged: Vec<u64>,
    /// Bytes for which each shard has room kept.
    pub promised: Vec<u64>,
    under_way: BTreeMap<u64, DiskCommand>,
    commands: u64,
    completions: VecDeque<DiskCompletion>,
    turn_at: Option<u64>,
    clock: NodeClock,
}

impl Journal {
    /// A journal that goes on where recovery ended.
    pub fn new(start: AppenderStart, shards: u16, clock: NodeClock, scene: &Scene) -> Journal {
        let budget = SEGMENTS * SEGMENT_BYTES_MIN;
        let config = AppenderConfig {
            segment_bytes: SEGMENT_BYTES_MIN,
            budget_bytes: budget,
            unapplied_bytes_max: budget - 2 * SEGMENT_BYTES_MIN,
            ..AppenderConfig::default()
        };
        assert!(scene.now > 0);
        Journal {
            appender: Appender::new(config, start),
            lanes: (0..shards).map(|_| VecDeque::new()).collect(),
            acknowledged: vec![0; usize::from(shards)],
            promised: vec![0; usize::from(shards)],
            under_way: BTreeMap::new(),
            commands: 0,
            completions: VecDeque::new(),
            turn_at: None,
            clock,
        }
    }

    /// Something has come for it.
    pub fn wake(&mut self, node: usize, scene: &mut Scene) {
        let wait = scene.streams.schedule.between(1, 30) * US;
        self.turn_by(node, scene.now + wait, scene);
    }

    fn turn_by(&mut self, node: usize, at: u64, scene: &mut Scene) {
        let at = at.max(scene.now + 1);
        if self.turn_at.is_none_or(|planned| planned > at) {
            self.turn_at = Some(scene.after(at - scene.now, What::Journal(node)));
        }
    }

    /// Commands that a kill interrupts.
    pub fn into_under_way(self) -> Vec<DiskCommand> {
        self.under_way.into_values().collect()
    }

    fn take_records(&mut self, scene: &mut Scene) {
        for _ in 0..scene.streams.schedule.skewed(32) {
            for lane in &mut self.lanes {
                if !self.appender.has_room() {
                    return;
                }
                if let Some(batch) = lane.pop_front() {
                    self.appender.offer(batch);
                }
            }
        }
    }

    fn submit(&mut self, node: usize, disk: &mut Disk, scene: &mut Scene) {
        while let Some(command) = self.appender.next_command() {
            disk.begin(&command);
            self.commands += 1;
            self.under_way.insert(self.commands, command);
            let longest = if scene.is_calm { 1_000 } else { scene.config.disk_us };
            let wait = scene.streams.disk.skewed(longest) * US;
            scene.after(wait, What::DiskEnds(node, self.commands));
        }
    }
}

impl Node {
    /// A batch of a shard's records goes to the journal.
    pub fn append(&mut self, shard: usize, batch: LaneBatch, scene: &mut Scene) {
        scene.note("append", &[number(self.index), number(shard)], &batch.bytes);
        self.shards[shard].pushed += 1;
        self.journal.lanes[shard].push_back(batch);
        self.journal.wake(self.index, scene);
    }

    /// The journal's turn.
    pub fn journal_turn(&mut self, disk: &mut Disk, scene: &mut Scene) {
        let (node, journal) = (self.index, &mut self.journal);
        if journal.turn_at.is_none_or(|at| at > scene.now) {
            return; // Woken before this.
        }
        journal.turn_at = None;
        let mono = scene.mono(node);
        journal.clock.observe(mono, scene.wall(node));
        journal.appender.tick(mono, journal.clock.at(mono));
        journal.appender.applied(self.marks.applied);
        journal.appender.promise(journal.promised.iter().sum());
        while let Some(completion) = journal.completions.pop_front() {
            journal.appender.complete(completion);
        }
        journal.take_records(scene);
        journal.submit(node, disk, scene);
        assert!(journal.appender.poison().is_none(), "a disk that does not fail poisons nothing");
        let gauges = journal.appender.metrics();
        self.marks.written = gauges.written;
        self.marks.is_refusing = !gauges.is_accepting;
        self.is_ready |= gauges.is_accepting;
        let mut acks = Vec::new();
        while let Some(ack) = journal.appender.next_ack() {
            acks.push(ack);
        }
        if let Some(at) = journal.appender.wake_at() {
            let at = scene.true_time(node, at);
            journal.turn_by(node, at, scene);
        }
        if journal.appender.has_room() && journal.lanes.iter().any(|lane| !lane.is_empty()) {
            journal.wake(node, scene);
        }
        self.writer.wake_if_behind(node, self.marks.written, scene);
        for ack in acks {
            self.journal.acknowledged[ack.shard.index()] += 1;
            self.arrive_ack(ack, scene);
        }
    }

    /// A disk command ends.
    pub fn disk_ends(&mut self, id: u64, disk: &mut Disk, scene: &mut Scene) {
        let command = self.journal.under_way.remove(&id).expect("a command ends once");
        let completion = disk.end(command, Fate::Done, &mut scene.streams.disk);
        self.journal.completions.push_back(completion);
        self.journal.wake(self.index, scene);
    }
}
