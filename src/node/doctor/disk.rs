//! The disk of the data directory: whether a node could use the directory, on what it lies, how
//! much room there is, and how long a sync takes, which is tried. What is written has no name where
//! the file system can do that, and goes with its descriptor.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Patient;
use super::host::{HostFiles, quantiles, size_of, time_of};
use super::report::{Concern, Diagnosis};
use crate::node::check::directory;
use crate::node::check::report::{CheckReport, Finding, Severity};
use crate::node::storage;
use nudged_base::limits::SEGMENT_BYTES;
use nudged_config::{AckMode, Config, QueueMode};
use nudged_runtime::journal::directory::free_bytes;

const DIRECTORY: Concern = Concern {
    name: "data_directory",
    why: "a node starts in a directory that it may write and that is its own",
};
const FILE_SYSTEM: Concern = Concern {
    name: "file_system",
    why: "what was acknowledged has to outlive this process, and its machine where ack = synced",
};
const ROOM: Concern = Concern {
    name: "disk_room",
    why: "on a full disk shows degrade and events are refused: two segments, then journal.bytes_max",
};
pub(super) const SYNC: Concern = Concern {
    name: "disk_sync",
    why: "with ack = synced each answer waits for a sync of 4 KiB; syncs also pace the writer",
};

/// Syncs that are tried.
const SYNCS: usize = 50;
/// No more are begun after this.
const SYNCS_WITHIN: Duration = Duration::from_secs(2);
/// One sync writes so much.
const PIECE_BYTES: usize = 4_096;
/// Syncs that are slower hold `ack = "synced"` up, in microseconds: the middle one.
const SYNCED_MOST_US: u64 = 5_000;
/// Syncs that are slower are a disk at its end, in microseconds: of a hundred the slowest.
const SLOW_US: u64 = 50_000;

/// Looks at the directory and its disk.
pub(super) fn check(patient: &Patient) -> Vec<Diagnosis> {
    let config = &patient.config;
    let found = of_directory(config, patient.is_running());
    let is_usable = found.mend.is_empty();
    let mut all = vec![found];
    let Some(there) = nearest(&config.data) else { return all };
    all.extend(file_system(&patient.files, config, &there));
    all.extend(room(config, free_bytes(&there), &there));
    if is_usable {
        all.push(sync(config, tried_syncs(&there), &there));
    }
    all
}

/// The directory, or the one in which it would be made.
fn nearest(data: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(data).ok()?;
    let there = absolute.ancestors().find(|path| path.is_dir())?;
    std::fs::canonicalize(there).ok()
}

/// What `nudged check` says of the directory.
fn of_directory(config: &Config, is_running: bool) -> Diagnosis {
    let data = config.data.display();
    let mut examined = nudged_config::examine(None, &[], &[]);
    examined.loaded.config = config.clone();
    let mut report = CheckReport::default();
    directory::look(&examined, &mut report);
    let worst = report.findings().find(|finding| finding.severity == Severity::Error);
    let Some(Finding { code, message, .. }) = worst else {
        let found = match (is_running, config.data.exists()) {
            (true, _) => format!("{data}, in which a node runs"),
            (false, true) => format!("{data}"),
            (false, false) => format!("{data}, which a start makes"),
        };
        return DIRECTORY.ok(found);
    };
    let mend = match *code {
        "no_room" => format!("df -h {data}  # make room, or set `data` to a larger disk"),
        "not_writable" => {
            format!("install -d -m 0750 -o \"$(id -un)\" {data}  # as root: -o nudged")
        }
        "not_a_directory" => format!("mv {data} {data}.aside"),
        "other_store" => {
            format!("nudged migrate --config FILE --from {data}  # or another data directory")
        }
        "signing_keys" => {
            format!("ls -l {data}/signing-keys  # restore it, or move it aside: old tokens end")
        }
        _ => format!("nudged check --data {data}"),
    };
    DIRECTORY.fail(message.clone(), mend)
}

