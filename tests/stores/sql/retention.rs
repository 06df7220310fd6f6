//! What is old goes and nothing else does, whatever order times come in; hours that become days
//! keep their sums, whoever adds to them at the same time.

use std::collections::BTreeMap;

use super::*;
use nudged_background::projection::stats::{DAY_MS, HOUR_MS, StatUsers};
use nudged_background::retention::{
    Retention, RetentionMetrics, RetentionOutcome, RetentionStep, RetentionView,
};
use nudged_base::time::{MonoNs, WallMs};
use nudged_domain::state::apply::Action;
use nudged_histories::Journal;
use nudged_store::StatRow;
use nudged_store::whole::WholeStat;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};

/// Steps of one pass are bounded by its rows, so that a test ends.
const STEPS_MAX: usize = 10_000;

/// One whole pass by a fresh machine; gives the rows of events and of hours that it took.
pub fn pass(
    store: &mut Store,
    own: StreamId,
    events: Option<i64>,
    hours: Option<i64>,
) -> (u64, u64) {
    let view = RetentionView {
        events_before: events.map(WallMs),
        users_before: None,
        hours_before: hours.map(WallMs),
        is_shared: store.shared().is_some(),
    };
    let (mut machine, metrics) = (Retention::default(), RetentionMetrics::default());
    for _ in 0..STEPS_MAX {
        // No time passes, so that only the end of the pass puts the next step off.
        let Some(step) = machine.begin(MonoNs(1), Some(own), &view) else {
            let count = |counter: &std::sync::atomic::AtomicU64| {
                counter.load(std::sync::atomic::Ordering::Relaxed)
            };
            return (count(&metrics.events), count(&metrics.hours));
        };
        let outcome = store.retain(&step).unwrap();
        machine.end(MonoNs(1), Ok(outcome), &metrics).unwrap();
    }
    panic!("the pass has no end");
}

/// Rows of events at these times, in the order of their sequences.
fn insert_events(database: &Database, stream: u32, times: &[i64]) {
    for (part, times) in times.chunks(500).enumerate() {
        let row = |(index, at): (usize, &i64)| {
            let seq = part * 500 + index + 1;
            format!("({stream},{seq},'d{stream}-{seq}','decided',{at},{at},'u','p',1,'',1,{seq})")
        };
        let rows: Vec<String> = times.iter().enumerate().map(row).collect();
        database.run(&format!("INSERT INTO events VALUES {}", rows.join(",")));
    }
}

fn old_left(database: &Database, before: i64) -> i64 {
    database.number(&format!("SELECT count(*) FROM events WHERE at < {before}"))
}

#[test]
fn old_events_go_in_steps_and_younger_ones_between_them_stay() {
    on_both(|kind| {
        let database = kind.database();
        let mut node = Node::start(&database);
        let other = node.store.stream_id([8; 16]).unwrap();
        // One of a clock that was ahead, in the midst of the old ones.
        let mut times: Vec<i64> = (1..=1_400).collect();
        times[200] = 99_999;
        insert_events(&database, node.stream.0, &times);
        insert_events(&database, other.0, &[1, 2, 9_999, 3]);
        let (deleted, _) = pass(&mut node.store, node.stream, Some(1_301), None);
        assert_eq!((deleted, old_left(&database, 1_301)), (1_299 + 3, 0));
        assert_eq!(database.number("SELECT count(*) FROM events"), 1 + 100 + 1);
        assert_eq!(pass(&mut node.store, node.stream, Some(1_301), None).0, 0);
        assert_eq!(pass(&mut node.store, node.stream, None, None).0, 0, "never");
    });
}

#[test]
fn what_a_clock_has_put_behind_younger_rows_goes_once_those_are_old() {
    on_both(|kind| {
        let database = kind.database();
        let mut node = Node::start(&database);
        let mut times = vec![5_000; 1_100];
        times.extend([1; 10]);
        insert_events(&database, node.stream.0, &times);
        assert_eq!(pass(&mut node.store, node.stream, Some(100), None).0, 0);
        assert_eq!(pass(&mut node.store, node.stream, Some(5_001), None).0, 1_110);
    });
}

#[test]
fn no_row_goes_that_is_not_old() {
    let run = |kind: Kind, cases| {
        let times = prop::collection::vec(0..1_000_i64, 1..400);
        let strategy = (times.clone(), times, 0..1_000_i64);
        let mut runner =
            TestRunner::new(Cases { cases, failure_persistence: None, ..Cases::default() });
        let property = runner.run(&strategy, |(own, others, before)| {
            let database = kind.database();
            let mut node = Node::start(&database);
            let other = node.store.stream_id([8; 16]).unwrap();
            insert_events(&database, node.stream.0, &own);
            insert_events(&database, other.0, &others);
            let young = own.iter().chain(&others).filter(|at| **at >= before).count();
            pass(&mut node.store, node.stream, Some(before), None);
            prop_assert_eq!(old_left(&database, before), 0);
            let left = database.number("SELECT count(*) FROM events");
            prop_assert_eq!(usize::try_from(left).unwrap(), young);
            Ok(())
        });
        property.unwrap();
    };
    run(Kind::Sqlite, 12);
    run(Kind::Mariadb, 3);
}

