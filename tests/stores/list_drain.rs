//! Property: with `queue = "redis"` every record of a list is in SQL exactly once, whoever drains
//! it and wherever a drain is cut off, and leaves the list only after that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nudged_background::lists::assignment::ListAssignment;
use nudged_background::lists::entries::head;
use nudged_background::lists::metrics::DrainMetrics;
use nudged_base::ids::{NodeId, Partition, Sequence, UserKey};
use nudged_base::sketch::UserSketch;
use nudged_base::telemetry::log::{Level, Log};
use nudged_base::time::WallMs;
use nudged_config::Config;
use nudged_runtime::redis_client::BlockingRedis;
use nudged_runtime::threads::list_drain::{DrainLane, DrainSetup};
use nudged_runtime::wake::Waker;
use nudged_store::{StatUsers, Store, StoreReader};

use super::keeper_node::{client, config, framed, framed_withdrawn, until, user_state};
use crate::support::mariadb;
use crate::support::redis::Redis;

struct Drainer {
    drain: DrainLane,
    share: Arc<ListAssignment>,
    figures: Arc<DrainMetrics>,
}

fn share(lanes: usize) -> Arc<ListAssignment> {
    let share = ListAssignment::new(lanes);
    share.set_partitions((0..1_024).map(Partition).collect());
    Arc::new(share)
}

fn drainer(redis: &Redis, config: &Config) -> Drainer {
    drainer_of(redis, config, &share(1), 0)
}

fn drainer_of(redis: &Redis, config: &Config, share: &Arc<ListAssignment>, lane: usize) -> Drainer {
    let share = Arc::clone(share);
    let figures = Arc::clone(&share.metrics[lane]);
    let drain = DrainLane::new(DrainSetup {
        redis: client(redis),
        writer: Arc::default(),
        store: Store::of(config).unwrap(),
        share: Arc::clone(&share),
        lane,
        // The same of all of a test, as of a node that hands over: they count in the same rows.
        node: NodeId(7),
        stop: Arc::new(AtomicBool::new(false)),
        waker: Arc::new(Waker::new().unwrap()),
        cpu: None,
        log: Log::new(Level::Error, false, &[]),
    });
    Drainer { drain, share, figures }
}

fn list_of(user: &str) -> String {
    format!("nudged:{{p{}}}:q", UserKey::of(user.as_bytes()).partition().0)
}

/// What a commit leaves in the list of its partition.
fn push(redis: &Redis, user: &str, epoch: u32, number: u64) {
    push_by(&mut client(redis), user, epoch, number);
}

fn push_by(client: &mut BlockingRedis, user: &str, epoch: u32, number: u64) {
    let mut entry = head(epoch, Sequence(number)).to_vec();
    entry.extend_from_slice(&framed(user, &user_state(epoch, number)));
    client.ask(&[b"RPUSH", list_of(user).as_bytes(), &entry]).unwrap();
}

fn number(config: &Config, query: &str) -> i64 {
    let url = config.mysql.url.as_ref().unwrap().expose().to_owned();
    mariadb::shared().number(database_of(&url), query)
}

fn database_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

fn events(config: &Config) -> i64 {
    number(config, "SELECT count(*) FROM events")
}

/// The users who were shown something, and in how many rows they are counted.
fn uniques(config: &Config) -> (UserSketch, i64) {
    let reader = StoreReader::of(config).unwrap();
    let found = reader.stat_users(None, WallMs(0), WallMs(i64::MAX)).unwrap();
    let mut all = StatUsers::default();
    found.values().for_each(|users| all.unite(users));
    let [decided, _] = all.by_kind;
    (decided.unwrap(), number(config, "SELECT COUNT(*) FROM popup_stats"))
}

fn users(count: u64) -> UserSketch {
    let names: Vec<String> = (0..count).map(|user| format!("user {user}")).collect();
    names.iter().map(String::as_str).collect()
}

fn waiting(redis: &Redis, user: &str) -> String {
    redis.line(&["LLEN", &list_of(user)])
}

