//! Kernel and limits of the process: the very probes by which a node refuses to start, and where it
//! starts with less than it could have. Where a node runs in the data directory, its limits count
//! and not those of the shell.

use nudged_base::limits::SEGMENT_BYTES;
use nudged_config::Count;
use nudged_runtime::probe::{self, HostUnfit};
use nudged_runtime::{process_limits, thread_room};

use super::Patient;
use super::host::{HostFiles, size_of};
use super::report::{Concern, Diagnosis};
use crate::node::preflight;

const KERNEL: Concern =
    Concern { name: "kernel", why: "shards and journal live on io_uring of Linux 6.1 or newer" };
const IO_URING: Concern = Concern {
    name: "io_uring",
    why: "without these operations, allowed to this process, a node does not start",
};
const OPEN_FILES: Concern = Concern {
    name: "open_files",
    why: "each shard holds no more connections than RLIMIT_NOFILE, 256 of it aside",
};
const LOCKED_MEMORY: Concern =
    Concern { name: "locked_memory", why: "the rings of journal and shards are locked memory" };
const FILE_SIZE: Concern =
    Concern { name: "file_size", why: "a segment of the journal has to fit into RLIMIT_FSIZE" };
const THREADS: Concern =
    Concern { name: "threads", why: "a node that is refused a thread does not start" };

/// Connections that one node is to hold.
const CONNECTIONS_WANTED: u64 = 50_000;
/// What messages tell operators to set.
const DESCRIPTORS_WANTED: u64 = 65_536;
const MEMLOCK_WANTED_KIB: u64 = 65_536;
/// A shard's ring locks up to so much, in bytes.
const SHARD_MEMLOCK: u64 = 256 << 10;

/// Looks at kernel, limits and threads.
pub(super) fn check(patient: &Patient) -> Vec<Diagnosis> {
    // A node that runs has its rings and its threads; to try for more would be in its way.
    let probed = if patient.is_this_node { Ok(()) } else { probe::check_kernel() };
    let mut found = of_probe(probed, &patient.files);
    found.extend(check_limits(patient));
    if patient.is_this_node {
        found.push(THREADS.ok("the node runs and has them"));
        return found;
    }
    let needed = preflight::threads_needed(&patient.config, patient.topology.shards);
    found.push(match thread_room::check(needed) {
        Ok(()) => THREADS.ok(format!("{needed} were given")),
        Err(error) => THREADS.fail(
            error.to_string(),
            "ulimit -u 4096  # in a unit: TasksMax=4096 and LimitNPROC=4096",
        ),
    });
    found
}

