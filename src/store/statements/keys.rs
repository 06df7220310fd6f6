//! Signing keys: those that nodes share, and those of a node of its own, so that a copy of its
//! database is a whole backup. Knows columns; must not know what a token is.

use crate::Store;
use crate::error::StoreError;
use crate::session::Session;
use crate::statement::{Dialect, Insert, OnConflict};
use crate::stored::StoredKey;
use crate::value::{Row, SqlValue, Unreadable};

/// Those that are there stay as they are.
const INSERT: Insert<'_> = Insert {
    table: "signing_keys",
    columns: COLUMNS,
    key: "id, created_at",
    on_conflict: OnConflict::Keep,
};

const COLUMNS: &str = "id, created_at, secret, moved_at";

fn values(key: &StoredKey) -> [SqlValue<'_>; 4] {
    let secret: &[u8] = &key.secret;
    [key.id.into(), key.created_at.into(), secret.into(), key.moved_at.into()]
}

fn read_key(row: &mut Row<'_>) -> Result<StoredKey, Unreadable> {
    let (id, created_at) = (row.take()?, row.take_time()?);
    let secret = row.take::<Vec<u8>>()?.try_into().map_err(|_| Unreadable(None))?;
    Ok(StoredKey { id, created_at, secret, moved_at: row.take_maybe_time()? })
}

fn read_keys(session: &mut Session) -> Result<Vec<StoredKey>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM signing_keys ORDER BY created_at, id");
    session.query("read signing keys", &query, &[], read_key)
}

impl Store {
    /// The signing keys of a node that shares none, the oldest first; none of a shared store.
    ///
    /// # Errors
    /// Where the database fails, or a row is no key.
    pub fn own_signing_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        let session = &mut *self.session.borrow_mut();
        match session.dialect() {
            Dialect::Sqlite => read_keys(session),
            Dialect::Mysql => Ok(Vec::new()),
        }
    }

    /// Makes these the signing keys of a node that shares none. Nothing in a shared store.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn replace_own_signing_keys(&mut self, keys: &[StoredKey]) -> Result<(), StoreError> {
        let session = self.session.get_mut();
        if session.dialect() == Dialect::Mysql {
            return Ok(());
        }
        session.transaction(|session| {
            session.execute("store signing keys", "DELETE FROM signing_keys", &[])?;
            session.insert("store signing keys", &INSERT, keys.iter().map(values))?;
            Ok(())
        })
    }

    /// Every signing key that nodes share, the oldest first; `first` is stored where none signs
    /// yet. Of two nodes that start at once one wins, and both get its key.
    ///
    /// # Errors
    /// Where the database fails, or a row is no key.
    pub fn signing_keys(&mut self, first: &StoredKey) -> Result<Vec<StoredKey>, StoreError> {
        let session = self.session.get_mut();
        let signs = |keys: &[StoredKey]| keys.iter().any(|key| key.moved_at.is_none());
        let keys = read_keys(session)?;
        if signs(&keys) {
            return Ok(keys);
        }
        session.transaction(|session| {
            // An empty table has no row to lock, so nodes that start at once take turns here.
            let lock = "SELECT epoch FROM arbiter WHERE id = 1 FOR UPDATE";
            session.query_one("lock the signing keys", lock, &[], |row| row.take::<u32>())?;
            let keys = read_keys(session)?;
            if signs(&keys) {
                return Ok(keys);
            }
            session.insert("store a signing key", &INSERT, [values(first)].into_iter())?;
            read_keys(session)
        })
    }

    /// Stores keys that nodes share and that are not there, each as it is, and gives all.
    ///
    /// # Errors
    /// Where the database fails, or a row is no key.
    pub fn add_signing_keys(&mut self, keys: &[StoredKey]) -> Result<Vec<StoredKey>, StoreError> {
        let session = self.session.get_mut();
        session.insert("store signing keys", &INSERT, keys.iter().map(values))?;
        read_keys(session)
    }
}
