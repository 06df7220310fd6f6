//! HTTP/1.1, natively and without I/O: bytes in, requests out; replies in, bytes out. Knows no
//! sockets, no routes and nothing of popups. LIFECYCLE.md beside this file tells a connection's
//! life; the rules are those of the reliability page.
//!
//! `head` request heads · `body` sized and chunked bodies · `connection` one connection's state ·
//! `reply` answers as bytes.

pub mod body;
pub mod connection;
pub mod head;
pub mod reply;
