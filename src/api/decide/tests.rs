//! Property: a query and a body that say the same are the same request; what breaks a field's rule
//! is refused for that field.

use proptest::prelude::*;

use super::*;
use crate::fixture::{NOW, keys, token_text};

/// What a request says, in one line.
fn told(request: &DecideRequest<'_>) -> String {
    let DecideRequest { context, anonymous, is_preview, explain, events, ignored } = request;
    assert!(!is_preview, "nobody has settled that yet");
    let Context { user, placement, session, locale, tz, attributes } = context;
    let events = events.len();
    format!(
        "{user:?} {placement} {session:?} {locale:?} {tz:?} {attributes:?} \
         anonymous={anonymous} explain={explain} events={events}{}",
        ignored.names.iter().map(|name| format!(" ?{name}")).collect::<String>(),
    )
}

fn query(query: &str) -> Result<String, (Code, Option<RequestField>)> {
    let bump = Bump::new();
    let request = read_query(query, &bump);
    request.map(|request| told(&request)).map_err(|refusal| (refusal.code, refusal.field))
}

fn body(body: &str) -> Result<String, (Code, Option<RequestField>)> {
    let bump = Bump::new();
    let keys = keys();
    let request = read_body(
        body.as_bytes(),
        EventContext { keys: &keys, now: NOW, bump: &bump },
        Unknown::new(&bump),
    );
    request.map(|read| told(&read.request)).map_err(|refusal| (refusal.code, refusal.field))
}

