//! Property: a text of popups is either read whole, and reads back from its canonical text as
//! itself, or refused with each of its errors: line, popup, field, and what is allowed.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::catalog::schedule::{Window, Zone};
use crate::catalog::snapshot::{OnFailure, ShowOutcome};
use nudged_base::limits::*;
use nudged_base::time::{DurationMs, Gap, WallMs};

mod refusals;
mod targets;

fn one(text: &str) -> Popup {
    let mut read = parse_toml(text).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert_eq!(read.len(), 1);
    read.pop().unwrap().popup
}

fn canonical(popup: serde_json::Value) -> String {
    let read = parse_json_popup(&popup.to_string()).unwrap_or_else(|errors| panic!("{errors:?}"));
    read.canonical_json()
}

#[test]
fn a_popup_of_nothing_but_an_id_has_the_defaults() {
    let popup = one("[[popup]]\nid = \"p\"");
    let day = Gap::After(DurationMs::DAY);
    assert_eq!((&*popup.id, popup.key), ("p", nudged_base::ids::PopupKey::of("p")));
    assert_eq!((popup.status, popup.priority, popup.placements.len()), (Status::Live, 0, 1));
    assert_eq!(&*popup.placements[0], "home");
    assert_eq!((popup.starts_at, popup.ends_at), (None, None));
    assert!(popup.windows.is_empty() && popup.caps.is_empty() && popup.target.is_none());
    assert!(matches!(&popup.zone, Zone::Fixed(zone) if *zone == jiff::tz::TimeZone::UTC));
    assert_eq!((popup.max_shows, popup.ignore_after), (0, DurationMs(300_000)));
    assert_eq!((popup.after_shown, popup.after(ShowOutcome::Ignored)), (day, day));
    assert_eq!(popup.after(ShowOutcome::Dismissed), Gap::After(DurationMs(7 * 86_400_000)));
    assert_eq!(popup.after(ShowOutcome::Clicked), Gap::Never);
    assert_eq!(popup.after(ShowOutcome::Converted), Gap::Never);
    assert_eq!((popup.rollout_below, popup.weight_total), (1 << 64, 1));
    assert_eq!((popup.quiet_exempt, popup.on_failure), (false, OnFailure::Hide));
    let [variant] = &popup.variants[..] else { panic!("one variant") };
    assert_eq!((&*variant.key, variant.weight, &*variant.content.0), ("", 1, "{}"));
    assert!(variant.locales.is_empty());
}

