//! What SQLite holds, looked at from outside while no node has it, or beside one that does.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// The database of a data directory, for reading.
pub fn open(data: &Path) -> Connection {
    let path = data.join("nudged.db");
    Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A number that a query gives.
pub fn number(data: &Path, query: &str) -> i64 {
    open(data).query_row(query, [], |row| row.get(0)).unwrap()
}

/// Every (decision, action) with how often it is there.
pub fn events(data: &Path) -> HashMap<(String, String), u32> {
    let connection = open(data);
    let mut query = connection.prepare("SELECT decision, action FROM events").unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let mut counts = HashMap::new();
    for row in rows {
        *counts.entry(row.unwrap()).or_insert(0) += 1;
    }
    counts
}

/// The tokens of all decisions that are there.
pub fn decided(data: &Path) -> HashSet<String> {
    let all = events(data).into_keys();
    all.filter(|(_, action)| action == "decided").map(|(decision, _)| decision).collect()
}
