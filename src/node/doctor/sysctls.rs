//! Settings of the kernel: which value is too little, and what it is to be. The wanted values are
//! those of `vendor-config/sysctl.d/90-nudged.conf`, which is embedded: a host that has installed
//! it passes. Some are fine below that; the table has where the line is.

use super::Patient;
use super::host::{HostFiles, list_of};
use super::report::{Concern, Diagnosis};

/// The file that an operator installs.
const WANTED: &str = include_str!("../../../vendor-config/sysctl.d/90-nudged.conf");
/// Fewer local ports than the kernel gives by default.
const PORTS_LEAST: u64 = 28_000;
/// With SYN cookies a queue of half-open connections is only a hint.
const SYN_BACKLOG_WITH_COOKIES: u64 = 1_024;

/// When a value is right.
#[derive(Clone, Copy, Debug)]
enum SysctlRule {
    /// The last of its numbers is at least this.
    Least(u64),
    /// Its only number is at most this.
    Most(u64),
    /// A range of at least so many ports.
    Ports(u64),
    /// The largest buffer is at least this, the initial one at most that.
    Buffer(u64, u64),
}

const fn row(name: &'static str, rule: SysctlRule, why: &'static str) -> (Concern, SysctlRule) {
    (Concern { name, why }, rule)
}

/// What is looked at wherever the kernel has it.
const SYSCTLS: &[(Concern, SysctlRule)] = &[
    row(
        "net.core.somaxconn",
        SysctlRule::Least(4_096),
        "caps the backlog in which newcomers wait during a burst or an upgrade",
    ),
    row(
        "net.ipv4.tcp_max_syn_backlog",
        SysctlRule::Least(4_096),
        "half-open connections beyond it are dropped where SYN cookies are off",
    ),
    row(
        "net.ipv4.tcp_syncookies",
        SysctlRule::Least(1),
        "without cookies a flood of SYNs locks visitors out",
    ),
    row(
        "net.ipv4.tcp_abort_on_overflow",
        SysctlRule::Most(0),
        "1 resets newcomers that a full backlog could have held",
    ),
    row(
        "net.ipv4.ip_local_port_range",
        SysctlRule::Ports(PORTS_LEAST),
        "each connection to Redis, MySQL or from a balancer on this host takes a port",
    ),
    row(
        "net.ipv4.tcp_tw_reuse",
        SysctlRule::Least(1),
        "without it ports in TIME_WAIT are missing for new outgoing connections",
    ),
    row(
        "net.ipv4.tcp_max_tw_buckets",
        SysctlRule::Least(65_536),
        "beyond it TIME_WAIT is cut short, and late packets reach the wrong connection",
    ),
    row(
        "net.ipv4.tcp_migrate_req",
        SysctlRule::Least(1),
        "without it newcomers in the backlog of a listener that closes are reset: each upgrade",
    ),
    row(
        "net.core.rmem_max",
        SysctlRule::Least(212_992),
        "bounds what a receive buffer may be set to",
    ),
    row("net.core.wmem_max", SysctlRule::Least(212_992), "bounds what a send buffer may be set to"),
    row(
        "net.ipv4.tcp_rmem",
        SysctlRule::Buffer(131_072, 1 << 20),
        "too small a window slows large requests, too large a start takes memory 50,000 times",
    ),
    row(
        "net.ipv4.tcp_wmem",
        SysctlRule::Buffer(131_072, 1 << 20),
        "too small a buffer slows large answers, too large a start takes memory 50,000 times",
    ),
    row(
        "net.netfilter.nf_conntrack_max",
        SysctlRule::Least(131_072),
        "a full table of tracked connections drops packets of visitors",
    ),
    row(
        "vm.swappiness",
        SysctlRule::Most(10),
        "a decision whose user is swapped out waits for the disk",
    ),
];

const IO_URING_DISABLED: Concern = Concern {
    name: "kernel.io_uring_disabled",
    why: "1 leaves io_uring to root and to kernel.io_uring_group, 2 to nobody",
};
const RECYCLE: Concern = Concern {
    name: "net.ipv4.tcp_tw_recycle",
    why: "gone since Linux 4.12: a file that sets it makes an error at boot and nothing else",
};
const RESERVED: Concern = Concern {
    name: "net.ipv4.ip_local_reserved_ports",
    why: "an outgoing connection may hold a listener's port when the node starts",
};

