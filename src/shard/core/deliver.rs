//! Where outcomes go once they are there: into an answer on a connection of this shard, to another
//! shard, into the whole that they are a part of, or to an operator.

use super::Core;
use crate::control::ControlReply;
use crate::edge::connections::ShardTurn;
use crate::edge::serve::kind_of;
use crate::fanout::verdicts_of;
use crate::origin::{Origin, RequestSlot};
use crate::seam::{Effect, HopReply, Outbox};
use crate::users::memory::Done;
use nudged_api::cors::Grant;
use nudged_api::outcome::EncodedOutcome;
use nudged_api::render::Rendering;
use nudged_api::reply::ResponseContext;
use nudged_base::clock::Now;
use nudged_base::slab::Handle;
use nudged_base::telemetry::RequestOutcome;

impl Core {
    /// Delivers outcomes until none is left: one may complete another.
    pub(super) fn deliver(&mut self, now: Now, outbox: &mut Outbox) {
        while !self.users.done.is_empty() {
            let mut delivering = std::mem::take(&mut self.delivering);
            std::mem::swap(&mut delivering, &mut self.users.done);
            for done in delivering.drain(..) {
                self.deliver_one(now, done, outbox);
            }
            self.delivering = delivering;
        }
        if !self.users.effects.is_empty() {
            outbox.effects.append(&mut self.users.effects);
        }
    }

    fn deliver_one(&mut self, now: Now, Done { origin, outcome }: Done, outbox: &mut Outbox) {
        match origin {
            Origin::Connection { slot, grant, route, since } => {
                let answered = self.answer(now, (slot, grant), &outcome, outbox);
                self.users.keep(outcome.into_buffer());
                let (kind, can_resume) = answered;
                if let Some(kind) = kind {
                    let waited_ns = now.mono.0.saturating_sub(since.0);
                    self.users.counters.request_durations.note_waited(route, kind, waited_ns);
                }
                if can_resume {
                    self.serve(now, slot.connection, None, outbox);
                }
            }
            Origin::Shard { shard, ticket } => {
                let reply = HopReply { ticket, outcome };
                outbox.push(Effect::HopReply { to: shard, reply });
            }
            Origin::Fanout(handle) => self.part_done(handle, outcome),
            Origin::Control { ticket } => {
                self.bump.reset();
                let reply = ControlReply { ticket, outcome: (&outcome.decode(&self.bump)).into() };
                outbox.push(Effect::ControlReply(reply));
                self.users.keep(outcome.into_buffer());
            }
        }
    }

    /// Writes the answer of a request, in its turn, by the catalog that it was decided by. Gives
    /// what it counts as, where somebody is still there to be answered, and whether requests that
    /// had to wait can go on.
    fn answer(
        &mut self,
        now: Now,
        (slot, grant): (RequestSlot, Grant),
        outcome: &EncodedOutcome,
        outbox: &mut Outbox,
    ) -> (Option<RequestOutcome>, bool) {
        self.bump.reset();
        let Core { view, connections, bump, .. } = self;
        let mut kind = None;
        let can_resume =
            connections.answer(&mut ShardTurn { view, now, outbox }, slot, |out, frame| {
                let rendering = Rendering {
                    response: ResponseContext { frame: *frame, cors: &view.rules.cors, grant },
                    snapshot: outcome.snapshot(),
                    disk_lack: view.disk_lack.as_deref(),
                    bump,
                };
                let decoded = outcome.decode(bump);
                kind = Some(kind_of(&decoded));
                rendering.write(&decoded, out);
            });
        (kind, can_resume)
    }

    pub(super) fn part_done(&mut self, handle: Handle, outcome: EncodedOutcome) {
        self.bump.reset();
        let decoded = outcome.decode(&self.bump);
        self.users.part_done(handle, &verdicts_of(&decoded));
        self.users.keep(outcome.into_buffer());
    }
}
