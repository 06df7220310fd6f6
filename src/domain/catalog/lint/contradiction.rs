//! Targets that no attributes can satisfy, and targets that all do, as far as two clauses at a time
//! show it. Where it is not sure, a target can match and need not.
//!
//! What a clause claims holds under the three-valued logic: a clause that is true has found its
//! attribute, of its own type. `not` of a clause is true where the clause is false, not unknown, so
//! it claims as much.

use std::cmp::Ordering;

use crate::catalog::target::{Comparison, Rule, Scalar, Test, join, parse_boolean, parse_number};
use crate::catalog::version::Version;

/// Whether no attributes make the rule true.
pub(crate) fn never_matches(rule: &Rule) -> bool {
    if constant(rule) == Some(false) {
        return true;
    }
    match rule {
        Rule::All(parts) => {
            let mut claims = Vec::new();
            collect(rule, &mut claims);
            let pairs = claims.iter().flat_map(|a| claims.iter().map(move |b| (a, b)));
            let mut same = pairs.filter(|((a, _), (b, _))| a == b);
            parts.iter().any(never_matches) || same.any(|((_, a), (_, b))| contradict(*a, *b))
        }
        Rule::Any(parts) => parts.iter().all(never_matches),
        Rule::Not(part) => match &**part {
            Rule::Not(part) => never_matches(part),
            _ => false,
        },
        Rule::Clause { .. } => false,
    }
}

/// Whether all attributes, none too, make the rule true.
pub(crate) fn always_matches(rule: &Rule) -> bool {
    constant(rule) == Some(true)
}

/// The value of a rule that has one value whatever the attributes.
fn constant(rule: &Rule) -> Option<bool> {
    match rule {
        Rule::All(parts) => join(parts.iter().map(constant), false),
        Rule::Any(parts) => join(parts.iter().map(constant), true),
        Rule::Not(part) => constant(part).map(|value| !value),
        Rule::Clause { .. } => None,
    }
}

