//! The rounds of the keeper of Redis, as a machine: reads what a round needs, in Redis, in SQL and
//! of this node, asks `core` what follows from it, and carries that out. What it does and why is in
//! the module above; here is only how. Must not know connections, threads or statements: whole
//! questions and lookups are its effects.
//!
//! ```text
//! round: beat in SQL, rights, INFO, seal, lock, metas -> signs of life, who has compared, who has
//!        answered -> Keeper::decide -> actions; a failure ends the round, and the next one reads
//!        again
//! ```
//!
//! `reading` what is read · `trial` rights · `actions`, `fill` what is carried out · `backlog` the
//! lists · `fitness` what is wrong · `seam` effects. Limits: `KEEPER_BUSY_MS` and `KEEPER_IDLE_MS`
//! between rounds.

mod actions;
mod backlog;
mod fill;
mod fitness;
mod reading;
mod seam;
mod trial;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::core::{Keeper, KeeperAction, View as KeeperView};
use super::metrics::KeeperMetrics;
use super::peers::NodeId;
use crate::lists::assignment::ListAssignment;
use crate::lists::rendezvous::partitions_of;
use crate::sql_failure::SqlFailure;
use nudged_base::backoff::{Backoff, Holdoff};
use nudged_base::ids::Partition;
use nudged_base::limits::{KEEPER_SQL_BEAT_MS, PARTITIONS};
use nudged_base::telemetry::log::{Log, LogField, LogValue, Message};
use nudged_base::time::MonoNs;
use nudged_redis::learned::{Learned, NO_RUN};
use nudged_redis::link::Incompatible;
use nudged_redis::refusal::RedisRefusal;
use nudged_redis::request::{RedisError, RedisRequest};

use actions::{Acting, Beginning};
use fill::Filler;
use fitness::{CauseReport, Fitness, Seen};
use reading::RedisSigns;
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
    /// Where losses and failures are told.
    pub log: Log,
    /// Where it counts.
    pub metrics: Arc<KeeperMetrics>,
}

/// After a start that found no SQL it is left alone until then.
pub fn sql_from(now: MonoNs, is_sql_there: bool) -> MonoNs {
    if is_sql_there { MonoNs(0) } else { now.plus_ms(SQL_REST_MS) }
}

/// Why a round ended before its end.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error("Redis sent an unexpected reply to {0}")]
    Answer(&'static str),
}

/// What comes next.
type Turn = Result<Effect, RoundError>;

/// What is waited for.
#[derive(Debug, Default)]
enum Stage {
    /// The next round.
    #[default]
    Resting,
    SayingAlive,
    Trying,
    TryingText,
    Hearing,
    /// With or without all metas.
    Looking(bool),
    Beating,
    Comparing,
    Answering,
    Lengths(usize),
    Acting(Acting),
    Numbering(Beginning),
    Scanning,
    Listing,
    Filling(Vec<String>),
    Refilling,
    Filled,
    Leaving,
    Stopping,
}

/// What the round that is under way has read.
#[derive(Debug, Default)]
struct Round {
    sql_nodes: Vec<NodeId>,
    own_compared: Option<u64>,
    lost: Vec<Partition>,
    /// Before what it is compared with.
    now: MonoNs,
    signs: Option<RedisSigns>,
}

