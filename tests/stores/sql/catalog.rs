//! The store is the truth of popups: versions, history, archive and operators' statuses survive.

use super::*;
use nudged_base::ids::PopupKey;
use nudged_base::time::WallMs;
use nudged_domain::catalog::overrides::{Override, OverrideId, OverrideKind};
use nudged_domain::ended::Ended;
use nudged_store::{CatalogChange, HistoryEntry, ImportedPopup, PopupOrigin, StoredPopup};

/// What the tests do most: changes on whatever version there is.
trait Changes {
    fn import_popups(
        &mut self,
        definitions: &[(&str, &str)],
        who: &str,
        at: WallMs,
    ) -> Result<Vec<StoredPopup>, StoreError>;

    fn load_popups(&mut self) -> Result<Vec<StoredPopup>, StoreError>;
}

impl Changes for Store {
    fn import_popups(
        &mut self,
        definitions: &[(&str, &str)],
        who: &str,
        at: WallMs,
    ) -> Result<Vec<StoredPopup>, StoreError> {
        Ok(self.change_catalog(None, CatalogChange::File(definitions), who, at)?.popups)
    }

    fn load_popups(&mut self) -> Result<Vec<StoredPopup>, StoreError> {
        Ok(self.load_catalog()?.popups)
    }
}

const A: &str = r#"{"id":"a","priority":1}"#;
const A_CHANGED: &str = r#"{"id":"a","status":"paused"}"#;
const B: &str = r#"{"id":"b"}"#;

/// Id, version, and whether it is gone.
type Summary<'a> = (&'a str, u32, bool);

fn summary(popups: &[StoredPopup]) -> Vec<Summary<'_>> {
    popups.iter().map(|popup| (popup.id.as_str(), popup.version, popup.is_gone)).collect()
}

fn lines(database: &Database, id: &str) -> Vec<HistoryEntry> {
    database.reader().history(id, None, 100).unwrap()
}

fn history(database: &Database, id: &str) -> Vec<(u32, String, String)> {
    let history = lines(database, id);
    history.into_iter().map(|entry| (entry.version, entry.change, entry.diff)).collect()
}

#[test]
fn versions_rise_with_texts_and_ids_come_and_go() {
    on_both(|kind| {
        let database = kind.database();
        let mut store = database.open();
        type Step<'a> = (&'a [(&'a str, &'a str)], &'a [Summary<'a>]);
        let steps: [Step<'_>; 6] = [
            (&[("a", A), ("b", B)], &[("a", 1, false), ("b", 1, false)]),
            (&[("a", A), ("b", B)], &[("a", 1, false), ("b", 1, false)]),
            (&[("a", A_CHANGED)], &[("a", 2, false), ("b", 1, true)]),
            (&[], &[("a", 2, true), ("b", 1, true)]),
            (&[("a", A), ("b", B)], &[("a", 3, false), ("b", 1, false)]),
            (&[("b", B)], &[("a", 3, true), ("b", 1, false)]),
        ];
        for (at, (definitions, want)) in (1..).zip(steps) {
            let stored = store.import_popups(definitions, "file", WallMs(at)).unwrap();
            assert_eq!(summary(&stored), want, "import {at}");
            assert!(stored.iter().all(|popup| popup.origin == PopupOrigin::File));
            store = database.open();
            assert_eq!(store.load_popups().unwrap(), stored, "import {at}, after a restart");
            assert_eq!(database.reader().catalog().unwrap().popups, stored);
        }
        let changes: Vec<_> =
            history(&database, "a").into_iter().map(|(version, name, _)| (version, name)).collect();
        let want =
            [(3, "archived"), (3, "returned"), (2, "archived"), (2, "changed"), (1, "created")];
        assert_eq!(changes, want.map(|(version, name)| (version, name.to_owned())));
    });
}

