//! Property: behind an L4 balancer nobody notices that a node leaves. A real HAProxy and nginx
//! stand in front of two nodes and say by the PROXY protocol whose each connection is; one node is
//! drained, or killed, under load (docs/operations.md#behind-a-balancer-proxy-protocol). Who is no
//! balancer does not get in there.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{self, AddressFamily, SocketType};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::client::{Client, request};
use crate::harness::{STOP_TIMEOUT, Server, Setup, WELCOME, until};
use crate::support::process::Process;
use crate::support::prometheus::Metrics;

/// Clients at once.
const CLIENTS: usize = 4;
/// Requests of one connection, and then another one.
const REQUESTS_A_CONNECTION: usize = 5;
/// Who got no answer comes again after this long.
const COMES_AGAIN: Duration = Duration::from_millis(50);
/// Answers before a node leaves, and after.
const ANSWERS: usize = 400;
/// Where Debian's package of the module puts it.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
/// Version 2 for 192.0.2.7:51000.
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\xc7\x38\x01\xbb";
const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 51000 443\r\n";
const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0 proxy_protocol"];

fn setup(networks: &str) -> Setup {
    let config = format!(
        "lame_duck = \"1s\"\n[proxy_protocol]\nnetworks = {networks}\n\
         [log]\nusers = [\"ann\"]\n[limits]\nread_deadline = \"2s\"\n"
    );
    Setup::new(WELCOME).config(&config).flags(&["--shards", "2", "--no-pin"]).flags(&LISTEN)
}

fn metrics(server: &Server) -> Metrics {
    Metrics::read(&server.operator().get("/metrics").expect(200).body)
}

