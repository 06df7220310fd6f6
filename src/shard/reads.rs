//! Users whose state is being read: one read a user however many wait for it, each with a deadline.
//! Bounded by `READS_OUTSTANDING_MAX` users and `PARKED_MAX` waiting pieces of work.

use std::collections::VecDeque;

use hashbrown::HashTable;

use super::origin::Origin;
use nudged_api::command::EncodedCommand;
use nudged_base::hash::Keyed;
use nudged_base::limits::{PARKED_BYTES_MAX, PARKED_MAX, READS_OUTSTANDING_MAX};
use nudged_base::slab::{Handle, Slab};
use nudged_base::time::MonoNs;

/// A command that needs a user's state, and who waits for its outcome.
#[derive(Debug)]
pub struct Waiter {
    /// Who waits.
    pub origin: Origin,
    /// What is to be executed; `None` where the state was only wanted early.
    pub command: Option<EncodedCommand>,
    /// Until when it may wait: for one user after another where it is about several.
    pub until: MonoNs,
    /// How often it was evaluated and another node was first.
    pub tries: u8,
}

impl Waiter {
    /// What it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.command.as_ref().map_or(0, EncodedCommand::bytes)
    }
}

/// What [`Reads::park`] did.
#[derive(Debug)]
pub enum Parked {
    /// A read of this user was under way.
    Joined,
    /// A read has to be started, with this ticket.
    Start(u64),
    /// A bound is reached; the work comes back.
    Refused(Waiter),
}

#[derive(Debug)]
struct Read {
    user: Box<str>,
    waiters: Vec<Waiter>,
}

/// The reads of one shard.
pub struct Reads {
    reads: Slab<Read>,
    by_user: HashTable<Handle>,
    deadlines: VecDeque<(MonoNs, Handle)>,
    waiting: usize,
    waiting_bytes: usize,
    timeout_ms: u64,
    hash: Keyed,
}

impl Reads {
    /// No reads; work waits at most `timeout_ms` for one.
    /// `seed` is random for each process, so that nobody can choose ids that meet in the index.
    pub fn new(timeout_ms: u64, seed: u64) -> Reads {
        Reads {
            reads: Slab::new(READS_OUTSTANDING_MAX),
            by_user: HashTable::new(),
            deadlines: VecDeque::new(),
            waiting: 0,
            waiting_bytes: 0,
            timeout_ms,
            hash: Keyed::new(seed),
        }
    }

    /// Parks work until its user's state is there.
    pub fn park(&mut self, now: MonoNs, user: &str, waiter: Waiter) -> Parked {
        if self.waiting >= PARKED_MAX || self.waiting_bytes >= PARKED_BYTES_MAX {
            return Parked::Refused(waiter);
        }
        if let Some(handle) = self.find(user) {
            let read = self.reads.get_mut(handle).expect("the index holds live handles");
            if read.waiters.is_empty() {
                // Its deadline has passed with the waiters it had; these have their own.
                self.deadlines.push_back((now.plus_ms(self.timeout_ms), handle));
            }
            self.waiting_bytes += waiter.bytes();
            read.waiters.push(waiter);
            self.waiting += 1;
            return Parked::Joined;
        }
        let bytes = waiter.bytes();
        let read = Read { user: user.into(), waiters: vec![waiter] };
        let handle = match self.reads.insert(read) {
            Ok(handle) => handle,
            Err(mut read) => {
                return Parked::Refused(read.waiters.pop().expect("it was just put in"));
            }
        };
        self.waiting += 1;
        self.waiting_bytes += bytes;
        let Reads { reads, by_user, hash, .. } = self;
        by_user.insert_unique(hash.of(user.as_bytes()), handle, |handle| {
            reads.get(*handle).map_or(0, |read| hash.of(read.user.as_bytes()))
        });
        self.deadlines.push_back((now.plus_ms(self.timeout_ms), handle));
        Parked::Start(handle.to_bits())
    }

    /// Whether a read of this user is under way.
    pub fn is_reading(&self, user: &str) -> bool {
        self.find(user).is_some()
    }

    /// A read has ended: its user and those who waited, in the order in which they came. `None` for
    /// an unknown ticket.
    pub fn finish(&mut self, ticket: u64) -> Option<(Box<str>, Vec<Waiter>)> {
        let handle = Handle::from_bits(ticket);
        let read = self.reads.remove(handle)?;
        let hash = self.hash.of(read.user.as_bytes());
        if let Ok(entry) = self.by_user.find_entry(hash, |found| *found == handle) {
            entry.remove();
        }
        self.waiting -= read.waiters.len();
        self.waiting_bytes -= read.waiters.iter().map(Waiter::bytes).sum::<usize>();
        while self.deadlines.front().is_some_and(|(_, handle)| self.reads.get(*handle).is_none()) {
            self.deadlines.pop_front();
        }
        Some((read.user, read.waiters))
    }

