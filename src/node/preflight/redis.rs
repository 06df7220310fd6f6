//! A look at Redis before the node serves: is it there, does it let us in, is it new enough, and
//! does it sync as `ack` promises. A node serves without Redis, degraded; it does not start on a
//! promise that Redis is not set up to keep.

use crate::node::failure::Failure;
use crate::node::redis::needs_sync;
use nudged_base::telemetry::log::{Log, Message};
use nudged_config::Config;
use nudged_redis::greeting;
use nudged_redis::refusal::RedisRefusal;
use nudged_redis::request::{OwnedReply, RedisError};
use nudged_runtime::redis_client::BlockingRedis;
use nudged_runtime::threads::log_writer;

/// What a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisPreflight {
    /// It answers.
    Usable,
    /// It answers, and can't be used as it is set up: the keeper says why, as long as it lasts.
    Unusable,
    /// It does not answer.
    Unreachable,
}

/// Says where Redis is away; tells what was found.
///
/// # Errors
/// With `ack = "synced"` and `queue = "redis"` where Redis answers and does not sync each write
/// before it answers: exit code 3.
pub fn check(
    redis: &mut BlockingRedis,
    config: &Config,
    log: &Log,
) -> Result<RedisPreflight, Failure> {
    let is_usable = match redis.ask(&[b"INFO", b"server"]) {
        Ok(OwnedReply::Text(info)) => greeting::run_of_info(&info).is_ok(),
        Ok(_) => false,
        Err(RedisError::Refused { kind: RedisRefusal::Denied, .. }) => false,
        // Selecting its database is all of the greeting that is refused so.
        Err(RedisError::Refused { text, .. }) if text.contains("DB index") => false,
        Err(error) => {
            log_writer::tell(log, Message::RedisAway, &error.to_string());
            return Ok(RedisPreflight::Unreachable);
        }
    };
    if !is_usable {
        return Ok(RedisPreflight::Unusable);
    }
    // A server that does not say is not believed.
    let syncs_always = |redis: &mut BlockingRedis| {
        let asked = redis.ask(&[b"CONFIG", b"GET", b"appendonly", b"appendfsync"]);
        asked.ok().and_then(|config| config.syncs_always()) == Some(true)
    };
    if needs_sync(config) && !syncs_always(redis) {
        return Err(Failure::RedisNotSynced);
    }
    Ok(RedisPreflight::Usable)
}
