//! Network cards: in how many queues they receive, which CPUs take their interrupts, and on which
//! node of memory they are. Those without a device behind them (loopback, bridges) have no say.

use super::Patient;
use super::cpus::of_shards;
use super::host::{HostFiles, list_of};
use super::placement::{flags_on, memory_nodes};
use super::report::{Concern, Diagnosis};

const QUEUES: Concern = Concern {
    name: "nic_queues",
    why: "one queue is received by one CPU, which about two shards can keep busy",
};
const INTERRUPTS: Concern = Concern {
    name: "nic_interrupts",
    why: "a CPU that takes all interrupts slows its shard, and the journal if it is the dedicated \
          core",
};
const MEMORY_NODE: Concern = Concern {
    name: "nic_node",
    why: "each packet crosses between sockets where card and shards are on different ones",
};

const CLASS: &str = "/sys/class/net";
/// Shards that one queue can feed.
const SHARDS_OF_QUEUE: usize = 2;

/// A card that is up.
#[derive(Debug)]
struct Nic {
    name: String,
    /// What its interrupts are called by beside its name.
    device: String,
    queues: usize,
    /// Whether the kernel spreads what one CPU receives.
    is_spread: bool,
    node: Option<usize>,
    interrupts: Vec<Interrupt>,
}

#[derive(Debug)]
struct Interrupt {
    number: usize,
    cpus: Vec<usize>,
}

/// Looks at each card that is up; nothing where visitors come over loopback alone.
pub(super) fn check(patient: &Patient) -> Vec<Diagnosis> {
    if patient.listens_on_loopback() {
        return Vec::new();
    }
    let nics = nics(&patient.files);
    if nics.is_empty() {
        return Vec::new();
    }
    let mut found = vec![queues(patient, &nics), interrupts(patient, &nics)];
    found.extend(memory_node(patient, &nics));
    found
}

fn nics(files: &HostFiles) -> Vec<Nic> {
    let table = files.text("/proc/interrupts").unwrap_or_default();
    let mut nics = Vec::new();
    for name in files.names(CLASS) {
        let folder = format!("{CLASS}/{name}");
        let Some(device) = files.link_name(&format!("{folder}/device")) else { continue };
        if files.text(&format!("{folder}/operstate")).as_deref() != Some("up") {
            continue;
        }
        let queues = files.names(&format!("{folder}/queues"));
        let queues: Vec<&String> = queues.iter().filter(|queue| queue.starts_with("rx-")).collect();
        let is_mask = |mask: String| mask.bytes().any(|byte| !matches!(byte, b'0' | b','));
        let is_spread = queues.iter().any(|queue| {
            files.text(&format!("{folder}/queues/{queue}/rps_cpus")).is_some_and(is_mask)
        });
        let node = files.value(&format!("{folder}/device/numa_node"));
        let interrupts = interrupts_of(files, &table, &[&name, &device]);
        nics.push(Nic { name, device, queues: queues.len(), is_spread, node, interrupts });
    }
    nics
}

/// The interrupts of a card's queues, by what the kernel calls them.
fn interrupts_of(files: &HostFiles, table: &str, names: &[&str]) -> Vec<Interrupt> {
    /// Interrupts that carry no packets.
    const OTHERS: [&str; 4] = ["config", "control", "async", "event"];
    let is_of = |word: &str| {
        let is_queue = !OTHERS.iter().any(|other| word.contains(other));
        is_queue
            && names.iter().any(|name| match word.find(name) {
                Some(at) => {
                    !word[at + name.len()..].starts_with(|c: char| c.is_ascii_alphanumeric())
                }
                None => false,
            })
    };
    let mut found = Vec::new();
    for line in table.lines() {
        let Some((number, rest)) = line.split_once(':') else { continue };
        let Ok(number) = number.trim().parse() else { continue };
        if !rest.split_whitespace().last().is_some_and(is_of) {
            continue;
        }
        let folder = format!("/proc/irq/{number}");
        let cpus = files.cpus(&format!("{folder}/effective_affinity_list"));
        let cpus = cpus.filter(|cpus| !cpus.is_empty());
        let cpus = cpus.or_else(|| files.cpus(&format!("{folder}/smp_affinity_list")));
        found.extend(cpus.map(|cpus| Interrupt { number, cpus }));
    }
    found
}

