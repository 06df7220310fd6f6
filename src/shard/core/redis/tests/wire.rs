//! Redis for these tests, and a node's connection to it, behind the ordinary seam: bytes out, bytes
//! in. What has left waits until the test has it executed; replies wait until it lets them pass.
//! What a connection says of itself, and pings on an idle one, is answered at once.

use std::collections::VecDeque;

use nudged_base::ids::{Partition, Revision, ShardId, UserKey};
use nudged_base::limits::PARTITIONS;
use nudged_base::time::WallMs;
use nudged_redis::command::{CommandFailure, PartitionPhase};
use nudged_redis::greeting::run_of;
use nudged_redis::request::OwnedReply;
use nudged_redis::scripts::Script;

#[allow(dead_code)] // The simulator uses the rest.
#[path = "../../../../../tests/support/redis_model/mod.rs"]
mod model;

use model::{Words, take_command, write_answer, write_push};

/// Shards of the node that these tests have the first one of, so that it has few partitions to
/// compare.
pub(super) const SHARDS: u16 = 64;

/// The id of a user of this name: of the first shard. Of an id it is the id itself.
pub(super) fn id(name: &str) -> String {
    let ids = (0..).map(|n| if n == 0 { name.to_owned() } else { format!("{name}.{n}") });
    let mut own = ids.filter(|id| UserKey::of(id.as_bytes()).home(SHARDS) == ShardId(0));
    own.next().expect("one of a few is")
}

/// The partition of a user of this name.
pub(super) fn partition(name: &str) -> Partition {
    UserKey::of(id(name).as_bytes()).partition()
}

/// The partitions of the first shard.
fn partitions() -> impl Iterator<Item = Partition> {
    (0..PARTITIONS).step_by(usize::from(SHARDS)).map(Partition)
}

/// A user's value.
pub(super) struct Stored {
    pub(super) revision: Revision,
    pub(super) state: Vec<u8>,
}

/// One Redis.
pub(super) struct Redis {
    /// Its TIME.
    pub(super) at: WallMs,
    model: model::Redis,
}

impl Redis {
    /// Without users; every partition is in its first epoch.
    pub(super) fn new(at: WallMs) -> Redis {
        let mut redis = Redis { at, model: model::Redis::new() };
        for script in Script::ALL {
            let load = [&b"SCRIPT"[..], b"LOAD", script.body().as_bytes()].map(<[u8]>::to_vec);
            redis.model.execute(at.0, &load);
        }
        redis.set_metas((Some(1), 0, PartitionPhase::Open));
        redis
    }

    /// What a partition says of itself: epoch, counter, phase.
    pub(super) fn set_meta(
        &mut self,
        partition: Partition,
        (epoch, counter, phase): (Option<u32>, u64, PartitionPhase),
    ) {
        let key = meta_key(partition);
        self.model.delete(&key);
        if let Some(epoch) = epoch {
            self.model.set_field(&key, b"e", epoch.to_string().as_bytes());
        }
        self.model.set_field(&key, b"c", counter.to_string().as_bytes());
        self.set_phase(partition, phase);
    }

    /// The same of every partition.
    pub(super) fn set_metas(&mut self, meta: (Option<u32>, u64, PartitionPhase)) {
        partitions().for_each(|partition| self.set_meta(partition, meta));
    }

    /// Every partition is in this phase.
    pub(super) fn set_phases(&mut self, phase: PartitionPhase) {
        partitions().for_each(|partition| self.set_phase(partition, phase));
    }

    fn set_phase(&mut self, partition: Partition, phase: PartitionPhase) {
        let key = meta_key(partition);
        match phase {
            PartitionPhase::Open => self.model.delete_field(&key, b"s"),
            PartitionPhase::Barrier => _ = self.model.set_field(&key, b"s", b"b"),
            PartitionPhase::Filling => _ = self.model.set_field(&key, b"s", b"f"),
        }
    }

    /// Users may have vanished from every partition, or not.
    pub(super) fn set_doubted(&mut self, is_doubted: bool) {
        for key in partitions().map(meta_key) {
            match is_doubted {
                true => _ = self.model.set_field(&key, b"v", b"1"),
                false => self.model.delete_field(&key, b"v"),
            }
        }
    }

    /// Records that a partition has counted.
    pub(super) fn counter(&self, partition: Partition) -> u64 {
        let counter = self.model.field(&meta_key(partition), b"c").unwrap();
        str::from_utf8(counter).unwrap().parse().unwrap()
    }

    /// A user's value.
    pub(super) fn find(&self, user: &str) -> Option<Stored> {
        self.model.get(&user_key(user)).map(stored)
    }

    /// The value of a user who is there.
    pub(super) fn user(&self, user: &str) -> Stored {
        self.find(user).expect("it is there")
    }

    /// Takes a user's value away.
    pub(super) fn remove(&mut self, user: &str) -> Stored {
        let stored = self.user(user);
        self.model.delete(&user_key(user));
        stored
    }

    /// Every user's value.
    pub(super) fn users(&self) -> Vec<Stored> {
        let is_user = |key: &&Vec<u8>| key.windows(4).any(|part| part == b"}:u:");
        let keys = self.model.data.keys.keys().filter(is_user);
        keys.map(|key| stored(self.model.get(key).unwrap())).collect()
    }

    /// Records of the lists of all partitions, those of each in their order.
    pub(super) fn listed(&self) -> Vec<&[u8]> {
        let lists = partitions().map(|partition| format!("nudged:{{p{}}}:q", partition.0));
        let lists: Vec<_> = lists.filter_map(|key| self.model.list(key.as_bytes())).collect();
        // Epoch and number come first.
        lists.into_iter().flatten().map(|entry| &entry[12..]).collect()
    }
}

