//! Shows and events by popup, as one shard counts them: a table of a fixed size that finds a popup
//! by the pinned hash of its id. Whoever reads it knows the ids. Allocates only when it is made.
//!
//! Limits: [`POPUPS_COUNTED_MAX`] popups have a row, in the order in which something first happens
//! to them; all others are counted together.

use super::counter::Counter;
use crate::event_kind::EventKind;
use crate::ids::PopupKey;
use crate::limits::POPUPS_COUNTED_MAX;

/// Rows: a power of two, and a quarter of them stays free, so that a popup is found at once.
const ROWS: usize = (POPUPS_COUNTED_MAX as usize * 4 / 3).next_power_of_two();

/// How often each kind of event happened, in the order of their numbers.
pub type KindCounts = [u64; EventKind::ALL.len()];

#[derive(Debug, Default)]
struct CountedPopup {
    /// The popup; 0 for none.
    key: Counter,
    counts: [Counter; EventKind::ALL.len()],
}

/// Counts of one shard.
#[derive(Debug)]
pub struct PopupCounters {
    rows: Box<[CountedPopup]>,
    used: Counter,
    /// Popups without a row.
    other: CountedPopup,
}

impl Default for PopupCounters {
    fn default() -> PopupCounters {
        let rows = (0..ROWS).map(|_| CountedPopup::default()).collect();
        PopupCounters { rows, used: Counter::default(), other: CountedPopup::default() }
    }
}

impl PopupCounters {
    /// Counts one event of a popup. Only the owning thread may.
    pub fn add(&self, popup: PopupKey, kind: EventKind) {
        self.row(popup).counts[usize::from(kind.number())].increment();
    }

    fn row(&self, popup: PopupKey) -> &CountedPopup {
        let key = popup.0.max(1);
        let mut at = place(key);
        loop {
            let row = &self.rows[at];
            let found = row.key.get();
            if found == key {
                return row;
            }
            if found == 0 {
                if self.used.get() == u64::from(POPUPS_COUNTED_MAX) {
                    return &self.other;
                }
                self.used.increment();
                row.key.set(key);
                return row;
            }
            at = (at + 1) % ROWS;
        }
    }

    /// Every popup with a row, in no order.
    pub fn all(&self) -> impl Iterator<Item = (PopupKey, KindCounts)> + '_ {
        let used = self.rows.iter().filter(|row| row.key.get() != 0);
        used.map(|row| (PopupKey(row.key.get()), row.counts()))
    }

    /// All popups that have none, together.
    pub fn other(&self) -> KindCounts {
        self.other.counts()
    }
}

impl CountedPopup {
    fn counts(&self) -> KindCounts {
        std::array::from_fn(|kind| self.counts[kind].get())
    }
}

fn place(key: u64) -> usize {
    usize::try_from(key % ROWS as u64).expect("below the count of rows")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_popup_has_its_counts_and_those_beyond_the_bound_share_theirs() {
        let counters = PopupCounters::default();
        // The same place for all: they stand one behind the other.
        let key = |number: u64| PopupKey(number * ROWS as u64 + 7);
        for number in 0..u64::from(POPUPS_COUNTED_MAX) + 2 {
            counters.add(key(number), EventKind::Decided);
        }
        counters.add(key(3), EventKind::Clicked);
        counters.add(key(3), EventKind::Decided);
        assert_eq!(counters.all().count(), POPUPS_COUNTED_MAX as usize);
        let found = counters.all().find(|(popup, _)| *popup == key(3)).unwrap().1;
        assert_eq!(found[usize::from(EventKind::Decided.number())], 2);
        assert_eq!(found[usize::from(EventKind::Clicked.number())], 1);
        assert_eq!(counters.other(), [2, 0, 0, 0, 0, 0]);
    }
}
