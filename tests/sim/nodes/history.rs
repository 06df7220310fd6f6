//! What clients of several nodes asked and what they were told. Checks each answer by itself; what
//! must follow from them is asked at the end.

use std::collections::{BTreeMap, BTreeSet};

use bumpalo::Bump;
use nudged_api::token::Keys;
use nudged_base::event_kind::EventKind;
use nudged_base::time::WallMs;
use nudged_journal::record::{Record, frames};
use serde_json::Value;

use crate::wire::Reply;

/// One event of a request: the token's text and the action.
pub type Event = (String, &'static str);

/// What a request asks.
#[derive(Clone, Debug)]
pub enum Question {
    /// A decision for a user with events.
    Decide {
        /// The user's id.
        user: String,
        /// Where.
        placement: &'static str,
        /// Events that are applied first.
        events: Vec<Event>,
    },
    /// Events.
    Events(Vec<Event>),
}

/// A show that a client was told of.
#[derive(Clone, Debug, Default)]
pub struct Show {
    /// Whom.
    pub user: String,
    /// What.
    pub popup: String,
    /// Its decision.
    pub token: String,
    /// When, by the arbiter's clock, in milliseconds.
    pub at: i64,
    /// By which node.
    pub node: usize,
    /// In which of its lives.
    pub life: u32,
    /// When its request was sent, in true nanoseconds.
    pub sent_at: u64,
    /// When its answer came.
    pub answered_at: u64,
}

/// All of it.
#[derive(Default)]
pub struct History {
    /// Shows that clients were told of.
    pub shows: Vec<Show>,
    /// Decisions asked for, by user.
    pub decisions: BTreeMap<String, u64>,
    /// Events that were sent.
    pub events: BTreeSet<Event>,
    /// Events that were answered as accepted or as duplicates, with the time of the first answer.
    pub taken: BTreeMap<Event, u64>,
    /// Tokens that clients know, with their users, in the order of their coming.
    pub tokens: Vec<(String, String)>,
    /// Events whose answer never came: they are sent again.
    pub unanswered: Vec<Event>,
    /// Shows that a node decided from its own memory.
    pub locals: BTreeSet<String>,
    /// Those of them that are merged.
    pub merged: BTreeMap<String, u64>,
    /// Answers read.
    pub answers: u64,
    /// Decisions that were answered degraded.
    pub degraded: u64,
}

impl History {
    /// A question is about to be sent.
    pub fn ask(&mut self, question: &Question) {
        if let Question::Decide { user, .. } = question {
            *self.decisions.entry(user.clone()).or_default() += 1;
        }
        self.events.extend(question.events().iter().cloned());
    }

    /// Nobody will hear the answer to a question.
    pub fn lose(&mut self, question: Question) {
        self.unanswered.extend(question.events().iter().cloned());
    }

    /// Whether clients know a show of a user.
    pub fn knows(&self, user: &str) -> bool {
        self.tokens.iter().any(|(_, own)| own == user)
    }

    /// Records go to a journal.
    pub fn appended(&mut self, bytes: &[u8], now: u64) {
        for frame in frames(bytes) {
            match frame.expect("shards frame records").record().expect("records are ours") {
                Record::Unmerged(record) if record.kind == EventKind::Decided => {
                    self.locals.insert(record.token.to_owned());
                }
                Record::Impression(record) if self.locals.contains(record.token) => {
                    self.merged.entry(record.token.to_owned()).or_insert(now);
                }
                _ => {}
            }
        }
    }

    /// A whole answer was read. `show`: by whom and when.
    pub fn answer(&mut self, question: &Question, reply: &Reply, show: Show, keys: &Keys) {
        self.answers += 1;
        let at = show.answered_at;
        match question {
            Question::Decide { user, events, .. } => {
                let report = match reply.status {
                    200 => self.shown(user, &reply.json(), show, keys),
                    204 => self.nothing(reply),
                    _ => panic!("to {question:?}: {reply:?}"),
                };
                self.report(events, &report, at);
            }
            Question::Events(events) => {
                assert_eq!(reply.status, 202, "to {question:?}: {reply:?}");
                self.report(events, &reply.json(), at);
            }
        }
    }

    fn shown(&mut self, user: &str, body: &Value, show: Show, keys: &Keys) -> Value {
        let token = body["decision"].as_str().expect("a decision").to_owned();
        let popup = body["popup"]["id"].as_str().expect("a popup").to_owned();
        let bump = Bump::new();
        let opened = keys.open(&token, &bump, WallMs(0)).expect("we signed it");
        assert_eq!((opened.user, opened.popup), (user, popup.as_str()));
        let is_local = self.locals.contains(&token);
        let is_same = |former: &Show| {
            // Two nodes may decide the same from their memories in the same millisecond.
            former.token == token && !(is_local && former.node != show.node)
        };
        assert!(!self.shows.iter().any(is_same), "one decision answers two requests: {token}");
        self.tokens.push((token.clone(), user.to_owned()));
        let (user, at) = (user.to_owned(), opened.at.0);
        self.shows.push(Show { user, popup, token, at, ..show });
        body["events"].clone()
    }

    /// Counts of events in a field stand in an order; what was rejected is not told one by one.
    fn nothing(&mut self, reply: &Reply) -> Value {
        let reason = reply.field("nudge-reason").expect("a reason");
        self.degraded += u64::from(reason == "degraded");
        let Some(counts) = reply.field("nudge-events") else { return Value::Null };
        let mut report = serde_json::Map::new();
        for part in counts.split(',') {
            let (name, count) = part.split_once('=').expect("a count");
            let count: u64 = count.parse().expect("a count");
            report.insert(name.to_owned(), count.into());
        }
        Value::Object(report)
    }

    fn report(&mut self, events: &[Event], report: &Value, at: u64) {
        if events.is_empty() {
            assert!(report.is_null(), "nothing was reported: {report}");
            return;
        }
        let count = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{report}"));
        let (accepted, duplicate) = (count("accepted"), count("duplicate"));
        let total = u64::try_from(events.len()).expect("few events");
        let taken: Vec<&Event> = match report["rejected"].as_array() {
            Some(rejected) => {
                let is_rejected = |index: u64| rejected.iter().any(|one| one["index"] == index);
                let taken = (0..).zip(events).filter(|(index, _)| !is_rejected(*index));
                taken.map(|(_, event)| event).collect()
            }
            None if count("rejected") == 0 => events.iter().collect(),
            None if accepted + duplicate == 0 => Vec::new(),
            None => return,
        };
        assert_eq!(accepted + duplicate, u64::try_from(taken.len()).expect("few"), "{report}");
        assert!(accepted + duplicate <= total, "{report}");
        for event in taken {
            self.taken.entry(event.clone()).or_insert(at);
        }
    }
}

impl Question {
    /// The events of it.
    pub fn events(&self) -> &[Event] {
        match self {
            Question::Decide { events, .. } | Question::Events(events) => events,
        }
    }
}
