//! Property: a request counts once against its user's rate, however often it has to run.

use super::*;
use crate::users::rates::UserRates;
use nudged_base::rate::{Rate, RateLimit};

const ALWAYS: &str = "[[popup]]\nid = \"p\"\nafter_shown = \"0s\"\nafter_clicked = \"0s\"\n";

/// Nodes that let each user ask four times at once, and then once a minute.
fn rated_world(nodes: u64) -> World {
    let mut world = World::new(nodes, RecordQueue::Journal);
    let limit = RateLimit::new(Rate { events: 1, per_s: 60 }, 4);
    let now = world.now;
    for node in &mut world.nodes {
        node.core.users.rates = UserRates::new(Some(limit), 7);
        node.swap(now, &[snapshot_of(ALWAYS), snapshot_of(ALWAYS)]);
    }
    world
}

fn assert_limited(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(answer.contains("\r\nRetry-After: 60\r\n"), "{answer}");
}

#[test]
fn what_waits_for_redis_counts_once() {
    let mut world = rated_world(1);
    let first = world.decide(0, "u");
    assert!(shown(world.nodes[0].answer(first)), "{}", world.nodes[0].answer(first));
    let token = world.nodes[0].token(first).unwrap();
    for _ in 0..3 {
        let number = world.nodes[0].event(world.now, &[&token]);
        world.settle();
        let answer = world.nodes[0].answer(number);
        assert!(
            answer.starts_with("HTTP/1.1 202") && answer.contains("\"rejected\":[]"),
            "{answer}"
        );
    }
    for tokens in [&[&*token][..], &[&token, &token]] {
        let number = world.nodes[0].event(world.now, tokens);
        world.settle();
        assert_limited(world.nodes[0].answer(number));
    }
    let decided = world.decide(0, "u");
    assert_limited(world.nodes[0].answer(decided));
}

#[test]
fn so_does_what_another_node_was_ahead_of() {
    let mut world = rated_world(2);
    let first = world.decide(0, "u");
    let token = world.nodes[0].token(first).unwrap();
    world.decide(1, "u");
    // Both change the same state: one of them runs again.
    let number = world.nodes[0].event(world.now, &[&token, &token]);
    world.nodes[1].decide(world.now, "u");
    while world.execute(1) {}
    world.settle();
    assert!(world.nodes[0].answer(number).contains("\"rejected\":[]"));
    let last = world.decide(0, "u");
    assert!(shown(world.nodes[0].answer(last)), "the fourth: {}", world.nodes[0].answer(last));
    let over = world.decide(0, "u");
    assert_limited(world.nodes[0].answer(over));
}

#[test]
fn of_several_users_each_has_counts_of_its_own() {
    let mut world = rated_world(1);
    let tokens = ["a", "b"].map(|user| {
        let number = world.decide(0, user);
        world.nodes[0].token(number).unwrap()
    });
    let mut all: Vec<&str> = [&*tokens[0]; 3].into_iter().chain([&*tokens[1]; 3]).collect();
    let number = world.nodes[0].event(world.now, &all);
    world.settle();
    let answer = world.nodes[0].answer(number);
    assert!(answer.contains("\"rejected\":[]"), "{answer}");
    all.truncate(4);
    let number = world.nodes[0].event(world.now, &all);
    world.settle();
    assert_limited(world.nodes[0].answer(number));
}
