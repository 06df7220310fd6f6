//! A host that a test makes wrong: files of /proc, /sys and /etc in a folder, and what carries a
//! mend out in it.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::Patient;
use super::host::{HostFiles, cpus_of};
use super::report::{Condition, Diagnosis};
use crate::node::arguments::{self, Subcommand};
use crate::node::serve::size;
use nudged_config::{Config, DataListener};
use nudged_runtime::topology::Topology;

/// What stands for commands that are not to touch this host.
const STAND_INS: &str = r#"
sysctl() { printf '%s\n' "${2#*=}" >"$ROOT/proc/sys/$(printf %s "${2%%=*}" | tr . /)"; }
systemctl() { :; }
"#;

/// A host in a folder.
pub(super) struct Fixture {
    folder: TempDir,
    /// The configuration of the node.
    pub(super) config: Config,
    /// Whose limits and groups count.
    pub(super) process: String,
    /// CPUs that the process may use.
    pub(super) allowed: Vec<usize>,
}

impl Fixture {
    /// An empty host of one CPU, whose node listens for everybody.
    pub(super) fn new() -> Fixture {
        let listen = vec![DataListener::plain("0.0.0.0:8080".parse().unwrap())];
        let config = Config { listen, ..Config::default() };
        let folder = tempfile::tempdir().unwrap();
        Fixture { folder, config, process: "self".to_owned(), allowed: vec![0] }
    }

    /// The same with these CPUs, all of them online and allowed.
    pub(super) fn with_cpus(cpus: &str) -> Fixture {
        let fixture = Fixture { allowed: cpus_of(cpus).unwrap(), ..Fixture::new() };
        fixture.write("/sys/devices/system/cpu/online", cpus);
        fixture.write("/sys/devices/system/cpu/present", cpus);
        fixture
    }

    pub(super) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file, with its folders.
    pub(super) fn write(&self, path: &str, text: &str) {
        let path = HostFiles::below(self.root()).path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn remove(&self, path: &str) {
        fs::remove_file(HostFiles::below(self.root()).path(path)).unwrap();
    }

    /// A link to a folder of this name, as /sys has them for devices.
    pub(super) fn link(&self, path: &str, target: &str) {
        let path = HostFiles::below(self.root()).path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    /// The host as the checks are given it.
    pub(super) fn patient(&self) -> Patient {
        let topology = Topology::plan(&size::request(&self.config), &self.allowed).unwrap();
        Patient {
            files: HostFiles::below(self.root()),
            config: self.config.clone(),
            topology,
            allowed: self.allowed.clone(),
            is_this_node: false,
            process: self.process.clone(),
            clock: None,
        }
    }

    /// What a check says under a name.
    pub(super) fn said(&self, name: &str, check: fn(&Patient) -> Vec<Diagnosis>) -> Diagnosis {
        let all = check(&self.patient());
        let said = all.iter().find(|one| one.name == name);
        said.unwrap_or_else(|| panic!("nothing of {name}: {all:#?}")).clone()
    }

    /// Asserts that a check is not content, and is after its command; gives what it had said.
    pub(super) fn mended(&self, name: &str, check: fn(&Patient) -> Vec<Diagnosis>) -> Diagnosis {
        let said = self.said(name, check);
        assert_ne!(said.status, Condition::Ok, "{said:?}");
        self.carry_out(&said.mend);
        let after = self.said(name, check);
        assert_eq!(after.status, Condition::Ok, "after {}: {after:?}", said.mend);
        said
    }

    /// As [`Fixture::mended`], of a mend that is other flags of `nudged serve`.
    pub(super) fn mended_by_flags(
        &mut self,
        name: &str,
        check: fn(&Patient) -> Vec<Diagnosis>,
    ) -> Diagnosis {
        let said = self.said(name, check);
        assert_ne!(said.status, Condition::Ok, "{said:?}");
        let command = said.mend.split("nudged serve").nth(1).expect("flags mend it");
        let command = command.split('#').next().unwrap().split_whitespace();
        let line = arguments::parse(["nudged", "serve"].into_iter().chain(command)).unwrap();
        let Subcommand::Serve(arguments) = line.command else { panic!("{}", said.mend) };
        let loaded = nudged_config::load(None, &[], &arguments.flags()).unwrap();
        let given = loaded.config;
        (self.config.cpus, self.config.writer_cpu) = (given.cpus, given.writer_cpu);
        (self.config.shards, self.config.pin) = (given.shards, given.pin);
        let after = self.said(name, check);
        assert_eq!(after.status, Condition::Ok, "after {}: {after:?}", said.mend);
        said
    }

    /// Runs a command of a mend in this host.
    pub(super) fn carry_out(&self, mend: &str) {
        let mut script = mend.to_owned();
        for folder in ["proc", "sys", "etc", "run"] {
            for before in [" ", ">", "("] {
                let path = format!("{before}/{folder}/");
                script = script.replace(
                    &path,
                    &format!("{before}{}{}", self.root().display(), &path[before.len()..]),
                );
            }
        }
        let output = Command::new("bash")
            .args(["-c", &format!("set -e{STAND_INS}{script}")])
            .env("ROOT", self.root())
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
    }
}
