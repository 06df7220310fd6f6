//! `nudged doctor`: is this host ready. Each check is a value: what was found, why it matters, the
//! command that mends it. Changes nothing, asks the configured servers alone, and ends in time.
//!
//! ```text
//! files of the host, limits, a probe, servers ── read ──► figures ── judged ──► report
//! ```
//!
//! `process` kernel and limits · `unit` systemd's · `sysctls` · `cpus`, `placement`, `nics`
//! where shards run and what else does · `memory` · `clock` · `certificate` · `disk` · `redis` ·
//! `mysql`. `host` reads files, `groups` finds control groups, `report` is what is printed.
//!
//! Limits: `DOCTOR_PART_MS` for a part that may hang on a disk or a server; these run beside each
//! other, so that all of it ends within 5 s.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use self::host::HostFiles;
use self::report::{Concern, Diagnosis, DoctorReport};
use super::arguments::{DoctorArguments, SharedArguments};
use super::failure::Failure;
use super::serve::size;
use super::{ownership, redis as redis_way, settings};
use nudged_admin::DoctorVisit;
use nudged_base::limits::{DOCTOR_ANSWER_MS, DOCTOR_PART_MS};
use nudged_base::time::DurationMs;
use nudged_config::{AdminAddress, Config};
use nudged_publish::publisher::Publisher;
use nudged_runtime::clock_sync::{self, ClockSync};
use nudged_runtime::process_limits;
use nudged_runtime::topology::{Topology, TopologyRequest, allowed_cpus};
use nudged_store::mysql as mysql_store;

mod certificate;
mod clock;
mod cpus;
mod disk;
#[cfg(test)]
mod fixture;
mod groups;
mod host;
mod memory;
mod mysql;
mod nics;
mod placement;
mod process;
mod redis;
pub mod report;
mod sysctls;
mod unit;

/// A part that waits for a disk or a server is given up after this.
const PART_WITHIN: Duration = Duration::from_millis(DOCTOR_PART_MS);

/// What is looked at.
struct Patient {
    files: HostFiles,
    config: Config,
    topology: Topology,
    /// CPUs that this process may use.
    allowed: Vec<usize>,
    /// Whose limits and groups count: `self`, or the number of the node that runs.
    process: String,
    /// Whether that is this process, which shows by itself that it could start.
    is_this_node: bool,
    clock: Option<ClockSync>,
}

impl Patient {
    /// This host; of a node that looks itself, or of a command.
    fn here(config: Config, is_this_node: bool) -> Patient {
        let allowed = allowed_cpus();
        let planned = size::plan(&config).or_else(|_| {
            // What was asked for can't be had, which a check says; the rest is looked at without.
            let request =
                TopologyRequest { cpus: None, writer_cpu: None, ..size::request(&config) };
            Topology::plan(&request, &allowed)
        });
        let holder = ownership::holder(&config.data);
        let runs = holder.as_deref().and_then(|holder| holder.strip_prefix("process "));
        Patient {
            files: HostFiles::below(Path::new("/")),
            topology: planned.expect("no core is asked for"),
            process: runs.unwrap_or("self").to_owned(),
            is_this_node,
            config,
            allowed,
            clock: clock_sync::read(),
        }
    }

    /// Whether a node runs in the data directory.
    fn is_running(&self) -> bool {
        self.process != "self"
    }

    /// Whose limits they are, where they are not this shell's.
    fn whose(&self) -> String {
        match self.is_running() {
            true => format!(" (of the node that runs, process {})", self.process),
            false => String::new(),
        }
    }

    /// Ports of the listeners.
    fn ports(&self) -> Vec<usize> {
        let admin = match &self.config.admin {
            AdminAddress::Tcp(address) | AdminAddress::Tls(address) => Some(address.port()),
            _ => None,
        };
        let ports = self.config.listen.iter().map(|listener| listener.address.port()).chain(admin);
        ports.filter(|port| *port > 0).map(usize::from).collect()
    }

    fn listens_on_loopback(&self) -> bool {
        self.config.listen.iter().all(|listener| listener.address.ip().is_loopback())
    }
}

/// The checks that read files of the kernel alone, in the order of the report.
const OF_FILES: [fn(&Patient) -> Vec<Diagnosis>; 9] = [
    process::check,
    unit::check,
    sysctls::check,
    cpus::check,
    placement::check,
    nics::check,
    memory::check,
    clock::check,
    certificate::check,
];

