//! Every operator on every kind of value, and three-valued logic as a table. Random rules are the
//! model's business (`tests/it/model.rs`).

use serde_json::{Value as Json, json};

use super::*;
use crate::decide::samples::popup;

fn rule(target: &Json) -> Rule {
    popup(&json!({"id": "p", "target": target})).target.unwrap().as_ref().clone()
}

fn holds_of(op: &str, wanted: &Json, value: AttributeValue<'_>) -> Option<bool> {
    let rule = rule(&json!({"attr": "a", "op": op, "value": wanted}));
    truth(&rule, &[("b", AttributeValue::Scalar("true")), ("a", value)])
}

/// Whether a rule holds; as flat code it comes to the same.
fn truth(rule: &Rule, given: &[(&str, AttributeValue<'_>)]) -> Option<bool> {
    let holds = evaluate(rule, &mut RequestAttributes::new(given));
    let code = TargetCode::compile([None, Some(rule)].into_iter());
    let mut attributes = RequestAttributes::new(given);
    assert_eq!(matches(&code, 1, &mut attributes), holds == Some(true), "{rule:?} {given:?}");
    assert!(matches(&code, 0, &mut attributes), "who has no target is for everyone");
    holds
}

const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);
const UNKNOWN: Option<bool> = None;

#[test]
fn logic_is_three_valued() {
    let part = |truth: Option<bool>| match truth {
        YES => json!({"attr": "there", "op": "exists", "value": true}),
        NO => json!({"attr": "there", "op": "exists", "value": false}),
        UNKNOWN => json!({"attr": "absent", "op": "eq", "value": 1}),
    };
    let attributes = [("there", AttributeValue::Other)];
    let all = [YES, NO, UNKNOWN];
    for a in all {
        let not = rule(&json!({"not": part(a)}));
        assert_eq!(truth(&not, &attributes), a.map(|a| !a));
        for b in all {
            let parts = json!([part(a), part(b)]);
            let both = match (a, b) {
                (YES, YES) => YES,
                (NO, _) | (_, NO) => NO,
                _ => UNKNOWN,
            };
            assert_eq!(truth(&rule(&json!({"all": parts})), &attributes), both, "{a:?} {b:?}");
            let either = match (a, b) {
                (NO, NO) => NO,
                (YES, _) | (_, YES) => YES,
                _ => UNKNOWN,
            };
            assert_eq!(truth(&rule(&json!({"any": parts})), &attributes), either, "{a:?} {b:?}");
        }
    }
    assert_eq!(truth(&rule(&json!({"all": []})), &[]), YES);
    assert_eq!(truth(&rule(&json!({"any": []})), &[]), NO);
}

#[test]
fn only_exists_sees_absence() {
    let exists = |wanted: bool| rule(&json!({"attr": "a", "op": "exists", "value": wanted}));
    for (wanted, attributes, want) in [
        (true, &[][..], NO),
        (false, &[][..], YES),
        (true, &[("a", AttributeValue::Other)][..], YES),
        (false, &[("a", AttributeValue::Scalar(""))][..], NO),
    ] {
        assert_eq!(truth(&exists(wanted), attributes), want);
    }
    for op in ["eq", "ne", "lt", "contains", "starts_with", "ends_with", "matches", "semver_lt"] {
        let rule = rule(&json!({"attr": "a", "op": op, "value": "1"}));
        assert_eq!(truth(&rule, &[]), UNKNOWN, "{op}");
    }
}

#[test]
fn values_are_read_as_the_rules_type() {
    use AttributeValue::{Other, Scalar};
    let list = AttributeValue::List(&[AttributeValue::Scalar("x")]);
    let table = [
        ("eq", json!("x"), Scalar("x"), YES),
        ("eq", json!("x"), Scalar("X"), NO),
        ("eq", json!("18"), Scalar("18"), YES),
        ("eq", json!("5.10"), Scalar("5.10"), YES),
        ("eq", json!("5.10"), Scalar("5.1"), NO),
        ("eq", json!(5.1), Scalar("5.10"), YES),
        ("eq", json!("true"), Scalar("true"), YES),
        ("eq", json!("x"), list, UNKNOWN),
        ("eq", json!("x"), Other, UNKNOWN),
        ("ne", json!("x"), Scalar("y"), YES),
        ("ne", json!("x"), Scalar("x"), NO),
        ("ne", json!("x"), Scalar("1"), YES),
        ("ne", json!("x"), list, UNKNOWN),
        ("eq", json!(18), Scalar("18"), YES),
        ("eq", json!(18), Scalar("18.0"), YES),
        ("eq", json!(18), Scalar("1.8e1"), YES),
        ("eq", json!(18), Scalar("018"), UNKNOWN),
        ("eq", json!(18), Scalar("+18"), UNKNOWN),
        ("eq", json!(18), Scalar(" 18"), UNKNOWN),
        ("eq", json!(18), Scalar("NaN"), UNKNOWN),
        ("eq", json!(18), Scalar("true"), UNKNOWN),
        ("ne", json!(18), Scalar("thirty"), UNKNOWN),
        ("eq", json!(9_007_199_254_740_993_i64), Scalar("9007199254740992"), NO),
        ("eq", json!(true), Scalar("true"), YES),
        ("eq", json!(true), Scalar("false"), NO),
        ("eq", json!(true), Scalar("True"), UNKNOWN),
        ("eq", json!(true), Scalar("1"), UNKNOWN),
    ];
    for (op, wanted, value, want) in table {
        assert_eq!(holds_of(op, &wanted, value), want, "{op} {wanted} {value:?}");
    }
}

#[test]
fn lists_of_values_are_as_any_of_eq() {
    use AttributeValue::Scalar;
    let table = [
        (json!(["ios", "web"]), Scalar("web"), YES),
        (json!(["ios", "web"]), Scalar("mac"), NO),
        (json!(["ios", "web"]), Scalar("7"), NO),
        (json!(["7", "web"]), Scalar("7"), YES),
        (json!(["5.10"]), Scalar("5.1"), NO),
        (json!([5.1]), Scalar("5.10"), YES),
        (json!(["ios", "web"]), AttributeValue::Other, UNKNOWN),
        (json!([18, 30]), Scalar("30"), YES),
        (json!([18, 30]), Scalar("x"), UNKNOWN),
        (json!(["true", "x"]), Scalar("true"), YES),
        (json!([true]), Scalar("true"), YES),
        (json!([true]), Scalar("x"), UNKNOWN),
    ];
    for (values, value, want) in table {
        assert_eq!(holds_of("in", &values, value), want, "{values} {value:?}");
        let negated = want.map(|found| !found);
        assert_eq!(holds_of("not_in", &values, value), negated, "{values} {value:?}");
    }
}

#[test]
fn contains_is_a_substring_or_a_member() {
    let mixed = [
        AttributeValue::Scalar("vip"),
        AttributeValue::Scalar("18"),
        AttributeValue::Scalar("30"),
        AttributeValue::Scalar("true"),
        AttributeValue::Other,
        AttributeValue::List(&[]),
    ];
    let mixed = AttributeValue::List(&mixed);
    let table = [
        (json!("ip"), AttributeValue::Scalar("vips"), YES),
        (json!(""), AttributeValue::Scalar(""), YES),
        (json!("IP"), AttributeValue::Scalar("vips"), NO),
        (json!("7"), AttributeValue::Scalar("70.5"), YES),
        (json!(7), AttributeValue::Scalar("7"), UNKNOWN),
        (json!("vip"), mixed, YES),
        (json!("vi"), mixed, NO),
        (json!(18), mixed, YES),
        (json!(30), mixed, YES),
        (json!("30"), mixed, YES),
        (json!("true"), mixed, YES),
        (json!(true), mixed, YES),
        (json!(false), mixed, NO),
        (json!("x"), AttributeValue::List(&[]), NO),
        (json!("x"), AttributeValue::Other, UNKNOWN),
    ];
    for (wanted, value, want) in table {
        assert_eq!(holds_of("contains", &wanted, value), want, "{wanted} {value:?}");
    }
}

#[test]
fn orders_texts_and_versions() {
    use AttributeValue::Scalar;
    let table = [
        ("lt", json!(18), Scalar("17"), YES),
        ("lt", json!(18), Scalar("18"), NO),
        ("lte", json!(18), Scalar("18.0"), YES),
        ("gt", json!(17.5), Scalar("18"), YES),
        ("gte", json!(17.5), Scalar("17.4"), NO),
        ("gt", json!(17), Scalar("x"), UNKNOWN),
        ("lt", json!("b"), Scalar("B"), YES),
        ("gt", json!("9"), Scalar("10"), NO),
        ("lt", json!("ä"), Scalar("z"), YES),
        ("gte", json!("b"), Scalar("1"), NO),
        ("lt", json!("9"), Scalar("10"), YES),
        ("starts_with", json!("an"), Scalar("android"), YES),
        ("starts_with", json!("An"), Scalar("android"), NO),
        ("ends_with", json!("oid"), Scalar("android"), YES),
        ("ends_with", json!(".10"), Scalar("5.10"), YES),
        ("starts_with", json!("fa"), Scalar("false"), YES),
        ("matches", json!("r.d"), Scalar("android"), NO),
        ("matches", json!("r.{1}d|o.d$"), Scalar("android"), YES),
        ("matches", json!("^and"), Scalar("android"), YES),
        ("matches", json!("^[0-9]+$"), Scalar("7"), YES),
        ("semver_gte", json!("5.2"), Scalar("v5.10"), YES),
        ("semver_gte", json!("5.2"), Scalar("5.2.0-rc.1"), NO),
        ("semver_lte", json!("5"), Scalar("5.0.0+build"), YES),
        ("semver_gt", json!("5.2.0-rc.2"), Scalar("5.2.0-rc.10"), YES),
        ("semver_lt", json!("5.2.0-rc.1"), Scalar("5.2-alpha"), YES),
        ("semver_lt", json!("6"), Scalar("junk"), UNKNOWN),
        ("semver_lt", json!("6"), Scalar("5.2.0.1"), YES),
        ("semver_gt", json!("2026.6.1"), Scalar("2026.06.01.1"), YES),
        ("semver_lt", json!("6"), Scalar("5"), YES),
        ("semver_lt", json!("5.2"), Scalar("5.10"), NO),
        ("semver_lt", json!("6"), Scalar("true"), UNKNOWN),
    ];
    for (op, wanted, value, want) in table {
        assert_eq!(holds_of(op, &wanted, value), want, "{op} {wanted} {value:?}");
    }
}
