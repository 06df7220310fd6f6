//! What a node opens before its threads start: the way to Redis with the keys that nodes share, the
//! popups, its clock and its sockets.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::node::arguments::{ServeArguments, SharedArguments};
use crate::node::failure::Failure;
use crate::node::preflight::redis::{self as redis_preflight, RedisPreflight};
use crate::node::preflight::sql::SqlPreflight;
use crate::node::redis::RedisWay;
use crate::node::storage::Storage;
use crate::node::{settings, shared_keys};
use nudged_api::token::Secret;
use nudged_base::clock::NodeClock;
use nudged_base::limits::CLOCK_APART_MS;
use nudged_base::telemetry::log::{Log, LogValue, Message};
use nudged_config::{Config, DataListener};
use nudged_publish::publisher::{
    ConfigRefused, PublishError, Publisher, PublisherSetup, ReadConfig,
};
use nudged_runtime::clocks;
use nudged_runtime::shard::listener;
use nudged_runtime::shard::mesh::Mesh;
use nudged_runtime::tls_files;
use nudged_store::Store;

/// The wall clock may be this far behind the journal at start, in milliseconds: an hour.
const CLOCK_BEHIND_MAX_MS: i64 = 3_600_000;

/// Finds Redis, where the node has one, and the signing keys that nodes share.
pub(super) fn open_shared(
    config: &Config,
    storage: &mut Storage,
    log: &Log,
) -> Result<(Option<RedisWay>, Vec<Secret>, RedisPreflight), Failure> {
    let redis = RedisWay::open(config, log)?;
    let mut client = redis.as_ref().map(RedisWay::client);
    let redis_found = match &mut client {
        Some(client) => redis_preflight::check(client, config, log)?,
        None => RedisPreflight::Usable,
    };
    // One that can't be asked is not waited for once more.
    client = client.filter(|_| redis_found == RedisPreflight::Usable);
    let sql = (&mut storage.store, storage.sql == SqlPreflight::Usable);
    let keys = shared_keys::load(&config.data, sql, client.as_mut(), clocks::wall(), log)?;
    Ok((redis, keys, redis_found))
}

/// Reads the settings anew, as the start did.
pub(super) fn config_reader(shared: &SharedArguments, arguments: &ServeArguments) -> ReadConfig {
    let (shared, flags) = (shared.clone(), arguments.flags());
    let refused =
        |failure: Failure| ConfigRefused(failure.to_string().lines().map(str::to_owned).collect());
    Box::new(move || match settings::load(&shared, &flags) {
        Ok(loaded) => Ok(loaded.config),
        Err(failure) => Err(refused(failure)),
    })
}

/// Reads the popups, and knows how to read everything again.
pub(super) fn load_publisher(
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
pub(super) fn start_clock(
    storage: &Storage,
    accept: bool,
    log: &Log,
) -> Result<NodeClock, Failure> {
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

pub(super) type Sockets = Vec<Vec<OwnedFd>>;

/// Reads the certificate of listeners that speak TLS.
pub(super) fn load_identity(config: &Config, mesh: &Mesh) -> Result<(), Failure> {
    let identity = tls_files::read(&config.tls);
    let identity = identity.map_err(|error| Failure::Configuration(error.to_string()))?;
    mesh.identity.replace(identity.map(Arc::new));
    Ok(())
}

/// Binds every address for every shard; gives the sockets by shard.
pub(super) fn bind(config: &Config, shards: u16) -> Result<(Sockets, Vec<DataListener>), Failure> {
    let mut by_shard: Sockets = (0..shards).map(|_| Vec::new()).collect();
    let mut listeners = Vec::new();
    for asked in &config.listen {
        let (sockets, bound) = listener::bind_all(asked.address, shards)?;
        for (shard, socket) in by_shard.iter_mut().zip(sockets) {
            shard.push(socket);
        }
        listeners.push(DataListener { address: bound, ..*asked });
    }
    Ok((by_shard, listeners))
}

pub(super) fn warn_of_open_doors(config: &Config, listeners: &[DataListener], log: &Log) {
    if !config.keys.server.is_empty() || !config.keys.public.is_empty() {
        return;
    }
    for listener in listeners.iter().filter(|listener| !listener.address.ip().is_loopback()) {
        let text = listener.address.to_string();
        log.write(clocks::now(), Message::KeysMissing, &[("listener", LogValue::Text(&text))]);
    }
}
