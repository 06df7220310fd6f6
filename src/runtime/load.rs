//! How busy the shards are: which share of the time each has worked, or waited for its CPU, over
//! the last seconds. What is left is sleep in its ring.
//!
//! The kernel's own account of each thread is read (`/proc/self/task/TID/schedstat`), not the time
//! that the loop itself sees: its one system call submits, runs the kernel's side of TCP, and then
//! sleeps, so most of a request's work would count as sleep. Time in the queue of a CPU counts as
//! load, since a shard whose CPU others use, or whose cgroup is throttled, is as late as a busy
//! one. What `--busy-poll` spins for nothing is taken out.

use std::collections::VecDeque;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use nudged_base::limits::{LOAD_SAMPLE_MS, LOAD_SAMPLES};
use nudged_base::telemetry::counters::ShardCounters;
use nudged_base::time::MonoNs;

/// What a thread has used of its CPU so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ThreadTime {
    /// It ran, in nanoseconds.
    cpu_ns: u64,
    /// It could have run, and another did, in nanoseconds.
    delayed_ns: u64,
}

/// All shards at one moment.
#[derive(Clone, Debug)]
struct LoadSample {
    at: MonoNs,
    /// By shard: nanoseconds that were not sleep.
    busy_ns: Vec<u64>,
}

/// The latest samples.
#[derive(Debug)]
pub struct LoadMeter {
    shards: Vec<Arc<ShardCounters>>,
    samples: Mutex<VecDeque<LoadSample>>,
}

impl LoadMeter {
    /// A meter of these shards, without a sample.
    pub fn new(shards: Vec<Arc<ShardCounters>>) -> LoadMeter {
        LoadMeter { shards, samples: Mutex::default() }
    }

    /// Takes a sample, where the last one is old enough. To be called several times a second.
    pub fn look(&self, now: MonoNs) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.back().is_some_and(|last| now < last.at.plus_ms(LOAD_SAMPLE_MS)) {
            return;
        }
        let busy_ns = self.shards.iter().map(|shard| {
            let ThreadTime { cpu_ns, delayed_ns } = thread_time(shard).unwrap_or_default();
            (cpu_ns + delayed_ns).saturating_sub(shard.spun_ns.get())
        });
        samples.push_back(LoadSample { at: now, busy_ns: busy_ns.collect() });
        if samples.len() > LOAD_SAMPLES {
            samples.pop_front();
        }
    }

    /// The load of each shard, in thousandths; 0 before there are two samples.
    pub fn shards(&self) -> Vec<u64> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(first), Some(last)) = (samples.front(), samples.back()) else {
            return vec![0; self.shards.len()];
        };
        first
            .busy_ns
            .iter()
            .zip(&last.busy_ns)
            .map(|(first_ns, last_ns)| {
                share(last_ns.saturating_sub(*first_ns), last.at.0 - first.at.0)
            })
            .collect()
    }

    /// What each shard's thread has used of its CPU so far, in nanoseconds.
    pub fn cpu_ns(&self) -> Vec<u64> {
        let times = self.shards.iter().map(|shard| thread_time(shard).unwrap_or_default());
        times.map(|time| time.cpu_ns).collect()
    }
}

/// A part of a time, in thousandths, 1,000 at most.
fn share(part_ns: u64, whole_ns: u64) -> u64 {
    let thousandths = u128::from(part_ns) * 1_000 / u128::from(whole_ns.max(1));
    u64::try_from(thousandths.min(1_000)).expect("at most 1,000")
}

/// `None` where the thread does not run, or the kernel keeps no account.
fn thread_time(shard: &ShardCounters) -> Option<ThreadTime> {
    let thread = shard.thread.get();
    let path = format!("/proc/self/task/{thread}/schedstat");
    parse_schedstat(&fs::read_to_string(path).ok()?)
}

fn parse_schedstat(text: &str) -> Option<ThreadTime> {
    let mut fields = text.split_ascii_whitespace().map(str::parse);
    let (cpu_ns, delayed_ns) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(ThreadTime { cpu_ns, delayed_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_account_is_read_and_shares_have_an_end() {
        let time = parse_schedstat("12345 67 8\n").unwrap();
        assert_eq!(time, ThreadTime { cpu_ns: 12_345, delayed_ns: 67 });
        assert_eq!(parse_schedstat("0"), None);
        let shares = [(0, 10), (5, 10), (10, 10), (11, 10), (1, 0)];
        assert_eq!(shares.map(|(part, whole)| share(part, whole)), [0, 500, 1_000, 1_000, 1_000]);
    }

    #[test]
    fn a_thread_that_works_is_busy_and_one_that_spins_for_nothing_is_not() {
        let shard = Arc::new(ShardCounters::default());
        let meter = LoadMeter::new(vec![Arc::clone(&shard)]);
        assert_eq!(meter.shards(), [0]);
        shard.thread.set(u64::from(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()));
        let work = || {
            // On a full machine other threads have their share of the time that passes.
            let used = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            let used_ms =
                |now: rustix::time::Timespec| now.tv_sec * 1_000 + now.tv_nsec / 1_000_000;
            let until_ms = used_ms(used()) + 60;
            while used_ms(used()) < until_ms {
                std::hint::spin_loop();
            }
            // The kernel brings its account up to date where a thread gives its CPU away.
            std::thread::sleep(std::time::Duration::from_millis(1));
        };
        let second = |number: u64| MonoNs(number * 1_000_000_000);
        meter.look(second(1));
        work();
        meter.look(MonoNs(second(1).0 + 1));
        // A second long as the meter is told: some 60 ms of it were work.
        meter.look(second(2));
        let busy = meter.shards()[0];
        assert!((20..=500).contains(&busy), "{busy}");
        shard.spun_ns.set(1_000_000_000_000);
        (3..3 + LOAD_SAMPLES as u64).for_each(|number| meter.look(second(number)));
        assert_eq!(meter.shards(), [0]);
        assert!(meter.cpu_ns()[0] > 20_000_000);
    }
}
