//! What a round reads in Redis, in two pipelines of one connection, so that all of it is of one
//! run: a connection that was lost in between fails the round.

use std::collections::BTreeSet;

use super::{RoundError, Thread};
use crate::base::ids::Partition;
use crate::base::limits::PARTITIONS;
use crate::base::time::WallMs;
use crate::keeper::core::{Lead, Seal};
use crate::keeper::ledger::{Losses, PartitionMeta, Vanishing};
use crate::keeper::peers::{Beat, NodeId};
use crate::keeper::scripts;
use crate::redis::ask::Answer;
use crate::redis::command::Phase;
use crate::redis::greeting;
use crate::redis::scripts::hash_of;
use crate::shard::seam::Learned;

/// What was read.
pub(super) struct Signs {
    pub run: u64,
    pub redis_now: WallMs,
    pub beats: Vec<Beat>,
    pub metas: Option<Vec<PartitionMeta>>,
    pub compared: BTreeSet<NodeId>,
    pub is_cleared: bool,
    pub seal: Option<Seal>,
    pub answered: BTreeSet<NodeId>,
    pub lead: Lead,
}

impl Thread {
    pub(super) fn read(&mut self, wants_metas: bool) -> Result<Signs, RoundError> {
        let signs = self.read_once(wants_metas)?;
        if signs.metas.is_none() && self.keeper.is_news(&self.losses(signs.run)) {
            return self.read_once(true);
        }
        Ok(signs)
    }

    fn read_once(&mut self, wants_metas: bool) -> Result<Signs, RoundError> {
        let count = if wants_metas { PARTITIONS } else { 0 };
        let keys: Vec<String> = (0..count).map(|at| scripts::meta_key(Partition(at))).collect();
        let meta = |key: &String| -> Vec<Vec<u8>> {
            let fields = ["HMGET", key, "e", "c", "s", "h", "v", "x"];
            fields.map(|word| word.as_bytes().to_vec()).to_vec()
        };
        let metas: Vec<Vec<Vec<u8>>> = keys.iter().map(meta).collect();
        let metas: Vec<Vec<&[u8]>> =
            metas.iter().map(|words| words.iter().map(Vec::as_slice).collect()).collect();
        let seal: [&[u8]; 4] = [b"HMGET", scripts::REBUILD.as_bytes(), b"epoch", b"run"];
        let lock: [&[u8]; 2] = [b"GET", scripts::LOCK.as_bytes()];
        // More than one section at once is for Redis 7, which is the oldest that is taken.
        let info: &[&[u8]] = &[b"INFO", b"server", b"memory", b"stats", b"replication"];
        let config: &[&[u8]] = &[b"CONFIG", b"GET", b"appendfsync", b"appendonly"];
        let mut commands: Vec<&[&[u8]]> = vec![info, config, &seal, &lock];
        commands.extend(metas.iter().map(Vec::as_slice));
        let answers = self.setup.redis.try_each(&commands)?;
        // What is kept in Redis and how it syncs it may hide.
        let needed = answers.iter().enumerate().filter(|(place, _)| *place != 1);
        if let Some(Answer::Error(text)) =
            needed.map(|(_, answer)| answer).find(|answer| matches!(answer, Answer::Error(_)))
        {
            return Err(refused(text));
        }
        let run = self.learn_run(&answers[0], &answers[1])?;
        let seal = seal_of(&answers[2]);
        let lead = match &answers[3] {
            Answer::Nil => Lead::Free,
            Answer::Text(token) if *token == self.token.as_bytes() => Lead::Own,
            Answer::Text(_) => Lead::Other,
            _ => return Err(RoundError::Answer("GET")),
        };
        let metas = wants_metas.then(|| answers[4..].iter().map(meta_of).collect());
        let metas: Option<Vec<PartitionMeta>> = metas
            .map_or(Some(None), |metas: Option<Vec<_>>| metas.map(Some))
            .ok_or(RoundError::Answer("HMGET"))?;
        let (redis_now, beats) = self.beat()?;
        let compared = self.members(&scripts::compared_key(run))?;
        let answered = match seal {
            Some(seal) => self.members(&scripts::answered_key(seal))?.0,
            None => BTreeSet::new(),
        };
        let (compared, is_cleared) = compared;
        Ok(Signs { run, redis_now, beats, metas, compared, is_cleared, seal, answered, lead })
    }

    /// Takes what Redis says of itself, and tells the shards.
    fn learn_run(&mut self, info: &Answer, config: &Answer) -> Result<u64, RoundError> {
        let Answer::Text(info) = info else { return Err(RoundError::Answer("INFO")) };
        let run = greeting::run_of_info(info).map_err(|_| RoundError::Answer("INFO"))?;
        self.evicted = greeting::evicted(info);
        self.learned = Learned {
            run,
            is_evicting: greeting::evicts(info),
            is_replica: greeting::is_replica(info),
            syncs_always: syncs_always(config),
            ..self.learned
        };
        self.setup.board.learn(self.learned);
        Ok(run)
    }

