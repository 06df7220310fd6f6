//! Property: under the filters of system calls that are shipped a node does all that it does. One
//! is the unit's (`vendor-config/systemd/nudged.service`), by the groups of the systemd that is
//! here; the other is the profile for containers (`vendor-config/seccomp/nudged.json`).
//!
//! The filters are set in the child alone, as systemd and a container's engine do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use rustix::process::Signal;
use seccompiler::{BpfProgram, TargetArch, apply_filter, compile_from_json};
use serde_json::{Value, json};

use crate::harness::{Server, Setup, WELCOME, until};
use crate::support::vendor;

/// Filters in the order in which they are set: the one that would forbid the next comes last.
type Filters = Vec<BpfProgram>;

/// EPERM.
const REFUSED: u64 = 1;
/// Any thread's filter; seccompiler wants a name.
const NAME: &str = "node";

fn arch() -> TargetArch {
    std::env::consts::ARCH.try_into().expect("a kind of machine that seccompiler knows")
}

/// A filter that answers `matched` to what the rules list, and `else` to all other calls.
fn compile(rules: &[Value], matched: Value, otherwise: Value) -> Option<BpfProgram> {
    let filter = json!({NAME: {
        "mismatch_action": otherwise, "match_action": matched, "filter": rules,
    }});
    compile_from_json(filter.to_string().as_bytes(), arch()).ok()?.remove(NAME)
}

/// Whether this machine has a call of this name; lists name those of others too.
fn is_call(name: &str) -> bool {
    compile(&[json!({"syscall": name})], json!("allow"), json!({"errno": REFUSED})).is_some()
}

fn allow_only(rules: &[Value]) -> BpfProgram {
    compile(rules, json!("allow"), json!({"errno": REFUSED})).expect("a filter")
}

/// systemd's groups, each with its calls, those of groups within it included.
fn groups() -> Option<BTreeMap<String, BTreeSet<String>>> {
    let output = Command::new("systemd-analyze").arg("syscall-filter").output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    let mut listed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut group = "";
    for line in text.lines() {
        let word = line.trim();
        if line.starts_with('@') {
            group = word;
        } else if !line.starts_with(' ') {
            group = "";
        } else if !group.is_empty() && !word.starts_with('#') {
            listed.entry(group).or_default().push(word);
        }
    }
    fn gather(listed: &BTreeMap<&str, Vec<&str>>, name: &str, into: &mut BTreeSet<String>) {
        for word in listed.get(name).into_iter().flatten() {
            match word.starts_with('@') {
                true => gather(listed, word, into),
                false => drop(into.insert((*word).to_owned())),
            }
        }
    }
    let whole = |name: &&str| {
        let mut calls = BTreeSet::new();
        gather(&listed, name, &mut calls);
        ((*name).to_owned(), calls)
    };
    Some(listed.keys().map(whole).collect())
}

/// What the unit's lines leave, in their order: the first one says that it is a list of what is
/// allowed, those with ~ take away.
fn allowed_by_unit(groups: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let unit = fs::read_to_string(vendor("systemd/nudged.service")).unwrap();
    // What is always allowed, whatever is listed.
    let mut allowed = groups["@default"].clone();
    let lines = unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter="));
    for line in lines {
        for word in line.trim_start_matches('~').split_whitespace() {
            let one = BTreeSet::from([word.to_owned()]);
            let calls = groups.get(word).unwrap_or(&one);
            assert!(!word.starts_with('@') || groups.contains_key(word), "no group {word}");
            match line.starts_with('~') {
                true => allowed.retain(|call| !calls.contains(call)),
                false => allowed.extend(calls.iter().cloned()),
            }
        }
    }
    allowed
}

fn apply(filters: &OnceLock<Filters>) -> io::Result<()> {
    let filters = filters.get().expect("compiled before the start");
    filters.iter().try_for_each(|filter| apply_filter(filter)).map_err(io::Error::other)
}

/// The priority of a thread: 0, or more where it gives way.
fn nice_of(server: &Server, thread: &str) -> i32 {
    let folder = format!("/proc/{}/task", server.pid());
    let mut tasks = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_it = |task: &PathBuf| {
        fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == thread)
    };
    let stat = fs::read_to_string(tasks.find(is_it).expect("it runs").join("stat")).unwrap();
    // Behind the name in brackets its state is the third field; the priority is the nineteenth.
    let fields = stat.rsplit_once(')').unwrap().1;
    fields.split_whitespace().nth(16).unwrap().parse().unwrap()
}

