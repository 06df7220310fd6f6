//! Property: an upgrade loses nothing. A new process takes the sockets over while the old one
//! serves, and goes on where that one ended; clients that honour `Connection: close` see no reset
//! and no error, and whoever comes in between waits (docs/guarantees.md#g8). What can't be is no
//! worse than before: the old one serves on.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;
use crate::database;
use crate::drain::visit_on;
use crate::harness::{STOP_TIMEOUT, Server, Setup, WELCOME, until};

mod kills;
mod kinds;
mod managed;

/// Clients at once.
const CLIENTS: usize = 4;
/// On a loaded machine a user may be read late, which is not what is looked at here.
const PATIENT: &str = "[limits]\nread_deadline = \"5s\"\n";
/// Long enough to do something meanwhile.
const LAME_DUCK: &str = "lame_duck = \"1500ms\"\n";

/// Asks for new users until told to end; gives the acknowledged tokens. Connects again where an
/// answer closes; any other end of a connection fails.
pub fn visit(
    name: &str,
    address: SocketAddr,
    shown: &AtomicU64,
    is_over: &AtomicBool,
) -> Vec<String> {
    let mut tokens = Vec::new();
    let is_wanted = || !is_over.load(Ordering::Relaxed);
    while is_wanted() {
        let mut client = Client::try_connect(address).expect("somebody listens, always");
        visit_on(&mut client, name, &mut tokens, shown, is_wanted);
    }
    tokens
}

/// Lets visitors go where it ends, in whatever way: a check that fails fails its test, and no
/// visitor stays behind.
pub struct Ending<'a>(pub &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Visitors come while something is done; gives their tokens.
pub fn under_load(address: SocketAddr, act: impl FnOnce(&dyn Fn())) -> Vec<String> {
    // Nobody comes twice.
    static ROUND: AtomicU64 = AtomicU64::new(0);
    let round = ROUND.fetch_add(1, Ordering::Relaxed);
    let (shown, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let visit = |number: usize| {
            let (shown, is_over) = (&shown, &is_over);
            scope.spawn(move || visit(&format!("{round}-{number}"), address, shown, is_over))
        };
        let visitors: Vec<_> = (0..CLIENTS).map(visit).collect();
        let ending = Ending(&is_over);
        let await_some = || {
            let before = shown.load(Ordering::Relaxed);
            until("some load", || (shown.load(Ordering::Relaxed) > before + 100).then_some(()));
        };
        await_some();
        act(&await_some);
        await_some();
        drop(ending);
        visitors.into_iter().flat_map(|visitor| visitor.join().unwrap()).collect()
    })
}

#[test]
fn under_load_nobody_is_reset_and_everything_is_kept() {
    // The file that runs is replaced, as a package does.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("nudged");
    let replace = || {
        std::fs::copy(env!("CARGO_BIN_EXE_nudged"), folder.path().join("fresh")).unwrap();
        std::fs::rename(folder.path().join("fresh"), &program).unwrap();
    };
    replace();
    let config = format!("lame_duck = \"200ms\"\n{PATIENT}");
    let setup = Setup::new(WELCOME).config(&config).flags(&["--shards", "2"]).program(&program);
    let mut server = setup.start();
    let tokens = under_load(server.data, |await_some| {
        for _ in 0..2 {
            replace();
            server.hand_over();
            await_some();
        }
    });
    for taken in server.logged("taken_over") {
        println!("nobody accepted for {:?} ms", taken.number("gap_ms"));
    }
    assert_eq!(server.logged("taken_over").len(), 2);
    server.stop();
    let decided = database::decided(setup.data());
    let missing = tokens.iter().filter(|token| !decided.contains(*token)).count();
    assert_eq!((missing, decided.len()), (0, tokens.len()));
}

fn await_leaving(server: &Server) {
    until("the lame duck", || (!server.logged("handover_leaving").is_empty()).then_some(()));
}

#[test]
fn what_is_changed_on_the_old_one_meanwhile_holds_on_the_new_one() {
    let setup = Setup::new(WELCOME).config(LAME_DUCK);
    let mut server = setup.start();
    let mut kept = server.client();
    let token = kept.decide("ann").token().unwrap();
    let new = server.begin_hand_over();
    await_leaving(&server);
    server.operator().ask("POST", "/v1/popups/welcome/pause", "").expect(200);
    assert_eq!(server.client().get("/readyz").status, 200, "somebody takes over");
    let asked = kept.get("/v1/decide?user=ann");
    assert_eq!(asked.field("connection"), Some("close"));
    server.signal(Signal::USR2);
    until("a second one to be refused", || {
        server
            .logged("handover_refused")
            .iter()
            .any(|line| line.text("error").contains("already"))
            .then_some(())
    });
    assert_eq!(server.become_successor(new), Some(0), "{}", server.said());
    until("the new one", || (server.logged("ready").len() == 2).then_some(()));
    assert_eq!(server.client().decide("bob").reason(), "none");
    let accepted = server.client().event(&token, "clicked").expect(202).json();
    assert_eq!(accepted["accepted"], 1, "tokens of the old one are good");
    server.stop();
}

/// The old process serves as before.
fn assert_serves(server: &Server) {
    let answer = server.client().decide("somebody");
    assert_eq!((answer.status, answer.field("connection")), (200, None), "{}", server.said());
    assert_eq!(server.client().get("/readyz").status, 200);
    let metrics = server.operator().get("/metrics").body;
    assert!(metrics.contains("nudged_handovers_failed_total 1\n"), "{metrics}");
}

