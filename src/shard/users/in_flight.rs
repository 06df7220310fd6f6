//! Users for whom something is under way, a read or a change, one at a time for each; and the
//! commands that wait behind it, in their order. Bounded by `IN_FLIGHT_MAX` users and by what may
//! wait: `PARKED_MAX` commands and `PARKED_BYTES_MAX` of their bytes. Each has its own deadline;
//! what is under way goes on without it. The memory of what has ended is used again, so that after
//! warm-up nothing is allocated.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use hashbrown::HashTable;

use super::change::ProposedChange;
use super::waiting::Waiter;
use nudged_api::outcome::EncodedOutcome;
use nudged_base::hash::Keyed;
use nudged_base::ids::{Partition, Revision, UserKey};
use nudged_base::limits::{IN_FLIGHT_MAX, PARKED_BYTES_MAX, PARKED_MAX};
use nudged_base::slab::{Handle, Slab};
use nudged_base::time::MonoNs;
use nudged_redis::command::UserValue;

/// A user with the partition, which is worked out once a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyedUser<'u> {
    /// The user's id.
    pub id: &'u str,
    /// The user's partition.
    pub partition: Partition,
}

impl<'u> KeyedUser<'u> {
    /// Works the partition out.
    pub(crate) fn of(id: &'u str) -> KeyedUser<'u> {
        KeyedUser { id, partition: UserKey::of(id.as_bytes()).partition() }
    }
}

/// What is under way for a user.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are commits, and none allocates")]
pub(crate) enum Stage {
    /// Redis is asked.
    Read,
    /// SQL is asked: the shard does not know the user, or Redis has nothing, or this, and can't
    /// vouch for it.
    Sql(Option<UserValue>),
    /// What SQL knew is put into Redis.
    Fill,
    /// A change is committed.
    Commit(ProposedChange),
}

impl Stage {
    /// The change that a reply to a commit is about.
    pub(crate) fn into_change(self) -> ProposedChange {
        let Stage::Commit(change) = self else { unreachable!("only commits are answered as such") };
        change
    }
}

/// What is under way for one user.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// The user's id.
    pub user: String,
    /// The user's partition.
    pub partition: Partition,
    /// What is under way.
    pub stage: Stage,
    /// The latest revision that Redis has announced meanwhile; what was read before may be older.
    pub announced: Revision,
    waiters: VecDeque<Waiter>,
}

/// What is under way in one shard.
pub(crate) struct InFlightTable {
    in_flight: Slab<InFlight>,
    by_user: HashTable<Handle>,
    /// Deadlines of those who wait; entries of ended in_flight are passed over.
    deadlines: BinaryHeap<Reverse<(MonoNs, Handle)>>,
    waiting: usize,
    waiting_bytes: usize,
    hash: Keyed,
    /// Of commands that have ended, empty.
    names: Vec<String>,
    queues: Vec<VecDeque<Waiter>>,
}

impl InFlightTable {
    /// Nothing is under way. `seed` is random for each process.
    pub(crate) fn new(seed: u64) -> InFlightTable {
        InFlightTable {
            in_flight: Slab::new(IN_FLIGHT_MAX),
            by_user: HashTable::new(),
            deadlines: BinaryHeap::new(),
            waiting: 0,
            waiting_bytes: 0,
            hash: Keyed::new(seed),
            names: Vec::new(),
            queues: Vec::new(),
        }
    }

    /// The command of a user.
    pub(crate) fn find(&self, user: &str) -> Option<Handle> {
        let is_user =
            |handle: &Handle| self.in_flight.get(*handle).is_some_and(|flight| flight.user == user);
        self.by_user.find(self.hash.of(user.as_bytes()), is_user).copied()
    }

    /// A command.
    pub(crate) fn get_mut(&mut self, handle: Handle) -> Option<&mut InFlight> {
        self.in_flight.get_mut(handle)
    }

    /// The change that a command is; `None` where it is another one.
    pub(crate) fn change(&mut self, handle: Handle) -> Option<&mut ProposedChange> {
        match &mut self.in_flight.get_mut(handle)?.stage {
            Stage::Commit(change) => Some(change),
            _ => None,
        }
    }

