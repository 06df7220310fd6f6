//! Evaluates a popup's rules on a request's attributes, in three-valued logic as SQL has it
//! (docs/semantics.md#targets): as flat code for decisions, as a tree for explanations. Knows
//! nothing of users' state or time. Rules are at most `TARGET_DEPTH_MAX` deep, so recursion is
//! bounded. Nothing here allocates.

use std::cmp::Ordering;

use super::context::AttributeValue;
use crate::catalog::code::{ACCEPT, REJECT, TargetCode};
use crate::catalog::target::{JsonNumber, Rule, Scalar, Test, join, parse_boolean, parse_number};
use crate::catalog::version::{Version, VersionParts};
use nudged_base::word;

#[cfg(test)]
mod tests;

/// Whether a popup's target is true.
pub(crate) fn matches(
    code: &TargetCode,
    popup: u32,
    attributes: &mut RequestAttributes<'_>,
) -> bool {
    let (steps, mut at) = code.target(popup);
    loop {
        match at {
            ACCEPT => return true,
            REJECT => return false,
            _ => {}
        }
        let step = &steps[usize::from(at)];
        let place = attributes.place(code, step.attribute);
        let holds = attributes.test(place, &step.test) == Some(step.wanted);
        at = if holds { step.then } else { step.otherwise };
    }
}

/// Whether a rule holds; `None` for unknown, which at the top is no match.
pub(crate) fn evaluate(rule: &Rule, attributes: &mut RequestAttributes<'_>) -> Option<bool> {
    match rule {
        Rule::All(parts) => join(parts.iter().map(|part| evaluate(part, attributes)), false),
        Rule::Any(parts) => join(parts.iter().map(|part| evaluate(part, attributes)), true),
        Rule::Not(part) => evaluate(part, attributes).map(|holds| !holds),
        Rule::Clause { attribute, test } => {
            let place = attributes.place_of_name(attribute);
            attributes.test(place, test)
        }
    }
}

/// Attributes of a catalog whose places in the request are looked for once; the others, which few
/// clauses ask for, are each time.
const PLACED: usize = 64;
/// Not looked for yet.
const UNKNOWN: u8 = 0;
/// The request does not have it.
const ABSENT: u8 = 1;
/// At the first place.
const FIRST: u8 = 2;

/// A request's attributes: where those are that a catalog asks for, found out once and only when a
/// rule asks.
pub(crate) struct RequestAttributes<'a> {
    given: &'a [(&'a str, AttributeValue<'a>)],
    /// By an attribute's number.
    places: [u8; PLACED],
    /// What was read last, with its place: a catalog compares one attribute or two as such.
    number: Option<(usize, Option<JsonNumber>)>,
    version: Option<(usize, Option<VersionParts<'a>>)>,
}

