//! Between clients and nodes: bytes cut and merged, sends that take a part or fail, closes in any
//! order; and what else a shard's turn wants of the world outside its node. Owns when bytes travel;
//! knows nothing of what they say.

use nudged_base::limits::ACK_DEADLINE_MS;
use nudged_shard::seam::{Effect, Input};

use super::client::{self, Client, Place};
use super::config::Cut;
use super::history::{Event, Question, RecordPlace, Show, show_of};
use super::node::Node;
use super::scene::{MS, Scene, Task, US, number};
use super::shard::{Arrival, CLIENTS, FROM_REDIS, LINK, Line};
use super::wire::Reply;
use super::world::World;

impl World {
    /// A client does something: connects, asks, or closes.
    pub fn act(&mut self, index: usize) {
        if self.clients[index].acts_left == 0 {
            return;
        }
        let Scene { config, streams, .. } = &mut self.scene;
        let think = streams.workload.skewed(config.think_ms * 1_000) * US;
        let (pipeline_max, is_patient) = (config.pipeline_max, config.patience_ms == 0);
        let client = &self.clients[index];
        if !is_patient && client.waiting.len() >= pipeline_max {
            self.scene.after(think, Task::Act(index));
            return;
        }
        if !self.connect(index) {
            self.scene.after(50 * MS, Task::Act(index));
            return;
        }
        self.clients[index].acts_left -= 1;
        for _ in 0..self.scene.streams.workload.skewed(16) {
            let client = &self.clients[index];
            if client.waiting.len() >= pipeline_max || client.ends_after {
                break;
            }
            let (question, bytes) = client::ask(&mut self.scene, &self.history);
            self.send(index, question, &bytes);
        }
        let one_in = self.scene.config.one_in_client_close;
        if self.scene.is_fault(|streams| &mut streams.network, one_in) {
            self.leave(index);
        }
        self.deliver_later(index);
        self.scene.after(think, Task::Act(index));
    }

    /// Keeps the connection, or makes one to any node that listens.
    fn connect(&mut self, index: usize) -> bool {
        let (one_in_move, has_redis) = (self.scene.config.one_in_move, self.scene.config.has_redis);
        let has_place = self.clients[index].place.is_some();
        if has_place && !self.scene.streams.network.one_in(one_in_move) {
            return true;
        }
        let is_listening =
            |node: &Option<Node>| node.as_ref().is_some_and(|node| node.is_ready || !has_redis);
        let running: Vec<usize> =
            (0..self.nodes.len()).filter(|node| is_listening(&self.nodes[*node])).collect();
        if running.is_empty() {
            return has_place;
        }
        let node = running[self.scene.streams.network.index(running.len())];
        self.connect_to(index, node);
        true
    }

    /// Leaves the connection and makes one to this node.
    pub fn connect_to(&mut self, index: usize, to: usize) {
        self.break_off(index);
        let life = self.scene.nodes[to].life;
        let scene = &mut self.scene;
        let node = self.nodes[to].as_mut().expect("the caller has seen that it runs");
        let shard = scene.streams.network.index(node.shards.len());
        let line = node.shards[shard].free_line();
        *node.shards[shard].line(line) =
            Line { client: Some(index), is_open: true, ..Line::default() };
        self.clients[index].connect(Place { node: to, life, shard, line });
        let accepted = Input::Accepted { connection: line, listener: 0 };
        node.push(shard, CLIENTS, accepted, scene);
    }

    /// Sends a question on the client's connection.
    pub fn send(&mut self, index: usize, question: Question, bytes: &[u8]) {
        self.history.ask(&question);
        let client = &mut self.clients[index];
        client.send(question, bytes, self.scene.now);
        let (patience_ms, number) = (self.scene.config.patience_ms, client.questions);
        if patience_ms > 0 {
            self.scene.after(patience_ms * MS, Task::GiveUp(index, number));
        }
    }