#[test]
fn a_query_and_a_body_that_say_the_same() {
    let cases = [
        ("", "{}"),
        ("_=17&nocache", r#"{"_":17,"nocache":{"deep":[1]}}"#),
        ("placment=x&a+b=1", r#"{"placment":"x","a b":null}"#),
        ("attr.n=5.10&attr.b=true&attr.z=-0", r#"{"attrs":{"n":5.10,"b":true,"z":-0}}"#),
        (
            "attr.n=12345678901234567890123&attr.e=1E%2b2",
            r#"{"attrs":{"n":12345678901234567890123,"e":1E+2}}"#,
        ),
        ("user=u1", r#"{"user":"u1"}"#),
        ("user=u1&key=k", r#"{"user":"u1","key":"k"}"#),
        ("user=u1&sig=s", r#"{"user":"u1","sig":"s"}"#),
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
    let request = read_body(
        json.as_bytes(),
        EventContext { keys: &keys, now: NOW, bump: &bump },
        Unknown::new(&bump),
    );
    let attributes = request.unwrap().request.context.attributes;
    let names: Vec<_> = attributes.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["t", "w", "r", "b", "l", "o"]);
    use AttributeValue::{List, Other, Scalar};
    let inner = [Scalar("false")];
    let list = [Scalar("x"), Scalar("1.0"), Other, List(&inner), Other];
    let want = [Scalar("x"), Scalar("-3"), Scalar("5.10"), Scalar("true"), List(&list), Other];
    assert_eq!(attributes.iter().map(|(_, value)| *value).collect::<Vec<_>>(), want);
}

#[test]
fn lengths_are_bounded() {
    let fields = [
        ("user", RequestField::User, 128),
        ("placement", RequestField::Placement, 128),
        ("session", RequestField::Session, 1_024),
        ("locale", RequestField::Locale, 128),
        ("tz", RequestField::Tz, 128),
    ];
    for (name, field, bytes_max) in fields {
        for (bytes, refused) in [(1, None), (bytes_max, None), (bytes_max + 1, Some(Code::TooLong))]
        {
            let want = refused.map(|code| (code, Some(field)));
            let value = "x".repeat(bytes);
            assert_eq!(query(&format!("{name}={value}")).err(), want, "{name} {bytes}");
            assert_eq!(body(&format!(r#"{{"{name}":"{value}"}}"#)).err(), want, "{name} {bytes}");
        }
        // Letters of 2 bytes: the limit counts bytes.
        let value = "é".repeat(bytes_max / 2);
        assert!(body(&format!(r#"{{"{name}":"{value}"}}"#)).is_ok());
        assert!(body(&format!(r#"{{"{name}":"{value}x"}}"#)).is_err());
    }
}

#[test]
fn what_is_empty_is_absent_and_a_user_can_not_be() {
    let absent = query("user=u").unwrap();
    for name in ["placement", "session", "locale", "tz"] {
        assert_eq!(query(&format!("user=u&{name}=")).as_ref(), Ok(&absent), "{name}");
        assert_eq!(query(&format!("user=u&{name}")).as_ref(), Ok(&absent), "{name}");
        let posted = format!(r#"{{"user":"u","{name}":""}}"#);
        assert_eq!(body(&posted).as_ref(), Ok(&absent), "{name}");
        let twice = query(&format!("{name}=&{name}=x")).unwrap_err();
        assert_eq!(twice.0, Code::DuplicateField, "{name}");
    }
    assert_eq!(query("user=").unwrap_err(), (Code::Empty, Some(RequestField::User)));
    assert_eq!(body(r#"{"user":""}"#).unwrap_err(), (Code::Empty, Some(RequestField::User)));
}

#[test]
fn what_nobody_knows_is_told() {
    let told = |said: Result<String, _>| -> Vec<String> {
        let said = said.unwrap();
        said.split(" ?").skip(1).map(str::to_owned).collect()
    };
    let queries: [(&str, &[&str]); 7] = [
        ("user=u&placement=p&session=s&locale=l&tz=t&explain=0&key=k&sig=s&attr.x=1", &[]),
        ("placment=home", &["placment"]),
        ("User=u&attr=1&attrs=1&events=1", &["User", "attr", "attrs", "events"]),
        ("z=1&z=2&y=1", &["z", "y"]),
        ("a=1&b=1&c=1&d=1&e=1", &["a", "b", "c", "d"]),
        ("a%20b=1&%63=1&=1", &["c"]),
        ("attr.=1&attr.attr.x=2", &[]),
    ];
    for (asked, names) in queries {
        assert_eq!(told(query(asked)), names, "{asked}");
    }
    let bodies: [(&str, &[&str]); 6] = [
        (r#"{"user":null,"key":"k","sig":"s","attrs":{"odd":1,"placment":2}}"#, &[]),
        (r#"{"placment":"home","x":null,"\u0063":{"deep":1}}"#, &["placment", "x", "c"]),
        (r#"{"attr.x":1,"User":"u","":1}"#, &["User"]),
        (
            r#"{"events":[{"actoin":1},{"actoin":2,"time":3},5,{"ts":1,"key":1}],"z":1}"#,
            &["actoin", "time", "z"],
        ),
        (r#"{"z":1,"events":[{"decision":"","action":"","ts":0,"z":1}]}"#, &["z"]),
        (r#"{"a":1,"b":1,"c":1,"d":1,"e":1}"#, &["a", "b", "c", "d"]),
    ];
    for (posted, names) in bodies {
        assert_eq!(told(body(posted)), names, "{posted}");
    }
}

#[test]
fn attributes_are_bounded() {
    let names = |count: usize| (0..count).map(|index| format!("a{index}"));
    for (count, want) in [(64, None), (65, Some((Code::TooMany, Some(RequestField::Attrs))))] {
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
        ("user=a&user=a", twice, RequestField::User),
        ("user=a&%75ser=b", twice, RequestField::User),
        ("placement=a&placement=b", twice, RequestField::Placement),
        ("session=a&session=b", twice, RequestField::Session),
        ("locale=a&locale=b", twice, RequestField::Locale),
        ("tz=a&tz=b", twice, RequestField::Tz),
        ("explain=0&explain=1", twice, RequestField::Explain),
        ("key=a&key=b", twice, RequestField::Key),
        ("attr.a=1&attr.b=1&attr.a=1", twice, RequestField::Attrs),
        ("attr.a+b=1&attr.a%20b=1", twice, RequestField::Attrs),
        ("explain=yes", Code::BadValue, RequestField::Explain),
        ("user", Code::Empty, RequestField::User),
        ("user=%00", Code::ControlCharacter, RequestField::User),
        ("user=a%0Ab", Code::ControlCharacter, RequestField::User),
        ("user=%7F", Code::ControlCharacter, RequestField::User),
        ("user=%C2%85", Code::ControlCharacter, RequestField::User),
        ("user=%ff", Code::InvalidUtf8, RequestField::Query),
        ("user=%", Code::BadEncoding, RequestField::Query),
        ("_=%zz", Code::BadEncoding, RequestField::Query),
    ];
    for (asked, code, field) in cases {
        assert_eq!(query(asked), Err((code, Some(field))), "{asked}");
    }
}

#[test]
fn refused_bodies() {
    let wrong = Code::WrongType;
    let cases = [
        ("[]", wrong, RequestField::Body),
        ("null", wrong, RequestField::Body),
        ("\"x\"", wrong, RequestField::Body),
        ("", Code::MalformedJson, RequestField::Body),
        (r#"{"user":"a","user":"a"}"#, Code::DuplicateKey, RequestField::Body),
        (r#"{"x":{"a":1,"a":2}}"#, Code::DuplicateKey, RequestField::Body),
        (r#"{"user":7}"#, wrong, RequestField::User),
        (r#"{"user":["a"]}"#, wrong, RequestField::User),
        (r#"{"user":"a\u0000"}"#, Code::ControlCharacter, RequestField::User),
        (r#"{"placement":1}"#, wrong, RequestField::Placement),
        (r#"{"session":true}"#, wrong, RequestField::Session),
        (r#"{"locale":{}}"#, wrong, RequestField::Locale),
        (r#"{"tz":0}"#, wrong, RequestField::Tz),
        (r#"{"attrs":[]}"#, wrong, RequestField::Attrs),
        (r#"{"attrs":"a"}"#, wrong, RequestField::Attrs),
        (r#"{"explain":"true"}"#, wrong, RequestField::Explain),
        (r#"{"explain":1}"#, wrong, RequestField::Explain),
        (r#"{"events":{}}"#, wrong, RequestField::Events),
        (r#"{"events":1}"#, wrong, RequestField::Events),
    ];
    for (posted, code, field) in cases {
        assert_eq!(body(posted), Err((code, Some(field))), "{posted}");
    }
    let events = vec!["{}"; 101].join(",");
    let too_many = body(&format!(r#"{{"events":[{events}]}}"#));
    assert_eq!(too_many, Err((Code::TooMany, Some(RequestField::Events))));
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
    let reading = EventContext { keys: &keys, now: NOW, bump: &bump };
    let read = read_body(json.as_bytes(), reading, Unknown::new(&bump)).unwrap();
    let request = read.request;
    let codes: Vec<_> = request.events.iter().map(|element| element.err()).collect();
    let want = [None, Some(events::EventCode::BadEvent), Some(events::EventCode::UnknownAction)];
    assert_eq!(codes, want);
}

#[test]
fn names_of_attributes_and_secrets_are_not_told_back() {
    let bump = Bump::new();
    let keys = keys();
    let reading = EventContext { keys: &keys, now: NOW, bump: &bump };
    let body = r#"{"user":"u","attr.a":1,"key":"k","sig":"s","attrs":{"b":1,"key":2},
        "new":1,"events":[{"attr.c":1,"key":1,"sig":1,"newer":1}]}"#;
    let unknown = Unknown::of_query("attr.d=1&key=k&sig=s&newest=1", &bump);
    let request = read_body(body.as_bytes(), reading, unknown).unwrap().request;
    assert_eq!(request.ignored.names, ["newest", "new", "newer"], "{request:?}");
}

#[test]
fn a_plain_query_takes_no_scratch() {
    let bump = Bump::new();
    read_query("user=u1&placement=home&session=s", &bump).unwrap();
    assert_eq!(bump.allocated_bytes(), 0);
}

/// A scalar of JSON as it may stand in a body, and the text that a query has in its place.
fn scalar() -> impl Strategy<Value = (String, String)> {
    let number = "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?";
    prop_oneof![
        number.prop_map(|text| (text.clone(), text)),
        any::<bool>().prop_map(|boolean| (boolean.to_string(), boolean.to_string())),
        "[0-9.v-]{0,6}".prop_map(|text| (format!("\"{text}\""), text)),
        any::<String>().prop_map(|text| (serde_json::json!(text).to_string(), text)),
    ]
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

proptest! {
    #[test]
    fn any_query_is_read_or_refused(text in "((user|tz|attr\\.a|explain)=[a-z%0-9+]{0,4}&?){0,5}") {
        let _ = query(&text);
    }

    #[test]
    fn a_query_and_a_body_of_the_same_attributes_are_one_request(
        scalars in prop::collection::vec((scalar(), "[ \n\t]{0,2}"), 0..8),
        decoy in any::<String>(),
    ) {
        let (mut pairs, mut members) = (vec!["user=u".to_owned()], Vec::new());
        for (index, ((json, text), space)) in scalars.iter().enumerate() {
            pairs.push(format!("attr.{index}={}", encoded(text)));
            members.push(format!("\"{index}\":{space}{json}{space}"));
        }
        // Texts full of digits and quotes stand before the numbers and must not be taken for them.
        let decoy = serde_json::json!(format!("1\\\"2{decoy}")).to_string();
        let posted = format!(r#"{{"_":[{decoy},7],"attrs":{{{}}},"user":"u"}}"#, members.join(","));
        pairs.insert(0, "_=1".to_owned());
        prop_assert_eq!(body(&posted), query(&pairs.join("&")), "{}", posted);
    }

    #[test]
    fn a_user_is_taken_as_it_is(user in "\\PC{1,32}") {
        let json = serde_json::json!({ "user": user }).to_string();
        let told = body(&json).unwrap();
        prop_assert!(told.starts_with(&format!("{user:?} ")), "{}", told);
    }
}
