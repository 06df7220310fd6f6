//! How long what has failed is left alone: twice as long after each failure in a row, and spread,
//! so that those who failed together don't come back together. Time and noise are given; must not
//! know what failed.

use std::time::Duration;

use super::mix::RandomStream;
use super::time::MonoNs;

/// Waits that double.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first_ms: u64,
    longest_ms: u64,
    next_ms: u64,
}

impl Backoff {
    /// Waits from `first_ms` to `longest_ms`, in milliseconds; all of them are the longest if that
    /// is shorter than the first.
    pub const fn new(first_ms: u64, longest_ms: u64) -> Backoff {
        let first_ms = if first_ms < longest_ms { first_ms } else { longest_ms };
        Backoff { first_ms, longest_ms, next_ms: first_ms }
    }

    /// How long to wait after one more failure, in milliseconds, before it is spread.
    pub fn failed(&mut self) -> u64 {
        let wait_ms = self.next_ms;
        self.next_ms = wait_ms.saturating_mul(2).min(self.longest_ms);
        wait_ms
    }

    /// The next failure is the first of its row.
    pub fn succeeded(&mut self) {
        self.next_ms = self.first_ms;
    }

    /// The next wait is this long, in milliseconds, whatever failed before.
    pub fn next_is(&mut self, wait_ms: u64) {
        self.next_ms = wait_ms;
    }

    /// The next wait is at least this long, in milliseconds.
    pub fn next_is_at_least(&mut self, wait_ms: u64) {
        self.next_ms = self.next_ms.max(wait_ms);
    }
}

/// A wait, up to half of it shorter: for what must be back in time. `noise` is any number that
/// differs between those who wait.
pub fn shortened(wait_ms: u64, noise: u64) -> u64 {
    wait_ms - noise % (wait_ms / 2 + 1)
}

/// A wait, up to half as long again: for what must not be asked sooner.
pub fn lengthened(wait_ms: u64, noise: u64) -> u64 {
    wait_ms + noise % (wait_ms / 2).max(1)
}

/// The noise of one who waits.
#[derive(Debug)]
pub struct Jitter(RandomStream);

impl Jitter {
    /// The same seed gives the same noise.
    pub fn new(seed: u64) -> Jitter {
        Jitter(RandomStream(seed))
    }

    /// See [`shortened`].
    pub fn shortened(&mut self, wait_ms: u64) -> u64 {
        shortened(wait_ms, self.0.next_number())
    }
}

/// Until when something is left alone.
#[derive(Clone, Copy, Debug)]
pub struct Holdoff {
    backoff: Backoff,
    until: MonoNs,
}

impl Holdoff {
    /// Rests of these lengths after each failure; until then it rests now.
    pub const fn new(backoff: Backoff, until: MonoNs) -> Holdoff {
        Holdoff { backoff, until }
    }

    /// Rests once more, longer each time.
    pub fn failed(&mut self, now: MonoNs) {
        self.until = now.plus_ms(self.backoff.failed());
    }

    /// Nothing is left alone, and the next rest is a first one.
    pub fn succeeded(&mut self) {
        self.backoff.succeeded();
        self.until = MonoNs(0);
    }

    /// How long it lasts from now on; `None` where it is over.
    pub fn left(&self, now: MonoNs) -> Option<Duration> {
        let left_ns = self.until.0.saturating_sub(now.0);
        (left_ns > 0).then(|| Duration::from_nanos(left_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew() {
        let mut backoff = Backoff::new(100, 500);
        assert_eq!([(); 5].map(|()| backoff.failed()), [100, 200, 400, 500, 500]);
        backoff.succeeded();
        assert_eq!(backoff.failed(), 100);
        backoff.next_is_at_least(450);
        assert_eq!([(); 2].map(|()| backoff.failed()), [450, 500]);
        backoff.next_is(150);
        backoff.next_is_at_least(100);
        assert_eq!([(); 2].map(|()| backoff.failed()), [150, 300]);
        assert_eq!(Backoff::new(100, 70).failed(), 70);
    }

    #[test]
    fn noise_spreads_a_wait_over_half_of_it() {
        for wait_ms in [0, 1, 2, 100, 5_000] {
            for noise in [0, 1, 49, 50, 51, 2_500, u64::MAX] {
                let (short, long) = (shortened(wait_ms, noise), lengthened(wait_ms, noise));
                assert!((wait_ms.div_ceil(2)..=wait_ms).contains(&short), "{wait_ms}: {short}");
                assert!((wait_ms..=wait_ms * 3 / 2).contains(&long), "{wait_ms}: {long}");
            }
        }
        let mut jitter = Jitter::new(1);
        let waits = [(); 8].map(|()| jitter.shortened(1_000));
        assert!(waits.iter().all(|wait| (500..=1_000).contains(wait)), "{waits:?}");
        assert!(waits.windows(2).any(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_rest_ends_by_itself_or_with_a_success() {
        let at = |ms| MonoNs(0).plus_ms(ms);
        let mut rest = Holdoff::new(Backoff::new(100, 500), MonoNs(0));
        assert_eq!(rest.left(at(0)), None);
        rest.failed(at(1_000));
        assert_eq!(rest.left(at(1_040)), Some(Duration::from_millis(60)));
        assert_eq!(rest.left(at(1_100)), None);
        rest.failed(at(1_100));
        assert_eq!(rest.left(at(1_100)), Some(Duration::from_millis(200)));
        rest.succeeded();
        assert_eq!(rest.left(at(1_101)), None);
        rest.failed(at(1_200));
        assert_eq!(rest.left(at(1_200)), Some(Duration::from_millis(100)));
    }
}
