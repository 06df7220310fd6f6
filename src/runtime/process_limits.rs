//! What this process may have: its limits raised as far as it may, and refused in words where a
//! node can't live within them, before anything is made or started.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::probe::{DESCRIPTORS_RESERVED, DESCRIPTORS_SPARE, HostUnfit, MEMLOCK_MIN};
use nudged_base::limits::{ADMIN_CONNECTIONS_MAX, MYSQL_CONNECTIONS_MAX, SEGMENT_BYTES};

/// Descriptors of a shard beside its listeners: its ring and what wakes it.
const SHARD_DESCRIPTORS: u64 = 2;
/// Descriptors of everything that there is once: standard streams, database, journal, executor.
const NODE_DESCRIPTORS: u64 = 96;

/// Raises the soft limits of descriptors, locked memory and threads to the hard ones. Where that is
/// refused they stay, and [`check`] says what is missing.
pub fn raise() {
    for resource in [Resource::Nofile, Resource::Memlock, Resource::Nproc] {
        let limit = getrlimit(resource);
        if limit.current != limit.maximum {
            let _ = setrlimit(resource, Rlimit { current: limit.maximum, ..limit });
        }
    }
}

/// Whether a node of so many shards, each with so many listeners, can live within the limits.
///
/// # Errors
/// [`HostUnfit`], with the limit and what would do.
pub fn check(shards: u16, listeners: usize) -> Result<(), HostUnfit> {
    let of = |resource| getrlimit(resource).current.unwrap_or(u64::MAX);
    judge((of(Resource::Nofile), of(Resource::Memlock), of(Resource::Fsize)), shards, listeners)
}

/// As [`check`], of limits that were read elsewhere: descriptors, bytes of locked memory, bytes of
/// a file; `u64::MAX` for none.
///
/// # Errors
/// As [`check`].
pub fn judge(
    (descriptors, memlock, file_bytes): (u64, u64, u64),
    shards: u16,
    listeners: usize,
) -> Result<(), HostUnfit> {
    let needed = descriptors_needed(shards, listeners);
    if descriptors < needed {
        return Err(HostUnfit::TooFewDescriptors { limit: descriptors, needed });
    }
    if memlock < MEMLOCK_MIN {
        return Err(HostUnfit::MemlockTooLow { limit: memlock });
    }
    if file_bytes < SEGMENT_BYTES {
        return Err(HostUnfit::FilesTooSmall { limit: file_bytes });
    }
    Ok(())
}

/// Connections have tables of their own in the rings, which may each be as long as the limit.
fn descriptors_needed(shards: u16, listeners: usize) -> u64 {
    let of = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    // An admin connection is a socket and a handle that can end it.
    let clients = 2 * of(ADMIN_CONNECTIONS_MAX) + u64::from(MYSQL_CONNECTIONS_MAX);
    let own = NODE_DESCRIPTORS + clients + u64::from(shards) * (SHARD_DESCRIPTORS + of(listeners));
    own.max(DESCRIPTORS_RESERVED + u64::from(DESCRIPTORS_SPARE) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOUGH: (u64, u64, u64) = (20_000, 8 << 20, u64::MAX);

    #[test]
    fn each_limit_is_named_with_what_would_do() {
        let refusal = |limits, shards| judge(limits, shards, 1).unwrap_err().to_string();
        assert!(judge(ENOUGH, 256, 16).is_ok());
        let text = refusal((20, ENOUGH.1, ENOUGH.2), 1);
        assert!(text.contains("RLIMIT_NOFILE is 20,") && text.contains("LimitNOFILE="), "{text}");
        // What is asked for would do.
        assert!(text.contains(" but 321 or more"), "{text}");
        assert!(judge((321, ENOUGH.1, ENOUGH.2), 1, 1).is_ok());
        let many = descriptors_needed(256, 16);
        assert!(many > 256 * 18 && judge((many - 1, ENOUGH.1, ENOUGH.2), 256, 16).is_err());
        let text = refusal((ENOUGH.0, 65_536, ENOUGH.2), 1);
        assert!(text.contains("RLIMIT_MEMLOCK is 65536") && text.contains("524288"), "{text}");
        let text = refusal((ENOUGH.0, ENOUGH.1, 1 << 20), 1);
        assert!(text.contains("RLIMIT_FSIZE") && text.contains("67108864"), "{text}");
    }
}
