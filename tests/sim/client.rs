//! A client with one connection at a time: what it asks, the bytes that are still on their way, and
//! the questions that wait for their answers, in order.

use std::collections::VecDeque;

use nudged_base::limits::USER_BYTES_MAX;

use super::config::Config;
use super::history::{Event, History, Question};
use super::random::Stream;
use super::scene::{Scene, number};
use super::wire::{self, Reply};

const ACTIONS: [&str; 5] = ["shown", "ignored", "dismissed", "clicked", "converted"];

/// Where a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub node: usize,
    pub life: u32,
    pub shard: usize,
    /// The number of the line there.
    pub line: u32,
}

/// A question without an answer.
pub struct Waiting {
    pub question: Question,
    /// Its number among those of its client.
    pub number: u64,
    /// When it was sent, and when it reached the node whole.
    pub sent_at: u64,
    /// See `sent_at`.
    pub reached_at: Option<u64>,
    /// The count of bytes at its end.
    end: u64,
}

/// One client.
#[derive(Default)]
pub struct Client {
    pub place: Option<Place>,
    /// Bytes that the server has not got.
    pub outgoing: VecDeque<u8>,
    /// Whether the client's direction ends once these are through.
    pub ends_after: bool,
    /// Whether its end was delivered.
    pub has_ended: bool,
    /// Whether a delivery is due.
    pub is_delivering: bool,
    /// Times that it will still do something.
    pub acts_left: u64,
    /// Questions without an answer.
    pub waiting: VecDeque<Waiting>,
    pub questions: u64,
    sent: u64,
    delivered: u64,
    received: Vec<u8>,
    /// The last answer said that the connection ends.
    is_told_to_close: bool,
}

impl Client {
    /// A client that will do something so many times.
    pub fn new(acts_left: u64) -> Client {
        Client { acts_left, ..Client::default() }
    }

    /// A connection is made.
    pub fn connect(&mut self, place: Place) {
        let Client { acts_left, questions, .. } = *self;
        *self = Client { place: Some(place), acts_left, questions, ..Client::default() };
    }

    /// The connection is gone; what waited is not known.
    pub fn disconnect(&mut self, history: &mut History) {
        self.place = None;
        self.outgoing.clear();
        self.waiting.drain(..).for_each(|waiting| history.lose(&waiting.question));
        self.received.clear();
    }

    pub fn send(&mut self, question: Question, bytes: &[u8], sent_at: u64) {
        self.outgoing.extend(bytes);
        self.sent += number(bytes.len());
        self.questions += 1;
        let (number, end) = (self.questions, self.sent);
        self.waiting.push_back(Waiting { question, number, sent_at, reached_at: None, end });
    }

    /// Drops the end of what is on its way: a request is cut in the middle.
    pub fn cut(&mut self, bytes: usize) {
        let kept = self.outgoing.len().saturating_sub(bytes);
        self.outgoing.truncate(kept);
        self.ends_after = true;
    }

    /// Takes up to `count` bytes that go to the server.
    pub fn deliver(&mut self, count: usize, now: u64) -> Vec<u8> {
        let count = count.min(self.outgoing.len());
        self.delivered += number(count);
        let has_reached = |waiting: &&mut Waiting| waiting.end <= self.delivered;
        for waiting in self.waiting.iter_mut().filter(has_reached) {
            waiting.reached_at.get_or_insert(now);
        }
        self.outgoing.drain(..count).collect()
    }

    /// Bytes of the server arrive: whole answers are taken with their questions, in order.
    pub fn receive(&mut self, bytes: &[u8]) -> Vec<(Waiting, Reply)> {
        self.received.extend_from_slice(bytes);
        let mut answers = Vec::new();
        while let Some(waiting) = self.waiting.front() {
            let is_head = matches!(waiting.question, Question::Other { is_head: true, .. });
            let Some(reply) = wire::take_reply(&mut self.received, is_head) else { return answers };
            assert!(!self.is_told_to_close, "an answer after the last one: {reply:?}");
            self.is_told_to_close = reply.closes();
            if reply.status == 408 {
                // It came too slowly; its end may be on its way.
                assert!(reply.closes(), "{reply:?}");
                self.waiting.clear();
                return answers;
            }
            assert!(waiting.reached_at.is_some(), "an answer to half a request: {reply:?}");
            answers.push((self.waiting.pop_front().expect("just seen"), reply));
        }
        assert!(self.received.is_empty(), "an answer that nobody asked for");
        answers
    }

    /// The server has ended the connection in an orderly way: every request that it had got whole
    /// was answered, unless an answer said that it is the last.
    pub fn hold_to_end(&self) {
        assert!(self.received.is_empty(), "an answer was cut short");
        let unanswered = self.waiting.iter().filter(|one| one.reached_at.is_some()).count();
        let is_excused = self.is_told_to_close;
        assert!(unanswered == 0 || is_excused, "{unanswered} requests were not answered");
    }
}

