//! Where the CPUs of a node lie: on which node of memory, and which of them are one physical core.

use std::collections::BTreeMap;

use super::Patient;
use super::cpus::{flags_over, of_node, of_shards};
use super::host::{HostFiles, list_of};
use super::report::{Concern, Diagnosis};

const NUMA: Concern = Concern {
    name: "numa",
    why: "a hop between shards of two sockets, and memory of the other one, take twice as long",
};
const SMT: Concern = Concern {
    name: "smt",
    why: "two CPUs of one physical core share it: each gets a little over half",
};

/// On so many physical cores the dedicated core is worth one of its own.
const CORES_FOR_WRITER: usize = 4;

/// Looks at both; nothing of what the host does not tell.
pub(super) fn check(patient: &Patient) -> Vec<Diagnosis> {
    numa(patient).into_iter().chain(smt(patient)).collect()
}

/// The CPUs of each node of memory that has some.
pub(super) fn memory_nodes(files: &HostFiles) -> BTreeMap<usize, Vec<usize>> {
    const NODES: &str = "/sys/devices/system/node";
    let numbers = files.names(NODES).into_iter().filter_map(|name| {
        let number: usize = name.strip_prefix("node")?.parse().ok()?;
        let cpus = files.cpus(&format!("{NODES}/{name}/cpulist"))?;
        (!cpus.is_empty()).then_some((number, cpus))
    });
    numbers.collect()
}

/// The flags that keep a node of this many CPUs on one node of memory, if it is large enough for
/// anything.
pub(super) fn flags_on(patient: &Patient, cpus: &[usize]) -> Option<String> {
    let mut usable: Vec<usize> =
        patient.allowed.iter().copied().filter(|cpu| cpus.contains(cpu)).collect();
    usable.truncate(of_node(&patient.topology).len());
    (!usable.is_empty()).then(|| flags_over(&usable))
}

fn numa(patient: &Patient) -> Option<Diagnosis> {
    let nodes = memory_nodes(&patient.files);
    if nodes.is_empty() {
        return None;
    }
    let own = of_node(&patient.topology);
    let mut counts: Vec<(usize, usize)> = Vec::new();
    for (number, cpus) in &nodes {
        let count = own.iter().filter(|cpu| cpus.contains(cpu)).count();
        if count > 0 {
            counts.push((*number, count));
        }
    }
    if counts.len() < 2 {
        let number = counts.first().map_or(0, |(number, _)| *number);
        return Some(NUMA.ok(format!("all on node {number} of {}", nodes.len())));
    }
    let said: Vec<String> =
        counts.iter().map(|(number, count)| format!("{count} CPUs on node {number}")).collect();
    let largest = counts.iter().max_by_key(|(number, count)| (*count, usize::MAX - number));
    let largest = largest.map_or(0, |(number, _)| *number);
    let mend = flags_on(patient, &nodes[&largest])?;
    let mend = format!("{mend}  # a node of nudged on each node of memory uses both");
    Some(NUMA.warn(said.join(", "), mend))
}

/// The physical cores that the process may use, each with its CPUs.
fn cores(patient: &Patient) -> Vec<Vec<usize>> {
    let mut cores: Vec<Vec<usize>> = Vec::new();
    for cpu in &patient.allowed {
        let file = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        let siblings = patient.files.cpus(&file).unwrap_or_else(|| vec![*cpu]);
        match cores.iter_mut().find(|core| core.iter().any(|one| siblings.contains(one))) {
            Some(core) => core.push(*cpu),
            None => cores.push(vec![*cpu]),
        }
    }
    cores
}

