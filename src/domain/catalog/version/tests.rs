//! Property: texts read as versions of up to eight numbers; those of three order as semver's
//! library says, and more numbers only refine that.

use proptest::prelude::*;

use super::*;

#[test]
fn equal_versions_have_many_texts() {
    let same = [
        ["5", "5.0", "5.0.0.0.0.0.0.0"],
        ["5.2", "v5.2.0", "05.002"],
        ["5.2.0.1234", "5.2.0.01234", "v5.2.0.1234+7"],
        ["2026.6.1", "2026.06.1", "v2026.06.01"],
        ["5.2-rc.1", "5.2.0-rc.1", "5.2.0.0-rc.1+build.007"],
        ["5-alpha-1", "5.0.0-alpha-1", "v05-alpha-1"],
        ["18446744073709551615", "00018446744073709551615", "v18446744073709551615.0"],
        ["0", "0.0", "000.0-0"],
    ];
    for [a, b, c] in same {
        let is_pre = c.ends_with("-0");
        let version = Version::parse(a).unwrap();
        assert_eq!(version.compare_text(b), Some(Ordering::Equal), "{a} {b}");
        let want = if is_pre { Ordering::Less } else { Ordering::Equal };
        assert_eq!(version.compare_text(c), Some(want), "{a} {c}");
    }
}

#[test]
fn versions_order_part_by_part() {
    let ascending = [
        "0-0",
        "0",
        "0.0.0.0.0.0.0.1",
        "1-alpha",
        "1.0.0.0-beta.2",
        "1-beta.11",
        "1-rc.1",
        "1",
        "1.0.0.1-rc",
        "1.0.0.1",
        "1.0.1",
        "5.2.0",
        "5.2.0.1",
        "5.2.0.12",
        "5.2.1",
        "5.10",
        "2026.6.1",
        "2026.06.1.1",
        "18446744073709551615",
    ];
    for (place, a) in ascending.iter().enumerate() {
        for (other, b) in ascending.iter().enumerate() {
            let (a, b) = (Version::parse(a).unwrap(), Version::parse(b).unwrap());
            assert_eq!(a.compare(&b), place.cmp(&other), "{a:?} {b:?}");
        }
    }
}

#[test]
fn other_texts_are_no_versions() {
    let others = [
        "",
        "v",
        "vv1",
        "V1",
        "1.",
        ".1",
        "1..2",
        "1.2.3.4.5.6.7.8.9",
        "1.2.3-",
        "1.2.3-01",
        "1.2.3-rc.01",
        "1.2.3-a..b",
        "1.2.3+",
        "1.2.3-ä",
        "1 ",
        " 1",
        "-1",
        "+1",
        "1.-1",
        "1.+1",
        "18446744073709551616",
        "1.2.3.4.5.6.7.18446744073709551616",
        "junk",
        "1.x",
        "1e1",
        "1.2.3+a+b",
    ];
    for text in others {
        assert_eq!(Version::parse(text), None, "{text:?}");
        assert_eq!(Version::parse("1").unwrap().compare_text(text), None, "{text:?}");
    }
}

fn version_text() -> impl Strategy<Value = String> {
    let identifier = prop_oneof!["[0-9]{1,3}", "[a-c-]{1,2}", "[0-9a-b]{1,12}"];
    let pre = proptest::collection::vec(identifier.clone(), 0..4);
    let build = proptest::collection::vec(identifier, 0..2);
    ("[0-3]\\.[0-2]\\.[0-1]", pre, build).prop_map(|(core, pre, build)| {
        let part = |sign: &str, parts: Vec<String>| match parts.is_empty() {
            true => String::new(),
            false => format!("{sign}{}", parts.join(".")),
        };
        format!("{core}{}{}", part("-", pre), part("+", build))
    })
}

proptest! {
    #[test]
    fn versions_order_as_the_library_orders_them(a in version_text(), b in version_text()) {
        let library = |text: &str| semver::Version::parse(text).ok();
        prop_assert_eq!(Version::parse(&a).is_some(), library(&a).is_some());
        if let (Some(x), Some(y)) = (library(&a), library(&b)) {
            let found = Version::parse(&a).unwrap().compare(&Version::parse(&b).unwrap());
            prop_assert_eq!(found, x.cmp_precedence(&y));
        }
    }

    #[test]
    fn more_parts_refine(numbers in prop::collection::vec(0..3_u64, 1..=8), leading in 0..3_usize) {
        let text = |numbers: &[u64]| {
            let part = |number: &u64| format!("{}{number}", "0".repeat(leading));
            numbers.iter().map(part).collect::<Vec<_>>().join(".")
        };
        let version = Version::parse(&text(&numbers)).unwrap();
        for count in 1..=numbers.len() {
            let rest_is_zero = numbers[count..].iter().all(|number| *number == 0);
            let want = if rest_is_zero { Ordering::Equal } else { Ordering::Less };
            prop_assert_eq!(version.compare_text(&text(&numbers[..count])), Some(want));
        }
    }

    #[test]
    fn no_text_breaks_the_reader(text: String) {
        let version = Version::parse("1.2.3").unwrap();
        prop_assert_eq!(Version::parse(&text).is_some(), version.compare_text(&text).is_some());
    }
}
