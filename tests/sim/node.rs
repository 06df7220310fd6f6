//! One life of a node: real shards, journal, writer, reader and, where there is a Redis, its keeper
//! over modelled lanes, in one process that may end between any two steps.

use std::collections::VecDeque;
use std::sync::Arc;

use nudged::node::unmerged;
use nudged_api::token::Keys;
use nudged_background::keeper::barrier::NodeProgress;
use nudged_base::clock::NodeClock;
use nudged_base::ids::{Sequence, ShardId};
use nudged_base::time::WallMs;
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_journal::reader::Tail;
use nudged_journal::recovery::{self, RecoverOptions, recover};
use nudged_journal::segment::SetId;
use nudged_runtime::redis_status::{RedisStatus, ServerFound};
use nudged_runtime::wake::Waker;
use nudged_shard::control::{Control, ControlReply};
use nudged_shard::seam::{Effect, Input, ShardReport};

use super::disk::Disk;
use super::forgetting::FORGET_TICKET;
use super::journal::Journal;
use super::keeper::KeeperSide;
use super::lists::Lists;
use super::reader::ReaderSide;
use super::scene::{Scene, number};
use super::shard::{Arrival, CLIENTS, LANES, RETURNED, Shard, ShardSetup};
use super::sql::Sql;
use super::writer::Writer;

/// How far journal and SQL have come, as the shards see it.
#[derive(Clone, Copy, Default)]
pub struct Marks {
    /// Everything up to here is in the files.
    pub written: Sequence,
    /// Everything up to here is in SQL.
    pub applied: Sequence,
    /// The journal takes no records.
    pub is_refusing: bool,
}

/// What nodes are started with beside their disks.
pub struct Parts {
    /// The catalogs: the first one, and another one to swap it with.
    pub snapshots: [Arc<Snapshot>; 2],
    /// Signing keys, the same on every node.
    pub keys: Arc<Keys>,
}

/// One life of a node.
pub struct Node {
    pub index: usize,
    pub shards: Vec<Shard>,
    pub journal: Journal,
    pub writer: Writer,
    pub reader: ReaderSide,
    /// The keeper of Redis, where there is one.
    pub keeper: Option<KeeperSide>,
    /// Who drains lists, where records queue there.
    pub lists: Option<Lists>,
    /// Between shards and keeper.
    pub redis_status: RedisStatus,
    pub marks: Marks,
    /// It listens: its journal has taken records.
    pub is_ready: bool,
    /// Answers to operators' commands.
    pub replies: Vec<ControlReply>,
}

/// The journal's set of a node.
pub fn set_of(index: usize) -> SetId {
    SetId(0x1234_5678_9abc_def0_0fed_cba9_8765_0000 + u128::from(number(index)))
}

