//! Property: whatever is cut, killed or refused between the writer and MySQL, each record is in SQL
//! exactly once in the end. Retrying a batch blindly after an unknown commit would double its
//! statistics, which the comparison with the embedded store shows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nudged_base::ids::Sequence;
use nudged_base::time::DurationMs;
use nudged_base::time::WallMs;
use nudged_store::{FailureKind, StatUsers, StoreReader, StreamId};

use super::apply::wide_journal;
use super::{Node, assert_same, database, dump, dump_of, migrate, shared};
use crate::support::mariadb::MariaDb;
use crate::support::proxy::{Proxy, Way};
use nudged_histories::{Journal, OwnedRecord};

/// Calls again until it is done, as the writer does; gives the number of failures.
fn apply_until_done(node: &mut Node, records: &[OwnedRecord]) -> usize {
    for failures in 0..10_000 {
        match node.apply(records) {
            Ok(_) => return failures,
            Err(error) => assert_eq!(error.kind(), FailureKind::Unreachable, "{error}"),
        }
    }
    panic!("never done");
}

fn url_through(proxy: &Proxy, database: &str) -> String {
    format!("mysql://nudged:secret@{}/{database}", proxy.address())
}

#[test]
fn a_cut_at_any_byte_of_the_replies_or_statements_doubles_and_loses_nothing() {
    let name = database();
    let proxy = Proxy::to(shared().address());
    let mut node = Node::start(&url_through(&proxy, &name));
    let journal = wide_journal(400);
    let mut records = journal.records.chunks(2);
    // How many bytes an undisturbed transaction has in each direction.
    let before = [Way::ToServer, Way::ToClient].map(|way| proxy.passed(way));
    node.apply(records.next().unwrap()).unwrap();
    let after = [Way::ToServer, Way::ToClient].map(|way| proxy.passed(way));
    let mut cuts = 0;
    for (index, way) in [Way::ToServer, Way::ToClient].into_iter().enumerate() {
        let bytes = usize::try_from(after[index] - before[index]).unwrap();
        let step = bytes / 60 + 1;
        // The last bytes to the server are the COMMIT, the last to the node its answer.
        let near_end = (bytes.saturating_sub(16)..=bytes).collect::<Vec<_>>();
        for at in (0..bytes).step_by(step).chain(near_end) {
            let Some(records) = records.next() else { break };
            let connections = proxy.accepted();
            proxy.cut_after(way, at);
            apply_until_done(&mut node, records);
            cuts += usize::from(proxy.accepted() > connections);
            proxy.heal();
        }
    }
    assert!(cuts > 100, "only {cuts} cuts");
    let done = usize::try_from(node.position().0).unwrap();
    assert_same(&dump(shared(), &name), &dump_of(&journal.records[..done]));
}

#[test]
fn killed_connections_double_and_lose_nothing() {
    let name = database();
    let mut node = Node::start(&shared().url_of(&name));
    let journal = wide_journal(3_000);
    let is_done = AtomicBool::new(false);
    let ids = format!("SELECT id FROM information_schema.processlist WHERE db = '{name}'");
    let kills = std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut kills = 0;
            // Bounded, or on a slow machine no connection would live long enough.
            while kills < 40 && !is_done.load(Ordering::Acquire) {
                for id in shared().run_sql(&ids).lines() {
                    kills += usize::from(shared().try_sql(&format!("KILL {id}")).is_ok());
                }
            }
            kills
        });
        for records in journal.records.chunks(10) {
            apply_until_done(&mut node, records);
        }
        is_done.store(true, Ordering::Release);
        killer.join().unwrap()
    });
    assert!(kills > 3, "only {kills} kills");
    assert_same(&dump(shared(), &name), &dump_of(&journal.records));
}

#[test]
fn a_server_that_is_killed_and_comes_back_has_each_record_once() {
    let mut server = MariaDb::start();
    migrate(&server.url());
    let mut node = Node::start(&server.url());
    let journal = wide_journal(300);
    for (turn, records) in journal.records.chunks(100).enumerate() {
        node.apply(&records[..50]).unwrap();
        server.kill();
        let error = node.apply(records).unwrap_err();
        assert_eq!(error.kind(), FailureKind::Unreachable, "{turn}: {error}");
        server.restart();
        assert_eq!(node.apply(records).unwrap().skipped, 50);
    }
    assert_same(&dump(&server, "nudged"), &dump_of(&journal.records));
}

