//! Clients of several nodes: each asks one thing at a time, of any node, and posts what became of a
//! show to any other. What was never answered is asked again.

use super::history::{Event, History, Question, Show};
use super::scene::{MS, Scene, US, What, number};
use super::world::World;
use crate::random::Stream;
use crate::wire::{self, Reply};

const ACTIONS: [&str; 5] = ["shown", "ignored", "dismissed", "clicked", "converted"];
/// A client waits this long for an answer.
const PATIENCE_MS: u64 = 4_000;

/// A connection: node, its life, shard, number.
pub type Line = (usize, u32, usize, u32);

/// What a client waits for.
pub struct Waiting {
    /// What it asked.
    pub question: Question,
    /// When it was sent, and when it reached the node.
    pub sent_at: u64,
    /// See `sent_at`.
    pub reached_at: Option<u64>,
    bytes: Vec<u8>,
}

/// One client.
#[derive(Default)]
pub struct Client {
    /// Its connection.
    pub line: Option<Line>,
    /// What it waits for.
    pub waiting: Option<Waiting>,
    /// Times that it will still ask.
    pub acts_left: u64,
    questions: u64,
    received: Vec<u8>,
}

impl Client {
    /// A client that will ask so often.
    pub fn new(acts_left: u64) -> Client {
        Client { acts_left, ..Client::default() }
    }
}

/// The user of a number.
pub fn user(number: u64) -> String {
    format!("user-{number}")
}

fn draw_question(scene: &mut Scene, history: &mut History) -> (Question, Vec<u8>) {
    let one_in_local = scene.config.one_in_local;
    let users = scene.config.users;
    let draw = &mut scene.streams.workload;
    let is_event = draw.one_in(3) && !history.tokens.is_empty();
    if is_event {
        let count = if draw.one_in(4) { draw.between(2, 6) } else { 1 };
        let events: Vec<Event> = (0..count).map(|_| draw_event(draw, history, None)).collect();
        let bytes = wire::post("/v1/events", &json_of(&events), 0);
        return (Question::Events(events), bytes);
    }
    let user = user(draw.below(users));
    let is_local = draw.one_in(one_in_local);
    let placement = match is_local {
        true => "local",
        false if draw.one_in(3) => "solo",
        false => "home",
    };
    let events: Vec<Event> = match draw.one_in(5) && history.knows(&user) {
        true => vec![draw_event(draw, history, Some(&user))],
        false => Vec::new(),
    };
    let bytes = if events.is_empty() {
        wire::bare("GET", &format!("/v1/decide?user={user}&placement={placement}"))
    } else {
        let list = json_of(&events);
        let body =
            format!("{{\"user\":\"{user}\",\"placement\":\"{placement}\",\"events\":{list}}}");
        wire::post("/v1/decide", &body, 0)
    };
    (Question::Decide { user, placement, events }, bytes)
}

/// An event of a show that clients know, of late ones rather; or one that was not answered.
fn draw_event(draw: &mut Stream, history: &mut History, of: Option<&str>) -> Event {
    if of.is_none() && draw.one_in(2) && !history.unanswered.is_empty() {
        let place = draw.index(history.unanswered.len());
        return history.unanswered.swap_remove(place);
    }
    let known: Vec<&(String, String)> =
        history.tokens.iter().filter(|(_, user)| of.is_none_or(|of| of == user)).collect();
    let back = draw.index(known.len().min(6));
    let action = draw.pick(&ACTIONS);
    (known[known.len() - 1 - back].0.clone(), action)
}

fn json_of(events: &[Event]) -> String {
    let each: Vec<_> = events
        .iter()
        .map(|(token, action)| format!("{{\"decision\":\"{token}\",\"action\":\"{action}\"}}"))
        .collect();
    format!("[{}]", each.join(","))
}

impl World {
    /// A client asks something new.
    pub fn act(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if client.waiting.is_some() || client.acts_left == 0 {
            return;
        }
        if !self.connect(index) {
            self.scene.after(50 * MS, What::Act(index));
            return;
        }
        let client = &mut self.clients[index];
        client.acts_left -= 1;
        let (question, bytes) = draw_question(&mut self.scene, &mut self.history);
        self.send(index, question, bytes);
    }

    /// Sends a question on the client's connection.
    pub fn send(&mut self, index: usize, question: Question, bytes: Vec<u8>) {
        self.history.ask(&question);
        let client = &mut self.clients[index];
        client.questions += 1;
        let sent_at = self.scene.now;
        client.waiting = Some(Waiting { question, sent_at, reached_at: None, bytes });
        let (node, ..) = client.line.expect("it has just connected");
        let number = client.questions;
        self.scene.after(PATIENCE_MS * MS, What::GiveUp(index, number));
        let wait = self.scene.streams.network.skewed(400) * US;
        self.scene.after(wait, What::Deliver(node, index));
    }

