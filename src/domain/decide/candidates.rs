//! Which popups of a placement a request has to ask: those without a pivot, and those that are
//! listed under one of its values, in the order in which they win. Does not allocate.

use super::gates::Visit;
use crate::catalog::placement::Placement;
use nudged_base::limits::ATTRIBUTES_MAX;

/// Each attribute leads to a list as a text and to one as a number, and there are those without.
const LISTS_MAX: usize = 2 * ATTRIBUTES_MAX + 1;

/// Lists of places, merged. The places are ascending in each.
pub(super) struct Candidates<'p> {
    lists: [&'p [u32]; LISTS_MAX],
    used: usize,
    /// The place that was given last.
    last: Option<u32>,
}

impl<'p> Candidates<'p> {
    /// What a request has to ask of a placement with pivots.
    ///
    /// # Panics
    /// Where it has more attributes than `ATTRIBUTES_MAX`: no request does.
    pub(super) fn of(placement: &'p Placement, visit: &mut Visit<'_>) -> Candidates<'p> {
        let (attributes, code) = visit.attributes();
        assert!(attributes.len() <= ATTRIBUTES_MAX, "requests are bounded");
        let mut candidates = Candidates { lists: [&[]; LISTS_MAX], used: 0, last: None };
        candidates.add(&placement.asked);
        for pivot in &placement.pivots {
            let Some((place, text)) = attributes.text_of(code, pivot.attribute) else { continue };
            if pivot.has_texts {
                candidates.add(placement.of_text(pivot, text));
            }
            if pivot.has_numbers
                && let Some(number) = attributes.number(place)
            {
                candidates.add(placement.of_number(pivot, number));
            }
        }
        candidates
    }

    fn add(&mut self, list: &'p [u32]) {
        if !list.is_empty() {
            self.lists[self.used] = list;
            self.used += 1;
        }
    }
}

impl Iterator for Candidates<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        loop {
            // Empty lists are taken out, so each has a first place.
            let lists = self.lists[..self.used].iter().enumerate();
            let (index, _) = lists.min_by_key(|(_, list)| list[0])?;
            let place = self.lists[index][0];
            self.lists[index] = &self.lists[index][1..];
            if self.lists[index].is_empty() {
                self.used -= 1;
                self.lists[index] = self.lists[self.used];
            }
            // Values whose hashes are the same may list a popup twice.
            if self.last.replace(place) != Some(place) {
                return Some(place);
            }
        }
    }
}
