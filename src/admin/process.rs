//! The process as the kernel sees it, by the names that Prometheus' own clients use, and the file
//! system of the data directory.

use std::fs;

use super::service::Service;
use nudged_base::telemetry::text::NodeMetric;
use rustix::process::{Resource, getrlimit};

/// What `/proc/self/stat` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ProcessTimes {
    /// In user space and in the kernel, in ticks of the clock.
    cpu_ticks: u64,
    threads: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

/// The metrics; those that the kernel does not tell are 0.
pub(super) fn push_metrics(metrics: &mut Vec<NodeMetric<'_>>, service: &Service) {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let times = parse_stat(&text).unwrap_or_default();
    let cpu_ms = times.cpu_ticks.saturating_mul(1_000) / rustix::param::clock_ticks_per_second();
    let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(0);
    let started_s = u64::try_from(service.started.1.0 / 1_000).unwrap_or(0);
    let (gauge, counter) = (NodeMetric::gauge, NodeMetric::counter);
    metrics.extend([
        counter(
            "process_cpu_seconds_total",
            "CPU time of all threads, the kernel's included.",
            cpu_ms,
        )
        .in_ms(),
        gauge("process_threads", "Threads of the process.", times.threads),
        gauge("process_virtual_memory_bytes", "Address space of the process.", times.virtual_bytes),
        gauge(
            "process_resident_memory_bytes",
            "Resident memory of the process.",
            times.resident_pages.saturating_mul(page_bytes),
        ),
        gauge(
            "process_open_fds",
            "Open file descriptors; connections are in the rings' tables and not among them.",
            open_descriptors(),
        ),
        gauge(
            "process_max_fds",
            "Limit of open file descriptors.",
            getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        ),
        gauge(
            "process_start_time_seconds",
            "Start time of the process, in seconds since 1970.",
            started_s,
        ),
    ]);
    let data = &service.publisher.config().data;
    if let Ok(found) = rustix::fs::statvfs(data.as_path()) {
        let free = nudged_runtime::journal::directory::free_bytes(data).unwrap_or(0);
        metrics.extend([
            gauge(
                "data_free_bytes",
                "Bytes free for this process where the data directory is.",
                free,
            ),
            gauge(
                "data_size_bytes",
                "Bytes of the file system where the data directory is.",
                found.f_blocks.saturating_mul(found.f_frsize),
            ),
        ]);
    }
}

fn open_descriptors() -> u64 {
    // The one that lists them is there only for that.
    fs::read_dir("/proc/self/fd").map_or(0, |entries| (entries.count() as u64).saturating_sub(1))
}

/// Fields of `/proc/PID/stat`; the process's name, which may hold anything, ends at the last `)`.
fn parse_stat(text: &str) -> Option<ProcessTimes> {
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // The third field of the file is the first behind the name.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(ProcessTimes {
        cpu_ticks: field(14)? + field(15)?,
        threads: field(20)?,
        virtual_bytes: field(23)?,
        resident_pages: field(24)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read_whatever_the_process_is_called() {
        let text = "7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 31 11 0 0 20 0 9 0 5 4096000 77 1 1";
        let wanted = ProcessTimes {
            cpu_ticks: 42,
            threads: 9,
            virtual_bytes: 4_096_000,
            resident_pages: 77,
        };
        assert_eq!(parse_stat(text), Some(wanted));
        assert_eq!(parse_stat("7 (a"), None);
        let own = parse_stat(&fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
        assert!(own.threads >= 1 && own.resident_pages > 100, "{own:?}");
        assert!(open_descriptors() >= 3);
    }
}
