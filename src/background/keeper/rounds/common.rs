//! What the parts of a round have in common: who this node is, what is known of Redis, when SQL may
//! be asked, where is logged and counted, and what the node is told. Must not know the parts.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::seam::{Effect, Notice};
use crate::keeper::metrics::KeeperMetrics;
use crate::sql_failure::SqlFailure;
use nudged_base::backoff::Holdoff;
use nudged_base::clock::Now;
use nudged_base::ids::NodeId;
use nudged_base::telemetry::log::{Log, LogField, LogValue, Message};
use nudged_redis::learned::Learned;
use nudged_redis::request::{OwnedReply, RedisError};

/// Why a round ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoundError {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("Redis sent an unexpected reply to {0}")]
    Answer(&'static str),
    /// What came is not of what was wanted.
    #[error("an answer came that nothing had asked for")]
    Unasked,
}

/// What a part wants next; `None` where it is over.
pub(super) type Turn = Result<Option<Effect>, RoundError>;

/// What Redis answered.
pub(super) type Answers = Vec<OwnedReply>;

/// How many scripts did what they were to.
///
/// # Errors
/// The first refusal.
pub(super) fn count_ones(answers: &[OwnedReply]) -> Result<u64, RedisError> {
    let refusal = answers.iter().find_map(|answer| match answer {
        OwnedReply::Error(text) => Some(RedisError::refused(text.clone())),
        _ => None,
    });
    let ones = answers.iter().filter(|answer| **answer == OwnedReply::Int(1));
    refusal.map_or(Ok(u64::try_from(ones.count()).unwrap_or(u64::MAX)), Err)
}

#[derive(Debug)]
pub(super) struct Common {
    pub node: NodeId,
    /// Names this process among those that would lead.
    pub token: String,
    /// How long users' values live, in milliseconds; 0 for ever.
    pub ttl_ms: u64,
    pub metrics: Arc<KeeperMetrics>,
    pub log: Log,
    /// Until when SQL is left alone.
    pub sql_rest: Holdoff,
    /// What is known of Redis, as the shards are told.
    pub learned: Learned,
    pub notices: Vec<Notice>,
    /// What was done asks for the next round at once.
    pub is_news: bool,
}

impl Common {
    pub(crate) fn may_ask_sql(&self, now: Now) -> bool {
        self.sql_rest.left(now.mono).is_none()
    }

    /// What SQL said; logs a failure, and leaves SQL alone after it.
    pub fn of_sql<T>(&mut self, now: Now, result: Result<T, SqlFailure>) -> Option<T> {
        match result {
            Ok(value) => {
                self.sql_rest.succeeded();
                self.log.write_error(now, Message::KeeperSqlResumed, "");
                Some(value)
            }
            Err(error) => {
                self.sql_rest.failed(now.mono);
                self.metrics.sql_failures.fetch_add(1, Ordering::Relaxed);
                self.log.write_error(now, Message::KeeperSqlFailed, &error.text);
                None
            }
        }
    }

    /// Shares what is known of Redis with the node.
    pub(crate) fn share_learned(&mut self) {
        self.notices.push(Notice::Learn(self.learned));
    }

    pub(crate) fn log_numbers(&self, now: Now, message: Message, numbers: &[(&'static str, u64)]) {
        let fields: Vec<LogField<'_>> =
            numbers.iter().map(|(name, number)| (*name, LogValue::Number(*number))).collect();
        self.log.write(now, message, &fields);
    }
}