#[test]
fn history_tells_what_differs_who_and_when() {
    on_both(|kind| {
        let database = kind.database();
        let mut store = database.open();
        store.import_popups(&[("a", A)], "first", WallMs(1)).unwrap();
        store.import_popups(&[("a", A_CHANGED)], "second", WallMs(2)).unwrap();
        let history = lines(&database, "a");
        assert_eq!(history[0].diff, r#"{"priority":[1,null],"status":[null,"paused"]}"#);
        assert_eq!((history[0].who.as_str(), history[0].at), ("second", WallMs(2)));
        assert_eq!((history[1].text.as_deref(), history[1].diff.as_str()), (Some(A), "{}"));
    });
}

#[test]
fn a_definition_is_stored_once_and_found_by_its_version() {
    on_both(|kind| {
        let database = kind.database();
        let mut store = database.open();
        store.import_popups(&[("a", A)], "file", WallMs(1)).unwrap();
        let paused = entry(10, "a", OverrideKind::Pause);
        store.put_overrides(&[ended(&paused, 20)]).unwrap();
        store.import_popups(&[], "file", WallMs(30)).unwrap();
        store.import_popups(&[("a", A)], "file", WallMs(40)).unwrap();
        store.import_popups(&[("a", A_CHANGED)], "file", WallMs(50)).unwrap();
        store.put_overrides(&[entry(60, "a", OverrideKind::Archive)]).unwrap();
        let texts: Vec<_> = lines(&database, "a")
            .into_iter()
            .map(|line| (line.version, line.change, line.text))
            .collect();
        let want = [
            (2, "override", None),
            (2, "changed", Some(A_CHANGED)),
            (1, "returned", None),
            (1, "archived", None),
            (1, "override", None),
            (1, "override", None),
            (1, "created", Some(A)),
        ];
        let want = want
            .map(|(version, change, text)| (version, change.to_owned(), text.map(str::to_owned)));
        assert_eq!(texts, want);
        let reader = database.reader();
        for (version, text) in [(1, Some(A)), (2, Some(A_CHANGED)), (3, None)] {
            assert_eq!(reader.text_of("a", version).unwrap().as_deref(), text, "{version}");
            assert_eq!(store.text_of("a", version).unwrap().as_deref(), text, "{version}");
        }
        // As an earlier release wrote its lines.
        let fill = "UPDATE popup_history SET definition = '{\"id\":\"a\"}' WHERE definition = ''";
        database.run(fill);
        assert!(lines(&database, "a").iter().all(|line| line.text.is_some()));
        assert_eq!(store.version_before("a", 2).unwrap(), Some(1));
    });
}

#[test]
fn history_is_read_a_page_at_a_time() {
    on_both(|kind| {
        let database = kind.database();
        let mut store = database.open();
        store.import_popups(&[("a", A), ("b", B)], "file", WallMs(1)).unwrap();
        let entries: Vec<Override> =
            (10..15).map(|id| entry(id, "a", OverrideKind::Pause)).collect();
        store.put_overrides(&entries).unwrap();
        let reader = database.reader();
        let (mut before, mut pages) = (None, Vec::new());
        loop {
            let page = reader.history("a", before, 2).unwrap();
            let Some(last) = page.last() else { break };
            before = Some(last.number);
            pages.push(page.iter().map(|line| line.at.0).collect::<Vec<_>>());
        }
        assert_eq!(pages, [vec![14, 13], vec![12, 11], vec![10, 1]]);
    });
}

fn entry(id: u128, popup: &str, kind: OverrideKind) -> Override {
    let at = WallMs(i64::try_from(id).unwrap());
    Override { id: OverrideId(id), popup: popup.into(), kind, at, who: "ann".into(), end: None }
}

fn ended(entry: &Override, at: i64) -> Override {
    Override { end: Some(Ended { at: WallMs(at), who: "bob".into() }), ..entry.clone() }
}

#[test]
fn pauses_and_their_ends_are_kept_for_good_with_their_own_time_and_who() {
    on_both(|kind| {
        let database = kind.database();
        let mut store = database.open();
        store.import_popups(&[("a", A), ("b", B)], "file", WallMs(1)).unwrap();
        let (first, second) =
            (entry(10, "a", OverrideKind::Pause), entry(11, "a", OverrideKind::Archive));
        let before = store.catalog_version().unwrap();
        store.put_overrides(&[second.clone(), first.clone()]).unwrap();
        store.put_overrides(&[first.clone(), second.clone()]).unwrap();
        assert_eq!(store.catalog_version().unwrap(), before + 1, "once is as good as twice");
        store.put_overrides(&[ended(&first, 20)]).unwrap();
        // Whoever knows less brings nothing back, and a popup that is not here is no error.
        let elsewhere = entry(12, "nowhere", OverrideKind::Pause);
        store.put_overrides(&[first.clone(), elsewhere.clone()]).unwrap();
        store = database.open();
        let stored = store.import_popups(&[("a", A_CHANGED), ("b", B)], "f", WallMs(3)).unwrap();
        assert_eq!(summary(&stored), [("a", 2, false), ("b", 1, false)]);
        let want = [ended(&first, 20), second.clone(), elsewhere];
        assert_eq!(store.load_catalog().unwrap().overrides, want);
        assert_eq!(database.reader().catalog().unwrap().overrides, want);
        let found = store.overrides_of(&[OverrideId(11), OverrideId(99)]).unwrap();
        assert_eq!(found, [second]);
        let history = lines(&database, "a");
        let overrides: Vec<_> = history
            .iter()
            .filter(|entry| entry.change == "override")
            .map(|entry| (entry.at.0, entry.who.as_str(), entry.diff.as_str()))
            .collect();
        let want = [
            (20, "bob", r#"{"status":["archived","archived"]}"#),
            (11, "ann", r#"{"status":["paused","archived"]}"#),
            (10, "ann", r#"{"status":[null,"paused"]}"#),
        ];
        assert_eq!(overrides, want);
    });
}

#[test]
fn popups_of_the_api_are_left_alone_until_the_file_has_them() {
    on_both(|kind| {
        let database = kind.database();
        let mut store = database.open();
        store.import_popups(&[("a", A), ("b", B)], "file", WallMs(1)).unwrap();
        let own = "UPDATE popups SET origin = 'api' WHERE popup_id = 'a'";
        database.run(own);
        let stored = store.import_popups(&[("b", B)], "file", WallMs(2)).unwrap();
        assert_eq!((stored[0].origin, stored[0].is_gone), (PopupOrigin::Api, false));
        let stored = store.import_popups(&[("a", A), ("b", B)], "file", WallMs(3)).unwrap();
        assert_eq!((stored[0].origin, stored[0].version), (PopupOrigin::File, 1));
    });
}

#[test]
fn an_import_is_whole_or_nothing() {
    on_both(|kind| {
        let database = kind.database();
        let mut store = database.open();
        let before = store.import_popups(&[("a", A)], "file", WallMs(1)).unwrap();

        let error = store.import_popups(&[("b", B), ("c", "[1]")], "file", WallMs(2)).unwrap_err();
        assert!(matches!(error, StoreError::Definition { .. }), "{error}");
        assert_eq!(store.load_popups().unwrap(), before);

        // Another id with the key of "b": no pair of ids is known that shares one.
        let key = PopupKey::of("b").0.cast_signed();
        database.run(&format!("UPDATE popups SET popup_key = {key}"));
        let error = store.import_popups(&[("c", B), ("b", B)], "file", WallMs(3)).unwrap_err();
        let StoreError::PopupKeyTaken { id, other } = error else { panic!("{error}") };
        assert_eq!((id.as_str(), other.as_str()), ("b", "a"));
        assert_eq!(store.load_popups().unwrap(), before);

        let unknown = store.change_catalog(None, CatalogChange::Delete("nobody"), "x", WallMs(4));
        assert!(matches!(unknown, Err(StoreError::NoSuchPopup)));
    });
}

#[test]
fn a_change_on_an_older_catalog_is_refused_and_one_that_changes_nothing_raises_nothing() {
    on_both(|kind| {
        let database = kind.database();
        let mut store = database.open();
        let put = |text| CatalogChange::Put { id: "a", text, is_rollback: false };
        let first = store.load_catalog().unwrap().version;
        let second = store.change_catalog(Some(first), put(A), "x", WallMs(1)).unwrap().version;
        assert_eq!(second, first + 1);
        let late = store.change_catalog(Some(first), put(A_CHANGED), "x", WallMs(2)).unwrap_err();
        assert!(matches!(late, StoreError::CatalogMoved { found } if found == second), "{late}");
        let same = store.change_catalog(Some(second), put(A), "x", WallMs(3)).unwrap();
        assert_eq!((same.version, same.popups[0].version), (second, 1));
        assert_eq!(store.catalog_version().unwrap(), second);
        let mut reader = database.reader();
        assert_eq!(reader.catalog_version().unwrap(), second);
        assert_eq!(history(&database, "a").len(), 1);
    });
}

#[test]
fn texts_of_versions_are_kept() {
    on_both(|kind| {
        let database = kind.database();
        let mut store = database.open();
        for (at, text) in (1..).zip([A, A_CHANGED, A]) {
            let put = CatalogChange::Put { id: "a", text, is_rollback: false };
            store.change_catalog(None, put, "x", WallMs(at)).unwrap();
        }
        assert_eq!(store.text_of("a", 2).unwrap().as_deref(), Some(A_CHANGED));
        assert_eq!(store.text_of("a", 4).unwrap(), None);
        assert_eq!(store.text_of("b", 1).unwrap(), None);
        assert_eq!(store.version_before("a", 3).unwrap(), Some(2));
        assert_eq!(store.version_before("a", 1).unwrap(), None);
    });
}

#[test]
fn an_import_makes_popups_what_they_were_elsewhere() {
    on_both(|kind| {
        let popup = |id, version, text, is_gone| ImportedPopup { id, version, text, is_gone };
        let c = r#"{"id":"c"}"#;
        let popups = [popup("a", 7, A, false), popup("b", 2, B, true), popup("c", 1, c, false)];
        let overrides =
            [entry(1, "a", OverrideKind::Pause), ended(&entry(2, "c", OverrideKind::Archive), 3)];
        let database = kind.database();
        let mut store = database.open();
        let import = CatalogChange::Import { popups: &popups, overrides: &overrides };
        let first = store.change_catalog(None, import, "import", WallMs(1)).unwrap();
        assert_eq!(summary(&first.popups), [("a", 7, false), ("b", 2, true), ("c", 1, false)]);
        assert_eq!(first.overrides, overrides);
        let again = store.change_catalog(None, import, "import", WallMs(2)).unwrap();
        assert_eq!(again, first, "once is as good as twice");
        let changed = [popup("a", 1, A_CHANGED, false), popup("b", 2, B, false)];
        let import = CatalogChange::Import { popups: &changed, overrides: &[] };
        let stored = store.change_catalog(None, import, "i", WallMs(3)).unwrap();
        assert_eq!(summary(&stored.popups), [("a", 8, false), ("b", 3, false), ("c", 1, false)]);
        assert_eq!(stored.overrides, overrides, "an import ends nothing");
        // What the file owns is the file's, and then nothing is imported at all.
        store.import_popups(&[("a", A)], "file", WallMs(4)).unwrap();
        let before = store.load_catalog().unwrap();
        let mixed = [popup("d", 1, r#"{"id":"d"}"#, false), popup("a", 1, A_CHANGED, false)];
        let overrides = [entry(4, "a", OverrideKind::Archive)];
        let import = CatalogChange::Import { popups: &mixed, overrides: &overrides };
        let refused = store.change_catalog(None, import, "i", WallMs(5));
        assert!(matches!(refused, Err(StoreError::InFile { ids }) if ids == ["a"]));
        assert_eq!(store.load_catalog().unwrap(), before);
        let same = [popup("a", 1, A, true)];
        let import = CatalogChange::Import { popups: &same, overrides: &overrides };
        let stored = store.change_catalog(None, import, "i", WallMs(6)).unwrap();
        assert!(stored.popups[0].is_in_file() && stored.overrides.contains(&overrides[0]));
    });
}
