//! Tables and properties of the union of a user of two stores.

use proptest::prelude::*;

use super::*;

const ZONE: TimeZone = TimeZone::UTC;

fn show(at: i64, number: u32) -> Show {
    Show { at: WallMs(at), number, actions: 0 }
}

fn entry(popup: &str, shows: &[Show], total: u32, outcome: Option<ShowOutcome>) -> WholeEntry {
    let mut state = PopupState::empty(PopupKey::of(popup));
    put_shows(&mut state, shows).unwrap();
    state.shows_total = total;
    state.outcome = outcome;
    state.outcome_at = if outcome.is_some() { state.latest().at } else { WallMs(0) };
    let mut entry = WholeEntry { popup: popup.to_owned(), ..WholeEntry::default() };
    entry.take(&state);
    entry
}

fn user(counter: u64, last: i64, entries: Vec<WholeEntry>) -> WholeUser {
    let clocks = UserClocks {
        last_counted_at: Some(WallMs(last)),
        day_shows: u32::try_from(entries.len()).unwrap(),
        session: 7,
        session_shows: 1,
        erased_at: None,
    };
    let revision = Revision { epoch: 0, counter };
    WholeUser { user: "u".to_owned(), revision, clocks, entries }
}

fn shows_of(user: &WholeUser, popup: &str) -> (Vec<(i64, u32)>, u32) {
    let entry = user.entries.iter().find(|entry| entry.popup == popup).unwrap();
    let state = entry.decoded().unwrap();
    (state.shows().iter().map(|show| (show.at.0, show.number)).collect(), state.shows_total)
}

#[test]
fn both_sides_shows_under_a_revision_above_both() {
    let ours = user(3, 20, vec![entry("p", &[show(20, 1)], 1, Some(ShowOutcome::Clicked))]);
    let theirs = user(
        9,
        30,
        vec![entry("p", &[show(10, 1), show(30, 2)], 2, None), entry("q", &[show(5, 1)], 1, None)],
    );
    let united = unite(Some(&ours), &theirs, None, &ZONE).unwrap();
    assert_eq!(united.revision, Revision { epoch: 0, counter: 10 });
    assert_eq!(shows_of(&united, "p"), (vec![(10, 1), (20, 1), (30, 2)], 3));
    assert_eq!(shows_of(&united, "q"), (vec![(5, 1)], 1));
    let p = united.entries[0].decoded().unwrap();
    assert_eq!(p.outcome, None, "the latest show has none");
    assert_eq!((united.clocks.last_counted_at, united.clocks.day_shows), (Some(WallMs(30)), 3));
    assert_eq!(united.clocks.session_shows, 2);
    assert_eq!(unite(Some(&united), &theirs, None, &ZONE), None);
    assert_eq!(unite(Some(&united), &ours, None, &ZONE), None);
}

#[test]
fn who_was_erased_gets_back_what_came_later_alone() {
    let erased = Tombstone {
        key: UserKey::of(b"u"),
        revision: Revision { epoch: 2, counter: 5 },
        at: WallMs(15),
    };
    let theirs = user(
        9,
        30,
        vec![entry("p", &[show(10, 1), show(30, 2)], 2, None), entry("q", &[show(5, 1)], 1, None)],
    );
    let united = unite(None, &theirs, Some(&erased), &ZONE).unwrap();
    assert_eq!(united.revision, Revision { epoch: 2, counter: 6 });
    assert_eq!(shows_of(&united, "p"), (vec![(30, 2)], 1));
    assert_eq!(united.entries.len(), 1);
    let before = user(9, 12, vec![entry("p", &[show(10, 1)], 1, None)]);
    assert_eq!(unite(None, &before, Some(&erased), &ZONE), None);
}

#[test]
fn more_popups_than_are_remembered_push_out_the_oldest() {
    let of = |from: i64, count: i64| {
        let numbers = from..from + count;
        let entries = numbers.map(|at| entry(&format!("p{at}"), &[show(at, 1)], 1, None));
        user(1, from, entries.collect())
    };
    let united = unite(Some(&of(100, 60)), &of(1, 10), None, &ZONE).unwrap();
    let kept = united.entries.iter().filter(|entry| !entry.is_forgotten);
    let mut kept: Vec<i64> = kept.map(|entry| entry.last_shown_at.unwrap().0).collect();
    kept.sort_unstable();
    assert_eq!((kept.len(), kept[0]), (64, 7));
}

/// Up to 20 shows of one popup, numbered in order.
fn any_user() -> impl Strategy<Value = WholeUser> {
    let times = proptest::collection::btree_set(1..60_i64, 1..20);
    (times, 1..50_u64).prop_map(|(times, counter)| {
        let shows: Vec<Show> = (1..).zip(&times).map(|(number, at)| show(*at, number)).collect();
        let total = u32::try_from(shows.len()).unwrap();
        user(counter, *times.last().unwrap(), vec![entry("p", &shows, total, None)])
    })
}

proptest! {
    /// Uniting again changes nothing, no remembered show of the latest 16 is lost, and nobody
    /// counts fewer shows than either side did.
    #[test]
    fn a_union_is_whole_and_repeats_to_itself(ours in any_user(), theirs in any_user()) {
        let united = unite(Some(&ours), &theirs, None, &ZONE).unwrap_or_else(|| ours.clone());
        prop_assert_eq!(unite(Some(&united), &theirs, None, &ZONE), None);
        prop_assert!(united.revision >= ours.revision);
        let mut all = shows_of(&ours, "p").0;
        all.extend(shows_of(&theirs, "p").0);
        all.sort_unstable();
        all.dedup();
        let latest = all[all.len().saturating_sub(SHOWS_REMEMBERED_MAX)..].to_vec();
        let (shows, total) = shows_of(&united, "p");
        prop_assert_eq!(shows, latest);
        prop_assert!(total >= shows_of(&ours, "p").1.max(shows_of(&theirs, "p").1));
    }
}
