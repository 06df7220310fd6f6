//! Property: with the files of `vendor-config/haproxy` and `vendor-config/nginx-stream` a node that
//! stops costs no request, and while no node is ready HAProxy still asks those that live
//! (docs/guarantees.md#g8). The real servers run on the files as they are shipped: replaced are
//! addresses, places of sockets, and how often is looked.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::client::Client;
use crate::harness::{ALWAYS, STOP_TIMEOUT, Server, Setup, until};
use crate::support::process::Process;
use crate::support::vendor;

/// Visitors at once.
const VISITORS: usize = 4;
/// Requests of a connection, after which a visitor opens another one.
const REQUESTS: usize = 50;
/// What stands in both files in the place of the nodes.
const PLACES: [&str; 2] = ["192.0.2.11:", "192.0.2.12:"];
/// As the balancers' files want their nodes.
const CONFIG: &str = "lame_duck = \"2s\"\n[proxy_protocol]\nnetworks = [\"127.0.0.0/8\"]\n";
/// The port of the nodes in both files.
const PORT: u16 = 8080;

/// A balancer that runs, with its files.
struct Balancer {
    process: Process,
    folder: TempDir,
}

/// Whether a program is there. Without it its tests say so and pass.
fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("-v").stdout(Stdio::null()).stderr(Stdio::null());
    let is_there = command.status().is_ok_and(|status| status.success());
    if !is_there {
        println!("{program} is not installed; left out");
    }
    is_there
}

/// The shipped text with other places; each has to stand in it.
fn replaced(path: &Path, places: &[(&str, &str)]) -> String {
    let text = fs::read_to_string(path).unwrap();
    places.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not in {}", path.display());
        text.replace(from, to)
    })
}

fn haproxy(nodes: [Ipv4Addr; 2]) -> Balancer {
    let folder = tempfile::tempdir().unwrap();
    let (configuration, log) = (folder.path().join("haproxy.cfg"), folder.path().join("log"));
    let socket = folder.path().join("admin.sock");
    let written = log.clone();
    let make = move |address: SocketAddr| {
        let nodes = nodes.map(|node| format!("{node}:"));
        let text = replaced(
            &vendor("haproxy/haproxy.cfg"),
            &[
                ("bind :80", &format!("bind {address}")),
                (PLACES[0], &nodes[0]),
                (PLACES[1], &nodes[1]),
                ("/run/haproxy/admin.sock", socket.to_str().unwrap()),
                ("inter 1s fastinter 250ms", "inter 100ms"),
                ("maxconn 50000", "maxconn 1000"),
                ("    user haproxy\n    group haproxy\n", ""),
            ],
        );
        fs::write(&configuration, text).unwrap();
        let mut command = Command::new("haproxy");
        // In the foreground, without a process above that would outlive the test.
        command.arg("-db").arg("-f").arg(&configuration);
        logging(command, &log)
    };
    start(make, written, folder)
}

fn nginx(nodes: [Ipv4Addr; 2]) -> Balancer {
    let folder = tempfile::tempdir().unwrap();
    let (configuration, log) = (folder.path().join("nginx.conf"), folder.path().join("log"));
    let pid = folder.path().join("pid");
    let written = log.clone();
    let make = move |address: SocketAddr| {
        let nodes = nodes.map(|node| format!("{node}:"));
        let text = replaced(
            &vendor("nginx-stream/nginx.conf"),
            &[
                ("listen 80 ", &format!("listen {address} ")),
                (PLACES[0], &nodes[0]),
                (PLACES[1], &nodes[1]),
                ("/run/nginx.pid", pid.to_str().unwrap()),
                ("/var/log/nginx/error.log", "stderr"),
                // In one process, which ends with the test: it would serve one queue of several.
                ("worker_processes auto", "worker_processes 1"),
            ],
        );
        fs::write(&configuration, text).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&configuration).args(["-e", "stderr"]);
        command.args(["-g", "daemon off; master_process off;"]);
        logging(command, &log)
    };
    start(make, written, folder)
}

fn start(
    make: impl Fn(SocketAddr) -> Command + Send + Sync + 'static,
    log: PathBuf,
    folder: TempDir,
) -> Balancer {
    let said = || fs::read_to_string(&log).unwrap_or_default();
    Balancer { process: Process::start(Box::new(make), said), folder }
}

fn logging(mut command: Command, log: &Path) -> Command {
    let log = fs::File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command
}

/// What visitors saw.
#[derive(Default)]
struct Seen {
    served: AtomicU64,
    failed: AtomicU64,
    is_over: AtomicBool,
}

/// Ends the visits with the test, however that ends.
struct Over<'a>(&'a Seen);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// Asks, over connections that last for a while, until it is over. A failed request is counted.
fn visit(balancer: SocketAddr, name: usize, seen: &Seen) {
    while !seen.is_over.load(Ordering::Relaxed) {
        let mut client = Client::connect(balancer);
        for number in 0..REQUESTS {
            let target = format!("/v1/decide?user=visitor-{name}-{number}");
            let Ok(answer) = client.try_ask("GET", &target, "") else {
                seen.failed.fetch_add(1, Ordering::Relaxed);
                break;
            };
            assert!(matches!(answer.status, 200 | 204), "{answer:?}");
            seen.served.fetch_add(1, Ordering::Relaxed);
            if answer.field("connection") == Some("close") {
                break;
            }
        }
    }
}

