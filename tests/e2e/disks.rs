//! Property: a full disk and a failing one lose nothing that was acknowledged. Decisions degrade,
//! events are told to come again, and with space it all goes on by itself; what can't be synced is
//! never acknowledged as synced.
//!
//! The disks are mounted by the tests, which needs root; else they say so and pass.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::client::{Answer, Client};
use crate::database;
use crate::harness::{Setup, WELCOME, until};

const MIB: u64 = 1 << 20;
/// Room for one segment of the journal and the database, and not for the next segment.
const ONE_SEGMENT: &str = "size=100m";
/// Room for several.
const ENOUGH: &str = "size=400m";

/// Something mounted, until the test ends.
pub struct Mounted {
    /// Where.
    pub path: PathBuf,
    _folder: TempDir,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
    }
}

/// Mounts a tmpfs; `None`, with the reason said, where that is not allowed.
pub fn tmpfs(options: &str) -> Option<Mounted> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    mount(&["-t", "tmpfs", "-o", options, "tmpfs"], &path)
        .then_some(Mounted { path, _folder: folder })
}

fn mount(arguments: &[&str], path: &Path) -> bool {
    let output = Command::new("mount").args(arguments).arg(path).output();
    match output {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            println!("skipped: {}", String::from_utf8_lossy(&output.stderr).trim());
            false
        }
        Err(error) => {
            println!("skipped: mount: {error}");
            false
        }
    }
}

/// Asks for one new user after the other; gives the answer that is not like those before.
fn until_changed(client: &mut Client, name: &str, is_changed: impl Fn(&Answer) -> bool) -> Answer {
    let mut number = 0;
    until("decisions to change", || {
        number += 1;
        Some(client.decide(&format!("{name}-{number}"))).filter(|answer| is_changed(answer))
    })
}

fn is_degraded(answer: &Answer) -> bool {
    answer.token().is_none() && answer.reason() == "degraded"
}

#[test]
fn a_disk_without_room_for_the_next_segment_degrades_and_recovers() {
    let Some(disk) = tmpfs(ENOUGH) else { return };
    let setup = Setup::new(WELCOME).data_in(&disk.path.join("data"));
    let server = setup.start();
    let token = server.client().decide("ann").token().unwrap();
    server.stop();

    // The segment that is kept ready is gone, and there is no room for another.
    let mut segments = segments(&setup);
    while segments.len() > 1 {
        fs::remove_file(segments.pop().unwrap()).unwrap();
    }
    assert!(mount(&["-o", &format!("remount,{ONE_SEGMENT}")], &disk.path));
    let mut server = setup.start();
    let mut client = server.client();
    until_changed(&mut client, "before", is_degraded);
    let refused = client.event(&token, "dismissed").expect(503);
    let seconds: u32 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!(seconds >= 1, "{refused:?}");
    assert_eq!(client.decide("ann").reason(), "gap", "what is known is still known");
    client.get("/health").expect(200);
    server.allow("journal_full");
    // SQLite is on the same disk.
    server.allow("sql_failed");
    server.await_logged("journal_full");

    assert!(mount(&["-o", &format!("remount,{ENOUGH}")], &disk.path));
    let shown = until_changed(&mut client, "after", |answer| answer.status == 200).token().unwrap();
    assert_eq!(client.event(&token, "dismissed").expect(202).json()["accepted"], 1);
    server.await_logged("journal_resumed");
    server.stop();
    let decided = database::decided(setup.data());
    assert!(decided.contains(&token) && decided.contains(&shown));
}

fn segments(setup: &Setup) -> Vec<PathBuf> {
    let entries = fs::read_dir(setup.data().join("journal")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut logs: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|kind| kind == "log")).collect();
    logs.sort();
    logs
}

/// An ext4 in a sparse file on a tmpfs: it has room for what it promises only as long as the tmpfs
/// has.
struct FailingDisk {
    outer: Mounted,
    inner: Mounted,
}

impl FailingDisk {
    fn new() -> Option<FailingDisk> {
        let outer = tmpfs("size=500m")?;
        let image = outer.path.join("image");
        File::create(&image).unwrap().set_len(400 * MIB).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).output();
        if !made.is_ok_and(|output| output.status.success()) {
            println!("skipped: no mkfs.ext4");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_path_buf();
        let is_mounted = mount(&["-o", "loop", image.to_str().unwrap()], &path);
        is_mounted.then_some(FailingDisk { outer, inner: Mounted { path, _folder: folder } })
    }

    /// From now on what is written to the journal can't reach the disk: its blocks are given back,
    /// and something else takes all there is.
    fn fail(&self, setup: &Setup) {
        for segment in segments(setup) {
            self.give_back(&segment);
        }
        let ballast = self.outer.path.join("ballast");
        // Ends in an error, once nothing is left.
        let _ = Command::new("dd")
            .args(["if=/dev/zero", "bs=1M", "status=none"])
            .arg(format!("of={}", ballast.display()))
            .output();
        let _ = Command::new("dd")
            .args(["if=/dev/zero", "bs=4k", "status=none"])
            .arg(format!("of={}.rest", ballast.display()))
            .output();
    }

    /// Punches holes into the image where a file's blocks are.
    fn give_back(&self, file: &Path) {
        let found = Command::new("filefrag").args(["-v", "-b4096"]).arg(file).output().unwrap();
        let text = String::from_utf8(found.stdout).unwrap();
        let image = self.outer.path.join("image");
        for line in text.lines() {
            // `  0:        0..   16383:      34816..     51199:  16384:             last,eof`
            let columns: Vec<&str> = line.split(':').map(str::trim).collect();
            let Some((first, _)) = columns.get(2).and_then(|range| range.split_once("..")) else {
                continue;
            };
            let Ok(first) = first.trim().parse::<u64>() else { continue };
            let blocks: u64 = columns[3].parse().unwrap();
            let punched = Command::new("fallocate")
                .arg("--punch-hole")
                .args(["--offset", &(first * 4_096).to_string()])
                .args(["--length", &(blocks * 4_096).to_string()])
                .arg(&image)
                .status()
                .unwrap();
            assert!(punched.success());
        }
    }
}

#[test]
fn what_cannot_be_synced_is_not_acknowledged_as_synced() {
    let Some(disk) = FailingDisk::new() else { return };
    let setup =
        Setup::new(WELCOME).config("ack = \"synced\"\n").data_in(&disk.inner.path.join("data"));
    let mut server = setup.start();
    server.allow("journal_failed");
    server.allow("journal_full");
    server.allow("sql_failed");
    server.allow("read_failed");
    let mut client = server.client();
    let mut acknowledged: Vec<String> = Vec::new();
    for user in 0..20 {
        acknowledged.extend(client.decide(&format!("u{user}")).token());
    }
    assert_eq!(acknowledged.len(), 20);
    disk.fail(&setup);
    // One that was under way may get through; soon none does, and none is an error.
    until_changed(&mut client, "later", is_degraded);
    client.get("/health").expect(200);
    server.await_logged("journal_failed");
    assert!(server.logged("journal_failed").len() <= 12, "not a thousand times: {}", server.said());
    server.kill();
}
