//! Property: what is there is left alone, what fails leaves nothing, and one backup at a time.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn said<T>(result: Result<T, Failure>) -> String {
    result.err().map(|failure| failure.to_string()).unwrap_or_default()
}

#[test]
fn a_name_that_is_taken_is_refused_at_the_begin_and_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("copy");
    let target = Target::of(&file).unwrap();
    std::fs::write(&target.partial, "of a copy that was killed").unwrap();
    target.create().unwrap();
    let metadata = target.partial.metadata().unwrap();
    assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (0, 0o600));
    std::fs::write(&file, "mine").unwrap();
    assert!(said(Target::of(&file)).contains("it is there already"));
    assert!(!said(target.settle()).is_empty());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    std::fs::remove_file(&file).unwrap();
    target.settle().unwrap();
    assert!(file.exists() && !target.partial.exists());
    assert!(said(Target::of(&file.join("under"))).contains("no directory"));
    assert!(said(Target::of(&directory.path().join("none/copy"))).contains("can't use the dir"));
}

#[test]
fn one_at_a_time_and_of_the_file_that_the_node_means() {
    let directory = tempfile::tempdir().unwrap();
    let held = lock(directory.path()).unwrap();
    assert!(said(lock(directory.path())).contains("another backup"));
    drop(held);
    lock(directory.path()).unwrap();
    let database = directory.path().join("nudged.db");
    let node = |inode| NodeDatabase {
        database: database.clone(),
        device: directory.path().metadata().unwrap().dev(),
        inode,
        records: 0,
    };
    assert!(said(directory_of(&node(1))).contains("run this on the node's host"));
    std::fs::write(&database, "").unwrap();
    assert!(said(directory_of(&node(1))).contains("not the node's"));
    let inode = database.metadata().unwrap().ino();
    assert_eq!(directory_of(&node(inode)).unwrap(), directory.path());
}

#[test]
fn what_the_node_needs_is_left_to_it() {
    assert_eq!(too_much(BACKUP_LOG_BYTES_MAX, BACKUP_SPARE_BYTES), None);
    assert!(too_much(BACKUP_LOG_BYTES_MAX + 1, u64::MAX).unwrap().contains("quieter time"));
    assert!(too_much(0, BACKUP_SPARE_BYTES - 1).unwrap().contains("make room"));
}

#[test]
fn a_copy_that_fails_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("nudged.db"), "no database at all, but long enough")
        .unwrap();
    let target = Target::of(&directory.path().join("copy")).unwrap();
    let copied = copy(directory.path(), &target).inspect_err(|_| target.discard());
    assert!(!said(copied).is_empty());
    assert!(!target.partial.exists() && !target.file.exists());
}
