//! How much the kernel takes of what a peer has not taken: little, so that answers wait where they
//! are counted, and a send that waits goes on with each part that a slow peer takes. With its
//! defaults the kernel takes megabytes, and is ready for more only after a third of them is gone.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use nudged_base::limits::KERNEL_UNSENT_BYTES_MAX;

/// Sets the bound for a TCP socket; connections inherit it from their listener.
///
/// # Errors
/// What the kernel says: the descriptor is no TCP socket.
pub fn bound(socket: &impl AsFd) -> io::Result<()> {
    let value = KERNEL_UNSENT_BYTES_MAX;
    let length = libc::socklen_t::try_from(size_of_val(&value)).expect("4 bytes");
    // SAFETY: the value lives until the call returns, and its length is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            (&raw const value).cast(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
