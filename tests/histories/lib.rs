//! Histories for tests: users, shows, those that are taken back, events and erases made with the
//! domain's own mutators, as the records of a journal and as the states that they leave behind.

#![allow(clippy::unwrap_used, missing_docs, reason = "what only tests use")]

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use proptest::prelude::*;

use nudged_base::event_kind::EventKind;
use nudged_base::ids::{PopupKey, Revision, Sequence};
use nudged_base::time::{DurationMs, Gap, WallMs};
use nudged_domain::catalog::schedule::Zone;
use nudged_domain::catalog::snapshot::{
    Content, OnFailure, Popup, Settings, Snapshot, Status, Variant,
};
use nudged_domain::state::apply::{self, Action, EventVerdict, ShowId};
use nudged_domain::state::user::{UserState, encode_clocks, encode_popup};
use nudged_journal::record::{FormerEntry, Impression, Record, Withdrawn};

/// Users whose ids differ only where bytes are compared one by one.
pub const USERS: [&str; 4] = ["a", "A", "a ", "\u{e9}"];
/// One more than a user's state remembers, and to spare.
pub const POPUPS: usize = 70;

/// A record that owns its bytes.
#[derive(Clone, Debug)]
pub struct OwnedRecord {
    pub sequence: Sequence,
    pub user: String,
    pub revision: Revision,
    pub at: WallMs,
    /// `None` for an erase, and for a show that is taken back.
    pub impression: Option<OwnedImpression>,
    pub withdrawn: Option<OwnedWithdrawn>,
}

/// The parts of an impression's record.
#[derive(Clone, Debug)]
pub struct OwnedImpression {
    pub kind: EventKind,
    pub acted_at: WallMs,
    pub token: String,
    pub popup: String,
    pub version: u32,
    pub variant: &'static str,
    pub clocks: Vec<u8>,
    pub row: Vec<u8>,
    pub next_show_at: Option<WallMs>,
    pub forgotten: String,
}

/// An entry that stands again: its encoding, and when it may return.
pub type OwnedEntry = (Vec<u8>, Option<WallMs>);

/// The parts of the record of a show that is taken back.
#[derive(Clone, Debug)]
pub struct OwnedWithdrawn {
    pub shown_at: WallMs,
    pub token: String,
    pub popup: String,
    pub variant: &'static str,
    pub clocks: Vec<u8>,
    pub former: Option<OwnedEntry>,
}

impl OwnedWithdrawn {
    fn borrow<'a>(&'a self, user: &'a str, revision: Revision, at: WallMs) -> Record<'a> {
        let entry = |(row, next): &'a OwnedEntry| FormerEntry { row, next_show_at: *next };
        Record::Withdrawn(Withdrawn {
            user,
            revision,
            at,
            shown_at: self.shown_at,
            token: &self.token,
            popup: &self.popup,
            version: 1,
            variant: self.variant,
            clocks: &self.clocks,
            former: self.former.as_ref().map(entry),
        })
    }
}

impl OwnedRecord {
    pub fn borrow(&self) -> (Sequence, Record<'_>) {
        let (user, revision, at) = (self.user.as_str(), self.revision, self.at);
        let record = match (&self.impression, &self.withdrawn) {
            (None, None) => Record::Erase { user, revision, at },
            (None, Some(parts)) => parts.borrow(user, revision, at),
            (Some(parts), _) => Record::Impression(Impression {
                user,
                revision,
                at,
                kind: parts.kind,
                acted_at: parts.acted_at,
                token: &parts.token,
                popup: &parts.popup,
                version: parts.version,
                variant: parts.variant,
                clocks: &parts.clocks,
                row: &parts.row,
                next_show_at: parts.next_show_at,
                forgotten: &parts.forgotten,
            }),
        };
        (self.sequence, record)
    }
}

/// Records as the store takes them.
pub fn borrowed(records: &[OwnedRecord]) -> Vec<(Sequence, Record<'_>)> {
    records.iter().map(OwnedRecord::borrow).collect()
}

/// One step of a history; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Step {
    /// Shows `count` popups in turn, from `popup` on.
    Show { user: usize, popup: usize, count: usize, session: Option<u8> },
    /// Reports an action for the user's show that is `back` before the latest.
    Event { user: usize, back: usize, action: usize },
    /// Takes the user's latest change back, where it is a show.
    Withdraw { user: usize },
    /// Erases a user.
    Erase { user: usize },
}

