//! Shows that an event tells of before their own node does. A node that was cut off from Redis has
//! shown a popup by its own memory, and waits to merge that; the user's click comes to another
//! node. The decision's token is signed, and holds all that the merge needs: so the show is merged
//! first, and its own node will find it known.

use super::RedisUsers;
use crate::users::unmerged::UnmergedEntry;
use crate::users::{Happened, Subject, shown_of};
use nudged_api::events::Event;
use nudged_base::event_kind::EventKind;
use nudged_base::limits::EVENT_AGE_MAX_MS;
use nudged_base::time::WallMs;
use nudged_domain::catalog::snapshot::Snapshot;
use nudged_domain::state::apply::{self, LateShow};

impl RedisUsers<'_> {
    /// Makes the show of an event part of the scratch state and records it, where a node decided it
    /// by its own memory and the state is sure never to have had it.
    pub(super) fn learn_show(&mut self, snapshot: &Snapshot, now: WallMs, event: &Event<'_>) {
        let Some(session) = event.token.local else { return };
        if now.since(event.token.at).0 > EVENT_AGE_MAX_MS {
            return;
        }
        let late = LateShow { shown: shown_of(&event.token), session };
        let state = &mut self.users.scratch.state;
        let Some(forgotten) = apply::learn_show(state, snapshot, late) else { return };
        let (kind, at) = (EventKind::Decided, late.shown.at);
        let happened = Happened { kind, at, acted_at: at, forgotten };
        let subject = Subject::of(event);
        self.users.record(snapshot, &subject, happened);
        self.users.counters.shows_learnt.add(1);
    }

    /// The same of an entry that waited.
    pub(super) fn learn_show_of_entry(
        &mut self,
        snapshot: &Snapshot,
        user: &str,
        entry: &UnmergedEntry,
    ) {
        let Some(forgotten) = entry.learn(&mut self.users.scratch.state, snapshot) else { return };
        let (kind, at) = (EventKind::Decided, entry.shown.at);
        let happened = Happened { kind, at, acted_at: at, forgotten };
        self.users.record(snapshot, &entry.subject(user), happened);
        self.users.counters.shows_learnt.add(1);
    }
}
