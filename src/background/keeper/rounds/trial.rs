//! Trying what Redis lets the node do: at each connection of the keeper, after each refusal of a
//! right that anybody of the node met, and every `RIGHTS_AGAIN_MS` while one is missing. Redis
//! looks at rights when a command runs and not when its connection is made, so what one connection
//! is let, all are.

use super::common::{RoundError, Turn};
use super::seam::{Effect, Input, View};
use crate::keeper::rights::{CHANNELS, Missing, Trial};
use nudged_base::limits::RIGHTS_AGAIN_MS;
use nudged_base::time::MonoNs;
use nudged_redis::request::{OwnedReply, RedisError};

/// What is known of the node's rights.
#[derive(Debug)]
pub(super) struct Rights {
    trial: Trial,
    /// Whether it has to be seen that each write is synced.
    needs_config: bool,
    /// Refusals of shards and drains, and the connection, at the latest trial.
    tried_at: (u64, u64),
    /// When to try without a cause.
    again: Option<MonoNs>,
    missing: Missing,
    /// A trial that is under way: the refusals at its begin, and what is missing as far as is seen.
    denials: u64,
    found: Missing,
    stage: Stage,
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Trying,
    TryingText,
    Hearing,
}

impl Rights {
    pub(super) fn new(has_lists: bool, needs_config: bool) -> Rights {
        Rights {
            trial: Trial::new(has_lists),
            needs_config,
            tried_at: (0, 0),
            again: Some(MonoNs(0)),
            missing: Missing::default(),
            denials: 0,
            found: Missing::default(),
            stage: Stage::Trying,
        }
    }

    /// What is missing, as it was last seen.
    pub(super) fn missing(&self) -> &Missing {
        &self.missing
    }

    /// This node was refused something: it is looked into in the next round.
    pub(super) fn doubt(&mut self) {
        self.again = Some(MonoNs(0));
    }

    /// Begins a trial where it is time; `denials` are refusals of shards and drains.
    pub(super) fn begin(&mut self, view: &View, denials: u64) -> Option<Effect> {
        let is_time = self.again.is_some_and(|again| view.now.mono >= again);
        if !is_time && self.tried_at == (denials, view.connects) {
            return None;
        }
        (self.denials, self.found) = (denials, Missing::default());
        self.stage = Stage::Trying;
        Some(Effect::Ask(self.trial.begin()))
    }

    pub(super) fn step(&mut self, view: &View, input: Input) -> Turn {
        match (self.stage, input) {
            (Stage::Trying, Input::Answered(answers)) => Ok(Some(self.take_tried(&answers?))),
            (Stage::TryingText, Input::Answered(answers)) => {
                self.trial.take_script(answers?.first(), &mut self.found);
                Ok(Some(self.hear()))
            }
            (Stage::Hearing, Input::Heard(heard)) => {
                self.take_heard(view, &heard);
                Ok(None)
            }
            _ => Err(RoundError::Unasked),
        }
    }

    /// Takes what was tried; where the script did not run by its hash, it is sent as a text.
    fn take_tried(&mut self, answers: &[OwnedReply]) -> Effect {
        if self.trial.take_tried(answers, self.needs_config, &mut self.found) {
            return self.hear();
        }
        self.stage = Stage::TryingText;
        Effect::Ask(self.trial.by_text())
    }

    fn hear(&mut self) -> Effect {
        self.stage = Stage::Hearing;
        Effect::Hear(CHANNELS)
    }

    fn take_heard(&mut self, view: &View, heard: &Result<(), RedisError>) {
        self.found.take_heard(heard);
        self.tried_at = (self.denials, view.connects);
        let again = view.now.mono.plus_ms(RIGHTS_AGAIN_MS);
        self.again = (!self.found.is_none()).then_some(again);
        self.missing = std::mem::take(&mut self.found);
    }
}
