//! Transactions of records: runs of one or more streams as rows, and the positions that say so.
//! Knows the order of the steps; the statements are its neighbours'. Must not know where the
//! records come from.
//!
//! ```text
//! begin -> positions, locked: fenced? behind? skip what is applied -> erases -> withdrawn shows
//!       -> events -> users -> user_popups -> popup_stats -> dead letters to disk -> positions
//!       -> commit
//! ```
//!
//! On a server these are 8 statements where nothing is erased or withdrawn, each with as many rows
//! as fit, and one more where statistics have an hour that a process before has begun, or that
//! lists are counted in. In SQLite a row is a statement of its own, so one that is refused names
//! its record.
//!
//! | what fails | what follows |
//! |---|---|
//! | a row that SQLite refuses | again without its record, which is a dead letter |
//! | deadlock, lock not given by a server | again with half as many records, up to a bound |
//! | a server's: too large, value refused | again with half; what fails alone is a dead letter |
//! | connection lost, commit or not | the next one ends it; the positions say what took place |
//! | anything else | the caller waits and calls again: the positions skip what is applied |

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::Store;
use crate::dead_letter::{DeadLetters, Letter};
use crate::error::StoreError;
use crate::mysql::FailureKind;
use crate::session::{RowError, Session};
use crate::statement::Dialect;
use crate::statements::erased::{erase, tombstones};
use crate::statements::events::{self, RecordKey};
use crate::statements::sketches::KnownSketches;
use crate::statements::streams::{Claims, Positions, move_positions, read_positions};
use crate::statements::{statistics, users};
use crate::stored::{Applied, RecordRun, StreamId};
use nudged_background::projection::batcher::{self, Batch, EventRow};
use nudged_background::projection::stats::Tally;
use nudged_base::ids::{Sequence, UserKey};
use nudged_base::limits::{APPLY_RECORDS_MAX, MYSQL_LOST_MAX, MYSQL_TRANSACTIONS_MAX};
use nudged_journal::record::Record;

/// Records of several streams in a row: each with its sequence, and beside it whose it is. Copied
/// only where runs are joined, or where some of a run are applied already.
struct Flat<'r, 'a> {
    records: Cow<'r, [(Sequence, Record<'a>)]>,
    owners: Cow<'r, [Owner]>,
}

/// The stream of a record, and whether its sequences have no gaps.
#[derive(Clone, Copy)]
struct Owner {
    stream: StreamId,
    is_dense: bool,
}

impl<'r, 'a> Flat<'r, 'a> {
    fn of(runs: &'r [RecordRun<'a>]) -> Result<Flat<'r, 'a>, StoreError> {
        let (mut records, mut owners) = (Cow::Borrowed(&[][..]), Vec::new());
        for run in runs {
            check_ascending(run)?;
            match records.is_empty() {
                true => records = Cow::Borrowed(run.records),
                false => records.to_mut().extend_from_slice(run.records),
            }
            owners.resize(records.len(), Owner { stream: run.stream, is_dense: run.is_dense });
        }
        Ok(Flat { records, owners: owners.into() })
    }

    fn part(&self, from: usize, count: usize) -> Flat<'_, 'a> {
        let to = (from + count).min(self.records.len());
        let (records, owners) = (&self.records[from..to], &self.owners[from..to]);
        Flat { records: records.into(), owners: owners.into() }
    }

    /// The streams, each once for each stretch of records that it has.
    fn streams(&self) -> impl Iterator<Item = StreamId> {
        let stretches = self.owners.chunk_by(|one, other| one.stream == other.stream);
        stretches.map(|owners| owners[0].stream)
    }

    /// The records beyond the positions, and where those stand with them: of the streams that have
    /// any.
    fn pending(&self, before: &Positions) -> Result<(Flat<'_, 'a>, Positions), StoreError> {
        let mut after = before.clone();
        let mut is_pending = Vec::with_capacity(self.records.len());
        for (owner, (next, _)) in self.owners.iter().zip(&*self.records) {
            let position = after.get_mut(&owner.stream).expect("every stream has a position");
            is_pending.push(*next > *position);
            if *next <= *position {
                continue;
            }
            if owner.is_dense && next.0 != position.0 + 1 {
                let (stream, position) = (owner.stream.0, *position);
                return Err(StoreError::Behind { stream, position, next: *next });
            }
            *position = *next;
        }
        after.retain(|stream, position| before[stream] != *position);
        if is_pending.iter().all(|is| *is) {
            return Ok((self.part(0, self.records.len()), after));
        }
        let chosen = |index: &usize| is_pending[*index];
        let indices: Vec<usize> = (0..self.records.len()).filter(chosen).collect();
        let records = indices.iter().map(|index| self.records[*index]).collect();
        let owners = indices.iter().map(|index| self.owners[*index]).collect();
        Ok((Flat { records: Cow::Owned(records), owners: Cow::Owned(owners) }, after))
    }
}