fn queues(patient: &Patient, nics: &[Nic]) -> Diagnosis {
    let shards = of_shards(&patient.topology);
    for nic in nics {
        if nic.is_spread || nic.queues * SHARDS_OF_QUEUE >= shards.len() {
            continue;
        }
        let Nic { name, queues, .. } = nic;
        let found = format!("{name} receives in {queues} for {} shards", shards.len());
        // A card of one queue has no more to give: then the kernel spreads.
        let mend = format!(
            "ethtool -L {name} combined {} || echo {} > {CLASS}/{name}/queues/rx-0/rps_cpus",
            shards.len(),
            mask_of(&shards)
        );
        return QUEUES.warn(found, mend);
    }
    let said = nics.iter().map(|nic| {
        format!(
            "{} receives in {}{}",
            nic.name,
            nic.queues,
            if nic.is_spread { ", spread" } else { "" }
        )
    });
    QUEUES.ok(said.collect::<Vec<_>>().join(", "))
}

/// CPUs as the kernel writes sets of them: hexadecimal, 32 to a word.
fn mask_of(cpus: &[usize]) -> String {
    let last = cpus.iter().copied().max().unwrap_or(0);
    let mut words = vec![0_u32; last / 32 + 1];
    for cpu in cpus {
        words[cpu / 32] |= 1 << (cpu % 32);
    }
    let first = words.pop().unwrap_or(0);
    let rest = words.iter().rev().map(|word| format!(",{word:08x}"));
    std::iter::once(format!("{first:x}")).chain(rest).collect()
}

fn interrupts(patient: &Patient, nics: &[Nic]) -> Diagnosis {
    let shards = of_shards(&patient.topology);
    let writer = patient.topology.writer_cpu;
    let is_dedicated = !shards.contains(&writer);
    let mut said = Vec::new();
    for nic in nics {
        let all = || nic.interrupts.iter();
        let single: Vec<usize> =
            all().filter(|one| one.cpus.len() == 1).map(|one| one.cpus[0]).collect();
        let on_writer = single.iter().filter(|cpu| **cpu == writer).count();
        let is_one = single.len() == nic.interrupts.len()
            && single.windows(2).all(|pair| pair[0] == pair[1]);
        let problem = if is_dedicated && on_writer > 0 {
            format!("{on_writer} of {} come to the dedicated core {writer}", nic.name)
        } else if is_one && nic.queues > 1 && shards.len() > 1 {
            format!("all {} of {} come to CPU {}", single.len(), nic.name, single[0])
        } else {
            let cpus: Vec<usize> = all().flat_map(|one| one.cpus.clone()).collect();
            said.push(format!(
                "{} of {} on CPU {}",
                nic.interrupts.len(),
                nic.name,
                list_of(&cpus)
            ));
            continue;
        };
        return INTERRUPTS.warn(problem, spread_over(patient, nic, &shards));
    }
    INTERRUPTS.ok(said.join(", "))
}

/// Gives each interrupt a shard's CPU in turn; whoever moves them all the time is stopped first.
fn spread_over(patient: &Patient, nic: &Nic, shards: &[usize]) -> String {
    let stops = match patient.files.running(&["irqbalance"]).is_empty() {
        true => "",
        false => "systemctl disable --now irqbalance; ",
    };
    let moves = nic.interrupts.iter().zip(shards.iter().cycle()).map(|(interrupt, cpu)| {
        format!("echo {cpu} > /proc/irq/{}/smp_affinity_list", interrupt.number)
    });
    format!("{stops}{}", moves.collect::<Vec<_>>().join("; "))
}

