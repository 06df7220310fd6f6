//! Draining the lists of Redis into SQL, as `runtime::list_drain` does it, in steps between which
//! anything may happen: lengths, heads, one transaction, the trim.

use std::collections::BTreeMap;

use nudged::base::ids::{Partition, Sequence};
use nudged::base::limits::{LIST_BUSY_MS, LIST_GIVEN_UP_MS, LIST_IDLE_MS, LIST_READ_ENTRIES};
use nudged::keeper::core::Keeper;
use nudged::keeper::lists::{ListStream, Reading, head};
use nudged::keeper::peers::NodeId;
use nudged::keeper::{scripts, share};
use nudged::redis::ask::Answer;

use super::keeper::{call, words};
use super::node::Node;
use super::pipes::{Asked, Pipes, Seat};
use super::redis::Words;
use super::scene::{MS, Scene, US, What, number};
use super::sql::{Claim, Records, Sql, SqlError};

/// First and longest rest after a failure, in milliseconds.
const REST_MS: (u64, u64) = (100, 5_000);

#[derive(Default)]
enum Stage {
    #[default]
    Lengths,
    Heads {
        lists: Vec<Partition>,
        is_whole: bool,
    },
    Apply {
        reading: Reading,
        is_whole: bool,
    },
    Trim {
        commands: Vec<Words>,
        is_whole: bool,
    },
}

/// Who drains the lists of a process.
#[derive(Default)]
pub struct Lists {
    partitions: Vec<Partition>,
    among: Vec<NodeId>,
    claims: BTreeMap<ListStream, Claim>,
    given_up: BTreeMap<Partition, u64>,
    stage: Stage,
    seat: Seat,
    rest_ms: u64,
    /// Readings that ended with everything that they read in SQL.
    pub drained: u64,
}

impl Lists {
    /// It goes on soon.
    pub fn wake(&mut self, node: usize, scene: &mut Scene) {
        let longest = if scene.is_calm { 500 } else { scene.config.redis_us };
        let wait = scene.streams.keeper.between(20, 2 * longest) * US;
        scene.after(wait, What::Lists(node));
    }

    /// Works out which lists are this node's, where the nodes have changed.
    pub fn share(&mut self, own: NodeId, keeper: &Keeper) {
        let nodes: Vec<NodeId> = keeper.peers().awaited().collect();
        if nodes != self.among {
            self.partitions = share::partitions_of(own, &nodes);
            self.among = nodes;
        }
    }

    /// What a reading of heads has found.
    fn reading_of(lists: &[Partition], answers: Vec<Answer>) -> Reading {
        let mut reading = Reading::default();
        for (partition, answer) in lists.iter().zip(answers) {
            let Answer::List(entries) = answer else { panic!("{answer:?}") };
            let bytes = |entry| match entry {
                Answer::Text(bytes) => Some(bytes),
                _ => None,
            };
            reading.push(*partition, entries.into_iter().filter_map(bytes).collect());
        }
        reading
    }

    fn claim(&mut self, streams: &[ListStream], sql: &mut Sql) -> Result<(), SqlError> {
        for stream in streams {
            if !self.claims.contains_key(stream) {
                let (epoch, partition) = stream;
                let (claim, _) = sql.claim(&format!("list {epoch} {}", partition.0))?;
                self.claims.insert(*stream, claim);
            }
        }
        Ok(())
    }

