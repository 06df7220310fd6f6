//! Property: timetable, index, flat rules and a state read where it lies come to what a plain scan
//! comes to, which asks every popup of the placement with the trees of its rules: at any moment,
//! also where the clock goes back, where the timetable is late, and after another catalog is
//! current.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value as Json, json};

use super::super::*;
use crate::catalog::schedule::{Zone, next_opening};
use crate::catalog::snapshot::{Settings, Status};
use crate::decide::context::AttributeValue;
use crate::decide::samples::snapshot_with;
use crate::state::apply;
use crate::state::user::{EncodedState, encode};
use nudged_base::limits::SCANNED_POPUPS_MAX;
use nudged_base::time::DurationMs;

/// Shortly before Berlin's clocks go forward.
const BEGIN: WallMs = WallMs(1_774_728_000_000);
const HOUR_MS: i64 = 3_600_000;
const USERS: [&str; 3] = ["u1", "u2", "u3"];
const ZONES: [&str; 4] = ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "user"];

fn window() -> impl Strategy<Value = Json> {
    let (from, to) = (["00:00", "02:00", "12:30"], ["02:30", "12:30", "24:00"]);
    let days = select(vec![json!(["sun"]), json!(["sat", "mon"]), json!(["tue", "sun"])]);
    let days = prop::option::of(days);
    (select(from.to_vec()), select(to.to_vec()), days).prop_map(|(from, to, days)| {
        let mut window = json!({"from": from, "to": to});
        if let Some(days) = days {
            window["days"] = days;
        }
        window
    })
}

fn clause() -> impl Strategy<Value = Json> {
    let values = || {
        select(vec![json!("ios"), json!("web"), json!("18"), json!(18), json!(18.0), json!(true)])
    };
    let equal = (select(vec!["eq", "ne", "contains"]), values());
    let texts = vec![json!(["ios"]), json!(["web", "ios", "true"]), json!([18, 1, 18.5])];
    let list = (select(vec!["in", "not_in"]), select(texts));
    let order = (select(vec!["lt", "gte"]), select(vec![json!(18), json!("ios"), json!(1e40)]));
    let version = (select(vec!["semver_lt", "semver_gte"]), select(vec![json!("5.2")]));
    let exists = (Just("exists"), any::<bool>().prop_map(Json::from));
    let test = prop_oneof![4 => equal, 3 => list, 1 => order, 1 => version, 1 => exists];
    (select(vec!["a", "b", "c"]), test)
        .prop_map(|(attr, (op, value))| json!({"attr": attr, "op": op, "value": value}))
}

fn target() -> impl Strategy<Value = Json> {
    clause().prop_recursive(3, 8, 3, |inner| {
        let parts = prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            3 => parts.clone().prop_map(|parts| json!({"all": parts})),
            1 => parts.prop_map(|parts| json!({"any": parts})),
            1 => inner.prop_map(|part| json!({"not": part})),
        ]
    })
}

fn popup() -> impl Strategy<Value = Json> {
    let hours = || prop::option::weighted(0.2, -30..60_i64);
    (
        prop::option::weighted(0.8, target()),
        prop::option::weighted(0.3, prop::collection::vec(window(), 1..3)),
        select(ZONES.to_vec()),
        (hours(), hours()),
        select(vec![0, 100, 100, 100, 40]),
        select(vec!["0s", "1h", "never"]),
        (select(vec!["live", "live", "live", "live", "paused"]), any::<bool>(), -1..2_i64),
    )
        .prop_map(
            |(target, windows, tz, (start, end), rollout, gap, (status, both, priority))| {
                let placements = if both { json!(["home", "cart"]) } else { json!(["home"]) };
                let moment = |hours: i64| {
                    jiff::Timestamp::from_millisecond(BEGIN.0 + hours * HOUR_MS)
                        .unwrap()
                        .to_string()
                };
                let (start, end) = match (start, end) {
                    (Some(start), Some(end)) if start >= end => (Some(start), None),
                    other => other,
                };
                let mut popup = json!({
                    "rollout": rollout, "after_shown": gap, "tz": tz, "status": status,
                    "placement": placements, "priority": priority,
                    "caps": [{"n": 2, "per": "24h"}],
                });
                let optional = [
                    ("target", target),
                    ("windows", windows.map(Json::Array)),
                    ("starts_at", start.map(|hours| json!(moment(hours)))),
                    ("ends_at", end.map(|hours| json!(moment(hours)))),
                ];
                for (key, value) in optional {
                    value.into_iter().for_each(|value| popup[key] = value);
                }
                popup
            },
        )
}

