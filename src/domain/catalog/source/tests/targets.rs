//! Property: a target is refused, at the rule, for what its operator does not take, and past each
//! of its limits.

use super::refusals::errors_with;
use super::*;

#[test]
fn a_rule_takes_what_its_operator_takes() {
    let clause = |op: &str, value| json!({"attr": "a", "op": op, "value": value});
    let values = [
        ("text", json!("x")),
        ("version", json!("1.2")),
        ("number", json!(1.5)),
        ("boolean", json!(true)),
        ("list", json!(["x", "1"])),
    ];
    let accepted = [
        ("eq ne contains", "text version number boolean"),
        ("in not_in", "list"),
        ("lt lte gt gte", "text version number"),
        ("exists", "boolean"),
        ("starts_with ends_with matches", "text version"),
        ("semver_lt semver_lte semver_gt semver_gte", "version"),
    ];
    let mut operators = 0;
    for (ops, kinds) in accepted {
        for op in ops.split(' ') {
            operators += 1;
            for (kind, value) in &values {
                let popup = json!({"id": "p", "target": clause(op, value.clone())});
                let read = parse_json_values(&[popup]);
                let expected = kinds.split(' ').any(|accepted| accepted == *kind);
                assert_eq!(read.is_ok(), expected, "{op} {kind}: {read:?}");
                if let Err(errors) = read {
                    assert_eq!(
                        (errors.len(), &*errors[0].field),
                        (1, "target.value"),
                        "{op} {kind}"
                    );
                }
            }
        }
    }
    assert_eq!(operators, 17);
}

#[test]
fn targets_are_held_to_their_shape() {
    let clause = json!({"attr": "a", "op": "eq", "value": 1});
    let exactly_one = "target: expected exactly one of all, any, not, attr";
    let cases = [
        (json!({}), exactly_one),
        (json!({"all": [], "any": []}), exactly_one),
        (json!({"op": "eq", "value": 1}), exactly_one),
        (json!([]), "target: expected a table, found a list"),
        (json!({"all": clause.clone()}), "target.all: expected a list of 0 to 64, found a table"),
        (json!({"not": [clause.clone()]}), "target.not: expected a table, found a list"),
        (json!({"attr": "a", "value": 1}), "target.op: is missing"),
        (json!({"attr": "a", "op": "eq"}), "target.value: is missing"),
        (
            json!({"attr": "", "op": "eq", "value": 1}),
            "target.attr: has 0 bytes; expected 1 to 128",
        ),
        (json!({"all": [], "op": "eq"}), "target.op: needs attr, which is missing"),
        (
            json!({"attr": "a", "op": "eq", "value": null}),
            "target.value: expected a text, a number, true or false, found null",
        ),
        (
            json!({"attr": "a", "op": "eq", "value": []}),
            "target.value: expected a text, a number, true or false, found a list",
        ),
        (
            json!({"attr": "a", "op": "in", "value": []}),
            "target.value: has 0 values; expected 1 to 1000",
        ),
        (
            json!({"attr": "a", "op": "in", "value": ["x", 1, "y"]}),
            "target.value[1]: is a number in a list that starts with a text: all values must have one type",
        ),
        (
            json!({"attr": "a", "op": "not_in", "value": [1, 2.5, true]}),
            "target.value[2]: is a boolean in a list that starts with a number: all values must have one type",
        ),
        (
            json!({"attr": "a", "op": "in", "value": [[1]]}),
            "target.value[0]: expected a text, a number, true or false, found a list",
        ),
        (
            json!({"attr": "a", "op": "semver_lt", "value": "x"}),
            "target.value: \"x\" is not a version such as \"5.2.0\"",
        ),
        (
            json!({"attr": "a", "op": "matches", "value": "(a"}),
            "target.value: not a valid pattern: unclosed group",
        ),
        (
            json!({"attr": "a", "op": "matches", "value": "(\\w{100}){100}"}),
            "target.value: the pattern needs more than 1048576 bytes of memory",
        ),
        (
            json!({"not": {"attr": "a", "op": "exists", "value": true, "x": 1}}),
            "target.not.x: unknown key; expected one of all, any, not, attr, op, value",
        ),
    ];
    for (target, expected) in cases {
        assert_eq!(errors_with("target", target), [expected]);
    }
    let wrong_op = errors_with("target", json!({"attr": "a", "op": "like", "value": 1}));
    assert!(
        wrong_op[0].starts_with("target.op: \"like\" is not one of eq, ne, in"),
        "{wrong_op:?}"
    );
    // Both are said, not the first alone.
    let bad =
        json!([{"attr": "a", "op": "x", "value": 1}, {"attr": 1, "op": "exists", "value": 1}]);
    let two = json!({"any": bad});
    assert_eq!(errors_with("target", two).len(), 3);
}

#[test]
fn targets_are_held_to_their_limits_and_reach_them() {
    let clause = || json!({"attr": "a", "op": "exists", "value": true});
    let nodes = |count: usize| json!({"all": vec![clause(); count - 1]});
    let deep = |levels: usize| (1..levels).fold(clause(), |inner, _| json!({"not": inner}));
    let values = |count: usize| json!({"attr": "a", "op": "in", "value": vec![1; count]});
    let text = |bytes: usize| json!({"attr": "a", "op": "eq", "value": "x".repeat(bytes)});
    type Make<'a> = &'a dyn Fn(usize) -> serde_json::Value;
    let cases: [(Make<'_>, usize); 4] = [
        (&nodes, TARGET_NODES_MAX),
        (&deep, TARGET_DEPTH_MAX),
        (&values, TARGET_VALUES_MAX),
        (&text, TARGET_TEXT_BYTES_MAX),
    ];
    for (make, max) in cases {
        canonical(json!({"id": "p", "target": make(max)}));
        let errors = errors_with("target", make(max + 1));
        assert!(errors.len() == 1 && errors[0].contains(&max.to_string()), "{errors:?}");
    }
    // Far too deep and far too many: still one pass and one or two errors.
    assert!(errors_with("target", deep(24)).len() == 1);
}
