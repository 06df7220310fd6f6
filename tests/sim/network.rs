//! Between clients and shards: bytes cut and merged, sends that take a part or fail, closes in any
//! order. Owns when bytes travel; knows nothing of what they say.

use nudged_shard::seam::Effect;

use super::client;
use super::config::Cut;
use super::node::{Arrival, Line, Node};
use super::scene::{MS, US, What};
use super::world::World;

/// Requests that a client has on their way at most: more than a shard takes.
const UNANSWERED_MAX: usize = 24;

impl World {
    /// A client does something: connects, asks, or closes.
    pub fn act(&mut self, index: usize) {
        let Some(node) = &mut self.node else {
            self.scene.after(50 * MS, What::Act(index));
            return;
        };
        let client = &mut self.clients[index];
        if client.acts_left == 0 {
            return;
        }
        client.acts_left -= 1;
        let scene = &mut self.scene;
        if client.line.is_none() {
            let shard = scene.streams.network.index(node.shards.len());
            let number = node.free_line(shard);
            *node.line(shard, number) =
                Line { client: Some(index), is_open: true, ..Line::default() };
            client.connect((shard, number));
            node.arrive(shard, Arrival::Accepted(number), scene);
        }
        for _ in 0..scene.streams.workload.skewed(16) {
            if client.waiting() >= UNANSWERED_MAX || client.ends_after {
                break;
            }
            let (question, bytes) = client::ask(scene, &self.history);
            client.send(question, &bytes, &mut self.history);
        }
        let one_in = scene.config.one_in_client_close;
        if scene.is_fault(|streams| &mut streams.network, one_in) {
            self.leave(index);
        }
        self.deliver_later(index);
        let longest = self.scene.config.think_ms;
        let think = self.scene.streams.workload.skewed(longest * 1_000) * US;
        self.scene.after(think, What::Act(index));
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

    fn break_off(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let (Some((shard, number)), Some(node)) = (client.line, &mut self.node) else { return };
        client.disconnect(&mut self.history);
        node.line(shard, number).client = None;
        node.arrive(shard, Arrival::Broken(number), &mut self.scene);
    }

    /// Ends the direction of a client that has nothing more to ask.
    pub fn end_client(&mut self, index: usize) {
        self.clients[index].ends_after = true;
        self.deliver_later(index);
    }

    fn deliver_later(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let has_work = !client.outgoing.is_empty() || (client.ends_after && !client.has_ended);
        if client.line.is_some() && has_work && !client.is_delivering {
            client.is_delivering = true;
            let wait = self.scene.streams.network.skewed(2_000) * US;
            self.scene.after(wait, What::Deliver(index));
        }
    }

    /// Some bytes of a client arrive.
    pub fn deliver(&mut self, index: usize) {
        let client = &mut self.clients[index];
        client.is_delivering = false;
        let (Some((shard, number)), Some(node)) = (client.line, &mut self.node) else { return };
        let is_paused = node.line(shard, number).is_paused;
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
        let bytes = client.deliver(count);
        if !bytes.is_empty() {
            node.arrive(shard, Arrival::Bytes(number, bytes), scene);
        }
        if client.outgoing.is_empty() && client.ends_after && !client.has_ended {
            client.has_ended = true;
            node.arrive(shard, Arrival::Ended(number), scene);
        }
        self.deliver_later(index);
    }

    /// Carries out what a shard wants of its network.
    pub fn carry_out(&mut self, shard: usize, effects: Vec<Effect>) {
        for effect in effects {
            let Some(node) = &mut self.node else { return };
            match effect {
                Effect::Send { connection, buffer } => {
                    let line = node.line(shard, connection);
                    assert!(line.sending.is_none(), "one send a connection at a time");
                    assert!(!buffer.is_empty(), "an empty send says nothing");
                    line.sending = Some(buffer);
                    let wait = self.scene.streams.network.skewed(3_000) * US;
                    let what = What::SendEnds(shard, connection);
                    self.scene.after(wait, what);
                }
                // As of a kernel that does not say.
                Effect::AskUntaken { .. } => {}
                Effect::StopReading { connection } => {
                    node.line(shard, connection).is_paused = true;
                }
                Effect::ResumeReading { connection } => {
                    let line = node.line(shard, connection);
                    line.is_paused = false;
                    if let Some(client) = line.client {
                        self.deliver_later(client);
                    }
                }
                Effect::ShutDown { connection } => {
                    let line = node.line(shard, connection);
                    assert!(line.sending.is_none(), "all is sent before the end");
                    if let Some(client) = line.client {
                        // The client sees the end, and ends its own direction.
                        self.clients[client].hold_to_end();
                        self.clients[client].outgoing.clear();
                        self.clients[client].ends_after = true;
                        self.deliver_later(client);
                    }
                }
                Effect::Close { connection, reset } => self.close(shard, connection, reset),
                Effect::Finished => self.finished += 1,
                other => unreachable!("{other:?} is not of the network"),
            }
        }
    }

    fn close(&mut self, shard: usize, number: u32, is_reset: bool) {
        let Some(node) = &mut self.node else { return };
        let line = node.line(shard, number);
        line.is_closing = true;
        if is_reset && let Some(client) = line.client.take() {
            self.clients[client].disconnect(&mut self.history);
        }
        if line.sending.is_none() {
            self.end_line(shard, number);
        }
    }

    /// Nothing is under way for a line that the shard has given up: its number is free.
    fn end_line(&mut self, shard: usize, number: u32) {
        let Some(node) = &mut self.node else { return };
        let client = node.line(shard, number).client;
        *node.line(shard, number) = Line::default();
        node.forget_line(shard, number);
        if let Some(client) = client {
            self.clients[client].hold_to_end();
            self.clients[client].disconnect(&mut self.history);
        }
    }

    /// A send ends: all or a part of its bytes have reached the client.
    pub fn send_ends(&mut self, shard: usize, number: u32) {
        let scene = &mut self.scene;
        let Some(node) = &mut self.node else { return };
        let line = node.line(shard, number);
        let (client, is_closing) = (line.client, line.is_closing);
        let Some(buffer) = line.sending.take() else { return };
        let (part, error) = (scene.config.one_in_part_sent, scene.config.one_in_send_error);
        let sent = if client.is_none() || scene.is_fault(|streams| &mut streams.network, error) {
            None
        } else if scene.is_fault(|streams| &mut streams.network, part) {
            Some(scene.streams.network.index(buffer.len()) + 1)
        } else {
            Some(buffer.len())
        };
        match (client, sent) {
            (Some(client), Some(count)) => {
                let client = &mut self.clients[client];
                client.receive(&buffer[..count], &mut self.history, &self.parts.keys);
            }
            (Some(client), None) => {
                self.clients[client].disconnect(&mut self.history);
                node.line(shard, number).client = None;
            }
            _ => {}
        }
        node.arrive(shard, Arrival::Sent(number, buffer, sent), scene);
        if is_closing {
            self.end_line(shard, number);
        }
    }

    /// The process ends: of each send that was under way any part has reached its client.
    pub fn cut_off(&mut self, node: &mut Node) {
        for line in node.shards.iter_mut().flat_map(|shard| &mut shard.lines) {
            let (Some(client), Some(buffer)) = (line.client, &line.sending) else { continue };
            let count = self.scene.streams.network.index(buffer.len() + 1);
            let client = &mut self.clients[client];
            client.receive(&buffer[..count], &mut self.history, &self.parts.keys);
        }
        self.clients.iter_mut().for_each(|client| client.disconnect(&mut self.history));
    }
}
