//! One transaction of a follower: what goes into it, what may keep it back, and what came of it.

use std::sync::atomic::Ordering;

use super::{Effect, Follower, Next, QueuedRecord, Stage, Turn, View};
use crate::sql_failure::{SqlFailure, SqlMeaning};
use nudged_base::ids::Sequence;
use nudged_base::telemetry::log::Message;
use nudged_journal::disk::DiskRead;
use nudged_journal::record::{Record, frames};

impl Follower {
    /// The records that are to be applied. Allocates.
    pub fn batch(&self) -> Vec<(Sequence, Record<'_>)> {
        let mut records = Vec::with_capacity(self.count);
        for (read, frame) in self.reads.iter().zip(frames(&self.framed)).take(self.count) {
            let frame = frame.expect("we framed it");
            records.push((read.sequence, frame.record().expect("we encoded it")));
        }
        records
    }

    /// Where the tail has passed over numbers that were given up, the position has to follow. Where
    /// SQL has gone back instead, it is behind what it had, and applying finds it so.
    pub(super) fn pass_gap(&mut self, view: &View<'_, impl DiskRead>) -> Turn {
        let through = Sequence(self.reads[0].sequence.0 - 1);
        match self.setup.stream {
            Some(stream) if through > self.setup.applied => {
                let effect = Effect::Skip { stream, from: Some(self.setup.applied), through };
                Ok(self.wait(Stage::Passing, effect))
            }
            _ => self.apply(view),
        }
    }

    pub(super) fn take_passed(
        &mut self,
        view: &View<'_, impl DiskRead>,
        skipped: Result<bool, SqlFailure>,
    ) -> Turn {
        match skipped {
            Ok(is_there) => {
                if is_there {
                    self.set_applied(Sequence(self.reads[0].sequence.0 - 1));
                }
                self.apply(view)
            }
            Err(error) => Err(self.failed(view, &error)),
        }
    }

    /// Has records applied: up to a transaction's bound, up to the next gap, and up to the first
    /// that SQL must not pass yet. What that one tells is recorded for SQL by its merge, and after
    /// a crash it is all that is left of it.
    fn apply(&mut self, view: &View<'_, impl DiskRead>) -> Turn {
        let first = self.reads[0].sequence.0;
        let may_go = |(index, read): &(u64, &QueuedRecord)| {
            let is_next = read.sequence.0 == first + index;
            is_next && read.unmerged.is_none_or(|user| (view.may_pass)(read.sequence, user))
        };
        let reads = (0_u64..).zip(&self.reads).take(view.sql.records_max);
        self.count = reads.take_while(may_go).count();
        match self.setup.stream {
            Some(stream) if self.count > 0 => Ok(self.wait(Stage::Applying, Effect::Apply(stream))),
            _ => Err(Next::Hold),
        }
    }

    pub(super) fn take_applied(
        &mut self,
        view: &View<'_, impl DiskRead>,
        applied: Result<(usize, usize), SqlFailure>,
    ) -> Turn {
        match (applied, self.setup.stream) {
            (Ok((duplicates, rejected)), _) => {
                let last = self.reads[self.count - 1].sequence;
                let used: usize =
                    self.reads.drain(..self.count).map(|read| read.framed_bytes).sum();
                self.framed.drain(..used);
                self.is_gathered = false;
                self.count_applied(view, duplicates, rejected);
                self.set_applied(last);
                Err(Next::Again)
            }
            (Err(SqlFailure { meaning: SqlMeaning::Behind(position), .. }), Some(stream)) => {
                self.setup.metrics.regressions.fetch_add(1, Ordering::Relaxed);
                let text = format!("its position is {position}, but was {}", self.setup.applied);
                self.setup.log.write_error(view.now, Message::SqlRegressed, &text);
                self.go_on_from(view, stream, position)
            }
            (Err(error), _) => Err(self.failed(view, &error)),
        }
    }

    fn count_applied(
        &mut self,
        view: &View<'_, impl DiskRead>,
        duplicates: usize,
        rejected: usize,
    ) {
        let of = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.setup.metrics.transactions.fetch_add(1, Ordering::Relaxed);
        self.setup.metrics.records.fetch_add(of(self.count), Ordering::Relaxed);
        self.setup.metrics.duplicates.fetch_add(of(duplicates), Ordering::Relaxed);
        self.setup.metrics.rejected.fetch_add(of(rejected), Ordering::Relaxed);
        if rejected > 0 {
            self.setup.log.write_error(
                view.now,
                Message::DeadLetter,
                &format!("{rejected} records"),
            );
        }
    }
}
