//! Property: nodes that have heard the same, in whatever order and however often, know the same;
//! an entry that has ended never stands again, and one that was not known to a resume stands on.

use proptest::prelude::*;

use super::*;
use crate::ended::Ended;

fn entry(id: u128, popup: &str, kind: OverrideKind) -> Override {
    let at = WallMs(i64::try_from(id).unwrap());
    Override { id: OverrideId(id), popup: popup.into(), kind, at, who: "ann".into(), end: None }
}

fn end(at: i64) -> Ended {
    Ended { at: WallMs(at), who: "bob".into() }
}

fn hear(overrides: &mut Overrides, told: &[Override]) {
    for entry in told {
        overrides.take(entry, OverridePlace::Redis);
    }
}

fn entries(overrides: &Overrides) -> Vec<Override> {
    overrides.all().map(|held| held.entry.clone()).collect()
}

#[test]
fn an_archive_wins_over_a_pause_and_a_resume_ends_both() {
    let mut overrides = Overrides::default();
    assert_eq!(overrides.status("p"), None);
    overrides.add(entry(1, "p", OverrideKind::Archive)).unwrap();
    overrides.add(entry(2, "p", OverrideKind::Pause)).unwrap();
    assert_eq!(overrides.status("p"), Some(Status::Archived));
    assert_eq!(overrides.statuses().collect::<Vec<_>>(), [("p", Status::Archived)]);
    assert_eq!(overrides.end("p", &end(9)), 2);
    assert_eq!((overrides.status("p"), overrides.end("p", &end(10))), (None, 0));
    assert!(entries(&overrides).iter().all(|entry| entry.end == Some(end(9))));
}

#[test]
fn what_the_resuming_node_could_not_know_stands_on() {
    let (mut one, mut other) = (Overrides::default(), Overrides::default());
    one.add(entry(1, "p", OverrideKind::Pause)).unwrap();
    other.take(&entry(1, "p", OverrideKind::Pause), OverridePlace::Redis);
    // Paused once more on one node, while the other one resumes what it knows.
    one.add(entry(2, "p", OverrideKind::Pause)).unwrap();
    assert_eq!(other.end("p", &end(5)), 1);
    hear(&mut one, &entries(&other));
    hear(&mut other, &entries(&one));
    assert_eq!((one.status("p"), other.status("p")), (Some(Status::Paused), Some(Status::Paused)));
    assert_eq!(one.end("p", &end(6)), 1);
    // A node that was away brings the first one again, as it knew it.
    assert!(!one.take(&entry(1, "p", OverrideKind::Pause), OverridePlace::Redis));
    assert_eq!(one.status("p"), None);
    let again: Vec<OverrideId> =
        one.not_in(OverridePlace::Redis).map(|held| held.entry.id).collect();
    assert_eq!(again, [OverrideId(1), OverrideId(2)], "and is told of its end");
}

#[test]
fn each_place_is_told_until_it_has_an_entry_as_it_is() {
    let mut overrides = Overrides::default();
    let made = entry(1, "p", OverrideKind::Pause);
    overrides.add(made.clone()).unwrap();
    assert_eq!(overrides.stored("p"), OverridePlace::Memory);
    for place in [OverridePlace::Node, OverridePlace::Redis, OverridePlace::Sql] {
        overrides.mark(&made, place);
        assert_eq!((overrides.stored("p"), overrides.not_in(place).count()), (place, 0));
    }
    overrides.end("p", &end(2));
    overrides.mark(&made, OverridePlace::Sql);
    assert_eq!(overrides.stored("p"), OverridePlace::Memory, "SQL had it as it was before");
    assert_eq!(overrides.all_stored().get("p"), Some(&OverridePlace::Memory));
    overrides.take(&made, OverridePlace::Redis);
    assert_eq!(overrides.not_in(OverridePlace::Redis).count(), 1);
    let ended = entries(&overrides).remove(0);
    overrides.take(&ended, OverridePlace::Redis);
    assert_eq!(overrides.stored("p"), OverridePlace::Redis);
    overrides.unmark(ended.id, OverridePlace::Redis);
    assert_eq!(overrides.stored("p"), OverridePlace::Memory);
    assert_eq!(overrides.stored("q"), OverridePlace::Sql, "there is nothing to store");
}

