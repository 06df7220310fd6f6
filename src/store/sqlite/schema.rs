//! Creating and upgrading the schema: numbered files, each applied once, in order, all in one
//! transaction. Must not know what the tables are for.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::StoreError;
use nudged_base::limits::SCHEMAS_AHEAD_MAX;

/// The files in order; the one at index `i` makes schema `i + 1`.
const FILES: [&str; 7] = [
    include_str!("../schema/0001_init.sql"),
    include_str!("../schema/0002_catalog_version.sql"),
    include_str!("../schema/0003_overrides.sql"),
    include_str!("../schema/0004_signing_keys.sql"),
    include_str!("../schema/0005_drafts.sql"),
    include_str!("../schema/0006_base_versions.sql"),
    include_str!("../schema/0007_token_expiry.sql"),
];

/// Brings the database to the newest schema of this binary; whether it was an older one. The next
/// schema after that is used as it is.
///
/// # Errors
/// Where it is newer than that, is a database of something else, or can't be changed.
pub(super) fn upgrade(connection: &mut Connection, path: &Path) -> Result<bool, StoreError> {
    let failed = |source| StoreError::sql(path, "upgrade the schema", source);
    let known = newest();
    if check(connection, path)? >= known {
        return Ok(false);
    }
    let behavior = TransactionBehavior::Immediate;
    let transaction = connection.transaction_with_behavior(behavior).map_err(failed)?;
    // Read again under the lock: another process may have upgraded it meanwhile.
    let found = check(&transaction, path)?;
    for (number, file) in (1_i64..).zip(FILES).filter(|(number, _)| *number > found) {
        transaction.execute_batch(file).map_err(failed)?;
        transaction
            .execute(
                "INSERT INTO schema_version (version, applied_at)
                 VALUES (?1, CAST(unixepoch('subsec') * 1000 AS INTEGER))",
                [number],
            )
            .map_err(failed)?;
    }
    transaction.commit().map_err(failed)?;
    Ok(found > 0)
}

fn newest() -> i64 {
    i64::try_from(FILES.len()).expect("a handful of files")
}

/// The schema of the database, where this version can use it or upgrade it.
///
/// # Errors
/// Where it is too new, or is a database of something else.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let (found, known) = (version(connection, path)?, newest());
    if found > known + SCHEMAS_AHEAD_MAX {
        return Err(StoreError::SchemaNewer { database: path.display().to_string(), found, known });
    }
    Ok(found)
}

/// The schema of the database; 0 where it is empty.
fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let failed = |source| StoreError::sql(path, "read the schema", source);
    let (tables, versions): (i64, i64) = connection
        .query_row(
            "SELECT count(*), coalesce(sum(name = 'schema_version'), 0) FROM sqlite_schema
             WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(failed)?;
    match (tables, versions) {
        (0, _) => Ok(0),
        (_, 0) => Err(StoreError::Foreign { path: path.to_owned() }),
        _ => connection
            .query_row("SELECT coalesce(max(version), 0) FROM schema_version", [], |row| row.get(0))
            .map_err(failed),
    }
}
