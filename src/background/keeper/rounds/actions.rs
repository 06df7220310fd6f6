//! Carrying out what a round has decided, one action after the other. An action that fails ends the
//! round: the next one reads what has become of it.

use std::sync::atomic::Ordering;

use super::fill::Filler;
use super::{Effect, Notice, Rounds, Stage, Turn, View};
use crate::keeper::core::KeeperAction;
use crate::keeper::partition_table::Vanishing;
use crate::keeper::scripts;
use crate::sql_failure::SqlFailure;
use nudged_base::backoff::Backoff;
use nudged_base::ids::Partition;
use nudged_base::limits::REBUILD_LOCK_MS;
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_redis::command::PartitionPhase;
use nudged_redis::request::{
    CommandWords, OwnedReply, RedisError, RedisRequest, call, command, load, only,
};

/// Who has compared a run, and who has acknowledged an epoch, is kept for this long: a week.
const MEMBERS_KEPT_S: &[u8] = b"604800";

/// How long after a rebuild was begun it is begun again at the earliest.
pub(super) const BEGIN_BACKOFF: Backoff = Backoff::new(100, 5_000);

/// A new epoch on its way into its partitions.
#[derive(Debug)]
pub(super) struct Beginning {
    run: u64,
    evicted: u64,
    mark: &'static str,
    partitions: Vec<(Partition, Option<u32>)>,
    epoch: u32,
}

/// What is to be known of an action's answer.
#[derive(Debug)]
pub(super) enum Acting {
    /// Nothing but that it is done; whether that is news.
    Done(bool),
    Fenced,
    /// The members of this set were added; it is bounded next.
    Said(String),
    /// The lead is had or not, which is news.
    Led,
    /// The epoch is begun everywhere; it is sealed next.
    Begun(Beginning),
    Sealed(Beginning),
}

impl Rounds {
    /// Begins the next action that asks for something; ends the round where none is left.
    pub(super) fn act(&mut self, view: &View) -> Turn {
        while let Some(action) = self.actions.pop_front() {
            if let Some(effect) = self.begin_action(view, action) {
                return Ok(effect);
            }
        }
        Ok(self.end_round(view))
    }

    /// An action is carried out, and asks for another round at once or not.
    pub(super) fn end_action(&mut self, view: &View, is_news: bool) -> Turn {
        self.is_news |= is_news;
        self.act(view)
    }

    fn begin_action(&mut self, view: &View, action: KeeperAction) -> Option<Effect> {
        match action {
            KeeperAction::Fence(partitions) => {
                let call = |(partition, epoch): &(Partition, u32)| {
                    script(scripts::FENCE, *partition, &[&epoch.to_string()])
                };
                let calls = partitions.iter().map(call);
                Some(self.each(Acting::Fenced, scripts::FENCE, calls))
            }
            KeeperAction::ClearLosses(partitions) => {
                self.notify(Notice::ClearLosses(partitions), false)
            }
            KeeperAction::SayCompared { run, is_cleared } => {
                let cleared = is_cleared.then_some(scripts::CLEARED);
                Some(self.say(scripts::compared_key(run), cleared))
            }
            KeeperAction::Clear { run } => self.notify(Notice::Clear(run), true),
            KeeperAction::TakeLead => Some(self.lead(Stage::Acting(Acting::Led), REBUILD_LOCK_MS)),
            KeeperAction::KeepLead => {
                Some(self.lead(Stage::Acting(Acting::Done(false)), REBUILD_LOCK_MS))
            }
            KeeperAction::LeaveLead => Some(self.lead(Stage::Acting(Acting::Done(true)), 0)),
            KeeperAction::Begin { at_least, run, evicted, vanishing, partitions } => {
                let mark = vanishing.map_or("", Vanishing::mark);
                let beginning = Beginning { run, evicted, mark, partitions, epoch: 0 };
                self.begin_epoch(view, at_least, beginning)
            }
            KeeperAction::Doubt(partitions) => {
                let call = |(partition, epoch, why): &(Partition, u32, Vanishing)| {
                    script(scripts::DOUBT, *partition, &[&epoch.to_string(), why.mark()])
                };
                let calls = partitions.iter().map(call);
                Some(self.each(Acting::Done(false), scripts::DOUBT, calls))
            }
            KeeperAction::AckDrained(seal) => Some(self.say(scripts::acks_key(seal), None)),
            KeeperAction::Advance { from, partitions } => self.advance(from, &partitions),
            KeeperAction::Fill(partitions) => {
                self.filler = Some(Filler::new(&partitions));
                self.fill_on(view)
            }
            KeeperAction::FillOn => self.fill_on(view),
            KeeperAction::FillStop => {
                self.filler = None;
                self.is_news = true;
                None
            }
        }
    }

    fn notify(&mut self, notice: Notice, is_news: bool) -> Option<Effect> {
        self.notices.push(notice);
        self.is_news |= is_news;
        None
    }

    /// Runs a script once for each call, `REDIS_PIPELINE_MAX` less one at most. Nothing depends on
    /// the others.
    fn each(
        &mut self,
        acting: Acting,
        body: &str,
        calls: impl Iterator<Item = CommandWords>,
    ) -> Effect {
        let commands = std::iter::once(load(body)).chain(calls).collect();
        self.ask(Stage::Acting(acting), RedisRequest::Pipeline(commands))
    }

    fn say(&mut self, key: String, other: Option<&str>) -> Effect {
        let node = self.node.to_string();
        let mut add = command(&[b"SADD", key.as_bytes(), node.as_bytes()]);
        add.extend(other.map(|member| member.as_bytes().to_vec()));
        self.ask(Stage::Acting(Acting::Said(key)), RedisRequest::Pipeline(vec![add]))
    }