#[test]
fn lists_of_many_partitions_and_epochs_go_to_sql_in_order() {
    let ((config, _folder), redis) = (config(), Redis::start());
    for number in 1..=40 {
        push(&redis, &format!("user {}", number % 7), 1, number);
    }
    // The same numbers again in a later epoch.
    for number in 1..=20 {
        push(&redis, &format!("user {}", number % 7), 2, number);
    }
    let Drainer { mut drain, share, figures } = drainer(&redis, &config);
    assert_eq!(drain.pass(), Ok(60));
    assert_eq!(drain.pass(), Ok(0));
    assert_eq!(events(&config), 60);
    assert_eq!(number(&config, "SELECT count(*) FROM users WHERE revision_epoch = 2"), 7);
    assert_eq!(figures.trimmed.load(Ordering::Relaxed), 60);
    assert_eq!(figures.transactions.load(Ordering::Relaxed), 1, "many lists, one transaction");
    assert_eq!(share.rounds(), 2);
}

#[test]
fn a_drain_that_dies_between_commit_and_trim_applies_nothing_twice() {
    let ((config, _folder), redis) = (config(), Redis::start());
    (1..=5).for_each(|number| push(&redis, "anna", 1, number));
    assert_eq!(drainer(&redis, &config).drain.pass(), Ok(5));
    // As if it had not come to the trim; more has come since.
    (1..=8).for_each(|number| push(&redis, "anna", 1, number));
    let Drainer { mut drain, figures, .. } = drainer(&redis, &config);
    assert_eq!(drain.pass(), Ok(8));
    assert_eq!(events(&config), 8);
    assert_eq!(figures.records.load(Ordering::Relaxed), 3);
    assert_eq!(number(&config, "SELECT sum(decided) FROM popup_stats"), 8);
    assert_eq!(waiting(&redis, "anna"), "0");
}

#[test]
fn a_list_that_another_node_has_claimed_is_given_up_and_nothing_is_lost() {
    let ((config, _folder), redis) = (config(), Redis::start());
    let (mut first, mut second) = (drainer(&redis, &config), drainer(&redis, &config));
    push(&redis, "anna", 1, 1);
    assert_eq!(first.drain.pass(), Ok(1));
    push(&redis, "anna", 1, 2);
    assert_eq!(second.drain.pass(), Ok(1), "it takes over");
    push(&redis, "anna", 1, 3);
    push(&redis, "berta", 1, 1);
    assert_eq!(first.drain.pass(), Ok(2));
    assert_eq!(first.figures.given_up.load(Ordering::Relaxed), 1);
    assert_eq!((events(&config), waiting(&redis, "anna")), (3, "1".to_owned()));
    assert_eq!(waiting(&redis, "berta"), "0", "the other lists go on");
    assert_eq!(second.drain.pass(), Ok(1));
    assert_eq!((events(&config), waiting(&redis, "anna")), (4, "0".to_owned()));
}

#[test]
fn two_that_drain_the_same_lists_at_once_lose_and_double_nothing() {
    let ((config, _folder), redis) = (config(), Redis::start());
    let mut drains = [drainer(&redis, &config), drainer(&redis, &config)];
    for round in 0..10_u64 {
        for number in round * 20 + 1..=round * 20 + 20 {
            push(&redis, &format!("user {}", number % 5), 1, number);
        }
        std::thread::scope(|scope| {
            for drainer in &mut drains {
                scope.spawn(|| drop(drainer.drain.pass()));
            }
        });
    }
    // The last word is a third one's.
    let mut last = drainer(&redis, &config);
    while last.drain.pass() != Ok(0) {}
    assert_eq!(events(&config), 200);
    assert_eq!(number(&config, "SELECT sum(decided) FROM popup_stats"), 200);
    // All of them count in one row, one after the other, and none takes another one's users away.
    assert_eq!(uniques(&config), (users(5), 1));
    (0..5).for_each(|user| assert_eq!(waiting(&redis, &format!("user {user}")), "0"));
}

