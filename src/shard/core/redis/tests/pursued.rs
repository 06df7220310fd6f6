//! Properties of shows whose reply never came, since their connection was given up or lost: what
//! Redis made of them is learnt when it answers again, and one that nobody saw is taken back.

use super::*;
use crate::seam::Learned;
use nudged_base::limits::{PURSUED_MAX, PURSUED_MS, PURSUED_REST_MS, PURSUED_SENT_MAX};
use nudged_redis::command::CommandFailure;
use nudged_redis::refusal::RedisRefusal;

const ONCE: &str = "[[popup]]\nid = \"p\"\nmax_shows = 1\nafter_shown = \"0s\"\n";
const LIST: RecordQueue = RecordQueue::List { list_max: 10_000 };

fn world_of(nodes: u64, queue: RecordQueue) -> World {
    let mut world = World::new(nodes, queue);
    for node in &mut world.nodes {
        node.core.view.swap_catalog(snapshot_of(ONCE));
    }
    world
}

/// A show whose commit has left, after its user was read.
fn ask(world: &mut World, user: &str) -> u32 {
    let number = world.nodes[0].decide(world.now, user);
    world.execute(0);
    world.deliver(0);
    number
}

/// The same, committed; then the connection is given up, and the user answered degraded.
fn lose(world: &mut World, user: &str) {
    let number = ask(world, user);
    world.execute(0);
    world.pass(2 * DEADLINE_MS);
    world.down(0);
    assert_eq!(reason(world.nodes[0].answer(number)), "degraded");
}

/// What became of changes: committed, not committed, unknown, withdrawn; and how many are pursued.
fn counts(world: &World) -> [u64; 5] {
    let counters = &world.nodes[0].core.users.counters;
    let of = |outcome| counters.redis_pursuits.of(outcome).get();
    let pursued = world.nodes[0].core.arbiter().pursuits.len();
    let [committed, not, unknown] = ["committed", "not_committed", "unknown"].map(of);
    [committed, not, unknown, counters.redis_withdrawn.get(), pursued as u64]
}

fn is_seen_once(world: &mut World, user: &str) {
    let number = world.decide(0, user);
    assert!(shown(world.nodes[0].answer(number)), "{}", world.nodes[0].answer(number));
    let again = world.decide(0, user);
    assert_eq!(reason(world.nodes[0].answer(again)), "max_shows");
    assert!(world.nodes[0].core.is_quiet());
    withdrawn::check_lists(world);
}

#[test]
fn a_show_that_was_committed_before_redis_froze_is_withdrawn_when_it_answers_again() {
    for (queue, frozen_ms) in
        [(RecordQueue::Journal, 1_000), (LIST, 3_000), (RecordQueue::Journal, 10_000)]
    {
        let mut world = world_of(1, queue);
        lose(&mut world, "u");
        assert_eq!(counts(&world), [0, 0, 0, 0, 1]);
        world.pass(frozen_ms);
        let meanwhile = world.decide(0, "u");
        assert_eq!(reason(world.nodes[0].answer(meanwhile)), "degraded", "at once");
        world.up(0);
        world.settle();
        assert_eq!(counts(&world), [1, 0, 0, 1, 0]);
        assert!(world.nodes[0].journal.is_empty(), "nobody saw it, so nothing is recorded");
        is_seen_once(&mut world, "u");
    }
}

#[test]
fn who_asks_first_when_redis_answers_again_waits_for_the_withdrawal() {
    let mut world = world_of(1, RecordQueue::Journal);
    lose(&mut world, "u");
    world.up(0);
    let number = world.nodes[0].decide(world.now, "u");
    world.settle();
    assert!(shown(world.nodes[0].answer(number)), "{}", world.nodes[0].answer(number));
}

#[test]
fn a_show_that_never_was_needs_no_withdrawal() {
    let mut world = world_of(1, RecordQueue::Journal);
    ask(&mut world, "u");
    // It did not reach Redis.
    world.down(0);
    world.pass(1_000);
    world.up(0);
    world.settle();
    assert_eq!(counts(&world), [0, 1, 0, 0, 0]);
    assert!(world.redis.users().is_empty());
    is_seen_once(&mut world, "u");
}