    /// What is known of users that vanish, in this run.
    pub(super) fn losses(&self, run: u64) -> Losses {
        Losses {
            run,
            is_evicting: self.learned.is_evicting,
            evicted: self.evicted,
            is_expiring: self.setup.times_ms.1 > 0,
        }
    }

    fn beat(&mut self) -> Result<(WallMs, Vec<Beat>), RoundError> {
        let node = self.setup.node.to_string();
        let keys: [&[u8]; 1] = [scripts::NODES.as_bytes()];
        let answer = self.setup.redis.script(scripts::BEAT, &keys, &[node.as_bytes()])?;
        let Answer::List(parts) = answer else { return Err(RoundError::Answer("a beat")) };
        let [Answer::Int(now), Answer::List(nodes)] = parts.as_slice() else {
            return Err(RoundError::Answer("a beat"));
        };
        let beat = |pair: &[Answer]| {
            let node = NodeId::parse(text(pair.first()?)?)?;
            let at = text(pair.get(1)?)?.parse().ok().map(WallMs)?;
            Some(Beat { node, at })
        };
        // What is none of ours is passed over.
        Ok((WallMs(*now), nodes.chunks(2).filter_map(beat).collect()))
    }

    /// The nodes of a set, and whether it says that one has cleared.
    fn members(&mut self, key: &str) -> Result<(BTreeSet<NodeId>, bool), RoundError> {
        let answer = self.setup.redis.ask(&[b"SMEMBERS", key.as_bytes()])?;
        let Answer::List(members) = answer else { return Err(RoundError::Answer("SMEMBERS")) };
        let texts = || members.iter().filter_map(text);
        let is_cleared = texts().any(|member| member == scripts::CLEARED);
        Ok((texts().filter_map(NodeId::parse).collect(), is_cleared))
    }

    /// Runs a script once for each key with its arguments, `REDIS_PIPELINE_MAX` less one at most;
    /// gives how many answered 1. Nothing depends on the others.
    pub(super) fn script_each(
        &mut self,
        body: &str,
        calls: &[(String, Vec<Vec<u8>>)],
    ) -> Result<usize, RoundError> {
        let hash = hash_of(body);
        let load: [&[u8]; 3] = [b"SCRIPT", b"LOAD", body.as_bytes()];
        let words: Vec<Vec<&[u8]>> = calls
            .iter()
            .map(|(key, arguments)| {
                let mut words: Vec<&[u8]> = vec![b"EVALSHA", &hash, b"1", key.as_bytes()];
                words.extend(arguments.iter().map(Vec::as_slice));
                words
            })
            .collect();
        let mut commands: Vec<&[&[u8]]> = vec![&load];
        commands.extend(words.iter().map(Vec::as_slice));
        let answers = self.setup.redis.pipeline(&commands)?;
        match answers.iter().find(|answer| matches!(answer, Answer::Error(_))) {
            Some(Answer::Error(text)) => Err(refused(text)),
            _ => Ok(answers.iter().filter(|answer| **answer == Answer::Int(1)).count()),
        }
    }
}

fn refused(text: &str) -> RoundError {
    let kind = crate::redis::refusal::Refusal::of(text.as_bytes());
    RoundError::Redis(super::AskError::Refused { kind, text: text.to_owned() })
}

fn text(answer: &Answer) -> Option<&str> {
    let Answer::Text(bytes) = answer else { return None };
    std::str::from_utf8(bytes).ok()
}

fn number<T: std::str::FromStr>(answer: &Answer) -> Option<T> {
    text(answer)?.parse().ok()
}

fn seal_of(answer: &Answer) -> Option<Seal> {
    let Answer::List(fields) = answer else { return None };
    Some(Seal { epoch: number(fields.first()?)?, run: number(fields.get(1)?)? })
}

/// A partition's meta; what can't be read is as none, and begun anew.
fn meta_of(answer: &Answer) -> Option<PartitionMeta> {
    let Answer::List(fields) = answer else { return None };
    let [epoch, counter, phase, held, mark, evicted] = fields.as_slice() else { return None };
    let phase = match phase {
        Answer::Nil => Phase::Open,
        Answer::Text(phase) if phase == b"f" => Phase::Filling,
        _ => Phase::Barrier,
    };
    Some(PartitionMeta {
        epoch: number(epoch),
        counter: number(counter).unwrap_or(0),
        phase,
        is_held: *held != Answer::Nil,
        vanishing: match mark {
            Answer::Text(mark) => Some(Vanishing::of_mark(mark)),
            _ => None,
        },
        evicted: text(evicted).and_then(|evicted| {
            let (run, count) = evicted.split_once(':')?;
            Some((run.parse().ok()?, count.parse().ok()?))
        }),
    })
}

/// As `greeting::syncs_always`, of an answer.
fn syncs_always(config: &Answer) -> Option<bool> {
    let Answer::List(words) = config else { return None };
    let value = |name: &str| {
        let mut pairs = words.chunks_exact(2);
        pairs.find_map(|pair| (text(&pair[0]) == Some(name)).then(|| text(&pair[1]))?)
    };
    Some(value("appendfsync")? == "always" && value("appendonly")? == "yes")
}
