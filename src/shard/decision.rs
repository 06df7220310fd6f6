//! One decide request on the shard that owns its user: its events, then the decision, then one
//! answer. A single synchronous step over memory; what it needs is fetched before, what it changes
//! is reserved in the lane before.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::home::{Home, Subject, shown_of};
use super::lane::Waiting;
use super::origin::Origin;
use super::packed::{self, Packed};
use super::reads::{Waiter, Work};
use super::seam::Outbox;
use super::verdicts::{Verdict, summarize};
use super::view::View;
use crate::api::answer::{self, Candidate, Explanation, Extras, Shown};
use crate::api::decide::DecideRequest;
use crate::api::events::Event;
use crate::api::reply::Heading;
use crate::api::token::Token;
use crate::base::clock::Now;
use crate::base::ids::LaneSequence;
use crate::base::time::MonoNs;
use crate::catalog::snapshot::Popup;
use crate::decide::choose::{self, Decision};
use crate::decide::gates::Gate;
use crate::journal::record::Happening;
use crate::state::apply::{self, EventVerdict, ShowApplied};
use crate::telemetry::log::{Message, Value};

/// Whether an answer is there or will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The answer was appended to `out`.
    Answered,
    /// The outcome goes to the origin later.
    Later,
}

/// What a decide request is executed with.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a, 'v> {
    /// The shard's catalog, keys and date.
    pub view: &'v View,
    /// The turn's time.
    pub now: Now,
    /// Scratch of this request.
    pub bump: &'a Bump,
    /// The request as it came, to be parked.
    pub packed: &'a Packed<'a>,
    /// Who waits for the answer.
    pub origin: Origin,
    /// Until when it may wait for users' states.
    pub until: MonoNs,
    /// How it came to be run.
    pub round: Round,
}

/// How a request came to be run, where Redis is the arbiter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// How often it was evaluated and another node was first.
    pub tries: u8,
    /// The copy of its user's state has just come from Redis.
    pub is_fresh: bool,
}

