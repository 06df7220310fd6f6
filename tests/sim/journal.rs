//! The journal's core: the real appender over the modelled disk, driven in turns as the dedicated
//! core drives it.

use std::collections::{BTreeMap, VecDeque};

use nudged_base::clock::NodeClock;
use nudged_journal::appender::{Appender, AppenderConfig, AppenderStart};
use nudged_journal::disk::{DiskCommand, DiskCompletion};
use nudged_journal::lane::LaneBatch;
use nudged_journal::segment::OPENING_OFFSET;
use nudged_shard::seam::Input;

use super::disk::{Disk, Fate};
use super::node::Node;
use super::scene::{Scene, Task, US, number};
use super::shard::ACKS;

/// The journal's side of a node.
pub struct Journal {
    pub appender: Appender,
    /// Records on their way from each shard.
    pub lanes: Vec<VecDeque<LaneBatch>>,
    /// Batches of each shard that are acknowledged.
    pub acknowledged: Vec<u64>,
    /// Bytes for which each shard has room kept.
    pub promised: Vec<u64>,
    /// A segment was opened, which the world has not looked at.
    pub has_opened: bool,
    node: usize,
    under_way: BTreeMap<u64, DiskCommand>,
    commands: u64,
    completions: VecDeque<DiskCompletion>,
    turn_at: Option<u64>,
    /// Retention goes by the node's time: a wall clock that was set forward must not take segments
    /// from SQL before its commits are on its medium.
    clock: NodeClock,
}

impl Journal {
    /// A journal that goes on where recovery ended.
    pub fn new(
        node: usize,
        config: AppenderConfig,
        start: AppenderStart,
        shards: u16,
        clock: NodeClock,
    ) -> Journal {
        Journal {
            appender: Appender::new(config, start),
            lanes: (0..shards).map(|_| VecDeque::new()).collect(),
            acknowledged: vec![0; usize::from(shards)],
            promised: vec![0; usize::from(shards)],
            has_opened: false,
            node,
            under_way: BTreeMap::new(),
            commands: 0,
            completions: VecDeque::new(),
            turn_at: None,
            clock,
        }
    }

    /// Something has come for it.
    pub fn wake(&mut self, scene: &mut Scene) {
        let wait = scene.streams.schedule.between(1, 30) * US;
        self.turn_by(scene.now + wait, scene);
    }

    fn turn_by(&mut self, at: u64, scene: &mut Scene) {
        let at = at.max(scene.now + 1);
        if self.turn_at.is_none_or(|planned| planned > at) {
            self.turn_at = Some(scene.after(at - scene.now, Task::Journal(self.node)));
        }
    }

    /// Commands that a crash interrupts.
    pub fn into_under_way(self) -> Vec<DiskCommand> {
        self.under_way.into_values().collect()
    }

    /// Takes lane batches, one of each shard in turn, while there is room and for a while.
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

    fn submit(&mut self, disk: &mut Disk, scene: &mut Scene) {
        while let Some(command) = self.appender.next_command() {
            note_command(self.node, &command, scene);
            disk.begin(&command);
            self.has_opened |=
                matches!(command, DiskCommand::Write { offset, .. } if offset == OPENING_OFFSET);
            self.commands += 1;
            self.under_way.insert(self.commands, command);
            let longest = if scene.is_calm { 1_000 } else { scene.config.disk_us };
            let wait = scene.streams.disk.skewed(longest) * US;
            scene.after(wait, Task::DiskEnds(self.node, self.commands));
        }
    }

    /// What it does in a turn.
    fn step(&mut self, disk: &mut Disk, scene: &mut Scene) {
        while let Some(completion) = self.completions.pop_front() {
            self.appender.complete(completion);
        }
        self.take_records(scene);
        self.submit(disk, scene);
        if let Some(at) = self.appender.wake_at() {
            let at = scene.true_time(self.node, at);
            self.turn_by(at, scene);
        }
        if self.appender.has_room() && self.lanes.iter().any(|lane| !lane.is_empty()) {
            self.wake(scene);
        }
    }
}

impl Node {
    /// A batch of a shard's records goes to the journal.
    pub fn append(&mut self, shard: usize, batch: LaneBatch, scene: &mut Scene) {
        self.shards[shard].pushed += 1;
        self.journal.lanes[shard].push_back(batch);
        self.journal.wake(scene);
    }

    pub fn journal_turn(&mut self, disk: &mut Disk, scene: &mut Scene) {
        let journal = &mut self.journal;
        if journal.turn_at.is_none_or(|at| at > scene.now) {
            return; // Woken before this.
        }
        journal.turn_at = None;
        let mono = scene.mono(self.index);
        journal.clock.observe(mono, scene.wall(self.index));
        journal.appender.tick(mono, journal.clock.at(mono));
        journal.appender.applied(self.marks.applied);
        journal.appender.promise(journal.promised.iter().sum());
        journal.step(disk, scene);
        let metrics = journal.appender.metrics();
        self.marks.written = metrics.written;
        self.marks.is_refusing = !metrics.is_accepting;
        self.is_ready |= metrics.is_accepting;
        self.writer.wake_if_behind(self.marks.written, scene);
        while let Some(ack) = self.journal.appender.next_ack() {
            let shard = ack.shard.index();
            self.journal.acknowledged[shard] += 1;
            self.push(shard, ACKS, Input::Acked(ack), scene);
        }
    }

    pub fn disk_ends(&mut self, id: u64, disk: &mut Disk, scene: &mut Scene) {
        let command = self.journal.under_way.remove(&id).expect("a command ends once");
        let fate = draw_fate(&command, scene);
        let completion = disk.end(command, fate, &mut scene.streams.disk);
        scene.note("disk", &[number(self.index)], format!("{completion:?}").as_bytes());
        self.journal.completions.push_back(completion);
        self.journal.wake(scene);
    }
}

fn draw_fate(command: &DiskCommand, scene: &mut Scene) -> Fate {
    let config = &scene.config;
    let (full, partial) = (config.one_in_full, config.one_in_partial);
    let (write_error, sync_error) = (config.one_in_write_error, config.one_in_sync_error);
    let mut is = |one_in: u64| scene.is_fault(|streams| &mut streams.disk, one_in);
    match command {
        DiskCommand::Write { .. } if is(write_error) => Fate::Error,
        DiskCommand::Sync { .. } if is(sync_error) => Fate::Error,
        DiskCommand::Prepare { .. } | DiskCommand::Write { .. } if is(full) => Fate::Full,
        DiskCommand::Write { bytes, .. } if bytes.len() > 1 && is(partial) => Fate::Short,
        DiskCommand::Write { .. } | DiskCommand::Sync { .. } if is(partial) => Fate::Interrupted,
        DiskCommand::Remove { .. } if is(write_error) => Fate::Error,
        _ => Fate::Done,
    }
}

fn note_command(node: usize, command: &DiskCommand, scene: &mut Scene) {
    match command {
        DiskCommand::Write { segment, offset, bytes } => {
            scene.note("> write", &[number(node), segment.0, *offset], bytes);
        }
        other => scene.note("> disk", &[number(node)], format!("{other:?}").as_bytes()),
    }
}
