//! The table of cases at the head of the module, walked: each thing that may be found, and what is
//! made of it.

mod fixtures;

use super::super::batch::{self, FoundBatch};
use super::super::reader::{Tail, TailError};
use super::super::segment::{FIRST_BATCH_OFFSET, OPENING_OFFSET};
use super::*;
use crate::tests::*;
use nudged_base::ids::UserKey;
use nudged_base::time::WallMs;

const LAST: u64 = 3;

/// Three segments of batches of 20 records each, all synced but the last two batches, and a
/// reserve.
fn journal() -> ModelDisk {
    let mut disk = ModelDisk::default();
    let start = recover_after(&disk, 0).unwrap().start;
    let batches: Vec<Vec<u64>> = (0..25).map(|b| (b * 20 + 1..=b * 20 + 20).collect()).collect();
    live(&mut disk, start, &batches, true);
    assert_eq!(disk.segments().unwrap().len(), 4);
    disk
}

fn batches(disk: &mut ModelDisk, segment: u64) -> Vec<(usize, FoundBatch)> {
    let image = disk.image(segment).clone();
    let mut at = usize::try_from(FIRST_BATCH_OFFSET).unwrap();
    std::iter::from_fn(|| {
        let (found, _) = batch::decode(SET.tag(), &image[at..])?;
        at += found.encoded_bytes;
        Some((at - found.encoded_bytes, found))
    })
    .collect()
}

fn flip(disk: &mut ModelDisk, segment: u64, at: usize) {
    disk.image(segment)[at] ^= 0x40;
}

fn damage(disk: &ModelDisk, applied: u64) -> Vec<Damage> {
    match recover_after(disk, applied) {
        Err(RecoverError::Damaged(damages)) => damages,
        other => panic!("{other:?}"),
    }
}

fn lost(segment: u64, kind: DamageKind, first: Sequence, last: Sequence) -> Vec<Damage> {
    vec![Damage { segment: SegmentId(segment), kind, first, last: Some(last) }]
}

fn read_all(disk: &ModelDisk, from: u64, end: u64, skipped: &[Damage]) -> Vec<u64> {
    let skipped = skipped.iter().map(|lost| (lost.first, lost.last.unwrap())).collect();
    let mut tail = Tail::seek(disk, SET, Sequence(from), skipped).unwrap();
    let mut sequences = Vec::new();
    while let Some(batch) = tail.next(disk, Sequence(end)).unwrap() {
        for (sequence, record) in batch {
            assert_eq!(record.unwrap().revision().counter, sequence.0);
            sequences.push(sequence.0);
        }
    }
    sequences
}

#[test]
fn an_empty_directory_begins_where_sql_is() {
    let fresh = recover_after(&ModelDisk::default(), 0).unwrap();
    assert!(fresh.report.is_fresh && fresh.unapplied.is_empty());
    assert_eq!((fresh.start.set, fresh.start.next), (SET, Sequence(1)));
    assert_eq!((fresh.start.next_segment, fresh.start.to_sync), (SegmentId(1), None));
    let later = recover_after(&ModelDisk::default(), 41).unwrap();
    assert_eq!(later.start.next, Sequence(42));
}

#[test]
fn a_clean_end_goes_on_there() {
    let mut disk = journal();
    let found = recover_after(&disk, 100).unwrap();
    let last = *batches(&mut disk, LAST).last().unwrap();
    let end = u64::try_from(last.0 + last.1.encoded_bytes).unwrap();
    assert_eq!(found.start.active, Some((SegmentId(LAST), end)));
    assert_eq!((found.start.reserve, found.start.next_segment), (Some(SegmentId(4)), SegmentId(5)));
    assert_eq!((found.start.next, found.start.follows), (Sequence(501), Sequence(501)));
    assert_eq!((found.start.newest, found.start.chain), (WallMs(500), last.1.crc));
    assert_eq!(found.report, RecoveryReport { unapplied: 400, ..RecoveryReport::default() });
    assert_eq!((found.unapplied.len(), found.unapplied.end()), (400, Sequence(501)));
    assert!(found.unapplied.contains(UserKey::of(b"user-3")));
    assert!(!found.unapplied.contains(UserKey::of(b"nobody")));
    assert_eq!(read_all(&disk, 101, 500, &[]), (101..=500).collect::<Vec<_>>());
    let none = recover_after(&disk, 500).unwrap();
    assert!(none.unapplied.is_empty() && none.start.usage.unapplied_bytes() == 0);
}