/// Looks at the host and the servers of a configuration.
///
/// # Errors
/// Where the configuration is wrong: exit code 2.
pub fn run(shared: &SharedArguments, arguments: &DoctorArguments) -> Result<DoctorReport, Failure> {
    let config = settings::load(shared, &arguments.flags())?.config;
    redis_way::address_of(&config)?;
    for url in [&config.mysql.url, &config.mysql.replica].into_iter().flatten() {
        mysql_store::check_url(url.expose())?;
    }
    // As a start does, so that what fits there fits here.
    process_limits::raise();
    Ok(examine(&config, None))
}

/// Looks at the host and the servers of the configuration of the node that this process is, for
/// whoever asks: one at a time, and not while a part of the one before hangs.
pub(super) fn on_demand(publisher: Arc<Publisher>) -> DoctorVisit {
    one_at_a_time(move |visit| examine(&publisher.config(), Some(visit)).json())
}

/// Has one look at a time: it lasts until nobody keeps its visit any more.
fn one_at_a_time(look: impl Fn(&Arc<()>) -> String + Send + Sync + 'static) -> DoctorVisit {
    let latest: Mutex<Weak<()>> = Mutex::default();
    Box::new(move || {
        let visit = Arc::new(());
        {
            let mut latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
            if latest.strong_count() > 0 {
                return None;
            }
            *latest = Arc::downgrade(&visit);
        }
        Some(look(&visit))
    })
}

/// Looks at all of it; `visit` is that of a node that looks itself, which each part keeps until it
/// has ended.
fn examine(config: &Config, visit: Option<&Arc<()>>) -> DoctorReport {
    let begun = Instant::now();
    let mut hasty = config.clone();
    let bound = |timeout: DurationMs| DurationMs(timeout.0.min(DOCTOR_ANSWER_MS));
    hasty.mysql.connect_timeout = bound(config.mysql.connect_timeout);
    hasty.mysql.query_timeout = bound(config.mysql.query_timeout);
    let is_this_node = visit.is_some();
    let hasty = (&hasty, visit);
    let servers = [
        (redis::REDIS, redis::reach(config), beside(hasty, redis::check)),
        (mysql::MYSQL, mysql::reach(config.mysql.url.as_ref()), beside(hasty, mysql::check)),
        (
            mysql::REPLICA,
            mysql::reach(config.mysql.replica.as_ref()),
            beside(hasty, mysql::check_replica),
        ),
    ];
    let of_disk = move |config: &Config| disk::check(&Patient::here(config.clone(), is_this_node));
    let on_disk = beside((config, visit), of_disk);
    let patient = Patient::here(config.clone(), is_this_node);
    let mut found: Vec<Diagnosis> = OF_FILES.iter().flat_map(|check| check(&patient)).collect();
    let data = patient.config.data.display();
    found.extend(in_time(
        &on_disk,
        begun,
        &disk::SYNC,
        &format!("ls {data}  # a mount that hangs?"),
    ));
    for (concern, mend, answer) in servers {
        found.extend(in_time(&answer, begun, &concern, &mend));
    }
    DoctorReport::new(found)
}

/// Carries a part out on a thread of its own, which is left behind where it hangs: the process ends
/// without it.
fn beside(
    (config, visit): (&Config, Option<&Arc<()>>),
    part: impl FnOnce(&Config) -> Vec<Diagnosis> + Send + 'static,
) -> Receiver<Vec<Diagnosis>> {
    let (sender, receiver) = sync_channel(1);
    let (config, visit) = (config.clone(), visit.cloned());
    // Where no thread is given, the channel's end says so at once.
    let _ = std::thread::Builder::new().name("doctor".to_owned()).spawn(move || {
        let _visit = visit;
        let _ = sender.send(part(&config));
    });
    receiver
}

/// What a part has found, or that it did not in time.
fn in_time(
    answer: &Receiver<Vec<Diagnosis>>,
    begun: Instant,
    concern: &Concern,
    mend: &str,
) -> Vec<Diagnosis> {
    let left = PART_WITHIN.saturating_sub(begun.elapsed()).max(Duration::from_millis(100));
    answer.recv_timeout(left).unwrap_or_else(|_| {
        let found = format!("no answer within {} s", PART_WITHIN.as_secs());
        vec![concern.fail(found, mend)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_looks_at_a_time_and_not_while_a_part_of_the_last_look_hangs() {
        let hanging: Arc<Mutex<Option<Arc<()>>>> = Arc::default();
        let kept = Arc::clone(&hanging);
        let visit = one_at_a_time(move |visit| {
            *kept.lock().unwrap() = Some(Arc::clone(visit));
            "[]".to_owned()
        });
        assert_eq!(visit().as_deref(), Some("[]"));
        assert_eq!(visit(), None, "a part of it hangs");
        hanging.lock().unwrap().take();
        assert!(visit().is_some());
    }
}