/// Any history of up to `steps` steps.
pub fn histories(steps: usize) -> impl Strategy<Value = Vec<Step>> {
    let user = 0..USERS.len();
    let show = (user.clone(), 0..POPUPS, prop_oneof![8 => 1..4_usize, 1 => 30..POPUPS])
        .prop_flat_map(|(user, popup, count)| {
            prop::option::of(0..3_u8).prop_map(move |session| Step::Show {
                user,
                popup,
                count,
                session,
            })
        });
    let event = (user.clone(), 0..6_usize, 0..5_usize)
        .prop_map(|(user, back, action)| Step::Event { user, back, action });
    let withdraw = user.clone().prop_map(|user| Step::Withdraw { user });
    let erase = user.prop_map(|user| Step::Erase { user });
    let step = prop_oneof![6 => show, 6 => event, 3 => withdraw, 1 => erase];
    prop::collection::vec(step, 1..steps)
}

/// A journal and the states after each of its records.
pub struct Journal {
    pub records: Vec<OwnedRecord>,
    pub states: BTreeMap<String, UserState>,
    snapshot: Snapshot,
    shown: BTreeMap<String, Vec<(ShowId, String, String)>>,
    /// The state before the latest change of a user that is a show.
    former: BTreeMap<String, UserState>,
    now: WallMs,
}

impl Default for Journal {
    fn default() -> Journal {
        Journal::new()
    }
}

impl Journal {
    pub fn new() -> Journal {
        Journal {
            records: Vec::new(),
            states: BTreeMap::new(),
            snapshot: snapshot(),
            shown: BTreeMap::new(),
            former: BTreeMap::new(),
            now: WallMs(1_767_225_600_000),
        }
    }

    /// A show and a click of each of three users: six records.
    pub fn of_clicks() -> Journal {
        let mut journal = Journal::new();
        for user in ["u", "v", "w"] {
            journal.show(user, 0, None);
            journal.event(user, 0, Action::Clicked);
        }
        journal
    }

    /// The journal of a history.
    pub fn of(steps: &[Step]) -> Journal {
        let mut journal = Journal::new();
        for step in steps {
            match *step {
                Step::Show { user, popup, count, session } => {
                    for offset in 0..count {
                        journal.show(USERS[user], (popup + offset) % POPUPS, session);
                    }
                }
                Step::Event { user, back, action } => {
                    journal.event(USERS[user], back, Action::ALL[action]);
                }
                Step::Withdraw { user } => journal.withdraw(USERS[user]),
                Step::Erase { user } => journal.erase(USERS[user]),
            }
        }
        journal
    }

    /// The state of a user.
    pub fn state(&self, user: &str) -> UserState {
        self.states.get(user).cloned().unwrap_or_default()
    }

    pub fn show(&mut self, user: &str, popup: usize, session: Option<u8>) {
        self.now = self.now.plus(DurationMs(1_234_567));
        let popup = &self.snapshot.popups[popup];
        let session = session.map(|number| format!("s{number}"));
        let state = self.states.entry(user.to_owned()).or_default();
        self.former.insert(user.to_owned(), state.clone());
        let shown = apply::show(state, &self.snapshot, popup, session.as_deref(), self.now);
        let forgotten = shown.forgotten.map(|key| id_of(&self.snapshot, key));
        let id = ShowId { popup: popup.key, number: shown.number, at: self.now };
        let token = format!("{user}.{}.{}.{}", popup.id, shown.number, self.now.0);
        let parts = (popup.id.to_string(), token.clone());
        self.shown.entry(user.to_owned()).or_default().push((id, parts.0.clone(), token));
        self.push(user, (EventKind::Decided, self.now), parts, forgotten);
    }

    pub fn event(&mut self, user: &str, back: usize, action: Action) {
        self.now = self.now.plus(DurationMs(54_321));
        let Some(shown) = self.shown.get(user).filter(|shown| !shown.is_empty()) else { return };
        let (id, popup, token) = shown[shown.len() - 1 - back % shown.len()].clone();
        let state = self.states.entry(user.to_owned()).or_default();
        let verdict = apply::event(state, id, action, None, self.now);
        if let EventVerdict::Accepted { acted_at } = verdict {
            self.former.remove(user);
            let kind = match action {
                Action::Shown => EventKind::Shown,
                Action::Ignored => EventKind::Ignored,
                Action::Dismissed => EventKind::Dismissed,
                Action::Clicked => EventKind::Clicked,
                Action::Converted => EventKind::Converted,
            };
            self.push(user, (kind, acted_at), (popup, token), None);
        }
    }

    pub fn erase(&mut self, user: &str) {
        self.now = self.now.plus(DurationMs(1));
        self.former.remove(user);
        let state = self.states.entry(user.to_owned()).or_default();
        let at = apply::erase(state, self.now);
        let revision = state.revision;
        let sequence = self.next_sequence();
        let user = user.to_owned();
        let (impression, withdrawn) = (None, None);
        self.records.push(OwnedRecord { sequence, user, revision, at, impression, withdrawn });
    }

