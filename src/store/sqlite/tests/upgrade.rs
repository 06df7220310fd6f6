//! What an earlier release's database becomes.

use super::*;
use crate::CatalogChange;
use nudged_base::time::WallMs;
use nudged_domain::catalog::overrides::OverrideKind;

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
            "DROP TABLE override_entries; DELETE FROM schema_version WHERE version >= 3;
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
