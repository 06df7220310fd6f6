//! Counts per popup, variant and hour of the events that a transaction really inserted, less the
//! shows that it really deleted. Knows events rows; must not know statements.

use hashbrown::HashMap;

use super::batcher::{EventRow, WithdrawnRow};
use nudged_base::event_kind::EventKind;
use nudged_base::time::WallMs;
use nudged_journal::record::{Impression, Withdrawn};

/// Milliseconds of an hour: the grain of `popup_stats`.
pub const HOUR_MS: i64 = 3_600_000;
/// Milliseconds of a UTC day: the grain of old rows.
pub const DAY_MS: i64 = 86_400_000;

/// What is counted: a popup's variant in an hour (its first millisecond).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatKey<'a> {
    /// The popup's id.
    pub popup: &'a str,
    /// The variant's key; empty for none.
    pub variant: &'a str,
    /// The first millisecond of the hour.
    pub hour: i64,
}

/// Increments of one row of `popup_stats`; below 0 where more was taken back than counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatCounts {
    /// Per event kind: decided, shown, ignored, dismissed, clicked, converted.
    pub counts: [i64; 6],
    /// Decisions of the hour that had a first click, dismissal or conversion.
    pub answered: i64,
    /// The last record that was counted here, by its index in the batch.
    pub index: usize,
}

/// Counts of one transaction. Bounded by the records of a batch.
#[derive(Debug, Default)]
pub struct Tally<'a> {
    rows: HashMap<StatKey<'a>, StatCounts>,
}

impl<'a> Tally<'a> {
    /// Counts an event in the hour in which it happened, and in its decision's hour where it is the
    /// first that answers it. May allocate.
    pub fn count(&mut self, event: &EventRow<'a>) {
        let Impression { popup, variant, acted_at, kind, .. } = event.record;
        if let Some(decided_at) = event.answers {
            let key = StatKey { popup, variant, hour: hour_of(decided_at) };
            let row = self.rows.entry(key).or_default();
            row.answered += 1;
            row.index = event.index;
        }
        let key = StatKey { popup, variant, hour: hour_of(acted_at) };
        let row = self.rows.entry(key).or_default();
        row.counts[kind as usize] += 1;
        row.index = event.index;
    }

    /// Makes a row for a withdrawn show's hour, which its show has made or would have made: so the
    /// rows are the same whether both came in one transaction or not. May allocate.
    pub fn touch(&mut self, withdrawn: &WithdrawnRow<'a>) {
        self.of_show(withdrawn);
    }

    /// Takes a show back that was counted in this tally's stream. May allocate.
    pub fn uncount(&mut self, withdrawn: &WithdrawnRow<'a>) {
        self.of_show(withdrawn).counts[EventKind::Decided as usize] -= 1;
    }

    fn of_show(&mut self, withdrawn: &WithdrawnRow<'a>) -> &mut StatCounts {
        let Withdrawn { popup, variant, shown_at, .. } = withdrawn.record;
        let key = StatKey { popup, variant, hour: hour_of(shown_at) };
        let row = self.rows.entry(key).or_default();
        row.index = row.index.max(withdrawn.index);
        row
    }

    /// The increments, sorted by key. Allocates.
    pub fn into_rows(self) -> Vec<(StatKey<'a>, StatCounts)> {
        let mut rows: Vec<_> = self.rows.into_iter().collect();
        rows.sort_unstable_by_key(|(key, _)| *key);
        rows
    }
}

/// The first millisecond of the UTC day that a time is in.
pub fn day_of(at: WallMs) -> i64 {
    at.0.saturating_sub(at.0.rem_euclid(DAY_MS))
}

/// The first millisecond of the hour that a time is in.
pub fn hour_of(at: WallMs) -> i64 {
    at.0.saturating_sub(at.0.rem_euclid(HOUR_MS))
}