impl<'a> RequestAttributes<'a> {
    /// Nothing is looked for yet.
    #[inline]
    pub(crate) fn new(given: &'a [(&'a str, AttributeValue<'a>)]) -> RequestAttributes<'a> {
        RequestAttributes { given, places: [UNKNOWN; PLACED], number: None, version: None }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.given.len()
    }

    /// The text of a text, number or boolean, by an attribute's number.
    pub(crate) fn text_of(
        &mut self,
        code: &TargetCode,
        attribute: u32,
    ) -> Option<(usize, &'a str)> {
        let place = self.place(code, attribute)?;
        text(self.given[place].1).map(|text| (place, text))
    }

    /// Where the request has an attribute, by the number of its name.
    fn place(&mut self, code: &TargetCode, attribute: u32) -> Option<usize> {
        let place = match self.places.get(attribute as usize) {
            Some(&UNKNOWN) => {
                let place = self.place_of_name(code.name(attribute));
                let kept = place.map_or(Some(usize::from(ABSENT)), |place| {
                    place.checked_add(usize::from(FIRST))
                });
                if let Some(kept) = kept.and_then(|kept| u8::try_from(kept).ok()) {
                    self.places[attribute as usize] = kept;
                }
                return place;
            }
            Some(place) => *place,
            None => return self.place_of_name(code.name(attribute)),
        };
        place.checked_sub(FIRST).map(usize::from)
    }

    fn place_of_name(&self, name: &str) -> Option<usize> {
        self.given.iter().position(|(given, _)| word::is_same(given.as_bytes(), name.as_bytes()))
    }

    /// What a test says of the attribute at a place; of an absent one where there is none.
    fn test(&mut self, place: Option<usize>, test: &Test) -> Option<bool> {
        if let Test::Exists(wanted) = test {
            return Some(place.is_some() == *wanted);
        }
        let place = place?;
        let value = self.given[place].1;
        match test {
            Test::Exists(_) => None,
            Test::Equal { value: wanted, negated } => {
                self.equals(place, wanted).map(|equal| equal != *negated)
            }
            Test::In { values, negated } => {
                let found = join(values.iter().map(|wanted| self.equals(place, wanted)), true);
                found.map(|found| found != *negated)
            }
            Test::Order { order, value: bound } => {
                self.compare(place, bound).map(|ordering| order.holds(ordering))
            }
            Test::Contains(wanted) => contains(value, wanted),
            Test::StartsWith(start) => text(value).map(|text| text.starts_with(&**start)),
            Test::EndsWith(end) => text(value).map(|text| text.ends_with(&**end)),
            Test::Semver { order, value: bound } => {
                self.compare_version(place, bound).map(|ordering| order.holds(ordering))
            }
            Test::Matches(pattern) => text(value).map(|text| pattern.is_match(text)),
        }
    }

    #[inline]
    fn equals(&mut self, place: usize, wanted: &Scalar) -> Option<bool> {
        match wanted {
            Scalar::Number(wanted) => self.number(place).map(|number| number == *wanted),
            Scalar::Text(_) | Scalar::Boolean(_) => equals(self.given[place].1, wanted),
        }
    }

    /// How the value stands to a bound; booleans have no order, and compiling refuses them here.
    fn compare(&mut self, place: usize, bound: &Scalar) -> Option<Ordering> {
        match bound {
            Scalar::Text(bound) => text(self.given[place].1).map(|text| text.cmp(bound)),
            Scalar::Number(bound) => self.number(place).map(|number| number.compare(*bound)),
            Scalar::Boolean(_) => None,
        }
    }

    /// The value as a number.
    pub(crate) fn number(&mut self, place: usize) -> Option<JsonNumber> {
        match self.number {
            Some((of, number)) if of == place => number,
            _ => {
                let number = text(self.given[place].1).and_then(parse_number);
                self.number = Some((place, number));
                number
            }
        }
    }

    /// How the value, as a version, stands to a bound.
    fn compare_version(&mut self, place: usize, bound: &Version) -> Option<Ordering> {
        if self.version.as_ref().is_none_or(|(of, _)| *of != place) {
            self.version = Some((place, text(self.given[place].1).and_then(VersionParts::of)));
        }
        let (_, version) = self.version.as_ref()?;
        version.as_ref().map(|version| bound.compare_parts(version))
    }
}

/// A substring of a text, or a member of a list. The list is what the rule asks about, so a member
/// of another type than the rule's is not the wanted one, and leaves nothing unknown.
fn contains(value: AttributeValue<'_>, wanted: &Scalar) -> Option<bool> {
    match (value, wanted) {
        (AttributeValue::Scalar(text), Scalar::Text(part)) => Some(text.contains(&**part)),
        (AttributeValue::List(members), _) => {
            Some(members.iter().any(|member| equals(*member, wanted) == Some(true)))
        }
        _ => None,
    }
}

#[inline]
fn equals(value: AttributeValue<'_>, wanted: &Scalar) -> Option<bool> {
    let text = text(value)?;
    match wanted {
        Scalar::Text(wanted) => Some(word::is_same(text.as_bytes(), wanted.as_bytes())),
        Scalar::Number(wanted) => parse_number(text).map(|number| number == *wanted),
        Scalar::Boolean(wanted) => parse_boolean(text).map(|boolean| boolean == *wanted),
    }
}

fn text(value: AttributeValue<'_>) -> Option<&str> {
    match value {
        AttributeValue::Scalar(text) => Some(text),
        AttributeValue::List(_) | AttributeValue::Other => None,
    }
}
