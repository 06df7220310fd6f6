//! Property: what is read is what serde_json reads, and what is refused is refused for its reason.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use nudged_base::limits::{BODY_BYTES_MAX, JSON_SCRATCH_BYTES_MAX};

fn read(body: impl AsRef<[u8]>) -> Result<Value, Code> {
    let bump = Bump::new();
    let found = parse(body.as_ref(), &bump).map_err(|refusal| {
        assert_eq!(refusal.field, Some(RequestField::Body));
        refusal.code
    });
    let wanted = oracle::parse(body.as_ref(), &bump);
    assert_eq!(found, wanted, "{:?}", String::from_utf8_lossy(body.as_ref()));
    found.map(|json| value_of(&json))
}

fn value_of(json: &Json<'_>) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Boolean(value) => json!(value),
        Json::Number(text) => serde_json::from_str(text).unwrap(),
        Json::Text(text) => json!(text),
        Json::List(list) => list.iter().map(value_of).collect(),
        Json::Object(members) => {
            let members = members.iter().map(|(name, value)| ((*name).to_owned(), value_of(value)));
            Value::Object(members.collect())
        }
    }
}

fn nested(depth: usize) -> String {
    let (open, close): (Vec<_>, Vec<_>) =
        (0..depth).map(|level| if level % 2 == 0 { ("[", "]") } else { ("{\"a\":", "}") }).unzip();
    let close: String = close.into_iter().rev().collect();
    format!("{}1{close}", open.concat())
}

fn members(count: usize) -> String {
    let members: Vec<_> = (0..count).map(|index| format!("\"{index}\":0")).collect();
    format!("{{{}}}", members.join(","))
}

