//! What the nodes of one database agree on beside records: keys that sign tokens, epochs of the
//! arbiter, and who is alive. Knows columns; must not know what a token or an arbiter is.

use super::Mysql;
use super::session::Session;
use super::text::{Literal, push_row, push_text};
use crate::error::StoreError;
use crate::stored::{StoredKey, StreamId};
use nudged_base::time::WallMs;

/// A node that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveNode {
    /// The stream of its journal.
    pub stream: StreamId,
    /// What it calls itself.
    pub name: String,
    /// How long ago it was last seen, in milliseconds, by the server's clock.
    pub silent_ms: u64,
}

/// The server's clock in milliseconds, so that nodes need not agree on the time.
const NOW_MS: &str = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)";

/// In the place of when a node was last seen: it has stopped, and nothing is left in its journal.
const STOPPED: i64 = 0;

impl Mysql {
    /// Every signing key, the oldest first; `first` is stored where none signs yet. Of two nodes
    /// that start at once one wins, and both get its key.
    ///
    /// # Errors
    /// Where the server fails, or a row is no key.
    pub fn signing_keys(&mut self, first: &StoredKey) -> Result<Vec<StoredKey>, StoreError> {
        let session = self.session.get_mut();
        let signs = |keys: &[StoredKey]| keys.iter().any(|key| key.moved_at.is_none());
        let keys = read_keys(session)?;
        if signs(&keys) {
            return Ok(keys);
        }
        let insert = insert_keys(std::slice::from_ref(first));
        session.transaction(|session| {
            // An empty table has no row to lock, so nodes that start at once take turns here.
            let lock = "SELECT epoch FROM arbiter WHERE id = 1 FOR UPDATE";
            let _epoch: Option<(u32,)> = session.query_one("lock the signing keys", lock)?;
            let keys = read_keys(session)?;
            if signs(&keys) {
                return Ok(keys);
            }
            session.execute("store a signing key", &insert)?;
            read_keys(session)
        })
    }

    /// Stores keys that are not there, each as it is, and gives all.
    ///
    /// # Errors
    /// Where the server fails, or a row is no key.
    pub fn add_signing_keys(&mut self, keys: &[StoredKey]) -> Result<Vec<StoredKey>, StoreError> {
        let session = self.session.get_mut();
        if !keys.is_empty() {
            session.execute("store signing keys", &insert_keys(keys))?;
        }
        read_keys(session)
    }

    /// Hands out an epoch for an arbiter: higher than every one before and at least `at_least`.
    ///
    /// # Errors
    /// Where the server fails. The epoch may be used up then; the next call gives another.
    pub fn next_epoch(&mut self, at_least: u32) -> Result<u32, StoreError> {
        let action = "hand out an epoch";
        let update =
            format!("UPDATE arbiter SET epoch = GREATEST(epoch + 1, {at_least}) WHERE id = 1");
        self.session.get_mut().transaction(|session| {
            session.execute(action, &update)?;
            let found: Option<(u32,)> =
                session.query_one(action, "SELECT epoch FROM arbiter WHERE id = 1")?;
            found
                .map(|(epoch,)| epoch)
                .ok_or_else(|| session.error(action, super::failure::ServerFailure::unreadable()))
        })
    }

    /// Says that a node is alive.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn heartbeat(&mut self, stream: StreamId, name: &str) -> Result<(), StoreError> {
        let mut insert =
            format!("INSERT INTO nodes (stream, name, seen_at) VALUES ({}, ", stream.0);
        push_text(&mut insert, name);
        insert.push_str(&format!(
            ", {NOW_MS}) ON DUPLICATE KEY UPDATE name = VALUES(name), seen_at = VALUES(seen_at)"
        ));
        self.session.get_mut().execute("say that it is alive", &insert).map(|_| ())
    }

    /// Says that a node has stopped, and that everything of its journal is here. Its row stays: a
    /// node need not be let delete it.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn say_stopped(&mut self, stream: StreamId) -> Result<(), StoreError> {
        let update = format!("UPDATE nodes SET seen_at = {STOPPED} WHERE stream = {}", stream.0);
        self.session.get_mut().execute("say that it has stopped", &update).map(|_| ())
    }

    /// The nodes that have not said that they stopped, by stream: they run, or were killed, or
    /// can't reach the server, and their journals may have records that are not here.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn unstopped_nodes(&mut self) -> Result<Vec<LiveNode>, StoreError> {
        let condition = format!("seen_at <> {STOPPED}");
        self.nodes_where("read who has not stopped", &condition)
    }

    /// The nodes that were seen within a time, by stream. One that was seen far ahead of the
    /// server's clock was seen before the clock went back, and not since.
    ///
    /// # Errors
    /// Where the server fails.
    pub fn live_nodes(&mut self, within_ms: u64) -> Result<Vec<LiveNode>, StoreError> {
        let condition =
            format!("seen_at > {NOW_MS} - {within_ms} AND seen_at < {NOW_MS} + {within_ms}");
        self.nodes_where("read who is alive", &condition)
    }

    fn nodes_where(
        &mut self,
        action: &'static str,
        condition: &str,
    ) -> Result<Vec<LiveNode>, StoreError> {
        let query = format!(
            "SELECT stream, name, GREATEST({NOW_MS} - seen_at, 0) FROM nodes WHERE {condition} \
             ORDER BY stream"
        );
        let rows: Vec<(u32, String, u64)> = self.session.get_mut().query(action, &query)?;
        let node =
            |(stream, name, silent_ms)| LiveNode { stream: StreamId(stream), name, silent_ms };
        Ok(rows.into_iter().map(node).collect())
    }
}

/// Those that are there stay as they are.
fn insert_keys(keys: &[StoredKey]) -> String {
    let mut insert =
        "INSERT INTO signing_keys (id, created_at, secret, moved_at) VALUES ".to_owned();
    for (index, key) in keys.iter().enumerate() {
        insert.push_str(if index == 0 { "" } else { "," });
        push_row(
            &mut insert,
            &[
                Literal::Number(key.id.into()),
                Literal::Number(key.created_at.0),
                Literal::Bytes(&key.secret),
                Literal::Maybe(key.moved_at.map(|at| at.0)),
            ],
        );
    }
    insert.push_str(" ON DUPLICATE KEY UPDATE id = VALUES(id)");
    insert
}

fn read_keys(session: &mut Session) -> Result<Vec<StoredKey>, StoreError> {
    let action = "read signing keys";
    let query = "SELECT id, created_at, secret, moved_at FROM signing_keys ORDER BY created_at, id";
    type Columns = (u32, i64, Vec<u8>, Option<i64>);
    let rows: Vec<Columns> = session.query(action, query)?;
    let key = |(id, created_at, secret, moved_at): Columns| {
        let (secret, moved_at) = (secret.try_into().ok()?, moved_at.map(WallMs));
        Some(StoredKey { id, created_at: WallMs(created_at), secret, moved_at })
    };
    let keys: Option<Vec<StoredKey>> = rows.into_iter().map(key).collect();
    keys.ok_or_else(|| session.error(action, super::failure::ServerFailure::unreadable()))
}