    /// Begins a command of a user who has none. `None` where the bound is reached. Allocates only
    /// where more are under way than ever before.
    pub(crate) fn begin(&mut self, user: KeyedUser<'_>, stage: Stage) -> Option<Handle> {
        let KeyedUser { id: user, partition } = user;
        debug_assert!(self.find(user).is_none(), "one command is under way for a user");
        let until = match &stage {
            Stage::Commit(change) => change.waiter.as_ref().map(|waiter| waiter.until),
            _ => None,
        };
        let (announced, waiters) = (Revision::default(), self.queues.pop().unwrap_or_default());
        let mut name = self.names.pop().unwrap_or_default();
        name.push_str(user);
        let flight = InFlight { user: name, partition, stage, announced, waiters };
        let handle = self.in_flight.insert(flight).ok()?;
        let InFlightTable { in_flight, by_user, hash, .. } = self;
        by_user.insert_unique(hash.of(user.as_bytes()), handle, |handle| {
            in_flight.get(*handle).map_or(0, |flight| hash.of(flight.user.as_bytes()))
        });
        if let Some(until) = until {
            self.deadlines.push(Reverse((until, handle)));
        }
        Some(handle)
    }

    /// Whether one more request may wait.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting < PARKED_MAX && self.waiting_bytes < PARKED_BYTES_MAX
    }

    /// Lets a request wait behind a command.
    pub(crate) fn wait(&mut self, handle: Handle, waiter: Waiter) {
        self.waiting += 1;
        self.waiting_bytes += waiter.bytes();
        self.deadlines.push(Reverse((waiter.until, handle)));
        let flight = self.in_flight.get_mut(handle).expect("the caller has found it");
        flight.waiters.push_back(waiter);
    }

    /// Lets requests wait behind the command of their user, if there is one.
    pub(crate) fn wait_behind(&mut self, user: &str, waiters: &mut VecDeque<Waiter>) {
        if let Some(handle) = self.find(user) {
            waiters.drain(..).for_each(|waiter| self.wait(handle, waiter));
        }
    }

    /// Lets a request wait before all others: it was asked first.
    pub(crate) fn wait_first(&mut self, handle: Handle, waiter: Waiter) {
        self.wait(handle, waiter);
        let flight = self.in_flight.get_mut(handle).expect("the caller has found it");
        flight.waiters.rotate_right(1);
    }

    /// Those who wait behind a command that goes on wait no longer.
    pub(crate) fn take_waiters(&mut self, handle: Handle) -> VecDeque<Waiter> {
        let Some(flight) = self.in_flight.get_mut(handle) else { return VecDeque::new() };
        let waiters = std::mem::take(&mut flight.waiters);
        self.waiting -= waiters.len();
        self.waiting_bytes -= waiters.iter().map(Waiter::bytes).sum::<usize>();
        waiters
    }

    /// Lets those who wait behind a command wait longer: SQL is slower than Redis.
    pub(crate) fn prolong(&mut self, handle: Handle, until: MonoNs) {
        let Some(flight) = self.in_flight.get_mut(handle) else { return };
        for waiter in &mut flight.waiters {
            waiter.until = until.max(waiter.until);
        }
        self.deadlines.push(Reverse((until, handle)));
    }

    /// A command has ended: it, and those who waited behind it.
    pub(crate) fn end(&mut self, handle: Handle) -> Option<(InFlight, VecDeque<Waiter>)> {
        let waiters = self.take_waiters(handle);
        let flight = self.in_flight.remove(handle)?;
        let hash = self.hash.of(flight.user.as_bytes());
        if let Ok(entry) = self.by_user.find_entry(hash, |found| *found == handle) {
            entry.remove();
        }
        self.forget_ended();
        Some((flight, waiters))
    }

    /// Takes back the memory of a command that has ended, for the next one.
    pub(crate) fn rest(&mut self, mut user: String, mut waiters: VecDeque<Waiter>) {
        debug_assert!(waiters.is_empty(), "who waits has gone on");
        if self.names.len() < IN_FLIGHT_MAX {
            user.clear();
            waiters.clear();
            self.names.push(user);
            self.queues.push(waiters);
        }
    }

    /// Hands out the requests whose time is up. The commands themselves go on.
    pub(crate) fn expire(&mut self, now: MonoNs, late: &mut Vec<Waiter>) {
        while let Some(Reverse((deadline, handle))) = self.deadlines.peek().copied() {
            if deadline > now {
                return;
            }
            self.deadlines.pop();
            self.expire_one(now, handle, late);
        }
    }

    /// Hands out the requests of one command whose time is up.
    fn expire_one(&mut self, now: MonoNs, handle: Handle, late: &mut Vec<Waiter>) {
        if let Some(change) = self.change(handle)
            && let Some(waiter) = change.waiter.take_if(|waiter| waiter.until <= now)
        {
            late.push(waiter);
            change.outcome = None;
        }
        let Some(flight) = self.in_flight.get_mut(handle) else { return };
        let mut kept = VecDeque::with_capacity(flight.waiters.len());
        for waiter in flight.waiters.drain(..) {
            if waiter.until <= now {
                self.waiting -= 1;
                self.waiting_bytes -= waiter.bytes();
                late.push(waiter);
            } else {
                kept.push_back(waiter);
            }
        }
        flight.waiters = kept;
    }

    /// Puts others in the place of outcomes that wait, where `replace` gives one.
    pub(crate) fn replace_outcomes(
        &mut self,
        mut replace: impl FnMut(&EncodedOutcome) -> Option<EncodedOutcome>,
    ) {
        let InFlightTable { in_flight, by_user, .. } = self;
        for handle in by_user.iter() {
            if let Some(InFlight { stage: Stage::Commit(change), .. }) = in_flight.get_mut(*handle)
                && let Some(outcome) = change.outcome.as_ref().and_then(&mut replace)
            {
                change.outcome = Some(outcome);
            }
        }
    }

    /// When the first request is given up.
    pub(crate) fn next_deadline(&self) -> Option<MonoNs> {
        self.deadlines.peek().map(|Reverse((deadline, _))| *deadline)
    }

    fn forget_ended(&mut self) {
        while let Some(Reverse((_, handle))) = self.deadlines.peek()
            && self.in_flight.get(*handle).is_none()
        {
            self.deadlines.pop();
        }
    }

    /// Requests that wait behind commands.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Commands under way.
    pub(crate) fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether nothing is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Origin;
    use nudged_api::command::{Command, EncodedCommand};

    fn waiter(ticket: u64, until_ms: u64) -> Waiter {
        let command = Some(EncodedCommand::new(&Command::ReadUser { user: "u" }, Vec::new()));
        let (origin, until) = (Origin::Control { ticket }, MonoNs(0).plus_ms(until_ms));
        Waiter { origin, command, until, tries: 0, counted: 0 }
    }

    fn ticket_of(waiter: &Waiter) -> u64 {
        let Origin::Control { ticket } = waiter.origin else { panic!("made above") };
        ticket
    }

    #[test]
    fn those_who_wait_keep_their_order_and_their_own_deadlines() {
        let mut in_flight = InFlightTable::new(1);
        let handle = in_flight.begin(KeyedUser::of("u"), Stage::Read).unwrap();
        for (ticket, until_ms) in [(1, 20), (2, 10), (3, 30)] {
            in_flight.wait(handle, waiter(ticket, until_ms));
        }
        let mut late = Vec::new();
        in_flight.expire(MonoNs(0).plus_ms(9), &mut late);
        assert!(late.is_empty());
        in_flight.expire(MonoNs(0).plus_ms(10), &mut late);
        assert_eq!(late.iter().map(ticket_of).collect::<Vec<_>>(), [2]);
        let (_, waiters) = in_flight.end(handle).unwrap();
        assert_eq!(waiters.iter().map(ticket_of).collect::<Vec<_>>(), [1, 3]);
        assert!(in_flight.is_empty() && in_flight.waiting() == 0 && in_flight.find("u").is_none());
        assert_eq!(in_flight.next_deadline(), None, "deadlines of ended commands are forgotten");
    }

    #[test]
    fn what_is_under_way_goes_on_without_those_who_gave_up() {
        let mut table = InFlightTable::new(1);
        let handle = table.begin(KeyedUser::of("u"), Stage::Sql(None)).unwrap();
        table.wait(handle, waiter(1, 50));
        let mut late = Vec::new();
        table.expire(MonoNs(0).plus_ms(50), &mut late);
        assert_eq!(late.iter().map(ticket_of).collect::<Vec<_>>(), [1]);
        let again = table.find("u").unwrap();
        assert_eq!(again, handle, "who comes later joins it");
        table.wait(again, waiter(2, 110));
        assert_eq!(table.next_deadline(), Some(MonoNs(0).plus_ms(110)));
        let (_, waiters) = table.end(handle).unwrap();
        assert_eq!(waiters.iter().map(ticket_of).collect::<Vec<_>>(), [2]);
        assert!(table.end(handle).is_none(), "a reply for what has ended is of nobody");
    }

    #[test]
    fn both_bounds_hold() {
        let mut in_flight = InFlightTable::new(1);
        for user in 0..IN_FLIGHT_MAX {
            let user = user.to_string();
            assert!(in_flight.begin(KeyedUser::of(&user), Stage::Read).is_some());
        }
        assert!(in_flight.begin(KeyedUser::of("u"), Stage::Read).is_none());
        let handle = in_flight.find("1").unwrap();
        for ticket in 0..PARKED_MAX as u64 {
            assert!(in_flight.has_room());
            in_flight.wait(handle, waiter(ticket, 1));
        }
        assert!(!in_flight.has_room());
    }
}