/// What a true clause says of its attribute.
#[derive(Clone, Copy)]
enum AttributeClaim<'r> {
    /// It equals one of these.
    Among(&'r [Scalar]),
    /// It equals none of these.
    NotAmong(&'r [Scalar]),
    Ordered(Comparison, &'r Scalar),
    Version(Comparison, &'r Version),
    /// Its text passes the test.
    Text(&'r Test),
    /// It is not there.
    Absent,
    /// It is there.
    Present,
}

/// Collects the claims that all hold where a rule is true.
fn collect<'r>(rule: &'r Rule, claims: &mut Vec<(&'r str, AttributeClaim<'r>)>) {
    match rule {
        Rule::All(parts) => parts.iter().for_each(|part| collect(part, claims)),
        Rule::Any(parts) if parts.len() == 1 => collect(&parts[0], claims),
        Rule::Any(_) => {}
        Rule::Clause { attribute, test } => claims.push((attribute, claim(test, false))),
        Rule::Not(part) => match &**part {
            Rule::Clause { attribute, test } => claims.push((attribute, claim(test, true))),
            Rule::Not(part) => collect(part, claims),
            _ => {}
        },
    }
}

fn claim(test: &Test, inverted: bool) -> AttributeClaim<'_> {
    let among = |values, negated: bool| match negated != inverted {
        false => AttributeClaim::Among(values),
        true => AttributeClaim::NotAmong(values),
    };
    match test {
        Test::Equal { value, negated } => among(std::slice::from_ref(value), *negated),
        Test::In { values, negated } => among(values, *negated),
        Test::Exists(wanted) if *wanted == inverted => AttributeClaim::Absent,
        Test::Exists(_) => AttributeClaim::Present,
        Test::Order { order, value } => AttributeClaim::Ordered(invert(*order, inverted), value),
        Test::Semver { order, value } => AttributeClaim::Version(invert(*order, inverted), value),
        _ if inverted => AttributeClaim::Present,
        Test::Contains(_) | Test::StartsWith(_) | Test::EndsWith(_) | Test::Matches(_) => {
            AttributeClaim::Text(test)
        }
    }
}

fn invert(order: Comparison, inverted: bool) -> Comparison {
    match order {
        _ if !inverted => order,
        Comparison::Less => Comparison::GreaterOrEqual,
        Comparison::LessOrEqual => Comparison::Greater,
        Comparison::Greater => Comparison::LessOrEqual,
        Comparison::GreaterOrEqual => Comparison::Less,
    }
}

/// Whether no value bears out both claims. Looks in one direction only: callers ask both.
fn contradict(a: AttributeClaim<'_>, b: AttributeClaim<'_>) -> bool {
    match (a, b) {
        (AttributeClaim::Absent, AttributeClaim::Absent) => false,
        (AttributeClaim::Absent, _) => true,
        (AttributeClaim::Among(values), AttributeClaim::NotAmong(others)) => {
            values.iter().all(|value| others.contains(value))
        }
        (AttributeClaim::Among(values), _) => values.iter().all(|value| !can_be(value, b)),
        (AttributeClaim::Ordered(a, x), AttributeClaim::Ordered(b, y)) => {
            compare(x, y).is_some_and(|order| disjoint(a, b, order))
        }
        (AttributeClaim::Version(a, x), AttributeClaim::Version(b, y)) => {
            disjoint(a, b, x.compare(y))
        }
        (AttributeClaim::Text(Test::StartsWith(x)), AttributeClaim::Text(Test::StartsWith(y))) => {
            !x.starts_with(&**y) && !y.starts_with(&**x)
        }
        (AttributeClaim::Text(Test::EndsWith(x)), AttributeClaim::Text(Test::EndsWith(y))) => {
            !x.ends_with(&**y) && !y.ends_with(&**x)
        }
        _ => false,
    }
}

/// Whether an attribute that equals `value` can bear out a claim. An attribute that equals a text
/// is that text; one that equals a number or boolean may also be a text that reads as it.
fn can_be(value: &Scalar, claim: AttributeClaim<'_>) -> bool {
    match (value, claim) {
        (_, AttributeClaim::Among(others)) => others.iter().any(|other| both(value, other)),
        (Scalar::Text(text), AttributeClaim::Ordered(order, Scalar::Number(bound))) => {
            parse_number(text).is_some_and(|number| order.holds(number.compare(*bound)))
        }
        (_, AttributeClaim::Ordered(order, bound)) => {
            compare(value, bound).is_none_or(|found| order.holds(found))
        }
        (Scalar::Text(text), AttributeClaim::Version(order, bound)) => {
            bound.compare_text(text).is_some_and(|found| order.holds(found))
        }
        (Scalar::Text(text), AttributeClaim::Text(test)) => match test {
            Test::StartsWith(start) => text.starts_with(&**start),
            Test::EndsWith(end) => text.ends_with(&**end),
            Test::Contains(Scalar::Text(part)) => text.contains(&**part),
            Test::Matches(pattern) => pattern.is_match(text),
            _ => true,
        },
        _ => true,
    }
}

/// Whether one attribute can equal both.
fn both(a: &Scalar, b: &Scalar) -> bool {
    match (a, b) {
        (Scalar::Text(text), Scalar::Number(number))
        | (Scalar::Number(number), Scalar::Text(text)) => parse_number(text) == Some(*number),
        (Scalar::Text(text), Scalar::Boolean(boolean))
        | (Scalar::Boolean(boolean), Scalar::Text(text)) => parse_boolean(text) == Some(*boolean),
        _ => a == b,
    }
}

/// How two scalars of one kind that has an order compare.
fn compare(a: &Scalar, b: &Scalar) -> Option<Ordering> {
    match (a, b) {
        (Scalar::Text(a), Scalar::Text(b)) => Some(a.cmp(b)),
        (Scalar::Number(a), Scalar::Number(b)) => Some(a.compare(*b)),
        _ => None,
    }
}

/// Whether nothing is both `a` x and `b` y, given how x compares to y.
fn disjoint(a: Comparison, b: Comparison, x_to_y: Ordering) -> bool {
    match (a, b) {
        (Comparison::LessOrEqual, Comparison::GreaterOrEqual) => x_to_y.is_lt(),
        (
            Comparison::Less | Comparison::LessOrEqual,
            Comparison::Greater | Comparison::GreaterOrEqual,
        ) => x_to_y.is_le(),
        _ => false,
    }
}
