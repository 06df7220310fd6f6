//! One life of a node among several: real shards, journal, writer, reader and keeper over modelled
//! lanes, in one process that may end between any two steps.

use std::sync::Arc;

use nudged::node::unmerged;
use nudged_api::token::Keys;
use nudged_background::keeper::barrier::NodeProgress;
use nudged_background::keeper::peers::NodeId;
use nudged_base::clock::NodeClock;
use nudged_base::ids::{Sequence, ShardId};
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_journal::lane::Ack;
use nudged_journal::reader::Tail;
use nudged_journal::recovery::{self, RecoverOptions, recover};
use nudged_journal::segment::SetId;
use nudged_runtime::redis_status::{RedisStatus, ServerFound};
use nudged_runtime::wake::Waker;
use nudged_shard::seam::{Effect, Hop, HopReply, ShardReport, UserRead};

use super::journal::Journal;
use super::keeper::KeeperSide;
use super::lists::Lists;
use super::scene::{Scene, number};
use super::shard::{ACKS, LANES, Place, READS, Shard};
use super::sql::Sql;
use super::writer::{ReaderSide, Writer};
use crate::disk::Disk;

/// An input on its way to a shard.
#[derive(Debug)]
pub enum Arrival {
    Accepted(u32),
    Bytes(u32, Vec<u8>),
    Ended(u32),
    Broken(u32),
    /// Of a client's line, or of the link.
    Sent(u32, Vec<u8>, Option<usize>),
    LinkConnected,
    LinkBytes(Vec<u8>),
    LinkBroken,
    Hop(Hop),
    HopReply(HopReply),
    Acked(Ack),
    UserRead(UserRead),
}

impl Arrival {
    /// Its name in the trace.
    pub fn name(&self) -> &'static str {
        match self {
            Arrival::Accepted(_) => "accepted",
            Arrival::Bytes(..) => "bytes",
            Arrival::Ended(_) => "ended",
            Arrival::Broken(_) => "broken",
            Arrival::Sent(..) => "sent",
            Arrival::LinkConnected => "link connected",
            Arrival::LinkBytes(_) => "link bytes",
            Arrival::LinkBroken => "link broken",
            Arrival::Hop(_) => "hop",
            Arrival::HopReply(_) => "reply",
            Arrival::Acked(_) => "acked",
            Arrival::UserRead(_) => "read",
        }
    }
}

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
    /// The catalog.
    pub snapshot: Arc<Snapshot>,
    /// Signing keys, the same on every node.
    pub keys: Arc<Keys>,
}

/// One life of a node.
pub struct Node {
    /// Its place among the nodes.
    pub index: usize,
    /// The shards.
    pub shards: Vec<Shard>,
    /// The journal's side.
    pub journal: Journal,
    /// The side of SQL that writes.
    pub writer: Writer,
    /// The side of SQL that reads.
    pub reader: ReaderSide,
    /// The keeper of Redis.
    pub keeper: KeeperSide,
    /// Who drains lists, where records queue there.
    pub lists: Option<Lists>,
    /// Between shards and keeper.
    pub redis_status: RedisStatus,
    /// Watermarks.
    pub marks: Marks,
    /// It listens: its journal has taken records.
    pub is_ready: bool,
}

/// The journal's set of a node.
pub fn set_of(index: usize) -> SetId {
    SetId(0x1234_5678_9abc_def0_0fed_cba9_8765_0000 + u128::from(number(index)))
}

impl Node {
    /// Starts a node on what is on its disk. SQL may not answer, then the writer asks again.
    pub fn boot(
        index: usize,
        scene: &mut Scene,
        disk: &Disk,
        sql: &mut Sql,
        parts: &Parts,
    ) -> Node {
        scene.nodes[index].life += 1;
        let shards = scene.config.shards[index];
        let set = set_of(index);
        let claimed = sql.claim(&format!("journal {index}")).ok();
        let applied = match claimed {
            Some((_, applied)) => applied,
            None => recovery::retired(disk).expect("the disk can be read"),
        };
        let options = RecoverOptions { applied, fresh_set: set, skip_damaged: false };
        let recovered = recover(disk, options).expect("a journal after a kill is whole");
        let end = Sequence(recovered.start.next.0 - 1);
        let figures = [number(index), applied.0, end.0, u64::from(claimed.is_some())];
        scene.note("boot", &figures, &[]);
        let seek = || Tail::seek(disk, set, Sequence(applied.0 + 1), Vec::new());
        let tail = seek().expect("the journal has what SQL lacks");
        let left = unmerged::collect(disk, seek().expect("as before"), end);
        let left = left.expect("the disk can be read");
        let wakers = (0..shards).map(|_| Arc::new(Waker::new().expect("a descriptor")));
        let redis_status = RedisStatus::new(wakers.collect()).expect("a descriptor");
        unmerged::announce(&redis_status, &left, end, shards);
        let clock = NodeClock::start(scene.mono(index), scene.wall(index), recovered.start.newest);
        let claim = claimed.map(|(claim, _)| claim);
        let writer = Writer::new(index, claim, tail, applied);
        let reader = ReaderSide::new(recovered.unapplied);
        let journal = Journal::new(recovered.start, shards, clock, scene);
        let node_id = NodeId(set.0);
        let shards: Vec<Shard> = (0..shards)
            .map(|shard| {
                let place = Place { node: index, shard: ShardId(shard), shards };
                let own = unmerged::of_shard(&left, place.shard, shards);
                Shard::new(scene, &place, clock, parts, (end, own))
            })
            .collect();
        let lists = scene.config.has_lists.then(Lists::default);
        let share = lists.as_ref().map(|lists| Arc::clone(&lists.share));
        let keeper = KeeperSide::new(node_id, scene.nodes[index].life, share);
        let marks = Marks { written: end, applied, is_refusing: false };
        let is_ready = false;
        let mut node = Node {
            index,
            shards,
            journal,
            writer,
            reader,
            keeper,
            lists,
            redis_status,
            marks,
            is_ready,
        };
        for shard in 0..node.shards.len() {
            node.shards[shard].wake(index, shard, scene);
        }
        node.journal.wake(index, scene);
        node.writer.wake(index, scene);
        node.keeper.wake(index, scene);
        if node.lists.is_some() {
            Lists::wake(index, scene);
        }
        node
    }

