//! Over real files: what was acknowledged is in the files at that moment, a stop loses nothing, a
//! start goes on behind it, and the tail reads it meanwhile.

use std::path::Path;

use super::*;
use crate::journal::directory::DirectoryReader;
use nudged_base::ids::{LaneSequence, Revision, Sequence};
use nudged_base::limits::SEGMENT_BYTES_MIN;
use nudged_base::telemetry::log::Level;
use nudged_base::time::WallMs;
use nudged_journal::appender::AckLevel;
use nudged_journal::lane::LaneBatch;
use nudged_journal::reader::Tail;
use nudged_journal::record::{self, Record};
use nudged_journal::recovery::{RecoverOptions, Recovered, recover};
use nudged_journal::segment::SetId;

const SHARDS: u16 = 2;

/// A shard's side and SQL's, played by the test's own thread.
struct Bench {
    lanes: Arc<JournalLanes>,
    shard: Arc<Waker>,
    handle: JournalHandle,
    pushed: [u64; 2],
}

fn found(path: &Path, applied: u64) -> Recovered {
    let options =
        RecoverOptions { applied: Sequence(applied), fresh_set: SetId(77), skip_damaged: false };
    recover(&DirectoryReader::new(path), options).unwrap()
}

fn begin(path: &Path, ack: AckLevel, applied: u64) -> Bench {
    let directory = Arc::new(JournalDirectory::open(path).unwrap());
    let recovered = found(path, applied);
    let lanes = Arc::new(JournalLanes::new(SHARDS).unwrap());
    // Both shards sleep in one bed: one thread plays them.
    let shard = Arc::new(Waker::new().unwrap());
    let wakers = JournalWakers {
        shards: vec![Arc::clone(&shard), Arc::clone(&shard)],
        reader: Arc::new(Waker::new().unwrap()),
    };
    let appender = AppenderConfig {
        ack,
        segment_bytes: SEGMENT_BYTES_MIN,
        budget_bytes: 64 * SEGMENT_BYTES_MIN,
        ..AppenderConfig::default()
    };
    let config =
        JournalConfig { directory, cpu: None, appender, log: Log::new(Level::Error, false, &[]) };
    let handle = start(config, recovered.start, Arc::clone(&lanes), wakers).unwrap();
    Bench { lanes, shard, handle, pushed: [0; 2] }
}

impl Bench {
    fn push(&mut self, shard: u16, count: u64) {
        let first = self.pushed[usize::from(shard)] + 1;
        let mut bytes = Vec::new();
        for counter in first..first + count {
            let user = format!("shard-{shard}-{}", "x".repeat(100));
            let revision = Revision { epoch: 0, counter };
            record::append(&Record::Erase { user: &user, revision, at: WallMs(5) }, &mut bytes);
        }
        self.pushed[usize::from(shard)] += count;
        let count = u32::try_from(count).unwrap();
        let batch = LaneBatch { shard: ShardId(shard), first: LaneSequence(first), count, bytes };
        self.lanes.push(batch).unwrap();
    }

    /// Sleeps until everything that was pushed is acknowledged.
    fn wait(&self) -> Sequence {
        let mut acknowledged = [0, 0];
        let mut last = Sequence(0);
        loop {
            self.shard.announce_sleep();
            let mut is_any = false;
            for shard in 0..SHARDS {
                while let Some(ack) = self.lanes.pop_ack(ShardId(shard)) {
                    acknowledged[usize::from(shard)] = ack.upto.0;
                    last = last.max(ack.upto_sequence);
                    is_any = true;
                }
            }
            if acknowledged == self.pushed {
                self.shard.announce_awake();
                return last;
            }
            if !is_any {
                rustix::io::read(self.shard.eventfd(), &mut [0; 8]).unwrap();
            }
            self.shard.announce_awake();
        }
    }
}

/// Counters of the records of each shard, in the order of the journal.
fn read_all(path: &Path, end: Sequence) -> [Vec<u64>; 2] {
    let reader = DirectoryReader::new(path);
    let mut tail = Tail::seek(&reader, SetId(77), Sequence(1), Vec::new()).unwrap();
    let mut counters = [Vec::new(), Vec::new()];
    while let Some(batch) = tail.next(&reader, end).unwrap() {
        for (_, record) in batch {
            let record = record.unwrap();
            let shard = usize::from(record.user().starts_with("shard-1"));
            counters[shard].push(record.revision().counter);
        }
    }
    counters
}

#[test]
fn what_is_acknowledged_is_in_the_files_and_a_start_goes_on_behind_it() {
    for ack in [AckLevel::Written, AckLevel::Synced] {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("journal");
        let mut bench = begin(&path, ack, 0);
        for turn in 1..=40 {
            bench.push(0, turn);
            bench.push(1, 3);
        }
        let last = bench.wait();
        assert_eq!(last, Sequence(820 + 120));
        assert!(bench.lanes.written() >= last && bench.lanes.is_accepting());
        if ack == AckLevel::Synced {
            assert!(bench.lanes.metrics().synced >= last);
        }
        // As a kill would leave it: the files as they are while the journal runs.
        let killed = found(&path, 0);
        assert_eq!((killed.start.next, killed.report.unapplied), (Sequence(941), 940));
        let everything = [(1..=820).collect::<Vec<u64>>(), (1..=120).collect()];
        assert_eq!(read_all(&path, last), everything);
        let lanes = Arc::clone(&bench.lanes);
        assert_eq!(bench.handle.stop(), Ok(()));
        assert_eq!((lanes.metrics().synced, lanes.is_accepting()), (last, false));

        let mut again = begin(&path, ack, 900);
        again.push(1, 1);
        assert_eq!(again.wait(), Sequence(941));
        assert_eq!(again.handle.stop(), Ok(()));
        assert_eq!(found(&path, 940).report.unapplied, 1);
    }
}

#[test]
fn records_that_fill_segments_come_back_and_applied_segments_go() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("journal");
    let mut bench = begin(&path, AckLevel::Written, 0);
    for _ in 0..60 {
        bench.push(0, 100);
    }
    let last = bench.wait();
    assert_eq!(last, Sequence(6_000));
    assert!(bench.lanes.metrics().segments >= 4, "{:?}", bench.lanes.metrics());
    assert!(bench.lanes.metrics().unapplied_bytes > 780_000);
    let counters = read_all(&path, last);
    assert_eq!(counters[0], (1..=6_000).collect::<Vec<u64>>());
    // Their times are of 1970: what SQL has applied goes at once.
    bench.lanes.set_applied(last);
    assert_eq!(bench.handle.stop(), Ok(()));
    assert_eq!(found(&path, 6_000).start.next, Sequence(6_001));
}

#[test]
fn stopping_finishes_what_was_pushed() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("journal");
    let mut bench = begin(&path, AckLevel::Synced, 0);
    for _ in 0..30 {
        bench.push(0, 50);
    }
    let lanes = Arc::clone(&bench.lanes);
    assert_eq!(bench.handle.stop(), Ok(()));
    assert_eq!(lanes.metrics().synced, Sequence(1_500));
    assert_eq!(found(&path, 0).report.unapplied, 1_500);
}
