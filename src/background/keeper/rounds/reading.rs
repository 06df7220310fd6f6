//! What a round reads in Redis, over one connection, so that all of it is of one run: a connection
//! that was lost in between fails the round.
//!
//! ```text
//! INFO, CONFIG, seal, lock, metas -> heartbeats -> who compared the run -> who acknowledged
//! ```

use std::collections::BTreeSet;

use super::common::{Answers, Common, RoundError, Turn};
use super::seam::{Effect, Input, View};
use crate::keeper::core::{Keeper, Lead, RedisSigns, SealedEpoch};
use crate::keeper::partition_table::{EvictionState, PartitionMeta, Vanishing};
use crate::keeper::peers::Heartbeat;
use crate::keeper::scripts;
use nudged_base::ids::{NodeId, Partition};
use nudged_base::limits::PARTITIONS;
use nudged_base::time::{MonoNs, WallMs};
use nudged_redis::command::PartitionPhase;
use nudged_redis::greeting;
use nudged_redis::learned::Learned;
use nudged_redis::request::{OwnedReply, RedisError, RedisRequest, command, only};

/// What was read of this node, and then in Redis.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub own_compared: Option<u64>,
    pub own_lost: Vec<Partition>,
    /// Before what it is compared with.
    pub now: MonoNs,
    pub signs: RedisSigns,
    stage: Stage,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    /// All at once, with or without the metas.
    #[default]
    Looking,
    LookingAtAll,
    Heartbeats,
    Comparing,
    Acks,
}

impl Reading {
    /// Reads what this node knows itself, and then Redis.
    pub(super) fn begin(view: &View, keeper: &Keeper) -> (Reading, Effect) {
        // In this order: who sees the run sees what was found lost before it.
        let mut reading = Reading { own_compared: view.own_compared, ..Reading::default() };
        reading.own_lost.clone_from(&view.own_lost);
        reading.now = view.now.mono;
        let wants_metas = keeper.wants_metas(reading.now) || !reading.own_lost.is_empty();
        let effect = reading.look(wants_metas);
        (reading, effect)
    }

    pub(super) fn step(&mut self, common: &mut Common, keeper: &Keeper, input: Input) -> Turn {
        let Input::Answered(answers) = input else { return Err(RoundError::Unasked) };
        let answers = answers?;
        match self.stage {
            Stage::Looking | Stage::LookingAtAll => self.take_looked(common, answers).map(Some),
            Stage::Heartbeats => self.take_heartbeats(answers).map(Some),
            Stage::Comparing => {
                (self.signs.compared, self.signs.is_cleared) = members_of(answers)?;
                Ok(match self.signs.seal {
                    Some(seal) => Some(self.members(Stage::Acks, &scripts::acks_key(seal))),
                    None => self.end(keeper),
                })
            }
            Stage::Acks => {
                self.signs.acks = members_of(answers)?.0;
                Ok(self.end(keeper))
            }
        }
    }

    fn look(&mut self, wants_metas: bool) -> Effect {
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
        self.signs = RedisSigns::default();
        self.stage = if wants_metas { Stage::LookingAtAll } else { Stage::Looking };
        Effect::Ask(RedisRequest::Each(commands))
    }

    fn take_looked(&mut self, common: &mut Common, answers: Answers) -> Result<Effect, RoundError> {
        // What is kept in Redis and how it syncs it may hide.
        let needed = answers.iter().enumerate().filter(|(place, _)| *place != 1);
        for (_, answer) in needed {
            if let OwnedReply::Error(text) = answer {
                return Err(RedisError::refused(text.clone()).into());
            }
        }
        let [info, config, seal, lock, metas @ ..] = answers.as_slice() else {
            return Err(RoundError::Answer("INFO"));
        };
        self.learn_run(common, info, config)?;
        self.signs.seal = seal_of(seal);
        self.signs.lead = match lock {
            OwnedReply::Nil => Lead::Free,
            OwnedReply::Text(token) if *token == common.token.as_bytes() => Lead::Own,
            OwnedReply::Text(_) => Lead::Other,
            _ => return Err(RoundError::Answer("GET")),
        };
        if matches!(self.stage, Stage::LookingAtAll) {
            let metas: Option<_> = metas.iter().map(meta_of).collect();
            self.signs.metas = Some(metas.ok_or(RoundError::Answer("HMGET"))?);
        }
        self.stage = Stage::Heartbeats;
        let arguments = vec![common.node.to_string().into_bytes()];
        let key = scripts::NODES.to_owned();
        Ok(Effect::Ask(RedisRequest::Script { body: scripts::HEARTBEAT, key, arguments }))
    }

    /// Takes what Redis says of itself, and tells the shards.
    fn learn_run(
        &mut self,
        common: &mut Common,
        info: &OwnedReply,
        config: &OwnedReply,
    ) -> Result<(), RoundError> {
        let OwnedReply::Text(info) = info else { return Err(RoundError::Answer("INFO")) };
        self.signs.run = greeting::run_of_info(info).map_err(|_| RoundError::Answer("INFO"))?;
        common.learned = Learned {
            run: self.signs.run,
            is_evicting: greeting::evicts(info),
            is_replica: greeting::is_replica(info),
            syncs_always: config.syncs_always(),
            ..common.learned
        };
        self.signs.eviction = EvictionState {
            run: self.signs.run,
            is_evicting: common.learned.is_evicting,
            evicted: greeting::evicted(info),
            is_expiring: common.ttl_ms > 0,
        };
        common.share_learned();
        Ok(())
    }

    fn take_heartbeats(&mut self, answers: Answers) -> Result<Effect, RoundError> {
        let answer = only(answers)?;
        let OwnedReply::List(parts) = &answer else {
            return Err(RoundError::Answer("a heartbeat"));
        };
        let [OwnedReply::Int(now), OwnedReply::List(nodes)] = parts.as_slice() else {
            return Err(RoundError::Answer("a heartbeat"));
        };
        let heartbeat = |pair: &[OwnedReply]| {
            let node = NodeId::parse(pair.first()?.text()?)?;
            let at = pair.get(1)?.number().map(WallMs)?;
            Some(Heartbeat { node, at })
        };
        self.signs.redis_now = WallMs(*now);
        // What is none of ours is passed over.
        self.signs.heartbeats = nodes.chunks(2).filter_map(heartbeat).collect();
        Ok(self.members(Stage::Comparing, &scripts::compared_key(self.signs.run)))
    }

    fn members(&mut self, stage: Stage, key: &str) -> Effect {
        self.stage = stage;
        Effect::Ask(RedisRequest::Pipeline(vec![command(&[b"SMEMBERS", key.as_bytes()])]))
    }

    /// Reads all again where the metas are wanted after all.
    fn end(&mut self, keeper: &Keeper) -> Option<Effect> {
        let is_news = self.signs.metas.is_none() && keeper.is_news(&self.signs.eviction);
        is_news.then(|| self.look(true))
    }
}

/// The nodes of a set, and whether it says that one has cleared.
fn members_of(answers: Answers) -> Result<(BTreeSet<NodeId>, bool), RoundError> {
    let OwnedReply::List(members) = only(answers)? else {
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
