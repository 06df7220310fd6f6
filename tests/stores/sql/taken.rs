//! Property: what another store had is taken in once, however often it is brought.

use nudged_background::projection::stats::StatUsers;
use nudged_background::projection::union::Tombstone;
use nudged_base::ids::{Revision, UserKey};
use nudged_base::sketch::UserSketch;
use nudged_base::time::WallMs;
use nudged_store::whole::WholeStat;

use super::*;

#[test]
fn of_statistics_each_count_is_the_higher_one() {
    on_both(|kind| {
        let database = kind.database();
        let mut store = database.open();
        let users = |names: &[&str]| Some(names.iter().copied().collect::<UserSketch>());
        let stat = |counts, decided: &[&str]| WholeStat {
            popup: "p".to_owned(),
            variant: String::new(),
            hour: 3_600_000,
            is_day: false,
            set: "ab".repeat(16),
            counts,
            answered: Some(1),
            users: StatUsers { by_kind: [users(decided), users(&[])] },
        };
        store.take_stats(&[stat([3, 1, 0, 0, 0, 0], &["a", "b"])]).unwrap();
        for _ in 0..2 {
            store.take_stats(&[stat([2, 2, 0, 0, 0, 1], &["a", "c"])]).unwrap();
        }
        let want = [stat([3, 2, 0, 0, 0, 1], &["a", "b", "c"])];
        assert_eq!(store.whole_stats_after(None, 10).unwrap(), want);
        assert_eq!(store.whole_stats_after(Some(&want[0]), 10).unwrap(), []);
        let all = database.reader().stats(Some("p"), WallMs(0), WallMs(i64::MAX)).unwrap();
        assert_eq!(all[0].counts, [3, 2, 0, 0, 0, 1]);
        // A file knows the journal then, of which nothing is applied.
        let applied = store.whole_streams().unwrap().pop().map(|stream| stream.applied);
        assert_eq!(applied, (kind == Kind::Sqlite).then_some(sequence(0)));
    });
}

#[test]
fn a_tombstone_gives_way_to_a_higher_revision_and_the_later_time_stays() {
    on_both(|kind| {
        let database = kind.database();
        let mut store = database.open();
        let key = UserKey::of(b"u");
        let tombstone = |counter, at| {
            let revision = Revision { epoch: 1, counter };
            Tombstone { key, revision, at: WallMs(at) }
        };
        // Brought, and what is there then.
        let steps =
            [((5, 100), (5, 100)), ((4, 200), (5, 100)), ((6, 50), (6, 100)), ((7, 300), (7, 300))];
        for ((counter, at), (stands, stood_at)) in steps {
            store.take_tombstones(&[tombstone(counter, at)]).unwrap();
            let found = store.tombstones_after(i64::MIN, 10).unwrap();
            assert_eq!(found, [tombstone(stands, stood_at)], "{counter}");
        }
        let hash = key.0.cast_signed();
        assert_eq!(store.tombstones_after(hash, 10).unwrap(), []);
    });
}
