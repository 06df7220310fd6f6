//! Property: the tests' own proxy does to bytes what it is told, and loses none of a connection
//! that goes on.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::support::proxy::{Proxy, Way};

/// Long enough to tell a delay from none, short enough to wait for.
const DELAY: Duration = Duration::from_millis(60);
/// What should never come is awaited this long.
const NEVER: Duration = Duration::from_millis(100);

/// An echo server behind a proxy, and a connection through both.
fn echo() -> (Proxy, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut bytes = [0; 1_024];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&bytes[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let stream = connect(&proxy);
    (proxy, stream)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn exchange(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, text);
}

/// Whether the connection has ended, however.
fn has_ended(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn it_passes_and_counts() {
    let (proxy, mut stream) = echo();
    exchange(&mut stream, b"hello");
    assert_eq!((proxy.accepted(), proxy.open()), (1, 1));
    assert_eq!((proxy.passed(Way::ToServer), proxy.passed(Way::ToClient)), (5, 5));
}

#[test]
fn a_delay_is_latency_and_not_a_rate() {
    let (proxy, mut stream) = echo();
    proxy.delay(Way::ToClient, DELAY);
    let begun = Instant::now();
    exchange(&mut stream, &[7; 64 * 1_024]);
    assert!(begun.elapsed() >= DELAY);
    // At 1,024 bytes an echo a rate would be 64 delays.
    assert!(begun.elapsed() < 20 * DELAY, "{:?}", begun.elapsed());
}

#[test]
fn what_is_held_arrives_after_healing() {
    let (proxy, mut stream) = echo();
    exchange(&mut stream, b"before");
    proxy.hold(Way::ToClient);
    stream.write_all(b"held").unwrap();
    stream.set_read_timeout(Some(NEVER)).unwrap();
    let mut back = [0; 4];
    assert_eq!(stream.read(&mut back).unwrap_err().kind(), ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    proxy.heal();
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"held");
    proxy.black_hole();
    stream.write_all(b"more").unwrap();
    proxy.heal();
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"more");
}

#[test]
fn a_cut_ends_both_sides() {
    let (proxy, mut stream) = echo();
    exchange(&mut stream, b"before");
    assert_eq!(proxy.cut(), 1);
    assert!(has_ended(&mut stream));
    exchange(&mut connect(&proxy), b"after");
}

#[test]
fn a_cut_in_the_midst_lets_exactly_so_many_bytes_pass() {
    let (proxy, mut stream) = echo();
    exchange(&mut stream, b"before");
    proxy.cut_after(Way::ToClient, 3);
    stream.write_all(b"abcdef").unwrap();
    let mut back = [0; 3];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"abc");
    assert!(has_ended(&mut stream));
    exchange(&mut connect(&proxy), b"after");
}

#[test]
fn one_direction_ends_and_the_other_goes_on() {
    let (proxy, mut stream) = echo();
    exchange(&mut stream, b"before");
    proxy.end(Way::ToClient);
    assert!(has_ended(&mut stream));
    let passed = proxy.passed(Way::ToServer);
    stream.write_all(b"still").unwrap();
    let begun = Instant::now();
    while proxy.passed(Way::ToServer) < passed + 5 {
        assert!(begun.elapsed() < Duration::from_secs(10));
        std::thread::yield_now();
    }
}

#[test]
fn refused_is_closed_and_what_stands_goes_on() {
    let (proxy, mut stream) = echo();
    exchange(&mut stream, b"before");
    proxy.refuse();
    assert!(has_ended(&mut connect(&proxy)));
    exchange(&mut stream, b"still");
    proxy.heal();
    exchange(&mut connect(&proxy), b"after");
}
