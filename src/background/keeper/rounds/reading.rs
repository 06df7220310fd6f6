//! What a round reads in Redis, over one connection, so that all of it is of one run: a connection
//! that was lost in between fails the round.
//!
//! ```text
//! INFO, CONFIG, seal, lock, metas -> heartbeats -> who compared the run -> who acknowledged
//! ```

use std::collections::BTreeSet;

use super::{RoundError, Rounds, Stage, Turn, View};
use crate::keeper::core::{Lead, SealedEpoch};
use crate::keeper::partition_table::{EvictionState, PartitionMeta, Vanishing};
use crate::keeper::peers::{Heartbeat, NodeId};
use crate::keeper::scripts;
use nudged_base::ids::Partition;
use nudged_base::limits::PARTITIONS;
use nudged_base::time::WallMs;
use nudged_redis::command::PartitionPhase;
use nudged_redis::greeting;
use nudged_redis::learned::Learned;
use nudged_redis::request::{OwnedReply, RedisError, RedisRequest, command, only};

use super::{Effect, Notice};

/// What was read.
#[derive(Debug)]
pub(super) struct RedisSigns {
    pub run: u64,
    pub redis_now: WallMs,
    pub heartbeats: Vec<Heartbeat>,
    pub metas: Option<Vec<PartitionMeta>>,
    pub compared: BTreeSet<NodeId>,
    pub is_cleared: bool,
    pub seal: Option<SealedEpoch>,
    pub acks: BTreeSet<NodeId>,
    pub lead: Lead,
}

impl Rounds {
    /// Reads what this node knows itself, and then Redis.
    pub(super) fn begin_reading(&mut self, view: &View) -> Effect {
        let round = &mut self.round;
        // In this order: who sees the run sees what was found lost before it.
        round.own_compared = view.own_compared;
        round.lost.clone_from(&view.own_lost);
        round.now = view.now.mono;
        let wants_metas = self.keeper.wants_metas(round.now) || !round.lost.is_empty();
        self.read_once(wants_metas)
    }

    fn read_once(&mut self, wants_metas: bool) -> Effect {
        // More than one section at once is for Redis 7, which is the oldest that is taken.
        let mut commands = vec![
            command(&[b"INFO", b"server", b"memory", b"stats", b"replication"]),
            command(&[b"CONFIG", b"GET", b"appendfsync", b"appendonly"]),
            command(&[b"HMGET", scripts::REBUILD.as_bytes(), b"epoch", b"run"]),
            command(&[b"GET", scripts::LOCK.as_bytes()]),
        ];
        let count = if wants_metas { PARTITIONS } else { 0 };
        commands.extend((0..count).map(|at| {
            let key = scripts::meta_key(Partition(at));
            command(&[b"HMGET", key.as_bytes(), b"e", b"c", b"s", b"h", b"v", b"x"])
        }));
        self.ask(Stage::Looking(wants_metas), RedisRequest::Each(commands))
    }

    pub(super) fn take_looked(
        &mut self,
        wants_metas: bool,
        answers: Result<Vec<OwnedReply>, RedisError>,
    ) -> Turn {
        let answers = answers?;
        // What is kept in Redis and how it syncs it may hide.
        let needed = answers.iter().enumerate().filter(|(place, _)| *place != 1);
        for (_, answer) in needed {
            if let OwnedReply::Error(text) = answer {
                return Err(RedisError::refused(text.clone()).into());
            }
        }
        let run = self.learn_run(&answers[0], &answers[1])?;
        let lead = match &answers[3] {
            OwnedReply::Nil => Lead::Free,
            OwnedReply::Text(token) if *token == self.token.as_bytes() => Lead::Own,
            OwnedReply::Text(_) => Lead::Other,
            _ => return Err(RoundError::Answer("GET")),
        };
        let metas = wants_metas.then(|| answers[4..].iter().map(meta_of).collect());
        let metas: Option<Vec<PartitionMeta>> = metas
            .map_or(Some(None), |metas: Option<Vec<_>>| metas.map(Some))
            .ok_or(RoundError::Answer("HMGET"))?;
        self.round.signs = Some(RedisSigns {
            run,
            redis_now: WallMs(0),
            heartbeats: Vec::new(),
            metas,
            compared: BTreeSet::new(),
            is_cleared: false,
            seal: seal_of(&answers[2]),
            acks: BTreeSet::new(),
            lead,
        });
        let arguments = vec![self.node.to_string().into_bytes()];
        let key = scripts::NODES.to_owned();
        let ask = RedisRequest::Script { body: scripts::HEARTBEAT, key, arguments };
        Ok(self.ask(Stage::Beating, ask))
    }

    /// Takes what Redis says of itself, and tells the shards.
    fn learn_run(&mut self, info: &OwnedReply, config: &OwnedReply) -> Result<u64, RoundError> {
        let OwnedReply::Text(info) = info else { return Err(RoundError::Answer("INFO")) };
        let run = greeting::run_of_info(info).map_err(|_| RoundError::Answer("INFO"))?;
        self.evicted = greeting::evicted(info);
        self.learned = Learned {
            run,
            is_evicting: greeting::evicts(info),
            is_replica: greeting::is_replica(info),
            syncs_always: syncs_always(config),
            ..self.learned
        };
        self.notices.push(Notice::Learn(self.learned));
        Ok(run)
    }

