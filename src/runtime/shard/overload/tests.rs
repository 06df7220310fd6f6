//! Property: an overload begins and ends by what waits alone; what waits is served or refused once,
//! in the order that the time left allows.

use super::*;

const GET: &[u8] = b"GET /v1/decide?user=ann HTTP/1.1\r\n";

fn at(ms: u64) -> MonoNs {
    MonoNs(ms * MS)
}

/// One that is overloaded from 1 s on.
fn overloaded() -> Overload {
    let mut overload = Overload::new(Some(5 * MS));
    for step in 0..12 {
        let sent = at(880 + step * 10);
        if overload.begins_probe(sent) {
            overload.probed(MonoNs(sent.0 + 8 * MS));
        }
    }
    assert!(overload.is_shedding());
    overload.cost_ns = Some(20_000);
    overload
}

fn hold(overload: &mut Overload, slots: std::ops::Range<u32>, now: MonoNs) {
    for slot in slots {
        assert_eq!(overload.hold(slot, GET, now), Hold::Kept);
    }
}

fn served(overload: &mut Overload) -> Vec<u32> {
    std::iter::from_fn(|| overload.next_served().map(|(slot, ..)| slot)).collect()
}

fn refused(overload: &mut Overload) -> Vec<(u32, ShedCause)> {
    let next = || overload.next_refused().map(|(slot, _, cause)| (slot, cause));
    std::iter::from_fn(next).collect()
}

#[test]
fn every_wait_for_a_whole_interval_has_to_be_too_long() {
    let mut overload = Overload::new(Some(5 * MS));
    assert_eq!(overload.hold(1, GET, at(0)), Hold::Passed);
    for step in 0..200 {
        let sent = at(step * 20);
        assert!(overload.begins_probe(sent) && !overload.begins_probe(sent));
        // Each fourth is short: it was only busy.
        let delay_ms = if step % 4 == 3 { 4 } else { 9 };
        assert_eq!(overload.probed(at(step * 20 + delay_ms)), Some(delay_ms * MS));
        assert!(!overload.is_shedding(), "{step}");
    }
    // Long waits that are far from each other are bursts.
    for step in 0..20 {
        assert!(overload.begins_probe(at(6_000 + step * 400)));
        overload.probed(at(6_009 + step * 400));
        assert!(!overload.is_shedding());
    }
    assert!(overload.probed(at(20_000)).is_none());
    let mut off = Overload::new(None);
    assert!(!off.begins_probe(at(0)) && off.long_turn_ns() == u64::MAX);
    overloaded();
}

#[test]
fn what_can_be_served_in_time_is_the_oldest_first_and_nothing_is_refused() {
    let mut overload = overloaded();
    hold(&mut overload, 0..150, at(1_010));
    overload.begin_serving(at(1_011));
    // 2 ms of 20 µs each.
    assert_eq!(served(&mut overload), (0..100).collect::<Vec<_>>());
    assert_eq!(refused(&mut overload), []);
    overload.end_serving(at(1_011));
    overload.begin_serving(at(1_013));
    assert_eq!(served(&mut overload), (100..150).collect::<Vec<_>>());
    assert_eq!(refused(&mut overload), []);
    assert_eq!(overload.waiting(), 0);
}

#[test]
fn a_few_are_all_served_however_slow_the_host_is() {
    let mut overload = overloaded();
    overload.cost_ns = Some(COST_MAX_NS);
    hold(&mut overload, 0..16, at(1_010));
    overload.begin_serving(at(1_020));
    assert_eq!(served(&mut overload), [0, 1]);
    assert_eq!(refused(&mut overload), []);
    // One more is one too many.
    hold(&mut overload, 16..19, at(1_021));
    overload.begin_serving(at(1_021));
    assert_eq!(served(&mut overload), [18, 17]);
}

#[test]
fn of_too_many_the_newest_are_served_and_one_in_so_many_is_refused() {
    let mut overload = overloaded();
    hold(&mut overload, 0..5_000, at(1_010));
    overload.begin_serving(at(1_011));
    assert_eq!(served(&mut overload), (4_900..5_000).rev().collect::<Vec<_>>());
    let early = (4_888..4_900).rev().map(|slot| (slot, ShedCause::Early));
    assert_eq!(refused(&mut overload), early.collect::<Vec<_>>());
    overload.end_serving(at(1_011));
    // After 5 ms nobody is refused at once.
    overload.begin_serving(at(1_017));
    assert!(!served(&mut overload).is_empty());
    assert_eq!(refused(&mut overload), []);
    overload.end_serving(at(1_017));
    // Who was answered comes again, and is served before those that wait.
    hold(&mut overload, 4_888..5_000, at(1_019));
    overload.begin_serving(at(1_019));
    assert_eq!(served(&mut overload).first(), Some(&4_999));
    overload.end_serving(at(1_019));
    assert!(overload.is_shedding());
}

#[test]
fn what_has_waited_too_long_is_never_served() {
    let mut overload = overloaded();
    hold(&mut overload, 0..40, at(1_010));
    hold(&mut overload, 40..42, at(1_054));
    overload.begin_serving(at(1_055));
    assert_eq!(served(&mut overload), [40, 41]);
    // There was nothing more to serve for two of them.
    assert_eq!(refused(&mut overload), []);
    overload.end_serving(at(1_055));
    // With nothing to serve there is time for them, in parts.
    let mut all = Vec::new();
    for turn in 0..20 {
        overload.begin_serving(at(1_056 + turn));
        assert!(served(&mut overload).is_empty());
        all.extend(refused(&mut overload));
        overload.end_serving(at(1_056 + turn));
    }
    assert_eq!(all, (0..40).map(|slot| (slot, ShedCause::Late)).collect::<Vec<_>>());
}

#[test]
fn it_is_over_once_nothing_has_waited_for_an_interval() {
    let mut overload = overloaded();
    for ms in 0..100 {
        hold(&mut overload, 0..1, at(1_010 + ms));
        overload.begin_serving(at(1_010 + ms));
        assert_eq!(served(&mut overload), [0]);
        overload.end_serving(at(1_010 + ms));
        assert!(overload.is_shedding(), "{ms}");
    }
    overload.begin_serving(at(1_110));
    overload.end_serving(at(1_110));
    assert!(!overload.is_shedding());
    assert_eq!(overload.hold(1, GET, at(1_111)), Hold::Passed);
}

#[test]
fn who_asks_how_the_node_is_does_not_wait_and_who_sends_much_is_taken_whole() {
    let mut overload = overloaded();
    for health in ["GET /health HTTP/1.1", "HEAD /readyz HTTP/1.1", "GET /healthz HTTP/1.1"] {
        assert_eq!(overload.hold(1, health.as_bytes(), at(1_010)), Hold::Passed);
    }
    let part = [b'x'; SHED_HELD_BYTES_MAX / 2];
    assert_eq!(overload.hold(1, &part, at(1_010)), Hold::Kept);
    assert_eq!(overload.hold(1, &part, at(1_010)), Hold::Kept);
    let Hold::Full(whole) = overload.hold(1, b"y", at(1_010)) else { panic!("too much") };
    assert_eq!(whole.len(), SHED_HELD_BYTES_MAX + 1);
    // Whose connection is closed is passed over, and so is who comes in its place.
    hold(&mut overload, 2..4, at(1_010));
    assert_eq!(overload.remove(2).as_deref(), Some(GET));
    assert_eq!(overload.remove(2), None);
    hold(&mut overload, 2..3, at(1_011));
    overload.begin_serving(at(1_012));
    assert_eq!(served(&mut overload), [3, 2]);
    assert_eq!(overload.waiting(), 0);
}
