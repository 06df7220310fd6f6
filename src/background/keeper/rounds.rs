//! The rounds of the keeper of Redis, as a machine: reads what a round needs, in Redis, in SQL and
//! of this node, asks `core` what follows from it, and carries that out. What it does and why is in
//! the module above; here is only how. Must not know connections, threads or statements: whole
//! questions and lookups are its effects.
//!
//! ```text
//! resting -> alive (SQL) -> rights -> reading -> Keeper::decide -> backlog -> acting -> resting
//!    ^                                                                          |
//!    +--- a failure of Redis ends the round wherever it is; the next one reads again
//! ```
//!
//! Each part of a round is a machine of its own, which gives its next effect or is over: `trial`
//! rights · `reading` Redis · `backlog` the lists · `actions`, `fill` what is carried out. `common`
//! what they share · `fitness` what is wrong · `seam` effects. Limits: `KEEPER_BUSY_MS` and
//! `KEEPER_IDLE_MS` between rounds.

mod actions;
mod backlog;
mod common;
mod fill;
mod fitness;
mod reading;
mod seam;
#[cfg(test)]
mod tests;
mod trial;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::{Keeper, View as KeeperView};
use super::metrics::KeeperMetrics;
use crate::lists::assignment::ListAssignment;
use nudged_base::backoff::{Backoff, Holdoff};
use nudged_base::ids::NodeId;
use nudged_base::limits::{KEEPER_SQL_BEAT_MS, PARTITIONS};
use nudged_base::telemetry::log::{Log, Message};
use nudged_base::time::MonoNs;
use nudged_redis::learned::{Learned, NO_RUN};
use nudged_redis::link::Incompatible;
use nudged_redis::refusal::RedisRefusal;
use nudged_redis::request::RedisError;

use actions::{Actions, lead};
use backlog::Backlog;
use common::{Common, RoundError};
use fitness::{Fitness, Seen};
use reading::Reading;
use trial::Rights;

pub use fill::FillSizes;
pub use seam::{Effect, Input, Notice, View};

/// SQL is left alone for this long after a failure, in milliseconds; doubles up to the longest.
const SQL_REST_MS: u64 = 1_000;
const SQL_BACKOFF: Backoff = Backoff::new(SQL_REST_MS, 5_000);

/// What a keeper's rounds are made of.
pub struct RoundsSetup {
    /// This node.
    pub node: NodeId,
    /// Names this process among those that would lead.
    pub token: String,
    /// When SQL may be asked for the first time: a start that has just waited for it in vain does
    /// not wait for it here as well.
    pub sql_from: MonoNs,
    /// The deadline of a command, and how long users' values live (0 for ever), in milliseconds.
    pub times_ms: (u64, u64),
    /// A reply of Redis has to survive loss of power.
    pub needs_sync: bool,
    /// With `queue = "redis"`: what the threads that drain the lists share with this one.
    pub lists: Option<Arc<ListAssignment>>,
    /// How much of a filling is one piece.
    pub sizes: FillSizes,
    /// Where losses and failures are logged.
    pub log: Log,
    /// Where it counts.
    pub metrics: Arc<KeeperMetrics>,
}

/// After a start that found no SQL it is left alone until then.
pub fn sql_from(now: MonoNs, is_sql_there: bool) -> MonoNs {
    if is_sql_there { MonoNs(0) } else { now.plus_ms(SQL_REST_MS) }
}

/// The part of a round that is under way, in their order; the last two are of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The next round is waited for.
    Resting,
    /// SQL is told that this node is alive.
    Alive,
    Rights,
    Reading,
    Backlog,
    Acting,
    /// The lead is left, so that others need not wait for its term.
    Leaving,
    /// SQL is told that this node has stopped.
    Stopping,
}

/// One node's keeper, round by round.
#[derive(Debug)]
pub struct Rounds {
    common: Common,
    keeper: Keeper,
    stage: Stage,
    rights: Rights,
    sql_nodes: Vec<NodeId>,
    reading: Reading,
    backlog: Option<Backlog>,
    actions: Actions,
    sql_beat_due: MonoNs,
    was_rebuilding: bool,
    /// The latest round was carried out to its end.
    has_written: bool,
    /// Why the keeper itself is not let in.
    not_let_in: Option<String>,
    fitness: Fitness,
}

