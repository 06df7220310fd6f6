//! What `nudged vectors` prints and how it exits, and that a wrong expectation of each kind is
//! found.

use std::fs;

use serde_json::{Value, json};

use super::*;

/// A vector of one popup that is shown, held back and dismissed, with one expectation changed.
fn vector(step: usize, key: &str, value: &Value) -> Value {
    let mut steps = json!([
        {"at": "2026-01-05T08:00:00Z", "decide": {"user": "u1", "attrs": {"a": null, "b": [1, [2]]}},
         "expect": {"popup": "p", "variant": null, "content": {"b": 1, "a": [2]}, "reason": null,
                    "next_in": null}},
        {"at": "+1s", "decide": {"user": "u1"},
         "expect": {"popup": null, "content": null, "reason": "gap", "next_in": 86_399}},
        {"event": {"user": "u1", "action": "dismissed"},
         "expect": {"accepted": 1, "duplicate": 0, "rejected": null}},
        {"restart": true},
        {"event": {"user": "u1", "action": "dismissed"}, "expect": {"duplicate": 1}},
        {"event": {"user": "u2", "action": "dismissed"}, "expect": {"rejected": "bad_decision"}},
        {"event": {"user": "u1", "action": "dismissed", "popup": "q"},
         "expect": {"rejected": "bad_decision"}},
        {"event": {"user": "u1", "action": "dismissed", "back": 1},
         "expect": {"rejected": "bad_decision"}},
        {"event": {"user": "u1", "action": "closed"}, "expect": {"rejected": "unknown_action"}},
        {"set_popups": []},
        {"event": {"user": "u1", "action": "clicked"}, "expect": {"accepted": 1}},
        {"at": "+8d", "event": {"user": "u1", "action": "clicked"},
         "expect": {"rejected": "too_late"}},
        {"decide": {"user": "u1"}, "expect": {"reason": "none"}}
    ]);
    if !key.is_empty() {
        steps[step - 1]["expect"][key] = value.clone();
    }
    let popups = json!([{"id": "p", "content": {"a": [2], "b": 1}}]);
    json!({"name": "one", "settings": {}, "popups": popups, "steps": steps})
}

/// Runs files of these texts and returns exit code, output and errors.
fn run_texts(texts: &[String]) -> (u8, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        files.push(folder.path().join(format!("{number}.json")));
        fs::write(&files[number], text).unwrap();
    }
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let code = report(&files, &mut out, &mut errors).unwrap();
    (code, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
}

fn failures_of(vector: &Value) -> Vec<String> {
    play(&json!([vector]).to_string()).unwrap()
}

#[test]
fn the_last_line_counts_and_each_failure_is_told() {
    let (good, bad) = (vector(0, "", &json!(null)), vector(2, "next_in", &json!(1)));
    let texts = [json!([good, bad]).to_string(), json!([good]).to_string()];
    let (code, out, errors) = run_texts(&texts);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((code, lines.len(), errors.as_str()), (1, 2, ""));
    for part in ["0.json", "\"one\"", "step 2", "expected", "\"next_in\":1", "got", "86399"] {
        assert!(lines[0].contains(part), "{part}: {}", lines[0]);
    }
    assert_eq!(lines[1], "2 passed, 1 failed");
    assert_eq!(run_texts(&texts[1..]), (0, "1 passed, 0 failed\n".into(), String::new()));
    assert_eq!(run_texts(&["[]".into()]), (0, "0 passed, 0 failed\n".into(), String::new()));
}

#[test]
fn a_wrong_expectation_of_each_kind_is_found() {
    assert_eq!(failures_of(&vector(0, "", &json!(null))), Vec::<String>::new());
    let table = [
        (1, "popup", json!("q")),
        (1, "popup", json!(null)),
        (1, "variant", json!("")),
        (1, "content", json!({"a": [2]})),
        (1, "reason", json!("gap")),
        (1, "next_in", json!(1)),
        (2, "popup", json!("p")),
        (2, "reason", json!("quiet")),
        (2, "next_in", json!(null)),
        (3, "accepted", json!(0)),
        (3, "duplicate", json!(1)),
        (3, "rejected", json!("too_late")),
        (5, "duplicate", json!(0)),
        (6, "rejected", json!("too_late")),
        (12, "rejected", json!(null)),
    ];
    for (step, key, value) in table {
        let failures = failures_of(&vector(step, key, &value));
        assert_eq!(failures.len(), 1, "{step} {key} {value}: {failures:?}");
        assert!(failures[0].contains(&format!("step {step}:")), "{failures:?}");
    }
}

