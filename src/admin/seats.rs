//! The operators' open connections: as many as there are seats. Whoever comes to a full house takes
//! the seat of one that only waits, for bytes of a request or for its next one: nobody who opens
//! connections and says nothing keeps the kill switch from those who need it. What is being
//! answered, or streamed, stays.
//!
//! Must not know what is said on a connection.

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nudged_base::limits::ADMIN_CONNECTIONS_MAX;
use nudged_base::time::MonoNs;
use nudged_runtime::stream::BlockingStream;

/// A connection that has a seat.
#[derive(Debug)]
struct TakenSeat {
    /// By which it can be ended.
    stream: BlockingStream,
    /// Since when it waits for bytes; `None` while it is answered.
    waits_since: Option<MonoNs>,
    /// Whether it has shown a good token: of those that wait it goes last.
    has_token: bool,
}

/// All seats.
#[derive(Debug, Default)]
pub(super) struct Seats {
    taken: Mutex<BTreeMap<u64, TakenSeat>>,
    left: Condvar,
}

/// One seat, left when it is dropped, however its thread ends.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
}

impl Seats {
    /// A panic ends the process, so a poisoned lock guards what it always did.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, TakenSeat>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat for a connection, by a handle of it and a number that no other has; of the one that
    /// has waited longest where all are taken. `None` where each is being answered.
    pub(super) fn take(
        self: &Arc<Seats>,
        stream: BlockingStream,
        number: u64,
        now: MonoNs,
    ) -> Option<Seat> {
        let mut taken = self.lock();
        if taken.len() >= ADMIN_CONNECTIONS_MAX {
            let waiting = taken.iter().filter_map(|(number, one)| {
                one.waits_since.map(|since| (one.has_token, since, *number))
            });
            let (_, _, longest) = waiting.min()?;
            let ended = taken.remove(&longest)?;
            // One that has gone by itself is gone, too.
            let _ = ended.stream.shutdown(Shutdown::Both);
        }
        taken.insert(number, TakenSeat { stream, waits_since: Some(now), has_token: false });
        drop(taken);
        Some(Seat { seats: Arc::clone(self), number })
    }

    /// Has those that wait end, and the others when they are answered; ends what is still there
    /// after `limit`.
    pub(super) fn close(&self, limit: Duration) {
        let taken = self.lock();
        for one in taken.values() {
            // What is being answered still is; then the connection finds its peer gone.
            let _ = one.stream.shutdown(Shutdown::Read);
        }
        let waited = self.left.wait_timeout_while(taken, limit, |taken| !taken.is_empty());
        let (taken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        for one in taken.values() {
            let _ = one.stream.shutdown(Shutdown::Both);
        }
    }
}

impl Seat {
    /// The connection waits for bytes from now on.
    pub(super) fn wait(&self, now: MonoNs) {
        self.set(|one| one.waits_since = Some(now));
    }

    /// The connection has got bytes, which it works off.
    pub(super) fn work(&self) {
        self.set(|one| one.waits_since = None);
    }

    /// The connection has shown a good token.
    pub(super) fn show_token(&self) {
        self.set(|one| one.has_token = true);
    }

    /// One whose seat was taken is about to end.
    fn set(&self, change: impl FnOnce(&mut TakenSeat)) {
        self.seats.lock().get_mut(&self.number).map(change);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().remove(&self.number);
        self.seats.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Takes a seat at a time; gives the peer's end and the seat.
    fn come(seats: &Arc<Seats>, number: u64) -> (UnixStream, Option<Seat>) {
        let (peer, own) = UnixStream::pair().unwrap();
        peer.set_nonblocking(true).unwrap();
        (peer, seats.take(BlockingStream::Unix(own), number, MonoNs(number)))
    }

    fn is_ended(peer: &mut UnixStream) -> bool {
        matches!(peer.read(&mut [0; 1]), Ok(0))
    }

    #[test]
    fn who_has_waited_longest_makes_room_and_who_is_answered_never() {
        let seats = Arc::new(Seats::default());
        let most = u64::try_from(ADMIN_CONNECTIONS_MAX).unwrap();
        let mut guests: Vec<_> = (0..most).map(|number| come(&seats, number)).collect();
        guests[0].1.as_ref().unwrap().work();
        guests[1].1.as_ref().unwrap().show_token();
        guests[2].1.as_ref().unwrap().wait(MonoNs(most));
        let (mut newcomer, seat) = come(&seats, most + 1);
        assert!(seat.is_some() && !is_ended(&mut newcomer));
        let ended: Vec<usize> =
            (0..guests.len()).filter(|at| is_ended(&mut guests[*at].0)).collect();
        assert_eq!(ended, [3], "not the one answered, the one with a token, the one that spoke");
        // The one that was ended leaves no other's seat.
        drop(guests.remove(3));
        assert_eq!(seats.lock().len(), ADMIN_CONNECTIONS_MAX);
        for guest in &guests {
            guest.1.as_ref().unwrap().work();
        }
        seat.as_ref().unwrap().work();
        assert!(come(&seats, most + 2).1.is_none(), "each is being answered");
        drop(guests);
        assert_eq!(seats.lock().len(), 1);
    }
}
