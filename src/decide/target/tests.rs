//! Every operator on every kind of value, and three-valued logic as a table. Random rules are the
//! model's business (`tests/it/model.rs`).

use serde_json::{Value as Json, json};

use super::*;
use crate::decide::samples::popup;

fn rule(target: &Json) -> Rule {
    popup(&json!({"id": "p", "target": target})).target.unwrap().as_ref().clone()
}

fn holds_of(op: &str, wanted: &Json, value: Value<'_>) -> Option<bool> {
    let rule = rule(&json!({"attr": "a", "op": op, "value": wanted}));
    evaluate(&rule, &[("b", Value::Boolean(true)), ("a", value)])
}

fn whole(number: i128) -> Value<'static> {
    Value::Number(Number::Whole(number))
}

fn real(number: f64) -> Value<'static> {
    Value::Number(Number::Real(number))
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
    let attributes = [("there", Value::Other)];
    let all = [YES, NO, UNKNOWN];
    for a in all {
        let not = rule(&json!({"not": part(a)}));
        assert_eq!(evaluate(&not, &attributes), a.map(|a| !a));
        for b in all {
            let parts = json!([part(a), part(b)]);
            let both = match (a, b) {
                (YES, YES) => YES,
                (NO, _) | (_, NO) => NO,
                _ => UNKNOWN,
            };
            assert_eq!(evaluate(&rule(&json!({"all": parts})), &attributes), both, "{a:?} {b:?}");
            let either = match (a, b) {
                (NO, NO) => NO,
                (YES, _) | (_, YES) => YES,
                _ => UNKNOWN,
            };
            assert_eq!(evaluate(&rule(&json!({"any": parts})), &attributes), either, "{a:?} {b:?}");
        }
    }
    assert_eq!(evaluate(&rule(&json!({"all": []})), &[]), YES);
    assert_eq!(evaluate(&rule(&json!({"any": []})), &[]), NO);
}

#[test]
fn only_exists_sees_absence() {
    let exists = |wanted: bool| rule(&json!({"attr": "a", "op": "exists", "value": wanted}));
    for (wanted, attributes, want) in [
        (true, &[][..], NO),
        (false, &[][..], YES),
        (true, &[("a", Value::Other)][..], YES),
        (false, &[("a", Value::Text(""))][..], NO),
    ] {
        assert_eq!(evaluate(&exists(wanted), attributes), want);
    }
    for op in ["eq", "ne", "lt", "contains", "starts_with", "matches"] {
        let rule = rule(&json!({"attr": "a", "op": op, "value": "x"}));
        assert_eq!(evaluate(&rule, &[]), UNKNOWN, "{op}");
    }
}

#[test]
fn values_are_read_as_the_rules_type() {
    use Value::{Boolean, Other, Text};
    let list = Value::List(&[Value::Text("x")]);
    let table = [
        ("eq", json!("x"), Text("x"), YES),
        ("eq", json!("x"), Text("X"), NO),
        ("eq", json!("18"), whole(18), UNKNOWN),
        ("eq", json!("true"), Boolean(true), UNKNOWN),
        ("eq", json!("x"), list, UNKNOWN),
        ("eq", json!("x"), Other, UNKNOWN),
        ("ne", json!("x"), Text("y"), YES),
        ("ne", json!("x"), Text("x"), NO),
        ("ne", json!("x"), whole(1), UNKNOWN),
        ("eq", json!(18), whole(18), YES),
        ("eq", json!(18), real(18.0), YES),
        ("eq", json!(18), Text("18"), YES),
        ("eq", json!(18), Text("1.8e1"), YES),
        ("eq", json!(18), Text("018"), UNKNOWN),
        ("eq", json!(18), Text("+18"), UNKNOWN),
        ("eq", json!(18), Text(" 18"), UNKNOWN),
        ("eq", json!(18), Text("NaN"), UNKNOWN),
        ("eq", json!(18), Boolean(true), UNKNOWN),
        ("ne", json!(18), Text("thirty"), UNKNOWN),
        ("eq", json!(9_007_199_254_740_993_i64), whole(9_007_199_254_740_992), NO),
        ("eq", json!(true), Boolean(true), YES),
        ("eq", json!(true), Text("true"), YES),
        ("eq", json!(true), Text("false"), NO),
        ("eq", json!(true), Text("True"), UNKNOWN),
        ("eq", json!(true), whole(1), UNKNOWN),
    ];
    for (op, wanted, value, want) in table {
        assert_eq!(holds_of(op, &wanted, value), want, "{op} {wanted} {value:?}");
    }
}

