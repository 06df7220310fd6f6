//! Transactions of records: runs of one or more streams as rows, and the positions that say so.
//! Knows the order of the steps; the statements are in `rows` and `erase`. Must not know where the
//! records come from.
//!
//! ```text
//! begin -> positions FOR UPDATE: fenced? behind? skip what is applied -> erases -> withdrawn shows
//!       -> events -> users -> user_popups -> popup_stats -> dead letters to disk -> positions
//!       -> commit
//! ```
//!
//! Without erases and withdrawn shows these are 8 statements, each with as many rows as fit.
//!
//! | what fails | what follows |
//! |---|---|
//! | deadlock, lock not given | rolled back, again with half as many records, up to a bound |
//! | too large, value refused | again with half; a record that fails alone is a dead letter |
//! | connection lost, commit or not | the next one ends it; the positions say what took place |
//! | anything else | the caller waits and calls again: the positions skip what is applied |

use std::collections::BTreeMap;

use super::erase::{erase, tombstones};
use super::failure::FailureKind;
use super::rows::{self, PART, Place, signed};
use super::session::Session;
use super::text::{Literal, list};
use super::withdraw::{remove_popups, withdraw};
use super::{Claim, Mysql};
use crate::dead_letter::{DeadLetters, Letter};
use crate::error::StoreError;
use crate::stored::{Applied, Run, StreamId};
use nudged_background::writer::batcher::{self, Batch, EventRow};
use nudged_background::writer::stats::Tally;
use nudged_base::ids::{Sequence, UserKey};
use nudged_base::limits::{MYSQL_LOST_MAX, MYSQL_TRANSACTIONS_MAX};
use nudged_journal::record::Record;

/// Records of several streams in a row: each with its sequence, and beside it whose it is.
#[derive(Default)]
struct Flat<'a> {
    records: Vec<(Sequence, Record<'a>)>,
    owners: Vec<Owner>,
}

/// The stream of a record, and whether its sequences have no gaps.
#[derive(Clone, Copy)]
struct Owner {
    stream: StreamId,
    is_dense: bool,
}

