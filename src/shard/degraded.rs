//! Requests whose user's state can't be had in time. Events are accepted and journaled as
//! unmerged; each popup's `on_failure` says whether what this node happens to remember may decide:
//! the slice's copy, however old, with what waits to be merged upon it. Without an arbiter there is
//! nothing to be merged into later, so events are refused and nothing is shown.
//!
//! Bounds: room in the lane, `UNMERGED_MAX` entries, `UNMERGED_USER_MAX` of one user.

use bumpalo::collections::Vec as BumpVec;

use super::decision::{Ask, DEGRADED, Progress, Verdicted, write_answer};
use super::home::{Home, shown_of};
use super::unmerged::{Asked, Entry};
use super::verdicts::{self, Verdict};
use crate::api::decide::DecideRequest;
use crate::api::events::Event;
use crate::base::clock::Now;
use crate::base::hash;
use crate::base::ids::LaneSequence;
use crate::base::limits::EVENT_AGE_MAX_MS;
use crate::catalog::snapshot::{Popup, Snapshot};
use crate::decide::choose::{self, Decision};
use crate::journal::record::Record;
use crate::state::apply::{self, ShowId};
use crate::state::user::{self, UserState};
use crate::telemetry::log::{Message, Value};

impl Home {
    /// Answers a decide request whose user's state is not to be had in time (product, section 7).
    pub fn decide_degraded<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        asked: &DecideRequest<'a>,
        out: &mut Vec<u8>,
    ) -> Progress {
        self.counters.degraded.add(1);
        let user = asked.context.user;
        let ask = &Ask { now: self.decision_time(ask.now), ..*ask };
        let mut verdicts = BumpVec::with_capacity_in(asked.events.len(), ask.bump);
        for element in asked.events {
            verdicts.push(match element {
                Err(code) => Verdict::of_code(*code),
                Ok(event) if event.token.user != user => Verdict::OtherUser,
                Ok(event) => self.accept_unmerged(ask.now, event),
            });
        }
        let verdicted = self.choose_locally(ask, asked);
        let start = out.len();
        write_answer(out, ask, asked, (&verdicted, &[]), &verdicts);
        self.count(&verdicted, &verdicts);
        self.tell_decision(ask.now, user, &verdicted);
        let upto = self.lane.last();
        let rests_on_record = matches!(verdicted, Verdicted::Show(_))
            || verdicts.iter().any(|verdict| verdict.rests_on_record());
        if !rests_on_record || self.lane.is_acked(upto) {
            return Progress::Answered;
        }
        let fallback = self.fallback(ask, asked, &verdicts);
        self.hold_back(ask.now.mono, ask.origin, upto, (out, start), fallback);
        Progress::Later
    }

    /// Takes events whose users' states are not to be had in time, with their places in the
    /// request. Gives the verdicts, unless they wait for the journal.
    pub(super) fn events_degraded<'e>(
        &mut self,
        ask: &Ask<'_, '_>,
        events: impl Iterator<Item = (usize, &'e Event<'e>)>,
    ) -> Option<Vec<u8>> {
        self.counters.degraded.add(1);
        let now = self.decision_time(ask.now);
        let mut verdicts = self.buffer();
        let mut rests_on_record = false;
        for (index, event) in events {
            let verdict = self.accept_unmerged(now, event);
            self.count_verdicts(&[verdict]);
            rests_on_record |= verdict.rests_on_record();
            verdicts::put(index, verdict, &mut verdicts);
        }
        let upto = if rests_on_record { self.lane.last() } else { LaneSequence(0) };
        self.hold_verdicts_back(ask, upto, verdicts)
    }

    /// Accepts an event without its user's state. Whether its show is remembered is found out by
    /// the merge.
    fn accept_unmerged(&mut self, now: Now, event: &Event<'_>) -> Verdict {
        let token = &event.token;
        if self.arbiter.is_none() {
            return Verdict::Unavailable;
        }
        if now.wall.since(token.at).0 > EVENT_AGE_MAX_MS {
            return Verdict::TooLate;
        }
        let shown = shown_of(token);
        let is_same = |entry: &Entry| {
            let action = event.action;
            entry.shown == shown
                && matches!(entry.asked, Asked::Event { action: a, .. } if a == action)
        };
        if self.unmerged.of(token.user).iter().any(is_same) {
            return Verdict::Duplicate;
        }
        if !self.has_room_unmerged(token.user) {
            return Verdict::Unavailable;
        }
        let at = now.wall.max(token.at);
        let acted_at = apply::acted_at(event.ts, token.at, at);
        let fields =
            [("popup", Value::Text(token.popup)), ("action", Value::Text(event.action.as_str()))];
        self.tell_of_user(now, Message::EventTaken, token.user, fields);
        let entry = Entry {
            at,
            asked: Asked::Event { action: event.action, acted_at, local: token.local },
            shown,
            token: event.token_text.into(),
            popup: token.popup.into(),
            version: token.version,
            variant: token.variant.into(),
        };
        self.put_unmerged(token.user, entry);
        Verdict::Accepted
    }

    /// Decides on what this node remembers.
    fn choose_locally<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        asked: &DecideRequest<'a>,
    ) -> Verdicted<'a> {
        let snapshot = &*ask.view.snapshot;
        self.remember(snapshot, asked.context.user);
        let state = &self.scratch.state;
        let wall = state.newest().map_or(ask.now.wall, |newest| newest.max(ask.now.wall));
        let ask = &Ask { now: Now { wall, ..ask.now }, ..*ask };
        match choose::decide_degraded(snapshot, state, &asked.context, wall) {
            Decision::Show { popup, variant } if self.has_room_unmerged(asked.context.user) => {
                let popup = &snapshot.popups[popup as usize];
                self.show_locally(ask, asked, popup, variant)
            }
            // Without an arbiter what this shard remembers is all there is, and it can't be had.
            Decision::Show { .. } => DEGRADED,
            Decision::Nothing { reason, next_in_s } => {
                Verdicted::Nothing { reason: reason.as_str(), next_in_s }
            }
        }
    }

    /// Shows a popup that this node's memory allows; the arbiter is told once it answers.
    fn show_locally<'a>(
        &mut self,
        ask: &Ask<'a, '_>,
        asked: &DecideRequest<'a>,
        popup: &Popup,
        variant: usize,
    ) -> Verdicted<'a> {
        let session = asked.context.session.map_or(0, |session| hash::session(session.as_bytes()));
        let (shown, applied) = self.mint_show(ask, asked, (popup, variant), Some(session));
        let at = ask.now.wall;
        let entry = Entry {
            at,
            asked: Asked::Show { session },
            shown: ShowId { popup: popup.key, number: applied.number, at },
            token: shown.decision.into(),
            popup: shown.popup.into(),
            version: shown.version,
            variant: shown.variant.into(),
        };
        self.put_unmerged(asked.context.user, entry);
        self.counters.decisions_local.add(1);
        Verdicted::Show(shown)
    }

    /// The scratch state becomes what this node remembers of a user: nothing, without an arbiter.
    fn remember(&mut self, snapshot: &Snapshot, user: &str) {
        let state = &mut self.scratch.state;
        state.popups.clear();
        *state = UserState { popups: std::mem::take(&mut state.popups), ..UserState::default() };
        if self.arbiter.is_none() {
            return;
        }
        if let Some(copy) = self.slice.get(user) {
            user::decode(copy.state, state).expect("we encoded it");
        }
        for entry in self.unmerged.of(user) {
            entry.learn(state, snapshot);
            entry.merge(state, snapshot);
        }
    }

    /// Whether one more entry of a user may wait, and its record is sure to be taken.
    fn has_room_unmerged(&self, user: &str) -> bool {
        let has_room = self.arbiter.is_some() && self.unmerged.has_room(user);
        let is_taken = has_room && self.lane.has_room(1);
        if self.arbiter.is_some() && !is_taken {
            self.counters.journal_refusals.add(1);
        }
        is_taken
    }

    /// Journals an entry and lets it wait; there must be room.
    fn put_unmerged(&mut self, user: &str, entry: Entry) {
        self.lane.append(&Record::Unmerged(entry.record(user)));
        self.unmerged.push(user, entry, self.lane.acked_sequence());
    }

    /// The turn's time, with the wall clock of decisions.
    fn decision_time(&self, now: Now) -> Now {
        let wall = self.arbiter.as_deref().map_or(now.wall, |arbiter| arbiter.wall(now));
        Now { wall, ..now }
    }
}
