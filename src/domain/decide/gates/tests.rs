//! Each gate alone, at its edges: open at exactly the moment that it names, shut one millisecond
//! before.

use serde_json::{Value as Json, json};

use super::*;
use crate::decide::samples::{popup, snapshot_with};
use crate::state::apply;
use crate::state::user::Show;
use crate::state::user::UserState;
use nudged_base::ids::PopupKey;
use nudged_base::time::DurationMs;

/// A Monday.
const NOON: WallMs = WallMs(1_767_614_400_000);
const HOUR: i64 = 3_600_000;

fn later(ms: i64) -> WallMs {
    WallMs(NOON.0 + ms)
}

fn context<'a>() -> Context<'a> {
    Context {
        user: "u1",
        placement: "home",
        session: None,
        locale: None,
        tz: None,
        attributes: &[],
    }
}

/// The gate at which a popup fails after shows at `shows`, at `now`.
fn failure(settings: Settings, popup: &Json, shows: &[i64], now: WallMs) -> Option<GateFailure> {
    let mut popup = popup.clone();
    popup["id"] = json!("p");
    let snapshot = snapshot_with(settings, &json!([popup]));
    let mut state = UserState::default();
    for ms in shows {
        apply::show(&mut state, &snapshot, &snapshot.popups[0], Some("s"), later(*ms));
    }
    let context = Context { session: Some("s"), ..context() };
    Visit::new(&snapshot, &state, &context, now).failure(&snapshot.popups[0])
}

fn at(gate: Gate, ms: i64) -> Option<GateFailure> {
    Some(GateFailure { gate, opens_at: Some(later(ms)) })
}

fn shut(gate: Gate) -> Option<GateFailure> {
    Some(GateFailure::shut(gate))
}

#[test]
fn gates_open_at_exactly_their_moment() {
    let free = json!({"after_shown": "0s", "after_ignored": "0s", "ignore_after": "0s"});
    let with = |key: &str, value: Json| {
        let mut popup = free.clone();
        popup[key] = value;
        popup
    };
    let started = with("starts_at", json!("2026-01-05T13:00:00+00:00"));
    let ended = with("ends_at", json!("2026-01-05T13:00:00+00:00"));
    let window = with("windows", json!([{"from": "13:00", "to": "14:00"}]));
    let capped = with("caps", json!([{"n": 2, "per": "1h"}, {"n": 1, "per": "1s"}]));
    let table = [
        (with("status", json!("paused")), vec![], 0, shut(Gate::Status)),
        (with("placement", json!(["cart"])), vec![], 0, shut(Gate::Placement)),
        (with("rollout", json!(0)), vec![], 0, shut(Gate::Rollout)),
        (with("target", json!({"any": []})), vec![], 0, shut(Gate::Target)),
        (started.clone(), vec![], HOUR - 1, at(Gate::Schedule, HOUR)),
        (started, vec![], HOUR, None),
        (ended.clone(), vec![], HOUR - 1, None),
        (ended, vec![], HOUR, shut(Gate::Schedule)),
        (window.clone(), vec![], HOUR - 1, at(Gate::Window, HOUR)),
        (window.clone(), vec![], HOUR, None),
        (window.clone(), vec![], 2 * HOUR - 1, None),
        (window, vec![], 2 * HOUR, at(Gate::Window, 25 * HOUR)),
        (with("max_shows", json!(2)), vec![0], 1, None),
        (with("max_shows", json!(2)), vec![0, 1], 2, shut(Gate::MaxShows)),
        (with("after_shown", json!("1h")), vec![0], HOUR - 1, at(Gate::Gap, HOUR)),
        (with("after_shown", json!("1h")), vec![0], HOUR, None),
        (with("after_shown", json!("never")), vec![0], HOUR, shut(Gate::Gap)),
        (with("after_ignored", json!("never")), vec![0], HOUR, shut(Gate::Gap)),
        (capped.clone(), vec![0], 999, at(Gate::Cap, 1_000)),
        (capped.clone(), vec![0], 1_000, None),
        (capped.clone(), vec![0, 1_000], 1_001, at(Gate::Cap, HOUR)),
        (capped.clone(), vec![0, HOUR - 1], HOUR - 1, at(Gate::Cap, HOUR + 999)),
        (capped, vec![0, 1_000], HOUR, None),
    ];
    for (popup, shows, ms, want) in table {
        let got = failure(Settings::default(), &popup, &shows, later(ms));
        assert_eq!(got, want, "{popup} {shows:?} {ms}");
    }
}

