//! Property: an explanation names what stands behind a gate: the rule with its value and the
//! request's, the show, the moment at which it opens, in the request's zone.

use serde_json::{Value as Json, json};

use super::*;
use nudged_base::time::DurationMs;
use nudged_domain::catalog::compile::compile_unstored;
use nudged_domain::catalog::schedule::zone_named;
use nudged_domain::catalog::source::parse_json_values;
use nudged_domain::decide::facts;
use nudged_domain::decide::gates::Visit;
use nudged_domain::state::apply;
use nudged_domain::state::user::UserState;

/// A Monday, 12:00 UTC.
const NOON: WallMs = WallMs(1_767_614_400_000);

/// What is told of a popup, after shows in milliseconds from noon, at another such moment.
fn held(popup: &Json, settings: Settings, shows: &[i64], at: i64) -> HeldBack {
    let mut popup = popup.clone();
    popup["id"] = json!("p");
    let definitions = parse_json_values(&[popup.clone()]).unwrap();
    let snapshot = compile_unstored(&definitions, settings).unwrap();
    let mut state = UserState::default();
    for ms in shows {
        apply::show(&mut state, &snapshot, &snapshot.popups[0], Some("s"), WallMs(NOON.0 + ms));
    }
    let attributes =
        [("country", AttributeValue::Scalar("AT")), ("age", AttributeValue::Scalar("young"))];
    let context = Context {
        user: "u1",
        placement: "home",
        session: Some("s"),
        locale: None,
        tz: Some("Europe/Berlin"),
        attributes: &attributes,
    };
    let now = WallMs(NOON.0 + at);
    let zone = zone_named("Europe/Berlin").unwrap();
    let explainer = Explainer { context: &context, settings: &snapshot.settings, now, zone };
    let compiled = &snapshot.popups[0];
    let failure = Visit::new(&snapshot, &state, &context, now).failure(compiled).unwrap();
    let fact = facts::of(compiled, failure, &state, &context, now);
    explainer.explain((compiled, failure), &popup, &fact)
}

fn why(popup: &Json, shows: &[i64], at: i64) -> String {
    held(popup, Settings::default(), shows, at).why
}

#[test]
fn what_the_definition_says_is_told_with_its_values() {
    for (popup, want) in [
        (json!({"status": "paused"}), "it is paused"),
        (
            json!({"starts_at": "2026-01-05T13:00:00Z"}),
            "it starts at 2026-01-05T14:00:00+01:00; this opens at 2026-01-05T14:00:00+01:00",
        ),
        (json!({"ends_at": "2026-01-05T12:00:00Z"}), "it ended at 2026-01-05T13:00:00+01:00"),
        (
            json!({"windows": [{"days": ["mon", "fri"], "from": "18:00", "to": "24:00"}], "tz": "user"}),
            "it is mon 13:00 in Europe/Berlin, outside mon fri 18:00-24:00; this opens at \
             2026-01-05T18:00:00+01:00",
        ),
        (json!({"placement": ["cart", "end"]}), "it is for \"cart\", \"end\", not for \"home\""),
    ] {
        assert_eq!(why(&popup, &[], 0), want);
    }
}

#[test]
fn rules_are_told_as_they_are_written_with_what_the_request_has() {
    let de = json!({"attr": "country", "op": "eq", "value": "DE"});
    let at = json!({"attr": "country", "op": "in", "value": ["AT", "CH"]});
    let age = json!({"attr": "age", "op": "gte", "value": 5});
    let version = json!({"attr": "app", "op": "semver_gte", "value": "5.2"});
    let all = json!({"target": {"all": [de, age, version, {"not": at}]}});
    let HeldBack { why, facts } = held(&all, Settings::default(), &[], 0);
    assert_eq!(
        why,
        "target.all[0]: country eq \"DE\", but it is \"AT\"; target.all[1]: age gte 5, but it is \
         \"young\", which is not of the rule's type; target.all[2]: app semver_gte \"5.2\", but it \
         is absent; target.all[3].not: not country in [\"AT\",\"CH\"], but it is \"AT\""
    );
    let want = json!({
        "path": "target.all[0]", "attr": "country", "op": "eq", "value": "DE", "negated": false,
        "got": "AT", "state": "differs",
    });
    assert_eq!(facts["rules"][0], want);
    assert_eq!(
        (&facts["rules"][2]["got"], &facts["rules"][2]["state"]),
        (&Json::Null, &json!("absent"))
    );
    assert_eq!(facts["rules"][3]["negated"], true);
}

