//! The write path keeps its promises whatever the disk does: what was acknowledged is found again,
//! nothing is invented, the order stays, a full disk is waited for, a failed sync is not believed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::disk::DiskRead;
use super::super::reader::Tail;
use super::super::record::frames;
use super::*;
use crate::tests::*;
use nudged_base::limits::RECORD_BYTES_MAX;
use nudged_base::time::DurationMs;

fn start() -> AppenderStart {
    recover_after(&ModelDisk::default(), 0).unwrap().start
}

fn ready(config: AppenderConfig) -> (Appender, ModelDisk) {
    let (mut appender, mut disk) = (Appender::new(config, start()), ModelDisk::default());
    assert!(!appender.is_accepting(), "there is no segment yet");
    settle(&mut appender, &mut disk);
    assert!(appender.is_accepting());
    (appender, disk)
}

fn synced_config() -> AppenderConfig {
    AppenderConfig { ack: AckLevel::Synced, ..small_config() }
}

fn next_of_kind(appender: &mut Appender, disk: &mut ModelDisk, kind: &str) -> DiskCommand {
    loop {
        let command = appender.next_command().expect(kind);
        if format!("{command:?}").starts_with(kind) {
            return command;
        }
        let completion = disk.carry_out(&command);
        appender.complete(completion);
    }
}

#[test]
fn written_acknowledges_after_the_write_and_synced_after_the_sync() {
    for ack in [AckLevel::Written, AckLevel::Synced] {
        let (mut appender, mut disk) = ready(AppenderConfig { ack, ..small_config() });
        appender.offer(lane_batch(3, 1, &[1, 2], 10));
        let opening = appender.next_command().unwrap();
        appender.complete(disk.carry_out(&opening));
        let write = next_of_kind(&mut appender, &mut disk, "Write");
        assert_eq!(appender.next_ack(), None);
        appender.complete(disk.carry_out(&write));
        let early = appender.next_ack();
        assert_eq!(early.is_some(), ack == AckLevel::Written);
        let sync = next_of_kind(&mut appender, &mut disk, "Sync");
        assert_eq!(appender.next_ack(), None);
        appender.complete(disk.carry_out(&sync));
        let acknowledged = early.or(appender.next_ack()).unwrap();
        assert_eq!((acknowledged.shard.0, acknowledged.upto.0), (3, 2));
        assert_eq!(acknowledged.upto_sequence, Sequence(2));
        assert!(acknowledged.buffer.is_empty() && acknowledged.buffer.capacity() > 0);
    }
}

#[test]
fn a_batch_closes_with_the_write_before_it_and_at_64_kib() {
    let (mut appender, mut disk) = ready(synced_config());
    appender.offer(lane_batch(0, 1, &[1], 10));
    let opening = appender.next_command().unwrap();
    appender.complete(disk.carry_out(&opening));
    let first = next_of_kind(&mut appender, &mut disk, "Write");
    appender.offer(lane_batch(1, 1, &[2], 10));
    appender.offer(lane_batch(0, 2, &[3], 10));
    let prepare = next_of_kind(&mut appender, &mut disk, "Prepare");
    appender.complete(disk.carry_out(&prepare));
    assert_eq!(appender.next_command(), None, "one write is under way");
    appender.complete(disk.carry_out(&first));
    let DiskCommand::Write { bytes, .. } = appender.next_command().unwrap() else { panic!() };
    let (found, _) = super::super::batch::decode(SET.tag(), &bytes).unwrap();
    assert_eq!((found.header.first, found.header.count), (Sequence(2), 2), "beside the sync");
    let sync = appender.next_command().unwrap();
    assert!(matches!(sync, DiskCommand::Sync { .. }));

    let (mut appender, mut disk) = ready(small_config());
    let ids: Vec<u64> = (1..=100).collect();
    appender.offer(lane_batch(0, 1, &ids, 1_000));
    let mut sizes = Vec::new();
    while let Some(command) = appender.next_command() {
        if let DiskCommand::Write { bytes, .. } = &command {
            sizes.push(bytes.len());
        }
        appender.complete(disk.carry_out(&command));
    }
    assert!(sizes.iter().all(|size| *size <= super::super::batch::ENCODED_BYTES_MAX));
    assert!(sizes[1] > 60_000, "one full batch after the opening: {sizes:?}");
    assert_eq!(appender.next_ack().unwrap().upto_sequence, Sequence(100), "one for all of it");
}

