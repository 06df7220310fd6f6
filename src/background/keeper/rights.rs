//! What a node's user of Redis has to be let do: everything that shards, keeper, drains and catalog
//! send, each as a command that would change nothing. Pure: what is tried, and what the refusals
//! mean; must not know how it is asked. A test holds it to what the sources send.
//!
//! ```text
//! what scripts may call, and each key   tried by `rights.lua`
//! SCRIPT, EVAL, EVALSHA                 by running that
//! CONFIG, SUBSCRIBE                     by themselves
//! ```

use crate::keeper::scripts;
use nudged_redis::refusal::RedisRefusal;
use nudged_redis::request::{CommandWords, OwnedReply, RedisError, RedisRequest, command, load};
use nudged_redis::scripts::hash_of;

/// Without it nothing is decided by Redis.
const DECIDES: bool = true;
/// Without it a part of the keeper's work is left, and decisions go on.
const KEEPS: bool = false;

/// A channel that shards listen to, and the one of the catalog.
pub const CHANNELS: &[&str] = &["nudged:changed:0", "nudged:catalog"];

/// A command that a script may call: its right, whether decisions need it, words that do nothing.
type Tried = (&'static str, bool, &'static [&'static str]);

/// Tried where it stands for a user's key or a partition's.
const KEY: &str = "nudged:{p0}:u:rights";

/// What every node sends, or has its scripts call.
const ALWAYS: &[Tried] = &[
    ("get", DECIDES, &["GET", KEY]),
    ("set", DECIDES, &["SET", KEY, "x"]),
    ("time", DECIDES, &["TIME"]),
    ("hmget", DECIDES, &["HMGET", KEY, "e"]),
    ("hincrby", DECIDES, &["HINCRBY", KEY, "c", "1"]),
    ("publish", DECIDES, &["PUBLISH", "nudged:changed:0", "x"]),
    ("ping", DECIDES, &["PING"]),
    ("del", KEEPS, &["DEL", KEY]),
    ("hset", KEEPS, &["HSET", KEY, "e", "1"]),
    ("hget", KEEPS, &["HGET", KEY, "e"]),
    ("hdel", KEEPS, &["HDEL", KEY, "e"]),
    ("hgetall", KEEPS, &["HGETALL", KEY]),
    ("sadd", KEEPS, &["SADD", KEY, "x"]),
    ("smembers", KEEPS, &["SMEMBERS", KEY]),
    ("expire", KEEPS, &["EXPIRE", KEY, "1"]),
    ("pexpire", KEEPS, &["PEXPIRE", KEY, "1"]),
    ("scan", KEEPS, &["SCAN", "0", "COUNT", "1"]),
    ("info", KEEPS, &["INFO", "server"]),
    ("publish", KEEPS, &["PUBLISH", "nudged:catalog", "x"]),
];

/// What records in lists ask for.
const LISTS: &[Tried] = &[
    ("llen", DECIDES, &["LLEN", KEY]),
    ("rpush", DECIDES, &["RPUSH", KEY, "x"]),
    ("lrange", KEEPS, &["LRANGE", KEY, "0", "0"]),
    ("ltrim", KEEPS, &["LTRIM", KEY, "0", "0"]),
];

/// A key of each family, read and written.
const KEYS: &[&str] = &[
    KEY,
    "nudged:{p0}:m",
    "nudged:{p0}:q",
    "nudged:nodes",
    "nudged:rebuild",
    "nudged:rebuild:lock",
    "nudged:rebuild:0:0",
    "nudged:compared:0",
    "nudged:catalog",
    "nudged:keys",
    "nudged:overrides",
    "nudged:tokens",
    "nudged:views",
];

/// Rights that are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// As `ACL SETUSER` takes them: `+publish`, `~nudged:*`. Each once.
    names: Vec<String>,
    /// Without one of them nothing is decided by Redis.
    pub is_deciding: bool,
    /// Without one of them nobody hears of changes.
    pub is_hearing: bool,
}

impl Missing {
    /// A right is missing.
    pub fn add(&mut self, name: &str, is_deciding: bool) {
        if !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
        self.is_deciding |= is_deciding;
    }

    /// Takes what became of a subscription to [`CHANNELS`]. Without another connection nothing is
    /// learnt of it.
    pub fn take_heard(&mut self, heard: &Result<(), RedisError>) {
        let Err(RedisError::Refused { text, .. }) = heard else { return };
        let is_channel = text.contains("channel");
        // A refusal of the subscription, and not of the connection for it.
        if text.starts_with("NOPERM") && (is_channel || text.contains("subscribe")) {
            self.is_hearing = true;
            self.add(if is_channel { "&nudged:*" } else { "+subscribe" }, false);
        }
    }

    /// The rights as `ACL SETUSER` takes them.
    pub fn rules(&self) -> String {
        self.names.join(" ")
    }

    /// Whether none is.
    pub fn is_none(&self) -> bool {
        self.names.is_empty()
    }

    /// What is wrong and what mends it, for people; `None` where none is missing.
    pub fn message(&self) -> Option<String> {
        let names = self.rules();
        (!self.is_none()).then(|| {
            format!(
                "Redis denies nudged {names}: add that with ACL SETUSER, or grant the rights in \
                 vendor-config/redis/users.acl"
            )
        })
    }
}

/// What `rights.lua` is to try.
#[derive(Clone, Debug)]
pub struct Trial {
    tried: Vec<Tried>,
}

impl Trial {
    /// All that a node needs, with or without records in lists.
    pub fn new(has_lists: bool) -> Trial {
        let lists = if has_lists { LISTS } else { &[] };
        Trial { tried: ALWAYS.iter().chain(lists).copied().collect() }
    }

    fn commands(&self) -> impl Iterator<Item = Vec<&'static str>> + '_ {
        let commands = self.tried.iter().map(|(_, _, words)| words.to_vec());
        commands.chain(KEYS.iter().flat_map(|key| [vec!["GET", *key], vec!["SET", *key, "x"]]))
    }

    /// The script's arguments.
    pub fn arguments(&self) -> Vec<String> {
        let counted = |words: Vec<&'static str>| {
            let count = words.len().to_string();
            std::iter::once(count).chain(words.into_iter().map(str::to_owned))
        };
        self.commands().flat_map(counted).collect()
    }

    /// Everything that is asked at once, each by itself; [`Trial::take_tried`] takes the answers.
    pub fn begin(&self) -> RedisRequest {
        RedisRequest::Each(vec![
            load(scripts::RIGHTS),
            self.words(b"EVALSHA", &hash_of(scripts::RIGHTS)),
            command(&[b"EVAL", scripts::NOTHING.as_bytes(), b"0"]),
            command(&[b"CONFIG", b"GET", b"appendfsync"]),
        ])
    }

    /// The script that tries what scripts may call, as a text.
    pub fn by_text(&self) -> RedisRequest {
        RedisRequest::Each(vec![self.words(b"EVAL", scripts::RIGHTS.as_bytes())])
    }

    fn words(&self, name: &[u8], body: &[u8]) -> CommandWords {
        let arguments = self.arguments().into_iter().map(String::into_bytes);
        command(&[name, body, b"0"]).into_iter().chain(arguments).collect()
    }

    /// Takes what was answered to [`Trial::begin`]; whether the script ran by its hash, and has not
    /// to be sent as a text.
    pub fn take_tried(
        &self,
        answers: &[OwnedReply],
        needs_config: bool,
        missing: &mut Missing,
    ) -> bool {
        let denied = |place: usize| answers.get(place).is_some_and(is_denied);
        for (place, name, is_deciding) in [
            (0, "+script|load", false),
            (1, "+evalsha", true),
            // Scripts that are loaded run without it, until Redis starts again.
            (2, "+eval", false),
        ] {
            if denied(place) {
                missing.add(name, is_deciding);
            }
        }
        if needs_config && denied(3) {
            missing.add("+config|get", false);
        }
        self.take_script(answers.get(1), missing)
    }

    /// Takes what the script gave, where it ran; whether it did.
    pub fn take_script(&self, answer: Option<&OwnedReply>, missing: &mut Missing) -> bool {
        let Some(OwnedReply::List(texts)) = answer else { return false };
        let text = |answer: &OwnedReply| match answer {
            OwnedReply::Text(text) => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        };
        let texts: Vec<String> = texts.iter().map(text).collect();
        self.take(&texts, missing);
        true
    }

    /// Takes what the script gave: a text for each command.
    pub fn take(&self, said: &[String], missing: &mut Missing) {
        let rights = self.tried.iter().map(|(right, decides, _)| (*right, *decides));
        let keys = KEYS.iter().flat_map(|_| [("get", DECIDES), ("set", DECIDES)]);
        for (text, (right, is_deciding)) in said.iter().zip(rights.chain(keys)) {
            if RedisRefusal::of(text.as_bytes()) != RedisRefusal::Denied {
                continue;
            }
            // Said in more than one way, from version to version.
            if text.contains("channel") {
                missing.add("&nudged:*", true);
            } else if text.contains("keys mentioned") || text.contains("one of the keys") {
                missing.add("~nudged:*", true);
            } else {
                missing.add(&format!("+{right}"), is_deciding);
            }
        }
    }
}

