//! The clocks of a host: by which source they are read, and who keeps the wall clock right.

use super::Patient;
use super::host::{HostFiles, time_of};
use super::report::{Concern, Diagnosis};
use nudged_runtime::clock_sync::ClockSync;

const SOURCE: Concern = Concern {
    name: "clock_source",
    why: "shards read the clock each turn: of these sources without a system call",
};
const SYNC: Concern = Concern {
    name: "clock_sync",
    why: "gaps, windows and days are times: nodes that disagree show too early or too late",
};

const FOLDER: &str = "/sys/devices/system/clocksource/clocksource0";
/// Sources that programs read by themselves, on each architecture and hypervisor.
const FAST: [&str; 5] =
    ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "riscv_clocksource"];
/// Programs that keep clocks, by the names that the kernel has for them.
const KEEPERS: [&str; 6] = ["chronyd", "systemd-timesyn", "ntpd", "openntpd", "ptp4l", "phc2sys"];
/// Off by more than this the kernel's own word is not worth much, in microseconds.
const ERROR_MOST_US: u64 = 1_000_000;

/// Looks at source and synchronisation.
pub(super) fn check(patient: &Patient) -> Vec<Diagnosis> {
    source(&patient.files).into_iter().chain([sync(&patient.files, patient.clock)]).collect()
}

/// Nothing where the host does not say.
fn source(files: &HostFiles) -> Option<Diagnosis> {
    let current = files.text(&format!("{FOLDER}/current_clocksource"))?;
    if FAST.contains(&current.as_str()) {
        return Some(SOURCE.ok(current));
    }
    let available = files.text(&format!("{FOLDER}/available_clocksource")).unwrap_or_default();
    let better = FAST.iter().find(|fast| available.split_whitespace().any(|one| one == **fast));
    let mend = match better {
        Some(better) => format!("echo {better} > {FOLDER}/current_clocksource"),
        None => "dmesg | grep -i -e tsc -e clocksource  # says why the kernel does not trust it"
            .to_owned(),
    };
    Some(SOURCE.warn(format!("{current}, of {available}"), mend))
}

fn sync(files: &HostFiles, clock: Option<ClockSync>) -> Diagnosis {
    let keepers = files.running(&KEEPERS);
    let by = if keepers.is_empty() { "a host".to_owned() } else { keepers.join(", ") };
    match clock {
        Some(ClockSync { is_synchronised: true, error_max_us }) => {
            let found = format!("synchronised, off by {} at most", time_of(error_max_us));
            match error_max_us > ERROR_MOST_US {
                true => SYNC.warn(found, restart(&keepers)),
                false => SYNC.ok(found),
            }
        }
        Some(_) if keepers.is_empty() => {
            SYNC.warn("nobody keeps this clock", "apt-get install -y chrony")
        }
        Some(_) => {
            SYNC.warn(format!("{by} runs, and has not synchronised it yet"), restart(&keepers))
        }
        None => SYNC.warn("the kernel does not say", "timedatectl"),
    }
}

/// What has a keeper synchronise at once.
fn restart(keepers: &[&str]) -> String {
    match keepers.first().copied() {
        Some("chronyd") => {
            "chronyc -a 'burst 4/4' && chronyc -a makestep && chronyc sources".to_owned()
        }
        Some("systemd-timesyn") => {
            "systemctl restart systemd-timesyncd && timedatectl timesync-status".to_owned()
        }
        Some(other) => format!("systemctl restart {other}"),
        None => "apt-get install -y chrony".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::doctor::fixture::Fixture;
    use crate::node::doctor::report::Condition;

    #[test]
    fn a_slow_source_is_changed_for_a_fast_one() {
        let fixture = Fixture::new();
        assert_eq!(check(&fixture.patient()).len(), 1, "a host that does not say");
        fixture.write(&format!("{FOLDER}/available_clocksource"), "hpet tsc acpi_pm \n");
        fixture.write(&format!("{FOLDER}/current_clocksource"), "hpet\n");
        let said = fixture.mended("clock_source", check);
        assert_eq!(said.found, "hpet, of hpet tsc acpi_pm");
        fixture.write(&format!("{FOLDER}/available_clocksource"), "hpet acpi_pm \n");
        fixture.write(&format!("{FOLDER}/current_clocksource"), "hpet\n");
        assert!(fixture.said("clock_source", check).mend.starts_with("dmesg"));
    }

    #[test]
    fn a_clock_that_nobody_keeps_is_a_warning() {
        let fixture = Fixture::new();
        let files = fixture.patient().files;
        let clock =
            |is_synchronised, error_max_us| Some(ClockSync { is_synchronised, error_max_us });
        let said = |clock| {
            let said = sync(&files, clock);
            (said.status, said.found, said.mend)
        };
        assert_eq!(said(clock(true, 250)).0, Condition::Ok);
        assert_eq!(said(clock(true, 250)).1, "synchronised, off by 250 us at most");
        assert_eq!(said(clock(false, 16_000_000)).2, "apt-get install -y chrony");
        assert_eq!(said(None).0, Condition::Warn);
        fixture.write("/proc/88/comm", "chronyd\n");
        let (status, found, mend) = said(clock(false, 16_000_000));
        assert_eq!(
            (status, found.as_str()),
            (Condition::Warn, "chronyd runs, and has not synchronised it yet")
        );
        assert!(mend.starts_with("chronyc "), "{mend}");
        assert_eq!(said(clock(true, 3_000_000)).0, Condition::Warn);
    }
}