#[test]
fn a_withdrawal_whose_reply_is_lost_is_asked_about_too() {
    for is_executed in [true, false] {
        let mut world = world_of(1, LIST);
        lose(&mut world, "u");
        world.up(0);
        world.execute(0);
        world.deliver(0);
        if is_executed {
            world.execute(0);
        }
        world.down(0);
        assert_eq!(counts(&world), [1, 0, 0, 0, 1]);
        world.pass(3_000);
        world.up(0);
        world.settle();
        assert_eq!(counts(&world), [1, 0, 0, 1, 0]);
        is_seen_once(&mut world, "u");
    }
}

#[test]
fn a_late_show_is_withdrawn_once_redis_may_be_asked() {
    let mut world = world_of(1, LIST);
    let number = ask(&mut world, "u");
    world.execute(0);
    world.pass(DEADLINE_MS);
    assert_eq!(reason(world.nodes[0].answer(number)), "degraded");
    learned::learn(&mut world, Learned { run: run(LIFE), is_denied: true, ..Default::default() });
    world.settle();
    assert_eq!(counts(&world), [0, 0, 0, 0, 1]);
    learned::learn(&mut world, Learned { run: run(LIFE), ..Default::default() });
    world.settle();
    assert_eq!(counts(&world), [0, 0, 0, 1, 0]);
    is_seen_once(&mut world, "u");
}

#[test]
fn a_late_show_is_withdrawn_once_the_breaker_of_its_connection_lets_it() {
    let mut world = world_of(1, LIST);
    let breaker = BreakerSettings { failures: 1, open_ms: 100, open_max_ms: 100 };
    let link = Arc::new(LinkSettings { deadline_ms: DEADLINE_MS, breaker, ..link() });
    let setup = setup(1, LIST, (Sequence(0), Vec::new()));
    world.nodes[0] = Node::of(1, ArbiterSetup { link, ..setup });
    world.nodes[0].core.view.swap_catalog(snapshot_of(ONCE));
    world.connect(0, LIFE);
    let number = ask(&mut world, "u");
    world.execute(0);
    world.pass(DEADLINE_MS);
    assert_eq!(reason(world.nodes[0].answer(number)), "degraded");
    world.settle();
    assert_eq!(counts(&world), [0, 0, 0, 0, 1], "it is open, and the connection stands");
    assert!(world.nodes[0].wire.is_connected);
    world.pass(200);
    world.settle();
    assert_eq!(counts(&world), [0, 0, 0, 1, 0]);
    is_seen_once(&mut world, "u");
}

#[test]
fn another_run_that_kept_everything_is_asked_once_it_is_cleared() {
    let mut world = world_of(1, RecordQueue::Journal);
    lose(&mut world, "u");
    world.up_to(0, 8);
    world.settle();
    assert_eq!(counts(&world), [0, 0, 0, 0, 1], "nobody has compared it");
    world.connect(0, 8);
    world.settle();
    assert_eq!(counts(&world), [1, 0, 0, 1, 0]);
    is_seen_once(&mut world, "u");
}

#[test]
fn nothing_is_taken_back_in_a_partition_that_has_lost_writes() {
    let partition = wire::partition("u");
    let lost = [
        (None, 0, PartitionPhase::Open),
        (Some(2), 0, PartitionPhase::Barrier),
        (Some(2), 0, PartitionPhase::Filling),
    ];
    for meta in lost {
        let mut world = world_of(1, RecordQueue::Journal);
        lose(&mut world, "u");
        let before = world.redis.user("u").revision;
        world.redis.set_meta(partition, meta);
        world.up(0);
        world.settle();
        assert_eq!(counts(&world), [0, 0, 1, 0, 0], "{meta:?}");
        assert_eq!(world.redis.user("u").revision, before);
        assert!(world.nodes[0].core.is_quiet());
    }
}

#[test]
fn a_show_that_others_have_followed_stays() {
    let mut world = world_of(2, LIST);
    lose(&mut world, "u");
    world.erase(1, "u");
    while world.execute(1) | world.deliver(1) {}
    world.up(0);
    world.settle();
    assert_eq!(counts(&world), [1, 0, 0, 0, 0]);
    assert!(world.nodes[0].core.is_quiet());
    withdrawn::check_lists(&world);
}

