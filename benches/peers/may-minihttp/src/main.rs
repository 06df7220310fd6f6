//! Peer: may_minihttp, the leanest HTTP server of Rust, with a constant answer. No job at all: no
//! user, no state, no decision, nothing recorded.
//!
//! Does: keep-alive, pipelining, heads that come in pieces; coroutines on epoll, one worker.
//! Does not: read a query, time out, refuse what is malformed in all ways that RFC 9112 names.
//!
//!     may-minihttp [ADDR:PORT]

use std::error::Error;
use std::io;
use std::net::TcpListener;

use may_minihttp::{HttpServer, HttpService, Request, Response};

/// As long as that of the other peers: 180 bytes.
const BODY: &str = "{\"decision\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\
\"popup\":{\"id\":\"welcome\",\"version\":1,\"variant\":null,\"content\":{\"title\":\"Welcome, stranger\"}\
},\"expires_in\":30}\n ";

#[derive(Clone)]
struct Constant;

impl HttpService for Constant {
    fn call(&mut self, _: Request, answer: &mut Response) -> io::Result<()> {
        answer.header("Content-Type: application/json");
        answer.body(BODY);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    may::config().set_workers(1);
    // It binds by itself and tells nobody the port: one is picked here, and free again for it.
    let bound = TcpListener::bind(address)?.local_addr()?;
    let server = HttpServer(Constant).start(bound)?;
    println!("listening data {bound}\nready");
    server.join().map_err(|_| "the server panicked")?;
    Ok(())
}
