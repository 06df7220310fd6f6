//! One thing that was accepted without its user's state: what it is, its record, and what becomes
//! of it; and those that the unapplied part of a journal tells of, after its process has ended.
//! Knows no table and no journal.

use std::collections::BTreeMap;

use crate::users::evaluate::Subject;
use nudged_base::event_kind::EventKind;
use nudged_base::ids::{PopupKey, Sequence};
use nudged_base::limits::MERGE_RECORD_EXTRA_BYTES;
use nudged_base::time::WallMs;
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::state::apply::{self, Action, EventVerdict, LateShow, MergedShow, ShowId};
use nudged_domain::state::user::UserState;
use nudged_journal::record::{self, Record};

/// One thing that a user's state lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmergedEntry {
    /// When it was accepted.
    pub at: WallMs,
    /// The show itself, or an event of it.
    pub kind: UnmergedKind,
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
pub enum UnmergedKind {
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

impl UnmergedEntry {
    /// An entry about an impression, accepted at this time. Allocates its texts.
    pub(crate) fn new(
        subject: &Subject<'_>,
        at: WallMs,
        kind: UnmergedKind,
        shown: ShowId,
    ) -> UnmergedEntry {
        UnmergedEntry {
            at,
            kind,
            shown,
            token: subject.token.into(),
            popup: subject.popup.into(),
            version: subject.version,
            variant: subject.variant.into(),
        }
    }

    /// The entry of a record. Allocates its texts.
    pub fn of(record: &record::Unmerged<'_>) -> UnmergedEntry {
        let kind = match Action::of_kind(record.kind) {
            None => UnmergedKind::Show { session: record.session },
            Some(action) => {
                let local = record.is_of_local.then_some(record.session);
                UnmergedKind::Event { action, acted_at: record.acted_at, local }
            }
        };
        let (user, token, popup) = (record.user, record.token, record.popup);
        let (version, variant) = (record.version, record.variant);
        let subject = Subject { user, token, popup, version, variant };
        let (number, at) = (record.number, record.shown_at);
        let shown = ShowId { popup: PopupKey::of(popup), number, at };
        UnmergedEntry::new(&subject, record.at, kind, shown)
    }

    /// The record of an entry.
    pub fn record<'a>(&'a self, user: &'a str) -> record::Unmerged<'a> {
        let (kind, acted_at, local) = match self.kind {
            UnmergedKind::Show { session } => (EventKind::Decided, self.at, Some(session)),
            UnmergedKind::Event { action, acted_at, local } => (action.kind(), acted_at, local),
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
        let is_of_local = matches!(self.kind, UnmergedKind::Event { local: Some(_), .. });
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
        let UnmergedKind::Event { local: Some(session), .. } = self.kind else { return None };
        apply::learn_show(state, snapshot, LateShow { shown: self.shown, session })
    }

    /// Makes it part of a state; [`UnmergedEntry::learn`] comes first. Allocates as `state::apply`
    /// does.
    pub fn merge(&self, state: &mut UserState, snapshot: &Snapshot) -> Merged {
        match self.kind {
            UnmergedKind::Show { session } => {
                match apply::merge_show(state, snapshot, LateShow { shown: self.shown, session }) {
                    MergedShow::Changed { forgotten } => {
                        Merged::Changed(EventKind::Decided, forgotten)
                    }
                    MergedShow::Known => Merged::Known(EventKind::Decided),
                    MergedShow::Erased => Merged::Dropped,
                }
            }
            UnmergedKind::Event { action, acted_at, .. } => {
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

/// Entries in the order in which they were accepted, each with its user and its latest record.
pub type RecoveredUnmerged = Vec<(Sequence, Box<str>, UnmergedEntry)>;

/// A place among all that was found, and what lies there.
type Placed = (usize, (Sequence, Box<str>, UnmergedEntry));

/// Finds what is unmerged in a journal, record by record: an impression says that an entry is
/// merged, an erase that it is to be forgotten.
#[derive(Debug, Default)]
pub struct UnmergedScan {
    /// By decision and kind: its place among all, its latest record, its user and itself.
    left: BTreeMap<(Box<str>, u8), Placed>,
    count: usize,
}

impl UnmergedScan {
    /// Takes the next record of the journal. Allocates what an entry takes.
    pub fn take(&mut self, sequence: Sequence, record: &Record<'_>) {
        match record {
            Record::Unmerged(record) => {
                // Journaled again, it keeps its place among those of its user.
                let key = (record.token.into(), record.kind.number());
                let place = self.left.get(&key).map_or(self.count, |(place, _)| *place);
                self.count += 1;
                self.left.insert(
                    key,
                    (place, (sequence, record.user.into(), UnmergedEntry::of(record))),
                );
            }
            Record::Impression(record) if !self.left.is_empty() => {
                self.left.remove(&(record.token.into(), record.kind.number()));
            }
            Record::Impression(_) | Record::Withdrawn(_) => {}
            Record::Erase { user, .. } => self.left.retain(|_, (_, (_, own, _))| **own != **user),
        }
    }

    /// What is left at the journal's end.
    pub fn into_left(self) -> RecoveredUnmerged {
        let mut left: Vec<_> = self.left.into_values().collect();
        left.sort_unstable_by_key(|(place, _)| *place);
        left.into_iter().map(|(_, entry)| entry).collect()
    }
}