impl<'a> Flat<'a> {
    fn of(runs: &[Run<'a>]) -> Result<Flat<'a>, StoreError> {
        let mut flat = Flat::default();
        for run in runs {
            check_ascending(run)?;
            let owner = Owner { stream: run.stream, is_dense: run.is_dense };
            flat.records.extend_from_slice(run.records);
            flat.owners.resize(flat.records.len(), owner);
        }
        Ok(flat)
    }

    fn part(&self, from: usize, count: usize) -> Flat<'a> {
        let to = (from + count).min(self.records.len());
        Flat { records: self.records[from..to].to_vec(), owners: self.owners[from..to].to_vec() }
    }
}

fn check_ascending(run: &Run<'_>) -> Result<(), StoreError> {
    for pair in run.records.windows(2) {
        let (after, found) = (pair[0].0, pair[1].0);
        let is_next = after.0.checked_add(1) == Some(found.0);
        if !is_next && (run.is_dense || found <= after) {
            return Err(StoreError::Gap { stream: run.stream.0, after, found });
        }
    }
    Ok(())
}

/// A commit that nobody has answered: where the positions stand if it took place, and what it did.
struct Unanswered {
    positions: BTreeMap<StreamId, Sequence>,
    applied: Applied,
}

/// How one call goes on from try to try.
#[derive(Default)]
struct Progress {
    held_up: u32,
    lost: u32,
    unanswered: Option<Unanswered>,
    /// Rows of events are looked for before they are inserted.
    is_careful: bool,
    /// The server has refused this record alone.
    refusal: Option<String>,
}

impl Mysql {
    /// See [`crate::Store::apply_runs`].
    pub(crate) fn apply_runs(&mut self, runs: &[Run<'_>]) -> Result<Applied, StoreError> {
        let flat = Flat::of(runs)?;
        let mut total = Applied::default();
        let mut done = 0;
        let mut progress = Progress::default();
        while done < flat.records.len() {
            let part = flat.part(done, self.records_now);
            let error = match self.transact(&part, &mut progress) {
                Ok(Some(applied)) => {
                    done += part.records.len();
                    total.add(applied);
                    progress = Progress::default();
                    self.records_now = (self.records_now * 2).min(self.records_max);
                    continue;
                }
                Ok(None) => {
                    progress.is_careful = true;
                    continue;
                }
                Err(error) => error,
            };
            self.go_on(part.records.len(), error, &mut progress)?;
        }
        Ok(total)
    }

    /// What to do after an error: `Ok` is another try.
    fn go_on(
        &mut self,
        count: usize,
        error: StoreError,
        progress: &mut Progress,
    ) -> Result<(), StoreError> {
        let half = count.div_ceil(2).max(1);
        match error.kind() {
            FailureKind::Deadlock | FailureKind::LockWait | FailureKind::Duplicate => {
                progress.held_up += 1;
                self.records_now = half;
                if progress.held_up < MYSQL_TRANSACTIONS_MAX { Ok(()) } else { Err(error) }
            }
            FailureKind::BadData | FailureKind::PacketTooLarge if count > 1 => {
                self.records_now = half;
                Ok(())
            }
            FailureKind::BadData | FailureKind::PacketTooLarge if progress.refusal.is_none() => {
                progress.refusal = Some(error.words());
                Ok(())
            }
            FailureKind::Unreachable => {
                progress.lost += 1;
                if progress.lost < MYSQL_LOST_MAX { Ok(()) } else { Err(error) }
            }
            _ => Err(error),
        }
    }

    /// One transaction; `None` where it was rolled back because events have to be looked for first.
    fn transact(
        &mut self,
        part: &Flat<'_>,
        progress: &mut Progress,
    ) -> Result<Option<Applied>, StoreError> {
        let claims: BTreeMap<StreamId, Claim> =
            part.owners.iter().map(|owner| (owner.stream, self.claim(owner.stream))).collect();
        let session = self.session.get_mut();
        session.begin()?;
        let result = write(session, part, &claims, (&self.dead_letters, progress));
        let result = match result {
            Ok(Written::Rows(applied, positions)) => match session.commit() {
                Ok(()) => Ok(Some(applied)),
                Err(error) => {
                    if error.kind() == FailureKind::Unreachable {
                        progress.unanswered = Some(Unanswered { positions, applied });
                    }
                    Err(error)
                }
            },
            Ok(Written::Nothing(applied)) => Ok(Some(applied)),
            Ok(Written::NeedsCare) => Ok(None),
            Err(error) => Err(error),
        };
        session.roll_back();
        result
    }
}

/// What is to be committed.
enum Written {
    /// Rows, with the positions that say so.
    Rows(Applied, BTreeMap<StreamId, Sequence>),
    /// Nothing: all of it is applied.
    Nothing(Applied),
    /// Nothing: a row of events was there before, and it has to be known which.
    NeedsCare,
}

fn write(
    session: &mut Session,
    part: &Flat<'_>,
    claims: &BTreeMap<StreamId, Claim>,
    (dead_letters, progress): (&DeadLetters, &mut Progress),
) -> Result<Written, StoreError> {
    let (before, any_erased) = read_positions(session, claims)?;
    if let Some(unanswered) = progress.unanswered.take()
        && unanswered.positions.iter().all(|(stream, off)| before.get(stream) == Some(off))
    {
        return Ok(Written::Nothing(unanswered.applied));
    }
    let pending = pending(part, &before)?;
    let skipped = part.records.len() - pending.records.len();
    if pending.records.is_empty() {
        return Ok(Written::Nothing(Applied { skipped, ..Applied::default() }));
    }
    let keys: Vec<UserKey> = pending.records.iter().map(|(_, record)| key_of(record)).collect();
    let erased = if any_erased { tombstones(session, &keys)? } else { Default::default() };
    let refused = progress.refusal.as_ref().map(|reason| (pending.records[0].0, reason.clone()));
    let batch = batcher::build(&pending.records, &erased, &refused.iter().cloned().collect());
    let Some(duplicates) = write_rows(session, &pending, &batch, progress.is_careful)? else {
        return Ok(Written::NeedsCare);
    };
    for erase in &batch.erases {
        dead_letters.erase_user(erase.user)?;
    }
    let letters = letters(&pending, &batch, progress.refusal.as_deref());
    if !letters.is_empty() {
        dead_letters.append(&letters)?;
    }
    let mut after = BTreeMap::new();
    for (owner, (sequence, _)) in pending.owners.iter().zip(&pending.records) {
        after.insert(owner.stream, *sequence);
    }
    move_positions(session, claims, &before, &after)?;
    let rejected = letters.len();
    let records = pending.records.len() - duplicates - rejected;
    Ok(Written::Rows(Applied { records, duplicates, skipped, rejected }, after))
}

/// The records beyond the positions.
fn pending<'a>(
    part: &Flat<'a>,
    positions: &BTreeMap<StreamId, Sequence>,
) -> Result<Flat<'a>, StoreError> {
    let mut pending = Flat::default();
    let mut reached = positions.clone();
    for (owner, (next, record)) in part.owners.iter().zip(&part.records) {
        let stream = owner.stream;
        let position = reached[&stream];
        if *next <= position {
            continue;
        }
        if owner.is_dense && next.0 != position.0 + 1 {
            return Err(StoreError::Behind { stream: stream.0, position, next: *next });
        }
        reached.insert(stream, *next);
        pending.records.push((*next, *record));
        pending.owners.push(*owner);
    }
    Ok(pending)
}

