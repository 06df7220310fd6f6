//! Carrying out what a round has decided. An order that fails ends the round: the next one reads
//! what has become of it.

use std::sync::atomic::Ordering;

use super::fill::Filler;
use super::{RoundError, Thread};
use crate::base::ids::Partition;
use crate::base::limits::REBUILD_LOCK_MS;
use crate::keeper::core::{Order, Seal};
use crate::keeper::ledger::Vanishing;
use crate::keeper::scripts;
use crate::redis::command::Phase;
use crate::runtime::{clocks, log_thread};
use crate::telemetry::log::{Message, Value};

/// Who has compared a run, and who has given their word, is kept for this long: a week.
const MEMBERS_KEPT_S: &[u8] = b"604800";

/// A rebuild that was begun is begun again after this long at the earliest, in milliseconds, and
/// twice as long each time up to the longest.
const BEGIN_REST_MS: u64 = 100;
/// The longest rest, in milliseconds.
const BEGIN_REST_MAX_MS: u64 = 5_000;

impl Thread {
    /// Carries orders out; whether the next round has to follow at once.
    pub(super) fn carry_out(&mut self, orders: Vec<Order>) -> Result<bool, RoundError> {
        let mut is_news = false;
        for order in orders {
            is_news |= self.carry_out_one(order)?;
        }
        Ok(is_news)
    }

    fn carry_out_one(&mut self, order: Order) -> Result<bool, RoundError> {
        match order {
            Order::Hold(partitions) => self.hold(&partitions)?,
            Order::Settle(partitions) => {
                partitions.iter().for_each(|partition| self.setup.board.settle(*partition));
                return Ok(false);
            }
            Order::SayCompared { run, is_cleared } => {
                let node = self.setup.node.to_string();
                let mut members = vec![node.as_bytes()];
                members.extend(is_cleared.then_some(scripts::CLEARED.as_bytes()));
                self.say(&scripts::compared_key(run), &members)?;
            }
            Order::Clear { run } => self.setup.board.clear_run(run),
            Order::TakeLead => return self.lead(REBUILD_LOCK_MS),
            Order::KeepLead => {
                self.lead(REBUILD_LOCK_MS)?;
                return Ok(false);
            }
            Order::LeaveLead => {
                self.lead(0)?;
            }
            Order::Begin { at_least, run, evicted, vanishing, partitions } => {
                let mark = vanishing.map_or("", Vanishing::mark);
                return self.begin(at_least, (run, evicted, mark), &partitions);
            }
            Order::Doubt(partitions) => {
                self.doubt(&partitions)?;
                return Ok(false);
            }
            Order::Answer(seal) => {
                let node = self.setup.node.to_string();
                self.say(&scripts::answered_key(seal), &[node.as_bytes()])?;
            }
            Order::Advance { from, partitions } => self.advance(from, &partitions)?,
            Order::Fill(partitions) => {
                self.filler = Some(Filler::new(&partitions));
                return self.fill_on();
            }
            Order::FillOn => return self.fill_on(),
            Order::FillStop => self.filler = None,
        }
        Ok(true)
    }

    fn hold(&mut self, partitions: &[(Partition, u32)]) -> Result<(), RoundError> {
        let call = |(partition, epoch): &(Partition, u32)| {
            (scripts::meta_key(*partition), vec![epoch.to_string().into_bytes()])
        };
        let calls: Vec<_> = partitions.iter().map(call).collect();
        let held = self.script_each(scripts::HOLD, &calls)?;
        let held = u64::try_from(held).unwrap_or(u64::MAX);
        self.setup.figures.held.fetch_add(held, Ordering::Relaxed);
        let fields = [("partitions", Value::Number(held))];
        self.setup.log.write(log_thread::stamp_now(), Message::WritesLost, &fields);
        Ok(())
    }

    fn doubt(&mut self, partitions: &[(Partition, u32, Vanishing)]) -> Result<(), RoundError> {
        let call = |(partition, epoch, why): &(Partition, u32, Vanishing)| {
            let arguments = vec![epoch.to_string().into_bytes(), why.mark().into()];
            (scripts::meta_key(*partition), arguments)
        };
        let calls: Vec<_> = partitions.iter().map(call).collect();
        self.script_each(scripts::DOUBT, &calls)?;
        Ok(())
    }

