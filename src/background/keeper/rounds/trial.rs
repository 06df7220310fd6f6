//! Trying what Redis lets the node do: at each connection of the keeper, after each refusal of a
//! right that anybody of the node met, and every `RIGHTS_AGAIN_MS` while one is missing. Redis
//! looks at rights when a command runs and not when its connection is made, so what one connection
//! is let, all are.

use super::{Effect, Notice, Rounds, Stage, Turn, View};
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

    fn is_due(&self, view: &View, denials: u64) -> bool {
        let is_time = self.again.is_some_and(|again| view.now.mono >= again);
        is_time || self.tried_at != (denials, view.connects)
    }

    /// The script that tries what scripts may call.
    fn words(&self, name: &[u8], body: &[u8]) -> CommandWords {
        let arguments = self.trial.arguments().into_iter().map(String::into_bytes);
        command(&[name, body, b"0"]).into_iter().chain(arguments).collect()
    }

    fn questions(&self) -> Vec<CommandWords> {
        vec![
            load(scripts::RIGHTS),
            self.words(b"EVALSHA", &hash_of(scripts::RIGHTS)),
            command(&[b"EVAL", scripts::NOTHING.as_bytes(), b"0"]),
            command(&[b"CONFIG", b"GET", b"appendfsync"]),
        ]
    }

    /// Takes the answers; whether the script has to be sent as a text.
    fn take(&mut self, answers: &[OwnedReply]) -> bool {
        let is_denied =
            |answer: &OwnedReply| matches!(answer, OwnedReply::Error(text) if denied(text));
        for (answer, name, is_deciding) in [
            (&answers[0], "+script|load", false),
            (&answers[1], "+evalsha", true),
            // Scripts that are loaded run without it, until Redis starts again.
            (&answers[2], "+eval", false),
        ] {
            if is_denied(answer) {
                self.found.add(name, is_deciding);
            }
        }
        if self.needs_config && is_denied(&answers[3]) {
            self.found.add("+config|get", false);
        }
        !self.take_said(&answers[1])
    }

    /// Takes what the script said, where it ran; whether it did.
    fn take_said(&mut self, answer: &OwnedReply) -> bool {
        let said = said_of(answer);
        if let Some(said) = &said {
            self.trial.take(said, &mut self.found);
        }
        said.is_some()
    }
}

impl Rounds {
    /// Tries what Redis lets the node do, where it is time.
    pub(super) fn look_at_rights(&mut self, view: &View) -> Turn {
        let of_lists = self.lists.as_ref().map_or(0, |lists| lists.denials());
        let denials = view.denials + of_lists;
        if !self.rights.is_due(view, denials) {
            return self.share_rights(view);
        }
        (self.rights.denials, self.rights.found) = (denials, Missing::default());
        let questions = self.rights.questions();
        Ok(self.ask(Stage::Trying, RedisRequest::Each(questions)))
    }

    pub(super) fn take_tried(&mut self, answers: Result<Vec<OwnedReply>, RedisError>) -> Turn {
        if self.rights.take(&answers?) {
            let by_text = self.rights.words(b"EVAL", scripts::RIGHTS.as_bytes());
            return Ok(self.ask(Stage::TryingText, RedisRequest::Each(vec![by_text])));
        }
        Ok(self.hear())
    }

    pub(super) fn take_tried_text(&mut self, answers: Result<Vec<OwnedReply>, RedisError>) -> Turn {
        if let Some(answer) = answers?.first() {
            self.rights.take_said(answer);
        }
        Ok(self.hear())
    }

    fn hear(&mut self) -> Effect {
        self.stage = Stage::Hearing;
        Effect::Hear(CHANNELS)
    }

    pub(super) fn take_heard(&mut self, view: &View, heard: Result<(), RedisError>) -> Turn {
        let rights = &mut self.rights;
        match heard {
            Err(RedisError::Refused { text, .. }) if is_of_subscribe(&text) => {
                rights.found.add_hearing(&text);
            }
            // Without another connection nothing is learnt of it.
            Ok(()) | Err(_) => {}
        }
        rights.tried_at = (rights.denials, view.connects);
        let again = view.now.mono.plus_ms(RIGHTS_AGAIN_MS);
        rights.again = (!rights.found.is_none()).then_some(again);
        rights.missing = std::mem::take(&mut rights.found);
        self.share_rights(view)
    }

    /// Tells the shards, and goes on with the round.
    fn share_rights(&mut self, view: &View) -> Turn {
        let missing = self.rights.missing();
        (self.learned.is_denied, self.learned.is_unheard) =
            (missing.is_deciding, missing.is_hearing);
        self.notices.push(Notice::Learn(self.learned));
        Ok(self.begin_reading(view))
    }
}

fn denied(text: &str) -> bool {
    RedisRefusal::of(text.as_bytes()) == RedisRefusal::Denied
}

/// Whether a refusal is of the subscription, and not of the connection for it.
fn is_of_subscribe(text: &str) -> bool {
    text.starts_with("NOPERM") && (text.contains("channel") || text.contains("subscribe"))
}

/// The texts that the script gave.
fn said_of(answer: &OwnedReply) -> Option<Vec<String>> {
    let OwnedReply::List(said) = answer else { return None };
    let text = |answer: &OwnedReply| match answer {
        OwnedReply::Text(text) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    };
    Some(said.iter().map(text).collect())
}
