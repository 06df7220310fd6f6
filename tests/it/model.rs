//! The decision core agrees with a second, naive model of the contract on random histories: popups
//! of every kind, requests, events, reloads and restarts. The model shares no code with the core
//! but the pinned hashes. A history on which they differ is printed as a decision vector.

mod draw;
mod histories;
mod naive;
mod rules;

use std::collections::BTreeMap;

use jiff::Timestamp;
use naive::Model;
use nudged::node::vectors::play;
use nudged_base::time::parse_duration;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

/// Lets the model play a vector and writes what it expects into each step.
fn with_expectations(mut vector: Value) -> Value {
    let popups = vector["popups"].as_array().unwrap().clone();
    let mut model = Model::new(vector["settings"].clone(), popups);
    for step in vector["steps"].as_array_mut().unwrap() {
        let at = step["at"].as_str().unwrap();
        model.now = match at.strip_prefix('+') {
            Some(pause) => model.now + i64::try_from(parse_duration(pause).unwrap().0).unwrap(),
            None => at.parse::<Timestamp>().unwrap().as_millisecond(),
        };
        if let Some(request) = step.get("decide") {
            step["expect"] = model.decide(request);
        } else if let Some(event) = step.get("event") {
            step["expect"] = model.event(event);
        } else if let Some(popups) = step.get("set_popups") {
            model.popups = popups.as_array().unwrap().clone();
        }
    }
    vector
}

fn agree_on(vector: Value) -> Result<(), TestCaseError> {
    let vector = with_expectations(vector);
    let failures = play(&json!([vector]).to_string()).unwrap();
    prop_assert!(failures.is_empty(), "{failures:#?}\n{vector}");
    Ok(())
}

proptest! {
    #[test]
    fn the_core_and_the_model_agree(vector in draw::vector()) {
        agree_on(vector)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn they_agree_on_more_popups_than_are_remembered(vector in histories::of_many_popups()) {
        agree_on(vector)?;
    }

    #[test]
    fn they_agree_on_more_shows_than_are_remembered(vector in histories::of_many_shows()) {
        agree_on(vector)?;
    }
}

/// Without this the property above could hold for histories in which nothing happens.
#[test]
fn the_draws_reach_every_reason_and_every_verdict() {
    let mut runner = TestRunner::deterministic();
    let mut counts = BTreeMap::new();
    for _ in 0..400 {
        let vector = draw::vector().new_tree(&mut runner).unwrap().current();
        for step in with_expectations(vector)["steps"].as_array().unwrap() {
            let expect = &step["expect"];
            let key = match step.get("decide") {
                Some(_) if !expect["variant"].is_null() => "a variant".into(),
                Some(_) if !expect["popup"].is_null() => "a popup".into(),
                Some(_) => format!("{} {}", expect["reason"], !expect["next_in"].is_null()),
                None => expect.to_string(),
            };
            *counts.entry(key).or_insert(0_u32) += 1;
        }
    }
    let wanted = [
        "a popup",
        "a variant",
        "none",
        "schedule",
        "window",
        "target",
        "rollout",
        "max_shows",
        "gap",
        "cap",
        "quiet",
        "day",
        "session",
        "\"accepted\":1",
        "\"duplicate\":1",
        "too_late",
        "bad_decision",
        "unknown_action",
    ];
    for part in wanted {
        let count: u32 =
            counts.iter().filter(|(key, _)| key.contains(part)).map(|(_, count)| count).sum();
        assert!(count >= 10, "{part}: {counts:#?}");
    }
}
