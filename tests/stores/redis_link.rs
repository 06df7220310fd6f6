//! Property: a link over a real connection gives each command its own reply, and comes back by
//! itself from whatever happens to the server.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::ToSocketAddrs as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nudged_base::ids::{Partition, Revision};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::time::{MonoNs, WallMs};
use nudged_config::SecretText;
use nudged_redis::address::LinkAddress;
use nudged_redis::command::{
    CommandFailure, Commit, CommitVerdict, Records, RedisCommand, Reply, RequestId, UserValue,
};
use nudged_redis::link::{
    Incompatible, Link, LinkEvent, LinkRequest, LinkSettings, NotSent, RedisServer,
};

use super::support::redis::Redis;
use nudged_runtime::stream::BlockingStream;

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one read waits.
const READ_MS: u64 = 1;

/// A link with its socket.
struct Driver {
    link: Link,
    address: LinkAddress,
    stream: Option<BlockingStream>,
    begun: Instant,
    output: Vec<u8>,
    counters: Arc<ShardCounters>,
    up: Option<RedisServer>,
    unfit: Vec<Incompatible>,
    denied: u32,
    changed: Vec<String>,
    replies: HashMap<u64, (bool, Result<Reply, CommandFailure>)>,
}

impl Driver {
    fn new(url: &str, change: impl FnOnce(&mut LinkSettings)) -> Driver {
        let (address, mut settings) = LinkSettings::of_url(url).unwrap();
        change(&mut settings);
        let counters = Arc::<ShardCounters>::default();
        Driver {
            link: Link::new(Arc::new(settings), Arc::clone(&counters), 11),
            counters,
            address,
            stream: None,
            begun: Instant::now(),
            output: Vec::new(),
            up: None,
            unfit: Vec::new(),
            denied: 0,
            changed: Vec::new(),
            replies: HashMap::new(),
        }
    }

    /// A link with time enough for a slow machine.
    fn patient(redis: &Redis) -> Driver {
        Driver::new(&redis.url(), |settings| settings.deadline_ms = 5_000)
    }

    fn now(&self) -> MonoNs {
        MonoNs(u64::try_from(self.begun.elapsed().as_nanos()).unwrap())
    }

    fn turn(&mut self) {
        self.link.tick(self.now());
        while let Some(wish) = self.link.wish() {
            self.stream = None;
            if wish == LinkRequest::Connect {
                self.stream = connect(&self.address);
                match self.stream {
                    Some(_) => self.link.connected(self.now()),
                    None => self.link.broken(self.now()),
                }
            }
        }
        self.output.clear();
        self.link.take_output(&mut self.output);
        let mut piece = [0; 4_096];
        let mut is_lost = false;
        if let Some(stream) = &mut self.stream {
            is_lost = stream.write_all(&self.output).is_err();
            match stream.read(&mut piece) {
                Ok(0) => is_lost = true,
                Ok(length) => {
                    let now = MonoNs(u64::try_from(self.begun.elapsed().as_nanos()).unwrap());
                    self.link.received(now, &piece[..length]);
                }
                Err(error) => {
                    let kinds = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
                    is_lost |= !kinds.contains(&error.kind());
                }
            }
        }
        if is_lost {
            self.stream = None;
            self.link.broken(self.now());
        }
        while let Some(event) = self.link.next_event() {
            match event {
                LinkEvent::Up(server) => self.up = Some(server),
                LinkEvent::Down => self.up = None,
                LinkEvent::Incompatible(unfit) => self.unfit.push(unfit),
                LinkEvent::Denied => self.denied += 1,
                LinkEvent::Expired { .. } => {}
                LinkEvent::Reply { ticket, late, result } => {
                    assert!(self.replies.insert(ticket, (late, result)).is_none(), "twice");
                }
                LinkEvent::Changed { user, .. } => self.changed.push(user.into()),
            }
        }
    }

    fn until(&mut self, what: &str, mut is_reached: impl FnMut(&Driver) -> bool) -> Duration {
        let begun = Instant::now();
        while !is_reached(self) {
            assert!(begun.elapsed() < PATIENCE, "{what} in time");
            self.turn();
        }
        begun.elapsed()
    }

    fn until_open(&mut self) -> Duration {
        self.until("open", |driver| driver.link.is_open(driver.now()))
    }

    /// Asks for the meta of the partition of this number.
    fn ask(&mut self, ticket: u64) -> Result<(), NotSent> {
        let partition = Partition(u16::try_from(ticket % 1_024).unwrap());
        self.link.send(self.now(), ticket, &RedisCommand::Meta { partition })
    }

