//! Connections by listener, as one shard counts them: a row for each place in the setting `listen`.
//! Allocates nothing.

use super::counter::Counter;
use crate::limits::LISTENERS_MAX;

/// What became of one listener's connections.
#[derive(Debug, Default)]
pub struct ListenerRow {
    /// Accepted, those that were refused included.
    pub accepted: Counter,
    /// Open now.
    pub open: Counter,
    /// Refused because too many were open.
    pub refused: Counter,
}

/// Rows of all listeners that there can be.
#[derive(Debug, Default)]
pub struct ListenerCounters([ListenerRow; LISTENERS_MAX]);

impl ListenerCounters {
    /// The row of a listener, by its place in the setting.
    pub fn at(&self, listener: u16) -> &ListenerRow {
        &self.0[usize::from(listener) % LISTENERS_MAX]
    }
}
