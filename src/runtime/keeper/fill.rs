//! Filling Redis from SQL: first what an older file has brought back is raised to what SQL has,
//! erased users among it, whose ids only Redis still knows; then every user of SQL who is missing
//! is written. Each step works for a while and rests as long, so that neither server is flooded.
//!
//! Where Redis drops users by itself, those that are missing are read from SQL when they are asked
//! for: only what is there is raised.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{RoundError, Thread};
use crate::base::ids::{Partition, Revision, UserKey};
use crate::base::limits::{FILL_USERS, PARTITIONS, TOMBSTONE_AGE_MAX_MS};
use crate::keeper::core::Filling;
use crate::keeper::scripts;
use crate::redis::ask::Answer;
use crate::state::user::{UserState, encode};
use crate::store::StoreError;

/// One step works for at most about this long.
const STEP: Duration = Duration::from_millis(50);

#[derive(Debug)]
enum Stage {
    /// Through the keys of Redis, from this cursor.
    Raising {
        cursor: String,
    },
    /// Through the users of SQL, behind this one.
    Writing {
        after: String,
    },
    Done,
}

/// How far a filling is.
#[derive(Debug)]
pub(super) struct Filler {
    /// By partition: whether it is filled.
    partitions: Vec<bool>,
    stage: Stage,
}

impl Filler {
    pub(super) fn new(partitions: &[Partition]) -> Filler {
        let mut wanted = vec![false; usize::from(PARTITIONS)];
        partitions.iter().for_each(|partition| wanted[usize::from(partition.0)] = true);
        Filler { partitions: wanted, stage: Stage::Raising { cursor: "0".to_owned() } }
    }

    fn wants(&self, user: &str) -> bool {
        let partition = UserKey::of(user.as_bytes()).partition();
        self.partitions[usize::from(partition.0)]
    }
}

impl From<Option<&Filler>> for Filling {
    fn from(filler: Option<&Filler>) -> Filling {
        match filler.map(|filler| &filler.stage) {
            None => Filling::Idle,
            Some(Stage::Done) => Filling::Done,
            Some(_) => Filling::Running,
        }
    }
}

impl Thread {
    /// Fills for a while and rests as long; whether there is more to do.
    pub(super) fn fill_on(&mut self) -> Result<bool, RoundError> {
        let begun = Instant::now();
        let Some(mut filler) = self.filler.take() else { return Ok(false) };
        while begun.elapsed() < STEP && !matches!(filler.stage, Stage::Done) {
            if !self.may_ask_sql() {
                self.filler = Some(filler);
                return Ok(false);
            }
            self.fill_some(&mut filler)?;
        }
        let is_done = matches!(filler.stage, Stage::Done);
        self.filler = Some(filler);
        if !is_done {
            // A stop and a loss are looked for in the next round, not later.
            std::thread::sleep(begun.elapsed().min(STEP));
        }
        Ok(true)
    }

    fn fill_some(&mut self, filler: &mut Filler) -> Result<(), RoundError> {
        match &filler.stage {
            Stage::Raising { cursor } => {
                let (next, users) = self.scan(&cursor.clone())?;
                let users: Vec<String> =
                    users.into_iter().filter(|user| filler.wants(user)).collect();
                for users in users.chunks(FILL_USERS) {
                    if !self.fill_users(users, true)? {
                        // The same keys come again.
                        return Ok(());
                    }
                }
                filler.stage = match next.as_str() {
                    "0" if self.is_dropping() => Stage::Done,
                    "0" => Stage::Writing { after: String::new() },
                    _ => Stage::Raising { cursor: next },
                };
            }
            Stage::Writing { after } => {
                let users = self.setup.stores.1.users_after(after, FILL_USERS);
                let Some(users) = self.of_sql(users) else { return Ok(()) };
                let is_last = users.len() < FILL_USERS;
                let last = users.last().cloned();
                let wanted: Vec<String> =
                    users.into_iter().filter(|user| filler.wants(user)).collect();
                if !self.fill_users(&wanted, false)? {
                    return Ok(());
                }
                filler.stage = match last {
                    Some(after) if !is_last => Stage::Writing { after },
                    _ => Stage::Done,
                };
            }
            Stage::Done => {}
        }
        Ok(())
    }

    /// Some users that Redis has, and where to go on.
    fn scan(&mut self, cursor: &str) -> Result<(String, Vec<String>), RoundError> {
        let answer = self.setup.redis.ask(&[
            b"SCAN",
            cursor.as_bytes(),
            b"MATCH",
            scripts::USERS_PATTERN.as_bytes(),
            b"COUNT",
            b"1000",
        ])?;
        let Answer::List(parts) = answer else { return Err(RoundError::Answer("SCAN")) };
        let [Answer::Text(next), Answer::List(keys)] = parts.as_slice() else {
            return Err(RoundError::Answer("SCAN"));
        };
        let user = |key: &Answer| match key {
            Answer::Text(key) => scripts::user_of_key(key).map(str::to_owned),
            _ => None,
        };
        let next = String::from_utf8_lossy(next).into_owned();
        Ok((next, keys.iter().filter_map(user).collect()))
    }

    /// Reads users in SQL and writes them into Redis, where they are absent only unless `present`;
    /// false where SQL failed.
    fn fill_users(&mut self, users: &[String], present: bool) -> Result<bool, RoundError> {
        if users.is_empty() {
            return Ok(true);
        }
        let names: Vec<&str> = users.iter().map(String::as_str).collect();
        let ttl_ms = self.setup.times_ms.1;
        let mut calls = Vec::with_capacity(names.len());
        let mut found = |index: usize, state: UserState| {
            // One that SQL does not know has nothing to be raised to.
            if state.revision > Revision::default() {
                calls.push(refill(names[index], &state, ttl_ms, present));
            }
        };
        let unreadable: Result<usize, StoreError> =
            self.setup.stores.1.read_users(&names, &mut found);
        let Some(unreadable) = self.of_sql(unreadable) else { return Ok(false) };
        let written = self.script_each(scripts::REFILL, &calls)?;
        let figures = &self.setup.figures;
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        figures.users_filled.fetch_add(count(written), Ordering::Relaxed);
        figures.users_unreadable.fetch_add(count(unreadable), Ordering::Relaxed);
        Ok(true)
    }

    /// Whether Redis drops users by itself.
    fn is_dropping(&self) -> bool {
        self.setup.times_ms.1 > 0 || self.learned.is_evicting
    }
}

/// A user's key with the arguments of the script.
fn refill(user: &str, state: &UserState, ttl_ms: u64, present: bool) -> (String, Vec<Vec<u8>>) {
    let partition = UserKey::of(user.as_bytes()).partition();
    let mut revision = state.revision.epoch.to_be_bytes().to_vec();
    revision.extend_from_slice(&state.revision.counter.to_be_bytes());
    let mut encoded = Vec::new();
    encode(state, &mut encoded);
    let is_erased = state.popups.is_empty() && ttl_ms == 0;
    // What is left of an erased user goes when no token of before can be valid any more.
    let ttl_ms = if is_erased { TOMBSTONE_AGE_MAX_MS } else { ttl_ms };
    let flag: &[u8] = if present { b"1" } else { b"0" };
    let arguments = vec![revision, encoded, ttl_ms.to_string().into_bytes(), flag.to_vec()];
    (scripts::user_key(partition, user), arguments)
}