/// What the probe of a start means: one line for the kernel, one for its io_uring.
fn of_probe(probed: Result<(), HostUnfit>, files: &HostFiles) -> Vec<Diagnosis> {
    let release = files.text("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned());
    let newer = "apt-get install -y linux-image-amd64 && systemctl reboot  # Ubuntu 22.04: \
                 linux-generic-hwe-22.04";
    let kernel = || KERNEL.ok(format!("Linux {release}"));
    let error = match probed {
        Ok(()) => {
            return vec![kernel(), IO_URING.ok("a ring was made, and has every operation")];
        }
        Err(error) => error,
    };
    let found = error.to_string();
    match error {
        HostUnfit::KernelTooOld { found } => {
            vec![KERNEL.fail(format!("Linux {found}"), newer)]
        }
        HostUnfit::OperationMissing { .. } => vec![kernel(), IO_URING.fail(found, newer)],
        HostUnfit::Forbidden { setting, .. } if setting != "0" && setting != "unknown" => {
            let found = format!("refused: kernel.io_uring_disabled is {setting}");
            vec![kernel(), IO_URING.fail(found, "sysctl -w kernel.io_uring_disabled=0")]
        }
        HostUnfit::Forbidden { source, .. } | HostUnfit::Missing { source } => {
            let found = format!("refused: {source}; the kernel's settings allow it");
            let mend = "docker run --security-opt seccomp=vendor-config/seccomp/nudged.json nudged  # or \
                        outside of the container; in a unit: SystemCallFilter=io_uring_setup io_uring_enter \
                        io_uring_register";
            vec![kernel(), IO_URING.fail(found, mend)]
        }
        _ => vec![kernel(), IO_URING.fail(found, "ulimit -a; dmesg | tail")],
    }
}

/// Limits of a process, hard ones: a node raises the soft ones to these.
struct HardLimits {
    descriptors: u64,
    memlock: u64,
    file_bytes: u64,
}

impl HardLimits {
    /// From the text of `/proc/PID/limits`; `None` where it has not all of them.
    fn of(text: &str) -> Option<HardLimits> {
        let limit = |name: &str| {
            let words = text.lines().find_map(|line| line.strip_prefix(name))?;
            match words.split_whitespace().nth(1)? {
                "unlimited" => Some(u64::MAX),
                number => number.parse().ok(),
            }
        };
        Some(HardLimits {
            descriptors: limit("Max open files")?,
            memlock: limit("Max locked memory")?,
            file_bytes: limit("Max file size")?,
        })
    }
}

fn check_limits(patient: &Patient) -> Vec<Diagnosis> {
    let text = patient.files.text(&format!("/proc/{}/limits", patient.process));
    let Some(limits) = text.as_deref().and_then(HardLimits::of) else {
        let mend = format!("cat /proc/{}/limits", patient.process);
        return vec![OPEN_FILES.warn("the limits of this process can't be read", mend)];
    };
    let whose = patient.whose();
    let (shards, listeners) = (patient.topology.shards, patient.config.listen.len());
    let judge = |descriptors, memlock, file_bytes| {
        process_limits::judge((descriptors, memlock, file_bytes), shards, listeners)
    };
    // One limit at a time, so that each has its line.
    let descriptors = judge(limits.descriptors, u64::MAX, u64::MAX).map(|()| limits.descriptors);
    let memlock = judge(u64::MAX, limits.memlock, u64::MAX);
    let file_bytes = judge(u64::MAX, u64::MAX, limits.file_bytes);
    let of_files = LimitPlace {
        concern: OPEN_FILES,
        whose: whose.clone(),
        set: |limit| format!("ulimit -n {limit}  # in a unit: LimitNOFILE={limit}"),
    };
    let of_memory = LimitPlace {
        concern: LOCKED_MEMORY,
        whose: whose.clone(),
        set: |kib| format!("ulimit -l {kib}  # in a unit: LimitMEMLOCK={}M", kib >> 10),
    };
    vec![
        open_files(patient, descriptors, &of_files),
        locked_memory(shards, (limits.memlock, memlock.is_ok()), &of_memory),
        match file_bytes {
            Ok(()) => FILE_SIZE.ok(format!("{}{whose}", bounded(limits.file_bytes, size_of))),
            Err(_) => FILE_SIZE.fail(
                format!("{}, below {}{whose}", size_of(limits.file_bytes), size_of(SEGMENT_BYTES)),
                "ulimit -f unlimited  # in a unit: LimitFSIZE=infinity",
            ),
        },
    ]
}

fn bounded(limit: u64, shown: impl Fn(u64) -> String) -> String {
    if limit == u64::MAX { "unlimited".to_owned() } else { shown(limit) }
}

/// Where a limit is found, and how it is set.
pub(super) struct LimitPlace {
    pub(super) concern: Concern,
    /// Behind what was found.
    pub(super) whose: String,
    /// What sets the limit of descriptors, or of locked memory in KiB, to a number.
    pub(super) set: fn(u64) -> String,
}

/// Judges a limit of descriptors, or why a node would not start with it.
pub(super) fn open_files(
    patient: &Patient,
    limit: Result<u64, HostUnfit>,
    place: &LimitPlace,
) -> Diagnosis {
    let LimitPlace { concern, whose, set } = place;
    let shards = patient.topology.shards;
    let limit = match limit {
        Ok(limit) => limit,
        Err(HostUnfit::TooFewDescriptors { limit, needed }) => {
            let found = format!("{limit}, below the {needed} that a start needs{whose}");
            return concern.fail(found, set(DESCRIPTORS_WANTED));
        }
        Err(error) => return concern.fail(error.to_string(), set(DESCRIPTORS_WANTED)),
    };
    let fits = probe::connections_that_fit(limit, shards);
    let found = format!("{}, for {fits} connections{whose}", bounded(limit, |n| n.to_string()));
    match patient.config.connections_max {
        Count::Exactly(asked) if u64::from(asked) > fits => {
            let each = u64::from(asked).div_ceil(u64::from(shards)) + 1_024;
            let found = format!("{found}: connections_max is {asked}");
            concern.fail(found, set(each.max(DESCRIPTORS_WANTED)))
        }
        Count::Auto if fits < CONNECTIONS_WANTED => concern.warn(found, set(DESCRIPTORS_WANTED)),
        _ => concern.ok(found),
    }
}

/// Judges a limit of locked memory, in bytes; with less than `is_enough` a node does not start.
pub(super) fn locked_memory(
    shards: u16,
    (limit, is_enough): (u64, bool),
    place: &LimitPlace,
) -> Diagnosis {
    let LimitPlace { concern, whose, set } = place;
    let needed = probe::MEMLOCK_MIN + u64::from(shards) * SHARD_MEMLOCK;
    let found = format!("{}{whose}", bounded(limit, size_of));
    let mend = set(MEMLOCK_WANTED_KIB);
    match limit {
        _ if !is_enough => concern.fail(found, mend),
        limit if limit < needed => {
            let found = format!("{found}, below {} for {shards} shards", size_of(needed));
            concern.warn(found, mend)
        }
        _ => concern.ok(found),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::node::doctor::fixture::Fixture;
    use crate::node::doctor::report::Condition::{self, Fail, Ok as Good, Warn};

    const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units\n\
         Max file size             unlimited            FSIZE                bytes\n\
         Max open files            1024                 NOFILE               files\n\
         Max locked memory         65536                MEMLOCK              bytes\n";

    fn write(fixture: &Fixture, process: &str, nofile: &str, memlock: &str, file_size: &str) {
        let text = LIMITS.replace("NOFILE", nofile).replace("MEMLOCK", memlock);
        fixture.write(&format!("/proc/{process}/limits"), &text.replace("FSIZE", file_size));
    }

    fn conditions(fixture: &Fixture) -> Vec<Condition> {
        check_limits(&fixture.patient()).into_iter().map(|one| one.status).collect()
    }

    #[test]
    fn each_limit_is_judged_by_what_a_start_needs_and_by_what_a_node_is_to_hold() {
        let mut fixture = Fixture::with_cpus("0-1");
        for (limits, wanted) in [
            (["65536", "67108864", "unlimited"], [Good, Good, Good]),
            (["unlimited", "unlimited", "unlimited"], [Good, Good, Good]),
            (["20000", "67108864", "67108864"], [Warn, Good, Good]),
            (["300", "600000", "67108863"], [Fail, Warn, Fail]),
            (["65536", "65536", "unlimited"], [Good, Fail, Good]),
        ] {
            write(&fixture, "self", limits[0], limits[1], limits[2]);
            assert_eq!(conditions(&fixture), wanted, "{limits:?}");
        }
        write(&fixture, "self", "30000", "67108864", "unlimited");
        assert_eq!(conditions(&fixture)[0], Good);
        fixture.config.connections_max = Count::Exactly(60_000);
        let said = check_limits(&fixture.patient()).swap_remove(0);
        assert_eq!(said.status, Fail);
        assert!(said.found.ends_with("connections_max is 60000"), "{said:?}");
    }

    #[test]
    fn the_limits_of_a_node_that_runs_count() {
        let mut fixture = Fixture::with_cpus("0-1");
        write(&fixture, "self", "300", "65536", "unlimited");
        write(&fixture, "77", "65536", "67108864", "unlimited");
        fixture.process = "77".to_owned();
        assert_eq!(conditions(&fixture), [Good, Good, Good]);
        let said = check_limits(&fixture.patient()).swap_remove(0).found;
        assert!(said.ends_with(" (of the node that runs, process 77)"), "{said}");
        fixture.process = "78".to_owned();
        assert_eq!(conditions(&fixture), [Warn]);
    }

    #[test]
    fn what_the_probe_says_is_a_line_of_kernel_or_io_uring_with_its_mend() {
        let fixture = Fixture::new();
        fixture.write("/proc/sys/kernel/osrelease", "6.12.1\n");
        let files = fixture.patient().files;
        let error = |code| io::Error::from_raw_os_error(code);
        let forbidden = |setting: &str| {
            Err(HostUnfit::Forbidden { setting: setting.to_owned(), source: error(libc::EPERM) })
        };
        let table = [
            (Ok(()), "io_uring", Good, ""),
            (
                Err(HostUnfit::KernelTooOld { found: "5.10.0".to_owned() }),
                "kernel",
                Fail,
                "linux-image",
            ),
            (forbidden("2"), "io_uring", Fail, "sysctl -w kernel.io_uring_disabled=0"),
            (forbidden("0"), "io_uring", Fail, "seccomp"),
            (
                Err(HostUnfit::Missing { source: error(libc::ENOSYS) }),
                "io_uring",
                Fail,
                "seccomp=vendor-config/seccomp/nudged.json",
            ),
            (Err(HostUnfit::OperationMissing { operation: "accept" }), "io_uring", Fail, "reboot"),
            (Err(probe::explain_refusal(error(libc::ENOMEM))), "io_uring", Fail, "ulimit -a"),
        ];
        for (probed, name, status, mend) in table {
            let said = of_probe(probed, &files).pop().unwrap();
            assert_eq!((said.name, said.status), (name, status));
            assert!(said.mend.contains(mend), "{said:?}");
        }
        assert_eq!(of_probe(Ok(()), &files)[0].found, "Linux 6.12.1");
    }

    #[test]
    fn this_host_runs_nudged() {
        let patient = Fixture::new().patient();
        let names: Vec<_> = check(&patient).into_iter().map(|one| (one.name, one.status)).collect();
        assert_eq!(names[..2], [("kernel", Good), ("io_uring", Good)]);
        assert_eq!(names.last(), Some(&("threads", Good)));
    }
}