fn catalog() -> impl Strategy<Value = Snapshot> {
    let few = prop::collection::vec(popup(), 1..SCANNED_POPUPS_MAX);
    let many = prop::collection::vec(popup(), SCANNED_POPUPS_MAX..5 * SCANNED_POPUPS_MAX);
    (prop_oneof![few, many], 0..3_u32).prop_map(|(mut popups, max_per_day)| {
        for (index, popup) in popups.iter_mut().enumerate() {
            popup["id"] = json!(format!("p{index}"));
        }
        let quiet_time = DurationMs(u64::from(max_per_day) * 60_000);
        let settings = Settings { max_per_day, quiet_time, ..Settings::default() };
        snapshot_with(settings, &Json::Array(popups))
    })
}

/// One, the same with some popups paused and others live, and another.
fn catalogs() -> impl Strategy<Value = [Snapshot; 3]> {
    let flips = prop::collection::vec(prop::bool::weighted(0.2), 5 * SCANNED_POPUPS_MAX);
    (catalog(), flips, catalog()).prop_map(|(first, flips, other)| {
        let flipped = first.popups.iter().zip(flips).filter(|(_, flips)| *flips);
        let statuses = flipped.map(|(popup, _)| match popup.status {
            Status::Live => (popup.key, Status::Paused),
            _ => (popup.key, Status::Live),
        });
        let second = first.with_statuses(2, &statuses.collect());
        [first, second, other]
    })
}

/// A request, and when it comes: moments are taken from the catalog's own.
#[derive(Clone, Debug)]
struct Asked {
    user: &'static str,
    placement: &'static str,
    tz: Option<&'static str>,
    attributes: Vec<(&'static str, AttributeValue<'static>)>,
    /// Which of the catalog's moments, and how far from it, in milliseconds.
    moment: (prop::sample::Index, i64),
    is_late: bool,
    swaps: bool,
}

fn asked() -> impl Strategy<Value = Asked> {
    let scalars = ["ios", "web", "18", "1.8e1", "true", "5.2.0", "x"].map(AttributeValue::Scalar);
    let list = AttributeValue::List(&[AttributeValue::Scalar("ios")]);
    let value = select([&scalars[..], &[list, AttributeValue::Other]].concat());
    let value = || prop::option::weighted(0.8, value.clone());
    let attributes = (value(), value(), value()).prop_map(|(a, b, c)| {
        let named = [("c", c), ("z", Some(AttributeValue::Other)), ("a", a), ("b", b)];
        named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    });
    (
        select(USERS.to_vec()),
        select(vec!["home", "home", "cart", "nowhere"]),
        select(vec![None, Some("Asia/Kolkata"), Some("Mars/Base")]),
        attributes,
        (any::<prop::sample::Index>(), select(vec![-1, 0, 0, 1, 59_999, HOUR_MS])),
        (prop::bool::weighted(0.2), prop::bool::weighted(0.2)),
    )
        .prop_map(|(user, placement, tz, attributes, moment, (is_late, swaps))| Asked {
            user,
            placement,
            tz,
            attributes,
            moment,
            is_late,
            swaps,
        })
}

/// Begins and ends of schedules, some openings of windows, and moments between.
fn moments(snapshot: &Snapshot) -> Vec<WallMs> {
    let mut moments: Vec<WallMs> = (0..8).map(|day| WallMs(BEGIN.0 + day * 7 * HOUR_MS)).collect();
    for popup in &snapshot.popups {
        moments.extend(popup.starts_at.into_iter().chain(popup.ends_at));
        let Zone::Fixed(zone) = &popup.zone else { continue };
        let mut at = BEGIN;
        for _ in 0..3 {
            let Some(opening) = next_opening(&popup.windows, zone, at) else { break };
            let close = popup.windows[0].to_minute.saturating_sub(popup.windows[0].from_minute);
            moments.extend([opening, WallMs(opening.0 + i64::from(close) * 60_000)]);
            at = opening;
        }
    }
    moments
}

