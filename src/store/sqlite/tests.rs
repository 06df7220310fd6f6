//! What is the file's alone: kills and copies of it, faults, upgrades, its reader. What both stores
//! do is tested on both, in `tests/stores`.

mod exactly_once;
mod faults;
mod reading;
mod upgrade;

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::FILE_NAME;
use crate::{Applied, Store, StoreError, StoreReader, StreamId};
use nudged_base::ids::Sequence;
use nudged_base::limits::APPLY_RECORDS_MAX;
use nudged_histories::{OwnedRecord, borrowed};

const SET: [u8; 16] = [7; 16];

/// A data directory in memory where the machine has one: what is tested is not the disk.
fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A store with a claimed stream, as a start leaves it.
struct Node {
    store: Store,
    stream: StreamId,
}

impl Node {
    fn start(directory: &Path) -> Node {
        let mut store = Store::open(directory).unwrap();
        let stream = store.stream_id(SET).unwrap();
        Node { store, stream }
    }

    fn position(&self) -> u64 {
        self.store.position(self.stream).unwrap().0
    }

    fn apply(&mut self, records: &[OwnedRecord]) -> Result<Applied, StoreError> {
        self.store.apply(self.stream, &borrowed(records))
    }

    fn apply_all(&mut self, records: &[OwnedRecord]) {
        for records in records.chunks(APPLY_RECORDS_MAX) {
            self.apply(records).unwrap();
        }
    }
}

/// A connection for looking at the tables, and for breaking them.
fn look(directory: &Path) -> Connection {
    Connection::open(directory.join(FILE_NAME)).unwrap()
}

fn count(directory: &Path, query: &str) -> i64 {
    look(directory).query_row(query, [], |row| row.get(0)).unwrap()
}

/// Every row of the tables that records reach; the epoch, which counts starts, left out.
fn dump(directory: &Path) -> Vec<Vec<Value>> {
    let connection = look(directory);
    let tables = [
        "SELECT * FROM users ORDER BY 1",
        "SELECT * FROM user_popups ORDER BY 1, 2",
        "SELECT * FROM events ORDER BY 1, 2",
        "SELECT * FROM popup_stats ORDER BY 1, 2, 3, 4, 5",
        "SELECT * FROM erased_users ORDER BY 1",
        "SELECT stream, part, off FROM writer_position ORDER BY 1, 2",
    ];
    let mut rows = Vec::new();
    for query in tables {
        let mut statement = connection.prepare(query).unwrap();
        let columns = statement.column_count();
        let read = statement
            .query_map(params![], |row| (0..columns).map(|column| row.get(column)).collect())
            .unwrap();
        rows.extend(read.map(Result::<Vec<Value>, _>::unwrap));
        rows.push(Vec::new());
    }
    rows
}

/// The rows that applying each record once, one by one, leaves.
fn dump_of(records: &[OwnedRecord]) -> Vec<Vec<Value>> {
    let directory = directory();
    let mut node = Node::start(directory.path());
    for record in records {
        node.apply(std::slice::from_ref(record)).unwrap();
    }
    drop(node);
    dump(directory.path())
}

fn read_states(directory: &Path, users: &[&str]) -> Vec<nudged_domain::state::user::UserState> {
    let mut states = vec![None; users.len()];
    let mut reader = StoreReader::open(directory).unwrap();
    let unreadable = reader.read_users(users, &mut |index, state| states[index] = Some(state));
    assert_eq!(unreadable.unwrap(), 0);
    states.into_iter().map(Option::unwrap).collect()
}

fn sequence(number: u64) -> Sequence {
    Sequence(number)
}