    /// What is known of users that vanish, in this run.
    pub(super) fn losses(&self, run: u64) -> EvictionState {
        EvictionState {
            run,
            is_evicting: self.learned.is_evicting,
            evicted: self.evicted,
            is_expiring: self.ttl_ms > 0,
        }
    }

    fn signs(&mut self) -> &mut RedisSigns {
        self.round.signs.as_mut().expect("a stage after the first reading")
    }

    pub(super) fn take_beat(&mut self, answers: Result<Vec<OwnedReply>, RedisError>) -> Turn {
        let OwnedReply::List(parts) = only(answers?)? else {
            return Err(RoundError::Answer("a beat"));
        };
        let [OwnedReply::Int(now), OwnedReply::List(nodes)] = parts.as_slice() else {
            return Err(RoundError::Answer("a beat"));
        };
        let beat = |pair: &[OwnedReply]| {
            let node = NodeId::parse(pair.first()?.text()?)?;
            let at = pair.get(1)?.number().map(WallMs)?;
            Some(Heartbeat { node, at })
        };
        let signs = self.signs();
        signs.redis_now = WallMs(*now);
        // What is none of ours is passed over.
        signs.heartbeats = nodes.chunks(2).filter_map(beat).collect();
        let key = scripts::compared_key(signs.run);
        Ok(self.ask_members(Stage::Comparing, &key))
    }

    fn ask_members(&mut self, stage: Stage, key: &str) -> Effect {
        self.ask(stage, RedisRequest::Pipeline(vec![command(&[b"SMEMBERS", key.as_bytes()])]))
    }

    pub(super) fn take_compared(
        &mut self,
        view: &View,
        answers: Result<Vec<OwnedReply>, RedisError>,
    ) -> Turn {
        let signs = self.signs();
        (signs.compared, signs.is_cleared) = members_of(answers)?;
        match signs.seal {
            Some(seal) => Ok(self.ask_members(Stage::Answering, &scripts::acks_key(seal))),
            None => self.end_reading(view),
        }
    }

    pub(super) fn take_answered(
        &mut self,
        view: &View,
        answers: Result<Vec<OwnedReply>, RedisError>,
    ) -> Turn {
        self.signs().acks = members_of(answers)?.0;
        self.end_reading(view)
    }

    /// Reads all again where the metas are wanted after all.
    fn end_reading(&mut self, view: &View) -> Turn {
        let signs = self.signs();
        let (run, has_metas) = (signs.run, signs.metas.is_some());
        if !has_metas && self.keeper.is_news(&self.losses(run)) {
            return Ok(self.read_once(true));
        }
        self.decide(view)
    }
}

/// The nodes of a set, and whether it says that one has cleared.
fn members_of(
    answers: Result<Vec<OwnedReply>, RedisError>,
) -> Result<(BTreeSet<NodeId>, bool), RoundError> {
    let OwnedReply::List(members) = only(answers?)? else {
        return Err(RoundError::Answer("SMEMBERS"));
    };
    let texts = || members.iter().filter_map(OwnedReply::text);
    let is_cleared = texts().any(|member| member == scripts::CLEARED);
    Ok((texts().filter_map(NodeId::parse).collect(), is_cleared))
}

fn seal_of(answer: &OwnedReply) -> Option<SealedEpoch> {
    let OwnedReply::List(fields) = answer else { return None };
    Some(SealedEpoch { epoch: fields.first()?.number()?, run: fields.get(1)?.number()? })
}

/// A partition's meta; what can't be read is as none, and begun anew.
fn meta_of(answer: &OwnedReply) -> Option<PartitionMeta> {
    let OwnedReply::List(fields) = answer else { return None };
    let [epoch, counter, phase, fenced, mark, evicted] = fields.as_slice() else { return None };
    let phase = match phase {
        OwnedReply::Nil => PartitionPhase::Open,
        OwnedReply::Text(phase) if phase == b"f" => PartitionPhase::Filling,
        _ => PartitionPhase::Barrier,
    };
    Some(PartitionMeta {
        epoch: epoch.number(),
        counter: counter.number().unwrap_or(0),
        phase,
        is_fenced: *fenced != OwnedReply::Nil,
        vanishing: match mark {
            OwnedReply::Text(mark) => Some(Vanishing::of_mark(mark)),
            _ => None,
        },
        evicted: evicted.text().and_then(|evicted| {
            let (run, count) = evicted.split_once(':')?;
            Some((run.parse().ok()?, count.parse().ok()?))
        }),
    })
}

/// As `greeting::syncs_always`, of an answer.
fn syncs_always(config: &OwnedReply) -> Option<bool> {
    let OwnedReply::List(words) = config else { return None };
    let value = |name: &str| {
        let mut pairs = words.chunks_exact(2);
        pairs.find_map(|pair| (pair[0].text() == Some(name)).then(|| pair[1].text())?)
    };
    Some(value("appendfsync")? == "always" && value("appendonly")? == "yes")
}
