//! A popup's target: tree → rules, each operator with the kinds of value it takes, and back to
//! JSON in one fixed order of keys.
//!
//! Limits: [`TARGET_NODES_MAX`], [`TARGET_DEPTH_MAX`], [`TARGET_VALUES_MAX`],
//! [`TARGET_TEXT_BYTES_MAX`], [`PATTERN_BYTES_MAX`].

use std::sync::Arc;

use super::fields::{Errors, SourceField, Table, quoted};
use crate::catalog::target::{Comparison, Rule, Scalar, Test, parse_number};
use crate::catalog::version::Version;
use nudged_base::limits::{
    NAME_BYTES_MAX, PATTERN_BYTES_MAX, TARGET_DEPTH_MAX, TARGET_NODES_MAX, TARGET_TEXT_BYTES_MAX,
    TARGET_VALUES_MAX,
};
use nudged_config::tree::{self, TreeValue, write_json, write_text};

const KEYS: [&str; 6] = ["all", "any", "not", "attr", "op", "value"];

const OPERATORS: [(&str, Operator); 17] = [
    ("eq", Operator::Equal { negated: false }),
    ("ne", Operator::Equal { negated: true }),
    ("in", Operator::In { negated: false }),
    ("not_in", Operator::In { negated: true }),
    ("lt", Operator::Order(Comparison::Less)),
    ("lte", Operator::Order(Comparison::LessOrEqual)),
    ("gt", Operator::Order(Comparison::Greater)),
    ("gte", Operator::Order(Comparison::GreaterOrEqual)),
    ("exists", Operator::Exists),
    ("contains", Operator::Contains),
    ("starts_with", Operator::StartsWith),
    ("ends_with", Operator::EndsWith),
    ("semver_lt", Operator::Semver(Comparison::Less)),
    ("semver_lte", Operator::Semver(Comparison::LessOrEqual)),
    ("semver_gt", Operator::Semver(Comparison::Greater)),
    ("semver_gte", Operator::Semver(Comparison::GreaterOrEqual)),
    ("matches", Operator::Matches),
];

/// The words of operators.
pub(super) fn operator_words() -> [&'static str; 17] {
    OPERATORS.map(|(word, _)| word)
}

#[derive(Clone, Copy)]
enum Operator {
    Equal { negated: bool },
    In { negated: bool },
    Order(Comparison),
    Exists,
    Contains,
    StartsWith,
    EndsWith,
    Semver(Comparison),
    Matches,
}

/// Reads a target. Where it reports an error, what it returns must not be used.
pub fn target(field: &SourceField<'_>, errors: &mut Errors) -> Option<Rule> {
    let mut nodes = 0;
    let rule = node(field, 1, &mut nodes, errors);
    if nodes > TARGET_NODES_MAX {
        field.refuse::<()>(format!("has {nodes} rules; expected 1 to {TARGET_NODES_MAX}"), errors);
    }
    rule
}

fn node(
    field: &SourceField<'_>,
    depth: usize,
    nodes: &mut usize,
    errors: &mut Errors,
) -> Option<Rule> {
    *nodes += 1;
    if depth > TARGET_DEPTH_MAX {
        return field.refuse(format!("nested deeper than {TARGET_DEPTH_MAX} levels"), errors);
    }
    let table = field.table(&KEYS, errors)?;
    let shapes = ["all", "any", "not", "attr"];
    let mut given = shapes.iter().filter_map(|shape| table.get(shape));
    let (Some(shape), None) = (given.next(), given.next()) else {
        return field.refuse("expected exactly one of all, any, not, attr", errors);
    };
    if table.get("attr").is_some() {
        return clause(&table, errors);
    }
    for key in ["op", "value"] {
        if let Some(field) = table.get(key) {
            field.refuse::<()>("needs attr, which is missing", errors);
        }
    }
    if table.get("not").is_some() {
        return Some(Rule::Not(Box::new(node(&shape, depth + 1, nodes, errors)?)));
    }
    let parts = shape.list(0..=TARGET_NODES_MAX, errors)?;
    let rules = parts.filter_map(|part| node(&part, depth + 1, nodes, errors)).collect();
    Some(if table.get("all").is_some() { Rule::All(rules) } else { Rule::Any(rules) })
}

fn clause(table: &Table<'_>, errors: &mut Errors) -> Option<Rule> {
    let attribute = table.get("attr").and_then(|attr| attr.name(NAME_BYTES_MAX, errors));
    let operator =
        table.require("op", errors).and_then(|operator| operator.word(&OPERATORS, errors));
    let value = table.require("value", errors);
    let test = test(operator?, &value?, errors);
    Some(Rule::Clause { attribute: attribute?.into(), test: Arc::new(test?) })
}

