//! The process of a server of a test's own: started on its address, killed, frozen, thawed and
//! started again, and ended with its owner.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::free_address;

/// A server answers within this after its start.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A port that was free may be taken before the server binds it: so many are tried.
const PORT_TRIES: usize = 8;

/// What a server is started with for an address.
pub type MakeCommand = Box<dyn Fn(SocketAddr) -> Command + Send + Sync>;

/// A server's process, which may be away for a while.
pub struct Process {
    address: SocketAddr,
    make: MakeCommand,
    child: Option<Child>,
}

impl Process {
    /// Starts one on a free port; `log` is what it said, for a start that fails.
    pub fn start(make: MakeCommand, log: impl Fn() -> String) -> Process {
        let mut process = Process { address: free_address(), make, child: None };
        for _ in 0..PORT_TRIES {
            if process.try_run() {
                return process;
            }
            process.address = free_address();
        }
        panic!("the server does not start: {}", log());
    }

    /// Starts it again on the same address, with the files that it left.
    pub fn restart(&mut self, log: impl Fn() -> String) {
        assert!(self.try_run(), "the server does not start again: {}", log());
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops it in its tracks; connections stay.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id, for /proc.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    fn try_run(&mut self) -> bool {
        let mut command = (self.make)(self.address);
        command.stdin(Stdio::null());
        let mut child = command.spawn().expect("the server is installed (tools/test installs it)");
        let is_up = is_up(self.address, &mut child);
        if is_up {
            self.child = Some(child);
        } else {
            let _ = child.kill();
            let _ = child.wait();
        }
        is_up
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until the server takes connections; false where it has ended or takes too long.
fn is_up(address: SocketAddr, child: &mut Child) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < START_TIMEOUT {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if TcpStream::connect(address).is_ok() {
            return true;
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    false
}
