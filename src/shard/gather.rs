//! Events requests. The shard that took one coordinates: each element goes to the shard that owns
//! its user, the verdicts come back, and one answer leaves when all are there. An element stands
//! for itself; those of one user keep their order.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::decision::{Ask, Progress};
use super::home::{Done, Home, Outstanding};
use super::origin::Origin;
use super::packed::{self, Packed};
use super::reads::{Waiter, Work};
use super::seam::Outbox;
use super::verdicts::{self, Verdict, summarize};
use super::view::View;
use crate::api::events::{self, Element, Event};
use crate::api::ignored::Ignored;
use crate::api::refusal::{Code, write_journal_full, write_refusal};
use crate::api::reply::Heading;
use crate::base::ids::{LaneSequence, ShardId, UserKey};
use crate::base::limits::PARKED_MAX;
use crate::base::slab::{Handle, Slab};
use crate::http::head::Request;

/// An events request whose verdicts are not all there.
#[derive(Debug)]
pub struct Gather {
    origin: Origin,
    /// The packed request, for the head of its answer.
    request: Vec<u8>,
    /// The names of its fields that nobody knows, packed; mostly none, and then without memory.
    ignored: Vec<u8>,
    /// One byte an element.
    verdicts: Vec<u8>,
    /// Parts that are out.
    parts: u32,
}

/// Events requests under way.
pub type Gathers = Slab<Gather>;

/// An empty table of them.
pub fn gathers() -> Gathers {
    Slab::new(PARKED_MAX)
}

