//! Filling Redis from SQL: first what an older file has brought back is raised to what SQL has,
//! erased users among it, whose ids only Redis still knows; then every user of SQL who is missing
//! is written. Each step works for a while and rests as long, so that neither server is flooded.
//!
//! Where Redis drops users by itself, those that are missing are read from SQL when they are asked
//! for: only what is there is raised.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use super::actions::count_ones;
use super::{Effect, RoundError, Rounds, Stage, Turn, View};
use crate::keeper::core::Filling;
use crate::keeper::scripts;
use crate::sql_failure::SqlFailure;
use nudged_base::ids::{Partition, Revision, UserKey};
use nudged_base::limits::{FILL_USERS, PARTITIONS, TOMBSTONE_AGE_MAX_MS};
use nudged_domain::state::user::{UserState, encode};
use nudged_redis::request::{
    CommandWords, OwnedReply, RedisError, RedisRequest, call, command, load, only,
};

/// One step works for at most about this long, in milliseconds.
const STEP_MS: u64 = 50;

/// How much of a filling is one piece.
#[derive(Clone, Copy, Debug)]
pub struct FillSizes {
    /// Users that are read and written at once.
    pub users: usize,
    /// Keys of Redis that are looked through at once.
    pub keys: usize,
}

impl Default for FillSizes {
    fn default() -> FillSizes {
        FillSizes { users: FILL_USERS, keys: 1_000 }
    }
}

#[derive(Clone, Debug)]
enum FillCursor {
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
    cursor: FillCursor,
    /// Users that were found at this place and are not through, and where to go on after them.
    left: VecDeque<Vec<String>>,
    then: FillCursor,
}

impl Filler {
    pub(super) fn new(partitions: &[Partition]) -> Filler {
        let mut wanted = vec![false; usize::from(PARTITIONS)];
        partitions.iter().for_each(|partition| wanted[usize::from(partition.0)] = true);
        let cursor = FillCursor::Raising { cursor: "0".to_owned() };
        Filler { partitions: wanted, cursor, left: VecDeque::new(), then: FillCursor::Done }
    }

    /// Users were found, in pieces of `count`; `then` is where to go on after them.
    fn found(&mut self, mut users: Vec<String>, count: usize, then: FillCursor) {
        users.retain(|user| {
            let partition = UserKey::of(user.as_bytes()).partition();
            self.partitions[usize::from(partition.0)]
        });
        self.left = users.chunks(count).map(<[String]>::to_vec).collect();
        self.then = then;
    }
}

impl From<Option<&Filler>> for Filling {
    fn from(filler: Option<&Filler>) -> Filling {
        match filler.map(|filler| &filler.cursor) {
            None => Filling::Idle,
            Some(FillCursor::Done) => Filling::Done,
            Some(_) => Filling::Running,
        }
    }
}

impl Rounds {
    /// Fills for a while and rests as long. `None` where nothing is to be done now.
    pub(super) fn fill_on(&mut self, view: &View) -> Option<Effect> {
        self.fill_begun = view.now.mono;
        self.fill_some(view)
    }

    /// The next piece; rests where it has worked for long enough.
    fn fill_some(&mut self, view: &View) -> Option<Effect> {
        let filler = self.filler.as_ref()?;
        let worked_ms = view.now.mono.0.saturating_sub(self.fill_begun.0) / 1_000_000;
        if matches!(filler.cursor, FillCursor::Done) {
            self.is_news = true;
            return None;
        }
        if worked_ms >= STEP_MS {
            // A stop and a loss are looked for in the next round, not later.
            self.stage = Stage::Filled;
            return Some(Effect::Pause(worked_ms.min(STEP_MS)));
        }
        if !self.may_ask_sql(view) {
            return None;
        }
        Some(match filler.cursor.clone() {
            FillCursor::Raising { cursor } => {
                let (cursor, count) = (cursor.as_bytes(), self.sizes.keys.to_string());
                let pattern = scripts::USERS_PATTERN.as_bytes();
                let scan =
                    command(&[b"SCAN", cursor, b"MATCH", pattern, b"COUNT", count.as_bytes()]);
                self.ask(Stage::Scanning, RedisRequest::Pipeline(vec![scan]))
            }
            FillCursor::Writing { after } => {
                self.stage = Stage::Listing;
                Effect::Users(after, self.sizes.users)
            }
            FillCursor::Done => unreachable!("seen above"),
        })
    }

    /// Goes on with the filling, or with the next action where it does not now.
    fn fill_or_act(&mut self, view: &View) -> Turn {
        match self.fill_some(view) {
            Some(effect) => Ok(effect),
            None => self.act(view),
        }
    }