    /// Takes or keeps the lead for so long; 0 leaves it.
    pub(super) fn lead(&mut self, stage: Stage, for_ms: u64) -> Effect {
        let arguments = command(&[self.token.as_bytes(), for_ms.to_string().as_bytes()]);
        let key = scripts::LOCK.to_owned();
        self.ask(stage, RedisRequest::Script { body: scripts::LEAD, key, arguments })
    }

    fn advance(&mut self, from: PartitionPhase, partitions: &[(Partition, u32)]) -> Option<Effect> {
        let (before, after) = match from {
            PartitionPhase::Barrier => ("b", "f"),
            PartitionPhase::Filling => ("f", ""),
            PartitionPhase::Open => {
                self.is_news = true;
                return None;
            }
        };
        let call = |(partition, epoch): &(Partition, u32)| {
            script(scripts::ADVANCE, *partition, &[&epoch.to_string(), before, after])
        };
        Some(self.each(Acting::Done(true), scripts::ADVANCE, partitions.iter().map(call)))
    }

    fn begin_epoch(&mut self, view: &View, at_least: u32, beginning: Beginning) -> Option<Effect> {
        // Where Redis throws away or refuses what is begun, that is not done again at once.
        let now = view.now.mono;
        if !self.may_ask_sql(view) || self.begin_rest.left(now).is_some() {
            return None;
        }
        self.begin_rest.failed(now);
        self.stage = Stage::Numbering(beginning);
        Some(Effect::NextEpoch(at_least))
    }

    pub(super) fn take_epoch(
        &mut self,
        view: &View,
        beginning: Beginning,
        epoch: Result<Option<u32>, SqlFailure>,
    ) -> Turn {
        let Some(Some(epoch)) = self.of_sql(view, epoch) else {
            return self.act(view);
        };
        let beginning = Beginning { epoch, ..beginning };
        let evicted = format!("{}:{}", beginning.run, beginning.evicted);
        let call = |(partition, before): &(Partition, Option<u32>)| {
            let before = before.map_or(String::new(), |before| before.to_string());
            let arguments = [&*epoch.to_string(), &*before, &*evicted, beginning.mark];
            script(scripts::BEGIN, *partition, &arguments)
        };
        let calls: Vec<CommandWords> = beginning.partitions.iter().map(call).collect();
        Ok(self.each(Acting::Begun(beginning), scripts::BEGIN, calls.into_iter()))
    }

    pub(super) fn take_acted(
        &mut self,
        view: &View,
        acting: Acting,
        answers: Result<Vec<OwnedReply>, RedisError>,
    ) -> Turn {
        let answers = answers?;
        if let Some(OwnedReply::Error(text)) =
            answers.iter().find(|answer| matches!(answer, OwnedReply::Error(_)))
        {
            return Err(RedisError::refused(text.clone()).into());
        }
        match acting {
            Acting::Done(is_news) => self.end_action(view, is_news),
            Acting::Fenced => {
                let fenced = count_ones(&answers);
                self.metrics.fenced.fetch_add(fenced, Ordering::Relaxed);
                self.log_numbers(view, Message::WritesLost, &[("partitions", fenced)]);
                self.end_action(view, true)
            }
            Acting::Said(key) => {
                let expire = command(&[b"EXPIRE", key.as_bytes(), MEMBERS_KEPT_S]);
                let stage = Stage::Acting(Acting::Done(true));
                Ok(self.ask(stage, RedisRequest::Pipeline(vec![expire])))
            }
            Acting::Led => {
                let is_fenced = only(answers)? == OwnedReply::Int(1);
                self.end_action(view, is_fenced)
            }
            Acting::Begun(beginning) => Ok(self.seal(beginning)),
            Acting::Sealed(beginning) => {
                self.metrics.rebuilds.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut self.is_begun_logged, true) {
                    let count = u64::try_from(beginning.partitions.len()).unwrap_or(u64::MAX);
                    let fields = [("epoch", beginning.epoch.into()), ("partitions", count)];
                    self.log_numbers(view, Message::RebuildBegun, &fields);
                }
                self.end_action(view, true)
            }
        }
    }

    /// After all of them, and nothing is begun with this epoch again.
    fn seal(&mut self, beginning: Beginning) -> Effect {
        let (epoch, run) = (beginning.epoch.to_string(), beginning.run.to_string());
        let key = scripts::REBUILD.as_bytes();
        let seal = command(&[b"HSET", key, b"epoch", epoch.as_bytes(), b"run", run.as_bytes()]);
        self.ask(Stage::Acting(Acting::Sealed(beginning)), RedisRequest::Pipeline(vec![seal]))
    }

    pub(super) fn log_numbers(
        &self,
        view: &View,
        message: Message,
        numbers: &[(&'static str, u64)],
    ) {
        let fields: Vec<_> =
            numbers.iter().map(|(name, number)| (*name, LogValue::Number(*number))).collect();
        self.log_fields(view, message, &fields);
    }
}

/// How many scripts did what they were to.
pub(super) fn count_ones(answers: &[OwnedReply]) -> u64 {
    let ones = answers.iter().filter(|answer| **answer == OwnedReply::Int(1));
    u64::try_from(ones.count()).unwrap_or(u64::MAX)
}

fn script(body: &str, partition: Partition, arguments: &[&str]) -> CommandWords {
    let arguments: Vec<&[u8]> = arguments.iter().map(|text| text.as_bytes()).collect();
    call(body, &scripts::meta_key(partition), &arguments)
}