#[test]
fn lists_of_values_are_as_any_of_eq() {
    use Value::{Boolean, Text};
    let table = [
        (json!(["ios", "web"]), Text("web"), YES),
        (json!(["ios", "web"]), Text("mac"), NO),
        (json!(["ios", "web"]), whole(7), UNKNOWN),
        (json!([18, 30]), Text("30"), YES),
        (json!([18, 30]), Text("x"), UNKNOWN),
        (json!(["x", 18]), Text("x"), YES),
        (json!(["x", 18]), Text("18"), YES),
        (json!(["x", 18]), Text("19"), NO),
        (json!(["x", 18]), Text("y"), UNKNOWN),
        (json!(["x", 18]), whole(18), YES),
        (json!(["x", 18]), whole(19), UNKNOWN),
        (json!([true, "x"]), Boolean(true), YES),
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
        Value::Text("vip"),
        Value::Text("18"),
        whole(30),
        Value::Boolean(true),
        Value::Other,
        Value::List(&[]),
    ];
    let mixed = Value::List(&mixed);
    let table = [
        (json!("ip"), Value::Text("vips"), YES),
        (json!(""), Value::Text(""), YES),
        (json!("IP"), Value::Text("vips"), NO),
        (json!("7"), whole(7), UNKNOWN),
        (json!(7), Value::Text("7"), UNKNOWN),
        (json!("vip"), mixed, YES),
        (json!("vi"), mixed, NO),
        (json!(18), mixed, YES),
        (json!(30), mixed, YES),
        (json!("30"), mixed, NO),
        (json!(true), mixed, YES),
        (json!(false), mixed, NO),
        (json!("x"), Value::List(&[]), NO),
        (json!("x"), Value::Other, UNKNOWN),
    ];
    for (wanted, value, want) in table {
        assert_eq!(holds_of("contains", &wanted, value), want, "{wanted} {value:?}");
    }
}

#[test]
fn orders_texts_and_versions() {
    use Value::Text;
    let table = [
        ("lt", json!(18), whole(17), YES),
        ("lt", json!(18), whole(18), NO),
        ("lte", json!(18), Text("18.0"), YES),
        ("gt", json!(17.5), whole(18), YES),
        ("gte", json!(17.5), real(17.4), NO),
        ("gt", json!(17), Text("x"), UNKNOWN),
        ("lt", json!("b"), Text("B"), YES),
        ("gt", json!("9"), Text("10"), NO),
        ("lt", json!("ä"), Text("z"), YES),
        ("gte", json!("b"), whole(1), UNKNOWN),
        ("starts_with", json!("an"), Text("android"), YES),
        ("starts_with", json!("An"), Text("android"), NO),
        ("ends_with", json!("oid"), Text("android"), YES),
        ("ends_with", json!("1"), whole(1), UNKNOWN),
        ("matches", json!("r.d"), Text("android"), NO),
        ("matches", json!("r.{1}d|o.d$"), Text("android"), YES),
        ("matches", json!("^and"), Text("android"), YES),
        ("matches", json!("1"), whole(1), UNKNOWN),
        ("semver_gte", json!("5.2"), Text("v5.10"), YES),
        ("semver_gte", json!("5.2"), Text("5.2.0-rc.1"), NO),
        ("semver_lte", json!("5"), Text("5.0.0+build"), YES),
        ("semver_gt", json!("5.2.0-rc.2"), Text("5.2.0-rc.10"), YES),
        ("semver_lt", json!("5.2.0-rc.1"), Text("5.2-alpha"), YES),
        ("semver_lt", json!("6"), Text("junk"), UNKNOWN),
        ("semver_lt", json!("6"), Text("5.2.0.1"), UNKNOWN),
        ("semver_lt", json!("6"), whole(5), UNKNOWN),
    ];
    for (op, wanted, value, want) in table {
        assert_eq!(holds_of(op, &wanted, value), want, "{op} {wanted} {value:?}");
    }
}