/// What is counted, and where: popup, variant, hour and stream, each by its number.
type Count = (u8, u8, i64, u8, i64);

fn stat((popup, variant, hour, set, count): Count) -> WholeStat {
    WholeStat {
        popup: format!("p{popup}"),
        variant: if variant == 0 { String::new() } else { format!("v{variant}") },
        hour: hour * HOUR_MS,
        is_day: false,
        set: format!("{set:032x}"),
        counts: [count, 1, 0, 2, 0, count],
        answered: Some(count),
        users: StatUsers::default(),
    }
}

/// Adds counts as a writer does.
fn add(database: &Database, counts: &[Count]) {
    let mut sums: BTreeMap<(u8, u8, i64, u8), i64> = BTreeMap::new();
    for (popup, variant, hour, set, count) in counts {
        *sums.entry((*popup, *variant, *hour, *set)).or_default() += count;
    }
    for ((popup, variant, hour, set), count) in sums {
        let row = stat((popup, variant, hour, set, count));
        let (hour, set) = (row.hour, u32::from(set) + 1);
        let (popup, variant) = (row.popup, row.variant);
        let conflict = match &database.name {
            None => "ON CONFLICT (popup_id, variant, hour, stream, part) DO UPDATE SET",
            Some(_) => "ON DUPLICATE KEY UPDATE",
        };
        database.run(&format!(
            "INSERT INTO popup_stats VALUES \
             ('{popup}', '{variant}', {hour}, {set}, 0, {count}, 1, 0, 2, 0, {count}, {count}, NULL, NULL) \
             {conflict} decided = decided + {count}, shown = shown + 1, \
             dismissed = dismissed + 2, converted = converted + {count}, \
             answered = answered + {count}"
        ));
    }
}

/// Sums of whole days per popup and variant, as `/v1/stats` reads them.
fn days(database: &Database) -> BTreeMap<(String, String, i64), [u64; 6]> {
    let mut days = BTreeMap::new();
    let rows = database.reader().stats(None, WallMs(0), WallMs(i64::MAX)).unwrap();
    for StatRow { popup, variant, hour, counts, .. } in rows {
        let sums: &mut [u64; 6] = days.entry((popup, variant, hour.0 / DAY_MS)).or_default();
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    days
}

#[test]
fn sums_stay_while_hours_become_days_and_late_counts_come() {
    let run = |kind: Kind, cases| {
        let count = (0..3_u8, 0..3_u8, 0..96_i64, 0..3_u8, 1..9_i64);
        let counts = prop::collection::vec(count, 1..40);
        let strategy = (counts.clone(), counts, 0..5_i64);
        let mut runner =
            TestRunner::new(Cases { cases, failure_persistence: None, ..Cases::default() });
        let property = runner.run(&strategy, |(early, late, day)| {
            let database = kind.database();
            let mut node = Node::start(&database);
            add(&database, &early);
            let before = days(&database);
            pass(&mut node.store, node.stream, None, Some(day * DAY_MS));
            prop_assert_eq!(days(&database), before);
            add(&database, &late);
            let before = days(&database);
            pass(&mut node.store, node.stream, None, Some(day * DAY_MS));
            prop_assert_eq!(days(&database), before);
            let boundary = day * DAY_MS;
            let hours = "SELECT count(*) FROM popup_stats WHERE part = 0 AND hour <";
            prop_assert_eq!(database.number(&format!("{hours} {boundary}")), 0);
            let days = "SELECT count(*) FROM popup_stats WHERE part = 1 AND";
            let odd = format!("{days} (hour >= {boundary} OR hour % {DAY_MS} <> 0)");
            prop_assert_eq!(database.number(&odd), 0);
            Ok(())
        });
        property.unwrap();
    };
    run(Kind::Sqlite, 16);
    run(Kind::Mariadb, 4);
}

#[test]
fn a_place_with_many_hours_takes_several_steps() {
    on_both(|kind| {
        let database = kind.database();
        let mut node = Node::start(&database);
        let counts: Vec<Count> = (0..1_200).map(|hour| (0, 0, hour, 0, 1)).collect();
        add(&database, &counts[..30]);
        let rows: Vec<String> = (30..1_200)
            .map(|hour| format!("('p0','',{},1,0,1,0,0,0,0,0,1,NULL,NULL)", hour * HOUR_MS))
            .collect();
        database.run(&format!("INSERT INTO popup_stats VALUES {}", rows.join(",")));
        let (_, folded) = pass(&mut node.store, node.stream, None, Some(50 * DAY_MS));
        assert_eq!(folded, 1_200);
        assert_eq!(database.number("SELECT count(*) FROM popup_stats"), 50);
        assert_eq!(database.number("SELECT sum(decided) FROM popup_stats"), 1_200);
        assert_eq!(database.number("SELECT sum(answered) FROM popup_stats"), 1_200);
        let reader = database.reader();
        let rows = reader.stats(Some("p0"), WallMs(DAY_MS), WallMs(3 * DAY_MS)).unwrap();
        assert_eq!(rows.iter().map(|row| row.is_day).collect::<Vec<_>>(), [true, true]);
    });
}

#[test]
fn nodes_and_writers_at_the_same_time_lose_and_double_nothing() {
    let database = Kind::Mariadb.database();
    let mut node = Node::start(&database);
    let own = node.stream;
    for hour in 0..48 {
        add(&database, &[(0, 0, hour, 0, 1), (1, 0, hour, 1, 1)]);
    }
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut store = database.open();
                for _ in 0..6 {
                    // Nobody is alive, so each of them does it.
                    pass(&mut store, own, None, Some(2 * DAY_MS));
                }
            });
        }
        scope.spawn(|| {
            for hour in 0..48 {
                add(&database, &[(0, 0, hour, 0, 1), (1, 0, hour, 1, 1)]);
            }
        });
    });
    pass(&mut node.store, own, None, Some(2 * DAY_MS));
    assert_eq!(database.number("SELECT sum(decided) FROM popup_stats"), 4 * 48);
    assert_eq!(database.number("SELECT count(*) FROM popup_stats"), 4);
}