    /// Some users that Redis has, and where to go on.
    pub(super) fn take_scanned(
        &mut self,
        view: &View,
        answers: Result<Vec<OwnedReply>, RedisError>,
    ) -> Turn {
        let OwnedReply::List(parts) = only(answers?)? else {
            return Err(RoundError::Answer("SCAN"));
        };
        let [OwnedReply::Text(next), OwnedReply::List(keys)] = parts.as_slice() else {
            return Err(RoundError::Answer("SCAN"));
        };
        let user = |key: &OwnedReply| match key {
            OwnedReply::Text(key) => scripts::user_of_key(key).map(str::to_owned),
            _ => None,
        };
        let next = String::from_utf8_lossy(next).into_owned();
        let users: Vec<String> = keys.iter().filter_map(user).collect();
        let then = match next.as_str() {
            "0" if self.is_dropping() => FillCursor::Done,
            "0" => FillCursor::Writing { after: String::new() },
            _ => FillCursor::Raising { cursor: next },
        };
        self.found(view, users, then)
    }

    pub(super) fn take_listed(
        &mut self,
        view: &View,
        users: Result<Vec<String>, SqlFailure>,
    ) -> Turn {
        let Some(users) = self.of_sql(view, users) else { return self.fill_or_act(view) };
        let then = match users.last() {
            Some(last) if users.len() >= self.sizes.users => {
                FillCursor::Writing { after: last.clone() }
            }
            _ => FillCursor::Done,
        };
        self.found(view, users, then)
    }

    fn found(&mut self, view: &View, users: Vec<String>, then: FillCursor) -> Turn {
        let count = self.sizes.users;
        if let Some(filler) = &mut self.filler {
            filler.found(users, count, then);
        }
        self.fill_users(view)
    }

    /// The next users that were found are read in SQL; goes on to the next place where none is
    /// left.
    fn fill_users(&mut self, view: &View) -> Turn {
        let Some(filler) = &mut self.filler else { return self.act(view) };
        if let Some(users) = filler.left.pop_front() {
            self.stage = Stage::Filling(users.clone());
            return Ok(Effect::States(users));
        }
        filler.cursor = std::mem::replace(&mut filler.then, FillCursor::Done);
        self.fill_or_act(view)
    }

    /// Writes users into Redis, where they are absent unless their keys were found there.
    pub(super) fn take_states(
        &mut self,
        view: &View,
        users: &[String],
        states: Result<Vec<Option<UserState>>, SqlFailure>,
    ) -> Turn {
        // Where it failed the same users come again.
        let Some(states) = self.of_sql(view, states) else { return self.fill_or_act(view) };
        let is_present = match self.filler.as_ref().map(|filler| &filler.cursor) {
            Some(place) => matches!(place, FillCursor::Raising { .. }),
            None => return self.act(view),
        };
        let unreadable = states.iter().filter(|state| state.is_none()).count();
        let unreadable = u64::try_from(unreadable).unwrap_or(u64::MAX);
        self.metrics.users_unreadable.fetch_add(unreadable, Ordering::Relaxed);
        let ttl_ms = self.ttl_ms;
        let known = users.iter().zip(states).filter_map(|(user, state)| Some((user, state?)));
        // One that SQL does not know has nothing to be raised to.
        let known = known.filter(|(_, state)| state.revision > Revision::default());
        let calls = known.map(|(user, state)| refill(user, &state, ttl_ms, is_present));
        let commands = std::iter::once(load(scripts::REFILL)).chain(calls).collect();
        Ok(self.ask(Stage::Refilling, RedisRequest::Pipeline(commands)))
    }

    pub(super) fn take_refilled(
        &mut self,
        view: &View,
        answers: Result<Vec<OwnedReply>, RedisError>,
    ) -> Turn {
        let answers = answers?;
        for answer in &answers {
            if let OwnedReply::Error(text) = answer {
                return Err(RedisError::refused(text.clone()).into());
            }
        }
        self.metrics.users_filled.fetch_add(count_ones(&answers), Ordering::Relaxed);
        self.fill_users(view)
    }

    /// Whether Redis drops users by itself.
    fn is_dropping(&self) -> bool {
        self.ttl_ms > 0 || self.learned.is_evicting
    }
}

/// A call of the script for a user.
fn refill(user: &str, state: &UserState, ttl_ms: u64, is_present: bool) -> CommandWords {
    let partition = UserKey::of(user.as_bytes()).partition();
    let mut revision = state.revision.epoch.to_be_bytes().to_vec();
    revision.extend_from_slice(&state.revision.counter.to_be_bytes());
    let mut encoded = Vec::new();
    encode(state, &mut encoded);
    let is_erased = state.popups.is_empty() && ttl_ms == 0;
    // What is left of an erased user goes when no token of before can be valid any more.
    let ttl_ms = if is_erased { TOMBSTONE_AGE_MAX_MS } else { ttl_ms };
    let flag: &[u8] = if is_present { b"1" } else { b"0" };
    let key = scripts::user_key(partition, user);
    call(scripts::REFILL, &key, &[&revision, &encoded, ttl_ms.to_string().as_bytes(), flag])
}
