//! Making and upgrading the schema, which only `nudged migrate` does, and looking whether it is
//! there. Numbered files, each applied once, in order. Must not know what the tables are for.
//!
//! MySQL commits with each CREATE, so a file can't be one transaction: every statement of it may
//! run twice, and the version is written behind the last. A named lock keeps two at once apart;
//! without one (a proxy that has none) they only do the same work twice.

use super::failure::FailureKind;
use super::session::Remote;
use crate::error::StoreError;
use crate::session::Session;
use crate::statements::overrides;
use crate::stored::Dropped;
use nudged_base::limits::SCHEMAS_AHEAD_MAX;
use nudged_base::time::WallMs;
use nudged_config::Config;

/// The files in order; the one at index `i` makes schema `i + 1`.
pub(super) const FILES: [&str; 6] = [
    include_str!("../schema/mysql/0001_init.sql"),
    include_str!("../schema/mysql/0002_overrides.sql"),
    include_str!("../schema/mysql/0003_signing_keys.sql"),
    include_str!("../schema/mysql/0004_drafts.sql"),
    include_str!("../schema/mysql/0005_base_versions.sql"),
    include_str!("../schema/mysql/0006_token_expiry.sql"),
];
/// The schema from which on no override makes a popup live.
const OVERRIDES_VERSION: i64 = 2;
/// What a server says of a column that is there already, and of a key.
const DUPLICATES: [u16; 2] = [1060, 1061];
/// A migration waits this long for another one, in seconds.
const LOCK_WAIT_S: u32 = 60;

/// Creates or upgrades the schema of `[mysql] url`; gives the versions before and after. `now` goes
/// into the table of versions. The next schema after this binary's stays as it is.
///
/// # Errors
/// Where the server fails, or its schema is newer than that.
///
/// # Panics
/// Without `[mysql] url`.
pub fn migrate(config: &Config, now: WallMs) -> Result<(i64, i64), StoreError> {
    let url = config.mysql.url.as_ref().expect("the caller has looked for it");
    let mut session = Remote::new(url, &config.mysql)?;
    // A name has 64 characters. Databases that begin alike for so long only wait for each other.
    let lock = "CONCAT('nudged.migrate.', LEFT(DATABASE(), 48))";
    // A wait for the lock must end before the statement's timeout does.
    let wait_s = u64::from(LOCK_WAIT_S).min(config.mysql.query_timeout.0 / 2_000);
    let locked = format!("SELECT GET_LOCK({lock}, {wait_s})");
    let locked = session.query("lock", &locked, &[], |row| row.take::<Option<i64>>());
    // What kind of failure an unknown function is differs; the other kinds come again right below.
    if let Err(error) = locked
        && error.kind() != FailureKind::Other
    {
        return Err(error);
    }
    let before = version(&mut session)?;
    let known = newest();
    if before > known + SCHEMAS_AHEAD_MAX {
        return Err(newer(&session, before));
    }
    for (number, file) in (1_i64..).zip(FILES).filter(|(number, _)| *number > before) {
        for statement in statements(file) {
            match session.execute("upgrade the schema", &statement, &[]) {
                // Before it was cut off it has added the column or key.
                Err(error) if is_addition(&statement) && is_duplicate(&error) => {}
                other => drop(other?),
            }
        }
        let insert = "INSERT INTO schema_version (version, applied_at) VALUES (?, ?) \
                      ON DUPLICATE KEY UPDATE version = version";
        session.execute("upgrade the schema", insert, &[number.into(), now.into()])?;
    }
    Ok((before, known.max(before)))
}

/// The popups that an upgrade from a schema of version `before` has stopped.
///
/// # Errors
/// Where the server fails.
///
/// # Panics
/// Without `[mysql] url`.
pub fn dropped_since(config: &Config, before: i64) -> Result<Vec<Dropped>, StoreError> {
    if !(1..OVERRIDES_VERSION).contains(&before) {
        return Ok(Vec::new());
    }
    let url = config.mysql.url.as_ref().expect("the caller has looked for it");
    overrides::dropped(&mut Session::Mysql(Remote::new(url, &config.mysql)?.into()))
}