/// What every live popup of the placement comes to, one by one.
fn scanned(
    snapshot: &Snapshot,
    state: &UserState,
    context: &Context<'_>,
    now: WallMs,
) -> (Decision, usize) {
    let mut visit = Visit::new(snapshot, state, context, now);
    let mut failures = Vec::new();
    for index in snapshot.live(context.placement) {
        let popup = &snapshot.popups[*index as usize];
        match visit.failure(popup) {
            None => {
                let variant = bucket::variant(popup, context.user);
                return (Decision::Show { popup: *index, variant }, failures.len());
            }
            Some(failure) => failures.push(failure),
        }
    }
    let reason = failures.iter().map(|failure| failure.gate).max();
    let opens_at = failures.iter().filter_map(|failure| failure.opens_at).min();
    let next_in_s = opens_at.map(|at| u32::try_from((at.0 - now.0 + 999) / 1_000).unwrap());
    let next_in_s = next_in_s.map(|seconds| seconds.clamp(1, 86_400));
    let reason = reason.map_or(Reason::None, Reason::Gate);
    (Decision::Nothing { reason, next_in_s }, failures.len())
}

fn hold(
    catalogs: &[Snapshot; 3],
    requests: &[Asked],
    counts: &mut Map<String, Json>,
) -> Result<(), TestCaseError> {
    let mut current = 0;
    let mut times = Timetable::of(&catalogs[0]);
    let mut states = [(); 3].map(|()| UserState::default());
    for asked in requests {
        if asked.swaps {
            let former = &catalogs[current];
            current = (current + 1) % catalogs.len();
            times = times.followed_by(former, &catalogs[current]);
        }
        let snapshot = &catalogs[current];
        let moments = moments(snapshot);
        let (index, apart) = asked.moment;
        let now = WallMs(moments[index.index(moments.len())].0 + apart);
        if !asked.is_late {
            times.refresh(snapshot, now);
        }
        let Asked { user, placement, tz, attributes, .. } = asked;
        let context = Context { user, placement, session: None, locale: None, tz: *tz, attributes };
        let place = USERS.iter().position(|known| known == user).unwrap();
        let state = &mut states[place];
        let now = state.newest().map_or(now, |newest| newest.max(now));
        let (want, _) = scanned(snapshot, state, &context, now);
        let mut bytes = Vec::new();
        encode(state, &mut bytes);
        let encoded = EncodedState::new(&bytes);
        let got = decide(snapshot, &times, &encoded, &context, now);
        prop_assert_eq!(got, want, "{:?} at {:?}", asked, now);
        prop_assert_eq!(decide(snapshot, &times, &*state, &context, now), want);
        let audience = Audience::of(snapshot, &context);
        let got = decide_for(snapshot, &times, &encoded, (&context, audience), now);
        prop_assert_eq!(got, want, "{:?} for {:?}", asked, audience);
        let late = Timetable::default();
        prop_assert_eq!(decide(snapshot, &late, &*state, &context, now), want);
        let key = match want {
            Decision::Nothing { reason, .. } => reason.as_str(),
            Decision::Show { .. } => "show",
        };
        let count = counts.entry(key).or_insert(json!(0));
        *count = json!(count.as_u64().unwrap() + 1);
        if let Decision::Show { popup, .. } = want {
            apply::show(state, snapshot, &snapshot.popups[popup as usize], None, now);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn it_agrees_with_a_plain_scan(
        catalogs in catalogs(),
        requests in prop::collection::vec(asked(), 1..40),
    ) {
        hold(&catalogs, &requests, &mut Map::new())?;
    }
}

/// Without this the property above could hold where nothing happens.
#[test]
fn the_draws_reach_every_gate() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let draws = (catalogs(), prop::collection::vec(asked(), 40));
    let mut counts = Map::new();
    let mut pivots = 0;
    for _ in 0..60 {
        let (catalogs, requests) = draws.new_tree(&mut runner).unwrap().current();
        hold(&catalogs, &requests, &mut counts).unwrap();
        let placements = catalogs.iter().flat_map(|snapshot| snapshot.placements.values());
        pivots += placements.map(|placement| placement.pivots.len()).sum::<usize>();
    }
    let gates = ["none", "schedule", "window", "target", "rollout", "gap", "cap", "quiet", "day"];
    for reason in gates.into_iter().chain(["show"]) {
        assert!(counts.get(reason).is_some_and(|count| count.as_u64() >= Some(5)), "{counts:?}");
    }
    assert!(pivots > 50, "{pivots}");
}
