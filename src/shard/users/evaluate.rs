//! What commands do to the state of a user, which is in the scratch: events, the decision, the show
//! and its token; and what an outcome waits for. Synchronous steps over memory, the same whoever is
//! the arbiter.

use bumpalo::Bump;

use super::in_flight::Waiter;
use super::lane::WaitingOutcome;
use super::{Happened, Scratch, Subject, Users, shown_of};
use crate::origin::Origin;
use crate::view::View;
use nudged_api::command::{Command, EncodedCommand};
use nudged_api::decide::DecideRequest;
use nudged_api::events::Event;
use nudged_api::outcome::{Candidate, Decided, EncodedOutcome, Outcome, Verdicts};
use nudged_api::token::Token;
use nudged_api::verdict::{PlacedVerdict, Verdict};
use nudged_base::clock::Now;
use nudged_base::event_kind::EventKind;
use nudged_base::ids::LaneSequence;
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_base::time::MonoNs;
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::decide::choose::{self, Decision};
use nudged_domain::state::apply::{self, EventVerdict, ShowApplied};

/// What a command is executed with.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a, 'v> {
    /// The shard's catalog, keys and date.
    pub view: &'v View,
    /// The turn's time.
    pub now: Now,
    /// Scratch of this request.
    pub bump: &'a Bump,
    /// Who waits for the outcome.
    pub origin: Origin,
    /// Until when it may wait for users' states.
    pub until: MonoNs,
    /// How it came to be run.
    pub attempt: Attempt,
}

/// How a command came to be run, where Redis is the arbiter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// How often it was evaluated and another node was first.
    pub tries: u8,
    /// The copy of its user's state has just come from Redis.
    pub is_fresh: bool,
}

/// The answer of a request before any of it is known but what the request itself says.
pub(super) fn decided<'a>(request: &DecideRequest<'a>, decision: Decision) -> Decided<'a> {
    Decided {
        decision,
        token: "",
        locale: None,
        anonymous: request.anonymous.then_some(request.context.user),
        verdicts: &[],
        candidates: None,
        ignored: request.ignored.names,
    }
}

impl Users {
    /// Applies one event to the scratch state, and records it where it changed something.
    pub(crate) fn apply_event(&mut self, view: &View, now: Now, event: &Event<'_>) -> Verdict {
        let token = &event.token;
        let shown = shown_of(token);
        let state = &mut self.scratch.state;
        let verdict = apply::event(state, shown, event.action, event.ts, now.wall);
        let fields = [
            ("popup", LogValue::Text(token.popup)),
            ("action", LogValue::Text(event.action.as_str())),
        ];
        self.log_user(now, Message::EventTaken, token.user, fields);
        match verdict {
            EventVerdict::TooLate => Verdict::TOO_LATE,
            EventVerdict::Duplicate => Verdict::Duplicate,
            EventVerdict::Accepted { acted_at } => {
                let subject = Subject::of(event);
                let kind = event.action.kind();
                let happened = Happened { kind, at: now.wall, acted_at, forgotten: None };
                self.record(&view.snapshot, &subject, happened);
                Verdict::Accepted
            }
        }
    }

