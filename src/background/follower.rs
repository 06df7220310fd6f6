//! Bringing the journal to SQL, as a machine: follows the files, has up to 1,000 records applied in
//! one transaction with the position, and says how far it has come. Must not know databases or
//! threads: whole transactions and lookups are its effects.
//!
//! ```text
//! unclaimed -> following -> applied -> following        a failure: wait, longer each time, and
//!                 ^            |                        try again; nothing is lost meanwhile
//!                 +-- replay --+  SQL has gone back: the journal is read again from there
//! ```
//!
//! With Redis it stops before the record of what was accepted and is not merged, until its shard
//! says that it is. `applying` one transaction · `chores` what it does beside · `seam` effects.

mod applying;
mod chores;
mod seam;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use self::chores::{Chore, Chores};
pub use self::seam::{ClaimOutcome, Effect, Input, SqlView, View};
use crate::retention::{Retention, RetentionMetrics};
use crate::sql_failure::{SqlFailure, SqlMeaning};
use nudged_base::backoff::{Backoff, lengthened};
use nudged_base::clock::Now;
use nudged_base::ids::{Sequence, StreamId, UserKey};
use nudged_base::limits::RIGHTS_AGAIN_MS;
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_base::telemetry::table::node_metrics;
use nudged_base::time::MonoNs;
use nudged_journal::disk::DiskRead;
use nudged_journal::reader::{Tail, TailError};
use nudged_journal::record::{self, Record};
use nudged_journal::recovery;
use nudged_journal::segment::SetId;

/// First wait after a failure, in milliseconds; doubles up to the longest.
const BACKOFF_FIRST_MS: u64 = 100;
/// Longest wait after a failure, in milliseconds.
const BACKOFF_MAX_MS: u64 = 5_000;
/// Shortest wait, in milliseconds, where a server has to get room or a person has to do something.
const BACKOFF_SLOW_MS: u64 = 1_000;
/// Records are gathered this long before a small transaction, in milliseconds: a transaction has
/// eight statements however many records it applies.
const GATHER_MS: u64 = 30;
/// An unmerged record is looked at again after this long, in milliseconds.
const HOLD_MS: u64 = 10;

node_metrics! {
    /// What a follower has done.
    pub struct FollowerMetrics {
        Counter transactions "sql_transactions_total" "Transactions committed.";
        Counter records "sql_records_total" "Records applied.";
        Counter duplicates "sql_duplicates_total" "Records that SQL had already.";
        Counter failures "sql_failures_total" "Transactions that failed.";
        Counter applying_ns "sql_transaction_seconds_total"
            "Time that transactions took, those that failed included." in Nanoseconds;
        Counter rejected "sql_rejected_total" "Records in the dead-letter file.";
        Counter regressions "sql_regressions_total" "Times that SQL had lost applied records.";
        Gauge journal_cut_bytes "journal_cut_bytes"
            "Bytes cut off the unfinished end of the journal at start.";
        Gauge journal_lost_stretches "journal_lost_stretches"
            "Damaged parts of the journal skipped at start.";
    }
    beside {
        /// Applying has ended for good: going on would mix two journals.
        pub is_halted: AtomicBool,
        /// What is deleted beside applying.
        pub retention: RetentionMetrics,
    }
}

/// What a follower is made of.
#[derive(Debug)]
pub struct FollowerSetup {
    /// The stream of this journal; `None` where SQL could not be asked yet.
    pub stream: Option<StreamId>,
    /// The set of the journal's segments.
    pub set: SetId,
    /// The last record that SQL has applied, as far as is known.
    pub applied: Sequence,
    /// Stretches, first and last, that a person told recovery to go on without.
    pub skipped: Vec<(Sequence, Sequence)>,
    /// The first record that SQL has not applied.
    pub tail: Tail,
    /// Nobody else says in SQL that this node is alive, and nodes share it.
    pub beats: bool,
    /// Where failures are logged.
    pub log: Log,
    /// Where it counts.
    pub metrics: Arc<FollowerMetrics>,
}

/// What is waited for.
#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    /// It begins, or rests.
    #[default]
    Idle,
    Trying,
    Claiming,
    /// Passing over what the journal has not kept; then the journal is read from behind it.
    Seeking(StreamId, Sequence),
    Gathering,
    /// The position follows over numbers that were given up.
    Passing,
    Applying,
    Doing(Chore),
}

/// What comes after one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// There may be more.
    Again,
    /// All that is written is applied.
    Sleep,
    /// The next record waits for a shard to merge what it tells.
    Hold,
    /// Something failed; try again after a while.
    Wait,
    /// Applying is over.
    End,
}