impl Node {
    /// Starts a node on what is on its disk. SQL may not answer, then the writer asks again.
    pub fn boot(index: usize, scene: &mut Scene, disk: &Disk, sql: &Sql, parts: &Parts) -> Node {
        scene.nodes[index].life += 1;
        let life = usize::try_from(scene.nodes[index].life).expect("few lives");
        let shards = scene.config.shards[(life + 3 * index) % scene.config.shards.len()];
        let set = set_of(index);
        let mut store = sql.open();
        let claimed = sql.claim(&mut store, set).ok();
        let applied = match claimed {
            Some((_, applied)) => applied,
            None => recovery::retired(disk).expect("the disk can be read"),
        };
        let options = RecoverOptions { applied, fresh_set: set, skip_damaged: false };
        let mut recovered = match recover(disk, options) {
            Ok(recovered) => recovered,
            Err(error) => panic!("the journal is not to be used after a crash: {error}"),
        };
        let newest = claimed.and_then(|(stream, _)| store.newest(stream).expect("SQL answers"));
        recovered.start.newest = recovered.start.newest.max(newest.unwrap_or(WallMs(i64::MIN)));
        let (end, report) = (Sequence(recovered.start.next.0 - 1), &recovered.report);
        let figures = [applied.0, end.0, report.bytes_cut, report.sql_ahead, report.unapplied];
        scene.note("boot", &figures, &[u8::from(claimed.is_some())]);
        let seek = || Tail::seek(disk, set, Sequence(applied.0 + 1), Vec::new());
        let tail = seek().expect("the journal has what SQL lacks");
        let left = unmerged::collect(disk, seek().expect("as before"), end);
        let left = left.expect("the disk can be read");
        let wakers = (0..shards).map(|_| Arc::new(Waker::new().expect("a descriptor")));
        let redis_status = RedisStatus::new(wakers.collect()).expect("a descriptor");
        unmerged::announce(&redis_status, &left, end, shards);
        let clock = NodeClock::start(scene.mono(index), scene.wall(index), recovered.start.newest);
        // Whatever was lost of the journal, nothing that SQL has is still to come.
        let is_later = clock.at(scene.mono(index)).0 >= sql.newest();
        assert!(is_later || scene.config.has_redis || claimed.is_none(), "the time goes back");
        let of_shard = |shard| {
            let own = unmerged::of_shard(&left, shard, shards);
            let setup = ShardSetup { node: index, shard, shards, clock, left: (end, own) };
            Shard::new(scene, &setup, parts)
        };
        let lists = scene.config.has_lists.then(|| Lists::new(sql));
        let keeper = scene.config.has_redis.then(|| {
            let share = lists.as_ref().map(|lists| Arc::clone(&lists.share));
            KeeperSide::new(index, scene.nodes[index].life, share)
        });
        let stream = claimed.map(|(stream, _)| stream);
        let mut node = Node {
            index,
            shards: (0..shards).map(ShardId).map(of_shard).collect(),
            journal: Journal::new(index, scene.config.appender(), recovered.start, shards, clock),
            writer: Writer::new(index, store, stream, tail, applied),
            reader: ReaderSide::new(index, sql, recovered.unapplied),
            keeper,
            lists,
            redis_status,
            marks: Marks { written: end, applied, is_refusing: false },
            is_ready: false,
            replies: Vec::new(),
        };
        node.wake(scene);
        node
    }

    /// Every part goes on soon.
    pub fn wake(&mut self, scene: &mut Scene) {
        self.wake_shards(scene);
        self.journal.wake(scene);
        self.writer.wake(scene);
        if let Some(keeper) = &mut self.keeper {
            keeper.wake(scene);
        }
        if self.lists.is_some() {
            Lists::wake(self.index, scene);
        }
    }

    /// Something arrives for a shard in a lane.
    pub fn push(
        &mut self,
        shard: usize,
        queue: usize,
        arrival: impl Into<Arrival>,
        scene: &mut Scene,
    ) {
        self.shards[shard].queues[queue].push_back(arrival.into());
        self.shards[shard].wake(scene);
    }

    pub fn command(&mut self, shard: usize, control: Control, scene: &mut Scene) {
        self.push(shard, RETURNED, Input::Control(control), scene);
    }

    /// Lets every shard turn: there is news for them.
    pub fn wake_shards(&mut self, scene: &mut Scene) {
        self.shards.iter_mut().for_each(|shard| shard.wake(scene));
    }

    /// A shard's turn; gives what the world outside has to do.
    pub fn turn(&mut self, shard: usize, scene: &mut Scene) -> Vec<Effect> {
        let status =
            if self.keeper.is_some() { self.redis_status.view() } else { Default::default() };
        let effects = self.shards[shard].turn(self.marks, status, scene);
        let Some(effects) = effects else { return Vec::new() };
        let mut outside = Vec::new();
        for effect in effects {
            outside.extend(self.carry_out(shard, effect, scene));
        }
        let back = LANES + self.shards.len() + shard;
        let replies = self.shards.iter().map(|shard| shard.queues[back].len()).sum();
        self.shards[shard].rest(replies, scene);
        if let Some(keeper) = &mut self.keeper
            && self.redis_status.lost_count() > 0
        {
            keeper.hurry(scene);
        }
        outside
    }

