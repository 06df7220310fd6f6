//! What commands do to the state of a user, which is in the scratch: events, the decision, the show
//! and its token; and what an outcome waits for. Synchronous steps over memory, the same whoever is
//! the arbiter.

use bumpalo::Bump;

use super::lane::WaitingOutcome;
use super::memory::{Scratch, Users};
use super::waiting::{StateAccess, Waiter};
use crate::origin::Origin;
use crate::view::View;
use nudged_api::command::{Command, EncodedCommand};
use nudged_api::decide::DecideRequest;
use nudged_api::events::{Element, Event};
use nudged_api::outcome::{Candidate, Decided, EncodedOutcome, Outcome};
use nudged_api::repeated::KnownWords;
use nudged_api::token::Token;
use nudged_api::verdict::Verdict;
use nudged_base::clock::Now;
use nudged_base::event_kind::EventKind;
use nudged_base::ids::{LaneSequence, PopupKey, Revision};
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_base::time::{MonoNs, WallMs};
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::decide::audience::Audience;
use nudged_domain::decide::choose::{self, Decision, Reason};
use nudged_domain::decide::gates::{self, Gate};
use nudged_domain::state::apply::{self, EventVerdict, ShowApplied, ShowId};
use nudged_domain::state::user::{self, EncodedState, EntryBrief};
use nudged_journal::record::{self, Impression, Record};

/// What a command is executed with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestContext<'a, 'v> {
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
    /// How often it was evaluated and another node was first.
    pub tries: u8,
    /// How many of its counts its user's rate took in runs before this one.
    pub counted: u8,
    /// Upon what it is run.
    pub access: StateAccess,
    /// Which words it says, where they are kept and it has just come.
    pub words: Option<KnownWords>,
}

impl RequestContext<'_, '_> {
    /// The same at this time of decisions.
    pub(super) fn at(&self, wall: WallMs) -> Self {
        RequestContext { now: Now { wall, ..self.now }, ..*self }
    }
}

/// What happened to a popup of a user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Happened {
    /// What.
    pub kind: EventKind,
    /// When it became part of the state.
    pub at: WallMs,
    /// When the user acted.
    pub acted_at: WallMs,
    /// The popup that it pushed out of the state.
    pub forgotten: Option<PopupKey>,
}

/// The impression that a record is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// The user's id.
    pub user: &'a str,
    /// The decision's token.
    pub token: &'a str,
    /// The popup's id.
    pub popup: &'a str,
    /// The popup's version at the decision.
    pub version: u32,
    /// The variant's key; empty for none.
    pub variant: &'a str,
}

impl<'a> Subject<'a> {
    /// The impression that an event is about.
    pub(crate) fn of(event: &Event<'a>) -> Subject<'a> {
        let token = &event.token;
        Subject {
            user: token.user,
            token: event.token_text,
            popup: token.popup,
            version: token.version,
            variant: token.variant,
        }
    }

    /// The impression that something unmerged is about.
    pub(crate) fn of_unmerged(record: &record::Unmerged<'a>) -> Subject<'a> {
        let record::Unmerged { user, token, popup, version, variant, .. } = *record;
        Subject { user, token, popup, version, variant }
    }

    /// The impression that a show makes, by its popup's place in the catalog and its variant's.
    pub(crate) fn of_show(
        snapshot: &'a Snapshot,
        user: &'a str,
        (popup, variant): (u32, usize),
        token: &'a str,
    ) -> Subject<'a> {
        let popup = &snapshot.popups[popup as usize];
        let variant = &popup.variants[variant].key;
        Subject { user, token, popup: &popup.id, version: popup.version, variant }
    }
}

/// The show that a token is of.
pub(crate) fn shown_of(token: &Token<'_>) -> ShowId {
    ShowId { popup: PopupKey::of(token.popup), number: token.number, at: token.at }
}

/// What becomes of an event that came with a user's request, where `take` says that of an event of
/// that user.
pub(super) fn verdict_of<'a>(
    element: &Element<'a>,
    user: &str,
    take: impl FnOnce(&Event<'a>) -> Verdict,
) -> Verdict {
    match element {
        Err(code) => Verdict::Rejected(*code),
        Ok(event) if event.token.user != user => Verdict::OTHER_USER,
        Ok(event) if event.token.is_preview() => Verdict::Dropped,
        Ok(event) => take(event),
    }
}

/// The answer of a request before any of it is known but what the request itself says.
pub(super) fn decided<'a>(request: &DecideRequest<'a>, decision: Decision) -> Decided<'a> {
    Decided {
        decision,
        token: "",
        locale: None,
        anonymous: request.anonymous.then_some(request.context.user),
        verdicts: &[],
        is_preview: request.is_preview,
        candidates: None,
        ignored: request.ignored.names,
    }
}

