//! What passes between a follower and whoever carries out what it wants: how it is around it, whole
//! things that are to be done, and what came of them.

use crate::retention::{RetentionOutcome, RetentionStep, RetentionView};
use crate::sql_failure::SqlFailure;
use nudged_base::clock::Now;
use nudged_base::ids::{Sequence, StreamId, UserKey};
use nudged_journal::segment::SetId;

/// How it is around the machine when it steps.
pub struct View<'a, D> {
    /// Both clocks.
    pub now: Now,
    /// Files of the journal.
    pub disk: &'a D,
    /// Everything up to here is in them.
    pub written: Sequence,
    /// It ends once all that is written is applied.
    pub is_stopping: bool,
    /// Whether SQL may pass an unmerged record of a user.
    pub may_pass: &'a dyn Fn(Sequence, UserKey) -> bool,
    /// SQL.
    pub sql: SqlView,
}

/// What is known of SQL without asking it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SqlView {
    /// Records of one transaction.
    pub records_max: usize,
    /// Somebody was refused a right since the last step.
    pub is_doubted: bool,
    /// A right is known to be missing.
    pub is_denied: bool,
    /// Something was written that is not in the database's file yet.
    pub is_to_fold: bool,
    /// A user was erased whose id is still beside the database's file.
    pub must_fold: bool,
    /// What of it is old.
    pub retention: RetentionView,
    /// That was set anew since the last step.
    pub is_retention_new: bool,
}

/// What the machine wants done, one thing at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Look whether SQL is as it has to be and has this directory's users, claim the stream of the
    /// journal's set, and look where it is; [`Input::Claimed`].
    Claim(SetId),
    /// [`Follower::batch`] in one transaction with the position; [`Input::Applied`].
    Apply(StreamId),
    /// Move the position to `through` where SQL is at `from` or beyond; [`Input::Skipped`].
    Skip {
        /// The stream.
        stream: StreamId,
        /// `None` for wherever it is.
        from: Option<Sequence>,
        /// The last record that there is not.
        through: Sequence,
    },
    /// Try what SQL lets the node do; [`Input::Rights`].
    TryRights,
    /// Look what of SQL's settings weakens a promise; [`Input::Checked`].
    Check,
    /// Drop old tombstones; [`Input::Done`].
    Purge,
    /// Fold what was written into the database's file; [`Input::Folded`].
    Fold,
    /// Delete what is old, in one small transaction; [`Input::Retained`].
    Retain(RetentionStep),
    /// Say in SQL that the node of this name is alive; [`Input::Done`].
    Heartbeat(StreamId, String),
    /// Say in SQL that the node has stopped. Where that fails, it counts as one that was killed,
    /// which is safe.
    SayStopped(StreamId),
    /// Go on after so many milliseconds, whatever comes.
    Pause(u64),
    /// Go on when this record is written, when a right is doubted, when it is to end, and after so
    /// many milliseconds.
    Sleep(Sequence, Option<u64>),
    /// Go on when it is to end.
    AwaitStop,
    /// Nothing more.
    End,
}

/// What SQL has of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// Its stream, and the position.
    Stream(StreamId, Sequence),
    /// It is another database than has this directory's users; what is to be said of it, if
    /// anything.
    Misplaced(Option<String>),
}

/// What came of an effect.
#[derive(Clone, Debug)]
pub enum Input {
    /// It is time, or nothing is to be known of it.
    Go,
    /// What of SQL's settings weakens a promise, and what was found.
    Claimed(Vec<String>, Result<ClaimOutcome, SqlFailure>),
    /// How many of the records were there already, and how many are in the dead-letter file.
    Applied(Result<(usize, usize), SqlFailure>),
    /// Whether SQL was there.
    Skipped(Result<bool, SqlFailure>),
    /// What is to be said of missing rights, an empty text where nothing is missing any more.
    Rights(Option<String>),
    /// A sentence for each weakness.
    Checked(Vec<String>),
    /// Whether all is folded.
    Folded(Result<bool, SqlFailure>),
    /// What came of a step of retention.
    Retained(Result<RetentionOutcome, SqlFailure>),
    /// It is done.
    Done(Result<(), SqlFailure>),
}