/// Where files of sysctls lie.
const FOLDERS: [&str; 5] = [
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/usr/local/lib/sysctl.d",
    "/usr/lib/sysctl.d",
    "/lib/sysctl.d",
];

/// Looks at all of them.
pub(super) fn check(patient: &Patient) -> Vec<Diagnosis> {
    let files = &patient.files;
    let mut found: Vec<Diagnosis> =
        SYSCTLS.iter().filter_map(|(concern, rule)| judge(files, concern, *rule)).collect();
    found.extend(io_uring_disabled(files));
    found.push(recycled(files));
    found.extend(reserved(patient));
    found
}

/// The value that the file has for a key.
pub(super) fn wanted(key: &str) -> Option<&'static str> {
    let lines = WANTED.lines().map(|line| line.trim().trim_start_matches('-'));
    let mut pairs = lines.filter_map(|line| line.split_once('='));
    pairs.find_map(|(name, value)| (name.trim() == key).then(|| value.trim()))
}

fn path_of(key: &str) -> String {
    format!("/proc/sys/{}", key.replace('.', "/"))
}

/// Sets a key until the next boot; the file keeps it.
fn mend(key: &str, value: &str) -> String {
    let quote = if value.contains(' ') { "'" } else { "" };
    let kept = wanted(key).map_or("", |_| "  # to keep: /etc/sysctl.d/90-nudged.conf");
    format!("sysctl -w {quote}{key}={value}{quote}{kept}")
}

/// What is said of one key; nothing of one that this kernel does not have, or that does not matter.
fn judge(files: &HostFiles, concern: &Concern, rule: SysctlRule) -> Option<Diagnosis> {
    let key = concern.name;
    let path = path_of(key);
    let Some(value) = files.text(&path) else {
        let is_there = files.path(&path).exists();
        return is_there
            .then(|| concern.warn("it can't be read by this user", "sudo nudged doctor"));
    };
    let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
    let numbers: Option<Vec<u64>> = value.split(' ').map(|word| word.parse().ok()).collect();
    let Some(numbers) = numbers else { return Some(concern.ok(value)) };
    if is_right(rule, &numbers) {
        return Some(concern.ok(value));
    }
    let last = numbers.last().copied().unwrap_or(0);
    let is_on = |key: &str| files.value::<u64>(&path_of(key)).is_some_and(|value| value > 0);
    let (is_harmless, note) = match key {
        "net.ipv4.tcp_max_syn_backlog" => (
            last >= SYN_BACKLOG_WITH_COOKIES && is_on("net.ipv4.tcp_syncookies"),
            ", with SYN cookies",
        ),
        "vm.swappiness" => (files.memory_bytes("SwapTotal") == Some(0), ", without swap"),
        _ => (false, ""),
    };
    if is_harmless {
        return Some(concern.ok(format!("{value}{note}")));
    }
    let needed = least_of(rule);
    let set_to = wanted(key).map_or(needed, str::to_owned);
    Some(concern.warn(format!("{value}{}", said_of(rule)), mend(key, &set_to)))
}

fn is_right(rule: SysctlRule, numbers: &[u64]) -> bool {
    match (rule, numbers) {
        (SysctlRule::Least(least), [.., last]) => *last >= least,
        (SysctlRule::Most(most), [.., last]) => *last <= most,
        (SysctlRule::Ports(least), [first, last]) => last.saturating_sub(*first) + 1 >= least,
        (SysctlRule::Buffer(least, most), [_, initial, last]) => *last >= least && *initial <= most,
        _ => true,
    }
}

fn said_of(rule: SysctlRule) -> String {
    match rule {
        SysctlRule::Least(least) => format!(", below {least}"),
        SysctlRule::Most(most) => format!(", above {most}"),
        SysctlRule::Ports(least) => format!(", fewer than {least} ports"),
        SysctlRule::Buffer(least, most) => {
            format!(", not a start of {most} at most and an end of {least} at least")
        }
    }
}

/// What does where the file has no value of its own.
fn least_of(rule: SysctlRule) -> String {
    match rule {
        SysctlRule::Least(value) | SysctlRule::Most(value) => value.to_string(),
        SysctlRule::Ports(_) => "32768 60999".to_owned(),
        SysctlRule::Buffer(..) => "4096 131072 6291456".to_owned(),
    }
}

