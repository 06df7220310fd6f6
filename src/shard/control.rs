//! An operator's commands to a shard, and its answers. Plain values: the driver keeps the way back.

use std::sync::Arc;

use crate::view::Rules;
use nudged_api::outcome::Outcome;
use nudged_base::ids::Revision;
use nudged_base::time::WallMs;
use nudged_domain::catalog::snapshot::Snapshot;

/// A command to one shard.
#[derive(Debug)]
pub struct Control {
    /// Given back with the reply.
    pub ticket: u64,
    /// What is asked.
    pub request: ControlRequest,
}

/// What an operator asks of a shard.
#[derive(Debug)]
pub enum ControlRequest {
    /// Decide by this catalog from now on.
    SwapCatalog(Arc<Snapshot>),
    /// Show this catalog to those who only look, drafts in the places of what they are to become;
    /// with `None` the same as to all.
    SwapPreview(Option<Arc<Snapshot>>),
    /// Ask for these keys and allow these origins from now on.
    SwapRules(Arc<Rules>),
    /// The encoded state of a user of this shard.
    ReadUser {
        /// The user's id.
        user: Box<str>,
    },
    /// Forget a user of this shard, by a journaled record.
    EraseUser {
        /// The user's id.
        user: Box<str>,
    },
    /// Forget a user of this shard, by a journaled record, who is still at this revision, whose
    /// latest show and event are from before this time, and whom nothing binds.
    ForgetUser {
        /// The user's id.
        user: Box<str>,
        /// What is known of them.
        revision: Revision,
        /// What they did last is older.
        before: WallMs,
    },
    /// Stop in steps.
    Drain(DrainStep),
}

/// The steps of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainStep {
    /// Not ready any more; go on accepting, answers ask the client to close.
    LameDuck,
    /// Ready, since somebody else takes over; go on accepting, answers ask the client to close.
    HandOver,
    /// Nobody takes over: go on as before. Connections that were asked to close still are.
    Resume,
    /// Accept no more and finish what is open; answered when nothing is.
    Finish,
    /// Every shard has finished: end the thread.
    Exit,
}

/// A shard's answer to a command.
#[derive(Debug)]
pub struct ControlReply {
    /// The command's ticket.
    pub ticket: u64,
    /// The outcome.
    pub outcome: ControlOutcome,
}

/// What came of a command.
#[derive(Debug)]
pub enum ControlOutcome {
    /// Done.
    Done,
    /// The catalog is live on this shard; the former one comes back, so that it is not the shard
    /// that frees it.
    Swapped(Arc<Snapshot>),
    /// The user's encoded state.
    State(Vec<u8>),
    /// The user is erased and the record acknowledged.
    Erased {
        /// The record's time.
        at: WallMs,
    },
    /// The user is not forgotten.
    Kept,
    /// The user's state can't be read, or the journal takes no records.
    Unavailable,
}

impl From<&Outcome<'_>> for ControlOutcome {
    /// Of the outcome of an operator's command.
    fn from(outcome: &Outcome<'_>) -> ControlOutcome {
        match outcome {
            Outcome::State(state) => ControlOutcome::State(state.to_vec()),
            Outcome::Erased { at } => ControlOutcome::Erased { at: *at },
            Outcome::Kept => ControlOutcome::Kept,
            _ => ControlOutcome::Unavailable,
        }
    }
}
