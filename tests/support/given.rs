//! A service manager, as far as a process that it starts can tell: descriptors from 3 on, and the
//! variables that name them.

#![allow(unsafe_code)] // Numbers of descriptors are for a child.

use std::os::fd::{BorrowedFd, RawFd};
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};

/// What a service manager passes: descriptors, in the order of their names.
pub struct Given<'a> {
    /// The descriptors.
    pub sockets: &'a [RawFd],
    /// Their names, with colons between them.
    pub names: &'a str,
}

impl Given<'_> {
    /// A shell puts the descriptors where they belong and its own number where it is looked for:
    /// it is the process that becomes nudged.
    pub fn command(&self, program: &str) -> Command {
        let count = self.sockets.len();
        // Out of the way first: a descriptor may lie where another belongs.
        let away = self.sockets.iter().enumerate().map(|(at, fd)| format!("{}<&{fd} ", 50 + at));
        let home = (0..count).map(|at| format!("{}<&{} ", 3 + at, 50 + at));
        let (away, home): (String, String) = (away.collect(), home.collect());
        let script = format!(
            "exec {away}; exec {home}; LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={} \
             exec {} \"$@\"",
            self.names, program,
        );
        for socket in self.sockets {
            // SAFETY: the caller's socket is open as long as the command is made and run.
            let socket = unsafe { BorrowedFd::borrow_raw(*socket) };
            fcntl_setfd(socket, FdFlags::empty()).unwrap();
        }
        let mut command = Command::new("/bin/bash");
        command.env_clear().args(["-c", &script, "nudged"]);
        command
    }
}