#[test]
fn requests_are_read_as_a_body_is() {
    // Numbers as they stand, not as a JSON library would write them; empty fields as absent.
    let vector = r#"[{"name": "texts", "settings": {"max_per_session": 1},
        "popups": [{"id": "p", "after_shown": "0s", "after_ignored": "0s",
            "content": {"l": ""}, "locales": {"zh_TW": {"l": "tw"}},
            "target": {"any": [{"attr": "v", "op": "eq", "value": "5.10"},
                {"attr": "l", "op": "contains", "value": "1.0"}]}}],
        "steps": [
        {"at": "2026-01-01T00:00:00Z", "decide": {"user": "u", "attrs": {"v": 5.10}, "session": "s"},
         "expect": {"popup": "p", "content": {"l": ""}}},
        {"at": "+1s", "decide": {"user": "u", "attrs": {"v": 5.10}, "session": "s"},
         "expect": {"popup": null, "reason": "session"}},
        {"decide": {"user": "u", "attrs": {"l": [1.0]}, "session": "", "placement": "", "tz": "",
            "locale": ""}, "expect": {"popup": "p", "content": {"l": ""}}},
        {"at": "+1s", "decide": {"user": "u", "attrs": {"v": "5.10"}, "locale": "ZH-tw-x"},
         "expect": {"popup": "p", "content": {"l": "tw"}}},
        {"at": "+1s", "decide": {"user": "u", "attrs": {"v": 5.1, "l": [1, 1.00]}},
         "expect": {"popup": null, "reason": "target"}}]}]"#;
    assert_eq!(play(vector).unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_not_vectors_is_exit_2_and_plays_nothing() {
    let step = json!({"at": "2026-01-05T08:00:00Z", "decide": {"user": "u1"}});
    let of_steps = |steps: Value| json!({"name": "x", "popups": [], "steps": steps});
    let with = |key: &str, value: Value| {
        let mut step = step.clone();
        step[key] = value;
        of_steps(json!([step]))
    };
    let at = |at: &str| of_steps(json!([{"at": at, "restart": true}]));
    let table = [
        (json!({"name": "x", "steps": [], "extra": 1}), "extra"),
        (json!({"name": "x", "steps": [], "settings": {"quiet": "1s"}}), "quiet"),
        (with("extra", json!(1)), "extra"),
        (with("expect", json!({"winner": "p"})), "winner"),
        (with("event", json!({"user": "u1", "action": "clicked"})), "one of"),
        (with("decide", json!({"user": "u1", "place": "home"})), "place"),
        (of_steps(json!([{"at": "2026-01-05T08:00:00Z"}])), "one of"),
        (of_steps(json!([{"restart": false}])), "one of"),
        (of_steps(json!([{"restart": true, "expect": {"popup": null}}])), "expect"),
        (of_steps(json!([{"decide": {"user": "u1"}}])), "absolute"),
        (of_steps(json!([{"at": "+1s", "restart": true}])), "absolute"),
        (at("yesterday"), "yesterday"),
        (at("2026-01-05T08:00:00"), "RFC 3339"),
        (at("+1 day"), "duration"),
    ];
    let good = json!([vector(0, "", &json!(null))]).to_string();
    for (vector, part) in table {
        let (code, out, errors) = run_texts(&[good.clone(), json!([vector]).to_string()]);
        assert_eq!((code, out.as_str()), (2, ""), "{vector}");
        assert!(errors.contains("1.json") && errors.contains(part), "{part}: {errors}");
    }
    let (code, _, errors) = run_texts(&["[{".into()]);
    assert!(code == 2 && errors.contains("line 1"), "{errors}");
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let missing = [PathBuf::from("/nonexistent/vectors.json")];
    assert_eq!(report(&missing, &mut out, &mut errors).unwrap(), 2);
    assert!(
        String::from_utf8(errors).unwrap().contains("/nonexistent/vectors.json: can't be read")
    );
}

#[test]
fn refused_popups_and_settings_fail_their_vector() {
    let good = vector(0, "", &json!(null));
    let changed = |key: &str, value: Value| {
        let mut vector = good.clone();
        vector[key] = value;
        vector
    };
    let mut reload = good.clone();
    reload["steps"][9]["set_popups"] = json!([{"id": "p", "max_shows": -1}]);
    let table = [
        (changed("popups", json!([{"id": "P"}])), "step 0: refused:"),
        (changed("settings", json!({"quiet_time": "soon"})), "quiet_time"),
        (changed("settings", json!({"tz": "Mars/Base"})), "tz"),
        (reload, "step 10: refused:"),
    ];
    for (vector, part) in table {
        let (code, out, _) = run_texts(&[json!([vector, good]).to_string()]);
        assert!(code == 1 && out.contains(part), "{out}");
        assert!(out.ends_with("\n1 passed, 1 failed\n"), "{out}");
    }
}

#[test]
fn versions_rise_with_changes_and_vanished_popups_are_archived() {
    let mut player = Player::new(&case::RawSettings::default(), &[]).unwrap();
    let table = [
        (json!([{"id": "p"}, {"id": "q"}]), vec![("p", 1, "Live"), ("q", 1, "Live")]),
        (json!([{"id": "p", "priority": 0}]), vec![("p", 1, "Live"), ("q", 1, "Archived")]),
        (json!([{"id": "p", "max_shows": 1}]), vec![("p", 2, "Live"), ("q", 1, "Archived")]),
        (json!([{"id": "q"}]), vec![("p", 2, "Archived"), ("q", 1, "Live")]),
        (json!([{"id": "q", "status": "draft"}]), vec![("p", 2, "Archived"), ("q", 2, "Draft")]),
    ];
    for (popups, want) in table {
        player.set_popups(popups.as_array().unwrap()).unwrap();
        let got: Vec<_> = player
            .snapshot
            .popups
            .iter()
            .map(|popup| (popup.id.to_string(), popup.version, format!("{:?}", popup.status)))
            .collect();
        let want: Vec<_> = want
            .into_iter()
            .map(|(id, version, status)| (id.to_owned(), version, status.to_owned()))
            .collect();
        assert_eq!(got, want, "{popups}");
    }
}