fn is_denied(answer: &OwnedReply) -> bool {
    matches!(answer, OwnedReply::Error(text) if RedisRefusal::of(text.as_bytes()) == RedisRefusal::Denied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_their_rights_each_once() {
        let trial = Trial::new(true);
        let count = trial.commands().count();
        assert_eq!(count, ALWAYS.len() + LISTS.len() + 2 * KEYS.len());
        let said = |says: &dyn Fn(usize) -> &'static str| -> Missing {
            let said: Vec<String> = (0..count).map(|place| says(place).to_owned()).collect();
            let mut missing = Missing::default();
            trial.take(&said, &mut missing);
            missing
        };
        let none = said(&|_| "ERR Write commands are not allowed from read-only scripts.");
        assert!(none.is_none() && none.message().is_none() && !none.is_deciding);
        let command = "ERR The user executing the script can't run this command or subcommand";
        let one = said(&|place| if place == 5 { command } else { "" });
        assert!(one.message().unwrap().contains("denies nudged +publish:") && one.is_deciding);
        let scan =
            said(&|place| if place == 16 { "NOPERM ACL failure in script: User n" } else { "" });
        assert!(scan.message().unwrap().contains("nudged +scan:") && !scan.is_deciding);
        let keys = "ERR The user executing the script can't access at least one of the keys \
                    mentioned in the command arguments";
        let all = said(&|_| keys);
        assert!(all.message().unwrap().contains("denies nudged ~nudged:*:") && all.is_deciding);
    }

    #[test]
    fn arguments_are_counted_words() {
        let arguments = Trial::new(false).arguments();
        assert_eq!(arguments[..4], ["2", "GET", KEY, "3"]);
        let (mut place, mut commands) = (0, 0);
        while place < arguments.len() {
            place += 1 + arguments[place].parse::<usize>().unwrap();
            commands += 1;
        }
        assert_eq!((place, commands), (arguments.len(), ALWAYS.len() + 2 * KEYS.len()));
    }
}
