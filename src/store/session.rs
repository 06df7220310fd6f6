//! One connection to a database of either kind. Owns how values are bound and what a transaction
//! is; must not know tables.
//!
//! A statement is a text with a `?` for each value. SQLite prepares it once and binds the values;
//! for MySQL they become literals, so that a statement is one round trip without a prepare before
//! it, and an insert has as many rows as fit.

use std::time::{Duration, Instant};

use super::error::StoreError;
use super::mysql::Remote;
use super::sqlite::Embedded;
use super::statement::{Dialect, Insert};
use super::value::{Row, SqlValue, Unreadable};
use nudged_base::limits::MYSQL_TRANSACTIONS_MAX;

/// A connection.
#[derive(Debug)]
pub(super) enum Session {
    /// To the file in a data directory.
    Sqlite(Box<Embedded>),
    /// To a database of a server; made when it is needed.
    Mysql(Box<Remote>),
}

/// What an insert did.
pub(super) struct Inserted {
    /// Rows that are new or changed; MySQL counts a changed row twice.
    pub(super) changed: u64,
    /// Which of the rows given changed nothing; only SQLite tells.
    pub(super) unchanged: Option<Vec<usize>>,
}

/// Why rows were not written, and at which of them it was where the database refuses that one.
#[derive(Debug)]
pub(super) struct RowError {
    pub(super) row: Option<usize>,
    pub(super) error: StoreError,
}

impl RowError {
    /// The same of another numbering, such as that of the records which the rows come from.
    pub(super) fn renumbered(self, number: impl FnOnce(usize) -> usize) -> RowError {
        RowError { row: self.row.map(number), ..self }
    }
}

impl From<StoreError> for RowError {
    fn from(error: StoreError) -> RowError {
        RowError { row: None, error }
    }
}

impl From<RowError> for StoreError {
    fn from(failed: RowError) -> StoreError {
        failed.error
    }
}

