//! Property: a query and a body that say the same are the same request; what breaks a field's rule
//! is refused for that field.

use proptest::prelude::*;

use super::*;
use crate::api::fixture::{NOW, keys, token_text};

/// What a request says, in one line.
fn told(request: &DecideRequest<'_>) -> String {
    let DecideRequest { context, anonymous, explain, events } = request;
    let Context { user, placement, session, locale, tz, attributes } = context;
    let events = events.len();
    format!(
        "{user:?} {placement} {session:?} {locale:?} {tz:?} {attributes:?} \
         anonymous={anonymous} explain={explain} events={events}"
    )
}

fn query(query: &str) -> Result<String, (Code, Option<Field>)> {
    let bump = Bump::new();
    let request = read_query(query, &bump);
    request.map(|request| told(&request)).map_err(|refusal| (refusal.code, refusal.field))
}

fn body(body: &str) -> Result<String, (Code, Option<Field>)> {
    let bump = Bump::new();
    let keys = keys();
    let request = read_body(body.as_bytes(), Reading { keys: &keys, now: NOW, bump: &bump });
    request.map(|request| told(&request)).map_err(|refusal| (refusal.code, refusal.field))
}

#[test]
fn a_query_and_a_body_that_say_the_same() {
    let cases = [
        ("", "{}"),
        ("_=17&nocache", r#"{"_":17,"nocache":{"deep":[1]}}"#),
        ("user=u1", r#"{"user":"u1"}"#),
        ("user=u1&key=k", r#"{"user":"u1","key":"k"}"#),
        ("user=J%C3%BCrgen+M", r#"{"user":"J\u00fcrgen M"}"#),
        (
            "user=u&placement=p&session=s&locale=de-AT&tz=Europe%2FVienna",
            r#"{"user":"u","placement":"p","session":"s","locale":"de-AT","tz":"Europe/Vienna"}"#,
        ),
        ("attr.a=1&attr.b.c=&attr.%C3%A4=x", r#"{"attrs":{"a":"1","b.c":"","ä":"x"}}"#),
        ("explain=true", r#"{"explain":true}"#),
        ("explain=1", r#"{"explain":true}"#),
        ("explain", r#"{"explain":true}"#),
        ("explain=0", r#"{"explain":false}"#),
        ("explain=false", r#"{"explain":null}"#),
        ("", r#"{"user":null,"placement":null,"session":null,"attrs":null,"events":null}"#),
        ("attr.a=1", r#"{"attrs":{"gone":null,"a":"1"},"events":[]}"#),
    ];
    for (asked, posted) in cases {
        let want = query(asked);
        assert!(want.is_ok(), "{asked}: {want:?}");
        assert_eq!(body(posted), want, "{asked} {posted}");
    }
}

#[test]
fn what_a_request_says() {
    let got = query("user=u&session=s&attr.a=1&explain=1").unwrap();
    let want = r#""u" home Some("s") None None [("a", Scalar("1"))] anonymous=false explain=true events=0"#;
    assert_eq!(got, want);
    let got = body("{}").unwrap();
    assert_eq!(got, r#""" home None None None [] anonymous=true explain=false events=0"#);
}

#[test]
fn attributes_of_every_kind() {
    let bump = Bump::new();
    let keys = keys();
    let json =
        r#"{"attrs":{"t":"x","w":-3,"r":5.10,"b":true,"l":["x",1.0,null,[false],{}],"o":{}}}"#;
    let request = read_body(json.as_bytes(), Reading { keys: &keys, now: NOW, bump: &bump });
    let attributes = request.unwrap().context.attributes;
    let names: Vec<_> = attributes.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["t", "w", "r", "b", "l", "o"]);
    use Value::{List, Other, Scalar};
    let inner = [Scalar("false")];
    let list = [Scalar("x"), Scalar("1.0"), Other, List(&inner), Other];
    let want = [Scalar("x"), Scalar("-3"), Scalar("5.10"), Scalar("true"), List(&list), Other];
    assert_eq!(attributes.iter().map(|(_, value)| *value).collect::<Vec<_>>(), want);
}

#[test]
fn lengths_are_bounded() {
    let fields = [
        ("user", Field::User),
        ("placement", Field::Placement),
        ("session", Field::Session),
        ("locale", Field::Locale),
        ("tz", Field::Tz),
    ];
    for (name, field) in fields {
        for (bytes, refused) in
            [(0, Some(Code::Empty)), (1, None), (128, None), (129, Some(Code::TooLong))]
        {
            let want = refused.map(|code| (code, Some(field)));
            let value = "x".repeat(bytes);
            assert_eq!(query(&format!("{name}={value}")).err(), want, "{name} {bytes}");
            assert_eq!(body(&format!(r#"{{"{name}":"{value}"}}"#)).err(), want, "{name} {bytes}");
        }
        // 64 letters of 2 bytes: the limit counts bytes.
        let value = "é".repeat(64);
        assert!(body(&format!(r#"{{"{name}":"{value}"}}"#)).is_ok());
        assert!(body(&format!(r#"{{"{name}":"{value}x"}}"#)).is_err());
    }
}

#[test]
fn attributes_are_bounded() {
    let names = |count: usize| (0..count).map(|index| format!("a{index}"));
    for (count, want) in [(64, None), (65, Some((Code::TooMany, Some(Field::Attrs))))] {
        let pairs: Vec<_> = names(count).map(|name| format!("attr.{name}=1")).collect();
        assert_eq!(query(&pairs.join("&")).err(), want);
        let members: Vec<_> = names(count).map(|name| format!("\"{name}\":1")).collect();
        assert_eq!(body(&format!(r#"{{"attrs":{{{}}}}}"#, members.join(","))).err(), want);
    }
}

#[test]
fn refused_queries() {
    let twice = Code::DuplicateField;
    let cases = [
        ("user=a&user=a", twice, Field::User),
        ("user=a&%75ser=b", twice, Field::User),
        ("placement=a&placement=b", twice, Field::Placement),
        ("session=a&session=b", twice, Field::Session),
        ("locale=a&locale=b", twice, Field::Locale),
        ("tz=a&tz=b", twice, Field::Tz),
        ("explain=0&explain=1", twice, Field::Explain),
        ("key=a&key=b", twice, Field::Key),
        ("attr.a=1&attr.b=1&attr.a=1", twice, Field::Attrs),
        ("attr.a+b=1&attr.a%20b=1", twice, Field::Attrs),
        ("explain=yes", Code::BadValue, Field::Explain),
        ("user", Code::Empty, Field::User),
        ("user=%00", Code::ControlCharacter, Field::User),
        ("user=a%0Ab", Code::ControlCharacter, Field::User),
        ("user=%7F", Code::ControlCharacter, Field::User),
        ("user=%C2%85", Code::ControlCharacter, Field::User),
        ("user=%ff", Code::InvalidUtf8, Field::Query),
        ("user=%", Code::BadEncoding, Field::Query),
        ("_=%zz", Code::BadEncoding, Field::Query),
    ];
    for (asked, code, field) in cases {
        assert_eq!(query(asked), Err((code, Some(field))), "{asked}");
    }
}

#[test]
fn refused_bodies() {
    let wrong = Code::WrongType;
    let cases = [
        ("[]", wrong, Field::Body),
        ("null", wrong, Field::Body),
        ("\"x\"", wrong, Field::Body),
        ("", Code::MalformedJson, Field::Body),
        (r#"{"user":"a","user":"a"}"#, Code::DuplicateKey, Field::Body),
        (r#"{"x":{"a":1,"a":2}}"#, Code::DuplicateKey, Field::Body),
        (r#"{"user":7}"#, wrong, Field::User),
        (r#"{"user":["a"]}"#, wrong, Field::User),
        (r#"{"user":"a\u0000"}"#, Code::ControlCharacter, Field::User),
        (r#"{"placement":1}"#, wrong, Field::Placement),
        (r#"{"session":true}"#, wrong, Field::Session),
        (r#"{"locale":{}}"#, wrong, Field::Locale),
        (r#"{"tz":0}"#, wrong, Field::Tz),
        (r#"{"attrs":[]}"#, wrong, Field::Attrs),
        (r#"{"attrs":"a"}"#, wrong, Field::Attrs),
        (r#"{"explain":"true"}"#, wrong, Field::Explain),
        (r#"{"explain":1}"#, wrong, Field::Explain),
        (r#"{"events":{}}"#, wrong, Field::Events),
        (r#"{"events":1}"#, wrong, Field::Events),
    ];
    for (posted, code, field) in cases {
        assert_eq!(body(posted), Err((code, Some(field))), "{posted}");
    }
    let events = vec!["{}"; 101].join(",");
    let too_many = body(&format!(r#"{{"events":[{events}]}}"#));
    assert_eq!(too_many, Err((Code::TooMany, Some(Field::Events))));
}

#[test]
fn events_come_with_the_request_in_their_order() {
    let bump = Bump::new();
    let keys = keys();
    let token = token_text("u1");
    let json = format!(
        r#"{{"user":"u1","events":[{{"decision":"{token}","action":"clicked"}},5,
            {{"decision":"{token}","action":"wat"}}]}}"#
    );
    let reading = Reading { keys: &keys, now: NOW, bump: &bump };
    let request = read_body(json.as_bytes(), reading).unwrap();
    let codes: Vec<_> = request.events.iter().map(|element| element.err()).collect();
    let want = [None, Some(events::EventCode::BadEvent), Some(events::EventCode::UnknownAction)];
    assert_eq!(codes, want);
}

#[test]
fn a_plain_query_takes_no_scratch() {
    let bump = Bump::new();
    read_query("user=u1&placement=home&session=s", &bump).unwrap();
    assert_eq!(bump.allocated_bytes(), 0);
}

proptest! {
    #[test]
    fn any_query_is_read_or_refused(text in "((user|tz|attr\\.a|explain)=[a-z%0-9+]{0,4}&?){0,5}") {
        let _ = query(&text);
    }

    #[test]
    fn a_user_is_taken_as_it_is(user in "\\PC{1,32}") {
        let json = serde_json::json!({ "user": user }).to_string();
        let told = body(&json).unwrap();
        prop_assert!(told.starts_with(&format!("{user:?} ")), "{}", told);
    }
}
