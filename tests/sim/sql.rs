//! SQL: the real store on a real file, which all nodes of a run share. Modelled is what only a
//! server has: epochs of an arbiter, who is alive, and that it may not answer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nudged_background::sql_failure::{SqlFailure, SqlMeaning};
use nudged_base::event_kind::EventKind;
use nudged_base::ids::{Revision, Sequence, StreamId};
use nudged_base::limits::PEER_KNOWN_MS;
use nudged_base::telemetry::log::{Level, Log};
use nudged_domain::state::user::UserState;
use nudged_journal::segment::SetId;
use nudged_store::sqlite::FILE_NAME;
use nudged_store::{Store, StoreReader};
use rusqlite::Connection;

use super::scene::MS;

/// A log that nobody reads.
pub fn no_log() -> Log {
    Log::new(Level::Error, true, &[])
}

/// A failure of SQL.
pub fn failure(meaning: SqlMeaning) -> SqlFailure {
    SqlFailure { meaning, cause: "unreachable", text: format!("{meaning:?}") }
}

/// A row of `events`.
#[derive(Debug)]
pub struct Row {
    pub token: String,
    pub action: EventKind,
    /// When it was decided, in milliseconds.
    pub at: i64,
    /// When it happened, in milliseconds.
    pub acted_at: i64,
    pub user: String,
    pub popup: String,
    /// The user's revision after it.
    pub revision: Revision,
}

/// The database.
pub struct Sql {
    directory: PathBuf,
    /// Whether it does not answer.
    pub is_away: bool,
    epoch: u32,
    /// When each node has said that it is alive.
    nodes: BTreeMap<usize, u64>,
}

impl Sql {
    /// An empty database in an empty directory.
    pub fn new(directory: PathBuf) -> Sql {
        drop(Store::open(&directory).expect("SQL opens"));
        Sql { directory, is_away: false, epoch: 0, nodes: BTreeMap::new() }
    }

    /// Fails where it does not answer.
    pub fn answer(&self) -> Result<(), SqlFailure> {
        if self.is_away { Err(failure(SqlMeaning::Passing)) } else { Ok(()) }
    }

    pub fn open(&self) -> Store {
        Store::open(&self.directory).expect("SQL opens")
    }

    pub fn open_reader(&self) -> StoreReader {
        StoreReader::open(&self.directory).expect("SQL opens")
    }

    /// Claims the stream of a journal; with its position.
    pub fn claim(&self, store: &mut Store, set: SetId) -> Result<(StreamId, Sequence), SqlFailure> {
        self.answer()?;
        let stream = store.stream_id(set.0.to_be_bytes()).expect("SQL claims a stream");
        Ok((stream, store.position(stream).expect("the stream is known")))
    }

    pub fn read(&self, reader: &mut StoreReader, user: &str) -> Result<UserState, SqlFailure> {
        self.answer()?;
        let mut state = None;
        let result = reader.read_users(&[user], &mut |_, found| state = Some(found));
        assert_eq!(result.expect("SQL reads"), 0, "every row can be read");
        Ok(state.expect("a state for each user"))
    }

    /// Users behind `after`, in order.
    pub fn users_after(
        &self,
        reader: &mut StoreReader,
        after: &str,
        count: usize,
    ) -> Result<Vec<String>, SqlFailure> {
        self.answer()?;
        Ok(reader.users_after(after, count).expect("SQL reads"))
    }

    pub fn next_epoch(&mut self, at_least: u32) -> Result<u32, SqlFailure> {
        self.answer()?;
        self.epoch = (self.epoch + 1).max(at_least);
        Ok(self.epoch)
    }

    /// A node says that it is alive; gives those that were so lately.
    pub fn beat(&mut self, node: usize, now: u64) -> Result<Vec<usize>, SqlFailure> {
        self.answer()?;
        self.nodes.insert(node, now);
        let is_live = |(_, at): &(&usize, &u64)| now - **at < PEER_KNOWN_MS * MS;
        Ok(self.nodes.iter().filter(is_live).map(|(node, _)| *node).collect())
    }

    /// Keeps it as it is now, so that a loss of power may take it back.
    pub fn keep(&self) {
        for end in ["", "-wal"] {
            let from = self.directory.join(format!("{FILE_NAME}{end}"));
            let to = self.directory.join(format!("kept{end}"));
            std::fs::copy(from, to).expect("the directory takes a copy");
        }
    }

    /// Puts back what was kept. Nobody is connected.
    pub fn put_back(&self) {
        for end in ["", "-wal", "-shm"] {
            let to = self.directory.join(format!("{FILE_NAME}{end}"));
            // The last connection that closes takes the log with it.
            let _ = std::fs::remove_file(&to);
            if end != "-shm" {
                let from = self.directory.join(format!("kept{end}"));
                std::fs::copy(from, to).expect("the directory takes a copy");
            }
        }
    }

    /// A connection for questions of the oracles.
    pub fn connection(&self) -> Connection {
        Connection::open(self.directory.join(FILE_NAME)).expect("SQL opens")
    }

    /// The latest time of any event, in milliseconds.
    pub fn newest(&self) -> i64 {
        let query = "SELECT coalesce(max(at), 0) FROM events";
        self.connection().query_row(query, [], |row| row.get(0)).expect("the table is there")
    }

    /// Rows of `events` that belong to nobody any more.
    pub fn nameless(&self) -> Vec<EventKind> {
        let connection = self.connection();
        let query = "SELECT action FROM events WHERE user_id IS NULL";
        let mut statement = connection.prepare(query).expect("the table is there");
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
        let kind = |word: String| EventKind::of_word(&word).expect("an action of ours");
        rows.map(|row| kind(row.expect("rows of the schema's types"))).collect()
    }

    /// All rows of `events` that belong to a user, in the order of their journals.
    pub fn events(&self) -> Vec<Row> {
        let connection = self.connection();
        let query = "SELECT decision, action, at, acted_at, user_id, popup_id, revision_epoch,
                     revision_counter FROM events WHERE user_id IS NOT NULL ORDER BY stream, seq";
        let mut statement = connection.prepare(query).expect("the table is there");
        let rows = statement.query_map([], |row| {
            let action: String = row.get(1)?;
            Ok(Row {
                token: row.get(0)?,
                action: EventKind::of_word(&action).expect("an action of ours"),
                at: row.get(2)?,
                acted_at: row.get(3)?,
                user: row.get(4)?,
                popup: row.get(5)?,
                revision: Revision {
                    epoch: row.get(6)?,
                    counter: row.get::<_, i64>(7)?.cast_unsigned(),
                },
            })
        });
        rows.expect("rows").collect::<Result<_, _>>().expect("rows of the schema's types")
    }
}
