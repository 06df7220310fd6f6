//! Property: a node needs no more of its system than it has to. Without /sys, as in a chroot or a
//! small container, it starts, pins its threads and serves; a doctor looks at what is there.

#![allow(unsafe_code)] // Mounts are made by calls that take pointers.

use std::fs;
use std::io;
use std::process::Command;
use std::ptr::null;

use crate::harness::{Server, Setup, WELCOME};

/// Mounts of its own, with nothing in /sys.
fn hide_sys() -> io::Result<()> {
    // SAFETY: texts with their end, and nothing that is kept.
    let outcome = unsafe {
        libc::unshare(libc::CLONE_NEWNS)
            | libc::mount(null(), c"/".as_ptr(), null(), libc::MS_REC | libc::MS_PRIVATE, null())
            | libc::mount(c"none".as_ptr(), c"/sys".as_ptr(), c"tmpfs".as_ptr(), 0, null())
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn may_mount() -> bool {
    let script = "mount -t tmpfs none /sys";
    let tried = Command::new("unshare").args(["--mount", "sh", "-c", script]).output();
    tried.is_ok_and(|output| output.status.success())
}

/// The CPUs of each thread whose name begins so.
fn cpus_of(server: &Server, name: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let texts = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap());
    let line = |text: &str, key: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
        found.unwrap().to_owned()
    };
    let is_it = |text: &String| line(text, "Name").starts_with(name);
    texts.filter(is_it).map(|text| line(&text, "Cpus_allowed_list")).collect()
}

#[test]
fn a_node_lives_without_sys() {
    if !may_mount() {
        return println!("mounts may not be made here; left out");
    }
    let setup = Setup::new(WELCOME).flags(&["--shards", "1"]).before_exec(hide_sys);
    let server = setup.start();
    let token = server.client().decide("ann").token().expect("the first time it is shown");
    server.client().event(&token, "clicked").expect(202);
    let cpus = cpus_of(&server, "journal-");
    assert_eq!(cpus.len(), 2, "{cpus:?}");
    let writer = cpus_of(&server, "sql-writer");
    assert!(cpus.iter().all(|one| one.parse::<u16>().is_ok() && *one == writer[0]), "{cpus:?}");
    let exit = setup.run(&["doctor", "--json"]);
    assert!(matches!(exit.code, Some(0 | 1)), "{exit:?}");
    server.stop();
}
