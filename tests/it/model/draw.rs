//! Draws random catalogs, requests, events, reloads and restarts as decision vectors without
//! expectations.

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Moments at which scenarios begin: plain days, changes of offset, a leap day.
const BEGINNINGS: [&str; 7] = [
    "2026-01-05T08:00:00Z",
    "2026-03-28T22:30:00Z",
    "2026-10-24T21:10:00Z",
    "2026-11-01T03:59:00Z",
    "2026-04-04T14:20:30.5Z",
    "2024-02-28T23:00:00Z",
    "2011-12-29T20:00:00Z",
];
const ZONES: [&str; 7] = [
    "UTC",
    "Europe/Berlin",
    "Asia/Kolkata",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/Sao_Paulo",
];
const PAUSES: [&str; 20] = [
    "0s", "0s", "1ms", "999ms", "1s", "1s", "29s", "30s", "59s", "5m", "10m", "59m", "1h", "3h",
    "11h", "24h", "26h", "3d", "7d", "8d",
];
const GAPS: [&str; 9] = ["0s", "0s", "1s", "30s", "10m", "1h", "24h", "3d", "never"];

/// A whole vector: name, settings, popups, steps.
pub fn vector() -> impl Strategy<Value = Value> {
    let steps = prop::collection::vec((0..20_usize, step()), 1..40);
    let popups = prop::collection::vec(popup(), 1..6);
    (0..BEGINNINGS.len(), settings(), popups, steps).prop_map(|(beginning, settings, popups, steps)| {
        let base = BEGINNINGS[beginning].parse::<Timestamp>().unwrap().as_millisecond();
        let mut whole = vec![json!({"at": BEGINNINGS[beginning], "restart": true})];
        for (pause, mut step) in steps {
            step["at"] = json!(format!("+{}", PAUSES[pause]));
            if let Some(popups) = step.get_mut("set_popups") {
                *popups = Value::Array(placed(popups.as_array().unwrap(), base));
            }
            whole.push(step);
        }
        json!({
            "name": "drawn", "settings": settings, "popups": placed(&popups, base), "steps": whole,
        })
    })
}

/// Gives drawn popups their ids and turns hours from the beginning into times.
fn placed(popups: &[Value], base: i64) -> Vec<Value> {
    let mut popups = popups.to_vec();
    for (index, popup) in popups.iter_mut().enumerate() {
        popup["id"] = json!(format!("p{index}"));
        for key in ["starts_at", "ends_at"] {
            if let Some(hours) = popup[key].as_i64() {
                popup[key] = json!(time(base + hours * 3_600_000));
            } else {
                popup.as_object_mut().unwrap().remove(key);
            }
        }
    }
    popups
}

/// A moment as RFC 3339.
pub fn time(at: i64) -> String {
    Timestamp::from_millisecond(at).unwrap().to_string()
}

fn settings() -> impl Strategy<Value = Value> {
    (
        maybe(json!(["0s", "10s", "10m", "2h"])),
        maybe(json!([0, 1, 2, 3])),
        maybe(json!([0, 1, 2])),
        maybe(json!(ZONES)),
    )
        .prop_map(|(quiet_time, max_per_day, max_per_session, tz)| {
            object([
                ("quiet_time", quiet_time),
                ("max_per_day", max_per_day),
                ("max_per_session", max_per_session),
                ("tz", tz),
            ])
        })
}

fn popup() -> impl Strategy<Value = Value> {
    (place_and_time(), limits(), body()).prop_map(|parts| {
        let mut popup = Map::new();
        for part in [parts.0, parts.1, parts.2] {
            popup.extend(part.as_object().unwrap().clone());
        }
        Value::Object(popup)
    })
}

fn place_and_time() -> impl Strategy<Value = Value> {
    let placements = json!([["me"], ["home", "me"], ["cart", "home"], ["home"]]);
    (
        prop::option::weighted(0.2, select(vec!["draft", "paused", "archived", "live"])),
        prop::option::weighted(0.3, select(placements.as_array().unwrap().clone())),
        maybe(json!([-2, -1, 0, 1, 1])),
        prop::option::weighted(0.2, (-48..30_i64, 1..96_i64)),
        any::<[bool; 2]>(),
        prop::option::weighted(0.3, prop::collection::vec(window(), 1..3)),
        maybe(json!([ZONES.as_slice(), &["user"]].concat())),
    )
        .prop_map(|(status, placement, priority, span, ends, windows, tz)| {
            object([
                ("status", status.map(|status| json!(status))),
                ("placement", placement),
                ("priority", priority),
                ("starts_at", span.filter(|_| ends[0]).map(|(start, _)| json!(start))),
                ("ends_at", span.filter(|_| ends[1]).map(|(start, length)| json!(start + length))),
                ("windows", windows.map(Value::Array)),
                ("tz", tz),
            ])
        })
}