#[test]
fn the_numbers_are_bounded() {
    let mut overrides = Overrides::default();
    for id in 0..100 {
        let is_made = overrides.add(entry(id, "p", OverrideKind::Pause)).unwrap();
        assert_eq!(is_made, overrides.all().any(|held| held.entry.id.0 == id));
    }
    assert_eq!(overrides.all().count(), OVERRIDES_OF_POPUP_MAX);
    overrides.end("p", &end(1));
    for id in 1_000..1_000 + 2 * OVERRIDES_ENDED_MAX as u128 {
        let ended = Override {
            end: Some(end(id.try_into().unwrap())),
            ..entry(id, "q", OverrideKind::Pause)
        };
        overrides.take(&ended, OverridePlace::Sql);
    }
    let known = overrides.all().count();
    assert!((OVERRIDES_ENDED_MAX..OVERRIDES_ENDED_MAX * 9 / 8 + 1).contains(&known), "{known}");
    assert_eq!(
        overrides.not_in(OverridePlace::Sql).count(),
        OVERRIDES_OF_POPUP_MAX,
        "SQL must have it"
    );
    let mut id = 100_000;
    let mut add = || {
        id += 1;
        overrides.add(entry(id, &format!("p{id}"), OverrideKind::Pause))
    };
    while add().is_ok() {}
    assert_eq!(overrides.all().count(), OVERRIDES_MAX + OVERRIDES_ENDED_MAX);
}

#[test]
fn a_text_reads_back_and_no_other_does() {
    let open = entry(0xab, "spring-sale", OverrideKind::Archive);
    let ended = Override { who: "\"é\" (::1)".into(), end: Some(end(-7)), ..open.clone() };
    for entry in [&open, &ended] {
        assert_eq!(decode(&encode(entry)).as_ref(), Some(entry));
    }
    let all = encode_all([&open, &ended].into_iter());
    assert_eq!(decode_all(&all), Some(vec![open.clone(), ended.clone()]));
    let text = encode(&ended);
    for end in 0..text.len() {
        assert_eq!(text.get(..end).and_then(decode), None, "cut at {end}");
    }
    for (part, other) in [
        ("\"archive\"", "\"live\""),
        ("000000ab", "000000AB"),
        ("000000ab", "0000ab"),
        ("\"ended_by\":\"bob\"", "\"ended_by\":null"),
        ("spring-sale", ""),
        ("bob", &"x".repeat(256)),
    ] {
        assert_eq!(decode(&text.replace(part, other)), None, "{other}");
    }
}

/// One thing that a node hears.
fn heard() -> impl Strategy<Value = Override> {
    let kind = prop_oneof![Just(OverrideKind::Pause), Just(OverrideKind::Archive)];
    let ended = prop::option::of(0..4_i64);
    // One id has one popup, kind and time.
    (0..6_u128, kind, ended).prop_map(|(id, kind, ended)| Override {
        end: ended.map(end),
        ..entry(id, ["p", "q"][usize::from(id > 2)], kind)
    })
}

proptest! {
    #[test]
    fn the_order_in_which_nodes_learn_makes_no_difference(
        told in prop::collection::vec(heard(), 0..20),
        swaps in prop::collection::vec((0..20_usize, 0..20_usize), 0..20),
    ) {
        let mut one = Overrides::default();
        hear(&mut one, &told);
        let mut shuffled = told.clone();
        for (from, to) in swaps {
            if from < told.len() && to < told.len() {
                shuffled.swap(from, to);
            }
        }
        let mut other = Overrides::default();
        hear(&mut other, &shuffled);
        hear(&mut other, &told);
        prop_assert_eq!(entries(&one), entries(&other));
        for popup in ["p", "q"] {
            prop_assert_eq!(one.status(popup), other.status(popup));
            let is_of_it = |entry: &Override| &*entry.popup == popup && entry.end.is_none();
            let stands = entries(&one).iter().any(is_of_it);
            prop_assert_eq!(one.status(popup).is_some(), stands);
        }
        // What has ended once has ended.
        for ended in told.iter().filter(|entry| entry.end.is_some()) {
            let known = one.all().find(|held| held.entry.id == ended.id).unwrap();
            prop_assert!(known.entry.end.is_some());
        }
    }
}
