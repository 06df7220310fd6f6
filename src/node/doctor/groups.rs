//! Control groups of a process, of either version: where their files are, what binds, and what
//! sets it. Must not know what a node needs.

use super::host::{HostFiles, cpus_of};

/// What a group bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller {
    Cpu,
    Cpuset,
    Memory,
}

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Cpuset => "cpuset",
            Controller::Memory => "memory",
        }
    }
}

/// A group by its folder on the host; those that it lies in bind as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ControlGroup {
    folder: String,
    /// Where its hierarchy is mounted.
    mount: String,
    is_first_version: bool,
}

impl ControlGroup {
    /// The group of a process, by its number or `self`; `None` where the host shows none.
    pub(super) fn find(
        files: &HostFiles,
        process: &str,
        controller: Controller,
    ) -> Option<ControlGroup> {
        let groups = files.text(&format!("/proc/{process}/cgroup"))?;
        let mounts = files.text("/proc/self/mountinfo")?;
        let path_of = |wanted: &dyn Fn(&str) -> bool| {
            groups.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let (controllers, path) = (parts.next()?, parts.next()?);
                wanted(controllers).then(|| path.to_owned())
            })
        };
        let has = |list: &str| list.split(',').any(|name| name == controller.name());
        // The first version wins where both are mounted: a controller is in one of them.
        if let Some(path) = path_of(&has)
            && let Some((root, mount)) = mount_of(&mounts, "cgroup", &has)
        {
            return Some(ControlGroup::at(&path, root, mount, true));
        }
        let path = path_of(&|list: &str| list.is_empty())?;
        let (root, mount) = mount_of(&mounts, "cgroup2", &|_| true)?;
        Some(ControlGroup::at(&path, root, mount, false))
    }

    /// A mount may show a part of the hierarchy alone.
    fn at(path: &str, root: &str, mount: &str, is_first_version: bool) -> ControlGroup {
        let inner = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
        let folder = format!("{mount}/{}", inner.trim_start_matches('/'));
        let folder = folder.trim_end_matches('/').to_owned();
        ControlGroup { folder, mount: mount.to_owned(), is_first_version }
    }

    /// Itself and those that it lies in, from the inside out.
    fn outwards(&self) -> impl Iterator<Item = ControlGroup> + '_ {
        let folders = std::iter::successors(Some(self.folder.as_str()), |folder| {
            let (above, _) = folder.rsplit_once('/')?;
            (above.len() >= self.mount.len()).then_some(above)
        });
        folders.map(|folder| ControlGroup { folder: folder.to_owned(), ..self.clone() })
    }

    /// What to call it.
    pub(super) fn name(&self) -> &str {
        &self.folder
    }

    /// The smallest bound of memory, in bytes, and the group that has it; `None` for no bound. One
    /// that slows down counts as one that ends processes.
    pub(super) fn memory_bound(&self, files: &HostFiles) -> Option<(ControlGroup, u64)> {
        /// The first version has no word for no bound: a number of pages that no host has.
        const UNBOUND: u64 = 1 << 60;
        let of = |group: ControlGroup| {
            let names: &[&str] = match group.is_first_version {
                true => &["memory.limit_in_bytes"],
                false => &["memory.max", "memory.high"],
            };
            let bounds = names.iter().filter_map(|name| group.number(files, name));
            let bound = bounds.min().filter(|bound| *bound < UNBOUND)?;
            Some((group, bound))
        };
        self.outwards().filter_map(of).min_by_key(|(_, bound)| *bound)
    }

    /// The smallest part of the CPUs' time, in percent of one, and the group that has it.
    pub(super) fn quota_percent(&self, files: &HostFiles) -> Option<(ControlGroup, u64)> {
        let of = |group: ControlGroup| {
            let (quota, period): (u64, u64) = match group.is_first_version {
                true => (
                    group.number(files, "cpu.cfs_quota_us")?,
                    group.number(files, "cpu.cfs_period_us")?,
                ),
                false => {
                    let text = files.text(&group.file("cpu.max"))?;
                    let (quota, period) = text.split_once(' ')?;
                    (quota.parse().ok()?, period.parse().ok()?)
                }
            };
            Some((group, quota.saturating_mul(100) / period.max(1)))
        };
        self.outwards().filter_map(of).min_by_key(|(_, percent)| *percent)
    }

    /// The innermost group that does not let a process have these CPUs.
    pub(super) fn cpus_that_bind(&self, files: &HostFiles, cpus: &[usize]) -> Option<ControlGroup> {
        self.outwards().find(|group| {
            let text = files.text(&group.file("cpuset.cpus")).unwrap_or_default();
            let allowed = cpus_of(&text).unwrap_or_default();
            !allowed.is_empty() && cpus.iter().any(|cpu| !allowed.contains(cpu))
        })
    }

    /// What sets something of it: as a property of its unit, where it is one, else in its file.
    pub(super) fn set(&self, property: &str, file: &str, value: &str) -> String {
        let unit = self.folder.rsplit('/').next().unwrap_or_default();
        let is_unit = [".service", ".scope", ".slice"].iter().any(|end| unit.ends_with(end));
        match is_unit {
            true => format!("systemctl set-property {unit} {property}={value}"),
            false => format!("echo {value} > {}", self.file(file)),
        }
    }

    /// What gives it more memory, or no bound (`max`).
    pub(super) fn set_memory(&self, bytes: u64) -> String {
        match self.is_first_version {
            true => format!("echo {bytes} > {}", self.file("memory.limit_in_bytes")),
            false => self.set("MemoryMax", "memory.max", &bytes.to_string()),
        }
    }

    /// What takes its bound of the CPUs' time away.
    pub(super) fn lift_quota(&self) -> String {
        match self.is_first_version {
            true => format!("echo -1 > {}", self.file("cpu.cfs_quota_us")),
            false => match self.set("CPUQuota", "cpu.max", "") {
                property if property.starts_with("systemctl") => property,
                _ => format!("echo max > {}", self.file("cpu.max")),
            },
        }
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    fn number(&self, files: &HostFiles, name: &str) -> Option<u64> {
        files.value(&self.file(name))
    }
}