/// All that a node does in its life: a start from nothing, decisions, events, operators, a reload,
/// a stop, and a start from what is there.
fn live(before_exec: fn() -> io::Result<()>) {
    let setup = Setup::new(WELCOME).flags(&["--shards", "2"]).before_exec(before_exec);
    for user in ["ann", "bob"] {
        let server = setup.start();
        let mut client = server.client();
        let token = client.decide(user).token().expect("the first time it is shown");
        client.event(&token, "clicked").expect(202);
        let mut operator = server.operator();
        operator.ask("POST", "/v1/popups/welcome/pause", "").expect(200);
        operator.ask("POST", "/v1/popups/welcome/resume", "").expect(200);
        operator.get("/metrics").expect(200);
        setup.write_popups(&WELCOME.replace("Welcome", user));
        server.signal(Signal::HUP);
        until("the reload", || {
            let text = server.operator().get("/v1/popups/welcome").expect(200).body;
            text.contains(&format!("\"{user}\"")).then_some(())
        });
        assert!(!server.said().contains("not permitted"), "{}", server.said());
        assert_eq!(nice_of(&server, "sql-writer") - nice_of(&server, "shard-0"), 5);
        let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        assert!(status.lines().any(|line| line == "Seccomp:\t2"), "{status}");
        server.stop();
    }
}

static OF_UNIT: OnceLock<Filters> = OnceLock::new();

#[test]
fn a_node_lives_under_the_filter_of_the_unit() {
    let Some(groups) = groups() else {
        return println!("systemd-analyze is not installed; left out");
    };
    let allowed = allowed_by_unit(&groups);
    for call in ["io_uring_setup", "io_uring_enter", "io_uring_register", "sched_setaffinity"] {
        assert!(allowed.contains(call), "{call}");
    }
    for call in ["keyctl", "mount", "ptrace", "bpf", "reboot", "kexec_load", "chroot"] {
        assert!(!allowed.contains(call), "{call}");
    }
    let names = allowed.iter().filter(|name| is_call(name));
    let rules: Vec<Value> = names.map(|name| json!({"syscall": name})).collect();
    assert!(rules.len() > 200, "{} calls", rules.len());
    OF_UNIT.set(vec![allow_only(&rules)]).expect("set once");
    live(|| apply(&OF_UNIT));
}

/// The rules of one entry of a profile.
fn rules_of(entry: &Value) -> Vec<Value> {
    let names = entry["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    let arguments: Vec<Value> =
        entry["args"].as_array().into_iter().flatten().map(condition).collect();
    names
        .filter(|name| is_call(name))
        .map(|name| match arguments.is_empty() {
            true => json!({"syscall": name}),
            false => json!({"syscall": name, "args": arguments}),
        })
        .collect()
}

/// One condition: `valueTwo` is what is compared once `value` has masked the argument.
fn condition(argument: &Value) -> Value {
    let (operator, value) = match argument["op"].as_str().unwrap() {
        "SCMP_CMP_EQ" => (json!("eq"), &argument["value"]),
        "SCMP_CMP_MASKED_EQ" => (json!({"masked_eq": argument["value"]}), &argument["valueTwo"]),
        other => panic!("{other} is not used"),
    };
    json!({"index": argument["index"], "type": "qword", "op": operator, "val": value})
}

static OF_PROFILE: OnceLock<Filters> = OnceLock::new();

#[test]
fn a_node_lives_in_a_container_with_the_profile() {
    let text = fs::read_to_string(vendor("seccomp/nudged.json")).unwrap();
    let profile: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    assert_eq!(profile["defaultErrnoRet"], REFUSED);
    let (mut filters, mut allowed) = (Filters::new(), Vec::new());
    for entry in profile["syscalls"].as_array().unwrap() {
        if entry["action"] == "SCMP_ACT_ALLOW" {
            allowed.extend(rules_of(entry));
            continue;
        }
        assert_eq!(entry["action"], "SCMP_ACT_ERRNO");
        let errno = json!({"errno": entry["errnoRet"]});
        filters.push(compile(&rules_of(entry), errno, json!("allow")).expect("a filter"));
        // Of two filters that refuse, the one set last says with what.
        allowed.extend(rules_of(entry));
    }
    assert!(allowed.len() > 200, "{} calls", allowed.len());
    filters.push(allow_only(&allowed));
    OF_PROFILE.set(filters).expect("set once");
    live(|| apply(&OF_PROFILE));
}

static WITHOUT_PRIORITY: OnceLock<Filters> = OnceLock::new();

#[test]
fn a_node_that_may_lower_no_priority_says_so_once_and_lives() {
    let rules = [json!({"syscall": "setpriority"})];
    let filter = compile(&rules, json!({"errno": REFUSED}), json!("allow")).expect("a filter");
    WITHOUT_PRIORITY.set(vec![filter]).expect("set once");
    let setup = Setup::new(WELCOME).before_exec(|| apply(&WITHOUT_PRIORITY));
    let server = setup.start();
    server.await_logged("priority_refused");
    let token = server.client().decide("ann").token().expect("the first time it is shown");
    server.client().event(&token, "clicked").expect(202);
    assert_eq!(nice_of(&server, "sql-writer"), nice_of(&server, "shard-0"));
    assert_eq!(server.logged("priority_refused").len(), 1, "{}", server.said());
    server.stop();
}
