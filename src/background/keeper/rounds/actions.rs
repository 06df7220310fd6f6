//! Carrying out what a round has decided, one action after the other. An action that fails ends the
//! round: the next one reads what has become of it.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use super::common::{Answers, Common, RoundError, Turn, count_ones};
use super::fill::{FillSizes, Filler};
use super::seam::{Effect, Input, Notice, View};
use crate::keeper::core::{Filling, KeeperAction};
use crate::keeper::partition_table::Vanishing;
use crate::keeper::scripts;
use crate::sql_failure::SqlFailure;
use nudged_base::backoff::{Backoff, Holdoff};
use nudged_base::ids::Partition;
use nudged_base::limits::REBUILD_LOCK_MS;
use nudged_base::telemetry::log::Message;
use nudged_base::time::MonoNs;
use nudged_redis::command::PartitionPhase;
use nudged_redis::request::{CommandWords, OwnedReply, RedisRequest, call, command, load};

/// Who has compared a run, and who has acknowledged an epoch, is kept for this long: a week.
const MEMBERS_KEPT_S: &[u8] = b"604800";

/// How long after a rebuild was begun it is begun again at the earliest.
const BEGIN_BACKOFF: Backoff = Backoff::new(100, 5_000);

/// A new epoch on its way into its partitions.
#[derive(Debug)]
struct Beginning {
    run: u64,
    evicted: u64,
    mark: &'static str,
    partitions: Vec<(Partition, Option<u32>)>,
    epoch: u32,
}

/// What is waited for.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// Nothing but that it is done; whether that is news.
    Done(bool),
    Fencing,
    /// The members of this set are being added; it is bounded next.
    Saying(String),
    /// The lead is had or not, which is news.
    Leading,
    Numbering(Beginning),
    /// The epoch is begun everywhere; it is sealed next.
    Beginning(Beginning),
    Sealing(Beginning),
    Filling,
}

#[derive(Debug)]
pub(super) struct Actions {
    /// What is still to be carried out.
    queue: VecDeque<KeeperAction>,
    stage: Stage,
    sizes: FillSizes,
    filler: Option<Filler>,
    /// Whether the rebuild that is under way may not be begun again yet.
    begin_rest: Holdoff,
    /// Whether it was logged that this rebuild was begun.
    is_begun_logged: bool,
}

impl Actions {
    pub(super) fn new(sizes: FillSizes) -> Actions {
        Actions {
            queue: VecDeque::new(),
            stage: Stage::Idle,
            sizes,
            filler: None,
            begin_rest: Holdoff::new(BEGIN_BACKOFF, MonoNs(0)),
            is_begun_logged: false,
        }
    }

    /// How far this process is with filling.
    pub(super) fn filling(&self) -> Filling {
        self.filler.as_ref().map_or(Filling::Idle, Filler::filling)
    }

    /// These are to be carried out, and nothing else.
    pub(super) fn set(&mut self, actions: Vec<KeeperAction>) {
        self.queue = actions.into();
    }

    /// No partition is rebuilt any more.
    pub(super) fn rebuilt(&mut self) {
        self.begin_rest.succeeded();
        self.is_begun_logged = false;
    }

    /// Begins the next action that asks for something; `None` where none is left.
    pub(super) fn begin_next(&mut self, common: &mut Common, view: &View) -> Option<Effect> {
        while let Some(action) = self.queue.pop_front() {
            if let Some(effect) = self.begin(common, view, action) {
                return Some(effect);
            }
        }
        None
    }

    pub(super) fn step(&mut self, common: &mut Common, view: &View, input: Input) -> Turn {
        let effect = match (std::mem::take(&mut self.stage), input) {
            (Stage::Filling, input) => self.fill_on(common, view, input)?,
            (Stage::Numbering(beginning), Input::Epoch(epoch)) => {
                self.take_epoch(common, view, beginning, epoch)
            }
            (stage, Input::Answered(answers)) => {
                self.take_answers(common, view, stage, &answers?)?
            }
            _ => return Err(RoundError::Unasked),
        };
        Ok(effect.or_else(|| self.begin_next(common, view)))
    }

