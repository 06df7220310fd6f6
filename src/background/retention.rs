//! Deleting what SQL has kept for long enough, as a machine: one small transaction a step, and a
//! rest after each, so that all of it takes at most 5 % of the time of the thread that applies
//! records. Must not know databases, threads or settings: how old is old is part of the view.
//!
//! ```text
//! resting -> choosing -> streams -> events of one -> streams ... -> users -> hours -> resting
//!     ^      (one of several nodes)                                (once a day)   |
//!     +--------------------- a failure, or nothing more --------------------------+
//! ```
//!
//! A row goes where it is old itself. `at` grows with `seq` but for clocks that were set back, so a
//! stream is read from its beginning, and is done where a whole step has found no old row: what is
//! old behind that goes once what is before it has grown old too. Users are only found here: their
//! home shards judge and forget them, by a change as any other.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sql_failure::SqlFailure;
use nudged_base::ids::{Sequence, StreamId};
use nudged_base::limits::{RETENTION_PERIOD_MS, RETENTION_REST_FACTOR};
use nudged_base::telemetry::table::node_metrics;
use nudged_base::time::{MonoNs, WallMs};
use nudged_domain::state::user::UserState;

node_metrics! {
    /// What retention has done.
    pub struct RetentionMetrics {
        Counter events "retention_events_deleted_total" "Rows of events that were deleted by age.";
        Counter hours "retention_statistics_folded_total"
            "Rows of hourly statistics that were added up to days.";
        Counter users "retention_users_forgotten_total" "Users who were forgotten by age.";
        Counter busy_ns "retention_busy_seconds_total"
            "Time that retention has taken; it may take 5 %." in Nanoseconds;
        Counter folds "retention_folds_total" "Times that all hourly statistics were looked through.";
        Counter failures "retention_failures_total" "Steps of retention that failed.";
    }
    beside {}
}

/// How old is old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionView {
    /// Rows of `events` from before this time go; `None` where they stay.
    pub events_before: Option<WallMs>,
    /// Users are forgotten who were last seen before this time; `None` where they stay.
    pub users_before: Option<WallMs>,
    /// Hours of statistics from before this time, the begin of a UTC day, become days.
    pub hours_before: Option<WallMs>,
    /// Several nodes share the database: one of them does it.
    pub is_shared: bool,
}

/// A popup and a variant, in the order in which statistics are gone through.
pub type StatPlace = (String, String);

/// What is to be done in one small transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetentionStep {
    /// Look whether it falls to the node of this stream; [`RetentionOutcome::Chosen`].
    Choose(StreamId),
    /// Find the next stream; [`RetentionOutcome::Stream`].
    NextStream(Option<StreamId>),
    /// Delete old rows among the next of a stream; [`RetentionOutcome::Events`].
    DeleteEvents {
        /// The stream.
        stream: StreamId,
        /// The first row that is looked at.
        from: Sequence,
        /// Older rows go.
        before: WallMs,
    },
    /// Find users who were last seen before a time; [`RetentionOutcome::Users`].
    FindUsers {
        /// Those behind this one are looked at; empty for all.
        after: String,
        /// Younger ones stay.
        before: WallMs,
    },
    /// Add hours up to days in the first place behind; [`RetentionOutcome::Hours`].
    FoldHours {
        /// `None` for the very first place.
        after: Option<StatPlace>,
        /// Older hours are added up.
        before: WallMs,
    },
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetentionOutcome {
    /// Whether it falls to this node.
    Chosen(bool),
    /// The next stream; `None` behind the last.
    Stream(Option<StreamId>),
    /// Rows that are gone, and where to go on; `None` where no row that was looked at was old, or
    /// none is left.
    Events {
        /// Rows that are gone.
        deleted: u64,
        /// The next row to look at.
        next: Option<Sequence>,
    },
    /// Users that are old enough, and behind whom to go on.
    Users {
        /// As their rows say; their shards judge.
        found: Vec<(String, UserState)>,
        /// `None` behind the last user.
        next: Option<String>,
    },
    /// Rows that were added up, and behind which place to go on.
    Hours {
        /// Rows that are part of a day now.
        folded: u64,
        /// `None` behind the last place.
        next: Option<Option<StatPlace>>,
    },
}

/// Where a pass is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Resting,
    Choosing,
    /// Behind this stream.
    Streams(Option<StreamId>),
    Events(StreamId, Sequence),
    /// Behind this user.
    Users(String),
    /// Behind this place.
    Hours(Option<StatPlace>),
}

/// Goes through all rows again and again.
#[derive(Debug, Default)]
pub struct Retention {
    stage: Stage,
    /// When the next step may begin, and the next pass, and when the last step did.
    rested: MonoNs,
    pass_due: MonoNs,
    begun: MonoNs,
    /// What is old has changed since this pass began.
    is_restarted: bool,
    /// Hours from before this time are days, but for those that came late; users were looked
    /// through then.
    folded_before: Option<WallMs>,
    /// What this pass makes days of.
    folding_before: Option<WallMs>,
}

