//! Between nodes and Redis: connections of shards with bytes in both directions, late, in pieces,
//! broken in the middle of anything, and the questions that keepers ask and wait for. Owns Redis
//! and when it hears what; knows nothing of what the bytes mean.
//!
//! What a connection still carried when its node gave it up may be executed all the same, however
//! late: that is what a frozen Redis does with what lies in its buffers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use nudged_redis::request::OwnedReply;
use nudged_shard::seam::Input;

use super::freshness::States;
use super::redis_model::{Data, Redis, Words, take_command, write_answer, write_push};
use super::scene::{MS, Scene, Task, US, number};
use super::shard::{Arrival, LINK};

/// A question that is not answered for so long has failed.
const ASK_TIMEOUT_NS: u64 = 2_000 * MS;

/// A shard's connection.
#[derive(Default)]
struct Pipe {
    node: usize,
    shard: usize,
    is_of_node: bool,
    is_of_redis: bool,
    /// It is broken, and the node has not heard of it.
    is_broken: bool,
    to_redis: VecDeque<(u64, Vec<u8>)>,
    /// An empty piece is the end.
    to_node: VecDeque<(u64, Vec<u8>)>,
    input: Vec<u8>,
    channels: BTreeSet<Vec<u8>>,
}

/// What a question came to.
pub enum Asked {
    /// Everything was executed.
    Answers(Vec<OwnedReply>),
    /// The connection is lost; nobody knows how far it came.
    Broken,
    /// Redis is silent: to be asked again then.
    Wait(u64),
    /// Redis is silent for too long: the question has failed then.
    TimesOut(u64),
}

/// A connection on which questions are asked: the run and the cuts of its making.
pub type Seat = Option<(u64, u64)>;

/// Redis and the ways to it.
#[derive(Default)]
pub struct Pipes {
    pub redis: Redis,
    /// Whether its process is gone.
    pub is_down: bool,
    /// It stands still until then.
    pub frozen_until: u64,
    /// It will stand still for so long behind the next change that a shard makes.
    pub freezes_behind_change: Option<u64>,
    /// What is in its file.
    pub saved: Data,
    /// What arrived at shards.
    pub arrivals: Vec<(usize, usize, Arrival)>,
    /// What Redis had of users.
    pub states: States,
    pipes: BTreeMap<u64, Pipe>,
    made: u64,
    /// Questions that nobody waits for any more, to be executed when Redis goes on.
    orphans: Vec<(u64, Vec<Words>)>,
}

impl Pipes {
    /// An empty Redis that runs.
    pub fn new() -> Pipes {
        Pipes { redis: Redis::new(), ..Pipes::default() }
    }

    /// A shard wants a connection.
    pub fn connect(&mut self, node: usize, shard: usize, scene: &mut Scene) {
        self.made += 1;
        let pipe = Pipe { node, shard, is_of_node: true, ..Pipe::default() };
        self.pipes.insert(self.made, pipe);
        let wait = way(scene);
        scene.after(wait, Task::Connects(self.made));
    }

