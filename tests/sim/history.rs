//! What clients asked and what they were told: the material of the oracles. Checks each answer by
//! itself and against what was asked before; what must follow from them is asked at the end.

use std::collections::{BTreeMap, BTreeSet};

use bumpalo::Bump;
use nudged_api::token::Keys;
use nudged_base::event_kind::EventKind;
use nudged_base::time::WallMs;
use nudged_journal::record::{Record, frames};
use serde_json::Value;

use super::forgetting::Forgotten;
use super::wire::Reply;

/// One event of a request: the token's text and the action.
pub type Event = (String, &'static str);

/// What a request asks.
#[derive(Clone, Debug)]
pub enum Question {
    /// A decision for a user (nobody: one is to be minted) with events.
    Decide {
        /// The user's id; empty for nobody.
        user: String,
        /// Where.
        placement: &'static str,
        /// Events that are applied first.
        events: Vec<Event>,
        /// Whether it asks why.
        is_explained: bool,
    },
    Events(Vec<Event>),
    /// Something else, whose only right answer is this status.
    Other {
        status: u16,
        is_head: bool,
    },
}

impl Question {
    pub fn events(&self) -> &[Event] {
        match self {
            Question::Decide { events, .. } | Question::Events(events) => events,
            Question::Other { .. } => &[],
        }
    }
}

/// A show that a client was told of.
#[derive(Clone, Debug, Default)]
pub struct Show {
    pub user: String,
    /// What.
    pub popup: String,
    pub token: String,
    /// When, by the clock of whoever decided it, in milliseconds.
    pub at: i64,
    pub node: usize,
    /// In which of its lives.
    pub life: u32,
    /// When its request was sent, in true nanoseconds.
    pub sent_at: u64,
    /// When its answer came.
    pub answered_at: u64,
}

/// What a state knows a show by: user, popup, number, time.
pub type ShowKey = (String, String, u32, i64);

/// The show of a token.
pub fn show_of(keys: &Keys, token: &str) -> ShowKey {
    let bump = Bump::new();
    let token = keys.open(token, &bump, WallMs(0)).expect("we signed it");
    (token.user.to_owned(), token.popup.to_owned(), token.number, token.at.0)
}

/// Where a record went: a batch of a shard in a life of a node.
#[derive(Clone, Copy, Debug)]
pub struct RecordPlace {
    pub node: usize,
    pub life: u32,
    pub shard: usize,
    /// The batch, counted from 1.
    pub batch: u64,
}

/// All of it.
#[derive(Default)]
pub struct History {
    /// Whether nodes share users, so that they have an answer for everything.
    pub has_redis: bool,
    /// Whether a request may be refused: nobody else knows its user, or the disk takes nothing.
    pub may_refuse: bool,
    /// Decisions asked for by user; "" for minted ones.
    pub decisions: BTreeMap<String, u64>,
    /// Events sent, and how often.
    pub events: BTreeMap<Event, u64>,
    /// Shows that clients were told of.
    pub shows: Vec<Show>,
    /// Events that were answered as accepted or as duplicates.
    pub taken: BTreeSet<Event>,
    /// Events answered as accepted, all together.
    pub accepted: u64,
    /// Tokens that clients know, with their users, in the order of their coming.
    pub tokens: Vec<(String, String)>,
    /// Events whose answer never came: clients send them again.
    pub unanswered: Vec<Event>,
    /// The latest events that were sent: clients repeat them without waiting.
    pub recent: Vec<Event>,
    /// Where records of shows and events went. Two nodes may decide the same show from their own
    /// memories, and then an event of either is one of both.
    pub records: BTreeMap<(ShowKey, &'static str), Vec<RecordPlace>>,
    /// Shows that a node decided from its own memory.
    pub locals: BTreeSet<String>,
    /// Those of them that are merged, with the time.
    pub merged: BTreeMap<String, u64>,
    pub answers: u64,
    /// Users that were forgotten, in the order of their records.
    pub forgotten: Vec<Forgotten>,
    /// Decisions that were answered degraded.
    pub degraded: u64,
}

impl History {
    /// A question is about to be sent.
    pub fn ask(&mut self, question: &Question) {
        if let Question::Decide { user, .. } = question {
            *self.decisions.entry(user.clone()).or_default() += 1;
        }
        for event in question.events() {
            *self.events.entry(event.clone()).or_default() += 1;
            self.recent.push(event.clone());
        }
    }

    /// Acknowledged before a loss of power that took what was not synced: nothing of it is owed.
    pub fn forgive(&mut self) {
        self.shows.clear();
        self.taken.clear();
        self.accepted = 0;
    }

    /// The connection of a question is gone before its answer came.
    pub fn lose(&mut self, question: &Question) {
        self.unanswered.extend(question.events().iter().cloned());
    }

    /// Records go to a journal.
    pub fn appended(&mut self, bytes: &[u8], place: RecordPlace, keys: &Keys, now: u64) {
        for frame in frames(bytes) {
            let (token, kind) =
                match frame.expect("shards frame records").record().expect("records are ours") {
                    Record::Unmerged(record) => {
                        if record.kind == EventKind::Decided {
                            self.locals.insert(record.token.to_owned());
                        }
                        (record.token, record.kind)
                    }
                    Record::Impression(record) => {
                        if self.locals.contains(record.token) {
                            self.merged.entry(record.token.to_owned()).or_insert(now);
                        }
                        (record.token, record.kind)
                    }
                    Record::Erase { user, at, .. } => {
                        let (user, at) = (user.to_owned(), at.0);
                        self.forgotten.push(Forgotten { user, at, recorded_at: now });
                        continue;
                    }
                    _ => continue,
                };
            self.records.entry((show_of(keys, token), kind.word())).or_default().push(place);
        }
    }

    /// A whole answer was read. `show`: by whom and when. Gives what it rests on: shows and events.
    pub fn answer(
        &mut self,
        question: &Question,
        reply: &Reply,
        show: Show,
        keys: &Keys,
    ) -> Vec<Event> {
        let mut rests_on = Vec::new();
        self.answers += 1;
        let (status, what) = (reply.status, format!("to {question:?}: {reply:?}"));
        match question {
            Question::Other { status: right, .. } => assert_eq!(status, *right, "{what}"),
            // Another shard had no room for the request, or the journal for its records.
            _ if status == 503 && self.may_refuse => {
                assert!(reply.field("retry-after").is_some(), "{what}");
            }
            Question::Decide { is_explained, events, .. } if status == 204 => {
                assert!(!is_explained, "an explanation is a 200: {what}");
                let reason = reply.field("nudge-reason").expect("a reason");
                self.degraded += u64::from(reason == "degraded");
                rests_on = self.report_counts(events, reply);
            }
            Question::Decide { user, is_explained, events, .. } => {
                assert_eq!(status, 200, "{what}");
                let body = reply.json();
                assert_eq!(body.get("candidates").is_some(), *is_explained, "{what}");
                rests_on = self.report(events, body.get("events"));
                if !body["popup"].is_null() || !is_explained {
                    rests_on.push((self.show(user, &body, show, keys), "decided"));
                }
            }
            Question::Events(events) => {
                assert_eq!(status, 202, "{what}");
                rests_on = self.report(events, Some(&reply.json()));
            }
        }
        self.taken.extend(rests_on.iter().filter(|(_, action)| *action != "decided").cloned());
        rests_on
    }

    fn show(&mut self, user: &str, body: &Value, show: Show, keys: &Keys) -> String {
        let token = body["decision"].as_str().expect("a decision").to_owned();
        let bump = Bump::new();
        let opened = keys.open(&token, &bump, WallMs(0)).expect("we signed it");
        let minted = body.get("anon").and_then(Value::as_str);
        let asked = if user.is_empty() { minted.expect("a minted user") } else { user };
        assert_eq!(opened.user, asked, "an answer of another user's request: {body}");
        // Written by the catalog that it was decided by: popups have other places in others.
        assert_eq!(body["popup"]["id"], opened.popup, "{body}");
        assert_eq!(body["popup"]["version"], opened.version, "{body}");
        assert_eq!(body["popup"]["variant"].as_str().unwrap_or(""), opened.variant, "{body}");
        let is_local = self.locals.contains(&token);
        let is_same = |former: &Show| {
            // Two nodes may decide the same from their memories in the same millisecond.
            former.token == token && !(is_local && former.node != show.node)
        };
        assert!(!self.shows.iter().any(is_same), "one decision answers two requests: {body}");
        self.tokens.push((token.clone(), asked.to_owned()));
        let (user, popup, at) = (asked.to_owned(), opened.popup.to_owned(), opened.at.0);
        self.shows.push(Show { user, popup, token: token.clone(), at, ..show });
        token
    }

    /// What became of events, as counts in a field: `accepted=1,duplicate=0,rejected=0`.
    fn report_counts(&mut self, events: &[Event], reply: &Reply) -> Vec<Event> {
        let Some(field) = reply.field("nudge-events") else {
            assert!(events.is_empty(), "nothing is said of {events:?}: {reply:?}");
            return Vec::new();
        };
        let mut parts = field.split(',');
        let [accepted, duplicate, rejected] =
            ["accepted=", "duplicate=", "rejected="].map(|name| -> u64 {
                let number = parts.next().and_then(|part| part.strip_prefix(name));
                number.and_then(|number| number.parse().ok()).expect("three counts")
            });
        assert!(parts.next().is_none() && !events.is_empty(), "{reply:?}");
        assert_eq!(accepted + duplicate + rejected, length(events), "{reply:?}");
        self.hold_duplicates(events, duplicate);
        self.accepted += accepted;
        // Which of them were rejected is not told; where none was, all are owed.
        if rejected == 0 { events.to_vec() } else { Vec::new() }
    }

    /// What became of events, as JSON.
    fn report(&mut self, events: &[Event], report: Option<&Value>) -> Vec<Event> {
        let Some(report) = report else {
            assert!(events.is_empty(), "nothing is said of {events:?}");
            return Vec::new();
        };
        let count = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{report}"));
        let rejected = report["rejected"].as_array().expect("a list");
        let told = count("accepted") + count("duplicate") + length(rejected);
        assert_eq!(told, length(events), "{events:?}: {report}");
        self.hold_duplicates(events, count("duplicate"));
        self.accepted += count("accepted");
        let is_rejected = |index: u64| rejected.iter().any(|one| one["index"] == index);
        let taken = (0..).zip(events).filter(|(index, _)| !is_rejected(*index));
        taken.map(|(_, event)| event.clone()).collect()
    }

    /// A duplicate has been sent before, or twice in one request.
    fn hold_duplicates(&self, events: &[Event], duplicate: u64) {
        let repeated = events.iter().filter(|event| self.events[*event] > 1).count();
        let repeated = u64::try_from(repeated).expect("few events");
        // With Redis, two shows of one millisecond may be one to a user's state.
        let is_right = self.has_redis || duplicate <= repeated;
        assert!(is_right, "{duplicate} duplicates of {events:?}");
    }
}

fn length<T>(list: &[T]) -> u64 {
    u64::try_from(list.len()).expect("lengths fit")
}
