//! Property: `nudged doctor` finds what is wrong with a host that a test makes wrong (namespaces,
//! control groups, limits, filters, servers), and the command that it names mends it. It ends in
//! time, changes nothing, and says so where it may not look.
//!
//! What needs more rights than the test has says so and passes.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Setup, WELCOME, until};
use crate::io_uring::refuse_io_uring;
use crate::support::mariadb::MariaDb;
use crate::support::redis::Redis;

/// A doctor ends within this, whatever does not answer.
const ENDS_WITHIN: Duration = Duration::from_secs(15);
/// How a doctor is asked, by shells that have its binary as `$NUDGED`.
const ASK: &str = "\"$NUDGED\" doctor --config nudged.toml --json";

/// What a doctor has said.
struct Said(Vec<Value>);

impl Said {
    fn of(output: &str) -> Said {
        let all: Value = serde_json::from_str(output).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        Said(all.as_array().unwrap().clone())
    }

    fn get(&self, name: &str) -> &Value {
        let one = self.0.iter().find(|one| one["name"] == name);
        one.unwrap_or_else(|| panic!("nothing of {name}: {:#?}", self.0))
    }

    fn status(&self, name: &str) -> &str {
        self.get(name)["status"].as_str().unwrap()
    }

    fn mend(&self, name: &str) -> &str {
        self.get(name)["mend"].as_str().unwrap()
    }

    fn assert_ok(&self, names: &[&str]) {
        names.iter().for_each(|name| assert_eq!(self.status(name), "ok", "{}", self.get(name)));
    }
}

/// A shell in the setup's folder.
fn shell(setup: &Setup, script: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", script]).current_dir(setup.path(""));
    command.env("NUDGED", env!("CARGO_BIN_EXE_nudged"));
    command
}

/// What a doctor says at the end of a script.
fn asked(setup: &Setup, script: &str) -> Said {
    let output = shell(setup, script).output().unwrap();
    assert!(output.status.code().is_some_and(|code| code < 2), "{script}: {output:?}");
    Said::of(&String::from_utf8(output.stdout).unwrap())
}

