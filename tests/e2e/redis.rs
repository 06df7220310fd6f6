//! Properties of several nodes with Redis as arbiter: nobody is shown a popup twice however many
//! nodes race for him (docs/guarantees.md#g3), what one node is told all nodes act on within 1 s,
//! and Redis is asked no more often than must be (docs/guarantees.md#goals-of-speed).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::client::{Client, request};
use crate::cluster::{Cluster, Plan, addresses, in_turn, stop};
use crate::harness::{Server, until_within};
use crate::support::proxy::{Proxy, Way};

/// A change of one node is acted on by all nodes within this.
const EVERYWHERE_WITHIN: Duration = Duration::from_secs(1);
/// Users that all nodes race for.
const HOT_USERS: usize = 30;
/// Popups that each of them is to see, each once.
const POPUPS: usize = 4;
/// Connections at each node.
const CLIENTS: usize = 2;

/// Shown again and again until it is left alone, then never until it is clicked: a click makes
/// nothing into something, which a node that has not heard of it can't answer.
const UNTIL_CLICKED: &str = "[[popup]]\nid = \"comeback\"\nafter_shown = \"0s\"\n\
     ignore_after = \"1ms\"\nafter_ignored = \"never\"\nafter_clicked = \"0s\"\n";

/// What is shown to one who asks for every hot user until nobody has anything left.
fn visit_all(address: SocketAddr, first: usize) -> Vec<(usize, String, String)> {
    let mut client = Client::connect(address);
    let mut shows = Vec::new();
    let mut users: Vec<usize> = (0..HOT_USERS).map(|n| (first + n) % HOT_USERS).collect();
    while !users.is_empty() {
        users.retain(|user| {
            let answer = client.decide(&format!("hot-{user}"));
            let Some(token) = answer.token() else {
                assert_eq!(answer.reason(), "gap", "{answer:?}");
                return false;
            };
            shows.push((*user, answer.popup().unwrap(), token));
            true
        });
    }
    shows
}

fn race(queue: &str, node_count: usize) {
    let popups = in_turn(POPUPS);
    let settings = format!("queue = \"{queue}\"");
    let cluster = Cluster::new(Plan { settings: &settings, ..Plan::new(&popups) });
    let nodes = cluster.start(node_count);
    let all: Vec<_> = std::thread::scope(|scope| {
        let visit = |(index, address)| scope.spawn(move || visit_all(address, index * 3));
        let addresses = addresses(&nodes).into_iter().flat_map(|one| [one; CLIENTS]);
        let visits: Vec<_> = addresses.enumerate().map(visit).collect();
        visits.into_iter().flat_map(|visit| visit.join().unwrap()).collect()
    });
    let mut counts: HashMap<(usize, &str), usize> = HashMap::new();
    for (user, popup, _) in &all {
        *counts.entry((*user, popup)).or_default() += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "shown twice within the gap: {twice:?}");
    assert_eq!(counts.len(), HOT_USERS * POPUPS, "everybody has seen everything");
    stop(nodes);
    cluster.await_events("decided", all.len());
    cluster.check_sql();
}

#[test]
fn three_nodes_race_and_everybody_sees_everything_once() {
    race("journal", 3);
}

#[test]
fn nodes_that_queue_in_redis_race_and_everybody_sees_everything_once() {
    race("redis", 2);
}

/// A user who is shown nothing by any of these nodes, each from its own copy; with the token of
/// the show before.
fn left_alone(user: &str, nodes: &[&Server]) -> String {
    let token = nodes[0].client().decide(user).token().expect("the first show");
    // Left alone for 1 ms, asked for by each.
    for node in nodes {
        let asks = until_within("nothing more to show", Duration::from_secs(2), || {
            let answer = node.client().decide(user);
            (answer.status == 204).then(|| answer.reason().to_owned())
        });
        assert_eq!(asks, "gap");
    }
    token
}

#[test]
fn an_event_posted_to_one_node_is_acted_on_by_every_node_within_a_second() {
    let cluster = Cluster::new(Plan::new(UNTIL_CLICKED));
    let nodes = cluster.start(3);
    let servers: Vec<&Server> = nodes.iter().map(|(_, server)| server).collect();
    for (index, watcher) in servers.iter().enumerate() {
        let user = format!("watched-{index}");
        // Shows that `left_alone` caused meanwhile make an older token count all the same.
        let token = left_alone(&user, &servers);
        let teller = servers[(index + 1) % servers.len()];
        let answer = teller.client().event(&token, "clicked").expect(202).json();
        assert_eq!(answer["accepted"], 1, "a token of another node: {answer}");
        let told = Instant::now();
        let mut client = watcher.client();
        until_within("the click to be known", EVERYWHERE_WITHIN, || client.decide(&user).token());
        assert!(told.elapsed() < EVERYWHERE_WITHIN, "{:?}", told.elapsed());
        let again = watcher.client().event(&token, "clicked").expect(202).json();
        assert_eq!(again["duplicate"], 1, "{again}");
    }
    stop(nodes);
    cluster.check_sql();
}

