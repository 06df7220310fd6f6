//! Whoever comes back, or is bound, as somebody would forget them stays.

use super::*;

impl World {
    /// Asks to forget a user of this revision who was last seen before a time.
    fn forget(&mut self, index: usize, user: &str, known: (u64, WallMs)) {
        let (counter, before) = known;
        let revision = Revision { counter, ..self.redis.user(user).revision };
        let request = ControlRequest::ForgetUser { user: id(user).into(), revision, before };
        self.nodes[index].step(self.now, Input::Control(Control { ticket: 1, request }));
    }
}

#[test]
fn who_comes_back_at_another_node_meanwhile_is_not_forgotten() {
    let mut world = World::new(2, RecordQueue::Journal);
    let (end, rest_ms) = (WallMs(i64::MAX), 25 * 3_600_000);
    world.decide(0, "u");
    // As another revision, as somebody who came since, and by whom the popup's gap binds.
    for known in [(9, end), (1, WallMs(0)), (1, end)] {
        world.forget(0, "u", known);
        world.settle();
        assert!(matches!(world.nodes[0].outcomes[..], [ControlOutcome::Kept]), "{known:?}");
        world.nodes[0].outcomes.clear();
    }
    world.pass(rest_ms);
    world.settle();
    world.forget(0, "u", (1, end));
    // It is read, judged and about to be committed as node 1 shows them the popup again.
    world.execute(0);
    world.deliver(0);
    let number = world.nodes[1].decide(world.now, "u");
    while world.execute(1) | world.deliver(1) {}
    world.settle();
    assert!(shown(world.nodes[1].answer(number)), "{}", world.nodes[1].answer(number));
    assert!(matches!(world.nodes[0].outcomes[..], [ControlOutcome::Kept]));
    assert_eq!(world.redis.user("u").revision.counter, 2);
    world.nodes[0].outcomes.clear();
    world.pass(rest_ms);
    world.settle();
    world.forget(0, "u", (2, end));
    world.settle();
    assert!(matches!(world.nodes[0].outcomes[..], [ControlOutcome::Erased { .. }]));
    assert_eq!(world.redis.user("u").revision.counter, 3);
}
