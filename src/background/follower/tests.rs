//! Property: what the follower asks of SQL, in its order, and what it does with each answer; and
//! whatever fails, each record is applied once, behind all before it. The tables are of inputs with
//! the next effect.

use std::collections::BTreeMap;

use nudged_base::ids::{LaneSequence, Revision, ShardId};
use nudged_base::limits::{SEGMENT_BYTES_MIN, SQL_FOLD_PERIOD_MS};
use nudged_base::telemetry::log::Level;
use nudged_base::time::WallMs;
use nudged_journal::appender::{Appender, AppenderConfig};
use nudged_journal::disk::{DiskCommand, DiskCompletion, DiskError};
use nudged_journal::lane::LaneBatch;
use nudged_journal::recovery::{RecoverOptions, recover};
use nudged_journal::segment::SegmentId;
use proptest::prelude::*;

use super::*;

const SET: SetId = SetId(0xfeed);
const STREAM: StreamId = StreamId(4);

/// Segments in memory, written by a real appender.
#[derive(Default)]
struct Files(BTreeMap<SegmentId, Vec<u8>>);

impl Files {
    /// A journal of so many records, a batch each.
    fn with(records: u64) -> Files {
        let mut files = Files::default();
        let options = RecoverOptions { applied: Sequence(0), fresh_set: SET, skip_damaged: false };
        let start = recover(&files, options).unwrap().start;
        let segment_bytes = SEGMENT_BYTES_MIN;
        let budget_bytes = 64 * segment_bytes;
        let config = AppenderConfig { segment_bytes, budget_bytes, ..AppenderConfig::default() };
        let mut appender = Appender::new(config, start);
        for number in 1..=records {
            let mut bytes = Vec::new();
            let revision = Revision { epoch: 0, counter: number };
            record::append(&Record::Erase { user: "u", revision, at: WallMs(1) }, &mut bytes);
            let first = LaneSequence(number);
            files.carry_out_all(&mut appender);
            appender.offer(LaneBatch { shard: ShardId(0), first, count: 1, bytes });
            files.carry_out_all(&mut appender);
        }
        files
    }

    fn carry_out_all(&mut self, appender: &mut Appender) {
        while let Some(command) = appender.next_command() {
            appender.complete(self.carry_out(&command));
        }
    }

    fn carry_out(&mut self, command: &DiskCommand) -> DiskCompletion {
        match command {
            DiskCommand::Prepare { segment, header, bytes } => {
                let mut image = vec![0; usize::try_from(*bytes).unwrap()];
                for at in [0, 4_096] {
                    let header = header.encode();
                    image[at..at + header.len()].copy_from_slice(&header);
                }
                self.0.insert(*segment, image);
                DiskCompletion::Prepared(*segment, Ok(()))
            }
            DiskCommand::Write { segment, offset, bytes } => {
                let at = usize::try_from(*offset).unwrap();
                self.0.get_mut(segment).unwrap()[at..at + bytes.len()].copy_from_slice(bytes);
                DiskCompletion::Written(*segment, Ok(bytes.len()))
            }
            DiskCommand::Sync { segment } => DiskCompletion::Synced(*segment, Ok(())),
            DiskCommand::Remove { segment } => DiskCompletion::Removed(*segment, Ok(())),
        }
    }
}

impl DiskRead for Files {
    fn segments(&self) -> Result<Vec<SegmentId>, DiskError> {
        Ok(self.0.keys().copied().collect())
    }

    fn bytes(&self, segment: SegmentId) -> Result<u64, DiskError> {
        Ok(self.0[&segment].len() as u64)
    }