/// Nothing on a host of one node of memory.
fn memory_node(patient: &Patient, nics: &[Nic]) -> Option<Diagnosis> {
    let nodes = memory_nodes(&patient.files);
    let shards = of_shards(&patient.topology);
    if nodes.len() < 2 {
        return None;
    }
    for nic in nics {
        let Some(cpus) = nic.node.and_then(|node| nodes.get(&node)) else { continue };
        if shards.iter().any(|cpu| cpus.contains(cpu)) {
            continue;
        }
        let number = nic.node.unwrap_or(0);
        let found = format!("{} ({}) is on node {number}, no shard is", nic.name, nic.device);
        return Some(MEMORY_NODE.warn(found, flags_on(patient, cpus)?));
    }
    Some(MEMORY_NODE.ok("cards and shards are on the same"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::doctor::fixture::Fixture;
    use crate::node::doctor::report::Condition;
    use nudged_config::DataListener;

    /// A host whose card has these queues, each with an interrupt on this CPU.
    fn with_card(cpus: &str, interrupts_on: &[usize]) -> Fixture {
        let fixture = Fixture::with_cpus(cpus);
        fixture.link(&format!("{CLASS}/eth0/device"), "../../../0000:3b:00.0");
        fixture.write(&format!("{CLASS}/eth0/operstate"), "up\n");
        fixture.write(&format!("{CLASS}/lo/operstate"), "unknown\n");
        fixture.write(&format!("{CLASS}/eth1/operstate"), "down\n");
        fixture.link(&format!("{CLASS}/eth1/device"), "../../../0000:3b:00.1");
        let mut table = "           CPU0\n 30:  1  PCI-MSI  eth0-config\n".to_owned();
        table.push_str(" 31:  1  PCI-MSI  veth0-rx-0\n 32:  1  PCI-MSI  eth01-TxRx-0\n");
        for (queue, cpu) in interrupts_on.iter().enumerate() {
            let number = 40 + queue;
            table.push_str(&format!(" {number}:  1 PCI-MSI  eth0-TxRx-{queue}\n"));
            fixture.write(&format!("{CLASS}/eth0/queues/rx-{queue}/rps_cpus"), "00000000");
            fixture.write(&format!("/proc/irq/{number}/smp_affinity_list"), &cpu.to_string());
        }
        table.push_str("LOC:  5  Local timer interrupts\n");
        fixture.write("/proc/interrupts", &table);
        fixture
    }

    #[test]
    fn loopback_and_cards_that_are_down_have_no_say() {
        let mut fixture = with_card("0-3", &[0]);
        fixture.config.listen = vec![DataListener::plain("127.0.0.1:8080".parse().unwrap())];
        assert_eq!(check(&fixture.patient()), []);
        assert_eq!(check(&Fixture::with_cpus("0-3").patient()), []);
    }

    #[test]
    fn one_queue_for_many_shards_is_spread() {
        let fixture = with_card("0-3", &[0]);
        let said = fixture.said("nic_queues", check);
        assert_eq!(said.status, Condition::Warn);
        assert_eq!(said.found, "eth0 receives in 1 for 3 shards");
        let spread = said.mend.split(" || ").nth(1).unwrap();
        assert!(said.mend.starts_with("ethtool -L eth0 combined 3 || echo 7 > "), "{said:?}");
        fixture.carry_out(&format!(": && {spread}"));
        let after = fixture.said("nic_queues", check);
        assert_eq!(
            (after.status, after.found.as_str()),
            (Condition::Ok, "eth0 receives in 1, spread")
        );
        assert_eq!(with_card("0-1", &[0]).said("nic_queues", check).status, Condition::Ok);
        assert_eq!(mask_of(&[0, 1, 33, 64]), "1,00000002,00000003");
    }

    #[test]
    fn interrupts_on_one_cpu_or_on_the_dedicated_core_are_moved_to_the_shards() {
        let fixture = with_card("0-3", &[0, 0, 0, 0]);
        let said = fixture.mended("nic_interrupts", check);
        assert_eq!(said.found, "all 4 of eth0 come to CPU 0");
        assert!(!said.mend.contains("irqbalance"), "{said:?}");
        let files = fixture.patient().files;
        assert_eq!(files.text("/proc/irq/41/smp_affinity_list").as_deref(), Some("1"));
        let fixture = with_card("0-3", &[0, 1, 2, 3]);
        fixture.write("/proc/99/comm", "irqbalance\n");
        let said = fixture.mended("nic_interrupts", check);
        assert_eq!(said.found, "1 of eth0 come to the dedicated core 3");
        assert!(said.mend.starts_with("systemctl disable --now irqbalance; echo"), "{said:?}");
        let said = with_card("0-3", &[0, 1, 2]).said("nic_interrupts", check);
        assert_eq!((said.status, said.found.as_str()), (Condition::Ok, "3 of eth0 on CPU 0-2"));
    }

    #[test]
    fn shards_follow_their_card_to_its_node_of_memory() {
        let mut fixture = with_card("0-7", &[0, 1]);
        fixture.write("/sys/devices/system/node/node0/cpulist", "0-3");
        fixture.write("/sys/devices/system/node/node1/cpulist", "4-7");
        // Through the link, as on a host.
        fixture.write("/sys/0000:3b:00.0/numa_node", "1\n");
        fixture.config.cpus = Some(vec![0, 1, 2]);
        fixture.config.writer_cpu = Some(3);
        let said = fixture.mended_by_flags("nic_node", check);
        assert_eq!(said.found, "eth0 (0000:3b:00.0) is on node 1, no shard is");
        assert_eq!(said.mend, "nudged serve --cpus 4-6 --writer-cpu 7");
    }
}
