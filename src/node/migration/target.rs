//! The side that a directory is moved to: its database, its Redis, and whether one of its nodes
//! runs. A node that runs would take the users that are brought for new ones.

use std::path::Path;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use jiff::tz::TimeZone;

use crate::node::failure::Failure;
use crate::node::{redis, shared_keys};
use nudged_api::token::Secret;
use nudged_background::keeper::scripts;
use nudged_background::projection::union::WholeUser;
use nudged_base::hex;
use nudged_base::ids::{Partition, PopupKey, Revision, UserKey};
use nudged_base::limits::{PARTITIONS, PEER_KNOWN_MS, PEER_SILENT_MS, REDIS_PIPELINE_MAX};
use nudged_config::Config;
use nudged_domain::state::user::{self, UserState};
use nudged_journal::segment::SetId;
use nudged_redis::request::{CommandWords, OwnedReply, RedisError, RedisRequest, command};
use nudged_runtime::clocks;
use nudged_runtime::journal::directory::JournalDirectory;
use nudged_runtime::redis_client::BlockingRedis;
use nudged_store::mysql;
use nudged_store::{LiveNode, Store, StoreReader};

/// Signs of life are looked at again after this.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// So many nodes are named in a message.
const NAMED_MAX: usize = 8;

/// The store that users are moved to.
pub(in crate::node) struct MigrationTarget {
    store: Store,
    reader: StoreReader,
    redis: Option<BlockingRedis>,
    /// The data directory of the configuration, where it is another one and there.
    _own: Option<JournalDirectory>,
}

/// What `streams` calls a journal.
pub(in crate::node) fn set_name(set: SetId) -> String {
    hex::encode(&set.0.to_le_bytes())
}

/// A sign of life of a node.
#[derive(Clone, Debug, PartialEq)]
struct Sign {
    node: String,
    /// For how long it has been silent, in milliseconds.
    silent_ms: u64,
}

impl MigrationTarget {
    /// Connects to both, and makes or upgrades the schema.
    ///
    /// # Errors
    /// Where one of them can't be used, or the configuration's own data directory is in use.
    pub(in crate::node) fn open(config: &Config, from: &Path) -> Result<MigrationTarget, Failure> {
        let own = lock_own(config, from)?;
        mysql::migrate(config, clocks::wall())?;
        let mut store = Store::of(config)?;
        store.check()?;
        let redis = redis::blocking_client(config)?;
        let reader = StoreReader::of(config)?;
        let mut target = MigrationTarget { store, reader, redis, _own: own };
        if let Some(redis) = &mut target.redis {
            redis.ask(&[b"PING"]).map_err(away)?;
        }
        Ok(target)
    }

    pub(in crate::node) fn store(&mut self) -> &mut Store {
        &mut self.store
    }

    pub(in crate::node) fn sql(&mut self) -> &mut Store {
        self.store.shared().expect("the configuration names a server")
    }

    /// The server and its database, without user and password.
    pub(in crate::node) fn name(&mut self) -> String {
        self.sql().server_name()
    }

    /// Refuses where a node runs, or may have what the database lacks. With `are_lost` nodes that
    /// did not stop cleanly are gone on without, as long as they give no sign of life.
    ///
    /// # Errors
    /// With the names of those nodes: exit code 4.
    pub(in crate::node) fn refuse_nodes(&mut self, are_lost: bool) -> Result<(), Failure> {
        self.refuse_running()?;
        // With Redis, what a node that was killed had decided is there, and is taken in from there.
        if self.redis.is_some() || are_lost {
            return Ok(());
        }
        let nodes = self.sql().unstopped_nodes()?;
        if nodes.is_empty() {
            return Ok(());
        }
        let (first, more) = nodes.split_at(nodes.len().min(NAMED_MAX));
        let say =
            |node: &LiveNode| format!("{} (seen {} s ago)", node.name, node.silent_ms / 1_000);
        let mut names: Vec<String> = first.iter().map(say).collect();
        if !more.is_empty() {
            names.push(format!("and {} more", more.len()));
        }
        Err(Failure::NodeUnstopped { nodes: names.join(", "), target: self.name() })
    }

    /// Refuses where a node gives signs of life. One that was seen lately is listened to for as
    /// long as nodes wait for each other.
    ///
    /// # Errors
    /// With the names of those that run: exit code 4.
    fn refuse_running(&mut self) -> Result<(), Failure> {
        let (begun, first) = (Instant::now(), self.signs()?);
        while !first.is_empty() && begun.elapsed() < Duration::from_millis(PEER_SILENT_MS) {
            std::thread::sleep(LOOK_EVERY);
            let is_new = |sign: &&Sign| {
                let before = first.iter().find(|before| before.node == sign.node);
                before.is_none_or(|before| sign.silent_ms < before.silent_ms)
            };
            let signs = self.signs()?;
            let running: Vec<&str> =
                signs.iter().filter(is_new).map(|sign| sign.node.as_str()).collect();
            if !running.is_empty() {
                return Err(Failure::NodeRuns { nodes: running.join(", "), target: self.name() });
            }
        }
        Ok(())
    }

