//! Versions as texts: what counts as one, and how two of them order (docs/semantics.md#targets).
//! More of what apps call themselves than semver's three numbers; pre-releases order as semver's
//! do.
//!
//! Limits: [`VERSION_PARTS_MAX`] numbers, each below 2^64.

use std::cmp::Ordering;

use super::target::digits;
use nudged_base::limits::VERSION_PARTS_MAX;

/// A version of a rule: up to 8 numbers, the missing ones 0, and a pre-release or none. Build
/// metadata is dropped, since it does not order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    numbers: [u64; VERSION_PARTS_MAX],
    /// Empty for none.
    pre: Box<str>,
}

impl Version {
    /// Reads a version: one to eight numbers, leading zeros and a `v` before them or not, a
    /// pre-release and build metadata after them or not (`5`, `v5.2`, `5.2.0.1234`, `2026.06.1`,
    /// `5.2-rc.1`). `None` where the text is none. Allocates for a pre-release alone.
    pub fn parse(text: &str) -> Option<Version> {
        let VersionParts { numbers, pre } = VersionParts::of(text)?;
        Some(Version { numbers, pre: pre.into() })
    }

    /// How the version that a text holds, read as [`Version::parse`] does, orders against this one;
    /// `None` where it holds none. Does not allocate.
    pub(crate) fn compare_text(&self, text: &str) -> Option<Ordering> {
        Some(self.compare_parts(&VersionParts::of(text)?))
    }

    /// How a version of a text orders against this one. Does not allocate.
    pub(crate) fn compare_parts(&self, of_text: &VersionParts<'_>) -> Ordering {
        let numbers = of_text.numbers.cmp(&self.numbers);
        numbers.then_with(|| compare_pre(of_text.pre, &self.pre))
    }

    /// How two versions order. Does not allocate.
    pub fn compare(&self, other: &Version) -> Ordering {
        self.parts().compare(&other.parts())
    }

    fn parts(&self) -> VersionParts<'_> {
        VersionParts { numbers: self.numbers, pre: &self.pre }
    }
}

/// A version as it stands in a text, checked.
pub(crate) struct VersionParts<'t> {
    numbers: [u64; VERSION_PARTS_MAX],
    /// Empty for none.
    pre: &'t str,
}

impl VersionParts<'_> {
    /// Reads a text as [`Version::parse`] does. Does not allocate.
    pub(crate) fn of(text: &str) -> Option<VersionParts<'_>> {
        VersionParts::of_numbers(text).or_else(|| VersionParts::of_any(text))
    }

    /// Numbers and nothing else, in one pass: what most apps call themselves. `None` where the
    /// text is another version, or none.
    fn of_numbers(text: &str) -> Option<VersionParts<'_>> {
        // So few digits can't leave the range of 64 bits.
        const DIGITS_MAX: usize = 18;
        if text.len() > DIGITS_MAX {
            return None;
        }
        let mut numbers = [0; VERSION_PARTS_MAX];
        // A digit is wanted: at the begin, and behind a dot.
        let (mut part, mut number, mut wants_digit) = (0, 0, true);
        for byte in text.bytes() {
            let digit = byte.wrapping_sub(b'0');
            if digit <= 9 {
                number = number * 10 + u64::from(digit);
                wants_digit = false;
            } else if byte == b'.' && !wants_digit {
                *numbers.get_mut(part)? = number;
                (part, number, wants_digit) = (part + 1, 0, true);
            } else {
                return None;
            }
        }
        *numbers.get_mut(part)? = number;
        (!wants_digit).then_some(VersionParts { numbers, pre: "" })
    }

    fn of_any(text: &str) -> Option<VersionParts<'_>> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, build) = text.split_once('+').map_or((text, None), |(a, b)| (a, Some(b)));
        let (core, pre) = text.split_once('-').map_or((text, None), |(a, b)| (a, Some(b)));
        let mut numbers = [0; VERSION_PARTS_MAX];
        let mut places = numbers.iter_mut();
        for part in core.split('.') {
            *places.next()? = number(part)?;
        }
        let well_formed = pre.is_none_or(|pre| pre.split('.').all(is_pre_identifier))
            && build.is_none_or(|build| build.split('.').all(is_identifier));
        well_formed.then_some(VersionParts { numbers, pre: pre.unwrap_or("") })
    }

    fn compare(&self, other: &VersionParts<'_>) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| compare_pre(self.pre, other.pre))
    }
}

/// A part below 2^64, whatever zeros lead it.
fn number(part: &str) -> Option<u64> {
    // The library would take a sign.
    if is_numeric(part) { part.parse().ok() } else { None }
}

fn is_identifier(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_pre_identifier(part: &str) -> bool {
    is_identifier(part) && !(part.len() > 1 && part.starts_with('0') && is_numeric(part))
}

fn is_numeric(part: &str) -> bool {
    digits(part).len() == part.len()
}

/// Orders pre-releases by semver's rules: none is above any; numbers by value and below words;
/// words byte for byte; where all else is equal, the longer one is above.
fn compare_pre(a: &str, b: &str) -> Ordering {
    if a.is_empty() || b.is_empty() {
        return a.is_empty().cmp(&b.is_empty());
    }
    let (mut a_parts, mut b_parts) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a_parts.next(), b_parts.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (is_numeric(a), is_numeric(b)) {
                // Numbers have no leading zeros, so the longer one is the larger one.
                (true, true) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => a.cmp(b),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests;
