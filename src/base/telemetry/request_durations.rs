//! How long requests take, by route and outcome, in fixed buckets. One shard records, any thread
//! may read; nothing allocates, and no clock is read but the one that ends the shard's turn anyway.
//!
//! A duration runs from the begin of the turn in which a request was taken up, its last byte read,
//! to the end of the turn in which its answer was handed to the ring. Requests that are answered in
//! the turn in which they came, nearly all of them, are counted as they come and recorded together
//! at its end, as the turn's length; the others wait beside, each with how long it had waited. What
//! the kernel holds before the begin and behind the end is not in it.
//!
//! Limits: [`WAITED_MAX`] answers that waited in one turn; more are recorded at once, without the
//! length of that turn.

use super::counter::Counter;

/// Upper bounds of the buckets, in nanoseconds: about the goals of docs/performance.md (150 us, 1
/// ms, 3 ms, 20 ms), and a second as the end.
pub(crate) const BOUNDS_NS: [u64; 16] = [
    50_000,
    100_000,
    150_000,
    250_000,
    500_000,
    1_000_000,
    2_000_000,
    3_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
];
/// Answers of one turn that waited and are held until its end. A turn takes as many from a lane.
const WAITED_MAX: usize = 512;
/// Bits of what is held that say which series it belongs to.
const SERIES_BITS: u32 = 3;
const SERIES_COUNT: usize = 8;

const _: () = assert!(SERIES_COUNT <= 1 << SERIES_BITS);

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestRoute {
    /// `/v1/decide`
    Decide,
    /// `/v1/events`
    Events,
    /// Anything else.
    Other,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// A popup was returned.
    Shown,
    /// No popup was.
    Nothing,
    /// The user's state was not to be had in time.
    Degraded,
    /// Events were taken or rejected one by one, or something else was answered.
    Answered,
    /// The request as a whole was refused: a status of 400 or more.
    Refused,
}

/// The labels of each series: route and outcome.
pub(crate) const SERIES: [(&str, &str); SERIES_COUNT] = [
    ("decide", "nothing"),
    ("decide", "shown"),
    ("decide", "degraded"),
    ("decide", "refused"),
    ("events", "answered"),
    ("events", "refused"),
    ("other", "answered"),
    ("other", "refused"),
];

/// The place of a series in [`SERIES`].
fn series(route: RequestRoute, outcome: RequestOutcome) -> usize {
    use RequestOutcome as Outcome;
    match (route, outcome) {
        (RequestRoute::Decide, Outcome::Nothing | Outcome::Answered) => 0,
        (RequestRoute::Decide, Outcome::Shown) => 1,
        (RequestRoute::Decide, Outcome::Degraded) => 2,
        (RequestRoute::Decide, Outcome::Refused) => 3,
        (RequestRoute::Events, Outcome::Refused) => 5,
        (RequestRoute::Events, _) => 4,
        (RequestRoute::Other, Outcome::Refused) => 7,
        (RequestRoute::Other, _) => 6,
    }
}

/// Counts of durations of one series. The last bucket has no bound.
#[derive(Debug, Default)]
struct DurationBuckets {
    counts: [Counter; BOUNDS_NS.len() + 1],
    sum_ns: Counter,
}

impl DurationBuckets {
    fn record(&self, ns: u64, count: u64) {
        let bucket = BOUNDS_NS.iter().position(|bound| ns <= *bound).unwrap_or(BOUNDS_NS.len());
        self.counts[bucket].add(count);
        self.sum_ns.add(ns.wrapping_mul(count));
    }
}

/// Durations of one shard's requests.
#[derive(Debug)]
pub struct RequestDurations {
    series: [DurationBuckets; SERIES_COUNT],
    /// Requests of this turn that were answered in it, by series.
    in_turn: [Counter; SERIES_COUNT],
    /// Which of those are not 0, a bit each.
    touched: Counter,
    /// Answers of this turn that waited: nanoseconds until the turn, above the series.
    waited: [Counter; WAITED_MAX],
    waited_count: Counter,
}

