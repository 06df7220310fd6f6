//! Property: what can never be seen is warned of, and what can be is not.

use serde_json::{Value, json};

use super::*;
use crate::catalog::compile::{CatalogEntry, compile};
use crate::catalog::source::{Definition, parse_json_values};

fn compiled(settings: Settings, popups: &[Value]) -> Snapshot {
    let definitions = parse_json_values(popups).unwrap();
    let entry = |definition| CatalogEntry {
        definition,
        version: 1,
        status: Definition::status(definition),
    };
    let entries: Vec<_> = definitions.iter().map(entry).collect();
    compile(&entries, settings, 1).unwrap()
}

fn warnings_with(settings: Settings, popups: &[Value]) -> Vec<String> {
    lint(&compiled(settings, popups)).iter().map(ToString::to_string).collect()
}

fn warnings(popups: &[Value]) -> Vec<String> {
    warnings_with(Settings::default(), popups)
}

/// Whether a target is warned of as one that nobody can match.
fn never(target: Value) -> bool {
    let found = warnings(&[json!({"id": "p", "target": target})]);
    found.iter().any(|warning| warning == "popup \"p\": target: no user can match it")
}

fn clause(text: &str) -> Value {
    let mut parts = text.splitn(3, ' ');
    let (attr, op) = (parts.next().unwrap(), parts.next().unwrap());
    let value: Value = serde_json::from_str(parts.next().unwrap()).unwrap();
    json!({"attr": attr, "op": op, "value": value})
}

#[test]
fn a_plain_popup_has_no_warnings() {
    assert!(warnings(&[json!({"id": "p"}), json!({"id": "q", "target": {"all": []}})]).is_empty());
}

#[test]
fn constant_targets_never_match() {
    let cases = [
        (json!({"any": []}), true),
        (json!({"not": {"all": []}}), true),
        (json!({"not": {"not": {"any": []}}}), true),
        (json!({"all": [clause("a eq 1"), {"any": []}]}), true),
        (json!({"any": [{"any": []}, {"not": {"all": []}}]}), true),
        (json!({"any": [{"any": []}, clause("a eq 1")]}), false),
        (json!({"not": {"any": []}}), false),
        (json!({"not": clause("a eq 1")}), false),
        (json!({"all": []}), false),
    ];
    for (target, expected) in cases {
        assert_eq!(never(target.clone()), expected, "{target}");
    }
}

#[test]
fn contradicting_clauses_never_match() {
    let contradictions = [
        ("a eq 1", "a eq 2"),
        ("a eq \"x\"", "a eq \"y\""),
        ("a eq \"x\"", "a eq 1"),
        ("a eq true", "a eq 1"),
        ("a eq true", "a eq false"),
        ("a in [1,2]", "a in [3,4]"),
        ("a eq 1", "a ne 1"),
        ("a in [1,3]", "a not_in [3,1,2]"),
        ("a exists false", "a exists true"),
        ("a exists false", "a eq 1"),
        ("a exists false", "a ne 1"),
        ("a lt 5", "a gt 5"),
        ("a lt 5", "a gte 5"),
        ("a lte 5", "a gt 5"),
        ("a lte 4.5", "a gte 5"),
        ("a lt \"b\"", "a gt \"c\""),
        ("a eq 7", "a lt 7"),
        ("a in [1,2]", "a gt 2"),
        ("a eq \"7\"", "a lt 7"),
        ("a eq \"x\"", "a lt 7"),
        ("a semver_lt \"5.2\"", "a semver_gte \"5.2.0\""),
        ("a semver_lt \"5.2.0-rc.1\"", "a semver_gt \"5.2.0\""),
        ("a eq \"5.1\"", "a semver_gte \"5.2\""),
        ("a eq \"x\"", "a semver_gte \"5.2\""),
        ("a eq \"abc\"", "a starts_with \"b\""),
        ("a eq \"abc\"", "a ends_with \"b\""),
        ("a eq \"abc\"", "a contains \"d\""),
        ("a in [\"abc\",\"b\"]", "a matches \"^c\""),
        ("a starts_with \"ab\"", "a starts_with \"ac\""),
        ("a ends_with \"ab\"", "a ends_with \"cb\""),
    ];
    for (one, other) in contradictions {
        let (a, b) = (clause(one), clause(other));
        assert!(never(json!({"all": [a, b]})), "{one} and {other}");
        assert!(never(json!({"all": [b, {"all": [{"any": [a]}]}]})), "{other} and {one}, nested");
        let at_b = other.replacen('a', "b", 1);
        assert!(!never(json!({"all": [a, clause(&at_b)]})), "{one} and {at_b}");
        assert!(!never(json!({"any": [a, b]})), "{one} or {other}");
    }
    let (is_one, not_one) = (clause("a eq 1"), json!({"not": clause("a eq 1")}));
    assert!(never(json!({"all": [is_one, not_one]})));
    assert!(never(json!({"all": [clause("a lt 5"), {"not": clause("a lt 5")}]})));
    assert!(never(json!({"all": [clause("a exists true"), {"not": clause("a exists true")}]})));
    assert!(never(json!({"all": [clause("a exists false"), {"not": clause("a contains \"x\"")}]})));
}

