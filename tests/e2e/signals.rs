//! Property: no signal ends a node that was not meant to. From the first instruction on the ones
//! for reloads and for handing over never kill it, and a stop ends it with 0, whatever it is
//! waiting for. Tools end at a signal as other tools do.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Setup, WELCOME, nudged, until, until_within};

/// A start that is told to stop has stopped within this.
const STOP_OF_START: Duration = Duration::from_secs(2);

/// A node that is not waited for.
struct Starting(Child);

impl Starting {
    fn new(setup: &Setup) -> Starting {
        let mut command = nudged();
        command.args(["--config"]).arg(setup.path("nudged.toml"));
        command.args(["--popups"]).arg(setup.path("popups.toml"));
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"]);
        command.arg(setup.data()).stdin(Stdio::null());
        Starting(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits until a signal would not end it any more: it is kept back, or somebody takes it.
    fn await_safe(&self, signal: Signal) {
        let path = format!("/proc/{}/status", self.0.id());
        let bit = 1_u64 << (signal.as_raw() - 1);
        until("the signal to be safe", || {
            let text = fs::read_to_string(&path).unwrap();
            let mask = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                u64::from_str_radix(line.trim(), 16).unwrap()
            };
            ((mask("SigBlk:") | mask("SigCgt:")) & bit != 0).then_some(())
        });
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    fn end(&mut self, limit: Duration) -> ExitStatus {
        until_within("the end of the start", limit, || self.0.try_wait().unwrap())
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const HARMLESS: [Signal; 4] = [Signal::HUP, Signal::USR1, Signal::USR2, Signal::PIPE];

#[test]
fn from_the_first_instruction_on_none_kills_and_a_stop_is_clean() {
    for round in 0..8 {
        let setup = Setup::new(WELCOME);
        let mut node = Starting::new(&setup);
        node.await_safe(Signal::USR2);
        // Each round a little later in the start.
        std::thread::park_timeout(Duration::from_millis(round * 7));
        HARMLESS.iter().for_each(|signal| node.signal(*signal));
        assert!(node.is_running(), "round {round}");
        node.signal(Signal::TERM);
        let status = node.end(STOP_OF_START);
        assert_eq!(status.code(), Some(0), "round {round}: {status:?}");
    }
}

#[test]
fn while_it_waits_for_mute_servers_too() {
    // They take connections, in their backlog, and say nothing.
    let mute =
        [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
    let [redis, mysql] = mute.each_ref().map(|socket| socket.local_addr().unwrap());
    let config = format!(
        "[redis]\nurl = \"redis://{redis}\"\n[mysql]\nurl = \"mysql://u:p@{mysql}/nudged\"\n"
    );
    // It waits for one after the other, and each wait is met by one of these.
    for after_ms in [300, 1_500, 2_600] {
        let setup = Setup::new(WELCOME).config(&config);
        let mut node = Starting::new(&setup);
        node.await_safe(Signal::USR2);
        HARMLESS.iter().for_each(|signal| node.signal(*signal));
        std::thread::park_timeout(Duration::from_millis(after_ms));
        HARMLESS.iter().for_each(|signal| node.signal(*signal));
        assert!(node.is_running());
        let begun = Instant::now();
        node.signal(Signal::TERM);
        let status = node.end(STOP_OF_START);
        assert_eq!(status.code(), Some(0), "after {after_ms} ms: {status:?}");
        println!("{after_ms} ms into the start it took {:?}", begun.elapsed());
    }
}

#[test]
fn a_running_node_goes_on() {
    let setup = Setup::new(WELCOME);
    let mut server = setup.start();
    let others = HARMLESS.iter().filter(|signal| **signal != Signal::USR2);
    others.for_each(|signal| server.signal(*signal));
    assert!(server.client().decide("ann").token().is_some());
    // That one is for a new process, and refused while one is on its way.
    server.hand_over();
    assert!(server.client().decide("bob").token().is_some());
    server.stop();
}

#[test]
fn tools_end_at_a_signal_as_ever() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = mute.local_addr().unwrap().to_string();
    let mut explain = nudged();
    explain.args(["explain", "--user", "u", "--placement", "home", "--admin", &address]);
    let mut tool = Starting(explain.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    mute.accept().unwrap();
    tool.signal(Signal::TERM);
    assert_eq!(tool.end(STOP_OF_START).signal(), Some(libc::SIGTERM));
}
