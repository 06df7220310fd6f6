//! Property: a fact is the cause of its gate. What it names, and nothing else, would have to
//! change.

use serde_json::{Value as Json, json};

use super::*;
use crate::catalog::snapshot::Settings;
use crate::decide::gates::Visit;
use crate::decide::samples::snapshot_with;
use crate::state::apply;
use nudged_base::time::DurationMs;

const NOON: WallMs = WallMs(1_767_614_400_000);
const HOUR: i64 = 3_600_000;

fn later(ms: i64) -> WallMs {
    WallMs(NOON.0 + ms)
}

/// Rules that failed of a target: pointer, result, and whether the request has the attribute.
fn rules(
    target: &Json,
    attributes: &[(&str, AttributeValue<'_>)],
) -> Vec<(String, Option<bool>, bool)> {
    let popup = json!({"id": "p", "target": target});
    let snapshot = snapshot_with(Settings::default(), &json!([popup]));
    let context = Context {
        user: "u1",
        placement: "home",
        session: None,
        locale: None,
        tz: None,
        attributes,
    };
    let state = UserState::default();
    let popup = &snapshot.popups[0];
    let failure = Visit::new(&snapshot, &state, &context, NOON).failure(popup);
    let Some(failure) = failure else { return Vec::new() };
    let Fact::Target(failed) = of(popup, failure, &state, &context, NOON) else {
        panic!("{failure:?}")
    };
    failed.into_iter().map(|rule| (rule.pointer, rule.result, rule.value.is_some())).collect()
}

#[test]
fn the_rules_that_failed_are_those_that_would_have_to_change() {
    let de = json!({"attr": "country", "op": "eq", "value": "DE"});
    let five = json!({"attr": "age", "op": "gte", "value": 5});
    let country = [("country", AttributeValue::Scalar("AT"))];
    let both =
        [("country", AttributeValue::Scalar("DE")), ("age", AttributeValue::Scalar("young"))];
    type Case<'a> =
        (Json, &'a [(&'a str, AttributeValue<'a>)], &'a [(&'a str, Option<bool>, bool)]);
    let table: [Case<'_>; 9] = [
        (de.clone(), &country, &[("/target", Some(false), true)]),
        (de.clone(), &[], &[("/target", None, false)]),
        (five.clone(), &both, &[("/target", None, true)]),
        (json!({"all": [de, five]}), &both, &[("/target/all/1", None, true)]),
        (
            json!({"all": [de, five]}),
            &country,
            &[("/target/all/0", Some(false), true), ("/target/all/1", None, false)],
        ),
        (
            json!({"any": [de, {"all": [five]}]}),
            &[],
            &[("/target/any/0", None, false), ("/target/any/1/all/0", None, false)],
        ),
        (json!({"not": de}), &both, &[("/target/not", Some(true), true)]),
        (
            json!({"not": {"any": [de, five]}}),
            &both,
            &[("/target/not/any/0", Some(true), true), ("/target/not/any/1", None, true)],
        ),
        (json!({"any": []}), &both, &[("/target", Some(false), false)]),
    ];
    for (target, attributes, want) in table {
        let want = want.iter().map(|(pointer, result, has)| ((*pointer).to_owned(), *result, *has));
        assert_eq!(rules(&target, attributes), want.collect::<Vec<_>>(), "{target}");
    }
}

/// The fact of a popup after shows, with when its gate opens.
fn fact(popup: &Json, settings: Settings, shows: &[i64], now: WallMs) -> (String, Option<WallMs>) {
    let mut popup = popup.clone();
    popup["id"] = json!("p");
    let snapshot = snapshot_with(settings, &json!([popup]));
    let mut state = UserState::default();
    for ms in shows {
        apply::show(&mut state, &snapshot, &snapshot.popups[0], Some("s"), later(*ms));
    }
    let context = Context {
        user: "u1",
        placement: "home",
        session: Some("s"),
        locale: None,
        tz: None,
        attributes: &[],
    };
    let popup = &snapshot.popups[0];
    let failure = Visit::new(&snapshot, &state, &context, now).failure(popup).unwrap();
    (format!("{:?}", of(popup, failure, &state, &context, now)), failure.opens_at)
}

#[test]
fn history_is_told_as_it_counts() {
    let free = json!({"after_shown": "0s", "after_ignored": "0s", "ignore_after": "0s"});
    let with = |key: &str, value: Json| {
        let mut popup = free.clone();
        popup[key] = value;
        popup
    };
    let plain = Settings::default;
    let (said, opens_at) = fact(&with("after_shown", json!("1h")), plain(), &[0], later(5));
    assert!(said.contains(&format!("shown_at: {NOON:?}")), "{said}");
    assert!(said.contains("Ignored") && said.contains("is_inferred: true"), "{said}");
    assert_eq!(opens_at, Some(later(HOUR)));

    let caps = with("caps", json!([{"n": 1, "per": "1s"}, {"n": 2, "per": "1h"}]));
    let (said, opens_at) = fact(&caps, plain(), &[0, 1_000], later(2_500));
    let shows = format!("shows: [{:?}, {NOON:?}]", later(1_000));
    assert!(said.contains("index: 1") && !said.contains("index: 0"), "{said}");
    assert!(said.contains(&shows) && opens_at == Some(later(HOUR)), "{said}");

    let (said, _) = fact(&with("max_shows", json!(2)), plain(), &[0, 7], later(9));
    assert_eq!(said, format!("Shows {{ count: 2, last_at: {:?} }}", later(7)));
    let quiet = Settings { quiet_time: DurationMs(60_000), ..plain() };
    let (said, _) = fact(&free, quiet, &[0, 7], later(9));
    assert!(said.contains(&format!("last_at: {:?}", later(7))), "{said}");
    let (said, _) = fact(&with("rollout", json!(0)), plain(), &[], NOON);
    assert!(said.starts_with("Rollout("), "{said}");
}
