//! Which clause of its target a popup is found by: its pivot. That is one that the target needs and
//! that lists what it takes, `eq` or `in`; of several, the one whose values the fewest popups of
//! the catalog share. Chosen when the catalog is compiled: no status changes it.
//!
//! Values are kept as hashes. Two that share one put popups into a list that they don't belong in,
//! where their target, which is asked anyway, holds them back.
//!
//! Knows nothing of requests and time. Limits: [`PIVOT_VALUES_MAX`], [`PIVOT_ENTRIES_MAX`].

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap};

use super::code::TargetStep;
use super::target::{JsonNumber, Scalar, Test};
use nudged_base::limits::{PIVOT_ENTRIES_MAX, PIVOT_VALUES_MAX};

#[cfg(test)]
mod tests;

/// The pivots of a catalog.
#[derive(Debug, Default)]
pub struct CatalogPivots {
    pub(super) values: ValueHasher,
    /// In the order of the popups; `None` for one that every request asks.
    by_popup: Vec<Option<PopupPivot>>,
}

/// A clause that a popup is found by, or could be.
#[derive(Debug)]
pub(super) struct PopupPivot {
    /// The attribute's number.
    pub(super) attribute: u32,
    pub(super) is_of_numbers: bool,
    /// Of the values, sorted, each once.
    pub(super) hashes: Box<[u64]>,
}

impl CatalogPivots {
    /// Chooses them for popups in their order: the steps of each target, none where every request
    /// has to ask the popup, and how many placements list it. Allocates.
    pub(super) fn choose<'t>(
        popups: impl Iterator<Item = (&'t [TargetStep], usize)>,
    ) -> CatalogPivots {
        let values = ValueHasher::default();
        let choices: Vec<(Vec<PopupPivot>, usize)> =
            popups.map(|(steps, placements)| (choices(steps, &values), placements)).collect();
        let mut shared: HashMap<(u32, u64), u32> = HashMap::new();
        for choice in choices.iter().flat_map(|(choices, _)| choices) {
            for hash in &choice.hashes {
                *shared.entry((choice.attribute, *hash)).or_default() += 1;
            }
        }
        let cost = |choice: &PopupPivot| {
            let shares = choice.hashes.iter().map(|hash| shared[&(choice.attribute, *hash)]);
            (shares.max(), choice.hashes.len())
        };
        let mut entries_left = PIVOT_ENTRIES_MAX;
        let chosen = choices.into_iter().map(|(choices, placements)| {
            let pivot = choices.into_iter().min_by_key(cost)?;
            entries_left = entries_left.checked_sub(pivot.hashes.len() * placements)?;
            Some(pivot)
        });
        let by_popup = chosen.collect();
        CatalogPivots { values, by_popup }
    }

    /// The pivot of a popup, by its index; `None` where it has none.
    pub(super) fn of(&self, popup: u32) -> Option<&PopupPivot> {
        self.by_popup[popup as usize].as_ref()
    }
}

/// The clauses of a target that its popup could be found by: those with the fewest values, with
/// [`PIVOT_VALUES_MAX`] in all.
fn choices(steps: &[TargetStep], values: &ValueHasher) -> Vec<PopupPivot> {
    let needed = steps.iter().filter(|step| step.is_needed && step.wanted);
    let listing = needed.filter_map(|step| match &*step.test {
        Test::Equal { value, negated: false } => Some((step, std::slice::from_ref(value))),
        Test::In { values, negated: false } => Some((step, &values[..])),
        _ => None,
    });
    let mut clauses: Vec<(&TargetStep, &[Scalar])> = listing.collect();
    clauses.sort_by_key(|(_, scalars)| scalars.len());
    let mut values_left = PIVOT_VALUES_MAX;
    let choice = |(step, scalars): (&TargetStep, &[Scalar])| {
        values_left = values_left.checked_sub(scalars.len())?;
        let mut hashes: Vec<u64> = scalars.iter().map(|scalar| values.of_scalar(scalar)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let is_of_numbers = matches!(scalars.first(), Some(Scalar::Number(_)));
        let hashes = hashes.into_boxed_slice();
        Some(PopupPivot { attribute: step.attribute, is_of_numbers, hashes })
    };
    clauses.into_iter().map_while(choice).collect()
}

/// Hashes the values of popups and of requests alike.
#[derive(Clone, Debug, Default)]
pub(super) struct ValueHasher(DefaultHashBuilder);

impl ValueHasher {
    /// Of a text, or of a boolean by its text.
    pub(super) fn of_text(&self, text: &str) -> u64 {
        self.0.hash_one(text)
    }

    pub(super) fn of_number(&self, number: JsonNumber) -> u64 {
        self.0.hash_one(NumberKey::of(number))
    }

    fn of_scalar(&self, scalar: &Scalar) -> u64 {
        match scalar {
            Scalar::Text(text) => self.of_text(text),
            Scalar::Boolean(boolean) => self.of_text(if *boolean { "true" } else { "false" }),
            Scalar::Number(number) => self.of_number(*number),
        }
    }
}

/// A number such that those that compare as equal are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum NumberKey {
    Whole(i128),
    Real(u64),
}

impl NumberKey {
    fn of(number: JsonNumber) -> NumberKey {
        match (number.whole(), number) {
            (Some(whole), _) | (None, JsonNumber::Whole(whole)) => NumberKey::Whole(whole),
            (None, JsonNumber::Real(real)) => NumberKey::Real(real.to_bits()),
        }
    }
}