    /// Gives an outcome that rests on no record, or on those up to one that is acknowledged; else
    /// holds it back until that one is.
    pub(super) fn hold_back<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        outcome: Outcome<'a>,
        upto: Option<LaneSequence>,
    ) -> Option<Outcome<'a>> {
        let Some(upto) = upto.filter(|upto| !self.lane.is_acked(*upto)) else {
            return Some(outcome);
        };
        let outcome = EncodedOutcome::new(&outcome, &context.view.snapshot, self.buffer());
        let (since, origin) = (context.now.mono, context.origin);
        self.lane.wait(WaitingOutcome { upto, since, origin, outcome });
        None
    }

    /// Gives verdicts where the records up to `upto` are acknowledged; else holds them back.
    pub(super) fn hold_verdicts_back<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        verdicts: &'a [PlacedVerdict],
        upto: LaneSequence,
    ) -> Option<Outcome<'a>> {
        let outcome = Outcome::Verdicts(Verdicts { verdicts, ignored: &[] });
        self.hold_back(context, outcome, Some(upto))
    }

    /// A command as something that waits.
    pub(super) fn waiter(
        &mut self,
        context: &RequestContext<'_, '_>,
        command: &Command<'_>,
    ) -> Waiter {
        let command = Some(EncodedCommand::new(command, self.buffer()));
        let RequestContext { origin, until, attempt, .. } = *context;
        Waiter { origin, command, until, tries: attempt.tries }
    }

    /// Applies a show, records it and mints its token.
    pub(super) fn show<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
        place: (u32, usize),
    ) -> Decided<'a> {
        let now = context.now.wall;
        let (decided, applied) = self.mint_show(context, request, place, None);
        let snapshot = &*context.view.snapshot;
        let subject = Subject::of_show(snapshot, request.context.user, place, decided.token);
        let (kind, forgotten) = (EventKind::Decided, applied.forgotten);
        let happened = Happened { kind, at: now, acted_at: now, forgotten };
        self.record(snapshot, &subject, happened);
        decided
    }

    /// Applies a show to the scratch state, and mints its token. `local` is the hash of the session
    /// where this node's memory alone decides.
    pub(super) fn mint_show<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
        (popup, variant): (u32, usize),
        local: Option<u64>,
    ) -> (Decided<'a>, ShowApplied) {
        let (now, view) = (context.now.wall, context.view);
        let popup_shown = &view.snapshot.popups[popup as usize];
        let variant_shown = &popup_shown.variants[variant];
        let session = request.context.session;
        let state = &mut self.scratch.state;
        let applied = apply::show(state, &view.snapshot, popup_shown, session, now);
        let token = Token {
            user: request.context.user,
            popup: &popup_shown.id,
            version: popup_shown.version,
            variant: &variant_shown.key,
            number: applied.number,
            at: now,
            local,
        };
        self.scratch.token.clear();
        view.keys.mint(&token, &mut self.scratch.token);
        let decided = Decided {
            token: context.bump.alloc_str(&self.scratch.token),
            locale: choose::locale(variant_shown, request.context.locale),
            ..decided(request, Decision::Show { popup, variant })
        };
        (decided, applied)
    }

    /// Every popup with its gate, where the answer is to explain itself.
    pub(super) fn candidates<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
    ) -> Option<&'a [Candidate]> {
        if !request.explain {
            return None;
        }
        let Scratch { state, candidates, .. } = &mut self.scratch;
        let (snapshot, now) = (&*context.view.snapshot, context.now.wall);
        choose::explain(snapshot, state, &request.context, now, candidates);
        Some(context.bump.alloc_slice_copy(candidates))
    }

    /// Counts a decision and what became of its events, and says so of listed users.
    pub(super) fn note_decision(
        &self,
        context: &RequestContext<'_, '_>,
        user: &str,
        decided: &Decided<'_>,
    ) {
        self.count(decided);
        self.log_decision(context.now, &context.view.snapshot, user, decided);
    }

    pub(super) fn log_decision(
        &self,
        now: Now,
        snapshot: &Snapshot,
        user: &str,
        decided: &Decided<'_>,
    ) {
        let (popup, reason): (&str, _) = match decided.decision {
            Decision::Show { popup, .. } => (&snapshot.popups[popup as usize].id, ""),
            Decision::Nothing { reason, .. } => ("", reason.as_str()),
        };
        let fields = [("popup", LogValue::Text(popup)), ("reason", LogValue::Text(reason))];
        self.log_user(now, Message::Decided, user, fields);
    }

    pub(super) fn count(&self, decided: &Decided<'_>) {
        match decided.decision {
            Decision::Show { .. } => self.counters.decisions_shown.add(1),
            Decision::Nothing { reason, .. } => {
                self.counters.decisions_nothing.of(reason.as_str()).add(1);
            }
        }
        self.count_verdicts(decided.verdicts.iter().copied());
    }

    /// Counts what became of events.
    pub(crate) fn count_verdicts(&self, verdicts: impl Iterator<Item = Verdict>) {
        for verdict in verdicts {
            match verdict {
                Verdict::Accepted => self.counters.events_accepted.add(1),
                Verdict::Duplicate => self.counters.events_duplicate.add(1),
                Verdict::Rejected(code) => self.counters.events_rejected.of(code.name()).add(1),
            }
        }
    }
}
