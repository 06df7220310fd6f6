//! A late show becomes part of a state in its place and once, never after an erase; an event's show
//! only where it is sure to be new.

use proptest::prelude::*;
use serde_json::json;

use super::super::{Action, EventVerdict, erase, event, show};
use super::*;
use crate::catalog::snapshot::ShowOutcome;
use crate::decide::samples::snapshot;

const NOON: WallMs = WallMs(1_767_614_400_000);
const CHANGED: MergedShow = MergedShow::Changed { forgotten: None };

fn later(ms: i64) -> WallMs {
    WallMs(NOON.0 + ms)
}

fn late(number: u32, ms: i64) -> LateShow {
    LateShow { shown: ShowId { popup: PopupKey::of("p"), number, at: later(ms) }, session: 0 }
}

fn times(state: &UserState) -> Vec<i64> {
    state.popups[0].shows().iter().map(|show| show.at.0 - NOON.0).collect()
}

fn shown() -> (UserState, Snapshot) {
    let snapshot = snapshot(&json!([{"id": "p"}]));
    let mut state = UserState::default();
    show(&mut state, &snapshot, &snapshot.popups[0], None, NOON);
    (state, snapshot)
}

#[test]
fn a_late_show_is_merged_in_its_place_and_once() {
    let (mut state, snapshot) = shown();
    event(&mut state, late(1, 0).shown, Action::Clicked, None, later(5));
    let revision = state.revision;
    assert_eq!(merge_show(&mut state, &snapshot, late(1, 0)), MergedShow::Known);
    assert_eq!(state.revision, revision);
    assert_eq!(merge_show(&mut state, &snapshot, late(1, -10)), CHANGED, "another time");
    assert_eq!(state.popups[0].outcome, Some(ShowOutcome::Clicked), "of a later show");
    assert_eq!((state.clocks.last_counted_at, state.clocks.day_shows), (Some(NOON), 2));
    assert_eq!(merge_show(&mut state, &snapshot, late(2, 10)), CHANGED);
    let entry = &state.popups[0];
    assert_eq!((entry.shows_total, entry.outcome), (3, None), "a new show clears the outcome");
    assert_eq!(times(&state), [-10, 0, 10]);
    assert_eq!(state.clocks.last_counted_at, Some(later(10)));
    assert_eq!(merge_show(&mut state, &snapshot, late(2, 10)), MergedShow::Known);
    assert_eq!(state.revision.counter, revision.counter + 2);
}

#[test]
fn late_shows_beyond_sixteen_push_out_the_oldest_or_are_only_counted() {
    let snapshot = snapshot(&json!([{"id": "p", "quiet_exempt": true}]));
    let mut state = UserState::default();
    for number in 1..=16 {
        let late = late(number, i64::from(number));
        assert_eq!(merge_show(&mut state, &snapshot, late), CHANGED);
    }
    // Of an older one nobody knows whether it was there, so an event does not bring it.
    assert_eq!(learn_show(&mut state, &snapshot, late(17, -1)), None);
    assert_eq!(merge_show(&mut state, &snapshot, late(17, -1)), CHANGED);
    assert_eq!((state.popups[0].shows_total, times(&state)[0]), (17, 1));
    assert_eq!(learn_show(&mut state, &snapshot, late(18, 9)), Some(None));
    assert_eq!(learn_show(&mut state, &snapshot, late(18, 9)), None, "it is there");
    let times = times(&state);
    assert_eq!((times.len(), times[0], times.is_sorted()), (16, 2, true));
    assert_eq!(state.clocks.last_counted_at, None, "an exempt popup counts in no clock");
    let mut encoded = Vec::new();
    crate::state::user::encode(&state, &mut encoded);
    let mut again = UserState::default();
    crate::state::user::decode(&encoded, &mut again).unwrap();
    assert_eq!(again, state);
}

#[test]
fn an_erased_user_gets_nothing_back_that_was_shown_before() {
    let (mut state, snapshot) = shown();
    assert_eq!(erase(&mut state, later(100)), later(100));
    let erased = state.clone();
    for ms in [-5, 0, 99, 100] {
        assert_eq!(merge_show(&mut state, &snapshot, late(1, ms)), MergedShow::Erased, "{ms}");
        assert_eq!(learn_show(&mut state, &snapshot, late(1, ms)), None, "{ms}");
    }
    assert_eq!(state, erased);
    // The erase is remembered behind later shows too; numbers of before count nothing.
    assert_eq!(merge_show(&mut state, &snapshot, late(9, 101)), CHANGED);
    assert_eq!(state.popups[0].shows_total, 1);
    assert_eq!(merge_show(&mut state, &snapshot, late(2, 50)), MergedShow::Erased);
    show(&mut state, &snapshot, &snapshot.popups[0], None, later(200));
    assert_eq!(merge_show(&mut state, &snapshot, late(2, 50)), MergedShow::Erased);
    assert_eq!(times(&state), [101, 200]);
}

#[test]
fn a_full_state_makes_room_for_a_late_show_and_learns_no_older_one() {
    let ids: Vec<_> = (0..64).map(|number| json!({"id": format!("p{number:02}")})).collect();
    let snapshot = snapshot(&serde_json::Value::Array(ids));
    let mut state = UserState::default();
    for (ms, popup) in (10..).zip(&snapshot.popups) {
        show(&mut state, &snapshot, popup, None, later(ms));
    }
    assert_eq!(learn_show(&mut state, &snapshot, late(1, 10)), None, "it may have been forgotten");
    let oldest = state.popups[0].popup;
    assert_eq!(learn_show(&mut state, &snapshot, late(1, 11)), Some(Some(oldest)));
    assert_eq!((state.popups.len(), state.popup(oldest)), (USER_POPUPS_MAX, None));
}

proptest! {
    /// Whatever is merged, learnt and erased in between: what was shown after the latest erase is
    /// there once, and nothing else.
    #[test]
    fn each_show_counts_once_and_none_of_before_an_erase(
        moves in prop::collection::vec((0..12i64, 0..6u8), 1..60),
    ) {
        let snapshot = snapshot(&json!([{"id": "p"}]));
        let mut state = UserState::default();
        let mut wanted = std::collections::BTreeSet::new();
        let mut erased = i64::MIN;
        for (ms, kind) in moves {
            match kind {
                0 => {
                    let newest = state.newest().map_or(NOON, |newest| newest.max(later(ms)));
                    erased = erase(&mut state, newest).0;
                    wanted.clear();
                }
                1 => {
                    let verdict = event(
                        &mut state, late(7, ms).shown, Action::Clicked, None, later(20),
                    );
                    let is_there = verdict != EventVerdict::TooLate;
                    prop_assert_eq!(is_there, wanted.contains(&ms));
                }
                2 | 3 => {
                    let is_new = later(ms).0 > erased && wanted.insert(ms);
                    let learnt = learn_show(&mut state, &snapshot, late(7, ms));
                    prop_assert_eq!(learnt, is_new.then_some(None));
                }
                _ => {
                    let is_new = later(ms).0 > erased && wanted.insert(ms);
                    let is_changed = merge_show(&mut state, &snapshot, late(7, ms)) == CHANGED;
                    prop_assert_eq!(is_changed, is_new);
                }
            }
        }
        let shown: Vec<i64> = state.popups.first().map_or(Vec::new(), |_| times(&state));
        prop_assert_eq!(shown, wanted.into_iter().collect::<Vec<_>>());
    }
}
