//! Property: replies have exactly the published members and fields, and no others.

use super::*;
use crate::cors::Cors;
use crate::events::{EventCode, Rejection};
use crate::fixture::{FRAME, FixtureReply, response};
use nudged_base::time::DurationMs;

const SHOWN: Shown<'static> = Shown {
    decision: "tok-en_1",
    popup: "spring-sale",
    version: 7,
    variant: "b",
    content: r#"{"title":"Frühling"}"#,
};
const REJECTED: [Rejection; 1] = [Rejection { index: 2, code: EventCode::OtherUser }];
const EXTRAS: Extras<'static> = Extras {
    anonymous: Some("anon-0"),
    events: Some(Summary { accepted: 1, duplicate: 1, rejected: &REJECTED }),
    ignored: Ignored { names: &["placment", "usr"], count: 7 },
};

fn shown(shown: &Shown<'_>, extras: &Extras<'_>) -> FixtureReply {
    let mut out = Vec::new();
    write_show(&mut out, &response(&Cors::default()), shown, extras, &Bump::new());
    FixtureReply::read(&out)
}

fn nothing(next_in_s: Option<u32>, extras: &Extras<'_>) -> FixtureReply {
    let mut out = Vec::new();
    write_nothing(&mut out, &response(&Cors::default()), "gap", next_in_s, extras);
    FixtureReply::read(&out)
}

fn explained(explanation: &Explanation<'_>, extras: &Extras<'_>) -> FixtureReply {
    let mut out = Vec::new();
    write_explain(&mut out, &response(&Cors::default()), explanation, extras, &Bump::new());
    FixtureReply::read(&out)
}

#[test]
fn a_show() {
    let reply = shown(&SHOWN, &Extras::default());
    let want = concat!(
        r#"{"decision":"tok-en_1","popup":{"id":"spring-sale","version":7,"variant":"b","#,
        r#""content":{"title":"Frühling"}},"expires_in":30}"#
    );
    assert_eq!((reply.status, reply.body.as_str()), (200, want));
    assert_eq!(reply.field("cache-control"), Some("no-store"));
    assert_eq!(reply.field("content-type"), Some("application/json"));
}

#[test]
fn a_show_with_all_that_it_may_carry() {
    let reply = shown(&Shown { variant: "", ..SHOWN }, &EXTRAS);
    let want = concat!(
        r#"{"decision":"tok-en_1","popup":{"id":"spring-sale","version":7,"variant":null,"#,
        r#""content":{"title":"Frühling"}},"expires_in":30,"anon":"anon-0","#,
        r#""events":{"accepted":1,"duplicate":1,"rejected":[{"index":2,"code":"other_user"}]}}"#
    );
    assert_eq!(reply.body, want);
    assert_eq!(reply.field("nudge-ignored"), Some("placment, usr"));
}

#[test]
fn a_variant_of_any_text_stays_json() {
    let variant = "a\"b\\c\u{1}";
    let reply = shown(&Shown { variant, ..SHOWN }, &Extras::default());
    let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(body["popup"]["variant"], variant);
}

#[test]
fn nothing_to_show() {
    let reply = nothing(None, &Extras::default());
    let names: Vec<_> = reply.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(reply.status, 204);
    assert_eq!(names, ["date", "cache-control", "nudge-reason"]);
    assert_eq!(reply.field("nudge-reason"), Some("gap"));
    assert_eq!(reply.field("cache-control"), Some("no-store"));
    assert_eq!(reply.body, "");
}

#[test]
fn nothing_with_all_that_it_may_carry() {
    let reply = nothing(Some(86_400), &EXTRAS);
    assert_eq!(reply.field("nudge-next"), Some("86400"));
    assert_eq!(reply.field("nudge-anon"), Some("anon-0"));
    assert_eq!(reply.field("nudge-events"), Some("accepted=1,duplicate=1,rejected=1"));
    assert_eq!(reply.field("nudge-ignored"), Some("placment, usr"));
}

#[test]
fn the_longest_events_field_fits() {
    let rejected = vec![REJECTED[0]; 100];
    let events = Summary { accepted: u32::MAX, duplicate: u32::MAX, rejected: &rejected };
    let reply = nothing(None, &Extras { events: Some(events), ..Extras::default() });
    let want = "accepted=4294967295,duplicate=4294967295,rejected=100";
    assert_eq!(reply.field("nudge-events"), Some(want));
}

#[test]
#[cfg(debug_assertions)]
fn next_stays_within_a_day() {
    for next_in_s in [0, 86_401] {
        let written = std::panic::catch_unwind(|| nothing(Some(next_in_s), &Extras::default()));
        assert!(written.is_err(), "{next_in_s}");
    }
}

#[test]
fn explanations() {
    let candidates = [("spring-sale", None), ("tour", Some("target"))];
    let reply = explained(
        &Explanation { shown: Some(SHOWN), candidates: &candidates, ..Default::default() },
        &Extras::default(),
    );
    let want = concat!(
        r#"{"decision":"tok-en_1","popup":{"id":"spring-sale","version":7,"variant":"b","#,
        r#""content":{"title":"Frühling"}},"expires_in":30,"reason":null,"next_in":null,"#,
        r#""candidates":[{"id":"spring-sale","gate":null},{"id":"tour","gate":"target"}]}"#
    );
    assert_eq!((reply.status, reply.body.as_str()), (200, want));

    let nothing = Explanation { reason: Some("gap"), next_in_s: Some(9), ..Default::default() };
    let reply = explained(&nothing, &EXTRAS);
    let want = concat!(
        r#"{"decision":null,"popup":null,"reason":"gap","next_in":9,"candidates":[],"#,
        r#""anon":"anon-0","events":{"accepted":1,"duplicate":1,"#,
        r#""rejected":[{"index":2,"code":"other_user"}]}}"#
    );
    assert_eq!((reply.status, reply.body.as_str()), (200, want));
    assert_eq!(reply.field("cache-control"), Some("no-store"));
    assert_eq!(reply.field("nudge-ignored"), Some("placment, usr"));
}

#[test]
fn a_page_of_a_granted_origin_may_read_the_fields() {
    let cors = Cors::new(vec!["https://shop.example".into()], DurationMs(0));
    let grant = cors.grant(Some(b"https://shop.example"));
    let mut out = Vec::new();
    let response = ResponseContext { frame: FRAME, cors: &cors, grant };
    write_nothing(&mut out, &response, "gap", Some(1), &Extras::default());
    let reply = FixtureReply::read(&out);
    assert_eq!(reply.field("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(reply.field("access-control-allow-credentials"), Some("true"));
    assert_eq!(reply.field("vary"), Some("Origin"));
    let exposed = reply.field("access-control-expose-headers").unwrap();
    for name in ["Nudge-Reason", "Nudge-Next", "Nudge-Anon", "Nudge-Events", "Nudge-Ignored"] {
        assert!(exposed.split(", ").any(|listed| listed == name), "{name}");
    }
}
