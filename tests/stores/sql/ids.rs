//! Property: a text is stored, found and ordered byte for byte, whatever is in it: nothing of it is
//! read as SQL, cut, folded or taken for another.

use std::iter::once;

use nudged_background::projection::stats::StatUsers;
use nudged_background::projection::union::{WholeEntry, WholeUser};
use nudged_base::ids::{Revision, UserKey};
use nudged_base::sketch::UserSketch;
use nudged_base::time::WallMs;
use nudged_domain::catalog::overrides::{Override, OverrideId, OverrideKind};
use nudged_store::whole::WholeStat;
use nudged_store::{CatalogChange, StoredEvent, StoredKey};

use super::*;
use crate::mysql::assert_same;
use nudged_histories::Journal;

/// What a `str` may be: it has no lone surrogates, so their neighbours stand for them.
const TEXTS: [&str; 40] = [
    "u",
    "u ",
    " u",
    "u  ",
    "\tu",
    "u\n",
    "U",
    "\u{fc}",
    "u\u{308}",
    "\u{130}",
    "\u{df}",
    "ss",
    "it's",
    "''",
    "'",
    "\\",
    "\\'",
    "\\\\",
    "u\\",
    "\"u\"",
    "`u`",
    "100%",
    "_",
    "?",
    "? ?",
    "?1",
    ":u",
    "@u",
    "$1",
    "u\0",
    "u\0v",
    "\\0",
    "x'00'",
    "NULL",
    "'; DROP TABLE users; -- ",
    "/* u",
    "\u{1f600}",
    "\u{1f601}",
    "\u{d7ff}\u{e000}",
    "\u{feff}u\u{10ffff}",
];

fn sorted() -> Vec<&'static str> {
    let mut texts = TEXTS.to_vec();
    texts.sort_unstable();
    texts
}