    /// Takes the user's latest change back; nothing where it is no show.
    pub fn withdraw(&mut self, user: &str) {
        let Some(mut former) = self.former.remove(user) else { return };
        self.now = self.now.plus(DurationMs(20));
        let show = self.records.iter().rfind(|record| record.user == user).expect("it was shown");
        let parts = show.impression.as_ref().expect("it was a show");
        let next_show_at = Some(self.now.plus(DurationMs::DAY));
        let mut clocks = Vec::new();
        encode_clocks(&former.clocks, &mut clocks);
        let withdrawn = Some(OwnedWithdrawn {
            shown_at: show.at,
            token: parts.token.clone(),
            popup: parts.popup.clone(),
            variant: parts.variant,
            clocks,
            former: former.popup(PopupKey::of(&parts.popup)).map(|entry| {
                let mut row = Vec::new();
                encode_popup(entry, &mut row);
                (row, next_show_at)
            }),
        });
        let forgotten = PopupKey::of(&parts.forgotten);
        former.popups.retain(|entry| entry.popup != forgotten);
        let (sequence, at, revision) = (self.next_sequence(), self.now, show.revision.next());
        former.revision = revision;
        self.states.insert(user.to_owned(), former);
        self.shown.get_mut(user).expect("it was shown").pop();
        let user = user.to_owned();
        let impression = None;
        self.records.push(OwnedRecord { sequence, user, revision, at, impression, withdrawn });
    }

    fn next_sequence(&self) -> Sequence {
        Sequence(u64::try_from(self.records.len()).unwrap() + 1)
    }

    fn push(
        &mut self,
        user: &str,
        (kind, acted_at): (EventKind, WallMs),
        (popup, token): (String, String),
        forgotten: Option<String>,
    ) {
        let sequence = self.next_sequence();
        let state = &self.states[user];
        let entry = state.popup(PopupKey::of(&popup)).unwrap();
        let (mut clocks, mut row) = (Vec::new(), Vec::new());
        encode_clocks(&state.clocks, &mut clocks);
        encode_popup(entry, &mut row);
        let is_never = entry.outcome.is_some();
        let next_show_at = if is_never { None } else { Some(self.now.plus(DurationMs::DAY)) };
        let impression = Some(OwnedImpression {
            kind,
            acted_at,
            token,
            popup,
            version: 1,
            variant: if sequence.0.is_multiple_of(2) { "v" } else { "V" },
            clocks,
            row,
            next_show_at,
            forgotten: forgotten.unwrap_or_default(),
        });
        let (user, revision, at) = (user.to_owned(), state.revision, self.now);
        let withdrawn = None;
        self.records.push(OwnedRecord { sequence, user, revision, at, impression, withdrawn });
    }
}

fn id_of(snapshot: &Snapshot, key: PopupKey) -> String {
    snapshot.popup(key).unwrap().id.to_string()
}

/// 70 popups; ids differ in case and in trailing spaces too, which no real id does.
fn snapshot() -> Snapshot {
    let popups: Vec<_> = (0..POPUPS).map(popup).collect();
    let by_key = (0_u32..).zip(&popups).map(|(index, popup)| (popup.key, index)).collect();
    Snapshot {
        version: 1,
        settings: Settings {
            quiet_time: DurationMs(0),
            max_per_day: 0,
            max_per_session: 0,
            tz: jiff::tz::TimeZone::UTC,
        },
        popups,
        targets: Arc::default(),
        pivots: Arc::default(),
        placements: HashMap::new(),
        by_key,
    }
}

fn popup(index: usize) -> Popup {
    let id = match index % 3 {
        0 => format!("p{index}"),
        1 => format!("P{}", index - 1),
        _ => format!("p{} ", index - 2),
    };
    let variant =
        Variant { key: "".into(), weight: 1, content: Content("{}".into()), locales: Vec::new() };
    Popup {
        key: PopupKey::of(&id),
        id: id.into(),
        version: 1,
        status: if index.is_multiple_of(5) { Status::Archived } else { Status::Live },
        placements: vec!["home".into()],
        priority: 0,
        starts_at: None,
        ends_at: None,
        windows: Vec::new(),
        zone: Zone::Fixed(jiff::tz::TimeZone::UTC),
        max_shows: 0,
        caps: Vec::new(),
        after_shown: Gap::After(DurationMs::DAY),
        after_outcome: [Gap::Never; 4],
        ignore_after: DurationMs::SECOND,
        rollout_below: 1 << 64,
        variants: [variant].into(),
        weight_total: 1,
        quiet_exempt: index.is_multiple_of(7),
        on_failure: OnFailure::Hide,
        target: None,
    }
}
