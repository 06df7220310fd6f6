//! Why the program ends: each reason has its exit code (docs/operations.md#exit-codes).

use std::io::Write as _;
use std::path::{Path, PathBuf};

use nudged_runtime::probe::HostUnfit;
use nudged_runtime::shard::listener::ListenError;
use nudged_runtime::topology::TopologyError;
use nudged_store::StoreError;

use super::signing_keys::KeysError;

/// A fatal reason.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Everything that is wrong with configuration or popups, a line each.
    #[error("{0}")]
    Configuration(String),
    /// An address can't be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A core can't be had.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The host is not fit.
    #[error(transparent)]
    Host(#[from] HostUnfit),
    /// The journal's newest time is far ahead of the wall clock.
    #[error(
        "the newest journal record is {ahead_s} s ahead of the wall clock: set the clock \
         (`timedatectl`, `chronyc makestep`), or start with --accept-clock to continue from the \
         journal's time"
    )]
    Clock {
        /// How far, in seconds.
        ahead_s: i64,
    },
    /// The data directory can't be used.
    #[error("{path}: {problem}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong, and what mends it.
        problem: String,
    },
    /// The disk has no room for what a node needs at its start.
    #[error(
        "{path}: the journal needs {needed} bytes for its current and reserve segments, but {free} \
         are free: make room, or move `data` to a larger disk"
    )]
    NoRoom {
        /// The journal's directory.
        path: PathBuf,
        /// Bytes of the segments that are not there yet.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The disk has no room for what SQLite makes as it opens the database.
    #[error(
        "{source}: the disk is full: opening it takes up to {needed} bytes there, but {free} are \
         free: make room, or move `data` to a larger disk"
    )]
    NoRoomToOpen {
        /// Bytes that do.
        needed: u64,
        /// Bytes that are free.
        free: u64,
        /// What SQLite said, with the file.
        source: StoreError,
    },
    /// The database can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A node runs on the store that users are to be brought to.
    #[error(
        "node {nodes} is running on {target} and would take the imported users for new ones: stop \
         every node there, then run this again"
    )]
    NodeRuns {
        /// Their names.
        nodes: String,
        /// The server and its database.
        target: String,
    },
    /// A node has started on the store while users were brought to it.
    #[error(
        "a node of {target} has started in the meantime and may have taken users that were not \
         moved yet for new ones: stop every node there, then run this again to unite both"
    )]
    NodeCame {
        /// The server and its database.
        target: String,
    },
    /// A node has not said that it stopped: its journal may have what the store lacks.
    #[error(
        "of the nodes of {target}, these did not stop cleanly: {nodes}: each may still be running, \
         frozen or cut off from MySQL, or its journal may have records that are not in MySQL, \
         whose users would be shown popups again: start each once with its data directory and stop \
         it, then run this again; if one is gone for good with its directory, continue without it \
         with --nodes-lost"
    )]
    NodeUnstopped {
        /// Their names, and when they were seen.
        nodes: String,
        /// The server and its database.
        target: String,
    },
    /// Redis can't be used.
    #[error("redis: {0}")]
    Redis(String),
    /// The signing keys can't be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A node does not answer a command, or refuses it.
    #[error("{0}")]
    Asking(String),
    /// Redis does not sync what `ack = "synced"` promises.
    #[error(
        "ack = \"synced\" with queue = \"redis\" needs a Redis that syncs each write before it \
         answers: run `CONFIG SET appendonly yes` and `CONFIG SET appendfsync always`, set them in \
         its redis.conf too (vendor-config/redis/redis.conf), and allow nudged's user CONFIG GET; \
         or choose queue = \"journal\""
    )]
    RedisNotSynced,
    /// The system refused a thread or a descriptor.
    #[error("can't {action}: {source}{}", mend_of(source))]
    System {
        /// What was to be done, as it follows "can't".
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What raises the limit that was met; nothing where the system's word says enough.
fn mend_of(source: &std::io::Error) -> &'static str {
    match source.kind() {
        // How a limit of threads reads: EAGAIN.
        std::io::ErrorKind::WouldBlock => {
            ": a limit on threads was reached: raise it (`TasksMax=` and `LimitNPROC=` in the \
             unit, `--pids-limit` for a container, `ulimit -u` in a shell)"
        }
        _ => "",
    }
}

fn is_short_of_descriptors(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

impl Failure {
    /// The exit code of this reason.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Asking(_) => 1,
            Failure::Listen(error) if is_short_of_descriptors(&error.source) => 3,
            Failure::Configuration(_) | Failure::Listen(_) | Failure::Topology(_) => 2,
            Failure::Store(StoreError::Address { .. }) => 2,
            Failure::Host(_) | Failure::Clock { .. } | Failure::System { .. } => 3,
            Failure::RedisNotSynced => 3,
            Failure::NoRoom { .. } | Failure::NoRoomToOpen { .. } => 4,
            Failure::Directory { .. } | Failure::Store(_) | Failure::Keys(_) => 4,
            Failure::NodeRuns { .. } | Failure::NodeCame { .. } => 4,
            Failure::NodeUnstopped { .. } | Failure::Redis(_) => 4,
        }
    }

    /// Says what went wrong on standard error; who does not read it has the exit code.
    pub fn report(&self) -> u8 {
        let _ = writeln!(std::io::stderr(), "nudged: {self}");
        self.exit_code()
    }

    /// Wraps what is wrong with a data directory.
    pub fn directory<E: ToString>(path: &Path) -> impl Fn(E) -> Failure {
        move |error| Failure::Directory { path: path.to_owned(), problem: error.to_string() }
    }

    /// Wraps what the system said of a wish.
    pub fn system(action: &'static str) -> impl Fn(std::io::Error) -> Failure {
        move |source| Failure::System { action, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_threads_is_named_with_what_raises_it() {
        let refused = |code| {
            let source = std::io::Error::from_raw_os_error(code);
            Failure::system("start the reload thread")(source).to_string()
        };
        assert!(refused(libc::EAGAIN).contains("`TasksMax=`"));
        assert!(!refused(libc::ENOMEM).contains("TasksMax"));
    }
}