    pub fn give_up(&mut self, index: usize, question: u64) {
        let client = &self.clients[index];
        if !client.waiting.iter().any(|waiting| waiting.number == question) {
            return;
        }
        let patience = self.scene.config.patience_ms * MS;
        let is_excused = client.place.is_none_or(|place| {
            self.scene.nodes[place.node].troubled_until + patience > self.scene.now
        });
        assert!(is_excused, "client {index} was not answered by a node that runs");
        self.break_off(index);
    }

    /// A client ends its direction, in the middle of a request even, or breaks the connection.
    fn leave(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let draw = &mut self.scene.streams.network;
        match draw.below(3) {
            0 => client.ends_after = true,
            1 => {
                let bytes = draw.index(client.outgoing.len() + 1);
                client.cut(bytes);
            }
            _ => self.break_off(index),
        }
    }

    /// A client breaks its connection.
    fn break_off(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Some(place) = client.place else { return };
        client.disconnect(&mut self.history);
        if place.life == self.scene.nodes[place.node].life
            && let Some(node) = &mut self.nodes[place.node]
        {
            node.shards[place.shard].line(place.line).client = None;
            let broken = Input::Broken { connection: place.line };
            node.push(place.shard, CLIENTS, broken, &mut self.scene);
        }
    }

    /// Ends the direction of a client that has nothing more to ask.
    pub fn end_client(&mut self, index: usize) {
        self.clients[index].ends_after = true;
        self.deliver_later(index);
    }

    /// Lets bytes of a client arrive after a while, or its end.
    pub fn deliver_later(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let Some(place) = client.place else { return };
        let has_work = !client.outgoing.is_empty() || (client.ends_after && !client.has_ended);
        if has_work && !client.is_delivering {
            client.is_delivering = true;
            let wait = self.scene.streams.network.skewed(self.scene.config.network_us) * US;
            self.scene.after(wait, Task::Deliver(place.node, index));
        }
    }

    /// Some bytes of a client arrive.
    pub fn deliver(&mut self, node: usize, index: usize) {
        let client = &mut self.clients[index];
        let Some(place) = client.place.filter(|place| place.node == node) else { return };
        client.is_delivering = false;
        let Some(node) = &mut self.nodes[node] else { return };
        let (shard, line) = (place.shard, place.line);
        let is_paused = node.shards[shard].line(line).is_paused;
        // Bytes that were received before the pause was heard of still come.
        if is_paused && !self.scene.streams.network.one_in(10) {
            return;
        }
        let scene = &mut self.scene;
        let count = match scene.config.cut {
            _ if scene.is_calm => usize::MAX,
            Cut::Whole => usize::MAX,
            Cut::Tiny => scene.streams.network.index(24) + 1,
            Cut::Any => scene.streams.network.index(client.outgoing.len()) + 1,
        };
        let bytes = client.deliver(count, scene.now);
        if !bytes.is_empty() {
            node.push(shard, CLIENTS, Arrival::Bytes(line, bytes), scene);
        }
        if client.outgoing.is_empty() && client.ends_after && !client.has_ended {
            client.has_ended = true;
            node.push(shard, CLIENTS, Input::PeerClosed { connection: line }, scene);
        }
        self.deliver_later(index);
    }