fn test(operator: Operator, value: &SourceField<'_>, errors: &mut Errors) -> Option<Test> {
    Some(match operator {
        Operator::Equal { negated } => Test::Equal { value: scalar(value, errors)?, negated },
        Operator::In { negated } => {
            let given = value.list(1..=TARGET_VALUES_MAX, errors)?;
            Test::In { values: of_one_type(given, errors), negated }
        }
        Operator::Order(order) => {
            if matches!(value.value, TreeValue::Boolean(_)) {
                return value.expected("a number or a text", errors);
            }
            Test::Order { order, value: scalar(value, errors)? }
        }
        Operator::Exists => Test::Exists(value.boolean(errors)?),
        Operator::Contains => Test::Contains(scalar(value, errors)?),
        Operator::StartsWith => Test::StartsWith(text(value, errors)?.into()),
        Operator::EndsWith => Test::EndsWith(text(value, errors)?.into()),
        Operator::Semver(order) => {
            let text = text(value, errors)?;
            let Some(version) = Version::parse(text) else {
                let message = format!("{} is not a version such as \"5.2.0\"", quoted(text));
                return value.refuse(message, errors);
            };
            Test::Semver { order, value: version }
        }
        Operator::Matches => Test::Matches(pattern(value, errors)?),
    })
}

fn scalar(field: &SourceField<'_>, errors: &mut Errors) -> Option<Scalar> {
    match field.value {
        TreeValue::Boolean(value) => Some(Scalar::Boolean(*value)),
        TreeValue::Number(text) => {
            Some(Scalar::Number(parse_number(text).expect("trees hold numbers of JSON's grammar")))
        }
        TreeValue::Text(_) => text(field, errors).map(|text| Scalar::Text(text.into())),
        _ => field.expected("a text, a number, true or false", errors),
    }
}

/// The values of a list, all of the first one's type: of two types, each value would read the
/// request's in a way of its own.
fn of_one_type<'t>(
    given: impl Iterator<Item = SourceField<'t>>,
    errors: &mut Errors,
) -> Vec<Scalar> {
    let mut kind_of_list = None;
    let mut values = Vec::new();
    for field in given {
        let Some(value) = scalar(&field, errors) else { continue };
        let kind = field.value.kind();
        let first = *kind_of_list.get_or_insert(kind);
        if kind == first {
            values.push(value);
        } else {
            let message = format!(
                "is {kind} in a list that starts with {first}: all values must have one type"
            );
            field.refuse::<()>(message, errors);
        }
    }
    values
}

fn text<'t>(field: &SourceField<'t>, errors: &mut Errors) -> Option<&'t str> {
    let text = field.text(errors)?;
    if text.len() > TARGET_TEXT_BYTES_MAX {
        let message = format!("has {} bytes; the limit is {TARGET_TEXT_BYTES_MAX}", text.len());
        return field.refuse(message, errors);
    }
    Some(text)
}

fn pattern(field: &SourceField<'_>, errors: &mut Errors) -> Option<regex::Regex> {
    let text = text(field, errors)?;
    let built = regex::RegexBuilder::new(text)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX)
        .build();
    match built {
        Ok(pattern) => Some(pattern),
        Err(regex::Error::CompiledTooBig(_)) => field.refuse(
            format!("the pattern needs more than {PATTERN_BYTES_MAX} bytes of memory"),
            errors,
        ),
        // The library draws the place of an error over several lines; its last line says what.
        Err(error) => {
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            field.refuse(format!("not a valid pattern: {reason}"), errors)
        }
    }
}

/// Appends a target as JSON: keys in the order of [`KEYS`], values as they are written.
pub(crate) fn write_target(value: &TreeValue, out: &mut String) {
    let TreeValue::Table(members) = value else {
        return write_json(value, out);
    };
    out.push('{');
    let mut separator = "";
    for key in KEYS {
        let Some(member) = tree::member(members, key) else { continue };
        out.push_str(separator);
        separator = ",";
        write_text(key, out);
        out.push(':');
        match (&member.node.value, key) {
            (TreeValue::List(parts), "all" | "any") => {
                out.push('[');
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_target(&part.value, out);
                }
                out.push(']');
            }
            (part, "not") => write_target(part, out),
            (value, _) => write_json(value, out),
        }
    }
    out.push('}');
}
