//! Redis as an arbiter of users' states: is it there, does it let us do what a node does, does it
//! keep what it is told, and how fast does it answer. Asks; `judge` decides on what was answered.

use std::time::{Duration, Instant};

use super::host::{quantiles, size_of, time_of};
use super::report::{Concern, Diagnosis};
use crate::node::redis::address_of;
use nudged_background::keeper::rights::{CHANNELS, Missing, Trial};
use nudged_base::limits::{CLOCK_APART_MS, DOCTOR_ANSWER_MS};
use nudged_config::{AckMode, Config, QueueMode};
use nudged_redis::address::LinkAddress;
use nudged_redis::greeting::{self, info_field};
use nudged_redis::link::LinkSettings;
use nudged_redis::refusal::RedisRefusal;
use nudged_redis::request::{OwnedReply, RedisError};
use nudged_runtime::clocks;
use nudged_runtime::redis_client::BlockingRedis;

pub(super) const REDIS: Concern =
    Concern { name: "redis", why: "while it is away, on_failure of each popup decides" };
const VERSION: Concern =
    Concern { name: "redis_version", why: "scripts and rights are those of Redis 7.0 and newer" };
const ROLE: Concern =
    Concern { name: "redis_role", why: "a replica takes no commits: every decision degrades" };
const POLICY: Concern = Concern {
    name: "redis_maxmemory_policy",
    why: "a user that is evicted counts as new until SQL is asked: popups may be shown twice",
};
const MEMORY: Concern =
    Concern { name: "redis_memory", why: "at maxmemory commits are refused and answers degrade" };
const PERSISTENCE: Concern = Concern {
    name: "redis_persistence",
    why: "without its log a restart is an empty Redis: it degrades until filled from MySQL, and \
          what queue = redis had in lists is lost",
};
const RIGHTS: Concern =
    Concern { name: "redis_rights", why: "a node that is refused a right is not ready" };
const LATENCY: Concern = Concern {
    name: "redis_latency",
    why: "each show is a round trip, given up after redis.deadline",
};
const CLOCK: Concern = Concern {
    name: "redis_clock",
    why: "with Redis its clock is the time of decisions: a minute apart is an alarm",
};

/// It connects, and gives each answer, within this.
const ASK_TIMEOUT: Duration = Duration::from_millis(DOCTOR_ANSWER_MS);
/// Round trips that are timed, and how long at most.
const ROUND_TRIPS: usize = 50;
const ROUND_TRIPS_WITHIN: Duration = Duration::from_millis(500);

/// What Redis has said.
#[derive(Debug)]
struct RedisFacts {
    /// The text of INFO.
    info: Vec<u8>,
    /// appendonly and appendfsync; `None` where it does not say.
    synced: Option<(String, String)>,
    missing: Missing,
    round_trips_us: Vec<u64>,
    /// How far its clock is ahead of this host's, in milliseconds.
    ahead_ms: Option<i64>,
}

/// Asks the Redis of a configuration; nothing without one.
pub(super) fn check(config: &Config) -> Vec<Diagnosis> {
    let Ok(Some((address, settings))) = address_of(config) else { return Vec::new() };
    let user = settings.user.clone().unwrap_or_else(|| "default".to_owned());
    let settings = LinkSettings { name: "nudged-doctor".to_owned(), ..settings };
    let mut client = BlockingRedis::new(address.clone(), settings, ASK_TIMEOUT);
    match ask(&mut client, config) {
        Ok(facts) => judge(&facts, config, &RedisCli { address: &address, user: &user }),
        Err(error) => {
            let client = RedisCli { address: &address, user: &user };
            let mend = match &error {
                RedisError::Refused { kind: RedisRefusal::Denied, .. } => client.says(&format!(
                    "ACL GETUSER {user}  # then redis.url, or vendor-config/redis/users.acl"
                )),
                _ => client.says("PING  # then redis.url, its `bind` and the firewall"),
            };
            vec![REDIS.fail(format!("{}: {error}", client.place()), mend)]
        }
    }
}

/// What shows a person whether it answers at all.
pub(super) fn reach(config: &Config) -> String {
    let Ok(Some((address, _))) = address_of(config) else { return "nudged check".to_owned() };
    RedisCli { address: &address, user: "" }.says("PING  # it takes connections and says nothing")
}

