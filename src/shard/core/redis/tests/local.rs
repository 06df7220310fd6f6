//! A show that a node decided by its own memory is everybody's, though Redis hears of it late: its
//! events count on every node, at once, each show counts once whatever crashes, and nothing of it
//! comes back where its user was erased since.

use bumpalo::Bump;

use super::degraded::{local_world, state_of};
use super::*;
use nudged_base::hash;
use nudged_domain::catalog::snapshot::ShowOutcome;

const QUEUES: [RecordQueue; 2] = [RecordQueue::Journal, RecordQueue::List { list_max: 1_000 }];

/// A show by node 0, which is cut off, and its token.
fn shown_locally(world: &mut World, user: &str) -> String {
    world.down(0);
    let user = id(user);
    let request = format!("GET /v1/decide?user={user}&session=s HTTP/1.1\r\nHost: x\r\n\r\n");
    let number = world.nodes[0].ask(world.now, &request);
    world.settle();
    world.nodes[0].token(number).expect("a popup that fails open")
}

fn post(world: &mut World, index: usize, token: &str) -> String {
    let event = world.nodes[index].event(world.now, &[token]);
    world.settle();
    let (_, verdicts) = world.nodes[index].answer(event).split_once("\r\n\r\n").unwrap();
    verdicts.to_owned()
}

const ACCEPTED: &str = "{\"accepted\":1,\"duplicate\":0,\"rejected\":[]}";
const DUPLICATE: &str = "{\"accepted\":0,\"duplicate\":1,\"rejected\":[]}";

fn assert_clicked_once(world: &World) {
    let state = state_of(world, "u");
    let popup = &state.popups[0];
    assert_eq!((state.popups.len(), popup.shows_total, popup.shows_used), (1, 1, 1));
    assert_eq!(popup.outcome, Some(ShowOutcome::Clicked));
    assert_eq!((state.clocks.session, state.clocks.session_shows), (hash::session(b"s"), 1));
    assert_eq!(state.clocks.day_shows, 1);
    for node in &world.nodes {
        assert!(node.core.arbiter().unmerged.is_empty() && node.open.is_empty());
    }
}

#[test]
fn an_event_that_comes_before_its_show_was_merged_counts() {
    for queue in QUEUES {
        let mut world = local_world(2, queue);
        let token = shown_locally(&mut world, "u");
        assert_eq!(post(&mut world, 1, &token), ACCEPTED);
        assert_eq!(post(&mut world, 1, &token), DUPLICATE);
        assert_clicked_by(&world, 1);
        world.up(0);
        world.settle();
        assert_clicked_once(&world);
        let again = world.decide(1, "u");
        assert_eq!(reason(world.nodes[1].answer(again)), "gap");
    }
}

