//! How often each user may ask for more than the slice answers. Users are told apart by a hash that
//! strangers can't aim at, so nobody uses up another one's share on purpose. Knows no request.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use nudged_base::hash::Keyed;
use nudged_base::limits::RATED_USERS_MAX;
use nudged_base::rate::{OverRate, RateLimit};
use nudged_base::time::MonoNs;

/// When the next request of each user is due that was counted lately.
pub(crate) struct UserRates {
    limit: Option<RateLimit>,
    hash: Keyed,
    /// A user's hash, and the time.
    due_ns: HashTable<(u64, u64)>,
    users_max: usize,
    run: RunCount,
}

/// What the present run of a request has counted.
#[derive(Clone, Copy, Debug, Default)]
struct RunCount {
    /// Of the first runs of the same request: they are not counted again.
    before: u8,
    /// So far, those from before included.
    taken: u8,
    /// Of what was refused, the longest time to wait, in seconds.
    after_s: u32,
}

/// What became of counting a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RateVerdict {
    /// May go on.
    Taken,
    /// May go on, since there is no room to count it.
    Untracked,
    /// Asks too often.
    Over(OverRate),
}

impl UserRates {
    /// Counts users where there is a limit; takes memory for all of them then.
    pub(crate) fn new(limit: Option<RateLimit>, seed: u64) -> UserRates {
        UserRates::of_at_most(RATED_USERS_MAX, limit, seed)
    }

    fn of_at_most(users_max: usize, limit: Option<RateLimit>, seed: u64) -> UserRates {
        let room = if limit.is_some() { users_max } else { 0 };
        let due_ns = HashTable::with_capacity(room);
        UserRates { limit, hash: Keyed::new(seed), due_ns, users_max, run: RunCount::default() }
    }

    /// A request of one user, or of several that never runs again once it has counted, is run: for
    /// the first time, or again after [`UserRates::taken`] of its counts.
    pub(crate) fn begin(&mut self, before: u8) {
        self.run = RunCount { before, ..RunCount::default() };
    }

    /// How many counts of the request have been taken, by this run and those before it.
    pub(crate) fn taken(&self) -> u8 {
        self.run.taken.max(self.run.before)
    }

    /// The longest time in seconds that this run has told anybody to wait; 0 where it has not.
    pub(crate) fn after_s(&self) -> u32 {
        self.run.after_s
    }

    /// Counts one thing that a user asks for, unless a run before this one has. Allocates nothing,
    /// but where a table that was full grows for good.
    pub(crate) fn take(&mut self, user: &str, now: MonoNs) -> RateVerdict {
        let is_counted = self.run.taken < self.run.before;
        let verdict = if is_counted { RateVerdict::Taken } else { self.count(user, now) };
        match verdict {
            RateVerdict::Over(over) => self.run.after_s = self.run.after_s.max(over.after_s),
            _ => self.run.taken = self.run.taken.saturating_add(1),
        }
        verdict
    }

    fn count(&mut self, user: &str, now: MonoNs) -> RateVerdict {
        let Some(limit) = self.limit else { return RateVerdict::Taken };
        let is_full = self.due_ns.len() >= self.users_max;
        let hash = self.hash.of(user.as_bytes());
        match self.due_ns.entry(hash, |(known, _)| *known == hash, |(known, _)| *known) {
            Entry::Occupied(mut entry) => match limit.take(entry.get().1, now) {
                Ok(next_ns) => {
                    entry.get_mut().1 = next_ns;
                    RateVerdict::Taken
                }
                Err(over) => RateVerdict::Over(over),
            },
            Entry::Vacant(_) if is_full => RateVerdict::Untracked,
            Entry::Vacant(room) => {
                room.insert((hash, limit.take(0, now).unwrap_or(now.0)));
                RateVerdict::Taken
            }
        }
    }

    /// Where half the room is used, forgets whose next request is due by now: they stand as if
    /// they had never asked.
    pub(crate) fn forget_quiet(&mut self, now: MonoNs) {
        if self.due_ns.len() < self.users_max.div_ceil(2) || self.limit.is_none() {
            return;
        }
        self.due_ns.retain(|(_, due_ns)| *due_ns > now.0);
    }

    /// Users that are counted.
    pub(crate) fn len(&self) -> usize {
        self.due_ns.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::rate::Rate;

    fn at_s(seconds: u64) -> MonoNs {
        MonoNs(seconds * 1_000_000_000)
    }

    fn one_in_ten_seconds(users_max: usize) -> UserRates {
        let limit = RateLimit::new(Rate { events: 1, per_s: 10 }, 1);
        UserRates::of_at_most(users_max, Some(limit), 7)
    }

    #[test]
    fn each_user_has_a_share_of_its_own() {
        let mut rates = one_in_ten_seconds(8);
        for user in ["ann", "ben"] {
            assert_eq!(rates.take(user, at_s(1)), RateVerdict::Taken);
            assert_eq!(rates.take(user, at_s(4)), RateVerdict::Over(OverRate { after_s: 7 }));
            assert_eq!(rates.take(user, at_s(11)), RateVerdict::Taken);
        }
        assert_eq!(rates.len(), 2);
    }

    #[test]
    fn a_run_takes_what_those_before_it_have_taken_once() {
        let mut rates = one_in_ten_seconds(8);
        rates.begin(0);
        assert_eq!(rates.take("ann", at_s(1)), RateVerdict::Taken);
        assert_eq!((rates.taken(), rates.after_s()), (1, 0));
        rates.begin(rates.taken());
        assert_eq!(rates.taken(), 1, "even before it counts");
        assert_eq!(rates.take("ann", at_s(2)), RateVerdict::Taken);
        assert_eq!(rates.take("ann", at_s(2)), RateVerdict::Over(OverRate { after_s: 9 }));
        assert_eq!(rates.take("ann", at_s(3)), RateVerdict::Over(OverRate { after_s: 8 }));
        assert_eq!((rates.taken(), rates.after_s()), (1, 9));
        rates.begin(0);
        assert_eq!((rates.taken(), rates.after_s()), (0, 0));
        assert_eq!(rates.take("ann", at_s(11)), RateVerdict::Taken);
    }

    #[test]
    fn without_a_limit_nobody_is_counted() {
        let mut rates = UserRates::new(None, 7);
        assert!((0..100).all(|_| rates.take("ann", at_s(1)) == RateVerdict::Taken));
        assert_eq!((rates.len(), rates.due_ns.capacity()), (0, 0));
    }

    #[test]
    fn who_is_quiet_makes_room_and_where_there_is_none_nobody_is_held_back() {
        let mut rates = one_in_ten_seconds(2);
        let capacity = rates.due_ns.capacity();
        for (user, now_s) in [("ann", 1), ("ben", 5)] {
            assert_eq!(rates.take(user, at_s(now_s)), RateVerdict::Taken);
        }
        assert_eq!(rates.take("eve", at_s(6)), RateVerdict::Untracked);
        assert_eq!(rates.take("ann", at_s(6)), RateVerdict::Over(OverRate { after_s: 5 }));
        rates.forget_quiet(at_s(11));
        assert_eq!(rates.take("eve", at_s(11)), RateVerdict::Taken);
        assert_eq!(rates.take("ben", at_s(11)), RateVerdict::Over(OverRate { after_s: 4 }));
        assert_eq!(rates.due_ns.capacity(), capacity);
    }
}