#[test]
fn a_torn_tail_is_cut_and_the_next_segment_is_opened_behind_it() {
    let mut disk = journal();
    let whole = batches(&mut disk, LAST);
    let (at, found) = *whole.last().unwrap();
    flip(&mut disk, LAST, at + 60);
    let cut = recover_after(&disk, 100).unwrap();
    assert_eq!((cut.start.next, cut.start.active), (found.header.first, None));
    assert!(cut.report.bytes_cut > 19_000, "{}", cut.report.bytes_cut);
    // The void batch was whole before the flip: it must stay void, whatever is written now.
    live(&mut disk, cut.start, &[vec![9_000]], true);
    flip(&mut disk, LAST, at + 60);
    let again = recover_after(&disk, 100).unwrap();
    assert_eq!(again.start.next, Sequence(found.header.first.0 + 1));
    let first = found.header.first.0;
    for from in [1, first] {
        let mut tail = Tail::seek(&disk, SET, Sequence(from), Vec::new()).unwrap();
        let mut last = None;
        while let Some(batch) = tail.next(&disk, Sequence(first)).unwrap() {
            last = batch.map(|(at, record)| (at.0, record.unwrap().revision().counter)).last();
        }
        assert_eq!(last, Some((first, 9_000)), "read from {from}");
    }
}

#[test]
fn a_batch_of_another_past_does_not_follow() {
    let start = |disk: &ModelDisk| recover_after(disk, 0).unwrap().start;
    let (mut one, mut other) = (journal(), journal());
    let begin = start(&one);
    live(&mut one, begin.clone(), &[vec![501], vec![502]], true);
    live(&mut other, begin, &[vec![901], vec![902]], true);
    let (at, found) = *batches(&mut other, LAST).last().unwrap();
    assert_eq!(batches(&mut one, LAST).last().unwrap().0, at, "the same place and sequence");
    let stranger = other.image(LAST)[at..at + found.encoded_bytes].to_vec();
    one.image(LAST)[at..at + found.encoded_bytes].copy_from_slice(&stranger);
    let found = recover_after(&one, 0).unwrap();
    assert_eq!(found.start.next, Sequence(502), "whole, of this set, but of another chain");
    let mut tail = Tail::seek(&one, SET, Sequence(501), Vec::new()).unwrap();
    assert!(tail.next(&one, Sequence(502)).unwrap().is_some());
    let missing = TailError::Missing(SegmentId(LAST), Sequence(502));
    assert_eq!(tail.next(&one, Sequence(502)).unwrap_err(), missing);
}

#[test]
fn stale_data_behind_the_end_is_void() {
    let mut disk = journal();
    let (old_at, old) = batches(&mut disk, 1)[2];
    let stale = disk.image(1)[old_at..old_at + old.encoded_bytes].to_vec();
    let (at, last) = *batches(&mut disk, LAST).last().unwrap();
    let end = at + last.encoded_bytes;
    disk.image(LAST)[end..end + stale.len()].copy_from_slice(&stale);
    let found = recover_after(&disk, 0).unwrap();
    assert_eq!((found.start.next, found.start.active), (Sequence(501), None));
    assert_eq!(found.report.bytes_cut, u64::try_from(stale.len()).unwrap() - 4);
}

#[test]
fn a_segment_of_another_past_is_damage() {
    let (mut one, mut other) = (journal(), journal());
    let begin = recover_after(&one, 0).unwrap().start;
    let past = |ids: u64| -> Vec<Vec<u64>> {
        (0..20).map(|batch| (ids + batch * 20..ids + batch * 20 + 20).collect()).collect()
    };
    live(&mut one, begin.clone(), &past(501), true);
    live(&mut other, begin, &past(901), true);
    let first = batches(&mut one, 4)[0].1.header.first;
    assert_eq!(batches(&mut other, 4)[0].1.header.first, first);
    other.image(4).clone_into(one.image(4));
    // It does not follow what is before it, and what is behind it does not follow it.
    let last = Sequence(first.0 - 1);
    let found = damage(&one, 0);
    assert_eq!(found[..1], lost(4, DamageKind::MissingSegment, last, last));
    assert_eq!((found.len(), found[1].segment), (2, SegmentId(5)));
}

