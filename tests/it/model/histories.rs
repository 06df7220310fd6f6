//! Draws histories that reach the bounds of what is remembered, which short random ones do not:
//! many popups for one user, and many shows of one popup.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

const BEGINNING: &str = "2026-03-28T22:30:00Z";

/// More popups than a user's state remembers, which are all shown, forgotten and shown again.
pub fn of_many_popups() -> impl Strategy<Value = Value> {
    let popup = (prop_oneof![9 => Just("never"), 1 => Just("1m")], 0..3_i32);
    let popups = prop::collection::vec(popup, 65..70);
    let reload =
        prop::collection::vec((0..70_usize, select(vec!["live", "archived", "gone"])), 0..9);
    let act = prop_oneof![
        30 => Just(json!({"decide": {"user": "u"}})),
        6 => event(70, 3),
        1 => reload.prop_map(|changes| json!({"set_popups": changes})),
        1 => Just(json!({"restart": true})),
    ];
    let pauses = vec!["0s", "1ms", "1ms", "1ms", "1s", "1s", "1s", "1m"];
    let steps = prop::collection::vec((select(pauses), act), 20..80);
    (popups, steps).prop_map(|(popups, steps)| {
        let popups: Vec<Value> = (0..)
            .zip(popups)
            .map(|(index, (gap, priority))| {
                json!({
                    "id": format!("p{index}"), "priority": priority, "after_shown": gap,
                    "after_ignored": gap,
                })
            })
            .collect();
        let filling = (0..62).map(|_| json!({"at": "+1ms", "decide": {"user": "u"}}));
        let steps = steps.into_iter().map(|(pause, mut act)| {
            act["at"] = json!(format!("+{pause}"));
            if let Some(changes) = act.get_mut("set_popups") {
                *changes = changed(&popups, changes);
            }
            act
        });
        vector(&json!({}), &popups, filling.chain(steps))
    })
}

/// More shows of one popup than its entry remembers, with events of all of them.
pub fn of_many_shows() -> impl Strategy<Value = Value> {
    let per = select(vec!["1s", "1m", "1h"]);
    let caps = prop::collection::vec((1..17_u32, per), 0..3);
    let gap = || select(vec!["0s", "1s", "10s", "5m"]);
    let popup = (caps, select(vec![0, 0, 17, 20]), any::<bool>(), [gap(), gap(), gap()]);
    // Mostly one, so that no other hides what became of it.
    let count = prop_oneof![3 => Just(1_usize), 1 => Just(2)];
    let popups = count.prop_flat_map(move |count| prop::collection::vec(popup.clone(), count));
    let sessions = select(vec![json!(null), json!("s1"), json!("s2")]);
    let act = prop_oneof![
        2 => sessions.prop_map(|session| json!({"decide": {"user": "u", "session": session}})),
        2 => event(2, 20),
    ];
    let steps = prop::collection::vec((select(vec!["0s", "1s", "10s", "1m"]), act), 30..100);
    let settings = (select(vec![0, 0, 20, 30]), select(vec![0, 0, 5]));
    (popups, steps, settings).prop_map(|(popups, steps, (per_day, per_session))| {
        let popups: Vec<Value> = (0..)
            .zip(popups)
            .map(|(index, (caps, max_shows, is_exempt, gaps))| {
                let caps: Vec<Value> =
                    caps.into_iter().map(|(n, per)| json!({"n": n, "per": per})).collect();
                json!({
                    "id": format!("p{index}"), "caps": caps, "max_shows": max_shows,
                    "quiet_exempt": is_exempt, "after_shown": "0s", "after_ignored": "0s",
                    "after_dismissed": gaps[0], "after_clicked": gaps[1], "after_converted": gaps[2],
                })
            })
            .collect();
        let steps = steps.into_iter().map(|(pause, mut act)| {
            act["at"] = json!(format!("+{pause}"));
            act
        });
        let settings = json!({"max_per_day": per_day, "max_per_session": per_session});
        vector(&settings, &popups, steps)
    })
}

fn event(popups: usize, back_max: usize) -> impl Strategy<Value = Value> {
    let actions = ["shown", "ignored", "dismissed", "clicked", "clicked", "clicked", "converted"];
    let back = prop_oneof![1 => Just(0), 1 => 0..=back_max];
    let ts =
        prop::option::of((30..45_u32).prop_map(|minute| format!("2026-03-28T22:{minute}:00Z")));
    (select(actions.to_vec()), 0..popups, back, ts).prop_map(|(action, popup, back, ts)| {
        let popup = format!("p{popup}");
        json!({"event": {"user": "u", "action": action, "popup": popup, "back": back, "ts": ts}})
    })
}

/// The popups after some left the catalog in one way or another.
fn changed(popups: &[Value], changes: &Value) -> Value {
    let mut popups = popups.to_vec();
    for change in changes.as_array().unwrap() {
        let index = usize::try_from(change[0].as_u64().unwrap()).unwrap();
        if let Some(popup) = popups.get_mut(index) {
            popup["status"] = change[1].clone();
        }
    }
    popups.retain(|popup| popup["status"] != "gone");
    Value::Array(popups)
}

fn vector(settings: &Value, popups: &[Value], steps: impl Iterator<Item = Value>) -> Value {
    let first = json!({"at": BEGINNING, "restart": true});
    let steps: Vec<Value> = std::iter::once(first).chain(steps).collect();
    json!({"name": "drawn", "settings": settings, "popups": popups, "steps": steps})
}