#[test]
fn clauses_that_can_both_hold_are_not_warned_of() {
    let possible = [
        ("a eq 1", "a eq 1.0"),
        // A text that reads as the number is that text, too.
        ("a eq \"1\"", "a eq 1"),
        ("a eq \"1.0\"", "a eq 1"),
        ("a eq \"true\"", "a eq true"),
        ("a in [1,2]", "a in [2,3]"),
        ("a in [1,2]", "a not_in [1]"),
        ("a eq 1", "a ne 2"),
        ("a eq 1", "a ne \"1\""),
        ("a exists true", "a eq 1"),
        ("a lte 5", "a gte 5"),
        ("a lt 6", "a gt 5"),
        ("a gt 5", "a gt 6"),
        ("a lt 5", "a gt \"5\""),
        ("a eq 7", "a lte 7"),
        // A list has many members.
        ("a contains \"x\"", "a contains \"y\""),
        ("a eq 1", "a contains 1"),
        ("a semver_lte \"5.2\"", "a semver_gte \"v5.2.0\""),
        ("a eq \"5.2\"", "a semver_gte \"5.2\""),
        ("a starts_with \"a\"", "a starts_with \"ab\""),
        ("a ends_with \"b\"", "a ends_with \"ab\""),
        ("a eq 1", "a starts_with \"1\""),
        ("a eq \"abc\"", "a matches \"b\""),
    ];
    for (one, other) in possible {
        let (a, b) = (clause(one), clause(other));
        assert!(!never(json!({"all": [a, b]})), "{one} and {other}");
        assert!(!never(json!({"all": [b, a]})), "{other} and {one}");
    }
}

#[test]
fn texts_that_read_as_numbers_and_are_compared_as_texts_are_warned_of() {
    let warned = |clauses: &[&str]| {
        let all: Vec<_> = clauses.iter().map(|text| clause(text)).collect();
        warnings(&[json!({"id": "p", "target": {"not": {"any": [{"all": all}]}}})])
    };
    let is_told = |op: &str, text: &str| {
        format!(
            "popup \"p\": target: \"a\" {op} \"{text}\" compares byte by byte (\"10\" sorts before \"9\"): \
             remove the quotes to compare numbers"
        )
    };
    for op in ["lt", "lte", "gt", "gte"] {
        for text in ["18", "-1", "5.10", "1e3"] {
            assert_eq!(warned(&[&format!("a {op} \"{text}\"")]), [is_told(op, text)]);
        }
    }
    let both = ["a lt \"9\"", "a gt \"1\"", "b eq \"7\""];
    assert_eq!(warned(&both), [is_told("lt", "9"), is_told("gt", "1")]);
    let spared = ["a lt 18", "a lt \"b\"", "a gt \"2026-01-01\"", "a gte \"05\"", "a eq \"18\""];
    for text in spared {
        assert_eq!(warned(&[text]), [""; 0], "{text}");
    }
}