fn meta_key(partition: Partition) -> Vec<u8> {
    format!("nudged:{{p{}}}:m", partition.0).into_bytes()
}

fn user_key(user: &str) -> Vec<u8> {
    format!("nudged:{{p{}}}:u:{}", partition(user).0, id(user)).into_bytes()
}

/// A value: its revision, how many requests it knows, those, and the state.
fn stored(value: &[u8]) -> Stored {
    let (epoch, rest) = value.split_first_chunk().unwrap();
    let (counter, rest) = rest.split_first_chunk().unwrap();
    let (epoch, counter) = (u32::from_be_bytes(*epoch), u64::from_be_bytes(*counter));
    let state = rest[1 + 8 * usize::from(rest[0])..].to_vec();
    Stored { revision: Revision { epoch, counter }, state }
}

/// The run of the server's life of this number, as connections learn it.
pub(super) fn run(life: u64) -> u64 {
    run_of(format!("run{life}").as_bytes())
}

/// What a server says of itself.
#[derive(Clone, Copy)]
pub(super) struct Greeting {
    /// Which life of the server it is.
    pub(super) life: u64,
    /// Whether it syncs each write; `None` where it does not say.
    pub(super) syncs_always: Option<bool>,
}

/// A connection of a node.
#[derive(Default)]
pub(super) struct Wire {
    /// What is behind it; `None` where nothing can be reached.
    pub(super) greeting: Option<Greeting>,
    /// The link waits for its connection.
    pub(super) is_wanted: bool,
    pub(super) is_connected: bool,
    input: Vec<u8>,
    sent: VecDeque<Words>,
    replies: VecDeque<Vec<u8>>,
}

impl Wire {
    /// The connection stands, or is lost with all that is on it.
    pub(super) fn begin(&mut self, is_connected: bool) {
        self.is_connected = is_connected;
        self.is_wanted &= !is_connected;
        self.input.clear();
        self.sent.clear();
        self.replies.clear();
    }

    /// Takes what a node sends; gives what is answered at once.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.input.extend_from_slice(bytes);
        let mut answers = Vec::new();
        while let Some(words) = take_command(&mut self.input) {
            match self.answer(&words) {
                Some(answer) => write_answer(&answer, &mut answers),
                None => self.sent.push_back(words),
            }
        }
        answers
    }

    fn answer(&self, words: &[Vec<u8>]) -> Option<OwnedReply> {
        let Greeting { life, syncs_always } = self.greeting?;
        let text = |text: String| OwnedReply::Text(text.into_bytes());
        match words.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] {
            [b"HELLO", ..] => Some(OwnedReply::List(Vec::new())),
            [b"INFO", b"server"] => {
                Some(text(format!("redis_version:7.0.15\r\nrun_id:run{life}\r\n")))
            }
            [b"INFO", ..] => Some(text("maxmemory_policy:noeviction\r\n".to_owned())),
            [b"CONFIG", ..] => {
                let syncs = |always| if always { "always" } else { "everysec" };
                let said = syncs_always.map(|always| {
                    ["appendfsync", syncs(always), "appendonly", "yes"].map(str::to_owned).map(text)
                });
                Some(OwnedReply::List(said.into_iter().flatten().collect()))
            }
            [b"PING"] if self.sent.is_empty() && self.replies.is_empty() => {
                Some(text("PONG".to_owned()))
            }
            _ => None,
        }
    }

    /// The next command reaches Redis.
    pub(super) fn execute(&mut self, redis: &mut Redis) -> bool {
        let Some(words) = self.sent.pop_front() else { return false };
        let mut reply = Vec::new();
        write_answer(&redis.model.execute(redis.at.0, &words), &mut reply);
        self.replies.push_back(reply);
        true
    }

    /// Redis refuses the next command, or nobody can say how far it came.
    pub(super) fn fail(&mut self, failure: CommandFailure) -> bool {
        let error = match failure {
            CommandFailure::Refused(_) => "BUSY Redis is busy running a script.",
            CommandFailure::Quarantined => "WRONGTYPE Operation against a key of another kind",
            CommandFailure::Unknown => "ERR of a kind that nobody knows",
        };
        let Some(_) = self.sent.pop_front() else { return false };
        self.replies.push_back(format!("-{error}\r\n").into_bytes());
        true
    }

    /// The next reply.
    pub(super) fn next_reply(&mut self) -> Option<Vec<u8>> {
        self.replies.pop_front()
    }

    /// Commands that wait to be executed.
    pub(super) fn waiting(&self) -> usize {
        self.sent.len()
    }
}

/// Takes what Redis has published: as each subscriber gets it.
pub(super) fn published(redis: &mut Redis) -> Vec<Vec<u8>> {
    let published = std::mem::take(&mut redis.model.published);
    published.iter().map(|(channel, payload)| push(channel, payload)).collect()
}

/// The news of a change, as a subscriber gets it.
pub(super) fn news(user: &str, revision: Revision) -> Vec<u8> {
    let channel = format!("nudged:changed:{}", partition(user).0);
    let Revision { epoch, counter } = revision;
    let payload = [&epoch.to_be_bytes()[..], &counter.to_be_bytes(), id(user).as_bytes()].concat();
    push(channel.as_bytes(), &payload)
}

fn push(channel: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_push(&[b"message", channel, payload], &mut bytes);
    bytes
}