    /// Asks until one is answered well and in time; gives how long that took.
    fn until_served(&mut self, first: u64) -> Duration {
        let mut ticket = first;
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "served in time");
            if self.ask(ticket).is_ok() {
                self.until("an outcome", |driver| driver.replies.contains_key(&ticket));
                if matches!(self.replies[&ticket], (false, Ok(_))) {
                    return begun.elapsed();
                }
                ticket += 1;
            }
            self.turn();
        }
    }
}

fn connect(address: &LinkAddress) -> Option<BlockingStream> {
    let stream = match address {
        LinkAddress::Tcp { host, port } => {
            let mut found = (host.as_str(), *port).to_socket_addrs().ok()?;
            BlockingStream::connect_tcp(&found.next()?, PATIENCE)
        }
        LinkAddress::Unix(path) => BlockingStream::connect_unix(path, PATIENCE),
    };
    let stream = stream.ok()?;
    stream.set_read_timeout(Duration::from_millis(READ_MS)).unwrap();
    Some(stream)
}

/// Gives each partition a counter that is its number.
fn number_partitions(redis: &Redis) {
    for partition in 0..1_024 {
        let key = format!("nudged:{{p{partition}}}:m");
        redis.ask(&[b"HSET", key.as_bytes(), b"e", b"1", b"c", partition.to_string().as_bytes()]);
    }
}

#[test]
fn a_thousand_commands_in_flight_get_their_own_replies() {
    let redis = Redis::start();
    number_partitions(&redis);
    let mut driver = Driver::patient(&redis);
    driver.until_open();
    assert!(driver.up.is_some_and(|server| server.resp3 && server.syncs_always == Some(true)));
    for ticket in 0..1_024 {
        driver.ask(ticket).unwrap();
        // The scripts are lost in the middle of it.
        if ticket == 512 {
            driver.turn();
            redis.ask(&[b"SCRIPT", b"FLUSH"]);
        }
    }
    assert_eq!(driver.ask(1_024).is_err(), driver.link.room() == 0);
    driver.until("all", |driver| driver.replies.len() >= 1_024);
    for ticket in 0..1_024 {
        match &driver.replies[&ticket] {
            (false, Ok(Reply::Meta(meta))) => assert_eq!(meta.counter, ticket),
            other => panic!("{ticket}: {other:?}"),
        }
    }
    assert!(driver.counters.redis_link_noscript.get() > 0);
}

#[test]
fn a_killed_server_is_found_again() {
    let mut redis = Redis::start();
    let mut driver = Driver::patient(&redis);
    driver.until_open();
    let run = driver.up.unwrap().run;
    driver.until_served(1);
    redis.kill();
    driver.until("down", |driver| driver.up.is_none());
    redis.restart();
    driver.until("up", |driver| driver.up.is_some());
    assert_ne!(driver.up.unwrap().run, run, "another run of it");
    driver.until_served(1_000);
}

#[test]
fn a_frozen_server_is_left_and_serves_within_a_second_of_its_return() {
    let redis = Redis::start();
    let mut driver = Driver::new(&redis.url(), |_| {});
    driver.until_open();
    driver.until_served(1);
    redis.freeze();
    let _ = driver.ask(500);
    driver.until("down", |driver| driver.up.is_none());
    assert!(matches!(driver.replies[&500], (true, Err(CommandFailure::Unknown))));
    let frozen = Instant::now();
    driver.until("a while", |_| frozen.elapsed() > Duration::from_millis(1_500));
    redis.thaw();
    let served = driver.until_served(1_000);
    assert!(served < Duration::from_secs(1), "{served:?}");
    assert!(driver.counters.redis_link_reconnects.get() < 10, "no storm");
}

#[test]
fn a_killed_connection_is_replaced_and_its_commands_are_answered() {
    let redis = Redis::start();
    let mut driver = Driver::new(&redis.url(), |settings| {
        settings.deadline_ms = 5_000;
        settings.retry_budget_percent = 100;
    });
    driver.until_open();
    let steady = Instant::now();
    driver.until("steady", |_| steady.elapsed() > Duration::from_millis(1_050));
    for ticket in 0..8 {
        driver.ask(ticket).unwrap();
    }
    redis.ask(&[b"CLIENT", b"KILL", b"TYPE", b"normal"]);
    driver.until("all", |driver| driver.replies.len() == 8);
    assert!(driver.replies.values().all(|reply| matches!(reply, (false, Ok(_)))));
    assert_eq!(driver.counters.redis_link_retries.get(), 8);
}

#[test]
fn a_wrong_password_is_unfit_and_tried_again_slowly() {
    let redis = Redis::start_with(&["--save", "", "--requirepass", "right"]);
    for password in [None, Some("wrong")] {
        let mut driver = Driver::new(&redis.url(), |settings| {
            settings.password = password.map(|text| SecretText::new(text.to_owned()));
        });
        let begun = Instant::now();
        driver.until("tried", |_| begun.elapsed() > Duration::from_millis(500));
        assert_eq!(driver.unfit, [Incompatible::NotLetIn]);
    }
    let mut driver = Driver::new(&redis.url().replace("//", "//:right@"), |_| {});
    driver.until_open();
}

