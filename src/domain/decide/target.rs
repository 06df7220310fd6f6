//! Evaluates a popup's rules on a request's attributes, in three-valued logic as SQL has it
//! (docs/semantics.md#targets). Knows nothing of users' state or time. Rules are at most
//! `TARGET_DEPTH_MAX` deep, so recursion is bounded. Nothing here allocates.

use std::cmp::Ordering;

use super::context::AttributeValue;
use crate::catalog::target::{JsonNumber, Rule, Scalar, Test, join, parse_boolean, parse_number};

#[cfg(test)]
mod tests;

/// Whether a rule holds; `None` for unknown, which at the top is no match.
pub fn evaluate(rule: &Rule, attributes: &[(&str, AttributeValue<'_>)]) -> Option<bool> {
    match rule {
        Rule::All(parts) => join(parts.iter().map(|part| evaluate(part, attributes)), false),
        Rule::Any(parts) => join(parts.iter().map(|part| evaluate(part, attributes)), true),
        Rule::Not(part) => evaluate(part, attributes).map(|holds| !holds),
        Rule::Clause { attribute, test } => {
            let named = attributes.iter().find(|(name, _)| **name == **attribute);
            clause(test, named.map(|(_, value)| *value))
        }
    }
}

fn clause(test: &Test, value: Option<AttributeValue<'_>>) -> Option<bool> {
    if let Test::Exists(wanted) = test {
        return Some(value.is_some() == *wanted);
    }
    let value = value?;
    match test {
        Test::Exists(_) => None,
        Test::Equal { value: wanted, negated } => {
            TypedValue::of(value).equals(wanted).map(|equal| equal != *negated)
        }
        Test::In { values, negated } => {
            let typed = TypedValue::of(value);
            let found = join(values.iter().map(|wanted| typed.equals(wanted)), true);
            found.map(|found| found != *negated)
        }
        Test::Order { order, value: bound } => {
            TypedValue::of(value).compare(bound).map(|ordering| order.holds(ordering))
        }
        Test::Contains(wanted) => contains(value, wanted),
        Test::StartsWith(start) => text(value).map(|text| text.starts_with(&**start)),
        Test::EndsWith(end) => text(value).map(|text| text.ends_with(&**end)),
        Test::Semver { order, value: bound } => text(value)
            .and_then(|text| bound.compare_text(text))
            .map(|ordering| order.holds(ordering)),
        Test::Matches(pattern) => text(value).map(|text| pattern.is_match(text)),
    }
}

/// A substring of a text, or a member of a list. The list is what the rule asks about, so a member
/// of another type than the rule's is not the wanted one, and leaves nothing unknown.
fn contains(value: AttributeValue<'_>, wanted: &Scalar) -> Option<bool> {
    match (value, wanted) {
        (AttributeValue::Scalar(text), Scalar::Text(part)) => Some(text.contains(&**part)),
        (AttributeValue::List(members), _) => {
            Some(members.iter().any(|member| TypedValue::of(*member).equals(wanted) == Some(true)))
        }
        _ => None,
    }
}

fn text(value: AttributeValue<'_>) -> Option<&str> {
    match value {
        AttributeValue::Scalar(text) => Some(text),
        AttributeValue::List(_) | AttributeValue::Other => None,
    }
}

/// A value as each type that a rule may have, read once however many values the rule has.
struct TypedValue<'a> {
    text: Option<&'a str>,
    number: Option<JsonNumber>,
    boolean: Option<bool>,
}

impl<'a> TypedValue<'a> {
    fn of(value: AttributeValue<'a>) -> TypedValue<'a> {
        let text = text(value);
        TypedValue {
            text,
            number: text.and_then(parse_number),
            boolean: text.and_then(parse_boolean),
        }
    }

    fn equals(&self, wanted: &Scalar) -> Option<bool> {
        match wanted {
            Scalar::Text(wanted) => self.text.map(|text| text == &**wanted),
            Scalar::Number(wanted) => self.number.map(|number| number == *wanted),
            Scalar::Boolean(wanted) => self.boolean.map(|boolean| boolean == *wanted),
        }
    }

    /// How the value stands to a bound; booleans have no order, and compiling refuses them here.
    fn compare(&self, bound: &Scalar) -> Option<Ordering> {
        match bound {
            Scalar::Text(bound) => self.text.map(|text| text.cmp(bound)),
            Scalar::Number(bound) => self.number.map(|number| number.compare(*bound)),
            Scalar::Boolean(_) => None,
        }
    }
}