#[test]
fn one_sync_covers_all_that_could_be_written_before_it() {
    let (mut appender, mut disk) = ready(synced_config());
    settle(&mut appender, &mut disk);
    // Several batches, and less than a segment.
    let ids: Vec<u64> = (1..=180).collect();
    appender.offer(lane_batch(0, 1, &ids, 1_000));
    let (mut writes, mut syncs) = (0, 0);
    while let Some(command) = appender.next_command() {
        assert!(syncs > 0 || appender.next_ack().is_none(), "before the sync");
        match command {
            DiskCommand::Write { .. } => writes += 1,
            DiskCommand::Sync { .. } => syncs += 1,
            _ => {}
        }
        appender.complete(disk.carry_out(&command));
    }
    assert!(writes > 3, "{writes} writes");
    assert_eq!((syncs, appender.next_ack().unwrap().upto_sequence), (1, Sequence(180)));
}

#[test]
fn written_keeps_a_pace_of_syncs_and_asks_to_be_woken() {
    let (mut appender, mut disk) = ready(small_config());
    let mut syncs = 0;
    for turn in 0..1_000_u64 {
        appender.tick(MonoNs(turn * 1_000_000), WallMs(0));
        appender.offer(lane_batch(0, turn + 1, &[turn + 1], 10));
        while let Some(command) = appender.next_command() {
            syncs += u64::from(matches!(command, DiskCommand::Sync { .. }));
            appender.complete(disk.carry_out(&command));
        }
    }
    assert!((10..=12).contains(&syncs), "{syncs} in a second");
    let due = appender.wake_at().unwrap();
    assert!(due > MonoNs(999_000_000));
    appender.tick(due, WallMs(0));
    settle(&mut appender, &mut disk);
    assert_eq!((appender.metrics().synced, appender.wake_at()), (Sequence(1_000), None));
}

#[test]
fn a_full_disk_is_waited_for_and_nothing_is_acknowledged_meanwhile() {
    let (mut appender, mut disk) = ready(small_config());
    appender.offer(lane_batch(0, 1, &[1], 100));
    let opening = appender.next_command().unwrap();
    appender.complete(disk.carry_out(&opening));
    let DiskCommand::Write { segment, offset, bytes } =
        next_of_kind(&mut appender, &mut disk, "Write")
    else {
        panic!()
    };
    let prepare = next_of_kind(&mut appender, &mut disk, "Prepare");
    appender.complete(disk.carry_out(&prepare));
    disk.write(segment, offset, &bytes[..8]);
    appender.complete(DiskCompletion::Written(segment, Ok(8)));
    let rest = appender.next_command().unwrap();
    let want = DiskCommand::Write { segment, offset: offset + 8, bytes: bytes[8..].to_vec() };
    assert_eq!(rest, want, "a short write is completed");
    appender.complete(DiskCompletion::Written(segment, Err(DiskError::NoSpace)));
    assert!(appender.metrics().is_full && !appender.is_accepting());
    assert_eq!((appender.next_command(), appender.next_ack()), (None, None));
    let retry_at = appender.wake_at().unwrap();
    assert_eq!(retry_at, MonoNs(0).plus_ms(DISK_RETRY_MS));
    appender.tick(retry_at, WallMs(0));
    assert_eq!(appender.next_command(), Some(want));
    disk.write(segment, offset + 8, &bytes[8..]);
    appender.complete(DiskCompletion::Written(segment, Ok(bytes.len() - 8)));
    assert!(appender.is_accepting());
    assert_eq!(appender.next_ack().unwrap().upto_sequence, Sequence(1));
}

