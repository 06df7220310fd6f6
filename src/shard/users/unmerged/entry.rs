//! One thing that was accepted without its user's state: what it is, its record, and what becomes
//! of it; and those that the unapplied part of a journal tells of, after its process has ended.
//! Knows no table and no journal.

use std::collections::BTreeMap;

use crate::users::evaluate::{Happened, Subject};
use nudged_base::event_kind::EventKind;
use nudged_base::ids::{PopupKey, Sequence};
use nudged_base::limits::MERGE_RECORD_EXTRA_BYTES;
use nudged_base::time::WallMs;
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::state::apply::{self, Action, EventVerdict, LateShow, MergedShow, ShowId};
use nudged_domain::state::user::UserState;
use nudged_journal::record::{self, Record, Unmerged, frames};

/// One thing that a user's state lacks, as its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmergedEntry {
    framed: Box<[u8]>,
}

/// What came of merging an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merged {
    /// The state changed; it has to be recorded, with the popup that a show pushed out.
    Changed(EventKind, Option<PopupKey>),
    /// The state had it already; recording it once more is harmless, and makes sure of it.
    Known(EventKind),
    /// It is of a show that is no longer remembered, too old, or of before an erase: dropped.
    Dropped,
}

impl UnmergedEntry {
    /// The entry of a record. Allocates its bytes.
    pub fn of(record: &Unmerged<'_>) -> UnmergedEntry {
        let mut framed = Vec::new();
        record::append(&Record::Unmerged(*record), &mut framed);
        UnmergedEntry { framed: framed.into() }
    }

    /// An entry of what happened to an impression, the show's number and time being these. `local`
    /// is the pinned hash of the show's session, 0 for none, where a node decided it by its own
    /// memory.
    pub(crate) fn new(
        subject: &Subject<'_>,
        happened: Happened,
        (number, shown_at): (u32, WallMs),
        local: Option<u64>,
    ) -> UnmergedEntry {
        let Subject { user, token, popup, version, variant } = *subject;
        let Happened { kind, at, acted_at, .. } = happened;
        UnmergedEntry::of(&Unmerged {
            user,
            at,
            kind,
            acted_at,
            token,
            popup,
            version,
            variant,
            number,
            shown_at,
            session: local.unwrap_or(0),
            is_of_local: local.is_some() && kind != EventKind::Decided,
        })
    }

    /// The record as it is framed for the journal.
    pub(crate) fn framed(&self) -> &[u8] {
        &self.framed
    }

    /// The record.
    pub fn record(&self) -> Unmerged<'_> {
        let frame = frames(&self.framed).next().and_then(Result::ok);
        match frame.map(|frame| frame.record()) {
            Some(Ok(Record::Unmerged(record))) => record,
            _ => unreachable!("we encoded it"),
        }
    }

    /// Bytes of the journal that it may take beside the record that it has: its record once more,
    /// for SQL to go on, and what its merge records. Neither is more than this.
    pub fn promised_bytes(&self) -> u64 {
        let merge_records = if self.record().is_of_local { 2 } else { 1 };
        let of_merge = merge_records * (self.framed.len() + MERGE_RECORD_EXTRA_BYTES);
        u64::try_from(self.framed.len() + of_merge).expect("a record has a bound")
    }
}

/// The show that a record is of, with its session.
pub(crate) fn late_show(record: &Unmerged<'_>) -> LateShow {
    let popup = PopupKey::of(record.popup);
    let shown = ShowId { popup, number: record.number, at: record.shown_at };
    LateShow { shown, session: record.session }
}

/// Makes the show of an event part of a state, where its own node has not yet. The popup that it
/// pushed out, if any; `None` where nothing changed. Allocates as `state::apply` does.
pub(crate) fn learn(
    record: &Unmerged<'_>,
    state: &mut UserState,
    snapshot: &Snapshot,
) -> Option<Option<PopupKey>> {
    let late = record.is_of_local.then(|| late_show(record))?;
    apply::learn_show(state, snapshot, late)
}

/// Makes what was accepted part of a state; [`learn`] comes first. Allocates as `state::apply`
/// does.
pub(crate) fn merge(record: &Unmerged<'_>, state: &mut UserState, snapshot: &Snapshot) -> Merged {
    let late = late_show(record);
    let Some(action) = Action::of_kind(record.kind) else {
        return match apply::merge_show(state, snapshot, late) {
            MergedShow::Changed { forgotten } => Merged::Changed(record.kind, forgotten),
            MergedShow::Known => Merged::Known(record.kind),
            MergedShow::Erased => Merged::Dropped,
        };
    };
    // As of the time at which it was accepted, so that waiting makes nothing too late.
    match apply::event(state, late.shown, action, Some(record.acted_at), record.at) {
        EventVerdict::Accepted { .. } => Merged::Changed(record.kind, None),
        EventVerdict::Duplicate => Merged::Known(record.kind),
        EventVerdict::TooLate => Merged::Dropped,
    }
}

/// Entries in the order in which they were accepted, each with the number of its latest record.
pub type RecoveredUnmerged = Vec<(Sequence, UnmergedEntry)>;

/// A place among all that was found, and what lies there.
type Placed = (usize, (Sequence, UnmergedEntry));

/// Finds what is unmerged in a journal, record by record: an impression says that an entry is
/// merged, an erase that it is to be forgotten.
#[derive(Debug, Default)]
pub struct UnmergedScan {
    /// By decision and kind: its place among all, its latest record and itself.
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
                self.left.insert(key, (place, (sequence, UnmergedEntry::of(record))));
            }
            Record::Impression(record) if !self.left.is_empty() => {
                self.left.remove(&(record.token.into(), record.kind.number()));
            }
            Record::Impression(_) | Record::Withdrawn(_) => {}
            Record::Erase { user, .. } => {
                self.left.retain(|_, (_, (_, own))| own.record().user != *user);
            }
        }
    }

    /// What is left at the journal's end.
    pub fn into_left(self) -> RecoveredUnmerged {
        let mut left: Vec<_> = self.left.into_values().collect();
        left.sort_unstable_by_key(|(place, _)| *place);
        left.into_iter().map(|(_, entry)| entry).collect()
    }
}