/// Kinds that lose what was written to them, or sync it in their own way.
fn file_system(files: &HostFiles, config: &Config, there: &Path) -> Option<Diagnosis> {
    let mounts = files.text("/proc/self/mountinfo")?;
    let (mount, kind, options) = mount_of(&mounts, there)?;
    let found = format!("{kind} at {mount}");
    let elsewhere = "nudged serve --data /var/lib/nudged  # `data`: a local ext4 or xfs";
    let has = |option: &str| options.split(',').any(|one| one == option);
    Some(match kind {
        _ if has("ro") => {
            FILE_SYSTEM.fail(format!("{found}, read-only"), format!("mount -o remount,rw {mount}"))
        }
        "tmpfs" | "ramfs" if config.ack == AckMode::Synced => {
            FILE_SYSTEM.fail(format!("{found}: memory, gone with the machine"), elsewhere)
        }
        "tmpfs" | "ramfs" => {
            FILE_SYSTEM.warn(format!("{found}: memory, gone with the machine"), elsewhere)
        }
        "overlay" | "aufs" => {
            FILE_SYSTEM.warn(format!("{found}: goes with its container"), elsewhere)
        }
        "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "ceph" | "glusterfs" | "fuse.sshfs" => {
            let found = format!("{found}: locks and syncs are another machine's");
            match config.mysql.url {
                // SQLite's log needs memory that processes share.
                None => FILE_SYSTEM.fail(found, elsewhere),
                Some(_) => FILE_SYSTEM.warn(found, elsewhere),
            }
        }
        _ if has("nobarrier") || has("barrier=0") => FILE_SYSTEM.warn(
            format!("{found} without barriers: a loss of power undoes syncs"),
            format!("mount -o remount,barrier=1 {mount}  # and in /etc/fstab"),
        ),
        _ => FILE_SYSTEM.ok(found),
    })
}

/// The innermost mount that a path lies on: its folder, its kind, and its options with those of its
/// file system.
fn mount_of<'m>(mounts: &'m str, path: &Path) -> Option<(&'m str, &'m str, String)> {
    let found = mounts.lines().filter_map(|line| {
        let (place, file_system) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(4);
        let (mount, options) = (place.next()?, place.next()?);
        let mut words = file_system.split(' ');
        let (kind, own) = (words.next()?, words.nth(1).unwrap_or_default());
        path.starts_with(mount).then(|| (mount, kind, format!("{options},{own}")))
    });
    // Of two on one folder the later one hides the other.
    found.max_by_key(|(mount, ..)| Path::new(mount).components().count())
}

/// Nothing where the file system does not say.
fn room(config: &Config, free: io::Result<u64>, there: &Path) -> Option<Diagnosis> {
    let free = free.ok()?;
    let segments = u64::try_from(storage::segments_of(&config.data)).unwrap_or(u64::MAX);
    let used = segments.saturating_mul(SEGMENT_BYTES);
    let least = (2 * SEGMENT_BYTES).saturating_sub(used);
    let budget = config.journal.bytes_max.max(2 * SEGMENT_BYTES).saturating_sub(used);
    let found = format!(
        "{} free at {}, and the journal may take {} more",
        size_of(free),
        there.display(),
        size_of(budget)
    );
    let mend = format!("df -h {}  # make room, or lower journal.bytes_max", there.display());
    Some(match free {
        free if free < least => ROOM.fail(found, mend),
        free if free < budget => ROOM.warn(found, mend),
        _ => ROOM.ok(found),
    })
}

fn sync(config: &Config, tried: io::Result<Vec<u64>>, there: &Path) -> Diagnosis {
    let times = match tried {
        Ok(times) => times,
        Err(error) => {
            let mend = format!("sudo -u nudged nudged doctor --data {}", config.data.display());
            return SYNC.warn(format!("not tried at {}: {error}", there.display()), mend);
        }
    };
    let count = times.len();
    let Some((middle, slow)) = quantiles(times) else {
        return SYNC.warn("none ended in time", format!("iostat -x 1 5  # {}", there.display()));
    };
    let found = format!("p50 {}, p99 {} of {count}", time_of(middle), time_of(slow));
    let journal_decides = config.queue == QueueMode::Journal && config.ack == AckMode::Synced;
    let mend = match journal_decides && middle > SYNCED_MOST_US {
        true => {
            "nudged serve --data /mnt/nvme/nudged  # a disk with a cache that outlives power, or \
                 ack = \"written\""
        }
        false => "iostat -x 1 5  # who else writes; then a faster disk for `data`",
    };
    match middle > SLOW_US || slow > 4 * SLOW_US || (journal_decides && middle > SYNCED_MOST_US) {
        true => SYNC.warn(found, mend),
        false => SYNC.ok(found),
    }
}

/// How long each sync took, in microseconds.
fn tried_syncs(there: &Path) -> io::Result<Vec<u64>> {
    let file = nameless(there)?;
    let piece = [0x5a; PIECE_BYTES];
    let place = |index: usize| u64::try_from(index * PIECE_BYTES).unwrap_or(0);
    // As the journal's segments are: there already, so that a sync is of data alone.
    for index in 0..SYNCS {
        file.write_all_at(&piece, place(index))?;
    }
    file.sync_all()?;
    let begun = Instant::now();
    let mut times = Vec::with_capacity(SYNCS);
    for index in 0..SYNCS {
        let from = Instant::now();
        file.write_all_at(&piece, place(index))?;
        file.sync_data()?;
        times.push(u64::try_from(from.elapsed().as_micros()).unwrap_or(u64::MAX));
        if begun.elapsed() > SYNCS_WITHIN {
            break;
        }
    }
    Ok(times)
}

