//! The CPUs of a node: which it may use, how fast they are let run, and who else could have them.

use super::Patient;
use super::groups::{ControlGroup, Controller};
use super::host::{HostFiles, list_of};
use super::report::{Concern, Diagnosis};
use nudged_runtime::topology::Topology;

const CPUS: Concern = Concern {
    name: "cpus",
    why: "a shard that shares its CPU with another thread answers late whenever that runs",
};
const GOVERNOR: Concern = Concern {
    name: "cpu_governor",
    why: "a CPU that is clocked down between requests answers the next one late",
};
const ISOLATED: Concern = Concern {
    name: "isolated_cpus",
    why: "the scheduler puts nothing on isolated CPUs that is not pinned there",
};
const OFFLINE: Concern =
    Concern { name: "offline_cpus", why: "CPUs that are offline are cores that nobody uses" };
const QUOTA: Concern = Concern {
    name: "cpu_quota",
    why: "at its quota a control group stands still, all shards with it, for up to 100 ms",
};

const SYSTEM: &str = "/sys/devices/system/cpu";

/// Looks at all of that.
pub(super) fn check(patient: &Patient) -> Vec<Diagnosis> {
    let mut found = vec![cpus(patient)];
    found.extend(governor(patient));
    found.extend(isolated(patient));
    found.extend(offline(&patient.files));
    found.extend(quota(patient));
    found
}

/// The flags that lay a node out over some CPUs: the last for the dedicated core, the others for
/// shards; of fewer than 3 all for both.
pub(super) fn flags_over(cpus: &[usize]) -> String {
    let last = cpus.last().copied().unwrap_or(0);
    let of_shards = if cpus.len() < 3 { cpus } else { &cpus[..cpus.len() - 1] };
    format!("nudged serve --cpus {} --writer-cpu {last}", list_of(of_shards))
}

/// CPUs that shards run on.
pub(super) fn of_shards(topology: &Topology) -> Vec<usize> {
    let shards = usize::from(topology.shards);
    let mut cpus: Vec<usize> = topology.shard_cpus.iter().copied().take(shards).collect();
    cpus.sort_unstable();
    cpus.dedup();
    cpus
}

/// All that a node runs on.
pub(super) fn of_node(topology: &Topology) -> Vec<usize> {
    let mut cpus = [of_shards(topology), vec![topology.writer_cpu]].concat();
    cpus.sort_unstable();
    cpus.dedup();
    cpus
}

fn cpus(patient: &Patient) -> Diagnosis {
    let Patient { topology, allowed, files, config, .. } = patient;
    let asked = config.cpus.iter().flatten().chain(&config.writer_cpu);
    let missing: Vec<usize> =
        asked.map(|cpu| usize::from(*cpu)).filter(|cpu| !allowed.contains(cpu)).collect();
    if !missing.is_empty() {
        return refused(patient, &missing);
    }
    let online = files.cpus(&format!("{SYSTEM}/online")).unwrap_or_default();
    let mut found = format!(
        "{} shards on {}, journal and SQL writer on {}",
        topology.shards,
        list_of(&of_shards(topology)),
        topology.writer_cpu
    );
    if online.iter().any(|cpu| !allowed.contains(cpu)) {
        found.push_str(&format!(", of {} that it may use", list_of(allowed)));
    }
    match topology.sharing() {
        // Fewer leave no choice.
        Some(sharing) if allowed.len() >= 3 => {
            CPUS.warn(format!("{found}: {sharing}"), flags_over(allowed))
        }
        Some(sharing) => CPUS.ok(format!("{found}: {sharing}")),
        None => CPUS.ok(found),
    }
}