#[test]
fn without_room_for_the_next_segment_the_one_in_use_is_used_to_its_end() {
    let (mut appender, mut disk) = ready(small_config());
    let mut refuse_reserves = |appender: &mut Appender| {
        while let Some(command) = appender.next_command() {
            appender.complete(match command {
                DiskCommand::Prepare { segment, .. } => {
                    DiskCompletion::Prepared(segment, Err(DiskError::NoSpace))
                }
                command => disk.carry_out(&command),
            });
        }
    };
    let mut offered = 0;
    while appender.is_accepting() {
        offered += 1;
        appender.offer(lane_batch(0, offered, &[offered], 1_000));
        refuse_reserves(&mut appender);
        assert_eq!(appender.next_ack().unwrap().upto_sequence, Sequence(offered));
        let metrics = appender.metrics();
        assert!(metrics.is_low && metrics.is_full != metrics.is_accepting, "{metrics:?}");
        // What fails is tried again, and fails again; nothing opens and closes the gate meanwhile.
        appender.tick(appender.wake_at().unwrap(), WallMs(0));
    }
    let left = appender.metrics().room_bytes;
    assert!(left <= SEGMENT_BYTES_MIN / 8 && left > SEGMENT_BYTES_MIN / 16, "{left}");
    // Those who did not know yet find their place in what was kept.
    for late in offered + 1..=offered + 10 {
        appender.offer(lane_batch(0, late, &[late], 1_000));
        refuse_reserves(&mut appender);
        assert_eq!(appender.next_ack().unwrap().upto_sequence, Sequence(late));
    }
    assert!(appender.metrics().is_full && !appender.is_accepting());
    appender.tick(MonoNs(0).plus_ms(10_000 * DISK_RETRY_MS), WallMs(0));
    settle(&mut appender, &mut disk);
    assert!(appender.is_accepting() && !appender.metrics().is_full && !appender.metrics().is_low);
}

#[test]
fn a_failed_sync_moves_its_records_and_a_second_failure_poisons() {
    for is_second_failing in [false, true] {
        let (mut appender, mut disk) = ready(synced_config());
        appender.offer(lane_batch(0, 1, &[1, 2], 100));
        let sync = next_of_kind(&mut appender, &mut disk, "Sync");
        let DiskCommand::Sync { segment } = sync else { panic!() };
        disk.fail(segment);
        appender.complete(DiskCompletion::Synced(segment, Err(DiskError::Failed(5))));
        assert_eq!((appender.next_ack(), appender.poison()), (None, None));
        let sync = next_of_kind(&mut appender, &mut disk, "Sync");
        let DiskCommand::Sync { segment: other } = sync else { panic!() };
        assert_ne!(other, segment, "a sync that failed proves nothing when it is repeated");
        if is_second_failing {
            appender.complete(DiskCompletion::Synced(other, Err(DiskError::Failed(5))));
            assert_eq!(appender.poison(), Some(Poison::FailedTwice(DiskError::Failed(5))));
            assert_eq!((appender.next_ack(), appender.next_command()), (None, None));
            assert!(!appender.is_accepting() && appender.is_finished());
        } else {
            appender.complete(disk.carry_out(&sync));
            assert_eq!(appender.next_ack().unwrap().upto_sequence, Sequence(2));
            settle(&mut appender, &mut disk);
            let found = recover_after(&disk, 0).unwrap();
            assert_eq!((found.start.next, found.report.unapplied), (Sequence(3), 2));
        }
    }
}

#[test]
fn a_kill_at_any_step_of_a_rewrite_loses_nothing_that_was_acknowledged() {
    let (mut appender, mut disk) = ready(small_config());
    let mut syncing = None;
    for lane in 1..=5 {
        appender.offer(lane_batch(0, lane, &[lane], 100));
        while let Some(command) = appender.next_command() {
            if let DiskCommand::Sync { segment } = command {
                syncing = Some(segment);
            } else {
                appender.complete(disk.carry_out(&command));
            }
        }
        assert_eq!(appender.next_ack().unwrap().upto_sequence, Sequence(lane));
    }
    let segment = syncing.unwrap();
    disk.fail(segment);
    appender.complete(DiskCompletion::Synced(segment, Err(DiskError::Failed(5))));
    let mut steps = 0;
    while let Some(command) = appender.next_command() {
        let found = recover_after(&disk, 0).unwrap();
        assert_eq!(found.start.next, Sequence(6), "killed before step {steps}: {command:?}");
        appender.complete(disk.carry_out(&command));
        steps += 1;
    }
    assert!(steps >= 4, "the batches, the opening and a sync: {steps}");
    assert_eq!((appender.metrics().synced, appender.metrics().failures), (Sequence(5), 1));
}