fn window() -> impl Strategy<Value = Value> {
    let froms = ["00:00", "00:30", "02:00", "02:15", "06:00", "09:00", "12:30", "18:30", "23:15"];
    let tos = ["00:00", "00:30", "01:45", "02:30", "06:00", "12:30", "18:30", "23:15", "24:00"];
    let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let days = prop::option::of(prop::sample::subsequence(names.to_vec(), 1..=7));
    (select(froms.to_vec()), select(tos.to_vec()), days).prop_map(|(from, to, days)| {
        // `to` has no "00:00": that is "24:00", or the start of a window that begins there too.
        let to = if to == "00:00" { "24:00" } else { to };
        object([
            ("from", Some(json!(from))),
            ("to", Some(json!(to))),
            ("days", days.map(|days| json!(days))),
        ])
    })
}

fn limits() -> impl Strategy<Value = Value> {
    let gap = || maybe(json!(GAPS));
    let per = select(vec!["1m", "1h", "6h", "24h", "7d"]);
    let cap = (1..4_u32, per).prop_map(|(n, per)| json!({"n": n, "per": per}));
    (
        maybe(json!([0, 1, 2, 3, 20])),
        prop::option::weighted(0.4, prop::collection::vec(cap, 1..3)),
        [gap(), gap(), gap(), gap(), gap()],
        maybe(json!(["0s", "1s", "1m", "1h"])),
        prop::option::weighted(0.15, select(vec![0, 25, 50, 100])),
        prop::option::weighted(0.2, any::<bool>()),
    )
        .prop_map(|(max_shows, caps, gaps, ignore_after, rollout, quiet_exempt)| {
            let [shown, ignored, dismissed, clicked, converted] = gaps;
            object([
                ("max_shows", max_shows),
                ("caps", caps.map(Value::Array)),
                ("after_shown", shown),
                ("after_ignored", ignored),
                ("after_dismissed", dismissed),
                ("after_clicked", clicked),
                ("after_converted", converted),
                ("ignore_after", ignore_after),
                ("rollout", rollout.map(|percent| json!(percent))),
                ("quiet_exempt", quiet_exempt.map(|exempt| json!(exempt))),
            ])
        })
}

fn body() -> impl Strategy<Value = Value> {
    let locales = || {
        prop::option::of(Just(json!({"de": {"t": "de"}, "pt_BR": {"t": "pt"}, "EN": {"t": "en"}})))
    };
    let variant = (0..3_u32, locales());
    let variants = prop::collection::vec(variant, 1..4).prop_map(|variants| {
        let all = variants.into_iter().enumerate().map(|(index, (weight, locales))| {
            // The first one always has a weight, so that their sum has.
            let weight = if index == 0 { weight + 1 } else { weight };
            object([
                ("key", Some(json!(format!("v{index}")))),
                ("weight", Some(json!(weight))),
                ("content", Some(json!({"v": index}))),
                ("locales", locales),
            ])
        });
        json!({"variants": all.collect::<Vec<_>>()})
    });
    let plain = (prop::option::of(Just(json!({"t": [1, {"b": null}]}))), locales())
        .prop_map(|(content, locales)| object([("content", content), ("locales", locales)]));
    (prop::option::weighted(0.25, node()), prop_oneof![3 => plain, 1 => variants]).prop_map(
        |(target, mut body)| {
            if let Some(target) = target {
                body["target"] = target;
            }
            body
        },
    )
}

fn node() -> impl Strategy<Value = Value> {
    clause().prop_recursive(4, 16, 3, |inner| {
        let parts = prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            parts.clone().prop_map(|parts| json!({"all": parts})),
            parts.prop_map(|parts| json!({"any": parts})),
            inner.prop_map(|part| json!({"not": part})),
        ]
    })
}

fn clause() -> impl Strategy<Value = Value> {
    let of = |attributes: &'static [&'static str], ops: &'static [&'static str], values: Value| {
        (select(attributes), select(ops), select(values.as_array().unwrap().clone()))
            .prop_map(|(attr, op, value)| json!({"attr": attr, "op": op, "value": value}))
    };
    let lists = json!([
        ["ios", "web"],
        [18, 30],
        [true],
        ["18", "31.5", "true"],
        ["vip", "7"],
        [31.5, 7],
        ["x"]
    ]);
    prop_oneof![
        of(
            &["platform", "tags", "absent", "age", "beta"],
            &["eq", "ne", "lt", "lte", "gt", "gte", "starts_with", "ends_with", "contains"],
            json!(["ios", "vip", "oid", "", "i", "web", "7", "18", "rue"]),
        ),
        of(
            &["age", "tags", "beta"],
            &["eq", "ne", "lt", "lte", "gt", "gte"],
            json!([18, 17.5, 30, -1, 1e1, 31.5]),
        ),
        of(&["tags", "age"], &["contains"], json!([18, true, "vip", 1.5, "18"])),
        of(&["beta", "age", "platform"], &["eq", "ne"], json!([true, false])),
        of(&["age", "platform", "beta", "tags"], &["in", "not_in"], lists),
        of(
            &["version", "age"],
            &["semver_lt", "semver_lte", "semver_gt", "semver_gte"],
            json!([
                "5",
                "5.2",
                "v5.2.0",
                "5.2.0-rc.1",
                "5.10.0",
                "5.2-rc.1",
                "5.2.0+b",
                "5.2.0.1",
                "2026.06.1"
            ]),
        ),
        of(&["version", "tags", "absent", "age"], &["exists"], json!([true, false])),
        of(
            &["platform", "version", "age", "beta"],
            &["matches"],
            json!(["^i", "d$", "[0-9]+\\.2", "^[0-9]+$", ""])
        ),
    ]
}

