//! The naive half of targets: three-valued logic on JSON as it stands.

use std::cmp::Ordering;

use serde_json::Value;

/// Whether a node holds; `None` for unknown.
pub fn holds(node: &Value, attributes: &Value) -> Option<bool> {
    let parts = |key: &str| -> Option<Vec<Option<bool>>> {
        Some(node[key].as_array()?.iter().map(|part| holds(part, attributes)).collect())
    };
    if let Some(parts) = parts("all") {
        let unknown = if parts.contains(&None) { None } else { Some(true) };
        return if parts.contains(&Some(false)) { Some(false) } else { unknown };
    }
    if let Some(parts) = parts("any") {
        return any(&parts);
    }
    if let Some(part) = node.get("not") {
        return holds(part, attributes).map(|holds| !holds);
    }
    let attribute = &attributes[node["attr"].as_str().unwrap()];
    clause(node["op"].as_str().unwrap(), &node["value"], attribute)
}

fn any(parts: &[Option<bool>]) -> Option<bool> {
    let unknown = if parts.contains(&None) { None } else { Some(false) };
    if parts.contains(&Some(true)) { Some(true) } else { unknown }
}

fn clause(op: &str, rule: &Value, attribute: &Value) -> Option<bool> {
    if op == "exists" {
        return Some(attribute.is_null() != rule.as_bool().unwrap());
    }
    if attribute.is_null() {
        return None;
    }
    if let Some(order) = op.strip_prefix("semver_") {
        let version = version(&text_of(attribute)?)?;
        return Some(is_so(order, version.cmp(&self::version(rule.as_str()?)?)));
    }
    let equals_one_of = || {
        let parts: Vec<_> =
            rule.as_array().unwrap().iter().map(|rule| compare(attribute, rule)).collect();
        any(&parts.into_iter().map(|order| order.map(Ordering::is_eq)).collect::<Vec<_>>())
    };
    let text = || Some((text_of(attribute)?, rule.as_str()?));
    match op {
        "eq" => compare(attribute, rule).map(Ordering::is_eq),
        "ne" => compare(attribute, rule).map(Ordering::is_ne),
        "in" => equals_one_of(),
        "not_in" => equals_one_of().map(|found| !found),
        "contains" => match attribute {
            Value::Array(members) => Some(
                members.iter().any(|member| compare(member, rule).is_some_and(Ordering::is_eq)),
            ),
            _ => text().map(|(text, part)| text.contains(part)),
        },
        "starts_with" => text().map(|(text, start)| text.starts_with(start)),
        "ends_with" => text().map(|(text, end)| text.ends_with(end)),
        "matches" => text().map(|(text, regex)| regex::Regex::new(regex).unwrap().is_match(&text)),
        _ => compare(attribute, rule).map(|order| is_so(op, order)),
    }
}

/// A text, and a number or boolean as it stands in the request; `None` for what has no text.
fn text_of(attribute: &Value) -> Option<String> {
    match attribute {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(attribute.to_string()),
        _ => None,
    }
}

/// How an attribute, read as the rule's type, compares; `None` where it can't be.
fn compare(attribute: &Value, rule: &Value) -> Option<Ordering> {
    match rule {
        Value::String(rule) => Some(text_of(attribute)?.as_bytes().cmp(rule.as_bytes())),
        Value::Number(rule) => {
            let number = match attribute.as_str() {
                Some(text) if text.trim() != text => return None,
                Some(text) => serde_json::from_str(text).ok()?,
                None => attribute.clone(),
            };
            number.as_f64()?.partial_cmp(&rule.as_f64()?)
        }
        Value::Bool(rule) => {
            let boolean = match attribute.as_str() {
                Some("true") => true,
                Some("false") => false,
                _ => attribute.as_bool()?,
            };
            Some(boolean.cmp(rule))
        }
        _ => None,
    }
}

fn is_so(order: &str, ordering: Ordering) -> bool {
    match order {
        "lt" => ordering.is_lt(),
        "lte" => ordering.is_le(),
        "gt" => ordering.is_gt(),
        "gte" => ordering.is_ge(),
        _ => panic!("no order {order}"),
    }
}

/// Eight numbers, and a pre-release that the library of semver knows how to order, by a version of
/// its own: without one it is above all of them.
fn version(text: &str) -> Option<(Vec<u64>, semver::Version)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let mut numbers = Vec::new();
    for part in text[..end].split('.') {
        if part.is_empty() || !part.chars().all(|c| c.is_ascii_digit()) {
            return None;
        }
        numbers.push(part.parse().ok()?);
    }
    if numbers.len() > 8 {
        return None;
    }
    numbers.resize(8, 0);
    let mut rest: semver::Version = format!("0.0.0{}", &text[end..]).parse().ok()?;
    rest.build = semver::BuildMetadata::EMPTY;
    Some((numbers, rest))
}