#[test]
fn of_users_whose_records_are_applied() {
    let mut journal = Journal::new();
    for (number, user) in TEXTS.iter().enumerate() {
        (0..=number % 3).for_each(|popup| journal.show(user, popup, None));
    }
    let states = TEXTS.map(|user| journal.state(user));
    let shows = journal.records.len();
    let (refused, users): (Vec<_>, Vec<_>) =
        sorted().into_iter().partition(|user| user.contains('\0'));
    TEXTS.iter().for_each(|user| journal.erase(user));
    let dumps = [Kind::Sqlite, Kind::Mariadb].map(|kind| {
        let database = kind.database();
        let mut node = Node::start(&database);
        let applied = node.apply(&journal.records[..shows]).unwrap();
        // Whoever reads the table with C's strings would find such a text cut.
        assert_eq!((applied.records, applied.rejected), (shows - 4, 4));
        for (user, (found, state)) in TEXTS.iter().zip(database.states(&TEXTS).iter().zip(&states))
        {
            let expected = if refused.contains(user) { &UserState::default() } else { state };
            assert_eq!(found, expected, "{user:?}");
        }
        let mut reader = database.reader();
        for (number, user) in TEXTS.iter().enumerate() {
            let events = reader.user_events(user, 100).unwrap();
            let count = if refused.contains(user) { 0 } else { number % 3 + 1 };
            assert_eq!(events.len(), count, "{user:?}");
        }
        assert_eq!(reader.users_after("", 100).unwrap(), users);
        let (middle, rest) = (users[20], &users[21..]);
        assert_eq!(reader.users_after(middle, 100).unwrap(), rest);
        let dump = database.dump();
        node.apply(&journal.records[shows..]).unwrap();
        for table in ["users", "user_popups", "events WHERE user_id IS NOT NULL"] {
            assert_eq!(database.number(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
        }
        dump
    });
    assert_same(&dumps[0], &dumps[1]);
}

#[test]
fn of_popups_variants_and_decisions_that_are_taken_in() {
    let revision = Revision { epoch: 1, counter: 2 };
    let entry = |popup: &str| WholeEntry {
        popup: popup.to_owned(),
        shows: 1,
        is_forgotten: true,
        first: revision,
        revision,
        state: popup.as_bytes().to_vec(),
        ..WholeEntry::default()
    };
    let entries: Vec<_> = sorted().into_iter().map(entry).collect();
    let user = WholeUser { user: "u".to_owned(), revision, entries, ..WholeUser::default() };
    let stat = |text: &str| WholeStat {
        popup: text.to_owned(),
        variant: text.to_owned(),
        hour: 0,
        is_day: false,
        set: text.to_owned(),
        counts: [1, 0, 0, 0, 0, 0],
        answered: None,
        users: StatUsers { by_kind: [Some(once(text).collect()), Some(UserSketch::default())] },
    };
    let event = |(number, text): (u64, &str)| StoredEvent {
        stream: 1,
        sequence: Sequence(number),
        decision: text.to_owned(),
        action: "decided".to_owned(),
        at: WallMs(1),
        acted_at: WallMs(2),
        user: Some(text.to_owned()),
        popup: text.to_owned(),
        version: 1,
        variant: text.to_owned(),
        revision: (1, 2),
    };
    let events: Vec<_> = (1..).zip(TEXTS).map(event).collect();
    on_both(|kind| {
        let database = kind.database();
        let mut store = database.open();
        let utc = jiff::tz::TimeZone::UTC;
        assert_eq!(store.take_users(std::slice::from_ref(&user), &utc).unwrap().new, 1);
        assert_eq!(store.whole_users_after("", 10).unwrap(), std::slice::from_ref(&user));
        assert_eq!(store.users_of(&[UserKey::of(b"u")]).unwrap(), ["u"]);

        let stats: Vec<_> = sorted().into_iter().map(stat).collect();
        store.take_stats(&stats).unwrap();
        let (mut found, mut after) = (Vec::new(), None);
        while let Some(row) = store.whole_stats_after(after.as_ref(), 1).unwrap().pop() {
            after = Some(row.clone());
            found.push(row);
        }
        assert_eq!(found, stats);
        let reader = database.reader();
        for text in TEXTS {
            let rows = reader.stats(Some(text), WallMs(0), WallMs(1)).unwrap();
            assert_eq!((rows.len(), rows[0].variant.as_str()), (1, text));
            assert!(store.knows_set(text).unwrap(), "{text:?}");
        }

        let numbers = [(1, store.stream_id(SET).unwrap())].into();
        for new in [TEXTS.len(), 0] {
            assert_eq!(store.take_events(&events, &numbers).unwrap(), new as u64);
        }
        let stored = store.whole_events_after((0, 0), 100).unwrap();
        let stored: Vec<_> =
            stored.into_iter().map(|event| StoredEvent { stream: 1, ..event }).collect();
        assert_eq!(stored, events);
    });
}

#[test]
fn of_definitions_overrides_and_keys() {
    on_both(|kind| {
        let database = kind.database();
        let mut store = database.open();
        for (number, text) in (1_u128..).zip(TEXTS) {
            let at = WallMs(i64::try_from(number).unwrap());
            let definition = serde_json::json!({ "id": text }).to_string();
            let put = CatalogChange::Put { id: text, text: &definition, is_rollback: false };
            store.change_catalog(None, put, text, at).unwrap();
            let (id, popup, who) = (OverrideId(number), text.into(), text.into());
            let entry = Override { id, popup, kind: OverrideKind::Pause, at, who, end: None };
            store.put_overrides(std::slice::from_ref(&entry)).unwrap();
            assert_eq!(store.overrides_of(&[id]).unwrap(), [entry]);
            assert_eq!(store.text_of(text, 1).unwrap(), Some(definition));
            let lines = database.reader().history(text, None, 10).unwrap();
            assert_eq!(lines.len(), 2, "{text:?}");
            assert!(lines.iter().all(|line| line.who == text), "{lines:?}");
        }
        let catalog = store.load_catalog().unwrap();
        let ids: Vec<_> = catalog.popups.iter().map(|popup| popup.id.as_str()).collect();
        assert_eq!((ids, catalog.overrides.len()), (sorted(), TEXTS.len()));
        let secret = *b"'\\\0\"?%;\xff\xfe\x80\n\r\x1a`-/'\\\0\"?%;\xff\xfe\x80\n\r\x1a`--";
        let key = StoredKey { id: 7, created_at: WallMs(1), secret, moved_at: None };
        let stored = match kind {
            Kind::Sqlite => {
                store.replace_own_signing_keys(std::slice::from_ref(&key)).unwrap();
                store.own_signing_keys()
            }
            Kind::Mariadb => store.signing_keys(&key),
        };
        assert_eq!(stored.unwrap(), [key]);
    });
}
