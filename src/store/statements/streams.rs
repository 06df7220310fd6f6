//! Streams: their numbers, who has claimed them, and how far they are applied. Knows columns; must
//! not know what a stream is made of.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::StoreError;
use crate::session::Session;
use crate::statement::{ColumnChange, Insert, OnConflict};
use crate::stored::StreamId;
use crate::value::SqlValue;
use crate::whole::WholeStream;
use crate::{Claim, Store};
use nudged_base::hex;
use nudged_base::ids::{Partition, Sequence};
use nudged_base::limits::{MYSQL_LIST_MAX, SQL_ROWS_READ_MAX};
use nudged_base::time::WallMs;

/// The part of a stream that a writer applies: all of it.
pub(crate) const PART: i64 = 0;

/// How far streams are applied.
pub(super) type Positions = BTreeMap<StreamId, Sequence>;

/// Claims by stream.
pub(super) type Claims = BTreeMap<StreamId, Claim>;

fn position_insert(on_conflict: OnConflict<'_>) -> Insert<'_> {
    Insert {
        table: "writer_position",
        columns: "stream, part, epoch, off",
        key: "stream, part",
        on_conflict,
    }
}

fn position_values(stream: StreamId, off: Sequence) -> [SqlValue<'static>; 4] {
    [stream.0.into(), PART.into(), 1_i64.into(), off.into()]
}

impl Store {
    /// The stream of a journal's set id, made where it is new, and claimed: whoever claimed it
    /// before is fenced.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn stream_id(&mut self, set_id: [u8; 16]) -> Result<StreamId, StoreError> {
        Ok(self.claim_all(&[hex::encode(&set_id)], None)?[0])
    }

    /// The streams of Redis lists, each by epoch and partition, in the order given: made where they
    /// are new, and claimed, so that whoever claimed one before is fenced. What they hold is
    /// counted in the statistics of the stream `lane`, which several processes may do at once.
    ///
    /// # Errors
    /// Where the database fails; some of them may be claimed then.
    pub fn streams_of_lists(
        &mut self,
        lists: &[(u32, Partition)],
        lane: &str,
    ) -> Result<Vec<StreamId>, StoreError> {
        let session = self.session.get_mut();
        let lanes = number_all(session, &[lane.to_owned()])?;
        session.transaction(|session| make_positions(session, lanes.values()))?;
        let counted_in = lanes.values().next().copied();
        let names: Vec<_> =
            lists.iter().map(|(epoch, partition)| list_name(*epoch, *partition)).collect();
        let mut streams = Vec::with_capacity(names.len());
        for part in names.chunks(MYSQL_LIST_MAX) {
            streams.extend(self.claim_all(part, counted_in)?);
        }
        Ok(streams)
    }

    /// Finds or makes streams by their names, and claims them; without a stream that they are
    /// counted in each is counted in its own.
    fn claim_all(
        &mut self,
        names: &[String],
        counted_in: Option<StreamId>,
    ) -> Result<Vec<StreamId>, StoreError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let session = self.session.get_mut();
        // A stream is found or made before the transaction, so that two nodes that make the same
        // ones at once do not wait for each other's gaps.
        let numbers = number_all(session, names)?;
        let mut claims = session.transaction(|session| raise_epochs(session, &numbers))?;
        for claim in claims.values_mut() {
            claim.counted_in = counted_in.unwrap_or(claim.stream);
        }
        self.claims.retain(|claim| !claims.contains_key(&claim.stream));
        self.claims.extend(claims.values());
        self.sketches.claim(session)?;
        Ok(names.iter().map(|name| numbers[name]).collect())
    }

    /// The last sequence of a stream that is applied; 0 for none.
    ///
    /// # Errors
    /// Where the database fails, or the stream is unknown.
    pub fn position(&self, stream: StreamId) -> Result<Sequence, StoreError> {
        let query = "SELECT off FROM writer_position WHERE stream = ? AND part = ?";
        let values = [stream.0.into(), PART.into()];
        let mut session = self.session.borrow_mut();
        let found =
            session.query_one("read the position", query, &values, |row| row.take_sequence())?;
        found.ok_or(StoreError::NoSuchStream { stream: stream.0 })
    }

    /// The newest time among a stream's latest 1,000 events; `None` where it has none. A node's
    /// time must not begin before it: SQL may have records that a loss of power took from the
    /// journal.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn newest(&self, stream: StreamId) -> Result<Option<WallMs>, StoreError> {
        let query = format!(
            "SELECT max(at) FROM (SELECT at FROM events WHERE stream = ? \
             ORDER BY seq DESC LIMIT {SQL_ROWS_READ_MAX}) AS latest"
        );
        let mut session = self.session.borrow_mut();
        let values = [stream.0.into()];
        let found = session
            .query_one("read the newest time", &query, &values, |row| row.take_maybe_time())?;
        Ok(found.flatten())
    }

    /// Moves the position over records that are lost: recovery has reported their sequences. A
    /// position that is there already stays.
    ///
    /// # Errors
    /// Where the database fails or another process has claimed the stream.
    pub fn skip_lost(&mut self, stream: StreamId, through: Sequence) -> Result<(), StoreError> {
        let claims = Claims::from([(stream, self.claim(stream))]);
        self.session.get_mut().transaction(|session| {
            let (before, _) = read_positions(session, &claims)?;
            if before[&stream] >= through {
                return Ok(());
            }
            move_positions(session, &claims, &before, &Positions::from([(stream, through)]))
        })
    }

    /// Every journal that it knows.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn whole_streams(&mut self) -> Result<Vec<WholeStream>, StoreError> {
        let query = "SELECT streams.stream, set_id, off FROM streams \
                     JOIN writer_position ON writer_position.stream = streams.stream \
                     WHERE part = ? ORDER BY streams.stream";
        self.session.get_mut().query("read streams", query, &[PART.into()], |row| {
            Ok(WholeStream { stream: row.take()?, set: row.take()?, applied: row.take_sequence()? })
        })
    }

    /// The numbers that journals have here, by set id in hex; made where they are new. Claims none.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn stream_numbers(
        &mut self,
        sets: &[String],
    ) -> Result<BTreeMap<String, StreamId>, StoreError> {
        number_all(self.session.get_mut(), sets)
    }

    /// Whether a journal's records were ever applied here.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn knows_set(&mut self, set: &str) -> Result<bool, StoreError> {
        let query = "SELECT stream FROM streams WHERE set_id = ?";
        let session = self.session.get_mut();
        let found =
            session.query_one("find a stream", query, &[set.into()], |row| row.take::<u32>())?;
        Ok(found.is_some())
    }

    /// How many streams were ever claimed, and how often in all, but for these, by set id in hex:
    /// it changes with each start of a node here.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn claims_but(&mut self, sets: &[String]) -> Result<(u64, u64), StoreError> {
        let sets: Vec<SqlValue<'_>> = sets.iter().map(SqlValue::from).collect();
        let but = format!(
            "WHERE stream NOT IN (SELECT stream FROM streams WHERE set_id IN ({}))",
            vec!["?"; sets.len()].join(",")
        );
        let query = format!(
            "SELECT COUNT(*), COALESCE(SUM(epoch), 0) FROM writer_position {}",
            if sets.is_empty() { "" } else { &but }
        );
        let session = self.session.get_mut();
        let found = session.query_one("look for claims", &query, &sets, |row| {
            Ok((row.take_unsigned()?, row.take_unsigned()?))
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Moves the positions of journals up to what was taken in from elsewhere.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn take_positions(&mut self, streams: &[WholeStream]) -> Result<(), StoreError> {
        let sets: Vec<String> = streams.iter().map(|stream| stream.set.clone()).collect();
        let numbers = self.stream_numbers(&sets)?;
        let insert = position_insert(OnConflict::Update(&[("off", ColumnChange::Highest)]));
        self.session.get_mut().transaction(|session| {
            let rows = streams.iter();
            let rows = rows.map(|stream| position_values(numbers[&stream.set], stream.applied));
            session.insert("move the position", &insert, rows)?;
            Ok(())
        })
    }
}

/// What a Redis list's records are called in `streams`.
fn list_name(epoch: u32, partition: Partition) -> String {
    format!("redis:{epoch}:{}", partition.0)
}

/// The numbers of streams by their names; makes those that are new.
pub(super) fn number_all(
    session: &mut Session,
    names: &[String],
) -> Result<BTreeMap<String, StreamId>, StoreError> {
    let query = "SELECT set_id, stream FROM streams WHERE set_id IN (?)";
    let values: Vec<SqlValue<'_>> = names.iter().map(SqlValue::from).collect();
    let mut numbers: BTreeMap<String, StreamId> = BTreeMap::new();
    let read = |session: &mut Session| {
        session.query_in("find a stream", query, &values, |row| {
            Ok((row.take::<String>()?, StreamId(row.take()?)))
        })
    };
    numbers.extend(read(session)?);
    let missing: Vec<_> = names.iter().filter(|name| !numbers.contains_key(*name)).collect();
    if missing.is_empty() {
        return Ok(numbers);
    }
    let insert = Insert {
        table: "streams",
        columns: "set_id",
        key: "set_id",
        on_conflict: OnConflict::Keep,
    };
    session.transaction(|session| {
        let rows = missing.iter().map(|name| [SqlValue::from(*name)]);
        session.insert("make a stream", &insert, rows)?;
        Ok(())
    })?;
    numbers.extend(read(session)?);
    Ok(numbers)
}

/// Makes the positions of streams that have none, where nothing of them is applied.
pub(super) fn make_positions<'s>(
    session: &mut Session,
    streams: impl Iterator<Item = &'s StreamId>,
) -> Result<(), StoreError> {
    let rows = streams.map(|stream| position_values(*stream, Sequence(0)));
    session.insert("make a stream", &position_insert(OnConflict::Keep), rows)?;
    Ok(())
}