/// CPUs were asked for that this process may not use.
fn refused(patient: &Patient, missing: &[usize]) -> Diagnosis {
    let files = &patient.files;
    let of = |name: &str| files.cpus(&format!("{SYSTEM}/{name}")).unwrap_or_default();
    let (online, present) = (of("online"), of("present"));
    let off: Vec<usize> = missing.iter().copied().filter(|cpu| !online.contains(cpu)).collect();
    let is_there = off.iter().all(|cpu| present.contains(cpu));
    if !off.is_empty() && is_there {
        let found = format!("{} asked for, and offline", list_of(&off));
        return CPUS.fail(found, switch_on(&off));
    }
    if !off.is_empty() {
        let found = format!("{} asked for, and this host has {}", list_of(&off), list_of(&present));
        return CPUS.fail(found, flags_over(&patient.allowed));
    }
    let list = list_of(missing);
    let all = list_of(&[patient.allowed.clone(), missing.to_vec()].concat());
    let group = ControlGroup::find(files, &patient.process, Controller::Cpuset);
    let found = format!("{list} asked for, but {} allowed", list_of(&patient.allowed));
    let mend = match group.and_then(|group| group.cpus_that_bind(files, missing)) {
        Some(group) => group.set("AllowedCPUs", "cpuset.cpus", &all),
        None => format!("taskset -c {all} nudged serve  # in a unit: CPUAffinity={all}"),
    };
    CPUS.fail(found, mend)
}

fn switch_on(cpus: &[usize]) -> String {
    let files: Vec<String> = cpus.iter().map(|cpu| format!("{SYSTEM}/cpu{cpu}/online")).collect();
    format!("echo 1 | tee {}", files.join(" "))
}

/// What the CPUs of the node are clocked by; nothing where the host does not say, as in a VM.
fn governor(patient: &Patient) -> Option<Diagnosis> {
    let cpus = of_node(&patient.topology);
    let file = |cpu: &usize| format!("{SYSTEM}/cpu{cpu}/cpufreq/scaling_governor");
    let found: Vec<(usize, String)> =
        cpus.iter().filter_map(|cpu| Some((*cpu, patient.files.text(&file(cpu))?))).collect();
    let first = found.first()?.1.clone();
    let slow: Vec<&(usize, String)> =
        found.iter().filter(|(_, name)| name != "performance").collect();
    let Some((_, name)) = slow.first() else { return Some(GOVERNOR.ok(first)) };
    let cpus: Vec<usize> = slow.iter().map(|(cpu, _)| *cpu).collect();
    let files: Vec<String> = cpus.iter().map(file).collect();
    let mend = format!("echo performance | tee {}", files.join(" "));
    Some(GOVERNOR.warn(format!("{name} on CPU {}", list_of(&cpus)), mend))
}

/// CPUs that the kernel was told to keep free; nothing where there are none.
fn isolated(patient: &Patient) -> Option<Diagnosis> {
    let isolated = patient.files.cpus(&format!("{SYSTEM}/isolated"))?;
    if isolated.is_empty() {
        return None;
    }
    let list = list_of(&isolated);
    let own = of_node(&patient.topology);
    let used: Vec<usize> = own.into_iter().filter(|cpu| isolated.contains(cpu)).collect();
    Some(if used.is_empty() {
        let flags = flags_over(&isolated);
        let found = format!("{list}, and the node uses none of them");
        ISOLATED.warn(found, format!("taskset -c {list} {flags}  # in a unit: CPUAffinity={list}"))
    } else if patient.config.pin {
        ISOLATED.ok(format!("{list}, of which the node is pinned to {}", list_of(&used)))
    } else {
        let found = format!("{list}, and with pin = false all threads stay on one of them");
        ISOLATED.warn(found, flags_over(&patient.allowed))
    })
}

/// CPUs that could be switched on; nothing where there are none. Those that are off with SMT are
/// meant to be.
fn offline(files: &HostFiles) -> Option<Diagnosis> {
    let of = |name: &str| files.cpus(&format!("{SYSTEM}/{name}"));
    let (online, present) = (of("online")?, of("present")?);
    let off: Vec<usize> = present.into_iter().filter(|cpu| !online.contains(cpu)).collect();
    if off.is_empty() {
        return None;
    }
    let smt = files.text(&format!("{SYSTEM}/smt/control")).unwrap_or_default();
    if matches!(smt.as_str(), "off" | "forceoff") {
        return Some(OFFLINE.ok(format!("{}, as SMT is {smt}", list_of(&off))));
    }
    Some(OFFLINE.warn(list_of(&off), switch_on(&off)))
}

