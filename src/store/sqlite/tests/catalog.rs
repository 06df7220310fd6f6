//! The store is the truth of popups: versions, history, archive and operators' statuses survive.

use super::*;
use crate::base::ids::PopupKey;
use crate::base::time::WallMs;
use crate::catalog::snapshot::Status;
use crate::store::{CatalogChange, ImportedPopup, Origin, StoredPopup};

/// What the tests do most: changes on whatever version there is.
impl Store {
    fn import_popups(
        &mut self,
        definitions: &[(&str, &str)],
        who: &str,
        at: WallMs,
    ) -> Result<Vec<StoredPopup>, StoreError> {
        Ok(self.change_catalog(None, CatalogChange::File(definitions), who, at)?.popups)
    }

    fn set_override(
        &mut self,
        id: &str,
        status: Status,
        who: &str,
        at: WallMs,
    ) -> Result<(), StoreError> {
        self.change_catalog(None, CatalogChange::Status { id, status }, who, at).map(drop)
    }

    fn load_popups(&mut self) -> Result<Vec<StoredPopup>, StoreError> {
        Ok(self.load_catalog()?.popups)
    }
}

const A: &str = r#"{"id":"a","priority":1}"#;
const A_CHANGED: &str = r#"{"id":"a","status":"paused"}"#;
const B: &str = r#"{"id":"b"}"#;

type Summary<'a> = (&'a str, u32, Option<Status>);

fn summary(popups: &[StoredPopup]) -> Vec<Summary<'_>> {
    popups.iter().map(|popup| (popup.id.as_str(), popup.version, popup.status_override)).collect()
}

fn history(directory: &Path, id: &str) -> Vec<(u32, String, String)> {
    let history = Reader::open(directory).unwrap().history(id).unwrap();
    history.into_iter().map(|entry| (entry.version, entry.change, entry.diff)).collect()
}

#[test]
fn versions_rise_with_texts_and_ids_come_and_go() {
    let directory = directory();
    let mut store = Store::open(directory.path()).unwrap();
    let archived = Some(Status::Archived);
    type Step<'a> = (&'a [(&'a str, &'a str)], &'a [Summary<'a>]);
    let steps: [Step<'_>; 6] = [
        (&[("a", A), ("b", B)], &[("a", 1, None), ("b", 1, None)]),
        (&[("a", A), ("b", B)], &[("a", 1, None), ("b", 1, None)]),
        (&[("a", A_CHANGED)], &[("a", 2, None), ("b", 1, archived)]),
        (&[], &[("a", 2, archived), ("b", 1, archived)]),
        (&[("a", A), ("b", B)], &[("a", 3, None), ("b", 1, None)]),
        (&[("b", B)], &[("a", 3, archived), ("b", 1, None)]),
    ];
    for (at, (definitions, want)) in (1..).zip(steps) {
        let stored = store.import_popups(definitions, "file", WallMs(at)).unwrap();
        assert_eq!(summary(&stored), want, "import {at}");
        assert!(stored.iter().all(|popup| popup.origin == Origin::File));
        store = Store::open(directory.path()).unwrap();
        assert_eq!(store.load_popups().unwrap(), stored, "import {at}, after a restart");
        assert_eq!(Reader::open(directory.path()).unwrap().catalog().unwrap().popups, stored);
    }
    let changes: Vec<_> = history(directory.path(), "a")
        .into_iter()
        .map(|(version, name, _)| (version, name))
        .collect();
    let want = [(3, "archived"), (3, "returned"), (2, "archived"), (2, "changed"), (1, "created")];
    assert_eq!(changes, want.map(|(version, name)| (version, name.to_owned())));
}

