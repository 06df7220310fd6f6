//! A timetable is worked out once for each change, for those alone whose time has come, and for
//! the largest catalog within a turn. That it agrees with asking is `choose`'s property.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::*;
use crate::decide::samples::snapshot;
use nudged_base::limits::POPUPS_MAX;

const NOON: WallMs = WallMs(1_767_614_400_000);
const MINUTE_MS: i64 = 60_000;

fn later(ms: i64) -> WallMs {
    WallMs(NOON.0 + ms)
}

/// From when until when it holds, and the gates of those with a time, in the order in which they
/// win.
fn standing_of(times: &Timetable) -> (WallMs, WallMs, Vec<Option<Gate>>) {
    let gates = times.popups.iter().map(|timed| timed.failure.map(|failure| failure.gate));
    (times.from, times.until, gates.collect())
}

#[test]
fn it_holds_until_the_next_change_and_is_worked_out_anew_where_the_clock_went_back() {
    let snapshot = snapshot(&json!([
        {"id": "a", "starts_at": "2026-01-05T12:10:00Z"},
        {"id": "b", "windows": [{"from": "11:00", "to": "12:05"}]},
        {"id": "c"},
        {"id": "d", "windows": [{"from": "12:00", "to": "13:00"}], "tz": "user"},
        {"id": "e", "status": "paused", "ends_at": "2026-01-05T12:01:00Z"},
    ]));
    let mut times = Timetable::of(&snapshot);
    let home = snapshot.placements["home"].number;
    assert!(times.open_popups(home, NOON).is_none(), "it holds for no moment yet");
    times.refresh(&snapshot, NOON);
    let (schedule, window) = (Some(Gate::Schedule), Some(Gate::Window));
    let first = (NOON, later(5 * MINUTE_MS), vec![schedule, None]);
    assert_eq!(standing_of(&times), first);
    times.refresh(&snapshot, later(5 * MINUTE_MS - 1));
    assert_eq!(standing_of(&times), first, "nothing opens or closes before");
    assert_eq!(times.open_popups(home, NOON).unwrap().open, 3);
    times.refresh(&snapshot, later(5 * MINUTE_MS));
    let second = (later(5 * MINUTE_MS), later(10 * MINUTE_MS), vec![schedule, window]);
    assert_eq!(standing_of(&times), second);
    let open = times.open_popups(home, later(6 * MINUTE_MS)).unwrap();
    let opens_at = Some(later(10 * MINUTE_MS));
    assert_eq!((open.open, open.failures.latest, open.failures.opens_at), (2, window, opens_at));
    times.refresh(&snapshot, later(12 * MINUTE_MS));
    assert_eq!(times.until, later(23 * 60 * MINUTE_MS), "the window's next opening");
    times.refresh(&snapshot, NOON);
    assert_eq!(standing_of(&times), first);
    assert!(times.open_popups(home, later(5 * MINUTE_MS)).is_none(), "nor for one behind");
}

#[test]
fn another_status_asks_no_popup_for_its_time_but_those_that_are_live_now() {
    let popups = json!([
        {"id": "a", "starts_at": "2026-01-05T12:10:00Z"},
        {"id": "b", "windows": [{"from": "11:00", "to": "12:05"}]},
        {"id": "c", "windows": [{"from": "11:00", "to": "12:30"}]},
        {"id": "d", "status": "paused", "ends_at": "2026-01-05T12:01:00Z"},
    ]);
    let former = snapshot(&popups);
    let status = |index: usize, status| (former.popups[index].key, status);
    let statuses = [status(0, Status::Paused), status(3, Status::Live)].into_iter().collect();
    let changed = former.with_statuses(2, &statuses);
    let mut times = Timetable::of(&former);
    let fresh = times.followed_by(&former, &changed);
    assert_eq!(fresh.from, END_OF_TIME, "of one that knows nothing, nothing is taken");
    times.refresh(&former, NOON);
    // What no asking comes to.
    times.popups[2].failure = Some(GateFailure::shut(Gate::Status));
    let mut next = times.followed_by(&former, &changed);
    let home = changed.placements["home"].number;
    assert!(next.open_popups(home, NOON).is_none(), "it holds for no moment yet");
    next.refresh(&changed, later(1));
    let want = (later(1), later(MINUTE_MS), vec![None, Some(Gate::Status), None]);
    assert_eq!(standing_of(&next), want);
    next.refresh(&changed, NOON);
    let want = (NOON, later(MINUTE_MS), vec![None, None, None]);
    assert_eq!(standing_of(&next), want, "asked where the clock went back");
    let mut compiled = times.followed_by(&former, &snapshot(&popups));
    compiled.refresh(&former, later(1));
    let want = (later(1), later(5 * MINUTE_MS), vec![Some(Gate::Schedule), None, None]);
    assert_eq!(standing_of(&compiled), want, "asked where definitions may differ");
}

#[test]
fn without_times_it_holds_for_ever() {
    let snapshot = snapshot(&json!([{"id": "a"}]));
    let mut times = Timetable::of(&snapshot);
    times.refresh(&snapshot, NOON);
    assert_eq!((times.from, times.until), (NOON, END_OF_TIME));
}

/// Each closes at a minute of its own, in one of three zones.
fn largest() -> Json {
    let popup = |number: usize| {
        let (hour, minute) = (number / 60 % 24, number % 60);
        let tz = ["Europe/Berlin", "UTC", "America/New_York"][number % 3];
        json!({
            "id": format!("p{number}"),
            "tz": tz,
            "windows": [
                {"from": "00:00", "to": format!("{hour:02}:{minute:02}").replace("00:00", "24:00")},
                {"from": "09:00", "to": "17:00", "days": ["mon", "wed"]},
            ],
        })
    };
    (0..POPUPS_MAX).map(popup).collect()
}

#[test]
fn the_largest_catalog_is_worked_out_within_a_turn() {
    let snapshot = snapshot(&largest());
    let begun = Instant::now();
    let mut times = Timetable::of(&snapshot);
    let made = begun.elapsed();
    times.refresh(&snapshot, NOON);
    let whole = begun.elapsed() - made;
    let begun = Instant::now();
    let mut refreshes = 0;
    let mut now = NOON;
    while now < later(24 * 60 * MINUTE_MS) {
        now = times.until;
        times.refresh(&snapshot, now);
        refreshes += 1;
    }
    let each = begun.elapsed() / refreshes;
    println!("{POPUPS_MAX} popups: made in {made:?}, all in {whole:?}, each change in {each:?}");
    assert!(refreshes >= 1_440, "{refreshes} changes a day");
    // On the build of the tests, which is ten times slower and more.
    assert!(whole < Duration::from_secs(5) && each < Duration::from_millis(200));
}
