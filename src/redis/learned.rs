//! What a node has learned of its Redis as a whole, for all who decide by it.

/// No run: Redis counts runs by a hash that is never this.
pub const NO_RUN: u64 = 0;

/// What the keeper of Redis has learned of it in its latest round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// The run that answers the keeper; 0 before the first answer.
    pub run: u64,
    /// It may evict users: one who is missing there proves nothing.
    pub is_evicting: bool,
    /// It is a replica: what it has may be old, and it takes nothing.
    pub is_replica: bool,
    /// It denies a right without which nothing is decided by it.
    pub is_denied: bool,
    /// It denies a right without which nobody hears of changes.
    pub is_unheard: bool,
    /// Whether it syncs each write before it answers; `None` where it does not say.
    pub syncs_always: Option<bool>,
}
