//! What a node's user has to be let do in its database: statements that change no row are tried,
//! since a server looks at rights before it looks for rows. A test holds the list to the schema.

use super::failure::FailureKind;
use super::session::Remote;
use crate::error::StoreError;

/// Each table that nodes use, one of its columns, and whether rows of it are deleted. Every one is
/// read, inserted into and updated.
const TABLES: &[(&str, &str, bool)] = &[
    ("streams", "stream", false),
    ("writer_position", "off", false),
    ("users", "session", true),
    ("user_popups", "shows", true),
    ("events", "at", true),
    ("popup_stats", "shown", true),
    ("erased_users", "erased_at", true),
    ("popups", "version", false),
    ("popup_drafts", "at", true),
    ("override_entries", "ended_at", false),
    ("operator_tokens", "ended_at", false),
    ("catalog_version", "version", false),
    ("arbiter", "epoch", false),
    ("nodes", "seen_at", false),
];

/// Tables that are read and inserted into, never updated.
const GROWING: &[&str] = &["popup_history", "signing_keys"];

/// Rights that are missing, as `GRANT` takes them, such as `INSERT ON events`; none where the user
/// may do all that a node does. Allocates.
///
/// # Errors
/// Where the server fails otherwise, or does not let the node in: after each refusal the connection
/// is made anew.
pub(crate) fn missing(session: &mut Remote) -> Result<Vec<String>, StoreError> {
    let mut missing: Vec<String> = Vec::new();
    for (table, right, sql) in trials() {
        // Other statements read as well: theirs would be told of the same right.
        let is_known = missing.contains(&format!("SELECT ON {table}"));
        if is_known {
            continue;
        }
        match session.execute("try a right", &sql, &[]) {
            Ok(_) => {}
            Err(error) if error.is_right() => {
                missing.push(format!("{right} ON {table}"));
            }
            // A server that takes no writes now says nothing of rights.
            Err(error) if error.kind() == FailureKind::ReadOnly => {}
            Err(error) => return Err(error),
        }
    }
    Ok(missing)
}

/// A table, a right and a statement that needs it and changes nothing.
fn trials() -> impl Iterator<Item = (&'static str, &'static str, String)> {
    let both = |table| {
        let insert = format!("INSERT INTO {table} SELECT * FROM {table} WHERE FALSE");
        [("SELECT", format!("SELECT 1 FROM {table} LIMIT 0")), ("INSERT", insert)]
            .map(|(right, sql)| (table, right, sql))
    };
    let changed = TABLES.iter().flat_map(move |(table, column, is_deleted)| {
        let update = format!("UPDATE {table} SET {column} = {column} WHERE FALSE");
        let delete = format!("DELETE FROM {table} WHERE FALSE");
        let delete = is_deleted.then_some((*table, "DELETE", delete));
        both(*table).into_iter().chain([(*table, "UPDATE", update)]).chain(delete)
    });
    changed.chain(GROWING.iter().flat_map(move |table| both(*table)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_the_schema_is_tried_and_has_its_column() {
        let schema = super::super::schema::FILES.concat();
        let is_dropped = |table: &str| schema.contains(&format!("DROP TABLE IF EXISTS {table};"));
        for part in schema.split("CREATE TABLE IF NOT EXISTS ").skip(1) {
            let table = part.split(' ').next().unwrap();
            if is_dropped(table) && table != "signing_keys" {
                continue;
            }
            let known = TABLES.iter().find(|(name, ..)| *name == table);
            let is_known = known.is_some() || GROWING.contains(&table);
            // `nudged migrate` writes it; a node reads it before anything else.
            assert!(is_known || table == "schema_version", "{table}");
            let body = part.split(';').next().unwrap();
            if let Some((_, column, _)) = known {
                assert!(body.contains(&format!("\n    {column} ")), "{table}.{column}");
            }
        }
    }
}
