//! The signing keys of a node of its own, so that a copy of the database is a whole backup. Knows
//! columns; must not know what a token is.

use rusqlite::params;

use super::Sqlite;
use crate::error::StoreError;
use crate::stored::StoredKey;
use nudged_base::time::WallMs;

impl Sqlite {
    /// See [`crate::Store::own_signing_keys`].
    ///
    /// # Errors
    /// Where the database fails, or a row is no key.
    pub fn signing_keys_stored(&self) -> Result<Vec<StoredKey>, StoreError> {
        let failed = |source| StoreError::sql(&self.path, "read signing keys", source);
        let query =
            "SELECT id, created_at, secret, moved_at FROM signing_keys ORDER BY created_at, id";
        let mut read = self.connection.prepare_cached(query).map_err(failed)?;
        let keys = read.query_map([], |row| {
            Ok(StoredKey {
                id: row.get(0)?,
                created_at: WallMs(row.get(1)?),
                secret: row.get(2)?,
                moved_at: row.get::<_, Option<i64>>(3)?.map(WallMs),
            })
        });
        keys.and_then(Iterator::collect).map_err(failed)
    }

    /// See [`crate::Store::replace_own_signing_keys`].
    pub(crate) fn replace_signing_keys(&mut self, keys: &[StoredKey]) -> Result<(), StoreError> {
        let action = "store signing keys";
        let path = self.path.clone();
        let failed = |source| StoreError::sql(&path, action, source);
        self.durably(action, |transaction| {
            transaction.execute("DELETE FROM signing_keys", []).map_err(failed)?;
            let insert = "INSERT INTO signing_keys (id, created_at, secret, moved_at)
                          VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
            let mut insert = transaction.prepare_cached(insert).map_err(failed)?;
            for key in keys {
                let moved_at = key.moved_at.map(|at| at.0);
                let row = params![key.id, key.created_at.0, key.secret, moved_at];
                insert.execute(row).map_err(failed)?;
            }
            Ok(())
        })
    }
}