#[test]
fn budgets_close_the_gate_and_applying_opens_it() {
    let config = AppenderConfig { unapplied_bytes_max: 100_000, ..small_config() };
    let (mut appender, mut disk) = ready(config);
    let ids: Vec<u64> = (1..=120).collect();
    appender.offer(lane_batch(0, 1, &ids, 1_000));
    settle(&mut appender, &mut disk);
    assert!(!appender.is_accepting() && appender.metrics().unapplied_bytes > 120_000);
    appender.applied(Sequence(120));
    assert!(appender.is_accepting());
    let promised = 100_000 - appender.metrics().unapplied_bytes;
    appender.promise(promised);
    assert!(!appender.is_accepting(), "what was promised is kept free");
    appender.promise(promised - 1);
    assert!(appender.is_accepting());

    let segment_bytes = SEGMENT_BYTES_MIN;
    let config = AppenderConfig { budget_bytes: 4 * segment_bytes, ..small_config() };
    let (mut appender, mut disk) = ready(config);
    for lane in 0..40 {
        let ids: Vec<u64> = (lane * 50 + 1..=lane * 50 + 50).collect();
        appender.offer(lane_batch(0, lane * 50 + 1, &ids, 1_000));
        settle(&mut appender, &mut disk);
        assert!(appender.metrics().total_bytes <= 4 * segment_bytes, "the budget is kept");
    }
    assert!(!appender.is_accepting() && !appender.has_room() || appender.queue.bytes() > 0);
    let stuck = appender.metrics().written;
    appender.applied(stuck);
    settle(&mut appender, &mut disk);
    appender.applied(appender.metrics().written);
    settle(&mut appender, &mut disk);
    assert!(appender.metrics().written > stuck, "applied segments made way");
    assert!(appender.metrics().total_bytes <= 4 * segment_bytes);
}

#[test]
fn what_is_applied_and_old_goes_even_from_the_segment_in_use() {
    let (mut appender, mut disk) = ready(small_config());
    appender.offer(lane_batch(0, 1, &[1, 2, 3], 1_000));
    settle(&mut appender, &mut disk);
    appender.applied(Sequence(3));
    let retention = i64::try_from(small_config().retention.0).unwrap();
    appender.tick(MonoNs(1_000_000_000), WallMs(3 + retention));
    settle(&mut appender, &mut disk);
    assert!(disk.segments().unwrap().contains(&SegmentId(1)));
    appender.tick(MonoNs(2_000_000_000), WallMs(4 + retention));
    settle(&mut appender, &mut disk);
    assert!(!disk.segments().unwrap().contains(&SegmentId(1)), "its erased users are gone");
    assert_eq!(recover_after(&disk, 3).unwrap().start.next, Sequence(4));
}

#[test]
fn stopping_finishes_what_was_offered() {
    let (mut appender, mut disk) = ready(small_config());
    settle(&mut appender, &mut disk);
    assert!(appender.is_finished());
    appender.offer(lane_batch(0, 1, &(1..=300).collect::<Vec<_>>(), 3_000));
    appender.stop();
    assert!(!appender.is_finished() && !appender.is_accepting());
    settle(&mut appender, &mut disk);
    assert!(appender.is_finished(), "{:?}", appender.metrics());
    assert_eq!(appender.metrics().synced, Sequence(300));
}

#[test]
fn memory_is_bounded_while_the_disk_stands_still() {
    let (mut appender, _disk) = ready(small_config());
    let mut offered = 0;
    while appender.has_room() {
        appender.offer(lane_batch(0, offered + 1, &[offered + 1], 3_000));
        offered += 1;
        let _ = appender.next_command();
    }
    let bound = JOURNAL_QUEUE_BYTES_MAX + appender.unsynced_bytes_max() + RECORD_BYTES_MAX;
    assert!(appender.queue.bytes() + appender.unsynced.bytes() <= bound);
}

/// One life after another of a journal on a bad disk, with what must be true of it.
struct Chaos {
    choices: Choices,
    disk: ModelDisk,
    config: AppenderConfig,
    appender: Appender,
    under_way: Vec<DiskCommand>,
    /// Records by their sequences: offered in this life, or found after the last crash.
    expected: BTreeMap<u64, u64>,
    next_sequence: u64,
    lanes: [u64; 3],
    next_id: u64,
    acknowledged: u64,
    applied: u64,
    now: u64,
}

