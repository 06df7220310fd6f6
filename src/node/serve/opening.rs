//! What a node opens before its threads start: what it remembers, the way to Redis with the keys
//! that nodes share, the popups, its clock and its sockets. Where another process hands over, what
//! needs no lock is prepared while that one serves.

use std::sync::Arc;

use super::Known;
use super::listening::{Listening, Place};
use crate::node::arguments::{ServeArguments, SharedArguments};
use crate::node::failure::Failure;
use crate::node::preflight::redis::{self as redis_preflight, RedisPreflight};
use crate::node::preflight::sql::{self as sql_preflight, SqlPreflight};
use crate::node::redis::RedisWay;
use crate::node::storage::{self, Storage};
use crate::node::upgrade::given::{GivenSockets, ManagersAddresses};
use crate::node::{settings, shared_keys};
use nudged_api::token::Secret;
use nudged_base::clock::NodeClock;
use nudged_base::limits::CLOCK_APART_MS;
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_base::time::MonoNs;
use nudged_config::Config;
use nudged_publish::publisher::{
    ConfigRefused, PublishError, Publisher, PublisherSetup, ReadConfig,
};
use nudged_runtime::clocks;
use nudged_runtime::shard::mesh::Mesh;
use nudged_runtime::tls_files::{self, TlsFilesError};
use nudged_runtime::topology::Topology;
use nudged_store::Store;
use nudged_store::sqlite::Peek;

/// The wall clock may be this far behind the journal at start, in milliseconds: an hour.
const CLOCK_BEHIND_MAX_MS: i64 = 3_600_000;

/// What was prepared before the lock; nothing where nobody hands over.
#[derive(Default)]
pub(super) struct Prepared {
    listening: Option<Listening>,
    sql: Option<SqlPreflight>,
    redis: Option<(Option<RedisWay>, RedisPreflight)>,
    /// When the old process accepted last.
    pub(super) last_accept: Option<MonoNs>,
}

impl Prepared {
    /// Looks at everything that could refuse the start later, and changes nothing that the old
    /// process has.
    pub(super) fn for_take_over(
        known: &Known,
        given: &mut GivenSockets,
    ) -> Result<Prepared, Failure> {
        let Known { config, topology, log, .. } = known;
        let sql = sql_preflight::check(config, log)?;
        if config.mysql.url.is_none() {
            Peek::open(&config.data)?.map_or(Ok(()), |peek| peek.check_version())?;
        }
        let redis = find_redis(config, log)?;
        tls_files::read(&config.tls).map_err(tls_refused)?;
        let listening = Listening::open(config, topology.shards, given)?;
        Ok(Prepared {
            listening: Some(listening),
            sql: Some(sql),
            redis: Some(redis),
            last_accept: None,
        })
    }
}

/// What threads start with.
pub(super) struct Opened {
    pub(super) storage: Storage,
    pub(super) clock: NodeClock,
    pub(super) redis: Option<RedisWay>,
    pub(super) redis_found: RedisPreflight,
    pub(super) keys: Vec<Secret>,
    pub(super) mesh: Arc<Mesh>,
    pub(super) counters: Vec<Arc<ShardCounters>>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) listening: Listening,
    pub(super) last_accept: Option<MonoNs>,
}

impl Opened {
    /// Locks the data directory and opens everything.
    pub(super) fn open(
        (shared, arguments): (&SharedArguments, &ServeArguments),
        known: &Known,
        (prepared, given): (Prepared, &mut GivenSockets),
        managers: ManagersAddresses,
    ) -> Result<Opened, Failure> {
        let Known { config, topology, log, .. } = known;
        let options = (shared.config.as_deref(), arguments.salvage);
        let mut storage = storage::open(config, options, prepared.sql, log)?;
        let clock = start_clock(&storage, arguments.accept_clock, log)?;
        // The process before this one has put what SQL has into Redis, which may hang by now.
        let is_copied = prepared.redis.is_some() && storage.sql == SqlPreflight::Usable;
        let (redis, redis_found) = match prepared.redis {
            Some(found) => found,
            None => find_redis(config, log)?,
        };
        let asked = redis.as_ref().filter(|_| !is_copied);
        let keys = load_keys(config, &mut storage, (asked, redis_found), log)?;
        let mesh = make_mesh(topology)?;
        let identity = tls_files::read(&config.tls).map_err(tls_refused)?;
        mesh.identity.replace(identity.map(Arc::new));
        let counters = (0..topology.shards).map(|_| Arc::default()).collect();
        let read = config_reader(shared, arguments, managers);
        let is_sql_usable = storage.sql == SqlPreflight::Usable;
        let publisher = load_publisher((config, read), is_sql_usable, &mesh, log)?;
        let listening = match prepared.listening {
            Some(listening) => listening,
            None => Listening::open(config, topology.shards, given)?,
        };
        if listening.is_managers {
            mesh.keep_queues();
        }
        warn_of_open_doors(config, &listening.places, log);
        Ok(Opened {
            storage,
            clock,
            redis,
            redis_found,
            keys,
            mesh,
            counters,
            publisher,
            listening,
            last_accept: prepared.last_accept,
        })
    }
}

