//! What the nodes of one server agree on beside records and keys: epochs of the arbiter, and who is
//! alive. A store of one node has none of these tables. Knows columns; must not know what an
//! arbiter is.

use crate::Store;
use crate::error::StoreError;
use crate::stored::{LiveNode, StreamId};
use crate::value::{SqlValue, Unreadable};

/// The server's clock in milliseconds, so that nodes need not agree on the time.
const NOW_MS: &str = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)";

/// In the place of when a node was last seen: it has stopped, and nothing is left in its journal.
const STOPPED: i64 = 0;

impl Store {
    /// Hands out an epoch for an arbiter: higher than every one before and at least `at_least`.
    ///
    /// # Errors
    /// Where the server fails. The epoch may be used up then; the next call gives another.
    pub fn next_epoch(&mut self, at_least: u32) -> Result<u32, StoreError> {
        let action = "hand out an epoch";
        self.session.get_mut().transaction(|session| {
            let update = "UPDATE arbiter SET epoch = GREATEST(epoch + 1, ?) WHERE id = 1";
            session.execute(action, update, &[at_least.into()])?;
            // A sum is a row in any case, so that a missing one is told.
            let query = "SELECT MAX(epoch) FROM arbiter WHERE id = 1";
            let found = session.query_one(action, query, &[], |row| {
                row.take::<Option<u32>>()?.ok_or(Unreadable(None))
            })?;
            Ok(found.expect("a maximum is one row"))
        })
    }

    /// Says that a node is alive.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn heartbeat(&mut self, stream: StreamId, name: &str) -> Result<(), StoreError> {
        let insert = format!(
            "INSERT INTO nodes (stream, name, seen_at) VALUES (?, ?, {NOW_MS}) \
             ON DUPLICATE KEY UPDATE name = VALUES(name), seen_at = VALUES(seen_at)"
        );
        let values = [stream.0.into(), name.into()];
        self.session.get_mut().execute("say that it is alive", &insert, &values).map(drop)
    }

    /// Says that a node has stopped, and that everything of its journal is here. Its row stays: a
    /// node need not be let delete it.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn say_stopped(&mut self, stream: StreamId) -> Result<(), StoreError> {
        let update = "UPDATE nodes SET seen_at = ? WHERE stream = ?";
        let values = [STOPPED.into(), stream.0.into()];
        self.session.get_mut().execute("say that it has stopped", update, &values).map(drop)
    }

    /// The nodes that have not said that they stopped, by stream: they run, or were killed, or
    /// can't reach the server, and their journals may have records that are not here.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn unstopped_nodes(&mut self) -> Result<Vec<LiveNode>, StoreError> {
        self.nodes_where("read who has not stopped", "seen_at <> ?", &[STOPPED.into()])
    }

    /// The nodes that were seen within a time, by stream. One that was seen far ahead of the
    /// server's clock was seen before the clock went back, and not since.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn live_nodes(&mut self, within_ms: u64) -> Result<Vec<LiveNode>, StoreError> {
        let condition = format!("seen_at > {NOW_MS} - ? AND seen_at < {NOW_MS} + ?");
        let within_ms = i64::try_from(within_ms).unwrap_or(i64::MAX).into();
        self.nodes_where("read who is alive", &condition, &[within_ms, within_ms])
    }

    fn nodes_where(
        &mut self,
        action: &'static str,
        condition: &str,
        values: &[SqlValue<'_>],
    ) -> Result<Vec<LiveNode>, StoreError> {
        let query = format!(
            "SELECT stream, name, GREATEST({NOW_MS} - seen_at, 0) FROM nodes WHERE {condition} \
             ORDER BY stream"
        );
        self.session.get_mut().query(action, &query, values, |row| {
            Ok(LiveNode {
                stream: StreamId(row.take()?),
                name: row.take()?,
                silent_ms: row.take_unsigned()?,
            })
        })
    }
}
