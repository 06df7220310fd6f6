//! Reading users back for the shards, as a machine: from SQL, with the records laid over that SQL
//! had not applied at the start and may lack still. Must not know who asks, databases or threads.
//!
//! ```text
//! users -> their open records -> SQL -> laid over -> states
//! ```

use std::sync::Arc;

use crate::projection::overlay;
use crate::sql_failure::SqlFailure;
use nudged_base::clock::Now;
use nudged_base::ids::{Sequence, UserKey};
use nudged_base::limits::USER_POPUPS_MAX;
use nudged_base::telemetry::log::{Log, Message};
use nudged_domain::state::user::{self, UserState};
use nudged_journal::disk::DiskRead;
use nudged_journal::record::frames;
use nudged_journal::recovery::UnappliedIndex;

/// How it is around the machine when it steps.
pub struct View<'a, D> {
    /// Both clocks.
    pub now: Now,
    /// Files of the journal.
    pub disk: &'a D,
    /// Everything up to here is in SQL.
    pub applied: Sequence,
}

/// What the machine wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Wait until users are asked for; [`Input::Asked`].
    Listen,
    /// Read [`ReadBack::users`] in one transaction; [`Input::Read`].
    Read,
    /// Give the encoded states of the users that were asked for, in their order: an empty user's
    /// where SQL has none, `None` where it could not be read.
    Answer(Vec<Option<Vec<u8>>>),
}

/// What came of an effect.
#[derive(Debug)]
pub enum Input {
    /// It is answered.
    Go,
    /// The users that are asked for.
    Asked(Vec<Box<str>>),
    /// Their states, in the same order; `None` where rows can't be read.
    Read(Result<Vec<Option<UserState>>, SqlFailure>),
}

/// One that reads a batch of users at a time.
#[derive(Debug)]
pub struct ReadBack {
    unapplied: Arc<UnappliedIndex>,
    log: Log,
    users: Vec<Box<str>>,
    /// Framed open records of each user of the batch; `None` where they can't be read.
    records: Vec<Option<Vec<u8>>>,
}

impl ReadBack {
    /// `unapplied` are the records that SQL had not applied at the start.
    pub fn new(unapplied: Arc<UnappliedIndex>, log: Log) -> ReadBack {
        ReadBack { unapplied, log, users: Vec::new(), records: Vec::new() }
    }

    /// The users of the batch. Allocates.
    pub fn users(&self) -> Vec<&str> {
        self.users.iter().map(|user| &**user).collect()
    }

    /// What is to be done next.
    pub fn step(&mut self, view: &View<'_, impl DiskRead>, input: Input) -> Effect {
        match input {
            Input::Go => Effect::Listen,
            Input::Asked(users) => {
                self.users = users;
                self.forget_applied(view.applied);
                self.collect_records(view);
                Effect::Read
            }
            Input::Read(states) => Effect::Answer(self.answers(view.now, states)),
        }
    }

    /// Once SQL has everything that was open at the start, nothing has to be laid over. The memory
    /// goes with the last reader that finds it so.
    fn forget_applied(&mut self, applied: Sequence) {
        if !self.unapplied.is_empty() && applied >= self.unapplied.end() {
            self.unapplied = Arc::default();
        }
    }

    /// Reads the open records of each user before SQL is asked, so that what SQL applies meanwhile
    /// is seen twice and not missed.
    fn collect_records(&mut self, view: &View<'_, impl DiskRead>) {
        let ReadBack { unapplied, log, users, records, .. } = self;
        records.clear();
        for user in users {
            let mut found = Vec::new();
            let result = match unapplied.contains(UserKey::of(user.as_bytes())) {
                true => unapplied.read(user, view.disk, &mut found).map(|_| ()),
                false => Ok(()),
            };
            if let Err(error) = &result {
                log.write_error(view.now, Message::ReadFailed, &error.to_string());
            }
            records.push(result.is_ok().then_some(found));
        }
    }

    fn answers(
        &self,
        now: Now,
        states: Result<Vec<Option<UserState>>, SqlFailure>,
    ) -> Vec<Option<Vec<u8>>> {
        match states {
            Ok(states) => {
                if !self.records.contains(&None) {
                    self.log.write_error(now, Message::ReadResumed, "");
                }
                let overlaid = self.records.iter().zip(states);
                overlaid.map(|(records, state)| overlay(records.as_deref()?, state?)).collect()
            }
            Err(error) => {
                self.log.write_error(now, Message::ReadFailed, &error.text);
                self.users.iter().map(|_| None).collect()
            }
        }
    }
}

/// A state with records laid over it, encoded.
fn overlay(records: &[u8], mut state: UserState) -> Option<Vec<u8>> {
    for frame in frames(records) {
        let record = frame.ok()?.record().ok()?;
        overlay::apply_record(&mut state, &record).ok()?;
    }
    // A popup that no catalog knew was pushed out without a name.
    let surplus = state.popups.len().saturating_sub(USER_POPUPS_MAX);
    state.popups.drain(..surplus);
    let mut encoded = Vec::with_capacity(64);
    user::encode(&state, &mut encoded);
    Some(encoded)
}
