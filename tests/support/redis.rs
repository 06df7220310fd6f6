//! A Redis server of a test's own, with the settings of `vendor-config/redis`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{PORT_TRIES, free_address, is_up, signal, vendor};

/// A running Redis. Its directory outlives its restarts.
pub struct Redis {
    folder: TempDir,
    address: SocketAddr,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Redis {
    /// Starts one as `vendor-config/redis/redis.conf` says: everything is synced before it is
    /// answered (`appendfsync always`).
    pub fn start() -> Redis {
        Redis::start_with(&[])
    }

    /// Starts one with arguments that win over the file, such as `--appendonly no`.
    pub fn start_with(arguments: &[&str]) -> Redis {
        let folder = tempfile::tempdir().unwrap();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut redis = Redis { folder, address: free_address(), arguments, child: None };
        for _ in 0..PORT_TRIES {
            if redis.try_run() {
                return redis;
            }
            redis.address = free_address();
        }
        panic!("redis-server does not start: {}", redis.log());
    }

    /// Starts it again on the same address, with the files that it left.
    pub fn restart(&mut self) {
        assert!(self.try_run(), "redis-server does not start again: {}", self.log());
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops it in its tracks; connections stay.
    pub fn freeze(&self) {
        signal(self.child.as_ref().expect("it runs"), Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        signal(self.child.as_ref().expect("it runs"), Signal::CONT);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address for `[redis] url`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The address for `[redis] url` with the user `nudged` of `vendor-config/redis/users.acl`,
    /// whose password is `secret`. Everybody else may do anything, still.
    pub fn url_of_least_user(&self) -> String {
        format!("redis://nudged:secret@{}", self.address)
    }

    /// What a command answers, as the reply's first line without its type: a number, a status, or
    /// an error.
    pub fn line(&self, words: &[&str]) -> String {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let reply = self.ask(&words);
        let line = reply.split(|byte| *byte == b'\r').next().unwrap();
        String::from_utf8_lossy(&line[1..]).into_owned()
    }

    /// An `INFO` section as text.
    pub fn info(&self, section: &str) -> String {
        String::from_utf8_lossy(&self.ask(&[b"INFO", section.as_bytes()])).into_owned()
    }

    /// How often a command was called since the start or since `CONFIG RESETSTAT`; what scripts
    /// call counts too.
    pub fn calls(&self, command: &str) -> u64 {
        let info = self.info("commandstats");
        let prefix = format!("cmdstat_{command}:calls=");
        let line = info.lines().find_map(|line| line.strip_prefix(&prefix));
        line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
    }

    /// Its process id, for /proc.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Its directory: append-only files and the like.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Sends one command on a connection of its own and gives the raw reply of up to 1 MiB, as far
    /// as it came in one piece.
    pub fn ask(&self, words: &[&[u8]]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            command.extend_from_slice(word);
            command.extend_from_slice(b"\r\n");
        }
        stream.write_all(&command).unwrap();
        let mut reply = vec![0; 1 << 20];
        let length = stream.read(&mut reply).unwrap();
        reply.truncate(length);
        reply
    }

    fn try_run(&mut self) -> bool {
        let log = std::fs::File::create(self.folder.path().join("redis.log")).unwrap();
        let mut child = Command::new("redis-server")
            .arg(vendor("redis/redis.conf"))
            .args(["--port", &self.address.port().to_string(), "--bind", "127.0.0.1"])
            .args(["--dir", self.folder.path().to_str().unwrap()])
            .args(["--unixsocket", self.socket().to_str().unwrap()])
            .args(&self.arguments)
            .args(self.users())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed (tools/test installs it)");
        let is_up = is_up(self.address, &mut child);
        if is_up {
            self.child = Some(child);
        } else {
            let _ = child.kill();
            let _ = child.wait();
        }
        is_up
    }

    /// The least user, who outlives restarts; where there is a file of users, it has its own.
    fn users(&self) -> Vec<String> {
        if self.arguments.iter().any(|argument| argument == "--aclfile") {
            return Vec::new();
        }
        let user = ["--user".to_owned(), "nudged".to_owned()];
        user.into_iter().chain(least_user_rules("secret")).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("redis.log")).unwrap_or_default()
    }
}

/// The rules of the user `nudged` in `vendor-config/redis/users.acl`, with another password.
pub fn least_user_rules(password: &str) -> Vec<String> {
    let file = std::fs::read_to_string(vendor("redis/users.acl")).unwrap();
    let rules = file.lines().find_map(|line| line.strip_prefix("user nudged ")).unwrap();
    assert!(rules.contains(" >change-me "), "the password to change: {rules}");
    let rules = rules.replace(">change-me", &format!(">{password}"));
    rules.split(' ').map(str::to_owned).collect()
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
