//! Property: what nodes share through the database is the same for all of them.

use nudged_base::time::WallMs;
use nudged_store::StoredKey;

use super::{Node, database, shared};

#[test]
fn of_the_keys_of_nodes_that_start_at_once_one_is_everybodys() {
    let name = database();
    let url = shared().url_of(&name);
    let keys = std::thread::scope(|scope| {
        let start = |id: u8| {
            let url = &url;
            scope.spawn(move || {
                let mut node = Node::start(url);
                let created_at = WallMs(i64::from(id));
                let key = StoredKey { id: id.into(), created_at, secret: [id; 32], moved_at: None };
                node.store.shared().unwrap().signing_keys(&key).unwrap();
                node.store.shared().unwrap().signing_keys(&key).unwrap()
            })
        };
        let threads: Vec<_> = (1..5).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(keys.iter().all(|of_node| *of_node == keys[0] && !of_node.is_empty()), "{keys:?}");
}

#[test]
fn epochs_rise_for_all_and_over_what_was_seen() {
    let name = database();
    let url = shared().url_of(&name);
    let (mut one, mut other) = (Node::start(&url), Node::start(&url));
    let next = |node: &mut Node, least| node.store.shared().unwrap().next_epoch(least).unwrap();
    assert_eq!(next(&mut one, 0), 1);
    assert_eq!(next(&mut other, 0), 2);
    assert_eq!(next(&mut one, 40), 40);
    assert_eq!(next(&mut other, 7), 41);
}

#[test]
fn nodes_are_alive_while_they_say_so() {
    let name = database();
    let mut node = Node::start(&shared().url_of(&name));
    let stream = node.stream;
    let store = node.store.shared().unwrap();
    store.heartbeat(stream, "it's one").unwrap();
    store.heartbeat(stream, "it's one").unwrap();
    let live = store.live_nodes(10_000).unwrap();
    assert_eq!(live.len(), 1);
    assert_eq!((live[0].stream, live[0].name.as_str()), (stream, "it's one"));
    assert!(live[0].silent_ms < 10_000);
    shared().run_sql(&format!("UPDATE {name}.nodes SET seen_at = seen_at - 60000"));
    assert!(store.live_nodes(10_000).unwrap().is_empty());
    assert_eq!(store.live_nodes(120_000).unwrap().len(), 1);
    // The server's clock went back by a day, as at a failover; who lives says so again.
    shared().run_sql(&format!("UPDATE {name}.nodes SET seen_at = seen_at + 86400000"));
    assert!(store.live_nodes(120_000).unwrap().is_empty());
    store.heartbeat(stream, "it's one").unwrap();
    assert_eq!(store.live_nodes(10_000).unwrap().len(), 1);
}
