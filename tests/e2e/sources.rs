//! Property: one source has as many connections as it may, on all shards together and whoever
//! brings them, and no other source notices.

use std::net::SocketAddr;

use crate::client::{Client, request};
use crate::harness::{Server, Setup, WELCOME, until};
use crate::support::prometheus::Metrics;

const CONFIG: &str = "[proxy_protocol]\nnetworks = [\"127.0.0.0/8\"]\n\
                      [limits]\nconnections_per_source = 3\n";

fn refused(server: &Server) -> f64 {
    let text = server.operator().get("/metrics").expect(200).body;
    Metrics::read(&text).sum("nudged_source_connections_refused_total")
}

/// A connection that says these bytes and asks for health; `None` where it is reset, which may come
/// at any of these steps.
fn admitted(address: SocketAddr, header: &str) -> Option<Client> {
    let mut client = Client::try_connect(address).ok()?;
    client.try_send(&[header.as_bytes(), &request("GET", "/health", "")].concat()).ok()?;
    client.try_answer().ok()?.expect(200);
    Some(client)
}

/// One that a balancer brings for an address.
fn brought(server: &Server, address: &str) -> Option<Client> {
    admitted(server.others[0], &format!("PROXY TCP4 {address} 10.0.0.1 51000 443\r\n"))
}

#[test]
fn a_source_has_its_connections_and_no_more() {
    let flags = ["--shards", "2", "--no-pin", "--listen", "127.0.0.1:0 proxy_protocol"];
    let server = Setup::new(WELCOME).config(CONFIG).flags(&flags).start();
    let mut own: Vec<Client> =
        (0..3).map(|_| admitted(server.data, "").expect("it has room")).collect();
    assert!(admitted(server.data, "").is_none());
    assert_eq!(refused(&server), 1.0);
    assert_eq!(server.await_logged("source_full").text("source"), "127.0.0.1");

    // A balancer's connections are its clients'.
    let mut brought_ones: Vec<Client> =
        (0..3).map(|_| brought(&server, "192.0.2.7").expect("it has room")).collect();
    assert!(brought(&server, "192.0.2.7").is_none());
    assert!(brought(&server, "192.0.2.8").is_some());
    assert_eq!(refused(&server), 2.0);
    drop(brought_ones.pop());
    until("room for another", || brought(&server, "192.0.2.7"));
    drop(own.pop());
    until("room for another", || admitted(server.data, ""));
    server.stop();
}
