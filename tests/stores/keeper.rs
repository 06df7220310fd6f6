//! Property: whatever Redis loses, every user whom SQL knows is in Redis again before anybody takes
//! a missing user for a new one, and it needs no hand.

use std::sync::atomic::Ordering;

use super::keeper_node::{
    Node, all_open, client, commit, config, metas, stored, until, user_state, value, write_sql,
};
use crate::support::redis::Redis;
use nudged_domain::state::user::UserState;

/// Redis that keeps nothing but what a test saves.
fn forgetful() -> Redis {
    Redis::start_with(&["--appendonly", "no", "--save", ""])
}

fn users(count: usize, epoch: u32, counter: u64) -> Vec<(String, UserState)> {
    (0..count).map(|number| (format!("user {number}"), user_state(epoch, counter))).collect()
}

fn assert_filled(redis: &Redis, users: &[(String, UserState)]) {
    for (user, state) in users {
        assert_eq!(stored(redis, user), Some(value(state)), "{user}");
    }
}

#[test]
fn an_empty_redis_beside_an_empty_database_is_open_at_once() {
    let ((config, _folder), redis) = (config(), forgetful());
    let node = Node::start(1, &redis, &config);
    let took = until("the first start", || node.is_open(&redis) && all_open(&redis));
    println!("open after {took:?}");
    assert!(metas(&redis).iter().flatten().all(|(epoch, counter, _)| (*epoch, *counter) == (1, 0)));
    assert_eq!(node.figures.rebuilds.load(Ordering::Relaxed), 1);
}

#[test]
fn a_wiped_redis_is_filled_from_sql_in_a_new_epoch() {
    let ((config, _folder), redis) = (config(), forgetful());
    let users = users(1_200, 1, 3);
    write_sql(&config, 9, &users);
    let node = Node::start(1, &redis, &config);
    until("the first start", || node.is_open(&redis) && all_open(&redis));
    assert_filled(&redis, &users);
    client(&redis).ask(&[b"FLUSHALL"]).unwrap();
    until("the rebuild", || all_open(&redis));
    assert_filled(&redis, &users);
    assert!(metas(&redis).iter().flatten().all(|(epoch, _, _)| *epoch == 2));
    until("the Redis status", || node.is_open(&redis));
}

#[test]
fn a_restart_without_a_file_and_one_with_an_older_file_are_noticed() {
    let ((config, _folder), mut redis) = (config(), forgetful());
    let node = Node::start(1, &redis, &config);
    until("the first start", || node.is_open(&redis) && all_open(&redis));
    // The file has revision 1 of everybody; Redis, the journal and SQL go on to 2.
    let (old, new) = (users(300, 1, 1), users(300, 1, 2));
    old.iter().for_each(|(user, state)| commit(&redis, user, state));
    client(&redis).ask(&[b"SAVE"]).unwrap();
    new.iter().for_each(|(user, state)| commit(&redis, user, state));
    write_sql(&config, 9, &new);
    let turned = || node.figures.rounds.load(Ordering::Relaxed);
    let before = turned();
    until("the shard and the keeper see it", || turned() > before + 12);
    redis.kill();
    redis.restart();
    until("the rebuild after an older file", || {
        metas(&redis).iter().flatten().any(|(epoch, _, _)| *epoch > 1) && all_open(&redis)
    });
    assert_filled(&redis, &new);
    // Nothing was lost of the others, so they go on where they were.
    assert!(metas(&redis).iter().flatten().any(|(epoch, _, _)| *epoch == 1));
    std::fs::remove_file(redis.folder().join("dump.rdb")).unwrap();
    redis.kill();
    redis.restart();
    until("the rebuild without a file", || all_open(&redis));
    assert_filled(&redis, &new);
    until("the Redis status", || node.is_open(&redis));
}