#[test]
fn a_flip_in_a_durable_batch_is_never_cut_silently() {
    let mut disk = journal();
    let (at, hit) = batches(&mut disk, LAST)[1];
    for offset in [at, at + 4, at + 8, at + 12, at + 20, at + 47, at + 5_000] {
        let mut disk = disk.clone();
        flip(&mut disk, LAST, offset);
        let last = Sequence(hit.header.end().0 - 1);
        let want = lost(LAST, DamageKind::Batches, hit.header.first, last);
        assert_eq!(damage(&disk, 0), want, "at {offset}");
        let skipped = recover(&disk, RecoverOptions { skip_damaged: true, ..options(0) }).unwrap();
        assert_eq!((skipped.start.next, &skipped.report.lost), (Sequence(501), &want));
        assert_eq!(skipped.report.unapplied, 480);
        let read = read_all(&disk, 1, 500, &want);
        assert_eq!(read.len(), 480, "exactly the damaged batch is left out");
        let applied = recover_after(&disk, last.0).unwrap();
        assert_eq!(applied.report.damage_applied, 1, "SQL has it");
        assert_eq!(
            read_all(&disk, last.0 + 1, 500, &[]).len(),
            500 - usize::try_from(last.0).unwrap()
        );
        let mut tail = Tail::seek(&disk, SET, hit.header.first, Vec::new()).unwrap();
        let missing = TailError::Missing(SegmentId(LAST), hit.header.first);
        assert_eq!(tail.next(&disk, Sequence(500)).unwrap_err(), missing);
    }
}

#[test]
fn damage_in_an_earlier_segment_is_listed_batch_by_batch() {
    let mut disk = journal();
    let all = batches(&mut disk, 2);
    let (one, two) = (all[1], all[all.len() - 1]);
    flip(&mut disk, 2, one.0 + 100);
    flip(&mut disk, 2, two.0 + 100);
    let mut want =
        lost(2, DamageKind::Batches, one.1.header.first, Sequence(one.1.header.end().0 - 1));
    want.extend(lost(
        2,
        DamageKind::Batches,
        two.1.header.first,
        Sequence(two.1.header.end().0 - 1),
    ));
    assert_eq!(damage(&disk, 0), want);
    assert_eq!(read_all(&disk, 1, 500, &want).len(), 460);
    assert!(recover_after(&disk, two.1.header.end().0 - 1).is_ok(), "SQL has both");
}

#[test]
fn a_missing_segment_is_missed_unless_sql_has_it() {
    let mut disk = journal();
    let second = batches(&mut disk, 2);
    let (first, end) = (second[0].1.header.first, second.last().unwrap().1.header.end());
    let mut middle = disk.clone();
    middle.remove(2);
    let want = lost(3, DamageKind::MissingSegment, first, Sequence(end.0 - 1));
    assert_eq!(damage(&middle, 0), want);
    assert!(recover_after(&middle, end.0 - 1).is_ok());
    let mut oldest = disk.clone();
    oldest.remove(1);
    let want = lost(2, DamageKind::MissingSegment, Sequence(1), Sequence(first.0 - 1));
    assert_eq!(damage(&oldest, 0), want);
    assert_eq!(recover_after(&oldest, first.0 - 1).unwrap().start.next, Sequence(501));
    let mut last = disk;
    last.remove(3);
    let found = damage(&last, 0);
    assert_eq!((found[0].first, found[0].last), (end, None), "a reserve stands behind it");
}