impl Rounds {
    /// A keeper that has read nothing.
    pub fn new(setup: RoundsSetup) -> Rounds {
        let (deadline_ms, ttl_ms) = setup.times_ms;
        Rounds {
            keeper: Keeper::new(setup.node, deadline_ms, PARTITIONS),
            stage: Stage::Resting,
            rights: Rights::new(setup.lists.is_some(), setup.needs_sync),
            sql_nodes: Vec::new(),
            reading: Reading::default(),
            backlog: setup.lists.map(Backlog::new),
            actions: Actions::new(setup.sizes),
            sql_beat_due: MonoNs(0),
            was_rebuilding: false,
            has_written: false,
            not_let_in: None,
            fitness: Fitness::new(),
            common: Common {
                node: setup.node,
                token: setup.token,
                ttl_ms,
                metrics: setup.metrics,
                log: setup.log,
                sql_rest: Holdoff::new(SQL_BACKOFF, setup.sql_from),
                learned: Learned::default(),
                notices: Vec::new(),
                is_news: false,
            },
        }
    }

    /// What follows from what was read.
    pub fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// What all of the node is to be told since the last call, in order; before the next effect.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.common.notices)
    }

    /// What is to be done next. After a failure a round begins anew.
    pub fn step(&mut self, view: &View, input: Input) -> Effect {
        let common = &mut self.common;
        let next = match (self.stage, input) {
            (Stage::Resting, _) => Ok(None),
            (Stage::Alive, Input::Nodes(nodes)) => {
                self.sql_nodes = common.of_sql(view.now, nodes).unwrap_or_default();
                Ok(None)
            }
            (Stage::Rights, input) => self.rights.step(view, input),
            (Stage::Reading, input) => self.reading.step(common, &self.keeper, input),
            (Stage::Backlog, input) => match &mut self.backlog {
                Some(backlog) => backlog.step(view, input),
                None => Ok(None),
            },
            (Stage::Acting, input) => self.actions.step(common, view, input),
            (Stage::Leaving, _) => return self.say_stopped(view),
            (Stage::Stopping, _) => return Effect::End,
            (Stage::Alive, _) => Err(RoundError::Unasked),
        };
        match next {
            Ok(effect) => effect.unwrap_or_else(|| self.next_part(view)),
            Err(error) => self.round_failed(view, &error),
        }
    }

    /// The next part of a round that has something to do.
    fn next_part(&mut self, view: &View) -> Effect {
        loop {
            let (stage, effect) = match self.stage {
                Stage::Resting if view.is_stopping => (Stage::Leaving, Some(lead(&self.common, 0))),
                Stage::Resting => (Stage::Alive, self.begin(view)),
                Stage::Alive => {
                    let of_lists = self.backlog.as_ref().map_or(0, Backlog::denials);
                    (Stage::Rights, self.rights.begin(view, view.denials + of_lists))
                }
                Stage::Rights => {
                    self.share_rights();
                    let (reading, effect) = Reading::begin(view, &self.keeper);
                    self.reading = reading;
                    (Stage::Reading, Some(effect))
                }
                Stage::Reading => (Stage::Backlog, self.decide(view)),
                Stage::Backlog => (Stage::Acting, self.actions.begin_next(&mut self.common, view)),
                _ => (Stage::Resting, Some(self.end_round(view))),
            };
            self.stage = stage;
            if let Some(effect) = effect {
                return effect;
            }
        }
    }

    /// A round begins: says in SQL that this node is alive, and hears who else is.
    fn begin(&mut self, view: &View) -> Option<Effect> {
        self.common.is_news = false;
        self.sql_nodes.clear();
        let now = view.now.mono;
        if now < self.sql_beat_due || !self.common.may_ask_sql(view.now) {
            return None;
        }
        self.sql_beat_due = now.plus_ms(KEEPER_SQL_BEAT_MS);
        Some(Effect::Heartbeat(self.common.node.to_string()))
    }

    /// Says in SQL that this node has stopped, once all of its journal is there.
    fn say_stopped(&mut self, view: &View) -> Effect {
        self.stage = Stage::Stopping;
        let is_applied = view.progress.applied >= view.progress.written;
        match is_applied && self.common.may_ask_sql(view.now) {
            true => Effect::SayStopped,
            false => Effect::End,
        }
    }

    fn share_rights(&mut self) {
        let missing = self.rights.missing();
        self.common.learned.is_denied = missing.is_deciding;
        self.common.learned.is_unheard = missing.is_hearing;
        self.common.share_learned();
    }

    /// Everything is read: what follows from it is to be carried out, after a look at the lists.
    fn decide(&mut self, view: &View) -> Option<Effect> {
        self.not_let_in = None;
        let reading = std::mem::take(&mut self.reading);
        self.actions.set(self.keeper.decide(&KeeperView {
            now: reading.now,
            signs: &reading.signs,
            sql_nodes: &self.sql_nodes,
            filling: self.actions.filling(),
            own_compared: reading.own_compared,
            own_cleared: view.own_cleared,
            own_lost: &reading.own_lost,
            progress: &view.progress,
        }));
        if self.keeper.is_waiting_for_shards() {
            self.common.notices.push(Notice::WakeShards);
        }
        let nodes = self.keeper.peers().awaited().collect();
        self.backlog.as_mut()?.begin(view, self.common.node, nodes)
    }

    fn end_round(&mut self, view: &View) -> Effect {
        self.has_written = true;
        self.common.log.write_error(view.now, Message::KeeperResumed, "");
        self.common.metrics.rounds.fetch_add(1, Ordering::Relaxed);
        self.publish(view);
        // What was done changes what is there: it is looked at at once.
        Effect::Sleep(if self.common.is_news { 0 } else { self.keeper.pace_ms() })
    }

    fn round_failed(&mut self, view: &View, error: &RoundError) -> Effect {
        self.stage = Stage::Resting;
        self.has_written = false;
        self.common.metrics.failures.fetch_add(1, Ordering::Relaxed);
        self.keeper.disconnected();
        // What answers next may be another one.
        self.common.learned.run = NO_RUN;
        self.common.share_learned();
        let text = error.to_string();
        match error {
            RoundError::Redis(RedisError::Refused { kind: RedisRefusal::Denied, text }) => {
                // The next round looks which right is missing.
                self.rights.doubt();
                let is_login = !text.starts_with("NOPERM") && !text.starts_with("ERR");
                self.not_let_in = is_login.then(|| Incompatible::NotLetIn.to_string());
            }
            // Logged as what is wrong with Redis.
            RoundError::Redis(RedisError::Refused { kind, .. }) if kind.remedy().is_some() => {}
            _ => self.common.log.write_error(view.now, Message::KeeperFailed, &text),
        }
        self.common.notices.push(Notice::GiveUp(text));
        self.publish(view);
        Effect::Rest
    }

    /// Shows and logs how it stands: a rebuild, and what is wrong with Redis.
    fn publish(&mut self, view: &View) {
        let status = self.keeper.rebuild();
        let partitions = self.common.metrics.publish(self.keeper.peers().count(), status);
        let is_rebuilding = status.is_some();
        if !is_rebuilding {
            self.actions.rebuilt();
        }
        if is_rebuilding != std::mem::replace(&mut self.was_rebuilding, is_rebuilding) {
            let (message, count) = match is_rebuilding {
                true => (Message::RebuildNeeded, partitions),
                false => (Message::RebuildEnded, u64::from(PARTITIONS)),
            };
            self.common.log_numbers(view.now, message, &[("partitions", count)]);
        }
        let rights = self.rights.missing().message();
        // A right that a link is denied is among those, once they were tried.
        let is_named = matches!(view.unfit, Some(Incompatible::Denied(_))) && rights.is_some();
        let unfit = view.unfit.filter(|_| !is_named).map(|unfit| unfit.to_string());
        let seen = Seen {
            rights,
            handshake: unfit.or(self.not_let_in.clone()),
            is_evicting: self.common.learned.is_evicting,
            is_replica: self.common.learned.is_replica,
            has_written: self.has_written,
            refused: view.refused,
        };
        self.fitness.report(&self.common.log, view.now, &seen);
        let is_refused = seen.rights.is_some() || seen.handshake.is_some();
        self.common.notices.push(Notice::Fitness(self.fitness.why(), is_refused));
    }
}
