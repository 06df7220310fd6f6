//! How long a blocking client leaves a server alone after a failure, so that nothing asks one hot
//! that is away or does not let it in. Time is given; must not know what failed.
//!
//! ```text
//! failure -> REDIS_REST_MS, twice as long after each that follows within LINK_STEADY_MS of the end
//!            of the rest before, up to REDIS_REST_MAX_MS; denial -> LINK_UNFIT_RETRY_MS at least
//! ```
//!
//! The longest rest leaves time for a node to be back at work within a second of its Redis.

use std::time::Duration;

use nudged_base::backoff::{Backoff, shortened};
use nudged_base::limits::{LINK_STEADY_MS, LINK_UNFIT_RETRY_MS, REDIS_REST_MAX_MS, REDIS_REST_MS};
use nudged_base::time::MonoNs;

/// The rests of one client.
#[derive(Debug)]
pub(super) struct Rest {
    until: MonoNs,
    backoff: Backoff,
    /// What failed last, for those who ask meanwhile.
    why: String,
}

impl Default for Rest {
    fn default() -> Rest {
        let backoff = Backoff::new(REDIS_REST_MS, REDIS_REST_MAX_MS);
        Rest { until: MonoNs(0), backoff, why: String::new() }
    }
}

impl Rest {
    /// A failure: `noise` is any number that differs between nodes, and shortens the rest by up to
    /// half, so that they do not come back at once.
    pub(super) fn after_failure(&mut self, now: MonoNs, noise: u64, why: String) {
        if now > self.until.plus_ms(LINK_STEADY_MS) {
            self.backoff.succeeded();
        }
        let rest_ms = shortened(self.backoff.failed(), noise);
        self.rest(now.plus_ms(rest_ms), why);
    }

    /// The server does not let the client do this: a person has to act, so asking more often mends
    /// nothing. `noise` makes the rest up to a quarter longer.
    pub(super) fn after_denial(&mut self, now: MonoNs, noise: u64, why: String) {
        self.rest(now.plus_ms(LINK_UNFIT_RETRY_MS + noise % (LINK_UNFIT_RETRY_MS / 4)), why);
    }

    fn rest(&mut self, until: MonoNs, why: String) {
        self.until = self.until.max(until);
        self.why = why;
    }

    /// How long it lasts from now on; `None` where the server may be asked.
    pub(super) fn left(&self, now: MonoNs) -> Option<Duration> {
        let left_ns = self.until.0.saturating_sub(now.0);
        (left_ns > 0).then(|| Duration::from_nanos(left_ns))
    }

    /// What failed last.
    pub(super) fn why(&self) -> &str {
        &self.why
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Fails again as soon as it may, so often; gives the rests in milliseconds.
    fn rests(noise: u64, count: usize) -> Vec<u64> {
        let (mut rest, mut now) = (Rest::default(), MonoNs(5_000 * MS));
        let mut rests = Vec::new();
        for _ in 0..count {
            rest.after_failure(now, noise, String::new());
            let left = rest.left(now).unwrap();
            rests.push(u64::try_from(left.as_millis()).unwrap());
            now = MonoNs(now.0 + u64::try_from(left.as_nanos()).unwrap());
            assert_eq!(rest.left(now), None);
        }
        rests
    }

    #[test]
    fn rests_double_to_their_longest_and_noise_shortens_them_by_half_at_most() {
        assert_eq!(rests(0, 5), [100, 200, 400, 500, 500]);
        for noise in [1, 49, 77, u64::MAX] {
            for (got, longest) in rests(noise, 5).into_iter().zip([100, 200, 400, 500, 500]) {
                assert!(got <= longest && got > longest / 2, "{noise}: {got} of {longest}");
            }
        }
    }

    #[test]
    fn who_was_well_for_a_while_begins_anew() {
        let mut rest = Rest::default();
        for at_ms in [10_000, 10_100, 10_300] {
            rest.after_failure(MonoNs(at_ms * MS), 0, String::new());
        }
        let end_ms = 10_700;
        for (at_ms, want_ms) in [(end_ms + LINK_STEADY_MS, 500), (20_000, 100)] {
            rest.after_failure(MonoNs(at_ms * MS), 0, String::new());
            assert_eq!(rest.left(MonoNs(at_ms * MS)), Some(Duration::from_millis(want_ms)));
        }
    }

    #[test]
    fn a_denial_lasts_a_second_or_more_and_no_failure_ends_it() {
        for noise in [0, 249, u64::MAX] {
            let (mut rest, now) = (Rest::default(), MonoNs(7_000 * MS));
            rest.after_denial(now, noise, "denied".to_owned());
            rest.after_failure(now, noise, "closed".to_owned());
            let left_ms = rest.left(now).unwrap().as_millis();
            assert!((1_000..1_250).contains(&left_ms), "{left_ms}");
            assert_eq!(rest.why(), "closed");
        }
    }
}
