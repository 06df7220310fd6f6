//! The node's way to Redis, read from the configuration: what each shard's link is told, where it
//! leads, and the thread that looks the name up. Must not know what is asked over it.

use std::sync::Arc;
use std::time::Duration;

use super::failure::Failure;
use nudged_base::ids::{Partition, ShardId};
use nudged_base::limits::PARTITIONS;
use nudged_base::telemetry::log::Log;
use nudged_config::{AckMode, Config, QueueMode, RedisSettings};
use nudged_redis::address::LinkAddress;
use nudged_redis::link::{BreakerSettings, LinkSettings};
use nudged_runtime::redis_client::BlockingRedis;
use nudged_runtime::shard::endpoint::Endpoint;
use nudged_runtime::threads::resolver::Resolver;
use nudged_runtime::wake::Waker;

/// A name that is not found within this at start is looked up further while the node serves.
const RESOLVE_WAIT: Duration = Duration::from_secs(2);

/// A blocking question to Redis may take this long.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// What the node knows of its Redis.
pub(super) struct RedisWay {
    /// Where it is.
    pub(super) address: LinkAddress,
    /// Where the shards' links lead.
    pub(super) endpoint: Arc<Endpoint>,
    settings: LinkSettings,
    /// Looks the name up as long as it lives.
    _resolver: Resolver,
}

/// Reads `[redis] url`; `None` where there is none.
///
/// # Errors
/// Where it is no address of a Redis: exit code 2.
pub(super) fn address_of(config: &Config) -> Result<Option<(LinkAddress, LinkSettings)>, Failure> {
    let Some(url) = &config.redis.url else { return Ok(None) };
    let refused = |error| Failure::Configuration(format!("redis.url: {error}"));
    LinkSettings::of_url(url.expose()).map(Some).map_err(refused)
}

/// A blocking client of `[redis] url`, not connected yet; `None` without it.
///
/// # Errors
/// Where the url is no address of a Redis: exit code 2.
pub(super) fn blocking_client(config: &Config) -> Result<Option<BlockingRedis>, Failure> {
    let Some((address, of_url)) = address_of(config)? else { return Ok(None) };
    let settings = settings(&config.redis, of_url);
    Ok(Some(BlockingRedis::new(address, settings, ASK_TIMEOUT)))
}

impl RedisWay {
    /// Begins to look the name up, and waits for it a little; `None` without `[redis] url`.
    ///
    /// # Errors
    /// Where the url is none, or the system refuses a thread.
    pub(super) fn open(config: &Config, log: &Log) -> Result<Option<RedisWay>, Failure> {
        let Some((address, of_url)) = address_of(config)? else { return Ok(None) };
        let thread = Failure::system("start the resolver thread");
        let waker = Arc::new(Waker::new().map_err(|error| thread(error.into()))?);
        // A link whose oldest command waits for twice the deadline is given up as well.
        let user_timeout = Duration::from_millis(config.redis.deadline.0.saturating_mul(2));
        let endpoint = match &address {
            LinkAddress::Tcp { host, port } => {
                Endpoint::tcp(host, *port, user_timeout, Arc::clone(&waker))
            }
            LinkAddress::Unix(path) => Endpoint::unix(path, user_timeout, Arc::clone(&waker)),
        };
        let endpoints = vec![Arc::new(endpoint)];
        let resolver = Resolver::start(endpoints.clone(), waker, log.clone()).map_err(thread)?;
        Resolver::await_first(&endpoints, RESOLVE_WAIT);
        let settings = settings(&config.redis, of_url);
        let endpoint = Arc::clone(&endpoints[0]);
        Ok(Some(RedisWay { address, endpoint, settings, _resolver: resolver }))
    }

    /// A blocking client, not connected yet.
    pub(super) fn client(&self) -> BlockingRedis {
        BlockingRedis::new(self.address.clone(), self.settings.clone(), ASK_TIMEOUT)
    }

