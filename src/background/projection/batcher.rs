//! A run of journal records as the rows of one transaction. Knows records and the domain's
//! encodings; must not know statements, the position, or what the tables hold already.
//!
//! Only the latest row per key leaves, sorted by key, so that transactions of several writers take
//! their locks in one order. The rows are the same however the journal is cut into batches: an
//! erase acts on every record of its user up to its revision, before and after it, and a show that
//! is taken back leaves no event, whichever comes first.
//!
//! Limits: `MYSQL_APPLY_RECORDS_MAX` records a batch; memory grows with the batch alone.

mod builder;

use std::borrow::Cow;
use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};

use self::builder::Builder;
use super::validate::{RejectReason, check_erase, decode_impression, decode_withdrawn};
use nudged_api::token;
use nudged_base::event_kind::EventKind;
use nudged_base::hash;
use nudged_base::hex;
use nudged_base::ids::{Revision, Sequence, UserKey};
use nudged_base::limits::MYSQL_APPLY_RECORDS_MAX;
use nudged_base::time::WallMs;
use nudged_domain::catalog::snapshot::ShowOutcome;
use nudged_domain::state::apply::Action;
use nudged_domain::state::user::{PopupState, UserClocks};
use nudged_journal::record::{Impression, Record, Withdrawn};

/// Erased users: records of them up to the revision are of nobody.
pub type Tombstones = HashMap<UserKey, Revision>;

/// The rows of one transaction. Each carries the index of the record that it comes from, so that
/// a row which the database refuses names its record.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// One per impression, in order of sequence; none for a show that the batch takes back.
    pub events: Vec<EventRow<'a>>,
    /// One per show that is taken back, sorted by decision.
    pub withdrawn: Vec<WithdrawnRow<'a>>,
    /// The latest per user, sorted by id.
    pub users: Vec<UserRow<'a>>,
    /// The latest per (user, popup), sorted.
    pub popups: Vec<PopupDelta<'a>>,
    /// The latest per user, sorted by id; they go first.
    pub erases: Vec<EraseRow<'a>>,
    /// Records that can't become rows: index and reason.
    pub rejected: Vec<(usize, RejectReason)>,
}

/// A row of `events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow<'a> {
    /// Index of the record in the batch.
    pub index: usize,
    /// The record's sequence.
    pub sequence: Sequence,
    /// The token, or what stands for it where the user is erased.
    pub decision: Cow<'a, str>,
    /// The user's id; `None` where the user is erased.
    pub user: Option<&'a str>,
    /// The record, for all else.
    pub record: Impression<'a>,
    /// When the decision was made, where this is the first click, dismissal or conversion of it.
    pub answers: Option<WallMs>,
}

/// A row of `events` that is to be deleted, where it is there: a show that nobody saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithdrawnRow<'a> {
    /// Index of the record in the batch.
    pub index: usize,
    /// The record.
    pub record: Withdrawn<'a>,
}

impl WithdrawnRow<'_> {
    /// What the row's `decision` may be: the token, or what stands for it once the user is erased.
    /// Allocates.
    pub fn decisions(&self) -> [Cow<'_, str>; 2] {
        [self.record.token.into(), erased_decision(self.record.token).into()]
    }
}

/// A row of `users`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRow<'a> {
    /// Index of the record in the batch.
    pub index: usize,
    /// The user's id.
    pub user: &'a str,
    /// The pinned hash of the id.
    pub key: UserKey,
    /// The user's revision.
    pub revision: Revision,
    /// Clocks across popups.
    pub clocks: UserClocks,
}

/// What a batch does to a row of `user_popups`: writes an entry, forgets it, or one after the
/// other; or removes the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PopupDelta<'a> {
    /// The user's id.
    pub user: &'a str,
    /// The popup's id.
    pub popup: &'a str,
    /// The entry to write, if any.
    pub entry: Option<EntryColumns<'a>>,
    /// Where the entry is forgotten after that: index of the record, and its revision.
    pub forgotten: Option<(usize, Revision)>,
    /// Where the row goes, since its only show is taken back: index of the record, and its
    /// revision. Nothing else is done to it then.
    pub removed: Option<(usize, Revision)>,
}

/// The columns of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryColumns<'a> {
    /// Index of the record in the batch.
    pub index: usize,
    /// The revision that wrote it.
    pub revision: Revision,
    /// The revision of the batch's first record of this entry.
    pub first: Revision,
    /// Whether the batch forgot or removed an older entry of the popup before, so that `first`
    /// stands even where the table has one.
    pub restarted: bool,
    /// Shows, those no longer remembered included.
    pub shows: u32,
    /// The latest show.
    pub last_shown_at: WallMs,
    /// The stored outcome and its time.
    pub outcome: Option<(ShowOutcome, WallMs)>,
    /// When the popup may return; `None` for never.
    pub next_show_at: Option<WallMs>,
    /// The encoded entry.
    pub state: &'a [u8],
}

