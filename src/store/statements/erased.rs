//! Taking users out: their rows go, their events stay without them, and a tombstone keeps older
//! records out. Knows columns; must not know where the erase came from.

use hashbrown::HashMap;

use crate::Store;
use crate::error::StoreError;
use crate::session::{RowError, Session};
use crate::statement::{ColumnChange, Insert, OnConflict};
use crate::statements::events::erase_events;
use crate::statements::users::NAMED_MAX;
use crate::value::{Row, SqlValue, Unreadable, signed};
use nudged_background::projection::batcher::EraseRow;
use nudged_background::projection::union::Tombstone;
use nudged_base::ids::{Revision, UserKey};
use nudged_base::limits::{SQL_ROWS_READ_MAX, TOMBSTONE_AGE_MAX_MS};
use nudged_base::time::WallMs;

/// The columns of a tombstone, in the order of [`read_tombstone`].
const COLUMNS: &str = "user_hash, revision_epoch, revision_counter, erased_at";

fn insert(on_conflict: OnConflict<'_>) -> Insert<'_> {
    Insert { table: "erased_users", columns: COLUMNS, key: "user_hash", on_conflict }
}

fn values(key: UserKey, revision: Revision, at: WallMs) -> [SqlValue<'static>; 4] {
    let (hash, counter) = (key.0.cast_signed(), signed(revision.counter));
    [hash.into(), revision.epoch.into(), counter.into(), at.into()]
}

fn read_tombstone(row: &mut Row<'_>) -> Result<Tombstone, Unreadable> {
    let key = UserKey(row.take_bits()?);
    Ok(Tombstone { key, revision: row.take_revision()?, at: row.take_time()? })
}

/// Erases users.
pub(super) fn erase(session: &mut Session, erases: &[EraseRow<'_>]) -> Result<(), RowError> {
    let condition = "user_id = ? AND (revision_epoch < ? \
                     OR (revision_epoch = ? AND revision_counter <= ?))";
    for row in erases {
        let (epoch, counter) = (row.revision.epoch.into(), signed(row.revision.counter).into());
        let values = [row.user.into(), epoch, epoch, counter];
        for table in ["users", "user_popups"] {
            let delete = format!("DELETE FROM {table} WHERE {condition}");
            session.execute("erase a user", &delete, &values)?;
        }
        // A user may have any number of events, so they are taken in parts. Each part leaves the
        // condition, which ends the loop.
        while erase_events(session, condition, &values)? == NAMED_MAX {}
    }
    let insert = insert(OnConflict::UpdateIfNewer(&[("erased_at", ColumnChange::New)]));
    let rows = erases.iter().map(|row| values(row.key, row.revision, row.at));
    let written = session.insert("write tombstones", &insert, rows);
    written.map(drop).map_err(|error| error.renumbered(|row| erases[row].index))
}

/// The erased users among these, with the revisions and times of their erases.
pub(super) fn tombstones(
    session: &mut Session,
    keys: &[UserKey],
) -> Result<HashMap<UserKey, Tombstone>, StoreError> {
    let mut hashes: Vec<i64> = keys.iter().map(|key| key.0.cast_signed()).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let hashes: Vec<SqlValue<'_>> = hashes.into_iter().map(SqlValue::Number).collect();
    let query = format!("SELECT {COLUMNS} FROM erased_users WHERE user_hash IN (?)");
    let found = session.query_in("read tombstones", &query, &hashes, read_tombstone)?;
    Ok(found.into_iter().map(|one| (one.key, one)).collect())
}

impl Store {
    /// Tombstones behind a hash, as a signed number, in its order, at most `count`.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn tombstones_after(
        &mut self,
        after: i64,
        count: usize,
    ) -> Result<Vec<Tombstone>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM erased_users WHERE user_hash > ? \
             ORDER BY user_hash LIMIT {count}"
        );
        let session = self.session.get_mut();
        session.query("read tombstones", &query, &[after.into()], read_tombstone)
    }

    /// Takes tombstones of another store in, in one transaction: they keep its records and tokens
    /// out. Users of this store stay; their revisions are lifted above.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn take_tombstones(&mut self, tombstones: &[Tombstone]) -> Result<(), StoreError> {
        // Nothing comes back that was shown before the later of two erases.
        let insert = insert(OnConflict::UpdateIfNewer(&[("erased_at", ColumnChange::Highest)]));
        self.session.get_mut().transaction(|session| {
            lift_users(session, tombstones)?;
            let rows = tombstones.iter().map(|one| values(one.key, one.revision, one.at));
            session.insert("take tombstones in", &insert, rows)?;
            Ok(())
        })
    }

    /// Drops the tombstones of users erased 8 days before `now` or earlier; gives their number.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn purge_tombstones(&mut self, now: WallMs) -> Result<usize, StoreError> {
        let before = WallMs(now.0.saturating_sub_unsigned(TOMBSTONE_AGE_MAX_MS));
        // In parts, so that no transaction waits long behind it. The inner name is for MySQL, which
        // takes no LIMIT in a list.
        let delete = format!(
            "DELETE FROM erased_users WHERE user_hash IN (SELECT user_hash FROM (SELECT user_hash \
             FROM erased_users WHERE erased_at <= ? LIMIT {SQL_ROWS_READ_MAX}) AS old)"
        );
        let mut purged = 0;
        loop {
            let session = self.session.get_mut();
            let changed = session.execute("purge tombstones", &delete, &[before.into()])?;
            purged += usize::try_from(changed).unwrap_or(usize::MAX);
            if changed < u64::from(SQL_ROWS_READ_MAX) {
                return Ok(purged);
            }
        }
    }
}

/// Rows of users that are not above a tombstone's revision are lifted above it: it is of another
/// store, and not about them.
fn lift_users(session: &mut Session, tombstones: &[Tombstone]) -> Result<(), StoreError> {
    let hashes: Vec<SqlValue<'_>> =
        tombstones.iter().map(|one| one.key.0.cast_signed().into()).collect();
    let query = format!(
        "SELECT user_id, user_hash, revision_epoch, revision_counter FROM users \
         WHERE user_hash IN (?){}",
        session.dialect().lock()
    );
    let users = session.query_in("read users", &query, &hashes, |row| {
        Ok((row.take::<String>()?, UserKey(row.take_bits()?), row.take_revision()?))
    })?;
    for (user, key, revision) in users {
        let Some(one) = tombstones.iter().find(|one| one.key == key) else { continue };
        if revision > one.revision {
            continue;
        }
        let above = one.revision.next();
        let update = "UPDATE users SET revision_epoch = ?, revision_counter = ? WHERE user_id = ?";
        let values = [above.epoch.into(), signed(above.counter).into(), (&user).into()];
        session.execute("take tombstones in", update, &values)?;
    }
    Ok(())
}