#[test]
fn so_within_a_decision_that_shows_another_popup_then() {
    let mut world = local_world(2, RecordQueue::Journal);
    let token = shown_locally(&mut world, "u");
    let user = id("u");
    let body = format!(
        "{{\"user\":\"{user}\",\"placement\":\"other\",\
         \"events\":[{{\"decision\":\"{token}\",\"action\":\"clicked\"}}]}}"
    );
    let length = body.len();
    let number = world.nodes[1].ask(
        world.now,
        &format!(
            "POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ),
    );
    world.settle();
    let answer = world.nodes[1].answer(number);
    assert!(shown(answer) && answer.contains("\"accepted\":1"), "{answer}");
    let kinds: Vec<_> = world.nodes[1].journal.iter().map(|(_, kind)| *kind).collect();
    assert_eq!(kinds, [EventKind::Decided, EventKind::Clicked, EventKind::Decided]);
    assert_eq!(state_of(&world, "u").popups.len(), 2);
}

#[test]
fn an_event_that_was_itself_taken_without_redis_brings_its_show() {
    for queue in QUEUES {
        let mut world = local_world(2, queue);
        let token = shown_locally(&mut world, "u");
        world.down(1);
        assert_eq!(post(&mut world, 1, &token), ACCEPTED);
        assert_eq!(post(&mut world, 1, &token), DUPLICATE);
        assert_eq!(world.nodes[1].core.arbiter().unmerged.len(), 1);
        // After a crash too.
        world.crash(1, queue);
        world.settle();
        assert_clicked_by(&world, 1);
        assert_eq!(post(&mut world, 1, &token), DUPLICATE);
        world.up(0);
        world.settle();
        assert_clicked_once(&world);
    }
}

fn assert_clicked_by(world: &World, index: usize) {
    assert!(world.nodes[index].core.arbiter().unmerged.is_empty());
    assert_eq!(state_of(world, "u").popups[0].outcome, Some(ShowOutcome::Clicked));
}

#[test]
fn an_event_of_an_ordinary_show_that_is_not_there_stays_too_late() {
    let mut world = local_world(2, RecordQueue::Journal);
    let shown = world.decide(0, "u");
    let token = world.nodes[0].token(shown).unwrap();
    world.redis.remove("u");
    let verdicts = post(&mut world, 1, &token);
    assert!(verdicts.contains("too_late") && world.redis.users().is_empty(), "{verdicts}");
}

#[test]
fn an_event_of_a_local_show_is_too_late_after_a_week() {
    let mut world = local_world(2, RecordQueue::Journal);
    let token = shown_locally(&mut world, "u");
    world.pass(7 * 86_400_000 + 10_000);
    let verdicts = post(&mut world, 1, &token);
    assert!(verdicts.contains("too_late") && world.redis.users().is_empty(), "{verdicts}");
}

#[test]
fn what_was_shown_before_an_erase_never_comes_back() {
    for queue in QUEUES {
        let mut world = local_world(2, queue);
        let token = shown_locally(&mut world, "u");
        world.pass(5);
        world.erase(1, "u");
        world.settle();
        let erased = state_of(&world, "u");
        assert!(erased.popups.is_empty() && erased.clocks.erased_at.is_some());
        assert!(post(&mut world, 1, &token).contains("too_late"));
        world.up(0);
        world.settle();
        assert_eq!(state_of(&world, "u"), erased, "the show is dropped");
        assert!(world.nodes[0].core.arbiter().unmerged.is_empty());
        assert_eq!(world.nodes[0].reported().1, None);
        // Nor behind what the user is shown then.
        let next = world.decide(0, "u");
        assert!(shown(world.nodes[0].answer(next)));
        assert!(post(&mut world, 1, &token).contains("too_late"));
        assert_eq!(state_of(&world, "u").popups[0].shows_total, 1);
    }
}

#[test]
fn what_is_merged_is_not_handed_back_however_far_sql_is_behind() {
    for queue in QUEUES {
        let mut world = local_world(2, queue);
        let token = shown_locally(&mut world, "u");
        assert_eq!(post(&mut world, 0, &token), ACCEPTED);
        assert_eq!(world.nodes[0].left_behind(Sequence(0)).len(), 2);
        world.up(0);
        world.settle();
        assert_clicked_once(&world);
        assert!(world.nodes[0].left_behind(Sequence(0)).is_empty(), "the journal tells of it");
        // What another node has merged as well.
        let other = shown_locally(&mut world, "v");
        post(&mut world, 1, &other);
        world.up(0);
        world.settle();
        assert!(world.nodes[0].left_behind(Sequence(0)).is_empty());
    }
}

#[test]
fn a_show_that_another_node_withdraws_does_not_take_one_of_the_same_millisecond_along() {
    let moves = [
        Move::Decide(1, 0),
        Move::Pass(7),
        Move::Execute(1),
        Move::Deliver(1),
        Move::Decide(0, 0),
        Move::Break(0),
        Move::Pass(13),
    ];
    QUEUES.iter().for_each(|queue| play(*queue, &moves));
}

/// When a token's show was decided.
fn shown_at(token: &str) -> WallMs {
    let keys =
        Keys::new(&[Secret { id: 1, created_at: WallMs(0), bytes: [7; 32], moved_at: None }]);
    keys.open(token, &Bump::new(), WallMs(0)).unwrap().at
}

fn play(queue: RecordQueue, moves: &[Move]) {
    let mut world = local_world(3, queue);
    let users = ["u", "v"];
    let mut asked: Vec<(usize, u32, usize)> = Vec::new();
    // A node that starts again remembers only what it had not merged.
    let mut lives = [0_u32; 3];
    let mut life_of: BTreeMap<(usize, u32), u32> = BTreeMap::new();
    let mut erased: BTreeSet<usize> = BTreeSet::new();
    for one in moves {
        match *one {
            Move::Decide(node, user) => {
                let number = world.nodes[node].decide(world.now, users[user]);
                asked.push((node, number, user));
                life_of.insert((node, number), lives[node]);
            }
            Move::Click(node, token) => {
                let tokens: Vec<String> = asked
                    .iter()
                    .filter_map(|(node, at, _)| world.nodes[*node].token(*at))
                    .collect();
                if !tokens.is_empty() {
                    world.nodes[node].event(world.now, &[&tokens[token % tokens.len()]]);
                }
            }
            Move::Crash(node) => {
                lives[node] += 1;
                // SQL has applied nothing yet.
                world.crash_behind(node, queue, Sequence(0));
            }
            Move::Erase(node, user) => {
                erased.insert(user);
                world.erase(node, users[user]);
            }
            common => world.take(common),
        }
    }
    world.recover();
    let mut shown: BTreeSet<(usize, u32, usize)> = BTreeSet::new();
    for (node, number, user) in asked {
        let Some(token) = world.nodes[node].token(number) else { continue };
        let life = life_of[&(node, number)];
        let is_first = shown.insert((node, life, user)) || erased.contains(&user);
        assert!(is_first, "twice within the gap on one node");
        check_known(&world, users[user], shown_at(&token));
    }
    check_counted_once(&world, &users);
}

fn check_known(world: &World, user: &str, at: WallMs) {
    let state = state_of(world, user);
    let is_erased = state.clocks.erased_at.is_some_and(|erased_at| at <= erased_at);
    let mut shows = state.popups.iter().flat_map(|popup| popup.shows());
    assert!(is_erased || shows.any(|show| show.at == at), "what was shown is part of the state");
}

fn check_counted_once(world: &World, users: &[&str; 2]) {
    for user in users.iter().filter(|user| world.redis.find(user).is_some()) {
        let state = state_of(world, user);
        for popup in &state.popups {
            let shows: BTreeSet<_> =
                popup.shows().iter().map(|show| (show.number, show.at.0)).collect();
            assert_eq!(shows.len(), usize::from(popup.shows_used), "a show is there once");
            assert_eq!(popup.shows_total, u32::from(popup.shows_used), "and counts once");
        }
    }
    for node in &world.nodes {
        assert!(node.open.is_empty() && node.core.arbiter().unmerged.is_empty());
        assert_eq!(node.reported(), (node.acked, None), "nothing holds SQL up");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_node_shows_twice_and_all_it_showed_becomes_known(moves in moves()) {
        play(RecordQueue::Journal, &moves);
    }

    #[test]
    fn so_with_lists(moves in moves()) {
        play(RecordQueue::List { list_max: 1_000 }, &moves);
    }
}