#[test]
fn gates_across_popups_hold_back_all_but_the_exempt() {
    let free = json!({"after_shown": "0s", "after_ignored": "0s"});
    let exempt = json!({"after_shown": "0s", "after_ignored": "0s", "quiet_exempt": true});
    let quiet = || Settings { quiet_time: DurationMs(60_000), ..Settings::default() };
    let day = || Settings { max_per_day: 2, ..Settings::default() };
    let session = || Settings { max_per_session: 2, ..Settings::default() };
    let table = [
        (quiet(), vec![0], 59_999, at(Gate::Quiet, 60_000)),
        (quiet(), vec![0], 60_000, None),
        (day(), vec![0], 1, None),
        (day(), vec![0, 1], 2, at(Gate::Day, 12 * HOUR)),
        (day(), vec![0, 1], 12 * HOUR - 1, at(Gate::Day, 12 * HOUR)),
        (day(), vec![0, 1], 12 * HOUR, None),
        (session(), vec![0], 1, None),
        (session(), vec![0, 1], 100 * HOUR, shut(Gate::Session)),
    ];
    for (settings, shows, ms, want) in table {
        let held = failure(settings.clone(), &free, &shows, later(ms));
        assert_eq!(held, want, "{settings:?} {shows:?} {ms}");
        assert_eq!(failure(settings, &exempt, &shows, later(ms)), None);
    }
}

#[test]
fn a_session_is_full_for_its_own_requests_alone() {
    let settings = Settings { max_per_session: 1, ..Settings::default() };
    let clocks = UserClocks {
        last_counted_at: Some(NOON),
        day_shows: 1,
        session: hash::session(b"s"),
        session_shows: 1,
        erased_at: None,
    };
    for (session, want) in [(Some("s"), shut(Gate::Session)), (Some("t"), None), (None, None)] {
        assert_eq!(failure_of_clocks(&settings, &clocks, session, NOON), want);
    }
}

#[test]
fn the_next_show_is_the_later_of_its_gaps() {
    let gaps = popup(&json!({
        "id": "p", "after_shown": "1h", "after_ignored": "2h", "after_dismissed": "30m",
        "after_clicked": "never", "after_converted": "5h", "ignore_after": "10m",
    }));
    let minute = 60_000;
    let table = [
        (None, 0, 0, Some(HOUR)),
        (None, 0, 10 * minute - 1, Some(HOUR)),
        (None, 0, 10 * minute, Some(2 * HOUR)),
        (Some(ShowOutcome::Ignored), 5 * minute, 0, Some(2 * HOUR + 5 * minute)),
        (Some(ShowOutcome::Dismissed), minute, 0, Some(HOUR)),
        (Some(ShowOutcome::Dismissed), 40 * minute, 0, Some(70 * minute)),
        (Some(ShowOutcome::Clicked), minute, 0, None),
        (Some(ShowOutcome::Converted), minute, 20 * HOUR, Some(5 * HOUR + minute)),
    ];
    for (outcome, outcome_ms, now_ms, want) in table {
        let mut entry = PopupState::empty(PopupKey::of("p"));
        entry.shows_used = 1;
        entry.shows_total = 1;
        entry.shows[0] = Show { at: NOON, number: 1, actions: 0 };
        entry.outcome = outcome;
        entry.outcome_at = if outcome.is_some() { later(outcome_ms) } else { WallMs(0) };
        let next = next_show_at(&gaps, &entry, later(now_ms));
        assert_eq!(next.time(), want.map(later), "{outcome:?} {now_ms}");
    }
}

#[test]
fn an_earlier_gate_is_the_reason() {
    // Each popup fails at its gate and at all later ones that it can.
    let late = json!({
        "status": "draft", "ends_at": "2026-01-01T00:00:00Z", "placement": ["cart"],
        "windows": [{"from": "01:00", "to": "02:00"}], "target": {"any": []}, "rollout": 0,
        "max_shows": 1,
    });
    let order = [
        ("status", Gate::Status),
        ("ends_at", Gate::Schedule),
        ("windows", Gate::Window),
        ("placement", Gate::Placement),
        ("target", Gate::Target),
        ("rollout", Gate::Rollout),
        ("max_shows", Gate::MaxShows),
        ("", Gate::Gap),
    ];
    let mut popup = late;
    let settings = Settings { quiet_time: DurationMs::DAY, ..Settings::default() };
    for (key, gate) in order {
        let got = failure(settings.clone(), &popup, &[0], later(1));
        assert_eq!(got.map(|failure| failure.gate), Some(gate));
        assert_eq!(gate.as_str(), format!("{gate:?}").to_lowercase().replace("max", "max_"));
        popup.as_object_mut().unwrap().remove(key);
    }
}

#[test]
fn windows_of_the_user_are_in_the_requests_zone() {
    let popup = json!([{
        "id": "p", "tz": "user", "windows": [{"from": "17:00", "to": "18:00"}],
    }]);
    let snapshot = snapshot_with(Settings::default(), &popup);
    let state = UserState::default();
    // 12:00 UTC is 17:30 in Kolkata.
    let zones = [
        (Some("Asia/Kolkata"), None),
        (None, at(Gate::Window, 5 * HOUR)),
        (Some("Mars/Base"), at(Gate::Window, 5 * HOUR)),
        (Some("Europe/Berlin"), at(Gate::Window, 4 * HOUR)),
    ];
    for (tz, want) in zones {
        let context = Context { tz, ..context() };
        let mut visit = Visit::new(&snapshot, &state, &context, NOON);
        assert_eq!(visit.failure(&snapshot.popups[0]), want, "{tz:?}");
        assert_eq!(visit.failure_of_live(0), want, "the zone is found once");
    }
}
