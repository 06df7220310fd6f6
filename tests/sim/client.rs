//! A client with one connection at a time: what it asks, the bytes that are still on their way, and
//! the questions that wait for their answers, in order.

use std::collections::VecDeque;

use nudged_api::token::Keys;
use nudged_base::limits::USER_BYTES_MAX;

use super::history::{Event, History, Question};
use super::random::Stream;
use super::scene::Scene;
use super::wire;

const ACTIONS: [&str; 5] = ["shown", "ignored", "dismissed", "clicked", "converted"];

/// One client.
#[derive(Default)]
pub struct Client {
    /// Its connection: the shard and the line there.
    pub line: Option<(usize, u32)>,
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
    sent: u64,
    delivered: u64,
    /// Questions without an answer, each with the count of bytes at its end.
    waiting: VecDeque<(Question, u64)>,
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
    pub fn connect(&mut self, line: (usize, u32)) {
        *self = Client { line: Some(line), ..Client::new(self.acts_left) };
    }

    /// The connection is gone; what waited is not known.
    pub fn disconnect(&mut self, history: &mut History) {
        self.line = None;
        self.outgoing.clear();
        self.waiting.drain(..).for_each(|(question, _)| history.lose(question));
        self.received.clear();
    }

    /// Questions without an answer.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Sends a question.
    pub fn send(&mut self, question: Question, bytes: &[u8], history: &mut History) {
        history.ask(&question);
        self.outgoing.extend(bytes);
        self.sent += u64::try_from(bytes.len()).expect("requests are short");
        self.waiting.push_back((question, self.sent));
    }

    /// Drops the end of what is on its way: a request is cut in the middle.
    pub fn cut(&mut self, bytes: usize) {
        let kept = self.outgoing.len().saturating_sub(bytes);
        self.outgoing.truncate(kept);
        self.ends_after = true;
    }

    /// Takes up to `count` bytes that go to the server.
    pub fn deliver(&mut self, count: usize) -> Vec<u8> {
        let count = count.min(self.outgoing.len());
        self.delivered += u64::try_from(count).expect("few bytes");
        self.outgoing.drain(..count).collect()
    }

    /// Bytes of the server arrive: whole answers are held against their questions, in order.
    pub fn receive(&mut self, bytes: &[u8], history: &mut History, keys: &Keys) {
        self.received.extend_from_slice(bytes);
        while let Some((question, end)) = self.waiting.front() {
            let is_head = matches!(question, Question::Other { is_head: true, .. });
            let Some(reply) = wire::take_reply(&mut self.received, is_head) else { return };
            assert!(!self.is_told_to_close, "an answer after the last one: {reply:?}");
            self.is_told_to_close = reply.closes();
            if reply.status == 408 {
                // It came too slowly; its end may be on its way.
                assert!(reply.closes(), "{reply:?}");
                self.waiting.clear();
                return;
            }
            assert!(*end <= self.delivered, "an answer to half a request: {reply:?}");
            history.answer(question, &reply, keys);
            self.waiting.pop_front();
        }
        assert!(self.received.is_empty(), "an answer that nobody asked for");
    }

    /// The server has ended the connection in an orderly way: every request that it had got whole
    /// was answered, unless an answer said that it is the last.
    pub fn hold_to_end(&self) {
        assert!(self.received.is_empty(), "an answer was cut short");
        let unanswered = self.waiting.iter().filter(|(_, end)| *end <= self.delivered).count();
        let is_excused = self.is_told_to_close;
        assert!(unanswered == 0 || is_excused, "{unanswered} requests were not answered");
    }
}

/// The id of a user.
fn user_id(number: u64, is_long: bool) -> String {
    let mut user = format!("user-{number}");
    if is_long {
        while user.len() < USER_BYTES_MAX {
            user.push('x');
        }
    }
    user
}

/// The ids of the users of a run who ask most: all of them, where there are not many.
pub fn users(scene: &Scene) -> Vec<String> {
    (0..scene.config.users.min(1_000))
        .map(|number| user_id(number, scene.config.has_long_users))
        .collect()
}

/// Draws a question and its bytes.
pub fn ask(scene: &mut Scene, history: &History) -> (Question, Vec<u8>) {
    let (users, is_long) = (scene.config.users, scene.config.has_long_users);
    let draw = &mut scene.streams.workload;
    let number = if draw.one_in(4) { draw.skewed(users) - 1 } else { draw.below(users) };
    let user = user_id(number, is_long);
    match draw.below(100) {
        0..50 => {
            let target = format!("/v1/decide?user={user}&placement=home&attr.n={}", draw.below(9));
            let question = Question::Decide { user, events: Vec::new(), is_explained: false };
            (question, wire::bare("GET", &target))
        }
        50..68 => ask_by_post(draw, user, history),
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
        94..96 => {
            let question =
                Question::Decide { user: String::new(), events: Vec::new(), is_explained: false };
            (question, wire::bare("GET", "/v1/decide"))
        }
        96..98 => {
            let is_head = draw.one_in(2);
            let bytes = wire::bare(if is_head { "HEAD" } else { "GET" }, "/health");
            (Question::Other { status: 200, is_head }, bytes)
        }
        _ => (Question::Other { status: 404, is_head: false }, wire::bare("GET", "/nothing")),
    }
}

fn ask_by_post(draw: &mut Stream, user: String, history: &History) -> (Question, Vec<u8>) {
    let count = if draw.one_in(3) { 0 } else { draw.skewed(6) };
    let events: Vec<_> = (0..count).filter_map(|_| event(draw, Some(&user), history)).collect();
    let is_explained = draw.one_in(5);
    let list = json_of(&events);
    let explain = if is_explained { ",\"explain\":true" } else { "" };
    let body = format!("{{\"user\":\"{user}\",\"placement\":\"home\",\"events\":{list}{explain}}}");
    let bytes = wire::post("/v1/decide", &body, chunk(draw));
    (Question::Decide { user, events, is_explained }, bytes)
}

fn chunk(draw: &mut Stream) -> usize {
    if draw.one_in(5) { usize::try_from(draw.skewed(200)).expect("small") } else { 0 }
}

/// An event of a decision that clients know, of late ones rather, of one user where it is given.
fn event(draw: &mut Stream, of: Option<&str>, history: &History) -> Option<Event> {
    if draw.one_in(40) {
        return Some(("no-token-of-ours".to_owned(), draw.pick(&ACTIONS)));
    }
    if draw.one_in(3) && !history.unanswered.is_empty() {
        let last = history.unanswered.len() - 1;
        let back = draw.index(history.unanswered.len().min(8));
        return Some(history.unanswered[last - back].clone());
    }
    if draw.one_in(4) && !history.recent.is_empty() {
        let last = history.recent.len() - 1;
        let back = draw.index(history.recent.len().min(12));
        return Some(history.recent[last - back].clone());
    }
    let known = history.tokens.len();
    let back = draw.skewed(u64::try_from(known).expect("few").max(1));
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