fn io_uring_disabled(files: &HostFiles) -> Option<Diagnosis> {
    let value: u64 = files.value(&path_of(IO_URING_DISABLED.name))?;
    let mend = mend(IO_URING_DISABLED.name, "0");
    Some(match value {
        0 => IO_URING_DISABLED.ok("0"),
        1 => IO_URING_DISABLED.warn("1", mend),
        _ => IO_URING_DISABLED.fail(value.to_string(), mend),
    })
}

/// A setting that old guides have and no kernel that runs nudged.
fn recycled(files: &HostFiles) -> Diagnosis {
    let names = FOLDERS.iter().flat_map(|folder| {
        let names = files.names(folder).into_iter().filter(|name| name.ends_with(".conf"));
        names.map(move |name| format!("{folder}/{name}"))
    });
    for file in std::iter::once("/etc/sysctl.conf".to_owned()).chain(names) {
        let text = files.text(&file).unwrap_or_default();
        let is_set = |line: &str| {
            let key = line.split('=').next().unwrap_or_default();
            key.trim().trim_start_matches('-').trim().replace('/', ".") == RECYCLE.name
        };
        if let Some(number) = text.lines().position(is_set) {
            let mend = format!("sed -i '/^[^#]*tcp_tw_recycle/d' {file}");
            return RECYCLE.warn(format!("{file}:{} sets it", number + 1), mend);
        }
    }
    RECYCLE.ok("no file sets it")
}

