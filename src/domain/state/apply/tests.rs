//! What each mutator does to a state, bound by bound. Long histories are the model's business
//! (`tests/it/model.rs`).

use serde_json::{Value, json};

use super::*;
use crate::decide::samples::{snapshot, snapshot_with};
use crate::state::user;
use nudged_base::ids::Revision;
use nudged_base::time::DurationMs;

const NOON: WallMs = WallMs(1_767_614_400_000);
const WEEK_MS: i64 = 7 * 86_400_000;

fn later(ms: i64) -> WallMs {
    WallMs(NOON.0 + ms)
}

fn popups(ids: &[String]) -> Value {
    ids.iter().map(|id| json!({"id": id})).collect()
}

/// A state in which popup `p` was shown at noon, and the show's identity.
fn shown() -> (UserState, Snapshot, ShowId) {
    let snapshot = snapshot(&json!([{"id": "p"}]));
    let mut state = UserState::default();
    let applied = show(&mut state, &snapshot, &snapshot.popups[0], None, NOON);
    let id = ShowId { popup: snapshot.popups[0].key, number: applied.number, at: NOON };
    (state, snapshot, id)
}

#[test]
fn actions_have_names_and_bits_of_their_own() {
    let mut bits = 0;
    for action in Action::ALL {
        assert_eq!(Action::parse(action.as_str()), Some(action));
        assert_eq!(bits & action.bit(), 0);
        bits |= action.bit();
    }
    assert_eq!(bits, 0x1f);
    assert_eq!(Action::parse("Clicked"), None);
    assert_eq!(Action::parse(""), None);
}

#[test]
fn a_show_records_itself_and_counts() {
    let (state, _, id) = shown();
    assert_eq!((id.number, state.revision.counter, state.popups.len()), (1, 1, 1));
    let entry = &state.popups[0];
    assert_eq!((entry.shows_total, entry.shows_used, entry.outcome), (1, 1, None));
    assert_eq!(*entry.latest(), Show { at: NOON, number: 1, actions: 0 });
    let counted = UserClocks { last_counted_at: Some(NOON), day_shows: 1, ..Default::default() };
    assert_eq!(state.clocks, counted);
}

#[test]
fn the_17th_show_pushes_out_the_first_and_the_total_goes_on() {
    let (mut state, snapshot, first) = shown();
    for number in 2..=17 {
        let applied =
            show(&mut state, &snapshot, &snapshot.popups[0], None, later(i64::from(number)));
        assert_eq!(applied, ShowApplied { number, forgotten: None });
    }
    let entry = &state.popups[0];
    let numbers: Vec<u32> = entry.shows().iter().map(|show| show.number).collect();
    assert_eq!(numbers, (2..=17).collect::<Vec<u32>>());
    assert_eq!(entry.shows_total, 17);
    let verdict = event(&mut state, first, Action::Clicked, None, later(20));
    assert_eq!(verdict, EventVerdict::TooLate);
    let second = ShowId { number: 2, at: later(2), ..first };
    let verdict = event(&mut state, second, Action::Clicked, None, later(20));
    assert_eq!(verdict, EventVerdict::Accepted { acted_at: later(20) });
}

