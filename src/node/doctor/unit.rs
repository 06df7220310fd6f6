//! Limits of the installed unit: what a node would have that systemd starts. Those of the shell or
//! of a node that runs are `process`'s; a unit that somebody has written or changed is found here
//! before the start that it would refuse.

use nudged_runtime::process_limits;

use super::Patient;
use super::host::HostFiles;
use super::process::{LimitPlace, locked_memory, open_files};
use super::report::{Concern, Diagnosis};

const UNIT_OPEN_FILES: Concern = Concern {
    name: "unit_open_files",
    why: "a node that systemd starts holds no more connections than LimitNOFILE of its unit",
};
const UNIT_LOCKED_MEMORY: Concern = Concern {
    name: "unit_locked_memory",
    why: "the rings of a node that systemd starts are bounded by LimitMEMLOCK of its unit",
};

/// The unit's name.
const UNIT: &str = "nudged.service";
/// Where units are looked for: what comes first hides the same name behind it.
const FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// What systemd gives where the unit says nothing: hard limits, in descriptors and bytes.
const DEFAULT_NOFILE: u64 = 524_288;
const DEFAULT_MEMLOCK: u64 = 8 << 20;

/// Looks at the limits of the unit; nothing where none is installed.
pub(super) fn check(patient: &Patient) -> Vec<Diagnosis> {
    let Some((file, text)) = installed(&patient.files) else { return Vec::new() };
    let nofile = limit_of(&text, "LimitNOFILE").unwrap_or(DEFAULT_NOFILE);
    let memlock = limit_of(&text, "LimitMEMLOCK").unwrap_or(DEFAULT_MEMLOCK);
    let (shards, listeners) = (patient.topology.shards, patient.config.listen.len());
    let judge =
        |nofile, memlock| process_limits::judge((nofile, memlock, u64::MAX), shards, listeners);
    let whose = format!(" ({file})");
    let of_files = LimitPlace {
        concern: UNIT_OPEN_FILES,
        whose: whose.clone(),
        set: |limit| drop_in(&format!("LimitNOFILE={limit}")),
    };
    let of_memory = LimitPlace {
        concern: UNIT_LOCKED_MEMORY,
        whose,
        set: |kib| drop_in(&format!("LimitMEMLOCK={}M", kib >> 10)),
    };
    vec![
        open_files(patient, judge(nofile, u64::MAX).map(|()| nofile), &of_files),
        locked_memory(shards, (memlock, judge(u64::MAX, memlock).is_ok()), &of_memory),
    ]
}

/// What adds a line to the unit, whatever it has.
fn drop_in(line: &str) -> String {
    let name = line.split('=').next().unwrap_or_default();
    format!(
        "mkdir -p /etc/systemd/system/{UNIT}.d && printf '[Service]\\n{line}\\n' \
         >/etc/systemd/system/{UNIT}.d/99-{name}.conf && systemctl daemon-reload"
    )
}

/// The unit's file, and its text with that of what was added to it, in the order in which systemd
/// reads them: the last line of a name holds.
fn installed(files: &HostFiles) -> Option<(String, String)> {
    let mut paths = FOLDERS.into_iter().map(|folder| format!("{folder}/{UNIT}"));
    let (file, mut text) = paths.find_map(|path| files.text(&path).map(|text| (path, text)))?;
    let mut added: Vec<(String, String)> = Vec::new();
    for folder in FOLDERS {
        let folder = format!("{folder}/{UNIT}.d");
        let names = files.names(&folder).into_iter().filter(|name| name.ends_with(".conf"));
        for name in names.collect::<Vec<_>>() {
            let is_hidden = added.iter().any(|(known, _)| *known == name);
            if let Some(more) = files.text(&format!("{folder}/{name}")).filter(|_| !is_hidden) {
                added.push((name, more));
            }
        }
    }
    added.sort();
    for (_, more) in added {
        text.push('\n');
        text.push_str(&more);
    }
    Some((file, text))
}

/// A hard limit; `None` where no line has it, or an empty one takes it back.
fn limit_of(text: &str, name: &str) -> Option<u64> {
    let mut values = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix('='));
    let value = values.next_back()?.trim();
    let hard = value.rsplit(':').next().unwrap_or(value);
    if hard == "infinity" {
        return Some(u64::MAX);
    }
    let digits = hard.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match &hard[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::doctor::fixture::Fixture;
    use crate::node::doctor::report::Condition::{self, Fail, Ok as Good, Warn};

    fn conditions(fixture: &Fixture) -> Vec<Condition> {
        check(&fixture.patient()).into_iter().map(|one| one.status).collect()
    }

    #[test]
    fn limits_are_read_as_systemd_reads_them() {
        for (text, limit) in [
            ("", None),
            ("LimitMEMLOCK=64M", Some(64 << 20)),
            ("LimitMEMLOCK=8M:1G", Some(1 << 30)),
            ("LimitMEMLOCK=1\nLimitMEMLOCK=infinity", Some(u64::MAX)),
            (" LimitMEMLOCK = 2", Some(2)),
            ("LimitMEMLOCK=65536", Some(65_536)),
            ("#LimitMEMLOCK=1", None),
            ("LimitMEMLOCK=", None),
        ] {
            assert_eq!(limit_of(text, "LimitMEMLOCK"), limit, "{text}");
        }
    }

    #[test]
    fn the_unit_that_is_installed_is_judged_with_what_was_added_to_it() {
        let fixture = Fixture::with_cpus("0-1");
        assert_eq!(conditions(&fixture), [], "no unit is installed");
        let shipped = include_str!("../../../vendor-config/systemd/nudged.service");
        fixture.write("/usr/lib/systemd/system/nudged.service", shipped);
        assert_eq!(conditions(&fixture), [Good, Good]);
        let said = check(&fixture.patient()).swap_remove(0).found;
        assert!(said.ends_with(" (/usr/lib/systemd/system/nudged.service)"), "{said}");
        let own = "[Service]\nExecStart=/usr/bin/nudged\nLimitNOFILE=300\nLimitMEMLOCK=64K\n";
        fixture.write("/etc/systemd/system/nudged.service", own);
        assert_eq!(conditions(&fixture), [Fail, Fail]);
        let added = "[Service]\nLimitNOFILE=20000\nLimitMEMLOCK=600K\n";
        fixture.write("/etc/systemd/system/nudged.service.d/10-more.conf", added);
        assert_eq!(conditions(&fixture), [Warn, Warn]);
        fixture.mended("unit_open_files", check);
        fixture.mended("unit_locked_memory", check);
        // What systemd gives by itself is enough.
        let bare = Fixture::with_cpus("0-1");
        bare.write("/etc/systemd/system/nudged.service", "[Service]\nExecStart=/usr/bin/nudged\n");
        assert_eq!(conditions(&bare), [Good, Good]);
    }
}
