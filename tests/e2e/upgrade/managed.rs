//! Property: under a service manager nudged is as good a service as any: it listens on the sockets
//! that it is given, so that a plain restart refuses nobody, and says how it is.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram, UnixListener};
use std::time::Duration;

use rustix::process::Signal;

use super::{PATIENT, under_load};
use crate::client::Client;
use crate::database;
use crate::harness::{STOP_TIMEOUT, Setup, WELCOME, until};
use crate::support::given::Given;

const BINARY: &str = env!("CARGO_BIN_EXE_nudged");

#[test]
fn a_plain_restart_on_given_sockets_refuses_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let admin = TcpListener::bind("127.0.0.1:0").unwrap();
    let sockets = [listener.as_raw_fd(), admin.as_raw_fd()];
    let given = Given { sockets: &sockets, names: "data:admin" };
    let config = format!("lame_duck = \"100ms\"\n{PATIENT}");
    let setup = Setup::new(WELCOME).flags(&["--shards", "2"]).config(&config);
    let mut server = setup.start_by(given.command(BINARY));
    assert_eq!((server.data, server.admin), (address, admin.local_addr().unwrap()));
    assert_eq!(server.operator().get("/readyz").status, 200);
    let tokens = under_load(address, |await_some| {
        for _ in 0..2 {
            server.signal(Signal::TERM);
            assert_eq!(server.wait(STOP_TIMEOUT), Some(0), "{}", server.said());
            server = setup.start_by(given.command(BINARY));
            await_some();
        }
        // Handed over, they are the service manager's as before.
        server.hand_over();
        await_some();
    });
    server.stop();
    let decided = database::decided(setup.data());
    let missing = tokens.iter().filter(|token| !decided.contains(*token)).count();
    assert_eq!((missing, decided.len()), (0, tokens.len()));
    assert!(Client::try_connect(address).is_ok(), "the socket stays the service manager's");
}

#[test]
fn what_is_no_listening_stream_socket_of_a_known_name_is_refused() {
    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let unix = UnixListener::bind(folder.path().join("socket")).unwrap();
    let connected = std::net::TcpStream::connect(listening.local_addr().unwrap()).unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    let table: [(&[RawFd], &str, &str); 7] = [
        (&[datagrams.as_raw_fd()], "data", "descriptor 3 is no stream socket"),
        (&[connected.as_raw_fd()], "data", "descriptor 3 does not listen"),
        (&[file.as_raw_fd()], "data", "descriptor 3 is no socket"),
        (&[unix.as_raw_fd()], "data", "visitors come by TCP"),
        (&[listening.as_raw_fd()], "nudged.socket", "FileDescriptorName=data"),
        (&[listening.as_raw_fd()], "data:admin", "LISTEN_FDNAMES has 2 names"),
        (&[listening.as_raw_fd(), unix.as_raw_fd()], "admin:admin", "operators have one listener"),
    ];
    for (sockets, names, wanted) in table {
        let setup = Setup::new(WELCOME);
        let exit = setup.start_by_fails(Given { sockets, names }.command(BINARY));
        assert_eq!(exit.code, Some(2), "{names}: {exit:?}");
        assert!(exit.stderr.contains(wanted), "{names}: {exit:?}");
        assert!(!setup.data().exists(), "nothing is made");
    }
}

/// A service manager's end of `NOTIFY_SOCKET`.
struct Manager(UnixDatagram);

impl Manager {
    fn new(name: &str) -> Manager {
        let address = UnixAddress::from_abstract_name(name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        Manager(socket)
    }

    /// Reads until something is said, which it gives.
    fn await_said(&self, wanted: &str) -> String {
        let mut bytes = [0; 1_024];
        loop {
            let count = self.0.recv(&mut bytes).unwrap_or_else(|error| panic!("{wanted}: {error}"));
            let said = std::str::from_utf8(&bytes[..count]).unwrap();
            if said.contains(wanted) {
                return said.to_owned();
            }
        }
    }
}

#[test]
fn a_service_manager_is_told_of_begin_life_reload_upgrade_and_end() {
    let name = format!("nudged-e2e-notify-{}", std::process::id());
    let manager = Manager::new(&name);
    let setup = Setup::new(WELCOME)
        .variable("NOTIFY_SOCKET", &format!("@{name}"))
        .variable("WATCHDOG_USEC", "2000000")
        .variable("WATCHDOG_PID", "1");
    let mut server = setup.start();
    manager.await_said("READY=1");
    manager.await_said("WATCHDOG=1");
    manager.await_said("WATCHDOG=1");
    server.signal(Signal::HUP);
    let reloading = manager.await_said("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.await_said("READY=1");
    let new = server.begin_hand_over();
    manager.await_said(&format!("MAINPID={new}"));
    manager.await_said("READY=1");
    manager.await_said("WATCHDOG=1");
    assert_eq!(server.become_successor(new), Some(0));
    until("it to be ready", || (server.logged("ready").len() == 2).then_some(()));
    assert!(server.logged("variable_unknown").is_empty());
    server.signal(Signal::TERM);
    manager.await_said("STOPPING=1");
    server.stop();
}

/// Where a listening line says that its socket came from.
#[test]
fn the_listening_lines_say_where_a_socket_came_from() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let sockets = [listener.as_raw_fd()];
    let given = Given { sockets: &sockets, names: "data" };
    let setup = Setup::new(WELCOME);
    let server = setup.start_by(given.command(BINARY));
    let line = format!("listening data {address} (from the service manager)\n");
    assert!(server.announced().contains(&line), "{}", server.announced());
    server.stop();
}
