//! Says in the log what becomes of the journal: low, full, with room again, failing, closed for
//! good. Each once as it happens; the log limits how often. What its disk lacks it also leaves
//! where shards and operators find it.

use std::path::PathBuf;

use crate::clocks;
use crate::journal::directory::free_bytes;
use crate::journal::lanes::JournalLanes;
use crate::threads::log_writer::tell;
use nudged_base::limits::DISK_RETRY_MS;
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_base::time::MonoNs;
use nudged_journal::appender::{AppenderMetrics, Poison};
use nudged_journal::disk::DiskError;

/// What was said last.
pub(super) struct JournalReporter {
    log: Log,
    directory: PathBuf,
    segment_bytes: u64,
    is_full: bool,
    is_low: bool,
    failures: u64,
    is_poisoned: bool,
    /// While the disk is full, its room is looked at again then.
    look_at: MonoNs,
}

impl JournalReporter {
    /// Nothing is wrong yet.
    pub(super) fn new(log: Log, directory: PathBuf, segment_bytes: u64) -> JournalReporter {
        JournalReporter {
            log,
            directory,
            segment_bytes,
            is_full: false,
            is_low: false,
            failures: 0,
            is_poisoned: false,
            look_at: MonoNs(0),
        }
    }

    /// Compares with what was said, and says what is new.
    pub(super) fn tell(
        &mut self,
        now: MonoNs,
        metrics: &AppenderMetrics,
        (poison, refusal): (Option<Poison>, Option<DiskError>),
        lanes: &JournalLanes,
    ) {
        if metrics.failures > self.failures {
            self.failures = metrics.failures;
            let fields = [("failures", LogValue::Number(metrics.failures))];
            self.log.write(clocks::now(), Message::JournalFailed, &fields);
        }
        if let Some(poison) = poison {
            if !std::mem::replace(&mut self.is_poisoned, true) {
                let text = poison.to_string();
                tell(&self.log, Message::JournalClosed, &text);
                lanes.set_lack(Some(&text));
            }
            return;
        }
        if metrics.is_low && !self.is_low && !metrics.is_full {
            self.tell_room(Message::JournalLow, metrics, refusal);
        }
        if self.is_low && !metrics.is_low {
            self.log.write(clocks::now(), Message::JournalRoom, &[]);
        }
        if metrics.is_full && !self.is_full {
            self.tell_room(Message::JournalFull, metrics, refusal);
        }
        if self.is_full && !metrics.is_full {
            self.log.write(clocks::now(), Message::JournalResumed, &[]);
        }
        let was_full = std::mem::replace(&mut self.is_full, metrics.is_full);
        self.is_low = metrics.is_low;
        if metrics.is_full && (!was_full || now >= self.look_at) {
            self.look_at = now.plus_ms(DISK_RETRY_MS);
            lanes.set_lack(Some(&self.lack(refusal)));
        } else if was_full && !metrics.is_full {
            lanes.set_lack(None);
        }
    }

    fn tell_room(&self, message: Message, metrics: &AppenderMetrics, refusal: Option<DiskError>) {
        let directory = self.directory.to_string_lossy();
        let why = refusal.unwrap_or(DiskError::NoSpace).to_string();
        let fields = [
            ("directory", LogValue::Text(&directory)),
            ("error", LogValue::Text(&why)),
            ("needed_bytes", LogValue::Number(self.segment_bytes)),
            ("free_bytes", LogValue::Number(free_bytes(&self.directory).unwrap_or(0))),
            ("left_in_segment_bytes", LogValue::Number(metrics.room_bytes)),
        ];
        self.log.write(clocks::now(), message, &fields);
    }

    fn lack(&self, refusal: Option<DiskError>) -> String {
        let free = free_bytes(&self.directory).unwrap_or(0);
        let directory = self.directory.display();
        if let Some(refusal) = refusal {
            return format!("no new segment can be made in {directory}: {refusal}");
        }
        match self.segment_bytes.saturating_sub(free) {
            // A quota, or a file system that does not keep what it promised.
            0 => format!(
                "{directory} accepts no more, although {free} bytes are free: check for a quota"
            ),
            lacking => format!(
                "{directory} is {lacking} bytes short: the next segment needs {}, but {free} are \
                 free",
                self.segment_bytes
            ),
        }
    }
}