    /// Something arrives for a shard in a lane.
    pub fn push(&mut self, shard: usize, queue: usize, arrival: Arrival, scene: &mut Scene) {
        self.shards[shard].queues[queue].push_back(arrival);
        self.shards[shard].wake(self.index, shard, scene);
    }

    /// A state that was read arrives.
    pub fn arrive_read(&mut self, shard: usize, read: UserRead, scene: &mut Scene) {
        self.push(shard, READS, Arrival::UserRead(read), scene);
    }

    /// An acknowledgement arrives.
    pub fn arrive_ack(&mut self, ack: Ack, scene: &mut Scene) {
        self.push(ack.shard.index(), ACKS, Arrival::Acked(ack), scene);
    }

    /// Lets every shard turn: there is news for them.
    pub fn wake_shards(&mut self, scene: &mut Scene) {
        for shard in 0..self.shards.len() {
            self.shards[shard].wake(self.index, shard, scene);
        }
    }

    /// A shard's turn; gives what the network has to do, and what goes to the journal.
    pub fn turn(&mut self, shard: usize, scene: &mut Scene) -> Vec<Effect> {
        let news = (self.marks, self.redis_status.view());
        let effects = self.shards[shard].turn((self.index, shard), news, scene);
        let mut outside = Vec::new();
        for effect in effects {
            match effect {
                Effect::Hop { to, hop } => {
                    self.push(to.index(), LANES + shard, Arrival::Hop(hop), scene);
                }
                Effect::HopReply { to, reply } => {
                    let lane = LANES + self.shards.len() + shard;
                    self.push(to.index(), lane, Arrival::HopReply(reply), scene);
                }
                Effect::ReadUser(request) => {
                    self.reader.reading.requests.push_back(request);
                    self.reader.wake(self.index, scene);
                }
                Effect::Report(ShardReport::Promised { bytes }) => {
                    self.journal.promised[shard] = bytes;
                    self.journal.wake(self.index, scene);
                }
                Effect::Report(report) => self.report(ShardId(shard_number(shard)), report),
                other => outside.push(other),
            }
        }
        if self.redis_status.lost_count() > 0 {
            self.keeper.hurry(self.index, scene);
        }
        outside
    }

    fn report(&mut self, shard: ShardId, report: ShardReport) {
        match report {
            ShardReport::Lost(partition) => {
                self.redis_status.report_lost(partition);
            }
            ShardReport::Run { run, evicts, syncs_always } => {
                self.redis_status
                    .report_found(shard, ServerFound::Server { run, evicts, syncs_always });
            }
            ShardReport::Denied => self.redis_status.report_denied(),
            ShardReport::Incompatible(unfit) => {
                self.redis_status.report_found(shard, ServerFound::Incompatible(unfit))
            }
            ShardReport::Compared { run } => self.redis_status.report_compared(shard, run),
            ShardReport::Journal { acked, unmerged } => {
                self.redis_status.report_journal(shard, acked, unmerged);
            }
            ShardReport::Promised { .. } => unreachable!("it goes to the journal"),
        }
    }

    /// What this node has reached.
    pub fn progress(&self) -> NodeProgress {
        let of = |number: fn(&Shard) -> u64| self.shards.iter().map(number).collect();
        NodeProgress {
            turns: of(|shard| shard.turns),
            pushed: of(|shard| shard.pushed),
            acknowledged: self.journal.acknowledged.clone(),
            written: self.marks.written,
            applied: self.marks.applied,
            is_halted: self.writer.following.is_halted(),
            drained: self.lists.as_ref().map(|lists| lists.share.rounds()),
        }
    }
}

fn shard_number(index: usize) -> u16 {
    u16::try_from(index).expect("few shards")
}
