//! Property: what a popup must not be is refused, at its field, with what is allowed.

use super::*;

/// The errors of a popup with one more field, as `field: message`.
pub(super) fn errors_with(field: &str, value: serde_json::Value) -> Vec<String> {
    let errors = parse_json_values(&[json!({"id": "p", field: value})]);
    let errors = errors.map(|read| read[0].canonical_json()).expect_err(field);
    let about_it = |error: &SourceError| {
        assert_eq!((error.line, error.popup.as_deref()), (None, Some("p")));
        format!("{}: {}", error.field, error.message)
    };
    errors.iter().map(about_it).collect()
}

/// Holds that a field is refused, each time with just the error expected.
fn refuses_each(cases: &[(&str, serde_json::Value, &str)]) {
    for (field, value, expected) in cases {
        assert_eq!(errors_with(field, value.clone()), [*expected]);
    }
}

#[test]
fn identity_and_schedule_are_held_to_their_ranges() {
    let window = |from: &str, to: &str| json!([{"from": from, "to": to}]);
    refuses_each(&[
        ("status", json!("alive"), "status: \"alive\" is not one of draft, live, paused, archived"),
        ("status", json!(1), "status: expected a text, found a number"),
        ("placement", json!("home"), "placement: expected a list of 1 to 8, found a text"),
        ("placement", json!([]), "placement: has 0 values; expected 1 to 8"),
        ("placement", json!(vec!["x"; 9]), "placement: has 9 values; expected 1 to 8"),
        ("placement", json!(["a", "a"]), "placement[1]: \"a\" appears twice"),
        ("placement", json!([""]), "placement[0]: has 0 bytes; expected 1 to 128"),
        ("placement", json!(["x".repeat(129)]), "placement[0]: has 129 bytes; expected 1 to 128"),
        ("placement", json!(["a\u{7f}"]), "placement[0]: control characters are not allowed"),
        (
            "priority",
            json!(1.5),
            "priority: 1.5 is not a whole number, -9223372036854775808 to 9223372036854775807",
        ),
        (
            "priority",
            json!(u64::MAX),
            "priority: 18446744073709551615 is out of range: expected -9223372036854775808 to 9223372036854775807",
        ),
        (
            "starts_at",
            json!("2026-01-01T00:00:00"),
            "starts_at: \"2026-01-01T00:00:00\" is not a date and time with an offset, \
             in the years 1 to 9998, such as 2026-03-01T00:00:00+01:00",
        ),
        (
            "windows",
            window("24:00", "01:00"),
            "windows[0].from: \"24:00\" is out of range: expected \"00:00\" to \"23:59\"",
        ),
        (
            "windows",
            window("00:00", "24:01"),
            "windows[0].to: \"24:01\" is out of range: expected \"00:00\" to \"24:00\"",
        ),
        (
            "windows",
            window("9:00", "10:00"),
            "windows[0].from: \"9:00\" is out of range: expected \"00:00\" to \"23:59\"",
        ),
        (
            "windows",
            window("09:60", "10:00"),
            "windows[0].from: \"09:60\" is out of range: expected \"00:00\" to \"23:59\"",
        ),
        ("windows", json!([{"to": "01:00"}]), "windows[0].from: is missing"),
        ("windows", json!([{"from": "01:00"}]), "windows[0].to: is missing"),
        (
            "windows",
            json!([{"from": "01:00", "to": "02:00", "days": []}]),
            "windows[0].days: has 0 values; expected 1 to 7",
        ),
        (
            "tz",
            json!("Europe/Atlantis"),
            "tz: \"Europe/Atlantis\" is neither a zone of the tz database nor \"user\"",
        ),
    ]);
}

