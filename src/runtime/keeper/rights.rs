//! Trying what Redis lets the node do: at each connection of the keeper, after each refusal of a
//! right that anybody of the node met, and every `RIGHTS_AGAIN_MS` while one is missing. Redis
//! looks at rights when a command runs and not when its connection is made, so what one connection
//! is let, all are.

use crate::base::limits::RIGHTS_AGAIN_MS;
use crate::base::time::MonoNs;
use crate::keeper::rights::{Missing, Trial};
use crate::keeper::scripts;
use crate::redis::ask::{Answer, AskError};
use crate::redis::refusal::Refusal;
use crate::redis::scripts::hash_of;
use crate::runtime::clocks;
use crate::runtime::redis_client::BlockingRedis;

/// A script that every server runs.
const NOTHING: &str = "#!lua flags=no-writes\nreturn {}";
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
}

impl Rights {
    pub(super) fn new(has_lists: bool, needs_config: bool) -> Rights {
        Rights {
            trial: Trial::new(has_lists),
            needs_config,
            tried_at: (0, 0),
            again: Some(MonoNs(0)),
            missing: Missing::default(),
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

    /// Tries everything where it is time. `denials` are the refusals that others of the node met.
    ///
    /// # Errors
    /// Where Redis does not answer, or does not let the node in: what was known stays.
    pub(super) fn look(&mut self, redis: &mut BlockingRedis, denials: u64) -> Result<(), AskError> {
        let now = clocks::mono();
        let is_due = self.again.is_some_and(|again| now >= again);
        if !is_due && self.tried_at == (denials, redis.connects()) {
            return Ok(());
        }
        let mut missing = Missing::default();
        self.try_all(redis, &mut missing)?;
        self.tried_at = (denials, redis.connects());
        self.again = (!missing.is_none()).then(|| now.plus_ms(RIGHTS_AGAIN_MS));
        self.missing = missing;
        Ok(())
    }

    fn try_all(&self, redis: &mut BlockingRedis, missing: &mut Missing) -> Result<(), AskError> {
        let hash = hash_of(scripts::RIGHTS);
        let arguments = self.trial.arguments();
        let words = |head: [&'_ [u8]; 2]| -> Vec<Vec<u8>> {
            let head = head.map(<[u8]>::to_vec).into_iter().chain([b"0".to_vec()]);
            head.chain(arguments.iter().map(|word| word.clone().into_bytes())).collect()
        };
        let by_hash = words([b"EVALSHA", &hash]);
        let by_hash: Vec<&[u8]> = by_hash.iter().map(Vec::as_slice).collect();
        let config: &[&[u8]] = &[b"CONFIG", b"GET", b"appendfsync"];
        let commands: [&[&[u8]]; 4] = [
            &[b"SCRIPT", b"LOAD", scripts::RIGHTS.as_bytes()],
            &by_hash,
            &[b"EVAL", NOTHING.as_bytes(), b"0"],
            config,
        ];
        let answers = redis.try_each(&commands)?;
        let is_denied = |answer: &Answer| matches!(answer, Answer::Error(text) if denied(text));
        for (answer, name, is_deciding) in [
            (&answers[0], "+script|load", false),
            (&answers[1], "+evalsha", true),
            // Scripts that are loaded run without it, until Redis starts again.
            (&answers[2], "+eval", false),
        ] {
            if is_denied(answer) {
                missing.add(name, is_deciding);
            }
        }
        if self.needs_config && is_denied(&answers[3]) {
            missing.add("+config|get", false);
        }
        let by_text = words([b"EVAL", scripts::RIGHTS.as_bytes()]);
        let by_text: Vec<&[u8]> = by_text.iter().map(Vec::as_slice).collect();
        let said = match said_of(&answers[1]) {
            Some(said) => Some(said),
            None => redis.try_each(&[&by_text])?.first().and_then(said_of),
        };
        if let Some(said) = said {
            self.trial.take(&said, missing);
        }
        match redis.fresh().subscribe(CHANNELS) {
            Err(AskError::Refused { text, .. }) if is_of_subscribe(&text) => {
                missing.add_hearing(&text);
            }
            // Without another connection nothing is learnt of it.
            Ok(()) | Err(_) => {}
        }
        Ok(())
    }
}

fn denied(text: &str) -> bool {
    Refusal::of(text.as_bytes()) == Refusal::Denied
}

/// Whether a refusal is of the subscription, and not of the connection for it.
fn is_of_subscribe(text: &str) -> bool {
    text.starts_with("NOPERM") && (text.contains("channel") || text.contains("subscribe"))
}

/// The texts that the script gave.
fn said_of(answer: &Answer) -> Option<Vec<String>> {
    let Answer::List(said) = answer else { return None };
    let text = |answer: &Answer| match answer {
        Answer::Text(text) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    };
    Some(said.iter().map(text).collect())
}
