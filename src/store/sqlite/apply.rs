//! One transaction: a run of records as rows, and the position that says so. Knows the order of
//! the steps; the statements are in `rows`. Must not know where the records come from.
//!
//! ```text
//! begin -> position: fenced? behind? skip what is applied -> erases -> withdrawn shows -> events
//!       -> users -> user_popups -> popup_stats -> dead letters to disk -> position -> commit
//! ```
//!
//! Each row is a statement of its own, so a row that the database refuses names its record: the
//! transaction is rolled back and done again without that record, which goes to the dead letters.
//! It is a bisection that needs one step.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::rows::{self, Inserted, RowError};
use super::{Claim, PART, Sqlite, StreamId, sequence_column, sequence_of, withdraw};
use crate::dead_letter::Letter;
use crate::error::StoreError;
use crate::stored::Applied;
use nudged_background::writer::batcher::{self, Batch, Tombstones};
use nudged_background::writer::stats::Tally;
use nudged_base::ids::{Revision, Sequence, UserKey};
use nudged_base::limits::APPLY_RECORDS_MAX;
use nudged_base::time::WallMs;
use nudged_journal::record::Record;

type Records<'a> = [(Sequence, Record<'a>)];

/// Why a transaction was rolled back.
enum Failure {
    /// The database refuses a row of this record.
    Refused { sequence: Sequence, reason: String },
    /// Anything else.
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Store(error)
    }
}

impl Sqlite {
    /// See [`super::super::Store::apply`].
    pub(crate) fn apply(
        &mut self,
        stream: StreamId,
        records: &Records<'_>,
    ) -> Result<Applied, StoreError> {
        assert!(records.len() <= APPLY_RECORDS_MAX, "a transaction applies up to 1,000 records");
        let claim = self.claim(stream);
        check_ascending(stream, records)?;
        let mut refused = BTreeMap::new();
        // Each turn but the last leaves one more record out, so there are at most one more turns
        // than records.
        loop {
            match self.transact(claim, records, &refused) {
                Ok(applied) => return Ok(applied),
                Err(Failure::Refused { sequence, reason }) => {
                    let before = refused.insert(sequence, reason);
                    assert!(before.is_none(), "a record that was left out has no rows");
                }
                Err(Failure::Store(error)) => return Err(error),
            }
        }
    }

    /// See [`super::super::Store::skip_lost`].
    pub(crate) fn skip_lost(
        &mut self,
        stream: StreamId,
        through: Sequence,
    ) -> Result<(), StoreError> {
        let claim = self.claim(stream);
        let path = self.path.clone();
        let failed = |source| StoreError::sql(&path, "move the position", source);
        self.immediately("move the position", |transaction| {
            let position = read_position(transaction, claim).map_err(failed)?.fenced_by(claim)?;
            if position < through {
                move_position(transaction, claim, position, through).map_err(failed)?;
            }
            Ok(())
        })
    }

    fn transact(
        &mut self,
        claim: Claim,
        records: &Records<'_>,
        refused: &BTreeMap<Sequence, String>,
    ) -> Result<Applied, Failure> {
        let path = self.path.clone();
        let failed = |action| {
            let path = &path;
            move |source| StoreError::sql(path, action, source)
        };
        let transaction = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(failed("begin a transaction"))?;
        let found = read_position(&transaction, claim).map_err(failed("read the position"))?;
        let position = found.fenced_by(claim)?;
        let skipped = records.partition_point(|(sequence, _)| *sequence <= position);
        let pending = &records[skipped..];
        let (Some((first, _)), Some((last, _))) = (pending.first(), pending.last()) else {
            return Ok(Applied { skipped, ..Applied::default() });
        };
        if first.0 != position.0 + 1 {
            let (stream, next) = (claim.stream.0, *first);
            return Err(StoreError::Behind { stream, position, next }.into());
        }
        let tombstones =
            read_tombstones(&transaction, pending).map_err(failed("read tombstones"))?;
        let batch = batcher::build(pending, &tombstones, refused);
        let duplicates =
            write(&transaction, claim.stream, &batch).map_err(|error| match error {
                RowError::Refused { index, source } => {
                    Failure::Refused { sequence: pending[index].0, reason: source.to_string() }
                }
                RowError::Sql(source) => failed("write rows")(source).into(),
                RowError::Conflict { index } => Failure::Store(StoreError::Halted {
                    stream: claim.stream.0,
                    sequence: pending[index].0,
                }),
            })?;
        for erase in &batch.erases {
            self.dead_letters.erase_user(erase.user)?;
        }
        let letters = letters(claim.stream, pending, &batch, refused);
        if !letters.is_empty() {
            self.dead_letters.append(&letters)?;
        }
        move_position(&transaction, claim, position, *last).map_err(failed("move the position"))?;
        transaction.commit().map_err(failed("commit"))?;
        self.is_to_fold = true;
        self.must_fold |= !batch.erases.is_empty();
        let rejected = letters.len();
        let records = pending.len() - duplicates - rejected;
        Ok(Applied { records, duplicates, skipped, rejected })
    }
}

