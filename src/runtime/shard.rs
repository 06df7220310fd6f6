//! A shard's side of the kernel: one thread with one ring, one place to sleep.
//!
//! `thread` starts it · `driver` is the loop on the `ring` · `slot` what the kernel has under way
//! for a connection · `listener` sockets of clients, `entrance` what they ask of connections,
//! `peers` where accepts put addresses, `secured` what TLS has, `unsent` what the kernel holds of
//! answers · `endpoint` where links lead · `mesh` all lanes between cores, `ports` one shard's.

pub mod driver;
pub mod endpoint;
pub mod entrance;
pub mod listener;
pub mod mesh;
mod overload;
mod peers;
mod ports;
mod ring;
mod secured;
mod slot;
mod sources;
pub mod thread;
pub mod unsent;
