//! Property: replies have exactly the published members and fields, and no others.

use super::*;
use crate::cors::Cors;
use crate::fixture::{FRAME, FixtureReply, response};
use nudged_base::time::DurationMs;
use nudged_domain::catalog::compile::{CatalogEntry, compile};
use nudged_domain::catalog::snapshot::Settings;
use nudged_domain::catalog::source;

const SHOW: Decided<'static> = Decided {
    decision: Decision::Show { popup: 0, variant: 0 },
    token: "tok-en_1",
    locale: None,
    anonymous: None,
    verdicts: &[],
    is_preview: false,
    candidates: None,
    ignored: &[],
};
const VERDICTS: [Verdict; 3] = [Verdict::Accepted, Verdict::Duplicate, Verdict::OTHER_USER];

/// A popup of this many variants, and one more; popups are in the order of their priorities.
fn snapshot(variants: usize) -> Snapshot {
    let content = "content = { title = \"Frühling\" }\n";
    let variants = match variants {
        0 => content.to_owned(),
        _ => format!("[[popup.variants]]\nkey = \"b\"\n{content}"),
    };
    let popups = format!(
        "[[popup]]\nid = \"spring-sale\"\npriority = 1\n{variants}[[popup]]\nid = \"tour\"\n"
    );
    let definitions = source::parse_toml(&popups).unwrap();
    let entries: Vec<_> = definitions
        .iter()
        .map(|definition| CatalogEntry { definition, version: 7, status: definition.status() })
        .collect();
    compile(&entries, Settings::default(), 1).unwrap()
}

fn nothing_of(decision: (Reason, Option<u32>)) -> Decided<'static> {
    let (reason, next_in_s) = decision;
    Decided { decision: Decision::Nothing { reason, next_in_s }, token: "", ..SHOW }
}

/// With all that a reply may carry beside the decision.
fn full(decided: Decided<'static>) -> Decided<'static> {
    let ignored = &["placment", "usr"];
    Decided { anonymous: Some("anon-0"), verdicts: &VERDICTS, ignored, ..decided }
}

fn written(decided: Decided<'_>, variants: usize) -> FixtureReply {
    written_with(decided, &response(&Cors::default()), variants)
}

fn written_with(
    decided: Decided<'_>,
    response: &ResponseContext<'_>,
    variants: usize,
) -> FixtureReply {
    let (mut out, bump, snapshot) = (Vec::new(), Bump::new(), snapshot(variants));
    let rendering =
        Rendering { response: *response, snapshot: Some(&snapshot), disk_lack: None, bump: &bump };
    rendering.write(&Outcome::Decided(decided), &mut out);
    FixtureReply::read(&out)
}

fn nothing(next_in_s: Option<u32>) -> Decided<'static> {
    nothing_of((Reason::Gate(Gate::Gap), next_in_s))
}

#[test]
fn a_show() {
    let reply = written(SHOW, 1);
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
    let reply = written(full(SHOW), 0);
    let want = concat!(
        r#"{"decision":"tok-en_1","popup":{"id":"spring-sale","version":7,"variant":null,"#,
        r#""content":{"title":"Frühling"}},"expires_in":30,"anon":"anon-0","#,
        r#""events":{"accepted":1,"duplicate":1,"rejected":[{"index":2,"code":"other_user"}]}}"#
    );
    assert_eq!(reply.body, want);
    assert_eq!(reply.field("nudge-ignored"), Some("placment, usr"));
}

#[test]
fn nothing_to_show() {
    let reply = written(nothing(None), 0);
    let names: Vec<_> = reply.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(reply.status, 204);
    assert_eq!(names, ["date", "cache-control", "nudge-reason"]);
    assert_eq!(reply.field("nudge-reason"), Some("gap"));
    assert_eq!(reply.field("cache-control"), Some("no-store"));
    assert_eq!(reply.body, "");
}

#[test]
fn nothing_with_all_that_it_may_carry() {
    let reply = written(full(nothing(Some(86_400))), 0);
    assert_eq!(reply.field("nudge-next"), Some("86400"));
    assert_eq!(reply.field("nudge-anon"), Some("anon-0"));
    assert_eq!(reply.field("nudge-events"), Some("accepted=1,duplicate=1,rejected=1"));
    assert_eq!(reply.field("nudge-ignored"), Some("placment, usr"));
}