/// How a decision came out, in the words of its reply.
#[derive(Debug)]
pub(super) enum Verdicted<'a> {
    Show(Shown<'a>),
    Nothing { reason: &'static str, next_in_s: Option<u32> },
}

pub(super) const DEGRADED: Verdicted<'static> =
    Verdicted::Nothing { reason: "degraded", next_in_s: None };

impl Home {
    /// Executes a decide request of a user of this shard.
    pub fn decide<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        asked: &DecideRequest<'a>,
        out: &mut Vec<u8>,
        outbox: &mut Outbox,
    ) -> Progress {
        if self.arbiter.is_some() {
            return self.decide_by_redis(ask, asked, out);
        }
        let user = asked.context.user;
        let Some(last_change) = self.load(user) else {
            return self.park_decision(ask, asked, out, outbox);
        };
        let mark = self.lane.mark();
        let has_room = self.lane.has_room(asked.events.len() + 1);
        let mut verdicts = BumpVec::with_capacity_in(asked.events.len(), ask.bump);
        for element in asked.events {
            let verdict = match element {
                Err(code) => Verdict::of_code(*code),
                Ok(event) if event.token.user != user => Verdict::OtherUser,
                Ok(_) if !has_room => Verdict::Unavailable,
                Ok(event) => self.apply_event(ask.view, ask.now, event),
            };
            verdicts.push(verdict);
        }
        let candidates = if asked.explain { self.candidates(ask, asked) } else { &[] };
        let mut verdicted = self.choose(ask, asked, has_room);
        let mut upto = last_change;
        if self.lane.last() != mark.last() {
            upto = self.lane.last();
            if !self.store(ask.now, user, upto, mark) {
                upto = last_change;
                verdicted = DEGRADED;
                verdicts.iter_mut().for_each(|verdict| *verdict = verdict.unless_kept());
            }
        }
        let start = out.len();
        write_answer(out, ask, asked, (&verdicted, candidates), &verdicts);
        self.count(&verdicted, &verdicts);
        self.tell_decision(ask.now, user, &verdicted);
        let rests_on_record = !verdicts.is_empty() || matches!(verdicted, Verdicted::Show(_));
        if !rests_on_record || self.lane.is_acked(upto) {
            return Progress::Answered;
        }
        let fallback = self.fallback(ask, asked, &verdicts);
        self.hold_back(ask.now.mono, ask.origin, upto, (out, start), fallback);
        Progress::Later
    }

    /// Applies one event to the scratch state, and records it where it changed something.
    pub fn apply_event(&mut self, view: &View, now: Now, event: &Event<'_>) -> Verdict {
        let token = &event.token;
        let shown = shown_of(token);
        let state = &mut self.scratch.state;
        let verdict = apply::event(state, shown, event.action, event.ts, now.wall);
        let fields =
            [("popup", Value::Text(token.popup)), ("action", Value::Text(event.action.as_str()))];
        self.tell_of_user(now, Message::EventTaken, token.user, fields);
        match verdict {
            EventVerdict::TooLate => Verdict::TooLate,
            EventVerdict::Duplicate => Verdict::Duplicate,
            EventVerdict::Accepted { acted_at } => {
                let subject = Subject::of(event);
                let happening = event.action.happening();
                self.record(&view.snapshot, &subject, happening, (now.wall, acted_at), None);
                Verdict::Accepted
            }
        }
    }

    /// What goes out in place of an answer whose records are not kept in time.
    pub(super) fn fallback<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        asked: &DecideRequest<'a>,
        verdicts: &[Verdict],
    ) -> Vec<u8> {
        let mut unkept = BumpVec::with_capacity_in(verdicts.len(), ask.bump);
        unkept.extend(verdicts.iter().map(|verdict| verdict.unless_kept()));
        let mut fallback = self.buffer();
        write_answer(&mut fallback, ask, asked, (&DEGRADED, &[]), &unkept);
        fallback
    }

    /// Holds an answer back, the bytes of `answer` from its start on, until its record is
    /// acknowledged.
    pub fn hold_back(
        &mut self,
        now: MonoNs,
        origin: Origin,
        upto: LaneSequence,
        answer: (&mut Vec<u8>, usize),
        fallback: Vec<u8>,
    ) {
        let (out, start) = answer;
        let mut outcome = self.buffer();
        outcome.extend_from_slice(&out[start..]);
        out.truncate(start);
        self.lane.wait(Waiting { upto, since: now, origin, outcome, fallback });
    }

    fn park_decision<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        asked: &DecideRequest<'a>,
        out: &mut Vec<u8>,
        outbox: &mut Outbox,
    ) -> Progress {
        let mut buffer = self.buffer();
        let anonymous = if asked.anonymous { asked.context.user } else { "" };
        packed::pack(&Packed { anonymous, ..*ask.packed }, &mut buffer);
        let waiter = Waiter {
            origin: ask.origin,
            work: Work::Request { buffer, until: ask.until, tries: 0 },
        };
        match self.park(ask.view, ask.now, asked.context.user, waiter, outbox) {
            Ok(()) => Progress::Later,
            Err(_) => self.decide_degraded(ask, asked, out),
        }
    }

    /// Decides on the scratch state and, where a popup is shown, applies and records it.
    fn choose<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        asked: &DecideRequest<'a>,
        has_room: bool,
    ) -> Verdicted<'a> {
        let snapshot = &*ask.view.snapshot;
        let state = &mut self.scratch.state;
        match choose::decide(snapshot, state, &asked.context, ask.now.wall) {
            Decision::Nothing { reason, next_in_s } => {
                Verdicted::Nothing { reason: reason.as_str(), next_in_s }
            }
            Decision::Show { .. } if !has_room => {
                self.counters.journal_refusals.add(1);
                DEGRADED
            }
            Decision::Show { popup, variant } => {
                let popup = &snapshot.popups[popup as usize];
                self.show(ask, asked, popup, variant)
            }
        }
    }

    pub(super) fn show<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        asked: &DecideRequest<'a>,
        popup: &Popup,
        variant: usize,
    ) -> Verdicted<'a> {
        let now = ask.now.wall;
        let (shown, applied) = self.mint_show(ask, asked, (popup, variant), None);
        let subject = Subject {
            user: asked.context.user,
            token: shown.decision,
            popup: shown.popup,
            version: shown.version,
            variant: shown.variant,
        };
        let snapshot = &*ask.view.snapshot;
        self.record(snapshot, &subject, Happening::Decided, (now, now), applied.forgotten);
        Verdicted::Show(shown)
    }

    /// Applies a show to the scratch state, and mints its token. `local` is the hash of the session
    /// where this node's memory alone decides.
    pub(super) fn mint_show<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        asked: &DecideRequest<'a>,
        (popup, variant): (&Popup, usize),
        local: Option<u64>,
    ) -> (Shown<'a>, ShowApplied) {
        let now = ask.now.wall;
        let snapshot = &*ask.view.snapshot;
        let variant = &popup.variants[variant];
        let session = asked.context.session;
        let applied = apply::show(&mut self.scratch.state, snapshot, popup, session, now);
        let token = Token {
            user: asked.context.user,
            popup: &popup.id,
            version: popup.version,
            variant: &variant.key,
            number: applied.number,
            at: now,
            local,
        };
        self.scratch.token.clear();
        ask.view.keys.mint(&token, &mut self.scratch.token);
        let bump = ask.bump;
        let shown = Shown {
            decision: bump.alloc_str(&self.scratch.token),
            popup: bump.alloc_str(&popup.id),
            version: popup.version,
            variant: bump.alloc_str(&variant.key),
            content: bump.alloc_str(&choose::content(variant, asked.context.locale).0),
        };
        (shown, applied)
    }

    pub(super) fn candidates<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        asked: &DecideRequest<'a>,
    ) -> &'a [Candidate<'a>] {
        let snapshot = &*ask.view.snapshot;
        let super::home::Scratch { state, candidates, .. } = &mut self.scratch;
        choose::explain(snapshot, state, &asked.context, ask.now.wall, candidates);
        let mut named = BumpVec::with_capacity_in(candidates.len(), ask.bump);
        for (index, gate) in candidates.iter() {
            let id: &str = ask.bump.alloc_str(&snapshot.popups[*index as usize].id);
            named.push((id, gate.map(Gate::as_str)));
        }
        named.into_bump_slice()
    }

    pub(super) fn tell_decision(&self, now: Now, user: &str, verdicted: &Verdicted<'_>) {
        let (popup, reason) = match verdicted {
            Verdicted::Show(shown) => (shown.popup, ""),
            Verdicted::Nothing { reason, .. } => ("", *reason),
        };
        let fields = [("popup", Value::Text(popup)), ("reason", Value::Text(reason))];
        self.tell_of_user(now, Message::Decided, user, fields);
    }

    pub(super) fn count(&self, verdicted: &Verdicted<'_>, verdicts: &[Verdict]) {
        match verdicted {
            Verdicted::Show(_) => self.counters.decisions_shown.add(1),
            Verdicted::Nothing { reason, .. } => self.counters.decisions_nothing.of(reason).add(1),
        }
        self.count_verdicts(verdicts);
    }

    /// Counts what became of events.
    pub fn count_verdicts(&self, verdicts: &[Verdict]) {
        for verdict in verdicts {
            match verdict {
                Verdict::Accepted => self.counters.events_accepted.add(1),
                Verdict::Duplicate => self.counters.events_duplicate.add(1),
                other => self.counters.events_rejected.of(other.name()).add(1),
            }
        }
    }
}