impl Session {
    /// Which of the two it is.
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Session::Sqlite(_) => Dialect::Sqlite,
            Session::Mysql(_) => Dialect::Mysql,
        }
    }

    /// The rows of a query, each read by `read`. Allocates.
    ///
    /// # Errors
    /// Where the database fails, or a row is not of this shape.
    pub(super) fn query<T>(
        &mut self,
        action: &'static str,
        text: &str,
        values: &[SqlValue<'_>],
        read: impl FnMut(&mut Row<'_>) -> Result<T, Unreadable>,
    ) -> Result<Vec<T>, StoreError> {
        match self {
            Session::Sqlite(embedded) => embedded.query(action, text, values, read),
            Session::Mysql(remote) => remote.query(action, text, values, read),
        }
    }

    /// The first row of a query, if there is one.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub(super) fn query_one<T>(
        &mut self,
        action: &'static str,
        text: &str,
        values: &[SqlValue<'_>],
        read: impl FnMut(&mut Row<'_>) -> Result<T, Unreadable>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.query(action, text, values, read)?.into_iter().next())
    }

    /// The rows of a query with one `?`, in `IN (?)`, for all of these keys: in SQLite one after
    /// the other, in MySQL in lists that fit a statement. A statement's order is within its keys.
    ///
    /// # Errors
    /// As [`Session::query`].
    pub(super) fn query_in<T>(
        &mut self,
        action: &'static str,
        text: &str,
        keys: &[SqlValue<'_>],
        mut read: impl FnMut(&mut Row<'_>) -> Result<T, Unreadable>,
    ) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        match self {
            Session::Sqlite(embedded) => {
                for key in keys {
                    let key = std::slice::from_ref(key);
                    found.extend(embedded.query(action, text, key, &mut read)?);
                }
            }
            Session::Mysql(remote) => {
                for text in remote.lists(text, keys)? {
                    found.extend(remote.query(action, &text, &[], &mut read)?);
                }
            }
        }
        Ok(found)
    }

    /// Runs a statement that changes rows; gives the number of those that it changed.
    ///
    /// # Errors
    /// Where the database fails.
    pub(super) fn execute(
        &mut self,
        action: &'static str,
        text: &str,
        values: &[SqlValue<'_>],
    ) -> Result<u64, StoreError> {
        match self {
            Session::Sqlite(embedded) => embedded.execute(action, text, values),
            Session::Mysql(remote) => remote.execute(action, text, values),
        }
    }

    /// Inserts rows.
    ///
    /// # Errors
    /// Where the database fails; SQLite tells at which row.
    pub(super) fn insert<'v, const COLUMNS: usize>(
        &mut self,
        action: &'static str,
        insert: &Insert<'_>,
        rows: impl Iterator<Item = [SqlValue<'v>; COLUMNS]>,
    ) -> Result<Inserted, RowError> {
        debug_assert_eq!(insert.columns.split(", ").count(), COLUMNS, "{}", insert.table);
        match self {
            Session::Sqlite(embedded) => embedded.insert(action, insert, rows),
            Session::Mysql(remote) => {
                let changed = remote.insert(action, insert, rows)?;
                Ok(Inserted { changed, unchanged: None })
            }
        }
    }

    /// See [`super::Store::answer_within`].
    pub(super) fn answer_within(&mut self, silence_max: Duration) {
        if let Session::Mysql(remote) = self {
            remote.answer_within(silence_max);
        }
    }

    /// Notes that records were applied, and whether one of them has erased a user.
    pub(super) fn note_applied(&mut self, has_erased: bool) {
        if let Session::Sqlite(embedded) = self {
            embedded.note_applied(has_erased);
        }
    }

    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// Where the database fails.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        match self {
            Session::Sqlite(embedded) => embedded.begin(),
            Session::Mysql(remote) => remote.begin(),
        }
    }

    /// Commits; a [`Session::roll_back`] has to follow an error. Of a server's error of the kind
    /// `Unreachable` the outcome is unknown.
    ///
    /// # Errors
    /// Where the database fails.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        match self {
            Session::Sqlite(embedded) => embedded.commit(),
            Session::Mysql(remote) => remote.commit(),
        }
    }

    /// Undoes the open transaction, if there is one.
    pub(super) fn roll_back(&mut self) {
        match self {
            Session::Sqlite(embedded) => embedded.roll_back(),
            Session::Mysql(remote) => remote.roll_back(),
        }
    }

    /// Runs a transaction that is on disk when this returns; rolls back on an error. It may run
    /// again: on a server a deadlock and a lock that was not given are tried again, up to
    /// `MYSQL_TRANSACTIONS_MAX` times, and not once it takes longer than a statement may.
    ///
    /// # Errors
    /// What the last try said.
    pub(super) fn transaction<T>(
        &mut self,
        mut run: impl FnMut(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Session::Sqlite(embedded) = self else {
            return self.again_while_transient(&mut run);
        };
        embedded.set_synced(true)?;
        let result = self.transact(&mut run);
        if let Session::Sqlite(embedded) = self {
            embedded.set_synced(false)?;
        }
        result
    }

    fn again_while_transient<T>(
        &mut self,
        run: &mut impl FnMut(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        for _ in 1..MYSQL_TRANSACTIONS_MAX {
            match self.transact(run) {
                Err(error) if error.is_transient() && self.may_try_again(begun) => {}
                result => return result,
            }
        }
        self.transact(run)
    }

    fn may_try_again(&self, begun: Instant) -> bool {
        matches!(self, Session::Mysql(remote) if remote.may_try_again(begun))
    }

    fn transact<T>(
        &mut self,
        run: &mut impl FnMut(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.begin()?;
        let result = run(self).and_then(|value| self.commit().map(|()| value));
        self.roll_back();
        result
    }

    /// Runs queries that see one moment where that costs nobody a wait: in SQLite. A server's see
    /// one moment each.
    ///
    /// # Errors
    /// Where the database fails.
    pub(super) fn snapshot<T>(
        &mut self,
        run: impl FnOnce(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Session::Sqlite(embedded) = self {
            embedded.begin_reading()?;
        }
        let result = run(self);
        if let Session::Sqlite(embedded) = self {
            embedded.roll_back();
        }
        result
    }
}