/// Requests for decisions that a node has served.
fn decided(server: &Server) -> u64 {
    let text = server.operator().get("/metrics").expect(200).body;
    let lines = text.lines().filter(|line| line.starts_with("nudged_requests_total"));
    let decides = lines.filter(|line| line.contains("route=\"decide\""));
    decides.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

fn await_decided(server: &Server) {
    let before = decided(server);
    until("a node to be asked", || (decided(server) > before).then_some(()));
}

/// Loopback addresses that no other test or process has: nobody takes the port of a node that is
/// gone.
fn addresses(first: u8) -> [Ipv4Addr; 2] {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    [first, first + 64].map(|node| Ipv4Addr::new(127, node + high % 32, middle, low))
}

/// Two nodes under load, of which the second one stops. Gives the balancer and the node that is
/// left.
fn a_node_stops(
    balance: fn([Ipv4Addr; 2]) -> Balancer,
    addresses: [Ipv4Addr; 2],
) -> (Balancer, Server, Setup) {
    let setups = addresses.map(|address| {
        let setup = Setup::new(ALWAYS).config(CONFIG);
        let place = format!("{address}:{PORT} proxy_protocol");
        setup.flags(&["--shards", "2", "--no-pin", "--listen", &place])
    });
    let [first, mut second] = setups.each_ref().map(Setup::start);
    let balancer = balance(addresses);
    let seen = Seen::default();
    std::thread::scope(|scope| {
        let over = Over(&seen);
        for name in 0..VISITORS {
            let (address, seen) = (balancer.process.address(), &seen);
            scope.spawn(move || visit(address, name, seen));
        }
        await_decided(&first);
        await_decided(&second);
        second.signal(Signal::TERM);
        assert_eq!(second.wait(STOP_TIMEOUT), Some(0), "{}", second.said());
        let wanted = seen.served.load(Ordering::Relaxed) + 500;
        until("the other node to serve", || {
            (seen.served.load(Ordering::Relaxed) >= wanted).then_some(())
        });
        drop(over);
    });
    let (served, failed) = (seen.served.into_inner(), seen.failed.into_inner());
    println!("{served} served, {failed} failed");
    assert_eq!(failed, 0);
    let [setup, _] = setups;
    (balancer, first, setup)
}

#[test]
fn behind_haproxy_no_stop_fails_a_request() {
    if !is_there("haproxy") {
        return;
    }
    let (balancer, last, _setup) = a_node_stops(haproxy, addresses(32));
    // No node is ready any more; this one is alive.
    last.signal(Signal::TERM);
    until("HAProxy to have nobody who is ready", || {
        (balancer.state("nudged")? == "DOWN").then_some(())
    });
    let answer = Client::connect(balancer.process.address()).decide("late");
    assert!(matches!(answer.status, 200 | 204), "{answer:?}");
    assert_eq!(balancer.state("nudged_alive").as_deref(), Some("UP"));
    let mut last = last;
    assert_eq!(last.wait(STOP_TIMEOUT), Some(0), "{}", last.said());
}

impl Balancer {
    /// How HAProxy finds a backend, by its own word.
    fn state(&self, backend: &str) -> Option<String> {
        let mut socket = UnixStream::connect(self.folder.path().join("admin.sock")).ok()?;
        socket.write_all(b"show stat\n").ok()?;
        let mut text = String::new();
        socket.read_to_string(&mut text).ok()?;
        let names: Vec<&str> = text.lines().next()?.trim_start_matches("# ").split(',').collect();
        let status = names.iter().position(|name| *name == "status")?;
        let line = text.lines().find(|line| line.starts_with(&format!("{backend},BACKEND,")))?;
        line.split(',').nth(status).map(str::to_owned)
    }
}

#[test]
fn behind_nginx_no_stop_fails_a_request() {
    if !is_there("nginx") {
        return;
    }
    let (_balancer, last, _setup) = a_node_stops(nginx, addresses(128));
    last.stop();
}

#[test]
fn the_files_are_right_as_they_are_shipped() {
    let check = |mut command: Command| {
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(!said.to_lowercase().contains("warn"), "{said}");
    };
    if is_there("haproxy") {
        let mut command = Command::new("haproxy");
        command.args(["-c", "-f"]).arg(vendor("haproxy/haproxy.cfg"));
        check(command);
    }
    // nginx opens the log and the pid file that are named, which are root's.
    if is_there("nginx") && rustix::process::geteuid().is_root() {
        let mut command = Command::new("nginx");
        command.args(["-t", "-c"]).arg(vendor("nginx-stream/nginx.conf"));
        check(command);
    }
}