/// One node's keeper, round by round.
#[derive(Debug)]
pub struct Rounds {
    node: NodeId,
    token: String,
    ttl_ms: u64,
    lists: Option<Arc<ListAssignment>>,
    sizes: FillSizes,
    log: Log,
    metrics: Arc<KeeperMetrics>,
    keeper: Keeper,
    stage: Stage,
    round: Round,
    actions: VecDeque<KeeperAction>,
    /// What was done asks for the next round at once.
    is_news: bool,
    notices: Vec<Notice>,
    filler: Option<Filler>,
    fill_begun: MonoNs,
    /// Whether SQL is left alone.
    sql_rest: Holdoff,
    sql_beat_due: MonoNs,
    shared_among: Vec<NodeId>,
    was_rebuilding: bool,
    /// Whether the rebuild that is under way may not be begun again yet.
    begin_rest: Holdoff,
    /// Whether it was told that this rebuild was begun.
    is_begun_logged: bool,
    /// The latest round was carried out to its end.
    has_written: bool,
    /// What is known of Redis, as the shards are told.
    learned: Learned,
    /// Keys that this run of Redis has evicted.
    evicted: u64,
    rights: Rights,
    /// Why the keeper itself is not let in.
    not_let_in: Option<String>,
    fitness: Fitness,
}

impl Rounds {
    /// A keeper that has read nothing.
    pub fn new(setup: RoundsSetup) -> Rounds {
        let RoundsSetup { node, token, sql_from, times_ms, lists, sizes, log, metrics, .. } = setup;
        let rights = Rights::new(lists.is_some(), setup.needs_sync);
        Rounds {
            node,
            token,
            ttl_ms: times_ms.1,
            lists,
            sizes,
            log,
            metrics,
            keeper: Keeper::new(node, times_ms.0, PARTITIONS),
            stage: Stage::Resting,
            round: Round::default(),
            actions: VecDeque::new(),
            is_news: false,
            notices: Vec::new(),
            filler: None,
            fill_begun: MonoNs(0),
            sql_rest: Holdoff::new(SQL_BACKOFF, sql_from),
            sql_beat_due: MonoNs(0),
            shared_among: Vec::new(),
            was_rebuilding: false,
            begin_rest: Holdoff::new(actions::BEGIN_BACKOFF, MonoNs(0)),
            is_begun_logged: false,
            has_written: false,
            learned: Learned::default(),
            evicted: 0,
            rights,
            not_let_in: None,
            fitness: Fitness::new(),
        }
    }

    /// What follows from what was read.
    pub fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// What all of the node is to be told since the last call, in order; before the next effect.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// What is to be done next. After a failure a round begins anew.
    pub fn step(&mut self, view: &View, input: Input) -> Effect {
        let turn = match (std::mem::take(&mut self.stage), input) {
            (Stage::SayingAlive, Input::Nodes(nodes)) => {
                self.round.sql_nodes = self.of_sql(view, nodes).unwrap_or_default();
                self.look_at_rights(view)
            }
            (Stage::Trying, Input::Answered(answers)) => self.take_tried(answers),
            (Stage::TryingText, Input::Answered(answers)) => self.take_tried_text(answers),
            (Stage::Hearing, Input::Heard(heard)) => self.take_heard(view, heard),
            (Stage::Looking(metas), Input::Answered(answers)) => self.take_looked(metas, answers),
            (Stage::Beating, Input::Answered(answers)) => self.take_beat(answers),
            (Stage::Comparing, Input::Answered(answers)) => self.take_compared(view, answers),
            (Stage::Answering, Input::Answered(answers)) => self.take_answered(view, answers),
            (Stage::Lengths(lane), Input::Answered(answers)) => {
                self.take_lengths(view, lane, answers)
            }
            (Stage::Acting(acting), Input::Answered(answers)) => {
                self.take_acted(view, acting, answers)
            }
            (Stage::Numbering(beginning), Input::Epoch(epoch)) => {
                self.take_epoch(view, beginning, epoch)
            }
            (Stage::Scanning, Input::Answered(answers)) => {
                let scanned = self.take_scanned(view, answers);
                self.filling(scanned)
            }
            (Stage::Listing, Input::Users(users)) => self.take_listed(view, users),
            (Stage::Filling(users), Input::States(states)) => {
                self.take_states(view, &users, states)
            }
            (Stage::Refilling, Input::Answered(answers)) => {
                let refilled = self.take_refilled(view, answers);
                self.filling(refilled)
            }
            (Stage::Filled, _) => self.end_action(view, true),
            (Stage::Leaving, _) => Ok(self.say_stopped(view)),
            (Stage::Stopping, _) => Ok(Effect::End),
            _ => self.begin(view),
        };
        turn.unwrap_or_else(|error| self.round_failed(view, &error))
    }

