//! Who wins, what is said when nobody does, and what a locale gets.

use serde_json::{Value as Json, json};

use super::*;
use crate::decide::samples::{popup, snapshot};
use crate::state::apply;

mod scan;

const NOON: WallMs = WallMs(1_767_614_400_000);

fn context(placement: &str) -> Context<'_> {
    Context { user: "u1", placement, session: None, locale: None, tz: None, attributes: &[] }
}

fn nothing(reason: Reason, next_in_s: Option<u32>) -> Decision {
    Decision::Nothing { reason, next_in_s }
}

/// The decision by a timetable that holds.
fn decide_in_time(
    snapshot: &Snapshot,
    state: &UserState,
    context: &Context<'_>,
    now: WallMs,
) -> Decision {
    let mut times = Timetable::of(snapshot);
    times.refresh(snapshot, now);
    decide(snapshot, &times, state, context, now)
}

/// The decision for a user to whom popup `p` was shown at noon, some milliseconds later.
fn decision(popups: &Json, ms: i64) -> Decision {
    let snapshot = snapshot(popups);
    let mut state = UserState::default();
    let shown = snapshot.popups.iter().find(|popup| &*popup.id == "p");
    if let Some(popup) = shown {
        apply::show(&mut state, &snapshot, popup, None, NOON);
    }
    decide_in_time(&snapshot, &state, &context("home"), WallMs(NOON.0 + ms))
}

#[test]
fn the_highest_priority_wins_then_the_id_that_sorts_first() {
    let popups = json!([
        {"id": "b"}, {"id": "a-"}, {"id": "a0"}, {"id": "z", "priority": 1, "status": "paused"},
        {"id": "y", "priority": 2, "placement": ["cart"]}, {"id": "c", "priority": -1},
    ]);
    let snapshot = snapshot(&popups);
    let state = UserState::default();
    let Decision::Show { popup, variant } =
        decide_in_time(&snapshot, &state, &context("home"), NOON)
    else {
        panic!("a popup is free");
    };
    assert_eq!((&*snapshot.popups[popup as usize].id, variant), ("a-", 0));
}

#[test]
fn the_latest_gate_is_the_reason_and_the_earliest_opening_is_next_in() {
    let target = json!({"id": "t", "target": {"any": []}});
    let future = json!({"id": "f", "starts_at": "2026-01-05T12:00:10Z"});
    let gap = json!({"id": "p", "after_shown": "1h"});
    let never = json!({"id": "p", "after_shown": "never"});
    let other = json!({"id": "o", "placement": ["cart"]});
    let table = [
        (json!([]), Reason::None, None),
        (json!([other, {"id": "d", "status": "draft"}]), Reason::None, None),
        (json!([target]), Reason::Gate(Gate::Target), None),
        (json!([target, future]), Reason::Gate(Gate::Target), Some(10)),
        (json!([target, future, gap]), Reason::Gate(Gate::Gap), Some(10)),
        (json!([target, gap]), Reason::Gate(Gate::Gap), Some(3_600)),
        (json!([never]), Reason::Gate(Gate::Gap), None),
        (json!([never, future]), Reason::Gate(Gate::Gap), Some(10)),
    ];
    for (popups, reason, next_in_s) in table {
        assert_eq!(decision(&popups, 0), nothing(reason, next_in_s), "{popups}");
    }
}

#[test]
fn next_in_is_whole_seconds_rounded_up_within_a_day() {
    let popups = json!([{"id": "p", "after_shown": "48h"}]);
    let two_days = 2 * 86_400_000;
    let table = [
        (0, 86_400),
        (two_days / 2 - 1, 86_400),
        (two_days / 2, 86_400),
        (two_days / 2 + 1, 86_400),
        (two_days / 2 + 1_000, 86_399),
        (two_days - 1_001, 2),
        (two_days - 1_000, 1),
        (two_days - 999, 1),
        (two_days - 1, 1),
    ];
    for (ms, want) in table {
        let want = nothing(Reason::Gate(Gate::Gap), Some(want));
        assert_eq!(decision(&popups, ms), want, "{ms}");
    }
    assert!(matches!(decision(&popups, two_days), Decision::Show { .. }));
}

#[test]
fn without_state_each_popup_says_who_decides() {
    let hide = json!({"id": "h"});
    let local = json!({"id": "p", "on_failure": "local", "priority": -1});
    let target = json!({"id": "t", "target": {"any": []}});
    let far = json!({"id": "f", "starts_at": "2027-01-05T12:00:10Z"});
    let table = [
        (json!([]), nothing(Reason::None, None)),
        (json!([target]), nothing(Reason::Gate(Gate::Target), None)),
        (json!([target, far]), nothing(Reason::Gate(Gate::Target), Some(86_400))),
        (json!([hide, far]), nothing(Reason::Degraded, None)),
        (json!([target, hide]), nothing(Reason::Degraded, None)),
        (json!([hide, local]), Decision::Show { popup: 1, variant: 0 }),
    ];
    let fresh = UserState::default();
    for (popups, want) in table {
        let snapshot = snapshot(&popups);
        assert_eq!(decide_degraded(&snapshot, &fresh, &context("home"), NOON), want, "{popups}");
    }
    // The node's own memory holds a local popup back like any other.
    let snapshot = snapshot(&json!([local]));
    let mut remembered = UserState::default();
    apply::show(&mut remembered, &snapshot, &snapshot.popups[0], None, NOON);
    let got = decide_degraded(&snapshot, &remembered, &context("home"), NOON);
    assert_eq!(got, nothing(Reason::Gate(Gate::Gap), Some(86_400)));
}