#[test]
fn a_user_erased_by_one_node_is_unknown_to_every_node_within_a_second() {
    let cluster = Cluster::new(Plan::new("[[popup]]\nid = \"once\"\nafter_shown = \"never\"\n"));
    let nodes = cluster.start(2);
    let (teller, watcher) = (&nodes[0].1, &nodes[1].1);
    let token = teller.client().decide("ann").token().expect("the first show");
    assert_eq!(watcher.client().decide("ann").reason(), "gap");
    let erased = teller.operator().ask("DELETE", "/v1/users/ann", "");
    assert!(erased.status < 300, "{erased:?}");
    let mut client = watcher.client();
    until_within("the erasure", EVERYWHERE_WITHIN, || client.decide("ann").token());
    let late = watcher.client().event(&token, "clicked").expect(202).json();
    assert_eq!(late["accepted"], 0, "a token from before the erasure: {late}");
    stop(nodes);
}

/// Commands that the shards of a node have sent to Redis: round trips. (What Redis itself counts
/// has the keeper's in it.)
fn commands(node: &Server) -> u64 {
    let metrics = node.operator().get("/metrics").expect(200).body;
    let kinds = ["reads", "commits", "fills"].map(|kind| format!("nudged_redis_{kind}_total"));
    let is_command = |line: &&str| kinds.iter().any(|kind| line.starts_with(kind));
    let lines = metrics.lines().filter(is_command);
    let counts = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    counts.sum()
}

#[test]
fn a_show_takes_two_round_trips_for_a_new_user_and_one_for_a_known_one() {
    let cluster = Cluster::new(Plan::new(&in_turn(3)));
    let nodes = cluster.start(1);
    let mut client = nodes[0].1.client();
    // The scripts are known to Redis after this.
    client.decide("warm").token().expect("a show");
    for (user, expected) in [("new", 2), ("new", 1), ("new", 1), ("other", 2)] {
        let before = commands(&nodes[0].1);
        client.decide(user).token().expect("a show");
        assert_eq!(commands(&nodes[0].1) - before, expected, "for {user}");
    }
    let before = commands(&nodes[0].1);
    assert_eq!(client.decide("new").reason(), "gap");
    assert_eq!(commands(&nodes[0].1) - before, 0, "nothing is answered from the copy");
    stop(nodes);
}

#[test]
fn a_user_whom_redis_does_not_know_is_looked_up_once() {
    let popups = "[[popup]]\nid = \"beta\"\n[popup.target]\n\
                  all = [{ attr = \"beta\", op = \"eq\", value = true }]\n";
    let cluster = Cluster::new(Plan::new(popups));
    let nodes = cluster.start(1);
    let mut client = nodes[0].1.client();
    let before = commands(&nodes[0].1);
    for _ in 0..20 {
        assert_eq!(client.decide("nobody").reason(), "target");
    }
    assert!(
        commands(&nodes[0].1) - before <= 1,
        "once at most: {}",
        commands(&nodes[0].1) - before
    );
    stop(nodes);
}

#[test]
fn a_hundred_who_ask_for_one_user_at_once_cost_one_read() {
    const ASKERS: usize = 100;
    let cluster = Cluster::new(Plan::new("[[popup]]\nid = \"once\"\nafter_shown = \"never\"\n"));
    let (_setup, shower) = cluster.start(1).remove(0);
    shower.client().decide("crowd").token().expect("the show");
    let proxy = Proxy::to(cluster.redis.address());
    let setup = cluster.node_behind(&proxy);
    let node = setup.start();
    let mut askers: Vec<Client> = (0..ASKERS).map(|_| node.client()).collect();
    // The read is under way for as long as it takes all to ask.
    proxy.hold(Way::ToClient);
    let before = commands(&node);
    for asker in &mut askers {
        asker.send(&request("GET", "/v1/decide?user=crowd", ""));
    }
    let mut operator = node.operator();
    until_within("the read", Duration::from_secs(1), || (commands(&node) > before).then_some(()));
    operator.get("/v1/status").expect(200);
    proxy.heal();
    for asker in &mut askers {
        assert_eq!(asker.answer().reason(), "gap");
    }
    assert_eq!(commands(&node) - before, 1);
    node.stop();
    shower.stop();
}

#[test]
fn a_node_that_dies_leaves_its_users_to_the_others() {
    let cluster = Cluster::new(Plan::new(&in_turn(2)));
    let mut nodes = cluster.start(2);
    let mut shows = 0;
    for number in 0..20 {
        let answer = nodes[0].1.client().decide(&format!("user-{number}"));
        shows += usize::from(answer.token().is_some());
    }
    let (dead, server) = nodes.remove(0);
    server.kill();
    for number in 0..20 {
        let answer = nodes[0].1.client().decide(&format!("user-{number}"));
        assert_eq!(answer.popup().as_deref(), Some("p1"), "the second, not the first again");
        shows += 1;
    }
    assert_eq!(shows, 40);
    // What the dead node had acknowledged is in its journal.
    let again = dead.start();
    again.stop();
    stop(nodes);
    cluster.await_events("decided", shows);
    cluster.check_sql();
}
