//! What earlier processes of this node accepted without its users' states and did not merge: read
//! from the part of the journal that SQL has not applied, and handed to the shards. Only a node
//! with Redis asks; without it an unmerged record has nothing to wait for.

use nudged_base::ids::{Sequence, ShardId, UserKey};
use nudged_journal::disk::DiskRead;
use nudged_journal::reader::{Tail, TailError};
use nudged_runtime::redis_status::RedisStatus;
use nudged_shard::users::unmerged::{RecoveredUnmerged, UnmergedScan};

/// Entries that no record from `tail` to `end` tells to be merged. Allocates what they take.
///
/// # Errors
/// Where the journal can't be read.
pub fn collect(
    disk: &impl DiskRead,
    mut tail: Tail,
    end: Sequence,
) -> Result<RecoveredUnmerged, TailError> {
    let mut found = UnmergedScan::default();
    while let Some(batch) = tail.next(disk, end)? {
        for (sequence, record) in batch {
            // What can't be read is told by the writer, who passes it over.
            let Ok(record) = record else { continue };
            found.take(sequence, &record);
        }
    }
    Ok(found.into_left())
}

/// Those of one shard's users.
pub fn of_shard(left: &RecoveredUnmerged, shard: ShardId, shards: u16) -> RecoveredUnmerged {
    let is_own = |user: &str| UserKey::of(user.as_bytes()).home(shards) == shard;
    left.iter().filter(|(_, entry)| is_own(entry.record().user)).cloned().collect()
}

/// Says on the Redis status, before the writer begins and before the shards do, what it must not
/// pass.
pub fn announce(redis_status: &RedisStatus, left: &RecoveredUnmerged, end: Sequence, shards: u16) {
    for shard in (0..shards).map(ShardId) {
        let first = of_shard(left, shard, shards).iter().map(|(sequence, _)| *sequence).min();
        redis_status.report_journal(shard, end, first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nudged_base::event_kind::EventKind;
    use nudged_base::ids::Revision;
    use nudged_base::time::WallMs;
    use nudged_journal::record::{Impression, Record, Unmerged};
    use nudged_runtime::wake::Waker;
    use nudged_shard::users::unmerged::UnmergedEntry;
    use std::sync::Arc;

    fn entry(user: &str, token: &str, kind: EventKind) -> UnmergedEntry {
        UnmergedEntry::of(&Unmerged {
            user,
            at: WallMs(5),
            kind,
            acted_at: WallMs(5),
            token,
            popup: "p",
            version: 1,
            variant: "",
            number: 1,
            shown_at: WallMs(1),
            session: 0,
            is_of_local: false,
        })
    }

    fn merged(token: &str) -> Record<'_> {
        Record::Impression(Impression {
            user: "u",
            revision: Revision { epoch: 1, counter: 1 },
            at: WallMs(5),
            kind: EventKind::Clicked,
            acted_at: WallMs(5),
            token,
            popup: "p",
            version: 1,
            variant: "",
            clocks: &[],
            row: &[],
            next_show_at: None,
            forgotten: "",
        })
    }

    #[test]
    fn what_was_merged_or_erased_is_not_left_and_the_latest_record_counts() {
        let clicked_by = |user, token| entry(user, token, EventKind::Clicked);
        let shown = entry("u", "a", EventKind::Decided);
        let (clicked, other) = (clicked_by("u", "a"), clicked_by("v", "b"));
        let gone = clicked_by("gone", "c");
        let erase = Record::Erase {
            user: "gone",
            revision: Revision { epoch: 1, counter: 9 },
            at: WallMs(6),
        };
        let records = [
            Record::Unmerged(shown.record()),
            Record::Unmerged(clicked.record()),
            Record::Unmerged(other.record()),
            Record::Unmerged(gone.record()),
            merged("b"),
            erase,
            // Journaled again, the show first; then the node died.
            Record::Unmerged(shown.record()),
        ];
        let mut found = UnmergedScan::default();
        for (sequence, record) in (11..).zip(&records) {
            found.take(Sequence(sequence), record);
        }
        let left = found.into_left();
        let wanted: RecoveredUnmerged =
            vec![(Sequence(17), shown.clone()), (Sequence(12), clicked.clone())];
        assert_eq!(left, wanted, "the show stays before its event");
        let wakers = (0..3).map(|_| Arc::new(Waker::new().unwrap())).collect();
        let redis_status = RedisStatus::new(wakers).unwrap();
        announce(&redis_status, &left, Sequence(20), 3);
        let home = UserKey::of(b"u").home(3);
        for shard in (0..3).map(ShardId) {
            let first = (shard == home).then_some(Sequence(12));
            assert_eq!(redis_status.journal_of(shard), (Sequence(20), first));
            assert_eq!(of_shard(&left, shard, 3).len(), if shard == home { 2 } else { 0 });
        }
    }
}