fn check_ascending(run: &RecordRun<'_>) -> Result<(), StoreError> {
    for pair in run.records.windows(2) {
        let (after, found) = (pair[0].0, pair[1].0);
        let is_next = after.0.checked_add(1) == Some(found.0);
        if !is_next && (run.is_dense || found <= after) {
            return Err(StoreError::Gap { stream: run.stream.0, after, found });
        }
    }
    Ok(())
}

/// How one call goes on from try to try.
#[derive(Default)]
struct Attempts {
    held_up: u32,
    lost: u32,
    /// A commit that nobody has answered.
    unanswered: Option<RowsToCommit>,
    /// Rows of events are looked for before they are inserted.
    is_careful: bool,
    /// Records that the database refuses, with its reasons: of one stream.
    refused: BTreeMap<Sequence, String>,
}

/// Why a transaction was rolled back, and the record whose row the database refuses, if that is it.
struct Failed {
    refused: Option<Sequence>,
    error: StoreError,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed { refused: None, error }
    }
}

impl Store {
    /// Applies up to [`Store::records_max`] records of ascending, gapless sequence, in one
    /// transaction with the position; after a failure a server may get them in several. Records at
    /// or below the position are skipped. After an error a part of them may be applied, and a
    /// commit may have failed after the fact: the position tells, so calling again is always safe.
    ///
    /// # Errors
    /// [`StoreError::Behind`] where the records start beyond the position, [`StoreError::Fenced`]
    /// and [`StoreError::Halted`] where going on would mix two journals, and where the database or
    /// the dead-letter file fails.
    ///
    /// # Panics
    /// In SQLite on more than `APPLY_RECORDS_MAX` records; on a stream that was not claimed here.
    pub fn apply(
        &mut self,
        stream: StreamId,
        records: &[(Sequence, Record<'_>)],
    ) -> Result<Applied, StoreError> {
        self.apply_runs(&[RecordRun { stream, is_dense: true, records }])
    }

    /// Applies runs of several streams, on a server in one transaction with their positions where
    /// nothing fails. Records of one user have to be in the order of their revisions, or it has to
    /// be all the same.
    ///
    /// # Errors
    /// As [`Store::apply`]. [`StoreError::Fenced`] names the stream that another node has claimed:
    /// without it the rest may be applied.
    ///
    /// # Panics
    /// As [`Store::apply`]; in SQLite on a run that is not dense: a node of its own has no lists.
    pub fn apply_runs(&mut self, runs: &[RecordRun<'_>]) -> Result<Applied, StoreError> {
        if self.session.get_mut().dialect() == Dialect::Mysql {
            return self.apply_flat(&Flat::of(runs)?);
        }
        let mut total = Applied::default();
        for run in runs {
            assert!(run.is_dense, "lists are of nodes that share a server");
            let count = run.records.len();
            assert!(count <= APPLY_RECORDS_MAX, "a transaction applies up to 1,000 records");
            // One stream a transaction, so that a sequence names a record that is refused.
            total.add(self.apply_flat(&Flat::of(std::slice::from_ref(run))?)?);
        }
        Ok(total)
    }

    fn apply_flat(&mut self, flat: &Flat<'_, '_>) -> Result<Applied, StoreError> {
        let mut total = Applied::default();
        let mut done = 0;
        let mut attempts = Attempts::default();
        while done < flat.records.len() {
            let part = flat.part(done, self.records_now);
            let failed = match self.transact(&part, &mut attempts) {
                Ok(Some(applied)) => {
                    done += part.records.len();
                    total.add(applied);
                    attempts = Attempts::default();
                    self.records_now = (self.records_now * 2).min(self.records_max);
                    continue;
                }
                Ok(None) => {
                    attempts.is_careful = true;
                    continue;
                }
                Err(failed) => failed,
            };
            match failed.refused {
                // Each such turn leaves one more record out, so there are no more than records.
                Some(sequence) => {
                    let before = attempts.refused.insert(sequence, failed.error.words());
                    assert!(before.is_none(), "a record that was left out has no rows");
                }
                None => self.go_on(&part, failed.error, &mut attempts)?,
            }
        }
        Ok(total)
    }

    /// What to do after an error: `Ok` is another try.
    fn go_on(
        &mut self,
        part: &Flat<'_, '_>,
        error: StoreError,
        attempts: &mut Attempts,
    ) -> Result<(), StoreError> {
        if self.session.get_mut().dialect() == Dialect::Sqlite {
            return Err(error);
        }
        let count = part.records.len();
        let half = count.div_ceil(2).max(1);
        match error.kind() {
            FailureKind::Deadlock | FailureKind::LockWait | FailureKind::Duplicate => {
                attempts.held_up += 1;
                self.records_now = half;
                if attempts.held_up < MYSQL_TRANSACTIONS_MAX { Ok(()) } else { Err(error) }
            }
            FailureKind::BadData | FailureKind::PacketTooLarge if count > 1 => {
                self.records_now = half;
                Ok(())
            }
            FailureKind::BadData | FailureKind::PacketTooLarge if attempts.refused.is_empty() => {
                attempts.refused.insert(part.records[0].0, error.words());
                Ok(())
            }
            FailureKind::Unreachable => {
                attempts.lost += 1;
                if attempts.lost < MYSQL_LOST_MAX { Ok(()) } else { Err(error) }
            }
            _ => Err(error),
        }
    }

    /// One transaction; `None` where it was rolled back because events have to be looked for first.
    fn transact(
        &mut self,
        part: &Flat<'_, '_>,
        attempts: &mut Attempts,
    ) -> Result<Option<Applied>, Failed> {
        let claims: Claims = part.streams().map(|stream| (stream, self.claim(stream))).collect();
        let session = self.session.get_mut();
        session.begin()?;
        let sketches = &mut self.sketches;
        let result = write(session, (sketches, &self.dead_letters), part, &claims, attempts);
        let result = match result {
            Ok(WriteOutcome::Rows(rows)) => match session.commit() {
                Ok(()) => {
                    sketches.keep();
                    session.note_applied(rows.has_erased);
                    Ok(Some(rows.applied))
                }
                Err(error) => {
                    if error.kind() == FailureKind::Unreachable {
                        attempts.unanswered = Some(rows);
                    }
                    Err(error.into())
                }
            },
            Ok(WriteOutcome::Nothing(applied)) => Ok(Some(applied)),
            Ok(WriteOutcome::NeedsCare) => Ok(None),
            Err(failed) => Err(failed),
        };
        session.roll_back();
        if !matches!(result, Ok(Some(_))) {
            sketches.forget();
        }
        result
    }
}

/// What is to be committed.
enum WriteOutcome {
    /// Rows, with the positions that say so.
    Rows(RowsToCommit),
    /// Nothing: all of it is applied.
    Nothing(Applied),
    /// Nothing: a row of events was there before, and it has to be known which.
    NeedsCare,
}

/// What a commit of rows does: where the positions stand then, and whether it erases somebody.
struct RowsToCommit {
    applied: Applied,
    positions: Positions,
    has_erased: bool,
}

fn write(
    session: &mut Session,
    (sketches, dead_letters): (&mut KnownSketches, &DeadLetters),
    part: &Flat<'_, '_>,
    claims: &Claims,
    attempts: &mut Attempts,
) -> Result<WriteOutcome, Failed> {
    let (before, any_erased) = read_positions(session, claims)?;
    if let Some(unanswered) = attempts.unanswered.take()
        && unanswered.positions.iter().all(|(stream, off)| before.get(stream) == Some(off))
    {
        return Ok(WriteOutcome::Nothing(unanswered.applied));
    }
    let (pending, positions) = part.pending(&before)?;
    let skipped = part.records.len() - pending.records.len();
    if pending.records.is_empty() {
        return Ok(WriteOutcome::Nothing(Applied { skipped, ..Applied::default() }));
    }
    let erased = if any_erased { erased_among(session, &pending)? } else { Default::default() };
    let batch = batcher::build(&pending.records, &erased, &attempts.refused);
    let written = write_rows(session, (sketches, claims), &pending, &batch, attempts.is_careful);
    let duplicates = written.map_err(|RowError { row, error }| {
        let refused = row.map(|index| pending.records[index].0);
        Failed { refused, error }
    })?;
    let Some(duplicates) = duplicates else { return Ok(WriteOutcome::NeedsCare) };
    for erase in &batch.erases {
        dead_letters.erase_user(erase.user)?;
    }
    let letters = letters(&pending, &batch, &attempts.refused);
    if !letters.is_empty() {
        dead_letters.append(&letters)?;
    }
    move_positions(session, claims, &before, &positions)?;
    let rejected = letters.len();
    let records = pending.records.len() - duplicates - rejected;
    let applied = Applied { records, duplicates, skipped, rejected };
    Ok(WriteOutcome::Rows(RowsToCommit {
        applied,
        positions,
        has_erased: !batch.erases.is_empty(),
    }))
}

/// The erased users among those of the records.
fn erased_among(
    session: &mut Session,
    pending: &Flat<'_, '_>,
) -> Result<batcher::Tombstones, StoreError> {
    let users = pending.records.iter().map(|(_, record)| record.user());
    let keys: Vec<UserKey> = users.map(|user| UserKey::of(user.as_bytes())).collect();
    let found = tombstones(session, &keys)?.into_iter();
    Ok(found.map(|(key, one)| (key, one.revision)).collect())
}

/// Writes a batch's rows; gives the number of duplicates, or `None` where it has to be known first
/// which events are there. An error's row is a record, by its index.
fn write_rows(
    session: &mut Session,
    (sketches, claims): (&mut KnownSketches, &Claims),
    pending: &Flat<'_, '_>,
    batch: &Batch<'_>,
    is_careful: bool,
) -> Result<Option<usize>, RowError> {
    erase(session, &batch.erases)?;
    let place = |event: &EventRow<'_>| (pending.owners[event.index].stream, event.sequence);
    let events: Vec<(RecordKey, &EventRow<'_>)> =
        batch.events.iter().map(|event| (place(event), event)).collect();
    let mut tallies: BTreeMap<StreamId, Tally<'_>> = BTreeMap::new();
    let claim_of = |index: usize| claims[&pending.owners[index].stream];
    for row in &batch.withdrawn {
        tallies.entry(claim_of(row.index).counted_in).or_default().touch(row);
    }
    for (stream, index) in events::withdraw(session, &batch.withdrawn)? {
        let row = &batch.withdrawn[index];
        let claim = claim_of(row.index);
        let is_list = claim.counted_in != claim.stream;
        let counted_in = if is_list { claim.counted_in } else { stream };
        tallies.entry(counted_in).or_default().uncount(row);
    }
    let Some(is_new) = write_events(session, &events, is_careful)? else { return Ok(None) };
    let new = events.iter().zip(&is_new).filter(|(_, is_new)| **is_new);
    for ((_, event), _) in new {
        tallies.entry(claim_of(event.index).counted_in).or_default().count(event);
    }
    users::write_users(session, &batch.users)?;
    users::remove_entries(session, &batch.popups)?;
    users::write_entries(session, &batch.popups)?;
    let mut stats = Vec::new();
    for (stream, tally) in tallies {
        stats.extend(tally.into_rows().into_iter().map(|(key, row)| (stream, key, row)));
    }
    stats.sort_unstable_by_key(|(stream, key, _)| (*key, *stream));
    statistics::add_stats(session, sketches, claims, &stats)?;
    Ok(Some(is_new.iter().filter(|is_new| !**is_new).count()))
}

/// Inserts events; tells which of them are new. SQLite tells it itself. Else in the ordinary case
/// all of them are, and one count says so; where it does not the rows are looked at: `None` where
/// that can't tell a row of this transaction from one that an earlier one left under the same key.
fn write_events(
    session: &mut Session,
    events: &[(RecordKey, &EventRow<'_>)],
    is_careful: bool,
) -> Result<Option<Vec<bool>>, RowError> {
    let mut is_new = vec![true; events.len()];
    if is_careful {
        let there = events::own_rows(session, events)?;
        is_new.iter_mut().zip(there).for_each(|(is_new, is_there)| *is_new = !is_there);
    }
    let is_missing = is_new.iter();
    let missing: Vec<_> =
        events.iter().zip(is_missing).filter(|(_, is)| **is).map(|(event, _)| *event).collect();
    let inserted = events::insert_events(session, &missing)?;
    if let Some(unchanged) = inserted.unchanged {
        let there: Vec<_> = unchanged.iter().map(|index| events[*index]).collect();
        // Halts where the place is another record's.
        events::own_rows(session, &there)?;
        unchanged.into_iter().for_each(|index| is_new[index] = false);
        return Ok(Some(is_new));
    }
    let inserted = usize::try_from(inserted.changed).unwrap_or(usize::MAX);
    if inserted == missing.len() {
        return Ok(Some(is_new));
    }
    let own = events::own_rows(session, &missing)?;
    if own.iter().filter(|is_own| **is_own).count() != inserted {
        return Ok(None);
    }
    let mut own = own.into_iter();
    for is_new in is_new.iter_mut().filter(|is_new| **is_new) {
        *is_new = own.next().expect("one for each that was missing");
    }
    Ok(Some(is_new))
}

/// The records of a batch that no table takes, in its order.
fn letters<'a>(
    pending: &Flat<'_, 'a>,
    batch: &Batch<'_>,
    refused: &BTreeMap<Sequence, String>,
) -> Vec<Letter<'a>> {
    let invalid = batch.rejected.iter().map(|(index, error)| (*index, error.as_str()));
    let numbered = pending.records.iter().enumerate();
    let refused = numbered.filter_map(|(index, (sequence, _))| {
        refused.get(sequence).map(|reason| (index, reason.as_str()))
    });
    let mut reasons: Vec<(usize, &str)> = invalid.chain(refused).collect();
    reasons.sort_unstable_by_key(|(index, _)| *index);
    let letter = |(index, reason): (usize, &str)| {
        let (sequence, record) = pending.records[index];
        let stream = pending.owners[index].stream;
        Letter { stream, sequence, record, reason: reason.to_owned() }
    };
    reasons.into_iter().map(letter).collect()
}