/// Root and folder of the mount of a kind whose own options are right.
fn mount_of<'m>(
    mounts: &'m str,
    kind: &str,
    is_right: &dyn Fn(&str) -> bool,
) -> Option<(&'m str, &'m str)> {
    mounts.lines().find_map(|line| {
        let (place, file_system) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let mut file_system = file_system.split(' ');
        let is_kind = file_system.next()? == kind;
        let options = file_system.nth(1)?;
        (is_kind && is_right(options)).then_some((place.next()?, place.next()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::doctor::fixture::Fixture;

    #[test]
    fn groups_of_both_versions_are_found_where_they_are_mounted() {
        let fixture = Fixture::new();
        let files = fixture.patient().files;
        let find = |controller| ControlGroup::find(&files, "self", controller);
        assert_eq!(find(Controller::Cpu), None);
        fixture.write("/proc/self/cgroup", "8:cpu,cpuacct:/a\n4:memory:/box/b\n0::/c/d.scope\n");
        fixture.write(
            "/proc/self/mountinfo",
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
             32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
             35 31 0:32 /box /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        );
        let name = |controller| find(controller).unwrap().name().to_owned();
        assert_eq!(name(Controller::Cpu), "/sys/fs/cgroup/cpu/a");
        assert_eq!(name(Controller::Memory), "/sys/fs/cgroup/memory/b");
        assert_eq!(name(Controller::Cpuset), "/sys/fs/cgroup/unified/c/d.scope");
        let within = find(Controller::Cpuset).unwrap();
        let outwards: Vec<String> = within.outwards().map(|group| group.folder).collect();
        let above = ["/c/d.scope", "/c", ""].map(|end| format!("/sys/fs/cgroup/unified{end}"));
        assert_eq!(outwards, above);
        assert_eq!(within.lift_quota(), "systemctl set-property d.scope CPUQuota=");
    }

    #[test]
    fn the_smallest_bound_of_all_counts() {
        let fixture = Fixture::new();
        let files = fixture.patient().files;
        fixture.write("/proc/self/cgroup", "0::/a/b\n");
        fixture.write("/proc/self/mountinfo", "1 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        let group = ControlGroup::find(&files, "self", Controller::Memory).unwrap();
        assert_eq!(group.memory_bound(&files), None);
        fixture.write("/sys/fs/cgroup/a/b/memory.max", "max\n");
        fixture.write("/sys/fs/cgroup/a/memory.max", "900\n");
        let bound = |group: &ControlGroup| {
            group.memory_bound(&files).map(|(group, bound)| (group.folder, bound))
        };
        assert_eq!(bound(&group), Some(("/sys/fs/cgroup/a".to_owned(), 900)));
        fixture.write("/sys/fs/cgroup/a/b/memory.high", "800\n");
        assert_eq!(bound(&group), Some(("/sys/fs/cgroup/a/b".to_owned(), 800)));
    }
}
