//! Property: systemd takes the units of `vendor-config/systemd` as they are shipped, and what runs
//! in them is hardened: `systemd-analyze security` rates it below 2.0. The filter of system calls
//! is tried by `vendor_seccomp`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::vendor;

/// The units.
const UNITS: [&str; 3] = ["nudged.service", "nudged.socket", "nudged-admin.socket"];
/// Tenths: what `--threshold` takes.
const EXPOSURE_MAX: &str = "20";

/// A command of systemd-analyze: whether it found all well, and what it said.
fn analyze(arguments: &[&str], units: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("systemd-analyze").args(arguments).args(units).output();
    let Ok(output) = output else {
        println!("systemd-analyze is not installed; left out");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), said.into_owned()))
}

/// The units in a folder, on a host that has the binary but no pages of a manual.
fn installed(folder: &Path, change: impl Fn(String) -> String) -> Vec<String> {
    let place = |name: &str| {
        let text = fs::read_to_string(vendor(&format!("systemd/{name}"))).unwrap();
        let text = text.replace("/usr/bin/nudged", env!("CARGO_BIN_EXE_nudged"));
        let text = text.replace("Documentation=man:nudged(1) ", "Documentation=");
        let text = text.replace("Documentation=man:nudged(1)\n", "");
        let path = folder.join(name);
        fs::write(&path, change(text)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    UNITS.map(place).to_vec()
}

#[test]
fn systemd_takes_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let paths = installed(folder.path(), |text| text);
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let Some((is_well, said)) = analyze(&["verify", "--man=no"], &paths) else { return };
    assert!(is_well && said.is_empty(), "{said}");
    // It does find what is wrong.
    let paths = installed(folder.path(), |text| text.replace("WatchdogSec=", "WatchdogSeconds="));
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let (_, said) = analyze(&["verify", "--man=no"], &paths).unwrap();
    assert!(said.contains("WatchdogSeconds"), "{said}");
}

#[test]
fn the_service_is_hardened() {
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let arguments = ["security", "--offline=true", "--no-pager", &threshold];
    let folder = tempfile::tempdir().unwrap();
    let paths = installed(folder.path(), |text| text);
    let Some((is_well, said)) = analyze(&arguments, &[&paths[0]]) else { return };
    let overall = said.lines().find(|line| line.contains("Overall exposure")).unwrap_or(&said);
    println!("{overall}");
    assert!(is_well, "{said}");
    let without = |text: String| text.replace("SystemCallFilter", "#").replace("Protect", "#");
    let paths = installed(folder.path(), without);
    assert!(!analyze(&arguments, &[&paths[0]]).unwrap().0, "the threshold holds");
}

#[test]
fn the_service_stops_and_restarts_as_the_settings_say() {
    let unit = fs::read_to_string(vendor("systemd/nudged.service")).unwrap();
    let value = |key: &str| {
        let found = unit.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
        found.unwrap_or_else(|| panic!("no {key}="))
    };
    let config = nudged_config::Config::default();
    let stop: u64 = value("TimeoutStopSec").trim_end_matches('s').parse().unwrap();
    let drain_ms = config.drain_timeout.0;
    assert!(stop * 1_000 > drain_ms + 10_000, "{stop} s are too few for {drain_ms} ms");
    assert_eq!(value("RestartPreventExitStatus"), "2 3 4", "of docs/operations.md#exit-codes");
    assert_eq!(value("Type"), "notify");
}