    fn begin(&mut self, common: &mut Common, view: &View, action: KeeperAction) -> Option<Effect> {
        match action {
            KeeperAction::Fence(partitions) => {
                let call = |(partition, epoch): &(Partition, u32)| {
                    script(scripts::FENCE, *partition, &[&epoch.to_string()])
                };
                self.each(Stage::Fencing, scripts::FENCE, partitions.iter().map(call))
            }
            KeeperAction::ClearLosses(partitions) => {
                common.notices.push(Notice::ClearLosses(partitions));
                None
            }
            KeeperAction::SayCompared { run, is_cleared } => {
                let cleared = is_cleared.then_some(scripts::CLEARED);
                self.say(common, scripts::compared_key(run), cleared)
            }
            KeeperAction::Clear { run } => {
                common.notices.push(Notice::Clear(run));
                common.is_news = true;
                None
            }
            KeeperAction::TakeLead => self.wait(Stage::Leading, lead(common, REBUILD_LOCK_MS)),
            KeeperAction::KeepLead => self.wait(Stage::Done(false), lead(common, REBUILD_LOCK_MS)),
            KeeperAction::LeaveLead => self.wait(Stage::Done(true), lead(common, 0)),
            KeeperAction::Begin { at_least, run, evicted, vanishing, partitions } => {
                let mark = vanishing.map_or("", Vanishing::mark);
                let beginning = Beginning { run, evicted, mark, partitions, epoch: 0 };
                self.begin_epoch(common, view, at_least, beginning)
            }
            KeeperAction::Doubt(partitions) => {
                let call = |(partition, epoch, why): &(Partition, u32, Vanishing)| {
                    script(scripts::DOUBT, *partition, &[&epoch.to_string(), why.mark()])
                };
                self.each(Stage::Done(false), scripts::DOUBT, partitions.iter().map(call))
            }
            KeeperAction::AckDrained(seal) => self.say(common, scripts::acks_key(seal), None),
            KeeperAction::Advance { from, partitions } => self.advance(common, from, &partitions),
            KeeperAction::Fill(partitions) => {
                self.filler = Some(Filler::new(&partitions, self.sizes));
                self.fill(common, view)
            }
            KeeperAction::FillOn => self.fill(common, view),
            KeeperAction::FillStop => {
                self.filler = None;
                common.is_news = true;
                None
            }
        }
    }

    fn wait(&mut self, stage: Stage, effect: Effect) -> Option<Effect> {
        self.stage = stage;
        Some(effect)
    }

    /// Runs a script once for each call, `REDIS_PIPELINE_MAX` less one at most. Nothing depends on
    /// the others.
    fn each(
        &mut self,
        stage: Stage,
        body: &str,
        calls: impl Iterator<Item = CommandWords>,
    ) -> Option<Effect> {
        let commands = std::iter::once(load(body)).chain(calls).collect();
        self.wait(stage, Effect::Ask(RedisRequest::Pipeline(commands)))
    }

    fn say(&mut self, common: &Common, key: String, other: Option<&str>) -> Option<Effect> {
        let node = common.node.to_string();
        let mut add = command(&[b"SADD", key.as_bytes(), node.as_bytes()]);
        add.extend(other.map(|member| member.as_bytes().to_vec()));
        self.wait(Stage::Saying(key), Effect::Ask(RedisRequest::Pipeline(vec![add])))
    }

    fn advance(
        &mut self,
        common: &mut Common,
        from: PartitionPhase,
        partitions: &[(Partition, u32)],
    ) -> Option<Effect> {
        let (before, after) = match from {
            PartitionPhase::Barrier => ("b", "f"),
            PartitionPhase::Filling => ("f", ""),
            PartitionPhase::Open => {
                common.is_news = true;
                return None;
            }
        };
        let call = |(partition, epoch): &(Partition, u32)| {
            script(scripts::ADVANCE, *partition, &[&epoch.to_string(), before, after])
        };
        self.each(Stage::Done(true), scripts::ADVANCE, partitions.iter().map(call))
    }

    fn fill(&mut self, common: &mut Common, view: &View) -> Option<Effect> {
        let effect = self.filler.as_mut()?.begin(common, view)?;
        self.wait(Stage::Filling, effect)
    }

    fn fill_on(&mut self, common: &mut Common, view: &View, input: Input) -> Turn {
        let Some(filler) = &mut self.filler else { return Err(RoundError::Unasked) };
        let turn = filler.step(common, view, input);
        match &turn {
            Ok(Some(_)) => self.stage = Stage::Filling,
            Ok(None) => {}
            // A filling that has failed begins anew.
            Err(_) => self.filler = None,
        }
        turn
    }