/// The id of a user.
pub fn user(config: &Config, number: u64) -> String {
    let mut user = format!("user-{number}");
    if config.has_long_users {
        while user.len() < USER_BYTES_MAX {
            user.push('x');
        }
    }
    user
}

/// The ids of the users of a run who ask most: all of them, where there are not many.
pub fn users(config: &Config) -> Vec<String> {
    (0..config.users.min(1_000)).map(|number| user(config, number)).collect()
}

/// Draws a question and its bytes.
pub fn ask(scene: &mut Scene, history: &History) -> (Question, Vec<u8>) {
    let Scene { config, streams, .. } = scene;
    let (draw, users) = (&mut streams.workload, config.users);
    let number = if draw.one_in(4) { draw.skewed(users) - 1 } else { draw.below(users) };
    let user = user(config, number);
    let placement = match draw.one_in(config.one_in_local) {
        true => "local",
        false if draw.one_in(config.one_in_solo) => "solo",
        false => "home",
    };
    match draw.below(100) {
        0..50 => {
            let n = draw.below(9);
            let target = format!("/v1/decide?user={user}&placement={placement}&attr.n={n}");
            (decide(user, placement), wire::bare("GET", &target))
        }
        50..68 => ask_by_post(draw, (user, placement), history),
        68..94 => {
            let count = draw.skewed(20);
            let events: Vec<_> = (0..count).filter_map(|_| event(draw, None, history)).collect();
            let mut body = json_of(&events);
            if events.len() == 1 && draw.one_in(2) {
                // One event may stand without its array.
                body = body[1..body.len() - 1].to_owned();
            }
            let bytes = wire::post("/v1/events", &body, chunk(draw));
            (Question::Events(events), bytes)
        }
        94..96 => (decide(String::new(), "home"), wire::bare("GET", "/v1/decide")),
        96..98 => {
            let is_head = draw.one_in(2);
            let bytes = wire::bare(if is_head { "HEAD" } else { "GET" }, "/health");
            (Question::Other { status: 200, is_head }, bytes)
        }
        _ => (Question::Other { status: 404, is_head: false }, wire::bare("GET", "/nothing")),
    }
}

/// A question without events.
pub fn decide(user: String, placement: &'static str) -> Question {
    Question::Decide { user, placement, events: Vec::new(), is_explained: false }
}

fn ask_by_post(
    draw: &mut Stream,
    (user, placement): (String, &'static str),
    history: &History,
) -> (Question, Vec<u8>) {
    let count = if draw.one_in(3) { 0 } else { draw.skewed(6) };
    let events: Vec<_> = (0..count).filter_map(|_| event(draw, Some(&user), history)).collect();
    let is_explained = draw.one_in(5);
    let list = json_of(&events);
    let explain = if is_explained { ",\"explain\":true" } else { "" };
    let body =
        format!("{{\"user\":\"{user}\",\"placement\":\"{placement}\",\"events\":{list}{explain}}}");
    let bytes = wire::post("/v1/decide", &body, chunk(draw));
    (Question::Decide { user, placement, events, is_explained }, bytes)
}

fn chunk(draw: &mut Stream) -> usize {
    if draw.one_in(5) { usize::try_from(draw.skewed(200)).expect("small") } else { 0 }
}

/// An event of a decision that clients know, of late ones rather, of one user where it is given.
fn event(draw: &mut Stream, of: Option<&str>, history: &History) -> Option<Event> {
    if draw.one_in(40) {
        return Some(("no-token-of-ours".to_owned(), draw.pick(&ACTIONS)));
    }
    let mut late = |one_in: u64, events: &[Event], most: usize| {
        let is_picked = draw.one_in(one_in) && !events.is_empty();
        is_picked.then(|| events[events.len() - 1 - draw.index(events.len().min(most))].clone())
    };
    let again = late(3, &history.unanswered, 8).or_else(|| late(4, &history.recent, 12));
    if again.is_some() {
        return again;
    }
    let known = history.tokens.len();
    let back = draw.skewed(number(known).max(1));
    let place = known.checked_sub(usize::try_from(back).expect("few"))?;
    // A decide request now and then reports an event of somebody else.
    let is_any = draw.one_in(10);
    let mut before = history.tokens[..=place].iter().rev().take(20);
    let found = before.find(|(_, user)| is_any || of.is_none_or(|of| of == user))?;
    let action = if draw.one_in(30) { "danced" } else { draw.pick(&ACTIONS) };
    Some((found.0.clone(), action))
}

fn json_of(events: &[Event]) -> String {
    let each: Vec<_> = events
        .iter()
        .map(|(token, action)| format!("{{\"decision\":\"{token}\",\"action\":\"{action}\"}}"))
        .collect();
    format!("[{}]", each.join(","))
}