#[test]
fn a_show_upon_a_state_as_it_lies_does_the_same() {
    let ids: Vec<String> = (0..=USER_POPUPS_MAX).map(|number| format!("p{number}")).collect();
    let mut exempt = popups(&ids);
    exempt[1]["quiet_exempt"] = json!(true);
    let snapshot = snapshot(&exempt);
    let mut state = UserState::default();
    state.clocks.erased_at = Some(later(-8 * 86_400_000));
    // Each popup in turn, so that 64 are remembered; two of them over and over, on other days.
    let again = (0..40).map(|turn| turn % 2);
    for (turn, index) in (0..=USER_POPUPS_MAX).chain(again).enumerate() {
        let popup = &snapshot.popups[index % snapshot.popups.len()];
        let now = later(i64::try_from(turn).unwrap() * 20_000_000);
        let session = (turn % 3 > 0).then_some(["a", "b"][turn / 5 % 2]);
        let (mut bytes, mut spliced, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        user::encode(&state, &mut bytes);
        let lying = EncodedState::new(&bytes);
        let (mut clocks, mut row) = (Vec::new(), Vec::new());
        let parts = show_as_it_lies(&lying, &snapshot, popup, session, (now, &mut row));
        let applied = show(&mut state, &snapshot, popup, session, now);
        let Some(parts) = parts else {
            assert!(applied.forgotten.is_some(), "only where one is forgotten it has to be known");
            continue;
        };
        assert_eq!((parts.applied, parts.revision), (applied, state.revision));
        assert_eq!(parts.clocks, state.clocks);
        let entry = state.popup(popup.key).unwrap();
        assert_eq!((parts.entry, user::decode_popup(&row).as_ref()), (entry.brief(), Ok(entry)));
        user::encode_clocks(&parts.clocks, &mut clocks);
        lying.splice(parts.revision, &clocks, (&parts.place, &row), &mut spliced);
        user::encode(&state, &mut changed);
        assert_eq!(spliced, changed);
    }
}

#[test]
fn shows_are_counted_up_to_the_end_of_their_range() {
    let (mut state, snapshot, _) = shown();
    state.popups[0].shows_total = u32::MAX - 1;
    for ms in 1..4 {
        let applied = show(&mut state, &snapshot, &snapshot.popups[0], None, later(ms));
        assert_eq!(applied.number, u32::MAX);
    }
    assert_eq!(state.popups[0].shows_total, u32::MAX);
    let (mut bytes, mut row) = (Vec::new(), Vec::new());
    user::encode(&state, &mut bytes);
    let (lying, popup) = (EncodedState::new(&bytes), &snapshot.popups[0]);
    assert!(show_as_it_lies(&lying, &snapshot, popup, None, (later(4), &mut row)).is_none());
    assert!(row.is_empty());
}

#[test]
fn an_exempt_popup_moves_no_clock_of_the_user() {
    let snapshot = snapshot(&json!([{"id": "p", "quiet_exempt": true}]));
    let mut state = UserState::default();
    show(&mut state, &snapshot, &snapshot.popups[0], Some("s"), NOON);
    assert_eq!(state.clocks, UserClocks::default());
    assert_eq!(state.revision.counter, 1);
}

#[test]
fn days_and_sessions_count_from_one_again() {
    let tz = crate::catalog::schedule::zone_named("Asia/Kolkata").unwrap().clone();
    let settings = Settings { tz, quiet_time: DurationMs(0), max_per_day: 9, max_per_session: 9 };
    let snapshot = snapshot_with(settings, &json!([{"id": "p"}]));
    let hash_of = |name: &str| hash::session(name.as_bytes());
    let (one, two) = (hash_of("one"), hash_of("two"));
    // 2026-01-05T12:00Z is 17:30 in Kolkata; its midnight is at 18:30Z.
    let hour = 3_600_000;
    let table = [
        (0, Some("one"), 1, one, 1),
        (hour, Some("one"), 2, one, 2),
        (2 * hour, None, 3, one, 2),
        (3 * hour, Some("two"), 4, two, 1),
        (6 * hour, Some("one"), 5, one, 1),
        (6 * hour + hour / 2 - 1, Some("one"), 6, one, 2),
        (6 * hour + hour / 2, Some("one"), 1, one, 3),
    ];
    let mut state = UserState::default();
    for (ms, session, day_shows, hash, session_shows) in table {
        show(&mut state, &snapshot, &snapshot.popups[0], session, later(ms));
        let last_counted_at = Some(later(ms));
        let want = UserClocks {
            last_counted_at,
            day_shows,
            session: hash,
            session_shows,
            erased_at: None,
        };
        assert_eq!(state.clocks, want, "at {ms}");
    }
}

#[test]
fn the_65th_popup_pushes_out_one_that_left_the_catalog_then_the_one_shown_longest_ago() {
    let ids: Vec<String> = (0..67).map(|number| format!("p{number:02}")).collect();
    let all = snapshot(&popups(&ids));
    let mut state = UserState::default();
    for (ms, index) in (0..64).zip(0..64_usize) {
        let applied = show(&mut state, &all, &all.popups[index], None, later(ms));
        assert_eq!(applied.forgotten, None);
    }
    // The popup that came first is no longer the one shown longest ago.
    show(&mut state, &all, &all.popups[0], None, later(64));
    // Two are gone: `p40` from the catalog, `p50` archived.
    let fewer: Vec<Value> = ids
        .iter()
        .filter(|id| *id != "p40")
        .map(|id| json!({"id": id, "status": if id == "p50" { "archived" } else { "paused" }}))
        .collect();
    let fewer = snapshot(&Value::Array(fewer));
    let newcomers = ["p64", "p65", "p66"].map(PopupKey::of);
    let pushed_out = ["p40", "p50", "p01"].map(PopupKey::of);
    for (ms, (newcomer, gone)) in (65..).zip(newcomers.into_iter().zip(pushed_out)) {
        let popup = fewer.popup(newcomer).unwrap();
        let applied = show(&mut state, &fewer, popup, None, later(ms));
        assert_eq!(applied, ShowApplied { number: 1, forgotten: Some(gone) });
        assert_eq!(state.popups.len(), USER_POPUPS_MAX);
        assert!(state.popup(gone).is_none());
    }
    assert_eq!(state.revision.counter, 68);
}

#[test]
fn outcomes_replace_move_or_leave() {
    use ShowOutcome::{Clicked, Converted, Dismissed, Ignored};
    let (mut state, snapshot, first) = shown();
    let again = show(&mut state, &snapshot, &snapshot.popups[0], None, later(1));
    let second = ShowId { number: again.number, at: later(1), ..first };
    let table = [
        (second, Action::Shown, 10, None, 0),
        (second, Action::Dismissed, 20, Some(Dismissed), 20),
        (first, Action::Ignored, 30, Some(Dismissed), 20),
        (first, Action::Dismissed, 40, Some(Dismissed), 40),
        (first, Action::Clicked, 50, Some(Clicked), 50),
        (second, Action::Ignored, 60, Some(Clicked), 50),
        (second, Action::Converted, 70, Some(Converted), 70),
        (second, Action::Clicked, 80, Some(Converted), 70),
    ];
    for (id, action, ms, outcome, outcome_ms) in table {
        let verdict = event(&mut state, id, action, None, later(ms));
        assert_eq!(verdict, EventVerdict::Accepted { acted_at: later(ms) });
        let entry = &state.popups[0];
        assert_eq!(entry.outcome, outcome, "{action:?}");
        if outcome.is_some() {
            assert_eq!(entry.outcome_at, later(outcome_ms), "{action:?}");
        }
    }
    show(&mut state, &snapshot, &snapshot.popups[0], None, later(90));
    assert_eq!((state.popups[0].outcome, state.popups[0].outcome_at), (None, WallMs(0)));
    event(&mut state, second, Action::Ignored, None, later(91));
    assert_eq!(state.popups[0].outcome, None, "a duplicate changes nothing");
    event(&mut state, first, Action::Converted, None, later(92));
    assert_eq!(state.popups[0].outcome, Some(Converted), "an earlier show's outcome counts");
    assert!(Ignored < Dismissed && Dismissed < Clicked && Clicked < Converted);
}

#[test]
fn an_equal_outcome_moves_only_forward() {
    let (mut state, snapshot, first) = shown();
    let again = show(&mut state, &snapshot, &snapshot.popups[0], None, later(10));
    let second = ShowId { number: again.number, at: later(10), ..first };
    event(&mut state, second, Action::Clicked, None, later(50));
    let verdict = event(&mut state, first, Action::Clicked, Some(later(20)), later(60));
    assert_eq!(verdict, EventVerdict::Accepted { acted_at: later(20) });
    assert_eq!(state.popups[0].outcome_at, later(50));
}

#[test]
fn a_clients_time_is_clamped_between_decision_and_now() {
    let table = [(None, 100), (Some(-1), 0), (Some(0), 0), (Some(40), 40), (Some(101), 100)];
    for (client_ms, want) in table {
        let (mut state, _, id) = shown();
        let verdict = event(&mut state, id, Action::Clicked, client_ms.map(later), later(100));
        assert_eq!(verdict, EventVerdict::Accepted { acted_at: later(want) });
        assert_eq!(state.popups[0].outcome_at, later(want));
    }
    // Not even a clock that went back panics or leaves the decision's time.
    let (mut state, _, id) = shown();
    let verdict = event(&mut state, id, Action::Clicked, None, later(-5));
    assert_eq!(verdict, EventVerdict::Accepted { acted_at: NOON });
}

#[test]
fn what_changes_nothing_leaves_the_state_as_it_is() {
    let (mut state, _, id) = shown();
    assert!(matches!(
        event(&mut state, id, Action::Dismissed, None, later(WEEK_MS)),
        EventVerdict::Accepted { .. }
    ));
    let before = state.clone();
    let other = |number: u32, ms: i64| ShowId { number, at: later(ms), ..id };
    let table = [
        (id, Action::Dismissed, 1, EventVerdict::Duplicate),
        (id, Action::Dismissed, WEEK_MS, EventVerdict::Duplicate),
        (id, Action::Dismissed, WEEK_MS + 1, EventVerdict::TooLate),
        (id, Action::Clicked, WEEK_MS + 1, EventVerdict::TooLate),
        (other(1, 1), Action::Clicked, 2, EventVerdict::TooLate),
        (other(2, 0), Action::Clicked, 2, EventVerdict::TooLate),
        (other(0, 0), Action::Clicked, 2, EventVerdict::TooLate),
        (ShowId { popup: PopupKey(1), ..id }, Action::Clicked, 2, EventVerdict::TooLate),
    ];
    for (id, action, ms, want) in table {
        assert_eq!(event(&mut state, id, action, None, later(ms)), want, "{id:?} {action:?}");
        assert_eq!(state, before);
    }
}

#[test]
fn erasing_leaves_the_revision_alone_and_tokens_without_a_show() {
    let (mut state, snapshot, id) = shown();
    state.revision.epoch = 3;
    // By a clock that is behind the state.
    assert_eq!(erase(&mut state, later(-1)), NOON);
    let revision = Revision { epoch: 3, counter: 2 };
    let clocks = UserClocks { erased_at: Some(NOON), ..UserClocks::default() };
    assert_eq!(state, UserState { revision, clocks, popups: Vec::new() });
    assert_eq!(state.newest(), Some(NOON), "time goes on from the erase");
    assert_eq!(event(&mut state, id, Action::Clicked, None, NOON), EventVerdict::TooLate);
    // The number is used again; the time keeps the two apart.
    let applied = show(&mut state, &snapshot, &snapshot.popups[0], None, later(1));
    assert_eq!(applied.number, id.number);
    assert_eq!(event(&mut state, id, Action::Clicked, None, later(2)), EventVerdict::TooLate);
    // As long as a tombstone stands the state tells of the erase.
    let tombstone_ms = i64::try_from(TOMBSTONE_AGE_MAX_MS).unwrap();
    show(&mut state, &snapshot, &snapshot.popups[0], None, later(tombstone_ms - 1));
    assert_eq!(state.clocks.erased_at, Some(NOON));
    show(&mut state, &snapshot, &snapshot.popups[0], None, later(tombstone_ms));
    assert_eq!(state.clocks.erased_at, None);
}

#[test]
fn a_repeat_has_the_time_that_the_state_has_kept() {
    let (mut state, snapshot, first) = shown();
    event(&mut state, first, Action::Shown, None, later(5));
    event(&mut state, first, Action::Clicked, None, later(10));
    let again = show(&mut state, &snapshot, &snapshot.popups[0], None, later(20));
    let second = ShowId { number: again.number, at: later(20), ..first };
    let told = |state: &UserState, shown, action, ms| {
        (repeated_at(state, shown, action, later(ms)).0) - NOON.0
    };
    assert_eq!(told(&state, first, Action::Clicked, 90), 90, "the second show cleared it");
    event(&mut state, second, Action::Dismissed, None, later(30));
    for (shown, action, ms, want) in [
        (second, Action::Dismissed, 90, 30),
        // Accepted by a node that had no state, and earlier: the state's stands.
        (second, Action::Dismissed, 25, 30),
        (first, Action::Shown, 90, 90),
        (first, Action::Clicked, 90, 90),
    ] {
        assert_eq!(told(&state, shown, action, ms), want, "{action:?} told at {ms}");
    }
    event(&mut state, second, Action::Clicked, None, later(40));
    for (shown, action, ms, want) in [
        // Replaced: nobody knows when it was.
        (second, Action::Dismissed, 90, 90),
        // One of two clicks was at 40, and neither later.
        (second, Action::Clicked, 90, 40),
        (first, Action::Clicked, 90, 40),
        (first, Action::Clicked, 15, 15),
    ] {
        assert_eq!(told(&state, shown, action, ms), want, "{action:?} told at {ms}");
    }
    let other = ShowId { popup: PopupKey(1), ..first };
    assert_eq!(told(&state, other, Action::Clicked, 90), 90, "a popup that it does not know");
}
