//! A popup's rules, compiled: what `decide::target` evaluates, and how texts are read as numbers
//! and booleans, in rules and in requests alike; `version` reads them as versions.
//!
//! Knows nothing of requests and of how rules are written down (`source::rules` does).

use std::cmp::Ordering;
use std::sync::Arc;

use super::version::Version;

/// A node of a target. Evaluation is three-valued (docs/semantics.md#targets).
#[derive(Clone, Debug)]
pub enum Rule {
    /// Every part must hold; empty holds.
    All(Vec<Rule>),
    /// One part must hold; empty does not.
    Any(Vec<Rule>),
    /// The part must not hold; unknown stays unknown.
    Not(Box<Rule>),
    /// One attribute against a value.
    Clause {
        /// The attribute's name.
        attribute: Box<str>,
        /// What is asked of it.
        test: Arc<Test>,
    },
}

/// What parts of which one that is `decisive` decides come to, in three-valued logic: that, else
/// unknown if any is, else the other. So `all` is decided by false and `any` by true. Asks no part
/// behind one that decides.
pub(crate) fn join(parts: impl Iterator<Item = Option<bool>>, decisive: bool) -> Option<bool> {
    let mut so_far = Some(!decisive);
    for part in parts {
        match part {
            Some(value) if value == decisive => return part,
            Some(_) => {}
            None => so_far = None,
        }
    }
    so_far
}

/// A scalar of a rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Compared byte for byte.
    Text(Box<str>),
    /// A number, compared by value.
    Number(JsonNumber),
    /// true or false.
    Boolean(bool),
}

/// A JSON number: exact where it is whole and fits, else a double.
#[derive(Clone, Copy, Debug)]
pub enum JsonNumber {
    /// A whole number.
    Whole(i128),
    /// Any other number; finite.
    Real(f64),
}

impl JsonNumber {
    /// Compares by value, exactly: a whole number and a double are equal only where the double is
    /// that whole number. Does not allocate.
    pub fn compare(self, other: JsonNumber) -> Ordering {
        match (self, other) {
            (JsonNumber::Whole(a), JsonNumber::Whole(b)) => a.cmp(&b),
            (JsonNumber::Real(a), JsonNumber::Real(b)) => {
                a.partial_cmp(&b).expect("numbers are finite")
            }
            (JsonNumber::Whole(a), JsonNumber::Real(b)) => compare_whole_with_real(a, b),
            (JsonNumber::Real(a), JsonNumber::Whole(b)) => compare_whole_with_real(b, a).reverse(),
        }
    }
}

impl JsonNumber {
    /// The whole number that compares as equal to it, if there is one.
    pub(super) fn whole(self) -> Option<i128> {
        match self {
            JsonNumber::Whole(whole) => Some(whole),
            JsonNumber::Real(real) => floor(real).filter(|_| real.fract() == 0.0),
        }
    }
}

impl PartialEq for JsonNumber {
    fn eq(&self, other: &JsonNumber) -> bool {
        self.compare(*other).is_eq()
    }
}

/// Beyond 2^126 no double equals a neighbouring one, so its own sign and size decide.
fn compare_whole_with_real(whole: i128, real: f64) -> Ordering {
    let Some(floor) = floor(real) else {
        return if real > 0.0 { Ordering::Less } else { Ordering::Greater };
    };
    whole.cmp(&floor).then(if real > real.floor() { Ordering::Less } else { Ordering::Equal })
}

/// The whole part of a double within 2^126, rounded down.
fn floor(real: f64) -> Option<i128> {
    const BOUND: f64 = 8.507_059_173_023_462e37;
    // The range is checked: the cast keeps the whole part.
    #[allow(clippy::cast_possible_truncation)]
    (-BOUND < real && real < BOUND).then(|| real.floor() as i128)
}

/// What a clause asks of its attribute.
#[derive(Clone, Debug)]
pub enum Test {
    /// `eq`, or `ne` where negated.
    Equal {
        /// The value.
        value: Scalar,
        /// `ne`.
        negated: bool,
    },
    /// `in`, or `not_in` where negated; 1 to 1,000 values.
    In {
        /// The values.
        values: Vec<Scalar>,
        /// `not_in`.
        negated: bool,
    },
    /// `lt lte gt gte` on numbers or texts.
    Order {
        /// Which of the four.
        order: Comparison,
        /// A number or a text.
        value: Scalar,
    },
    /// `exists`: whether the attribute is there at all.
    Exists(bool),
    /// `contains`: a substring of a text, or a member of a list.
    Contains(Scalar),
    /// `starts_with`.
    StartsWith(Box<str>),
    /// `ends_with`.
    EndsWith(Box<str>),
    /// `semver_lt semver_lte semver_gt semver_gte`.
    Semver {
        /// Which of the four.
        order: Comparison,
        /// The version.
        value: Version,
    },
    /// `matches`: searched, not anchored, linear time.
    Matches(regex::Regex),
}

/// The four ordering operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Below.
    Less,
    /// Below or equal.
    LessOrEqual,
    /// Above.
    Greater,
    /// Above or equal.
    GreaterOrEqual,
}

impl Comparison {
    /// Its operator's name.
    pub fn name(self) -> &'static str {
        match self {
            Comparison::Less => "lt",
            Comparison::LessOrEqual => "lte",
            Comparison::Greater => "gt",
            Comparison::GreaterOrEqual => "gte",
        }
    }

    /// Whether it holds of a value, given how that stands to the bound.
    pub(crate) fn holds(self, to_bound: Ordering) -> bool {
        match self {
            Comparison::Less => to_bound.is_lt(),
            Comparison::LessOrEqual => to_bound.is_le(),
            Comparison::Greater => to_bound.is_gt(),
            Comparison::GreaterOrEqual => to_bound.is_ge(),
        }
    }
}

/// Reads a text as a number: one in JSON's grammar, exactly. A number beyond the range of a double
/// counts as the largest double of its sign. Does not allocate.
pub fn parse_number(text: &str) -> Option<JsonNumber> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(unsigned);
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
        return None;
    }
    let mut rest = &unsigned[whole.len()..];
    if rest.is_empty()
        && let Ok(number) = text.parse()
    {
        return Some(JsonNumber::Whole(number));
    }
    if let Some(after_point) = rest.strip_prefix('.') {
        let fraction = digits(after_point);
        if fraction.is_empty() {
            return None;
        }
        rest = &after_point[fraction.len()..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if exponent.is_empty() {
            return None;
        }
        rest = &exponent[digits(exponent).len()..];
    }
    if !rest.is_empty() {
        return None;
    }
    let real: f64 = text.parse().expect("the grammar of JSON is within that of doubles");
    Some(JsonNumber::Real(real.clamp(f64::MIN, f64::MAX)))
}

/// Reads a text as a boolean: exactly `true` or `false`. Does not allocate.
pub(crate) fn parse_boolean(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// The digits with which a text starts.
pub(super) fn digits(text: &str) -> &str {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    &text[..count]
}

#[cfg(test)]
mod tests;