    /// The connection is made, or can't be had.
    pub fn connects(&mut self, id: u64, scene: &mut Scene) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let outside = &scene.nodes[pipe.node];
        if outside.silent_until > scene.now {
            let until = outside.silent_until;
            return scene.at(until, Task::Connects(id));
        }
        let (node, shard) = (pipe.node, pipe.shard);
        let is_refused = self.is_down || outside.refused_until > scene.now;
        if !pipe.is_of_node || is_refused {
            let is_of_node = pipe.is_of_node;
            self.pipes.remove(&id);
            if is_of_node {
                let broken = Input::Broken { connection: LINK };
                self.arrivals.push((node, shard, broken.into()));
            }
            return;
        }
        pipe.is_of_redis = true;
        let connected = Input::Connected { connection: LINK };
        self.arrivals.push((node, shard, connected.into()));
    }

    /// The shard's connection.
    fn of(&mut self, node: usize, shard: usize) -> Option<(u64, &mut Pipe)> {
        let is_own = |pipe: &Pipe| pipe.is_of_node && (pipe.node, pipe.shard) == (node, shard);
        let found = self.pipes.iter_mut().find(|(_, pipe)| is_own(pipe));
        found.map(|(id, pipe)| (*id, pipe))
    }

    pub fn send(&mut self, (node, shard): (usize, usize), bytes: &[u8], scene: &mut Scene) {
        let Some((id, pipe)) = self.of(node, shard).filter(|(_, pipe)| !pipe.is_broken) else {
            return;
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let draw = &mut scene.streams.network;
            let count = match scene.config.is_split && draw.one_in(3) {
                true => draw.index(rest.len()) + 1,
                false => rest.len(),
            };
            let (piece, later) = rest.split_at(count);
            rest = later;
            let earliest = pipe.to_redis.back().map_or(0, |(at, _)| *at);
            let at = earliest.max(scene.now + way(scene));
            pipe.to_redis.push_back((at, piece.to_vec()));
            scene.at(at, Task::ReachRedis(id));
        }
    }

    /// A shard, or its process, gives its connection up.
    pub fn close(&mut self, node: usize, shard: usize, scene: &mut Scene) {
        let is_dropped = scene.streams.network.one_in(2);
        let Some((id, pipe)) = self.of(node, shard) else { return };
        pipe.is_of_node = false;
        if is_dropped || !pipe.is_of_redis {
            self.pipes.remove(&id);
        }
    }

    /// A node's connections break: of what was on its way any part has arrived.
    pub fn cut(&mut self, node: usize, scene: &mut Scene) {
        scene.nodes[node].cuts += 1;
        let own = self.pipes.iter().filter(|(_, pipe)| pipe.node == node && pipe.is_of_redis);
        let own: Vec<u64> = own.map(|(id, _)| *id).collect();
        for id in own {
            self.break_off(id, scene);
        }
    }

    fn break_off(&mut self, id: u64, scene: &mut Scene) {
        let Some(pipe) = self.pipes.get_mut(&id).filter(|pipe| !pipe.is_broken) else { return };
        pipe.is_broken = true;
        let draw = &mut scene.streams.network;
        let (sent, told) = (pipe.to_redis.len(), pipe.to_node.len());
        pipe.to_redis.truncate(draw.index(sent + 1));
        pipe.to_node.truncate(draw.index(told + 1));
        let last = pipe.to_node.back().map_or(0, |(at, _)| *at);
        let at = last.max(scene.now + way(scene));
        pipe.to_node.push_back((at, Vec::new()));
        scene.at(at, Task::ReachNode(id));
        // What has arrived is still executed; nobody hears of it.
        pipe.channels.clear();
    }

    pub fn reach_redis(&mut self, id: u64, scene: &mut Scene) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let until = scene.nodes[pipe.node].silent_until.max(self.frozen_until);
        if until > scene.now {
            return scene.at(until, Task::ReachRedis(id));
        }
        if self.is_down || !pipe.is_of_redis {
            return;
        }
        while pipe.to_redis.front().is_some_and(|(at, _)| *at <= scene.now) {
            let (_, bytes) = pipe.to_redis.pop_front().expect("just seen");
            pipe.input.extend_from_slice(&bytes);
        }
        while let Some(words) =
            self.pipes.get_mut(&id).and_then(|pipe| take_command(&mut pipe.input))
        {
            self.execute(id, &words, scene);
        }
    }

    fn execute(&mut self, id: u64, words: &Words, scene: &mut Scene) {
        scene.note("redis", &[id], &words.iter().flatten().copied().collect::<Vec<u8>>());
        let mut reply = Vec::new();
        if words[0] == b"SUBSCRIBE" {
            let pipe = self.pipes.get_mut(&id).expect("it has just spoken");
            for (channel, count) in words[1..].iter().zip(1_u64..) {
                pipe.channels.insert(channel.clone());
                write_push(&[b"subscribe", channel, count.to_string().as_bytes()], &mut reply);
            }
            return self.tell(id, reply, scene);
        }
        let answer = self.redis.execute(scene.redis_ms(), words);
        for (key, value, is_told) in std::mem::take(&mut self.redis.commits) {
            if let Some(lasts) = self.freezes_behind_change.take() {
                self.freeze(lasts, scene);
            }
            self.states.push(key, &value, is_told, scene.now);
        }
        write_answer(&answer, &mut reply);
        let is_reply_first = scene.streams.network.one_in(2);
        if is_reply_first {
            self.tell(id, std::mem::take(&mut reply), scene);
        }
        self.publish(scene);
        if !is_reply_first {
            self.tell(id, reply, scene);
        }
    }

    fn publish(&mut self, scene: &mut Scene) {
        for (channel, message) in std::mem::take(&mut self.redis.published) {
            let hears = |(_, pipe): &(&u64, &Pipe)| pipe.channels.contains(&channel);
            let hearers: Vec<u64> = self.pipes.iter().filter(hears).map(|(id, _)| *id).collect();
            for id in hearers {
                let mut push = Vec::new();
                write_push(&[b"message", &channel, &message], &mut push);
                self.tell(id, push, scene);
            }
        }
    }

    fn tell(&mut self, id: u64, bytes: Vec<u8>, scene: &mut Scene) {
        let pipe = self.pipes.get_mut(&id).expect("the caller has seen it");
        if !pipe.is_of_node || pipe.is_broken {
            return;
        }
        let earliest = pipe.to_node.back().map_or(0, |(at, _)| *at);
        let at = earliest.max(scene.now + way(scene));
        pipe.to_node.push_back((at, bytes));
        scene.at(at, Task::ReachNode(id));
    }

    pub fn reach_node(&mut self, id: u64, scene: &mut Scene) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        // It stands still behind what it has done too, before it has said so.
        let until = scene.nodes[pipe.node].silent_until.max(self.frozen_until);
        if until > scene.now {
            return scene.at(until, Task::ReachNode(id));
        }
        let mut is_over = false;
        while pipe.to_node.front().is_some_and(|(at, _)| *at <= scene.now) {
            let (_, mut bytes) = pipe.to_node.pop_front().expect("just seen");
            let place = (pipe.node, pipe.shard);
            is_over |= bytes.is_empty();
            if !pipe.is_of_node {
                continue;
            }
            if is_over {
                pipe.is_of_node = false;
                let broken = Input::Broken { connection: LINK };
                self.arrivals.push((place.0, place.1, broken.into()));
                continue;
            }
            if scene.config.is_split && scene.streams.network.one_in(4) {
                let rest = bytes.split_off(scene.streams.network.index(bytes.len()));
                if !bytes.is_empty() {
                    self.arrivals.push((place.0, place.1, Arrival::Bytes(LINK, bytes)));
                }
                bytes = rest;
            }
            self.arrivals.push((place.0, place.1, Arrival::Bytes(LINK, bytes)));
        }
        if is_over && pipe.to_redis.is_empty() {
            self.pipes.remove(&id);
        }
    }

    pub fn freeze(&mut self, lasts: u64, scene: &Scene) {
        self.frozen_until = self.frozen_until.max(scene.now + lasts);
    }

    /// The process of Redis ends.
    pub fn kill(&mut self, scene: &mut Scene) {
        self.is_down = true;
        self.frozen_until = 0;
        self.orphans.clear();
        let all: Vec<u64> = self.pipes.keys().copied().collect();
        for id in all {
            self.break_off(id, scene);
            if let Some(pipe) = self.pipes.get_mut(&id) {
                pipe.to_redis.clear();
                pipe.is_of_redis = false;
            }
        }
    }

    /// A process of Redis begins on this.
    pub fn start(&mut self, data: Data) {
        self.redis.restart(data);
        self.is_down = false;
    }

    /// Asks and waits. `seat` is the connection, made where there is none.
    pub fn ask(
        &mut self,
        node: usize,
        seat: &mut Seat,
        commands: &[Words],
        scene: &mut Scene,
    ) -> Asked {
        let outside = scene.nodes[node];
        let silent_until = outside.silent_until.max(self.frozen_until);
        let here = (self.redis.run, outside.cuts);
        let is_refused = self.is_down || seat.is_none() && outside.refused_until > scene.now;
        let is_lost = seat.is_some_and(|seat| seat != here);
        if is_refused || is_lost {
            *seat = None;
            return Asked::Broken;
        }
        *seat = Some(here);
        if silent_until > scene.now {
            if silent_until <= scene.now + ASK_TIMEOUT_NS {
                return Asked::Wait(silent_until);
            }
            self.orphans.push((silent_until, commands.to_vec()));
            *seat = None;
            return Asked::TimesOut(scene.now + ASK_TIMEOUT_NS);
        }
        self.execute_orphans(scene);
        let draw = &mut scene.streams.keeper;
        let is_cut = !scene.is_calm && outside.cuts > 0 && draw.one_in(60);
        let count = if is_cut { draw.index(commands.len() + 1) } else { commands.len() };
        let answers: Vec<OwnedReply> = commands[..count]
            .iter()
            .map(|words| self.redis.execute(scene.redis_ms(), words))
            .collect();
        self.publish(scene);
        if is_cut {
            *seat = None;
            return Asked::Broken;
        }
        Asked::Answers(answers)
    }

    /// What nobody waits for any more is executed where Redis has gone on.
    fn execute_orphans(&mut self, scene: &mut Scene) {
        let (due, later) = std::mem::take(&mut self.orphans)
            .into_iter()
            .partition(|(until, _)| *until <= scene.now);
        self.orphans = later;
        for (until, commands) in due {
            scene.note("late questions", &[until, number(commands.len())], &[]);
            for words in commands {
                self.redis.execute(scene.redis_ms(), &words);
            }
        }
    }
}

/// The time that a way takes.
fn way(scene: &mut Scene) -> u64 {
    let longest = if scene.is_calm { 500 } else { scene.config.redis_us };
    scene.streams.network.skewed(longest) * US
}
