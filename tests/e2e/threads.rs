//! Property: a node is whole or not there. A thread that it needs and that ends, ends the process:
//! one error that names the thread, exit code 70.
//!
//! The thread is ended from outside, by a debugger's means: it is made to call `exit` for itself
//! alone. It can do nothing about that, and notices nothing.

#![cfg(target_arch = "x86_64")]
#![allow(unsafe_code)] // A debugger's calls take pointers and numbers.

use std::fs;
use std::time::Duration;

use crate::cluster::{Cluster, Plan};
use crate::harness::{Server, Setup, WELCOME, until};

/// A node that misses a thread has ended within this.
const NOTICED: Duration = Duration::from_secs(3);

/// The instruction that calls the kernel, as it lies in memory.
const SYSCALL: i64 = 0x050f;

/// The threads that a node needs, by name, the older one first where two share theirs.
fn threads(server: &Server) -> Vec<(String, i32)> {
    let folder = format!("/proc/{}/task", server.pid());
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| {
        let name = fs::read_to_string(entry.path().join("comm")).unwrap();
        // The executor of the journal numbers its threads, by a descriptor.
        let name = match name.trim() {
            name if name.starts_with("journal-") => "journal",
            name => name,
        };
        (name.to_owned(), entry.file_name().to_str().unwrap().parse().unwrap())
    });
    // The first thread waits for the others; the watch looks at them; the kernel's own come and go.
    let is_needed = |name: &str| name != "nudged" && name != "watch" && !name.starts_with("iou-");
    let mut needed: Vec<_> = named.filter(|(name, _)| is_needed(name)).collect();
    needed.sort();
    needed
}

/// Has the thread leave: stopped within a system call, it makes another one instead.
fn end_thread(thread: i32) {
    until("the thread to be in a call of the kernel", || is_ended(thread).then_some(()));
}

/// Ends it where it is in a call; where it computes, there is nothing to call again.
fn is_ended(thread: i32) -> bool {
    let null = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: the thread is a child's; the registers outlive the calls.
    unsafe {
        assert_eq!(libc::ptrace(libc::PTRACE_ATTACH, thread, null, null), 0, "allowed for a child");
        let mut status = 0;
        assert_eq!(libc::waitpid(thread, &raw mut status, libc::__WALL), thread);
        let mut registers: libc::user_regs_struct = std::mem::zeroed();
        assert_eq!(libc::ptrace(libc::PTRACE_GETREGS, thread, null, &raw mut registers), 0);
        // Behind the instruction that called the kernel, which has two bytes. It is not called
        // again on behalf of the one that was interrupted.
        registers.rip -= 2;
        let instruction = libc::ptrace(libc::PTRACE_PEEKTEXT, thread, registers.rip, null);
        let is_in_call = instruction & 0xffff == SYSCALL;
        if is_in_call {
            registers.orig_rax = u64::MAX;
            registers.rax = u64::try_from(libc::SYS_exit).unwrap();
            registers.rdi = 0;
            assert_eq!(libc::ptrace(libc::PTRACE_SETREGS, thread, null, &raw mut registers), 0);
        }
        assert_eq!(libc::ptrace(libc::PTRACE_DETACH, thread, null, null), 0);
        is_in_call
    }
}

/// What a node without Redis has, sorted. The second one of the journal does for its executor what
/// rings can't.
const NEEDED: [&str; 12] = [
    "admin",
    "catalog-watch",
    "journal",
    "journal",
    "log",
    "overrides-file",
    "overrides-sql",
    "reloads",
    "shard-0",
    "signals",
    "sql-reader",
    "sql-writer",
];

/// Ends a thread, and so the node.
fn end_with(mut server: Server, (name, thread): (&str, i32)) {
    server.allow("thread_ended");
    end_thread(thread);
    assert_eq!(server.wait(NOTICED), Some(70), "{name}: {}", server.said());
    assert_eq!(server.lines_with("thread_ended"), 1, "{name}: {}", server.said());
    assert_eq!(server.lines_with("\"level\":\"error\""), 1, "{name}: {}", server.said());
    assert_eq!(server.lines_with(&format!("\"thread\":\"{name}")), 1, "{}", server.said());
}

/// Those of them that are ended, each with a node of its own: the rest is entered in the same table
/// by the same call.
const ENDED: [usize; 7] = [0, 2, 3, 4, 5, 8, 11];

#[test]
fn a_thread_that_ends_ends_the_node_with_one_error() {
    let setup = Setup::new(WELCOME).flags(&["--shards", "1"]);
    for (index, name) in ENDED.map(|index| (index, NEEDED[index])) {
        let server = setup.start();
        // One that has just been started still has the name of the one that started it.
        let all = until("all threads to be there", || {
            let all = threads(&server);
            all.iter().map(|(name, _)| name.as_str()).eq(NEEDED).then_some(all)
        });
        end_with(server, (name, all[index].1));
    }
}

#[test]
fn those_that_redis_asks_for_are_needed_as_well() {
    let cluster = Cluster::new(Plan { settings: "queue = \"redis\"", ..Plan::new(WELCOME) });
    let setup = cluster.node();
    for name in ["keeper", "list-drain-0"] {
        let server = setup.start();
        let thread = until("the thread to be there", || {
            let all = threads(&server);
            all.iter().find(|(found, _)| found == name).map(|(_, thread)| *thread)
        });
        end_with(server, (name, thread));
    }
}