#[test]
fn a_redis_that_refuses_is_asked_again_after_a_rest() {
    for failure in [CommandFailure::Refused(RedisRefusal::Busy), CommandFailure::Unknown] {
        let mut world = world_of(1, RecordQueue::Journal);
        lose(&mut world, "u");
        world.up(0);
        let mut asked = 0;
        for _ in 0..1_000 {
            asked += u64::from(world.nodes[0].wire.fail(failure));
            world.deliver(0);
            world.pass(1);
        }
        assert!((2..=1_000 / PURSUED_REST_MS + 1).contains(&asked), "{asked}");
        world.pass(PURSUED_REST_MS);
        world.settle();
        assert_eq!(counts(&world), [1, 0, 0, 1, 0]);
        is_seen_once(&mut world, "u");
    }
    let mut world = world_of(1, RecordQueue::Journal);
    lose(&mut world, "u");
    world.up(0);
    world.nodes[0].wire.fail(CommandFailure::Quarantined);
    world.deliver(0);
    assert_eq!(counts(&world), [0, 0, 1, 0, 0], "somebody else's key");
}

#[test]
fn what_is_pursued_is_bounded_in_number_and_in_time() {
    let mut world = world_of(1, RecordQueue::Journal);
    let users: Vec<String> = (0..PURSUED_MAX + 6).map(|number| format!("u{number}")).collect();
    for some in users.chunks(206) {
        for user in some {
            world.nodes[0].decide(world.now, user);
        }
        for _ in some {
            world.execute(0);
            world.deliver(0);
        }
        while world.execute(0) {}
        world.down(0);
        world.up(0);
        let sent = world.nodes[0].wire.waiting();
        assert!(sent <= PURSUED_SENT_MAX, "{sent} at a time");
        // These come to nothing, so that for a while no more are sent.
        world.down(0);
        world.up(0);
        assert_eq!(world.nodes[0].wire.waiting(), 0);
    }
    world.down(0);
    assert_eq!(counts(&world)[4], PURSUED_MAX as u64);
    assert_eq!(world.nodes[0].core.users.lane.bytes_under_way(), 0, "no room is held for them");
    world.pass(PURSUED_MS);
    assert_eq!(counts(&world)[2..], [PURSUED_MAX as u64, 0, 0]);
    assert!(world.nodes[0].core.is_quiet());
}

#[test]
fn a_node_that_stops_waits_for_no_redis_that_is_away() {
    let mut world = world_of(1, RecordQueue::Journal);
    lose(&mut world, "u");
    let may_end = |world: &World| {
        let Core { arbitration, users, .. } = &world.nodes[0].core;
        arbitration.may_end(users, world.now.mono)
    };
    assert!(!world.nodes[0].core.is_quiet() && may_end(&world));
    world.up(0);
    assert!(!may_end(&world), "Redis can say what became of it");
    world.settle();
    assert!(may_end(&world));
}

/// Moves that neither end a process nor put another change upon a show.
fn calm_moves() -> impl Strategy<Value = Vec<Move>> {
    let node = 0..2usize;
    let one = prop_oneof![
        4 => (node.clone(), 0..3usize).prop_map(|(node, user)| Move::Decide(node, user)),
        8 => node.clone().prop_map(Move::Execute),
        6 => node.clone().prop_map(Move::Deliver),
        2 => node.clone().prop_map(Move::Acknowledge),
        1 => node.clone().prop_map(Move::Break),
        1 => node.prop_map(Move::Down),
        3 => (1..30u64).prop_map(Move::Pass),
    ];
    prop::collection::vec(one, 1..100)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whatever was late or lost: once Redis answers again, it has the shows that somebody saw and
    /// no other.
    #[test]
    fn redis_has_no_show_that_nobody_saw(moves in calm_moves(), has_list in any::<bool>()) {
        let mut world = world_of(2, if has_list { LIST } else { RecordQueue::Journal });
        let users = ["u", "v", "w"];
        for one in moves {
            match one {
                Move::Decide(node, user) => _ = world.nodes[node].decide(world.now, users[user]),
                common => world.take(common),
            }
        }
        world.recover();
        let seen = world.nodes.iter().flat_map(|node| (0..node.connections).map(|n| node.token(n)));
        let seen = seen.flatten().count();
        let shows = |stored: &Stored| {
            let mut state = UserState::default();
            user::decode(&stored.state, &mut state).unwrap();
            state.popups.first().map_or(0, |popup| popup.shows_total)
        };
        let stand: u32 = world.redis.users().iter().map(shows).sum();
        prop_assert_eq!(u32::try_from(seen).unwrap(), stand);
        withdrawn::check_lists(&world);
    }
}