#[test]
fn lanes_drain_beside_each_other_while_their_connections_are_killed() {
    const LANES: usize = 4;
    const USERS: u64 = 40;
    const RECORDS: u64 = 1_000;
    let ((config, _folder), redis) = (config(), Redis::start());
    let share = share(LANES);
    let mut lanes: Vec<Drainer> =
        (0..LANES).map(|lane| drainer_of(&redis, &config, &share, lane)).collect();
    let url = config.mysql.url.as_ref().unwrap().expose().to_owned();
    let own = format!("information_schema.processlist WHERE db = '{}'", database_of(&url));
    let (is_pushed, mut kills, mut pusher) = (AtomicBool::new(false), 0, client(&redis));
    std::thread::scope(|scope| {
        for lane in &mut lanes {
            let is_pushed = &is_pushed;
            scope.spawn(move || {
                // What was pushed before the last pass is in it; one that fails is made again.
                while !is_pushed.load(Ordering::Acquire) || lane.drain.pass() != Ok(0) {
                    let _ = lane.drain.pass();
                }
            });
        }
        for record in 1..=RECORDS {
            push_by(&mut pusher, &format!("user {}", record % USERS), 1, record);
            if record % 50 == 0 {
                let ids = mariadb::shared().run_sql(&format!("SELECT id FROM {own}"));
                let kill = |id: &&str| mariadb::shared().try_sql(&format!("KILL {id}")).is_ok();
                kills += ids.lines().filter(kill).count();
            }
        }
        is_pushed.store(true, Ordering::Release);
    });
    assert!(kills > 10, "only {kills} kills");
    assert_eq!(events(&config), i64::try_from(RECORDS).unwrap());
    assert_eq!(number(&config, "SELECT sum(decided) FROM popup_stats"), 1_000);
    // Users of 40 lists and more, in a row a lane.
    assert_eq!(uniques(&config), (users(USERS), i64::try_from(LANES).unwrap()));
    // The highest revision of each user stands.
    let last = "SELECT count(*) FROM users WHERE revision_counter > 960";
    assert_eq!(number(&config, last), 40);
    (0..USERS).for_each(|user| assert_eq!(waiting(&redis, &format!("user {user}")), "0"));
    let records = |lane: &Drainer| lane.figures.records.load(Ordering::Relaxed);
    assert!(lanes.iter().all(|lane| records(lane) > 0), "each has its share");
    assert!(share.rounds() > 0);
    // A lane has one connection, however many it has lost.
    let open = format!("SELECT count(*) FROM {own}");
    until("the killed ones are gone", || number(&config, &open) <= 4);
}

#[test]
fn a_show_taken_back_in_a_list_is_in_no_table_however_often_it_is_read() {
    let ((config, _folder), redis) = (config(), Redis::start());
    let back = |number: u64| {
        let mut entry = head(1, Sequence(number + 1)).to_vec();
        entry.extend_from_slice(&framed_withdrawn("anna", &user_state(1, number)));
        client(&redis).ask(&[b"RPUSH", list_of("anna").as_bytes(), &entry]).unwrap();
    };
    let counts = || {
        ["events", "user_popups", "popup_stats WHERE decided <> 0"]
            .map(|table| number(&config, &format!("SELECT count(*) FROM {table}")))
    };
    // Applied apart.
    push(&redis, "anna", 1, 1);
    assert_eq!(drainer(&redis, &config).drain.pass(), Ok(1));
    assert_eq!(counts(), [1, 1, 1]);
    back(1);
    assert_eq!(drainer(&redis, &config).drain.pass(), Ok(1));
    assert_eq!(counts(), [0, 0, 0]);
    // Read again, as if the trim had not come, and applied together with the next ones.
    push(&redis, "anna", 1, 1);
    back(1);
    push(&redis, "anna", 1, 3);
    back(3);
    assert_eq!(drainer(&redis, &config).drain.pass(), Ok(4));
    assert_eq!(counts(), [0, 0, 0]);
    assert_eq!(number(&config, "SELECT max(revision_counter) FROM users"), 4);
    assert_eq!(waiting(&redis, "anna"), "0");
}
