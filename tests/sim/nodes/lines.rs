//! Between clients and nodes, and what a shard's turn wants done: sends that take a while, closes,
//! the link, records. A question comes whole and in its time; what pieces and halves do is the
//! subject of the world of one node.

use nudged_shard::seam::Effect;

use super::clients::Line as ClientLine;
use super::node::{Arrival, Node};
use super::scene::{Scene, US, What};
use super::shard::{CLIENTS, FROM_REDIS, LINK, Line};
use super::world::World;

impl Node {
    /// A client connects; gives the connection's number.
    pub fn accept(&mut self, shard: usize, client: usize, scene: &mut Scene) -> u32 {
        let number = self.shards[shard].free_line();
        *self.shards[shard].line(number) =
            Line { client: Some(client), is_open: true, ..Line::default() };
        self.push(shard, CLIENTS, Arrival::Accepted(number), scene);
        number
    }

    /// Bytes of a client arrive.
    pub fn hear(&mut self, line: ClientLine, bytes: Vec<u8>, scene: &mut Scene) {
        let (_, _, shard, number) = line;
        self.push(shard, CLIENTS, Arrival::Bytes(number, bytes), scene);
    }

    /// A client breaks its connection.
    pub fn hang_up(&mut self, (shard, number): (usize, u32), scene: &mut Scene) {
        self.shards[shard].line(number).client = None;
        self.push(shard, CLIENTS, Arrival::Broken(number), scene);
    }
}

impl World {
    /// Carries out what a shard's turn wants.
    pub fn carry_out(&mut self, node: usize, shard: usize, effects: Vec<Effect>) {
        for effect in effects {
            let scene = &mut self.scene;
            let own = self.nodes[node].as_mut().expect("its shard has just turned");
            match effect {
                Effect::Append(batch) => {
                    self.history.appended(&batch.bytes, scene.now);
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
                    let sent = Arrival::Sent(LINK, buffer, Some(taken));
                    own.push(shard, FROM_REDIS, sent, scene);
                }
                Effect::Close { connection: LINK, .. } => {
                    self.pipes.close(node, shard, scene);
                    own.shards[shard].forget_link();
                }
                Effect::Send { connection, buffer } => {
                    let line = own.shards[shard].line(connection);
                    assert!(line.sending.is_none(), "one send a connection at a time");
                    line.sending = Some(buffer);
                    let wait = scene.streams.network.skewed(300) * US;
                    scene.after(wait, What::SendEnds(node, shard, connection));
                }
                Effect::Close { connection, .. } => {
                    let line = own.shards[shard].line(connection);
                    line.is_closing = true;
                    if line.sending.is_none() {
                        self.end_line(node, shard, connection);
                    }
                }
                // Nobody's send takes so long that it is asked after.
                Effect::StopReading { .. }
                | Effect::ResumeReading { .. }
                | Effect::AskUntaken { .. } => {}
                Effect::ShutDown { connection } => {
                    own.push(shard, CLIENTS, Arrival::Ended(connection), scene);
                }
                other => unreachable!("{other:?} is not asked for"),
            }
        }
    }

    /// Nothing is under way for a line that the shard has given up: its number is free.
    fn end_line(&mut self, node: usize, shard: usize, number: u32) {
        let own = self.nodes[node].as_mut().expect("it has this line");
        let client = own.shards[shard].line(number).client.take();
        own.shards[shard].forget_line(number);
        if let Some(client) = client {
            self.leave(client);
        }
    }

    /// A send ends: its bytes have reached the client.
    pub fn send_ends(&mut self, node: usize, shard: usize, number: u32) {
        let Some(own) = &mut self.nodes[node] else { return };
        let line = own.shards[shard].line(number);
        let (client, is_closing) = (line.client, line.is_closing);
        let Some(buffer) = line.sending.take() else { return };
        let sent = client.map(|_| buffer.len());
        let bytes = buffer.clone();
        own.push(shard, CLIENTS, Arrival::Sent(number, buffer, sent), &mut self.scene);
        if let Some(client) = client {
            self.receive(client, &bytes);
        }
        if is_closing {
            self.end_line(node, shard, number);
        }
    }
}
