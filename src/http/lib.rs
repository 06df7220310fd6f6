//! HTTP/1.1, natively and without I/O: bytes in, requests out; replies in, bytes out. Knows no
//! sockets, no routes and nothing of popups. LIFECYCLE.md beside this file tells a connection's
//! life; the rules are those of docs/guarantees.md#http-rules.
//!
//! `scan` bytes and line ends · `line`, `method`, `fields`, `authority` parts of a head · `kept`
//! the fields that matter · `known` those that came last · `head` request heads · `whole` those
//! of one piece · `body` chunked bodies · `refusal` what is refused and how · `reply` answers as
//! bytes · `choice` which form of a file · `pool` buffers for reuse · `slots` the order of
//! answers · `early` answers before there is a whole request · `connection` one connection's
//! state · `proxy` what balancers say before a connection's first byte.

pub mod authority;
mod body;
pub mod choice;
pub mod connection;
pub mod early;
mod fields;
pub mod head;
mod kept;
pub mod known;
mod line;
mod method;
pub mod pool;
pub mod proxy;
pub mod refusal;
pub mod reply;
pub mod scan;
mod slots;
#[cfg(test)]
mod tests;
mod whole;
