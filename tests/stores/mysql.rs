//! The MySQL store against a real MariaDB. Tests share one server and have a database each, except
//! those that break the server.

mod apply;
mod conditions;
mod faults;
mod full_disk;
mod nodes;
mod refusals;
mod schema;
mod withdrawn;

use std::path::Path;

use nudged_base::ids::Sequence;
use nudged_base::time::{DurationMs, WallMs};
use nudged_config::{Config, SecretText};
use nudged_store::{Applied, Store, StoreError, StoreReader, StreamId, mysql};
use tempfile::TempDir;

use crate::support::mariadb::{MariaDb, shared, shared_database};
use nudged_histories::{OwnedRecord, borrowed};

const SET: [u8; 16] = [7; 16];

/// The configuration of a node with this database.
pub fn config(url: &str, data: &Path) -> Config {
    let mut config = Config { data: data.to_owned(), ..Config::default() };
    config.mysql.url = Some(SecretText::new(url.to_owned()));
    config.mysql.connect_timeout = DurationMs(5_000);
    config.mysql.query_timeout = DurationMs(10_000);
    config
}

/// A new database on the shared server, with the schema: its name.
pub fn database() -> String {
    let name = shared_database();
    migrate(&shared().url_of(&name));
    name
}

pub fn migrate(url: &str) {
    mysql::migrate(&config(url, Path::new("/nowhere")), WallMs(1)).unwrap();
}

/// A store with a claimed stream, as a start leaves it.
pub struct Node {
    pub store: Store,
    stream: StreamId,
    directory: TempDir,
}

impl Node {
    pub fn start(url: &str) -> Node {
        Node::start_with(url, |_| {})
    }

    fn start_with(url: &str, change: impl FnOnce(&mut Config)) -> Node {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(url, directory.path());
        change(&mut config);
        let mut store = Store::of(&config).unwrap();
        let stream = store.stream_id(SET).unwrap();
        Node { store, stream, directory }
    }

    fn apply(&mut self, records: &[OwnedRecord]) -> Result<Applied, StoreError> {
        self.store.apply(self.stream, &borrowed(records))
    }

    fn position(&self) -> Sequence {
        self.store.position(self.stream).unwrap()
    }

    fn statements(&mut self) -> u64 {
        self.store.shared().unwrap().statements()
    }
}

pub fn reader(url: &str) -> StoreReader {
    StoreReader::of(&config(url, Path::new("/nowhere"))).unwrap()
}

/// Tables that records reach, with the expressions that print a row alike in both databases.
/// Streams are left out: their numbers are the database's own.
fn queries() -> Vec<String> {
    let bytes =
        |column: &str| format!("CASE WHEN {column} IS NULL THEN '-' ELSE LOWER(HEX({column})) END");
    let plain = |column: &str| format!("COALESCE({column}, '-')");
    let is_bytes = |column: &&str| {
        ["user_id", "popup_id", "variant", "decision", "action", "state", "users_decided", "users_clicked"].contains(column)
    };
    let tables = [
        (
            "users",
            "user_id, user_hash, revision_epoch, revision_counter, last_counted_at, day_shows, \
             session, session_shows",
        ),
        (
            "user_popups",
            "user_id, popup_id, popup_key, shows, last_shown_at, outcome, outcome_at, \
             next_show_at, forgotten, first_epoch, first_counter, revision_epoch, \
             revision_counter, state",
        ),
        (
            "events",
            "seq, decision, action, at, acted_at, user_id, popup_id, version, variant, \
             revision_epoch, revision_counter",
        ),
        (
            "popup_stats",
            "popup_id, variant, hour, part, decided, shown, ignored, dismissed, clicked, \
             converted, answered, users_decided, users_clicked",
        ),
        ("erased_users", "user_hash, revision_epoch, revision_counter, erased_at"),
        ("writer_position", "part, off"),
    ];
    tables
        .iter()
        .map(|(table, columns)| {
            let printed: Vec<_> = columns
                .split(", ")
                .map(|column| if is_bytes(&column) { bytes(column) } else { plain(column) })
                .collect();
            format!("SELECT CONCAT_WS('|', '{table}', {}) FROM {table}", printed.join(", "))
        })
        .collect()
}

/// Every row of the tables that records reach, sorted.
pub fn dump(server: &MariaDb, database: &str) -> Vec<String> {
    let text = server.run_sql(&format!("USE {database}; {};", queries().join("; ")));
    let mut rows: Vec<_> = text.lines().map(str::to_owned).collect();
    rows.sort_unstable();
    rows
}

/// What the embedded store makes of the same records, one transaction each.
fn dump_of(records: &[OwnedRecord]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open(directory.path()).unwrap();
    let stream = store.stream_id(SET).unwrap();
    for record in records {
        store.apply(stream, &borrowed(std::slice::from_ref(record))).unwrap();
    }
    drop(store);
    dump_file(directory.path())
}

/// As [`dump`], of the file in a data directory.
pub fn dump_file(directory: &Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(directory.join("nudged.db")).unwrap();
    let mut rows = Vec::new();
    for query in queries() {
        let mut statement = connection.prepare(&query).unwrap();
        let read = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.extend(read.map(Result::unwrap));
    }
    rows.sort_unstable();
    rows
}

/// Says where two dumps differ, a few rows of each, in place of both whole.
pub fn assert_same(found: &[String], expected: &[String]) {
    let missing: Vec<_> = expected.iter().filter(|row| !found.contains(row)).take(3).collect();
    let surplus: Vec<_> = found.iter().filter(|row| !expected.contains(row)).take(3).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing {missing:#?} surplus {surplus:#?}");
    assert_eq!(found.len(), expected.len(), "a row is there twice");
}
