//! Property: the schema is made once, by whoever comes first, and an unfinished migration is
//! finished by the next.

use std::path::Path;

use nudged_base::time::WallMs;
use nudged_histories::Journal;
use nudged_store::{Store, StoreError, mysql};

use super::{Node, config, database, shared};
use crate::support::mariadb::shared_database;

/// The schema of this binary.
const NEWEST: i64 = 6;

#[test]
fn migrations_at_once_and_again_do_it_once() {
    let name = shared_database();
    let _ = shared().url_of_least_user(&name);
    let url = shared().url_of_migrator(&name);
    let config = config(&url, Path::new("/nowhere"));
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| mysql::migrate(&config, WallMs(5)).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(results.iter().filter(|result| **result == (0, NEWEST)).count(), 1, "{results:?}");
    assert_eq!(
        results.iter().filter(|result| **result == (NEWEST, NEWEST)).count(),
        3,
        "{results:?}"
    );
    assert_eq!(shared().number(&name, "SELECT count(*) FROM schema_version"), NEWEST);
}

#[test]
fn one_that_was_cut_off_is_finished() {
    let name = database();
    // As after a kill: some tables are there, the version is not.
    shared().run_sql(&format!(
        "USE {name}; DELETE FROM schema_version; DROP TABLE events; DROP TABLE arbiter;"
    ));
    let config = config(&shared().url_of(&name), Path::new("/nowhere"));
    assert_eq!(mysql::migrate(&config, WallMs(5)).unwrap(), (0, NEWEST));
    assert_eq!(shared().number(&name, "SELECT count(*) FROM events"), 0);
    assert_eq!(shared().number(&name, "SELECT count(*) FROM arbiter"), 1);
    assert!(Store::of(&config).unwrap().check().is_ok());
}

#[test]
fn an_upgrade_makes_entries_of_overrides_once_and_names_what_it_stops() {
    let name = database();
    // As the schema before had it, beside an upgrade that was cut off before its last statement.
    shared().run_sql(&format!(
        "USE {name}; DELETE FROM schema_version WHERE version >= 2; DROP TABLE override_entries, operator_tokens;
         CREATE TABLE popup_overrides (popup_id VARBINARY(64) NOT NULL PRIMARY KEY,
             status VARCHAR(16) NOT NULL, who VARCHAR(255) NOT NULL, at BIGINT NOT NULL);
         INSERT INTO popups VALUES ('a', 1, 1, 'file', '{{\"id\":\"a\"}}', NULL),
             ('b', 2, 1, 'api', '{{\"id\":\"b\",\"status\":\"paused\"}}', NULL),
             ('c', 3, 1, 'file', '{{\"id\":\"c\"}}', NULL);
         INSERT INTO popup_overrides VALUES ('a', 'live', 'ann', 5), ('b', 'live', 'ann', 6),
             ('c', 'paused', 'ann', 7);"
    ));
    let config = config(&shared().url_of(&name), Path::new("/nowhere"));
    for round in 0..2 {
        assert_eq!(mysql::migrate(&config, WallMs(5)).unwrap(), (1, NEWEST), "{round}");
        let dropped = mysql::dropped_since(&config, 1).unwrap();
        assert_eq!(dropped.len(), 1, "{dropped:?}");
        assert!(dropped[0].to_string().contains("PUT /v1/popups/b"), "{dropped:?}");
        let mut store = Store::of(&config).unwrap();
        let entries = store.load_catalog().unwrap().overrides;
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert_eq!((&*entries[0].popup, entries[0].at, &*entries[0].who), ("c", WallMs(7), "ann"));
        let told = "SELECT count(*) FROM popup_history WHERE who = 'schema upgrade'";
        assert_eq!(shared().number(&name, told), 2);
        // Cut off behind the last statement, it runs once more.
        shared().run_sql(&format!("DELETE FROM {name}.schema_version WHERE version >= 2"));
    }
}

#[test]
fn an_upgrade_that_is_cut_off_loses_no_signing_key() {
    let name = database();
    let config = config(&shared().url_of(&name), Path::new("/nowhere"));
    let keys = format!("SELECT count(*) FROM {name}.signing_keys WHERE secret = 'a'");
    // As it stands behind each statement that takes a table away, and behind the last.
    let cuts = [
        "INSERT INTO signing_keys (id, created_at, secret) VALUES (1, 5, 'a')",
        "CREATE TABLE signing_keys_copy (id INT UNSIGNED NOT NULL PRIMARY KEY, \
         created_at BIGINT NOT NULL, secret VARBINARY(64) NOT NULL); \
         INSERT INTO signing_keys_copy SELECT id, created_at, secret FROM signing_keys; \
         DROP TABLE signing_keys",
        "SELECT 1",
    ];
    for cut in cuts {
        shared()
            .run_sql(&format!("USE {name}; DELETE FROM schema_version WHERE version >= 3; {cut}"));
        assert_eq!(mysql::migrate(&config, WallMs(5)).unwrap(), (2, NEWEST), "{cut}");
        assert_eq!(shared().number(&name, &keys), 1, "{cut}");
    }
}

#[test]
fn a_newer_schema_is_left_alone() {
    let name = database();
    shared().run_sql(&format!("INSERT INTO {name}.schema_version VALUES (99, 1)"));
    let config = config(&shared().url_of(&name), Path::new("/nowhere"));
    let result = mysql::migrate(&config, WallMs(5));
    assert!(matches!(result, Err(StoreError::SchemaNewer { found: 99, .. })), "{result:?}");
    let result = Store::of(&config).unwrap().check();
    assert!(matches!(result, Err(StoreError::SchemaNewer { found: 99, .. })), "{result:?}");
}

#[test]
fn a_schema_one_step_ahead_is_served_and_left_alone() {
    let name = database();
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_name <> \
                  'schema_version' AND table_schema = ";
    let tables = shared().run_sql(&format!("{tables}'{name}'"));
    for table in tables.lines() {
        shared().run_sql(&format!("ALTER TABLE {name}.{table} ADD COLUMN later VARCHAR(9) NULL"));
    }
    let newer = NEWEST + 1;
    shared().run_sql(&format!("INSERT INTO {name}.schema_version VALUES ({newer}, 1)"));
    let config = config(&shared().url_of(&name), Path::new("/nowhere"));
    assert_eq!(mysql::migrate(&config, WallMs(5)).unwrap(), (newer, newer));
    let mut node = Node::start(&shared().url_of(&name));
    node.apply(&Journal::of_clicks().records).unwrap();
    let rows = format!("SELECT count(*) FROM {name}.events WHERE later IS NULL");
    assert!(shared().number(&name, &rows) > 0, "rows of this version are there");
}