    fn begin_epoch(
        &mut self,
        common: &Common,
        view: &View,
        at_least: u32,
        beginning: Beginning,
    ) -> Option<Effect> {
        // Where Redis throws away or refuses what is begun, that is not done again at once.
        let now = view.now.mono;
        if !common.may_ask_sql(view.now) || self.begin_rest.left(now).is_some() {
            return None;
        }
        self.begin_rest.failed(now);
        self.wait(Stage::Numbering(beginning), Effect::NextEpoch(at_least))
    }

    fn take_epoch(
        &mut self,
        common: &mut Common,
        view: &View,
        beginning: Beginning,
        epoch: Result<Option<u32>, SqlFailure>,
    ) -> Option<Effect> {
        let epoch = common.of_sql(view.now, epoch)??;
        let evicted = format!("{}:{}", beginning.run, beginning.evicted);
        let call = |(partition, before): &(Partition, Option<u32>)| {
            let before = before.map_or(String::new(), |before| before.to_string());
            let arguments = [&*epoch.to_string(), &*before, &*evicted, beginning.mark];
            script(scripts::BEGIN, *partition, &arguments)
        };
        let calls: Vec<CommandWords> = beginning.partitions.iter().map(call).collect();
        let stage = Stage::Beginning(Beginning { epoch, ..beginning });
        self.each(stage, scripts::BEGIN, calls.into_iter())
    }

    fn take_answers(
        &mut self,
        common: &mut Common,
        view: &View,
        stage: Stage,
        answers: &Answers,
    ) -> Turn {
        let ones = count_ones(answers)?;
        common.is_news |= match stage {
            Stage::Done(is_news) => is_news,
            Stage::Fencing => {
                common.metrics.fenced.fetch_add(ones, Ordering::Relaxed);
                common.log_numbers(view.now, Message::WritesLost, &[("partitions", ones)]);
                true
            }
            Stage::Saying(key) => {
                let expire = command(&[b"EXPIRE", key.as_bytes(), MEMBERS_KEPT_S]);
                return Ok(
                    self.wait(Stage::Done(true), Effect::Ask(RedisRequest::Pipeline(vec![expire])))
                );
            }
            Stage::Leading => answers.last() == Some(&OwnedReply::Int(1)),
            Stage::Beginning(beginning) => return Ok(self.seal(beginning)),
            Stage::Sealing(beginning) => {
                self.log_begun(common, view, &beginning);
                true
            }
            Stage::Idle | Stage::Numbering(_) | Stage::Filling => return Err(RoundError::Unasked),
        };
        Ok(None)
    }

    /// After all of them, and nothing is begun with this epoch again.
    fn seal(&mut self, beginning: Beginning) -> Option<Effect> {
        let (epoch, run) = (beginning.epoch.to_string(), beginning.run.to_string());
        let words = ["HSET", scripts::REBUILD, "epoch", &*epoch, "run", &*run];
        let seal = RedisRequest::Pipeline(vec![command(&words.map(str::as_bytes))]);
        self.wait(Stage::Sealing(beginning), Effect::Ask(seal))
    }

    fn log_begun(&mut self, common: &Common, view: &View, beginning: &Beginning) {
        common.metrics.rebuilds.fetch_add(1, Ordering::Relaxed);
        if !std::mem::replace(&mut self.is_begun_logged, true) {
            let count = u64::try_from(beginning.partitions.len()).unwrap_or(u64::MAX);
            let fields = [("epoch", beginning.epoch.into()), ("partitions", count)];
            common.log_numbers(view.now, Message::RebuildBegun, &fields);
        }
    }
}

/// Takes or keeps the lead for so long; 0 leaves it.
pub(super) fn lead(common: &Common, for_ms: u64) -> Effect {
    let arguments = command(&[common.token.as_bytes(), for_ms.to_string().as_bytes()]);
    let key = scripts::LOCK.to_owned();
    Effect::Ask(RedisRequest::Script { body: scripts::LEAD, key, arguments })
}

fn script(body: &str, partition: Partition, arguments: &[&str]) -> CommandWords {
    let arguments: Vec<&[u8]> = arguments.iter().map(|text| text.as_bytes()).collect();
    call(body, &scripts::meta_key(partition), &arguments)
}
