//! Property: where the kernel refuses io_uring, nudged says so, says what mends it, and exits 3. It
//! neither hangs nor goes on with something slower.
//!
//! The refusal is a seccomp filter in the child alone: the sysctl would refuse it to the whole
//! host.

#![allow(unsafe_code)] // The filter is set by prctl, which takes pointers.

use std::io;

use crate::harness::{Exit, Setup, WELCOME};

/// Lets every system call pass but io_uring_setup, which fails with `errno`.
pub fn refuse_io_uring(errno: i32) -> io::Result<()> {
    let code = |bits: u32| u16::try_from(bits).expect("codes of BPF have 16 bits");
    let io_uring_setup =
        u32::try_from(libc::SYS_io_uring_setup).expect("numbers of calls are small");
    let errno = u32::try_from(errno).expect("numbers of errors are small");
    let filter = [
        // The first word of what a filter sees is the number of the call.
        libc::sock_filter {
            code: code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS),
            jt: 0,
            jf: 0,
            k: 0,
        },
        libc::sock_filter {
            code: code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K),
            jt: 0,
            jf: 1,
            k: io_uring_setup,
        },
        libc::sock_filter {
            code: code(libc::BPF_RET | libc::BPF_K),
            jt: 0,
            jf: 0,
            k: libc::SECCOMP_RET_ERRNO | errno,
        },
        libc::sock_filter {
            code: code(libc::BPF_RET | libc::BPF_K),
            jt: 0,
            jf: 0,
            k: libc::SECCOMP_RET_ALLOW,
        },
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_ptr().cast_mut() };
    // SAFETY: both calls read their arguments alone, and the program outlives them.
    let outcome = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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
