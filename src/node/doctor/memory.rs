//! Memory: what a node of this configuration takes, against what the host and its control group
//! have, and how the kernel pages it.

use super::Patient;
use super::groups::{ControlGroup, Controller};
use super::host::size_of;
use super::report::{Concern, Diagnosis};
use nudged_base::limits::{
    LANE_BYTES_MAX, RECEIVE_BUFFER_BYTES, RECEIVE_BUFFERS, SLICE_SHARD_BYTES_MIN,
    SQL_READ_CACHE_KIB, SQL_WRITE_CACHE_KIB, UNSYNCED_BYTES_MAX,
};
use nudged_config::Config;
use nudged_redis::address::LinkAddress;

const MEMORY: Concern = Concern {
    name: "memory",
    why: "a node that takes more than there is gets killed: slice_bytes fills up with users",
};
const MEMORY_TWICE: Concern = Concern {
    name: "memory_twice",
    why: "SIGUSR2 upgrades in place: for some seconds the old process and the new one are there",
};
const HUGE_PAGES: Concern = Concern {
    name: "huge_pages",
    why: "with `always` a fork of the Redis on this host copies 2 MiB for each byte that changes",
};
const SWAP: Concern =
    Concern { name: "swap", why: "what is swapped out answers after a read of the disk" };

/// Program, catalog, and what connections take beside.
const PROGRAM_BYTES: u64 = 64 << 20;

/// Looks at memory, swap and pages.
pub(super) fn check(patient: &Patient) -> Vec<Diagnosis> {
    let mut found = memory(patient);
    found.extend(swap(patient));
    found.extend(huge_pages(patient));
    found
}

/// What a node may take when all of its memory for users is full, in bytes.
fn needed(config: &Config, shards: u16) -> u64 {
    let of = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let each = of(usize::from(RECEIVE_BUFFERS) * RECEIVE_BUFFER_BYTES) + of(LANE_BYTES_MAX);
    let shards = u64::from(shards) * (each + config.unsent_bytes_per_shard(shards));
    let sqlite = match config.mysql.url {
        Some(_) => 0,
        None => u64::from(SQL_WRITE_CACHE_KIB + SQL_READ_CACHE_KIB) << 10,
    };
    config.slice_bytes + shards + sqlite + of(UNSYNCED_BYTES_MAX) + PROGRAM_BYTES
}

/// Memory that there is, in bytes: of the control group that binds, else of the host.
struct MemoryBound {
    bytes: u64,
    whose: String,
    group: Option<ControlGroup>,
    /// What the host has, whatever binds.
    total: Option<u64>,
}

impl MemoryBound {
    fn find(patient: &Patient) -> Option<MemoryBound> {
        let files = &patient.files;
        let total = files.memory_bytes("MemTotal");
        let group = ControlGroup::find(files, &patient.process, Controller::Memory);
        let bound = group.and_then(|group| group.memory_bound(files));
        match bound.filter(|(_, bound)| total.is_none_or(|total| *bound < total)) {
            Some((group, bytes)) => {
                let whose = format!("in {}", group.name());
                Some(MemoryBound { bytes, whose, group: Some(group), total })
            }
            None => {
                let (bytes, whose) = (total?, "on this host".to_owned());
                Some(MemoryBound { bytes, whose, group: None, total })
            }
        }
    }

    /// What gives the node so much; what the host has not got no group can give, and then it is
    /// `smaller`.
    fn mend(&self, needed: u64, smaller: impl FnOnce() -> String) -> String {
        let can_give = |_: &&ControlGroup| self.total.is_none_or(|total| total >= needed);
        match self.group.as_ref().filter(can_give) {
            Some(group) => group.set_memory(needed),
            None => smaller(),
        }
    }
}