/// The decision on a state as it lies in memory; `None` where the request wants more than that,
/// and the state has to be decoded first.
pub(super) fn decide_as_it_lies(
    context: &RequestContext<'_, '_>,
    request: &DecideRequest<'_>,
    state: &EncodedState<'_>,
    now: WallMs,
) -> Option<Decision> {
    if !request.events.is_empty() || request.explain {
        return None;
    }
    let View { snapshot, times, audiences, .. } = context.view;
    let make = || Audience::of(snapshot, &request.context);
    let audience = context.words.and_then(|words| audiences.of(words, make));
    Some(choose::decide_for(snapshot, times, state, (&request.context, audience), now))
}

impl Scratch {
    /// The decision on the scratch state.
    pub(super) fn decide(
        &self,
        context: &RequestContext<'_, '_>,
        request: &DecideRequest<'_>,
    ) -> Decision {
        let View { snapshot, times, .. } = context.view;
        choose::decide(snapshot, times, &self.state, &request.context, context.now.wall)
    }

    /// Applies a show to the scratch state, and mints its token. `local` is the hash of the session
    /// where this node's memory alone decides.
    pub(super) fn show<'a>(
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
        let applied = match &self.shown {
            Some(parts) => parts.applied,
            None => apply::show(&mut self.state, &view.snapshot, popup_shown, session, now),
        };
        let token = Token {
            user: request.context.user,
            popup: &popup_shown.id,
            version: popup_shown.version,
            variant: &variant_shown.key,
            number: applied.number,
            at: now,
            local,
        };
        self.token.clear();
        view.keys.mint(&token, &mut self.token);
        let decided = Decided {
            token: context.bump.alloc_str(&self.token),
            locale: choose::locale(variant_shown, request.context.locale),
            ..decided(request, Decision::Show { popup, variant })
        };
        (decided, applied)
    }

    /// What a show in an epoch makes of a state that is looked at where it lies: the parts of the
    /// record and the state with them. Whether that was enough; else the state has to be decoded.
    pub(super) fn show_as_it_lies(
        &mut self,
        context: &RequestContext<'_, '_>,
        request: &DecideRequest<'_>,
        state: &EncodedState<'_>,
        (popup, epoch): (u32, u32),
    ) -> bool {
        let snapshot = &*context.view.snapshot;
        let (popup, now) = (&snapshot.popups[popup as usize], context.now.wall);
        let session = request.context.session;
        self.row.clear();
        let to = (now, &mut self.row);
        let Some(mut parts) = apply::show_as_it_lies(state, snapshot, popup, session, to) else {
            return false;
        };
        parts.revision.epoch = epoch;
        let parts = self.shown.insert(parts);
        self.clocks.clear();
        user::encode_clocks(&parts.clocks, &mut self.clocks);
        let entry = (&parts.place, &self.row[..]);
        state.splice(parts.revision, &self.clocks, entry, &mut self.encoded);
        true
    }

    /// The parts of the record of what happened to the entry of a popup, and the revision.
    fn encode_parts(&mut self, popup: PopupKey) -> (Revision, EntryBrief) {
        let Scratch { state, shown, clocks, row, .. } = self;
        if let Some(parts) = shown {
            return (parts.revision, parts.entry);
        }
        let entry = state.popup(popup).expect("the change left an entry");
        clocks.clear();
        user::encode_clocks(&state.clocks, clocks);
        row.clear();
        user::encode_popup(entry, row);
        (state.revision, entry.brief())
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
        let Scratch { state, candidates, .. } = self;
        let (snapshot, now) = (&*context.view.snapshot, context.now.wall);
        choose::explain(snapshot, state, &request.context, now, candidates);
        Some(context.bump.alloc_slice_copy(candidates))
    }
}

impl Users {
    /// Records what just happened to the scratch state's entry of `subject.popup`: in the lane, or
    /// beside it where Redis has to take it first.
    pub(super) fn record(
        &mut self,
        scratch: &mut Scratch,
        snapshot: &Snapshot,
        subject: &Subject<'_>,
        happened: Happened,
    ) {
        let Happened { kind, at, acted_at, forgotten } = happened;
        let popup_key = PopupKey::of(subject.popup);
        let (revision, entry) = scratch.encode_parts(popup_key);
        let next_show_at = snapshot
            .popup(popup_key)
            .and_then(|popup| gates::next_show_by(popup, entry, at).time());
        let Scratch { clocks, row, uncommitted_records, .. } = scratch;
        let forgotten = forgotten.and_then(|key| snapshot.popup(key)).map_or("", |popup| &popup.id);
        let record = Record::Impression(Impression {
            user: subject.user,
            revision,
            at,
            kind,
            acted_at,
            token: subject.token,
            popup: subject.popup,
            version: subject.version,
            variant: subject.variant,
            clocks,
            row,
            next_show_at,
            forgotten,
        });
        match self.is_by_redis {
            // Certain only once Redis has taken the change.
            true => _ = record::append(&record, uncommitted_records),
            false => _ = self.lane.append(&record),
        }
    }

