//! Filling Redis from SQL: first what an older file has brought back is raised to what SQL has,
//! erased users among it, whose ids only Redis still knows; then every user of SQL who is missing
//! is written. Each step works for a while and rests as long, so that neither server is flooded.
//!
//! ```text
//! raising  SCAN -> users -> their states in SQL -> written where Redis has less -> SCAN ...
//! writing  users of SQL -> their states -> written where Redis has none -> users of SQL ...
//! ```
//!
//! Where Redis drops users by itself, those that are missing are read from SQL when they are asked
//! for: only what is there is raised.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use super::common::{Answers, Common, RoundError, Turn, count_ones};
use super::seam::{Effect, Input, View};
use crate::keeper::core::Filling;
use crate::keeper::scripts;
use crate::sql_failure::SqlFailure;
use nudged_base::ids::{Partition, Revision, UserKey};
use nudged_base::limits::{FILL_USERS, PARTITIONS, TOMBSTONE_AGE_MAX_MS};
use nudged_base::time::MonoNs;
use nudged_domain::state::user::{UserState, encode};
use nudged_redis::request::{CommandWords, OwnedReply, RedisRequest, call, command, load, only};

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
    Raising(String),
    /// Through the users of SQL, behind this one.
    Writing(String),
    Done,
}

/// What is waited for.
#[derive(Debug)]
enum Stage {
    Scanning,
    Listing,
    Reading(Vec<String>),
    Refilling,
    /// It has worked for long enough.
    Pausing,
}

/// How far a filling is.
#[derive(Debug)]
pub(super) struct Filler {
    /// By partition: whether it is filled.
    partitions: Vec<bool>,
    sizes: FillSizes,
    cursor: FillCursor,
    /// Users that were found at this cursor and are not through, and where to go on after them.
    left: VecDeque<Vec<String>>,
    then: FillCursor,
    /// When this step began.
    begun: MonoNs,
    stage: Stage,
}

impl Filler {
    pub(super) fn new(partitions: &[Partition], sizes: FillSizes) -> Filler {
        let mut wanted = vec![false; usize::from(PARTITIONS)];
        partitions.iter().for_each(|partition| wanted[usize::from(partition.0)] = true);
        Filler {
            partitions: wanted,
            sizes,
            cursor: FillCursor::Raising("0".to_owned()),
            left: VecDeque::new(),
            then: FillCursor::Done,
            begun: MonoNs(0),
            stage: Stage::Scanning,
        }
    }

    pub(super) fn filling(&self) -> Filling {
        match self.cursor {
            FillCursor::Done => Filling::Done,
            _ => Filling::Running,
        }
    }

    /// Fills for a while and rests as long. `None` where nothing is to be done now.
    pub(super) fn begin(&mut self, common: &mut Common, view: &View) -> Option<Effect> {
        self.begun = view.now.mono;
        self.next_piece(common, view)
    }

    pub(super) fn step(&mut self, common: &mut Common, view: &View, input: Input) -> Turn {
        match (std::mem::replace(&mut self.stage, Stage::Pausing), input) {
            (Stage::Scanning, Input::Answered(answers)) => {
                self.take_scanned(common, view, answers?)
            }
            (Stage::Listing, Input::Users(users)) => Ok(self.take_listed(common, view, users)),
            (Stage::Reading(users), Input::States(states)) => {
                Ok(self.take_states(common, view, &users, states))
            }
            (Stage::Refilling, Input::Answered(answers)) => {
                self.take_refilled(common, view, &answers?)
            }
            (Stage::Pausing, _) => {
                common.is_news = true;
                Ok(None)
            }
            _ => Err(RoundError::Unasked),
        }
    }

    fn wait(&mut self, stage: Stage, effect: Effect) -> Option<Effect> {
        self.stage = stage;
        Some(effect)
    }

