//! Real processes: starts nudged in a folder of its own, reads where it listens, sends it signals
//! and looks at how it ends. A node that says something unexpected fails its test; one that hangs
//! fails it at a deadline; none outlives it.

#![allow(unsafe_code)] // What a child does between fork and exec is its own to get right.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, waitpid};
use tempfile::TempDir;

use crate::client::Client;
use crate::support::log::LogLine;

/// A node is ready, or has given up, within this.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// A node that was told to stop has stopped within this.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// A condition that is awaited.
pub const CONDITION_TIMEOUT: Duration = Duration::from_secs(15);
/// Redis has every user within this of a start on a busy machine; a node serves before.
const REBUILD_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// One popup, with every default.
pub const WELCOME: &str = "[[popup]]\nid = \"welcome\"\n[popup.content]\ntitle = \"Welcome\"\n";

/// Shown each time, so that one user has many shows.
pub const ALWAYS: &str =
    "[[popup]]\nid = \"banner\"\nafter_shown = \"0s\"\nafter_ignored = \"0s\"\n";

/// The configuration of a node that waits for its SQLite longer than 50 ms, which a busy machine
/// with slow disks takes now and then. Those of clusters, or with limits, say themselves how long.
fn patient(text: &str) -> String {
    const PATIENT: &str = "[limits]\nread_deadline = \"2s\"\n";
    if ["[limits]", "[redis]", "[mysql]"].iter().any(|part| text.contains(part)) {
        return text.to_owned();
    }
    format!("{text}{}{PATIENT}", if text.ends_with('\n') { "" } else { "\n" })
}

/// What a node is started with, again and again.
pub struct Setup {
    folder: TempDir,
    data: PathBuf,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
    admin: String,
    program: PathBuf,
    before_exec: Option<fn() -> io::Result<()>>,
}

impl Setup {
    /// A folder with these popups and a configuration that stops without a lame duck.
    pub fn new(popups: &str) -> Setup {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let (flags, environment) = (Vec::new(), Vec::new());
        let admin = "127.0.0.1:0".to_owned();
        let program = PathBuf::from(env!("CARGO_BIN_EXE_nudged"));
        let setup = Setup { folder, data, flags, environment, admin, program, before_exec: None };
        setup.write_popups(popups);
        setup.config("")
    }

    /// Sets keys of the configuration file. Top-level keys come first, then sections.
    pub fn config(self, text: &str) -> Setup {
        self.write_config(text);
        self
    }

