//! Answers hold the catalogs that they were decided by, and so many of them at most.

use super::*;
use nudged_base::limits::CATALOGS_HELD_MAX;

#[test]
fn answers_hold_a_bounded_number_of_catalogs() {
    let mut world = World::new(1, RecordQueue::Journal);
    let catalogs = [snapshot(), snapshot()];
    let mut held = Vec::new();
    let mut numbers = Vec::new();
    // Each show waits, half of them for Redis and half for the journal, by a catalog of its own.
    for user in 0..2 * CATALOGS_HELD_MAX {
        world.nodes[0].swap(world.now, &catalogs);
        held.push(Arc::downgrade(&world.nodes[0].core.view.snapshot));
        numbers.push(world.nodes[0].decide(world.now, &format!("u{user}")));
        if user % 2 == 0 {
            // The user is read, and the show committed.
            for _ in 0..2 {
                world.execute(0);
                world.deliver(0);
            }
        }
        // The former one goes back to whoever published.
        world.nodes[0].outcomes.clear();
        let alive = held.iter().filter(|snapshot| snapshot.strong_count() > 0).count();
        assert!(alive <= CATALOGS_HELD_MAX, "{alive} after {user}");
    }
    let let_go = world.nodes[0].core.users.counters.catalogs_let_go.get();
    assert!(let_go > 0, "the oldest are let go");
    world.settle();
    let told: Vec<bool> =
        numbers.iter().map(|number| shown(world.nodes[0].answer(*number))).collect();
    let untold = told.iter().filter(|shown| !**shown).count();
    assert_eq!(u64::try_from(untold).unwrap(), let_go, "all others are told");
    assert!(told[told.len() - 2..].iter().all(|shown| *shown));
}

/// Rests for a day, and is for one platform.
fn popup_for(platform: &str) -> String {
    format!(
        "[[popup]]\nid = \"p\"\n\
         target = {{ attr = \"platform\", op = \"eq\", value = \"{platform}\" }}\n"
    )
}

fn say(world: &mut World, user: &str, platform: &str) -> String {
    let request = format!(
        "GET /v1/decide?user={user}&attr.platform={platform} HTTP/1.1\r\nHost: x\r\n\r\n",
        user = id(user)
    );
    let number = world.nodes[0].ask(world.now, &request);
    world.settle();
    let answer = world.nodes[0].answer(number);
    if shown(answer) { "show".to_owned() } else { reason(answer).to_owned() }
}

// What requests match that say the same is not asked again, but for another catalog.
#[test]
fn known_words_match_by_the_catalog_that_is_current() {
    let mut world = World::new(1, RecordQueue::Journal);
    for (platform, ios, web) in [("ios", "gap", "target"), ("web", "target", "gap")] {
        let catalog = snapshot_of(&popup_for(platform));
        world.nodes[0].core.view.swap_catalog(catalog);
        if platform == "ios" {
            assert_eq!(say(&mut world, "u", "ios"), "show");
        }
        // Known from the third time on.
        for _ in 0..5 {
            assert_eq!(say(&mut world, "u", "ios"), ios);
            assert_eq!(say(&mut world, "u", "web"), web);
        }
    }
    assert_eq!(say(&mut world, "v", "ios"), "target");
    assert_eq!(say(&mut world, "v", "web"), "show");
}