/// What a control group gives of the CPUs; nothing where none bounds them.
fn quota(patient: &Patient) -> Option<Diagnosis> {
    let files = &patient.files;
    let group = ControlGroup::find(files, &patient.process, Controller::Cpu)?;
    let (group, percent) = group.quota_percent(files)?;
    let count = of_node(&patient.topology).len();
    let needed = u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(100);
    let found = format!("{percent} % of a CPU, of a node on {count}: {}", group.name());
    Some(match percent < needed {
        true => QUOTA.warn(found, group.lift_quota()),
        false => QUOTA.ok(found),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::doctor::fixture::Fixture;
    use crate::node::doctor::report::Condition;

    fn names(fixture: &Fixture) -> Vec<&'static str> {
        check(&fixture.patient()).into_iter().map(|one| one.name).collect()
    }

    #[test]
    fn a_host_that_does_not_say_is_no_warning() {
        let fixture = Fixture::with_cpus("0-3");
        assert_eq!(names(&fixture), ["cpus"]);
        let said = fixture.said("cpus", check);
        assert_eq!(said.status, Condition::Ok);
        assert_eq!(said.found, "3 shards on 0-2, journal and SQL writer on 3");
        let small = Fixture::with_cpus("0-1").said("cpus", check);
        assert_eq!(small.status, Condition::Ok, "two leave no choice: {small:?}");
        assert!(small.found.ends_with("the writer shares core 1 with a shard"), "{small:?}");
    }

    #[test]
    fn a_node_that_shares_without_need_is_laid_out() {
        let mut fixture = Fixture::with_cpus("0-3");
        fixture.config.shards = nudged_config::Count::Exactly(8);
        fixture.mended_by_flags("cpus", check);
        fixture.config.cpus = Some(vec![0, 1, 2, 3]);
        fixture.mended_by_flags("cpus", check);
    }

    #[test]
    fn cpus_that_may_not_be_used_are_refused_with_what_gives_them() {
        let mut fixture = Fixture::with_cpus("0-1");
        fixture.config.cpus = Some(vec![0, 5]);
        let patient = |fixture: &Fixture| {
            let config = fixture.config.clone();
            let mut plain = Fixture::with_cpus("0-1").patient();
            (plain.config, plain.files) = (config, HostFiles::below(fixture.root()));
            plain
        };
        let said = cpus(&patient(&fixture));
        assert_eq!(
            (said.status, said.mend.as_str()),
            (Condition::Fail, "nudged serve --cpus 0-1 --writer-cpu 1")
        );
        fixture.write("/sys/devices/system/cpu/present", "0-7");
        fixture.write("/sys/devices/system/cpu/cpu5/online", "0");
        let said = cpus(&patient(&fixture));
        assert_eq!(said.found, "5 asked for, and offline");
        fixture.carry_out(&said.mend);
        let path = HostFiles::below(fixture.root()).text("/sys/devices/system/cpu/cpu5/online");
        assert_eq!(path.as_deref(), Some("1"));
        fixture.write("/sys/devices/system/cpu/online", "0-7");
        let said = cpus(&patient(&fixture));
        assert_eq!(said.found, "5 asked for, but 0-1 allowed");
        assert!(said.mend.starts_with("taskset -c 0-1,5 nudged serve"), "{said:?}");
        let group = "/sys/fs/cgroup/a.slice/nudged.service";
        fixture.write("/proc/self/cgroup", "0::/a.slice/nudged.service\n");
        fixture.write("/proc/self/mountinfo", "1 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        fixture.write(&format!("{group}/cpuset.cpus"), "0-1");
        let said = cpus(&patient(&fixture));
        assert_eq!(said.mend, "systemctl set-property nudged.service AllowedCPUs=0-1,5");
    }

    #[test]
    fn slow_governors_are_set_to_performance() {
        let fixture = Fixture::with_cpus("0-3");
        for cpu in 0..3 {
            let governor = if cpu == 1 { "powersave" } else { "performance" };
            fixture.write(&format!("{SYSTEM}/cpu{cpu}/cpufreq/scaling_governor"), governor);
        }
        let said = fixture.mended("cpu_governor", check);
        assert_eq!(said.found, "powersave on CPU 1");
    }

    #[test]
    fn isolated_cpus_are_for_a_node_that_is_pinned_to_them() {
        let mut fixture = Fixture::with_cpus("0-7");
        fixture.write(&format!("{SYSTEM}/isolated"), "4-7");
        fixture.allowed = vec![0, 1, 2, 3];
        let said = fixture.said("isolated_cpus", check);
        assert!(said.mend.starts_with("taskset -c 4-7 nudged serve --cpus 4-6 --writer-cpu 7"));
        fixture.allowed = vec![4, 5, 6, 7];
        assert_eq!(fixture.said("isolated_cpus", check).status, Condition::Ok);
        fixture.config.pin = false;
        fixture.mended_by_flags("isolated_cpus", check);
    }

    #[test]
    fn offline_cpus_are_switched_on_unless_smt_is_off() {
        let fixture = Fixture::with_cpus("0-3");
        fixture.write(&format!("{SYSTEM}/online"), "0-1");
        fixture.write(&format!("{SYSTEM}/cpu2/online"), "0");
        fixture.write(&format!("{SYSTEM}/cpu3/online"), "0");
        let said = fixture.said("offline_cpus", check);
        assert_eq!((said.status, said.found.as_str()), (Condition::Warn, "2-3"));
        fixture.carry_out(&said.mend);
        let files = fixture.patient().files;
        assert_eq!(files.text(&format!("{SYSTEM}/cpu3/online")).as_deref(), Some("1"));
        fixture.write(&format!("{SYSTEM}/smt/control"), "off");
        assert_eq!(fixture.said("offline_cpus", check).status, Condition::Ok);
    }

    #[test]
    fn a_quota_below_the_cpus_of_the_node_is_lifted() {
        let fixture = Fixture::with_cpus("0-3");
        fixture.write("/proc/self/cgroup", "0::/a.slice/b\n");
        fixture.write("/proc/self/mountinfo", "1 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        fixture.write("/sys/fs/cgroup/a.slice/b/cpu.max", "max 100000\n");
        assert_eq!(names(&fixture), ["cpus"]);
        fixture.write("/sys/fs/cgroup/a.slice/cpu.max", "400000 100000\n");
        assert_eq!(fixture.said("cpu_quota", check).status, Condition::Ok);
        fixture.write("/sys/fs/cgroup/a.slice/b/cpu.max", "150000 100000\n");
        let said = fixture.said("cpu_quota", check);
        assert_eq!((said.status, &said.found[..5]), (Condition::Warn, "150 %"));
        fixture.carry_out(&said.mend);
        let old = Fixture::with_cpus("0-3");
        old.write("/proc/self/cgroup", "1:cpu,cpuacct:/b\n");
        let mount = "1 1 0:1 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
        old.write("/proc/self/mountinfo", mount);
        old.write("/sys/fs/cgroup/cpu,cpuacct/b/cpu.cfs_period_us", "100000");
        old.write("/sys/fs/cgroup/cpu,cpuacct/b/cpu.cfs_quota_us", "-1");
        assert_eq!(names(&old), ["cpus"]);
        old.write("/sys/fs/cgroup/cpu,cpuacct/b/cpu.cfs_quota_us", "50000");
        let said = old.said("cpu_quota", check);
        assert_eq!((said.status, &said.found[..4]), (Condition::Warn, "50 %"));
        old.carry_out(&said.mend);
        assert_eq!(names(&old), ["cpus"]);
    }
}
