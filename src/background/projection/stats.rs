//! Counts per popup, variant and hour of the events that a transaction really inserted, less the
//! shows that it really deleted, and whose events they were. Knows events rows; must not know
//! statements.
//!
//! Users are counted by sketches, which nobody can be taken out of: a show that is taken back
//! leaves its user in them, whether both come in one transaction or not.

use hashbrown::HashMap;

use super::batcher::{EventRow, WithdrawnRow};
use nudged_base::event_kind::EventKind;
use nudged_base::hash;
use nudged_base::sketch::UserSketch;
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatCounts {
    /// Per event kind: decided, shown, ignored, dismissed, clicked, converted.
    pub counts: [i64; 6],
    /// Decisions of the hour that had a first click, dismissal or conversion.
    pub answered: i64,
    /// Hashes of the users of [`USER_KINDS`], in their order; some more than once.
    pub users: [Vec<u64>; 2],
    /// The last record that was counted here, by its index in the batch.
    pub index: usize,
}

/// The kinds of events whose distinct users are counted.
pub const USER_KINDS: [EventKind; 2] = [EventKind::Decided, EventKind::Clicked];

/// The distinct users of a row of `popup_stats`: of [`USER_KINDS`] in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatUsers {
    /// `None` where they are not known: a version that did not count them has counted some.
    pub by_kind: [Option<UserSketch>; 2],
}

impl Default for StatUsers {
    /// Nobody. Does not allocate.
    fn default() -> StatUsers {
        StatUsers { by_kind: [Some(UserSketch::default()), Some(UserSketch::default())] }
    }
}

impl StatUsers {
    /// Those of a row with these counts and columns. Bytes that nobody can read are not known.
    /// Allocates.
    pub fn of_columns(counts: &[i64; 6], columns: [Option<&[u8]>; 2]) -> StatUsers {
        let mut users = StatUsers::default();
        for ((known, column), kind) in users.by_kind.iter_mut().zip(columns).zip(USER_KINDS) {
            match column {
                Some(bytes) => *known = UserSketch::decode(bytes),
                None if counts[kind as usize] > 0 => *known = None,
                None => {}
            }
        }
        users
    }

    /// The columns: nothing for nobody, and for what is not known. Allocates.
    pub fn columns(&self) -> [Option<Vec<u8>>; 2] {
        let column = |known: &Option<UserSketch>| {
            known.as_ref().filter(|known| !known.is_empty()).map(UserSketch::encode)
        };
        [column(&self.by_kind[0]), column(&self.by_kind[1])]
    }

    /// Adds those of another row: what is not known of one is not known of both.
    pub fn unite(&mut self, other: &StatUsers) {
        for (known, other) in self.by_kind.iter_mut().zip(&other.by_kind) {
            match (known.as_mut(), other) {
                (Some(known), Some(other)) => known.unite(other),
                _ => *known = None,
            }
        }
    }

    /// About how many there are; `None` where that is not known.
    pub fn estimates(&self) -> [Option<u64>; 2] {
        let estimate = |known: &Option<UserSketch>| known.as_ref().map(UserSketch::estimate);
        [estimate(&self.by_kind[0]), estimate(&self.by_kind[1])]
    }
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
        if let Some(place) = USER_KINDS.iter().position(|of| *of == kind) {
            row.users[place].push(hash::sketch(event.record.user.as_bytes()));
        }
    }

    /// Makes a row for a withdrawn show's hour, which its show has made or would have made: so the
    /// rows are the same whether both came in one transaction or not. May allocate.
    pub fn touch(&mut self, withdrawn: &WithdrawnRow<'a>) {
        let user = hash::sketch(withdrawn.record.user.as_bytes());
        self.of_show(withdrawn).users[0].push(user);
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
