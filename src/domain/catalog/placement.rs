//! The live popups of a placement, and which of them a request can match at all: an index over
//! their pivots. A request asks the popups that are listed under one of its own values, and those
//! without a pivot; whoever is in no such list fails at its target, and is not looked at.
//!
//! ```text
//! attribute ─► hash of a value ─► places, ascending: the order in which popups win
//! ```
//!
//! Made anew at each change of a status, out of pivots that are chosen already. Knows nothing of
//! requests and time. Limits: [`SCANNED_POPUPS_MAX`], and those of `pivot`.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashTable};

use super::pivot::{CatalogPivots, ValueHasher};
use super::snapshot::{Popup, Status};
use super::target::JsonNumber;
use nudged_base::limits::SCANNED_POPUPS_MAX;

#[cfg(test)]
mod tests;

/// The live popups of a placement.
#[derive(Debug)]
pub struct Placement {
    /// Its place among the catalog's placements.
    pub(crate) number: usize,
    /// Its popups in the order in which they win, as indexes into `Snapshot::popups`. A popup's
    /// index in this list is its place.
    pub(crate) live: Vec<u32>,
    /// The places of those without a pivot, ascending.
    pub(crate) asked: Vec<u32>,
    /// Everything else.
    pub(crate) pivots: Vec<Pivot>,
    /// Whether any has windows in the request's own zone; such a one is always asked.
    pub(crate) has_user_zones: bool,
    values: ValueHasher,
}

/// The popups whose pivots ask for one attribute.
#[derive(Debug)]
pub(crate) struct Pivot {
    /// The attribute's number.
    pub(crate) attribute: u32,
    /// Whether any value is a number.
    pub(crate) has_numbers: bool,
    /// Whether any value is a text or a boolean.
    pub(crate) has_texts: bool,
    postings: HashTable<Posting>,
    places: Vec<u32>,
}

/// The places of the popups that take a value.
#[derive(Debug)]
struct Posting {
    hash: u64,
    start: u32,
    end: u32,
}

impl Placement {
    /// The places that a text or a boolean of a request leads to, by its text.
    pub(crate) fn of_text<'p>(&'p self, pivot: &'p Pivot, text: &str) -> &'p [u32] {
        pivot.of_hash(self.values.of_text(text))
    }

    /// The places that a number of a request leads to.
    pub(crate) fn of_number<'p>(&'p self, pivot: &'p Pivot, number: JsonNumber) -> &'p [u32] {
        pivot.of_hash(self.values.of_number(number))
    }
}

impl Pivot {
    fn of_hash(&self, hash: u64) -> &[u32] {
        let found = self.postings.find(hash, |posting| posting.hash == hash);
        found.map_or(&[], |posting| &self.places[posting.start as usize..posting.end as usize])
    }
}

/// The live popups of each placement. Allocates.
pub(super) fn placements(popups: &[Popup], pivots: &CatalogPivots) -> HashMap<Box<str>, Placement> {
    let mut live: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (popup, index) in popups.iter().zip(0_u32..) {
        if popup.status == Status::Live {
            for placement in &popup.placements {
                live.entry(placement).or_default().push(index);
            }
        }
    }
    let placed = live.into_iter().enumerate();
    placed
        .map(|(number, (name, live))| (name.into(), place(popups, pivots, live, number)))
        .collect()
}

fn place(popups: &[Popup], pivots: &CatalogPivots, live: Vec<u32>, number: usize) -> Placement {
    let is_few = live.len() <= SCANNED_POPUPS_MAX;
    let mut asked = Vec::new();
    let mut listed: BTreeMap<u32, PivotList> = BTreeMap::new();
    for (index, place) in live.iter().zip(0_u32..) {
        let Some(pivot) = pivots.of(*index).filter(|_| !is_few) else {
            asked.push(place);
            continue;
        };
        let list = listed.entry(pivot.attribute).or_default();
        list.has_numbers |= pivot.is_of_numbers;
        list.has_texts |= !pivot.is_of_numbers;
        list.entries.extend(pivot.hashes.iter().map(|hash| (*hash, place)));
    }
    let listed = listed.into_iter().map(|(attribute, list)| list.finish(attribute)).collect();
    let has_user_zones = live.iter().any(|index| popups[*index as usize].is_in_user_zone());
    let values = pivots.values.clone();
    Placement { number, live, asked, pivots: listed, has_user_zones, values }
}

/// A pivot at work.
#[derive(Default)]
struct PivotList {
    has_numbers: bool,
    has_texts: bool,
    entries: Vec<(u64, u32)>,
}

impl PivotList {
    fn finish(mut self, attribute: u32) -> Pivot {
        self.entries.sort_unstable();
        let groups = || self.entries.chunk_by(|(a, _), (b, _)| a == b);
        let mut postings = HashTable::with_capacity(groups().count());
        let mut start = 0;
        for group in groups() {
            let end = start + u32::try_from(group.len()).expect("some million places at most");
            let hash = group[0].0;
            postings.insert_unique(hash, Posting { hash, start, end }, |other| other.hash);
            start = end;
        }
        let places = self.entries.iter().map(|(_, place)| *place).collect();
        let PivotList { has_numbers, has_texts, .. } = self;
        Pivot { attribute, has_numbers, has_texts, postings, places }
    }
}