/// Carries out the command of a mend.
fn carry_out(setup: &Setup, mend: &str) {
    let output = shell(setup, mend).output().unwrap();
    assert!(output.status.success(), "{mend}: {output:?}");
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A folder whose node would listen for everybody.
fn setup() -> Setup {
    Setup::new(WELCOME).config("data = \"data\"\n")
}

#[test]
fn a_host_is_looked_at_beside_the_node_that_runs_on_it() {
    let setup = setup();
    let before = setup.run(&["doctor", "--config", "nudged.toml", "--cpus", "0"]);
    assert_eq!(before.code, Some(0), "{before:?}");
    assert!(!setup.data().exists(), "a doctor makes nothing");
    let lines: Vec<&str> = before.stdout.lines().collect();
    let words = ["ok    ", "warn  "];
    let (last, checks) = lines.split_last().unwrap();
    assert!(
        checks.iter().all(|line| words.iter().any(|word| line.starts_with(word))),
        "{lines:#?}"
    );
    assert!(checks[0].starts_with("ok    kernel: Linux "), "{lines:#?}");
    assert!(last.ends_with(" warn, 0 fail"), "{last}");
    assert!(!before.stdout.contains('\x1b'), "no colours but on a terminal");

    let server = setup.start();
    let said = Said::of(&setup.run(&["doctor", "--config", "nudged.toml", "--json"]).stdout);
    assert_eq!(said.get("data_directory")["found"], "data, in which a node runs");
    let found = said.get("open_files")["found"].as_str().unwrap();
    let whose = format!(" (of the node that runs, process {})", server.pid());
    assert!(found.ends_with(&whose), "{found}");
    let found = said.get("disk_sync")["found"].as_str().unwrap();
    assert!(found.starts_with("p50 "), "{found}");
    let names = fs::read_dir(setup.data()).unwrap().map(|name| name.unwrap().file_name());
    assert!(!names.into_iter().any(|name| name.to_string_lossy().contains("doctor")));
    assert!(server.client().decide("ann").token().is_some());
    server.stop();
}

#[test]
fn wrong_usage_and_configuration_are_exit_2() {
    let setup = setup();
    for flags in [["--cpus", "a"], ["--shards", "0"], ["--config", "missing.toml"]] {
        let exit = setup.run(&["doctor", flags[0], flags[1]]);
        assert_eq!((exit.code, exit.stdout.as_str()), (Some(2), ""), "{exit:?}");
    }
    setup.write_config("[redis]\nurl = \"redis://h\"\n");
    assert_eq!(setup.run(&["doctor", "--config", "nudged.toml"]).code, Some(2));
}

/// A network namespace that lasts as long as this.
struct Network(Child);

impl Network {
    /// `None` where this test may not make one.
    fn new() -> Option<Network> {
        let own = fs::read_link("/proc/self/ns/net").ok()?;
        let child =
            Command::new("unshare").args(["-n", "cat"]).stdin(Stdio::piped()).spawn().ok()?;
        let mut network = Network(child);
        let name = format!("/proc/{}/ns/net", network.0.id());
        let is_made = until("a network of its own", || match network.0.try_wait().unwrap() {
            Some(_) => Some(false),
            None => fs::read_link(&name).is_ok_and(|name| name != own).then_some(true),
        });
        is_made.then_some(network)
    }

    /// The script, run within it.
    fn within(&self, script: &str) -> String {
        let quoted = script.replace('\'', r"'\''");
        format!("nsenter --net=/proc/{}/ns/net bash -c '{quoted}'", self.0.id())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_network_that_is_made_wrong_is_mended_by_the_commands_that_are_named() {
    const WRONG: &[(&str, &str)] = &[
        ("net.core.somaxconn", "128"),
        ("net.ipv4.tcp_max_syn_backlog", "256"),
        ("net.ipv4.tcp_syncookies", "0"),
        ("net.ipv4.tcp_abort_on_overflow", "1"),
        ("net.ipv4.ip_local_port_range", "60000 60999"),
        ("net.ipv4.tcp_tw_reuse", "0"),
        ("net.ipv4.tcp_max_tw_buckets", "1000"),
        ("net.ipv4.tcp_migrate_req", "0"),
        ("net.ipv4.tcp_rmem", "4096 8192 65536"),
        ("net.ipv4.tcp_wmem", "4096 8388608 8388608"),
    ];
    let Some(network) = Network::new() else {
        return eprintln!("no network namespace can be made here");
    };
    let setup = setup();
    let wrong = WRONG.iter().map(|(key, value)| format!("sysctl -qw '{key}={value}'\n"));
    carry_out(&setup, &network.within(&format!("set -e\n{}", wrong.collect::<String>())));
    let said = asked(&setup, &network.within(ASK));
    let mended = WRONG.iter().map(|(key, _)| {
        assert_eq!(said.status(key), "warn", "{}", said.get(key));
        format!("{}\n", said.mend(key))
    });
    carry_out(&setup, &network.within(&format!("set -e\n{}", mended.collect::<String>())));
    let reserve = said.get("net.ipv4.ip_local_reserved_ports");
    assert_eq!(reserve["status"], "ok");
    let names: Vec<&str> = WRONG.iter().map(|(key, _)| *key).collect();
    asked(&setup, &network.within(ASK)).assert_ok(&names);
    // A listener among the ports that anybody may be given.
    let ask = format!("{ASK} --listen 0.0.0.0:20000");
    let said = asked(&setup, &network.within(&ask));
    assert_eq!(said.status("net.ipv4.ip_local_reserved_ports"), "warn");
    carry_out(&setup, &network.within(said.mend("net.ipv4.ip_local_reserved_ports")));
    asked(&setup, &network.within(&ask)).assert_ok(&["net.ipv4.ip_local_reserved_ports"]);
}

#[test]
fn limits_of_the_process_are_found_and_raised() {
    let setup = setup();
    let few = "prlimit --pid $$ --nofile=300:300 --memlock=65536:65536 --fsize=1048576:1048576";
    let said = asked(&setup, &format!("{few}; exec {ASK}"));
    let names = ["open_files", "locked_memory", "file_size"];
    names.iter().for_each(|name| assert_eq!(said.status(name), "fail", "{}", said.get(name)));
    let mends: Vec<&str> = names.iter().map(|name| said.mend(name)).collect();
    let raised = format!("{few}\n{}", mends.join("\n"));
    if !shell(&setup, &format!("set -e; {raised}")).output().unwrap().status.success() {
        return eprintln!("hard limits can't be raised here");
    }
    asked(&setup, &format!("{raised}\nexec {ASK}")).assert_ok(&names);
}

#[test]
fn a_filter_that_refuses_io_uring_is_a_fail() {
    let refuse: fn() -> io::Result<()> = || refuse_io_uring(libc::EPERM);
    let setup = setup().before_exec(refuse);
    let exit = setup.run(&["doctor", "--config", "nudged.toml", "--json"]);
    assert_eq!(exit.code, Some(1), "{exit:?}");
    let said = Said::of(&exit.stdout);
    assert_eq!((said.status("kernel"), said.status("io_uring")), ("ok", "fail"));
    assert!(said.mend("io_uring").contains("seccomp"), "{}", said.get("io_uring"));
}

/// A control group of a controller that lasts as long as this.
struct Group(PathBuf);

impl Group {
    /// `None` where this host lets the test make none.
    fn new(controller: &str) -> Option<Group> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = |wanted: &dyn Fn(&str) -> bool| {
            groups.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let (names, path) = (parts.next()?, parts.next()?);
                wanted(names).then(|| path.trim_start_matches('/').to_owned())
            })
        };
        let is_of = |names: &str| names.split(',').any(|name| name == controller);
        let parent = match path(&is_of) {
            Some(path) => Path::new("/sys/fs/cgroup").join(controller).join(path),
            None => Path::new("/sys/fs/cgroup").join(path(&|names| names.is_empty())?),
        };
        let folder = parent.join(format!("doctor-{}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        let group = Group(folder);
        // One of the second version has the files of what its parent hands down alone.
        let has = |name: &str| group.0.join(name).exists();
        let is_there =
            ["memory.limit_in_bytes", "memory.max", "cpuset.cpus", "cpu.cfs_quota_us", "cpu.max"]
                .iter()
                .any(|name| name.starts_with(controller) && has(name));
        is_there.then_some(group)
    }

    fn set(&self, files: &[&str], value: &str) {
        let file = files.iter().map(|file| self.0.join(file)).find(|file| file.exists()).unwrap();
        fs::write(file, value).unwrap();
    }

    fn within(&self, script: &str) -> String {
        format!("echo $$ > {}/cgroup.procs; {script}", self.0.display())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn control_groups_that_give_too_little_are_widened() {
    let setup = setup();
    let mended = |group: &Group, name: &str, status: &str, flags: &str| {
        let ask = group.within(&format!("exec {ASK} {flags}"));
        let said = asked(&setup, &ask);
        assert_eq!(said.status(name), status, "{}", said.get(name));
        carry_out(&setup, said.mend(name));
        let after = asked(&setup, &ask);
        let left = after.0.iter().find(|one| one["name"] == name && one["status"] != "ok");
        assert_eq!(left, None, "after {}", said.mend(name));
    };
    match Group::new("memory") {
        Some(group) => {
            group.set(&["memory.limit_in_bytes", "memory.max"], "200000000");
            mended(&group, "memory", "fail", "");
        }
        None => eprintln!("no group for memory can be made here"),
    }
    let cpus = std::thread::available_parallelism().unwrap().get();
    match Group::new("cpuset").filter(|_| cpus > 1) {
        Some(group) => {
            group.set(&["cpuset.cpus"], "0");
            group.set(&["cpuset.mems"], "0");
            mended(&group, "cpus", "fail", "--cpus 0,1");
        }
        None => eprintln!("no group for CPUs can be made here"),
    }
    match Group::new("cpu") {
        Some(group) => {
            group.set(&["cpu.cfs_quota_us", "cpu.max"], "60000");
            mended(&group, "cpu_quota", "warn", "--cpus 0 --writer-cpu 0");
        }
        None => eprintln!("no group for time of CPUs can be made here"),
    }
}

#[test]
fn servers_that_say_nothing_hold_nobody_up() {
    // Connections to it stand, and nobody takes them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = silent.local_addr().unwrap();
    let setup = setup().config(&format!(
        "data = \"data\"\n[redis]\nurl = \"redis://:canary@{place}\"\n\
         [mysql]\nurl = \"mysql://u:canary@{place}/nudged\"\n"
    ));
    let begun = Instant::now();
    let exit = setup.run(&["doctor", "--config", "nudged.toml", "--json"]);
    assert!(begun.elapsed() < ENDS_WITHIN, "{:?}", begun.elapsed());
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(!exit.stdout.contains("canary"), "{exit:?}");
    let said = Said::of(&exit.stdout);
    assert_eq!((said.status("redis"), said.status("mysql")), ("fail", "fail"));
    said.assert_ok(&["data_directory"]);
}

#[test]
fn a_user_without_rights_is_told_what_could_not_be_looked_at() {
    if !is_root() {
        return eprintln!("only root becomes another user");
    }
    let setup = setup();
    let as_nobody = |script: &str| {
        format!("exec setpriv --reuid=65534 --regid=65534 --clear-groups bash -c '{script}'")
    };
    // Some build trees are their owner's alone.
    let binary = "test -x \"$NUDGED\" && test -r nudged.toml";
    carry_out(&setup, "chmod 755 . && chmod 644 nudged.toml");
    if !shell(&setup, &as_nobody(binary)).status().unwrap().success() {
        return eprintln!("this tree is not readable for others");
    }
    let said = asked(&setup, &as_nobody(ASK));
    assert_eq!(said.status("data_directory"), "fail", "{}", said.get("data_directory"));
    said.assert_ok(&["kernel", "io_uring", "clock_source"]);
}

/// Redis and MariaDB that keep less than a node needs, and a node of both.
struct Servers {
    redis: Redis,
    mariadb: MariaDb,
    setup: Setup,
}

impl Servers {
    fn start() -> Servers {
        let redis = Redis::start_with(&["--maxmemory-policy", "allkeys-lru", "--appendonly", "no"]);
        let mariadb = MariaDb::start_with(&[
            "--max-allowed-packet=1M",
            "--transaction-isolation=READ-UNCOMMITTED",
            "--sql-mode=",
            "--innodb-flush-log-at-trx-commit=2",
            "--default-time-zone=+02:00",
        ]);
        let mysql_url = mariadb.url_of_least_user("nudged");
        let setup = Setup::new(WELCOME).config(&format!(
            "data = \"data\"\nqueue = \"redis\"\nack = \"synced\"\n[redis]\nurl = \"{}\"\n\
             deadline = \"2s\"\n[mysql]\nurl = \"{mysql_url}\"\n",
            redis.url_of_least_user()
        ));
        Servers { redis, mariadb, setup }
    }

    fn said(&self) -> Said {
        asked(&self.setup, ASK)
    }

    /// What a command for the client of MySQL has it do, done as root.
    fn carry_out_sql(&self, mend: &str) {
        let sql = mend.split('"').nth(1).unwrap_or_else(|| panic!("no statement: {mend}"));
        self.mariadb.run_sql(sql);
    }
}

#[test]
fn servers_that_keep_less_than_a_node_needs_are_set_right() {
    let servers = Servers::start();
    let said = servers.said();
    said.assert_ok(&["redis", "redis_version", "redis_role", "redis_rights", "mysql"]);
    let of_redis = ["redis_maxmemory_policy", "redis_persistence"];
    for name in of_redis {
        assert_eq!(said.status(name), "fail", "{}", said.get(name));
        carry_out(&servers.setup, said.mend(name));
    }
    let of_mysql = ["sql_mode", "max_allowed_packet", "isolation", "flush", "time_zone"]
        .map(|name| format!("mysql_{name}"));
    for name in &of_mysql {
        assert_eq!(said.status(name), "warn", "{}", said.get(name));
        servers.carry_out_sql(said.mend(name));
    }
    // The schema is made by the command that is named, with the password of its user.
    assert_eq!(said.status("mysql_schema"), "fail");
    let mend = said.mend("mysql_schema").replace("PASSWORD", "change-me-too");
    let mend = mend.replace("nudged migrate", "\"$NUDGED\" migrate");
    carry_out(&servers.setup, &mend);
    servers.redis.line(&["ACL", "SETUSER", "nudged", "-publish", "resetchannels"]);
    servers.mariadb.run_sql("REVOKE INSERT ON nudged.* FROM 'nudged_least'@'%'");
    let said = servers.said();
    said.assert_ok(&of_redis);
    said.assert_ok(&of_mysql.each_ref().map(String::as_str));
    assert_eq!((said.status("redis_rights"), said.status("mysql_rights")), ("fail", "fail"));
    let found = said.get("redis_rights")["found"].as_str().unwrap();
    assert!(found.contains("+publish") && found.contains("&nudged:*"), "{found}");
    carry_out(&servers.setup, said.mend("redis_rights"));
    servers.carry_out_sql(said.mend("mysql_rights"));
    let said = servers.said();
    let wrong = |one: &&Value| {
        let name = one["name"].as_str().unwrap();
        (name.starts_with("redis") || name.starts_with("mysql")) && one["status"] == "fail"
    };
    assert_eq!(said.0.iter().find(wrong), None);
}