    /// A filling that has failed begins anew.
    fn filling(&mut self, turn: Turn) -> Turn {
        if turn.is_err() {
            self.filler = None;
        }
        turn
    }

    fn ask(&mut self, stage: Stage, ask: RedisRequest) -> Effect {
        self.stage = stage;
        Effect::Ask(ask)
    }

    /// A round begins, unless it is to end: others need not wait for the term of the lead.
    fn begin(&mut self, view: &View) -> Turn {
        if view.is_stopping {
            return Ok(self.lead(Stage::Leaving, 0));
        }
        (self.round, self.is_news) = (Round::default(), false);
        let now = view.now.mono;
        if now < self.sql_beat_due || !self.may_ask_sql(view) {
            return self.look_at_rights(view);
        }
        // Says in SQL that this node is alive, and hears who else is.
        self.sql_beat_due = now.plus_ms(KEEPER_SQL_BEAT_MS);
        self.stage = Stage::SayingAlive;
        Ok(Effect::Heartbeat(self.node.to_string()))
    }

    /// Says in SQL that this node has stopped, once all of its journal is there.
    fn say_stopped(&mut self, view: &View) -> Effect {
        let is_applied = view.progress.applied >= view.progress.written;
        if !is_applied || !self.may_ask_sql(view) {
            return Effect::End;
        }
        self.stage = Stage::Stopping;
        Effect::SayStopped
    }

    /// Everything is read: what follows from it is carried out.
    fn decide(&mut self, view: &View) -> Turn {
        self.not_let_in = None;
        let Round { sql_nodes, own_compared, lost, now, signs } = std::mem::take(&mut self.round);
        let signs = signs.expect("everything is read");
        let actions = self.keeper.decide(&KeeperView {
            now,
            run: signs.run,
            redis_now: signs.redis_now,
            losses: self.losses(signs.run),
            heartbeats: &signs.heartbeats,
            sql_nodes: &sql_nodes,
            metas: signs.metas.as_deref(),
            compared: &signs.compared,
            is_cleared: signs.is_cleared,
            seal: signs.seal,
            acks: &signs.acks,
            lead: signs.lead,
            filling: self.filler.as_ref().into(),
            own_compared,
            own_cleared: view.own_cleared,
            own_lost: &lost,
            progress: &view.progress,
        });
        self.actions = actions.into();
        if self.keeper.is_waiting_for_shards() {
            self.notices.push(Notice::WakeShards);
        }
        self.share_lists();
        self.look_at_lists(view, 0)
    }

    /// Works out which lists are this node's, where the nodes have changed.
    fn share_lists(&mut self) {
        let Some(lists) = &self.lists else { return };
        let nodes: Vec<NodeId> = self.keeper.peers().awaited().collect();
        if nodes != self.shared_among {
            lists.set_partitions(partitions_of(self.node, &nodes));
            self.shared_among = nodes;
        }
    }

    fn end_round(&mut self, view: &View) -> Effect {
        self.has_written = true;
        self.log_error(view, Message::KeeperResumed, "");
        self.metrics.rounds.fetch_add(1, Ordering::Relaxed);
        self.publish(view);
        self.log_fitness(view);
        // What was done changes what is there: it is looked at at once.
        Effect::Sleep(if self.is_news { 0 } else { self.keeper.pace_ms() })
    }

