//! Property: a server whose disk is full refuses for now, and with space it goes on where it was:
//! nothing is lost, doubled or given to the dead letters. The disk is mounted by the test, which
//! needs root; else it says so and passes.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nudged_base::time::DurationMs;
use nudged_store::FailureKind;
use nudged_store::dead_letter;
use tempfile::TempDir;

use super::apply::wide_journal;
use super::{Node, assert_same, dump, dump_of, migrate};
use crate::keeper_node::until;
use crate::support::mariadb::MariaDb;

/// Room for a server's own files and some records.
const DISK: &str = "size=400m";
/// Records of the journal: more than the room that is left for them.
const RECORDS: usize = 4_000;

/// A disk in memory, until the test ends.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn mount(path: &Path) -> Option<Mounted> {
    let arguments = ["-t", "tmpfs", "-o", DISK, "tmpfs"];
    let output = Command::new("mount").args(arguments).arg(path).output().ok()?;
    if !output.status.success() {
        println!("skipped: {}", String::from_utf8_lossy(&output.stderr).trim());
        return None;
    }
    Some(Mounted(path.to_path_buf()))
}

/// Takes what is left of the disk.
fn fill(path: &Path) {
    let mut filler = File::create(path).unwrap();
    while filler.write_all(&[0; 4_096]).is_ok() {}
}

fn a_full_disk_is_waited_for(arguments: &[&str]) {
    let place = tempfile::tempdir().unwrap();
    let Some(_disk) = mount(place.path()) else { return };
    let server = MariaDb::start_in(TempDir::new_in(place.path()).unwrap(), arguments);
    migrate(&server.url());
    let mut node = Node::start_with(&server.url(), |config| {
        config.mysql.query_timeout = DurationMs(2_000);
    });
    let journal = wide_journal(RECORDS);
    node.apply(&journal.records[..100]).unwrap();
    let filler = place.path().join("filler");
    fill(&filler);
    let mut applied = 100;
    let error = loop {
        assert!(applied < RECORDS, "the disk is not full");
        match node.apply(&journal.records[applied..applied + 100]) {
            Ok(_) => applied += 100,
            Err(error) => break error,
        }
    };
    println!("after {applied}: {error}");
    let kinds = [FailureKind::DiskFull, FailureKind::Unreachable];
    assert!(kinds.contains(&error.kind()), "{error}");
    std::fs::remove_file(&filler).unwrap();
    until("room on the disk", || node.apply(&journal.records[applied..]).is_ok());
    assert_same(&dump(&server, "nudged"), &dump_of(&journal.records));
    assert!(!node.directory.path().join(dead_letter::FILE_NAME).exists());
}

#[test]
fn with_a_binary_log() {
    a_full_disk_is_waited_for(&["--log-bin", "--server-id=1"]);
}

#[test]
fn without_a_binary_log() {
    a_full_disk_is_waited_for(&["--skip-log-bin"]);
}