#[test]
fn users_are_found_by_what_they_did_last() {
    on_both(|kind| {
        let database = kind.database();
        let mut journal = Journal::new();
        for user in ["a", "b", "c", "d"] {
            journal.show(user, 0, None);
        }
        let at = |journal: &Journal| journal.records.last().unwrap().borrow().1.at();
        let before = WallMs(at(&journal).0 + 1);
        // One is shown something later, one has clicked later, and one has done what counts for
        // statistics alone.
        journal.event("b", 0, Action::Converted);
        journal.show("c", 1, None);
        let mut node = Node::start(&database);
        node.apply_all(&journal.records);
        database.run(&format!(
            "INSERT INTO events VALUES ({1}, 1, 'x', 'dismissed', {0}, {0}, 'd', 'p', 1, '', 1, 1)",
            before.0,
            node.stream.0 + 1
        ));
        let step = |after: &str| RetentionStep::FindUsers { after: after.to_owned(), before };
        let found = |store: &mut Store, after: &str| match store.retain(&step(after)).unwrap() {
            RetentionOutcome::Users { found, next } => (found, next),
            other => panic!("{other:?}"),
        };
        let old = vec![("a".to_owned(), journal.state("a"))];
        assert_eq!(found(&mut node.store, ""), (old, None));
        assert_eq!(found(&mut node.store, "a"), (Vec::new(), None));
        let many: Vec<String> = (0..120).map(|user| format!("u{user:03}")).collect();
        let mut journal = Journal::new();
        many.iter().for_each(|user| journal.show(user, 0, None));
        let other = kind.database();
        let mut node = Node::start(&other);
        node.apply_all(&journal.records);
        let (mut pages, mut after) = (Vec::new(), Some(String::new()));
        while let Some(from) = after {
            let (_, next) = found(&mut node.store, &from);
            pages.push(from);
            after = next;
        }
        assert_eq!(pages, ["", "u049", "u099"]);
    });
}

#[test]
fn one_of_the_nodes_that_are_alive_is_chosen() {
    let database = Kind::Mariadb.database();
    let mut node = Node::start(&database);
    let other = node.store.stream_id([8; 16]).unwrap();
    insert_events(&database, node.stream.0, &[1, 2, 3]);
    for (stream, name) in [(node.stream, "a"), (other, "b")] {
        node.store.heartbeat(stream, name).unwrap();
    }
    assert_eq!(pass(&mut node.store, other, Some(9), None).0, 0);
    node.store.say_stopped(node.stream).unwrap();
    assert_eq!(pass(&mut node.store, other, Some(9), None).0, 3, "it was the only one left");
}

#[test]
fn statistics_that_are_brought_again_are_not_counted_twice() {
    on_both(|kind| {
        let hours: Vec<WholeStat> = (0..30).map(|hour| stat((0, 0, hour, 0, 2))).collect();
        let boundary = Some(DAY_MS);
        let folded = {
            let database = kind.database();
            let mut node = Node::start(&database);
            node.store.take_stats(&hours).unwrap();
            pass(&mut node.store, node.stream, None, boundary);
            let first = node.store.whole_stats_after(None, 4).unwrap();
            let mut rows = first.clone();
            rows.extend(node.store.whole_stats_after(first.last(), 100).unwrap());
            rows
        };
        assert_eq!(folded.len(), 7);
        assert!(folded[0].is_day && folded.iter().filter(|row| row.is_day).count() == 1);
        // Whichever side has days, and in whichever order they come.
        for (first, is_folded_here, again) in [
            (&hours, true, &hours),
            (&hours, false, &folded),
            (&folded, false, &hours),
            (&folded, true, &folded),
        ] {
            let database = kind.database();
            let mut node = Node::start(&database);
            node.store.take_stats(first).unwrap();
            if is_folded_here {
                pass(&mut node.store, node.stream, None, boundary);
            }
            node.store.take_stats(again).unwrap();
            assert_eq!(database.number("SELECT sum(decided) FROM popup_stats"), 60);
        }
    });
}