#[test]
fn long_lists_and_many_rules_are_cut_and_counted() {
    let many: Vec<Json> = (0..1_000).map(|number| json!(format!("{number:0>80}"))).collect();
    let rule = json!({"attr": "country", "op": "in", "value": many});
    let rules: Vec<Json> = std::iter::repeat_n(rule, 20).collect();
    let HeldBack { why, facts } =
        held(&json!({"target": {"any": rules}}), Settings::default(), &[], 0);
    assert!(why.ends_with(", and 12 more") && why.len() < 6_000, "{}: {why}", why.len());
    assert_eq!(
        (&facts["rules_left_out"], facts["rules"].as_array().unwrap().len()),
        (&json!(12), 8)
    );
    assert!(facts.to_string().contains("(1000 values)"));
}

#[test]
fn history_is_told_with_its_moments() {
    let free = json!({"after_shown": "0s", "after_ignored": "0s", "ignore_after": "0s"});
    let with = |key: &str, value: Json| {
        let mut popup = free.clone();
        popup[key] = value;
        popup
    };
    assert_eq!(
        why(&json!({}), &[0], 1),
        "shown at 2026-01-05T13:00:00+01:00, after_shown is 1d; this opens at \
         2026-01-06T13:00:00+01:00"
    );
    let ignored = json!({"after_shown": "1h", "after_ignored": "never", "ignore_after": "5m"});
    assert_eq!(
        why(&ignored, &[0], 300_000),
        "shown at 2026-01-05T13:00:00+01:00, after_shown is 1h; ignored (no action within 5m), \
         after_ignored is never"
    );
    assert_eq!(
        why(&with("caps", json!([{"n": 2, "per": "1h"}])), &[0, 1_000], 2_000),
        "caps[0] allows 2 per 1h, and it was shown at 2026-01-05T13:00:01+01:00, \
         2026-01-05T13:00:00+01:00; this opens at 2026-01-05T14:00:00+01:00"
    );
    assert_eq!(
        why(&with("max_shows", json!(1)), &[0], 1),
        "shown 1 times, the latest at 2026-01-05T13:00:00+01:00; max_shows is 1"
    );
    let shut = why(&with("rollout", json!(12.5)), &[], 0);
    assert!(shut.starts_with("the user is at ") && shut.ends_with("rollout is 12.5 %"), "{shut}");
}

#[test]
fn limits_across_popups_are_told_with_their_counts() {
    let free = json!({"after_shown": "0s", "after_ignored": "0s", "ignore_after": "0s"});
    let said = |settings| held(&free, settings, &[0], 1);
    let quiet = said(Settings { quiet_time: DurationMs(60_000), ..Settings::default() });
    assert_eq!(
        quiet.why,
        "a popup was shown at 2026-01-05T13:00:00+01:00, and quiet_time is 1m; this opens at \
         2026-01-05T13:01:00+01:00"
    );
    let day = said(Settings { max_per_day: 1, ..Settings::default() });
    assert!(day.why.starts_with("1 popups were shown today in UTC, the latest at "), "{}", day.why);
    assert!(day.why.ends_with("this opens at 2026-01-06T01:00:00+01:00"), "{}", day.why);
    let session = said(Settings { max_per_session: 1, ..Settings::default() });
    assert_eq!(
        (&session.facts["max_per_session"], &session.facts["shows"]),
        (&json!(1), &json!(1))
    );
}
