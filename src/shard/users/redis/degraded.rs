//! Requests whose user's state can't be had in time. Events are accepted and journaled as
//! unmerged; each popup's `on_failure` says whether what this node happens to remember may decide:
//! the slice's copy, however old, with what waits to be merged upon it.
//!
//! Bounds: room in the lane, `UNMERGED_MAX` entries, `UNMERGED_USER_MAX` of one user.

use bumpalo::collections::Vec as BumpVec;

use super::RedisUsers;
use crate::users::evaluate::{Happened, RequestContext, Subject, decided, verdict_of};
use crate::users::unmerged::{self, UnmergedEntry};
use nudged_api::command::PlacedEvent;
use nudged_api::decide::DecideRequest;
use nudged_api::events::Event;
use nudged_api::outcome::{DEGRADED, Decided, Outcome, Verdicts};
use nudged_api::verdict::{PlacedVerdict, Verdict};
use nudged_base::clock::Now;
use nudged_base::event_kind::EventKind;
use nudged_base::hash;
use nudged_base::ids::PopupKey;
use nudged_base::limits::EVENT_AGE_MAX_MS;
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::decide::choose::{self, Decision};
use nudged_domain::state::apply;
use nudged_domain::state::user::{self, UserState};

impl RedisUsers<'_> {
    /// Answers a decide request whose user's state is not to be had in time
    /// (docs/semantics.md#without-state).
    pub(super) fn decide_degraded<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
    ) -> Option<Outcome<'a>> {
        self.users.counters.degraded.add(1);
        let user = request.context.user;
        let now = self.decision_time(context.now);
        let context = &RequestContext { now, ..*context };
        let mut verdicts = BumpVec::with_capacity_in(request.events.len(), context.bump);
        for element in request.events {
            verdicts.push(verdict_of(element, user, |event| self.accept_unmerged(now, event)));
        }
        let chosen = self.choose_locally(context, request);
        let candidates = request.explain.then_some(&[][..]);
        let decided = Decided { verdicts: verdicts.into_bump_slice(), candidates, ..chosen };
        self.users.note_decision(context, user, &decided);
        let rests_on_record = matches!(decided.decision, Decision::Show { .. })
            || decided.verdicts.iter().any(|verdict| verdict.rests_on_record());
        let upto = rests_on_record.then(|| self.users.lane.last());
        self.users.hold_back(context, Outcome::Decided(decided), upto)
    }

    /// Takes events whose users' states are not to be had in time. Gives the verdicts, unless they
    /// wait for the journal.
    pub(super) fn events_degraded<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        events: &[PlacedEvent<'a>],
    ) -> Option<Outcome<'a>> {
        self.users.counters.degraded.add(1);
        let now = self.decision_time(context.now);
        let mut verdicts = BumpVec::with_capacity_in(events.len(), context.bump);
        for placed in events {
            verdicts.push((placed.place, self.accept_unmerged(now, &placed.event)));
        }
        let verdicts: &[PlacedVerdict] = verdicts.into_bump_slice();
        self.users.count_verdicts(verdicts.iter().map(|(_, verdict)| *verdict));
        let rests_on_record = verdicts.iter().any(|(_, verdict)| verdict.rests_on_record());
        let upto = rests_on_record.then(|| self.users.lane.last());
        let outcome = Outcome::Verdicts(Verdicts { verdicts, after_s: 0, ignored: &[] });
        self.users.hold_back(context, outcome, upto)
    }

    /// Accepts an event without its user's state. Whether its show is remembered is found out by
    /// the merge.
    fn accept_unmerged(&mut self, now: Now, event: &Event<'_>) -> Verdict {
        let token = &event.token;
        if now.wall.since(token.at).0 > EVENT_AGE_MAX_MS {
            return Verdict::TOO_LATE;
        }
        let (kind, shown) = (event.action.kind(), (token.number, token.at));
        let is_same = |entry: &UnmergedEntry| {
            let known = entry.record();
            let is_of_show = (known.number, known.shown_at) == shown && known.popup == token.popup;
            is_of_show && known.kind == kind
        };
        if self.arbiter.unmerged.of(token.user).iter().any(is_same) {
            return Verdict::Duplicate;
        }
        if !self.has_room_unmerged(token.user) {
            return Verdict::UNAVAILABLE;
        }
        let at = now.wall.max(token.at);
        let acted_at = apply::acted_at(event.ts, token.at, at);
        self.users.log_event(now, event);
        self.users.counters.popups.add(PopupKey::of(token.popup), kind);
        let happened = Happened { kind, at, acted_at, forgotten: None };
        self.put_unmerged(UnmergedEntry::new(&Subject::of(event), happened, shown, token.local));
        Verdict::Accepted
    }

    /// Decides on what this node remembers.
    fn choose_locally<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
    ) -> Decided<'a> {
        let (snapshot, user) = (&*context.view.snapshot, request.context.user);
        self.remember(snapshot, user);
        let state = &self.scratch.state;
        let now = context.now;
        let wall = state.newest().map_or(now.wall, |newest| newest.max(now.wall));
        let context = &context.at(wall);
        match choose::decide_degraded(snapshot, state, &request.context, wall) {
            Decision::Show { popup, variant } if self.has_room_unmerged(user) => {
                self.show_locally(context, request, (popup, variant))
            }
            Decision::Show { .. } => decided(request, DEGRADED),
            nothing @ Decision::Nothing { .. } => decided(request, nothing),
        }
    }

    /// Shows a popup that this node's memory allows; the arbiter is told once it answers.
    fn show_locally<'a>(
        &mut self,
        context: &RequestContext<'a, '_>,
        request: &DecideRequest<'a>,
        place: (u32, usize),
    ) -> Decided<'a> {
        let (user, session) = (request.context.user, request.context.session);
        let session = session.map_or(0, |session| hash::session(session.as_bytes()));
        let (decided, applied) = self.scratch.show(context, request, place, Some(session));
        let at = context.now.wall;
        let subject = Subject::of_show(&context.view.snapshot, user, place, decided.token);
        let happened = Happened { kind: EventKind::Decided, at, acted_at: at, forgotten: None };
        let shown = (applied.number, at);
        self.put_unmerged(UnmergedEntry::new(&subject, happened, shown, Some(session)));
        self.users.counters.decisions_local.add(1);
        decided
    }

    /// The scratch state becomes what this node remembers of a user.
    fn remember(&mut self, snapshot: &Snapshot, user: &str) {
        let state = &mut self.scratch.state;
        state.popups.clear();
        *state = UserState { popups: std::mem::take(&mut state.popups), ..UserState::default() };
        if let Some(copy) = self.users.slice.get(user) {
            user::decode(copy.state, state).expect("we encoded it");
        }
        for entry in self.arbiter.unmerged.of(user) {
            let record = entry.record();
            unmerged::learn(&record, state, snapshot);
            unmerged::merge(&record, state, snapshot);
        }
    }

    /// Whether one more entry of a user may wait, and its record is sure to be taken.
    fn has_room_unmerged(&self, user: &str) -> bool {
        let is_taken = self.arbiter.unmerged.has_room(user) && self.users.lane.has_room(1);
        if !is_taken {
            self.users.counters.journal_refusals.add(1);
        }
        is_taken
    }

    /// Journals an entry and lets it wait; there must be room.
    fn put_unmerged(&mut self, entry: UnmergedEntry) {
        self.users.lane.append_framed(entry.framed());
        self.arbiter.unmerged.push(entry, self.users.lane.acked_sequence());
    }

    /// The turn's time, with the wall clock of decisions.
    fn decision_time(&self, now: Now) -> Now {
        Now { wall: self.arbiter.wall(now), ..now }
    }
}
