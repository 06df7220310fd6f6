//! What both stores do alike: one list of tests, each run on SQLite and on MariaDB.

mod catalog;
mod distinct_users;
mod erase;
mod ids;
mod reading;
mod retention;
mod streams;
mod taken;
mod withdrawn;

use std::path::Path;
use std::sync::Mutex;

use nudged_base::ids::Sequence;
use nudged_base::limits::APPLY_RECORDS_MAX;
use nudged_config::Config;
use nudged_domain::state::user::UserState;
use nudged_store::{Applied, Store, StoreError, StoreReader, StreamId};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::mysql::{config, dump, dump_file, migrate};
use crate::support::mariadb::{shared, shared_database};
use nudged_histories::{OwnedRecord, borrowed};

const SET: [u8; 16] = [7; 16];

/// Databases of the server that a test has given back.
static FREE: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Mariadb,
}

/// Runs a test on databases of each kind.
fn on_both(test: impl Fn(Kind)) {
    for kind in [Kind::Sqlite, Kind::Mariadb] {
        println!("{kind:?}");
        test(kind);
    }
}

/// A data directory, and for nodes that share a server an empty database there.
struct Database {
    directory: TempDir,
    name: Option<String>,
}

impl Kind {
    fn database(self) -> Database {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let name = match self {
            Kind::Sqlite => None,
            Kind::Mariadb => Some(FREE.lock().unwrap().pop().unwrap_or_else(|| {
                let name = shared_database();
                migrate(&shared().url_of(&name));
                name
            })),
        };
        Database { directory, name }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        let tables = [
            "events",
            "users",
            "user_popups",
            "popup_stats",
            "erased_users",
            "writer_position",
            "streams",
            "popups",
            "popup_history",
            "popup_drafts",
            "override_entries",
            "operator_tokens",
            "signing_keys",
            "nodes",
        ];
        let empty = tables.map(|table| format!("DELETE FROM {table};")).concat();
        if shared().try_sql(&format!("USE {name}; {empty}")).is_ok() {
            FREE.lock().unwrap().push(name);
        }
    }
}

impl Database {
    fn config(&self) -> Config {
        match &self.name {
            Some(name) => config(&shared().url_of(name), self.directory.path()),
            None => Config { data: self.directory.path().to_owned(), ..Config::default() },
        }
    }

    fn open(&self) -> Store {
        Store::of(&self.config()).unwrap()
    }

    fn reader(&self) -> StoreReader {
        StoreReader::of(&self.config()).unwrap()
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn file(&self) -> Connection {
        Connection::open(self.path().join("nudged.db")).unwrap()
    }

    /// Changes tables behind the store's back.
    fn run(&self, sql: &str) {
        match &self.name {
            Some(name) => drop(shared().run_sql(&format!("USE {name}; {sql}"))),
            None => self.file().execute_batch(sql).unwrap(),
        }
    }

    fn number(&self, query: &str) -> i64 {
        match &self.name {
            Some(name) => shared().number(name, query),
            None => self.file().query_row(query, [], |row| row.get(0)).unwrap(),
        }
    }

    /// Every row of the tables that records reach.
    fn dump(&self) -> Vec<String> {
        match &self.name {
            Some(name) => dump(shared(), name),
            None => dump_file(self.path()),
        }
    }

    fn states(&self, users: &[&str]) -> Vec<UserState> {
        let mut states = vec![None; users.len()];
        let unreadable =
            self.reader().read_users(users, &mut |index, state| states[index] = Some(state));
        assert_eq!(unreadable.unwrap(), 0);
        states.into_iter().map(Option::unwrap).collect()
    }

    /// Lets transactions die before their commit, at the last step, or lives again.
    fn dies_before_commit(&self, dies: bool) {
        let create = match (&self.name, dies) {
            (_, false) => "DROP TRIGGER dies",
            (None, true) => {
                "CREATE TRIGGER dies BEFORE UPDATE OF off ON writer_position
                 BEGIN SELECT RAISE(FAIL, 'dies'); END"
            }
            (Some(_), true) => {
                "CREATE TRIGGER dies BEFORE UPDATE ON writer_position FOR EACH ROW
                 SIGNAL SQLSTATE '45000'"
            }
        };
        self.run(create);
    }
}

/// A store with a claimed stream, as a start leaves it.
struct Node {
    store: Store,
    stream: StreamId,
}

impl Node {
    fn start(database: &Database) -> Node {
        let mut store = database.open();
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

fn sequence(number: u64) -> Sequence {
    Sequence(number)
}