impl Default for RequestDurations {
    fn default() -> RequestDurations {
        RequestDurations {
            series: std::array::from_fn(|_| DurationBuckets::default()),
            in_turn: std::array::from_fn(|_| Counter::default()),
            touched: Counter::default(),
            waited: std::array::from_fn(|_| Counter::default()),
            waited_count: Counter::default(),
        }
    }
}

impl RequestDurations {
    /// A request was answered in the turn in which it was taken up. Only the owning thread may.
    #[inline]
    pub fn note(&self, route: RequestRoute, outcome: RequestOutcome) {
        let series = series(route, outcome);
        self.in_turn[series].increment();
        self.touched.set(self.touched.get() | 1 << series);
    }

    /// A request was answered that had waited for so many nanoseconds when the turn began. Only the
    /// owning thread may.
    pub fn note_waited(&self, route: RequestRoute, outcome: RequestOutcome, waited_ns: u64) {
        let series = series(route, outcome);
        let count = self.waited_count.get();
        let place = usize::try_from(count).ok().and_then(|place| self.waited.get(place));
        let Some(place) = place else { return self.series[series].record(waited_ns, 1) };
        place.set(waited_ns << SERIES_BITS | series as u64);
        self.waited_count.set(count + 1);
    }

    /// The turn has ended after so many nanoseconds. Only the owning thread may.
    pub fn end_turn(&self, turn_ns: u64) {
        let mut touched = self.touched.get();
        if touched == 0 && self.waited_count.get() == 0 {
            return;
        }
        while touched != 0 {
            let series = touched.trailing_zeros() as usize;
            touched &= touched - 1;
            self.series[series].record(turn_ns, self.in_turn[series].get());
            self.in_turn[series].set(0);
        }
        self.touched.set(0);
        let count = usize::try_from(self.waited_count.get()).unwrap_or(0);
        for waited in &self.waited[..count] {
            let series = waited.get() & ((1 << SERIES_BITS) - 1);
            let series = usize::try_from(series).expect("masked to 3 bits");
            let waited_ns = waited.get() >> SERIES_BITS;
            self.series[series].record(waited_ns.saturating_add(turn_ns), 1);
        }
        self.waited_count.set(0);
    }

    /// How many requests took how long, whatever they were.
    pub fn totals(&self) -> DurationTotals {
        let mut totals = DurationTotals::default();
        for series in &self.series {
            let buckets = totals.0.iter_mut().zip(&series.counts);
            buckets.for_each(|(total, count)| *total += count.get());
        }
        totals
    }

    /// Each series by its labels: for each bound how many took no longer, then how many there were,
    /// and their sum in nanoseconds.
    pub(crate) fn series(&self) -> impl Iterator<Item = DurationSeries> + '_ {
        SERIES.iter().zip(&self.series).map(|((route, outcome), buckets)| {
            let mut count = 0;
            let cumulative = std::array::from_fn(|bucket| {
                count += buckets.counts[bucket].get();
                count
            });
            let count = count + buckets.counts[BOUNDS_NS.len()].get();
            DurationSeries { route, outcome, cumulative, count, sum_ns: buckets.sum_ns.get() }
        })
    }
}

/// Counts of durations by bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DurationTotals([u64; BOUNDS_NS.len() + 1]);

impl DurationTotals {
    /// Those that came since an earlier look.
    pub fn since(mut self, earlier: &DurationTotals) -> DurationTotals {
        let buckets = self.0.iter_mut().zip(earlier.0);
        buckets.for_each(|(count, earlier)| *count = count.wrapping_sub(earlier));
        self
    }

    /// Both together.
    pub fn plus(mut self, other: &DurationTotals) -> DurationTotals {
        self.0.iter_mut().zip(other.0).for_each(|(count, other)| *count += other);
        self
    }