    /// Adds flags.
    pub fn flags(mut self, flags: &[&str]) -> Setup {
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// Has operators ask elsewhere than at a free port.
    pub fn admin(mut self, address: &str) -> Setup {
        self.admin = address.to_owned();
        self
    }

    /// Starts another version.
    pub fn program(mut self, path: &Path) -> Setup {
        self.program = path.to_path_buf();
        self
    }

    /// Sets a variable of the node's environment.
    pub fn variable(mut self, name: &str, value: &str) -> Setup {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts the data directory elsewhere.
    pub fn data_in(mut self, data: &Path) -> Setup {
        self.data = data.to_path_buf();
        self
    }

    /// Lets the child do something to itself before it becomes nudged.
    pub fn before_exec(mut self, before_exec: fn() -> io::Result<()>) -> Setup {
        self.before_exec = Some(before_exec);
        self
    }

    /// Writes the popups file anew.
    pub fn write_popups(&self, text: &str) {
        fs::write(self.path("popups.toml"), text).unwrap();
    }

    /// Writes the configuration file anew.
    pub fn write_config(&self, text: &str) {
        let lame_duck = if text.contains("lame_duck") { "" } else { "lame_duck = \"0s\"\n" };
        let text = patient(text);
        fs::write(self.path("nudged.toml"), format!("{lame_duck}{text}")).unwrap();
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A node that is ready.
    pub fn start(&self) -> Server {
        self.start_with(&[])
    }

    /// A node with more flags, ready.
    pub fn start_with(&self, flags: &[&str]) -> Server {
        match self.launch(flags) {
            Launched::Ready(server) => {
                self.await_redis(&server);
                server
            }
            Launched::Ended(exit) => panic!("nudged did not start: {exit:?}"),
        }
    }

    /// A node that waits 5 s for Redis and then serves without is waited for further, where its
    /// configuration is a patient one (`cluster::PATIENT`).
    fn await_redis(&self, server: &Server) {
        let config = fs::read_to_string(self.path("nudged.toml")).unwrap_or_default();
        let is_late = || {
            until("the line of the log", || server.logged("ready").into_iter().next());
            !server.logged("redis_not_ready").is_empty()
                && !server.logged("rebuild_begun").is_empty()
        };
        if config.contains("\ndeadline = \"2s\"") && is_late() {
            until_within("Redis to have every user", REBUILD_TIMEOUT, || {
                server.logged("rebuild_ended").into_iter().next()
            });
        }
    }

    /// A start that must fail.
    pub fn start_fails(&self, flags: &[&str]) -> Exit {
        match self.launch(flags) {
            Launched::Ready(server) => {
                panic!("nudged started, and should not have: {}", server.said())
            }
            Launched::Ended(exit) => exit,
        }
    }

    /// A node that listens and is perhaps not ready: who asks has to see.
    pub fn start_listening(&self) -> Server {
        match self.launch_until("listening admin", &[]) {
            Launched::Ready(server) => server,
            Launched::Ended(exit) => panic!("nudged did not start: {exit:?}"),
        }
    }

    /// Another command in the folder, to its end, with whatever is done before it.
    pub fn run(&self, arguments: &[&str]) -> Exit {
        let mut command = nudged();
        command.current_dir(self.folder.path()).args(arguments);
        self.prepare(&mut command);
        run_to_end(&mut command)
    }

    fn prepare(&self, command: &mut Command) {
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(before_exec) = self.before_exec {
            // SAFETY: what tests pass makes system calls and touches no memory but its stack.
            unsafe { command.pre_exec(before_exec) };
        }
    }

    fn launch(&self, flags: &[&str]) -> Launched {
        self.launch_until("ready", flags)
    }

    /// A node that is started by another command, which gets the arguments, ready.
    pub fn start_by(&self, mut command: Command) -> Server {
        match self.launch_command(&mut command, "ready", &[]) {
            Launched::Ready(server) => server,
            Launched::Ended(exit) => panic!("nudged did not start: {exit:?}"),
        }
    }

    /// As [`Setup::start_by`], of a start that must fail.
    pub fn start_by_fails(&self, mut command: Command) -> Exit {
        match self.launch_command(&mut command, "ready", &[]) {
            Launched::Ready(server) => {
                panic!("nudged started, and should not have: {}", server.said())
            }
            Launched::Ended(exit) => exit,
        }
    }

    fn launch_until(&self, last: &str, flags: &[&str]) -> Launched {
        self.launch_command(&mut empty(&self.program), last, flags)
    }

    fn launch_command(&self, command: &mut Command, last: &str, flags: &[&str]) -> Launched {
        command.current_dir(self.folder.path());
        command.args(["--config", "nudged.toml", "--popups", "popups.toml"]);
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(&self.data);
        // Which may be given once.
        if !flags.contains(&"--admin") {
            command.args(["--admin", &self.admin]);
        }
        command.args(&self.flags).args(flags);
        self.prepare(command);
        Server::launch(command, last)
    }
}

enum Launched {
    Ready(Server),
    Ended(Exit),
}

/// How a process ended.
#[derive(Debug)]
pub struct Exit {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// A process: of this test, or left to it by one that ended.
enum Process {
    Child(Child),
    /// With its exit code once it has ended.
    Adopted(Pid, Option<Option<i32>>),
}

impl Process {
    fn pid(&self) -> Pid {
        match self {
            Process::Child(child) => Pid::from_child(child),
            Process::Adopted(pid, _) => *pid,
        }
    }

    /// Its exit code once it has ended; `None` of it where a signal ended it.
    fn try_wait(&mut self) -> Option<Option<i32>> {
        match self {
            Process::Child(child) => child.try_wait().unwrap().map(|status| status.code()),
            Process::Adopted(pid, code @ None) => {
                // While its parent lives, it is not ours to wait for.
                let ended = waitpid(Some(*pid), WaitOptions::NOHANG).ok().flatten();
                *code = ended.map(|(_, status)| status.exit_status());
                *code
            }
            Process::Adopted(_, code) => *code,
        }
    }

    fn kill(&mut self) {
        match self {
            Process::Child(child) => drop(child.kill()),
            Process::Adopted(pid, None) => drop(kill_process(*pid, Signal::KILL)),
            Process::Adopted(_, Some(_)) => {}
        }
    }
}

/// A node that runs.
pub struct Server {
    /// Where visitors ask.
    pub data: SocketAddr,
    /// Where they ask too, by the flags' further `--listen`.
    pub others: Vec<SocketAddr>,
    /// Where operators ask.
    pub admin: SocketAddr,
    /// From start to ready.
    pub ready_after: Duration,
    child: Process,
    stderr: Arc<Mutex<String>>,
    stderr_reader: Option<JoinHandle<()>>,
    announced: String,
    allowed: Vec<&'static str>,
}

impl Server {
    fn launch(command: &mut Command, last: &str) -> Launched {
        let begun = Instant::now();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = read_lines(child.stdout.take().unwrap());
        let stderr: Arc<Mutex<String>> = Arc::default();
        let stderr_reader = gather(child.stderr.take().unwrap(), Arc::clone(&stderr));
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Server {
            data: nowhere,
            others: Vec::new(),
            admin: nowhere,
            ready_after: Duration::ZERO,
            child: Process::Child(child),
            stderr,
            stderr_reader: Some(stderr_reader),
            announced: String::new(),
            allowed: Vec::new(),
        };
        let mut stdout = String::new();
        while let Ok(line) = lines.recv_timeout(START_TIMEOUT.saturating_sub(begun.elapsed())) {
            stdout.push_str(&format!("{line}\n"));
            if let Some(listener) = line.strip_prefix("listening data ") {
                let address = first_word(listener).parse().unwrap();
                match server.data == nowhere {
                    true => server.data = address,
                    false => server.others.push(address),
                }
            } else if let Some(address) = line.strip_prefix("listening admin ") {
                // Tests that have a unix socket ask there by themselves.
                server.admin = first_word(address).parse().unwrap_or(ELSEWHERE);
            }
            if line.starts_with(last) {
                server.ready_after = begun.elapsed();
                server.announced = stdout.clone();
                assert!(server.data != nowhere && server.admin != nowhere, "{stdout}");
                return Launched::Ready(server);
            }
        }
        let code = server.wait(START_TIMEOUT);
        server.allowed.push("");
        Launched::Ended(Exit { code, stdout, stderr: server.said() })
    }

    /// A connection as visitors have.
    pub fn client(&self) -> Client {
        Client::connect(self.data)
    }

    /// A connection as operators have.
    pub fn operator(&self) -> Client {
        Client::connect(self.admin)
    }

    /// Lets the node log errors in whose line this is: a code, or a part of the text.
    pub fn allow(&mut self, part: &'static str) {
        self.allowed.push(part);
    }

    /// What the node had written to standard output when it was ready.
    pub fn announced(&self) -> &str {
        &self.announced
    }

    /// What the node has written to standard error so far.
    pub fn said(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// What the node writes to standard error, to be read once it has ended.
    #[allow(dead_code)] // Chaos alone reads it.
    pub fn saying(&self) -> Arc<Mutex<String>> {
        Arc::clone(&self.stderr)
    }

    /// The lines of the log with this code, so far.
    pub fn logged(&self, code: &str) -> Vec<LogLine> {
        LogLine::of(&self.said(), code)
    }

    /// Waits for a line of the log with this code, and gives the first.
    pub fn await_logged(&self, code: &str) -> LogLine {
        until(code, || self.logged(code).into_iter().next())
    }

    /// How many lines of standard error have this in them.
    pub fn lines_with(&self, part: &str) -> usize {
        self.said().lines().filter(|line| line.contains(part)).count()
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.pid().as_raw_nonzero().get().try_into().unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.child.pid(), signal).unwrap();
    }

    /// Ends the node as a power switch would end its process.
    pub fn kill(mut self) {
        self.child.kill();
        self.wait(STOP_TIMEOUT);
    }

    /// Asks the node to stop, which it does in time, with exit code 0.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let code = self.wait(STOP_TIMEOUT);
        assert_eq!(code, Some(0), "a clean stop: {}", self.said());
    }

    /// Waits for the end and gives the exit code. A node that has not ended by then fails the test.
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        let code = self.wait_beside_others(limit);
        if let Some(reader) = self.stderr_reader.take() {
            reader.join().unwrap();
        }
        code
    }

    /// As [`Server::wait`], where another process may still write to the same standard error.
    pub fn wait_beside_others(&mut self, limit: Duration) -> Option<i32> {
        let child = &mut self.child;
        until_within("the end of the process", limit, || child.try_wait())
    }

    /// Asks for a hand-over; gives the new process once it has been started.
    pub fn begin_hand_over(&self) -> u32 {
        // Who is left by the old process comes to this one.
        set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        let before = self.logged("handover_begun").len();
        self.signal(Signal::USR2);
        let begun = until("the new process", || self.logged("handover_begun").get(before).cloned());
        begun.number("process").unwrap().try_into().unwrap()
    }

    /// The server is the new process from now on, once the old one has ended; its exit code.
    pub fn become_successor(&mut self, process: u32) -> Option<i32> {
        let code = self.wait_beside_others(STOP_TIMEOUT);
        let pid = Pid::from_raw(process.try_into().unwrap()).unwrap();
        self.child = Process::Adopted(pid, None);
        code
    }

    /// Hands over to a new process, which serves afterwards.
    pub fn hand_over(&mut self) {
        let readies = self.logged("ready").len();
        let process = self.begin_hand_over();
        assert_eq!(self.become_successor(process), Some(0), "{}", self.said());
        until("it to be ready", || (self.logged("ready").len() > readies).then_some(()));
    }

    fn unexpected(&self) -> Vec<String> {
        let is_error = |line: &str| LogLine::parse(line).is_some_and(|line| line.level == "error");
        let is_bad = |line: &&str| is_error(line) || line.contains("panicked");
        let said = self.said();
        let bad = said.lines().filter(is_bad);
        let is_allowed = |line: &&str| self.allowed.iter().any(|part| line.contains(part));
        bad.filter(|line| !is_allowed(line)).map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill();
        let begun = Instant::now();
        while self.child.try_wait().is_none() && begun.elapsed() < STOP_TIMEOUT {
            std::thread::park_timeout(LOOK_EVERY);
        }
        if let Some(reader) = self.stderr_reader.take() {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            eprintln!("--- standard error of the node ---\n{}---", self.said());
            return;
        }
        let unexpected = self.unexpected();
        assert!(unexpected.is_empty(), "unexpected errors:\n{}", unexpected.join("\n"));
    }
}

/// Stands for an address that is none of TCP.
const ELSEWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::BROADCAST), 0);

fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

/// The binary under test, in an empty environment.
pub fn nudged() -> Command {
    empty(Path::new(env!("CARGO_BIN_EXE_nudged")))
}

fn empty(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("RUST_BACKTRACE", "1");
    command
}

/// Runs nudged to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Exit {
    run_to_end(nudged().current_dir(folder).args(arguments))
}

fn run_to_end(command: &mut Command) -> Exit {
    let output = command.output().unwrap();
    Exit {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Waits until a condition holds; fails where it does not in time.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(what, CONDITION_TIMEOUT, look)
}

/// As [`until`], with a limit of its own.
pub fn until_within<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read_lines(stdout: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody listens any more once the node is ready; the pipe is emptied all the same.
            let _ = sender.send(line);
        }
    });
    lines
}

fn gather(mut stderr: impl Read + Send + 'static, into: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut bytes = [0; 4_096];
        while let Ok(count @ 1..) = stderr.read(&mut bytes) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    })
}
