//! What a follower does beside applying: what is old goes, a file of the node's own is folded
//! together now and then, and where no keeper does, SQL is told that this node is alive. One after
//! the other, after each try.

use std::collections::VecDeque;

use super::{Effect, Follower, Input, Stage, View, log_weaknesses};
use crate::retention::RetentionView;
use nudged_base::limits::{
    KEEPER_SQL_BEAT_MS, RIGHTS_AGAIN_MS, SQL_FOLD_PERIOD_MS, SQL_FOLD_RETRY_MAX_MS,
    SQL_FOLD_RETRY_MS,
};
use nudged_base::telemetry::log::Message;
use nudged_journal::disk::DiskRead;

/// Tombstones are looked at this often, in milliseconds.
const PURGE_PERIOD_MS: u64 = 3_600_000;

/// Something to do before the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    /// SQL does what it is asked: where it did not, it may be another server of the list, or one
    /// that was set up anew.
    Check,
    Purge,
    /// One step, where it is time for one.
    Retain,
    Fold,
    /// All of the others, where what is left of an erased user has to be folded away.
    FoldNow,
    /// The file alone is a whole backup then. Where it fails, the log has it.
    FoldLast,
    /// Without Redis no keeper says that this node is alive, and whoever would bring users to its
    /// database has to know. So an outage is seen where no record comes.
    Heartbeat,
    /// The node has stopped with everything applied, where it has said that it is alive.
    SayStopped,
    Sleep,
    /// Applying is over, which the node outlives: it has been told, and is a metric.
    AwaitStop,
    End,
}

/// When each is due, in milliseconds of the monotonic clock, and what is left to do now.
#[derive(Debug, Default)]
pub(super) struct Chores {
    purge_due_ms: u64,
    beat_due_ms: u64,
    fold_due_ms: u64,
    /// Not before, whatever is to be folded: a reader was in the way.
    fold_again_ms: u64,
    fold_tries: u32,
    fold_wait_ms: Option<u64>,
    left: VecDeque<Chore>,
}

fn ms_of(view: &View<'_, impl DiskRead>) -> u64 {
    view.now.mono.0 / 1_000_000
}

impl Follower {
    /// Does these one after the other, and then tries again.
    pub(super) fn begin_chores(
        &mut self,
        view: &View<'_, impl DiskRead>,
        chores: &[Chore],
    ) -> Effect {
        if chores[0] == Chore::Check {
            self.note_success(view);
        }
        self.chores.left.extend(chores);
        self.go_on(view)
    }

    /// The next chore that asks for something, else the next try.
    pub(super) fn go_on(&mut self, view: &View<'_, impl DiskRead>) -> Effect {
        while let Some(chore) = self.chores.left.pop_front() {
            if let Some(effect) = self.begin_chore(view, chore) {
                let is_over = matches!(effect, Effect::Sleep(..) | Effect::End);
                self.stage = if is_over { Stage::Idle } else { Stage::Doing(chore) };
                return effect;
            }
        }
        self.begin(view).unwrap_or_else(|next| self.after(view, next))
    }

    fn note_success(&mut self, view: &View<'_, impl DiskRead>) {
        self.backoff.succeeded();
        self.setup.log.write_error(view.now, Message::SqlResumed, "");
    }

    fn begin_chore(&mut self, view: &View<'_, impl DiskRead>, chore: Chore) -> Option<Effect> {
        let now_ms = ms_of(view);
        let chores = &mut self.chores;
        match chore {
            Chore::Check => std::mem::take(&mut self.is_failing).then_some(Effect::Check),
            Chore::Purge => (now_ms >= chores.purge_due_ms).then(|| {
                chores.purge_due_ms = now_ms + PURGE_PERIOD_MS;
                Effect::Purge
            }),
            Chore::Retain if view.is_stopping => None,
            Chore::Retain => self
                .retention
                .begin(view.now.mono, self.setup.stream, &view.sql.retention)
                .map(Effect::Retain),
            Chore::FoldNow => {
                if view.sql.must_fold {
                    chores.left.extend([Chore::Purge, Chore::Fold, Chore::Heartbeat]);
                }
                None
            }
            Chore::Fold => self.begin_fold(view),
            Chore::FoldLast => Some(Effect::Fold),
            Chore::Heartbeat => {
                let stream = self.setup.stream.filter(|_| self.setup.beats)?;
                (now_ms >= chores.beat_due_ms).then(|| {
                    chores.beat_due_ms = now_ms + KEEPER_SQL_BEAT_MS;
                    Effect::Heartbeat(stream, format!("{:032x}", self.setup.set.0))
                })
            }
            Chore::SayStopped => {
                self.setup.stream.filter(|_| self.setup.beats).map(Effect::SayStopped)
            }
            Chore::Sleep => Some(self.sleep(view)),
            Chore::AwaitStop => Some(Effect::AwaitStop),
            Chore::End => Some(Effect::End),
        }
    }