impl Chaos {
    fn new(seed: u64) -> Chaos {
        let mut choices = Choices::new(seed);
        let ack = if choices.one_in(2) { AckLevel::Written } else { AckLevel::Synced };
        let config = AppenderConfig {
            ack,
            budget_bytes: SEGMENT_BYTES_MIN * (4 + u64::try_from(choices.below(3)).unwrap() * 8),
            retention: DurationMs(50),
            ..small_config()
        };
        Chaos {
            choices,
            disk: ModelDisk::default(),
            config,
            appender: Appender::new(config, start()),
            under_way: Vec::new(),
            expected: BTreeMap::new(),
            next_sequence: 1,
            lanes: [1; 3],
            next_id: 1,
            acknowledged: 0,
            applied: 0,
            now: 0,
        }
    }

    fn step(&mut self) {
        match self.choices.below(100) {
            0..25 => self.offer(),
            25..30 => self.apply(),
            30..34 => self.now += 40_000_000,
            34 => self.crash(),
            _ => self.complete_one(),
        }
        self.now += 100_000;
        let wall = WallMs(i64::try_from(self.next_id).unwrap());
        self.appender.tick(MonoNs(self.now), wall);
        while self.under_way.len() < 4 {
            let Some(command) = self.appender.next_command() else { break };
            self.under_way.push(command);
        }
        self.take_acks();
        if self.appender.poison().is_some() {
            self.crash();
        }
    }

    fn offer(&mut self) {
        if !self.appender.has_room() {
            return;
        }
        let shard = self.choices.below(3);
        let row_bytes = [10, 500, 3_000][self.choices.below(3)];
        let count = u64::try_from(1 + self.choices.below(40)).unwrap();
        let ids: Vec<u64> = (self.next_id..self.next_id + count).collect();
        let lane = self.lanes[shard];
        let shard_number = u16::try_from(shard).unwrap();
        self.appender.offer(lane_batch(shard_number, lane, &ids, row_bytes));
        self.lanes[shard] += count;
        self.next_id += count;
        for id in ids {
            self.expected.insert(self.next_sequence, id);
            self.next_sequence += 1;
        }
    }

    fn apply(&mut self) {
        let written = self.appender.metrics().written.0;
        let step = u64::try_from(self.choices.below(200)).unwrap();
        self.applied = self.applied.max(written.min(self.applied + step));
        self.appender.applied(Sequence(self.applied));
    }

    fn take_acks(&mut self) {
        while let Some(ack) = self.appender.next_ack() {
            assert!(ack.upto_sequence.0 > self.acknowledged, "acknowledged in order");
            self.acknowledged = ack.upto_sequence.0;
        }
    }

    fn complete_one(&mut self) {
        if self.under_way.is_empty() {
            return;
        }
        let index = self.choices.below(self.under_way.len());
        let command = self.under_way.swap_remove(index);
        let error = match self.choices.below(60) {
            0 => Some(DiskError::Failed(5)),
            1 => Some(DiskError::NoSpace),
            2 => Some(DiskError::Interrupted),
            _ => None,
        };
        let completion = match (&command, error) {
            (DiskCommand::Write { segment, offset, bytes }, None) if self.choices.one_in(4) => {
                let count = 1 + self.choices.below(bytes.len());
                self.disk.write(*segment, *offset, &bytes[..count]);
                DiskCompletion::Written(*segment, Ok(count))
            }
            (_, None) => self.disk.carry_out(&command),
            (DiskCommand::Write { segment, offset, bytes }, Some(error)) => {
                let count = self.choices.below(bytes.len());
                self.disk.write(*segment, *offset, &bytes[..count]);
                let is_syncing = self.under_way.contains(&DiskCommand::Sync { segment: *segment });
                if matches!(error, DiskError::Failed(_)) && !is_syncing {
                    self.disk.fail(*segment);
                }
                DiskCompletion::Written(*segment, Err(error))
            }
            (DiskCommand::Sync { segment }, Some(error)) => {
                let is_writing = self.under_way.iter().any(
                    |other| matches!(other, DiskCommand::Write { segment: s, .. } if s == segment),
                );
                if error != DiskError::Interrupted && !is_writing {
                    self.disk.fail(*segment);
                }
                DiskCompletion::Synced(*segment, Err(error))
            }
            (DiskCommand::Prepare { segment, .. }, Some(error)) => {
                DiskCompletion::Prepared(*segment, Err(error))
            }
            (DiskCommand::Remove { segment }, Some(error)) => {
                DiskCompletion::Removed(*segment, Err(error))
            }
        };
        self.appender.complete(completion);
    }

