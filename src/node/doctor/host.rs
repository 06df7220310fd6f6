//! A host as its files show it: /proc, /sys and /etc, below a root that a test may lay elsewhere.
//! Reads, and must not judge.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Files of a host.
#[derive(Clone, Debug)]
pub(super) struct HostFiles {
    root: PathBuf,
}

impl HostFiles {
    /// Those below a root, `/` for this host.
    pub(super) fn below(root: &Path) -> HostFiles {
        HostFiles { root: root.to_owned() }
    }

    /// Where a file of the host is, by its path on the host.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text without the blanks around it; `None` where it is not there or can't be read.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// A file that is one number or another single value.
    pub(super) fn value<T: FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// CPUs that a file lists, such as `0-3,8`.
    pub(super) fn cpus(&self, path: &str) -> Option<Vec<usize>> {
        cpus_of(&self.text(path)?)
    }

    /// What is in a folder, by name; none where there is no such folder.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(path)) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// The last name of where a link leads.
    pub(super) fn link_name(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// A number of `/proc/meminfo`, in bytes.
    pub(super) fn memory_bytes(&self, name: &str) -> Option<u64> {
        let text = self.text("/proc/meminfo")?;
        let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: u64 = rest.split_whitespace().next()?.parse().ok()?;
        kib.checked_mul(1_024)
    }

    /// Which of some programs run, by the names that the kernel has for them: up to 15 letters.
    pub(super) fn running(&self, programs: &[&'static str]) -> Vec<&'static str> {
        let is_process = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
        let processes = self.names("/proc").into_iter().filter(is_process);
        let names = processes.filter_map(|process| self.text(&format!("/proc/{process}/comm")));
        let names: Vec<String> = names.collect();
        let is_there = |program: &&str| names.iter().any(|name| name == program);
        programs.iter().copied().filter(|program| is_there(program)).collect()
    }
}

/// The numbers of a list such as `0-3,8`; none of an empty one, `None` of what is no list.
pub(super) fn cpus_of(text: &str) -> Option<Vec<usize>> {
    /// No list has more: it would be no kernel's.
    const NUMBER_MAX: usize = 65_536;
    let mut numbers = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last > NUMBER_MAX {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

/// Numbers as such a list.
pub(super) fn list_of(numbers: &[usize]) -> String {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let run = |(first, last): &(usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

/// A size for people.
pub(super) fn size_of(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=10_485_759 => format!("{} KiB", bytes >> 10),
        10_485_760..=10_737_418_239 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

/// A time for people.
pub(super) fn time_of(microseconds: u64) -> String {
    match microseconds {
        0..=9_999 => format!("{microseconds} us"),
        10_000..=9_999_999 => format!("{} ms", microseconds / 1_000),
        _ => format!("{} s", microseconds / 1_000_000),
    }
}

/// The middle and the 99th hundredth of times, in microseconds; `None` of none.
pub(super) fn quantiles(mut times_us: Vec<u64>) -> Option<(u64, u64)> {
    times_us.sort_unstable();
    let last = times_us.len().checked_sub(1)?;
    Some((times_us[last / 2], times_us[last * 99 / 100]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_go_both_ways() {
        for (text, numbers) in
            [("", vec![]), ("0", vec![0]), ("0-2,5", vec![0, 1, 2, 5]), ("3,7-8", vec![3, 7, 8])]
        {
            assert_eq!(cpus_of(text), Some(numbers.clone()));
            assert_eq!(list_of(&numbers), text);
        }
        assert_eq!((cpus_of("a"), cpus_of("0-"), cpus_of("0-99999999999")), (None, None, None));
        assert_eq!(list_of(&[3, 1, 2, 2]), "1-3");
    }

    #[test]
    fn figures_are_for_people() {
        assert_eq!((size_of(4_096), size_of(64 << 20)), ("4096 bytes".into(), "64 MiB".into()));
        assert_eq!((size_of(100 << 10), size_of(20 << 30)), ("100 KiB".into(), "20 GiB".into()));
        assert_eq!((time_of(321), time_of(12_345)), ("321 us".into(), "12 ms".into()));
        assert_eq!(quantiles((1..=100).rev().collect()), Some((50, 99)));
        assert_eq!((quantiles(vec![7]), quantiles(vec![])), (Some((7, 7)), None));
    }
}
