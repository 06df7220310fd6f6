//! Turns: a value that one thread at a time may have, and for which nobody waits longer than he
//! says. Who holds a store's connection while its server says nothing holds up those behind him;
//! they are refused before a queue of them has taken every connection of an operator.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};

/// A value, and who may have it next.
#[derive(Debug)]
pub struct Turns<T> {
    put_back: Sender<T>,
    free: Receiver<T>,
}

/// The value, until it is dropped.
#[derive(Debug)]
pub struct HeldTurn<'t, T> {
    value: Option<T>,
    put_back: &'t Sender<T>,
}

impl<T> Turns<T> {
    /// A value that nobody has yet.
    pub fn new(value: T) -> Turns<T> {
        let (put_back, free) = bounded(1);
        assert!(put_back.try_send(value).is_ok(), "there is room for one value");
        Turns { put_back, free }
    }

    /// Waits for a turn, no longer than `limit`; `None` where it does not come in time.
    pub fn take_within(&self, limit: Duration) -> Option<HeldTurn<'_, T>> {
        let value = self.free.recv_timeout(limit).ok()?;
        Some(HeldTurn { value: Some(value), put_back: &self.put_back })
    }
}

const HAS_VALUE: &str = "a turn has the value until it ends";

impl<T> Deref for HeldTurn<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect(HAS_VALUE)
    }
}

impl<T> DerefMut for HeldTurn<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect(HAS_VALUE)
    }
}

impl<T> Drop for HeldTurn<'_, T> {
    fn drop(&mut self) {
        let is_back = self.value.take().is_none_or(|value| self.put_back.try_send(value).is_ok());
        debug_assert!(is_back, "there is room for the one that was taken");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(5);
    const FAR: Duration = Duration::from_secs(3_600);

    #[test]
    fn who_waits_too_long_gets_nothing_and_the_value_comes_back() {
        let turns = Turns::new(vec![1]);
        let mut first = turns.take_within(SOON).unwrap();
        first.push(2);
        assert!(turns.take_within(SOON).is_none() && turns.take_within(SOON).is_none());
        std::thread::scope(|scope| {
            let next = scope.spawn(|| turns.take_within(FAR).map(|value| value.clone()));
            drop(first);
            assert_eq!(next.join().unwrap().unwrap(), [1, 2]);
        });
        assert_eq!(turns.take_within(SOON).unwrap().len(), 2);
    }
}
