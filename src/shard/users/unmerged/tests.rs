//! Entries come back from their records, merge once, hold the floor until they are recorded, and
//! are bounded.

use super::*;
use crate::users::evaluate::{Happened, Subject};
use nudged_base::event_kind::EventKind;
use nudged_base::ids::{PopupKey, Revision};
use nudged_base::limits::{POPUP_ID_BYTES_MAX, SHOWS_REMEMBERED_MAX};
use nudged_base::time::WallMs;
use nudged_domain::catalog::compile::compile_unstored;
use nudged_domain::catalog::snapshot::{Settings, ShowOutcome, Snapshot};
use nudged_domain::catalog::source::parse_json_values;
use nudged_domain::state::apply;
use nudged_domain::state::user::{self, PopupState, Show, UserClocks, UserState};
use nudged_journal::record::{Impression, Record, append, frames};
use serde_json::json;

const NOON: WallMs = WallMs(1_767_614_400_000);

/// A catalog with the one popup that these tests speak of.
fn snapshot() -> Snapshot {
    let definitions = parse_json_values(&[json!({ "id": "p" })]).unwrap();
    compile_unstored(&definitions, Settings::default()).unwrap()
}

fn entry(user: &str, kind: EventKind, local: Option<u64>) -> UnmergedEntry {
    let (at, acted_at) = match kind {
        EventKind::Decided => (NOON, NOON),
        _ => (WallMs(NOON.0 + 9), WallMs(NOON.0 + 5)),
    };
    let subject = Subject { user, token: "t", popup: "p", version: 3, variant: "v" };
    let happened = Happened { kind, at, acted_at, forgotten: None };
    UnmergedEntry::new(&subject, happened, (1, NOON), local)
}

fn click_by(user: &str) -> UnmergedEntry {
    entry(user, EventKind::Clicked, None)
}

fn click() -> UnmergedEntry {
    click_by("u")
}

fn click_of(local: Option<u64>) -> UnmergedEntry {
    entry("u", EventKind::Clicked, local)
}

fn show() -> UnmergedEntry {
    entry("u", EventKind::Decided, Some(7))
}

#[test]
fn an_entry_comes_back_from_its_record() {
    for entry in [click(), click_of(Some(0)), click_of(Some(7)), show()] {
        let mut bytes = Vec::new();
        append(&Record::Unmerged(entry.record()), &mut bytes);
        let frame = frames(&bytes).next().unwrap().unwrap();
        let Record::Unmerged(record) = frame.record().unwrap() else { panic!() };
        assert_eq!((record.user, record.number, record.shown_at), ("u", 1, NOON));
        assert_eq!(UnmergedEntry::of(&record), entry);
    }
}

#[test]
fn merging_twice_changes_once_and_what_is_unknown_is_dropped() {
    let snapshot = snapshot();
    let mut state = UserState::default();
    assert_eq!(merge(&click().record(), &mut state, &snapshot), Merged::Dropped);
    assert_eq!(
        merge(&show().record(), &mut state, &snapshot),
        Merged::Changed(EventKind::Decided, None)
    );
    assert_eq!(
        merge(&click().record(), &mut state, &snapshot),
        Merged::Changed(EventKind::Clicked, None)
    );
    let revision = state.revision;
    assert_eq!(merge(&show().record(), &mut state, &snapshot), Merged::Known(EventKind::Decided));
    assert_eq!(merge(&click().record(), &mut state, &snapshot), Merged::Known(EventKind::Clicked));
    assert_eq!(state.revision, revision);
    assert_eq!(state.popups[0].outcome_at, WallMs(NOON.0 + 5));
}

#[test]
fn the_floor_stays_until_the_merge_is_recorded_or_all_are_journaled_again() {
    let mut unmerged = UnmergedTable::default();
    assert!(unmerged.floor().is_none() && unmerged.is_empty());
    unmerged.push(entry("a", EventKind::Decided, Some(7)), Sequence(4));
    unmerged.push(click_by("a"), Sequence(6));
    unmerged.push(click_by("b"), Sequence(9));
    assert_eq!((unmerged.floor(), unmerged.len()), (Some(Sequence(5)), 3));
    unmerged.finish("a", 1, LaneSequence(3));
    assert_eq!((unmerged.of("a"), unmerged.floor()), (&[click_by("a")][..], Some(Sequence(5))));
    unmerged.acknowledge(LaneSequence(2));
    assert_eq!(unmerged.floor(), Some(Sequence(5)));
    unmerged.acknowledge(LaneSequence(3));
    assert_eq!(unmerged.floor(), Some(Sequence(7)));
    unmerged.journaled_again(Sequence(20));
    assert_eq!(unmerged.floor(), Some(Sequence(21)));
    unmerged.finish("a", 9, LaneSequence(4));
    assert_eq!((unmerged.next_user(""), unmerged.next_user("b")), (Some("b"), Some("b")));
    assert_eq!(unmerged.user_behind("b"), None);
    unmerged.journaled_again(Sequence(30));
    assert_eq!(unmerged.floor(), Some(Sequence(21)), "its merge is not recorded yet");
    unmerged.finish("b", 1, LaneSequence(5));
    unmerged.acknowledge(LaneSequence(4));
    assert_eq!((unmerged.floor(), unmerged.next_user("")), (Some(Sequence(31)), None));
    unmerged.acknowledge(LaneSequence(5));
    assert_eq!(unmerged.floor(), None);
    unmerged.journaled_again(Sequence(30));
    assert_eq!(unmerged.floor(), None);
}

