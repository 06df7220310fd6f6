//! Property: the log of a file is folded in beside the one that writes, whole, once it is long, and
//! neither is in the other's way.

use super::{Node, directory, look};
use crate::StoreFold;
use nudged_histories::{Journal, OwnedRecord};

/// Pages of the log that are not in the file, and whether a fold of so many would begin.
fn is_long(fold: &mut StoreFold, pages: u32) -> bool {
    fold.0.fold_pass("PRAGMA wal_checkpoint(NOOP)").unwrap() >= i64::from(pages)
}

/// A log of a few dozen pages, and as many records to come.
fn written() -> (tempfile::TempDir, Node, Vec<OwnedRecord>) {
    let directory = directory();
    let mut node = Node::start(directory.path());
    let mut journal = Journal::new();
    (0..40).for_each(|_| journal.show("u", 0, None));
    for record in journal.records[..20].chunks(1) {
        node.apply(record).unwrap();
    }
    (directory, node, journal.records.split_off(20))
}

#[test]
fn a_long_log_is_folded_in_and_a_short_one_is_left() {
    let (directory, _node, _) = written();
    let mut fold = StoreFold::open(directory.path()).unwrap();
    assert!(is_long(&mut fold, 10));
    assert!(!fold.fold_from(1_000_000).unwrap() && is_long(&mut fold, 10));
    assert!(fold.fold_from(10).unwrap() && !is_long(&mut fold, 1));
    assert!(!fold.fold_from(1).unwrap(), "nothing is left");
}

#[test]
fn it_folds_while_a_transaction_writes_and_the_writer_goes_on() {
    let (directory, mut node, records) = written();
    let mut fold = StoreFold::open(directory.path()).unwrap();
    let other = look(directory.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(fold.fold_from(10).unwrap(), "it waits for no lock");
    other.execute_batch("ROLLBACK").unwrap();
    let before = node.position();
    node.apply_all(&records);
    assert!(node.position() > before && is_long(&mut fold, 1));
}

/// What a reader still sees is left where it is, without an error.
#[test]
fn what_a_reader_needs_is_left() {
    let (directory, mut node, records) = written();
    let mut fold = StoreFold::open(directory.path()).unwrap();
    let reader = look(directory.path());
    reader.execute_batch("BEGIN; SELECT count(*) FROM users").unwrap();
    node.apply_all(&records);
    assert!(fold.fold_from(1).unwrap() && is_long(&mut fold, 1));
    reader.execute_batch("ROLLBACK").unwrap();
    assert!(fold.fold_from(1).unwrap() && !is_long(&mut fold, 1));
}