#[test]
fn a_rebuild_is_taken_over_in_each_of_its_phases() {
    let ((config, _folder), redis) = (config(), forgetful());
    let users = users(50, 1, 3);
    write_sql(&config, 9, &users);
    // Left by a leader that died: without its seal, sealed in another run, filling; locked or not.
    for (phase, seal, is_locked) in
        [("b", None, true), ("b", Some("7"), false), ("f", None, true), ("b", None, false)]
    {
        let mut redis_client = client(&redis);
        redis_client.ask(&[b"FLUSHALL"]).unwrap();
        for partition in 0..1_024 {
            let key = format!("nudged:{{p{partition}}}:m");
            let words: [&[u8]; 8] =
                [b"HSET", key.as_bytes(), b"e", b"5", b"c", b"0", b"s", phase.as_bytes()];
            redis_client.ask(&words).unwrap();
        }
        if let Some(run) = seal {
            let words: [&[u8]; 6] =
                [b"HSET", b"nudged:rebuild", b"epoch", b"5", b"run", run.as_bytes()];
            redis_client.ask(&words).unwrap();
        }
        if is_locked {
            let lock: [&[u8]; 5] = [b"SET", b"nudged:rebuild:lock", b"dead", b"PX", b"300"];
            redis_client.ask(&lock).unwrap();
        }
        let node = Node::start(1, &redis, &config);
        until(&format!("a rebuild left in {phase}"), || all_open(&redis));
        assert_filled(&redis, &users);
        let is_new = metas(&redis).iter().flatten().all(|(epoch, _, _)| *epoch > 5);
        assert_eq!(is_new, phase == "b", "an epoch that was not sealed is begun anew");
        node.stop();
    }
}

#[test]
fn several_keepers_at_once_come_to_one_end() {
    let ((config, _folder), redis) = (config(), forgetful());
    let users = users(200, 1, 3);
    write_sql(&config, 9, &users);
    let nodes: Vec<Node> = (1..=3).map(|number| Node::start(number, &redis, &config)).collect();
    let is_open = || nodes.iter().all(|node| node.is_open(&redis)) && all_open(&redis);
    until("the first start", is_open);
    let knows = |node: &Node| node.figures.peers.load(Ordering::Relaxed) == 2;
    until("they know each other", || nodes.iter().all(knows));
    for _ in 0..3 {
        client(&redis).ask(&[b"FLUSHALL"]).unwrap();
        let took = until("the rebuild", is_open);
        println!("open again after {took:?}");
        assert_filled(&redis, &users);
        let epochs: Vec<u32> = metas(&redis).iter().flatten().map(|(epoch, _, _)| *epoch).collect();
        assert!(epochs.iter().all(|epoch| *epoch == epochs[0]), "one of them led");
    }
    let shares: usize = nodes.iter().map(|node| node.share.begin(0).partitions.len()).sum();
    assert_eq!(shares, 1_024, "each list is one node's");
}

#[test]
fn while_redis_is_away_the_keeper_asks_it_twice_a_second_whatever_its_shards_say() {
    use nudged_base::ids::Partition;
    use nudged_base::limits::REDIS_REST_MAX_MS;
    use std::time::{Duration, Instant};

    let ((config, _folder), mut redis) = (config(), forgetful());
    let node = Node::start(1, &redis, &config);
    until("the first start", || node.is_open(&redis) && all_open(&redis));
    redis.kill();
    let failures = || node.figures.failures.load(Ordering::Relaxed);
    until("the longest rest", || failures() >= 5);
    // What a shard has to say is heard once Redis is back.
    node.redis_status.report_lost(Partition(3));
    let (before, begun) = (failures(), Instant::now());
    until("two seconds", || begun.elapsed() >= Duration::from_secs(2));
    let asked = failures() - before;
    // A rest is half of the longest at least.
    let most = 2_000 / (REDIS_REST_MAX_MS / 2) + 1;
    assert!((1..=most).contains(&asked), "{asked} rounds in two seconds");
    redis.restart();
    until("the rebuild", || node.is_open(&redis) && all_open(&redis));
}

#[test]
fn what_waits_in_lists_is_known_also_while_nobody_drains_them() {
    let ((config, _folder), redis) = (config(), forgetful());
    let node = Node::start(1, &redis, &config);
    until("the first start", || node.is_open(&redis) && all_open(&redis));
    let waiting = || node.share.metrics[0].waiting.load(Ordering::Relaxed);
    let push = |partition: u16, entries: &[&[u8]]| {
        let key = nudged_background::lists::list_key(nudged_base::ids::Partition(partition));
        let mut words: Vec<&[u8]> = vec![b"RPUSH", key.as_bytes()];
        words.extend_from_slice(entries);
        client(&redis).ask(&words).unwrap();
    };
    for (partition, wanted) in [(0, 3), (1_023, 6)] {
        push(partition, &[b"one", b"two", b"three"]);
        until("a look at the lists", || waiting() == wanted);
    }
    // Once per second, and not once per round.
    let looks = || redis.calls("llen");
    let (before, rounds) = (looks(), node.figures.rounds.load(Ordering::Relaxed));
    until("rounds", || node.figures.rounds.load(Ordering::Relaxed) >= rounds + 8);
    assert!(looks() - before <= 1_024 * 4, "{} lengths", looks() - before);
}
