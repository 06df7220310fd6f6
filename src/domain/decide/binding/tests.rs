//! Property: who was forgotten while nothing bound them is answered, decision by decision, as if
//! they had not been.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::*;
use crate::decide::choose::{self, Decision};
use crate::decide::context::Context;
use crate::decide::samples::snapshot_with;
use crate::decide::timetable::Timetable;
use crate::state::apply::{self, Action, ShowId};
use nudged_base::time::DurationMs;

const BEGIN: WallMs = WallMs(1_774_728_000_000);
const HOUR_MS: i64 = 3_600_000;

fn popup() -> impl Strategy<Value = Value> {
    let gap = || select(vec!["0s", "1h", "24h", "7d", "20d", "never"]);
    (
        (gap(), gap(), gap(), gap()),
        select(vec!["5m", "5m", "30d"]),
        select(vec![0, 0, 0, 3]),
        prop::option::weighted(0.4, (1..4_u32, select(vec!["1h", "24h", "14d"]))),
        (select(vec!["live", "live", "live", "paused", "archived"]), any::<bool>(), 0..3),
    )
        .prop_map(|(gaps, ignore_after, max_shows, cap, (status, exempt, priority))| {
            let caps = cap.map(|(n, per)| vec![json!({"n": n, "per": per})]).unwrap_or_default();
            json!({
                "after_shown": gaps.0, "after_ignored": gaps.1, "after_dismissed": gaps.2,
                "after_clicked": gaps.3, "ignore_after": ignore_after, "max_shows": max_shows,
                "caps": caps, "status": status, "quiet_exempt": exempt, "priority": priority,
            })
        })
}

fn catalog() -> impl Strategy<Value = Snapshot> {
    let settings = (select(vec![0, 1, 48]), 0..3_u32, select(vec![0, 0, 0, 2]));
    (prop::collection::vec(popup(), 1..5), settings).prop_map(|(mut popups, settings)| {
        for (index, popup) in popups.iter_mut().enumerate() {
            popup["id"] = json!(format!("p{index}"));
        }
        let (quiet_hours, max_per_day, max_per_session) = settings;
        let quiet_time = DurationMs(quiet_hours * 3_600_000);
        let settings = Settings { quiet_time, max_per_day, max_per_session, ..Settings::default() };
        snapshot_with(settings, &Value::Array(popups))
    })
}

/// Hours since the one before, the session, and what the user does with what is shown.
type Visit = (i64, Option<&'static str>, Option<Action>);

fn visit() -> impl Strategy<Value = Visit> {
    let actions = vec![None, None, Some(Action::Dismissed), Some(Action::Clicked)];
    (select(vec![0, 1, 5, 25, 200]), select(vec![None, Some("a"), Some("b")]), select(actions))
}

fn visited(snapshot: &Snapshot, state: &mut UserState, visit: &Visit, now: WallMs) -> Decision {
    let (_, session, action) = *visit;
    let context =
        Context { user: "u", placement: "home", session, locale: None, tz: None, attributes: &[] };
    let decision = choose::decide(snapshot, &Timetable::default(), &*state, &context, now);
    if let Decision::Show { popup, .. } = decision {
        let popup = &snapshot.popups[popup as usize];
        let shown = apply::show(state, snapshot, popup, session, now);
        if let Some(action) = action {
            let show = ShowId { popup: popup.key, number: shown.number, at: now };
            apply::event(state, show, action, None, now);
        }
    }
    decision
}

/// Whether they were forgotten.
fn hold(
    snapshot: &Snapshot,
    (before, away_hours, after): (&[Visit], i64, &[Visit]),
) -> Result<bool, TestCaseError> {
    let (mut state, mut now) = (UserState::default(), BEGIN);
    for visit in before {
        now.0 += visit.0 * HOUR_MS;
        visited(snapshot, &mut state, visit, now);
    }
    now.0 += away_hours * HOUR_MS;
    if state.popups.is_empty() || binds(snapshot, &state, now) {
        return Ok(false);
    }
    let mut forgotten = state.clone();
    apply::erase(&mut forgotten, now);
    for visit in after {
        now.0 += visit.0 * HOUR_MS;
        let decision = visited(snapshot, &mut state, visit, now);
        prop_assert_eq!(visited(snapshot, &mut forgotten, visit, now), decision);
    }
    Ok(true)
}

fn visits() -> impl Strategy<Value = Vec<Visit>> {
    prop::collection::vec(visit(), 1..12)
}

proptest! {
    #[test]
    fn nothing_changes_for_who_is_forgotten(
        snapshot in catalog(),
        before in visits(),
        away_hours in 0..1_000_i64,
        after in visits(),
    ) {
        hold(&snapshot, (&before, away_hours, &after))?;
    }
}

/// Without this the property above could hold since nobody is ever forgotten, or everybody.
#[test]
fn some_are_bound_and_some_are_not() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let draws = (catalog(), visits(), visits());
    let mut forgotten = 0;
    for _ in 0..200 {
        let (snapshot, before, after) = draws.new_tree(&mut runner).unwrap().current();
        forgotten += u32::from(hold(&snapshot, (&before, 600, &after)).unwrap());
    }
    assert!((20..180).contains(&forgotten), "{forgotten} of 200");
}

#[test]
fn each_gate_on_a_state_binds() {
    let day = DurationMs::DAY;
    let table = [
        (json!({}), Settings::default(), 30, false),
        (json!({"max_shows": 5}), Settings::default(), 30, true),
        (json!({"after_shown": "31d"}), Settings::default(), 30, true),
        (json!({"after_shown": "30d"}), Settings::default(), 30, false),
        (json!({"after_shown": "never"}), Settings::default(), 30, true),
        (json!({"after_ignored": "never"}), Settings::default(), 30, true),
        // It is inferred later, and holds then.
        (json!({"after_ignored": "never", "ignore_after": "60d"}), Settings::default(), 30, true),
        (json!({"caps": [{"n": 2, "per": "31d"}]}), Settings::default(), 30, true),
        (json!({"caps": [{"n": 2, "per": "30d"}]}), Settings::default(), 30, false),
        (
            json!({}),
            Settings { quiet_time: DurationMs(31 * day.0), ..Settings::default() },
            30,
            true,
        ),
        (json!({}), Settings { max_per_day: 3, ..Settings::default() }, 30, false),
        (json!({}), Settings { max_per_session: 3, ..Settings::default() }, 30, true),
        (json!({"after_shown": "never", "status": "archived"}), Settings::default(), 30, false),
    ];
    for (mut popup, settings, days, wanted) in table {
        popup["id"] = json!("p");
        let named = popup.to_string();
        let snapshot = snapshot_with(settings, &json!([popup]));
        let mut state = UserState::default();
        apply::show(&mut state, &snapshot, &snapshot.popups[0], Some("s"), BEGIN);
        let now = WallMs(BEGIN.0 + days * 24 * HOUR_MS);
        assert_eq!(binds(&snapshot, &state, now), wanted, "{named}");
    }
}