    /// The duration that so many thousandths are not above, in nanoseconds, as far as buckets tell:
    /// within one they count as even. Those beyond the last bound count as long as that. `None`
    /// where there are no durations.
    pub fn quantile_ns(&self, thousandths: u64) -> Option<u64> {
        let total: u64 = self.0.iter().sum();
        let wanted = total.saturating_mul(thousandths).div_ceil(1_000).max(1);
        let (mut before, mut lower_ns) = (0, 0);
        for (count, upper_ns) in self.0.iter().zip(BOUNDS_NS) {
            if *count > 0 && before + count >= wanted {
                let width_ns = u128::from(upper_ns - lower_ns);
                let into_ns = width_ns * u128::from(wanted - before) / u128::from(*count);
                return Some(lower_ns + u64::try_from(into_ns).unwrap_or(0));
            }
            before += count;
            lower_ns = upper_ns;
        }
        (total > 0).then_some(lower_ns)
    }
}

/// What one series shows.
pub(crate) struct DurationSeries {
    pub route: &'static str,
    pub outcome: &'static str,
    pub cumulative: [u64; BOUNDS_NS.len()],
    pub count: u64,
    pub sum_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(durations: &RequestDurations, place: usize) -> DurationSeries {
        durations.series().nth(place).unwrap()
    }

    #[test]
    fn those_of_a_turn_take_as_long_as_the_turn_and_others_longer() {
        let durations = RequestDurations::default();
        durations.note(RequestRoute::Decide, RequestOutcome::Nothing);
        durations.note(RequestRoute::Decide, RequestOutcome::Nothing);
        durations.note(RequestRoute::Other, RequestOutcome::Refused);
        durations.note_waited(RequestRoute::Decide, RequestOutcome::Shown, 70_000);
        assert_eq!(of(&durations, 0).count, 0, "the turn goes on");
        durations.end_turn(40_000);
        durations.end_turn(9_000_000_000);
        let nothing = of(&durations, 0);
        assert_eq!((nothing.route, nothing.outcome), ("decide", "nothing"));
        assert_eq!((nothing.cumulative[0], nothing.count, nothing.sum_ns), (2, 2, 80_000));
        let shown = of(&durations, 1);
        assert_eq!((shown.cumulative[1], shown.cumulative[2], shown.sum_ns), (0, 1, 110_000));
        assert_eq!(of(&durations, 7).count, 1);
        durations.note(RequestRoute::Events, RequestOutcome::Answered);
        durations.end_turn(9_000_000_000);
        let events = of(&durations, 4);
        assert_eq!((events.cumulative[15], events.count), (0, 1));
    }

    #[test]
    fn more_than_are_held_are_counted_all_the_same() {
        let durations = RequestDurations::default();
        let count = WAITED_MAX as u64 + 3;
        (0..count).for_each(|_| {
            durations.note_waited(RequestRoute::Events, RequestOutcome::Answered, 1_000);
        });
        durations.end_turn(1_000_000);
        let events = of(&durations, 4);
        assert_eq!((events.cumulative[0], events.cumulative[6], events.count), (3, count, count));
    }

    #[test]
    fn quantiles_are_of_what_came_between_two_looks() {
        let durations = RequestDurations::default();
        let ended = |count: u64, ns: u64| {
            (0..count).for_each(|_| durations.note(RequestRoute::Decide, RequestOutcome::Nothing));
            durations.end_turn(ns);
            durations.totals()
        };
        assert_eq!(durations.totals().quantile_ns(500), None);
        let earlier = ended(7, 900_000_000);
        ended(98, 70_000);
        let now = ended(2, 4_000_000_000).since(&earlier);
        assert_eq!(now.quantile_ns(500), Some(50_000 + 50_000 * 50 / 98), "within its bucket");
        assert_eq!(now.quantile_ns(990), Some(1_000_000_000), "the last bound");
        assert_eq!(now.plus(&earlier), durations.totals());
    }

    proptest::proptest! {
        #[test]
        fn each_is_in_the_bucket_of_its_bound(ns in 0..2_000_000_000u64) {
            let durations = RequestDurations::default();
            durations.note(RequestRoute::Decide, RequestOutcome::Degraded);
            durations.end_turn(ns);
            let series = of(&durations, 2);
            for (bound, count) in BOUNDS_NS.iter().zip(series.cumulative) {
                proptest::prop_assert_eq!(count, u64::from(ns <= *bound));
            }
        }
    }
}