fn memory(patient: &Patient) -> Vec<Diagnosis> {
    let Patient { config, topology, .. } = patient;
    let needed = needed(config, topology.shards);
    let Some(there) = MemoryBound::find(patient) else {
        return vec![MEMORY.warn("/proc/meminfo can't be read", "free -m")];
    };
    let found = format!(
        "{} {}, and a full node takes {}, {} of it slice_bytes",
        size_of(there.bytes),
        there.whose,
        size_of(needed),
        size_of(config.slice_bytes)
    );
    if there.bytes >= needed {
        return vec![MEMORY.ok(found), memory_twice(patient, &there, needed * 2)];
    }
    let lacking = needed - there.bytes;
    let mend = there.mend(needed, || smaller(config, topology.shards, lacking));
    vec![match there.bytes < config.slice_bytes {
        true => MEMORY.fail(found, mend),
        false => MEMORY.warn(found, mend),
    }]
}

/// Both processes of an upgrade in place are in one group, and on one host.
fn memory_twice(patient: &Patient, there: &MemoryBound, needed: u64) -> Diagnosis {
    let Patient { config, topology, .. } = patient;
    let found = format!(
        "{} {}, and two full nodes take {}",
        size_of(there.bytes),
        there.whose,
        size_of(needed)
    );
    if there.bytes >= needed {
        return MEMORY_TWICE.ok(found);
    }
    let lacking = (needed - there.bytes).div_ceil(2);
    let mend = there.mend(needed, || {
        let smaller = smaller(config, topology.shards, lacking);
        format!("{smaller}; or upgrade by `systemctl restart nudged`")
    });
    MEMORY_TWICE.warn(found, mend)
}

/// A slice that leaves enough, as a setting; a larger host where that would be none.
fn smaller(config: &Config, shards: u16, lacking: u64) -> String {
    let least = SLICE_SHARD_BYTES_MIN * u64::from(shards);
    match config.slice_bytes.checked_sub(lacking).filter(|bytes| *bytes >= least) {
        Some(bytes) => {
            format!("NUDGED_SLICE_BYTES={} nudged serve  # slice_bytes in nudged.toml", bytes)
        }
        None => {
            "nudged serve --shards 1  # or more memory: this is too little for a node".to_owned()
        }
    }
}

/// Nothing where the host does not say.
fn swap(patient: &Patient) -> Option<Diagnosis> {
    let files = &patient.files;
    let total = files.memory_bytes("SwapTotal")?;
    if total == 0 {
        return Some(SWAP.ok("none"));
    }
    let status = files.text(&format!("/proc/{}/status", patient.process)).unwrap_or_default();
    let swapped = status.lines().find_map(|line| line.strip_prefix("VmSwap:"));
    let swapped = swapped.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    let swapped = swapped.unwrap_or(0) << 10;
    if swapped > 0 && patient.process != "self" {
        let found = format!("{} of the node are swapped out", size_of(swapped));
        return Some(
            SWAP.warn(
                found,
                "swapoff -a && swapon -a  # then more memory, or a smaller slice_bytes",
            ),
        );
    }
    Some(SWAP.ok(format!("{}, see vm.swappiness", size_of(total))))
}

