//! Property: each element of a request stands for itself, in its place.

use proptest::prelude::*;

use super::*;
use crate::cors::Cors;
use crate::fixture::{FixtureReply, NOW, keys, response, token_text};
use crate::ignored::Ignored;
use crate::verdict::{Verdict, write_accepted};

/// The codes of a body's elements, or the refusal of the whole.
fn codes(body: &str) -> Result<Vec<Option<EventCode>>, RequestRefusal> {
    let bump = Bump::new();
    let keys = keys();
    let reading = EventContext { keys: &keys, now: NOW, bump: &bump };
    let elements = read_body(body.as_bytes(), reading, &mut Unknown::new(&bump))?;
    Ok(elements.iter().map(|element| element.err()).collect())
}

fn event(rest: &str) -> String {
    format!(r#"{{"decision":"{}"{rest}}}"#, token_text("u"))
}

#[test]
fn one_event_or_an_array_of_them() {
    let good = event(r#","action":"shown""#);
    assert_eq!(codes(&good), Ok(vec![None]));
    assert_eq!(codes("[]"), Ok(vec![]));
    assert_eq!(codes(&format!("[{good},{good}]")), Ok(vec![None, None]));
    for body in ["null", "1", "\"x\"", "true"] {
        assert_eq!(
            codes(body),
            Err(RequestRefusal::new(Code::WrongType, RequestField::Body)),
            "{body}"
        );
    }
    assert_eq!(codes("[}"), Err(RequestRefusal::new(Code::MalformedJson, RequestField::Body)));
}

#[test]
fn a_hundred_events_and_no_more() {
    let body = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
    assert_eq!(codes(&body(100)).unwrap().len(), 100);
    assert_eq!(codes(&body(101)), Err(RequestRefusal::new(Code::TooMany, RequestField::Body)));
}

#[test]
fn what_is_wrong_with_one() {
    let bad_decision = |decision: &str| format!(r#"{{"decision":{decision},"action":"shown"}}"#);
    let cases = [
        ("null".into(), EventCode::BadEvent),
        ("[]".into(), EventCode::BadEvent),
        ("\"shown\"".into(), EventCode::BadEvent),
        ("{}".into(), EventCode::BadDecision),
        (bad_decision("null"), EventCode::BadDecision),
        (bad_decision("7"), EventCode::BadDecision),
        (bad_decision("\"\""), EventCode::BadDecision),
        (bad_decision("\"nonsense\""), EventCode::BadDecision),
        (bad_decision(&format!("\"{}x\"", token_text("u"))), EventCode::BadDecision),
        (r#"{"decision":"x","action":"nope","ts":"y"}"#.into(), EventCode::BadDecision),
        (event(""), EventCode::UnknownAction),
        (event(r#","action":null"#), EventCode::UnknownAction),
        (event(r#","action":3"#), EventCode::UnknownAction),
        (event(r#","action":"decided""#), EventCode::UnknownAction),
        (event(r#","action":"Shown""#), EventCode::UnknownAction),
        (event(r#","action":"","ts":"y""#), EventCode::UnknownAction),
        (event(r#","action":"shown","ts":"1""#), EventCode::BadTs),
        (event(r#","action":"shown","ts":true"#), EventCode::BadTs),
        (event(r#","action":"shown","ts":[]"#), EventCode::BadTs),
    ];
    let good = event(r#","action":"shown""#);
    for (element, want) in cases {
        let body = format!("[{good},{element},{good}]");
        assert_eq!(codes(&body), Ok(vec![None, Some(want), None]), "{element}");
    }
}

#[test]
fn actions_and_times() {
    let bump = Bump::new();
    let keys = keys();
    let reading = EventContext { keys: &keys, now: NOW, bump: &bump };
    let actions = [
        ("shown", Action::Shown),
        ("clicked", Action::Clicked),
        ("dismissed", Action::Dismissed),
        ("ignored", Action::Ignored),
        ("converted", Action::Converted),
    ];
    let times = [
        ("", None),
        (r#","ts":null"#, None),
        (r#","ts":0"#, Some(0)),
        (r#","ts":-5"#, Some(-5)),
        (r#","ts":1700000000123"#, Some(1_700_000_000_123)),
        (r#","ts":1700000000123.9"#, Some(1_700_000_000_123)),
        (r#","ts":18446744073709551615"#, Some(i64::MAX)),
        (r#","ts":1e300"#, Some(i64::MAX)),
        (r#","ts":-1e300"#, Some(i64::MIN)),
        (r#","ts":1,"more":{}"#, Some(1)),
    ];
    for (text, action) in actions {
        for (member, ts) in times {
            let body = event(&format!(r#","action":"{text}"{member}"#));
            let elements = read_body(body.as_bytes(), reading, &mut Unknown::new(&bump)).unwrap();
            let event = elements[0].unwrap();
            assert_eq!((event.action, event.ts), (action, ts.map(WallMs)), "{body}");
            assert_eq!(event.token_text, token_text("u"));
            assert_eq!((event.token.user, event.token.popup), ("u", "p"));
        }
    }
}

#[test]
fn a_superseded_key_ends_by_the_time_it_is_given() {
    use crate::token::Secret;
    let old = Secret { id: 1, created_at: WallMs(0), bytes: [9; 32], moved_at: None };
    let new = Secret { id: 2, created_at: NOW, bytes: [8; 32], moved_at: None };
    let keys = Keys::new(&[old, new]);
    let bump = Bump::new();
    let body = event(r#","action":"shown""#);
    let at = |now| {
        let reading = EventContext { keys: &keys, now, bump: &bump };
        read_body(body.as_bytes(), reading, &mut Unknown::new(&bump)).unwrap()[0].is_ok()
    };
    assert!(at(NOW));
    assert!(!at(WallMs(NOW.0 + 8 * 86_400_000)));
}

#[test]
fn the_reply() {
    let mut verdicts = vec![Verdict::Accepted; 98];
    verdicts.insert(1, Verdict::TOO_LATE);
    verdicts.insert(2, Verdict::Duplicate);
    verdicts.insert(4, Verdict::Rejected(EventCode::BadDecision));
    let cases: [(&[Verdict], &str); 2] = [
        (&[], r#"{"accepted":0,"duplicate":0,"rejected":[]}"#),
        (
            &verdicts,
            concat!(
                r#"{"accepted":98,"duplicate":1,"rejected":[{"index":1,"code":"too_late"},"#,
                r#"{"index":4,"code":"bad_decision"}]}"#
            ),
        ),
    ];
    let names: [&[&str]; 3] = [&[], &["actoin"], &["actoin", "time"]];
    let members = ["", r#","ignored":["actoin"]"#, r#","ignored":["actoin","time"]"#];
    let all = cases.iter().flat_map(|case| names.into_iter().zip(members).map(move |n| (case, n)));
    for ((verdicts, want), (names, member)) in all {
        let mut out = Vec::new();
        let ignored = Ignored { names, count: 9 };
        let want = &format!("{}{member}}}", &want[..want.len() - 1]);
        write_accepted(
            &mut out,
            &response(&Cors::default()),
            verdicts.iter().copied(),
            &ignored,
            &Bump::new(),
        );
        let reply = FixtureReply::read(&out);
        assert_eq!((reply.status, reply.body.as_str()), (202, want.as_str()));
        assert_eq!(reply.field("content-type"), Some("application/json"));
    }
}

#[test]
fn codes_are_words_of_their_own() {
    let codes = [
        EventCode::BadEvent,
        EventCode::BadDecision,
        EventCode::UnknownAction,
        EventCode::BadTs,
        EventCode::TooLate,
        EventCode::OtherUser,
        EventCode::Overloaded,
    ];
    let names: std::collections::HashSet<_> = codes.map(EventCode::name).into_iter().collect();
    assert_eq!(names.len(), codes.len());
}

proptest! {
    #[test]
    fn order_is_kept(kinds in prop::collection::vec(any::<bool>(), 0..20)) {
        let good = event(r#","action":"clicked""#);
        let elements: Vec<_> =
            kinds.iter().map(|kind| if *kind { good.as_str() } else { "{}" }).collect();
        let want = kinds.iter().map(|kind| (!kind).then_some(EventCode::BadDecision)).collect();
        prop_assert_eq!(codes(&format!("[{}]", elements.join(","))), Ok(want));
    }
}