    /// Says that an event was taken, where the log wants it.
    pub(super) fn log_event(&self, now: Now, event: &Event<'_>) {
        let fields = [
            ("popup", LogValue::Text(event.token.popup)),
            ("action", LogValue::Text(event.action.as_str())),
        ];
        self.log_user(now, Message::EventTaken, event.token.user, fields);
    }

    /// Applies one event to the scratch state, and records it where it changed something.
    pub(super) fn apply_event(
        &mut self,
        scratch: &mut Scratch,
        view: &View,
        now: Now,
        event: &Event<'_>,
    ) -> Verdict {
        let token = &event.token;
        if self.count_user(token.user, now.mono).is_err() {
            return Verdict::RATE_LIMITED;
        }
        let shown = shown_of(token);
        let state = &mut scratch.state;
        let verdict = apply::event(state, shown, event.action, event.ts, now.wall);
        self.log_event(now, event);
        match verdict {
            EventVerdict::TooLate => Verdict::TOO_LATE,
            EventVerdict::Duplicate => Verdict::Duplicate,
            EventVerdict::Accepted { acted_at } => {
                self.counters.popups.add(shown.popup, event.action.kind());
                let subject = Subject::of(event);
                let kind = event.action.kind();
                let happened = Happened { kind, at: now.wall, acted_at, forgotten: None };
                self.record(scratch, &view.snapshot, &subject, happened);
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

    /// A command as something that waits.
    pub(super) fn waiter(
        &mut self,
        context: &RequestContext<'_, '_>,
        command: &Command<'_>,
    ) -> Waiter {
        let command = Some(EncodedCommand::new(command, self.buffer()));
        let RequestContext { origin, until, tries, .. } = *context;
        Waiter { origin, command, until, tries, counted: self.rates.taken() }
    }

    /// Applies a show, records it and mints its token.
    pub(super) fn show<'a>(
        &mut self,
        scratch: &mut Scratch,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
        place: (u32, usize),
    ) -> Decided<'a> {
        let now = context.now.wall;
        let (decided, applied) = scratch.show(context, request, place, None);
        let snapshot = &*context.view.snapshot;
        let subject = Subject::of_show(snapshot, request.context.user, place, decided.token);
        let (kind, forgotten) = (EventKind::Decided, applied.forgotten);
        let happened = Happened { kind, at: now, acted_at: now, forgotten };
        self.record(scratch, snapshot, &subject, happened);
        decided
    }

    /// Counts a decision and what became of its events, and says so of listed users.
    pub(super) fn note_decision(
        &self,
        context: &RequestContext<'_, '_>,
        user: &str,
        decided: &Decided<'_>,
    ) {
        self.count(&context.view.snapshot, decided);
        self.log_decision((&context.view.snapshot, context.now), user, decided);
    }

    pub(super) fn log_decision(
        &self,
        (snapshot, now): (&Snapshot, Now),
        user: &str,
        decided: &Decided<'_>,
    ) {
        if !self.log.wants(Message::Decided, Some(user)) {
            return;
        }
        let (popup, reason): (&str, _) = match decided.decision {
            Decision::Show { popup, .. } => (&snapshot.popups[popup as usize].id, ""),
            Decision::Nothing { reason, .. } => ("", reason.as_str()),
        };
        let fields = [("popup", LogValue::Text(popup)), ("reason", LogValue::Text(reason))];
        self.log_user(now, Message::Decided, user, fields);
    }

    pub(super) fn count(&self, snapshot: &Snapshot, decided: &Decided<'_>) {
        match decided.decision {
            Decision::Show { popup, .. } => {
                self.counters.decisions_shown.add(1);
                self.counters.popups.add(snapshot.popups[popup as usize].key, EventKind::Decided);
            }
            Decision::Nothing { reason, .. } => {
                self.counters.decisions_nothing.at(reason_place(reason)).add(1);
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
                Verdict::Dropped => self.counters.preview_events.add(1),
                Verdict::Rejected(code) => self.counters.events_rejected.of(code.name()).add(1),
            }
        }
    }
}

/// The place of a reason in `decisions_nothing`: as the table lists them, gates in their order.
fn reason_place(reason: Reason) -> usize {
    match reason {
        Reason::None => 0,
        Reason::Gate(gate) => 1 + gate as usize,
        Reason::Degraded => 1 + Gate::ALL.len(),
    }
}

#[cfg(test)]
mod tests {
    use nudged_base::telemetry::counters::ShardCounters;

    use super::*;

    #[test]
    fn reasons_are_counted_by_their_names() {
        let gates = Gate::ALL.into_iter().map(Reason::Gate);
        for reason in gates.chain([Reason::None, Reason::Degraded]) {
            let counters = ShardCounters::default();
            counters.decisions_nothing.at(reason_place(reason)).increment();
            assert_eq!(counters.decisions_nothing.of(reason.as_str()).get(), 1, "{reason:?}");
        }
    }
}