    /// Carries out an effect within the node; gives any other one back.
    fn carry_out(&mut self, shard: usize, effect: Effect, scene: &mut Scene) -> Option<Effect> {
        match effect {
            Effect::Hop { to, hop } => {
                let one_in = scene.config.one_in_hop_refused;
                if scene.is_fault(|streams| &mut streams.schedule, one_in) {
                    // The lane was full, or it was not and there is no time.
                    match hop.ticket % 2 {
                        0 => self.push(shard, RETURNED, Input::HopRefused(hop), scene),
                        _ => self.push(to.index(), LANES + shard, Input::ShedHop(hop), scene),
                    }
                } else {
                    self.push(to.index(), LANES + shard, Input::Hop(hop), scene);
                }
            }
            Effect::HopReply { to, reply } => {
                let lane = LANES + self.shards.len() + shard;
                self.push(to.index(), lane, Input::HopReply(reply), scene);
            }
            Effect::ReadUser(request) => self.reader.ask(request, scene),
            Effect::ControlReply(reply) if reply.ticket == FORGET_TICKET => {}
            Effect::ControlReply(reply) => self.replies.push(reply),
            Effect::StopAccepting => {
                self.push(shard, CLIENTS, Input::ListenersClosed, scene);
            }
            Effect::Report(ShardReport::Promised { bytes }) => {
                self.journal.promised[shard] = bytes;
                self.journal.wake(scene);
            }
            Effect::Report(report) => self.report(shard, report),
            other => return Some(other),
        }
        None
    }

    fn report(&mut self, shard: usize, report: ShardReport) {
        let shard = ShardId(u16::try_from(shard).expect("few shards"));
        match report {
            ShardReport::Lost(partition) => {
                self.redis_status.report_lost(partition);
            }
            ShardReport::Run { run, evicts, syncs_always } => {
                self.redis_status
                    .report_found(shard, ServerFound::Server { run, evicts, syncs_always });
            }
            ShardReport::Denied => self.redis_status.report_denied(),
            ShardReport::Incompatible(why) => {
                self.redis_status.report_found(shard, ServerFound::Incompatible(why));
            }
            ShardReport::Compared { run } => self.redis_status.report_compared(shard, run),
            ShardReport::Journal { acked, unmerged } => {
                self.redis_status.report_journal(shard, acked, unmerged);
            }
            ShardReport::Promised { .. } => unreachable!("it goes to the journal"),
        }
    }

    pub fn progress(&self) -> NodeProgress {
        let of = |number: fn(&Shard) -> u64| self.shards.iter().map(number).collect();
        NodeProgress {
            turns: of(|shard| shard.turns),
            pushed: of(|shard| shard.pushed),
            acknowledged: self.journal.acknowledged.clone(),
            written: self.marks.written,
            applied: self.marks.applied,
            is_halted: self.writer.is_halted(),
            drained: self.lists.as_ref().map(|lists| lists.share.rounds()),
        }
    }

    /// Everything that was begun has come to its end, and SQL has it all.
    pub fn hold_drained(&self) {
        let index = self.index;
        // What comes for a shard that has ended its loop is of nobody.
        let running = self.shards.iter().filter(|shard| !shard.is_finished);
        let lanes = running.flat_map(|shard| &shard.queues);
        assert!(lanes.into_iter().all(VecDeque::is_empty), "something waits for node {index}");
        let is_empty = self.journal.lanes.iter().all(VecDeque::is_empty);
        assert!(is_empty, "records of node {index} wait for its journal");
        assert!(self.writer.has_all(self.marks.written), "SQL lacks records of node {index}");
    }
}