/// Appends the answer of a decision, with the gates of all candidates where it is explained, and
/// what became of the request's events.
pub(super) fn write_answer<'a>(
    out: &mut Vec<u8>,
    ask: &Ask<'a, '_>,
    asked: &DecideRequest<'a>,
    (verdicted, candidates): (&Verdicted<'_>, &[Candidate<'_>]),
    verdicts: &[Verdict],
) {
    let events = (!verdicts.is_empty()).then(|| summarize(verdicts, ask.bump));
    let anonymous = asked.anonymous.then_some(asked.context.user);
    let extras = Extras { anonymous, events, ignored: asked.ignored };
    let heading = ask.view.heading(&ask.packed.request);
    write(out, &heading, verdicted, &extras, (asked.explain, candidates), ask.bump);
}

fn write(
    out: &mut Vec<u8>,
    heading: &Heading<'_>,
    verdicted: &Verdicted<'_>,
    extras: &Extras<'_>,
    explain: (bool, &[Candidate<'_>]),
    bump: &Bump,
) {
    let (is_explained, candidates) = explain;
    match (verdicted, is_explained) {
        (Verdicted::Show(shown), false) => answer::write_show(out, heading, shown, extras, bump),
        (Verdicted::Nothing { reason, next_in_s }, false) => {
            answer::write_nothing(out, heading, reason, *next_in_s, extras);
        }
        (verdicted, true) => {
            let (shown, reason, next_in_s) = match verdicted {
                Verdicted::Show(shown) => (Some(*shown), None, None),
                Verdicted::Nothing { reason, next_in_s } => (None, Some(*reason), *next_in_s),
            };
            let explanation = Explanation { shown, reason, next_in_s, candidates };
            answer::write_explain(out, heading, &explanation, extras, bump);
        }
    }
}