#[test]
fn history_tells_what_differs_who_and_when() {
    let directory = directory();
    let mut store = Store::open(directory.path()).unwrap();
    store.import_popups(&[("a", A)], "first", WallMs(1)).unwrap();
    store.import_popups(&[("a", A_CHANGED)], "second", WallMs(2)).unwrap();
    let history = Reader::open(directory.path()).unwrap().history("a").unwrap();
    assert_eq!(history[0].diff, r#"{"priority":[1,null],"status":[null,"paused"]}"#);
    assert_eq!((history[0].who.as_str(), history[0].at), ("second", WallMs(2)));
    assert_eq!((history[1].text.as_str(), history[1].diff.as_str()), (A, "{}"));
}

#[test]
fn an_operators_status_wins_and_survives_reloads_and_restarts() {
    let directory = directory();
    let mut store = Store::open(directory.path()).unwrap();
    store.import_popups(&[("a", A), ("b", B)], "file", WallMs(1)).unwrap();
    for status in [Status::Paused, Status::Live, Status::Archived] {
        store.set_override("a", status, "operator", WallMs(2)).unwrap();
        store = Store::open(directory.path()).unwrap();
        for text in [A, A_CHANGED] {
            let stored = store.import_popups(&[("a", text), ("b", B)], "f", WallMs(3)).unwrap();
            assert_eq!(stored[0].status_override, Some(status));
            assert_eq!(stored[1].status_override, None);
        }
    }
    // Out of the file is out, whatever an operator set; back in, the operator's word holds.
    store.set_override("a", Status::Live, "operator", WallMs(4)).unwrap();
    let gone = store.import_popups(&[("b", B)], "file", WallMs(5)).unwrap();
    assert_eq!(gone[0].status_override, Some(Status::Archived));
    let back = store.import_popups(&[("a", A), ("b", B)], "file", WallMs(6)).unwrap();
    assert_eq!(back[0].status_override, Some(Status::Live));
    let overrides: Vec<_> = history(directory.path(), "a")
        .into_iter()
        .filter(|(_, change, _)| change == "override")
        .map(|(_, _, diff)| diff)
        .collect();
    let want = [
        r#"{"status":["archived","live"]}"#,
        r#"{"status":["live","archived"]}"#,
        r#"{"status":["paused","live"]}"#,
        r#"{"status":[null,"paused"]}"#,
    ];
    assert_eq!(overrides, want);
}

#[test]
fn popups_of_the_api_are_left_alone_until_the_file_has_them() {
    let directory = directory();
    let mut store = Store::open(directory.path()).unwrap();
    store.import_popups(&[("a", A), ("b", B)], "file", WallMs(1)).unwrap();
    let own = "UPDATE popups SET origin = 'api' WHERE popup_id = 'a'";
    look(directory.path()).execute_batch(own).unwrap();
    let stored = store.import_popups(&[("b", B)], "file", WallMs(2)).unwrap();
    assert_eq!((stored[0].origin, stored[0].status_override), (Origin::Api, None));
    let stored = store.import_popups(&[("a", A), ("b", B)], "file", WallMs(3)).unwrap();
    assert_eq!((stored[0].origin, stored[0].version), (Origin::File, 1));
}

#[test]
fn an_import_is_whole_or_nothing() {
    let directory = directory();
    let mut store = Store::open(directory.path()).unwrap();
    let before = store.import_popups(&[("a", A)], "file", WallMs(1)).unwrap();

    let error = store.import_popups(&[("b", B), ("c", "[1]")], "file", WallMs(2)).unwrap_err();
    assert!(matches!(error, StoreError::Definition { .. }), "{error}");
    assert_eq!(store.load_popups().unwrap(), before);

    // Another id with the key of "b": no pair of ids is known that shares one.
    let key = PopupKey::of("b").0.cast_signed();
    look(directory.path()).execute("UPDATE popups SET popup_key = ?1", [key]).unwrap();
    let error = store.import_popups(&[("c", B), ("b", B)], "file", WallMs(3)).unwrap_err();
    let StoreError::PopupKeyTaken { id, other } = error else { panic!("{error}") };
    assert_eq!((id.as_str(), other.as_str()), ("b", "a"));
    assert_eq!(store.load_popups().unwrap(), before);

    let unknown = store.set_override("nobody", Status::Paused, "operator", WallMs(4));
    assert!(matches!(unknown, Err(StoreError::NoSuchPopup)));
}

#[test]
fn a_change_on_an_older_catalog_is_refused_and_one_that_changes_nothing_raises_nothing() {
    let directory = directory();
    let mut store = Store::open(directory.path()).unwrap();
    let put = |text| CatalogChange::Put { id: "a", text, is_rollback: false };
    let first = store.load_catalog().unwrap().version;
    let second = store.change_catalog(Some(first), put(A), "x", WallMs(1)).unwrap().version;
    assert_eq!(second, first + 1);
    let late = store.change_catalog(Some(first), put(A_CHANGED), "x", WallMs(2)).unwrap_err();
    assert!(matches!(late, StoreError::CatalogMoved { found } if found == second), "{late}");
    let same = store.change_catalog(Some(second), put(A), "x", WallMs(3)).unwrap();
    assert_eq!((same.version, same.popups[0].version), (second, 1));
    assert_eq!(store.catalog_version().unwrap(), second);
    let mut reader = Reader::open(directory.path()).unwrap();
    assert_eq!(reader.catalog_version().unwrap(), second);
    assert_eq!(history(directory.path(), "a").len(), 1);
}

#[test]
fn texts_of_versions_are_kept() {
    let directory = directory();
    let mut store = Store::open(directory.path()).unwrap();
    for (at, text) in (1..).zip([A, A_CHANGED, A]) {
        let put = CatalogChange::Put { id: "a", text, is_rollback: false };
        store.change_catalog(None, put, "x", WallMs(at)).unwrap();
    }
    assert_eq!(store.text_of("a", 2).unwrap().as_deref(), Some(A_CHANGED));
    assert_eq!(store.text_of("a", 4).unwrap(), None);
    assert_eq!(store.text_of("b", 1).unwrap(), None);
    assert_eq!(store.version_before("a", 3).unwrap(), Some(2));
    assert_eq!(store.version_before("a", 1).unwrap(), None);
}

#[test]
fn an_import_makes_popups_what_they_were_elsewhere() {
    let popup =
        |id, version, text, status_override| ImportedPopup { id, version, text, status_override };
    let popups = [
        popup("a", 7, A, Some(Status::Paused)),
        popup("b", 2, B, Some(Status::Archived)),
        popup("c", 1, r#"{"id":"c"}"#, None),
    ];
    let directory = directory();
    let mut store = Store::open(directory.path()).unwrap();
    let import = CatalogChange::Import(&popups);
    let first = store.change_catalog(None, import, "import", WallMs(1)).unwrap();
    let want = [("a", 7, Some(Status::Paused)), ("b", 2, Some(Status::Archived)), ("c", 1, None)];
    assert_eq!(summary(&first.popups), want);
    let again = store.change_catalog(None, import, "import", WallMs(2)).unwrap();
    assert_eq!(again, first, "once is as good as twice");
    let changed = [popup("a", 1, A_CHANGED, None), popup("b", 2, B, None)];
    let stored = store.change_catalog(None, CatalogChange::Import(&changed), "i", WallMs(3));
    let want = [("a", 8, None), ("b", 3, None), ("c", 1, None)];
    assert_eq!(summary(&stored.unwrap().popups), want);
    // What the file owns is the file's, and then nothing is imported at all.
    store.import_popups(&[("a", A)], "file", WallMs(4)).unwrap();
    let before = store.load_catalog().unwrap();
    let mixed = [popup("d", 1, r#"{"id":"d"}"#, None), popup("a", 1, A_CHANGED, None)];
    let refused = store.change_catalog(None, CatalogChange::Import(&mixed), "i", WallMs(5));
    assert!(matches!(refused, Err(StoreError::InFile { ids }) if ids == ["a"]));
    assert_eq!(store.load_catalog().unwrap(), before);
    let same = [popup("a", 1, A, Some(Status::Archived))];
    let stored = store.change_catalog(None, CatalogChange::Import(&same), "i", WallMs(6)).unwrap();
    assert_eq!(stored.popups[0].status_override, Some(Status::Archived));
    assert!(stored.popups[0].is_in_file());
}