#[test]
fn an_empty_rollout_is_warned_of() {
    let rollout = |rollout: f64| warnings(&[json!({"id": "p", "rollout": rollout})]);
    assert_eq!(rollout(0.0), ["popup \"p\": rollout: too small to include any user"]);
    assert!(rollout(0.001).is_empty());
}

#[test]
fn windows_that_miss_the_schedule_are_warned_of() {
    // 2026-01-05 is a Monday.
    let popup = |ends_at: &str, tz: &str| {
        json!({"id": "p", "starts_at": "2026-01-05T00:00:00Z", "ends_at": ends_at, "tz": tz,
            "windows": [{"days": ["wed"], "from": "09:00", "to": "10:00"}]})
    };
    let never = ["popup \"p\": windows: none opens between starts_at and ends_at"];
    assert_eq!(warnings(&[popup("2026-01-07T09:00:00Z", "UTC")]), never);
    assert!(warnings(&[popup("2026-01-07T09:00:00.001Z", "UTC")]).is_empty());
    assert!(warnings(&[popup("2026-01-07T09:00:00Z", "Europe/Berlin")]).is_empty());
    assert!(warnings(&[popup("2026-01-07T09:00:00Z", "user")]).is_empty());
    // Open at the very start.
    let at_start = json!({"id": "p", "starts_at": "2026-01-07T09:30:00Z",
        "ends_at": "2026-01-07T09:31:00Z",
        "windows": [{"days": ["wed"], "from": "09:00", "to": "10:00"}]});
    assert!(warnings(&[at_start]).is_empty());
}

#[test]
fn variants_without_weight_are_warned_of() {
    let variants = json!([{"key": "a", "weight": 0}, {"key": "b", "weight": 1}]);
    let found = warnings(&[json!({"id": "p", "variants": variants})]);
    assert_eq!(found, ["popup \"p\": variants: \"a\" has weight 0, so no user gets it"]);
}

/// A popup that returns at once, with more fields.
fn greedy(more: Value) -> Value {
    let mut popup = json!({"id": "greedy", "priority": 1, "after_shown": "0s",
        "after_ignored": "0s", "after_dismissed": "0s", "after_clicked": "0s",
        "after_converted": "0s"});
    for (key, value) in more.as_object().unwrap() {
        popup[key] = value.clone();
    }
    popup
}

#[test]
fn a_popup_that_another_always_wins_against_is_warned_of() {
    let shadowed =
        ["popup \"p\": never shown: popup \"greedy\" always wins against it at \"home\""];
    let plain = json!({"id": "p"});
    assert_eq!(warnings(&[greedy(json!({})), plain.clone()]), shadowed);
    assert_eq!(warnings(&[greedy(json!({"target": {"all": []}})), plain.clone()]), shadowed);
    let wide =
        greedy(json!({"starts_at": "2026-01-01T00:00:00Z", "ends_at": "2026-06-01T00:00:00Z"}));
    let narrow =
        json!({"id": "p", "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2026-06-01T00:00:00Z"});
    assert_eq!(warnings(&[wide.clone(), narrow]), shadowed);

    let spared = [
        greedy(json!({"priority": -1})),
        greedy(json!({"status": "paused"})),
        greedy(json!({"placement": ["cart"]})),
        greedy(json!({"target": clause("a eq 1")})),
        greedy(json!({"windows": [{"from": "00:00", "to": "24:00"}]})),
        greedy(json!({"rollout": 99})),
        greedy(json!({"max_shows": 5})),
        greedy(json!({"caps": [{"n": 1, "per": "1s"}]})),
        greedy(json!({"after_shown": "1ms"})),
        greedy(json!({"after_ignored": "1ms"})),
        greedy(json!({"after_clicked": "never"})),
        greedy(json!({"starts_at": "2026-01-01T00:00:00Z"})),
        wide,
    ];
    for popup in spared {
        assert!(warnings(&[popup.clone(), plain.clone()]).is_empty(), "{popup}");
    }
    // At one of its placements it can still be seen.
    assert!(
        warnings(&[greedy(json!({})), json!({"id": "p", "placement": ["home", "x"]})]).is_empty()
    );
    // When state can't be read, only the lower one is decided on.
    assert!(warnings(&[greedy(json!({})), json!({"id": "p", "on_failure": "local"})]).is_empty());
}

