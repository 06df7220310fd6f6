//! Why SQL did not do what a machine asked of it, as far as the machine acts upon it. Must not know
//! databases: whoever carries effects out says what an error of theirs means.

use nudged_base::ids::{Sequence, StreamId};

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlMeaning {
    /// The records start beyond this position: SQL has gone back.
    Behind(Sequence),
    /// Another process has claimed this stream.
    Fenced(StreamId),
    /// Going on would mix two journals.
    Halted,
    /// The server does not let the node do it.
    Denied,
    /// Somebody has to do something first, or a server has to get room.
    Lasting,
    /// It may pass.
    Passing,
}

/// A failure of SQL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct SqlFailure {
    /// What follows from it.
    pub meaning: SqlMeaning,
    /// The name of its kind in metrics.
    pub cause: &'static str,
    /// What it is, for people.
    pub text: String,
}