/// What comes next: an effect whose outcome is waited for, or the end of a try.
type Turn = Result<Effect, Next>;

/// A record that was read and not applied.
#[derive(Clone, Copy, Debug)]
struct QueuedRecord {
    sequence: Sequence,
    framed_bytes: usize,
    /// Whose it is, where it waits until it is merged.
    unmerged: Option<UserKey>,
}

/// Follows the journal of one set.
#[derive(Debug)]
pub struct Follower {
    /// As it was made, but for the stream, the position and the tail, which move on.
    setup: FollowerSetup,
    /// The highest that `applied` was: what shards were told is applied stays so, since they may
    /// have let go of it.
    highest_applied: Sequence,
    /// Records that were read and not applied, framed.
    framed: Vec<u8>,
    reads: VecDeque<QueuedRecord>,
    /// How many of them are being applied.
    count: usize,
    /// What was read has waited for more.
    is_gathered: bool,
    backoff: Backoff,
    is_failing: bool,
    chores: Chores,
    retention: Retention,
    /// When the rights are tried; `None` where nothing speaks for it.
    rights_due: Option<MonoNs>,
    /// The store is another one than has this directory's users.
    is_misplaced: bool,
    /// It was to end when this try began.
    is_last: bool,
    stage: Stage,
}

impl Follower {
    /// A follower that has read nothing.
    pub fn new(setup: FollowerSetup) -> Follower {
        Follower {
            highest_applied: setup.applied,
            chores: Chores::default(),
            retention: Retention::default(),
            setup,
            framed: Vec::new(),
            reads: VecDeque::new(),
            count: 0,
            is_gathered: false,
            backoff: Backoff::new(BACKOFF_FIRST_MS, BACKOFF_MAX_MS),
            is_failing: false,
            rights_due: Some(MonoNs(0)),
            is_misplaced: false,
            is_last: false,
            stage: Stage::Idle,
        }
    }

    /// The stream of the journal, once SQL could be asked for it.
    pub fn stream(&self) -> Option<StreamId> {
        self.setup.stream
    }

    /// The last record that SQL has, or once had.
    pub fn highest_applied(&self) -> Sequence {
        self.highest_applied
    }

    /// The next record that is to be read.
    pub fn next_sequence(&self) -> Sequence {
        self.setup.tail.next_sequence()
    }

    /// Whether everything that was read is applied.
    pub fn is_drained(&self) -> bool {
        self.reads.is_empty()
    }

    /// What is to be done next. What came of the last effect may be that it failed: it is tried
    /// again, and nothing is lost.
    pub fn step(&mut self, view: &View<'_, impl DiskRead>, input: Input) -> Effect {
        if view.sql.is_doubted {
            self.rights_due = Some(self.rights_due.unwrap_or(view.now.mono));
        }
        if view.sql.is_retention_new {
            self.retention.hasten();
        }
        let turn = match (std::mem::take(&mut self.stage), input) {
            (Stage::Trying, Input::Rights(said)) => {
                self.take_rights(view, said);
                self.turn(view)
            }
            (Stage::Claiming, Input::Claimed(warnings, claimed)) => {
                self.take_claimed(view, &warnings, claimed)
            }
            (Stage::Seeking(stream, position), Input::Skipped(skipped)) => match skipped {
                Ok(_) => self.seek(view, stream, position),
                Err(error) => self.log_failure(view, &error.text),
            },
            (Stage::Gathering, _) => self.read_and_apply(view),
            (Stage::Passing, Input::Skipped(skipped)) => self.take_passed(view, skipped),
            (Stage::Applying, Input::Applied(applied)) => self.take_applied(view, applied),
            (Stage::Doing(chore), input) => {
                self.take_done(view, chore, input);
                return self.go_on(view);
            }
            _ => self.begin(view),
        };
        turn.unwrap_or_else(|next| self.after(view, next))
    }

    fn after(&mut self, view: &View<'_, impl DiskRead>, next: Next) -> Effect {
        match next {
            Next::Again => {
                let chores = [Chore::Check, Chore::Heartbeat, Chore::Retain, Chore::FoldNow];
                self.begin_chores(view, &chores)
            }
            Next::End => self.begin_chores(view, &[Chore::AwaitStop, Chore::End]),
            Next::Sleep | Next::Hold if self.is_last => {
                // The file alone is a whole backup then. Where it fails, the log has it.
                self.begin_chores(view, &[Chore::FoldLast, Chore::SayStopped, Chore::End])
            }
            Next::Hold => Effect::Pause(HOLD_MS),
            Next::Sleep => {
                let chores = [Chore::Purge, Chore::Retain, Chore::Fold, Chore::Heartbeat];
                self.begin_chores(view, &[&chores[..], &[Chore::Sleep]].concat())
            }
            Next::Wait => self.back_off(view),
        }
    }

