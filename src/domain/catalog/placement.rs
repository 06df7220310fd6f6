//! The live popups of a placement, and which of them a request can match at all: an index over
//! their pivots. A popup's pivot is a clause that its target needs and that lists what it takes,
//! `eq` or `in`; of several, the one whose values the fewest popups share. A request asks the
//! popups that are listed under one of its own values, and those without a pivot; whoever is in no
//! such list fails at its target, and is not looked at.
//!
//! ```text
//! attribute ─► hash of a value ─► places, ascending: the order in which popups win
//! ```
//!
//! Values are kept as hashes. Two that share one put popups into a list that they don't belong in,
//! where their target, which is asked anyway, holds them back.
//!
//! Knows nothing of requests and time. Limits: [`PIVOT_VALUES_MAX`], [`SCANNED_POPUPS_MAX`].

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::code::{TargetCode, TargetStep};
use super::snapshot::{Popup, Status};
use super::target::{JsonNumber, Scalar, Test};
use nudged_base::limits::{PIVOT_VALUES_MAX, SCANNED_POPUPS_MAX};

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
    hasher: DefaultHashBuilder,
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
        pivot.of_hash(self.hasher.hash_one(text))
    }

    /// The places that a number of a request leads to.
    pub(crate) fn of_number<'p>(&'p self, pivot: &'p Pivot, number: JsonNumber) -> &'p [u32] {
        pivot.of_hash(self.hasher.hash_one(NumberKey::of(number)))
    }
}

impl Pivot {
    fn of_hash(&self, hash: u64) -> &[u32] {
        let found = self.postings.find(hash, |posting| posting.hash == hash);
        found.map_or(&[], |posting| &self.places[posting.start as usize..posting.end as usize])
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

/// The live popups of each placement. Allocates.
pub(super) fn placements(popups: &[Popup], targets: &TargetCode) -> HashMap<Box<str>, Placement> {
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
        .map(|(number, (name, live))| (name.into(), place(popups, targets, live, number)))
        .collect()
}

/// A value of an attribute, which popups may be listed under.
type ValueId = (u32, u64);

/// A clause that a popup could be listed by.
struct PivotChoice {
    attribute: u32,
    is_of_numbers: bool,
    /// Sorted, each once.
    hashes: Vec<u64>,
}

fn place(popups: &[Popup], targets: &TargetCode, live: Vec<u32>, number: usize) -> Placement {
    let hasher = DefaultHashBuilder::default();
    let choices: Vec<Vec<PivotChoice>> = live
        .iter()
        .map(|index| {
            let is_of_user = popups[*index as usize].is_in_user_zone();
            let (steps, _) = targets.target(*index);
            // A window in the user's own zone is asked before the target, whatever that says.
            let is_few = live.len() <= SCANNED_POPUPS_MAX;
            if is_of_user || is_few { Vec::new() } else { pivot_choices(steps, &hasher) }
        })
        .collect();
    let mut shared: HashMap<ValueId, u32> = HashMap::new();
    for choice in choices.iter().flatten() {
        for hash in &choice.hashes {
            *shared.entry((choice.attribute, *hash)).or_default() += 1;
        }
    }
    let cost = |choice: &&PivotChoice| {
        let shares = choice.hashes.iter().map(|hash| shared[&(choice.attribute, *hash)]);
        (shares.max(), choice.hashes.len())
    };
    let mut asked = Vec::new();
    let mut listed: BTreeMap<u32, PivotList> = BTreeMap::new();
    for (choices, place) in choices.iter().zip(0_u32..) {
        let Some(pivot) = choices.iter().min_by_key(cost) else {
            asked.push(place);
            continue;
        };
        let list = listed.entry(pivot.attribute).or_default();
        list.has_numbers |= pivot.is_of_numbers;
        list.has_texts |= !pivot.is_of_numbers;
        list.entries.extend(pivot.hashes.iter().map(|hash| (*hash, place)));
    }
    let pivots = listed.into_iter().map(|(attribute, list)| list.finish(attribute)).collect();
    let has_user_zones = live.iter().any(|index| popups[*index as usize].is_in_user_zone());
    Placement { number, live, asked, pivots, has_user_zones, hasher }
}

/// The clauses of a target that its popup could be listed by.
fn pivot_choices(steps: &[TargetStep], hasher: &DefaultHashBuilder) -> Vec<PivotChoice> {
    let needed = steps.iter().filter(|step| step.is_needed && step.wanted);
    let choice = |step: &TargetStep| {
        let values = match &*step.test {
            Test::Equal { value, negated: false } => std::slice::from_ref(value),
            Test::In { values, negated: false } if values.len() <= PIVOT_VALUES_MAX => values,
            _ => return None,
        };
        let hash = |value: &Scalar| match value {
            Scalar::Text(text) => hasher.hash_one(&**text),
            Scalar::Boolean(boolean) => hasher.hash_one(if *boolean { "true" } else { "false" }),
            Scalar::Number(number) => hasher.hash_one(NumberKey::of(*number)),
        };
        let mut hashes: Vec<u64> = values.iter().map(hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let is_of_numbers = matches!(values.first(), Some(Scalar::Number(_)));
        Some(PivotChoice { attribute: step.attribute, is_of_numbers, hashes })
    };
    needed.filter_map(choice).collect()
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