#[test]
fn a_new_one_that_refuses_its_configuration_changes_nothing() {
    let setup = Setup::new(WELCOME);
    let mut server = setup.start();
    server.allow("handover_failed");
    setup.write_popups("[[popup]]\n");
    server.begin_hand_over();
    let failed = server.await_logged("handover_failed");
    assert!(failed.text("error").contains("popups.toml"), "{failed:?}");
    assert_serves(&server);
    setup.write_popups(WELCOME);
    server.hand_over();
    server.stop();
}

#[test]
fn a_new_one_that_ends_before_it_has_everything_changes_nothing() {
    for (signal, ending) in [(Signal::KILL, "signal: 9"), (Signal::TERM, "exit status: 0")] {
        let setup = Setup::new(WELCOME).config(LAME_DUCK);
        let mut server = setup.start();
        server.allow("handover_failed");
        let new = server.begin_hand_over();
        await_leaving(&server);
        kill_process(pid(new), signal).unwrap();
        let failed = server.await_logged("handover_failed");
        assert!(failed.text("error").contains(ending), "{failed:?}");
        assert_serves(&server);
        server.stop();
    }
}

fn pid(process: u32) -> Pid {
    Pid::from_raw(process.try_into().unwrap()).unwrap()
}

#[test]
fn a_stop_of_the_old_one_ends_both() {
    let setup = Setup::new(WELCOME).config(LAME_DUCK);
    let mut server = setup.start();
    let token = server.client().decide("ann").token().unwrap();
    server.begin_hand_over();
    await_leaving(&server);
    server.signal(Signal::TERM);
    // The new one writes to the same standard error, so that its end is awaited too.
    assert_eq!(server.wait(STOP_TIMEOUT), Some(0), "{}", server.said());
    assert!(server.logged("taken_over").is_empty());
    assert_eq!(server.logged("stopped").len(), 2, "{}", server.said());
    assert!(Client::try_connect(server.data).is_err(), "nobody listens");
    assert!(database::decided(setup.data()).contains(&token));
}

#[test]
fn where_the_old_one_dies_the_new_one_serves_at_once() {
    let setup = Setup::new(WELCOME).config("lame_duck = \"20s\"\n");
    let mut server = setup.start();
    let token = server.client().decide("ann").token().unwrap();
    let new = server.begin_hand_over();
    await_leaving(&server);
    server.signal(Signal::KILL);
    assert_eq!(server.become_successor(new), None);
    // In the backlog until it does.
    assert_eq!(server.client().decide("ann").reason(), "gap");
    assert_eq!(server.client().event(&token, "clicked").expect(202).json()["accepted"], 1);
    server.signal(Signal::TERM);
    server.await_logged("draining");
    server.signal(Signal::TERM);
    assert_eq!(server.wait(STOP_TIMEOUT), Some(0), "{}", server.said());
}

/// Says that it is prepared, waits for everything, and ends.
const FRAIL: &str = r#"#!/usr/bin/python3
import os, socket, sys
words = socket.socket(fileno=int(os.environ["NUDGED_HAND_OVER"]))
said = b""
while said != b"all":
    said = words.recv(2000)
words.send(b"prepared")
assert words.recv(2000).startswith(b"go ")
sys.exit(3)
"#;

#[test]
fn a_new_one_that_ends_with_everything_in_its_hands_is_replaced_by_the_old_version() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("nudged");
    std::fs::copy(env!("CARGO_BIN_EXE_nudged"), &program).unwrap();
    let setup = Setup::new(WELCOME).program(&program);
    let mut server = setup.start();
    server.allow("handover_lost");
    let token = server.client().decide("ann").token().unwrap();
    std::fs::write(folder.path().join("frail"), FRAIL).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path().join("frail"), mode).unwrap();
    std::fs::rename(folder.path().join("frail"), &program).unwrap();
    let process = server.pid();
    server.begin_hand_over();
    let lost = server.await_logged("handover_lost");
    assert!(lost.text("error").contains("exit status: 3"), "{lost:?}");
    until("the old version", || (server.logged("ready").len() == 2).then_some(()));
    assert_eq!(server.client().decide("ann").reason(), "gap");
    assert_eq!(server.client().event(&token, "clicked").expect(202).json()["accepted"], 1);
    assert_eq!(server.pid(), process);
    server.stop();
}

#[test]
fn the_unix_socket_of_operators_stays_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let setup = Setup::new(WELCOME).admin(&format!("unix:{}", path.display()));
    let mut server = setup.start();
    let before = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&path).unwrap());
    server.hand_over();
    let after = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&path).unwrap());
    assert_eq!(before, after);
    UnixStream::connect(&path).unwrap();
    server.stop();
    assert!(!path.exists());
}

#[test]
fn more_and_fewer_shards_take_the_same_sockets() {
    let setup = Setup::new(WELCOME).config(&format!("shards = 1\n{PATIENT}"));
    let mut server = setup.start();
    for shards in [3, 2] {
        setup.write_config(&format!("shards = {shards}\n{PATIENT}"));
        server.hand_over();
        let tokens = under_load(server.data, |_| {});
        assert!(tokens.len() > 200);
    }
    server.stop();
}