impl Home {
    /// Executes an events request: splits it by shard and gathers the verdicts.
    pub fn gather<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        elements: &'a [Element<'a>],
        ignored: Ignored<'a>,
        (out, outbox): (&mut Vec<u8>, &mut Outbox),
    ) -> Progress {
        let mut all = self.buffer();
        all.extend(elements.iter().map(|element| match element {
            Err(code) => Verdict::of_code(*code) as u8,
            Ok(_) => Verdict::Unavailable as u8,
        }));
        for code in elements.iter().filter_map(|element| element.as_ref().err()) {
            self.count_verdicts(&[Verdict::of_code(*code)]);
        }
        let mut request = self.buffer();
        // Only the head of its answer is made from it.
        let head = Request { body: b"", query: "", ..ask.packed.request };
        packed::pack(&Packed { request: head, ..*ask.packed }, &mut request);
        let mut names = Vec::new();
        if !ignored.names.is_empty() {
            names = self.buffer();
            ignored.pack(&mut names);
        }
        let gather =
            Gather { origin: ask.origin, request, ignored: names, verdicts: all, parts: 0 };
        let handle = match self.gathers.insert(gather) {
            Ok(handle) => handle,
            Err(gather) => {
                let heading = ask.view.heading(&ask.packed.request);
                write_refusal(out, &heading, Code::Overloaded.into());
                self.keep_gather(gather);
                return Progress::Answered;
            }
        };
        for shard in shards_of(ask.view, elements, ask.bump) {
            self.ask_part(ask, shard, elements, handle, outbox);
        }
        if self.gathers.get(handle).is_some_and(|gather| gather.parts == 0) {
            let gather = self.gathers.remove(handle).expect("just seen");
            self.answer_gather(ask.view, &gather, out, ask.bump);
            self.keep_gather(gather);
            return Progress::Answered;
        }
        Progress::Later
    }

    /// Executes this shard's elements of an events request. Gives the verdicts, unless they have to
    /// wait: for a user's state, or for the journal.
    pub fn part<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        elements: &'a [Element<'a>],
        may_park: bool,
        outbox: &mut Outbox,
    ) -> Option<Vec<u8>> {
        if self.arbiter.is_some() {
            return self.part_by_redis(ask, elements, may_park);
        }
        let mine = |event: &Event<'_>| {
            ask.view.home(UserKey::of(event.token.user.as_bytes())) == ask.view.shard
        };
        if may_park && ask.now.mono < ask.until && self.park_part(ask, elements, mine, outbox) {
            return None;
        }
        let count = elements.iter().flatten().filter(|event| mine(event)).count();
        let has_room = self.lane.has_room(count);
        if !has_room {
            self.counters.journal_refusals.add(1);
        }
        let mut verdicts = self.buffer();
        let mut upto = LaneSequence(0);
        for (index, event) in elements.iter().enumerate() {
            let Ok(event) = event else { continue };
            if !mine(event) {
                continue;
            }
            let verdict =
                if has_room { self.one_event(ask, event, &mut upto) } else { Verdict::Unavailable };
            verdicts::put(index, verdict, &mut verdicts);
        }
        self.hold_verdicts_back(ask, upto, verdicts)
    }

    /// Gives verdicts where the records up to `upto` are acknowledged; else holds them back.
    pub(super) fn hold_verdicts_back(
        &mut self,
        ask: &Ask<'_, '_>,
        upto: LaneSequence,
        mut verdicts: Vec<u8>,
    ) -> Option<Vec<u8>> {
        if self.lane.is_acked(upto) {
            return Some(verdicts);
        }
        let mut fallback = self.buffer();
        verdicts::put_unkept(&verdicts, &mut fallback);
        self.hold_back(ask.now.mono, ask.origin, upto, (&mut verdicts, 0), fallback);
        self.keep(verdicts);
        None
    }

    /// A part has come back: its verdicts, or nothing where it could not be executed.
    pub fn part_done(&mut self, view: &View, handle: Handle, part: &[u8], bump: &Bump) {
        let Some(gather) = self.gathers.get_mut(handle) else { return };
        merge(gather, part);
        gather.parts -= 1;
        if gather.parts > 0 {
            return;
        }
        let gather = self.gathers.remove(handle).expect("just seen");
        let mut outcome = self.buffer();
        self.answer_gather(view, &gather, &mut outcome, bump);
        self.done.push(Done { origin: gather.origin, outcome });
        self.keep_gather(gather);
    }

    fn keep_gather(&mut self, gather: Gather) {
        let Gather { request, ignored, verdicts, .. } = gather;
        // One without memory is not kept.
        [request, ignored, verdicts].into_iter().for_each(|buffer| self.keep(buffer));
    }

    fn ask_part<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        shard: ShardId,
        elements: &'a [Element<'a>],
        handle: Handle,
        outbox: &mut Outbox,
    ) {
        if shard == ask.view.shard {
            let local = Ask { origin: Origin::Gather(handle), ..*ask };
            let part = self.part(&local, elements, true, outbox);
            let gather = self.gathers.get_mut(handle).expect("it is removed with its last part");
            match part {
                Some(verdicts) => {
                    merge(gather, &verdicts);
                    self.keep(verdicts);
                }
                None => gather.parts += 1,
            }
        } else if self.may_hop() {
            let mut buffer = self.buffer();
            packed::pack(ask.packed, &mut buffer);
            self.hop(ask.view, shard, Outstanding::Part(handle), buffer, outbox);
            let gather = self.gathers.get_mut(handle).expect("it is removed with its last part");
            gather.parts += 1;
        }
    }

    /// Parks the part where a user of it is not in memory: reads of all such users are started, and
    /// the part waits for the last.
    fn park_part<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        elements: &'a [Element<'a>],
        mine: impl Fn(&Event<'_>) -> bool,
        outbox: &mut Outbox,
    ) -> bool {
        let mut last = None;
        for event in elements.iter().flatten().filter(|event| mine(event)) {
            let user = event.token.user;
            if last == Some(user) || self.slice.contains(user) {
                continue;
            }
            if let Some(former) = last.replace(user) {
                let waiter = Waiter { origin: ask.origin, work: Work::Nothing };
                // Refused, the part finds this user missing when it is executed.
                let _ = self.park(ask.view, ask.now, former, waiter, outbox);
            }
        }
        let Some(user) = last else { return false };
        let mut buffer = self.buffer();
        packed::pack(ask.packed, &mut buffer);
        let waiter = Waiter {
            origin: ask.origin,
            work: Work::Request { buffer, until: ask.until, tries: 0 },
        };
        self.park(ask.view, ask.now, user, waiter, outbox).is_ok()
    }

    fn one_event(
        &mut self,
        ask: &Ask<'_, '_>,
        event: &Event<'_>,
        upto: &mut LaneSequence,
    ) -> Verdict {
        let user = event.token.user;
        let Some(last_change) = self.load(user) else { return Verdict::Unavailable };
        let mark = self.lane.mark();
        let verdict = self.apply_event(ask.view, ask.now, event);
        let verdict = match verdict {
            Verdict::Accepted => {
                let last = self.lane.last();
                if self.store(ask.now, user, last, mark) {
                    *upto = (*upto).max(last);
                    Verdict::Accepted
                } else {
                    Verdict::Unavailable
                }
            }
            Verdict::Duplicate => {
                *upto = (*upto).max(last_change);
                Verdict::Duplicate
            }
            other => other,
        };
        self.count_verdicts(&[verdict]);
        verdict
    }

    fn answer_gather(&self, view: &View, gather: &Gather, out: &mut Vec<u8>, bump: &Bump) {
        let Packed { request, .. } = packed::unpack(&gather.request);
        let heading: Heading<'_> = view.heading(&request);
        let mut all = BumpVec::with_capacity_in(gather.verdicts.len(), bump);
        all.extend(gather.verdicts.iter().map(|byte| Verdict::of_byte(*byte)));
        let is_refused = all.contains(&Verdict::Unavailable)
            && !all.iter().any(|verdict| verdict.rests_on_record());
        if is_refused {
            write_journal_full(out, &heading, view.disk_lack.as_deref(), bump);
        } else {
            let ignored = Ignored::unpack(&gather.ignored, bump);
            events::write_accepted(out, &heading, &summarize(&all, bump), &ignored, bump);
        }
    }
}

fn merge(gather: &mut Gather, part: &[u8]) {
    for (index, verdict) in verdicts::pairs(part) {
        // A part of another form has no verdicts; its elements stay unavailable.
        if let Some(place) = gather.verdicts.get_mut(index) {
            *place = verdict as u8;
        }
    }
}

/// The shards that own the users of these elements, each once, ascending.
fn shards_of<'a>(view: &View, elements: &[Element<'_>], bump: &'a Bump) -> BumpVec<'a, ShardId> {
    let mut shards = BumpVec::new_in(bump);
    for event in elements.iter().flatten() {
        let shard = view.home(UserKey::of(event.token.user.as_bytes()));
        if let Err(place) = shards.binary_search(&shard) {
            shards.insert(place, shard);
        }
    }
    shards
}