#[test]
fn every_field_is_read() {
    let text = r#"
        [[popup]]
        id = "spring-sale"
        status = "paused"
        placement = ["home", "cart"]
        priority = -3
        starts_at = 2026-03-01T00:00:00+01:00
        ends_at = "2026-04-01T00:00:00.0001+02:00"
        windows = [
            { days = ["mon", "sun"], from = "09:05", to = "24:00" },
            { from = "22:00", to = "00:00" },
        ]
        tz = "europe/berlin"
        max_shows = 3
        caps = [{ n = 16, per = "1w" }]
        after_shown = "0s"
        after_ignored = "never"
        after_dismissed = "1ms"
        after_clicked = "1h30m"
        after_converted = "2d"
        ignore_after = "0s"
        rollout = 50
        quiet_exempt = true
        on_failure = "local"
        [popup.content]
        z = 1
        a = 0x10
        [popup.locales.pt-BR]
        [popup.locales.de]
        at = 2026-03-01T00:00:00Z
        "#;
    let popup = one(text);
    assert_eq!((popup.status, popup.priority), (Status::Paused, -3));
    assert_eq!(popup.placements, ["home".into(), "cart".into()]);
    assert_eq!(popup.starts_at, Some(WallMs(1_772_319_600_000)));
    // A part of a millisecond counts as a whole one.
    assert_eq!(popup.ends_at, Some(WallMs(1_774_994_400_001)));
    let windows = [
        Window { days: 0b100_0001, from_minute: 545, to_minute: 1_440 },
        Window { days: 0x7f, from_minute: 1_320, to_minute: 1_440 },
    ];
    assert_eq!(popup.windows, windows);
    assert!(matches!(&popup.zone, Zone::Fixed(z) if z.iana_name() == Some("Europe/Berlin")));
    assert_eq!((popup.max_shows, popup.caps.len(), popup.caps[0].n), (3, 1, 16));
    assert_eq!(popup.caps[0].per, DurationMs(7 * 86_400_000));
    assert_eq!(popup.after_shown, Gap::After(DurationMs(0)));
    assert_eq!(popup.after(ShowOutcome::Ignored), Gap::Never);
    assert_eq!(popup.after(ShowOutcome::Dismissed), Gap::After(DurationMs(1)));
    assert_eq!(popup.after(ShowOutcome::Clicked), Gap::After(DurationMs(5_400_000)));
    assert_eq!(popup.after(ShowOutcome::Converted), Gap::After(DurationMs(2 * 86_400_000)));
    assert_eq!((popup.ignore_after, popup.rollout_below), (DurationMs(0), 1 << 63));
    assert_eq!((popup.quiet_exempt, popup.on_failure), (true, OnFailure::Local));
    // The order of keys is kept, dates become texts, tags are lower case and sorted.
    assert_eq!(&*popup.variants[0].content.0, r#"{"z":1,"a":16}"#);
    let locales: Vec<_> = popup.variants[0].locales.iter().map(|(t, c)| (&**t, &*c.0)).collect();
    assert_eq!(locales, [("de", r#"{"at":"2026-03-01T00:00:00Z"}"#), ("pt-br", "{}")]);
}

#[test]
fn variants_are_read() {
    let variants = json!([
        {"key": "a", "content": {"t": 1}},
        {"key": "b", "weight": 0, "locales": {"DE": {"t": 2}}},
        {"key": "c", "weight": 1_000_000},
    ]);
    let popup = parse_json_popup(&json!({"id": "p", "variants": variants}).to_string());
    let popup = popup.unwrap().popup;
    assert_eq!(popup.weight_total, 1_000_001);
    let weights: Vec<_> = popup.variants.iter().map(|v| (&*v.key, v.weight)).collect();
    assert_eq!(weights, [("a", 1), ("b", 0), ("c", 1_000_000)]);
    assert_eq!(&*popup.variants[1].locales[0].0, "de");
}

#[test]
fn content_is_returned_as_it_is_written() {
    let content = concat!(
        r#"{"b":1.50,"a":[1e3,-0,null,true,{"é":"\u00e9\n\"\\\ud83d\ude00/"}],"#,
        r#""big":123456789012345678901234567890}"#
    );
    let read = parse_json_popup(&format!(r#"{{"id":"p", "content" : {content} }}"#)).unwrap();
    let text = &*read.popup.variants[0].content.0;
    // Numbers keep their digits; escapes give way to what they stand for.
    let expected = content.replace("\\u00e9", "é").replace("\\ud83d\\ude00", "😀");
    assert_eq!(text, expected);
    let as_json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(as_json(text), as_json(content));
}

#[test]
fn texts_that_mean_the_same_have_one_canonical_text() {
    let spelt_out = json!({
        "locales": {}, "content": {}, "on_failure": "hide", "quiet_exempt": false,
        "rollout": 100.0, "ignore_after": "300s", "after_converted": "never",
        "after_clicked": "never", "after_dismissed": "1w", "after_ignored": "24h",
        "after_shown": "1d", "caps": [], "max_shows": 0, "tz": "utc", "windows": [],
        "priority": 0, "placement": ["home"], "status": "live", "id": "p",
    });
    assert_eq!(canonical(spelt_out), r#"{"id":"p"}"#);
    let (a, b) = (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#);
    let with = |content: &str| format!(r#"{{"id":"p","content":{content}}}"#);
    assert_ne!(parse_json_popup(&with(a)).unwrap(), parse_json_popup(&with(b)).unwrap());
}

#[test]
fn each_changed_field_changes_the_canonical_text() {
    let changes = json!({
        "status": "draft", "placement": ["x"], "priority": 1, "starts_at": "2026-01-01T00:00:00Z",
        "ends_at": "2026-01-01T00:00:00Z", "windows": [{"from": "01:00", "to": "02:00"}],
        "tz": "user", "max_shows": 1, "caps": [{"n": 1, "per": "1s"}], "after_shown": "1s",
        "after_ignored": "1s", "after_dismissed": "1s", "after_clicked": "1s",
        "after_converted": "1s", "ignore_after": "1s", "rollout": 99.9,
        "variants": [{"key": "a"}], "quiet_exempt": true, "on_failure": "local",
        "target": {"all": []}, "content": {"a": 1}, "locales": {"de": {}},
    });
    let changes = changes.as_object().unwrap();
    let named: Vec<_> = FIELDS.iter().filter(|field| **field != "id").collect();
    assert!(named.iter().all(|field| changes.contains_key(**field)));
    for (field, value) in changes {
        let text = canonical(json!({"id": "p", field: value}));
        assert_ne!(text, r#"{"id":"p"}"#, "{field}");
        assert!(text.contains(field), "{field}: {text}");
    }
}

#[test]
fn rollout_is_an_exact_share_and_never_falls_as_it_rises() {
    let below = |percent: &str| {
        let text = format!(r#"{{"id":"p","rollout":{percent}}}"#);
        parse_json_popup(&text).unwrap().popup.rollout_below
    };
    assert_eq!(below("0"), 0);
    assert_eq!(below("-0.0"), 0);
    assert_eq!(below("100"), 1 << 64);
    assert_eq!(below("50"), 1 << 63);
    assert_eq!(below("1"), (1 << 64) / 100);
    assert_eq!(below("12.5"), 1 << 61);
    assert_eq!(below("1e-320"), 0);
    assert_eq!(below("5e-18"), 0);
    assert_eq!(below("6e-18"), 1);
    let shares: Vec<_> =
        (0..=1_000).map(|tenths| below(&format!("{}", f64::from(tenths) / 10.0))).collect();
    assert!(shares.is_sorted());
    assert!(shares.iter().zip(0u128..).all(|(share, tenths)| {
        let exact = (tenths << 64) / 1_000;
        // A tenth of a percent is no exact double: off by its rounding, below 2^-50.
        share.abs_diff(exact) <= 1 << 14
    }));
}

#[test]
fn json_takes_its_three_shapes() {
    let popup = r#"{"id":"p"}"#;
    let ids = |text: &str| {
        parse_json(text).unwrap().iter().map(|p| p.id().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&format!("[{popup}]")), ["p"]);
    assert_eq!(ids(&format!("{{\"popup\":[{popup}]}}")), ["p"]);
    assert_eq!(parse_json_popup(popup).unwrap().id(), "p");
    assert_eq!(parse_json_values(&[json!({"id": "p"})]).unwrap()[0].id(), "p");
    assert_eq!((ids("[]"), parse_toml("").unwrap()), (vec![], vec![]));
}

fn duration() -> impl Strategy<Value = String> {
    (0u32..100, proptest::sample::select(vec!["ms", "s", "m", "h", "d", "w"]))
        .prop_map(|(number, unit)| format!("{number}{unit}"))
}

fn gap() -> impl Strategy<Value = String> {
    prop_oneof![duration(), Just("never".to_owned())]
}

fn scalar() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        any::<bool>().prop_map(|value| json!(value)),
        any::<i32>().prop_map(|value| json!(value)),
        (-1e9..1e9).prop_map(|value: f64| json!(value)),
        "\\PC{0,5}".prop_map(|value| json!(value)),
    ]
}

fn target() -> impl Strategy<Value = serde_json::Value> {
    let clause = prop_oneof![
        (proptest::sample::select(vec!["eq", "ne", "contains"]), scalar()),
        (
            proptest::sample::select(vec!["in", "not_in"]),
            // Of one type: the first one's.
            proptest::collection::vec(scalar(), 1..4).prop_map(|mut values| {
                let kind = std::mem::discriminant(&values[0]);
                values.retain(|value| std::mem::discriminant(value) == kind);
                json!(values)
            })
        ),
        (proptest::sample::select(vec!["lt", "gte"]), any::<i32>().prop_map(|v| json!(v))),
        (Just("exists"), any::<bool>().prop_map(|v| json!(v))),
        (
            proptest::sample::select(vec!["starts_with", "ends_with"]),
            "\\PC{0,5}".prop_map(|v| json!(v))
        ),
        (Just("semver_lt"), Just(json!("v1.2"))),
        (Just("matches"), Just(json!("^(a|b)\\d+"))),
    ];
    let clause = ("[a-z]{1,4}", clause);
    let clause =
        clause.prop_map(|(attr, (op, value))| json!({"op": op, "value": value, "attr": attr}));
    clause.prop_recursive(3, 12, 3, |inner| {
        let parts = proptest::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            parts.clone().prop_map(|parts| json!({"all": parts})),
            parts.prop_map(|parts| json!({"any": parts})),
            inner.prop_map(|part| json!({"not": part})),
        ]
    })
}

fn content() -> impl Strategy<Value = serde_json::Value> {
    let members = proptest::collection::vec(("\\PC{0,4}", scalar()), 0..4);
    members.prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into())
}

/// A popup whose members are each there or not.
fn popup() -> impl Strategy<Value = serde_json::Value> {
    let maybe = |name: &'static str, value: BoxedStrategy<serde_json::Value>| {
        proptest::option::of(value).prop_map(move |value| (name, value)).boxed()
    };
    let text = |strategy: BoxedStrategy<String>| strategy.prop_map(|text| json!(text)).boxed();
    let window = (0u16..1_440, 0u16..=1_440, 1usize..=7);
    let window = window.prop_map(|(from, to, days)| {
        let days = &popup::DAYS[..days];
        json!({"from": canonical::minute(from), "to": canonical::minute(to), "days": days})
    });
    let cap =
        (1u32..=16, 1u32..1_000).prop_map(|(n, per)| json!({"n": n, "per": format!("{per}s")}));
    let locales = proptest::option::of(content());
    let fields = vec![
        maybe(
            "status",
            proptest::sample::select(vec!["draft", "live", "paused", "archived"])
                .prop_map(|v| json!(v))
                .boxed(),
        ),
        maybe(
            "placement",
            proptest::collection::btree_set("\\PC{1,5}", 1..8).prop_map(|v| json!(v)).boxed(),
        ),
        maybe("priority", any::<i64>().prop_map(|v| json!(v)).boxed()),
        maybe(
            "starts_at",
            (0i64..4_000_000_000)
                .prop_map(|s| json!(jiff::Timestamp::from_second(s).unwrap().to_string()))
                .boxed(),
        ),
        maybe("windows", proptest::collection::vec(window, 0..3).prop_map(|v| json!(v)).boxed()),
        maybe(
            "tz",
            proptest::sample::select(vec!["user", "UTC", "asia/kolkata", "Etc/GMT+5"])
                .prop_map(|v| json!(v))
                .boxed(),
        ),
        maybe("max_shows", any::<u32>().prop_map(|v| json!(v)).boxed()),
        maybe("caps", proptest::collection::vec(cap, 0..3).prop_map(|v| json!(v)).boxed()),
        maybe("after_shown", text(gap().boxed())),
        maybe("after_ignored", text(gap().boxed())),
        maybe("after_clicked", text(gap().boxed())),
        maybe("ignore_after", text(duration().boxed())),
        maybe("rollout", (0.0f64..=100.0).prop_map(|v| json!(v)).boxed()),
        maybe("quiet_exempt", any::<bool>().prop_map(|v| json!(v)).boxed()),
        maybe("target", target().boxed()),
        maybe("content", content().boxed()),
        maybe(
            "locales",
            locales.prop_map(|de| de.map_or(json!({}), |de| json!({"de-AT": de}))).boxed(),
        ),
    ];
    ("[a-z0-9_-]{1,64}", fields).prop_map(|(id, fields)| {
        let mut popup = json!({"id": id});
        for (name, value) in fields {
            if let Some(value) = value {
                popup[name] = value;
            }
        }
        popup
    })
}

proptest! {
    #[test]
    fn a_definition_reads_back_as_itself(popup in popup()) {
        let read = parse_json_popup(&popup.to_string());
        let read = read.map_err(|errors| TestCaseError::fail(format!("{errors:?}")))?;
        let text = read.canonical_json();
        let again = parse_json_popup(&text).unwrap();
        prop_assert_eq!(again.canonical_json(), text);
        // Equal in what they mean, too.
        prop_assert_eq!(format!("{:?}", again.popup), format!("{:?}", read.popup));
        let by_value = parse_json_values(std::slice::from_ref(&popup)).unwrap();
        prop_assert_eq!(&by_value[0], &read);
        // The same popup in TOML is the same definition.
        let toml = toml::to_string(&json!({"popup": [popup]})).unwrap();
        let from_toml = parse_toml(&toml).unwrap();
        prop_assert_eq!(&from_toml[0], &read);
    }

    #[test]
    fn no_text_breaks_a_reader(text in "[\\[\\]{}\",:a-z0-9\\\\ .=\n-]{0,60}", any_text: String) {
        for text in [text, any_text] {
            let _ = (parse_toml(&text), parse_json(&text), parse_json_popup(&text));
        }
    }

    #[test]
    fn json_is_what_the_library_takes(text in "[\\[\\]{}\",:0-9tfn\\\\ue. -]{0,12}") {
        let library = serde_json::from_str::<serde_json::Value>(&text);
        if let Err(error) = json::from_json(&text) {
            // Stricter in one thing only: keys are unique.
            prop_assert!(library.is_err() || error.message.contains("twice"), "{error}");
        } else {
            // Laxer in one thing only, and the fields refuse it: numbers beyond a double.
            let beyond = library.as_ref().err().is_some_and(|e| e.to_string().contains("range"));
            prop_assert!(library.is_ok() || beyond, "{library:?}");
        }
    }
}

#[test]
fn one_popup_is_read_alone_or_in_a_document_with_or_without_its_id() {
    let want = parse_json_popup("{\"id\":\"a\",\"priority\":3}").unwrap();
    for (format, text) in [
        (Format::Json, "{\"priority\":3}"),
        (Format::Json, "{\"id\":\"a\",\"priority\":3}"),
        (Format::Json, "{\"popup\":[{\"priority\":3}]}"),
        (Format::Toml, "priority = 3"),
        (Format::Toml, "id = \"a\"\npriority = 3"),
        (Format::Toml, "[[popup]]\npriority = 3"),
        (Format::Toml, "[popup]\nid = \"a\"\npriority = 3"),
    ] {
        assert_eq!(parse_popup(text, format, "a").unwrap(), want, "{text}");
    }
    for (format, text) in [
        (Format::Json, "{\"id\":\"b\"}"),
        (Format::Json, "[{\"id\":\"a\"}]"),
        (Format::Json, "{\"popup\":[]}"),
        (Format::Json, "{\"popup\":[{},{}]}"),
        (Format::Json, "{\"id\":1}"),
        (Format::Json, "{"),
        (Format::Toml, "[[popup]]\n[[popup]]"),
        (Format::Toml, "popup = 1"),
        (Format::Toml, "x = 1"),
    ] {
        assert!(parse_popup(text, format, "a").is_err(), "{text}");
    }
}
