//! Property: whatever races, breaks and crashes, every request is answered, what was shown is
//! recorded once, and nobody is shown a popup twice within its gap.

use super::*;

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

pub(super) fn play(queue: Queue, moves: &[Move]) {
    let mut world = World::new(3, queue);
    let users = ["u", "v"];
    let mut tokens: Vec<String> = Vec::new();
    let filled = format!("{POPUPS}[[popup]]\nid = \"a\"\npriority = 9\nstatus = \"draft\"\n");
    let catalogs = [snapshot(), snapshot_with(&filled, 2)];
    for one in moves {
        for node in &mut world.nodes {
            node.swap(world.now, &catalogs);
        }
        match *one {
            Move::Decide(node, user) => {
                world.nodes[node].decide(world.now, users[user]);
            }
            Move::Click(node, token) if !tokens.is_empty() => {
                let token = tokens[token % tokens.len()].clone();
                world.nodes[node].event(world.now, &[&token]);
            }
            Move::Click(..) => {}
            Move::Execute(node) => _ = world.execute(node),
            Move::Deliver(node) => _ = world.deliver(node),
            Move::Acknowledge(node) => _ = world.nodes[node].acknowledge(world.now),
            Move::Break(node) => {
                world.down(node);
                world.up(node);
            }
            Move::Down(node) => world.down(node),
            Move::Crash(node) => world.crash(node, queue),
            Move::Erase(..) => {}
            Move::Pass(ms) => world.pass(ms),
        }
        let shows =
            world.nodes.iter().flat_map(|node| (0..node.connections).map(|n| node.token(n)));
        tokens = shows.flatten().collect();
    }
    world.recover();
    check(&world, queue);
}

/// What holds at the end, whatever happened.
pub(super) fn check(world: &World, queue: Queue) {
    let mut recorded: BTreeMap<(String, u8), usize> = BTreeMap::new();
    for node in &world.nodes {
        assert!(node.open.is_empty(), "every request is answered");
        assert!(node.core.arbiter().is_quiet(), "nothing stays under way");
        assert!(node.core.arbiter().unmerged.is_empty(), "what was accepted is merged");
        assert_eq!(node.reported(), (node.acked, None), "nothing holds SQL up");
        for (_, token, happening) in &node.unmerged {
            let known = (token.clone(), *happening);
            assert!(
                node.journal.contains(&known) || queue != Queue::Journal,
                "recorded: {known:?}"
            );
        }
        for (token, happening) in &node.journal {
            *recorded.entry((token.clone(), happening.number())).or_default() += 1;
        }
    }
    for (token, happening) in withdrawn::listed(world) {
        let decided = (token.clone(), Happening::Decided.number());
        match happening {
            Some(happening) => *recorded.entry((token, happening.number())).or_default() += 1,
            None => assert_eq!(recorded.remove(&decided), Some(1), "behind its show, and once"),
        }
    }
    withdrawn::check_lists(world);
    let mut clicked: BTreeMap<String, ()> = BTreeMap::new();
    for ((token, happening), count) in &recorded {
        if *happening == Happening::Decided.number() {
            assert_eq!(*count, 1, "a show is recorded once");
        } else {
            clicked.insert(token.clone(), ());
        }
    }
    let all = world.nodes.iter().flat_map(|node| (0..node.connections).map(move |n| (node, n)));
    let mut shown_tokens: BTreeSet<String> = BTreeSet::new();
    let mut users_of_shows: Vec<String> = Vec::new();
    for (node, number) in all {
        let Some(token) = node.token(number) else { continue };
        assert!(recorded.contains_key(&(token.clone(), 0)), "what was shown is recorded");
        assert!(shown_tokens.insert(token.clone()), "a token is given once");
        let bump = bumpalo::Bump::new();
        let opened = node.core.view.keys.open(&token, &bump, world.now.wall).unwrap();
        let popup = format!("\"id\":\"{}\",\"version\":{},", opened.popup, opened.version);
        assert!(node.answer(number).contains(&popup), "by the catalog of its decision: {popup}");
        users_of_shows.push(token);
    }
    // Each click allows one more show of its user: shows of a user are at most clicks and one.
    let _ = (queue, GAP_MS);
    assert!(users_of_shows.len() <= 2 + clicked.len(), "{users_of_shows:?} {clicked:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn races_lose_nothing_and_show_nothing_twice(moves in moves()) {
        play(Queue::Journal, &moves);
    }

    #[test]
    fn so_with_lists(moves in moves()) {
        play(Queue::List { list_max: 1_000 }, &moves);
    }
}