#[test]
fn explain_names_every_popup_in_winning_order() {
    let snapshot = snapshot(&json!([
        {"id": "a", "status": "archived"}, {"id": "b", "placement": ["cart"]}, {"id": "c"},
        {"id": "d", "priority": 3, "target": {"any": []}}, {"id": "e"},
    ]));
    let mut state = UserState::default();
    let shown = snapshot.popups.iter().find(|popup| &*popup.id == "c").unwrap();
    apply::show(&mut state, &snapshot, shown, None, NOON);
    let mut out = vec![(9, None)];
    explain(&snapshot, &state, &context("home"), NOON, &mut out);
    let named: Vec<_> = out
        .iter()
        .map(|(index, gate)| (&*snapshot.popups[*index as usize].id, gate.map(Gate::as_str)))
        .collect();
    let want = [
        ("d", Some("target")),
        ("a", Some("status")),
        ("b", Some("placement")),
        ("c", Some("gap")),
        ("e", None),
    ];
    assert_eq!(named, want);
    let decision = decide_in_time(&snapshot, &state, &context("home"), NOON);
    let winner = out.iter().find(|(_, gate)| gate.is_none()).unwrap().0;
    assert_eq!(decision, Decision::Show { popup: winner, variant: 0 });
}

#[test]
fn a_locale_falls_back_tag_by_tag_without_case() {
    let popup = popup(&json!({
        "id": "p", "content": {"t": 0},
        "locales": {"de": {"t": 1}, "de-AT": {"t": 2}, "pt-BR": {"t": 3}, "zh-Hant-TW": {"t": 4}},
    }));
    let table = [
        (None, 0),
        (Some("de"), 1),
        (Some("DE"), 1),
        (Some("de-CH"), 1),
        (Some("de-at"), 2),
        (Some("de_AT"), 2),
        (Some("de-AT-1996"), 2),
        (Some("d"), 0),
        (Some("deu"), 0),
        (Some("pt"), 0),
        (Some("PT-br"), 3),
        (Some("zh-hant"), 0),
        (Some("zh-Hant-TW-x"), 4),
        (Some(""), 0),
        (Some("-"), 0),
        (Some("de-"), 1),
        (Some("dé-AT"), 0),
    ];
    for (locale, want) in table {
        let got = content(&popup.variants[0], locale);
        assert_eq!(*got.0, *format!("{{\"t\":{want}}}"), "{locale:?}");
    }
}

#[test]
fn reasons_have_the_names_of_gates_and_two_of_their_own() {
    assert_eq!(Reason::None.as_str(), "none");
    assert_eq!(Reason::Degraded.as_str(), "degraded");
    assert_eq!(Reason::Gate(Gate::MaxShows).as_str(), "max_shows");
}

// The status draft is no gate to those who only look, nor is what was shown; all else is as ever.
#[test]
fn a_preview_sees_drafts_and_no_history() {
    let popups = json!([
        {"id": "gone", "priority": 9, "status": "archived"},
        {"id": "held", "priority": 8, "status": "paused"},
        {"id": "away", "priority": 7, "placement": ["cart"], "status": "draft"},
        {"id": "soon", "priority": 6, "starts_at": "2030-01-01T00:00:00Z"},
        {"id": "new", "priority": 5, "status": "draft"},
        {"id": "old", "priority": 4},
    ]);
    let snapshot = snapshot(&popups);
    let id = |decision| match decision {
        Decision::Show { popup, .. } => Ok(&*snapshot.popups[popup as usize].id),
        Decision::Nothing { reason, next_in_s } => Err((reason, next_in_s)),
    };
    assert_eq!(id(preview(&snapshot, &context("home"), NOON)), Ok("new"));
    assert_eq!(id(preview(&snapshot, &context("cart"), NOON)), Ok("away"));
    assert_eq!(id(preview(&snapshot, &context("none"), NOON)), Err((Reason::None, None)));
    let gates = explain_preview(&snapshot, &context("home"), NOON);
    let gates: Vec<_> = gates.into_iter().map(|(_, gate)| gate).collect();
    let want = [
        Some(Gate::Status),
        Some(Gate::Status),
        Some(Gate::Placement),
        Some(Gate::Schedule),
        None,
        None,
    ];
    assert_eq!(gates, want);
    let soon = json!([{"id": "soon", "starts_at": "2030-01-01T00:00:00Z", "status": "draft"}]);
    let later = preview(&crate::decide::samples::snapshot(&soon), &context("home"), NOON);
    assert_eq!(later, nothing(Reason::Gate(Gate::Schedule), Some(86_400)));
}