    fn say(&mut self, key: &str, members: &[&[u8]]) -> Result<(), RoundError> {
        let mut add: Vec<&[u8]> = vec![b"SADD", key.as_bytes()];
        add.extend_from_slice(members);
        self.setup.redis.ask(&add)?;
        self.setup.redis.ask(&[b"EXPIRE", key.as_bytes(), MEMBERS_KEPT_S])?;
        Ok(())
    }

    /// Takes or keeps the lead for so long; 0 leaves it. Whether it is held.
    pub(super) fn lead(&mut self, for_ms: u64) -> Result<bool, RoundError> {
        let keys: [&[u8]; 1] = [scripts::LOCK.as_bytes()];
        let for_ms = for_ms.to_string();
        let arguments: [&[u8]; 2] = [self.token.as_bytes(), for_ms.as_bytes()];
        let answer = self.setup.redis.script(scripts::LEAD, &keys, &arguments)?;
        Ok(answer == crate::redis::ask::Answer::Int(1))
    }

    fn begin(
        &mut self,
        at_least: u32,
        (run, evicted, mark): (u64, u64, &str),
        partitions: &[(Partition, Option<u32>)],
    ) -> Result<bool, RoundError> {
        // Where Redis throws away or refuses what is begun, that is not done again at once.
        let (rest_end, rest_ms) = self.begin_rest;
        let now = clocks::mono();
        if !self.may_ask_sql() || now < rest_end {
            return Ok(false);
        }
        let next_ms = (2 * rest_ms).clamp(BEGIN_REST_MS, BEGIN_REST_MAX_MS);
        self.begin_rest = (now.plus_ms(next_ms), next_ms);
        let epoch = match self.setup.stores.0.shared() {
            Some(store) => store.next_epoch(at_least),
            None => return Ok(false),
        };
        let Some(epoch) = self.of_sql(epoch) else { return Ok(false) };
        let evicted = format!("{run}:{evicted}");
        let call = |(partition, before): &(Partition, Option<u32>)| {
            let before = before.map_or(String::new(), |before| before.to_string());
            let arguments = [epoch.to_string(), before, evicted.clone(), mark.to_owned()];
            let arguments = arguments.map(String::into_bytes).to_vec();
            (scripts::meta_key(*partition), arguments)
        };
        let calls: Vec<_> = partitions.iter().map(call).collect();
        self.script_each(scripts::BEGIN, &calls)?;
        // After all of them, and nothing is begun with this epoch again.
        let Seal { epoch, run } = Seal { epoch, run };
        let (epoch_text, run) = (epoch.to_string(), run.to_string());
        self.setup.redis.ask(&[
            b"HSET",
            scripts::REBUILD.as_bytes(),
            b"epoch",
            epoch_text.as_bytes(),
            b"run",
            run.as_bytes(),
        ])?;
        self.setup.figures.rebuilds.fetch_add(1, Ordering::Relaxed);
        if std::mem::replace(&mut self.is_begun_told, true) {
            return Ok(true);
        }
        let count = u64::try_from(partitions.len()).unwrap_or(u64::MAX);
        let fields = [("epoch", Value::Number(epoch.into())), ("partitions", Value::Number(count))];
        self.setup.log.write(log_thread::stamp_now(), Message::RebuildBegun, &fields);
        Ok(true)
    }

    fn advance(&mut self, from: Phase, partitions: &[(Partition, u32)]) -> Result<(), RoundError> {
        let (before, after): (&[u8], &[u8]) = match from {
            Phase::Barrier => (b"b", b"f"),
            Phase::Filling => (b"f", b""),
            Phase::Open => return Ok(()),
        };
        let call = |(partition, epoch): &(Partition, u32)| {
            let epoch = epoch.to_string().into_bytes();
            (scripts::meta_key(*partition), vec![epoch, before.to_vec(), after.to_vec()])
        };
        let calls: Vec<_> = partitions.iter().map(call).collect();
        self.script_each(scripts::ADVANCE, &calls)?;
        Ok(())
    }
}