    /// Keeps the connection, or makes one to any node that listens.
    fn connect(&mut self, index: usize) -> bool {
        let has_line = self.clients[index].line.is_some();
        if has_line && !self.scene.streams.network.one_in(4) {
            return true;
        }
        let running: Vec<usize> =
            (0..self.nodes.len()).filter(|node| self.is_listening(*node)).collect();
        if running.is_empty() {
            return has_line;
        }
        let node = running[self.scene.streams.network.index(running.len())];
        self.connect_to(index, node);
        true
    }

    fn is_listening(&self, node: usize) -> bool {
        self.nodes[node].as_ref().is_some_and(|node| node.is_ready)
    }

    /// Leaves the connection and makes one to this node.
    pub fn connect_to(&mut self, index: usize, to: usize) {
        self.leave(index);
        let node = self.nodes[to].as_mut().expect("the caller has seen that it runs");
        let shard = self.scene.streams.network.index(node.shards.len());
        let number = node.accept(shard, index, &mut self.scene);
        let life = self.scene.nodes[to].life;
        self.clients[index].line = Some((to, life, shard, number));
    }

    /// A question reaches its node.
    pub fn deliver(&mut self, node: usize, index: usize) {
        let client = &mut self.clients[index];
        let (Some(line), Some(waiting)) = (client.line, &mut client.waiting) else { return };
        if line.0 != node || waiting.reached_at.is_some() {
            return;
        }
        waiting.reached_at = Some(self.scene.now);
        let bytes = std::mem::take(&mut waiting.bytes);
        let Some(node) = &mut self.nodes[node] else { return };
        node.hear(line, bytes, &mut self.scene);
    }

    /// A client has waited for too long.
    pub fn give_up(&mut self, index: usize, question: u64) {
        let client = &self.clients[index];
        if client.questions != question || client.waiting.is_none() {
            return;
        }
        let node = client.line.map(|(node, ..)| node);
        let is_excused = node.is_none_or(|node| {
            let outside = &self.scene.nodes[node];
            outside.troubled_at + PATIENCE_MS * MS > self.scene.now
        });
        assert!(is_excused, "client {index} was not answered by a node that runs");
        self.leave(index);
        self.scene.after(MS, What::Act(index));
    }

    /// A client's connection is over; what it waited for is not known.
    pub fn leave(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let line = client.line.take();
        client.received.clear();
        if let Some(waiting) = client.waiting.take() {
            self.history.lose(waiting.question);
            self.scene.after(MS, What::Act(index));
        }
        if let Some((node, life, shard, number)) = line
            && life == self.scene.nodes[node].life
            && let Some(node) = &mut self.nodes[node]
        {
            node.hang_up((shard, number), &mut self.scene);
        }
    }

    /// Bytes reach a client.
    pub fn receive(&mut self, index: usize, bytes: &[u8]) {
        let client = &mut self.clients[index];
        client.received.extend_from_slice(bytes);
        let Some(reply) = wire::take_reply(&mut client.received, false) else { return };
        assert!(client.received.is_empty(), "one answer for one question");
        let waiting = client.waiting.take().expect("an answer to a question");
        let (node, life, ..) = client.line.expect("it has heard");
        let show = Show {
            node,
            life,
            sent_at: waiting.sent_at,
            answered_at: self.scene.now,
            ..Show::default()
        };
        let told = format!("{} to {:?}: {:?}", reply.status, waiting.question, reply.fields());
        self.scene.note("answer", &[number(index), number(node)], told.as_bytes());
        self.hold_time(node, waiting.reached_at, &reply);
        self.hold_fresh(&waiting.question, &reply, waiting.sent_at);
        self.history.answer(&waiting.question, &reply, show, &self.parts.keys);
        let think = self.scene.streams.workload.skewed(self.scene.config.think_ms * 1_000) * US;
        self.scene.after(think, What::Act(index));
    }

    /// An answer comes by the deadlines of Redis and of SQL and the time that the journal takes,
    /// unless the node stood still.
    fn hold_time(&self, node: usize, reached_at: Option<u64>, reply: &Reply) {
        let Some(reached_at) = reached_at else { return };
        let Scene { config, nodes, now, .. } = &self.scene;
        let took = now - reached_at;
        let bound = 100 * MS + 12 * config.disk_us * US + 12 * config.pause_ms * MS;
        let was_frozen = nodes[node].frozen_until >= reached_at;
        assert!(was_frozen || took <= bound, "an answer took {} ms: {reply:?}", took / MS);
    }
}
