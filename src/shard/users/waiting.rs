//! Commands that wait for a user's state: who waits for them, for how long, and upon what they run
//! again.

use std::collections::VecDeque;

use crate::origin::Origin;
use nudged_api::command::EncodedCommand;
use nudged_base::time::MonoNs;

/// A command that needs a user's state, and who waits for its outcome.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Who waits.
    pub origin: Origin,
    /// What is to be executed; `None` where the state was only wanted early.
    pub command: Option<EncodedCommand>,
    /// Until when it may wait: for one user after another where it is about several.
    pub until: MonoNs,
    /// How often it was evaluated and another node was first.
    pub tries: u8,
    /// How many of its counts its user's rate has taken.
    pub counted: u8,
}

impl Waiter {
    /// What it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.command.as_ref().map_or(0, EncodedCommand::bytes)
    }
}

/// Upon what a command is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StateAccess {
    /// What is in memory, or what it takes to get it there.
    #[default]
    Cached,
    /// What has just come from Redis, and is in memory.
    Fresh,
    /// Nothing: the state is not to be had in time.
    Missing,
}

/// Commands of a user that may run again, in their order.
pub(crate) struct Resumed {
    /// The user's id.
    pub user: String,
    /// The commands.
    pub waiters: VecDeque<Waiter>,
    /// Upon what they run.
    pub access: StateAccess,
}