/// Looks whether the schema is the one of this binary, or the next.
///
/// # Errors
/// [`StoreError::SchemaOlder`], which names the command, [`StoreError::SchemaNewer`], or where the
/// server fails.
pub(super) fn check(session: &mut Remote) -> Result<(), StoreError> {
    let (found, known) = (version(session)?, newest());
    if found < known {
        return Err(StoreError::SchemaOlder { server: session.server().clone(), found, known });
    }
    if found > known + SCHEMAS_AHEAD_MAX {
        return Err(newer(session, found));
    }
    Ok(())
}

fn newest() -> i64 {
    i64::try_from(FILES.len()).expect("a handful of files")
}

fn newer(session: &Remote, found: i64) -> StoreError {
    StoreError::SchemaNewer { database: session.server().to_string(), found, known: newest() }
}

/// The schema of the database; 0 where there is none.
fn version(session: &mut Remote) -> Result<i64, StoreError> {
    let query = "SELECT max(version) FROM schema_version";
    match session.query("read the schema", query, &[], |row| row.take::<Option<i64>>()) {
        Ok(found) => Ok(found.into_iter().flatten().next().unwrap_or(0)),
        Err(error) if error.kind() == FailureKind::Schema && !error.is_code(1049) => Ok(0),
        Err(error) => Err(error),
    }
}

/// The statements of a file, without its comments. No statement has a semicolon inside.
fn statements(file: &str) -> Vec<String> {
    let code: Vec<_> = file.lines().filter(|line| !line.starts_with("--")).collect();
    let code = code.join("\n");
    let parts = code.split(';').map(str::trim).filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

/// Whether a statement adds a column or a key, which it does once.
fn is_addition(statement: &str) -> bool {
    let adds = |what: &str| statement.contains(what);
    statement.starts_with("ALTER TABLE ") && (adds(" ADD COLUMN ") || adds(" ADD KEY "))
}

/// Whether what a statement adds is there already.
fn is_duplicate(error: &StoreError) -> bool {
    DUPLICATES.iter().any(|code| error.is_code(*code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_of_every_file_may_run_twice() {
        for statement in FILES.iter().flat_map(|file| statements(file)) {
            let is_insert = statement.starts_with("INSERT ");
            let may = statement.starts_with("CREATE TABLE IF NOT EXISTS ")
                || statement.starts_with("DROP TABLE IF EXISTS ")
                || (is_insert && statement.contains("ON DUPLICATE KEY "))
                || (is_insert && statement.contains("AND NOT EXISTS ("))
                || is_addition(&statement);
            assert!(may, "{statement}");
        }
    }

    #[test]
    fn both_databases_have_the_same_tables_and_columns() {
        let of = |file: &str| -> Vec<String> {
            let code = file.replace(" IF NOT EXISTS", "").replace('`', "");
            let words = code.lines().filter(|line| !line.starts_with("--"));
            let words = words.filter_map(|line| {
                let (first, second) = (line.split_whitespace().next()?, line.starts_with("    "));
                let is_column = second && first.chars().all(|c| c.is_ascii_lowercase() || c == '_');
                let table = line.strip_prefix("CREATE TABLE ");
                table
                    .map(|name| name.trim_end_matches(" (").to_owned())
                    .or_else(|| is_column.then(|| first.to_owned()))
            });
            words.collect()
        };
        for (sqlite, mysql) in [
            (include_str!("../schema/0001_init.sql"), FILES[0]),
            (include_str!("../schema/0003_overrides.sql"), FILES[1]),
            (include_str!("../schema/0005_drafts.sql"), FILES[3]),
            (include_str!("../schema/0006_base_versions.sql"), FILES[4]),
            (include_str!("../schema/0007_token_expiry.sql"), FILES[5]),
        ] {
            let mysql = of(mysql);
            for name in of(sqlite) {
                assert!(mysql.contains(&name), "{name}");
            }
        }
    }
}