    /// A try begins; the rights first where it is time: before the first record, after a refusal,
    /// and again while something is missing.
    fn begin(&mut self, view: &View<'_, impl DiskRead>) -> Turn {
        self.is_last = view.is_stopping;
        // Where SQL was away at the start it may be away still, and in a wrong one none is needed.
        let may_ask = self.setup.stream.is_some() || self.is_failing;
        if may_ask && !self.is_misplaced && self.rights_due.is_some_and(|due| view.now.mono >= due)
        {
            return Ok(self.wait(Stage::Trying, Effect::TryRights));
        }
        self.turn(view)
    }

    fn wait(&mut self, stage: Stage, effect: Effect) -> Effect {
        self.stage = stage;
        effect
    }

    fn take_rights(&mut self, view: &View<'_, impl DiskRead>, said: Option<String>) {
        let again = view.now.mono.plus_ms(RIGHTS_AGAIN_MS);
        self.rights_due = view.sql.is_denied.then_some(again);
        match said.as_deref() {
            None => {}
            Some("") => self.setup.log.write(view.now, Message::SqlResumed, &[]),
            Some(line) => self.setup.log.write_error(view.now, Message::SqlUnfit, line),
        }
    }

    fn turn(&mut self, view: &View<'_, impl DiskRead>) -> Turn {
        if self.setup.stream.is_none() {
            let effect = Effect::Claim(self.setup.set);
            return Ok(self.wait(Stage::Claiming, effect));
        }
        let read = self.read(view);
        // More records may come while those that were read wait: once for each transaction.
        let is_small = (1..view.sql.records_max).contains(&self.reads.len());
        if read.is_ok() && is_small && !self.is_gathered && !view.is_stopping {
            return Ok(self.wait(Stage::Gathering, Effect::Pause(GATHER_MS)));
        }
        self.apply_what(view, read)
    }

    fn read_and_apply(&mut self, view: &View<'_, impl DiskRead>) -> Turn {
        self.is_gathered = true;
        let read = self.read(view);
        self.apply_what(view, read)
    }

    fn apply_what(&mut self, view: &View<'_, impl DiskRead>, read: Result<(), TailError>) -> Turn {
        match read {
            Ok(()) if self.reads.is_empty() => Err(Next::Sleep),
            Err(error) if self.reads.is_empty() => self.log_failure(view, &error.to_string()),
            // What was read before something failed is applied all the same.
            _ => self.pass_gap(view),
        }
    }

    /// Reads whole batches until a transaction is full or nothing is left. Without room for a whole
    /// batch more, what was read waits for the next transaction.
    fn read(&mut self, view: &View<'_, impl DiskRead>) -> Result<(), TailError> {
        while self.reads.len() < view.sql.records_max {
            let Some(batch) = self.setup.tail.next(view.disk, view.written)? else { break };
            for (sequence, record) in batch {
                let Ok(record) = record else {
                    let error = format!("record {} can't be read", sequence.0);
                    self.setup.log.write_error(view.now, Message::SqlFailed, &error);
                    continue;
                };
                let before = self.framed.len();
                record::append(&record, &mut self.framed);
                let framed_bytes = self.framed.len() - before;
                let unmerged = match &record {
                    Record::Unmerged(unmerged) => Some(UserKey::of(unmerged.user.as_bytes())),
                    _ => None,
                };
                self.reads.push_back(QueuedRecord { sequence, framed_bytes, unmerged });
            }
        }
        Ok(())
    }

    /// SQL could not be asked for the stream of this journal at the start: goes on from where it
    /// is.
    fn take_claimed(
        &mut self,
        view: &View<'_, impl DiskRead>,
        warnings: &[String],
        claimed: Result<ClaimOutcome, SqlFailure>,
    ) -> Turn {
        log_weaknesses(&self.setup.log, view.now, warnings);
        match claimed {
            Ok(ClaimOutcome::Stream(stream, position)) => {
                if std::mem::take(&mut self.is_misplaced) {
                    // What was said of it is over.
                    self.rights_due = Some(MonoNs(0));
                }
                self.go_on_from(view, stream, position)
            }
            Ok(ClaimOutcome::Misplaced(said)) => Err(self.misplaced(view, said)),
            Err(error) => Err(self.failed(view, &error)),
        }
    }

