//! Property: clients that ask and do not read cost a bounded amount of memory, which goes back to
//! the system when they are gone; one that reads slowly is served to its end, and one that takes
//! nothing is reset in time (docs/guarantees.md#http-rules).

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, socket, sockopt};

use crate::harness::{Server, Setup, until};

/// Bytes of the popup's text: an answer is a little longer.
const TEXT_BYTES: usize = 30_000;

fn large_popup() -> String {
    let text = "x".repeat(TEXT_BYTES);
    format!(
        "[[popup]]\nid = \"banner\"\nafter_shown = \"0s\"\nafter_ignored = \"0s\"\n\
         [popup.content]\ntext = \"{text}\"\n"
    )
}

/// So many requests in a row, all by one user.
fn asks(user: usize, count: usize) -> String {
    format!("GET /v1/decide?user=u{user} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(count)
}

fn metric(server: &Server, name: &str) -> u64 {
    let text = server.operator().get("/metrics").expect(200).body;
    let of_name = |line: &&str| line.split(['{', ' ']).next() == Some(name);
    let value = |line: &str| line.rsplit(' ').next()?.parse::<u64>().ok();
    text.lines().filter(of_name).filter_map(value).sum()
}

/// Memory of the node that is resident, in MiB.
fn resident_mib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
}

fn connect(server: &Server, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.data).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    stream
}

#[test]
fn answers_that_nobody_reads_are_bounded_and_their_memory_goes_back() {
    const CLIENTS: usize = 400;
    const BOUND_MIB: u64 = 8;
    let setup = Setup::new(&large_popup())
        .config("[limits]\nunsent_bytes_max = \"8MiB\"\nwrite_stall_timeout = \"60s\"\n")
        .flags(&["--shards", "2"]);
    let server = setup.start();
    // What the ordinary use of such answers takes is not what is measured.
    for user in 0..64 {
        server.client().decide(&format!("warm-{user}")).expect(200);
    }
    let before = resident_mib(&server);
    // Most, so that the kernel's own buffers are full and all else waits in the node.
    let unread: Vec<TcpStream> =
        (0..CLIENTS).map(|user| connect(&server, &asks(user, 200))).collect();
    until("the largest to be reset", || {
        (metric(&server, "nudged_connections_cut_total") > 0).then_some(())
    });
    let mut most = 0;
    let mut settled = Instant::now();
    let mut cut = 0;
    // Until nobody is reset any more.
    until("an end of that", || {
        most = most.max(resident_mib(&server));
        let now = metric(&server, "nudged_connections_cut_total");
        if now != cut {
            (cut, settled) = (now, Instant::now());
        }
        (settled.elapsed() > Duration::from_millis(300)).then_some(())
    });
    let unsent = metric(&server, "nudged_unsent_bytes");
    assert!(unsent <= BOUND_MIB << 20, "{unsent}");
    assert_eq!(server.lines_with("unsent_full").min(1), 1, "{}", server.said());
    println!("{before} MiB, at most {most} MiB with {CLIENTS} clients, {cut} of them reset");
    assert!(most < before + BOUND_MIB + 70, "{before} MiB, then {most} MiB");
    server.client().get("/health").expect(200);
    drop(unread);
    let after = until("the memory to go back", || {
        let now = resident_mib(&server);
        (metric(&server, "nudged_unsent_bytes") == 0 && now < before + 16).then_some(now)
    });
    println!("{after} MiB when they are gone");
    server.stop();
}

#[test]
fn a_slow_reader_is_served_and_a_dead_one_is_reset() {
    const ANSWERS: usize = 300;
    let setup = Setup::new(&large_popup())
        .config("[limits]\nwrite_stall_timeout = \"400ms\"\n")
        .flags(&["--shards", "1"]);
    let server = setup.start();
    let mut slow = connect(&server, &asks(1, ANSWERS));
    let mut dead = connect(&server, &asks(2, ANSWERS));
    let begun = Instant::now();
    let mut received = 0;
    let mut part = vec![0; 64 * 1_024];
    // 1 MB/s for a while: the kernel's own buffers have megabytes, and it would ask for more only
    // when a third of them is gone, which takes longer than a stall may.
    while received < ANSWERS * TEXT_BYTES {
        let is_slow = begun.elapsed() < Duration::from_millis(2_500);
        let most = if is_slow { 10_000 } else { part.len() };
        let count = slow.read(&mut part[..most]).unwrap();
        assert!(count > 0, "closed after {received} bytes and {:?}", begun.elapsed());
        received += count;
        if is_slow {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    println!("{received} bytes in {:?}", begun.elapsed());
    let reset = loop {
        match dead.read(&mut part) {
            Ok(0) => break false,
            Ok(_) => {}
            Err(error) => break error.kind() == ErrorKind::ConnectionReset,
        }
    };
    assert!(reset, "the one that took nothing was reset");
    server.stop();
}

/// A peer may be too slow for one send to end in the time of a stall, and takes bytes all the same.
#[test]
fn a_peer_that_takes_a_little_now_and_then_is_alive() {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|byte: char| !byte.is_ascii_digit());
    let mut number = || numbers.next().and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    if (number(), number()) < (6, 7) {
        println!("this kernel does not tell what a peer has acknowledged");
        return;
    }
    let setup = Setup::new(&large_popup())
        .config("[limits]\nwrite_stall_timeout = \"1s\"\n")
        .flags(&["--shards", "1"]);
    let server = setup.start();
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    // A small window from the start, so that little is acknowledged that was not read.
    sockopt::set_socket_recv_buffer_size(&socket, 4_096).unwrap();
    rustix::net::connect(&socket, &server.data).unwrap();
    let mut slow = TcpStream::from(socket);
    slow.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    slow.write_all(asks(1, 20).as_bytes()).unwrap();
    let mut part = [0; 1_000];
    let begun = Instant::now();
    let mut received = 0;
    // 10 kB/s: the 32 KiB of one send take three seconds.
    while begun.elapsed() < Duration::from_secs(4) {
        match slow.read(&mut part) {
            Ok(count) => received += count,
            Err(error) => panic!("{error} after {received} bytes and {:?}", begun.elapsed()),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(received > 0 && metric(&server, "nudged_connections_open") == 1, "{received}");
    drop(slow);
    server.stop();
}
