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
use crate::harness::{Setup, WELCOME, run, until};

const MIB: u64 = 1 << 20;
/// Room for one segment of the journal and the database, and not for the next segment.
const ONE_SEGMENT: &str = "size=100m";
/// Room for both segments of a start.
const ENOUGH: &str = "size=200m";

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
fn two_segments_must_fit_at_start() {
    let Some(disk) = tmpfs(ONE_SEGMENT) else { return };
    let setup = Setup::new(WELCOME).data_in(&disk.path.join("data"));
    let needed = (128 * MIB).to_string();
    let checked = run(&disk.path, &["check", "--data", setup.data().to_str().unwrap()]);
    assert_eq!(checked.code, Some(2), "{checked:?}");
    assert!(checked.stdout.contains(&needed) || checked.stderr.contains(&needed), "{checked:?}");
    let exit = setup.start_fails(&[]);
    assert_eq!(exit.code, Some(4), "{exit:?}");
    let mut free =
        (100 * MIB - 64 * 4_096..=100 * MIB).step_by(4_096).map(|bytes| bytes.to_string());
    assert!(exit.stderr.contains(&needed), "{exit:?}");
    assert!(free.any(|free| exit.stderr.contains(&free)), "{exit:?}");
    assert!(exit.stderr.contains(setup.data().to_str().unwrap()), "{exit:?}");
    assert!(!exit.stdout.contains("ready"), "{exit:?}");
    assert!(!setup.data().join("nudged.db").exists(), "nothing is made where nothing fits");

    // Nor where nothing at all does.
    let ballast = fill(&disk, "ballast", 0);
    let exit = setup.start_fails(&[]);
    assert_eq!(exit.code, Some(4), "{exit:?}");
    assert!(exit.stderr.contains(&needed) && exit.stderr.contains(" but 0 are free"), "{exit:?}");
    fs::remove_file(ballast).unwrap();

    // What is there already need not fit again.
    assert!(mount(&["-o", &format!("remount,{ENOUGH}")], &disk.path));
    let server = setup.start();
    assert!(server.client().decide("ann").token().is_some());
    until("the next segment", || (segments(&setup).len() == 2).then_some(()));
    server.stop();
    fill(&disk, "ballast", 8 * MIB);
    let server = setup.start();
    assert!(server.client().decide("bob").token().is_some());
    server.operator().ask("POST", "/v1/popups/welcome/pause", "").expect(200);
    server.stop();

    // Nothing is free, and both segments are there: SQLite waits, and all else goes on.
    let more = fill(&disk, "more", 0);
    let mut server = setup.start();
    server.allow("sql_failed");
    let popup = server.operator().get("/v1/popups/welcome").json();
    assert_eq!(popup["effective_status"], "paused", "{popup}");
    server.operator().ask("POST", "/v1/popups/welcome/resume", "").expect(200);
    assert!(server.client().decide("eve").token().is_some());
    fs::remove_file(more).unwrap();
    server.await_logged("sql_resumed");
    server.stop();
}

/// Takes what is left of a disk, but for so many bytes. The node takes its own meanwhile.
fn fill(disk: &Mounted, name: &str, but_bytes: u64) -> PathBuf {
    let ballast = disk.path.join(name);
    let file = File::create(&ballast).unwrap();
    until("the disk to be full", || {
        let found = rustix::fs::statvfs(&disk.path).unwrap();
        let bytes = (found.f_bfree * found.f_frsize).saturating_sub(but_bytes);
        if bytes == 0 {
            return Some(());
        }
        let end = file.metadata().unwrap().len();
        let nothing = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(&file, nothing, end, bytes).ok()
    });
    ballast
}

/// Takes the blocks away of what is written next of the segment in use.
fn make_sparse(setup: &Setup, left_bytes: u64) {
    let segment = segments(setup).remove(0);
    let punched = Command::new("fallocate")
        .args(["--punch-hole", "--offset", &(64 * MIB - left_bytes).to_string()])
        .args(["--length", &(8 * MIB).to_string()])
        .arg(segment)
        .status();
    assert!(punched.unwrap().success());
}

#[test]
fn a_full_disk_is_used_to_its_end_then_named_and_all_goes_on_with_space() {
    let Some(disk) = tmpfs(ENOUGH) else { return };
    let setup = Setup::new(WELCOME).data_in(&disk.path.join("data"));
    let mut server = setup.start();
    server.allow("journal_full");
    // SQLite is on the same disk.
    server.allow("sql_failed");
    let mut client = server.client();
    // The first record takes the segment that is there; there is no room for another one.
    let ballast = fill(&disk, "ballast", 30 * MIB);
    let token = client.decide("ann").token().unwrap();
    until("it to be said", || (server.lines_with("journal_low") > 0).then_some(()));
    for user in 0..100 {
        assert!(client.decide(&format!("low-{user}")).token().is_some(), "99 % are left");
    }
    client.get("/readyz").expect(200);
    assert_eq!(client.event(&token, "shown").expect(202).json()["accepted"], 1);

    let journal = server.operator().get("/v1/status").json()["journal"].clone();
    make_sparse(&setup, journal["left_in_segment_bytes"].as_u64().unwrap());
    let more = fill(&disk, "more", 0);
    until_changed(&mut client, "before", is_degraded);
    let directory = setup.data().join("journal").to_str().unwrap().to_owned();
    let refused = client.event(&token, "dismissed").expect(503);
    let seconds: u32 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!(seconds >= 1, "{refused:?}");
    let lacking = format!("{directory} is {} bytes short", 64 * MIB);
    assert!(refused.body.contains(&lacking), "{refused:?}");
    for mut asked in [server.client(), server.operator()] {
        let unready = asked.get("/readyz").expect(503);
        assert!(unready.body.contains(&lacking), "{unready:?}");
    }
    assert_eq!(client.decide("ann").reason(), "gap", "what is known is still known");
    client.get("/health").expect(200);
    let is_told = || {
        let said = server.said();
        let mut lines = said.lines().filter(|line| line.contains("journal_full"));
        lines.any(|line| line.contains(&directory) && line.contains("free_bytes"))
    };
    until("that to be said", || is_told().then_some(()));
    let is_counted = || {
        let metrics = server.operator().get("/metrics").body;
        metrics.contains("nudged_sql_errors_total{kind=\"disk_full\"} ")
            && !metrics.contains("nudged_sql_errors_total{kind=\"disk_full\"} 0\n")
    };
    until("SQLite's reason to be counted", || is_counted().then_some(()));
    assert!(server.lines_with("database or disk is full") > 0, "{}", server.said());

    fs::remove_file(&more).unwrap();
    fs::remove_file(&ballast).unwrap();
    let shown = until_changed(&mut client, "after", |answer| answer.status == 200).token().unwrap();
    client.get("/readyz").expect(200);
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
    server.allow("journal_closed");
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