/// Sharing is bad where another core idles; where all are in use, two CPUs of one are worth more
/// than one.
fn smt(patient: &Patient) -> Option<Diagnosis> {
    let cores = cores(patient);
    if cores.iter().all(|core| core.len() < 2) {
        return None;
    }
    let (shards, writer) = (of_shards(&patient.topology), patient.topology.writer_cpu);
    let is_shared = |core: &&Vec<usize>| core.iter().filter(|cpu| shards.contains(cpu)).count() > 1;
    let shared = cores.iter().filter(is_shared).count();
    let is_used =
        |core: &&Vec<usize>| core.iter().any(|cpu| shards.contains(cpu) || *cpu == writer);
    let idle = cores.len() - cores.iter().filter(is_used).count();
    let of_writer = cores.iter().find(|core| core.contains(&writer)).cloned().unwrap_or_default();
    let beside: Vec<usize> =
        of_writer.iter().copied().filter(|cpu| *cpu != writer && shards.contains(cpu)).collect();
    let firsts: Vec<usize> = cores.iter().filter_map(|core| core.first().copied()).collect();
    if shared > 0 && idle > 0 {
        let found = format!("{shared} cores run two shards each, and {idle} idle");
        let count = (shards.len() + 1).min(firsts.len());
        return Some(SMT.warn(found, flags_over(&firsts[..count])));
    }
    let is_worth_it = idle > 0 || cores.len() >= CORES_FOR_WRITER;
    if !beside.is_empty() && is_worth_it {
        let found =
            format!("the dedicated core {writer} is one with shard CPU {}", list_of(&beside));
        let others: Vec<usize> =
            shards.iter().copied().filter(|cpu| !of_writer.contains(cpu)).collect();
        let mend = format!("nudged serve --cpus {} --writer-cpu {writer}", list_of(&others));
        return Some(SMT.warn(found, mend));
    }
    Some(SMT.ok(format!(
        "{} CPUs are {} cores, {shared} of them with two shards",
        patient.allowed.len(),
        cores.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::doctor::fixture::Fixture;
    use crate::node::doctor::report::Condition;

    /// CPUs whose siblings are half of them apart, as kernels number them.
    fn with_siblings(fixture: &Fixture, count: usize) {
        for cpu in 0..count {
            let first = cpu % (count / 2);
            let file = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
            fixture.write(&file, &format!("{first},{}", first + count / 2));
        }
    }

    #[test]
    fn a_node_on_two_nodes_of_memory_is_brought_to_one() {
        let mut fixture = Fixture::with_cpus("0-7");
        assert_eq!(check(&fixture.patient()), [], "a host that does not say");
        fixture.write("/sys/devices/system/node/node0/cpulist", "0-3");
        fixture.write("/sys/devices/system/node/node1/cpulist", "4-7");
        fixture.write("/sys/devices/system/node/node2/cpulist", "");
        let said = fixture.mended_by_flags("numa", check);
        assert_eq!(said.found, "4 CPUs on node 0, 4 CPUs on node 1");
        assert!(said.mend.starts_with("nudged serve --cpus 0-2 --writer-cpu 3"), "{said:?}");
        fixture.config.cpus = Some(vec![3, 4, 5]);
        fixture.config.writer_cpu = Some(6);
        let said = fixture.mended_by_flags("numa", check);
        assert!(said.mend.starts_with("nudged serve --cpus 4-6 --writer-cpu 7"), "{said:?}");
    }

    #[test]
    fn shards_on_one_core_while_others_idle_are_spread() {
        let mut fixture = Fixture::with_cpus("0-7");
        assert_eq!(check(&fixture.patient()), []);
        with_siblings(&fixture, 8);
        fixture.config.cpus = Some(vec![0, 4]);
        fixture.config.writer_cpu = Some(1);
        let said = fixture.mended_by_flags("smt", check);
        assert_eq!(said.found, "1 cores run two shards each, and 2 idle");
        assert_eq!(said.mend, "nudged serve --cpus 0-1 --writer-cpu 2");
    }

    #[test]
    fn the_dedicated_core_gets_a_core_of_its_own_where_there_are_enough() {
        let mut fixture = Fixture::with_cpus("0-7");
        with_siblings(&fixture, 8);
        let said = fixture.mended_by_flags("smt", check);
        assert_eq!(said.found, "the dedicated core 7 is one with shard CPU 3");
        assert_eq!(said.mend, "nudged serve --cpus 0-2,4-6 --writer-cpu 7");
        let small = Fixture::with_cpus("0-3");
        with_siblings(&small, 4);
        let said = small.said("smt", check);
        assert_eq!(said.status, Condition::Ok, "half of a small host is too much: {said:?}");
    }
}
