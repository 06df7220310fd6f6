//! Which live popups are open at a moment, as far as schedules and windows tell without a request:
//! worked out when one opens or closes, not for each request. What the closed ones come to is
//! summed up for each placement.
//!
//! Holds from the moment it was worked out for until the next at which any popup may open or
//! close. Asked about another, it knows nothing, and popups are asked one by one; so it may be
//! late, and is never wrong. Popups with windows in the request's own zone count as open here.
//!
//! Pure: time is an argument. Nothing allocates but what makes a timetable. Limits: `POPUPS_MAX`
//! popups; a refresh looks only at those whose time has come, and sums up what it knows.

use super::gates::{Gate, GateFailure, GateFailures, failure_in_time};
use crate::catalog::schedule::inside_until;
use crate::catalog::snapshot::{Popup, Snapshot, Status};
use nudged_base::time::WallMs;

#[cfg(test)]
mod tests;

/// Never, and always.
const END_OF_TIME: WallMs = WallMs(i64::MAX);
const BEGIN_OF_TIME: WallMs = WallMs(i64::MIN);

/// What is open of one catalog at a moment.
#[derive(Debug)]
pub struct Timetable {
    /// The moments that it holds for: from the first on, up to the second.
    from: WallMs,
    until: WallMs,
    popups: Vec<TimedPopup>,
    /// By the number of a placement.
    placements: Vec<OpenPopups>,
}

/// A popup with a schedule, or windows in a zone of its own.
#[derive(Clone, Copy, Debug)]
struct TimedPopup {
    /// Its index in `Snapshot::popups`.
    index: u32,
    /// What is known of it holds until then.
    until: WallMs,
    failure: Option<GateFailure>,
}

/// What is open of a placement.
#[derive(Debug)]
pub(super) struct OpenPopups {
    /// A bit for each place: 1 for closed.
    closed: Vec<u64>,
    /// How many places are not closed.
    pub(super) open: usize,
    /// What the closed ones come to.
    pub(super) failures: GateFailures,
    /// Places of popups with a time, each with its index in `Timetable::popups`.
    timed: Vec<(u32, u32)>,
    places: usize,
}

impl OpenPopups {
    /// Whether the popup at a place is closed.
    pub(super) fn is_closed(&self, place: u32) -> bool {
        self.closed[place as usize / 64] >> (place % 64) & 1 == 1
    }

    fn sum_up(&mut self, popups: &[TimedPopup]) {
        self.closed.fill(0);
        self.open = self.places;
        self.failures = GateFailures::default();
        for (place, popup) in &self.timed {
            if let Some(failure) = popups[*popup as usize].failure {
                self.closed[*place as usize / 64] |= 1 << (place % 64);
                self.open -= 1;
                self.failures.add(failure);
            }
        }
    }
}

impl Default for Timetable {
    /// One that holds for no moment, of no catalog.
    fn default() -> Timetable {
        let (popups, placements) = (Vec::new(), Vec::new());
        Timetable { from: END_OF_TIME, until: BEGIN_OF_TIME, popups, placements }
    }
}

impl Timetable {
    /// The timetable of a catalog; it holds for no moment yet. Allocates.
    pub fn of(snapshot: &Snapshot) -> Timetable {
        let mut popups = Vec::new();
        // By index: where a popup is among those with a time.
        let mut timed = vec![None; snapshot.popups.len()];
        for (popup, index) in snapshot.popups.iter().zip(0_u32..) {
            let has_schedule = popup.starts_at.is_some() || popup.ends_at.is_some();
            let is_timed = has_schedule || !popup.windows.is_empty();
            if popup.status == Status::Live && is_timed && !popup.is_in_user_zone() {
                timed[index as usize] = u32::try_from(popups.len()).ok();
                popups.push(TimedPopup { index, until: BEGIN_OF_TIME, failure: None });
            }
        }
        let mut placements: Vec<_> = snapshot.placements.values().collect();
        placements.sort_unstable_by_key(|placement| placement.number);
        let open = |live: &[u32]| {
            let places = live.iter().zip(0_u32..);
            let timed = places.filter_map(|(index, place)| Some((place, timed[*index as usize]?)));
            let (closed, failures) = (vec![0; live.len().div_ceil(64)], GateFailures::default());
            let places = live.len();
            OpenPopups { closed, open: places, failures, timed: timed.collect(), places }
        };
        let placements = placements.iter().map(|placement| open(&placement.live)).collect();
        Timetable { popups, placements, ..Timetable::default() }
    }

    /// The timetable of the catalog that comes after `former`, which this is of; it holds for no
    /// moment yet. Where they differ in statuses alone, what is known of popups stays known, so
    /// that a pause waits for no windows. Allocates.
    #[must_use]
    pub fn followed_by(&self, former: &Snapshot, snapshot: &Snapshot) -> Timetable {
        let mut next = Timetable::of(snapshot);
        if snapshot.has_definitions_of(former) {
            next.from = self.from;
            for timed in &mut next.popups {
                let known = self.popups.binary_search_by_key(&timed.index, |known| known.index);
                if let Ok(place) = known {
                    *timed = self.popups[place];
                }
            }
        }
        next
    }

    /// Makes it hold for `now`, unless it does. `snapshot` is the catalog that it is of.
    pub fn refresh(&mut self, snapshot: &Snapshot, now: WallMs) {
        if !self.holds_at(now) {
            self.work_out(snapshot, now);
        }
    }

    fn holds_at(&self, now: WallMs) -> bool {
        self.from <= now && now < self.until
    }

    fn work_out(&mut self, snapshot: &Snapshot, now: WallMs) {
        let went_back = now < self.from;
        let mut until = END_OF_TIME;
        for timed in &mut self.popups {
            if went_back || timed.until <= now {
                let popup = &snapshot.popups[timed.index as usize];
                (timed.failure, timed.until) = standing(popup, now);
            }
            until = until.min(timed.until);
        }
        for placement in &mut self.placements {
            placement.sum_up(&self.popups);
        }
        (self.from, self.until) = (now, until);
    }

    /// What is open of a placement, by its number; `None` where this does not hold at `now`.
    pub(super) fn open_popups(&self, placement: usize, now: WallMs) -> Option<&OpenPopups> {
        if self.holds_at(now) { self.placements.get(placement) } else { None }
    }
}

/// How a popup stands at a moment, and until when that is sure.
fn standing(popup: &Popup, now: WallMs) -> (Option<GateFailure>, WallMs) {
    // One in the user's zone has no windows to read in it.
    let zone = popup.zone.resolve(None);
    let ends_at = popup.ends_at.unwrap_or(END_OF_TIME);
    let failure = failure_in_time(popup, zone, now);
    let until = match failure {
        None if popup.windows.is_empty() => ends_at,
        None => inside_until(&popup.windows, zone, now).min(ends_at),
        Some(GateFailure { opens_at: None, gate: Gate::Schedule }) => END_OF_TIME,
        Some(GateFailure { opens_at, .. }) => opens_at.unwrap_or(END_OF_TIME).min(ends_at),
    };
    (failure, until)
}