#[test]
fn limits_are_held_to_their_ranges() {
    canonical(json!({"id": "p", "after_shown": "5200w"}));
    let cap = |n: i64, per: &str| json!([{"n": n, "per": per}]);
    refuses_each(&[
        ("max_shows", json!(-1), "max_shows: -1 is out of range: expected 0 to 4294967295"),
        (
            "max_shows",
            json!(1u64 << 32),
            "max_shows: 4294967296 is out of range: expected 0 to 4294967295",
        ),
        (
            "max_shows",
            json!(null),
            "max_shows: expected a whole number, 0 to 4294967295, found null",
        ),
        ("caps", cap(0, "1h"), "caps[0].n: 0 is out of range: expected 1 to 16"),
        ("caps", cap(17, "1h"), "caps[0].n: 17 is out of range: expected 1 to 16"),
        ("caps", cap(1, "0s"), "caps[0].per: must be longer than 0"),
        (
            "caps",
            cap(1, "never"),
            "caps[0].per: \"never\" is not a duration such as \"24h\" or \"1h30m\" (ms s m h d w)",
        ),
        (
            "caps",
            json!(vec![json!({"n": 1, "per": "1s"}); 11]),
            "caps: has 11 values; expected 0 to 10",
        ),
        ("after_clicked", json!("5300w"), "after_clicked: \"5300w\" is longer than 100 years"),
        (
            "ignore_after",
            json!("never"),
            "ignore_after: \"never\" is not a duration such as \"24h\" or \"1h30m\" (ms s m h d w)",
        ),
    ]);
}

#[test]
fn audience_and_contents_are_held_to_their_ranges() {
    refuses_each(&[
        ("rollout", json!(100.1), "rollout: 100.1 is out of range: expected 0 to 100"),
        ("rollout", json!(-1), "rollout: -1 is out of range: expected 0 to 100"),
        ("rollout", json!("50"), "rollout: expected a number, 0 to 100, found a text"),
        ("quiet_exempt", json!("true"), "quiet_exempt: expected true or false, found a text"),
        ("on_failure", json!("show"), "on_failure: \"show\" is not one of hide, local"),
        ("content", json!([]), "content: expected a table, found a list"),
        (
            "locales",
            json!({"de_at": {}, "DE_AT": {}}),
            "locales.DE_AT: is the same locale as \"de_at\": case is ignored, and _ counts as -",
        ),
        (
            "locales",
            json!({"zh_TW": {}, "zh": {}, "zh-TW": {}}),
            "locales.zh-TW: is the same locale as \"zh_TW\": case is ignored, and _ counts as -",
        ),
        (
            "variants",
            json!([{"key": "a", "locales": {"pt-BR": {}, "PT_br": {}}}]),
            "variants[0].locales.PT_br: is the same locale as \"pt-BR\": case is ignored, \
             and _ counts as -",
        ),
        ("locales", json!({"ü": {}}), "locales.ü: is not a locale, such as de or pt-BR"),
        ("locales", json!({"de": 1}), "locales.de: expected a table, found a number"),
        ("variants", json!([]), "variants: has 0 values; expected 1 to 64"),
        ("variants", json!([{"key": ""}]), "variants[0].key: has 0 bytes; expected 1 to 64"),
        ("variants", json!([{"weight": 1}]), "variants[0].key: is missing"),
        ("variants", json!([{"key": "a"}, {"key": "a"}]), "variants[1].key: \"a\" appears twice"),
        (
            "variants",
            json!([{"key": "a", "weight": 0}]),
            "variants: all weights are 0; at least one must be greater",
        ),
        (
            "variants",
            json!([{"key": "a", "weight": 1_000_001}]),
            "variants[0].weight: 1000001 is out of range: expected 0 to 1000000",
        ),
        ("prioriti", json!(1), "prioriti: unknown key; did you mean priority?"),
    ]);
}