#[test]
fn there_is_room_for_so_many_and_no_more() {
    let mut unmerged = UnmergedTable::default();
    for _ in 0..UNMERGED_USER_MAX {
        assert!(unmerged.has_room("u"));
        unmerged.push(click(), Sequence(0));
    }
    assert!(!unmerged.has_room("u") && unmerged.has_room("v"));
    for user in UNMERGED_USER_MAX..UNMERGED_MAX {
        assert!(unmerged.has_room("w"));
        unmerged.push(click_by(&user.to_string()), Sequence(0));
    }
    assert!(!unmerged.has_room("w"));
    unmerged.finish("u", 1, LaneSequence(0));
    assert!(unmerged.has_room("w"));
}

#[test]
fn an_event_brings_the_show_that_its_own_node_has_not_merged() {
    let snapshot = snapshot();
    let mut state = UserState::default();
    assert_eq!(
        learn(&click().record(), &mut state, &snapshot),
        None,
        "only where its token says so"
    );
    assert_eq!(learn(&click_of(Some(7)).record(), &mut state, &snapshot), Some(None));
    let clicked = merge(&click_of(Some(7)).record(), &mut state, &snapshot);
    assert_eq!(clicked, Merged::Changed(EventKind::Clicked, None));
    assert_eq!(state.clocks.session, 7);
    let revision = state.revision;
    assert_eq!(learn(&click_of(Some(7)).record(), &mut state, &snapshot), None);
    assert_eq!(merge(&show().record(), &mut state, &snapshot), Merged::Known(EventKind::Decided));
    assert_eq!((state.revision, state.popups[0].shows_total), (revision, 1));
    apply::erase(&mut state, NOON);
    for entry in [show(), click(), click_of(Some(7))] {
        assert_eq!(learn(&entry.record(), &mut state, &snapshot), None);
        assert_eq!(merge(&entry.record(), &mut state, &snapshot), Merged::Dropped);
    }
    assert!(state.popups.is_empty());
}

#[test]
fn the_fullest_records_of_a_merge_take_no_more_than_was_promised() {
    let mut row = PopupState::empty(PopupKey::of("p"));
    let at = |index: usize| WallMs(if index.is_multiple_of(2) { i64::MIN } else { i64::MAX });
    for (index, show) in row.shows.iter_mut().enumerate() {
        *show = Show { at: at(index), number: u32::MAX - 9, actions: 31 };
    }
    row.shows_used = u8::try_from(SHOWS_REMEMBERED_MAX).unwrap();
    (row.shows_total, row.outcome, row.outcome_at) =
        (u32::MAX, Some(ShowOutcome::Clicked), WallMs(i64::MIN));
    let clocks = UserClocks {
        last_counted_at: Some(WallMs(i64::MIN)),
        day_shows: u32::MAX,
        session: u64::MAX,
        session_shows: u32::MAX,
        erased_at: Some(WallMs(i64::MIN)),
    };
    let (mut encoded_row, mut encoded_clocks) = (Vec::new(), Vec::new());
    user::encode_popup(&row, &mut encoded_row);
    user::encode_clocks(&clocks, &mut encoded_clocks);
    let forgotten = "f".repeat(POPUP_ID_BYTES_MAX);
    for (entry, records) in [(show(), 1), (click(), 1), (click_of(Some(7)), 2)] {
        let mut bytes = Vec::new();
        append(&Record::Unmerged(entry.record()), &mut bytes);
        for _ in 0..records {
            let record = entry.record();
            let subject = Subject::of_unmerged(&record);
            let impression = Impression {
                user: "u",
                revision: Revision { epoch: 1, counter: 1 },
                at: NOON,
                kind: EventKind::Decided,
                acted_at: NOON,
                token: subject.token,
                popup: subject.popup,
                version: subject.version,
                variant: subject.variant,
                clocks: &encoded_clocks,
                row: &encoded_row,
                next_show_at: Some(NOON),
                forgotten: &forgotten,
            };
            append(&Record::Impression(impression), &mut bytes);
        }
        assert!(u64::try_from(bytes.len()).unwrap() <= entry.promised_bytes());
    }
}

#[test]
fn promises_end_with_their_entries() {
    let mut unmerged = UnmergedTable::default();
    let of = |entry: &UnmergedEntry| entry.promised_bytes();
    unmerged.push(show(), Sequence(0));
    unmerged.push(click_of(Some(7)), Sequence(0));
    assert_eq!(unmerged.promised_bytes(), of(&show()) + of(&click_of(Some(7))));
    unmerged.finish("u", 1, LaneSequence(1));
    assert_eq!(unmerged.promised_bytes(), of(&click_of(Some(7))));
    unmerged.finish("u", 1, LaneSequence(2));
    assert_eq!(unmerged.promised_bytes(), 0);
}
