//! TLS without I/O: ciphertext in, plaintext out, and back; rustls does the cryptography. Knows no
//! sockets and nothing of HTTP but its name in ALPN. Whoever drives it bounds how many handshakes
//! are under way, and gives each its time.
//!
//! `connection` one connection's state · `identity` certificate and key, and what clients are
//! offered · `validity` when a certificate holds · `stream` a connection that blocks, for
//! operators · `client` the other end, for commands that ask a node.
//!
//! rustls draws randomness and reads the wall clock by itself (for the age of tickets), so this is
//! no part of the simulation. Limits: those of TLS in `base::limits`.

mod client;
mod connection;
mod identity;
mod stream;
#[cfg(test)]
mod tests;
mod validity;

pub use client::{TlsClientStream, TlsConnectError, TlsTrust};
pub use connection::{TlsConnection, TlsFailure};
pub use identity::{IdentityRefusal, OldestVersion, SharedIdentity, TlsIdentity};
pub use stream::TlsStream;