    /// Folds what was written into the database's file: soon after an erase, until nothing of it
    /// is left beside the file, else now and then.
    fn begin_fold(&mut self, view: &View<'_, impl DiskRead>) -> Option<Effect> {
        let now_ms = ms_of(view);
        self.chores.fold_wait_ms = None;
        if !view.sql.is_to_fold {
            self.chores.fold_due_ms = now_ms + SQL_FOLD_PERIOD_MS;
            return None;
        }
        let is_due = view.sql.must_fold || now_ms >= self.chores.fold_due_ms;
        if is_due && now_ms >= self.chores.fold_again_ms {
            return Some(Effect::Fold);
        }
        self.plan_fold(view);
        None
    }

    fn plan_fold(&mut self, view: &View<'_, impl DiskRead>) {
        let Chores { fold_due_ms, fold_again_ms, .. } = self.chores;
        let due_ms = if view.sql.must_fold { fold_again_ms } else { fold_due_ms };
        self.chores.fold_wait_ms = Some(due_ms.max(fold_again_ms).saturating_sub(ms_of(view)));
    }

    /// A reader may be in the way: it is tried again soon, and less often where it stays, as one
    /// does that makes a copy.
    fn take_folded(&mut self, view: &View<'_, impl DiskRead>, is_done: bool) {
        if is_done {
            (self.chores.fold_again_ms, self.chores.fold_tries) = (0, 0);
            return;
        }
        let wait_ms = SQL_FOLD_RETRY_MS << self.chores.fold_tries;
        if wait_ms < SQL_FOLD_RETRY_MAX_MS {
            self.chores.fold_tries += 1;
        }
        self.chores.fold_again_ms = ms_of(view) + wait_ms;
        self.chores.fold_due_ms = self.chores.fold_again_ms;
        self.plan_fold(view);
    }

    /// What came of a chore.
    pub(super) fn take_done(&mut self, view: &View<'_, impl DiskRead>, chore: Chore, input: Input) {
        match (chore, input) {
            (Chore::Check, Input::Checked(warnings)) => {
                log_weaknesses(&self.setup.log, view.now, &warnings);
            }
            (Chore::Retain, Input::Retained(outcome)) => {
                let metrics = &self.setup.metrics.retention;
                if let Err(error) = self.retention.end(view.now.mono, outcome, metrics) {
                    self.failed(view, &error);
                }
            }
            (Chore::Fold, Input::Folded(folded)) => {
                if let Err(error) = &folded {
                    self.setup.log.write_error(view.now, Message::SqlFailed, &error.text);
                }
                self.take_folded(view, folded.unwrap_or(false));
            }
            (Chore::Purge | Chore::Heartbeat, Input::Done(Err(error))) => {
                self.failed(view, &error);
            }
            // What is denied is over when the rights are there, and is told then.
            (Chore::Heartbeat, Input::Done(Ok(()))) if !view.sql.is_denied => {
                self.note_success(view);
                self.chores.left.push_front(Chore::Check);
            }
            _ => {}
        }
    }

    fn sleep(&self, view: &View<'_, impl DiskRead>) -> Effect {
        let Chores { beat_due_ms, fold_wait_ms, .. } = &self.chores;
        let beats = self.setup.beats && self.setup.stream.is_some();
        let beat_wait_ms = beats.then(|| beat_due_ms.saturating_sub(ms_of(view)));
        let is_kept = view.sql.retention == RetentionView::default();
        let retention_ms = (!is_kept && self.setup.stream.is_some())
            .then(|| self.retention.due().0.saturating_sub(view.now.mono.0).div_ceil(1_000_000));
        let waits_ms = fold_wait_ms.iter().copied().chain(beat_wait_ms).chain(retention_ms);
        let wait_ms = waits_ms.min().map(|ms| ms.max(1));
        let rights_ms = self.rights_due.map(|_| RIGHTS_AGAIN_MS);
        let limit_ms = wait_ms.into_iter().chain(rights_ms).min();
        Effect::Sleep(self.next_sequence(), limit_ms)
    }
}
