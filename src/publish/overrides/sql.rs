//! SQL: brings entries there, each with its own time and who, and learns of those that others have
//! ended. What the watch reads of SQL with each new version of the catalog is taken in by the
//! publisher; what is left for here is an entry that SQL does not mention any more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Destination;
use nudged_base::limits::{
    CATALOG_SQL_POLL_MS, OVERRIDES_PUT_MAX, OVERRIDES_RETRY_MS, TOKENS_SQL_POLL_MS,
};
use nudged_base::telemetry::log::Message;
use nudged_config::Config;
use nudged_domain::catalog::overrides::{OverrideId, OverridePlace};
use nudged_domain::operators::OperatorTokenId;
use nudged_runtime::clocks;
use nudged_runtime::threads::sql_fitness::Asker;
use nudged_runtime::threads::sql_writer::WriterFigures;
use nudged_store::{Store, StoreError};

/// What it asks.
pub(super) struct Courier {
    store: Store,
    /// Where it is said how SQL answers.
    writer: Arc<WriterFigures>,
    /// When SQL was asked last for what it does not mention.
    asked: Option<Instant>,
    /// When its tokens were read last.
    tokens_read: Option<Instant>,
}

impl Courier {
    /// A connection of its own: the others may wait for something else.
    ///
    /// # Errors
    /// Where the file can't be opened.
    pub(super) fn new(config: &Config, writer: Arc<WriterFigures>) -> Result<Courier, StoreError> {
        Ok(Courier { store: Store::of(config)?, writer, asked: None, tokens_read: None })
    }

    /// Brings and learns, until it is stopped.
    pub(super) fn run(mut self, destination: Destination) {
        while !destination.is_stopped() {
            match self.round(&destination) {
                Ok(has_asked) => {
                    if has_asked {
                        self.writer.fitness.succeeded(clocks::mono(), Asker::Overrides);
                    }
                    destination.succeeded();
                    destination.wait(Duration::from_millis(CATALOG_SQL_POLL_MS));
                }
                Err(error) => {
                    // What was not answered is asked again, and no success before that.
                    (self.asked, self.tokens_read) = (None, None);
                    self.writer.fitness.failed(clocks::mono(), Asker::Overrides, &error);
                    destination.failed(Message::OverridesWait, &error.to_string());
                    destination.rest(Duration::from_millis(OVERRIDES_RETRY_MS));
                }
            }
        }
    }

    /// Whether SQL was asked anything.
    fn round(&mut self, destination: &Destination) -> Result<bool, StoreError> {
        let mut has_put = false;
        loop {
            let due = destination.due(OVERRIDES_PUT_MAX);
            if due.is_empty() {
                break;
            }
            self.store.put_overrides(&due)?;
            // SQL may know the end of what was brought open.
            let ids: Vec<OverrideId> = due.iter().map(|entry| entry.id).collect();
            destination.take(&self.store.overrides_of(&ids)?);
            destination.mark(&due);
            has_put = true;
        }
        if has_put {
            destination.publisher.take_stored();
        }
        let has_asked = self.round_of_tokens(destination)?;
        Ok(self.ask_for_unmentioned(destination)? || has_put || has_asked)
    }

    /// Brings tokens, and learns of those that others brought. Whether SQL was asked.
    fn round_of_tokens(&mut self, destination: &Destination) -> Result<bool, StoreError> {
        let (publisher, place) = (&destination.publisher, destination.place);
        publisher.end_expired_tokens();
        let due = destination.due_tokens();
        if !due.is_empty() {
            self.store.put_operator_tokens(&due)?;
            // SQL may know the end of what was brought in force.
            let ids: Vec<OperatorTokenId> = due.iter().map(|token| token.id).collect();
            publisher.take_tokens(&self.store.operator_tokens_of(&ids)?, place);
            publisher.mark_tokens(&due, place);
        }
        let poll = Duration::from_millis(TOKENS_SQL_POLL_MS);
        let is_read = self.tokens_read.is_none_or(|at| at.elapsed() >= poll);
        if is_read {
            self.tokens_read = Some(Instant::now());
            let stored = self.store.operator_tokens()?;
            // One that was put back to an older state gets the others again.
            publisher.with_tokens(|tokens| tokens.unmark_others(place, &stored));
            publisher.take_tokens(&stored, place);
        }
        Ok(is_read || !due.is_empty())
    }

    /// Asks for what stands here, is in SQL as far as is known, and was not among what SQL told
    /// last: it has ended long ago, or SQL was put back to an older state and is to get it again.
    /// Whether there was something to ask for.
    fn ask_for_unmentioned(&mut self, destination: &Destination) -> Result<bool, StoreError> {
        let is_due =
            self.asked.is_none_or(|at| at.elapsed() >= Duration::from_millis(CATALOG_SQL_POLL_MS));
        if !is_due {
            return Ok(false);
        }
        self.asked = Some(Instant::now());
        let current = destination.publisher.current();
        let told: BTreeSet<OverrideId> = current.overrides.iter().map(|entry| entry.id).collect();
        let ids: Vec<OverrideId> = destination.publisher.with_overrides(|overrides| {
            let standing = overrides.all().filter(|held| held.entry.end.is_none());
            let stored = standing.filter(|held| held.is_in(OverridePlace::Sql));
            stored.map(|held| held.entry.id).filter(|id| !told.contains(id)).collect()
        });
        for ids in ids.chunks(OVERRIDES_PUT_MAX) {
            let found = self.store.overrides_of(ids)?;
            destination.take(&found);
            let there: BTreeSet<OverrideId> = found.iter().map(|entry| entry.id).collect();
            destination.publisher.with_overrides(|overrides| {
                let gone = ids.iter().filter(|id| !there.contains(id));
                gone.for_each(|id| overrides.unmark(*id, OverridePlace::Sql));
            });
        }
        Ok(!ids.is_empty())
    }
}