    /// What the link of a shard is told: it hears of the changes of its own partitions.
    pub(super) fn of_shard(&self, shard: ShardId, shards: u16) -> LinkSettings {
        LinkSettings {
            name: format!("nudged-{}-{}", std::process::id(), shard.0),
            subscriptions: partitions_of(shard, shards),
            ..self.settings.clone()
        }
    }
}

/// Whether a reply of Redis has to survive loss of power: what `ack` promises rests on it alone.
pub(super) fn needs_sync(config: &Config) -> bool {
    config.queue == QueueMode::Redis && config.ack == AckMode::Synced
}

fn settings(redis: &RedisSettings, of_url: LinkSettings) -> LinkSettings {
    LinkSettings {
        deadline_ms: redis.deadline.0,
        window: usize::try_from(redis.window).unwrap_or(usize::MAX),
        breaker: BreakerSettings {
            failures: redis.breaker_failures,
            open_ms: redis.breaker_open.0,
            open_max_ms: redis.breaker_open_max.0,
        },
        retry_budget_percent: redis.retry_budget,
        ..of_url
    }
}

/// The partitions whose home a shard is.
fn partitions_of(shard: ShardId, shards: u16) -> Vec<Partition> {
    (0..PARTITIONS).map(Partition).filter(|partition| partition.home(shards) == shard).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::telemetry::log::Level;
    use nudged_base::time::DurationMs;
    use nudged_config::SecretText;
    use nudged_runtime::shard::endpoint::Address;

    fn config(url: &str) -> Config {
        let mut config = Config::default();
        config.redis.url = Some(SecretText::new(url.to_owned()));
        config
    }

    fn open(config: &Config) -> RedisWay {
        RedisWay::open(config, &Log::new(Level::Info, true, &[])).unwrap().unwrap()
    }

    #[test]
    fn every_setting_reaches_the_link() {
        let mut config = config("redis://u:p@127.0.0.1:7000/3");
        config.redis.deadline = DurationMs(35);
        config.redis.window = 77;
        config.redis.breaker_failures = 9;
        config.redis.breaker_open = DurationMs(110);
        config.redis.breaker_open_max = DurationMs(220);
        config.redis.retry_budget = 4;
        let way = open(&config);
        let settings = way.of_shard(ShardId(1), 2);
        assert_eq!(
            settings.breaker,
            BreakerSettings { failures: 9, open_ms: 110, open_max_ms: 220 }
        );
        assert_eq!((settings.deadline_ms, settings.window, settings.database), (35, 77, 3));
        assert_eq!((settings.retry_budget_percent, settings.user.as_deref()), (4, Some("u")));
        assert_eq!(
            settings.password.map(|secret| secret.expose().to_owned()),
            Some("p".to_owned())
        );
        assert!(settings.name.ends_with("-1") && !settings.name.contains(' '));
        let address = Address::Tcp("127.0.0.1:7000".parse().unwrap());
        assert_eq!(*way.endpoint.addresses(), [address]);
    }

    #[test]
    fn each_partition_is_heard_by_one_shard() {
        let way = open(&config("redis+unix:///run/redis.sock"));
        assert_eq!(*way.endpoint.addresses(), [Address::Unix("/run/redis.sock".into())]);
        for shards in [1, 3, 256] {
            let mut heard: Vec<Partition> = (0..shards)
                .flat_map(|shard| way.of_shard(ShardId(shard), shards).subscriptions)
                .collect();
            heard.sort_unstable();
            assert_eq!(heard, (0..PARTITIONS).map(Partition).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_url_is_no_redis_and_a_bad_one_is_refused_unsaid() {
        assert!(address_of(&Config::default()).unwrap().is_none());
        let failure = address_of(&config("redis://:canary@host:port")).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        let text = failure.to_string();
        assert!(text.starts_with("redis.url: ") && !text.contains("canary"), "{text}");
    }
}
