//! Files of this format version as they are kept in tests/corpus/journal: what was written once is
//! read for ever, and today's code writes the same bytes.

use super::*;
use crate::tests::*;

const GOOD: &[u8] = include_bytes!("../../../../tests/corpus/journal/good.log");
const TORN: &[u8] = include_bytes!("../../../../tests/corpus/journal/torn.log");
const FLIPPED: &[u8] = include_bytes!("../../../../tests/corpus/journal/flipped.log");
const LATER_VERSION: &[u8] = include_bytes!("../../../../tests/corpus/journal/later-version.log");

/// The bytes of `good.log`: four batches of 2, 3, 1 and 2 records, without the zeros behind them.
fn written_today() -> Vec<u8> {
    let mut disk = ModelDisk::default();
    let start = recover_after(&disk, 0).unwrap().start;
    let batches = [vec![1, 2], vec![3, 4, 5], vec![6], vec![7, 8]];
    live(&mut disk, start, &batches, true);
    let mut image = disk.image(1).clone();
    image.truncate(walk::last_set_byte(&image).unwrap() + 1);
    image.resize(image.len().next_multiple_of(8), 0);
    image
}

fn recovered(bytes: &[u8]) -> Result<Recovered, RecoverError> {
    recover_after(&ModelDisk::of_images(&[bytes]), 0)
}

#[test]
fn today_s_bytes_are_those_of_the_fixture() {
    assert!(written_today() == GOOD, "a change of bytes is a change of version");
}

#[test]
fn fixtures_read_as_they_did() {
    let good = recovered(GOOD).unwrap();
    assert_eq!((good.start.next, good.report.unapplied), (Sequence(9), 8));
    assert_eq!(good.start.set, SET);
    let torn = recovered(TORN).unwrap();
    assert_eq!((torn.start.next, torn.start.active), (Sequence(7), None));
    assert_eq!(torn.report.bytes_cut, 1_000);
    let lost = Damage {
        segment: SegmentId(1),
        kind: DamageKind::Batches,
        first: Sequence(3),
        last: Some(Sequence(5)),
    };
    assert_eq!(recovered(FLIPPED).unwrap_err(), RecoverError::Damaged(vec![lost]));
    let later = RecoverError::Version(SegmentId(1), 2);
    assert_eq!(recovered(LATER_VERSION).unwrap_err(), later);
}
