//! One thing that was accepted without its user's state: what it is, its record, and what becomes
//! of it. Knows no table and no journal.

use crate::users::Subject;
use nudged_base::event_kind::EventKind;
use nudged_base::ids::PopupKey;
use nudged_base::limits::MERGE_RECORD_EXTRA_BYTES;
use nudged_base::time::WallMs;
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::state::apply::{self, Action, EventVerdict, LateShow, Merge, ShowId};
use nudged_domain::state::user::UserState;
use nudged_journal::record;

/// One thing that a user's state lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was accepted.
    pub at: WallMs,
    /// The show itself, or an event of it.
    pub asked: Asked,
    /// Which show.
    pub shown: ShowId,
    /// The decision's token.
    pub token: Box<str>,
    /// The popup's id.
    pub popup: Box<str>,
    /// The popup's version at the decision.
    pub version: u32,
    /// The variant's key; empty for none.
    pub variant: Box<str>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A show.
    Show {
        /// Pinned hash of its session; 0 for none.
        session: u64,
    },
    /// An event of a show.
    Event {
        /// What happened.
        action: Action,
        /// The event's own time, clamped when it was accepted.
        acted_at: WallMs,
        /// Where a node decided its show by its own memory: the pinned hash of the show's session,
        /// 0 for none. Such a show may have to be merged first.
        local: Option<u64>,
    },
}

/// What came of merging an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// The state changed; it has to be recorded, with the popup that a show pushed out.
    Changed(EventKind, Option<PopupKey>),
    /// The state had it already; recording it once more is harmless, and makes sure of it.
    Known(EventKind),
    /// It is of a show that is no longer remembered, too old, or of before an erase: dropped.
    Dropped,
}

impl Entry {
    /// The entry of a record. Allocates its texts.
    pub fn of(record: &record::Unmerged<'_>) -> Entry {
        let asked = match Action::of_kind(record.kind) {
            None => Asked::Show { session: record.session },
            Some(action) => {
                let local = record.is_of_local.then_some(record.session);
                Asked::Event { action, acted_at: record.acted_at, local }
            }
        };
        let popup = PopupKey::of(record.popup);
        Entry {
            at: record.at,
            asked,
            shown: ShowId { popup, number: record.number, at: record.shown_at },
            token: record.token.into(),
            popup: record.popup.into(),
            version: record.version,
            variant: record.variant.into(),
        }
    }

    /// The record of an entry.
    pub fn record<'a>(&'a self, user: &'a str) -> record::Unmerged<'a> {
        let (kind, acted_at, local) = match self.asked {
            Asked::Show { session } => (EventKind::Decided, self.at, Some(session)),
            Asked::Event { action, acted_at, local } => (action.kind(), acted_at, local),
        };
        record::Unmerged {
            user,
            at: self.at,
            kind,
            acted_at,
            token: &self.token,
            popup: &self.popup,
            version: self.version,
            variant: &self.variant,
            number: self.shown.number,
            shown_at: self.shown.at,
            session: local.unwrap_or(0),
            is_of_local: local.is_some() && kind != EventKind::Decided,
        }
    }

    /// Bytes of the journal that it may take beside the record that it has: its record once more,
    /// for SQL to go on, and what its merge records. Neither is more than this.
    pub fn promised_bytes(&self, user: &str) -> u64 {
        let record_bytes = record::unmerged_framed_bytes(&self.record(user));
        let is_of_local = matches!(self.asked, Asked::Event { local: Some(_), .. });
        let merge_records = if is_of_local { 2 } else { 1 };
        let bytes = record_bytes + merge_records * (record_bytes + MERGE_RECORD_EXTRA_BYTES);
        u64::try_from(bytes).expect("a record has a bound")
    }

    /// The impression that it is about.
    pub(crate) fn subject<'a>(&'a self, user: &'a str) -> Subject<'a> {
        Subject {
            user,
            token: &self.token,
            popup: &self.popup,
            version: self.version,
            variant: &self.variant,
        }
    }

    /// Makes the show of an event part of a state, where its own node has not yet. The popup that
    /// it pushed out, if any; `None` where nothing changed. Allocates as `state::apply` does.
    pub fn learn(&self, state: &mut UserState, snapshot: &Snapshot) -> Option<Option<PopupKey>> {
        let Asked::Event { local: Some(session), .. } = self.asked else { return None };
        apply::learn_show(state, snapshot, LateShow { shown: self.shown, session })
    }

    /// Makes it part of a state; [`Entry::learn`] comes first. Allocates as `state::apply` does.
    pub fn merge(&self, state: &mut UserState, snapshot: &Snapshot) -> Merged {
        match self.asked {
            Asked::Show { session } => {
                match apply::merge_show(state, snapshot, LateShow { shown: self.shown, session }) {
                    Merge::Changed { forgotten } => Merged::Changed(EventKind::Decided, forgotten),
                    Merge::Known => Merged::Known(EventKind::Decided),
                    Merge::Erased => Merged::Dropped,
                }
            }
            Asked::Event { action, acted_at, .. } => {
                // As of the time at which it was accepted, so that waiting makes nothing too late.
                match apply::event(state, self.shown, action, Some(acted_at), self.at) {
                    EventVerdict::Accepted { .. } => Merged::Changed(action.kind(), None),
                    EventVerdict::Duplicate => Merged::Known(action.kind()),
                    EventVerdict::TooLate => Merged::Dropped,
                }
            }
        }
    }
}