#[test]
fn quiet_time_spares_a_popup_that_is_exempt_from_it() {
    let exempt = json!({"id": "p", "quiet_exempt": true});
    let quiet = || Settings::parse("1h", 0, 0, "UTC").unwrap();
    assert_eq!(warnings(&[greedy(json!({})), exempt.clone()]).len(), 1);
    assert!(warnings_with(quiet(), &[greedy(json!({})), exempt.clone()]).is_empty());
    let both = [greedy(json!({"quiet_exempt": true})), exempt];
    assert_eq!(warnings_with(quiet(), &both).len(), 1);
    assert_eq!(warnings_with(quiet(), &[greedy(json!({})), json!({"id": "p"})]).len(), 1);
}

#[test]
fn more_popups_than_a_user_remembers_are_warned_of() {
    let popup = |n: usize, status: &str| json!({"id": format!("p{n}"), "status": status});
    let mut popups: Vec<_> = (0..USER_POPUPS_MAX).map(|n| popup(n, "live")).collect();
    popups.extend([popup(100, "draft"), popup(101, "archived")]);
    // Nothing to remember of this one.
    popups.push(greedy(json!({"priority": -1})));
    assert!(warnings(&popups).is_empty());
    popups.push(popup(102, "paused"));
    let found = warnings(&popups);
    assert!(found.len() == 1 && found[0].starts_with("65 popups may be shown"), "{found:?}");
}

#[test]
fn archived_popups_have_no_warnings() {
    assert!(warnings(&[json!({"id": "p", "status": "archived", "rollout": 0})]).is_empty());
}

#[test]
fn live_popups_that_have_ended_are_warned_of_by_the_time_given() {
    let popup = |id: &str, status: &str, ends_at: Value| json!({"id": id, "status": status, "ends_at": ends_at});
    let ends_at = || json!("2026-01-01T00:00:00Z");
    let popups = [
        popup("live", "live", ends_at()),
        popup("draft", "draft", ends_at()),
        popup("paused", "paused", ends_at()),
        popup("archived", "archived", ends_at()),
        popup("later", "live", json!("2026-01-01T00:00:00.001Z")),
        json!({"id": "endless"}),
    ];
    let snapshot = compiled(Settings::default(), &popups);
    let end = snapshot.popups.iter().find(|popup| &*popup.id == "live").unwrap().ends_at.unwrap();
    assert_eq!(ended(&snapshot, WallMs(end.0 - 1)), []);
    let want = Warning { popup: Some("live".to_owned()), problem: LintProblem::Ended };
    assert_eq!(ended(&snapshot, end), [want]);
    assert_eq!(ended(&snapshot, WallMs(end.0 + 1)).len(), 2);
    assert!(lint(&snapshot).is_empty());
}

#[test]
fn a_link_that_is_a_script_is_warned_of_wherever_it_stands() {
    let script = "javascript:alert(1)";
    let told = |popup: Value| warnings(&[popup]);
    let of = |field: &str, member: &str| {
        let rest = "is a script and no address: a page that opens it as a link runs it, and \
                    nudge.js leaves it out";
        vec![format!("popup \"p\": {field}: \"{member}\" {rest}")]
    };
    assert_eq!(told(json!({"id": "p", "content": {"url": script}})), of("content", "url"));
    let locales = json!({"de": {"imageUrl": script}, "fr": {"imageUrl": script}});
    assert_eq!(told(json!({"id": "p", "locales": locales})), of("content", "imageUrl"));
    let variants = json!([{"key": "a"}, {"key": "b", "content": {"link": script}}]);
    assert_eq!(told(json!({"id": "p", "variants": variants})), of("variants", "link"));
    let plain =
        json!({"title": "JavaScript: an introduction", "url": "https://example.com/", "n": 1});
    assert_eq!(told(json!({"id": "p", "content": plain})), Vec::<String>::new());
}
