//! The store is the truth of popups: versions, history, archive and operators' statuses survive.

use super::*;
use crate::base::ids::PopupKey;
use crate::base::time::WallMs;
use crate::catalog::snapshot::Status;
use crate::store::{Origin, StoredPopup};

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
        assert_eq!(Reader::open(directory.path()).unwrap().popups().unwrap(), stored);
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