    /// Carries out what a shard's turn wants of the world outside its node.
    pub fn carry_out(&mut self, node: usize, shard: usize, effects: Vec<Effect>) {
        for effect in effects {
            let scene = &mut self.scene;
            let own = self.nodes[node].as_mut().expect("its shard has just turned");
            match effect {
                Effect::Append(batch) => {
                    let (life, batch_number) =
                        (scene.nodes[node].life, own.shards[shard].pushed + 1);
                    let place = RecordPlace { node, life, shard, batch: batch_number };
                    self.history.appended(&batch.bytes, place, &self.parts.keys, scene.now);
                    own.append(shard, batch, scene);
                }
                Effect::Connect { connection } => {
                    assert_eq!(connection, LINK, "nothing else is connected to");
                    self.pipes.connect(node, shard, scene);
                }
                Effect::Send { connection: LINK, buffer } => {
                    let draw = &mut scene.streams.network;
                    let is_part = scene.config.is_split && draw.one_in(8);
                    let taken = if is_part { draw.index(buffer.len()) + 1 } else { buffer.len() };
                    self.pipes.send((node, shard), &buffer[..taken], scene);
                    let sent = Input::Sent { connection: LINK, buffer, sent: Some(taken) };
                    own.push(shard, FROM_REDIS, sent, scene);
                }
                Effect::Close { connection: LINK, .. } => {
                    self.pipes.close(node, shard, scene);
                    own.shards[shard].forget_link();
                }
                Effect::Send { connection, buffer } => {
                    let line = own.shards[shard].line(connection);
                    assert!(line.sending.is_none(), "one send a connection at a time");
                    assert!(!buffer.is_empty(), "an empty send says nothing");
                    line.sending = Some(buffer);
                    let wait = scene.streams.network.skewed(scene.config.network_us) * US;
                    scene.after(wait, Task::SendEnds(node, shard, connection));
                }
                Effect::Close { connection, reset } => self.close(node, shard, connection, reset),
                effect => self.pace((node, shard), &effect),
            }
        }
    }

    /// Carries out what a shard wants of a connection's directions.
    fn pace(&mut self, (node, shard): (usize, usize), effect: &Effect) {
        let own = self.nodes[node].as_mut().expect("its shard has just turned");
        match *effect {
            // As of a kernel that does not say.
            Effect::AskUntaken { .. } => {}
            Effect::StopReading { connection } => {
                own.shards[shard].line(connection).is_paused = true;
            }
            Effect::ResumeReading { connection } => {
                let line = own.shards[shard].line(connection);
                line.is_paused = false;
                if let Some(client) = line.client {
                    self.deliver_later(client);
                }
            }
            Effect::ShutDown { connection } => {
                let line = own.shards[shard].line(connection);
                assert!(line.sending.is_none(), "all is sent before the end");
                if let Some(client) = line.client {
                    // The client sees the end, and ends its own direction.
                    self.clients[client].hold_to_end();
                    self.clients[client].outgoing.clear();
                    self.end_client(client);
                }
            }
            Effect::Finished => own.shards[shard].is_finished = true,
            ref other => unreachable!("{other:?} is not of the network"),
        }
    }

    fn close(&mut self, node: usize, shard: usize, connection: u32, is_reset: bool) {
        let own = self.nodes[node].as_mut().expect("its shard has just turned");
        let line = own.shards[shard].line(connection);
        line.is_closing = true;
        let is_sending = line.sending.is_some();
        if is_reset && let Some(client) = line.client.take() {
            self.clients[client].disconnect(&mut self.history);
        }
        if !is_sending {
            self.end_line(node, shard, connection);
        }
    }

    /// Nothing is under way for a line that the shard has given up: its number is free.
    fn end_line(&mut self, node: usize, shard: usize, number: u32) {
        let own = self.nodes[node].as_mut().expect("it has this line");
        let client = own.shards[shard].line(number).client;
        own.shards[shard].forget_line(number);
        if let Some(client) = client {
            self.clients[client].hold_to_end();
            self.clients[client].disconnect(&mut self.history);
        }
    }

    /// A send ends: all or a part of its bytes have reached the client.
    pub fn send_ends(&mut self, node: usize, shard: usize, number: u32) {
        let Some(own) = &mut self.nodes[node] else { return };
        let line = own.shards[shard].line(number);
        let (client, is_closing) = (line.client, line.is_closing);
        let Some(buffer) = line.sending.take() else { return };
        let scene = &mut self.scene;
        let (part, error) = (scene.config.one_in_part_sent, scene.config.one_in_send_error);
        let sent = if client.is_none() || scene.is_fault(|streams| &mut streams.network, error) {
            None
        } else if scene.is_fault(|streams| &mut streams.network, part) {
            Some(scene.streams.network.index(buffer.len()) + 1)
        } else {
            Some(buffer.len())
        };
        match (client, sent) {
            (Some(client), Some(count)) => self.hear(client, &buffer[..count]),
            (Some(client), None) => {
                self.clients[client].disconnect(&mut self.history);
            }
            _ => {}
        }
        let own = self.nodes[node].as_mut().expect("just seen");
        if sent.is_none() {
            own.shards[shard].line(number).client = None;
        }
        let sent = Input::Sent { connection: number, buffer, sent };
        own.push(shard, CLIENTS, sent, &mut self.scene);
        if is_closing {
            self.end_line(node, shard, number);
        }
    }