#[test]
fn a_server_that_hangs_is_given_up_in_time_and_its_lock_is_taken_back() {
    let name = database();
    let proxy = Proxy::to(shared().address());
    let mut node = Node::start_with(&url_through(&proxy, &name), |config| {
        config.mysql.query_timeout = DurationMs(300);
        config.mysql.connect_timeout = DurationMs(300);
    });
    let journal = wide_journal(20);
    node.apply(&journal.records[..10]).unwrap();
    let ids = format!("SELECT id FROM information_schema.processlist WHERE db = '{name}'");
    let left_behind = shared().run_sql(&ids);
    proxy.black_hole();
    let begun = Instant::now();
    let error = node.apply(&journal.records[10..]).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unreachable);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    proxy.heal();
    apply_until_done(&mut node, &journal.records[10..]);
    assert_eq!(node.position(), Sequence(20));
    assert_ne!(shared().run_sql(&ids), left_behind);
    assert_same(&dump(shared(), &name), &dump_of(&journal.records));
}

fn stream_of(node: &mut Node, list: u16, lane: &str) -> StreamId {
    let lists = [(1, nudged_base::ids::Partition(list))];
    node.store.shared().unwrap().streams_of_lists(&lists, lane).unwrap()[0]
}

#[test]
fn writers_that_hold_each_other_up_all_come_through() {
    let name = database();
    let url = shared().url_of(&name);
    let journal = wide_journal(600);
    std::thread::scope(|scope| {
        for list in 0..3_u16 {
            let (url, journal) = (&url, &journal);
            scope.spawn(move || {
                let mut node = Node::start(url);
                let stream = stream_of(&mut node, list, &format!("lane {list}"));
                // All of them write the same users, of which the highest revision stays.
                let records = nudged_histories::borrowed(&journal.records);
                for records in records.chunks(50) {
                    let run = nudged_store::RecordRun { stream, is_dense: true, records };
                    while let Err(error) = node.store.apply_runs(&[run]) {
                        assert!(error.is_transient(), "{error}");
                    }
                }
            });
        }
    });
    assert_eq!(shared().number(&name, "SELECT count(*) FROM events"), 600);
    assert_eq!(shared().number(&name, "SELECT count(*) FROM users"), 600);
    assert_eq!(shared().number(&name, "SELECT sum(decided) FROM popup_stats"), 600);
}

#[test]
fn writers_of_one_lane_take_no_users_from_each_other() {
    let name = database();
    let url = shared().url_of(&name);
    let mut journal = Journal::new();
    (0..300).for_each(|number| journal.show(&format!("user-{number}"), 0, None));
    // All of one popup and one hour, so of one row.
    for impression in journal.records.iter_mut().filter_map(|record| record.impression.as_mut()) {
        (impression.variant, impression.acted_at) = ("", WallMs(1_767_225_600_000));
    }
    std::thread::scope(|scope| {
        for part in 0..3_u16 {
            let (url, journal) = (&url, &journal);
            scope.spawn(move || {
                // As of a node that hands over, and of the one that takes over.
                let mut node = Node::start(url);
                let stream = stream_of(&mut node, part, "lane");
                let records = nudged_histories::borrowed(&journal.records);
                let own = records.iter().skip(usize::from(part)).step_by(3).copied();
                for records in own.collect::<Vec<_>>().chunks(4) {
                    let run = nudged_store::RecordRun { stream, is_dense: false, records };
                    while let Err(error) = node.store.apply_runs(&[run]) {
                        assert!(error.is_transient(), "{error}");
                    }
                }
            });
        }
    });
    assert_eq!(shared().number(&name, "SELECT sum(decided) FROM popup_stats"), 300);
    assert_eq!(shared().number(&name, "SELECT COUNT(*) FROM popup_stats"), 1);
    let directory = tempfile::tempdir().unwrap();
    let reader = StoreReader::of(&super::config(&url, directory.path())).unwrap();
    let users = reader.stat_users(None, WallMs(0), WallMs(i64::MAX)).unwrap();
    let mut all = StatUsers::default();
    users.values().for_each(|users| all.unite(users));
    let names = journal.records.iter().map(|record| &*record.user);
    assert_eq!(all.by_kind[0], Some(names.collect()));
}