    /// Nodes that SQL or Redis has seen within `PEER_KNOWN_MS`, each of both by itself.
    fn signs(&mut self) -> Result<Vec<Sign>, Failure> {
        let seen = self.sql().live_nodes(PEER_KNOWN_MS)?;
        let mut signs: Vec<Sign> = seen
            .into_iter()
            .map(|node| Sign { node: format!("{} (in SQL)", node.name), silent_ms: node.silent_ms })
            .collect();
        let Some(redis) = &mut self.redis else { return Ok(signs) };
        let now = redis.ask(&[b"TIME"]).map_err(away)?;
        let now_ms: u64 = match &now {
            OwnedReply::List(words) => words.first().and_then(OwnedReply::number).unwrap_or(0),
            _ => 0,
        } * 1_000;
        let beats = redis.ask(&[b"HGETALL", scripts::NODES.as_bytes()]).map_err(away)?;
        let OwnedReply::List(words) = beats else { return Ok(signs) };
        for pair in words.chunks_exact(2) {
            let (OwnedReply::Text(name), Some(at)) = (&pair[0], pair[1].number::<u64>()) else {
                continue;
            };
            // TIME is read in whole seconds.
            let silent_ms = (now_ms + 1_000).saturating_sub(at);
            if silent_ms < PEER_KNOWN_MS {
                let node = format!("{} (in Redis)", String::from_utf8_lossy(name));
                signs.push(Sign { node, silent_ms: u64::MAX - at });
            }
        }
        Ok(signs)
    }

    /// What Redis knows of these users beyond SQL, taken into SQL: a node that was killed may have
    /// it in its journal alone, and what is brought must not hide it.
    ///
    /// # Errors
    /// Where either fails.
    pub(in crate::node) fn take_redis_in(
        &mut self,
        users: &[WholeUser],
        zone: &TimeZone,
    ) -> Result<(), Failure> {
        let found = self.read_redis(users)?;
        let names: Vec<&str> = found.iter().map(|(user, _)| *user).collect();
        let mut revisions = vec![Revision::default(); names.len()];
        self.reader.read_users(&names, &mut |index, state| revisions[index] = state.revision)?;
        let ahead = found.iter().zip(&revisions);
        let ahead = ahead.filter(|((_, state), revision)| state.revision > **revision);
        let ahead: Vec<&(&str, UserState)> = ahead.map(|(found, _)| found).collect();
        if ahead.is_empty() {
            return Ok(());
        }
        let catalog = self.store.load_catalog()?;
        let ids: HashMap<PopupKey, &str> =
            catalog.popups.iter().map(|popup| (PopupKey::of(&popup.id), &*popup.id)).collect();
        let ahead = ahead.iter().map(|(user, state)| WholeUser::of_state(user, state, &ids));
        self.store.take_users(&ahead.collect::<Vec<_>>(), zone)?;
        Ok(())
    }

    /// The users among these that Redis has, with their states.
    fn read_redis<'a>(
        &mut self,
        users: &'a [WholeUser],
    ) -> Result<Vec<(&'a str, UserState)>, Failure> {
        let Some(redis) = &mut self.redis else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for users in users.chunks(REDIS_PIPELINE_MAX) {
            let names = users.iter().map(|user| user.user.as_str());
            let key = |user| scripts::user_key(UserKey::of(str::as_bytes(user)).partition(), user);
            let get = |user| command(&[b"GET", key(user).as_bytes()]);
            let gets = RedisRequest::Pipeline(names.clone().map(get).collect());
            let answers = redis.carry_out(&gets).map_err(away)?;
            found.extend(names.zip(answers).filter_map(|(user, answer)| match answer {
                OwnedReply::Text(value) => state_of(&value).map(|state| (user, state)),
                _ => None,
            }));
        }
        Ok(found)
    }

    /// Has the rebuild fill Redis, and puts the keys there; false where there is none.
    ///
    /// # Errors
    /// Where SQL fails, or Redis refuses.
    pub(in crate::node) fn take_epochs_away(&mut self) -> Result<bool, Failure> {
        let keys = self.sql().add_signing_keys(&[])?;
        let keys: Vec<Secret> = keys.into_iter().map(shared_keys::secret_of).collect();
        let Some(redis) = &mut self.redis else { return Ok(false) };
        let of_partition = |partition: u16| {
            let key = scripts::meta_key(Partition(partition));
            command(&[b"HDEL", key.as_bytes(), b"e"])
        };
        let commands: Vec<CommandWords> = (0..PARTITIONS).map(of_partition).collect();
        for part in commands.chunks(REDIS_PIPELINE_MAX) {
            let answers = redis.carry_out(&RedisRequest::Pipeline(part.to_vec()));
            for answer in answers.map_err(away)? {
                if let OwnedReply::Error(text) = answer {
                    return Err(Failure::Redis(text));
                }
            }
        }
        shared_keys::copy_to_redis(redis, &keys).map_err(away)?;
        Ok(true)
    }
}

/// The state of a user's value in Redis: revision, number and ids of the latest commits, state.
fn state_of(value: &[u8]) -> Option<UserState> {
    let ids = usize::from(*value.get(12)?);
    let mut state = UserState::default();
    user::decode(value.get(13 + 8 * ids..)?, &mut state).ok()?;
    Some(state)
}

fn away(error: RedisError) -> Failure {
    Failure::Redis(error.to_string())
}

/// Locks the data directory that the configuration names, where it is not the one that is moved:
/// who holds it is a node of the target.
fn lock_own(config: &Config, from: &Path) -> Result<Option<JournalDirectory>, Failure> {
    let journal = config.data.join("journal");
    let is_same = match (config.data.canonicalize(), from.canonicalize()) {
        (Ok(own), Ok(from)) => own == from,
        _ => false,
    };
    if is_same || !journal.exists() {
        return Ok(None);
    }
    let locked = JournalDirectory::open(&journal);
    locked.map(Some).map_err(Failure::directory(&config.data))
}