#[test]
fn forms() {
    let cases = [
        (" null\n", json!(null)),
        ("[true,false]", json!([true, false])),
        (r#"{"b":1,"a":{"b":2}}"#, json!({"b": 1, "a": {"b": 2}})),
        (r#"[{"a":1},{"a":2}]"#, json!([{"a": 1}, {"a": 2}])),
        (r#""é\u00e9\n\ud83c\udf81""#, json!("éé\n🎁")),
        (r#"{"\u0061":1,"A":2}"#, json!({"a": 1, "A": 2})),
        (r#"{"":0}"#, json!({"": 0})),
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("1e2", json!(100.0)),
        ("1e-400", json!(0.0)),
    ];
    for (body, want) in cases {
        assert_eq!(read(body), Ok(want), "{body}");
    }
}

#[test]
fn refusals() {
    let cases: &[(&[u8], Code)] = &[
        (b"", Code::MalformedJson),
        (b"{", Code::MalformedJson),
        (b"{}{}", Code::MalformedJson),
        (b"{} x", Code::MalformedJson),
        (b"{}\0", Code::MalformedJson),
        (b"[1,]", Code::MalformedJson),
        (b"{\"a\":1,}", Code::MalformedJson),
        (b"{a:1}", Code::MalformedJson),
        (b"{1:1}", Code::MalformedJson),
        (b"{'a':1}", Code::MalformedJson),
        (b"// x\n1", Code::MalformedJson),
        (b"\xef\xbb\xbf{}", Code::MalformedJson),
        (b"NaN", Code::MalformedJson),
        (b"Infinity", Code::MalformedJson),
        (b"01", Code::MalformedJson),
        (b"+1", Code::MalformedJson),
        (b".5", Code::MalformedJson),
        (b"1.", Code::MalformedJson),
        (b"0x1", Code::MalformedJson),
        (b"\"\t\"", Code::MalformedJson),
        (b"\"\\x\"", Code::MalformedJson),
        (br#""\ud800""#, Code::MalformedJson),
        (br#""\udc00""#, Code::MalformedJson),
        (br#""\ud800\ud800""#, Code::MalformedJson),
        (br#"{"\ud800":1}"#, Code::MalformedJson),
        (b"1e400", Code::BadNumber),
        (b"[-1e400]", Code::BadNumber),
        (b"\"\xff\"", Code::InvalidUtf8),
        (b"\"\xed\xa0\x80\"", Code::InvalidUtf8),
        (b"\"\xc0\x80\"", Code::InvalidUtf8),
        (br#"{"a":1,"a":1}"#, Code::DuplicateKey),
        (br#"{"a":1,"b":2,"\u0061":3}"#, Code::DuplicateKey),
        (br#"[{"x":{"a":1,"":2,"":3}}]"#, Code::DuplicateKey),
    ];
    for (body, want) in cases {
        assert_eq!(read(body), Err(*want), "{:?}", String::from_utf8_lossy(body));
    }
}

#[test]
fn long_numbers_are_weighed() {
    for digits in [299, 300, 301, 308, 309, 310, 400] {
        let nines = "9".repeat(digits);
        for number in
            [nines.clone(), format!("-{nines}"), format!("0.{nines}"), format!("{nines}e-200")]
        {
            let is_good = digits <= 308 || number.contains('.') || number.contains('e');
            let want = if is_good { Ok(()) } else { Err(Code::BadNumber) };
            assert_eq!(read(&number).map(|_| ()), want, "{number}");
        }
    }
}

// A text's end is looked for eight bytes at a time: at each place of a word and of what is left.
#[test]
fn texts_end_where_they_end() {
    const ENDS: [&str; 8] =
        ["\"", "\\n\"", "\\u00e9y\"", "", "\n\"", "\u{1f}", "\u{7f}\"", " !#[]~\""];
    for length in 0..14 {
        let plain: String = "x\u{e9}y".chars().cycle().take(length).collect();
        for (end, after) in ENDS.iter().flat_map(|end| ["", " ", "         "].map(|a| (end, a))) {
            let _ = read(format!("\"{plain}{end}{after}"));
        }
    }
}

#[test]
fn depth_is_bounded() {
    assert!(read(nested(16)).is_ok());
    assert_eq!(read(nested(17)), Err(Code::TooDeep));
    assert_eq!(read("[".repeat(65_536)), Err(Code::TooDeep));
    assert_eq!(read(format!("{{\"a\":{}}}", "[".repeat(16))), Err(Code::TooDeep));
}

#[test]
fn members_are_bounded() {
    assert!(read(members(256)).is_ok());
    assert_eq!(read(members(257)), Err(Code::TooManyMembers));
    assert_eq!(read(format!("[{},{}]", members(256), members(257))), Err(Code::TooManyMembers));
}

#[test]
fn texts_without_escapes_borrow() {
    let body = br#""plain""#;
    let bump = Bump::new();
    assert_eq!(parse(body, &bump), Ok(Json::Text("plain")));
    assert_eq!(bump.allocated_bytes(), 0);
}

// The forms that were thought of, each twice, since scratch keeps its last chunk. Grown lists leave
// their old places behind, and small objects have room for more than they hold.
#[test]
fn scratch_is_bounded_by_the_body() {
    let mut worst = 0;
    let nested = "{\"\":".repeat(JSON_DEPTH_MAX - 1) + "0" + &"}".repeat(JSON_DEPTH_MAX - 1);
    let small = ["0", "[]", "[0]", "[[0]]", "{\"\":0}", "[0,0,0,0,0]", "\"\\n\""];
    for unit in small.into_iter().chain([&*nested]) {
        let count = (BODY_BYTES_MAX - 1) / (unit.len() + 1);
        let body = format!("[{}]", vec![unit; count].join(","));
        assert!(body.len() <= BODY_BYTES_MAX);
        let mut bump = Bump::new();
        for _ in 0..2 {
            bump.reset();
            parse(body.as_bytes(), &bump).unwrap();
            worst = worst.max(bump.allocated_bytes());
        }
    }
    assert!(worst <= JSON_SCRATCH_BYTES_MAX, "{worst}");
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e300..1e300).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Pieces of JSON, whole and broken.
const PIECES: [&str; 52] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\"a\"",
    "\"b\"",
    "\"a\":",
    "\"\\u0061\":",
    "{\"a\":",
    "[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":{\"a\":",
    " ",
    "\n",
    "\t",
    "\u{c}",
    "\u{0}",
    "\u{7f}",
    "true",
    "false",
    "null",
    "tru",
    "nulll",
    "0",
    "-",
    "-0",
    "1",
    "01",
    "1.",
    "1.50",
    ".5",
    "1e5",
    "1E+5",
    "1e-5",
    "1e",
    "1e+",
    "1e400",
    "-1e400",
    "1e99999999999",
    "0e99999999999",
    "1e-99999999999",
    "\"\\ud83c\\udf81\"",
    "\"\\ud83c\"",
    "\"\\udf81\"",
    "\"\\ud83c\\u0041\"",
    "\"\\u12g4\"",
    "\"\\b\\f\\n\\r\\t\\/\\\\\\\"\"",
    "\"\\x\"",
    "\"é🎁\"",
    "\\",
];

proptest! {
    #[test]
    fn any_pieces_are_read_as_serde_json_reads_them(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..12),
    ) {
        let _ = read(pieces.concat());
    }

    // Within an array and an object, so that more of them are good.
    #[test]
    fn any_values_are_read_as_serde_json_reads_them(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..6),
        is_object in any::<bool>(),
    ) {
        let body = match is_object {
            true => pieces.iter().enumerate().map(|(n, p)| format!("\"{}\":{p}", n % 4)).collect(),
            false => pieces.iter().map(|piece| (*piece).to_owned()).collect::<Vec<_>>(),
        };
        let body = body.join(",");
        let _ = read(if is_object { format!("{{{body}}}") } else { format!("[{body}]") });
    }

    #[test]
    fn what_was_written_is_read(value in any_value(), pretty in any::<bool>()) {
        let body = if pretty { format!("{value:#}") } else { value.to_string() };
        prop_assert_eq!(read(body), Ok(value));
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(value) = read(&body) {
            prop_assert_eq!(value, serde_json::from_slice::<Value>(&body).unwrap());
        }
    }

    #[test]
    fn damaged_json_is_read_or_refused(
        value in any_value(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut body = value.to_string().into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        if let Ok(value) = read(&body) {
            prop_assert_eq!(value, serde_json::from_slice::<Value>(&body).unwrap());
        }
    }
}
