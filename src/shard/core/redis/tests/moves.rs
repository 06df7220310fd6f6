//! What may happen to nodes, to Redis and between them, in any order.

use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
pub(super) enum Move {
    Decide(usize, usize),
    Click(usize, usize),
    Execute(usize),
    Deliver(usize),
    Acknowledge(usize),
    Break(usize),
    Down(usize),
    Crash(usize),
    Erase(usize, usize),
    Pass(u64),
}

pub(super) fn moves() -> impl Strategy<Value = Vec<Move>> {
    let node = 0..3usize;
    let one = prop_oneof![
        4 => (node.clone(), 0..2usize).prop_map(|(node, user)| Move::Decide(node, user)),
        2 => (node.clone(), 0..8usize).prop_map(|(node, token)| Move::Click(node, token)),
        8 => node.clone().prop_map(Move::Execute),
        8 => node.clone().prop_map(Move::Deliver),
        3 => node.clone().prop_map(Move::Acknowledge),
        1 => node.clone().prop_map(Move::Break),
        1 => node.clone().prop_map(Move::Down),
        1 => node.clone().prop_map(Move::Crash),
        1 => (node, 0..2usize).prop_map(|(node, user)| Move::Erase(node, user)),
        3 => (1..15u64).prop_map(Move::Pass),
    ];
    prop::collection::vec(one, 1..120)
}
