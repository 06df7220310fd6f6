//! What an earlier release's database becomes.

use super::*;
use crate::CatalogChange;
use crate::sqlite::Peek;
use nudged_base::time::WallMs;
use nudged_domain::catalog::overrides::OverrideKind;
use nudged_histories::Journal;

#[test]
fn an_upgrade_makes_entries_of_overrides_and_names_what_it_stops() {
    let directory = directory();
    {
        let mut store = Store::open(directory.path()).unwrap();
        let texts = [
            ("a", r#"{"id":"a"}"#),
            ("b", r#"{"id":"b","status":"draft"}"#),
            ("c", r#"{"id":"c"}"#),
            ("d", r#"{"id":"d"}"#),
        ];
        store.change_catalog(None, CatalogChange::File(&texts), "file", WallMs(1)).unwrap();
        assert_eq!(store.take_dropped(), [], "a new database has dropped nothing");
    }
    // As the schema before had it.
    look(directory.path())
        .execute_batch(
            "DROP TABLE override_entries; DROP TABLE popup_drafts; DROP TABLE operator_tokens;
             DROP INDEX popup_stats_hour; ALTER TABLE popup_stats DROP COLUMN answered;
             ALTER TABLE popup_stats DROP COLUMN users_decided;
             ALTER TABLE popup_stats DROP COLUMN users_clicked;
             DELETE FROM schema_version WHERE version >= 3;
             CREATE TABLE popup_overrides (
                 popup_id TEXT NOT NULL COLLATE BINARY PRIMARY KEY, status TEXT NOT NULL,
                 who TEXT NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
             INSERT INTO popup_overrides VALUES ('a', 'live', 'ann', 5), ('b', 'live', 'ann', 6),
                 ('c', 'paused', 'ann', 7), ('d', 'archived', 'bob', 8);",
        )
        .unwrap();
    let mut store = Store::open(directory.path()).unwrap();
    let dropped = store.take_dropped();
    assert_eq!(dropped.len(), 1, "the other one is live by itself: {dropped:?}");
    assert_eq!((dropped[0].id.as_str(), dropped[0].status.as_str()), ("b", "draft"));
    let mut entries: Vec<_> = store
        .load_catalog()
        .unwrap()
        .overrides
        .into_iter()
        .map(|entry| (entry.popup.to_string(), entry.kind, entry.at.0, entry.who.to_string()))
        .collect();
    entries.sort();
    let want = [("c", OverrideKind::Pause, 7, "ann"), ("d", OverrideKind::Archive, 8, "bob")];
    let want = want.map(|(popup, kind, at, who)| (popup.to_owned(), kind, at, who.to_owned()));
    assert_eq!(entries, want);
    let told =
        StoreReader::open(directory.path()).unwrap().history("b", None, 1).unwrap().remove(0);
    assert_eq!((&*told.change, &*told.diff), ("override", r#"{"status":["live",null]}"#));
    drop(store);
    assert_eq!(Store::open(directory.path()).unwrap().take_dropped(), []);
}

/// A later version has upgraded the database: a column in every table, and a table.
fn one_step_ahead(directory: &Path) {
    let database = look(directory);
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'schema_version'";
    let mut tables = database.prepare(tables).unwrap();
    let names = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
    for name in names.map(Result::unwrap).filter(|name| !name.starts_with("sqlite_")) {
        database.execute_batch(&format!("ALTER TABLE {name} ADD COLUMN later TEXT")).unwrap();
    }
    database.execute_batch("CREATE TABLE of_a_later_version (x INTEGER)").unwrap();
    let insert = "INSERT INTO schema_version (version, applied_at)
                  SELECT max(version) + 1, 0 FROM schema_version";
    database.execute_batch(insert).unwrap();
}

#[test]
fn a_schema_one_step_ahead_is_served_and_a_later_one_is_refused() {
    let directory = directory();
    drop(Store::open(directory.path()).unwrap());
    one_step_ahead(directory.path());
    let mut node = Node::start(directory.path());
    let records = Journal::of_clicks().records;
    node.apply(&records).unwrap();
    let texts = [("a", r#"{"id":"a"}"#)];
    node.store.change_catalog(None, CatalogChange::File(&texts), "file", WallMs(1)).unwrap();
    assert_eq!(node.store.load_catalog().unwrap().popups.len(), 1);
    drop(node);
    let later = count(directory.path(), "SELECT count(*) FROM events WHERE later IS NULL");
    assert!(later > 0, "rows of this version are there");
    Peek::open(directory.path()).unwrap().unwrap().check_version().unwrap();
    look(directory.path())
        .execute_batch("INSERT INTO schema_version SELECT max(version) + 1, 0 FROM schema_version")
        .unwrap();
    for refused in [
        Store::open(directory.path()).map(drop),
        Peek::open(directory.path()).unwrap().unwrap().check_version(),
    ] {
        assert!(matches!(refused, Err(StoreError::SchemaNewer { .. })), "{refused:?}");
    }
}