/// Ports of listeners that outgoing connections may take.
fn reserved(patient: &Patient) -> Option<Diagnosis> {
    let files = &patient.files;
    let range = files.text(&path_of("net.ipv4.ip_local_port_range"))?;
    let mut ends = range.split_whitespace().map(str::parse::<usize>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    let reserved = files.cpus(&path_of(RESERVED.name)).unwrap_or_default();
    let ports = patient.ports();
    if ports.is_empty() {
        // Sockets alone, or ports that the system picks.
        return None;
    }
    let taken: Vec<usize> = ports
        .iter()
        .copied()
        .filter(|port| (first..=last).contains(port) && !reserved.contains(port))
        .collect();
    if taken.is_empty() {
        return Some(
            RESERVED.ok(format!("{} is outside {first}-{last} or reserved", list_of(&ports))),
        );
    }
    let all = list_of(&[reserved, taken.clone()].concat());
    let found = format!("{} is within {first}-{last} and not reserved", list_of(&taken));
    Some(RESERVED.warn(found, format!("sysctl -w {}={all}", RESERVED.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::doctor::fixture::Fixture;
    use crate::node::doctor::report::Condition;

    /// A value that is wrong, and one that is right though it is not the wanted one.
    const TABLE: &[(&str, &str, &str)] = &[
        ("net.core.somaxconn", "128", "4096"),
        ("net.ipv4.tcp_max_syn_backlog", "256", "2048"),
        ("net.ipv4.tcp_syncookies", "0", "2"),
        ("net.ipv4.tcp_abort_on_overflow", "1", "0"),
        ("net.ipv4.ip_local_port_range", "60000\t60999", "32768\t60999"),
        ("net.ipv4.tcp_tw_reuse", "0", "2"),
        ("net.ipv4.tcp_max_tw_buckets", "8192", "131072"),
        ("net.ipv4.tcp_migrate_req", "0", "1"),
        ("net.core.rmem_max", "65536", "212992"),
        ("net.core.wmem_max", "65536", "212992"),
        ("net.ipv4.tcp_rmem", "4096\t16777216\t16777216", "4096\t131072\t6291456"),
        ("net.ipv4.tcp_wmem", "4096\t16384\t65536", "4096\t16384\t4194304"),
        ("net.netfilter.nf_conntrack_max", "65536", "262144"),
        ("vm.swappiness", "60", "10"),
        ("kernel.io_uring_disabled", "2", "0"),
        ("net.ipv4.ip_local_reserved_ports", "", "8080,8081"),
    ];

    fn host() -> Fixture {
        let fixture = Fixture::new();
        fixture.write("/proc/meminfo", "SwapTotal: 4096 kB\n");
        for (key, _, right) in TABLE {
            fixture.write(&path_of(key), &format!("{right}\n"));
        }
        fixture
    }

    #[test]
    fn each_setting_that_is_wrong_is_named_and_its_command_mends_it() {
        let fixture = host();
        let all = check(&fixture.patient());
        assert!(all.iter().all(|one| one.status == Condition::Ok), "{all:#?}");
        assert_eq!(all.len(), TABLE.len() + 1);
        for (key, wrong, right) in TABLE {
            if *key == "net.ipv4.ip_local_reserved_ports" {
                fixture.write(&path_of("net.ipv4.ip_local_port_range"), "8000 60999");
            }
            fixture.write(&path_of(key), wrong);
            fixture.mended(key, check);
            fixture.write(&path_of(key), right);
        }
    }

    #[test]
    fn what_does_no_harm_is_no_warning() {
        let fixture = host();
        let is_ok = |key: &str| fixture.said(key, check).status == Condition::Ok;
        fixture.write("/proc/meminfo", "SwapTotal: 0 kB\n");
        fixture.write(&path_of("vm.swappiness"), "60");
        assert!(is_ok("vm.swappiness"));
        fixture.write(&path_of("net.ipv4.tcp_syncookies"), "0");
        assert!(!is_ok("net.ipv4.tcp_max_syn_backlog"), "without cookies 2048 are few");
        fixture.remove(&path_of("net.netfilter.nf_conntrack_max"));
        let all = check(&fixture.patient());
        assert!(!all.iter().any(|one| one.name.contains("conntrack")), "nothing tracks");
    }

    #[test]
    fn a_file_that_sets_what_is_gone_is_named() {
        let fixture = host();
        fixture.write("/etc/sysctl.d/10-old.conf", "# net.ipv4.tcp_tw_recycle = 1\n");
        assert_eq!(fixture.said("net.ipv4.tcp_tw_recycle", check).status, Condition::Ok);
        for file in ["/etc/sysctl.conf", "/etc/sysctl.d/10-old.conf", "/run/sysctl.d/x.conf"] {
            fixture.write(file, "a = 1\n-net/ipv4/tcp_tw_recycle = 1\n");
            let said = fixture.said("net.ipv4.tcp_tw_recycle", check);
            assert_eq!(said.found, format!("{file}:2 sets it"));
            fixture.mended("net.ipv4.tcp_tw_recycle", check);
        }
    }

    #[test]
    fn the_file_that_is_shipped_has_each_value_and_passes() {
        let fixture = host();
        for (key, ..) in TABLE {
            if let Some(value) = wanted(key) {
                fixture.write(&path_of(key), value);
            }
        }
        for one in check(&fixture.patient()) {
            assert_eq!(one.status, Condition::Ok, "{one:?}");
        }
        let missing = TABLE.iter().filter(|(key, ..)| wanted(key).is_none());
        let missing: Vec<&str> = missing.map(|(key, ..)| *key).collect();
        // One is of hosts that track connections, one of the configuration.
        let own = [
            "nf_conntrack_max",
            "ip_local_reserved_ports",
            "tcp_syncookies",
            "tcp_abort_on_overflow",
        ];
        assert!(missing.iter().all(|key| own.iter().any(|own| key.ends_with(own))), "{missing:?}");
    }

    #[test]
    fn where_no_port_is_fixed_none_is_judged() {
        let mut fixture = host();
        fixture.config.listen.iter_mut().for_each(|listener| listener.address.set_port(0));
        fixture.config.admin = nudged_config::AdminAddress::Unix("/run/nudged/admin".into());
        let all = check(&fixture.patient());
        assert!(!all.iter().any(|one| one.name == RESERVED.name), "{all:?}");
    }

    #[test]
    fn the_port_of_operators_is_reserved_too_however_they_are_answered() {
        let mut fixture = host();
        fixture.write(&path_of("net.ipv4.ip_local_port_range"), "1024\t65535");
        fixture.write(&path_of(RESERVED.name), "8080");
        for admin in ["127.0.0.1:9443", "127.0.0.1:9443 tls"] {
            let address = "127.0.0.1:9443".parse().unwrap();
            fixture.config.admin = match admin.ends_with("tls") {
                true => nudged_config::AdminAddress::Tls(address),
                false => nudged_config::AdminAddress::Tcp(address),
            };
            let said = fixture.said(RESERVED.name, check);
            assert!(said.found.starts_with("9443 is within"), "{said:?}");
        }
    }
}
