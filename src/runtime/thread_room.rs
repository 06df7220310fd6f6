//! Whether the system gives a node its threads. Tried, since only a try meets whatever limit there
//! is: the user's, a control group's or the system's. Where one is refused, it is named.

use std::path::{Path, PathBuf};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crossbeam::channel::bounded;
use rustix::process::{Resource, getrlimit};

use crate::probe::HostUnfit;

/// Bytes of a tried thread's stack: it only waits.
const STACK_BYTES: usize = 64 << 10;
/// Ended threads count for this long at most before what they took is taken for given back.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(1);
/// Where the kernel shows control groups: the second version, and the first one's of tasks.
const GROUPS: &str = "/sys/fs/cgroup";
const GROUPS_OF_TASKS: &str = "/sys/fs/cgroup/pids";

/// What allows fewer threads than a node needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThreadLimit {
    /// The user's, for all its processes together.
    User(u64),
    /// A control group's: its file, and what it says.
    Group(PathBuf, u64),
    /// The system's own.
    System,
}

impl std::fmt::Display for ThreadLimit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ThreadLimit::User(limit) => write!(
                out,
                "RLIMIT_NPROC is {limit}, for all threads of this user together: raise the limit \
                 (`LimitNPROC=` in the unit, `ulimit -u 4096` in a shell, `nproc` in \
                 /etc/security/limits.conf)"
            ),
            ThreadLimit::Group(file, limit) => write!(
                out,
                "{} is {limit}: raise the limit (`TasksMax=` in the unit, `--pids-limit` for a \
                 container)",
                file.display()
            ),
            ThreadLimit::System => out.write_str(
                "the system has no threads left: check `sysctl kernel.threads-max kernel.pid_max`, \
                 and which processes use them (`ps -eo nlwp,pid,args --sort -nlwp`)",
            ),
        }
    }
}

/// Has so many threads for a moment, beside those that there are.
///
/// # Errors
/// [`HostUnfit::TooFewThreads`] where not all are given.
pub fn check(needed: usize) -> Result<(), HostUnfit> {
    let before = threads_now();
    let (hold, held) = bounded::<()>(0);
    let mut threads = Vec::with_capacity(needed);
    while threads.len() < needed {
        let held = held.clone();
        let spawned = Builder::new().stack_size(STACK_BYTES).spawn(move || {
            // Nothing is ever sent: it waits until the other end is gone.
            let _ = held.recv();
        });
        let Ok(thread) = spawned else { break };
        threads.push(thread);
    }
    let given = threads.len();
    drop(hold);
    threads.into_iter().for_each(|thread| {
        let _ = thread.join();
    });
    // One that is joined may still be at its end, and counts until then.
    let begun = Instant::now();
    while threads_now() > before && begun.elapsed() < GIVEN_BACK_WITHIN {
        std::thread::sleep(Duration::from_millis(1));
    }
    if given == needed {
        return Ok(());
    }
    Err(HostUnfit::TooFewThreads { given, needed, limit: limit_met(needed) })
}

/// Threads of this process; 0 where the kernel does not show them.
fn threads_now() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// The limit that does not allow so many threads more.
fn limit_met(needed: usize) -> ThreadLimit {
    let needed = u64::try_from(needed).unwrap_or(u64::MAX);
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    if let Some((file, limit)) = full_group(&pids_files(&groups), needed) {
        return ThreadLimit::Group(file, limit);
    }
    match getrlimit(Resource::Nproc).current {
        Some(limit) => ThreadLimit::User(limit),
        None => ThreadLimit::System,
    }
}

/// The files that bound the tasks of the groups that `/proc/self/cgroup` names, the innermost
/// first. Within a container they may lie at the root.
fn pids_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let root = match controllers {
            "" => GROUPS,
            list if list.split(',').any(|controller| controller == "pids") => GROUPS_OF_TASKS,
            _ => continue,
        };
        let path = Path::new(root).join(path.trim_start_matches('/'));
        let within = path.ancestors().take_while(|path| path.starts_with(root));
        files.extend(within.map(|path| path.join("pids.max")));
    }
    files
}

/// The first of them that does not allow so many tasks more, and what it allows.
fn full_group(files: &[PathBuf], needed: u64) -> Option<(PathBuf, u64)> {
    let number =
        |path: &Path| -> Option<u64> { std::fs::read_to_string(path).ok()?.trim().parse().ok() };
    files.iter().find_map(|file| {
        let (limit, current) = (number(file)?, number(&file.with_file_name("pids.current"))?);
        (current.saturating_add(needed) > limit).then(|| (file.clone(), limit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_are_given_are_given_back() {
        check(8).unwrap();
    }

    #[test]
    fn the_group_that_is_full_is_found_from_the_innermost_outwards() {
        let files = pids_files("9:name=systemd:/\n8:cpu,pids:/a/b\n0::/c.slice/d.service\n");
        let files: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
        let wanted = [
            "/sys/fs/cgroup/pids/a/b/pids.max",
            "/sys/fs/cgroup/pids/a/pids.max",
            "/sys/fs/cgroup/pids/pids.max",
            "/sys/fs/cgroup/c.slice/d.service/pids.max",
            "/sys/fs/cgroup/c.slice/pids.max",
            "/sys/fs/cgroup/pids.max",
        ];
        assert_eq!(files, wanted);
        let directory = tempfile::tempdir().unwrap();
        let group = |name: &str, limit: &str, current: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("pids.max"), limit).unwrap();
            std::fs::write(path.join("pids.current"), current).unwrap();
            path.join("pids.max")
        };
        let files = [group("unbound", "max\n", "9\n"), group("wide", "29\n", "9\n")];
        assert_eq!(full_group(&files, 20), None);
        assert_eq!(full_group(&files, 21), Some((files[1].clone(), 29)));
    }

    #[test]
    fn each_limit_is_named_with_what_raises_it() {
        let table = [
            (ThreadLimit::User(30), ["RLIMIT_NPROC is 30", "`LimitNPROC=`"]),
            (ThreadLimit::Group("/g/pids.max".into(), 20), ["/g/pids.max is 20", "`TasksMax=`"]),
            (ThreadLimit::System, ["kernel.threads-max", "kernel.pid_max"]),
        ];
        for (limit, parts) in table {
            let said = HostUnfit::TooFewThreads { given: 3, needed: 40, limit }.to_string();
            for part in parts.into_iter().chain(["40 threads", "allows 3"]) {
                assert!(said.contains(part), "{said}");
            }
        }
    }
}
