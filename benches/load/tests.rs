//! Property: whatever a server does, each request that was due is counted once, and what stood
//! still shows in every request that was due meanwhile.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use clap::Parser;

use crate::arguments::Arguments;
use crate::report::Report;
use crate::run;

const SHOWN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"decision\":\"abcdef\"}";
const TAKEN: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

/// Runs a load against a server that answers by `answer`, which gets the number of the request and
/// what it says; `None` closes the connection.
fn against(
    arguments: &[&str],
    answer: impl Fn(u32, &str) -> Option<&'static [u8]> + Sync,
) -> Report {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (is_over, count) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while let Ok((stream, _)) = listener.accept()
                && !is_over.load(Ordering::SeqCst)
            {
                let (answer, count) = (&answer, &count);
                scope.spawn(move || serve(stream, count, answer));
            }
        });
        let report = run(&arguments_of(address, arguments)).unwrap();
        is_over.store(true, Ordering::SeqCst);
        // The one that accepts looks again.
        TcpStream::connect(address).unwrap();
        report
    })
}

fn arguments_of(address: SocketAddr, more: &[&str]) -> Arguments {
    let address = address.to_string();
    let first = ["open-loop", &address, "--seconds", "1", "--warm-up", "0"];
    Arguments::parse_from(first.iter().chain(more))
}

fn serve(
    mut stream: TcpStream,
    count: &AtomicU32,
    answer: &impl Fn(u32, &str) -> Option<&'static [u8]>,
) {
    let mut input = [0; 4_096];
    while let Ok(received @ 1..) = stream.read(&mut input) {
        let text = std::str::from_utf8(&input[..received]).unwrap();
        let Some(bytes) = answer(count.fetch_add(1, Ordering::SeqCst), text) else { return };
        if stream.write_all(bytes).is_err() {
            return;
        }
    }
}

#[test]
fn all_that_is_due_is_sent_and_each_show_has_its_event() {
    let job =
        ["--job", "show-and-event", "--shows-percent", "50", "--passes", "2", "--users", "10"];
    let more = ["--rate", "200", "--connections", "3"];
    let report = against(&[&job[..], &more].concat(), |_, text| {
        Some(if text.starts_with("POST /v1/events ") { TAKEN } else { SHOWN })
    });
    let figures = &report.figures;
    assert!(!report.has_errors(), "{figures:?}");
    // What prepares is not counted.
    assert_eq!((figures.decisions.count(), figures.events.count()), (200, 100));
    assert_eq!((figures.sent, figures.answered, figures.shown), (300, 300, 200));
    assert!(figures.cpu_share > 0.0);
}

/// A server that is asked once a millisecond over one connection and stands still for 200 ms: of
/// 1,000 requests 200 are late by up to as much. Who counts from when a request left sees one.
#[test]
fn a_server_that_stands_still_makes_all_late_that_was_due_meanwhile() {
    let more = ["--rate", "1000", "--connections", "1"];
    let report = against(&more, |number, _| {
        if number == 300 {
            std::thread::sleep(Duration::from_millis(200));
        }
        Some(SHOWN)
    });
    let figures = &report.figures;
    assert_eq!((figures.answered, report.has_errors()), (1_000, false));
    let p90_us = figures.decisions.quantile_us(900_000);
    assert!(p90_us > 90_000.0 && figures.decisions.max_us() >= 199_000.0, "{p90_us}");
}

#[test]
fn what_goes_wrong_is_counted_by_its_kind() {
    const REFUSED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    let more = ["--rate", "100", "--connections", "4", "--timeout", "1"];
    let report = against(&more, |number, _| match number {
        10..20 => Some(REFUSED),
        30..35 => None,
        40 => {
            std::thread::sleep(Duration::from_millis(1_500));
            None
        }
        _ => Some(SHOWN),
    });
    let figures = &report.figures;
    assert_eq!(figures.statuses.get(&503), Some(&10));
    assert_eq!((figures.resets, figures.timeouts), (5, 1));
    assert_eq!((figures.sent, figures.answered), (100, 84));
    // The one that was given up has its time among the others.
    assert_eq!(figures.decisions.count(), 85);
    assert!(figures.decisions.max_us() >= 1_000_000.0, "{figures:?}");
    assert!(report.has_errors());
}

#[test]
fn a_server_that_is_away_is_said_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = run(&arguments_of(address, &["--timeout", "1"])).unwrap_err();
    assert_eq!(error.to_string(), "0 of 64 connections could be opened");
}
