//! Carries out what a node's machines ask of Redis: a question in pieces, between which anything
//! may happen.

use std::borrow::Cow;

use nudged_redis::request::{CommandWords, OwnedReply, RedisError, RedisRequest, command, only};
use nudged_redis::scripts::hash_of;

use super::pipes::{Asked, Pipes, Seat};
use super::scene::{Scene, US};

/// One that asks Redis and waits for the answer.
#[derive(Default)]
pub struct Asker {
    seat: Seat,
    /// What of the question that is under way was answered.
    answers: Vec<OwnedReply>,
    is_given_up: bool,
    /// How often it has connected.
    pub connects: u64,
}

/// How far a question is.
pub enum Carried {
    Over(Result<Vec<OwnedReply>, RedisError>),
    /// It goes on at this time.
    Later(u64),
}

/// The commands of a question; of a script that is unknown, its text is the second.
fn commands_of(ask: &RedisRequest) -> Cow<'_, [CommandWords]> {
    match ask {
        RedisRequest::Pipeline(commands) | RedisRequest::Each(commands) => commands.into(),
        RedisRequest::Script { body, key, arguments } => {
            let words = |name: &[u8], what: &[u8]| {
                let head = command(&[name, what, b"1", key.as_bytes()]);
                head.into_iter().chain(arguments.iter().cloned()).collect()
            };
            vec![words(b"EVALSHA", &hash_of(body)), words(b"EVAL", body.as_bytes())].into()
        }
    }
}

impl Asker {
    /// Carries a question on.
    pub fn go_on(
        &mut self,
        node: usize,
        ask: &RedisRequest,
        pipes: &mut Pipes,
        scene: &mut Scene,
    ) -> Carried {
        if std::mem::take(&mut self.is_given_up) {
            return self.fails(RedisError::Timeout);
        }
        let commands = commands_of(ask);
        let left = &commands[self.answers.len()..];
        let is_script = matches!(ask, RedisRequest::Script { .. });
        let is_cut = is_script || left.len() > 1 && scene.streams.keeper.one_in(4);
        let count = match is_cut {
            true if is_script => 1,
            true => scene.streams.keeper.index(left.len()) + 1,
            false => left.len(),
        };
        let was_connected = self.seat.is_some();
        let asked = pipes.ask(node, &mut self.seat, &left[..count], scene);
        self.connects += u64::from(!was_connected && self.seat.is_some());
        match asked {
            Asked::Answers(answers) => self.answers.extend(answers),
            Asked::Wait(until) => return Carried::Later(until),
            Asked::TimesOut(until) => {
                self.is_given_up = true;
                return Carried::Later(until);
            }
            Asked::Broken => {
                return self.fails(RedisError::Connection(std::io::Error::other("it broke")));
            }
        }
        let is_unknown = |answer: &OwnedReply| match answer {
            OwnedReply::Error(text) => text.starts_with("NOSCRIPT"),
            _ => false,
        };
        let is_over = match is_script {
            true => !self.answers.last().is_some_and(is_unknown),
            false => self.answers.len() == commands.len(),
        };
        if !is_over {
            return Carried::Later(scene.now + scene.way_of_keeper());
        }
        let answers = std::mem::take(&mut self.answers);
        Carried::Over(if is_script { only(answers).map(|one| vec![one]) } else { Ok(answers) })
    }

    fn fails(&mut self, error: RedisError) -> Carried {
        self.answers.clear();
        Carried::Over(Err(error))
    }
}

impl Scene {
    /// How long a question of a machine is on its way.
    pub fn way_of_keeper(&mut self) -> u64 {
        let longest = if self.is_calm { 500 } else { self.config.redis_us };
        self.streams.keeper.between(20, 2 * longest) * US
    }
}