fn step() -> impl Strategy<Value = Value> {
    let popups = prop::collection::vec(popup(), 0..6);
    prop_oneof![
        20 => request().prop_map(|request| json!({"decide": request})),
        9 => event().prop_map(|event| json!({"event": event})),
        1 => popups.prop_map(|popups| json!({"set_popups": popups})),
        1 => Just(json!({"restart": true})),
    ]
}

fn request() -> impl Strategy<Value = Value> {
    let zones = [ZONES.as_slice(), &["Mars/Base", "europe/berlin"]].concat();
    let locales =
        ["de", "de-AT", "DE-at-x", "de_AT", "pt", "pt-br", "PT_br_x", "en-GB", "fr", "-", "de-"];
    (
        user(),
        maybe(json!(["home", "home", "home", "me", "me", "cart"])),
        maybe(json!(["s1", "s2"])),
        maybe(json!(locales)),
        maybe(json!(zones)),
        attributes(),
    )
        .prop_map(|(user, placement, session, locale, tz, attributes)| {
            object([
                ("user", Some(json!(format!("u{user}")))),
                ("placement", placement),
                ("session", session),
                ("locale", locale),
                ("tz", tz),
                ("attrs", attributes),
            ])
        })
}

/// Mostly the same one, so that histories grow.
fn user() -> impl Strategy<Value = usize> {
    prop_oneof![6 => Just(0), 2 => Just(1), 1 => Just(2)]
}

fn attributes() -> impl Strategy<Value = Option<Value>> {
    let ages = json!([17, 18, 30, 31.5, 18.0, "18", "018", "1e1", "18.0", " 18", "thirty", true]);
    let lists = json!([[], ["vip"], ["new", "vip"], "vip", [18, "18"], [true, null, ["vip"]], {}]);
    let versions = json!([
        "5",
        "5.2",
        "v6.0.0",
        "5.2.0-rc.1",
        "5.2.0-rc.2",
        "5.2.0-alpha",
        "5.10.0",
        "05.02",
        "5.2.0.12",
        "2026.6",
        "1.2.3.4.5.6.7.8.9",
        "5.2.0-rc.01",
        "5..2",
        "junk",
        5,
        5.2
    ]);
    (
        any::<bool>(),
        maybe(json!(["ios", "android", "web", "", 7, null])),
        maybe(ages),
        maybe(json!([true, false, "true", "false", "yes", 1])),
        maybe(versions),
        maybe(lists),
    )
        .prop_map(|(are_given, platform, age, beta, version, tags)| {
            are_given.then(|| {
                object([
                    ("platform", platform),
                    ("age", age),
                    ("beta", beta),
                    ("version", version),
                    ("tags", tags),
                ])
            })
        })
}

fn event() -> impl Strategy<Value = Value> {
    let actions = ["shown", "ignored", "dismissed", "clicked", "converted", "opened"];
    let times = [
        "2000-01-01T00:00:00Z",
        "2011-12-30T00:00:00Z",
        "2026-03-29T00:30:00+01:00",
        "2030-01-01T00:00:00Z",
    ];
    (
        user(),
        prop_oneof![20 => 0..5_usize, 1 => Just(5)],
        prop::option::weighted(0.3, 0..4_usize),
        prop::option::weighted(0.3, prop_oneof![4 => 0..3_usize, 1 => 3..20_usize]),
        maybe(json!(times)),
    )
        .prop_map(move |(user, action, popup, back, ts)| {
            object([
                ("user", Some(json!(format!("u{user}")))),
                ("action", Some(json!(actions[action]))),
                ("popup", popup.map(|popup| json!(format!("p{popup}")))),
                ("back", back.map(|back| json!(back))),
                ("ts", ts),
            ])
        })
}

/// One of the values, or absent.
fn maybe(values: Value) -> impl Strategy<Value = Option<Value>> {
    prop::option::weighted(0.45, select(values.as_array().unwrap().clone()))
}

/// An object of those members that are there.
fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let there = members.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(there.collect())
}
