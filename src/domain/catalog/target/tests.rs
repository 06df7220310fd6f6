//! Property: texts read as numbers by JSON's grammar, and order as its library says.

use proptest::prelude::*;

use super::*;

#[test]
fn numbers_are_those_of_json() {
    let whole = [
        ("0", 0),
        ("-0", 0),
        ("7", 7),
        ("-12", -12),
        ("170141183460469231731687303715884105727", i128::MAX),
    ];
    for (text, number) in whole {
        assert!(matches!(parse_number(text), Some(JsonNumber::Whole(n)) if n == number), "{text}");
    }
    let real = [
        ("1.5", 1.5),
        ("-0.0", 0.0),
        ("1e2", 100.0),
        ("1E+2", 100.0),
        ("25e-1", 2.5),
        ("170141183460469231731687303715884105728", 1.701_411_834_604_692_3e38),
        ("1e999", f64::MAX),
        ("-1e999", f64::MIN),
        ("1e-999", 0.0),
    ];
    for (text, number) in real {
        assert!(matches!(parse_number(text), Some(JsonNumber::Real(n)) if n == number), "{text}");
    }
    let others = [
        "", "-", "+1", " 1", "1 ", "01", "-01", "1.", ".5", "1.e2", "1e", "1e+", "0x10", "1_000",
        "inf", "NaN", "Infinity", "1e2.5", "--1", "٣", "true",
    ];
    for text in others {
        assert!(parse_number(text).is_none(), "{text:?}");
    }
}

#[test]
fn numbers_compare_by_value() {
    assert_eq!(parse_number("1"), parse_number("1.0"));
    assert_eq!(parse_number("100"), parse_number("1e2"));
    // 2^53 + 1 is no double: compared exactly.
    let above = parse_number("9007199254740993").unwrap();
    assert!(above.compare(parse_number("9007199254740992.0").unwrap()).is_gt());
}

#[test]
fn booleans_are_exactly_two_texts() {
    assert_eq!(parse_boolean("true"), Some(true));
    assert_eq!(parse_boolean("false"), Some(false));
    for text in ["True", "1", "yes", " true", ""] {
        assert_eq!(parse_boolean(text), None);
    }
}

proptest! {
    #[test]
    fn numbers_are_what_the_json_library_takes(
        text in "-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?",
    ) {
        // Its grammar, not its value: the library rounds to a double in haste.
        let library = serde_json::from_str::<f64>(&text).ok();
        let exact = library.map(|_| JsonNumber::Real(text.parse().unwrap()));
        prop_assert_eq!(parse_number(&text), exact);
    }

    #[test]
    fn no_text_breaks_a_reader(text: String) {
        parse_number(&text);
        parse_boolean(&text);
    }
}