/// Only of interest to a Redis on the same host.
fn huge_pages(patient: &Patient) -> Option<Diagnosis> {
    const FILE: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
    let text = patient.files.text(FILE)?;
    let chosen = text.split(['[', ']']).nth(1)?.to_owned();
    let is_local = crate::node::redis::address_of(&patient.config).ok().flatten();
    let is_local = is_local.is_some_and(|(address, _)| match address {
        LinkAddress::Tcp { host, .. } => {
            host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
        LinkAddress::Unix(_) => true,
    });
    Some(match chosen == "always" && is_local {
        true => HUGE_PAGES.warn(chosen, format!("echo madvise > {FILE}")),
        false => HUGE_PAGES.ok(chosen),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::doctor::fixture::Fixture;
    use crate::node::doctor::report::Condition;
    use nudged_config::SecretText;

    #[test]
    fn memory_is_what_host_and_group_have_against_what_a_full_node_takes() {
        let mut fixture = Fixture::with_cpus("0-1");
        assert_eq!(fixture.said("memory", check).status, Condition::Warn, "it can't be read");
        fixture
            .write("/proc/meminfo", "MemTotal:        8000000 kB\nSwapTotal:             0 kB\n");
        let said = fixture.said("memory", check);
        assert_eq!(said.status, Condition::Ok, "{said:?}");
        assert!(said.found.contains(" on this host") && said.found.contains("256 MiB of it"));
        assert_eq!(fixture.said("memory_twice", check).status, Condition::Ok);
        fixture.write("/proc/meminfo", "MemTotal:         800000 kB\n");
        let twice = fixture.said("memory_twice", check);
        assert_eq!(twice.status, Condition::Warn, "{twice:?}");
        assert!(twice.found.contains("two full nodes take "), "{twice:?}");
        assert!(twice.mend.contains("NUDGED_SLICE_BYTES="), "{twice:?}");
        assert!(twice.mend.ends_with("`systemctl restart nudged`"), "{twice:?}");
        fixture
            .write("/proc/meminfo", "MemTotal:        8000000 kB\nSwapTotal:             0 kB\n");
        fixture.write("/proc/self/cgroup", "0::/box\n");
        fixture.write("/proc/self/mountinfo", "1 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        for (bound, status) in [("300000000", Condition::Warn), ("200000000", Condition::Fail)] {
            fixture.write("/sys/fs/cgroup/box/memory.max", bound);
            let said = fixture.mended("memory", check);
            assert_eq!(said.status, status, "{said:?}");
            assert!(said.found.contains("in /sys/fs/cgroup/box"), "{said:?}");
            // What gives one enough is too little for two.
            fixture.mended("memory_twice", check);
        }
        fixture.config.slice_bytes = 64 << 30;
        let said = fixture.said("memory", check);
        assert_eq!(said.status, Condition::Fail);
        let bytes = said.mend.strip_prefix("NUDGED_SLICE_BYTES=").unwrap().split(' ').next();
        fixture.remove("/sys/fs/cgroup/box/memory.max");
        fixture.config.slice_bytes = bytes.unwrap().parse().unwrap();
        let said = fixture.said("memory", check);
        assert_eq!(said.status, Condition::Ok, "{said:?}");
        fixture.write("/proc/meminfo", "MemTotal:        200000 kB\n");
        fixture.config.slice_bytes = 256 << 20;
        assert!(fixture.said("memory", check).mend.contains("--shards 1"));
    }

    #[test]
    fn a_node_that_is_swapped_out_is_brought_back() {
        let mut fixture = Fixture::new();
        fixture.write("/proc/meminfo", "SwapTotal: 4096 kB\n");
        assert_eq!(fixture.said("swap", check).status, Condition::Ok);
        fixture.process = "77".to_owned();
        fixture.write("/proc/77/status", "VmSwap:\t    2048 kB\n");
        let said = fixture.said("swap", check);
        assert_eq!(
            (said.status, said.found.as_str()),
            (Condition::Warn, "2048 KiB of the node are swapped out")
        );
        assert!(said.mend.starts_with("swapoff -a"));
    }

    #[test]
    fn huge_pages_matter_to_a_redis_on_this_host() {
        let mut fixture = Fixture::new();
        let file = "/sys/kernel/mm/transparent_hugepage/enabled";
        fixture.write(file, "[always] madvise never");
        assert_eq!(fixture.said("huge_pages", check).status, Condition::Ok);
        for (url, status) in [
            ("redis://10.1.2.3", Condition::Ok),
            ("redis://127.0.0.1:7000", Condition::Warn),
            ("redis+unix:///run/redis.sock", Condition::Warn),
        ] {
            fixture.config.redis.url = Some(SecretText::new(url.to_owned()));
            assert_eq!(fixture.said("huge_pages", check).status, status, "{url}");
        }
        let said = fixture.said("huge_pages", check);
        fixture.carry_out(&said.mend);
        assert_eq!(fixture.patient().files.text(file).as_deref(), Some("madvise"));
    }
}
