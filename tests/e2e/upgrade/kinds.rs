//! Property: a hand-over is the same for every kind of listener and queue. Visitors over TLS get
//! the new process's certificate and lose no request, a ticket of the old process is no hindrance,
//! and with `queue = "redis"` what was acknowledged is in the lists and comes to SQL once.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Ending;
use crate::client::Client;
use crate::cluster::{Cluster, Plan};
use crate::harness::{Setup, WELCOME, repository, until};

/// Puts a certificate of the corpus with its key where the configuration names them.
fn install(setup: &Setup, name: &str) {
    for ending in ["pem", "key"] {
        let place = setup.path(&format!("tls.{ending}"));
        fs::copy(repository(&format!("tests/corpus/tls/{name}.{ending}")), &place).unwrap();
        fs::set_permissions(place, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Visitors at once.
const VISITORS: usize = 3;

/// Asks for new users, a few on each connection, until told to end; gives the failures. curl
/// honours `Connection: close`.
fn visit_by_curl(
    name: usize,
    address: SocketAddr,
    shown: &AtomicU64,
    is_over: &AtomicBool,
) -> Vec<String> {
    let (mut failures, mut users) = (Vec::new(), 0);
    while !is_over.load(Ordering::Relaxed) {
        let url = |number| format!("https://{address}/v1/decide?user=visitor-{name}-{number}");
        let mut command = Command::new("curl");
        command.args(["-sSkf", "--max-time", "15"]).args((users..users + 3).map(url));
        let output = command.output().unwrap();
        users += 3;
        match output.status.success() {
            true => drop(shown.fetch_add(3, Ordering::Relaxed)),
            false => failures.push(format!("{output:?}")),
        }
    }
    failures
}

/// What `openssl s_client` says of a connection that it closes after its first answer. It keeps the
/// session in a file, or comes back with the one that is there.
fn handshake(address: SocketAddr, session: [&str; 2]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-ign_eof", "-connect", &address.to_string()]).args(session);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let request = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    child.stdin.take().unwrap().write_all(request).unwrap();
    let said = String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned();
    assert!(said.contains("HTTP/1.1 200"), "{said}");
    said
}

/// Visitors come before, while and after something is done; gives what they give.
fn under_load(
    visit: impl Fn(usize, &AtomicU64, &AtomicBool) -> Vec<String> + Sync,
    act: impl FnOnce(),
) -> Vec<String> {
    let (shown, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let start = |name| {
            let (visit, shown, is_over) = (&visit, &shown, &is_over);
            scope.spawn(move || visit(name, shown, is_over))
        };
        let visitors: Vec<_> = (0..VISITORS).map(start).collect();
        let ending = Ending(&is_over);
        let await_some = || {
            let before = shown.load(Ordering::Relaxed);
            until("some load", || (shown.load(Ordering::Relaxed) > before + 6).then_some(()));
        };
        await_some();
        act();
        await_some();
        drop(ending);
        visitors.into_iter().flat_map(|visitor| visitor.join().unwrap()).collect()
    })
}

#[test]
fn visitors_over_tls_are_handed_over_and_see_the_new_certificate() {
    let config = "lame_duck = \"200ms\"\n[tls]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"\n\
                  [limits]\nread_deadline = \"5s\"\n";
    let setup = Setup::new(WELCOME).config(config).flags(&["--shards", "2"]);
    install(&setup, "server");
    // An address of its own: sockets are told apart by what was asked for, and both are of port 0.
    let setup = setup.flags(&["--listen", "127.0.0.2:0 tls"]);
    let mut server = setup.start();
    let secure = server.others[0];
    let session = setup.path("session").display().to_string();
    handshake(secure, ["-sess_out", &session]);
    assert!(handshake(secure, ["-sess_in", &session]).contains("Reused, "), "a ticket is good");
    let failures: Vec<String> = under_load(
        |name, shown, is_over| visit_by_curl(name, secure, shown, is_over),
        || {
            install(&setup, "other");
            server.hand_over();
        },
    );
    // On a machine that has no time for them, connections are closed in the end, which is said.
    let cut_max = VISITORS * server.logged("handover_cut").len();
    assert!(failures.len() <= cut_max, "{failures:#?}\n{}", server.said());
    let said = handshake(secure, ["-sess_in", &session]);
    assert!(said.contains("New, ") && said.contains(&line_of("other")), "{said}");
    server.stop();
}

/// A line of a certificate of the corpus.
fn line_of(name: &str) -> String {
    let path = repository(&format!("tests/corpus/tls/{name}.pem"));
    fs::read_to_string(path).unwrap().lines().nth(2).unwrap().to_owned()
}

/// Asks for new users until told to end; gives the tokens of shows. Redis may be late on a busy
/// machine, and then nothing is shown, which is no failed request: it is counted in `degraded`.
fn visit(
    name: usize,
    address: SocketAddr,
    (shown, degraded): (&AtomicU64, &AtomicU64),
    is_over: &AtomicBool,
) -> Vec<String> {
    let (mut tokens, mut users) = (Vec::new(), 0);
    while !is_over.load(Ordering::Relaxed) {
        let mut client = Client::try_connect(address).expect("somebody listens, always");
        while !is_over.load(Ordering::Relaxed) {
            users += 1;
            let target = format!("/v1/decide?user=visitor-{name}-{users}");
            let answer =
                client.try_ask("GET", &target, "").expect("an open connection is answered");
            let token = answer.token();
            assert!(token.is_some() || answer.reason() == "degraded", "{answer:?}");
            let count = if token.is_some() { shown } else { degraded };
            count.fetch_add(1, Ordering::Relaxed);
            tokens.extend(token);
            if answer.field("connection") == Some("close") {
                break;
            }
        }
    }
    tokens
}

/// Looks at a node's readiness until told to end; counts what is not green.
fn look_at_readiness(address: SocketAddr, red: &AtomicU64, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let answer = Client::connect(address).get("/readyz");
        red.fetch_add(u64::from(answer.status != 200), Ordering::Relaxed);
    }
}

#[test]
fn what_waits_in_the_lists_of_redis_is_handed_over_and_comes_to_sql_once() {
    let settings = "queue = \"redis\"\nlame_duck = \"200ms\"";
    let cluster = Cluster::new(Plan { settings, ..Plan::new(WELCOME) });
    let setup = cluster.node();
    let mut server = setup.start();
    let address = server.data;
    let degraded = AtomicU64::default();
    let tokens: Vec<String> = under_load(
        |name, shown, is_over| visit(name, address, (shown, &degraded), is_over),
        || server.hand_over(),
    );
    assert_eq!(server.logged("taken_over").len(), 1);
    let clicked = server.client().event(&tokens[0], "clicked").expect(202).json();
    assert_eq!(clicked["accepted"], 1, "tokens of the old process are good");
    server.stop();
    cluster.await_events("decided", tokens.len());
    cluster.await_events("clicked", 1);
    cluster.check_sql();
}

/// Hand-overs that are looked at, and how many are tried: on a machine that has no time for them a
/// process takes over without Redis, which it says.
const HAND_OVERS: usize = 3;
const HAND_OVERS_MAX: usize = 12;

#[test]
fn with_redis_a_new_process_is_ready_and_answers_nobody_degraded_from_its_first_answer_on() {
    let cluster = Cluster::new(Plan { settings: "lame_duck = \"50ms\"", ..Plan::new(WELCOME) });
    let setup = cluster.node();
    let mut server = setup.start();
    server.await_logged("rebuild_ended");
    // Red is counted as one more that is degraded.
    let (address, degraded) = (server.data, AtomicU64::default());
    let (mut looked_at, mut wrong) = (0, Vec::new());
    let tokens: Vec<String> = under_load(
        |name, shown, is_over| match name {
            0 => {
                look_at_readiness(address, &degraded, is_over);
                Vec::new()
            }
            _ => visit(name, address, (shown, &degraded), is_over),
        },
        || {
            for number in 0..HAND_OVERS_MAX {
                let before = degraded.load(Ordering::Relaxed);
                server.hand_over();
                let taken = &server.logged("taken_over")[number];
                let count = degraded.load(Ordering::Relaxed) - before;
                println!("after {:?} ms: {count} degraded, {taken:?}", taken.number("gap_ms"));
                if taken.text("redis") != "ready" {
                    continue;
                }
                looked_at += 1;
                wrong.extend((count > 0).then_some((number, count)));
                if looked_at == HAND_OVERS {
                    break;
                }
            }
        },
    );
    assert_eq!((looked_at, wrong), (HAND_OVERS, Vec::new()), "{}", server.said());
    server.stop();
    cluster.await_events("decided", tokens.len());
    cluster.check_sql();
}

#[test]
fn a_redis_that_freezes_meanwhile_is_not_waited_for_and_used_again_when_it_is_back() {
    let settings = "lame_duck = \"1500ms\"";
    let cluster = Cluster::new(Plan { settings, ..Plan::impatient(WELCOME) });
    let setup = cluster.node();
    let mut server = setup.start();
    server.await_logged("rebuild_ended");
    let new = server.begin_hand_over();
    server.await_logged("handover_leaving");
    cluster.redis.freeze();
    assert_eq!(server.become_successor(new), Some(0), "{}", server.said());
    assert_eq!(server.client().decide("ann").reason(), "degraded");
    let taken = server.await_logged("taken_over");
    assert_eq!(taken.text("redis"), "late");
    println!("nobody accepted for {:?} ms", taken.number("gap_ms"));
    cluster.redis.thaw();
    let token = until("a show", || server.client().decide("ann").token());
    server.stop();
    cluster.await_events("decided", 1);
    assert_eq!(cluster.rows("SELECT decision FROM events WHERE action = 'decided'"), [token]);
}
