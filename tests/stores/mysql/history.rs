//! Property: a popup's history has each definition once, and is read a page at a time.

use nudged_base::time::WallMs;
use nudged_domain::catalog::overrides::{End, Entry, EntryId, Kind};
use nudged_store::CatalogChange;

use super::{Node, database, reader, shared};

const A: &str = r#"{"id":"a","priority":1}"#;
const A_CHANGED: &str = r#"{"id":"a","priority":2}"#;

#[test]
fn a_definition_is_stored_once_and_lines_come_in_pages() {
    let name = database();
    let url = shared().url_of(&name);
    let mut store = Node::start(&url).store;
    let file = |store: &mut nudged_store::Store, text, at| {
        store.change_catalog(None, CatalogChange::File(&[("a", text)]), "file", WallMs(at)).unwrap()
    };
    file(&mut store, A, 1);
    let pause = |id: u32, at: i64| Entry {
        id: EntryId(id.into()),
        popup: "a".into(),
        kind: Kind::Pause,
        at: WallMs(at),
        who: "ann".into(),
        end: Some(End { at: WallMs(at + 1), who: "bob".into() }),
    };
    store.put_overrides(&[pause(1, 10), pause(2, 20)]).unwrap();
    file(&mut store, A_CHANGED, 30);
    store.put_overrides(&[pause(3, 40)]).unwrap();
    let reader = reader(&url);
    let (mut before, mut lines) = (None, Vec::new());
    loop {
        let page = reader.history("a", before, 3).unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.number);
        lines.extend(page.into_iter().map(|line| (line.at.0, line.version, line.text)));
    }
    let want = [
        (41, 2, None),
        (40, 2, None),
        (30, 2, Some(A_CHANGED)),
        (21, 1, None),
        (20, 1, None),
        (11, 1, None),
        (10, 1, None),
        (1, 1, Some(A)),
    ];
    assert_eq!(lines, want.map(|(at, version, text)| (at, version, text.map(str::to_owned))));
    for (version, text) in [(1, Some(A)), (2, Some(A_CHANGED)), (3, None)] {
        assert_eq!(reader.text_of("a", version).unwrap().as_deref(), text, "{version}");
        assert_eq!(store.text_of("a", version).unwrap().as_deref(), text, "{version}");
    }
    // As an earlier release wrote its lines.
    shared().run_sql(&format!(
        "UPDATE {name}.popup_history SET definition = '{A}' WHERE version = 1 AND definition = ''"
    ));
    assert_eq!(store.text_of("a", 1).unwrap().as_deref(), Some(A));
    let newest = reader.history("a", Some(before.unwrap() + 3), 1).unwrap();
    assert_eq!(newest[0].text.as_deref(), Some(A));
}
