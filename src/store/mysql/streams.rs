//! Streams: their numbers, who has claimed them, and how far they are applied. Knows columns; must
//! not know what a stream is made of.

use std::collections::BTreeMap;

use super::apply::{move_positions, read_positions};
use super::rows::PART;
use super::session::Session;
use super::text::{Literal, Rows, list};
use super::{Claim, Mysql};
use crate::error::StoreError;
use crate::stored::StreamId;
use nudged_base::hex;
use nudged_base::ids::{Partition, Sequence};
use nudged_base::limits::{MYSQL_LIST_MAX, SQL_ROWS_READ_MAX, TOMBSTONE_AGE_MAX_MS};
use nudged_base::time::WallMs;

impl Mysql {
    /// See [`crate::Store::stream_id`].
    pub(crate) fn stream_id(&mut self, set_id: [u8; 16]) -> Result<StreamId, StoreError> {
        Ok(self.claim_all(&[hex::encode(&set_id)])?[0])
    }

    /// The streams of Redis lists, each by epoch and partition, in the order given: made where they
    /// are new, and claimed, so that whoever claimed one before is fenced.
    ///
    /// # Errors
    /// Where the server fails; some of them may be claimed then.
    pub fn streams_of_lists(
        &mut self,
        lists: &[(u32, Partition)],
    ) -> Result<Vec<StreamId>, StoreError> {
        let names: Vec<_> =
            lists.iter().map(|(epoch, partition)| list_name(*epoch, *partition)).collect();
        let mut streams = Vec::with_capacity(names.len());
        for part in names.chunks(MYSQL_LIST_MAX) {
            streams.extend(self.claim_all(part)?);
        }
        Ok(streams)
    }

    /// Finds or makes streams by their names, and claims them.
    fn claim_all(&mut self, names: &[String]) -> Result<Vec<StreamId>, StoreError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let session = self.session.get_mut();
        // A stream is found or made before the transaction, so that two nodes that make the same
        // ones at once do not wait for each other's gaps.
        let numbers = number_all(session, names)?;
        let claims = session.transaction(|session| raise_epochs(session, &numbers))?;
        self.claims.retain(|claim| !claims.contains_key(&claim.stream));
        self.claims.extend(claims.values());
        Ok(names.iter().map(|name| numbers[name]).collect())
    }

    /// See [`crate::Store::position`].
    pub(crate) fn position(&self, stream: StreamId) -> Result<Sequence, StoreError> {
        let query = format!(
            "SELECT off FROM writer_position WHERE stream = {} AND part = {PART}",
            stream.0
        );
        let found: Option<(u64,)> =
            self.session.borrow_mut().query_one("read the position", &query)?;
        found.map(|(off,)| Sequence(off)).ok_or(StoreError::NoSuchStream { stream: stream.0 })
    }

    /// See [`crate::Store::newest`].
    pub(crate) fn newest(&self, stream: StreamId) -> Result<Option<WallMs>, StoreError> {
        let query = format!(
            "SELECT max(at) FROM (SELECT at FROM events WHERE stream = {} \
             ORDER BY seq DESC LIMIT {SQL_ROWS_READ_MAX}) AS latest",
            stream.0
        );
        let found: Option<(Option<i64>,)> =
            self.session.borrow_mut().query_one("read the newest time", &query)?;
        Ok(found.and_then(|(newest,)| newest).map(WallMs))
    }

    /// See [`crate::Store::skip_lost`].
    pub(crate) fn skip_lost(
        &mut self,
        stream: StreamId,
        through: Sequence,
    ) -> Result<(), StoreError> {
        let claims = BTreeMap::from([(stream, self.claim(stream))]);
        self.session.get_mut().transaction(|session| {
            let (before, _) = read_positions(session, &claims)?;
            if before[&stream] >= through {
                return Ok(());
            }
            move_positions(session, &claims, &before, &BTreeMap::from([(stream, through)]))
        })
    }

    /// See [`crate::Store::purge_tombstones`].
    pub(crate) fn purge_tombstones(&mut self, now: WallMs) -> Result<usize, StoreError> {
        let before = now.0.saturating_sub_unsigned(TOMBSTONE_AGE_MAX_MS);
        let delete = format!(
            "DELETE FROM erased_users WHERE erased_at <= {before} LIMIT {SQL_ROWS_READ_MAX}"
        );
        let mut purged = 0;
        loop {
            // In parts, so that no transaction waits long behind it.
            let changed = self.session.get_mut().execute("purge tombstones", &delete)?;
            purged += usize::try_from(changed).unwrap_or(usize::MAX);
            if changed < u64::from(SQL_ROWS_READ_MAX) {
                return Ok(purged);
            }
        }
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
    let action = "find a stream";
    let query = format!(
        "SELECT set_id, stream FROM streams WHERE set_id IN {}",
        list(names.iter().map(|name| Literal::Text(name)))
    );
    let mut numbers: BTreeMap<String, StreamId> = BTreeMap::new();
    let read = |session: &mut Session| session.query::<(String, u32)>(action, &query);
    numbers.extend(read(session)?.into_iter().map(|(name, stream)| (name, StreamId(stream))));
    let mut rows = Rows::new(
        "INSERT INTO streams (set_id) VALUES ",
        " ON DUPLICATE KEY UPDATE set_id = VALUES(set_id)",
        session.statement_bytes_max()?,
    );
    let missing: Vec<_> = names.iter().filter(|name| !numbers.contains_key(*name)).collect();
    missing.iter().for_each(|name| rows.push(&[Literal::Text(name)]));
    for statement in rows.finish() {
        session.transaction(|session| session.execute("make a stream", &statement))?;
    }
    if !missing.is_empty() {
        numbers.extend(read(session)?.into_iter().map(|(name, stream)| (name, StreamId(stream))));
    }
    Ok(numbers)
}

/// Claims streams: whoever claimed one before is fenced.
fn raise_epochs(
    session: &mut Session,
    numbers: &BTreeMap<String, StreamId>,
) -> Result<BTreeMap<StreamId, Claim>, StoreError> {
    let mut streams: Vec<StreamId> = numbers.values().copied().collect();
    streams.sort_unstable();
    let mut rows = Rows::new(
        "INSERT INTO writer_position (stream, part, epoch, off) VALUES ",
        " ON DUPLICATE KEY UPDATE epoch = epoch + 1",
        session.statement_bytes_max()?,
    );
    for stream in &streams {
        let row = [i64::from(stream.0), PART, 1, 0].map(Literal::Number);
        rows.push(&row);
    }
    super::rows::execute_all(session, "claim a stream", &rows.finish())?;
    let query = format!(
        "SELECT stream, epoch FROM writer_position WHERE stream IN {} AND part = {PART}",
        list(streams.iter().map(|stream| Literal::Number(stream.0.into())))
    );
    let epochs: Vec<(u32, i64)> = session.query("claim a stream", &query)?;
    let claim = |(stream, epoch)| (StreamId(stream), Claim { stream: StreamId(stream), epoch });
    Ok(epochs.into_iter().map(claim).collect())
}
