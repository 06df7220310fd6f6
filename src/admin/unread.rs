//! Memory of large answers that operators' clients have not taken, all connections together: a
//! catalog is tens of megabytes, and whoever asks for one and does not read keeps it here.
//!
//! Limit: [`ADMIN_UNREAD_BYTES_MAX`]; what would pass it is answered 503. One alone always may.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::answer::AdminAnswer;
use nudged_base::limits::{ADMIN_BODY_BYTES_MAX, ADMIN_UNREAD_BYTES_MAX};

/// Bytes of all large answers that wait.
#[derive(Debug, Default)]
pub(super) struct Unread(AtomicUsize);

/// What one connection has of them, until it is given back or dropped.
#[derive(Debug)]
pub(super) struct Share<'u> {
    unread: &'u Unread,
    bytes: usize,
}

impl Unread {
    /// A connection's share: nothing yet.
    pub(super) fn share(&self) -> Share<'_> {
        Share { unread: self, bytes: 0 }
    }

    /// Bytes that wait.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Share<'_> {
    /// The answer to what changes nothing, where it is small or there is room for it; otherwise
    /// that the client is to come again.
    pub(super) fn admit(&mut self, answer: AdminAnswer) -> AdminAnswer {
        let bytes = answer.body.len();
        // Small ones are bounded by the number of connections.
        if bytes <= ADMIN_BODY_BYTES_MAX {
            return answer;
        }
        let step = |waiting: usize| {
            let sum = waiting.saturating_add(bytes);
            (waiting == 0 || sum <= ADMIN_UNREAD_BYTES_MAX).then_some(sum)
        };
        match self.unread.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, step) {
            Ok(_) => {
                self.bytes += bytes;
                answer
            }
            Err(_) => AdminAnswer::unavailable("too_many_unread"),
        }
    }

    /// All that was admitted has been taken.
    pub(super) fn give_back(&mut self) {
        self.unread.0.fetch_sub(std::mem::take(&mut self.bytes), Ordering::AcqRel);
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: usize) -> AdminAnswer {
        AdminAnswer::text("text/plain", vec![b'x'; bytes])
    }

    #[test]
    fn large_answers_that_are_not_taken_are_bounded() {
        let unread = Unread::default();
        let (mut first, mut second) = (unread.share(), unread.share());
        assert_eq!(first.admit(answer(ADMIN_UNREAD_BYTES_MAX + 1)).status, 200, "one alone may");
        assert_eq!(second.admit(answer(ADMIN_BODY_BYTES_MAX + 1)).status, 503);
        assert_eq!(second.admit(answer(ADMIN_BODY_BYTES_MAX)).status, 200, "small ones do");
        first.give_back();
        assert_eq!(unread.bytes(), 0);
        let half = ADMIN_UNREAD_BYTES_MAX / 2;
        assert_eq!(first.admit(answer(half)).status, 200);
        assert_eq!(second.admit(answer(half)).status, 200, "to the bound");
        assert_eq!(second.admit(answer(ADMIN_BODY_BYTES_MAX + 1)).status, 503);
        drop((first, second));
        assert_eq!(unread.bytes(), 0, "a connection that ended has none");
    }
}
