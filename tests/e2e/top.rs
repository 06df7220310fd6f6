//! Property: `nudged top` shows a running node in a terminal of any size, says since when it gives
//! no answer, and gives the terminal back however it ends; without a terminal it prints one
//! snapshot.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{ALWAYS, Setup, nudged, until};

/// A terminal of its own, by a tmux server of its own that ends with it.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// Runs a command in it, and says behind it how the terminal is set and then its exit code;
    /// `None` where there is no tmux.
    fn run(setup: &Setup, command: &str) -> Option<Terminal> {
        let terminal = Terminal { socket: setup.path("tmux") };
        let line = format!("{command}; code=$?; stty -a; echo \"ended $code\"; sleep 600");
        let size = ["-x", "80", "-y", "24"];
        let start = [&["-f", "/dev/null", "new-session", "-d"][..], &size, &[&line]].concat();
        terminal.tmux(&["-V"])?;
        // The server of a busy machine may give up while it starts.
        until("a terminal", || terminal.tmux(&start).filter(|started| started.status.success()));
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Option<Output> {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(arguments).env_remove("TMUX");
        command.env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8").output().ok()
    }

    fn seen(&self) -> String {
        let output = self.tmux(&["capture-pane", "-p"]).unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn await_seen(&self, wanted: &str) -> String {
        until(wanted, || Some(self.seen()).filter(|seen| seen.contains(wanted)))
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]).unwrap();
    }

    /// The process that its shell waits for.
    fn child(&self) -> Pid {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]).unwrap().stdout;
        let shell = String::from_utf8(shell).unwrap();
        let shell = shell.trim();
        let path = format!("/proc/{shell}/task/{shell}/children");
        let children = fs::read_to_string(path).unwrap();
        Pid::from_raw(children.split_whitespace().next().unwrap().parse().unwrap()).unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn a_node_is_watched_in_a_terminal_that_is_given_back() {
    let setup = Setup::new(ALWAYS).flags(&["--shards", "2", "--no-pin"]);
    let server = setup.start();
    (0..5).for_each(|_| _ = server.client().decide("ann").expect(200));
    let binary = env!("CARGO_BIN_EXE_nudged");
    let command = format!("{binary} top --admin {}", server.admin);
    let Some(terminal) = Terminal::run(&setup, &command) else {
        return println!("tmux is not installed; nothing was watched");
    };
    let seen = terminal.await_seen("banner");
    for wanted in ["SHARD  CPU", "ready", "sql      lag", "q quit  p pause  h help"] {
        assert!(seen.contains(wanted), "{wanted}\n{seen}");
    }
    terminal.tmux(&["resize-window", "-x", "120", "-y", "40"]).unwrap();
    terminal.press("p");
    terminal.await_seen("paused");
    terminal.press("p");
    terminal.press("h");
    terminal.await_seen("h closes this");
    terminal.press("h");
    server.stop();
    let seen = terminal.await_seen("no answer since");
    assert!(seen.contains("SHARD  CPU"), "what was seen last stays: {seen}");
    terminal.press("q");
    let seen = terminal.await_seen("ended 0");
    assert!(!seen.contains("SHARD") && seen.contains(" icanon"), "{seen}");
    drop(terminal);

    let again = Terminal::run(&setup, &command).unwrap();
    again.await_seen("no answer since");
    kill_process(again.child(), Signal::TERM).unwrap();
    let seen = again.await_seen("ended 0");
    assert!(seen.contains(" icanon") && seen.contains(" echo "), "{seen}");

    // A view whose terminal is closed ends with it.
    let last = Terminal::run(&setup, &command).unwrap();
    last.await_seen("no answer since");
    let stat = format!("/proc/{}/stat", last.child().as_raw_nonzero());
    drop(last);
    until("the end of a view without a terminal", || {
        let is_there = std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        (!is_there).then_some(())
    });
}

#[test]
fn without_a_terminal_it_is_one_snapshot() {
    let setup = Setup::new(ALWAYS).flags(&["--shards", "1", "--no-pin"]);
    let server = setup.start();
    server.client().decide("ann").expect(200);
    let admin = server.admin.to_string();
    let exit = setup.run(&["top", "--admin", &admin]);
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(exit.stdout.contains("SHARD  CPU") && exit.stdout.contains("banner"), "{exit:?}");
    assert!(!exit.stdout.contains('\u{1b}'), "{exit:?}");
    server.stop();
    let output = nudged().args(["top", "--once", "--admin", &admin]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is it running?"));
}
