//! Property: in whatever order commands, replies, acknowledgements and losses come, and while the
//! catalog is swapped before each of them, nothing is lost and nothing is shown twice.

use super::*;

fn play(queue: RecordQueue, moves: &[Move]) {
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
            Move::Crash(node) => world.crash(node, queue),
            Move::Erase(..) => {}
            common => world.take(common),
        }
        let shows =
            world.nodes.iter().flat_map(|node| (0..node.connections).map(|n| node.token(n)));
        tokens = shows.flatten().collect();
    }
    world.recover();
    check(&world, queue);
}

/// What holds at the end, whatever happened.
fn check(world: &World, queue: RecordQueue) {
    let mut recorded: BTreeMap<(String, u8), usize> = BTreeMap::new();
    for node in &world.nodes {
        assert!(node.open.is_empty(), "every request is answered");
        assert!(node.core.is_quiet(), "nothing stays under way");
        assert!(node.core.arbiter().unmerged.is_empty(), "what was accepted is merged");
        assert_eq!(node.reported(), (node.acked, None), "nothing holds SQL up");
        for (_, token, kind) in &node.unmerged {
            let known = (token.clone(), *kind);
            assert!(
                node.journal.contains(&known) || queue != RecordQueue::Journal,
                "recorded: {known:?}"
            );
        }
        for (token, kind) in &node.journal {
            *recorded.entry((token.clone(), kind.number())).or_default() += 1;
        }
    }
    for (token, kind) in withdrawn::listed(world) {
        let decided = (token.clone(), EventKind::Decided.number());
        match kind {
            Some(kind) => *recorded.entry((token, kind.number())).or_default() += 1,
            None => assert_eq!(recorded.remove(&decided), Some(1), "behind its show, and once"),
        }
    }
    withdrawn::check_lists(world);
    let mut clicked: BTreeMap<String, ()> = BTreeMap::new();
    for ((token, kind), count) in &recorded {
        if *kind == EventKind::Decided.number() {
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
    assert!(users_of_shows.len() <= 2 + clicked.len(), "{users_of_shows:?} {clicked:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn races_lose_nothing_and_show_nothing_twice(moves in moves()) {
        play(RecordQueue::Journal, &moves);
    }

    #[test]
    fn so_with_lists(moves in moves()) {
        play(RecordQueue::List { list_max: 1_000 }, &moves);
    }
}
