//! Is this kernel fit: io_uring there, allowed, and new enough. Says why not and how to mend it.

use std::io;

use io_uring::{IoUring, Probe, opcode};
use rustix::process::{Resource, getrlimit};

use crate::thread_room::ThreadLimit;
use nudged_base::limits::SEGMENT_BYTES;

/// The oldest kernel that has all that a shard's ring needs: deferred task work with a single
/// issuer, and multishot receive.
const KERNEL_MIN: (u32, u32) = (6, 1);
/// Descriptors of the process that are not connections: listeners, files, eventfds, rings.
pub(super) const DESCRIPTORS_RESERVED: u64 = 256;
/// Memory that the executor of the dedicated core insists on being allowed to lock, in bytes.
pub const MEMLOCK_MIN: u64 = 512 * 1_024;
/// Direct descriptors of one ring at most.
const DESCRIPTORS_MAX: u64 = 65_536;
/// Entries of a ring's descriptor table beyond its connections: those that are being refused.
pub const DESCRIPTORS_SPARE: u32 = 64;

/// Why the host is not fit.
#[derive(Debug, thiserror::Error)]
pub enum HostUnfit {
    /// The kernel is too old.
    #[error(
        "Linux {found} is too old: nudged needs {}.{} or newer for its io_uring rings; \
         boot a newer kernel (Debian 12 and Ubuntu 24.04 have one)",
        KERNEL_MIN.0, KERNEL_MIN.1
    )]
    KernelTooOld {
        /// The running kernel's release.
        found: String,
    },
    /// io_uring is not allowed.
    #[error(
        "this process may not use io_uring ({source}): either kernel.io_uring_disabled is \
         {setting} (allow it with `sysctl -w kernel.io_uring_disabled=0`), or a seccomp filter \
         blocks it, as container runtimes do by default (run outside the container, or with \
         `--security-opt seccomp=unconfined`)"
    )]
    Forbidden {
        /// The sysctl's value, or that it is unknown.
        setting: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// io_uring is missing.
    #[error(
        "this kernel reports that it has no io_uring ({source}): it was built without \
         CONFIG_IO_URING, or a seccomp filter hides it (run outside the container, or with \
         `--security-opt seccomp=unconfined`)"
    )]
    Missing {
        /// What the kernel said.
        source: io::Error,
    },
    /// The ring was refused for another reason.
    #[error("io_uring could not set up a ring: {source}; {hint}")]
    Refused {
        /// What helps.
        hint: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// An operation is missing.
    #[error("this kernel's io_uring lacks {operation}: boot Linux 6.1 or newer")]
    OperationMissing {
        /// The operation.
        operation: &'static str,
    },
    /// The executor of the dedicated core can't be had.
    #[error(
        "{0}; `ulimit -a` shows this process's limits (`LimitMEMLOCK=` and `LimitNOFILE=` in the \
         unit raise them), `dmesg` may say more"
    )]
    Executor(String),
    /// Less memory may be locked than the executor of the dedicated core asks for.
    #[error(
        "RLIMIT_MEMLOCK is {limit} bytes, but the journal's rings need {} or more, and each \
         shard's up to 262144 more: raise the limit (`LimitMEMLOCK=64M` in the unit, `--ulimit \
         memlock=67108864` for a container, `ulimit -l 65536` in a shell)",
        MEMLOCK_MIN
    )]
    MemlockTooLow {
        /// The process's hard limit, in bytes.
        limit: u64,
    },
    /// Fewer descriptors than the node needs for itself.
    #[error(
        "RLIMIT_NOFILE is {limit}, but {needed} or more are needed for files, rings, listeners and \
         a first connection: raise the limit (`LimitNOFILE=65536` in the unit, `--ulimit \
         nofile=65536` for a container, `ulimit -n 65536` in a shell)"
    )]
    TooFewDescriptors {
        /// The process's hard limit.
        limit: u64,
        /// What would do.
        needed: u64,
    },
    /// The system gives fewer threads than the node needs.
    #[error("a node of this size needs {needed} threads, but the system allows {given}: {limit}")]
    TooFewThreads {
        /// Threads that were given.
        given: usize,
        /// Threads that were asked for.
        needed: usize,
        /// What allows no more.
        limit: ThreadLimit,
    },
    /// Files may not be as large as a segment of the journal.
    #[error(
        "RLIMIT_FSIZE is {limit} bytes, but a journal segment has {}: raise the limit \
         (`LimitFSIZE=infinity` in the unit, `ulimit -f unlimited` in a shell)",
        SEGMENT_BYTES
    )]
    FilesTooSmall {
        /// The process's limit, in bytes.
        limit: u64,
    },
    /// More connections are asked for than descriptors allow.
    #[error(
        "connections_max = {asked} does not fit RLIMIT_NOFILE = {limit} with {shards} shards: \
         {fits} would fit; raise the limit (`LimitNOFILE=` in the unit) or lower the setting"
    )]
    TooManyConnections {
        /// As configured.
        asked: u64,
        /// The process's limit.
        limit: u64,
        /// Shards of the node.
        shards: u16,
        /// What would fit.
        fits: u64,
    },
}