    fn read_at(
        &self,
        segment: SegmentId,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, DiskError> {
        let rest = &self.0[&segment][usize::try_from(offset).unwrap()..];
        let count = buffer.len().min(rest.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

struct Bench {
    machine: Follower,
    files: Files,
    metrics: Arc<FollowerMetrics>,
    now_ms: u64,
    written: u64,
    is_stopping: bool,
    /// The first record that SQL must not pass.
    held: Option<u64>,
    sql: SqlView,
}

/// A follower of a journal of nine records, of which so many are written, and one that SQL has.
fn bench(stream: Option<StreamId>, written: u64, next: u64, beats: bool) -> Bench {
    let files = Files::with(9);
    let tail = Tail::seek(&files, SET, Sequence(next), Vec::new()).unwrap();
    let metrics: Arc<FollowerMetrics> = Arc::default();
    let machine = Follower::new(FollowerSetup {
        stream,
        set: SET,
        applied: Sequence(0),
        skipped: Vec::new(),
        tail,
        beats,
        log: Log::new(Level::Error, false, &[]),
        metrics: Arc::clone(&metrics),
    });
    let sql = SqlView { records_max: 4, ..SqlView::default() };
    let (is_stopping, held) = (false, None);
    Bench { machine, files, metrics, now_ms: 1_000, written, is_stopping, held, sql }
}

impl Bench {
    /// The next effect, with the records that it applies.
    fn step(&mut self, input: Input) -> String {
        let held = self.held;
        let may_pass = move |sequence: Sequence, _| held.is_none_or(|held| sequence.0 < held);
        let now = Now { mono: MonoNs(self.now_ms * 1_000_000), wall: WallMs(1) };
        let view = View {
            now,
            disk: &self.files,
            written: Sequence(self.written),
            is_stopping: self.is_stopping,
            may_pass: &may_pass,
            sql: self.sql,
        };
        match self.machine.step(&view, input) {
            Effect::Apply(stream) => {
                let number = |(sequence, record): (Sequence, Record<'_>)| {
                    let Record::Erase { revision, .. } = record else { panic!("{record:?}") };
                    assert_eq!(revision.counter, sequence.0, "each record has its own number");
                    sequence.0
                };
                let numbers: Vec<u64> = self.machine.batch().into_iter().map(number).collect();
                format!("apply to {}: {numbers:?}", stream.0)
            }
            effect => format!("{effect:?}"),
        }
    }

    fn play(&mut self, rows: Vec<(Input, &str)>) {
        for (place, (input, expected)) in rows.into_iter().enumerate() {
            let named = format!("row {place}: {input:?}");
            assert_eq!(self.step(input), expected, "{named}");
        }
    }

    /// Steps to the first transaction.
    fn until_apply(&mut self) {
        self.play(vec![
            (Input::Go, "TryRights"),
            (Input::Rights(None), "Pause(30)"),
            (Input::Go, "apply to 4: [1, 2, 3]"),
        ]);
    }
}

fn applied() -> Input {
    Input::Applied(Ok((0, 0)))
}

fn failed(meaning: SqlMeaning) -> SqlFailure {
    SqlFailure { meaning, cause: "unreachable", text: "gone".to_owned() }
}

#[test]
fn what_is_written_is_gathered_applied_and_then_waited_for() {
    let mut bench = bench(Some(STREAM), 3, 1, false);
    bench.until_apply();
    bench.play(vec![(applied(), "Purge"), (Input::Done(Ok(())), "Sleep(Sequence(4), None)")]);
    assert_eq!(bench.machine.highest_applied(), Sequence(3));
    // A full transaction does not wait for more, and the rest is gathered once.
    bench.written = 9;
    bench.play(vec![
        (Input::Go, "apply to 4: [4, 5, 6, 7]"),
        (applied(), "Pause(30)"),
        (Input::Go, "apply to 4: [8, 9]"),
        (applied(), "Sleep(Sequence(10), None)"),
    ]);
    assert_eq!(bench.metrics.records.load(Ordering::Relaxed), 9);
    assert_eq!(bench.metrics.transactions.load(Ordering::Relaxed), 3);
}

#[test]
fn each_failure_of_a_transaction_has_its_own_wait_and_loses_nothing() {
    let again = "apply to 4: [1, 2, 3]";
    for (meaning, steps) in [
        (SqlMeaning::Passing, vec!["Pause(100)", again]),
        (SqlMeaning::Lasting, vec!["Pause(1000)", again]),
        (SqlMeaning::Denied, vec!["Pause(1000)", "TryRights", again]),
        (SqlMeaning::Halted, vec!["AwaitStop", "End"]),
        (SqlMeaning::Fenced(STREAM), vec!["AwaitStop", "End"]),
        // It had two of them: the journal is read again behind those.
        (SqlMeaning::Behind(Sequence(2)), vec!["Pause(30)", "apply to 4: [3]"]),
    ] {
        let mut bench = bench(Some(STREAM), 3, 1, false);
        bench.until_apply();
        let mut input = Input::Applied(Err(failed(meaning)));
        for expected in steps {
            assert_eq!(bench.step(input), expected, "{meaning:?}");
            input = if expected == "TryRights" { Input::Rights(None) } else { Input::Go };
        }
        let is_halted = matches!(meaning, SqlMeaning::Halted | SqlMeaning::Fenced(_));
        assert_eq!(bench.metrics.is_halted.load(Ordering::Relaxed), is_halted, "{meaning:?}");
        assert!(!bench.machine.is_drained(), "{meaning:?}");
    }
}

#[test]
fn waits_double_and_the_first_success_looks_at_the_settings_of_sql() {
    let mut bench = bench(Some(STREAM), 3, 1, false);
    bench.until_apply();
    for pause_ms in [100, 200, 400] {
        let failed = bench.step(Input::Applied(Err(failed(SqlMeaning::Passing))));
        assert_eq!(failed, format!("Pause({pause_ms})"));
        assert_eq!(bench.step(Input::Go), "apply to 4: [1, 2, 3]");
    }
    bench.play(vec![
        (applied(), "Check"),
        (Input::Checked(Vec::new()), "Purge"),
        (Input::Done(Ok(())), "Sleep(Sequence(4), None)"),
    ]);
}

#[test]
fn sql_stops_before_a_record_that_is_not_merged() {
    let mut bench = bench(Some(STREAM), 3, 1, false);
    bench.machine.reads.clear();
    bench.until_apply();
    // What waits is told by the record alone: here the third is marked as such.
    bench.machine.reads[2].unmerged = Some(UserKey(7));
    bench.held = Some(3);
    bench.play(vec![
        (Input::Applied(Err(failed(SqlMeaning::Passing))), "Pause(100)"),
        (Input::Go, "apply to 4: [1, 2]"),
        (applied(), "Check"),
        (Input::Checked(Vec::new()), "Pause(30)"),
        (Input::Go, "Pause(10)"),
        (Input::Go, "Pause(10)"),
    ]);
    bench.held = None;
    bench.play(vec![(Input::Go, "apply to 4: [3]")]);
}

#[test]
fn numbers_that_were_given_up_are_passed_over_before_the_next_record() {
    for (answer, expected) in [(true, 2), (false, 0)] {
        let mut bench = bench(Some(STREAM), 4, 3, false);
        bench.play(vec![
            (Input::Go, "TryRights"),
            (Input::Rights(None), "Pause(30)"),
            (
                Input::Go,
                "Skip { stream: StreamId(4), from: Some(Sequence(0)), through: Sequence(2) }",
            ),
            (Input::Skipped(Ok(answer)), "apply to 4: [3, 4]"),
        ]);
        assert_eq!(bench.machine.highest_applied(), Sequence(expected));
    }
}

#[test]
fn without_a_stream_it_is_claimed_first_and_a_wrong_store_is_left_alone() {
    let claim = || format!("{:?}", Effect::Claim(SET));
    let mut bench = bench(None, 3, 1, false);
    let claimed = |claimed| Input::Claimed(Vec::new(), claimed);
    bench.play(vec![
        (Input::Go, &claim()),
        (claimed(Err(failed(SqlMeaning::Passing))), "Pause(100)"),
        // Why it fails may be a right.
        (Input::Go, "TryRights"),
        (Input::Rights(None), &claim()),
        (claimed(Ok(ClaimOutcome::Misplaced(None))), "Pause(1000)"),
        (Input::Go, &claim()),
        (claimed(Ok(ClaimOutcome::Stream(STREAM, Sequence(1)))), "Check"),
        (Input::Checked(Vec::new()), "TryRights"),
        (Input::Rights(None), "Pause(30)"),
        (Input::Go, "apply to 4: [2, 3]"),
    ]);
}

#[test]
fn the_chores_come_in_their_order_and_each_when_it_is_due() {
    let mut bench = bench(Some(STREAM), 3, 1, true);
    bench.until_apply();
    let heartbeat = format!("{:?}", Effect::Heartbeat(STREAM, format!("{:032x}", SET.0)));
    bench.sql.is_to_fold = true;
    bench.play(vec![
        (applied(), &heartbeat),
        // One that is heard looks at the settings, as a transaction does.
        (Input::Done(Ok(())), "Purge"),
        (Input::Done(Ok(())), "Fold"),
        (Input::Folded(Ok(true)), "Sleep(Sequence(4), Some(1000))"),
        (Input::Go, "Fold"),
        // A reader was in the way.
        (Input::Folded(Ok(false)), "Sleep(Sequence(4), Some(100))"),
        (Input::Go, "Sleep(Sequence(4), Some(100))"),
    ]);
    bench.now_ms += 1_000;
    bench.play(vec![(Input::Go, "Fold"), (Input::Folded(Ok(true)), &heartbeat)]);
}

#[test]
fn a_reader_that_stays_in_the_way_is_asked_less_and_less_often() {
    let mut bench = bench(Some(STREAM), 3, 1, false);
    bench.until_apply();
    bench.sql.is_to_fold = true;
    bench.play(vec![(applied(), "Purge"), (Input::Done(Ok(())), "Fold")]);
    for must_fold in [false, true] {
        bench.sql.must_fold = must_fold;
        for wait_ms in [100, 200, 400, 800, 1_600, 3_200, 6_400, 6_400] {
            let said = bench.step(Input::Folded(Ok(false)));
            assert_eq!(said, format!("Sleep(Sequence(4), Some({wait_ms}))"));
            bench.now_ms += wait_ms - 1;
            assert_eq!(bench.step(Input::Go), "Sleep(Sequence(4), Some(1))");
            bench.now_ms += 1;
            assert_eq!(bench.step(Input::Go), "Fold");
        }
        bench.sql.is_to_fold = false;
        assert_eq!(bench.step(Input::Folded(Ok(true))), "Sleep(Sequence(4), None)");
        bench.sql.is_to_fold = true;
        bench.now_ms += SQL_FOLD_PERIOD_MS;
        assert_eq!(bench.step(Input::Go), "Fold");
    }
}

#[test]
fn it_ends_once_all_is_applied_as_one_whole_file_and_says_so() {
    let mut bench = bench(Some(STREAM), 3, 1, true);
    bench.is_stopping = true;
    bench.play(vec![
        (Input::Go, "TryRights"),
        // Nothing is gathered any more.
        (Input::Rights(None), "apply to 4: [1, 2, 3]"),
    ]);
    let heartbeat = format!("{:?}", Effect::Heartbeat(STREAM, format!("{:032x}", SET.0)));
    bench.play(vec![
        (applied(), &heartbeat),
        (Input::Done(Ok(())), "Fold"),
        (Input::Folded(Ok(true)), "SayStopped(StreamId(4))"),
        (Input::Go, "End"),
    ]);
}

proptest! {
    /// Transactions fail, are heard of too late, and SQL goes back: what is applied next is always
    /// what follows the last that SQL has.
    #[test]
    fn each_record_is_applied_behind_all_before_it(
        fates in prop::collection::vec(0..4_u8, 1..60),
    ) {
        let mut bench = bench(Some(STREAM), 9, 1, false);
        let (mut has, mut fates) = (0, fates.into_iter());
        let mut input = Input::Go;
        for _ in 0..400 {
            let effect = bench.step(input);
            input = match effect.strip_prefix("apply to 4: ") {
                Some(sequences) => {
                    let numbers = sequences.trim_matches(['[', ']']).split(", ");
                    let sequences: Vec<u64> = numbers.map(|at| at.parse().unwrap()).collect();
                    match fates.next().unwrap_or(0) {
                        0 if sequences[0] == has + 1 => {
                            has = *sequences.last().unwrap();
                            applied()
                        }
                        // Committed, and nobody heard of it: it is behind what SQL has, and the
                        // records are skipped as they are applied again.
                        1 if sequences[0] <= has + 1 => {
                            has = has.max(*sequences.last().unwrap());
                            Input::Applied(Err(failed(SqlMeaning::Passing)))
                        }
                        2 => {
                            has /= 2;
                            Input::Applied(Err(failed(SqlMeaning::Behind(Sequence(has)))))
                        }
                        _ if sequences[0] > has + 1 => {
                            Input::Applied(Err(failed(SqlMeaning::Behind(Sequence(has)))))
                        }
                        3 => Input::Applied(Err(failed(SqlMeaning::Passing))),
                        _ => {
                            has = has.max(*sequences.last().unwrap());
                            applied()
                        }
                    }
                }
                None if effect == "TryRights" => Input::Rights(None),
                None if effect == "Check" => Input::Checked(Vec::new()),
                None if effect == "Purge" => Input::Done(Ok(())),
                None => Input::Go,
            };
        }
        prop_assert_eq!(has, 9);
        prop_assert!(bench.machine.is_drained());
    }
}