/// A file that goes with its descriptor, whatever happens to this process.
fn nameless(there: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if let Ok(file) = options.clone().custom_flags(libc::O_TMPFILE).open(there) {
        return Ok(file);
    }
    let path = there.join(format!(".nudged-doctor-{}", std::process::id()));
    let file = options.create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::doctor::fixture::Fixture;
    use crate::node::doctor::report::Condition::{self, Fail, Ok as Good, Warn};
    use nudged_config::SecretText;

    fn kind(mount: &str, config: &Config) -> (Condition, String) {
        let fixture = Fixture::new();
        let root = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard";
        fixture.write("/proc/self/mountinfo", &format!("{root}\n{mount}\n"));
        let said = file_system(&fixture.patient().files, config, Path::new("/srv/data/x")).unwrap();
        (said.status, said.mend)
    }

    #[test]
    fn what_does_not_keep_what_is_written_is_named() {
        let mut config = Config::default();
        for (mount, status) in [
            ("28 27 0:9 / /srv/dat rw - tmpfs tmpfs rw", Good),
            ("28 27 0:9 / /srv/data rw - xfs /dev/sdb rw", Good),
            ("28 27 0:9 / /srv/data rw - tmpfs tmpfs rw", Warn),
            ("28 27 0:9 / /srv rw shared:3 - overlay overlay rw,lowerdir=/x", Warn),
            ("28 27 0:9 / /srv rw - nfs4 server:/srv rw,vers=4.2", Fail),
            ("28 27 0:9 / /srv ro - ext4 /dev/sdb rw", Fail),
            ("28 27 0:9 / /srv rw - ext4 /dev/sdb rw,nobarrier", Warn),
        ] {
            let (found, mend) = kind(mount, &config);
            assert_eq!(found, status, "{mount}: {mend}");
        }
        assert_eq!(kind("28 27 0:9 / /srv ro - ext4 d rw", &config).1, "mount -o remount,rw /srv");
        config.mysql.url = Some(SecretText::new("mysql://u@h/d".to_owned()));
        assert_eq!(kind("28 27 0:9 / /srv rw - nfs4 s:/ rw", &config).0, Warn);
        config.ack = AckMode::Synced;
        assert_eq!(kind("28 27 0:9 / /srv rw - tmpfs tmpfs rw", &config).0, Fail);
    }

    #[test]
    fn room_is_for_two_segments_and_for_the_budget() {
        let config = Config { data: "/nowhere/data".into(), ..Config::default() };
        let judge = |free| room(&config, Ok(free), Path::new("/nowhere")).unwrap();
        assert_eq!(judge(2 << 30).status, Good);
        assert_eq!(judge((1 << 30) - 1).status, Warn);
        let said = judge(2 * SEGMENT_BYTES - 1);
        assert_eq!(said.status, Fail);
        assert_eq!(said.found, "127 MiB free at /nowhere, and the journal may take 1024 MiB more");
    }

    #[test]
    fn slow_syncs_are_named_and_matter_more_where_answers_wait() {
        let mut config = Config::default();
        let there = Path::new("/");
        let status = |config: &Config, times| sync(config, Ok(times), there).status;
        assert_eq!(status(&config, vec![9_000; 50]), Good);
        assert_eq!(status(&config, vec![60_000; 30]), Warn);
        config.ack = AckMode::Synced;
        assert_eq!(status(&config, vec![900; 50]), Good);
        assert_eq!(status(&config, vec![9_000; 50]), Warn);
        let denied = sync(&config, Err(io::ErrorKind::PermissionDenied.into()), there);
        assert!(denied.status == Warn && denied.found.starts_with("not tried at /: "));
    }

    #[test]
    fn syncs_are_tried_and_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let times = tried_syncs(folder.path()).unwrap();
        assert!((1..=SYNCS).contains(&times.len()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let config = Config { data: folder.path().join("a/b"), ..Config::default() };
        assert_eq!(nearest(&config.data), Some(std::fs::canonicalize(folder.path()).unwrap()));
        assert_eq!(of_directory(&config, false).status, Good);
        assert!(!config.data.exists(), "a doctor makes nothing");
    }

    #[test]
    fn a_directory_that_a_node_could_not_use_fails_with_its_mend() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::write(&data, "a file").unwrap();
        let config = Config { data: data.clone(), ..Config::default() };
        let said = of_directory(&config, false);
        assert_eq!(said.status, Fail, "{said:?}");
        Fixture::new().carry_out(&said.mend);
        assert_eq!(of_directory(&config, false).status, Good);
    }
}