/// Sequences rise by one, so that the position says what is applied.
fn check_ascending(stream: StreamId, records: &Records<'_>) -> Result<(), StoreError> {
    for pair in records.windows(2) {
        let (after, found) = (pair[0].0, pair[1].0);
        if after.0.checked_add(1) != Some(found.0) {
            return Err(StoreError::Gap { stream: stream.0, after, found });
        }
    }
    Ok(())
}

/// Writes a batch's rows; gives the number of duplicates.
fn write(
    transaction: &Transaction<'_>,
    stream: StreamId,
    batch: &Batch<'_>,
) -> Result<usize, RowError> {
    rows::erase(transaction, &batch.erases)?;
    let mut tallies: BTreeMap<StreamId, Tally<'_>> = BTreeMap::new();
    withdraw::withdraw(transaction, stream, &batch.withdrawn, &mut tallies)?;
    let tally = tallies.entry(stream).or_default();
    let mut duplicates = 0;
    let mut insert = rows::EventInsert::prepare(transaction, stream)?;
    for event in &batch.events {
        match insert.insert(event)? {
            Inserted::New => tally.count(event),
            Inserted::Duplicate => duplicates += 1,
        }
    }
    rows::write_users(transaction, &batch.users)?;
    withdraw::remove_popups(transaction, &batch.popups)?;
    rows::write_popups(transaction, &batch.popups)?;
    for (stream, tally) in tallies {
        rows::write_stats(transaction, stream, &tally.into_rows())?;
    }
    Ok(duplicates)
}

/// The records of a batch that no table takes, in order of sequence.
fn letters<'a>(
    stream: StreamId,
    pending: &Records<'a>,
    batch: &Batch<'_>,
    refused: &BTreeMap<Sequence, String>,
) -> Vec<Letter<'a>> {
    let invalid = batch.rejected.iter().map(|(index, error)| (*index, error.as_str().to_owned()));
    let refused = pending.iter().enumerate().filter_map(|(index, (sequence, _))| {
        refused.get(sequence).map(|reason| (index, reason.clone()))
    });
    let mut letters: Vec<_> = invalid
        .chain(refused)
        .map(|(index, reason)| {
            let (sequence, record) = pending[index];
            Letter { stream, sequence, record, reason }
        })
        .collect();
    letters.sort_unstable_by_key(|letter| letter.sequence);
    letters
}

/// The erased users among those of the records. In most transactions nobody is erased, and one
/// question says so.
fn read_tombstones(
    transaction: &Transaction<'_>,
    records: &Records<'_>,
) -> Result<Tombstones, rusqlite::Error> {
    let mut tombstones = Tombstones::default();
    let mut any = transaction.prepare_cached("SELECT EXISTS (SELECT 1 FROM erased_users)")?;
    if !any.query_row([], |row| row.get::<_, bool>(0))? {
        return Ok(tombstones);
    }
    for (_, record) in records {
        let key = UserKey::of(record.user().as_bytes());
        if tombstones.contains_key(&key) {
            continue;
        }
        if let Some((revision, _)) = tombstone(transaction, key)? {
            tombstones.insert(key, revision);
        }
    }
    Ok(tombstones)
}

/// The revision at which a user was erased, and when, while the tombstone stands.
pub(super) fn tombstone(
    connection: &Connection,
    key: UserKey,
) -> Result<Option<(Revision, WallMs)>, rusqlite::Error> {
    let mut find = connection.prepare_cached(
        "SELECT revision_epoch, revision_counter, erased_at FROM erased_users
         WHERE user_hash = ?1",
    )?;
    let read = |row: &Row<'_>| Ok((rows::revision_of(row, 0)?, WallMs(row.get(2)?)));
    find.query_row([key.0.cast_signed()], read).optional()
}

/// What the table says of a stream.
struct Position {
    epoch: i64,
    off: Sequence,
}

impl Position {
    /// The position, unless another process has claimed the stream.
    fn fenced_by(self, claim: Claim) -> Result<Sequence, StoreError> {
        if self.epoch == claim.epoch {
            return Ok(self.off);
        }
        let (stream, ours, found) = (claim.stream.0, claim.epoch, self.epoch);
        Err(StoreError::Fenced { stream, ours, found })
    }
}

fn read_position(transaction: &Transaction<'_>, claim: Claim) -> Result<Position, rusqlite::Error> {
    let mut read = transaction
        .prepare_cached("SELECT epoch, off FROM writer_position WHERE stream = ?1 AND part = ?2")?;
    read.query_row((claim.stream.0, PART), |row| {
        Ok(Position { epoch: row.get(0)?, off: sequence_of(row.get(1)?) })
    })
}

fn move_position(
    transaction: &Transaction<'_>,
    claim: Claim,
    from: Sequence,
    to: Sequence,
) -> Result<(), rusqlite::Error> {
    let mut update = transaction.prepare_cached(
        "UPDATE writer_position SET off = ?1
         WHERE stream = ?2 AND part = ?3 AND epoch = ?4 AND off = ?5",
    )?;
    let (to, from) = (sequence_column(to), sequence_column(from));
    let changed = update.execute((to, claim.stream.0, PART, claim.epoch, from))?;
    assert_eq!(changed, 1, "the position was read in this transaction");
    Ok(())
}