/// Writes a batch's rows; gives the number of duplicates, or `None` where it has to be known first
/// which events are there.
fn write_rows(
    session: &mut Session,
    pending: &Flat<'_>,
    batch: &Batch<'_>,
    is_careful: bool,
) -> Result<Option<usize>, StoreError> {
    erase(session, &batch.erases)?;
    let place = |event: &EventRow<'_>| (pending.owners[event.index].stream, event.sequence);
    let events: Vec<(Place, &EventRow<'_>)> =
        batch.events.iter().map(|event| (place(event), event)).collect();
    let mut tallies: BTreeMap<StreamId, Tally<'_>> = BTreeMap::new();
    for row in &batch.withdrawn {
        tallies.entry(pending.owners[row.index].stream).or_default().touch(row);
    }
    for (stream, index) in withdraw(session, &batch.withdrawn)? {
        tallies.entry(stream).or_default().uncount(&batch.withdrawn[index]);
    }
    let Some(is_new) = write_events(session, &events, is_careful)? else { return Ok(None) };
    let new = events.iter().zip(&is_new).filter(|(_, is_new)| **is_new);
    for (((stream, _), event), _) in new {
        tallies.entry(*stream).or_default().count(event);
    }
    rows::write_users(session, &batch.users)?;
    remove_popups(session, &batch.popups)?;
    rows::write_popups(session, &batch.popups)?;
    let mut stats = Vec::new();
    for (stream, tally) in tallies {
        stats.extend(tally.into_rows().into_iter().map(|(key, row)| (stream, key, row)));
    }
    stats.sort_unstable_by_key(|(stream, key, _)| (*key, *stream));
    rows::write_stats(session, &stats)?;
    Ok(Some(is_new.iter().filter(|is_new| !**is_new).count()))
}

/// Inserts events; tells which of them are new. In the ordinary case all of them are, and one count
/// says so. Else the rows are looked at; `None` where that can't tell a row of this transaction
/// from one that an earlier one left under the same key.
fn write_events(
    session: &mut Session,
    events: &[(Place, &EventRow<'_>)],
    is_careful: bool,
) -> Result<Option<Vec<bool>>, StoreError> {
    let mut is_new = vec![true; events.len()];
    if is_careful {
        let there = rows::own_rows(session, events)?;
        is_new.iter_mut().zip(there).for_each(|(is_new, is_there)| *is_new = !is_there);
    }
    let is_missing = is_new.iter();
    let missing: Vec<_> =
        events.iter().zip(is_missing).filter(|(_, is)| **is).map(|(event, _)| *event).collect();
    let inserted = usize::try_from(rows::insert_events(session, &missing)?).unwrap_or(usize::MAX);
    if inserted == missing.len() {
        return Ok(Some(is_new));
    }
    let own = rows::own_rows(session, &missing)?;
    if own.iter().filter(|is_own| **is_own).count() != inserted {
        return Ok(None);
    }
    let mut own = own.into_iter();
    for is_new in is_new.iter_mut().filter(|is_new| **is_new) {
        *is_new = own.next().expect("one for each that was missing");
    }
    Ok(Some(is_new))
}

/// The records of a batch that no table takes, in the order of the batch.
fn letters<'a>(pending: &Flat<'a>, batch: &Batch<'_>, refusal: Option<&str>) -> Vec<Letter<'a>> {
    let invalid = batch.rejected.iter().map(|(index, error)| (*index, error.as_str()));
    refusal
        .map(|reason| (0, reason))
        .into_iter()
        .chain(invalid)
        .map(|(index, reason)| {
            let (sequence, record) = pending.records[index];
            let stream = pending.owners[index].stream;
            Letter { stream, sequence, record, reason: reason.to_owned() }
        })
        .collect()
}

fn key_of(record: &Record<'_>) -> UserKey {
    UserKey::of(record.user().as_bytes())
}

/// The positions of streams, locked until the transaction ends, and whether anybody is erased.
///
/// # Errors
/// [`StoreError::Fenced`] where another process has claimed one of them.
pub(super) fn read_positions(
    session: &mut Session,
    claims: &BTreeMap<StreamId, Claim>,
) -> Result<(BTreeMap<StreamId, Sequence>, bool), StoreError> {
    let query = format!(
        "SELECT stream, epoch, off, EXISTS (SELECT 1 FROM erased_users) FROM writer_position \
         WHERE stream IN {} AND part = {PART} ORDER BY stream FOR UPDATE",
        list(claims.keys().map(|stream| Literal::Number(stream.0.into())))
    );
    let found: Vec<(u32, i64, u64, bool)> = session.query("read the position", &query)?;
    let mut positions = BTreeMap::new();
    let mut any_erased = false;
    for (stream, epoch, off, is_any) in found {
        let ours = claims[&StreamId(stream)].epoch;
        if epoch != ours {
            return Err(StoreError::Fenced { stream, ours, found: epoch });
        }
        positions.insert(StreamId(stream), Sequence(off));
        any_erased = is_any;
    }
    match claims.keys().find(|stream| !positions.contains_key(stream)) {
        Some(stream) => Err(StoreError::NoSuchStream { stream: stream.0 }),
        None => Ok((positions, any_erased)),
    }
}

/// Moves the positions of streams.
pub(super) fn move_positions(
    session: &mut Session,
    claims: &BTreeMap<StreamId, Claim>,
    before: &BTreeMap<StreamId, Sequence>,
    after: &BTreeMap<StreamId, Sequence>,
) -> Result<(), StoreError> {
    let mut cases = String::new();
    let mut conditions = Vec::new();
    for (stream, to) in after {
        let (epoch, from) = (claims[stream].epoch, signed(before[stream].0));
        cases.push_str(&format!(" WHEN {} THEN {}", stream.0, signed(to.0)));
        conditions.push(format!(
            "(stream = {} AND part = {PART} AND epoch = {epoch} AND off = {from})",
            stream.0
        ));
    }
    let update = format!(
        "UPDATE writer_position SET off = CASE stream{cases} END WHERE {}",
        conditions.join(" OR ")
    );
    let changed = session.execute("move the position", &update)?;
    assert_eq!(
        usize::try_from(changed).ok(),
        Some(after.len()),
        "the positions were locked in this transaction"
    );
    Ok(())
}