impl Retention {
    /// The step that is to begin now, if any; `own` is the stream of this node's journal.
    pub fn begin(
        &mut self,
        now: MonoNs,
        own: Option<StreamId>,
        view: &RetentionView,
    ) -> Option<RetentionStep> {
        let own = own.filter(|_| now >= self.due())?;
        if std::mem::take(&mut self.is_restarted) {
            (self.stage, self.folded_before) = (Stage::Resting, None);
        }
        if self.stage == Stage::Resting {
            self.folding_before = view.hours_before;
            self.stage = if view.is_shared { Stage::Choosing } else { Stage::Streams(None) };
        }
        let step = self.step(own, view);
        match step {
            Some(_) => self.begun = now,
            None => self.rest(now),
        }
        step
    }

    /// What is old has changed: all is looked through anew, from the next step on.
    pub(crate) fn hasten(&mut self) {
        self.is_restarted = true;
    }

    /// When it has something to do.
    pub fn due(&self) -> MonoNs {
        match self.stage {
            Stage::Resting if !self.is_restarted => self.rested.max(self.pass_due),
            _ => self.rested,
        }
    }

    fn step(&mut self, own: StreamId, view: &RetentionView) -> Option<RetentionStep> {
        if self.stage == Stage::Choosing {
            return Some(RetentionStep::Choose(own));
        }
        match (&self.stage, view.events_before) {
            (Stage::Streams(after), Some(_)) => return Some(RetentionStep::NextStream(*after)),
            (Stage::Events(stream, from), Some(before)) => {
                return Some(RetentionStep::DeleteEvents { stream: *stream, from: *from, before });
            }
            (Stage::Streams(_) | Stage::Events(..), None) => {
                self.stage = Stage::Users(String::new());
            }
            _ => {}
        }
        let is_new = self.folding_before > self.folded_before;
        let before = self.folding_before.filter(|_| is_new)?;
        match (&self.stage, view.users_before) {
            (Stage::Users(after), Some(before)) => {
                return Some(RetentionStep::FindUsers { after: after.clone(), before });
            }
            (Stage::Users(_), None) => self.stage = Stage::Hours(None),
            _ => {}
        }
        let Stage::Hours(after) = &self.stage else { return None };
        Some(RetentionStep::FoldHours { after: after.clone(), before })
    }

    /// Takes what came of the step that was begun.
    ///
    /// # Errors
    /// That of the step: it is tried again with the next pass.
    ///
    /// # Panics
    /// On an outcome of another step.
    pub fn end(
        &mut self,
        now: MonoNs,
        outcome: Result<RetentionOutcome, SqlFailure>,
        metrics: &RetentionMetrics,
    ) -> Result<(), SqlFailure> {
        let spent_ns = now.0.saturating_sub(self.begun.0);
        add(&metrics.busy_ns, spent_ns);
        let rest_ns = spent_ns.saturating_mul(RETENTION_REST_FACTOR);
        self.rested = MonoNs(now.0.saturating_add(rest_ns));
        let outcome = outcome.inspect_err(|_| {
            add(&metrics.failures, 1);
            self.rest(now);
        })?;
        match self.after(outcome, metrics) {
            Some(stage) => self.stage = stage,
            None => self.rest(now),
        }
        Ok(())
    }

    /// What comes after a step; `None` where that was the last.
    fn after(&mut self, outcome: RetentionOutcome, metrics: &RetentionMetrics) -> Option<Stage> {
        match (std::mem::take(&mut self.stage), outcome) {
            (Stage::Choosing, RetentionOutcome::Chosen(is_chosen)) => {
                is_chosen.then_some(Stage::Streams(None))
            }
            (Stage::Streams(_), RetentionOutcome::Stream(next)) => Some(match next {
                Some(stream) => Stage::Events(stream, Sequence(0)),
                None => Stage::Users(String::new()),
            }),
            (Stage::Users(_), RetentionOutcome::Users { next, .. }) => {
                Some(next.map_or(Stage::Hours(None), Stage::Users))
            }
            (Stage::Events(stream, _), RetentionOutcome::Events { deleted, next }) => {
                add(&metrics.events, deleted);
                Some(match next {
                    Some(from) => Stage::Events(stream, from),
                    None => Stage::Streams(Some(stream)),
                })
            }
            (Stage::Hours(_), RetentionOutcome::Hours { folded, next }) => {
                add(&metrics.hours, folded);
                if next.is_none() {
                    self.folded_before = self.folding_before;
                    add(&metrics.folds, 1);
                }
                next.map(Stage::Hours)
            }
            (stage, outcome) => unreachable!("{outcome:?} is of no step of {stage:?}"),
        }
    }

    /// The pass is over; the next one begins after a while.
    fn rest(&mut self, now: MonoNs) {
        self.stage = Stage::Resting;
        self.pass_due = now.plus_ms(RETENTION_PERIOD_MS);
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