    /// A process ends: of each send that was under way any part has reached its client.
    pub fn cut_off(&mut self, node: &Node) {
        for line in node.shards.iter().flat_map(|shard| &shard.lines) {
            let (Some(client), Some(buffer)) = (line.client, &line.sending) else { continue };
            let count = self.scene.streams.network.index(buffer.len() + 1);
            self.hear(client, &buffer[..count]);
        }
        let is_own = |client: &&mut Client| client.place.is_some_and(|at| at.node == node.index);
        let clients = self.clients.iter_mut().filter(is_own);
        clients.for_each(|client| client.disconnect(&mut self.history));
    }

    /// Bytes reach a client: whole answers are held against their questions.
    fn hear(&mut self, index: usize, bytes: &[u8]) {
        let client = &mut self.clients[index];
        let Place { node, life, .. } = client.place.expect("who hears is connected");
        let now = self.scene.now;
        for (waiting, reply) in client.receive(bytes) {
            let told = format!("{} to {:?}: {:?}", reply.status, waiting.question, reply.fields());
            self.scene.note("answer", &[number(index), number(node)], told.as_bytes());
            if self.scene.config.has_redis {
                self.hold_time(node, waiting.reached_at, &reply);
                self.hold_fresh(&waiting.question, &reply, waiting.sent_at);
            }
            let sent_at = waiting.sent_at;
            let show = Show { node, life, sent_at, answered_at: now, ..Show::default() };
            let rests_on = self.history.answer(&waiting.question, &reply, show, &self.parts.keys);
            rests_on.iter().for_each(|event| self.hold_acknowledged(event));
        }
    }

    /// The record that an answer rests on is acknowledged, in a life that has ended or by the
    /// journal of one that runs. A list has it by the commit.
    fn hold_acknowledged(&self, event: &Event) {
        let is_acknowledged = |place: &RecordPlace| {
            let RecordPlace { node, life, shard, batch } = *place;
            let running = self.nodes[node].as_ref().filter(|_| life == self.scene.nodes[node].life);
            running.is_none_or(|node| node.journal.acknowledged[shard] >= batch)
        };
        let key = (show_of(&self.parts.keys, &event.0), event.1);
        let places = self.history.records.get(&key).map_or(&[][..], Vec::as_slice);
        let is_held = places.iter().any(is_acknowledged) || self.scene.config.has_lists;
        assert!(is_held, "{event:?} was answered before its record is acknowledged: {places:?}");
    }

    /// An answer comes by the deadlines of Redis and of SQL and the time that the journal takes,
    /// unless the node stood still.
    fn hold_time(&self, node: usize, reached_at: Option<u64>, reply: &Reply) {
        let Some(reached_at) = reached_at else { return };
        let Scene { config, nodes, now, .. } = &self.scene;
        let took = now - reached_at;
        // What waits for a disk that takes nothing is given up.
        let given_up_ms = if config.has_disk_faults() { ACK_DEADLINE_MS } else { 0 };
        let bound_ms = 100 + 12 * config.pause_ms + given_up_ms;
        let bound = bound_ms * MS + 12 * config.disk_us * US;
        let was_frozen = nodes[node].frozen_until >= reached_at;
        assert!(was_frozen || took <= bound, "an answer took {} ms: {reply:?}", took / MS);
    }
}