    /// The process is killed or power is lost, and the next life begins.
    fn crash(&mut self) {
        let is_power = self.choices.one_in(2);
        self.disk.restart();
        for command in std::mem::take(&mut self.under_way) {
            match &command {
                DiskCommand::Write { segment, offset, bytes } => {
                    let count = self.choices.below(bytes.len() + 1);
                    self.disk.write(*segment, *offset, &bytes[..count]);
                }
                _ if self.choices.one_in(2) => {
                    self.disk.carry_out(&command);
                }
                _ => {}
            }
        }
        if is_power {
            self.disk.lose_power(&mut self.choices);
        }
        let recovered = recover_after(&self.disk, self.applied).expect("nothing was damaged");
        let end = recovered.start.next.0;
        if !is_power || self.config.ack == AckLevel::Synced {
            assert!(end > self.acknowledged, "{} of {}", end - 1, self.acknowledged);
        }
        assert!(end > self.applied && end <= self.next_sequence, "nothing is invented");
        self.expected.retain(|sequence, _| *sequence < end);
        self.check_content(&recovered, end);
        self.next_sequence = end;
        // What was found and never acknowledged may yet be lost with power.
        self.acknowledged = self.acknowledged.min(end - 1);
        self.lanes = [1; 3];
        self.appender = Appender::new(self.config, recovered.start);
    }

    fn check_content(&self, recovered: &super::super::recovery::Recovered, end: u64) {
        let unapplied: Vec<(u64, u64)> =
            self.expected.range(self.applied + 1..).map(|(s, id)| (*s, *id)).collect();
        let from = Sequence(self.applied + 1);
        let mut found = Vec::new();
        let mut tail = Tail::seek(&self.disk, SET, from, Vec::new()).unwrap();
        while let Some(batch) = tail.next(&self.disk, Sequence(end - 1)).unwrap() {
            found.extend(batch.map(|(s, record)| (s.0, record.unwrap().revision().counter)));
        }
        assert_eq!(found, unapplied, "what is there is what was offered, in order");
        let mut indexed = Vec::new();
        let mut bytes = Vec::new();
        for user in (0..8).map(|user| format!("user-{user}")) {
            bytes.clear();
            let count = recovered.unapplied.read(&user, &self.disk, &mut bytes).unwrap();
            let ids: Vec<u64> = frames(&bytes)
                .map(|frame| frame.unwrap().record().unwrap().revision().counter)
                .collect();
            assert_eq!(usize::try_from(count).unwrap(), ids.len());
            assert!(ids.is_sorted());
            indexed.extend(ids);
        }
        indexed.sort_unstable();
        let mut ids: Vec<u64> = unapplied.iter().map(|(_, id)| *id).collect();
        ids.sort_unstable();
        assert_eq!(indexed, ids);
    }

    /// The disk is good again: everything that was offered gets its acknowledgement.
    fn finish(&mut self) {
        for _ in 0..100 {
            self.now += 2_000_000_000;
            self.applied = self.applied.max(self.appender.metrics().written.0);
            self.appender.applied(Sequence(self.applied));
            self.appender.tick(MonoNs(self.now), WallMs(0));
            for command in std::mem::take(&mut self.under_way) {
                let completion = self.disk.carry_out(&command);
                self.appender.complete(completion);
            }
            settle(&mut self.appender, &mut self.disk);
            self.take_acks();
        }
        assert_eq!(self.appender.metrics().synced.0, self.next_sequence - 1);
        assert!(self.appender.queue.is_acknowledged(), "each offer gets its acknowledgement");
        self.appender.stop();
        settle(&mut self.appender, &mut self.disk);
        assert!(self.appender.is_finished());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn lives_on_a_bad_disk_lose_nothing_that_was_acknowledged(seed in any::<u64>()) {
        let mut chaos = Chaos::new(seed);
        for _ in 0..600 {
            chaos.step();
        }
        chaos.finish();
        chaos.crash();
    }
}