fn refused(server: &Server, reason: &str) -> f64 {
    let text = server.operator().get("/metrics").expect(200).body;
    let label = format!("reason=\"{reason}\"");
    let lines = text.lines().filter(|line| {
        line.starts_with("nudged_proxy_protocol_refused_total{") && line.contains(&label)
    });
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[test]
fn a_header_comes_first_and_what_follows_is_served() {
    let server = setup("[\"10.0.0.0/8\", \"127.0.0.0/8\"]").start();
    let proxied = server.others[0];
    for header in [LINE, BINARY, b"PROXY UNKNOWN\r\n"] {
        let mut client = Client::connect(proxied);
        // With a request in one piece, and by pieces with requests in a pipeline.
        client.send(&[header, &request("GET", "/health", "")].concat());
        client.answer().expect(200);
        client.get("/health").expect(200);
        let mut client = Client::connect(proxied);
        let two = [header, &request("GET", "/health", ""), &request("GET", "/health", "")].concat();
        let (first, rest) = two.split_at(7);
        client.send(first);
        Client::connect(server.data).get("/health").expect(200);
        client.send(rest);
        client.answer().expect(200);
        client.answer().expect(200);
    }
    assert_eq!(metrics(&server).sum("nudged_proxy_protocol_accepted_total"), 6.0);
    // Elsewhere it is no request.
    for header in [LINE, BINARY] {
        let mut client = server.client();
        client.send(header);
        client.answer().expect(400);
    }
    server.stop();
}

#[test]
fn who_is_no_balancer_is_disconnected_and_counted() {
    let server = setup("[\"127.0.0.1\"]").start();
    let proxied = server.others[0];
    let mut silent = Client::connect(proxied);
    let mut slow = Client::connect(proxied);
    slow.send(&BINARY[..20]);
    let begun = Instant::now();
    let mut cut = Client::connect(proxied);
    cut.send(&LINE[..20]);
    cut.end_sending();
    assert!(is_gone(&mut cut));
    for bytes in [&request("GET", "/health", "")[..], b"PROXY TCP5 a b c d\r\n", &[0x16, 3, 1]] {
        let mut stranger = Client::connect(proxied);
        stranger.send(bytes);
        assert!(is_gone(&mut stranger));
    }
    assert_eq!((refused(&server, "missing"), refused(&server, "malformed")), (2.0, 1.0));
    assert_eq!(refused(&server, "cut"), 1.0);
    assert!(is_gone(&mut silent) && is_gone(&mut slow));
    let waited = begun.elapsed();
    assert!((2_900..6_000).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(refused(&server, "timeout"), 2.0);
    assert_eq!(server.await_logged("proxy_refused").level, "warn");
    server.stop();
}

#[test]
fn other_networks_are_disconnected_before_they_say_anything() {
    let server = setup("[\"10.0.0.0/8\", \"::1\"]").start();
    for _ in 0..100 {
        let mut stranger = Client::connect(server.others[0]);
        let _ = stranger.try_send(BINARY);
        assert!(is_gone(&mut stranger));
    }
    assert_eq!(refused(&server, "network"), 100.0);
    assert_eq!(server.logged("proxy_refused").len(), 1, "{}", server.said());
    assert!(server.said().contains("127.0.0.1"));
    server.client().get("/health").expect(200);
    server.stop();
}

/// Whether the server has ended a connection, in whichever way.
fn is_gone(client: &mut Client) -> bool {
    match client.try_answer() {
        Ok(answer) => panic!("answered: {answer:?}"),
        Err(error) => matches!(
            error.kind(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ),
    }
}

#[test]
fn a_listener_for_balancers_needs_to_know_them() {
    let exit = Setup::new(WELCOME).flags(&LISTEN).start_fails(&[]);
    assert_eq!(exit.code, Some(2), "{exit:?}");
    assert!(exit.stderr.contains("needs `proxy_protocol.networks`"), "{exit:?}");
}

#[test]
fn behind_haproxy_a_drain_fails_no_request_and_a_kill_few() {
    if !is_there("haproxy", "-v") {
        return eprintln!("skipped: no haproxy (tools/test installs it)");
    }
    leave_under_load(haproxy);
}

#[test]
fn behind_nginx_a_drain_fails_no_request_and_a_kill_few() {
    if !is_there("nginx", "-v") || !Path::new(STREAM_MODULE).exists() {
        return eprintln!("skipped: no nginx with {STREAM_MODULE} (tools/test installs it)");
    }
    leave_under_load(nginx);
}

fn is_there(program: &str, flag: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(flag).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Drains one of two nodes under load, starts another in its place, and kills the other one.
fn leave_under_load<M>(make: M)
where
    M: Fn(SocketAddr, &[SocketAddr], &Path) -> Command + Send + Sync + 'static,
{
    let folder = tempfile::tempdir().unwrap();
    let plan = setup("[\"127.0.0.1\"]");
    let other = setup("[\"127.0.0.1\"]");
    let mut drained = plan.start();
    let killed = other.start();
    let nodes = [drained.others[0], killed.others[0]];
    let path = folder.path().to_owned();
    let balancer =
        Process::start(Box::new(move |address| make(address, &nodes, &path)), || log_of(&folder));
    let load = Load::default();
    std::thread::scope(|scope| {
        for name in 0..CLIENTS {
            let (load, address) = (&load, balancer.address());
            scope.spawn(move || load.visit(name, address));
        }
        let _end = EndOfLoad(&load);
        load.await_more(ANSWERS);
        for node in [&drained, &killed] {
            let shown = metrics(node).sum("nudged_decisions_shown_total");
            assert!(shown > 5.0, "both nodes serve: {shown}");
        }
        drained.signal(Signal::TERM);
        assert_eq!(drained.wait(STOP_TIMEOUT), Some(0), "{}", drained.said());
        load.await_more(ANSWERS);
        let failed = load.failed.load(Ordering::Relaxed);
        assert_eq!(failed, 0, "a drain fails no request; {}", log_of(&folder));
        // The next one comes on the address of the former.
        let again = other_node_at(&plan, nodes[0]);
        until("the new node serves", || {
            (metrics(&again).sum("nudged_decisions_shown_total") > 10.0).then_some(())
        });
        killed.kill();
        load.await_more(ANSWERS);
        let failed = load.failed.load(Ordering::Relaxed);
        assert!(failed <= 2 * CLIENTS, "{failed} requests failed");
        again.stop();
    });
}

/// A node that listens where another one did.
fn other_node_at(plan: &Setup, address: SocketAddr) -> Server {
    plan.start_with(&["--listen", &format!("{address} proxy_protocol")])
}

/// Ends the load however its test ends.
struct EndOfLoad<'l>(&'l Load);

impl Drop for EndOfLoad<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// What visitors of a balancer see.
#[derive(Default)]
struct Load {
    answered: AtomicUsize,
    failed: AtomicUsize,
    is_over: AtomicBool,
}

impl Load {
    /// Asks until the end, and connects again where an answer closes or a connection has had its
    /// requests. A request that gets no answer has failed; its visitor comes again a little later.
    fn visit(&self, name: usize, address: SocketAddr) {
        let mut number = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            let Ok(mut client) = Client::try_connect(address) else {
                self.fail();
                continue;
            };
            for _ in 0..REQUESTS_A_CONNECTION {
                number += 1;
                let target = format!("/v1/decide?user=visitor-{name}-{number}");
                let Ok(answer) = client.try_ask("GET", &target, "") else {
                    self.fail();
                    break;
                };
                assert_eq!(answer.status, 200, "{answer:?}");
                self.answered.fetch_add(1, Ordering::Relaxed);
                if answer.field("connection") == Some("close") {
                    break;
                }
            }
        }
    }

    fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        std::thread::park_timeout(COMES_AGAIN);
    }

    fn await_more(&self, answers: usize) {
        let before = self.answered.load(Ordering::Relaxed);
        until("answers", || {
            (self.answered.load(Ordering::Relaxed) >= before + answers).then_some(())
        });
    }
}

fn log_of(folder: &TempDir) -> String {
    std::fs::read_to_string(folder.path().join("log")).unwrap_or_default()
}

/// Runs with its output in `log` of the folder.
fn logged(mut command: Command, folder: &Path) -> Command {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    command.stdout(log.try_clone().unwrap()).stderr(log);
    command
}

/// Says whose a connection is in version 2 to one node, in version 1 to the other.
fn haproxy(address: SocketAddr, nodes: &[SocketAddr], folder: &Path) -> Command {
    let headers = ["send-proxy-v2", "send-proxy"];
    let servers: String = nodes
        .iter()
        .zip(headers)
        .map(|(node, header)| format!("    server {header} {node} check {header}\n"))
        .collect();
    let config = format!(
        "defaults\n    mode tcp\n    timeout connect 1s\n    timeout client 30s\n    \
         timeout server 30s\n    timeout check 3s\n    retries 3\n    option redispatch 1\n\
         listen nudged\n    bind {address}\n    balance roundrobin\n    option httpchk\n    \
         http-check send meth HEAD uri /readyz ver HTTP/1.1 hdr Host nudged\n    \
         http-check expect status 200\n    \
         default-server inter 100ms rise 1 fall 2\n{servers}"
    );
    let path = folder.join("haproxy.cfg");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(path);
    logged(command, folder)
}

fn nginx(address: SocketAddr, nodes: &[SocketAddr], folder: &Path) -> Command {
    let server =
        |node: &SocketAddr| format!("        server {node} max_fails=1 fail_timeout=1s;\n");
    let servers: String = nodes.iter().map(server).collect();
    // One process, so that its end is the end of all of it.
    let config = format!(
        "load_module {STREAM_MODULE};\ndaemon off;\nmaster_process off;\npid {0}/nginx.pid;\n\
         error_log stderr;\nevents {{}}\nstream {{\n    upstream nodes {{\n{servers}    }}\n    \
         server {{\n        listen {address};\n        proxy_pass nodes;\n        \
         proxy_protocol on;\n        proxy_connect_timeout 500ms;\n    }}\n}}\n",
        folder.display()
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder).arg("-c").arg(path);
    logged(command, folder)
}

/// Addresses that the log has of those who asked.
fn askers(server: &Server) -> Vec<String> {
    server.logged("asked").iter().map(|line| line.text("source").to_owned()).collect()
}

#[test]
fn the_log_has_the_address_of_the_header_and_names_who_sends_none() {
    let setup = setup("[\"127.0.0.0/8\"]");
    let server = setup.start();
    let mut client = Client::connect(server.others[0]);
    client.send(&[LINE, &request("GET", "/v1/decide?user=ann", "")].concat());
    let token = client.answer().expect(200).token().unwrap();
    client.event(&token, "shown").expect(202);
    client.get("/v1/decide?user=bob").expect(200);
    // Nobody says whose this one is, nor is it the one before.
    server.client().decide("ann").expect(204);
    until("both of ann's requests", || (server.logged("decided").len() == 2).then_some(()));
    assert_eq!(askers(&server), ["192.0.2.7", "192.0.2.7"], "{}", server.said());
    let mut stranger = Client::connect(server.others[0]);
    stranger.send(&request("GET", "/health", ""));
    assert!(is_gone(&mut stranger));
    let refused = server.await_logged("proxy_refused");
    assert_eq!((refused.text("cause"), refused.text("peer")), ("missing", "127.0.0.1"));
    server.stop();
}

/// A client that connects from this address.
fn client_at(source: Ipv4Addr, to: SocketAddr) -> Client {
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    net::bind(&socket, &SocketAddr::from((source, 0))).unwrap();
    net::connect(&socket, &to).unwrap();
    Client::of(socket.into()).unwrap()
}

#[test]
fn behind_haproxy_the_log_has_the_client() {
    if !is_there("haproxy", "-v") {
        return eprintln!("skipped: no haproxy (tools/test installs it)");
    }
    let folder = tempfile::tempdir().unwrap();
    let setups = [(); 2].map(|()| setup("[\"127.0.0.1\"]"));
    let servers = setups.each_ref().map(Setup::start);
    let nodes = [servers[0].others[0], servers[1].others[0]];
    let path = folder.path().to_owned();
    let make = move |address| haproxy(address, &nodes, &path);
    let balancer = Process::start(Box::new(make), || log_of(&folder));
    // Each of the two nodes is told in another version of the protocol.
    until("ann on both nodes", || {
        client_at(Ipv4Addr::new(127, 0, 0, 77), balancer.address()).decide("ann");
        servers.iter().all(|server| !askers(server).is_empty()).then_some(())
    });
    for server in servers {
        assert!(askers(&server).iter().all(|source| source == "127.0.0.77"), "{}", server.said());
        server.stop();
    }
}
