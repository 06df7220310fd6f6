//! What must not go on does not go on, and says why; what can go on does.

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::dead_letter;
use crate::session::Session;
use nudged_histories::Journal;

fn letters(directory: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(directory.join(dead_letter::FILE_NAME)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_record_that_no_row_can_hold_goes_to_the_dead_letters() {
    let directory = directory();
    let mut journal = Journal::of_clicks();
    journal.records[1].impression.as_mut().unwrap().row.clear();
    let mut node = Node::start(directory.path());
    let applied = node.apply(&journal.records).unwrap();
    assert_eq!((applied.records, applied.rejected), (5, 1));
    assert_eq!(node.position(), 6);
    let letters = letters(directory.path());
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["seq"], 2);
    assert_eq!(letters[0]["reason"], "popup entry can't be read");
    assert_eq!(letters[0]["record"]["user"], "u");
    let file = directory.path().join(dead_letter::FILE_NAME);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_row_that_the_database_refuses_goes_to_the_dead_letters_alone() {
    for table in ["events", "users", "user_popups"] {
        let directory = directory();
        let journal = Journal::of_clicks();
        let mut node = Node::start(directory.path());
        let refuse = format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON {table} WHEN new.user_id = 'v'
             BEGIN SELECT RAISE(ABORT, 'no room for v'); END"
        );
        look(directory.path()).execute_batch(&refuse).unwrap();
        let applied = node.apply(&journal.records).unwrap();
        assert_eq!((applied.records, applied.rejected), (4, 2), "{table}");
        assert_eq!(node.position(), 6);
        let letters = letters(directory.path());
        let sequences: Vec<_> = letters.iter().map(|letter| letter["seq"].as_u64()).collect();
        assert_eq!(sequences, [Some(3), Some(4)], "{table}");
        assert!(letters[0]["reason"].as_str().unwrap().contains("no room for v"));
        look(directory.path()).execute_batch("DROP TRIGGER refuse").unwrap();
        let without: Vec<_> =
            journal.records.iter().filter(|record| record.user != "v").cloned().collect();
        let events = count(directory.path(), "SELECT count(*) FROM events");
        assert_eq!(events, i64::try_from(without.len()).unwrap());
        assert_eq!(count(directory.path(), "SELECT sum(decided) FROM popup_stats"), 2);
    }
}

#[test]
fn without_room_for_dead_letters_nothing_is_stepped_over() {
    let directory = directory();
    let mut journal = Journal::of_clicks();
    journal.records[1].impression.as_mut().unwrap().row.clear();
    fs::create_dir(directory.path().join(dead_letter::FILE_NAME)).unwrap();
    let mut node = Node::start(directory.path());
    let error = node.apply(&journal.records).unwrap_err();
    assert!(matches!(error, StoreError::File { .. }), "{error}");
    assert_eq!(node.position(), 0);
    assert_eq!(count(directory.path(), "SELECT count(*) FROM events"), 0);
}

#[test]
fn a_damaged_file_is_named_with_its_path() {
    let directory = directory();
    let path = directory.path().join(FILE_NAME);
    fs::write(
        &path,
        "this is no database, and it is longer than a header of one hundred bytes; ".repeat(9),
    )
    .unwrap();
    let error = Store::open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains(path.to_str().unwrap()));
    assert!(error.source().is_some());
    let error = StoreReader::open(directory.path()).err();
    assert!(matches!(error, None | Some(StoreError::Corrupt { .. })), "{error:?}");
}

#[test]
fn damage_behind_the_header_is_named_where_it_is_met() {
    let directory = directory();
    let mut node = Node::start(directory.path());
    node.apply(&Journal::of_clicks().records).unwrap();
    drop(node);
    let path = directory.path().join(FILE_NAME);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4_096..].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let opened = Store::open(directory.path()).and_then(|mut store| store.stream_id(SET));
    assert!(matches!(opened, Err(StoreError::Corrupt { .. })), "{opened:?}");
}

#[test]
fn a_newer_schema_and_a_foreign_database_are_refused_untouched() {
    let directory = directory();
    drop(Store::open(directory.path()).unwrap());
    let insert = "INSERT INTO schema_version (version, applied_at) VALUES (9, 0)";
    look(directory.path()).execute_batch(insert).unwrap();
    let error = Store::open(directory.path()).unwrap_err();
    let StoreError::SchemaNewer { found, known, .. } = error else { panic!("{error}") };
    assert!(found == 9 && known < 9, "{found} {known}");

    let foreign = super::directory();
    look(foreign.path()).execute_batch("CREATE TABLE of_another_program (x)").unwrap();
    let error = Store::open(foreign.path()).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert_eq!(count(foreign.path(), "SELECT count(*) FROM sqlite_schema"), 1);
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let directory = directory();
    let missing = directory.path().join("missing");
    let error = Store::open(&missing).unwrap_err();
    assert!(matches!(error, StoreError::File { .. }), "{error}");
    assert!(error.to_string().contains("missing/nudged.db"));
}

#[test]
fn the_settings_that_durability_rests_on_are_set() {
    let directory = directory();
    let mut node = Node::start(directory.path());
    node.store.stream_id([9; 16]).unwrap();
    let Session::Sqlite(store) = node.store.session.get_mut() else { panic!("not SQLite") };
    let read = |name: &str| -> rusqlite::types::Value {
        store.connection.pragma_query_value(None, name, |row| row.get(0)).unwrap()
    };
    assert_eq!(read("journal_mode"), "wal".to_owned().into());
    assert_eq!(read("synchronous"), 1.into(), "NORMAL, also after a synced commit");
    assert_eq!(read("foreign_keys"), 0.into());
    assert_eq!(read("busy_timeout"), 5_000.into());
    let mode = directory.path().join(FILE_NAME).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