fn ask(client: &mut BlockingRedis, config: &Config) -> Result<RedisFacts, RedisError> {
    let info = match client.ask(&[b"INFO"])? {
        OwnedReply::Text(info) => info,
        _ => Vec::new(),
    };
    let synced = client.ask(&[b"CONFIG", b"GET", b"append*"]);
    let synced = synced.ok().and_then(|answer| {
        let value = |name| value_of(&answer, name);
        Some((value("appendonly")?, value("appendfsync")?))
    });
    let before = clocks::wall();
    let time = client.ask(&[b"TIME"]).ok();
    let ahead_ms = time.as_ref().and_then(milliseconds).map(|there| there - before.0);
    let mut round_trips_us = Vec::with_capacity(ROUND_TRIPS);
    let begun = Instant::now();
    while round_trips_us.len() < ROUND_TRIPS && begun.elapsed() < ROUND_TRIPS_WITHIN {
        let from = Instant::now();
        client.ask(&[b"PING"])?;
        round_trips_us.push(u64::try_from(from.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    // Last, since after what it refuses a client rests.
    let missing = missing_rights(client, config);
    Ok(RedisFacts { info, synced, missing, round_trips_us, ahead_ms })
}

/// As a node's keeper tries them: nothing is changed.
fn missing_rights(client: &mut BlockingRedis, config: &Config) -> Missing {
    let has_lists = config.queue == QueueMode::Redis;
    let trial = Trial::new(has_lists);
    let needs_config = crate::node::redis::needs_sync(config);
    let mut missing = Missing::default();
    if let Ok(answers) = client.carry_out(&trial.begin())
        && !trial.take_tried(&answers, needs_config, &mut missing)
        && let Ok(answers) = client.carry_out(&trial.by_text())
    {
        trial.take_script(answers.first(), &mut missing);
    }
    missing.take_heard(&client.fresh().subscribe(CHANNELS));
    missing
}

/// The value of a name in an answer of names and values.
fn value_of(answer: &OwnedReply, name: &str) -> Option<String> {
    let OwnedReply::List(words) = answer else { return None };
    let pair = words.chunks_exact(2).find(|pair| pair[0].text() == Some(name))?;
    Some(pair[1].text()?.to_owned())
}

/// An answer to TIME: seconds and microseconds.
fn milliseconds(answer: &OwnedReply) -> Option<i64> {
    let OwnedReply::List(words) = answer else { return None };
    let [seconds, microseconds] = words.as_slice() else { return None };
    let (seconds, microseconds): (i64, i64) = (seconds.number()?, microseconds.number()?);
    seconds.checked_mul(1_000)?.checked_add(microseconds / 1_000)
}

/// How a person reaches it.
struct RedisCli<'a> {
    address: &'a LinkAddress,
    user: &'a str,
}

impl RedisCli<'_> {
    fn place(&self) -> String {
        match self.address {
            LinkAddress::Tcp { host, port } => format!("{host}:{port}"),
            LinkAddress::Unix(path) => path.display().to_string(),
        }
    }

    fn says(&self, command: &str) -> String {
        match self.address {
            LinkAddress::Tcp { host, port } => format!("redis-cli -h {host} -p {port} {command}"),
            LinkAddress::Unix(path) => format!("redis-cli -s {} {command}", path.display()),
        }
    }

    /// A setting, until the next start of Redis; its file keeps it.
    fn sets(&self, name: &str, value: &str) -> String {
        self.says(&format!("CONFIG SET {name} {value}  # to keep: vendor-config/redis/redis.conf"))
    }
}

fn judge(facts: &RedisFacts, config: &Config, client: &RedisCli<'_>) -> Vec<Diagnosis> {
    let field = |name: &str| {
        info_field(&facts.info, name).map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let mut found = vec![REDIS.ok(format!("{} answers", client.place()))];
    let version = field("redis_version").unwrap_or_else(|| "unknown".to_owned());
    found.push(match greeting::run_of_info(&facts.info) {
        Ok(_) => VERSION.ok(version),
        Err(error) => VERSION.fail(
            format!("{version}: {error}"),
            "apt-get install -y redis-server  # 7.0 or newer: Debian 12, packages.redis.io",
        ),
    });
    found.push(match field("role") {
        role if greeting::is_replica(&facts.info) => {
            let primary = field("master_host").zip(field("master_port"));
            let primary = primary.map(|(host, port)| format!("redis://{host}:{port}"));
            let primary = primary.unwrap_or_else(|| "redis://PRIMARY".to_owned());
            let mend = format!("NUDGED_REDIS_URL={primary} nudged serve  # redis.url");
            ROLE.fail(role.unwrap_or_default(), mend)
        }
        role => ROLE.ok(role.unwrap_or_else(|| "unknown".to_owned())),
    });
    let policy = field("maxmemory_policy").unwrap_or_else(|| "unknown".to_owned());
    found.push(match greeting::evicts(&facts.info) {
        true => POLICY.fail(policy, client.sets("maxmemory-policy", "noeviction")),
        false => POLICY.ok(policy),
    });
    found.extend(memory(&facts.info, client));
    found.push(persistence(facts, config, client));
    found.push(match facts.missing.is_none() {
        true => RIGHTS.ok(format!("all that a node needs, as user {}", client.user)),
        false => {
            let rules = facts.missing.rules();
            // A shell reads & and | otherwise.
            let quoted: Vec<String> = rules.split(' ').map(|rule| format!("'{rule}'")).collect();
            let quoted = quoted.join(" ");
            let grant = client.says(&format!("ACL SETUSER {} {quoted}", client.user));
            let found = format!("user {} lacks {rules}", client.user);
            RIGHTS.fail(found, format!("{grant}  # to keep: vendor-config/redis/users.acl"))
        }
    });
    found.extend(latency(facts, config, client));
    found.extend(facts.ahead_ms.map(|ahead_ms| clock(ahead_ms, client)));
    found
}

/// Nothing where it does not say.
fn memory(info: &[u8], client: &RedisCli<'_>) -> Option<Diagnosis> {
    let number = |name: &str| -> Option<u64> {
        std::str::from_utf8(info_field(info, name)?).ok()?.trim().parse().ok()
    };
    let (used, most) = (number("used_memory")?, number("maxmemory")?);
    Some(match most {
        0 => MEMORY.ok(format!("{} used, without a bound", size_of(used))),
        most if used / 9 >= most / 10 => {
            let found = format!("{} of {} used", size_of(used), size_of(most));
            MEMORY.warn(found, client.sets("maxmemory", &most.saturating_mul(2).to_string()))
        }
        most => MEMORY.ok(format!("{} of {} used", size_of(used), size_of(most))),
    })
}

fn persistence(facts: &RedisFacts, config: &Config, client: &RedisCli<'_>) -> Diagnosis {
    let is_queue = config.queue == QueueMode::Redis;
    let needs_sync = crate::node::redis::needs_sync(config);
    let Some((only, fsync)) = &facts.synced else {
        let found = "it does not say (CONFIG GET is refused)";
        let mend = client.says(&format!("ACL SETUSER {} '+config|get'", client.user));
        // A start on such a promise is refused.
        return if needs_sync {
            PERSISTENCE.fail(found, mend)
        } else {
            PERSISTENCE.warn(found, mend)
        };
    };
    let found = format!("appendonly {only}, appendfsync {fsync}");
    let ack = if config.ack == AckMode::Synced { "synced" } else { "written" };
    let queue = if is_queue { "redis" } else { "journal" };
    let said = format!("{found}, with queue = {queue}, ack = {ack}");
    match (only.as_str(), fsync.as_str()) {
        ("yes", "always") => PERSISTENCE.ok(found),
        ("yes", _) if needs_sync => PERSISTENCE.fail(said, client.sets("appendfsync", "always")),
        ("yes", "no") => PERSISTENCE.warn(said, client.sets("appendfsync", "everysec")),
        ("yes", _) => PERSISTENCE.ok(said),
        _ if is_queue => {
            let fsync = if needs_sync { "always" } else { fsync };
            let sets = format!("CONFIG SET appendonly yes appendfsync {fsync}");
            PERSISTENCE.fail(
                said,
                client.says(&format!("{sets}  # to keep: vendor-config/redis/redis.conf")),
            )
        }
        _ => PERSISTENCE.warn(said, client.sets("appendonly", "yes")),
    }
}

/// Nothing where no round trip was timed.
fn latency(facts: &RedisFacts, config: &Config, client: &RedisCli<'_>) -> Option<Diagnosis> {
    let (middle, slow) = quantiles(facts.round_trips_us.clone())?;
    let deadline_us = config.redis.deadline.0.saturating_mul(1_000);
    let found = format!(
        "p50 {}, p99 {} of {} PINGs, deadline {}",
        time_of(middle),
        time_of(slow),
        facts.round_trips_us.len(),
        time_of(deadline_us)
    );
    let mend = client.says("LATENCY DOCTOR  # then the way between; or a longer redis.deadline");
    Some(match () {
        () if middle >= deadline_us => LATENCY.fail(found, mend),
        () if slow >= deadline_us / 2 => LATENCY.warn(found, mend),
        () => LATENCY.ok(found),
    })
}

fn clock(ahead_ms: i64, client: &RedisCli<'_>) -> Diagnosis {
    let apart = ahead_ms.unsigned_abs();
    let side = if ahead_ms < 0 { "behind" } else { "ahead of" };
    let found = format!("{} {side} this host", time_of(apart.saturating_mul(1_000)));
    match apart > CLOCK_APART_MS {
        true => CLOCK.warn(found, format!("chronyc -a makestep  # here and on {}", client.place())),
        false => CLOCK.ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::doctor::report::Condition::{self, Fail, Ok as Good, Warn};
    use nudged_base::time::DurationMs;

    const INFO: &str = "redis_version:7.2.4\r\nrun_id:abc\r\nrole:master\r\n\
         maxmemory_policy:noeviction\r\nused_memory:100000000\r\nmaxmemory:1000000000\r\n";

    fn facts(info: &str) -> RedisFacts {
        RedisFacts {
            info: info.as_bytes().to_vec(),
            synced: Some(("yes".to_owned(), "always".to_owned())),
            missing: Missing::default(),
            round_trips_us: vec![200; 50],
            ahead_ms: Some(3),
        }
    }

    fn said(facts: &RedisFacts, config: &Config) -> Vec<Diagnosis> {
        let address = LinkAddress::Tcp { host: "db".to_owned(), port: 6_379 };
        judge(facts, config, &RedisCli { address: &address, user: "nudged" })
    }

    fn of(name: &str, facts: &RedisFacts, config: &Config) -> (Condition, String) {
        let said = said(facts, config).into_iter().find(|one| one.name == name).unwrap();
        (said.status, said.mend)
    }

    #[test]
    fn a_redis_as_it_should_be_is_fine() {
        let all = said(&facts(INFO), &Config::default());
        assert!(all.iter().all(|one| one.status == Good), "{all:#?}");
        assert_eq!(all.len(), 9);
    }

    #[test]
    fn each_thing_that_is_wrong_has_its_line_and_its_command() {
        let config = Config::default();
        for (from, to, name, status, mend) in [
            ("7.2.4", "6.2.14", "redis_version", Fail, "apt-get install"),
            (
                "role:master",
                "role:slave\r\nmaster_host:p\r\nmaster_port:7",
                "redis_role",
                Fail,
                "NUDGED_REDIS_URL=redis://p:7 ",
            ),
            (
                "noeviction",
                "allkeys-lru",
                "redis_maxmemory_policy",
                Fail,
                "redis-cli -h db -p 6379 CONFIG SET maxmemory-policy noeviction",
            ),
            (
                "used_memory:1",
                "used_memory:9",
                "redis_memory",
                Warn,
                "CONFIG SET maxmemory 2000000000",
            ),
        ] {
            let found = of(name, &facts(&INFO.replace(from, to)), &config);
            assert_eq!(found.0, status, "{name}");
            assert!(found.1.contains(mend), "{found:?}");
        }
        let mut lacking = facts(INFO);
        lacking.missing.add("+publish", true);
        let found = of("redis_rights", &lacking, &config);
        assert_eq!(found.0, Fail);
        assert!(found.1.contains(" ACL SETUSER nudged '+publish'"), "{found:?}");
        let mut apart = facts(INFO);
        apart.ahead_ms = Some(-61_000);
        assert_eq!(of("redis_clock", &apart, &config).0, Warn);
    }

    #[test]
    fn persistence_is_judged_by_what_rests_on_it() {
        let mut config = Config::default();
        let status = |config: &Config, only: &str, fsync: &str| {
            let synced = Some((only.to_owned(), fsync.to_owned()));
            of("redis_persistence", &RedisFacts { synced, ..facts(INFO) }, config).0
        };
        assert_eq!(status(&config, "yes", "everysec"), Good);
        assert_eq!(status(&config, "yes", "no"), Warn);
        assert_eq!(status(&config, "no", "always"), Warn);
        config.ack = AckMode::Synced;
        assert_eq!(status(&config, "yes", "everysec"), Good, "the journal is what is synced");
        config.queue = QueueMode::Redis;
        assert_eq!(status(&config, "yes", "always"), Good);
        assert_eq!(status(&config, "yes", "everysec"), Fail);
        assert_eq!(status(&config, "no", "always"), Fail);
        let unsaid = RedisFacts { synced: None, ..facts(INFO) };
        assert_eq!(of("redis_persistence", &unsaid, &config).0, Fail);
        config.ack = AckMode::Written;
        assert_eq!(status(&config, "yes", "everysec"), Good);
        assert_eq!(status(&config, "no", "everysec"), Fail, "the list would be lost");
        assert_eq!(of("redis_persistence", &unsaid, &config).0, Warn);
    }

    #[test]
    fn latency_is_judged_by_the_deadline() {
        let mut config = Config::default();
        config.redis.deadline = DurationMs(20);
        let status = |times: Vec<u64>| {
            of("redis_latency", &RedisFacts { round_trips_us: times, ..facts(INFO) }, &config).0
        };
        assert_eq!(status(vec![9_999; 50]), Good);
        assert_eq!(status([vec![500; 20], vec![12_000; 30]].concat()), Warn);
        assert_eq!(status(vec![20_000; 50]), Fail);
    }
}