#[test]
fn counts_and_sizes_are_held_to_their_limits_and_reach_them() {
    let windows = |count| json!(vec![json!({"from": "00:00", "to": "01:00"}); count]);
    let variants =
        |count: usize| json!((0..count).map(|n| json!({"key": n.to_string()})).collect::<Vec<_>>());
    let key = |bytes| json!([{"key": "k".repeat(bytes)}]);
    let locales = |count: usize| {
        (0..count).map(|n| (n.to_string(), json!({}))).collect::<serde_json::Map<_, _>>().into()
    };
    // {"t":"..."} has 8 bytes beside its text.
    let content = |bytes: usize| json!({"t": "x".repeat(bytes - 8)});
    let nested = |levels| (1..levels).fold(json!({}), |inner, _| json!({"a": inner}));
    let listed = |levels| json!({"a": (2..levels).fold(json!([]), |inner, _| json!([inner]))});
    type Make<'a> = &'a dyn Fn(usize) -> serde_json::Value;
    let cases: [(&str, Make<'_>, usize); 7] = [
        ("windows", &windows, WINDOWS_MAX),
        ("variants", &variants, VARIANTS_MAX),
        ("variants", &key, VARIANT_KEY_BYTES_MAX),
        ("locales", &locales, LOCALES_MAX),
        ("content", &content, CONTENT_BYTES_MAX),
        ("content", &nested, CONTENT_DEPTH_MAX),
        ("content", &listed, CONTENT_DEPTH_MAX),
    ];
    for (field, make, max) in cases {
        let text = canonical(json!({"id": "p", field: make(max)}));
        parse_json_popup(&text).unwrap();
        let errors = errors_with(field, make(max + 1));
        assert!(errors.len() == 1 && errors[0].contains(&max.to_string()), "{errors:?}");
    }
}

#[test]
fn ids_are_plain_and_unique() {
    let cases = [
        (json!({}), "id: is missing"),
        (json!({"id": 7}), "id: expected a text, found a number"),
        (json!({"id": ""}), "id: \"\" is not [a-z0-9_-]{1,64}"),
        (json!({"id": "Sale"}), "id: \"Sale\" is not [a-z0-9_-]{1,64}"),
        (json!({"id": "a b"}), "id: \"a b\" is not [a-z0-9_-]{1,64}"),
    ];
    for (popup, expected) in cases {
        let errors = parse_json_values(&[popup]).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert_eq!(format!("{}: {}", errors[0].field, errors[0].message), expected);
    }
    let id = |bytes: usize| format!("[[popup]]\nid = \"{}\"\n", "x".repeat(bytes));
    assert!(parse_toml(&id(POPUP_ID_BYTES_MAX)).is_ok());
    assert!(parse_toml(&id(POPUP_ID_BYTES_MAX + 1)).is_err());

    let errors =
        parse_toml("[[popup]]\nid = \"a\"\n[[popup]]\nid = \"b\"\n[[popup]]\nid = \"a\"\n");
    let errors = errors.unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(
        errors[0].to_string(),
        "line 5: popup \"a\": id: is already used by another popup at line 1"
    );
}

#[test]
fn an_end_is_after_its_start() {
    let with = |starts_at: &str, ends_at: &str| {
        parse_toml(&format!("[[popup]]\nid = \"p\"\nends_at = {ends_at}\nstarts_at = {starts_at}"))
    };
    let moment = "2026-01-01T00:00:00Z";
    // The same moment in another zone.
    for ends_at in [moment, "2026-01-01T01:00:00+01:00", "2025-12-31T23:59:59.999Z"] {
        let errors = with(moment, ends_at).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].in_file("f"), "f:3: popup \"p\": ends_at: must be after starts_at");
    }
    assert!(with(moment, "2026-01-01T00:00:00.001Z").is_ok());
}

#[test]
fn moments_need_a_date_a_time_and_an_offset() {
    let good = [
        "2026-02-28T23:00:00Z",
        "2026-02-28 23:00:00.5-11:30",
        "0001-01-01T00:00:00Z",
        "9998-12-31T23:59:59.999Z",
    ];
    for moment in good {
        let text = canonical(json!({"id": "p", "starts_at": moment}));
        assert_eq!(parse_json_popup(&text).unwrap().canonical_json(), text);
    }
    let bad = [
        "2026-02-29T00:00:00Z",
        "2026-01-01",
        "10:00:00",
        "2026-01-01T10:00:00",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        "0000-12-31T00:00:00Z",
        "9998-12-31T23:59:59.9991Z",
        "9999-06-01T00:00:00Z",
        "tomorrow",
        "",
        "2026-01-01T00:00:00+01:00[Europe/Berlin]",
    ];
    for moment in bad {
        assert_eq!(errors_with("starts_at", json!(moment)).len(), 1, "{moment}");
    }
    let local = parse_toml("[[popup]]\nid = \"p\"\nstarts_at = 2026-01-01T00:00:00").unwrap_err();
    assert!(local[0].message.contains("with an offset"), "{local:?}");
}