    /// Hands out the work whose time is up. The reads themselves go on: what they bring is kept.
    pub fn expire(&mut self, now: MonoNs, mut give_up: impl FnMut(Waiter)) {
        while let Some((deadline, handle)) = self.deadlines.front().copied() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_front();
            if let Some(read) = self.reads.get_mut(handle) {
                self.waiting -= read.waiters.len();
                self.waiting_bytes -= read.waiters.iter().map(Waiter::bytes).sum::<usize>();
                read.waiters.drain(..).for_each(&mut give_up);
            }
        }
    }

    /// When the first work is given up.
    pub fn next_deadline(&self) -> Option<MonoNs> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }

    fn find(&self, user: &str) -> Option<Handle> {
        let is_user =
            |handle: &Handle| self.reads.get(*handle).is_some_and(|read| *read.user == *user);
        self.by_user.find(self.hash.of(user.as_bytes()), is_user).copied()
    }

    /// When work that begins to wait now is given up.
    pub fn deadline(&self, now: MonoNs) -> MonoNs {
        now.plus_ms(self.timeout_ms)
    }

    /// Pieces of work that wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Users being read.
    pub fn len(&self) -> usize {
        self.reads.len()
    }

    /// Whether nothing is being read.
    pub fn is_empty(&self) -> bool {
        self.reads.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(ticket: u64) -> Waiter {
        let origin = Origin::Control { ticket };
        Waiter { origin, command: None, until: MonoNs(0), tries: 0 }
    }

    fn ticket_of(waiter: &Waiter) -> u64 {
        let Origin::Control { ticket } = waiter.origin else { panic!("made above") };
        ticket
    }

    #[test]
    fn one_read_for_all_who_wait_and_in_their_order() {
        let mut reads = Reads::new(50, 1);
        let Parked::Start(ticket) = reads.park(MonoNs(0), "a", waiter(1)) else { panic!() };
        assert!(matches!(reads.park(MonoNs(0), "a", waiter(2)), Parked::Joined));
        assert!(matches!(reads.park(MonoNs(0), "b", waiter(3)), Parked::Start(_)));
        let (user, waiters) = reads.finish(ticket).unwrap();
        assert_eq!(&*user, "a");
        assert_eq!(waiters.iter().map(ticket_of).collect::<Vec<_>>(), [1, 2]);
        assert!(reads.finish(ticket).is_none());
        assert!(!reads.is_reading("a") && reads.is_reading("b"));
    }

    #[test]
    fn work_is_given_up_at_its_deadline_and_the_read_goes_on() {
        let mut reads = Reads::new(50, 1);
        let Parked::Start(ticket) = reads.park(MonoNs(0), "a", waiter(1)) else { panic!() };
        let mut given_up = Vec::new();
        reads.expire(MonoNs(49_999_999), |waiter| given_up.push(ticket_of(&waiter)));
        assert!(given_up.is_empty());
        reads.expire(MonoNs(50_000_000), |waiter| given_up.push(ticket_of(&waiter)));
        assert_eq!(given_up, [1]);
        assert!(matches!(reads.park(MonoNs(60_000_000), "a", waiter(2)), Parked::Joined));
        assert_eq!(reads.next_deadline(), Some(MonoNs(110_000_000)));
        assert_eq!(reads.finish(ticket).unwrap().1.len(), 1);
    }

    #[test]
    fn both_bounds_refuse() {
        let mut reads = Reads::new(50, 1);
        for user in 0..READS_OUTSTANDING_MAX as u64 {
            let parked = reads.park(MonoNs(0), &user.to_string(), waiter(user));
            assert!(matches!(parked, Parked::Start(_)));
        }
        assert!(matches!(reads.park(MonoNs(0), "u", waiter(0)), Parked::Refused(_)));
        for _ in READS_OUTSTANDING_MAX..PARKED_MAX {
            assert!(matches!(reads.park(MonoNs(0), "1", waiter(0)), Parked::Joined));
        }
        assert!(matches!(reads.park(MonoNs(0), "1", waiter(0)), Parked::Refused(_)));
    }
}
