//! Real servers for tests: a Redis and a MariaDB on free ports in temporary directories, with the
//! settings of `vendor-config`, ended with their owner, and a proxy that spoils the network between
//! them and a node. Shared by the test binaries that need them.

#![allow(dead_code)] // Each binary uses its part.

pub mod given;
pub mod log;
pub mod mariadb;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod redis;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// An address that is free right now.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// A file of `vendor-config`.
pub fn vendor(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor-config").join(path)
}