#[test]
fn headers_one_copy_is_enough_and_strangers_are_refused() {
    let mut disk = journal();
    flip(&mut disk, 2, 20);
    assert_eq!(recover_after(&disk, 0).unwrap().report.headers_mended, 1);
    flip(&mut disk, 2, 4_096 + 20);
    assert_eq!(recover_after(&disk, 0).unwrap_err(), RecoverError::Header(SegmentId(2)));
    let mut disk = journal();
    disk.copy(1, 2);
    assert_eq!(recover_after(&disk, 0).unwrap_err(), RecoverError::Foreign(SegmentId(2)));
    let mut disk = journal();
    let header = SegmentHeader { set: SetId(1), segment: SegmentId(2) }.encode();
    disk.image(2)[..64].copy_from_slice(&header);
    disk.image(2)[4_096..4_160].copy_from_slice(&header);
    assert_eq!(recover_after(&disk, 0).unwrap_err(), RecoverError::Foreign(SegmentId(2)));
    let mut header = header;
    header[8] = 9;
    header[12..16].fill(0);
    let crc = crc32c::crc32c(&header);
    header[12..16].copy_from_slice(&crc.to_le_bytes());
    disk.image(2)[..64].copy_from_slice(&header);
    disk.image(2)[4_096..4_160].copy_from_slice(&header);
    assert_eq!(recover_after(&disk, 0).unwrap_err(), RecoverError::Version(SegmentId(2), 9));
}

#[test]
fn a_lost_opening_loses_no_record() {
    let opening = usize::try_from(OPENING_OFFSET).unwrap();
    for segment in 1..=LAST {
        let mut disk = journal();
        flip(&mut disk, segment, opening + 17);
        let found = recover_after(&disk, 0).unwrap();
        assert_eq!((found.start.next, found.report.unapplied), (Sequence(501), 500), "{segment}");
        assert_eq!(read_all(&disk, 1, 500, &[]).len(), 500, "{segment}");
    }
}

#[test]
fn sql_ahead_gives_numbers_up_for_good() {
    let mut disk = journal();
    let ahead = recover_after(&disk, 600).unwrap();
    assert_eq!((ahead.start.next, ahead.start.follows), (Sequence(601), Sequence(501)));
    assert_eq!((ahead.report.sql_ahead, ahead.start.active), (100, None));
    live(&mut disk, ahead.start, &[vec![601, 602]], true);
    let again = recover_after(&disk, 300).unwrap();
    assert_eq!((again.start.next, again.report.unapplied), (Sequence(603), 202));
    let want: Vec<u64> = (301..=500).chain(601..=602).collect();
    assert_eq!(read_all(&disk, 301, 602, &[]), want);
    assert_eq!(read_all(&disk, 550, 602, &[]), [601, 602]);
}

#[test]
fn a_dirty_segment_that_was_never_opened_is_replaced() {
    let mut disk = journal();
    disk.image(4)[20_000] = 1;
    let found = recover_after(&disk, 0).unwrap();
    assert_eq!((found.start.reserve, found.start.next_segment), (None, SegmentId(4)));
    assert_eq!(found.start.next, Sequence(501));
}

#[test]
fn a_tail_waits_at_the_end_and_names_what_is_gone() {
    let mut disk = journal();
    let first = batches(&mut disk, 2)[0].1.header.first;
    disk.remove(1);
    let gone = Tail::seek(&disk, SET, Sequence(1), Vec::new()).unwrap_err();
    assert_eq!(gone, TailError::Removed(Sequence(1)));
    let mut tail = Tail::seek(&disk, SET, first, Vec::new()).unwrap();
    assert!(tail.next(&disk, Sequence(first.0 - 1)).unwrap().is_none());
    while tail.next(&disk, Sequence(500)).unwrap().is_some() {}
    assert_eq!(tail.next_sequence(), Sequence(501));
    let start = recover_after(&disk, first.0).unwrap().start;
    live(
        &mut disk,
        start,
        &(0..30).map(|b| (501 + b * 10..511 + b * 10).collect()).collect::<Vec<_>>(),
        true,
    );
    let mut read = 501;
    while let Some(batch) = tail.next(&disk, Sequence(800)).unwrap() {
        for (sequence, _) in batch {
            assert_eq!(sequence.0, read);
            read += 1;
        }
    }
    assert_eq!(read, 801, "over the ends of segments");
}

