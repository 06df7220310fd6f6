//! The last lines of the log, as they were written, for operators who look from elsewhere. Filled
//! by the thread that writes the log, so that no one who logs waits for those who read.
//!
//! Limits: [`LOG_TAIL_LINES`] lines and [`LOG_TAIL_BYTES`] of them; the oldest go first.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nudged_base::limits::{LOG_TAIL_BYTES, LOG_TAIL_LINES};
use nudged_base::telemetry::log::{Level, Message, QueuedLine};
use nudged_base::time::WallMs;

/// A line that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailLine {
    /// Its place among all lines of this process, from 1.
    pub number: u64,
    /// When it was logged.
    pub at: WallMs,
    /// What it says.
    pub message: Message,
    /// As it was written, without its line end.
    pub text: String,
}

#[derive(Debug, Default)]
struct TailState {
    lines: VecDeque<TailLine>,
    bytes: usize,
    /// The number of the newest line; 0 for none.
    last: u64,
}

/// The last lines.
#[derive(Debug, Default)]
pub struct LogTail {
    state: Mutex<TailState>,
    rung: Condvar,
}

impl LogTail {
    /// A panic ends the process, so a poisoned lock guards what it always did.
    fn lock(&self) -> MutexGuard<'_, TailState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a line, for as long as there is room.
    pub fn keep(&self, line: QueuedLine) {
        let mut text = line.text;
        text.truncate(text.trim_end().len());
        let mut state = self.lock();
        state.last += 1;
        state.bytes += text.len();
        let number = state.last;
        state.lines.push_back(TailLine { number, at: line.at, message: line.message, text });
        while state.lines.len() > LOG_TAIL_LINES || state.bytes > LOG_TAIL_BYTES {
            let Some(oldest) = state.lines.pop_front() else { break };
            state.bytes -= oldest.text.len();
        }
        drop(state);
        self.rung.notify_all();
    }

    /// Lines behind a number that are as grave as a level or graver: the first `count` of them.
    pub fn after(&self, number: u64, level: Level, count: usize) -> Vec<TailLine> {
        let state = self.lock();
        let wanted = state.lines.iter().filter(|line| line.number > number);
        wanted.filter(|line| line.message.level() <= level).take(count).cloned().collect()
    }

    /// The newest lines that are as grave as a level or graver, the oldest of them first.
    pub fn newest(&self, level: Level, count: usize) -> Vec<TailLine> {
        let state = self.lock();
        let newest = state.lines.iter().rev();
        let wanted = newest.filter(|line| line.message.level() <= level).take(count).cloned();
        let mut lines: Vec<TailLine> = wanted.collect();
        lines.reverse();
        lines
    }

    /// The numbers of the oldest line that is kept and of the newest; `None` before the first.
    pub fn bounds(&self) -> Option<(u64, u64)> {
        let state = self.lock();
        state.lines.front().map(|oldest| (oldest.number, state.last))
    }

    /// The number of the newest line; 0 before the first.
    pub fn last(&self) -> u64 {
        self.lock().last
    }

    /// Waits for a line behind a number, or until `is_over`, for `limit` at most.
    pub fn wait(&self, number: u64, limit: Duration, is_over: impl Fn() -> bool) {
        let is_awaited = |state: &mut TailState| state.last <= number && !is_over();
        // Whether it came or took too long is for the caller to see.
        drop(self.rung.wait_timeout_while(self.lock(), limit, is_awaited));
    }

    /// Wakes who waits: something else than a line has come.
    pub fn ring(&self) {
        // Under the lock: who has just looked and found nothing is waiting by now.
        drop(self.lock());
        self.rung.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: Message, text: &str) -> QueuedLine {
        QueuedLine { text: format!("{text}\n"), at: WallMs(7), message }
    }

    fn numbers(lines: &[TailLine]) -> Vec<u64> {
        lines.iter().map(|line| line.number).collect()
    }

    #[test]
    fn lines_have_numbers_and_are_found_by_them_and_by_their_level() {
        let tail = LogTail::default();
        assert_eq!((tail.bounds(), tail.last()), (None, 0));
        for message in [Message::Started, Message::SqlWeak, Message::SqlFailed, Message::Ready] {
            tail.keep(line(message, message.code()));
        }
        let first = &tail.after(0, Level::Debug, 1)[0];
        assert_eq!((first.number, first.at, first.text.as_str()), (1, WallMs(7), "started"));
        assert_eq!(numbers(&tail.after(1, Level::Info, 9)), [2, 3, 4]);
        assert_eq!(numbers(&tail.after(0, Level::Warn, 9)), [2, 3]);
        assert_eq!(numbers(&tail.newest(Level::Debug, 2)), [3, 4], "the oldest first");
        assert_eq!(numbers(&tail.newest(Level::Error, 9)), [3]);
        assert_eq!(tail.bounds(), Some((1, 4)));
    }

    #[test]
    fn neither_many_lines_nor_long_ones_pass_the_bounds() {
        let tail = LogTail::default();
        (0..LOG_TAIL_LINES + 5).for_each(|_| tail.keep(line(Message::Ready, "x")));
        assert_eq!(tail.bounds(), Some((6, LOG_TAIL_LINES as u64 + 5)));
        let long = "x".repeat(LOG_TAIL_BYTES / 4);
        (0..9).for_each(|_| tail.keep(line(Message::Ready, &long)));
        assert_eq!(tail.after(0, Level::Debug, usize::MAX).len(), 4);
        assert_eq!(tail.lock().bytes, LOG_TAIL_BYTES);
    }

    #[test]
    fn who_waits_is_woken_by_a_line_and_by_a_ring() {
        let tail = LogTail::default();
        let far = Duration::from_secs(3_600);
        tail.keep(line(Message::Ready, "x"));
        tail.wait(0, far, || false);
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                is_over.store(true, std::sync::atomic::Ordering::Release);
                tail.ring();
            });
            tail.wait(1, far, || is_over.load(std::sync::atomic::Ordering::Acquire));
        });
    }
}