/// Checks kernel and io_uring by making a ring as the shards will.
///
/// # Errors
/// [`HostUnfit`] with the reason and the mend.
pub fn check_kernel() -> Result<(), HostUnfit> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    if parse_release(&release).is_some_and(|found| found < KERNEL_MIN) {
        return Err(HostUnfit::KernelTooOld { found: release });
    }
    let ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(8)
        .map_err(explain_refusal)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(explain_refusal)?;
    let needed = [
        ("accept", opcode::Accept::CODE),
        ("recv", opcode::Recv::CODE),
        ("send", opcode::Send::CODE),
        ("close", opcode::Close::CODE),
        ("connect", opcode::Connect::CODE),
        ("shutdown", opcode::Shutdown::CODE),
        ("async cancel", opcode::AsyncCancel::CODE),
        ("read", opcode::Read::CODE),
    ];
    match needed.into_iter().find(|(_, code)| !probe.is_supported(*code)) {
        Some((operation, _)) => Err(HostUnfit::OperationMissing { operation }),
        None => Ok(()),
    }
}

/// Connections of each shard: as configured for the node, else what fits. A ring's table of direct
/// descriptors can't exceed RLIMIT_NOFILE, which is counted per ring.
///
/// # Errors
/// Where the configured number does not fit, with the number that would.
pub fn connections_per_shard(asked: Option<u64>, shards: u16) -> Result<u32, HostUnfit> {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(DESCRIPTORS_MAX);
    let (fits_each, fits) = (fits_in_shard(limit), connections_that_fit(limit, shards));
    let wanted = asked.unwrap_or(fits);
    let each = match asked {
        Some(asked) => asked.div_ceil(u64::from(shards)),
        // No more than may be, however it divides.
        None => fits / u64::from(shards),
    };
    let each = each.max(1);
    if each > fits_each {
        let fits = fits_each * u64::from(shards);
        return Err(HostUnfit::TooManyConnections { asked: wanted, limit, shards, fits });
    }
    Ok(u32::try_from(each).expect("bounded by the limit"))
}

/// Connections that a node of so many shards holds with a limit of descriptors, unless it is told
/// otherwise.
pub fn connections_that_fit(limit: u64, shards: u16) -> u64 {
    (fits_in_shard(limit) * u64::from(shards)).min(DESCRIPTORS_MAX)
}

fn fits_in_shard(limit: u64) -> u64 {
    let spare = DESCRIPTORS_RESERVED + u64::from(DESCRIPTORS_SPARE);
    limit.saturating_sub(spare).clamp(1, DESCRIPTORS_MAX)
}

/// Explains why a ring was refused.
pub fn explain_refusal(source: io::Error) -> HostUnfit {
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            let setting = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
                .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned());
            HostUnfit::Forbidden { setting, source }
        }
        Some(libc::ENOSYS) => HostUnfit::Missing { source },
        Some(libc::EINVAL) => HostUnfit::Refused {
            hint: "its flags (SINGLE_ISSUER, DEFER_TASKRUN) need Linux 6.1 or newer",
            source,
        },
        Some(libc::ENOMEM) => HostUnfit::Refused {
            // A user without CAP_IPC_LOCK pays for each ring; up to 200 KiB were seen.
            hint: "raise RLIMIT_MEMLOCK (`LimitMEMLOCK=64M` in the unit: the journal needs 512 KiB, \
                   each shard up to 256 KiB), grant CAP_IPC_LOCK or use fewer shards",
            source,
        },
        Some(libc::EMFILE | libc::ENFILE) => HostUnfit::Refused {
            hint: "raise RLIMIT_NOFILE (`LimitNOFILE=` in the unit) or lower connections_max",
            source,
        },
        Some(libc::EAGAIN) => HostUnfit::Refused {
            hint: "a limit on threads was reached: raise it (`TasksMax=` and `LimitNPROC=` in the \
                   unit, `--pids-limit` for a container)",
            source,
        },
        _ => HostUnfit::Refused { hint: "`dmesg` may say more", source },
    }
}

fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_releases() {
        assert_eq!(parse_release("6.18.44"), Some((6, 18)));
        assert_eq!(parse_release("5.15.0-101-generic"), Some((5, 15)));
        assert_eq!(parse_release("junk"), None);
    }

    #[test]
    fn connections_fit_or_the_number_that_would_is_named() {
        assert!(connections_per_shard(Some(100), 4).unwrap() == 25);
        let error = connections_per_shard(Some(u64::MAX / 2), 1).unwrap_err();
        assert!(error.to_string().contains("would fit; raise the limit"), "{error}");
    }

    #[test]
    fn refusals_name_their_mend() {
        let text = explain_refusal(io::Error::from_raw_os_error(libc::EPERM)).to_string();
        assert!(text.contains("kernel.io_uring_disabled") && text.contains("seccomp"), "{text}");
        let text = explain_refusal(io::Error::from_raw_os_error(libc::ENOSYS)).to_string();
        assert!(text.contains("CONFIG_IO_URING"), "{text}");
    }
}
