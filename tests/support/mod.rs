//! Real servers for tests: a Redis and a MariaDB on free ports in temporary directories, with the
//! settings of `vendor-config`, ended with their owner, and a proxy that spoils the network between
//! them and a node. Shared by the test binaries that need them.

#![allow(dead_code)] // Each binary uses its part.

pub mod mariadb;
pub mod proxy;
pub mod redis;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

/// A server answers within this after its start.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A port that was free may be taken before the server binds it: so many are tried.
const PORT_TRIES: usize = 8;

/// An address that is free right now.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// Waits until the server takes connections; false where it has ended or takes too long.
fn is_up(address: SocketAddr, child: &mut Child) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < START_TIMEOUT {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if TcpStream::connect(address).is_ok() {
            return true;
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    false
}

/// Sends a signal to a process that was started here.
fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

/// A file of `vendor-config`.
pub fn vendor(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor-config").join(path)
}