fn make_mesh(topology: &Topology) -> Result<Arc<Mesh>, Failure> {
    let eventfds = Failure::system("create eventfds for the shards");
    Mesh::new(topology.shards).map(Arc::new).map_err(|error| eventfds(error.into()))
}

/// Finds Redis, where the node has one.
fn find_redis(config: &Config, log: &Log) -> Result<(Option<RedisWay>, RedisPreflight), Failure> {
    let redis = RedisWay::open(config, log)?;
    let mut client = redis.as_ref().map(RedisWay::client);
    let found = match &mut client {
        Some(client) => redis_preflight::check(client, config, log)?,
        None => RedisPreflight::Usable,
    };
    Ok((redis, found))
}

/// The signing keys that nodes share.
fn load_keys(
    config: &Config,
    storage: &mut Storage,
    (redis, redis_found): (Option<&RedisWay>, RedisPreflight),
    log: &Log,
) -> Result<Vec<Secret>, Failure> {
    let client = redis.map(RedisWay::client);
    // One that can't be asked is not waited for once more.
    let mut client = client.filter(|_| redis_found == RedisPreflight::Usable);
    let sql = (&mut storage.store, storage.sql == SqlPreflight::Usable);
    Ok(shared_keys::load(&config.data, sql, client.as_mut(), clocks::wall(), log)?)
}

/// Reads the settings anew, as the start did; a service manager's sockets stay where they are.
fn config_reader(
    shared: &SharedArguments,
    arguments: &ServeArguments,
    managers: ManagersAddresses,
) -> ReadConfig {
    let (shared, flags) = (shared.clone(), arguments.flags());
    let refused =
        |failure: Failure| ConfigRefused(failure.to_string().lines().map(str::to_owned).collect());
    Box::new(move || match settings::load(&shared, &flags) {
        Ok(mut loaded) => {
            managers.stand_for(&mut loaded.config);
            Ok(loaded.config)
        }
        Err(failure) => Err(refused(failure)),
    })
}

/// Reads the popups, and knows how to read everything again.
fn load_publisher(
    (config, read_config): (&Config, ReadConfig),
    is_sql_there: bool,
    mesh: &Arc<Mesh>,
    log: &Log,
) -> Result<Arc<Publisher>, Failure> {
    let publisher = Publisher::load(PublisherSetup {
        store: Store::of(config)?,
        is_store_there: is_sql_there,
        config: config.clone(),
        read_config,
        mesh: Arc::clone(mesh),
        log: log.clone(),
    });
    match publisher {
        Ok(publisher) => Ok(Arc::new(publisher)),
        Err(PublishError::Store(error)) => Err(error.into()),
        Err(error) => Err(Failure::Configuration(error.lines().join("\n"))),
    }
}

/// The node's time goes on where the journal's ended.
fn start_clock(storage: &Storage, accept: bool, log: &Log) -> Result<NodeClock, Failure> {
    let (mono, wall) = (clocks::mono(), clocks::wall());
    let newest = storage.recovered.start.newest;
    let ahead_ms = newest.0.saturating_sub(wall.0);
    if ahead_ms > CLOCK_BEHIND_MAX_MS && !accept {
        return Err(Failure::Clock { ahead_s: ahead_ms / 1_000 });
    }
    // A wall clock ahead of the journal is the ordinary case.
    if ahead_ms > 0 && ahead_ms.unsigned_abs() > CLOCK_APART_MS {
        let ahead = LogValue::Number(ahead_ms.unsigned_abs());
        log.write(clocks::now(), Message::ClockApart, &[("journal_ahead_ms", ahead)]);
    }
    Ok(NodeClock::start(mono, wall, newest))
}

fn tls_refused(error: TlsFilesError) -> Failure {
    Failure::Configuration(error.to_string())
}

fn warn_of_open_doors(config: &Config, places: &[Place], log: &Log) {
    if !config.keys.server.is_empty() || !config.keys.public.is_empty() {
        return;
    }
    let addresses = places.iter().map(|place| place.listener.address);
    for address in addresses.filter(|address| !address.ip().is_loopback()) {
        let text = address.to_string();
        log.write(clocks::now(), Message::KeysMissing, &[("listener", LogValue::Text(&text))]);
    }
}
