//! What clients asked and what they were told: the material of the oracles. Checks each answer by
//! itself and against what was asked before; what of it must be in SQL is asked at the end.

use std::collections::{BTreeMap, BTreeSet};

use bumpalo::Bump;
use nudged_api::token::Keys;
use nudged_base::time::WallMs;
use serde_json::Value;

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
        /// Events that are applied first.
        events: Vec<Event>,
        /// Whether it asks why.
        is_explained: bool,
    },
    /// Events.
    Events(Vec<Event>),
    /// Something else, whose only right answer is this status.
    Other {
        /// The status.
        status: u16,
        /// Whether it is a HEAD.
        is_head: bool,
    },
}

/// All of it.
#[derive(Default)]
pub struct History {
    /// Decisions asked for by user; "" for minted ones.
    pub decisions: BTreeMap<String, u64>,
    /// Events sent, and how often.
    pub events: BTreeMap<Event, u64>,
    /// Decisions whose 200 was read: token and user.
    pub shown: BTreeMap<String, String>,
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
    /// Answers read.
    pub answers: u64,
}

impl History {
    /// A question is about to be sent.
    pub fn ask(&mut self, question: &Question) {
        let events = match question {
            Question::Decide { user, events, .. } => {
                *self.decisions.entry(user.clone()).or_default() += 1;
                events
            }
            Question::Events(events) => events,
            Question::Other { .. } => return,
        };
        for event in events {
            *self.events.entry(event.clone()).or_default() += 1;
            self.recent.push(event.clone());
        }
    }

    /// Acknowledged before a loss of power that took what was not synced: nothing of it is owed.
    pub fn forgive(&mut self) {
        self.shown.clear();
        self.taken.clear();
        self.accepted = 0;
    }

    /// The connection of a question is gone before its answer came.
    pub fn lose(&mut self, question: Question) {
        if let Question::Events(events) | Question::Decide { events, .. } = question {
            self.unanswered.extend(events);
        }
    }

    /// A whole answer was read.
    pub fn answer(&mut self, question: &Question, reply: &Reply, keys: &Keys) {
        self.answers += 1;
        match question {
            Question::Decide { user, events, is_explained } => {
                self.decision(user, events, *is_explained, (reply, keys));
            }
            Question::Events(events) => self.events_answer(events, reply),
            Question::Other { status, .. } => {
                assert_eq!(reply.status, *status, "to {question:?}: {reply:?}");
            }
        }
    }

    fn decision(
        &mut self,
        user: &str,
        events: &[Event],
        is_explained: bool,
        (reply, keys): (&Reply, &Keys),
    ) {
        match reply.status {
            200 => {
                let body = reply.json();
                assert_eq!(body.get("candidates").is_some(), is_explained, "{reply:?}");
                self.report(events, body.get("events"));
                if is_explained && body["popup"].is_null() {
                    return;
                }
                self.show(user, &body, keys);
            }
            204 => {
                assert!(!is_explained, "an explanation is a 200: {reply:?}");
                assert!(reply.field("nudge-reason").is_some(), "{reply:?}");
                let counts = reply.field("nudge-events").map(counts_of);
                assert_eq!(counts.is_some(), !events.is_empty(), "{events:?}: {reply:?}");
                let Some([accepted, duplicate, rejected]) = counts else { return };
                assert_eq!(accepted + duplicate + rejected, length(events), "{reply:?}");
                self.hold_duplicates(events, duplicate);
                self.accepted += accepted;
                // Which of them were rejected is not told; where none was, all are owed.
                if rejected == 0 {
                    self.taken.extend(events.iter().cloned());
                }
            }
            // Another shard had no room for the request.
            503 => assert!(reply.field("retry-after").is_some(), "{reply:?}"),
            _ => panic!("a decision was answered {reply:?}"),
        }
    }

    fn show(&mut self, user: &str, body: &Value, keys: &Keys) {
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
        let before = self.shown.insert(token.clone(), asked.to_owned());
        assert!(before.is_none(), "the decision was given twice: {body}");
        self.tokens.push((token, asked.to_owned()));
    }

    fn events_answer(&mut self, events: &[Event], reply: &Reply) {
        match reply.status {
            202 => self.report(events, Some(&reply.json())),
            503 => assert!(reply.field("retry-after").is_some(), "{reply:?}"),
            _ => panic!("events were answered {reply:?}"),
        }
    }

    /// What became of events, as JSON.
    fn report(&mut self, events: &[Event], report: Option<&Value>) {
        let Some(report) = report else {
            assert!(events.is_empty(), "nothing is said of {events:?}");
            return;
        };
        let count = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{report}"));
        let rejected = report["rejected"].as_array().expect("a list");
        let told = count("accepted") + count("duplicate") + length(rejected);
        assert_eq!(told, length(events), "{events:?}: {report}");
        self.hold_duplicates(events, count("duplicate"));
        self.accepted += count("accepted");
        let is_rejected = |index: u64| rejected.iter().any(|one| one["index"] == index);
        let taken = (0..).zip(events).filter(|(index, _)| !is_rejected(*index));
        self.taken.extend(taken.map(|(_, event)| event.clone()));
    }

    /// A duplicate has been sent before, or twice in one request.
    fn hold_duplicates(&self, events: &[Event], duplicate: u64) {
        let repeated = events.iter().filter(|event| self.events[*event] > 1).count();
        let repeated = u64::try_from(repeated).expect("few events");
        assert!(duplicate <= repeated, "{duplicate} duplicates of {events:?}");
    }
}

fn length<T>(list: &[T]) -> u64 {
    u64::try_from(list.len()).expect("lengths fit")
}

/// `accepted=1,duplicate=0,rejected=0`.
fn counts_of(field: &str) -> [u64; 3] {
    let mut counts = [0; 3];
    let mut parts = field.split(',');
    for (count, name) in counts.iter_mut().zip(["accepted=", "duplicate=", "rejected="]) {
        let number = parts.next().and_then(|part| part.strip_prefix(name));
        *count = number.and_then(|number| number.parse().ok()).expect("three counts");
    }
    assert!(parts.next().is_none(), "{field}");
    counts
}
