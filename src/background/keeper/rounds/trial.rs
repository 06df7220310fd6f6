//! Trying what Redis lets the node do: at each connection of the keeper, after each refusal of a
//! right that anybody of the node met, and every `RIGHTS_AGAIN_MS` while one is missing. Redis
//! looks at rights when a command runs and not when its connection is made, so what one connection
//! is let, all are.

use super::common::{RoundError, Turn};
use super::seam::{Effect, Input, View};
use crate::keeper::rights::{Missing, Trial};
use crate::keeper::scripts;
use nudged_base::limits::RIGHTS_AGAIN_MS;
use nudged_base::time::MonoNs;
use nudged_redis::refusal::RedisRefusal;
use nudged_redis::request::{CommandWords, OwnedReply, RedisError, RedisRequest, command, load};
use nudged_redis::scripts::hash_of;

/// A channel that shards listen to, and the one of the catalog.
const CHANNELS: &[&str] = &["nudged:changed:0", "nudged:catalog"];

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
        Some(Effect::Ask(RedisRequest::Each(vec![
            load(scripts::RIGHTS),
            self.words(b"EVALSHA", &hash_of(scripts::RIGHTS)),
            command(&[b"EVAL", scripts::NOTHING.as_bytes(), b"0"]),
            command(&[b"CONFIG", b"GET", b"appendfsync"]),
        ])))
    }

    pub(super) fn step(&mut self, view: &View, input: Input) -> Turn {
        match (self.stage, input) {
            (Stage::Trying, Input::Answered(answers)) => Ok(Some(self.take_tried(&answers?))),
            (Stage::TryingText, Input::Answered(answers)) => {
                self.take_script(answers?.first());
                Ok(Some(self.hear()))
            }
            (Stage::Hearing, Input::Heard(heard)) => {
                self.take_heard(view, &heard);
                Ok(None)
            }
            _ => Err(RoundError::Unasked),
        }
    }

    /// The script that tries what scripts may call.
    fn words(&self, name: &[u8], body: &[u8]) -> CommandWords {
        let arguments = self.trial.arguments().into_iter().map(String::into_bytes);
        command(&[name, body, b"0"]).into_iter().chain(arguments).collect()
    }

    /// Takes what was tried; where the script did not run by its hash, it is sent as a text.
    fn take_tried(&mut self, answers: &[OwnedReply]) -> Effect {
        let denied = |place: usize| answers.get(place).is_some_and(is_denied);
        for (place, name, is_deciding) in [
            (0, "+script|load", false),
            (1, "+evalsha", true),
            // Scripts that are loaded run without it, until Redis starts again.
            (2, "+eval", false),
        ] {
            if denied(place) {
                self.found.add(name, is_deciding);
            }
        }
        if self.needs_config && denied(3) {
            self.found.add("+config|get", false);
        }
        if self.take_script(answers.get(1)) {
            return self.hear();
        }
        self.stage = Stage::TryingText;
        let by_text = self.words(b"EVAL", scripts::RIGHTS.as_bytes());
        Effect::Ask(RedisRequest::Each(vec![by_text]))
    }

    /// Takes what the script gave, where it ran; whether it did.
    fn take_script(&mut self, answer: Option<&OwnedReply>) -> bool {
        let Some(OwnedReply::List(texts)) = answer else { return false };
        let text = |answer: &OwnedReply| match answer {
            OwnedReply::Text(text) => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        };
        let texts: Vec<String> = texts.iter().map(text).collect();
        self.trial.take(&texts, &mut self.found);
        true
    }

    fn hear(&mut self) -> Effect {
        self.stage = Stage::Hearing;
        Effect::Hear(CHANNELS)
    }

    fn take_heard(&mut self, view: &View, heard: &Result<(), RedisError>) {
        // Without another connection nothing is learnt of it.
        if let Err(RedisError::Refused { text, .. }) = heard
            && is_of_subscribe(text)
        {
            self.found.add_hearing(text);
        }
        self.tried_at = (self.denials, view.connects);
        let again = view.now.mono.plus_ms(RIGHTS_AGAIN_MS);
        self.again = (!self.found.is_none()).then_some(again);
        self.missing = std::mem::take(&mut self.found);
    }
}

fn is_denied(answer: &OwnedReply) -> bool {
    matches!(answer, OwnedReply::Error(text) if RedisRefusal::of(text.as_bytes()) == RedisRefusal::Denied)
}

/// Whether a refusal is of the subscription, and not of the connection for it.
fn is_of_subscribe(text: &str) -> bool {
    text.starts_with("NOPERM") && (text.contains("channel") || text.contains("subscribe"))
}