/// Claims streams: whoever claimed one before is fenced.
fn raise_epochs(
    session: &mut Session,
    numbers: &BTreeMap<String, StreamId>,
) -> Result<Claims, StoreError> {
    let action = "claim a stream";
    let mut streams: Vec<StreamId> = numbers.values().copied().collect();
    streams.sort_unstable();
    let insert = position_insert(OnConflict::Update(&[("epoch", ColumnChange::Sum)]));
    let rows = streams.iter().map(|stream| position_values(*stream, Sequence(0)));
    session.insert(action, &insert, rows)?;
    let query = "SELECT stream, epoch FROM writer_position WHERE part = 0 AND stream IN (?)";
    let streams: Vec<SqlValue<'_>> = streams.iter().map(|stream| stream.0.into()).collect();
    let claims = session.query_in(action, query, &streams, |row| {
        let stream = StreamId(row.take()?);
        Ok(Claim { stream, epoch: row.take()?, counted_in: stream })
    })?;
    Ok(claims.into_iter().map(|claim| (claim.stream, claim)).collect())
}

/// The positions of streams, locked until the transaction ends, and whether anybody is erased.
/// Locked with them are those of the streams that they are counted in: so one transaction at a
/// time reads what is counted there and writes it.
///
/// # Errors
/// [`StoreError::Fenced`] where another process has claimed one of them.
pub(super) fn read_positions(
    session: &mut Session,
    claims: &Claims,
) -> Result<(Positions, bool), StoreError> {
    let query = format!(
        "SELECT stream, epoch, off, EXISTS (SELECT 1 FROM erased_users) FROM writer_position \
         WHERE part = {PART} AND stream IN (?) ORDER BY stream{}",
        session.dialect().lock()
    );
    let streams: BTreeSet<StreamId> =
        claims.values().flat_map(|claim| [claim.stream, claim.counted_in]).collect();
    let streams: Vec<SqlValue<'_>> = streams.iter().map(|stream| stream.0.into()).collect();
    let found = session.query_in("read the position", &query, &streams, |row| {
        Ok((row.take::<u32>()?, row.take::<i64>()?, row.take_sequence()?, row.take::<bool>()?))
    })?;
    let mut positions = Positions::new();
    let mut any_erased = false;
    for (stream, epoch, off, is_any) in found {
        any_erased = is_any;
        let Some(ours) = claims.get(&StreamId(stream)).map(|claim| claim.epoch) else { continue };
        if epoch != ours {
            return Err(StoreError::Fenced { stream, ours, found: epoch });
        }
        positions.insert(StreamId(stream), off);
    }
    match claims.keys().find(|stream| !positions.contains_key(stream)) {
        Some(stream) => Err(StoreError::NoSuchStream { stream: stream.0 }),
        None => Ok((positions, any_erased)),
    }
}

/// Moves the positions of streams.
pub(super) fn move_positions(
    session: &mut Session,
    claims: &Claims,
    before: &Positions,
    after: &Positions,
) -> Result<(), StoreError> {
    let (mut cases, mut places) = (Vec::new(), Vec::new());
    for (stream, to) in after {
        cases.extend([SqlValue::from(stream.0), SqlValue::from(*to)]);
        places.extend([
            SqlValue::from(stream.0),
            SqlValue::from(PART),
            SqlValue::from(claims[stream].epoch),
            SqlValue::from(before[stream]),
        ]);
    }
    let place = "(stream = ? AND part = ? AND epoch = ? AND off = ?)";
    let update = format!(
        "UPDATE writer_position SET off = CASE stream{} END WHERE {}",
        " WHEN ? THEN ?".repeat(after.len()),
        vec![place; after.len()].join(" OR ")
    );
    let changed = session.execute("move the position", &update, &[cases, places].concat())?;
    assert_eq!(
        usize::try_from(changed).ok(),
        Some(after.len()),
        "the positions were locked in this transaction"
    );
    Ok(())
}