/// An erase: rows and events of the user up to the revision lose the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EraseRow<'a> {
    /// Index of the record in the batch.
    pub index: usize,
    /// The user's id.
    pub user: &'a str,
    /// The pinned hash of the id.
    pub key: UserKey,
    /// The erase's revision.
    pub revision: Revision,
    /// When.
    pub at: WallMs,
}

/// Turns records into the rows of one transaction. `tombstones` are the erased users among those
/// of the records, `left_out` the records that the database has refused, with its reasons.
/// Allocates.
///
/// # Panics
/// On more than `MYSQL_APPLY_RECORDS_MAX` records.
pub fn build<'a>(
    records: &[(Sequence, Record<'a>)],
    tombstones: &Tombstones,
    left_out: &BTreeMap<Sequence, String>,
) -> Batch<'a> {
    assert!(records.len() <= MYSQL_APPLY_RECORDS_MAX, "a transaction has a bound");
    let mut builder = Builder::new(tombstones.clone());
    let mut batch = Batch::default();
    let kept =
        || records.iter().enumerate().filter(|(_, (sequence, _))| !left_out.contains_key(sequence));
    // Erases first: they act on the records before and after them alike.
    for (index, (_, record)) in kept() {
        let Record::Erase { user, revision, at } = record else { continue };
        match check_erase(user, *revision) {
            Ok(()) => {
                let key = UserKey::of(user.as_bytes());
                builder.erase(EraseRow { index, user, key, revision: *revision, at: *at });
            }
            Err(error) => batch.rejected.push((index, error)),
        }
    }
    batch.events.reserve(records.len());
    for (index, (sequence, record)) in kept() {
        let taken = match record {
            Record::Impression(impression) => decode_impression(impression).map(|parts| {
                let is_erased = builder.impression(index, impression, &parts);
                let (decision, user) = match is_erased {
                    true => (erased_decision(impression.token).into(), None),
                    false => (impression.token.into(), Some(impression.user)),
                };
                let (sequence, record) = (*sequence, *impression);
                let answers = answered_at(&record, &parts.entry);
                batch.events.push(EventRow { index, sequence, decision, user, record, answers });
            }),
            Record::Withdrawn(withdrawn) => decode_withdrawn(withdrawn).map(|parts| {
                builder.withdrawn(index, withdrawn, &parts);
                batch.withdrawn.push(WithdrawnRow { index, record: *withdrawn });
            }),
            Record::Erase { .. } | Record::Unmerged(_) => Ok(()),
        };
        if let Err(error) = taken {
            batch.rejected.push((index, error));
        }
    }
    leave_out_unseen(&mut batch);
    batch.rejected.sort_unstable_by_key(|(index, _)| *index);
    builder.finish(&mut batch);
    batch
}

/// When the decision of an event was made, where the event is the first that answers it: of the
/// click, the dismissal and the conversion the show's entry has had this one alone. Whoever applies
/// a record twice has its entry twice, so that it depends on the record and on nothing else.
fn answered_at(record: &Impression<'_>, entry: &PopupState) -> Option<WallMs> {
    const ANSWERS: [(EventKind, Action); 3] = [
        (EventKind::Dismissed, Action::Dismissed),
        (EventKind::Clicked, Action::Clicked),
        (EventKind::Converted, Action::Converted),
    ];
    let (_, action) = ANSWERS.iter().find(|(kind, _)| *kind == record.kind)?;
    let (decided_at, number) = token::show_of(record.token)?;
    let show = entry.shows().iter().find(|show| show.at == decided_at && show.number == number)?;
    let had = ANSWERS.iter().filter(|(_, action)| show.actions & (1 << *action as u8) != 0);
    (had.map(|(_, action)| action).eq([action])).then_some(decided_at)
}

/// A show that is taken back in the same batch has no event.
fn leave_out_unseen(batch: &mut Batch<'_>) {
    let Batch { events, withdrawn, .. } = batch;
    withdrawn.sort_unstable_by_key(|row| (row.record.token, row.index));
    let unseen: HashSet<Cow<'_, str>> =
        withdrawn.iter().flat_map(WithdrawnRow::decisions).collect();
    let is_unseen = |event: &EventRow<'_>| {
        event.record.kind == EventKind::Decided && unseen.contains(&event.decision)
    };
    if !unseen.is_empty() {
        events.retain(|event| !is_unseen(event));
    }
}

/// What stands for a decision of an erased user: `erased:` and a hash of the token in hex. A token
/// that has been replaced stays as it is. Allocates.
pub fn erased_decision(token: &str) -> String {
    const MARK: &str = "erased:";
    if token.starts_with(MARK) {
        // A token is base64 and holds no colon, so this is one that was replaced before.
        return token.to_owned();
    }
    let mut text = String::with_capacity(MARK.len() + 32);
    text.push_str(MARK);
    hex::push(&mut text, &hash::erased_decision(token.as_bytes()));
    text
}

impl PopupDelta<'_> {
    /// The revision after everything that the batch does to the row.
    fn revision(&self) -> Option<Revision> {
        let revisions = [
            self.entry.map(|entry| entry.revision),
            self.forgotten.map(|(_, revision)| revision),
            self.removed.map(|(_, revision)| revision),
        ];
        revisions.into_iter().flatten().max()
    }
}