    fn round_failed(&mut self, view: &View, error: &RoundError) -> Effect {
        self.stage = Stage::Resting;
        self.actions.clear();
        self.has_written = false;
        self.metrics.failures.fetch_add(1, Ordering::Relaxed);
        self.keeper.disconnected();
        // What answers next may be another one.
        self.learned.run = NO_RUN;
        self.notices.push(Notice::Learn(self.learned));
        let text = error.to_string();
        match error {
            RoundError::Redis(RedisError::Refused { kind: RedisRefusal::Denied, text }) => {
                // The next round looks which right is missing.
                self.rights.doubt();
                let is_login = !text.starts_with("NOPERM") && !text.starts_with("ERR");
                self.not_let_in = is_login.then(|| Incompatible::NotLetIn.to_string());
            }
            // Told as what is wrong with Redis.
            RoundError::Redis(RedisError::Refused { kind, .. }) if kind.remedy().is_some() => {}
            _ => self.log_error(view, Message::KeeperFailed, &text),
        }
        self.notices.push(Notice::GiveUp(text));
        self.publish(view);
        self.log_fitness(view);
        Effect::Rest
    }

    fn publish(&mut self, view: &View) {
        let status = self.keeper.rebuild();
        let partitions = self.metrics.publish(self.keeper.peers().count(), status);
        let is_rebuilding = status.is_some();
        if !is_rebuilding {
            self.begin_rest.succeeded();
            self.is_begun_logged = false;
        }
        if is_rebuilding != std::mem::replace(&mut self.was_rebuilding, is_rebuilding) {
            let (message, count) = match is_rebuilding {
                true => (Message::RebuildNeeded, partitions),
                false => (Message::RebuildEnded, u64::from(PARTITIONS)),
            };
            self.log_numbers(view, message, &[("partitions", count)]);
        }
    }

    /// Says what is wrong with Redis, and that it is over.
    fn log_fitness(&mut self, view: &View) {
        let rights = self.rights.missing().message();
        // A right that a link is denied is among those, once they were tried.
        let is_named = matches!(view.unfit, Some(Incompatible::Denied(_))) && rights.is_some();
        let unfit = view.unfit.filter(|_| !is_named).map(|unfit| unfit.to_string());
        let seen = Seen {
            rights,
            handshake: unfit.or(self.not_let_in.clone()),
            is_evicting: self.learned.is_evicting,
            is_replica: self.learned.is_replica,
            has_written: self.has_written,
            refused: view.refused,
        };
        for line in self.fitness.take(view.now.mono, &seen) {
            let (message, cause, why) = match &line {
                CauseReport::Unfit { cause, why } => (Message::RedisUnfit, cause, &**why),
                CauseReport::Fit { cause } => (Message::RedisFit, cause, ""),
            };
            let fields = [("cause", LogValue::Text(cause)), ("error", LogValue::Text(why))];
            self.log_fields(view, message, &fields);
        }
        let is_refused = seen.rights.is_some() || seen.handshake.is_some();
        self.notices.push(Notice::Fitness(self.fitness.why(), is_refused));
    }

    fn may_ask_sql(&self, view: &View) -> bool {
        self.sql_rest.left(view.now.mono).is_none()
    }

    /// What SQL said; tells a failure, and lets SQL rest after it.
    fn of_sql<T>(&mut self, view: &View, result: Result<T, SqlFailure>) -> Option<T> {
        match result {
            Ok(value) => {
                self.sql_rest.succeeded();
                self.log_error(view, Message::KeeperSqlResumed, "");
                Some(value)
            }
            Err(error) => {
                self.sql_rest.failed(view.now.mono);
                self.metrics.sql_failures.fetch_add(1, Ordering::Relaxed);
                self.log_error(view, Message::KeeperSqlFailed, &error.text);
                None
            }
        }
    }

    fn log_error(&self, view: &View, message: Message, text: &str) {
        self.log_fields(view, message, &[("error", LogValue::Text(text))]);
    }

    fn log_fields(&self, view: &View, message: Message, fields: &[LogField<'_>]) {
        let stamp = view.now;
        self.log.write(stamp, message, fields);
    }
}