    /// Nothing more is asked of a wrong store than whether it is the right one by now.
    fn misplaced(&mut self, view: &View<'_, impl DiskRead>, said: Option<String>) -> Next {
        self.is_misplaced = true;
        self.backoff.next_is(BACKOFF_SLOW_MS);
        self.setup.metrics.failures.fetch_add(1, Ordering::Relaxed);
        if let Some(line) = said {
            self.setup.log.write_error(view.now, Message::SqlUnfit, &line);
        }
        Next::Wait
    }

    /// Reads the journal again from behind a position. What the journal has not kept is passed
    /// over, and said: a user's later records bring rows up to date, events are gone.
    fn go_on_from(
        &mut self,
        view: &View<'_, impl DiskRead>,
        stream: StreamId,
        position: Sequence,
    ) -> Turn {
        let retired = match recovery::retired(view.disk) {
            Ok(retired) => retired,
            Err(error) => return self.log_failure(view, &error.to_string()),
        };
        if retired <= position {
            return self.seek(view, stream, position);
        }
        let text = format!(
            "records {} to {} are lost: the journal no longer has them",
            position.0 + 1,
            retired.0
        );
        self.setup.log.write_error(view.now, Message::SqlRegressed, &text);
        let effect = Effect::Skip { stream, from: None, through: retired };
        Ok(self.wait(Stage::Seeking(stream, retired), effect))
    }

    fn seek(
        &mut self,
        view: &View<'_, impl DiskRead>,
        stream: StreamId,
        position: Sequence,
    ) -> Turn {
        let next = Sequence(position.0 + 1);
        match Tail::seek(view.disk, self.setup.set, next, self.setup.skipped.clone()) {
            Ok(tail) => self.setup.tail = tail,
            Err(error) => return self.log_failure(view, &error.to_string()),
        }
        self.set_applied(position);
        self.framed.clear();
        self.reads.clear();
        self.is_gathered = false;
        self.setup.stream = Some(stream);
        Err(Next::Again)
    }

    fn set_applied(&mut self, applied: Sequence) {
        self.setup.applied = applied;
        self.highest_applied = self.highest_applied.max(applied);
    }

    /// Counts and tells a failure of SQL; gives what comes next.
    fn failed(&mut self, view: &View<'_, impl DiskRead>, error: &SqlFailure) -> Next {
        self.setup.metrics.failures.fetch_add(1, Ordering::Relaxed);
        match error.meaning {
            SqlMeaning::Fenced(_) | SqlMeaning::Halted => {
                self.setup.metrics.is_halted.store(true, Ordering::Release);
                self.setup.log.write_error(view.now, Message::SqlHalted, &error.text);
                return Next::End;
            }
            SqlMeaning::Denied => {
                self.backoff.next_is_at_least(BACKOFF_SLOW_MS);
                // Which right it is, is said in the next try.
                self.rights_due = Some(MonoNs(0));
                if view.sql.is_denied {
                    return Next::Wait;
                }
            }
            SqlMeaning::Lasting => self.backoff.next_is_at_least(BACKOFF_SLOW_MS),
            SqlMeaning::Behind(_) | SqlMeaning::Passing => {}
        }
        let fields =
            [("cause", LogValue::Text(error.cause)), ("error", LogValue::Text(&error.text))];
        self.setup.log.write(view.now, Message::SqlFailed, &fields);
        Next::Wait
    }

    /// Waits, up to half as long again so that nodes do not come at once, and longer the next time.
    fn back_off(&mut self, view: &View<'_, impl DiskRead>) -> Effect {
        self.is_failing = true;
        if view.sql.is_denied {
            self.backoff.next_is(BACKOFF_SLOW_MS);
        }
        Effect::Pause(lengthened(self.backoff.failed(), view.now.mono.0 / 1_000))
    }

    fn log_failure(&mut self, view: &View<'_, impl DiskRead>, what: &str) -> Turn {
        self.setup.log.write_error(view.now, Message::SqlFailed, what);
        Err(Next::Wait)
    }
}

/// Says what of SQL's settings weakens a promise.
pub fn log_weaknesses(log: &Log, stamp: Now, warnings: &[String]) {
    for warning in warnings {
        log.write(stamp, Message::SqlWeak, &[("error", LogValue::Text(warning))]);
    }
}