#[test]
fn numbers_that_json_lacks_are_refused() {
    for number in ["inf", "-inf", "nan", "1e999"] {
        let text =
            format!("[[popup]]\nid = \"p\"\nrollout = {number}\n[popup.content]\na = [{number}]\n");
        let errors = parse_toml(&text).unwrap_err();
        let places: Vec<_> =
            errors.iter().map(|error| (error.line, error.field.as_str())).collect();
        assert_eq!(places, [(Some(3), "rollout"), (Some(5), "content.a[0]")], "{number}");
    }
    assert!(parse_json(r#"[{"id":"p","content":{"a":1e999}}]"#).is_err());
}

#[test]
fn every_error_is_said_with_its_line_and_its_popup() {
    let text = "\
[[popup]]
id = \"x\"
caps = [
  { n = 1, per = \"1h\" },
  { n = 17, per = \"1 hour\" },
]
colour = \"red\"

[[popup]]
id = \"y\"
[popup.target]
attr = \"a\"
op = \"is\"
value = 1
[popup.locales.de]
t = inf

[[popup]]
title = \"no id\"

[settings]
";
    let errors = parse_toml(text).unwrap_err();
    let lines: Vec<_> = errors.iter().map(|error| error.in_file("popups.toml")).collect();
    let starts = [
        "popups.toml:5: popup \"x\": caps[1].n: 17 is out of range: expected 1 to 16",
        "popups.toml:5: popup \"x\": caps[1].per: \"1 hour\" is not a duration",
        "popups.toml:7: popup \"x\": colour: unknown key; expected one of id, status",
        "popups.toml:13: popup \"y\": target.op: \"is\" is not one of eq",
        "popups.toml:16: popup \"y\": locales.de.t: \"inf\" is not a valid JSON number",
        "popups.toml:18: id: is missing",
        "popups.toml:19: title: unknown key; expected one of",
        "popups.toml:21: settings: unknown key; the only key here is popup",
    ];
    assert_eq!(lines.len(), starts.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}\n{start}");
    }
}

#[test]
fn syntax_errors_have_their_lines() {
    let errors = parse_toml("[[popup]]\nid = \"p\"\nid = \"q\"\nx = \n").unwrap_err();
    let lines: Vec<_> = errors.iter().map(|error| error.line).collect();
    assert_eq!(lines, [Some(3), Some(4)], "{errors:?}");
    let cases = [
        ("", 1, "the text ends in the middle of a value"),
        ("[\n{\"id\":\"p\",\n}]", 3, "expected a key in quotes"),
        ("[\n{\"id\":\"p\"\n\n,\"id\":\"q\"}]", 4, "the key appears twice"),
        ("[]\n\nx", 3, "unexpected text after the value"),
        ("[01]", 1, "not a valid JSON number"),
        ("[\"\\ud800\"]", 1, "not a valid JSON escape, or half of a surrogate pair"),
        ("[\"a\tb\"]", 1, "a control character in a string must be escaped"),
        ("[1 2]", 1, "expected ',' or the end of the list or object"),
        ("{\"a\" 1}", 1, "expected ':' after the key"),
        ("[nul]", 1, "expected a value"),
    ];
    for (text, line, message) in cases {
        let errors = parse_json(text).unwrap_err();
        let expected = SourceError::of_text(line, &format!("not JSON: {message}"));
        assert_eq!(errors, [expected], "{text:?}");
    }
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(json::from_json(&nested(SOURCE_DEPTH_MAX)).is_ok());
    let errors = parse_json(&nested(SOURCE_DEPTH_MAX + 1)).unwrap_err();
    assert!(errors[0].message.contains("64 levels"), "{errors:?}");
    assert!(parse_json(&"[".repeat(1_000_000)).is_err());
    for text in ["7", "{\"popups\":[]}", "{\"popup\":{}}", "[7]"] {
        assert_eq!(parse_json(text).unwrap_err().len(), 1, "{text}");
    }
    assert_eq!(
        parse_toml("[popup]\nid = \"p\"").unwrap_err()[0].message,
        "expected a list: write [[popup]]"
    );
}