#[test]
fn a_tail_goes_on_when_its_segment_was_applied_and_removed() {
    let mut disk = journal();
    let first = batches(&mut disk, 3)[0].1.header.first;
    let mut tail = Tail::seek(&disk, SET, Sequence(1), Vec::new()).unwrap();
    while tail.next(&disk, Sequence(first.0 - 1)).unwrap().is_some() {}
    disk.remove(1);
    disk.remove(2);
    let batch = tail.next(&disk, Sequence(500)).unwrap().unwrap();
    assert_eq!(batch.next_sequence(), first);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_make_recovery_panic_or_invent(seed in proptest::prelude::any::<u64>()) {
        let mut choices = Choices::new(seed);
        let mut disk = journal();
        for _ in 0..=choices.below(4) {
            let segment = 1 + u64::try_from(choices.below(4)).unwrap();
            let image = disk.image(segment);
            let narrow = if choices.one_in(2) { 1 } else { 20 };
            let at = choices.below(image.len() / narrow);
            let count = (1 + choices.below(3_000)).min(image.len() - at);
            let fill = u8::try_from(choices.below(256)).unwrap();
            image[at..at + count].fill(fill);
        }
        let options = RecoverOptions { skip_damaged: true, ..options(0) };
        let strict = recover_after(&disk, 0);
        if let Ok(found) = recover(&disk, options) {
            assert!(found.start.next <= Sequence(501));
            let count = |lost: &Damage| lost.last.map_or(0, |last| last.0 - lost.first.0 + 1);
            let missing: u64 = found.report.lost.iter().map(count).sum();
            assert_eq!(found.report.unapplied + missing, found.start.next.0 - 1);
            assert_eq!(strict.is_ok(), found.report.lost.is_empty());
        }
    }
}

/// Segment images that are made once and only read.
struct Images(Vec<Vec<u8>>);

impl DiskRead for Images {
    fn segments(&self) -> Result<Vec<SegmentId>, DiskError> {
        Ok((1..).map(SegmentId).take(self.0.len()).collect())
    }

    fn bytes(&self, segment: SegmentId) -> Result<u64, DiskError> {
        Ok(u64::try_from(self.image(segment).len()).unwrap())
    }

    fn read_at(
        &self,
        segment: SegmentId,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, DiskError> {
        let rest = &self.image(segment)[usize::try_from(offset).unwrap()..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

impl Images {
    fn image(&self, segment: SegmentId) -> &[u8] {
        &self.0[usize::try_from(segment.0).unwrap() - 1]
    }
}

/// As many unapplied records as the bound allows: full segments of batches of 64 KiB.
fn full_journal() -> (Images, u64) {
    let per_batch = 300;
    let (mut images, mut next, mut chain) = (Vec::new(), 1, SET.tag());
    let segment_bytes = usize::try_from(nudged_base::limits::SEGMENT_BYTES).unwrap();
    for segment in 1..=4 {
        let mut image = vec![0; 8_192];
        let headers = SegmentHeader { set: SET, segment: SegmentId(segment) }.encode();
        image[..64].copy_from_slice(&headers);
        image[4_096..4_160].copy_from_slice(&headers);
        let mut header = batch::BatchHeader {
            chain,
            first: Sequence(next),
            count: 0,
            durable: Sequence(next - 1),
            newest: WallMs(0),
        };
        Opening::append(SET.tag(), header, header.first, &mut image);
        while image.len() + batch::ENCODED_BYTES_MAX < segment_bytes {
            let mut records = Vec::new();
            for id in next..next + per_batch {
                append_record(id, 100, &mut records);
            }
            header.first = Sequence(next);
            header.count = u32::try_from(per_batch).unwrap();
            header.chain = chain;
            chain = batch::append(SET.tag(), &header, &records, &mut image);
            next += per_batch;
        }
        image.resize(segment_bytes, 0);
        images.push(image);
    }
    (Images(images), next)
}

#[test]
fn as_much_as_may_be_unapplied_is_indexed_in_well_under_a_second() {
    let (images, next) = full_journal();
    let begun = std::time::Instant::now();
    let found = recover(&images, options(0)).unwrap();
    let taken = begun.elapsed();
    println!("{} records in 256 MiB indexed in {taken:?}", found.unapplied.len());
    assert_eq!(found.start.next, Sequence(next));
    assert_eq!(u64::try_from(found.unapplied.len()).unwrap(), next - 1);
    // On an idle machine it is a tenth of this; a shared one may be slow, not hopeless.
    assert!(taken.as_secs() < 5, "{taken:?}");
}
