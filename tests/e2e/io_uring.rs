//! Property: where the kernel refuses io_uring, nudged says so, says what mends it, and exits 3. It
//! neither hangs nor goes on with something slower.
//!
//! The refusal is a seccomp filter in the child alone: the sysctl would refuse it to the whole
//! host.

#![allow(unsafe_code)] // The filter is set by prctl, which takes pointers.

use std::io;

use crate::harness::{Exit, Setup, WELCOME};

/// A statement of a filter.
fn statement(code: u32, k: u32) -> libc::sock_filter {
    jump(code, k, 0)
}

/// A statement that skips so many where what it compares is not equal.
fn jump(code: u32, k: u32, jf: u8) -> libc::sock_filter {
    let code = u16::try_from(code).expect("codes of BPF have 16 bits");
    libc::sock_filter { code, jt: 0, jf, k }
}

/// Filters the calls of this process and of those that it becomes.
fn filter_calls(filter: &[libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(filter.len()).expect("filters are short");
    let program = libc::sock_fprog { len, filter: filter.as_ptr().cast_mut() };
    // SAFETY: both calls read their arguments alone, and the program outlives them.
    let outcome = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Loads the word at an offset of what a filter sees.
fn load(offset: u32) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

fn equals(value: i64, jf: u8) -> libc::sock_filter {
    let value = u32::try_from(value).expect("numbers of calls are small");
    jump(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, jf)
}

fn answer(action: u32) -> libc::sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, action)
}

/// Where the number of the call stands, and the lower half of its second argument.
const CALL: u32 = 0;
const SECOND: u32 = 24;

/// Lets every system call pass but io_uring_setup, which fails with `errno`.
pub fn refuse_io_uring(errno: i32) -> io::Result<()> {
    filter_calls(&[
        load(CALL),
        equals(libc::SYS_io_uring_setup, 1),
        answer(libc::SECCOMP_RET_ERRNO | errno.unsigned_abs()),
        answer(libc::SECCOMP_RET_ALLOW),
    ])
}

/// Lets every system call pass but the registration by which rings have devices polled: what a
/// kernel before 6.9 does.
pub fn refuse_device_polling() -> io::Result<()> {
    const REGISTER_NAPI: i64 = 27;
    filter_calls(&[
        load(CALL),
        equals(libc::SYS_io_uring_register, 3),
        load(SECOND),
        equals(REGISTER_NAPI, 1),
        answer(libc::SECCOMP_RET_ERRNO | libc::EINVAL.unsigned_abs()),
        answer(libc::SECCOMP_RET_ALLOW),
    ])
}

fn started(before_exec: fn() -> io::Result<()>) -> Exit {
    let setup = Setup::new(WELCOME).before_exec(before_exec);
    let exit = setup.start_fails(&[]);
    assert!(!setup.data().join("nudged.db").exists(), "nothing is made on a host that is not fit");
    exit
}

#[test]
fn a_policy_that_refuses_is_exit_3_and_named() {
    let exit = started(|| refuse_io_uring(libc::EPERM));
    assert_eq!(exit.code, Some(3), "{exit:?}");
    assert!(exit.stderr.contains("kernel.io_uring_disabled"), "{exit:?}");
    assert!(exit.stderr.contains("seccomp"), "{exit:?}");
    assert!(!exit.stdout.contains("ready"), "{exit:?}");
}

#[test]
fn a_kernel_without_it_is_exit_3_and_named() {
    let exit = started(|| refuse_io_uring(libc::ENOSYS));
    assert_eq!(exit.code, Some(3), "{exit:?}");
    assert!(exit.stderr.contains("io_uring"), "{exit:?}");
    assert!(exit.stderr.to_lowercase().contains("kernel"), "{exit:?}");
}
