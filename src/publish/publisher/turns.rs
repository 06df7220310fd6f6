//! Turns: a value that one at a time may have, and for which nobody waits longer than a limit. A
//! change that SQL holds up has its turn for as long as SQL may say nothing; those behind it are
//! refused before a queue of them has taken every connection of an operator.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};

use super::refusal::PublishError;

/// A value, and who may have it next. Whoever waits longest is the next one.
pub(super) struct Turns<T> {
    put_back: Sender<T>,
    free: Receiver<T>,
    refused: AtomicU64,
}

/// The value, until it is dropped.
pub(super) struct Turn<'t, T> {
    value: Option<T>,
    put_back: &'t Sender<T>,
}

impl<T> Turns<T> {
    /// A value that nobody has yet.
    pub(super) fn new(value: T) -> Turns<T> {
        let (put_back, free) = bounded(1);
        put_back.send(value).expect("there is room for one value");
        Turns { put_back, free, refused: AtomicU64::new(0) }
    }

    /// Waits for a turn, no longer than `limit`.
    ///
    /// # Errors
    /// `Late`, where it does not come in time.
    pub(super) fn take_within(&self, limit: Duration) -> Result<Turn<'_, T>, PublishError> {
        match self.free.recv_timeout(limit) {
            Ok(value) => Ok(Turn { value: Some(value), put_back: &self.put_back }),
            Err(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(PublishError::Late(limit))
            }
        }
    }

    /// How often a turn did not come in time.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

const HAS_VALUE: &str = "a turn has the value until it ends";

impl<T> Deref for Turn<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect(HAS_VALUE)
    }
}

impl<T> DerefMut for Turn<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect(HAS_VALUE)
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        // There is room for the one value, and the channel lives as long as the turns.
        let _ = self.put_back.send(self.value.take().expect(HAS_VALUE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(5);
    const FAR: Duration = Duration::from_secs(3_600);

    #[test]
    fn who_waits_too_long_is_refused_and_counted_and_the_value_comes_back() {
        let turns = Turns::new(vec![1]);
        let mut first = turns.take_within(SOON).unwrap();
        first.push(2);
        for refused in 1..=2 {
            assert!(matches!(turns.take_within(SOON), Err(PublishError::Late(SOON))));
            assert_eq!(turns.refused(), refused);
        }
        std::thread::scope(|scope| {
            let next = scope.spawn(|| turns.take_within(FAR).map(|value| value.clone()));
            drop(first);
            assert_eq!(next.join().unwrap().unwrap(), [1, 2]);
        });
        assert_eq!((turns.take_within(SOON).unwrap().len(), turns.refused()), (2, 2));
    }
}
