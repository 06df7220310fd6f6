//! Says in the log what becomes of the journal: full, with room again, failing, closed for good.
//! Each as it happens; the log limits how often.

use crate::journal::appender::{Gauges, Poison};
use crate::runtime::log_thread::{stamp_now, tell};
use crate::telemetry::log::{Log, Message, Value};

/// What was said last.
pub(super) struct Herald {
    log: Log,
    is_full: bool,
    failures: u64,
    is_poisoned: bool,
}

impl Herald {
    /// Nothing is wrong yet.
    pub(super) fn new(log: Log) -> Herald {
        Herald { log, is_full: false, failures: 0, is_poisoned: false }
    }

    /// Compares with what was said, and says what is new.
    pub(super) fn tell(&mut self, gauges: &Gauges, poison: Option<Poison>) {
        if gauges.is_full != self.is_full {
            self.is_full = gauges.is_full;
            let message =
                if gauges.is_full { Message::JournalFull } else { Message::JournalResumed };
            self.log.write(stamp_now(), message, &[]);
        }
        if gauges.failures > self.failures {
            self.failures = gauges.failures;
            let fields = [("failures", Value::Number(gauges.failures))];
            self.log.write(stamp_now(), Message::JournalFailed, &fields);
        }
        if let Some(poison) = poison.filter(|_| !self.is_poisoned) {
            self.is_poisoned = true;
            tell(&self.log, Message::JournalClosed, &poison.to_string());
        }
    }
}