#[test]
fn a_user_of_its_own_and_a_unix_socket_serve() {
    let redis = Redis::start();
    let rules: [&[u8]; 7] = [b"ACL", b"SETUSER", b"app", b"on", b">pw", b"~nudged:*", b"&nudged:*"];
    let commands: [&[u8]; 4] = [b"+@all", b"-@dangerous", b"+info", b"+config|get"];
    assert_eq!(redis.ask(&[&rules[..], &commands[..]].concat()), b"+OK\r\n");
    let url = format!("redis+unix://app:pw@{}", redis.socket().display());
    let mut driver = Driver::new(&url, |settings| {
        settings.deadline_ms = 5_000;
        settings.subscriptions = (0..1_024).map(Partition).collect();
    });
    driver.until_open();
    assert!(driver.up.is_some_and(|server| server.subscribed && server.syncs_always.is_some()));
    driver.until_served(1);
    redis.ask(&[b"PUBLISH", b"nudged:changed:1023", b"\0\0\0\x01\0\0\0\0\0\0\0\x02somebody"]);
    driver.until("told", |driver| !driver.changed.is_empty());
    assert_eq!(driver.changed, ["somebody"]);
}

#[test]
fn a_server_without_the_new_protocol_serves_without_a_subscription() {
    let redis = Redis::start_with(&["--save", "", "--rename-command", "HELLO", ""]);
    let mut driver = Driver::new(&redis.url(), |settings| {
        settings.deadline_ms = 5_000;
        settings.subscriptions = vec![Partition(1)];
    });
    driver.until_open();
    assert!(driver.up.is_some_and(|server| !server.resp3 && !server.subscribed));
    driver.until_served(1);
}

#[test]
fn a_commit_is_read_back_by_every_command() {
    let redis = Redis::start();
    number_partitions(&redis);
    let mut driver = Driver::patient(&redis);
    driver.until_open();
    let partition = Partition(17);
    let (user, state) = ("user", b"state".as_slice());
    let revision = Revision { epoch: 1, counter: 1 };
    let read = RedisCommand::Read { partition, user };
    driver.link.send(driver.now(), 1, &read).unwrap();
    driver.until("a reply", |driver| driver.replies.contains_key(&1));
    let Ok(Reply::Value { meta, value: None }) = driver.replies[&1].1 else { panic!("no user") };
    // Two records, framed as the journal does; the script does not look into them.
    let framed = [&[30, 0][..], &[7; 30], &[31, 0], &[8; 31]].concat();
    let commit = Commit {
        partition,
        user,
        base: None,
        request: RequestId(9),
        now: meta.at,
        valid_until: WallMs(meta.at.0 + 60_000),
        revision,
        state,
        ttl_ms: 0,
        publish: true,
        records: Records::List { framed: &framed, list_max: 2 },
    };
    let next = Revision { counter: 2, ..revision };
    let other = Commit { request: RequestId(10), records: Records::Journal { count: 1 }, ..commit };
    let then = Commit { base: Some(revision), revision: next, ..other };
    let fill = RedisCommand::Fill { partition, user, revision, state: b"older", ttl_ms: 0 };
    let commits = [commit, commit, other, then].map(RedisCommand::Commit);
    for (ticket, command) in (2..).zip(commits.iter().chain([&read, &fill])) {
        driver.link.send(driver.now(), ticket, command).unwrap();
        // Of two in flight either may be executed first, where scripts are missing.
        driver.until("a reply", |driver| driver.replies.contains_key(&ticket));
    }
    let held = |revision| Some(UserValue { revision, state: state.to_vec() });
    for (ticket, wanted, standing, counter) in [
        (2, CommitVerdict::Done, None, 19),
        (3, CommitVerdict::Done, None, 19),
        (4, CommitVerdict::Moved, held(revision), 19),
        (5, CommitVerdict::Done, None, 20),
    ] {
        match &driver.replies[&ticket].1 {
            Ok(Reply::Commit { meta, verdict, value }) => {
                assert_eq!((*verdict, value, meta.counter), (wanted, &standing, counter));
            }
            reply => panic!("{ticket}: {reply:?}"),
        }
    }
    for ticket in [6, 7] {
        match &driver.replies[&ticket].1 {
            Ok(Reply::Value { value, .. }) => assert_eq!(value, &held(next)),
            reply => panic!("{ticket}: {reply:?}"),
        }
    }
    assert_eq!(redis.ask(&[b"LLEN", b"nudged:{p17}:q"]), b":2\r\n");
}