    /// The next piece; rests where it has worked for long enough.
    fn next_piece(&mut self, common: &mut Common, view: &View) -> Option<Effect> {
        let worked_ms = view.now.mono.0.saturating_sub(self.begun.0) / 1_000_000;
        if matches!(self.cursor, FillCursor::Done) {
            common.is_news = true;
            return None;
        }
        if worked_ms >= STEP_MS {
            // A stop and a loss are looked for in the next round, not later.
            return self.wait(Stage::Pausing, Effect::Pause(worked_ms.min(STEP_MS)));
        }
        if !common.may_ask_sql(view.now) {
            return None;
        }
        match self.cursor.clone() {
            FillCursor::Raising(cursor) => {
                let (pattern, count) = (scripts::USERS_PATTERN, self.sizes.keys.to_string());
                let words = ["SCAN", &*cursor, "MATCH", pattern, "COUNT", &*count];
                let scan = command(&words.map(str::as_bytes));
                self.wait(Stage::Scanning, Effect::Ask(RedisRequest::Pipeline(vec![scan])))
            }
            FillCursor::Writing(after) => {
                self.wait(Stage::Listing, Effect::Users(after, self.sizes.users))
            }
            FillCursor::Done => unreachable!("seen above"),
        }
    }

    /// Some users that Redis has, and where to go on.
    fn take_scanned(&mut self, common: &mut Common, view: &View, answers: Answers) -> Turn {
        let OwnedReply::List(parts) = only(answers)? else {
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
        let is_dropping = common.ttl_ms > 0 || common.learned.is_evicting;
        self.then = match next.as_str() {
            "0" if is_dropping => FillCursor::Done,
            "0" => FillCursor::Writing(String::new()),
            _ => FillCursor::Raising(next),
        };
        self.found(keys.iter().filter_map(user).collect());
        Ok(self.next_users(common, view))
    }

    fn take_listed(
        &mut self,
        common: &mut Common,
        view: &View,
        users: Result<Vec<String>, SqlFailure>,
    ) -> Option<Effect> {
        let Some(users) = common.of_sql(view.now, users) else {
            return self.next_piece(common, view);
        };
        self.then = match users.last() {
            Some(last) if users.len() >= self.sizes.users => FillCursor::Writing(last.clone()),
            _ => FillCursor::Done,
        };
        self.found(users);
        self.next_users(common, view)
    }

    /// Users were found: those of the partitions that are filled come next, in pieces.
    fn found(&mut self, mut users: Vec<String>) {
        users.retain(|user| {
            let partition = UserKey::of(user.as_bytes()).partition();
            self.partitions[usize::from(partition.0)]
        });
        self.left = users.chunks(self.sizes.users).map(<[String]>::to_vec).collect();
    }

    /// The next users that were found are read in SQL; goes on behind them where none is left.
    fn next_users(&mut self, common: &mut Common, view: &View) -> Option<Effect> {
        if let Some(users) = self.left.pop_front() {
            return self.wait(Stage::Reading(users.clone()), Effect::States(users));
        }
        self.cursor = std::mem::replace(&mut self.then, FillCursor::Done);
        self.next_piece(common, view)
    }

    /// Writes users into Redis, where they are absent unless their keys were found there.
    fn take_states(
        &mut self,
        common: &mut Common,
        view: &View,
        users: &[String],
        states: Result<Vec<Option<UserState>>, SqlFailure>,
    ) -> Option<Effect> {
        // Where it failed the same users come again.
        let Some(states) = common.of_sql(view.now, states) else {
            return self.next_piece(common, view);
        };
        let unreadable = states.iter().filter(|state| state.is_none()).count();
        let unreadable = u64::try_from(unreadable).unwrap_or(u64::MAX);
        common.metrics.users_unreadable.fetch_add(unreadable, Ordering::Relaxed);
        let is_present = matches!(self.cursor, FillCursor::Raising(_));
        let ttl_ms = common.ttl_ms;
        let known = users.iter().zip(states).filter_map(|(user, state)| Some((user, state?)));
        // One that SQL does not know has nothing to be raised to.
        let known = known.filter(|(_, state)| state.revision > Revision::default());
        let calls = known.map(|(user, state)| refill(user, &state, ttl_ms, is_present));
        let commands = std::iter::once(load(scripts::REFILL)).chain(calls).collect();
        self.wait(Stage::Refilling, Effect::Ask(RedisRequest::Pipeline(commands)))
    }

    fn take_refilled(&mut self, common: &mut Common, view: &View, answers: &Answers) -> Turn {
        let filled = count_ones(answers)?;
        common.metrics.users_filled.fetch_add(filled, Ordering::Relaxed);
        Ok(self.next_users(common, view))
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
