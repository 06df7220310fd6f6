//! Operators' requests, and the steps of a stop.

use super::Core;
use crate::control::{Control, ControlOutcome, ControlReply, ControlRequest, DrainStep};
use crate::edge::connections::ShardTurn;
use crate::origin::Origin;
use crate::seam::{Effect, Outbox};
use crate::users::Turn;
use nudged_api::command::{Command, EncodedCommand};
use nudged_base::clock::Now;

impl Core {
    pub(super) fn on_control(&mut self, now: Now, control: Control, outbox: &mut Outbox) {
        let ticket = control.ticket;
        let done = |outcome| Effect::ControlReply(ControlReply { ticket, outcome });
        match control.request {
            ControlRequest::SwapCatalog(snapshot) => {
                let version = snapshot.version;
                let former = self.view.swap_catalog(snapshot);
                self.bump.reset();
                let Core { users, arbitration, scratch, bump, .. } = self;
                Turn { users, arbitration, scratch }.let_go_of_catalogs(version, bump);
                outbox.push(done(ControlOutcome::Swapped(former)));
            }
            ControlRequest::SwapPreview(snapshot) => {
                let former = std::mem::replace(&mut self.view.previewed, snapshot);
                let outcome = former.map_or(ControlOutcome::Done, ControlOutcome::Swapped);
                outbox.push(done(outcome));
            }
            ControlRequest::SwapRules(rules) => {
                self.view.rules = rules;
                outbox.push(done(ControlOutcome::Done));
            }
            ControlRequest::Drain(DrainStep::Exit) => {
                outbox.push(done(ControlOutcome::Done));
                outbox.push(Effect::Finished);
            }
            ControlRequest::Drain(step) => self.on_drain(now, ticket, step, outbox),
            ControlRequest::ReadUser { user } => {
                self.on_command(now, ticket, &Command::ReadUser { user: &user });
            }
            ControlRequest::EraseUser { user } => {
                self.on_command(now, ticket, &Command::EraseUser { user: &user });
            }
            ControlRequest::ForgetUser { user, revision, before } => {
                let command = Command::ForgetUser { user: &user, revision, before };
                self.on_command(now, ticket, &command);
            }
        }
    }

    fn on_command(&mut self, now: Now, ticket: u64, command: &Command<'_>) {
        let command = EncodedCommand::new(command, self.users.buffer());
        self.begin(now, Origin::Control { ticket }, command);
    }

    fn on_drain(&mut self, now: Now, ticket: u64, step: DrainStep, outbox: &mut Outbox) {
        self.view.stopping |= step == DrainStep::LameDuck;
        self.view.closing = step != DrainStep::Resume;
        if step != DrainStep::Finish {
            if self.view.closing {
                self.connections.lame_duck();
            }
            let outcome = ControlOutcome::Done;
            outbox.push(Effect::ControlReply(ControlReply { ticket, outcome }));
            return;
        }
        self.finish_ticket = Some(ticket);
        outbox.push(Effect::StopAccepting);
        self.connections.drain(&mut ShardTurn { view: &self.view, now, outbox });
    }

    /// Answers the operator who asked to finish once nothing is open and nothing under way.
    pub(super) fn finish_if_quiet(&mut self, now: Now, outbox: &mut Outbox) {
        let Some(ticket) = self.finish_ticket else { return };
        let is_quiet = self.listeners_closed
            && self.connections.is_empty()
            && self.users.lane.is_quiet()
            && self.hops.is_quiet()
            && self.users.fanouts.is_empty()
            && self.arbitration.may_end(&self.users, now.mono);
        if is_quiet {
            self.finish_ticket = None;
            let outcome = ControlOutcome::Done;
            outbox.push(Effect::ControlReply(ControlReply { ticket, outcome }));
        }
    }
}