// Whoever only looks can tell, by the decision and by the events that came with it.
#[test]
fn previews_say_so() {
    let dropped = [Verdict::Dropped, Verdict::Accepted];
    let with_event = |decided| Decided { verdicts: &dropped, ..decided };
    let of = |decided| Decided { is_preview: true, ..decided };
    let cases = [
        (SHOW, None),
        (full(nothing(Some(9))), None),
        (of(SHOW), Some("1")),
        (of(nothing(None)), Some("1")),
        (of(Decided { candidates: Some(&[]), ..nothing(None) }), Some("1")),
        (with_event(SHOW), Some("1")),
        (with_event(nothing(None)), Some("1")),
    ];
    for (decided, want) in cases {
        assert_eq!(written(decided, 0).field("nudge-preview"), want, "{decided:?}");
    }
    let reply = written(with_event(nothing(None)), 0);
    assert_eq!(reply.field("nudge-events"), Some("accepted=2,duplicate=0,rejected=0"));
    for (verdict, want) in [(Verdict::Dropped, Some("1")), (Verdict::Accepted, None)] {
        let (mut out, bump, cors) = (Vec::new(), Bump::new(), Cors::default());
        let (response, snapshot) = (response(&cors), None);
        let rendering = Rendering { response, snapshot, disk_lack: None, bump: &bump };
        let verdicts = Verdicts { verdicts: &[(0, verdict)], ..Verdicts::default() };
        rendering.write(&Outcome::Verdicts(verdicts), &mut out);
        let reply = FixtureReply::read(&out);
        assert_eq!((reply.status, reply.field("nudge-preview")), (202, want));
        assert_eq!(reply.body, r#"{"accepted":1,"duplicate":0,"rejected":[]}"#);
    }
}

#[test]
fn events_that_are_all_limited_are_refused_with_the_time_to_wait() {
    let (limited, known) = ((0, Verdict::RATE_LIMITED), (1, Verdict::Duplicate));
    for (verdicts, want) in [
        (&[limited][..], (429, Some("57"))),
        (&[limited, (1, Verdict::RATE_LIMITED)], (429, Some("57"))),
        (&[limited, known], (202, None)),
    ] {
        let (mut out, bump, cors) = (Vec::new(), Bump::new(), Cors::default());
        let (response, snapshot) = (response(&cors), None);
        let rendering = Rendering { response, snapshot, disk_lack: None, bump: &bump };
        let outcome = Outcome::Verdicts(Verdicts { verdicts, after_s: 57, ignored: &[] });
        rendering.write(&outcome, &mut out);
        let reply = FixtureReply::read(&out);
        assert_eq!((reply.status, reply.field("retry-after")), want, "{verdicts:?}");
    }
}

#[test]
#[cfg(debug_assertions)]
fn next_stays_within_a_day() {
    for next_in_s in [0, 86_401] {
        let result = std::panic::catch_unwind(|| written(nothing(Some(next_in_s)), 0));
        assert!(result.is_err(), "{next_in_s}");
    }
}

#[test]
fn explanations() {
    let candidates: [Candidate; 2] = [(0, None), (1, Some(Gate::Target))];
    let reply = written(Decided { candidates: Some(&candidates), ..SHOW }, 1);
    let want = concat!(
        r#"{"decision":"tok-en_1","popup":{"id":"spring-sale","version":7,"variant":"b","#,
        r#""content":{"title":"Frühling"}},"expires_in":30,"reason":null,"next_in":null,"#,
        r#""candidates":[{"id":"spring-sale","gate":null},{"id":"tour","gate":"target"}]}"#
    );
    assert_eq!((reply.status, reply.body.as_str()), (200, want));

    let reply = written(full(Decided { candidates: Some(&[]), ..nothing(Some(9)) }), 0);
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
    let reply =
        written_with(nothing(Some(1)), &ResponseContext { frame: FRAME, cors: &cors, grant }, 0);
    assert_eq!(reply.field("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(reply.field("access-control-allow-credentials"), Some("true"));
    assert_eq!(reply.field("vary"), Some("Origin"));
    let exposed = reply.field("access-control-expose-headers").unwrap();
    for name in [
        "Nudge-Reason",
        "Nudge-Next",
        "Nudge-Anon",
        "Nudge-Events",
        "Nudge-Ignored",
        "Nudge-Preview",
    ] {
        assert!(exposed.split(", ").any(|listed| listed == name), "{name}");
    }
}