    /// Applies what was read. Gives the ends of what is in SQL now.
    fn apply(
        &mut self,
        reading: &mut Reading,
        sql: &mut Sql,
        scene: &Scene,
    ) -> Result<Vec<(ListStream, Sequence)>, SqlError> {
        loop {
            let (runs, bad) = reading.runs(records_max(scene));
            assert!(bad.is_empty(), "lists hold records: {bad:?}");
            let streams: Vec<ListStream> = runs.keys().copied().collect();
            self.claim(&streams, sql)?;
            let numbered: Vec<(Claim, &Records<'_>)> = runs
                .iter()
                .map(|(stream, records)| (self.claims[stream], records.as_slice()))
                .collect();
            match sql.apply(&numbered, false) {
                Ok(()) => {}
                Err((index, SqlError::Fenced)) => {
                    let (_, partition) = streams[index];
                    self.claims.retain(|(_, claimed), _| *claimed != partition);
                    self.given_up.insert(partition, scene.now + LIST_GIVEN_UP_MS * MS);
                    drop(runs);
                    reading.remove(partition);
                    continue;
                }
                Err((_, error)) => return Err(error),
            }
            let end = |(stream, run): (&ListStream, &Vec<(Sequence, _)>)| {
                run.last().map(|(sequence, _)| (*stream, *sequence))
            };
            return Ok(runs.iter().filter_map(end).collect());
        }
    }
}

impl Node {
    /// The next step of draining lists.
    pub fn drain_step(&mut self, pipes: &mut Pipes, sql: &mut Sql, scene: &mut Scene) {
        let node = self.index;
        let Some(lists) = &mut self.lists else { return };
        let stage = std::mem::take(&mut lists.stage);
        let commands = match &stage {
            Stage::Lengths => {
                lists.given_up.retain(|_, until| *until > scene.now);
                let partitions = &lists.partitions;
                lists.claims.retain(|(_, partition), _| partitions.contains(partition));
                let own = partitions.iter().filter(|own| !lists.given_up.contains_key(own));
                own.map(|own| words(&[b"LLEN", scripts::list_key(*own).as_bytes()])).collect()
            }
            Stage::Heads { lists, .. } => {
                let last = (LIST_READ_ENTRIES - 1).to_string();
                let key = |own: &Partition| scripts::list_key(*own);
                let read = |own| words(&[b"LRANGE", key(own).as_bytes(), b"0", last.as_bytes()]);
                lists.iter().map(read).collect()
            }
            Stage::Apply { .. } => return self.drain_apply(stage, sql, scene),
            Stage::Trim { commands, .. } => commands.clone(),
        };
        let answers = match pipes.ask(node, &mut lists.seat, &commands, scene) {
            Asked::Answers(answers) => answers,
            Asked::Wait(until) => {
                lists.stage = stage;
                return scene.at(until, What::Lists(node));
            }
            Asked::TimesOut(until) => return scene.at(until, What::Lists(node)),
            Asked::Broken => return self.drain_failed(scene),
        };
        match stage {
            Stage::Lengths => {
                let own = lists.partitions.iter();
                let own = own.filter(|own| !lists.given_up.contains_key(own));
                let full = own.zip(&answers).filter(|(_, length)| **length != Answer::Int(0));
                let full: Vec<Partition> = full.map(|(own, _)| *own).collect();
                let is_whole = lists.given_up.is_empty();
                if full.is_empty() {
                    lists.drained += u64::from(is_whole);
                    scene.after(LIST_IDLE_MS * MS, What::Lists(node));
                    return;
                }
                lists.stage = Stage::Heads { lists: full, is_whole };
            }
            Stage::Heads { lists: full, is_whole } => {
                let is_all = answers.iter().all(
                    |answer| matches!(answer, Answer::List(list) if list.len() < LIST_READ_ENTRIES),
                );
                let reading = Lists::reading_of(&full, answers);
                lists.stage = Stage::Apply { reading, is_whole: is_whole && is_all };
            }
            Stage::Trim { is_whole, .. } => {
                lists.drained += u64::from(is_whole);
                lists.rest_ms = REST_MS.0;
                scene.after(LIST_BUSY_MS * MS, What::Lists(node));
                return;
            }
            Stage::Apply { .. } => unreachable!("it asks nothing"),
        }
        lists.wake(node, scene);
    }

    fn drain_apply(&mut self, stage: Stage, sql: &mut Sql, scene: &mut Scene) {
        let node = self.index;
        let Some(lists) = &mut self.lists else { return };
        let Stage::Apply { mut reading, is_whole } = stage else { return };
        let count = reading.count();
        let Ok(ends) = lists.apply(&mut reading, sql, scene) else {
            return self.drain_failed(scene);
        };
        scene.note("drained", &[number(node), number(count)], &[]);
        let most = LIST_READ_ENTRIES.to_string();
        let mut commands = vec![words(&[b"SCRIPT", b"LOAD", scripts::TRIM.as_bytes()])];
        commands.extend(ends.iter().map(|((epoch, partition), sequence)| {
            let arguments: [&[u8]; 2] = [&head(*epoch, *sequence), most.as_bytes()];
            call(scripts::TRIM, &scripts::list_key(*partition), &arguments)
        }));
        let is_whole = is_whole && count <= records_max(scene) && lists.given_up.is_empty();
        lists.stage = Stage::Trim { commands, is_whole };
        lists.wake(node, scene);
    }

    fn drain_failed(&mut self, scene: &mut Scene) {
        let Some(lists) = &mut self.lists else { return };
        let rest_ms = lists.rest_ms.max(REST_MS.0);
        lists.rest_ms = (rest_ms * 2).min(REST_MS.1);
        scene.after(rest_ms * MS, What::Lists(self.index));
    }
}

/// Records of a transaction.
fn records_max(scene: &Scene) -> usize {
    if scene.is_calm { 1_000 } else { scene.config.sql_records }
}
